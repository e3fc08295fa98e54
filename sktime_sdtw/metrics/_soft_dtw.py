"""Soft-DTW: values, expected alignments and gradients, of one pair, of rows, of all pairs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

from .. import _engine
from .._series import Array, to_float_array
from . import _batch, _on_gpu
from ._arguments import check_gamma, check_gammas, read_pair, read_paired, read_pairwise, shaped_like
from ._constraints import resolve_band
from ._costs import ResolvedCost, resolve_cost
from ._on_gpu import on_gpu

__all__ = [
    "PairedGradient",
    "SoftDTWGradient",
    "paired_soft_dtw",
    "paired_soft_dtw_gradient",
    "pairwise_soft_dtw",
    "soft_dtw",
    "soft_dtw_alignment",
    "soft_dtw_gradient",
]


class SoftDTWGradient(NamedTuple):
    """Value of Soft-DTW and its derivatives; x and y have the shapes of the inputs."""

    value: float
    x: Array
    y: Array | None
    gamma: float


class PairedGradient(NamedTuple):
    """Values of Soft-DTW and their derivatives, one per pair; None where not asked for."""

    value: Array
    x: Array | list[Array] | None
    y: Array | list[Array] | None
    gamma: Array | None


def soft_dtw(
    x: Any,
    y: Any = None,
    *,
    gamma: float = 1.0,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    sakoe_chiba_radius: int | float | None = None,
    itakura_max_slope: float | None = None,
    device: str | list[str] = "auto",
) -> float:
    r"""Soft-DTW of two time series.

    Parameters
    ----------
    x : array-like of shape (n_timestamps,) or (n_timestamps, n_features)
        float32 is computed in float32, everything else in float64. With ``cost="precomputed"`` the matrix of
        local costs, (n, m).
    y : array-like of shape (m_timestamps,) or (m_timestamps, n_features)
        Of any length. None with ``cost="precomputed"``.
    gamma : float, default=1.0
        Temperature, >= 0. 0 is exact DTW: the smallest sum of local costs, without a square root.
    cost : str or callable, default="sqeuclidean"
        Local cost of two time steps: "sqeuclidean", "euclidean", "manhattan", "cosine", "gak" or
        "precomputed". "gak" is the cost of the Global Alignment Kernel,
        :math:`u + \log(2 - e^{-u})` with :math:`u = \lVert x_i - y_j \rVert^2 / (2 \sigma^2)`. A callable
        gets x (n, d) and y (m, d) and returns the costs (n, m).
    sigma : float, default=1.0
        Bandwidth of "gak".
    sakoe_chiba_radius : int or float, default=None
        Half-width of the band around the diagonal: an int counts cells, a float in (0, 1] is a fraction of
        the longer series, rounded down. With lengths n and m, cells with ``min(0, m - n) - r <= j - i <=
        max(0, m - n) + r`` take part.
    itakura_max_slope : float, default=None
        Largest slope of the Itakura parallelogram, >= 1.
    device : {"auto", "cpu", "cuda", "cuda:<i>", "cuda:all"} or list, default="auto"
        "auto" takes a GPU where one can be used and there is enough to do. "cuda:all", or a list of GPUs,
        shares the pairs among several.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        Input that is not a finite real series, an argument outside its range, or a constraint that leaves no
        path.

    See Also
    --------
    soft_dtw_divergence : Zero for equal series.
    pairwise_soft_dtw : All pairs of many series.

    Notes
    -----
    The value is signed, and ``soft_dtw(x, x)`` is not 0: averaging over all paths lowers the smallest cost by
    up to :math:`\gamma \log` of their number, about :math:`1.76 \gamma n`. Use `soft_dtw_divergence` where
    that matters.

    .. math:: R_{ij} = D_{ij} - \gamma \log\big(e^{-R_{i-1,j}/\gamma} + e^{-R_{i,j-1}/\gamma}
        + e^{-R_{i-1,j-1}/\gamma}\big)

    Time grows with n m cells; memory with n + m.

    References
    ----------
    M. Cuturi, M. Blondel. Soft-DTW: a differentiable loss function for time-series. ICML 2017.
    arXiv:1703.01541.

    Examples
    --------
    >>> from sktime_sdtw import soft_dtw
    >>> soft_dtw([0.0, 1.0, 2.0], [0.0, 2.0], gamma=0)
    1.0
    >>> round(soft_dtw([0.0, 1.0, 2.0], [0.0, 2.0], gamma=1.0), 3)
    0.123
    """
    if on_gpu(x, y):
        return _on_gpu.values(
            *("soft_dtw", x, y),
            single=True,
            gamma=gamma,
            cost=cost,
            sigma=sigma,
            sakoe_chiba_radius=sakoe_chiba_radius,
            itakura_max_slope=itakura_max_slope,
            device=device,
        )
    resolved = resolve_cost(cost, sigma)
    band = resolve_band(sakoe_chiba_radius, itakura_max_slope)
    gammas = np.array([check_gamma(gamma)])
    return float(
        _batch.paired(read_pair(x, y, resolved), gammas=gammas, cost=resolved, band=band, device=device)[0, 0]
    )


def soft_dtw_alignment(
    x: Any,
    y: Any = None,
    *,
    gamma: float = 1.0,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    sakoe_chiba_radius: int | float | None = None,
    itakura_max_slope: float | None = None,
    device: str | list[str] = "auto",
) -> tuple[float, Array]:
    """Soft-DTW of two time series and their expected alignment.

    Parameters
    ----------
    x, y : array-like of shape (n_timestamps,) or (n_timestamps, n_features)
    gamma, cost, sigma, sakoe_chiba_radius, itakura_max_slope, device
        As in `soft_dtw`. With ``gamma=0`` the alignment is the optimal path.

    Returns
    -------
    value : float
    alignment : ndarray of shape (n, m)
        Probability, in [0, 1], that a path drawn with weight exp(-cost / gamma) passes each cell. It is the
        derivative of the value with respect to the matrix of local costs.

    Examples
    --------
    >>> from sktime_sdtw import soft_dtw_alignment
    >>> value, alignment = soft_dtw_alignment([0.0, 1.0, 2.0], [0.0, 2.0], gamma=1.0)
    >>> alignment.round(2)
    array([[1.  , 0.01],
           [0.58, 0.58],
           [0.01, 1.  ]])
    """
    if on_gpu(x, y):
        return _on_gpu.alignment(
            *(x, y),
            gamma=gamma,
            cost=cost,
            sigma=sigma,
            sakoe_chiba_radius=sakoe_chiba_radius,
            itakura_max_slope=itakura_max_slope,
            device=device,
        )
    resolved = resolve_cost(cost, sigma)
    band = resolve_band(sakoe_chiba_radius, itakura_max_slope)
    gamma = check_gamma(gamma)
    pairs = read_pair(x, y, resolved)
    ((_, prepared),) = _batch.prepared_chunks(pairs, resolved)
    result = _engine.gradient(prepared, {"value", "alignment"}, resolved, band, gamma, device=device)
    shape = (int(pairs.x.lengths[0]), int(pairs.y.lengths[0]))
    return float(result["value"][0]), result["alignment"].reshape(shape).astype(
        _batch.dtype_of(pairs), copy=False
    )


def soft_dtw_gradient(
    x: Any,
    y: Any = None,
    *,
    gamma: float = 1.0,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    sakoe_chiba_radius: int | float | None = None,
    itakura_max_slope: float | None = None,
    device: str | list[str] = "auto",
) -> SoftDTWGradient:
    """Soft-DTW of two time series and its derivatives with respect to both of them and to gamma.

    Parameters
    ----------
    x, y : array-like of shape (n_timestamps,) or (n_timestamps, n_features)
    gamma, cost, sigma, sakoe_chiba_radius, itakura_max_slope, device
        As in `soft_dtw`; not a callable cost (its own derivative is unknown: use `soft_dtw_alignment` and the
        chain rule).

    Returns
    -------
    SoftDTWGradient
        Named tuple ``(value, x, y, gamma)``. The derivatives for x and y have the shapes of x and y. With
        ``cost="precomputed"`` x is the derivative with respect to the matrix and y is None.

    Notes
    -----
    The derivative with respect to gamma is minus the entropy of the distribution over paths, computed in
    float64. At ``gamma=0`` the derivatives are those along one optimal path, and 0 for gamma. Where the
    Euclidean or Manhattan cost has a kink, at equal values, its slope is taken as 0.

    Examples
    --------
    >>> from sktime_sdtw import soft_dtw_gradient
    >>> gradient = soft_dtw_gradient([0.5, 1.0, 2.0], [0.0, 3.0], gamma=1.0)
    >>> gradient.x.round(3)
    array([ 1.   ,  1.657, -1.933])
    """
    resolved = _differentiable(cost, sigma)
    if on_gpu(x, y):
        found_there = _on_gpu.gradient(
            *(x, y),
            wrt=("x", "y", "gamma"),
            single=True,
            gamma=gamma,
            cost=cost,
            sigma=sigma,
            sakoe_chiba_radius=sakoe_chiba_radius,
            itakura_max_slope=itakura_max_slope,
            device=device,
        )
        return SoftDTWGradient(*found_there)
    band = resolve_band(sakoe_chiba_radius, itakura_max_slope)
    gamma = check_gamma(gamma)
    pairs = read_pair(x, y, resolved)
    found = _batch.gradient(
        pairs, gamma=gamma, cost=resolved, band=band, wrt=("x", "y", "gamma"), device=device
    )
    matrices = pairs.costs is not None
    x_offsets = pairs.cost_offsets if matrices else pairs.x.offsets
    return SoftDTWGradient(
        float(found.value[0]),
        shaped_like(to_float_array(x, "x")[None], found.x, x_offsets)[0],
        None if matrices else shaped_like(to_float_array(y, "y")[None], found.y, pairs.y.offsets)[0],
        float(np.asarray(found.gamma)[0]),
    )


def pairwise_soft_dtw(
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
    """Soft-DTW of all pairs of series.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
        A 2-D array holds univariate series. A list holds arrays (n_timestamps,) or (n_timestamps, n_features)
        of any lengths. Time steps of NaN at the end of a series are padding. Arrays on a GPU (torch, or
        anything that speaks DLPack) stay there; they need torch, and must not be padded with NaN.
    Y : the same, default=None
        None takes X with itself and computes half of the symmetric matrix.
    gamma : float or array-like of shape (n_gammas,), default=1.0
        Several temperatures share one pass over the local costs.
    cost : {"sqeuclidean", "euclidean", "manhattan", "cosine", "gak"} or callable, default="sqeuclidean"
        As in `soft_dtw`. A callable is called once per pair; with ``Y=None`` it must be symmetric.
    sigma, sakoe_chiba_radius, itakura_max_slope
        As in `soft_dtw`.
    n_jobs : int, default=None
        Number of threads: None is 1 (or what ``joblib.parallel_config`` says), -1 all. Results do not depend
        on it.
    device : {"auto", "cpu", "cuda", "cuda:<i>", "cuda:all"} or list, default="auto"
        "auto" takes a GPU where one can be used and there is enough to do. "cuda:all", or a list of GPUs,
        shares the pairs among several.

    Returns
    -------
    ndarray of shape (n, m), or (n_gammas, n, m) for an array of gammas
        float32 where both inputs are, else float64. For arrays on a GPU the same kind of array, there.

    Notes
    -----
    The diagonal for ``Y=None`` is not 0, and values can be negative: see `soft_dtw`. Each value depends on
    its two series only, not on the rest of the batch.

    Examples
    --------
    >>> from sktime_sdtw import pairwise_soft_dtw
    >>> X = [[0.0, 1.0, 2.0], [0.0, 2.0], [2.0, 1.0, 0.0]]
    >>> pairwise_soft_dtw(X, gamma=0)
    array([[0., 1., 8.],
           [1., 0., 9.],
           [8., 9., 0.]])
    """
    if on_gpu(X, Y):
        return _on_gpu.values(
            *("cdist_soft_dtw", X, Y),
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
    return np.asarray(values[0]) if single else values


def paired_soft_dtw(
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
    """Soft-DTW of row i of X with row i of Y.

    Parameters
    ----------
    X, Y : array-like or list, n_samples series each
        As in `pairwise_soft_dtw`. With ``cost="precomputed"`` X is a list of cost matrices and Y is None.
    gamma, cost, sigma, sakoe_chiba_radius, itakura_max_slope, n_jobs, device
        As in `pairwise_soft_dtw`.

    Returns
    -------
    ndarray of shape (n_samples,), or (n_gammas, n_samples) for an array of gammas

    Examples
    --------
    >>> from sktime_sdtw import paired_soft_dtw
    >>> paired_soft_dtw([[0.0, 1.0], [2.0, 3.0]], [[0.0, 2.0], [2.0, 2.0]], gamma=0)
    array([1., 1.])
    """
    if on_gpu(X, Y):
        return _on_gpu.values(
            *("soft_dtw", X, Y),
            gamma=gamma,
            cost=cost,
            sigma=sigma,
            sakoe_chiba_radius=sakoe_chiba_radius,
            itakura_max_slope=itakura_max_slope,
            device=device,
        )
    resolved = resolve_cost(cost, sigma)
    band = resolve_band(sakoe_chiba_radius, itakura_max_slope)
    gammas, single = check_gammas(gamma)
    pairs = read_paired(X, Y, resolved)
    values = _batch.paired(pairs, gammas=gammas, cost=resolved, band=band, n_jobs=n_jobs, device=device)
    return np.asarray(values[0]) if single else values


def paired_soft_dtw_gradient(
    X: Any,
    Y: Any = None,
    *,
    gamma: float = 1.0,
    wrt: Collection[str] = ("x",),
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    sakoe_chiba_radius: int | float | None = None,
    itakura_max_slope: float | None = None,
    n_jobs: int | None = None,
    device: str | list[str] = "auto",
) -> PairedGradient:
    """Soft-DTW of row i of X with row i of Y, and derivatives.

    Parameters
    ----------
    X, Y : array-like or list, n_samples series each
        As in `paired_soft_dtw`.
    gamma : float, default=1.0
    wrt : collection of {"x", "y", "gamma"}, default=("x",)
        What to differentiate with respect to.
    cost, sigma, sakoe_chiba_radius, itakura_max_slope, n_jobs, device
        As in `paired_soft_dtw`; not a callable cost.

    Returns
    -------
    PairedGradient
        Named tuple ``(value, x, y, gamma)``: values (n_samples,), derivatives for x and y shaped as X and Y
        (one array where all series have one shape, else a list; 0 at padding), derivatives for gamma
        (n_samples,). None for what `wrt` does not name.

    Examples
    --------
    >>> from sktime_sdtw import paired_soft_dtw_gradient
    >>> paired_soft_dtw_gradient([[0.0, 1.0]], [[0.0, 2.0]], gamma=0).x
    array([[ 0., -2.]])
    """
    resolved = _differentiable(cost, sigma)
    names = _check_wrt(wrt)
    if on_gpu(X, Y):
        found_there = _on_gpu.gradient(
            *(X, Y),
            wrt=names,
            gamma=gamma,
            cost=cost,
            sigma=sigma,
            sakoe_chiba_radius=sakoe_chiba_radius,
            itakura_max_slope=itakura_max_slope,
            device=device,
        )
        return PairedGradient(*found_there)
    band = resolve_band(sakoe_chiba_radius, itakura_max_slope)
    gamma = check_gamma(gamma)
    pairs = read_paired(X, Y, resolved)
    found = _batch.gradient(
        pairs, gamma=gamma, cost=resolved, band=band, wrt=names, n_jobs=n_jobs, device=device
    )
    x_offsets = pairs.x.offsets if pairs.costs is None else pairs.cost_offsets
    return PairedGradient(
        found.value,
        shaped_like(X, found.x, x_offsets),
        shaped_like(Y, found.y, pairs.y.offsets),
        found.gamma,
    )


def _differentiable(cost: Any, sigma: Any) -> ResolvedCost:
    resolved = resolve_cost(cost, sigma)
    if resolved.name == "callable":
        raise ValueError(
            "cost must be named for derivatives: that of a callable is unknown. Use soft_dtw_alignment, the "
            "derivative with respect to the local costs, and the chain rule."
        )
    return resolved


def _check_wrt(wrt: Any) -> set[str]:
    names = {wrt} if isinstance(wrt, str) else set(wrt)
    if not names <= {"x", "y", "gamma"}:
        raise ValueError(f"wrt must be a collection of 'x', 'y' and 'gamma'. Got {wrt!r}.")
    return names
