"""Expected figures on an H200, as a MODEL: from the machine code of the kernels and the rates of the pipes.

    pip install nvidia-cuda-nvdisasm
    python benchmarks/gpu/model.py

Needs cuda-core and NVRTC, and no GPU: the engine runs on a stand-in for one, which notes what would be
launched and how much memory would be held. Each kernel is compiled for sm_90 and disassembled, and the
instructions of one round through its inner loop are counted by the pipe that executes them. The time of a
launch is the longest of

* its instructions over the rate of the pipe that is busiest, on all multiprocessors;
* the steps that wait for each other, each as long as a warp takes for it that is alone;
* the steps of all tasks, shared among the warps that are resident at once, likewise;
* the bytes of the table of costs that it reads and writes, where that exceeds the second-level cache.

How much of E is 0, and need not be multiplied, is taken from the data of each row, by the CPU engine.

Buffers of zeros are launches too; for a training step one, as for calls on tensors that come again.

Not in the model: what happens once for each series and at the ends of runs, misses of the first-level cache,
contention for memory, the clock under load, and the host. Writes model.md and model.json.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import _h200
import _rows
import _sass
import numpy as np
from _h200 import BANDWIDTH, CACHE, CLOCK, LAUNCH, MULTIPROCESSORS, PIPE_CLOCKS, REGISTERS, SCHEDULERS
from _recorder import record
from sktime_sdtw.cuda_ext import LEAST_GPU_WORK

import sktime_sdtw as sdtw

CELLS_OF_WARP = 32 * 32  # of tensor_table
PRODUCT_STEPS, PRODUCT_WARPS = 16, 8  # steps between barriers of products.cu, and warps of a block
SAID = 4  # steps until the next strip is told of them

# From how much work on a GPU is faster than CORES cores. Measured, on cores of an AMD EPYC: cells of one
# feature that a core fills in a second, and seconds of Python of a call on arrays, with a driver that does
# nothing. Assumed: seconds that each copy takes beside its bytes, and bytes a second of the bus.
CORES, CORE_RATE, HOST = 8, 5.3e9, 0.25e-3
COPY, BUS = 25e-6, 25e9
SMALL = _rows.Row("small", "35×35 of 128", 35, 35, 128, 128)


# --- kernels


@dataclass
class Kernel:
    """One step of the inner loop of a compiled kernel: a tile of each lane, or some products."""

    slots: int
    pipes: dict[str, int]
    alone: int  # clocks
    units: float  # cells of a lane, or products
    registers: int
    once: int = 0  # clocks for what comes before or after the steps
    staged: int = 0  # and more of them where there is something to add up

    @property
    def clocks(self) -> int:
        """Of a scheduler with enough warps, for a step."""
        return _h200.clocks_of(self.slots, self.pipes)

    @property
    def bound(self) -> str:
        """What takes these clocks."""
        busy = {pipe: PIPE_CLOCKS[pipe] * count for pipe, count in self.pipes.items()}
        return "issue" if self.clocks == self.slots else max(busy, key=lambda pipe: busy[pipe])

    @property
    def rate(self) -> float:
        """Units in a second on the whole GPU."""
        return MULTIPROCESSORS * SCHEDULERS * 32 * CLOCK * self.units / self.clocks

    @property
    def resident(self) -> int:
        """Warps on the whole GPU, by registers; in blocks of four."""
        return MULTIPROCESSORS * min(64, REGISTERS // (-(-self.registers // 8) * 8 * 32) // 4 * 4)


@functools.cache
def examine(spec: Any, keeps: bool = False) -> Kernel | None:
    """Compile, disassemble and count; None for the small kernels beside. `keeps`: tiles, for a gradient."""
    if spec.entry not in ("sweep", "reverse", "table", "tensor_table", "products"):
        return None
    blocks, taken = _h200.compiled(spec)
    defines = dict(spec.defines)
    double, hard = defines["REAL"] == "double", defines["HARD"] == "1"
    once = staged = 0
    if spec.entry == "tensor_table":
        # Three products of matrices, 16 x 8 x 8, for one; and what a tile takes beside, up to its stores.
        code = _sass.shortest_round(blocks, "HMMA|LDG", 48 + 16)
        units: float = sum(bool(re.match("HMMA", i.operation)) for i in code) * 16 * 8 * 8 / 3 / 32
        once = len(_sass.shortest_round(blocks, r"STG", 16)) - len(code)
    elif spec.entry in ("table", "products"):
        counted = "DFMA" if double else "FFMA"
        code = _sass.densest_loop(blocks, counted)
        units = sum(bool(re.match(counted, i.operation)) for i in code)
        if spec.entry == "products":  # the way of weights that are all 0; and through shared memory beside
            loads = PRODUCT_STEPS * 64 // 256
            moved = PRODUCT_STEPS * (64 + int(defines["FEATURE_TILE"])) // 256
            ways = [
                _sass.shortest_round(blocks, counted, needed)
                for counted, needed in (("BAR.RED|LDG", 1 + loads), ("BAR.RED|LDG|STS", 1 + 2 * moved))
            ]
            once, staged = map(_h200.clocks, ways)
            staged -= once + _h200.clocks(code)
    else:
        cells = int(defines["TILE_ROWS"]) * int(defines["TILE_COLS"])
        # What marks a cell: its exponential (in double: the polynomial's), or the minimum of a hard one.
        mark, of_cell = (r"(F|D|V)MNMX|DSETP.MIN|DSETP", 1) if hard else (r"MUFU\.EX2", 1)
        if double and not hard:
            mark, of_cell = "DFMA", 11
        elif spec.entry == "reverse" and not hard:
            mark, of_cell = r"MUFU\.(EX2|RCP)$", 2
        # Of its last cell, the reverse sweep does not need the value.
        needed = cells * of_cell - (spec.entry == "reverse")
        # What one lane fetches for the next step takes the time of all, and so does what is kept.
        most = moves_of(defines, spec.entry, keeps)
        moved = "LDG|STG" if defines["PAIRED"] == "1" else "LDG"
        ways = (_sass.shortest_round(blocks, mark, needed, moved, moves) for moves in range(most, -1, -1))
        code, units = next((way for way in ways if way), []), cells
    if not code:
        raise SystemExit(f"The inner loop of {spec} was not found.")
    return Kernel(
        len(code),
        dict(_sass.by_pipe(code)),
        _sass.clocks_alone(code),
        units,
        taken.registers,
        once,
        staged,
    )


def moves_of(defines: Mapping[str, str], entry: str, keeps: bool) -> int:
    """Loads and stores of a step of a sweep, at most: some of them the compiler may have put together.

    Of a window only loads: of its strips each has as many of what comes from the left, or of what goes on to
    the right, or both, and there are few with both.
    """
    rows, cols, d = (int(defines[name]) for name in ("TILE_ROWS", "TILE_COLS", "DIM"))
    of_quad = 2 if defines["REAL"] == "double" else 4
    numbers = 1 if defines["HARD"] == "1" else 2  # with an exponent
    kept = numbers * (rows + cols) // of_quad
    tile, multi = rows * cols // of_quad, int(defines["MULTI"])
    if defines["PAIRED"] == "0":  # rows of x come in quads
        return rows * d // of_quad + multi * rows * numbers
    moves = rows * d if d else tile
    if entry == "reverse":  # which puts E in the place of the costs
        return moves + kept + (0 if d else tile) + multi * rows * (2 + d)
    return moves + kept * keeps + multi * rows * numbers


# --- launches


def seconds_of(spec: Any, blocks: int, threads: int, values: dict[str, Any], sizes: Sizes) -> float:
    """Model time of a launch."""
    kernel = examine(spec, values["keeps"])
    if kernel is None:
        return LAUNCH
    defines = {name: int(value) for name, value in spec.defines if value.isdecimal()}
    first, last = int(values["row_begin"]), int(values["row_end"])
    skew = int(values["skew"])
    of_strips = sizes.rows_of_strips(first, last, skew)
    schedulers = MULTIPROCESSORS * SCHEDULERS
    traffic = table_traffic(spec, values, sizes)
    if spec.entry == "products":
        tile = defines["FEATURE_TILE"]
        rounds = (
            2 * int(values["n_pairs"]) * sizes.cells(of_strips) / (64 * PRODUCT_STEPS) * -(-sizes.d // tile)
        )
        sums = 64 * PRODUCT_STEPS * tile / 32 / PRODUCT_WARPS / kernel.units * kernel.clocks
        clocks = rounds * PRODUCT_WARPS * (kernel.once + sizes.weights * (kernel.staged + sums))
        return LAUNCH + max(clocks / schedulers / CLOCK, traffic)
    if spec.entry in ("table", "tensor_table"):
        cells = int(values["n_pairs"]) * sizes.cells(of_strips)
        products = cells * (sizes.d if spec.entry != "tensor_table" else -(-sizes.d // 16) * 16)
        clocks = products / kernel.units / 32 * kernel.clocks + cells / CELLS_OF_WARP * kernel.once
        return LAUNCH + max(clocks / schedulers / CLOCK, traffic)
    lanes = int(values["lanes_of_strip"])
    rows = -(-max(of_strips) // defines["TILE_ROWS"])
    share = sum(of_strips) / len(of_strips) / max(of_strips)  # of the strip with the most rows, that all have
    if spec.entry == "reverse":
        groups, run = int(values["n_pairs"]), 1
    else:
        groups, run = int(values["groups"]) * int(values["n_gammas"]), int(values["run"])
        if not defines["PAIRED"]:
            # Runs at the edge are shorter; with `upper` about half of each is left out.
            runs = -(-int(values["last_x"] - values["first_x"]) // run)
            run = int(values["last_x"] - values["first_x"]) / runs * (0.5 if values["upper"] else 1.0)
    strips = int(values["max_strips"])
    tasks = -(-groups * lanes // 32) * strips
    steps = rows * run * share + lanes - 1
    resident = min(tasks, kernel.resident, blocks * threads // 32)
    busy = tasks * steps * kernel.clocks / schedulers
    # A strip waits until the one before it is ahead by its lanes, and has said so.
    firsts = [max(first - skew * strip, 0) for strip in range(strips)]
    delay, ends = 0.0, [-(-of_strips[0] // defines["TILE_ROWS"]) * run]
    for strip in range(1, strips):
        if of_strips[strip] <= 0:
            continue
        behind = (firsts[strip - 1] - firsts[strip]) / defines["TILE_ROWS"]
        delay = max(0.0, delay + lanes + SAID - behind)
        ends.append(delay + -(-of_strips[strip] // defines["TILE_ROWS"]) * run)
    chain = (max(ends) + lanes) * kernel.alone
    waves = tasks / resident * steps * kernel.alone
    return LAUNCH + max(max(busy, chain, waves) / CLOCK, traffic)


def table_traffic(spec: Any, values: dict[str, Any], sizes: Sizes) -> float:
    """Seconds that the table of costs is on its way from and to memory."""
    defines = dict(spec.defines)
    if spec.entry in ("sweep", "reverse") and defines["DIM"] != "0":
        return 0.0
    pairs = int(values["groups" if spec.entry == "sweep" else "n_pairs"])
    rows = int(values["row_begin"]), int(values["row_end"]), int(values["skew"])
    nbytes = pairs * sizes.cells(sizes.rows_of_strips(*rows)) * (8 if defines["REAL"] == "double" else 4)
    both_ways = spec.entry == "reverse" or defines.get("SLOPE") == "1"
    return nbytes * (1 + both_ways) / BANDWIDTH if nbytes > CACHE else 0.0


@dataclass
class Sizes:
    """Lengths and features, the same for all pairs of a workload; and where E is 0."""

    n: int
    m: int
    d: int
    weights: float = 1.0  # share of the blocks of products.cu where E is not 0

    def rows_of_strips(self, begin: int, end: int, skew: int) -> list[int]:
        """Rows that a chunk has of each strip of 128 columns."""
        strips = range(-(-self.m // 128))
        return [min(max(end - skew * s, 0), self.n) - min(max(begin - skew * s, 0), self.n) for s in strips]

    def cells(self, rows_of_strips: Sequence[int]) -> int:
        """Of a chunk with these rows."""
        return sum(rows * min(self.m - 128 * s, 128) for s, rows in enumerate(rows_of_strips))


def share_of_weights(row: _rows.Row) -> float:
    """Share of the tiles of 64 x 16 cells where E is not 0 in float, in the first pair of this row's data."""
    x, y = replace(row, n_x=1, n_y=1).series()
    weights = np.float32(sdtw.soft_dtw_alignment(x[0], y[0], gamma=row.gamma)[1])
    tiles = [
        weights[i : i + 64, j : j + PRODUCT_STEPS].any()
        for i in range(0, row.n, 64)
        for j in range(0, row.m, PRODUCT_STEPS)
    ]
    return float(np.mean(tiles))


