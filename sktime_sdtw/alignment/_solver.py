"""The way down to the compiled solver."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._engine import resolve_n_threads, runtimes_for
from ._feasible import no_warp
from ._problem import Floats, Problem

EXACT_NEEDS_CPU = (
    "exact=True searches on the CPU only: move x and y there, or leave device at 'auto'. (For short signals "
    "the search is exact without it, on a GPU too.)"
)
NO_WARP = 1  # status of such a pair
TOO_LARGE = "The objective leaves the range of float64: scale x and y down."
ALL = -1  # as n_grid: no grid, all warps are searched


@dataclass(frozen=True, eq=False)
class Solution:
    """Warps of all pairs, flat, with what holds their knots."""

    warp: Floats
    cell: NDArray[np.int32]
    holds: NDArray[np.int32]
    ties: NDArray[np.int32]
    objective: Floats
    residual: Floats


def _arguments(problem: Problem) -> tuple[Any, ...]:
    p = problem
    return (
        p.sources.values,
        p.sources.times,
        p.slopes,
        p.sources.offsets,
        p.targets.values,
        p.targets.times,
        p.targets.offsets,
        p.low,
        p.high,
        p.slope_min,
        p.slope_max,
        p.reg,
        p.cumulative,
        p.is_endpoint,
        p.data.code,
        p.data.delta,
        p.penalty.code,
        p.penalty.delta,
    )


def solve(problem: Problem, n_grid: int = 0, n_jobs: int | None = None, device: Any = "cpu") -> Solution:
    """Solve all pairs.

    Raises
    ------
    ValueError
        The constraints of a pair leave no warp.
    """
    if n_grid == ALL and device == "auto":
        device = "cpu"
    cells = float(problem.sources.lengths.astype(np.float64) @ problem.targets.lengths)
    runtimes = runtimes_for(device, cells * problem.sources.values.shape[1])
    if runtimes:
        if n_grid == ALL:
            raise ValueError(EXACT_NEEDS_CPU)
        from ..cuda_ext._gdtw import UnsolvedPairError, solve_arrays

        try:
            return Solution(**solve_arrays(runtimes, problem, n_grid))
        except UnsolvedPairError as error:
            raise ValueError(why_unsolved(problem, error.pair, error.status)) from None
    n, m = len(problem.sources), len(problem.targets.times)
    out = Solution(
        np.empty(m),
        np.zeros(m, np.int32),
        np.zeros(m, np.int32),
        np.zeros(m, np.int32),
        np.empty(n),
        np.empty(n),
    )
    status = np.zeros(n, np.int32)
    arguments: list[Any] = [
        *_arguments(problem),
        n_grid,
        out.warp,
        out.cell,
        out.holds,
        out.ties,
        out.objective,
        out.residual,
        status,
        resolve_n_threads(n_jobs),
    ]
    _core.gdtw(*arguments)
    if status.any():
        raise ValueError(why_unsolved(problem, int(np.flatnonzero(status)[0]), NO_WARP))
    if not np.isfinite(out.objective).all():
        raise ValueError(TOO_LARGE)
    return out


def why_unsolved(problem: Problem, pair: int, status: int) -> str:
    """What is wrong with a pair whose input is as it must be."""
    return no_warp(problem, pair) if status == NO_WARP else TOO_LARGE


def gradient(
    problem: Problem, solution: Solution, upstream: Floats, n_jobs: int | None = None
) -> dict[str, Floats | None]:
    """Gradients of the inner product of the warps with `upstream`, which is not modified."""
    p = problem
    out: dict[str, Floats | None] = {
        "x": np.zeros_like(p.sources.values),
        "x_times": np.zeros_like(p.sources.times),
        "x_slopes": None if p.slopes is None else np.zeros_like(p.slopes),
        "y": np.zeros_like(p.targets.values),
        "times": np.zeros_like(p.targets.times),
        "low": np.zeros_like(p.low),
        "high": np.zeros_like(p.high),
        "slope_min": np.zeros_like(p.slope_min),
        "slope_max": np.zeros_like(p.slope_max),
        "reg": np.zeros_like(p.reg),
        "cumulative": np.zeros_like(p.cumulative),
    }
    arguments: list[Any] = [
        *_arguments(problem),
        solution.warp,
        solution.cell,
        solution.holds,
        solution.ties,
        upstream,
        *out.values(),
        resolve_n_threads(n_jobs),
    ]
    _core.gdtw_gradient(*arguments)
    return out


def check_search(n_grid: Any, exact: Any, interpolation: Any) -> int:
    """Number of points of the first grid; 0 stands for the default and `ALL` for none at all."""
    if not isinstance(exact, (bool, np.bool_)):
        raise ValueError(f"exact must be True or False. Got {exact!r}.")
    if exact:
        if n_grid is not None or interpolation != "linear":
            raise ValueError("exact=True needs interpolation='linear', and no n_grid.")
        return ALL
    if n_grid is None:
        return 0
    if isinstance(n_grid, bool) or not isinstance(n_grid, Integral) or not 2 <= int(n_grid) < 2**31:
        raise ValueError(f"n_grid must be None or an integer >= 2, and less than 2^31. Got {n_grid!r}.")
    return int(n_grid)


def finer_grid(n_grid: int, longest: int) -> int:
    """Number of points of a grid four times as fine as the usual one."""
    usual = min(max(longest, 257), 1025)
    return 4 * (n_grid if n_grid > 0 else usual)
