"""Expected times of continuous-time warps on an H200, as a MODEL. Needs no GPU.

    python benchmarks/gpu/warp_model.py

The kernel runs on the host with counters in it, on four pairs of each workload, of which the slowest counts
(of 256, a slower one is likely). A pair is a block, and most of its time is a chain of operations that wait
for each other: each counted turn of a loop is taken to last as long as the loads, operations and divisions in
its longest chain, with the latencies below, which are assumptions. From barrier to barrier the slowest warp
counts, from vote to vote its slowest lane. Up to 264 blocks run side by side, two on
a multiprocessor, so that a batch of 256 takes as long as one pair does, or as long as the issue of what all
their warps do ("issue alone") where that is longer.

Not in the model: misses of the first-level cache (but for the tables that are traced back), the checks of the
input, the host, and the clock under load. Writes warp_model.md and warp_model.json.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import _h200
import _warp_rows
import numpy as np
from _rows import seconds, table

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from cuda_emulation import EmulatedRuntime, build  # noqa: E402
from sktime_sdtw.cuda_ext import _gdtw  # noqa: E402

from sktime_sdtw.alignment import gdtw  # noqa: E402
from sktime_sdtw.alignment._problem import make_problem  # noqa: E402

# Clocks from one operation to the next that needs it: assumptions. FAR: a load of what was written long ago.
LOAD, DOUBLE, DIVISION, VOTE, BARRIER, FAR = 35, 8, 110, 25, 40, 600


PAIRS = 4  # of a batch, of which the slowest counts


class Turn(NamedTuple):
    """A turn of a loop: counted in front of `mark` in `file`; clocks to the next one, slots of a warp."""

    what: str
    file: str
    mark: str
    clocks: float
    slots: float


def _turn(what: str, file: str, mark: str, clocks: float, slots: float | None = None) -> Turn:
    """Where nothing else is said, a warp issues an instruction every four clocks."""
    return Turn(what, file, mark, clocks, clocks / 4 if slots is None else slots)


CHAIN, GRID, COSTS = "gdtw_chain.cuh", "gdtw_grid.cuh", "gdtw_objective.cuh"
COUNTED = (
    _turn(
        "halvings of a search",
        CHAIN,
        "        const int middle = (low + high) / 2;",
        LOAD + DOUBLE,
    ),
    _turn(
        "searches by all lanes",
        CHAIN,
        "        const double there = sorted[minimum(k, high - 1)];",
        LOAD + 2 * DOUBLE + VOTE,
    ),
    _turn("links by lanes", CHAIN, "    last = first + curve.count + link.count;", LOAD + VOTE),
    _turn(
        "corners of links, 32 at once",
        CHAIN,
        "        const double s = own.slope[k], at = own.at[k];",
        2 * LOAD + DIVISION + 6 * DOUBLE,
    ),
    _turn(
        "corners of folding links, 32 at once",
        CHAIN,
        "    const bool falls = inside && k > 0",
        7 * LOAD + 4 * VOTE + DIVISION + 6 * DOUBLE,
    ),
    _turn(
        "folds cut by lanes",
        CHAIN,
        "        const Joint last = chain.joint(to - 1), first = chain.joint(to);",
        2 * LOAD + 7 * DIVISION + 44 * DOUBLE,
    ),
    _turn(
        "corners of folding links, one by one",
        CHAIN,
        "                const double s = curve.slope[i];\n",
        2 * LOAD + DIVISION + 6 * DOUBLE,
    ),
    _turn("falls", CHAIN, "        const Joint last = above ?", 3 * LOAD + DIVISION + 6 * DOUBLE),
    _turn("folds", CHAIN, "        if (!above) excess = 0", 4 * LOAD + 2 * DIVISION + 20 * DOUBLE),
    _turn(
        "ways along a fold",
        CHAIN,
        "            // The lowest branch so far is joints below",
        4 * LOAD + 5 * DIVISION + 40 * DOUBLE,
    ),
    _turn(
        "knots",
        CHAIN,
        "    const double least_at = node.at[0]",
        3 * LOAD + 3 * VOTE + 6 * DOUBLE,
    ),
    _turn(
        "corners of knots, 32 at once",
        CHAIN,
        "        const double there = slope_at(other, before, here), second",
        2 * LOAD + 2 * VOTE + DIVISION + 8 * DOUBLE,
    ),
    _turn(
        "corners that may be left out, 32 at once",
        CHAIN,
        "            const bool stays =",
        2 * LOAD + 4 * VOTE + 14 * DOUBLE,
    ),
    _turn(
        "corners that may be left out, one by one",
        CHAIN,
        "                Corner here = corner(k);",
        2 * LOAD + 14 * DOUBLE,
    ),
    _turn(
        "corners of the last knot",
        CHAIN,
        "        const double a = curve.at[k - 1], b = curve.at[k], slope = curve.slope[k - 1], end",
        LOAD + 6 * DOUBLE,
    ),
    _turn(
        "knots traced back",
        CHAIN,
        "        const Joint after = chain.joint(k)",
        2 * LOAD + DIVISION + 8 * DOUBLE,
    ),
    _turn(
        "readings of a feature",
        COSTS,
        "    const double x0 = p.x[k * p.d + c], x1",
        2 * LOAD + DIVISION + 4 * DOUBLE,
    ),
    _turn(
        "features of a piece",
        "gdtw_curves.cuh",
        "            offset += s * (x0[c] - y[c]), bend += s * s;",
        LOAD + DIVISION + 5 * DOUBLE,
    ),
    _turn(
        "knots of a residual",
        "gdtw_polish.cuh",
        "            const Sides knot = {w.left[i], w.right[i]};",
        LOAD + 6 * DOUBLE,
    ),
    # Four at once: their loads together, their comparisons one after the other; slots as nvdisasm shows them.
    _turn(
        "points to come from",
        GRID,
        "        const double value = ways.candidate(ways.base[k],",
        (LOAD + DOUBLE + 4 * 2 * DOUBLE) / 4,
        10.5,
    ),
    _turn(
        "points to come from, for three",
        GRID,
        "                const double base = ways.base[k], tilt = ways.tilt[k];",
        (LOAD + DOUBLE + 4 * 2 * DOUBLE) / 4,
        26,
    ),
    _turn("lanes compared", GRID, "        const int k = shuffle_xor(at, other);", VOTE + 2 * DOUBLE + 5, 10),
    _turn(
        "points to come to",
        GRID,
        "        const int group = group0 + lane() / WIDTH,",
        2 * LOAD + VOTE + 18 * DOUBLE + 40,
        100,
    ),
    _turn("points, 5 at once", GRID, "        double numbers[POINTS_AT_ONCE];", 2 * LOAD + 12 * DOUBLE, 10),
    _turn("points", GRID, "            numbers[u] = get(j);", 0, 28),
    _turn(
        "points located",
        GRID,
        "    const double at = points.at(j), guess = (at - p.x_times[0]) * p.samples_per_time;",
        LOAD + DIVISION + 16 * DOUBLE,
        60,
    ),
    _turn("features of samples", GRID, "            const double x = w.columns[", LOAD + 4 * DOUBLE, 60),
    _turn(
        "features in columns", GRID, "            const double x = p.x[k * p.d + c], rise", LOAD + 4 * DOUBLE
    ),
    _turn(
        "steps of a grid",
        GRID,
        "        const Ways ways = {base,",
        3 * LOAD + DIVISION + 8 * DOUBLE,
    ),
    _turn("grids traced back", GRID, "        const int row = lane() / 8,", FAR + 4 * DOUBLE),
    _turn("knots of a traced grid", GRID, "            const int next = shuffle(choice", VOTE + 15),
    _turn(
        "knots of bounds",
        "gdtw.cu",
        "        low[i] = p.floor(i), high[i] = p.ceiling(i);",
        2 * LOAD + 6 * DOUBLE,
    ),
    _turn(
        "knots of bounds, backwards",
        "gdtw.cu",
        "        low[i] = maximum(low[i], low[i + 1] - greatest(p, i));",
        2 * LOAD + 4 * DOUBLE,
    ),
    _turn(
        "knots of a first warp",
        "gdtw.cu",
        "            double first = w.low[i], last = w.high[i]",
        3 * LOAD + 8 * DOUBLE,
    ),
    Turn("barriers", "", "", BARRIER, 8),
)

# Counts of a thread since the last barrier. At a barrier, a block has waited for its slowest warp, and a warp
# at a vote for its slowest lane: theirs are the turns that count.
HEAD = """
constexpr int KINDS = %d, MOST_THREADS = %d;
static const double clocks_of[KINDS] = {%s};
static double turns[MOST_THREADS][KINDS], clocks[MOST_THREADS];
static double counted[2 * KINDS];  // one after the other, and of all warps
static int lanes_here[MOST_THREADS / 32], threads_here;
extern "C" __attribute__((visibility("default"))) double *counts() { return counted; }
DEVICE void take_turn(int kind) {
    turns[thread_index()][kind] += 1;
    clocks[thread_index()] += clocks_of[kind];
}
DEVICE int slowest(int first, int count) {
    int found = first;
    for (int t = first; t < first + count; ++t) found = clocks[t] > clocks[found] ? t : found;
    return found;
}
DEVICE bool meet_warp() {
    const int warp = thread_index() / 32, first = warp * 32;
    if (++lanes_here[warp] < 32) return true;
    lanes_here[warp] = 0;
    const int from = slowest(first, 32);
    for (int t = first; t < first + 32; ++t) {
        for (int k = 0; k < KINDS; ++k) turns[t][k] = turns[from][k];
        clocks[t] = clocks[from];
    }
    return true;
}
DEVICE bool meet_block() {
    if (++threads_here < MOST_THREADS) return true;
    threads_here = 0;
    turns[0][KINDS - 1] += 1, clocks[0] += clocks_of[KINDS - 1];
    const int from = slowest(0, MOST_THREADS);
    for (int k = 0; k + 1 < KINDS; ++k) {
        counted[k] += turns[from][k];
        for (int first = 0; first < MOST_THREADS; first += 32)
            counted[KINDS + k] += turns[slowest(first, 32)][k];
    }
    counted[KINDS - 1] += 1, counted[2 * KINDS - 1] += MOST_THREADS / 32;
    for (int t = 0; t < MOST_THREADS; ++t) {
        for (int k = 0; k < KINDS; ++k) turns[t][k] = 0;
        clocks[t] = 0;
    }
    return true;
}
"""


class Counting:
    """A kernel with counters: what `build` needs of a specification."""

    def __init__(self, spec: Any) -> None:
        self.entry, self.defines, self._parts = spec.entry, spec.defines, spec.parts()

    def parts(self) -> list[tuple[str, str]]:
        """The texts, each mark found once."""
        found = []
        for name, given in self._parts:
            text = given
            for number, turn in enumerate(COUNTED):
                if turn.file != name:
                    continue
                if text.count(turn.mark) != 1:
                    raise ValueError(f"{name} has changed: {turn.what} can no longer be counted.")
                text = text.replace(turn.mark, f"take_turn({number});\n{turn.mark}")
            if name.startswith("gdtw"):
                text = text.replace("sync_block();", "meet_block(), sync_block();")
                text = text.replace("sync_warp();", "meet_warp(), sync_warp();")
                text = text.replace("any_of_block(", "any_of_block(meet_block() && ")
                text = text.replace("leading_lanes(", "leading_lanes(meet_warp() && ")
            if name == "gdtw_problem.cuh":
                clocks = ", ".join(str(turn.clocks) for turn in COUNTED)
                text = HEAD % (len(COUNTED), _gdtw.THREADS, clocks) + text
            found.append((name, text))
        return found


class CountingRuntime(EmulatedRuntime):
    """Runs kernels with counters, and adds up what they count."""

    def __init__(self) -> None:
        super().__init__(memory=2**32)
        self.counts = np.zeros((2, len(COUNTED)))

    def launch(self, spec: Any, blocks: int, threads: int, arguments: Any) -> None:
        """As of any device."""
        kernel = build(Counting(spec))
        counts = kernel.library.counts
        counts.restype = ctypes.POINTER(ctypes.c_double * self.counts.size)
        counted = np.frombuffer(counts().contents)
        counted[:] = 0
        pairs = zip(kernel.parameters, arguments, strict=True)
        values = [self._value(spec.entry, code, argument) for code, argument in pairs]
        kernel.run(blocks, threads, values, self.resident, self.order)
        self.counts += counted.reshape(self.counts.shape)


def count(row: _warp_rows.Row, pair: int) -> Any:
    """How often each turn is taken for a pair: one after the other, and by all warps together."""
    x, y = (part[pair : pair + 1] for part in replace(row, batch=PAIRS).data(1))
    defaults = dict(gdtw.__kwdefaults__ or {})
    for name in ("n_grid", "exact", "return_gap", "n_jobs", "device"):
        del defaults[name]
    problem = make_problem(x, y, **{**defaults, **dict(row.options)})[0]
    runtime = CountingRuntime()
    _gdtw.solve_arrays([runtime], problem, 0)
    return runtime.counts


def expected(row: _warp_rows.Row) -> dict[str, Any]:
    """Seconds of the forward call, with its largest parts, and of both calls."""
    counts = [count(row, pair) for pair in range(min(row.batch, PAIRS))]
    clocks = np.array([turn.clocks for turn in COUNTED])
    chain, by_warps = max(counts, key=lambda one: float(one[0] @ clocks))
    parts = {turn.what: n * turn.clocks / _h200.CLOCK for turn, n in zip(COUNTED, chain, strict=True)}
    slots = sum(n * turn.slots for turn, n in zip(COUNTED, by_warps, strict=True))
    resident = min(_gdtw.RESIDENT, -(-row.batch // _h200.MULTIPROCESSORS))
    busy = resident * slots / _h200.SCHEDULERS / _h200.CLOCK
    # The gradient: a system and two sums along the knots, by one thread each, and some work on every feature.
    knots = row.length
    backward = knots * (3 * LOAD + 2 * DIVISION + 12 * DOUBLE) + 2 * knots * (2 * LOAD + 3 * DOUBLE)
    backward += 2 * knots / _gdtw.THREADS * row.features * (4 * LOAD + 2 * DIVISION + 40 * DOUBLE)
    waves = -(-row.batch // (_gdtw.RESIDENT * _h200.MULTIPROCESSORS))
    forward = waves * max(sum(parts.values()), busy)
    largest = sorted(parts, key=lambda name: -parts[name])[:3]
    return {
        "name": row.name,
        "title": row.title,
        "forward": forward + _h200.LAUNCH,
        "both": forward + waves * backward / _h200.CLOCK + 2 * _h200.LAUNCH,
        "busy": waves * busy,
        "largest": {name: parts[name] for name in largest},
    }


HEADS = ["", "forward", "forward and backward", "issue alone", "of which"]
PAGE = """# Expected times of warps on an H200: a model

Written by `warp_model.py`, which says how. **Nothing here was measured on a GPU.** To be reached:
5 ms forward and backward for B = 256, L = 512, D = 16.

{workloads}
"""


def main() -> None:
    """Write the model of all rows with an exact sweep."""
    options = _h200.parser(__doc__).parse_args()
    rows = [expected(row) for row in _warp_rows.ROWS if not row.name.endswith("cubic")]
    lines = []
    for row in rows:
        parts = ", ".join(f"{name} {seconds(value)}" for name, value in row["largest"].items())
        lines.append([row["title"], *(seconds(row[name]) for name in ("forward", "both", "busy")), parts])
    workloads = "\n".join(table(HEADS, lines, words=HEADS[-1:]))
    print(workloads)
    _h200.write(options.folder, "warp_model", PAGE, rows, workloads=workloads)


if __name__ == "__main__":
    main()
