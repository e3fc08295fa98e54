"""Reading signals at warped times."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._problem import is_tensor, read_numbers, read_signals
from ._result import GDTWResult


def apply_warp(x: Any, warp: Any, *, x_times: Any = None, x_lengths: Any = None) -> Any:
    """Read signals at warped times.

    Parameters
    ----------
    x : array-like of shape (n,), (n, n_features) or (n_pairs, n, n_features), or list of signals
        The sources of warps, or other signals of the same times: what was measured along with them. NumPy
        arrays or torch tensors; the latter are differentiated through.
    warp : GDTWResult, or array-like of shape (n_knots,) or (n_pairs, n_knots)
        What `gdtw` returned, or times of x.
    x_times : array-like of shape (n,) or (n_pairs, n), or list, default=None
        Times of the samples of x. None spreads them evenly over [0, 1].
    x_lengths : array-like of shape (n_pairs,), default=None
        Number of samples of each signal in a padded array.

    Returns
    -------
    ndarray or tensor of shape (n_knots,), (n_knots, n_features) or (n_pairs, n_knots, n_features)
        The values of x at the warped times, by linear interpolation.

    Examples
    --------
    >>> from sktime_sdtw import apply_warp
    >>> apply_warp([0.0, 1.0, 4.0], [0.0, 0.25, 1.0])
    array([0. , 0.5, 4. ])
    """
    at = warp.values if isinstance(warp, GDTWResult) else warp
    if is_tensor(x):
        from ._torch import apply_torch

        return apply_torch(x, at, x_times, x_lengths)
    signals, single, _ = read_signals(x, x_times, x_lengths, "x")
    times = read_numbers(at, "warp")
    check_knots(times.shape, None if single else len(signals))
    if not np.isfinite(times).all():
        raise ValueError("warp has NaN or inf.")
    rows = []
    for i, row in enumerate(np.atleast_2d(times)):
        part = signals.part(i)
        columns = signals.values[part].T
        rows.append(np.stack([np.interp(row, signals.times[part], column) for column in columns], axis=1))
    if not single:
        return np.stack(rows)
    return rows[0][:, 0] if np.ndim(x) == 1 else rows[0]


def check_knots(shape: tuple[int, ...], n_pairs: int | None) -> None:
    """A row of times for each signal."""
    if len(shape) != (1 if n_pairs is None else 2) or (n_pairs is not None and shape[0] != n_pairs):
        wanted = "(n_knots,)" if n_pairs is None else f"({n_pairs}, n_knots)"
        raise ValueError(f"warp must be times of shape {wanted}, as x has signals. Got shape {shape}.")
