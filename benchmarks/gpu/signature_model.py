"""Expected times of signatures on an H200, as a MODEL, as _h200.py makes it for Soft-DTW. Needs no GPU.

    python benchmarks/gpu/signature_model.py

The engine runs on a stand-in that notes its launches. The time of a launch is the longer of

* the instructions of a step, of all loops that go through it, over the rate at which the schedulers start
  them; with the last wave of blocks taken as full;
* the bytes that it reads and writes, over the bandwidth of the memory.

Not in the model: latencies that too few warps do not hide, conflicts in shared memory, the clock under load,
and the host. Writes signature_model.md and signature_model.json.
"""

from __future__ import annotations

import functools
from typing import Any

import _h200
import _sass
import _signature_rows
import numpy as np
from _h200 import clocks
from _recorder import Recorder
from _rows import seconds, size, table
from sktime_sdtw.cuda_ext import _signature_plan
from sktime_sdtw.cuda_ext._signatures import PathBatch, SignatureEngine

WARPS = 64  # most of a multiprocessor
SHARED = 227 * 1024


@functools.cache
def examine(spec: Any) -> tuple[list[list[_sass.Instruction]], Any]:
    """The innermost loops of a compiled kernel, and what it takes."""
    blocks, taken = _h200.compiled(spec)
    back = [(to, k) for k, nexts in enumerate(_sass.successors(blocks)) for to in nexts if to <= k]
    inner = [a for a in back if not any(a != b and a[0] <= b[0] and b[1] <= a[1] for b in back)]
    loops = [[i for block in blocks[to : k + 1] for i in block.code] for to, k in inner]
    return loops, taken


def _count(code: list[_sass.Instruction], name: str) -> int:
    return sum(i.name == name for i in code)


def multiply_adds(layout: _signature_plan.Layout) -> int:
    """Of a thread for a step forward."""
    prefix = layout.depth - layout.own
    low = sum(1 + layout.depth - j for j in range(1, prefix + 1))
    return low + sum(layout.letters**j * (layout.own - j + 1) for j in range(1, layout.own + 1))


def step_clocks(spec: Any, values: dict[str, Any]) -> dict[str, float]:
    """Clocks of a warp and step, by what they are spent on."""
    defines = {name: int(value) for name, value in spec.defines if value.isdecimal()}
    loops, _ = examine(spec)
    reverse = spec.entry != "signature"
    grouped = reverse and int(values.get("groups", 1)) > 1
    steps = sorted((code for code in loops if _count(code, "FFMA")), key=lambda c: _count(c, "FFMA"))
    slots = _layout(spec)
    # A loop may have been unrolled: then it has the multiply-adds of several steps.
    unrolled = 1 if reverse else max(1, round(_count(steps[-1], "FFMA") / multiply_adds(slots)))
    found = {"step": clocks(steps[-1]) / unrolled}
    if spec.entry == "signature_reverse":
        short = [clocks(code) for code in steps[:-1]] or [0.0]
        found["forward again"] = max(short) + min(short) * (2 if grouped else 1)
    # Increments on their way to shared memory, and sums of gradients on theirs out of it.
    each = slots.units * defines["CHANNELS"] / defines["THREADS"]
    loads = [
        (len(code) / _count(code, "STS"))
        for code in loops
        if _count(code, "STS") and _count(code, "LDG") and not _count(code, "FFMA")
    ]
    passes = (3 if grouped else 2) if spec.entry == "signature_reverse" else 1
    found["increments"] = passes * each * min(loads, default=16.0)
    if reverse:
        found["sums"] = each * min(slots.slots, defines["THREADS"]) * 2.5
    return found


def _layout(spec: Any) -> _signature_plan.Layout:
    d = {name: int(value) for name, value in spec.defines if value.isdecimal()}
    return _signature_plan.Layout(
        *(d[n] for n in ("CHANNELS", "DEPTH", "OWN", "LETTERS", "THREADS", "STEPS"))
    )


