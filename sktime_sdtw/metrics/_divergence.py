"""Divergences: alignment costs less half the cost of each series with itself, so that D(x, x) = 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._engine import Pairs
from .._series import Array, SeriesBatch
from . import _batch, _on_gpu
from ._arguments import check_gamma, check_gammas, read_pair, read_paired, read_pairwise
from ._constraints import resolve_band
from ._costs import resolve_cost
from ._on_gpu import on_gpu


def soft_dtw_divergence(
    x: Any,
    y: Any,
    *,
    gamma: float = 1.0,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    sakoe_chiba_radius: int | float | None = None,
    itakura_max_slope: float | None = None,
    device: str | list[str] = "auto",
) -> float:
    r"""Soft-DTW divergence of two time series: soft_dtw(x, y) - soft_dtw(x, x) / 2 - soft_dtw(y, y) / 2.

    Parameters
    ----------
    x, y : array-like of shape (n_timestamps,) or (n_timestamps, n_features)
    gamma, cost, sigma, sakoe_chiba_radius, itakura_max_slope, device
        As in `soft_dtw`; not ``cost="precomputed"``.

    Returns
    -------
    float
        Exactly 0 for equal series. Can be negative, see Notes.

    Notes
    -----
    That the divergence is never negative is proven, without a constraint, for ``cost="gak"`` with ``gamma=1``
    (the log-augmented squared Euclidean cost, whose bandwidth is sigma) and for univariate series with
    ``cost="manhattan"`` and any gamma. In both, :math:`\kappa = e^{-D/\gamma}` makes :math:`\kappa / (1 +
    \kappa)` positive definite, hence the sum over all paths a positive definite kernel, to which
    Cauchy-Schwarz applies. For the squared Euclidean cost it was conjectured, and does not hold, as the last
    example shows: two similar series may have more good alignments with each other than with themselves. That
    is rare, and the value is then close to zero.

    References
    ----------
    M. Blondel, A. Mensch, J.-P. Vert. Differentiable divergences between time series. AISTATS 2021.
    arXiv:2010.08354.

    Examples
    --------
    >>> from sktime_sdtw import soft_dtw_divergence
    >>> soft_dtw_divergence([0.0, 1.0, 2.0], [0.0, 1.0, 2.0])
    0.0
    >>> round(soft_dtw_divergence([0.0, 1.0, 2.0], [0.0, 2.0]), 3)
    0.736
    >>> x = [0.17, 0.02, 0.12, -1.17, -2.29, -1.69, -2.17, -1.85]
    >>> y = [0.21, -0.14, 0.42, -0.68, -1.96, -1.9, -2.07, -1.87]
    >>> round(soft_dtw_divergence(x, y), 4), round(soft_dtw_divergence(x, y, cost="gak"), 4)
    (-0.0229, 0.0858)
    """
    if on_gpu(x, y):
        return _on_gpu.values(
            *("soft_dtw_divergence", x, y),
            single=True,
            gamma=gamma,
            cost=cost,
            sigma=sigma,
            sakoe_chiba_radius=sakoe_chiba_radius,
            itakura_max_slope=itakura_max_slope,
            device=device,
        )
    resolved = resolve_cost(cost, sigma, precomputed=False)
    band = resolve_band(sakoe_chiba_radius, itakura_max_slope)
    gammas = np.array([check_gamma(gamma)])
    pairs = read_pair(x, y, resolved)

    def value(pairs: Pairs) -> float:
        return float(_batch.paired(pairs, gammas=gammas, cost=resolved, band=band, device=device)[0, 0])

    return _single(value, pairs)


def sharp_soft_dtw_divergence(
    x: Any,
    y: Any,
    *,
    gamma: float = 1.0,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    sakoe_chiba_radius: int | float | None = None,
    itakura_max_slope: float | None = None,
    device: str | list[str] = "auto",
) -> float:
    """Sharp divergence of two time series: the expected cost <E, D> takes the place of Soft-DTW.

    Parameters
    ----------
    x, y : array-like of shape (n_timestamps,) or (n_timestamps, n_features)
    gamma, cost, sigma, sakoe_chiba_radius, itakura_max_slope, device
        As in `soft_dtw_divergence`.

    Returns
    -------
    float
        Exactly 0 for equal series; can be negative.

    References
    ----------
    M. Blondel, A. Mensch, J.-P. Vert. Differentiable divergences between time series. AISTATS 2021.
    arXiv:2010.08354.

    Examples
    --------
    >>> from sktime_sdtw import sharp_soft_dtw_divergence
    >>> round(sharp_soft_dtw_divergence([0.0, 1.0, 2.0], [0.0, 2.0]), 3)
    0.668
    """
    return _expected_divergence(
        x, y, check_gamma(gamma), cost, sigma, sakoe_chiba_radius, itakura_max_slope, device
    )


def mean_cost_divergence(
    x: Any,
    y: Any,
    *,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    sakoe_chiba_radius: int | float | None = None,
    itakura_max_slope: float | None = None,
    device: str | list[str] = "auto",
) -> float:
    """Mean-cost divergence of two time series: the mean cost over all paths takes the place of Soft-DTW.

    It is the limit of `sharp_soft_dtw_divergence` for gamma to infinity, at any length of the series.

    Parameters
    ----------
    x, y : array-like of shape (n_timestamps,) or (n_timestamps, n_features)
    cost, sigma, sakoe_chiba_radius, itakura_max_slope, device
        As in `soft_dtw_divergence`.

    Returns
    -------
    float
        Exactly 0 for equal series; can be negative.

    References
    ----------
    M. Blondel, A. Mensch, J.-P. Vert. Differentiable divergences between time series. AISTATS 2021.
    arXiv:2010.08354.

    Examples
    --------
    >>> from sktime_sdtw import mean_cost_divergence
    >>> round(mean_cost_divergence([0.0, 1.0, 2.0], [0.0, 2.0]), 3)
    0.39
    """
    return _expected_divergence(x, y, np.inf, cost, sigma, sakoe_chiba_radius, itakura_max_slope, device)


def pairwise_soft_dtw_divergence(
    X: Any,
    Y: Any = None,
    *,
    gamma: Any = 1.0,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    sakoe_chiba_radius: int | float | None = None,
    itakura_max_slope: float | None = None,
    n_jobs: int | None = None,
    device: str | list[str] = "auto",
) -> Array:
    """Soft-DTW divergence of all pairs of series; the series with themselves are computed once each.

    Parameters
    ----------
    X, Y : array-like or list
    gamma, cost, sigma, sakoe_chiba_radius, itakura_max_slope, n_jobs, device
        As in `pairwise_soft_dtw`; see `soft_dtw_divergence` for the costs that are proven not to give
        negative values.

    Returns
    -------
    ndarray of shape (n, m), or (n_gammas, n, m) for an array of gammas
        With ``Y=None`` symmetric, with a diagonal of exact zeros.

    Examples
    --------
    >>> from sktime_sdtw import pairwise_soft_dtw_divergence
    >>> pairwise_soft_dtw_divergence([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]).round(3)
    array([[0.   , 7.922],
           [7.922, 0.   ]])
    """
    if on_gpu(X, Y):
        return _on_gpu.values(
            *("cdist_soft_dtw_divergence", X, Y),
            gamma=gamma,
            cost=cost,
            sigma=sigma,
            sakoe_chiba_radius=sakoe_chiba_radius,
            itakura_max_slope=itakura_max_slope,
            device=device,
        )
    resolved = resolve_cost(cost, sigma, precomputed=False)
    band = resolve_band(sakoe_chiba_radius, itakura_max_slope)
    gammas, single = check_gammas(gamma)
    x, y = read_pairwise(X, Y)
    values = _batch.pairwise(x, y, gammas=gammas, cost=resolved, band=band, n_jobs=n_jobs, device=device)

    def self_terms(series: SeriesBatch) -> Array:
        pairs = Pairs(series, series)
        return _batch.paired(pairs, gammas=gammas, cost=resolved, band=band, n_jobs=n_jobs, device=device)

    x_terms = values.diagonal(axis1=1, axis2=2).copy() if y is None else self_terms(x)
    y_terms = x_terms if y is None else self_terms(y)
    for matrix, x_term, y_term in zip(values, x_terms, y_terms, strict=True):
        debias(matrix, x_term, y_term)
    return np.asarray(values[0]) if single else values


def pairwise_sharp_soft_dtw_divergence(
    X: Any,
    Y: Any = None,
    *,
    gamma: float = 1.0,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    sakoe_chiba_radius: int | float | None = None,
    itakura_max_slope: float | None = None,
    n_jobs: int | None = None,
    device: str | list[str] = "auto",
) -> Array:
    """Sharp divergence of all pairs of series.

    Parameters
    ----------
    X, Y : array-like or list
    gamma : float, default=1.0
    cost, sigma, sakoe_chiba_radius, itakura_max_slope, n_jobs, device
        As in `pairwise_soft_dtw`.

    Returns
    -------
    ndarray of shape (n, m)
        With ``Y=None`` symmetric, with a diagonal of exact zeros. See `sharp_soft_dtw_divergence`.

    Examples
    --------
    >>> from sktime_sdtw import pairwise_sharp_soft_dtw_divergence
    >>> pairwise_sharp_soft_dtw_divergence([[0.0, 1.0, 2.0]], [[0.0, 2.0]]).round(3)
    array([[0.668]])
    """
    return _pairwise_expected_divergence(
        X, Y, check_gamma(gamma), cost, sigma, sakoe_chiba_radius, itakura_max_slope, n_jobs, device
    )


def pairwise_mean_cost_divergence(
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
    """Mean-cost divergence of all pairs of series.

    Parameters
    ----------
    X, Y : array-like or list
    cost, sigma, sakoe_chiba_radius, itakura_max_slope, n_jobs, device
        As in `pairwise_soft_dtw`.

    Returns
    -------
    ndarray of shape (n, m)
        With ``Y=None`` symmetric, with a diagonal of exact zeros. See `mean_cost_divergence`.

    Examples
    --------
    >>> from sktime_sdtw import pairwise_mean_cost_divergence
    >>> pairwise_mean_cost_divergence([[0.0, 1.0, 2.0]], [[0.0, 2.0]]).round(3)
    array([[0.39]])
    """
    return _pairwise_expected_divergence(
        X, Y, np.inf, cost, sigma, sakoe_chiba_radius, itakura_max_slope, n_jobs, device
    )


def paired_soft_dtw_divergence(
    X: Any,
    Y: Any,
    *,
    gamma: Any = 1.0,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    sakoe_chiba_radius: int | float | None = None,
    itakura_max_slope: float | None = None,
    n_jobs: int | None = None,
    device: str | list[str] = "auto",
) -> Array:
    """Soft-DTW divergence of row i of X with row i of Y.

    Parameters
    ----------
    X, Y : array-like or list, n_samples series each
    gamma, cost, sigma, sakoe_chiba_radius, itakura_max_slope, n_jobs, device
        As in `pairwise_soft_dtw`.

    Returns
    -------
    ndarray of shape (n_samples,), or (n_gammas, n_samples) for an array of gammas

    Examples
    --------
    >>> from sktime_sdtw import paired_soft_dtw_divergence
    >>> paired_soft_dtw_divergence([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]], [[0.0, 2.0], [1.0, 3.0]]).round(3)
    array([0.736, 0.736])
    """
    if on_gpu(X, Y):
        return _on_gpu.values(
            *("soft_dtw_divergence", X, Y),
            gamma=gamma,
            cost=cost,
            sigma=sigma,
            sakoe_chiba_radius=sakoe_chiba_radius,
            itakura_max_slope=itakura_max_slope,
            device=device,
        )
    resolved = resolve_cost(cost, sigma, precomputed=False)
    band = resolve_band(sakoe_chiba_radius, itakura_max_slope)
    gammas, single = check_gammas(gamma)
    pairs = read_paired(X, Y, resolved)
    values, x_terms, y_terms = (
        _batch.paired(part, gammas=gammas, cost=resolved, band=band, n_jobs=n_jobs, device=device)
        for part in (pairs, Pairs(pairs.x, pairs.x), Pairs(pairs.y, pairs.y))
    )
    values -= 0.5 * (x_terms + y_terms)
    return np.asarray(values[0]) if single else values


def _single(value: Callable[[Pairs], float], pairs: Pairs) -> float:
    own = 0.5 * (value(Pairs(pairs.x, pairs.x)) + value(Pairs(pairs.y, pairs.y)))
    return value(pairs) - own


def _expected_divergence(
    x: Any, y: Any, gamma: float, cost: Any, sigma: Any, radius: Any, slope: Any, device: str | list[str]
) -> float:
    resolved = resolve_cost(cost, sigma, precomputed=False)
    band = resolve_band(radius, slope)

    def value(pairs: Pairs) -> float:
        return float(_batch.expected_cost(pairs, gamma=gamma, cost=resolved, band=band, device=device)[0])

    return _single(value, read_pair(x, y, resolved))


def _pairwise_expected_divergence(
    X: Any,
    Y: Any,
    gamma: float,
    cost: Any,
    sigma: Any,
    radius: Any,
    slope: Any,
    n_jobs: int | None,
    device: str | list[str],
) -> Array:
    resolved = resolve_cost(cost, sigma, precomputed=False)
    band = resolve_band(radius, slope)
    x, y = read_pairwise(X, Y)

    def expected(pairs: Pairs) -> Array:
        return _batch.expected_cost(
            pairs, gamma=gamma, cost=resolved, band=band, n_jobs=n_jobs, device=device
        )

    values = np.empty((len(x), len(x if y is None else y)), x.dtype)
    for rows, columns, pairs in _batch.pair_chunks(x, y):
        values[rows, columns] = expected(pairs)
        if y is None:
            values[columns, rows] = values[rows, columns]
    if y is None:
        own = values.diagonal().copy()
        debias(values, own, own)
    else:
        debias(values, expected(Pairs(x, x)), expected(Pairs(y, y)))
    return values


def debias(matrix: Array, x_terms: Array, y_terms: Array) -> None:
    """In place, row by row: no second matrix is needed. The sum first: symmetry stays exact."""
    for row, x_term in zip(matrix, x_terms, strict=True):
        row -= 0.5 * (x_term + y_terms)