def workload(row: _rows.Row) -> tuple[dict[str, Any], list[Any]]:
    """Model figures of a row of the tables, and its kernels."""
    x, y = np.zeros((row.n_x, row.n, row.d), row.dtype), np.zeros((row.n_y, row.m, row.d), row.dtype)
    with row.chosen():
        recorder = record(lambda: row.call(sdtw, x, y, device="cuda"), 2 if row.kind == "dtw" else 0)
    sizes = Sizes(row.n, row.m, row.d, share_of_weights(row) if row.training and row.d > 3 else 1.0)
    times: dict[str, float] = {}
    for spec, blocks, threads, values in recorder.launches:
        times[spec.entry] = times.get(spec.entry, 0.0) + seconds_of(spec, blocks, threads, values, sizes)
    clears = min(recorder.clears, 1) if row.training else recorder.clears  # tensors: all at once, see _tape
    times["zeros"] = LAUNCH * clears
    specs = list(dict.fromkeys((launch[0], launch[3]["keeps"]) for launch in recorder.launches))
    figures = {
        "name": row.name,
        "title": row.title,
        "seconds": sum(times.values()),
        "parts": times,
        "launches": len(recorder.launches) + clears,
        "peak_bytes": recorder.peak,
        "cells": row.cells,
    }
    return figures, specs


