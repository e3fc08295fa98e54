"""Expected times of continuous-time warps on an H200, as a MODEL. Needs no GPU.

    python benchmarks/gpu/warp_model.py

The kernel runs on the host with counters in it, on one pair of each workload. A pair is a block, and most of
its time is a chain of operations that wait for each other: each counted turn is taken to last as long as the
loads, operations and divisions in its longest chain, with the latencies below, which are assumptions. Up to
264 blocks run side by side, two on a multiprocessor, so that a batch of 256 takes as long as one pair does.

Not in the model: misses of the first-level cache, the host, and the clock under load. Writes warp_model.md
and warp_model.json.
"""

from __future__ import annotations

import ctypes
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import _warp_rows
import model
import numpy as np
from _rows import seconds

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from cuda_emulation import EmulatedRuntime, build  # noqa: E402
from sktime_sdtw.cuda_ext import _gdtw  # noqa: E402

from sktime_sdtw.alignment import gdtw  # noqa: E402
from sktime_sdtw.alignment._gdtw import make_problem  # noqa: E402

# Clocks from one operation to the next that needs it: assumptions.
LOAD, DOUBLE, DIVISION, VOTE, BARRIER = 35, 8, 110, 25, 40
BISECTION = 6 * (LOAD + DOUBLE)  # of some 64 corners

# (what, file, text in front of which it is counted, clocks of a turn). Lane 0 of a warp counts, but lane 1
# where lane 0 never comes by.
CHAIN, GRID = "gdtw_chain.cuh", "gdtw_grid.cuh"
COUNTED = (
    (
        "links by lanes",
        CHAIN,
        "    last = first + curve.count + link.count;",
        2 * LOAD + BISECTION + DIVISION + 2 * VOTE,
    ),
    (
        "corners of links, 32 at once",
        CHAIN,
        "        const double s = curve.slope[k];\n",
        4 * LOAD + DIVISION + 4 * DOUBLE,
    ),
    (
        "corners of folding links, 32 at once",
        CHAIN,
        "    const bool falls = inside && k > 0",
        7 * LOAD + 9 * VOTE + DIVISION + 6 * DOUBLE,
    ),
    (
        "folds cut by lanes",
        CHAIN,
        "    bool simple = false;",
        2 * LOAD + 7 * DIVISION + 44 * DOUBLE,
    ),
    (
        "corners of folding links, one by one",
        CHAIN,
        "                const double s = curve.slope[i];\n",
        2 * LOAD + DIVISION + 6 * DOUBLE,
    ),
    ("falls", CHAIN, "        const Joint last = above ?", 3 * LOAD + DIVISION + 6 * DOUBLE),
    ("folds", CHAIN, "        if (!above) excess = 0", 4 * LOAD + 2 * DIVISION + 20 * DOUBLE),
    (
        "ways along a fold",
        CHAIN,
        "            // The lowest branch so far is joints below",
        4 * LOAD + 5 * DIVISION + 40 * DOUBLE,
    ),
    (
        "knots",
        CHAIN,
        "    const double least_at = node.at[0]",
        2 * LOAD + 3 * BISECTION + 2 * DIVISION + 3 * VOTE + 10 * DOUBLE,
    ),
    (
        "corners of knots, 32 at once",
        CHAIN,
        "        const int before = count_below(node.at, node.count, at[joints_to + k], false);",
        2 * LOAD + BISECTION + DIVISION + 4 * DOUBLE,
    ),
    (
        "corners that may be left out, 32 at once",
        CHAIN,
        "            const bool stays =",
        2 * LOAD + 9 * VOTE + 14 * DOUBLE,
    ),
    (
        "corners that may be left out, one by one",
        CHAIN,
        "                Corner here = corner(k);",
        2 * LOAD + 14 * DOUBLE,
    ),
    (
        "knots traced back",
        CHAIN,
        "        const Joint after = chain.joint(k)",
        BISECTION + 2 * LOAD + DIVISION + 4 * DOUBLE,
    ),
    (
        "readings of a feature",
        "gdtw_objective.cuh",
        "    const double x0 = p.x[k * p.d + c], x1",
        2 * LOAD + DIVISION + 4 * DOUBLE,
    ),
    (
        "points of a coarse row, 32 or 4 at once",
        GRID,
        "        const double value = price(costs[k], to - points[k]);",
        LOAD + 5 * DOUBLE,
    ),
    (
        "points of other rows",
        GRID,
        "            const double value = price(costs[k], here - points[k]);",
        LOAD + 5 * DOUBLE,
    ),
    (
        "steps of a grid",
        GRID,
        "        const Points points = points_of(w, low, high, count, warp, i);",
        6 * BARRIER + 10 * VOTE + 2 * DIVISION + 8 * LOAD,
    ),
)
# What all warps of a block count, each its own part.
BY_ALL_WARPS = {"readings of a feature", "steps of a grid"} | {
    name for name, *_ in COUNTED if name.startswith("points")
}


