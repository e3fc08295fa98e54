"""Exact DTW: Soft-DTW at temperature 0, in the same unit (a sum of local costs)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from .._series import Array
from . import _batch
from ._arguments import read_pair
from ._constraints import resolve_band
from ._costs import resolve_cost
from ._soft_dtw import paired_soft_dtw, pairwise_soft_dtw, soft_dtw


def dtw(
    x: Any,
    y: Any = None,
    *,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    sakoe_chiba_radius: int | float | None = None,
    itakura_max_slope: float | None = None,
    device: str | list[str] = "auto",
) -> float:
    """Dynamic time warping: the smallest sum of local costs over all alignment paths.

    Parameters
    ----------
    x, y : array-like of shape (n_timestamps,) or (n_timestamps, n_features)
    cost, sigma, sakoe_chiba_radius, itakura_max_slope, device
        As in `soft_dtw`.

    Returns
    -------
    float
        No square root is taken. With the default cost, ``dtw(x, y) ** 0.5`` is what tslearn calls dtw.

    Examples
    --------
    >>> from sktime_sdtw import dtw
    >>> dtw([0.0, 1.0, 2.0], [0.0, 2.0])
    1.0
    """
    return soft_dtw(
        x,
        y,
        gamma=0.0,
        cost=cost,
        sigma=sigma,
        sakoe_chiba_radius=sakoe_chiba_radius,
        itakura_max_slope=itakura_max_slope,
        device=device,
    )


def dtw_path(
    x: Any,
    y: Any = None,
    *,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    sakoe_chiba_radius: int | float | None = None,
    itakura_max_slope: float | None = None,
    device: str | list[str] = "auto",
) -> tuple[float, NDArray[np.int64]]:
    """Dynamic time warping and an optimal path.

    Parameters
    ----------
    x, y : array-like of shape (n_timestamps,) or (n_timestamps, n_features)
    cost, sigma, sakoe_chiba_radius, itakura_max_slope, device
        As in `soft_dtw`.

    Returns
    -------
    value : float
    path : ndarray of shape (length, 2), int64
        Pairs (i, j) from (0, 0) to (n - 1, m - 1). Of several optimal paths, one that takes diagonal steps
        where it can (looking back from the end).

    Notes
    -----
    Memory grows with n + m, not with n m.

    Examples
    --------
    >>> from sktime_sdtw import dtw_path
    >>> value, path = dtw_path([0.0, 1.0, 2.0, 2.0], [0.0, 1.0, 2.0])
    >>> path.tolist()
    [[0, 0], [1, 1], [2, 2], [3, 2]]
    """
    resolved = resolve_cost(cost, sigma)
    band = resolve_band(sakoe_chiba_radius, itakura_max_slope)
    ((_, pairs),) = _batch.prepared_chunks(read_pair(x, y, resolved), resolved)
    return _engine.optimal_path(pairs, resolved, band, device)


def pairwise_dtw(
    X: Any,
    Y: Any = None,
    *,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    sakoe_chiba_radius: int | float | None = None,
    itakura_max_slope: float | None = None,
    n_jobs: int | None = None,
    device: str | list[str] = "auto",
) -> Array:
    """Dynamic time warping of all pairs of series.

    Parameters
    ----------
    X, Y : array-like or list
    cost, sigma, sakoe_chiba_radius, itakura_max_slope, n_jobs, device
        As in `pairwise_soft_dtw`.

    Returns
    -------
    ndarray of shape (n, m)

    Examples
    --------
    >>> from sktime_sdtw import pairwise_dtw
    >>> pairwise_dtw([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]])
    array([[0., 8.],
           [8., 0.]])
    """
    return pairwise_soft_dtw(
        X,
        Y,
        gamma=0.0,
        cost=cost,
        sigma=sigma,
        sakoe_chiba_radius=sakoe_chiba_radius,
        itakura_max_slope=itakura_max_slope,
        n_jobs=n_jobs,
        device=device,
    )


def paired_dtw(
    X: Any,
    Y: Any = None,
    *,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    sakoe_chiba_radius: int | float | None = None,
    itakura_max_slope: float | None = None,
    n_jobs: int | None = None,
    device: str | list[str] = "auto",
) -> Array:
    """Dynamic time warping of row i of X with row i of Y.

    Parameters
    ----------
    X, Y : array-like or list, n_samples series each
    cost, sigma, sakoe_chiba_radius, itakura_max_slope, n_jobs, device
        As in `paired_soft_dtw`.

    Returns
    -------
    ndarray of shape (n_samples,)

    Examples
    --------
    >>> from sktime_sdtw import paired_dtw
    >>> paired_dtw([[0.0, 1.0, 2.0]], [[2.0, 1.0, 0.0]])
    array([8.])
    """
    return paired_soft_dtw(
        X,
        Y,
        gamma=0.0,
        cost=cost,
        sigma=sigma,
        sakoe_chiba_radius=sakoe_chiba_radius,
        itakura_max_slope=itakura_max_slope,
        n_jobs=n_jobs,
        device=device,
    )
