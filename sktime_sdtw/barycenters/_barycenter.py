"""The function `soft_dtw_barycenter`, and the minimisation behind it and its estimator."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, overload

import numpy as np

from .._estimator import is_flat
from .._series import Array, SeriesBatch, check_series
from ..metrics._arguments import check_gamma
from ..metrics._numbers import check_count, check_number
from ._lbfgs import LBFGS, minimise
from ._objective import Alignment, CentreLoss, Floats
from ._start import check_weights, starting_point


class BarycenterFit(NamedTuple):
    """A barycenter (length, n_features) in the dtype of the series, and how it was found."""

    barycenter: Array
    loss_history: Floats
    n_iter: int


@overload
def soft_dtw_barycenter(
    X: Any,
    *,
    gamma: float = ...,
    weights: Any = ...,
    init: Any = ...,
    length: int | None = ...,
    objective: str = ...,
    cost: str = ...,
    sigma: float = ...,
    sakoe_chiba_radius: int | float | None = ...,
    itakura_max_slope: float | None = ...,
    max_iter: int = ...,
    tol: float = ...,
    return_history: Literal[False] = ...,
    n_jobs: int | None = ...,
    device: str | list[str] = ...,
) -> Array: ...


@overload
def soft_dtw_barycenter(
    X: Any,
    *,
    gamma: float = ...,
    weights: Any = ...,
    init: Any = ...,
    length: int | None = ...,
    objective: str = ...,
    cost: str = ...,
    sigma: float = ...,
    sakoe_chiba_radius: int | float | None = ...,
    itakura_max_slope: float | None = ...,
    max_iter: int = ...,
    tol: float = ...,
    return_history: Literal[True],
    n_jobs: int | None = ...,
    device: str | list[str] = ...,
) -> tuple[Array, Floats]: ...


def soft_dtw_barycenter(
    X: Any,
    *,
    gamma: float = 1.0,
    weights: Any = None,
    init: Any = None,
    length: int | None = None,
    objective: str = "soft_dtw",
    cost: str = "sqeuclidean",
    sigma: float = 1.0,
    sakoe_chiba_radius: int | float | None = None,
    itakura_max_slope: float | None = None,
    max_iter: int = 100,
    tol: float = 1e-6,
    return_history: bool = False,
    n_jobs: int | None = None,
    device: str | list[str] = "auto",
) -> Array | tuple[Array, Floats]:
    """Barycenter of time series: the series Z with the least weighted sum of Soft-DTW to all of them.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
        Series of any lengths.
    gamma : float, default=1.0
        Smoothing, >= 0. The larger, the smoother the objective and its minimum; 0 gives the DTW barycenter,
        whose objective has kinks and many local minima.
    weights : array-like of shape (n_samples,), default=None
        Finite, >= 0, not all 0. None gives every series the weight 1.
    init : None, "medoid" or array-like of shape (length,) or (length, n_features), default=None
        Where to start. None takes the weighted mean after resampling to `length`; "medoid" the series that is
        closest to all others, which costs n_samples² / 2 alignments and helps where shapes are shifted far.
    length : int, default=None
        Number of time steps of the barycenter. None takes that of `init`, or else the weighted mean of the
        lengths.
    objective : {"soft_dtw", "divergence"}, default="soft_dtw"
        What to sum. The barycenter of equal series is the series under "divergence", and a smoothed version
        of it under "soft_dtw".
    cost : {"sqeuclidean", "euclidean", "manhattan", "cosine", "gak"}, default="sqeuclidean"
        Local cost. A callable is not accepted, as it has no gradient.
    sigma : float, default=1.0
        Bandwidth of ``cost="gak"``.
    sakoe_chiba_radius, itakura_max_slope : default=None
        Constraints, as in `pairwise_soft_dtw`.
    max_iter : int, default=100
        Largest number of L-BFGS steps; 0 returns the start.
    tol : float, default=1e-6
        Stop when a step lowers the objective by less than `tol` times its size. As Soft-DTW can be of
        either sign, the size is that of Soft-DTW + gamma log(number of paths), which is never negative.
    return_history : bool, default=False
        Whether to return the value of the objective after each step too.
    n_jobs : int, default=None
        Number of threads.
    device : {"auto", "cpu", "cuda", "cuda:<i>", "cuda:all"} or list, default="auto"
        Where to compute.

    Returns
    -------
    barycenter : ndarray of shape (length, n_features), or (length,) for series without an axis of features
        float32 for float32 series, else float64. The optimiser itself works in float64.
    loss_history : ndarray of shape (n_iter + 1,), float64
        Only if ``return_history=True``. Starts with the objective at the start, and never rises.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and what is accepted.

    See Also
    --------
    SoftDTWBarycenter : The same as an estimator.
    SoftDTWKMeans : Clusters with barycenters as their centres.

    Notes
    -----
    The objective is sum_i w_i sdtw(Z, X_i), or sum_i w_i D(Z, X_i) with the divergence
    D(x, y) = sdtw(x, y) - sdtw(x, x) / 2 - sdtw(y, y) / 2. It is not convex: the result depends on the
    start. Every evaluation is one batched call for the value and the exact gradient, about 4 n_samples
    length n_timestamps cells.

    References
    ----------
    M. Cuturi, M. Blondel. Soft-DTW: a differentiable loss function for time-series. ICML 2017.
    arXiv:1703.01541.

    M. Blondel, A. Mensch, J.-P. Vert. Differentiable divergences between time series. AISTATS 2021.
    arXiv:2010.08354.

    Examples
    --------
    >>> from sktime_sdtw import soft_dtw_barycenter
    >>> X = [[0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0, 0.0]]
    >>> soft_dtw_barycenter(X, gamma=0.01, length=4).round(2)
    array([0., 1., 1., 0.])
    """
    series = check_series(X)
    fit = fit_barycenter(
        series,
        check_weights(weights, len(series)),
        Alignment.resolve(
            gamma=check_gamma(gamma),
            cost=cost,
            sigma=sigma,
            sakoe_chiba_radius=sakoe_chiba_radius,
            itakura_max_slope=itakura_max_slope,
            n_jobs=n_jobs,
            device=device,
        ),
        init=init,
        length=check_count(length, "length", 1) if length is not None else None,
        objective=objective,
        max_iter=check_count(max_iter, "max_iter", 0),
        tol=check_number(tol, "tol", 0),
    )
    barycenter = fit.barycenter[:, 0] if fit.barycenter.shape[1] == 1 and is_flat(X) else fit.barycenter
    return (barycenter, fit.loss_history) if return_history else barycenter


def fit_barycenter(
    series: SeriesBatch,
    weights: Floats,
    alignment: Alignment,
    *,
    init: Any,
    length: int | None,
    objective: str,
    max_iter: int,
    tol: float,
) -> BarycenterFit:
    """Minimise, from checked arguments."""
    if objective not in ("soft_dtw", "divergence"):
        raise ValueError(f"objective must be 'soft_dtw' or 'divergence'. Got {objective!r}.")
    start = starting_point(series, weights, init, length, alignment)
    loss = CentreLoss(series, weights, alignment, len(start), is_divergence=objective == "divergence")
    problem = LBFGS(start.ravel(), tol=tol)
    history: list[float] = []
    minimise([problem], loss.evaluate, max_iter=max_iter, on_step=lambda _: history.append(problem.value))
    barycenter = problem.point.reshape(start.shape).astype(series.dtype)
    return BarycenterFit(barycenter, np.array(history), problem.n_iter)
