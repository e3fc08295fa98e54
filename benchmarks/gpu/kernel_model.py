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

import argparse
import functools
import importlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import _kernel_rows
import _sass
import model
import numpy as np
from _rows import seconds, size
from sktime_sdtw.cuda_ext._pieces import in_pieces
from sktime_sdtw.cuda_ext._signature_kernel import (
    LINEAR,
    POINTS,
    KernelProblem,
    SignatureKernelEngine,
    make_kernel_spec,
)
from sktime_sdtw.cuda_ext._signature_kernel_plan import windows_of

HERE = Path(__file__).parent
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
    compiler = importlib.import_module("sktime_sdtw.cuda_ext._compile")
    binary, _ = compiler.compile_kernel(make_kernel_spec(entry, "float"), model.ARCHITECTURE)
    blocks = _sass.kernel_blocks(_sass.disassemble(binary.code, _sass.find_disassembler()))
    ways = (("FFMA", multiply_adds), (r"FFMA|LDG\.E\.128", multiply_adds + 1))
    plain, loading = (_sass.shortest_round(blocks, *way) for way in ways)
    return Column(_clocks(plain), _sass.clocks_alone(plain)), Column(
        _clocks(loading), _sass.clocks_alone(loading)
    )


def _clocks(code: list[_sass.Instruction]) -> float:
    pipes = _sass.by_pipe(code)
    busy = [model.PIPE_CLOCKS[pipe] * count for pipe, count in pipes.items() if pipe != "FMA"]
    return float(max(len(code), pipes["FMA"] + pipes["IMAD"], *busy))


def launch_seconds(spec: Any, values: dict[str, Any], row: _kernel_rows.Row) -> float:
    """Model time of a launch, in float32."""
    entry, schedulers = spec.entry.removeprefix("signature_kernel_"), model.MULTIPROCESSORS * model.SCHEDULERS
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
        return model.LAUNCH + max(work / model.CLOCK, alone / model.CLOCK, moved / model.BANDWIDTH)
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
    return model.LAUNCH + max(clocks / schedulers / model.CLOCK, moved / model.BANDWIDTH)


def plan(row: _kernel_rows.Row, time: Any = launch_seconds) -> dict[str, Any]:
    """What the engine does for a row, forward, and forward and backward."""
    recorder = model.Recorder(0)
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


PAGE = """# Expected times of signature kernels: a model, not a measurement

Written by `kernel_model.py`. **Nothing on this page was measured on a GPU.** It counts the instructions of
the compiled sweeps ({versions}, {architecture}) and assumes an H200: {multiprocessors} multiprocessors at
{clock:.2f} GHz, four schedulers each, {bandwidth:.1f} TB/s. What it leaves out is said in
`kernel_model.py`; a measured time will be longer.

A column of a warp, 128 cells, takes {down:.0f} clocks of a scheduler on the way down, {loading:.0f} where
increments are loaded for it, and {back:.0f} on the way back.

| workload, float32 | model: forward | cells/s | model: forward and backward | launches | memory |
| --- | ---: | ---: | ---: | ---: | ---: |
{workloads}
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=HERE, help="where the results go")
    options = parser.parse_args()
    results, lines = [], []
    for row in _kernel_rows.ROWS:
        found = plan(row)
        results.append(found)
        both, launches = (
            [found["forward"], found["both"]],
            [found["forward_launches"], found["both_launches"]],
        )
        cells = f"{row.cells(1) / both[0]:.1e}"
        entries = [row.title, seconds(both[0]), cells, seconds(both[1]), f"{launches[0]}, {launches[1]}"]
        lines.append(f"| {' | '.join([*entries, size(found['peak_bytes'])])} |")
    compiler = importlib.import_module("sktime_sdtw.cuda_ext._compile")
    (plain, loading), (back, _) = columns("sweep", DOWN), columns("reverse", BACK)
    page = PAGE.format(
        versions="NVRTC {}.{}".format(*compiler.nvrtc_version()),
        architecture=model.ARCHITECTURE,
        multiprocessors=model.MULTIPROCESSORS,
        clock=model.CLOCK / 1e9,
        bandwidth=model.BANDWIDTH / 1e12,
        down=plain.busy,
        loading=loading.busy,
        back=back.busy,
        workloads="\n".join(lines),
    )
    (options.folder / "kernel_model.md").write_text(page)
    (options.folder / "kernel_model.json").write_text(json.dumps({"rows": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