def resident_blocks(spec: Any, threads: int) -> int:
    """Blocks of a multiprocessor."""
    _, taken = examine(spec)
    by_registers = _h200.REGISTERS // (-(-taken.registers // 8) * 8 * threads)
    by_shared = SHARED // (taken.shared + 1024) if taken.shared else WARPS
    return max(1, min(by_registers, by_shared, WARPS * 32 // threads))


def launch_seconds(spec: Any, blocks: int, threads: int, values: dict[str, Any], itemsize: int) -> float:
    """Model time of a launch."""
    schedulers = _h200.MULTIPROCESSORS * _h200.SCHEDULERS
    if spec.entry in ("signature", "signature_reverse", "signature_stream_reverse"):
        layout, chunk = _layout(spec), int(values["chunk_steps"])
        waves = -(-blocks // (resident_blocks(spec, threads) * _h200.MULTIPROCESSORS))
        most = waves * resident_blocks(spec, threads) * _h200.MULTIPROCESSORS
        each = sum(step_clocks(spec, values).values())
        # The last wave takes as long as a full one where it is more than half of that.
        full = most if blocks > 0.5 * most else blocks
        busy = full * threads / 32 * chunk * each / schedulers / _h200.CLOCK
        rows = int(values["n_rows"]) * int(values["chunks"])
        read = rows * chunk * layout.channels * itemsize * layout.parts
        words = _signature_plan.count_words(layout.channels, layout.depth) * itemsize
        stream = dict(spec.defines).get("STREAM") == "1" or spec.entry == "signature_stream_reverse"
        moved = read + rows * words * (chunk if stream else 1)
        return _h200.LAUNCH + max(busy, moved / _h200.BANDWIDTH)
    if spec.entry.startswith("signature_product"):
        numbers = int(values["n_rows"]) * int(values["count_out"]) * int(values["out_words"])
        terms = 40 + 12 * _signature_plan.MOST_DEPTH / 4  # instructions of a number, about
        busy = numbers / 32 * terms / schedulers / _h200.CLOCK
        return _h200.LAUNCH + max(busy, 5 * numbers * itemsize / _h200.BANDWIDTH)
    numbers = blocks * threads
    return _h200.LAUNCH + max(
        100 * numbers / 32 / schedulers / _h200.CLOCK, 3 * numbers * itemsize / _h200.BANDWIDTH
    )


def plan(row: _signature_rows.Row, time: Any = None) -> tuple[dict[str, Any], list[Any]]:
    """What the engine does for a row, forward and backward, and its kernels; `time`: of a launch."""
    recorder = Recorder(0)
    engine = SignatureEngine(recorder, np.float32)
    points = recorder.empty(row.batch * row.length * row.channels, np.float32)
    windows = None
    if row.window:
        first = np.arange(row.length - row.window + 1)
        windows = np.stack([first, first + row.window], axis=1)
    batch = PathBatch(points, None, None, windows, row.batch, row.length, row.channels, row.depth)
    out = engine.signature(batch, None, row.stream)
    forward = list(recorder.launches)
    gradient = recorder.empty(out.count, np.float32)
    engine.signature_gradient(batch, None, out if row.stream else None, gradient, row.stream)
    backward = recorder.launches[len(forward) :]
    figures: dict[str, Any] = {"name": row.name, "title": row.title, "peak_bytes": recorder.peak}
    for way, launches in (("forward", forward), ("backward", backward)):
        figures[way] = sum(time(*launch, 4) for launch in launches) if time else None
        figures[f"{way}_launches"] = len(launches)
    return figures, list(dict.fromkeys(launch[0] for launch in recorder.launches))


def kernel_rows(specs: dict[Any, None]) -> list[list[str]]:
    """A line for each kernel that goes through steps."""
    rows = []
    for spec in specs:
        d = dict(spec.defines)
        if "product" in spec.entry or not ("STREAM" in d or spec.entry.endswith("reverse")):
            continue
        parts = step_clocks(spec, {"groups": 2})
        _, taken = examine(spec)
        layout = _layout(spec)
        owned = _signature_plan.count_words(layout.letters, layout.own)
        name = f"{spec.entry}, ({d['CHANNELS']}, {d['DEPTH']}){', stream' if d.get('STREAM') == '1' else ''}"
        rows.append([name, str(taken.registers), str(owned), str(layout.slots)])
        rows[-1] += [
            ", ".join(f"{part} {value:.0f}" for part, value in parts.items()),
            f"{sum(parts.values()):.0f}",
        ]
    return rows


PARTS = "clocks of a step, by parts"
KERNEL_HEADS = ["kernel", "registers", "numbers of a thread", "threads of a unit", PARTS, "together"]
WORKLOAD_HEADS = [
    "workload",
    "model: forward",
    "model: backward",
    "launches",
    "memory",
    "must reach",
    "measured",
]
PAGE = """# Expected times of signatures: a model, not a measurement

Written by `signature_model.py`. **Nothing on this page was measured on a GPU.** It counts the instructions of
the compiled kernels ({versions}, {architecture}) and assumes an H200: {multiprocessors} multiprocessors at
{clock:.2f} GHz, four schedulers each, {bandwidth:.1f} TB/s. What it leaves out is said in
`signature_model.py`; a measured time will be longer.

## Kernels

Clocks of a scheduler that a warp takes for a step of its paths; a unit is a chunk of a path.

{kernels}

## Workloads

float32; backward alone, given the forward result. Memory is what the engine holds at once for both, points
and results included.

{workloads}
"""


def workload_rows(results: list[dict[str, Any]]) -> list[list[str]]:
    """A line for each row of the benchmark."""
    rows = []
    for found in results:
        most = _signature_rows.MOST_SECONDS.get(found["name"])
        must = " / ".join(f"≤ {seconds(limit)}" for limit in most) if most else ""
        launches = f"{found['forward_launches']} + {found['backward_launches']}"
        times = seconds(found["forward"]), seconds(found["backward"])
        rows.append([found["title"], *times, launches, size(found["peak_bytes"]), must, ""])
    return rows


def main() -> None:
    options = _h200.parser(__doc__).parse_args()
    results, specs = [], {}
    for row in _signature_rows.ROWS:
        if row.log:
            continue
        found, used = plan(row, launch_seconds)
        results.append(found)
        specs |= dict.fromkeys(used)
        print(f"{row.name}: {seconds(found['forward'])} {seconds(found['backward'])}", flush=True)
    kernels = table(KERNEL_HEADS, kernel_rows(specs), words=[PARTS])
    workloads = table(WORKLOAD_HEADS, workload_rows(results), words=WORKLOAD_HEADS[-2:])
    parts = {"kernels": "\n".join(kernels), "workloads": "\n".join(workloads)}
    _h200.write(options.folder, "signature_model", PAGE, results, **parts)


if __name__ == "__main__":
    main()
