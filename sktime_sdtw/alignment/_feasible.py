"""Which constraints leave a pair without a warp, in words."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from ._problem import Floats, Problem

# What each array of bounds may come from.
SOURCES = {
    "slope_min": "slope_min",
    "slope_max": "slope_max",
    "low": "band or band_lower",
    "high": "band or band_upper",
}
LOOSE = {"slope_min": 0.0, "slope_max": np.inf, "low": -np.inf, "high": np.inf}


def no_warp(problem: Problem, pair: int) -> str:
    """The fewest constraints that no warp of this pair meets together, and the knot where they meet."""
    part = problem.targets.part(pair)
    given = {name: getattr(problem, name)[part] for name in SOURCES}
    loose = {name: np.full_like(given[name], value) for name, value in LOOSE.items()}
    start = f"No warp of pair {pair} meets"
    for count in range(1, len(given) + 1):
        for names in combinations(given, count):
            found = _conflict(problem, pair, **{**loose, **{name: given[name] for name in names}})
            if found:
                which = " and ".join(SOURCES[name] for name in names)
                time, least, most = found
                return (
                    f"{start} {which}: at time {time:g} of y it must be at least {least:g} and at most "
                    f"{most:g} after the start of x. Loosen {'one of them' if count > 1 else 'it'}."
                )
    return f"{start} {', '.join(SOURCES.values())} together. Loosen one of them."


def _conflict(
    problem: Problem, pair: int, low: Floats, high: Floats, slope_min: Floats, slope_max: Floats
) -> tuple[float, float, float] | None:
    """The first knot that no warp reaches: its time, and the bounds of the warp there."""
    tau = problem.sources.times[problem.sources.part(pair)]
    t = problem.targets.times[problem.targets.part(pair)]
    first, last = tau[0], tau[-1]
    floor, ceiling = np.maximum(low, first), np.minimum(high, last)
    mean = 1.0
    if problem.is_endpoint:
        mean = (last - first) / (t[-1] - t[0])
        ceiling[0], floor[-1] = first, last
    slack = 1e-9 * (last - first)
    least, most = floor[0], ceiling[0]
    for i, time in enumerate(t):
        if i:
            step = mean * (time - t[i - 1])
            least = max(floor[i], least + slope_min[i - 1] * step)
            most = min(ceiling[i], most + slope_max[i - 1] * step)
        if least > most + slack:
            return float(time), float(least), float(most)
    return None
