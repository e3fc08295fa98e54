"""Paths made of paths, before their signatures are taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._arguments import check_array, check_lengths, check_numbers, operators, treat_nan, visible_missing
from ._words import check_size

TRANSFORMS = ("time", "lead_lag", "basepoint", "invisibility_reset", "cumulative_sum", "scale")


def transform_path(
    path: Any,
    transforms: str | Sequence[str],
    *,
    times: Any = None,
    lag: int = 1,
    scale: Any = 1.0,
    lengths: Any = None,
    nan_policy: str = "propagate",
) -> Any:
    """Augment a path, one transform after the other.

    Parameters
    ----------
    path : ndarray or torch.Tensor of shape (..., length, channels)
        Points that are joined by straight lines.
    transforms : str or sequence of str
        "time" appends a channel of times. "lead_lag" has two copies of the channels, the second of which
        follows the first `lag` points later; 2 length - 1 points. "basepoint" puts the origin in front.
        "invisibility_reset" appends a channel that is 1, then drops it to 0, then all others, so that the
        signature sees where the path ends. "cumulative_sum" adds up the points. "scale" multiplies them.
    times : array of shape (length,) or (..., length), default=None
        When the points were taken, at any distances; None is 0 to 1 in equal steps. For "time" only.
    lag : int, default=1
        For "lead_lag" only.
    scale : float or array of shape (channels,), default=1.0
        For "scale" only: a number, or one for each channel that there is when its turn comes.
    lengths : array of int of shape (...), default=None
        How many points of each path count. The others are not looked at: a transformed path stands still
        after its own end.
    nan_policy : {"propagate", "raise", "ffill", "skip"}, default="propagate"
        What happens to NaN before the first transform. "ffill" puts the last number of the channel in its
        place, and in front of the first number that one. "skip" leaves points out that have any NaN: a path
        gets shorter, and stands still after its new end. The points that are left keep their times.

    Returns
    -------
    path : ndarray or torch.Tensor of shape (..., new length, new channels)
        Differentiable in path, times and scale.
    lengths : ndarray of int of shape (...)
        How many points of each new path count; returned only where `lengths` were given.

    Notes
    -----
    All but "cumulative_sum" and "scale" only choose points, so that a list of transforms costs one pass over
    the result, whatever its length.

    References
    ----------
    J. Morrill, A. Fermanian, P. Kidger, T. Lyons. A generalised signature method for multivariate time series
    feature extraction. 2020. arXiv:2006.00873.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw.signatures import transform_path
    >>> transform_path(np.array([[5.0], [7.0], [6.0]]), ["time", "basepoint"])
    array([[0. , 0. ],
           [5. , 0. ],
           [7. , 0.5],
           [6. , 1. ]])
    """
    ops = operators(path, times, scale)
    path = check_array(path, "path", ops)
    if path.ndim < 2 or 0 in path.shape[-2:]:
        raise ValueError(f"path must have the shape (..., length, channels). Got {tuple(path.shape)}.")
    if not isinstance(transforms, Iterable):
        raise TypeError(f"transforms must be a str or a sequence of str. Got {transforms!r}.")
    chosen = [transforms] if isinstance(transforms, str) else list(transforms)
    unknown = [name for name in chosen if name not in TRANSFORMS]
    if unknown:
        raise ValueError(f"transforms must be among {TRANSFORMS}. Got {unknown[0]!r}.")
    given = {
        "times": ("time", times is not None),
        "lag": ("lead_lag", check_size(lag, "lag") != 1),
        "scale": ("scale", not isinstance(scale, Real) or scale != 1),
    }
    for argument, (name, is_given) in given.items():
        if is_given and name not in chosen:
            raise ValueError(f'{argument} was given without the transform "{name}".')
    counts = check_lengths(lengths, path, ops, least=1)
    dtype, path = path.dtype, ops.cast(path, ops.working_dtype(path.dtype))
    if nan_policy == "skip":
        missing = visible_missing(path, nan_policy, counts, ops).any(-1)
    else:
        path, missing = treat_nan(path, nan_policy, counts, ops), None
    plan = _Plan(path, None if counts is None else ops.to_numpy(counts), ops)
    if missing is not None:
        plan.leave_out(ops.to_numpy(missing))
    for name in chosen:
        if name == "time":
            plan.add_time(times)
        elif name == "lead_lag":
            plan.lead_lag(min(int(lag), plan.length))
        elif name == "basepoint":
            plan.basepoint()
        elif name == "invisibility_reset":
            plan.invisibility_reset()
        elif name == "cumulative_sum":
            plan.replace(plan.points().cumsum(-2))
        else:
            factor = check_numbers(scale, "scale", path, ops)
            if tuple(factor.shape) not in {(), (1,), (plan.channels,)}:
                raise ValueError(
                    f"scale must be a number or one for each of {plan.channels} channels. "
                    f"Got the shape {tuple(factor.shape)}."
                )
            plan.replace(plan.points() * factor)
    found = ops.cast(plan.points(), dtype)
    return found if lengths is None else (found, plan.lengths.reshape(np.shape(lengths)))


@dataclass
class _Block:
    """Some channels: a source (..., points, channels), and which of its points comes when.

    The index is of shape (length,), or (..., length) where paths differ in length; -1 stands for the origin.
    """

    source: Any
    index: NDArray[np.int64]
    whole: bool  # whether all points of the source come in turn
    origin: bool = False  # whether the index holds -1


class _Plan:
    """A path in blocks; `lengths` is a number of points, or one for each path."""

    def __init__(self, path: Any, lengths: NDArray[np.int64] | None, ops: ModuleType) -> None:
        self.ops = ops
        self.path = path
        self.ragged = lengths is not None
        self._set_length(int(path.shape[-2]), np.asarray(path.shape[-2] if lengths is None else lengths))
        self.blocks = [self._block(path)]

    def _set_length(self, length: int, lengths: NDArray[np.int64]) -> None:
        self.length, self.lengths = length, lengths
        self.in_turn = np.minimum(np.arange(length), lengths[..., None] - 1)
        # Of the times that the points have: which, and over how many time steps they go.
        self.when, self.span = self.in_turn, lengths

    @property
    def channels(self) -> int:
        return sum(int(block.source.shape[-1]) for block in self.blocks)

    def _block(self, source: Any) -> _Block:
        """Return the points of the source in turn, after the end of a path its last one again and again."""
        return _Block(source, self.in_turn, not self.ragged)

    def _chosen(self, place: NDArray[np.int64], origin: bool = False) -> list[_Block]:
        """Return blocks of the points at these places, of what there is."""
        return [
            _Block(b.source, place if b.whole else _take(b.index, place), False, b.origin or origin)
            for b in self.blocks
        ]

    def leave_out(self, missing: NDArray[np.bool_]) -> None:
        """Go on without some of the points, before all transforms."""
        if not missing.any():
            return
        missing = missing | (np.arange(self.length) >= self.lengths[..., None])
        left = (~missing).sum(axis=-1)
        if not left.all():
            raise ValueError("path has a path without any point that has all its numbers.")
        span, order = self.span, np.argsort(missing, axis=-1, kind="stable")  # those that are left come first
        self._set_length(self.length, left)
        self.ragged = True
        self.when, self.span = np.take_along_axis(order, self.in_turn, axis=-1), span
        self.blocks = self._chosen(self.when)

    def add_time(self, times: Any) -> None:
        shapes = (self.length,), (*self.path.shape[:-2], self.length)
        if times is None:
            # Of float64 from the beginning: torch.compile would divide integers in float32.
            times = np.arange(self.length, dtype=np.float64) / np.maximum(self.span[..., None] - 1, 1)
        times = check_numbers(times, "times", self.path, self.ops)
        if tuple(times.shape) not in (*shapes, (1, self.length)):
            raise ValueError(
                f"times must have the shape {shapes[0]} or {shapes[1]}. Got {tuple(times.shape)}."
            )
        if tuple(times.shape) == (1, self.length):
            times = times[0]
        self.blocks.append(_Block(times[..., None], self.when, not self.ragged))

    def lead_lag(self, lag: int) -> None:
        # Both copies move in turn, the second after `lag` moves of the first; at the end it catches up.
        last = self.lengths[..., None] - 1
        move = np.minimum(np.arange(2 * self.length - 1), 2 * last)
        lead = np.minimum(np.where(move <= lag, move, lag + (move - lag >> 1)), last)
        self.blocks = self._chosen(lead) + self._chosen(move - lead)
        self._set_length(2 * self.length - 1, 2 * self.lengths - 1)

    def basepoint(self) -> None:
        self.blocks = self._chosen(np.arange(-1, self.length), origin=True)
        self._set_length(self.length + 1, self.lengths + 1)

    def invisibility_reset(self) -> None:
        last = self.lengths[..., None] - 1
        place = np.arange(self.length + 2)
        self.blocks = self._chosen(np.where(place <= last + 1, np.minimum(place, last), -1), origin=True)
        seen = np.where(place <= last, 0, -1)
        self.blocks.append(_Block(self.ops.ones(self.path, (1, 1)), seen, False, origin=True))
        self._set_length(self.length + 2, self.lengths + 2)

    def replace(self, points: Any) -> None:
        """Go on with these points."""
        self.path = points
        self.blocks = [self._block(self.path)]

    def points(self) -> Any:
        return self.ops.compose(self.blocks, (*self.path.shape[:-2], self.length))


def _take(index: NDArray[np.int64], place: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return index[..., place], where -1 stays what it is."""
    if index.ndim == place.ndim == 1:
        found = index[place]
    else:
        leading = np.broadcast_shapes(index.shape[:-1], place.shape[:-1])
        index = np.broadcast_to(index, (*leading, index.shape[-1]))
        place = np.broadcast_to(place, (*leading, place.shape[-1]))
        found = np.take_along_axis(index, place, axis=-1)
    return np.where(place < 0, -1, found)