def small_call() -> dict[str, float]:
    """Seconds of a call on arrays, NumPy in and out, by what takes them."""
    row, copies = SMALL, 4  # both series, which methods there are, and the results
    nbytes = 4 * (row.n_x * row.n + row.n_y * row.m) * row.d + 4 * row.n_x * row.n_y
    return {
        "Python": HOST,
        "copies": copies * COPY + nbytes / BUS,
        "kernels": workload(row)[0]["seconds"],
    }


def threshold_text() -> str:
    """From how much work on `device="auto"` takes a GPU, and why."""
    parts = small_call()
    seconds = sum(parts.values())
    listed = ", ".join(f"{_rows.seconds(value)} {name}" for name, value in parts.items())
    spent, rate = _rows.seconds(seconds), CORE_RATE / 1e9
    return (
        f"A call on arrays, {SMALL.title}, takes {spent}: {listed}. In that time {CORES} cores fill\n"
        f"{CORES} × {rate:.2g}·10⁹ × {spent} = {CORES * CORE_RATE * seconds / 1e6:.0f}·10⁶ cells of one "
        f"feature, one core {CORE_RATE * seconds / 1e6:.1f}·10⁶.\n"
        f"`LEAST_GPU_WORK` is {LEAST_GPU_WORK / 1e6:.0f}·10⁶. The rate of a core and the time of Python were "
        "measured (on the CPU, with a\n"
        "driver that does nothing); the rest is this model, and assumptions about copies."
    )


