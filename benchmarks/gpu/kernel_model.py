"""Expected times of signature kernels on an H200, as a MODEL, as model.py makes it for Soft-DTW.

It needs no GPU:

    python benchmarks/gpu/kernel_model.py

The engine runs on a stand-in that notes its launches. The time of a launch is the longest of

* the instructions of a column, by the compiled loops, over the rate at which the schedulers start them;
* a chain: a warp's columns at the clocks that they take alone, and those that strips are behind each other;
* the bytes that it reads and writes, over the bandwidth of the memory.

What table, weights and products do beside their products is counted by hand. Not in the model: caches, the
clock under load, the host, and the few operations of torch. Writes kernel_model.md and kernel_model.json.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import _h200
import _kernel_rows
import _sass
import numpy as np
from _recorder import Recorder
from _rows import seconds, size, table
from sktime_sdtw.cuda_ext._pieces import in_pieces
from sktime_sdtw.cuda_ext._signature_kernel import (
    LINEAR,
    POINTS,
    KernelProblem,
    SignatureKernelEngine,
    make_kernel_spec,
)
from sktime_sdtw.cuda_ext._signature_kernel_plan import windows_of

BEHIND = 64  # columns that a strip is behind the one above it
DOWN, BACK = 12, 20  # multiply-adds of a column, of the sweep and of the way back
BESIDE = 150  # instructions of a thread of `table` beside its products, for 16 increments


class Column(NamedTuple):
    """Of a warp: clocks of a scheduler with enough warps, and alone."""

    busy: float
    alone: float


@functools.cache
def columns(entry: str, multiply_adds: int) -> tuple[Column, Column]:
    """A column of the loop with so many multiply-adds, and one for which an increment is loaded."""
    blocks, _ = _h200.compiled(make_kernel_spec(entry, "float"))
    ways = (("FFMA", multiply_adds), (r"FFMA|LDG\.E\.128", multiply_adds + 1))
    codes = [_sass.shortest_round(blocks, *way) for way in ways]
    plain, loading = (Column(_h200.clocks(code), _sass.clocks_alone(code)) for code in codes)
    return plain, loading


def launch_seconds(spec: Any, values: dict[str, Any], row: _kernel_rows.Row) -> float:
    """Model time of a launch, in float32."""
    entry, schedulers = spec.entry.removeprefix("signature_kernel_"), _h200.MULTIPROCESSORS * _h200.SCHEDULERS
    pairs, cells = int(values["n_pairs"]), (row.length - 1) ** 2
    if entry in ("sweep", "reverse"):
        strips = int(values["strip_end"]) - int(values["strip_begin"])
        order, steps = int(values["y_order"]), int(values["max_cols"])
        width = (steps << order) + 31
        busy = alone = 0.0
        for name, count in (("sweep", DOWN), ("reverse", BACK))[: 1 + (entry == "reverse")]:
            plain, loading = columns(name, count)
            share = 2.0**-order
            busy += width * (plain.busy * (1 - share) + loading.busy * share)
            alone += (width + BEHIND * (strips - 1)) * (plain.alone * (1 - share) + loading.alone * share)
        table = pairs * strips * (steps + 31) * (128 >> int(values["x_order"])) * 4
        nodes = pairs * strips * width * 128 * 4
        moved = table if entry == "sweep" else 2 * table + 2 * nodes
        work = pairs * strips * busy / schedulers
        return _h200.LAUNCH + max(work / _h200.CLOCK, alone / _h200.CLOCK, moved / _h200.BANDWIDTH)
    numbers = pairs * cells
    if entry == "table":
        # Products of 16 cells, of 25 points in two operations each, of a thread.
        each = row.channels * (50 if row.static == "rbf" else 16) * 1.4 + BESIDE
        clocks, moved = numbers / 16 / 32 * each, numbers * 4
    elif entry == "weights":
        clocks, moved = numbers / 32 * (40 + 3 * row.channels * (row.static == "rbf")), numbers * 8
    else:
        tiles = -(-row.length // 128) * 128 * row.length * -(-row.channels // 8) * 8 * 2
        clocks, moved = pairs * tiles / 32 * (2 if row.static == "linear" else 3), numbers * 8
    return _h200.LAUNCH + max(clocks / schedulers / _h200.CLOCK, moved / _h200.BANDWIDTH)


def plan(row: _kernel_rows.Row, time: Any = launch_seconds) -> dict[str, Any]:
    """What the engine does for a row, forward, and forward and backward."""
    recorder = Recorder(0)
    points = row.static == "rbf"
    length = row.length - (not points)
    paths = [recorder.empty(row.count * length * row.channels, np.float32) for _ in range(2)]
    steps = np.full(row.count, row.length - 1, np.int64)
    problem = KernelProblem(
        POINTS if points else LINEAR,
        *(*paths, steps, steps, length, length, row.channels, 0.5),
        *(row.refinement, row.refinement),
    )
    engine = SignatureKernelEngine(recorder, np.float32, problem)
    n_pairs = row.count**2 if row.gram else row.count
    values = recorder.empty(n_pairs, np.float32)
    found: dict[str, Any] = {"name": row.name, "title": row.title}

    def run(gradient: bool) -> None:
        def work(window: Any) -> None:
            if gradient:
                engine.gradient(window, values, row.count)
            else:
                engine.values(window, values, row.count)

        chunks = engine.chunks(n_pairs, gradient=gradient)
        for _ in in_pieces(work, windows_of(row.count, row.count, not row.gram, False, chunks)):
            pass

    for way, gradient in (("forward", False), ("both", True)):
        run(gradient)
        launches = recorder.launches
        found[way] = sum(time(spec, values, row) for spec, _, _, values in launches) if time else None
        found[f"{way}_launches"] = len(launches)
    found["peak_bytes"] = recorder.peak
    return found


HEADS = [
    "workload, float32",
    "model: forward",
    "cells/s",
    "model: forward and backward",
    "launches",
    "memory",
]
PAGE = """# Expected times of signature kernels: a model, not a measurement

Written by `kernel_model.py`. **Nothing on this page was measured on a GPU.** It counts the instructions of
the compiled sweeps ({versions}, {architecture}) and assumes an H200: {multiprocessors} multiprocessors at
{clock:.2f} GHz, four schedulers each, {bandwidth:.1f} TB/s. What it leaves out is said in
`kernel_model.py`; a measured time will be longer.

A column of a warp, 128 cells, takes {down:.0f} clocks of a scheduler on the way down, {loading:.0f} where
increments are loaded for it, and {back:.0f} on the way back.

{workloads}
"""


def main() -> None:
    options = _h200.parser(__doc__).parse_args()
    results, lines = [], []
    for row in _kernel_rows.ROWS:
        found = plan(row)
        results.append(found)
        cells = f"{row.cells(1) / found['forward']:.1e}"
        launches = f"{found['forward_launches']}, {found['both_launches']}"
        times = seconds(found["forward"]), cells, seconds(found["both"])
        lines.append([row.title, *times, launches, size(found["peak_bytes"])])
    (plain, loading), (back, _) = columns("sweep", DOWN), columns("reverse", BACK)
    clocks = {"down": plain.busy, "loading": loading.busy, "back": back.busy}
    workloads = "\n".join(table(HEADS, lines))
    _h200.write(options.folder, "kernel_model", PAGE, results, workloads=workloads, **clocks)


if __name__ == "__main__":
    main()
