"""What is known about optimal warps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._series import Array
from ._problem import Problem
from ._solver import Solution

HOLDS = ("free", "source_start", "source_end", "band_lower", "band_upper", "sample", "identity", "residual")


@dataclass(frozen=True, eq=False)
class GDTWResult:
    """Optimal warps and what is known about them.

    Arrays have a leading axis of pairs, which is absent where `gdtw` was called with a single pair.

    Parameters
    ----------
    values : ndarray or tensor of shape (n_pairs, n_knots)
        The warp phi at the knots: times of the source x, for which x(phi(t)) is like y(t).
    times : ndarray or tensor of shape (n_pairs, n_knots)
        The knots t: times of the target y. After the last knot of a pair with fewer, both repeat the last.
    objective : ndarray or tensor of shape (n_pairs,)
        What is minimised, at the warp. Differentiable for tensors, like `values`.
    lengths : ndarray or tensor of shape (n_pairs,)
        Number of knots of each pair.
    kkt_residual : ndarray or tensor of shape (n_pairs,)
        The steepest descent along moves of the knots that is left, relative to the largest slope: rounding.
    holds : ndarray or tensor of shape (n_pairs, n_knots), int32
        What holds each knot: 0 nothing, 1 and 2 the start and end of x, 3 and 4 the band, 5 a sample of x
        where its slope jumps, 6 the kink of the cumulative penalty, 7 + c that of the residual of feature c.
    ties : ndarray or tensor of shape (n_pairs, n_knots), int32
        What binds the step from each knot to the next: 0 nothing, 1 slope_min, 2 slope_max, 3 the kink of the
        penalty at the mean slope.
    gap : ndarray or tensor of shape (n_pairs,) or None
        How far the objective lies above that of a search on a grid four times as fine; None unless asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw import gdtw
    >>> t = np.linspace(0, 1, 50)
    >>> result = gdtw(np.sin(6 * t**2), np.sin(6 * t), reg=1e-4)
    >>> result.values.shape, bool(result.kkt_residual < 1e-9)
    ((50,), True)
    """

    values: Any
    times: Any
    objective: Any
    lengths: Any
    kkt_residual: Any
    holds: Any
    ties: Any
    gap: Any = None

    @property
    def kinks(self) -> Any:
        """Knots that are held by a kink: there the gradient with respect to the values of x is zero."""
        return self.holds >= HOLDS.index("sample")


def pad(flat: Array, lengths: NDArray[np.int64]) -> Array:
    """Rows of different lengths as a table, where the last number of a row repeats."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    columns = np.minimum(np.arange(int(lengths.max())), lengths[:, None] - 1)
    table: Array = flat[offsets[:-1, None] + columns]
    return table


def pack(problem: Problem, solution: Solution, dtype: np.dtype[Any]) -> GDTWResult:
    """Tables of the flat arrays."""
    lengths = problem.targets.lengths
    return GDTWResult(
        values=pad(solution.warp, lengths).astype(dtype, copy=False),
        times=pad(problem.targets.times, lengths).astype(dtype, copy=False),
        objective=solution.objective.astype(dtype, copy=False),
        lengths=lengths,
        kkt_residual=solution.residual,
        holds=pad(solution.holds, lengths),
        ties=pad(solution.ties, lengths),
    )


def take_first(result: GDTWResult) -> GDTWResult:
    """A single pair without the axis of pairs."""
    fields = {name: value if value is None else value[0] for name, value in vars(result).items()}
    return GDTWResult(**fields)