# --- pages


def name_of(spec: Any) -> str:
    """A kernel in few words."""
    d = dict(spec.defines)
    parts = [spec.entry, d["REAL"]]
    if spec.entry == "products":
        parts.append(f"{d['FEATURE_TILE']} features")
    elif spec.entry not in ("table", "tensor_table"):
        parts += [
            f"{d['TILE_ROWS']}×{d['TILE_COLS']} tiles",
            f"d = {d['DIM']}" if d["DIM"] != "0" else "costs from a table",
        ]
        parts += [
            word
            for key, word in (
                ("HARD", "hard"),
                ("PAIRED", "pairs"),
                ("MULTI", "several strips"),
            )
            if d[key] == "1"
        ]
    return ", ".join(parts)


def kernel_lines(specs: Sequence[Any]) -> list[str]:
    """The table of kernels."""
    heads = ["kernel", "registers", "slots", *_sass.PIPES, "bound by", "clocks", "clocks alone", "10⁹/s"]
    rows = []
    for spec, keeps in specs:
        kernel = examine(spec, keeps)
        if kernel is None:
            continue
        cells = [
            name_of(spec) + (", tiles kept" if keeps else ""),
            str(kernel.registers),
            f"{kernel.slots / kernel.units:.1f}",
            *(f"{kernel.pipes.get(pipe, 0) / kernel.units:.2f}" for pipe in _sass.PIPES),
            kernel.bound,
            f"{kernel.clocks / kernel.units:.1f}",
            f"{kernel.alone / kernel.units:.1f}",
            billions(kernel.rate),
        ]
        rows.append(cells)
    return _rows.table(heads, rows)


