"""Windows of a path: the ways to say which, and their intervals of points."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _numpy

KINDS = ("sliding", "expanding", "dyadic")


def resolve_windows(
    windows: Any, n_points: int, leading: tuple[int, ...] = (), ops: ModuleType = _numpy
) -> Any:
    """Return the intervals [start, end) of points that windows stand for.

    Parameters
    ----------
    windows : tuple or array
        ("sliding", length[, step]), ("expanding", length[, step]), ("dyadic", levels), or an array
        (n_windows, 2) or (..., n_windows, 2) of intervals; see `signature`.
    n_points : int
        Points of the path.
    leading : tuple of int, default=()
        Leading dimensions of the path.
    ops : module, default=_numpy
        Of the path.

    Returns
    -------
    ndarray of int64 of shape (n_windows, 2) or (*leading, n_windows, 2)
        Or a tensor, where values cannot be looked at: such windows are not checked.

    Examples
    --------
    >>> from sktime_sdtw.signatures._windows import resolve_windows
    >>> resolve_windows(("dyadic", 2), 5).tolist()
    [[0, 5], [0, 3], [2, 5]]
    """
    if isinstance(windows, tuple) and windows and isinstance(windows[0], str):
        return _named(windows, n_points)
    hidden = ops.is_hidden(windows)
    array = ops.host_index(windows) if hidden else ops.to_numpy(windows)
    fits = array.ndim >= 2 and tuple(array.shape[:-2]) in {(), leading} and array.shape[-1] == 2
    if not fits or not (hidden or array.dtype.kind in "iu"):
        shapes = "(n_windows, 2)" + (f" or ({', '.join(map(str, leading))}, n_windows, 2)" if leading else "")
        raise ValueError(
            "windows must be a tuple that begins with a name, or integers of shape "
            f"{shapes}. Got {windows!r}."
        )
    if hidden:
        return array
    array = np.ascontiguousarray(array, dtype=np.int64)
    if array.size and (
        array.min() < 0 or array.max() > n_points or (array[..., 1] - array[..., 0]).min() < 2
    ):
        raise ValueError(
            f"windows must be intervals [start, end), each of at least two of the {n_points} points."
        )
    return array


def _named(windows: tuple[Any, ...], n_points: int) -> NDArray[np.int64]:
    kind, *numbers = windows
    if kind not in KINDS:
        raise ValueError(f"windows must begin with one of {KINDS}. Got {kind!r}.")
    if not 1 <= len(numbers) <= (1 if kind == "dyadic" else 2):
        raise ValueError(f"windows has too many or too few numbers: {windows!r}.")
    least = 1 if kind == "dyadic" else 2
    for i, number in enumerate(numbers):
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
            raise TypeError(f"windows must hold ints after its name. Got {windows!r}.")
        if number < (least if i == 0 else 1):
            raise ValueError(f"The numbers of windows are too small: {windows!r}.")
    if kind == "dyadic":
        return _dyadic(n_points, numbers[0])
    length, step = (min(number, n_points + 1) for number in (*numbers, 1)[:2])  # beyond, nothing changes
    ends = np.arange(length, n_points + 1, step)
    starts = ends - length if kind == "sliding" else np.zeros_like(ends)
    return np.stack([starts, ends], axis=1).astype(np.int64)


def least_dyadic_points(levels: int) -> int:
    """How many points a path needs for so many levels: a step for each of the shortest windows."""
    return int(2 ** (levels - 1) + 1)


def _dyadic(n_points: int, levels: int) -> NDArray[np.int64]:
    """Cut the steps into 1, 2, 4, … parts; neighbours share a point."""
    steps = n_points - 1
    if n_points < least_dyadic_points(min(levels, 64)):
        raise ValueError(
            f"windows=('dyadic', {levels}): a path of {n_points} points is too short for so many levels; the "
            "last of them has 2^(levels - 1) windows."
        )
    cuts = [
        (steps * i // 2**level, steps * (i + 1) // 2**level + 1)
        for level in range(levels)
        for i in range(2**level)
    ]
    return np.array(cuts, dtype=np.int64)