class Counting:
    """A kernel with counters: what `build` needs of a specification."""

    def __init__(self, spec: Any) -> None:
        self.entry, self.defines, self._parts = spec.entry, spec.defines, spec.parts()

    def parts(self) -> list[tuple[str, str]]:
        """The texts, each mark found once."""
        found = []
        for name, given in self._parts:
            text = given
            for number, (what, file, mark, _) in enumerate(COUNTED):
                if file != name:
                    continue
                if text.count(mark) != 1:
                    raise ValueError(f"{file} has changed: {what} can no longer be counted.")
                condition = f"lane() == {int(what == 'points of other rows')}"
                if what == "folds cut by lanes":  # where any lane does
                    condition = "any(folds) && lane() == 0"
                text = text.replace(mark, f"if ({condition}) ++counted[{number}];\n{mark}")
            if name == "gdtw_problem.cuh":
                head = "static long long counted[64];\n"
                head += 'extern "C" __attribute__((visibility("default"))) long long *counts() '
                text = head + "{ return counted; }\n" + text
            found.append((name, text))
        return found


class CountingRuntime(EmulatedRuntime):
    """Runs kernels with counters, and adds up what they count."""

    def __init__(self) -> None:
        super().__init__(memory=2**32)
        self.counts = np.zeros(len(COUNTED), np.int64)

    def launch(self, spec: Any, blocks: int, threads: int, arguments: Any) -> None:
        """As of any device."""
        kernel = build(Counting(spec))
        counts = kernel.library.counts
        counts.restype = ctypes.POINTER(ctypes.c_longlong * len(COUNTED))
        counted = np.frombuffer(counts().contents, np.int64)
        counted[:] = 0
        pairs = zip(kernel.parameters, arguments, strict=True)
        values = [self._value(spec.entry, code, argument) for code, argument in pairs]
        kernel.run(blocks, threads, values, self.resident, self.order)
        self.counts += counted


def count(row: _warp_rows.Row) -> dict[str, float]:
    """How often each turn is taken for one pair, one after the other."""
    x, y = replace(row, batch=3).data(1)
    defaults = dict(gdtw.__kwdefaults__ or {})
    for name in ("n_grid", "exact", "return_gap", "n_jobs", "device"):
        del defaults[name]
    problem = make_problem(x[:1], y[:1], **{**defaults, **dict(row.options)})[0]
    runtime = CountingRuntime()
    _gdtw.solve_arrays([runtime], problem, 0)
    shares = [_gdtw.THREADS / 32 if name in BY_ALL_WARPS else 1 for name, *_ in COUNTED]
    return {name: float(n / s) for (name, *_), n, s in zip(COUNTED, runtime.counts, shares, strict=True)}


def expected(row: _warp_rows.Row) -> dict[str, Any]:
    """Seconds of the forward call, with its largest parts, and of both calls."""
    turns = count(row)
    parts = {name: turns[name] * clocks / model.CLOCK for name, *_, clocks in COUNTED}
    # The gradient: a system and two sums along the knots, by one thread each, and some work on every feature.
    knots = row.length
    backward = knots * (3 * LOAD + 2 * DIVISION + 12 * DOUBLE) + 2 * knots * (2 * LOAD + 3 * DOUBLE)
    backward += 2 * knots / _gdtw.THREADS * row.features * (4 * LOAD + 2 * DIVISION + 40 * DOUBLE)
    waves = -(-row.batch // (_gdtw.RESIDENT * model.MULTIPROCESSORS))
    forward = waves * sum(parts.values())
    largest = sorted(parts, key=lambda name: -parts[name])[:3]
    return {
        "name": row.name,
        "title": row.title,
        "forward": forward + model.LAUNCH,
        "both": forward + waves * backward / model.CLOCK + 2 * model.LAUNCH,
        "largest": {name: parts[name] for name in largest},
    }


def main() -> None:
    """Write the model of all rows with an exact sweep."""
    rows = [expected(row) for row in _warp_rows.ROWS if not row.name.endswith("cubic")]
    lines = [
        "# Expected times of warps on an H200: a model",
        "",
        "Written by `warp_model.py`, which says how. **Nothing here was measured on a GPU.** To be reached:",
        "5 ms forward and backward for B = 256, L = 512, D = 16.",
        "",
        "| | forward | forward and backward | of which |",
        "| --- | ---: | ---: | --- |",
    ]
    for row in rows:
        parts = ", ".join(f"{name} {seconds(value)}" for name, value in row["largest"].items())
        lines.append(f"| {row['title']} | {seconds(row['forward'])} | {seconds(row['both'])} | {parts} |")
    (HERE / "warp_model.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = json.dumps({"what": "a model, not measured", "rows": rows}, indent=1)
    (HERE / "warp_model.json").write_text(text + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