PAGE = """# Expected figures: a model, not a measurement

Written by `model.py`. **Nothing on this page was measured on a GPU.** It counts the instructions of the
compiled kernels ({versions}, {architecture}) and assumes an H200: {multiprocessors} multiprocessors at
{clock:.2f} GHz, each with four schedulers that start one instruction of a warp in a clock. What the model
leaves out is said in `model.py`; a measured time will be longer.

## Inner loops

Instructions of a warp for each cell of a lane (sweep, reverse), or for each product of a cell and a feature
(table, products), by the pipe that executes them; the clocks of a scheduler that they take with many warps,
and with one; and the rate of the whole GPU in cells or products.

{kernels}

## Workloads

Cells are counted once for a gradient too. Memory is what the engine holds on the GPU at once, series and
results included: no model, but what it asks for. So is the number of launches.

{workloads}

## From how much work on

{threshold}
"""


def billions(rate: float) -> str:
    """A rate in 10⁹."""
    return f"{rate / 1e9:,.0f}" if rate >= 1e11 else f"{rate / 1e9:.3g}"


def workload_lines(results: list[dict[str, Any]]) -> list[str]:
    """The table of workloads."""
    heads = ["workload", "model: time", "10⁹ cells/s", "launches", "memory", "must reach", "measured"]
    rows = [
        [
            f"training, {result['title']}" if result["name"].startswith("training") else result["title"],
            _rows.seconds(result["seconds"]),
            billions(result["cells"] / result["seconds"]),
            str(result["launches"]),
            _rows.size(result["peak_bytes"]),
            _rows.TARGETS.get(result["name"], ""),
            "",
        ]
        for result in results
    ]
    return _rows.table(heads, rows, words=heads[-2:])


def main() -> None:
    parser = _h200.parser(__doc__)
    parser.add_argument("--only", nargs="+", metavar="ROW", help="names of rows")
    options = parser.parse_args()
    rows = [row for row in _rows.ROWS if row.modelled and (not options.only or row.name in options.only)]
    results, specs = [], {}
    for row in rows:
        found, used = workload(row)
        results.append(found)
        specs |= dict.fromkeys(used)
        print(f"{row.name}: {_rows.seconds(found['seconds'])} {found['parts']}", flush=True)
    parts = {"kernels": kernel_lines(list(specs)), "workloads": workload_lines(results)}
    joined = {name: "\n".join(lines) for name, lines in parts.items()}
    _h200.write(options.folder, "model", PAGE, results, threshold=threshold_text(), **joined)


if __name__ == "__main__":
    main()
