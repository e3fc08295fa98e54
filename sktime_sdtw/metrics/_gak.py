"""The Global Alignment Kernel, as Soft-DTW at temperature 1, and the median heuristic for its bandwidth."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._series import Array, check_series, to_float_array
from . import _on_gpu
from ._divergence import pairwise_soft_dtw_divergence, soft_dtw_divergence
from ._numbers import check_count
from ._on_gpu import on_gpu
from ._soft_dtw import pairwise_soft_dtw, soft_dtw


def gak(
    x: Any,
    y: Any,
    *,
    sigma: float = 1.0,
    normalize: bool = True,
    sakoe_chiba_radius: int | float | None = None,
    itakura_max_slope: float | None = None,
    device: str | list[str] = "auto",
) -> float:
    r"""Global Alignment Kernel of two time series.

    Parameters
    ----------
    x, y : array-like of shape (n_timestamps,) or (n_timestamps, n_features)
    sigma : float, default=1.0
        Bandwidth, > 0; see `median_heuristic_sigma`.
    normalize : bool, default=True
        Divide by ``sqrt(k(x, x) k(y, y))``, in logarithms. Without it the kernel leaves the range of floating
        point for long series (about 400 time steps in float64): work with its logarithm then, ``-soft_dtw(x,
        y, gamma=1, cost="gak", sigma=sigma)``.
    sakoe_chiba_radius, itakura_max_slope, device
        As in `soft_dtw`. Positive definiteness is proven without a constraint.

    Returns
    -------
    float
        Exactly 1 for equal series where normalised.

    Notes
    -----
    .. math:: k(x, y) = \sum_\pi \prod_{(i, j) \in \pi} \kappa_{ij}, \quad \kappa = \frac{g}{2 - g}, \quad
        g = e^{-\lVert x_i - y_j \rVert^2 / (2 \sigma^2)}

    References
    ----------
    M. Cuturi. Fast global alignment kernels. ICML 2011.

    Examples
    --------
    >>> from sktime_sdtw import gak
    >>> gak([0.0, 1.0, 2.0], [0.0, 1.0, 2.0])
    1.0
    >>> round(gak([0.0, 1.0, 2.0], [0.0, 2.0]), 3)
    0.531
    """
    if on_gpu(x, y):
        return _on_gpu.kernel(
            *("soft_dtw_divergence" if normalize else "soft_dtw", x, y),
            single=True,
            sigma=sigma,
            sakoe_chiba_radius=sakoe_chiba_radius,
            itakura_max_slope=itakura_max_slope,
            device=device,
        )
    function = soft_dtw_divergence if normalize else soft_dtw
    value = function(
        x,
        y,
        gamma=1.0,
        cost="gak",
        sigma=sigma,
        sakoe_chiba_radius=sakoe_chiba_radius,
        itakura_max_slope=itakura_max_slope,
        device=device,
    )
    return float(np.exp(-value))


def pairwise_gak(
    X: Any,
    Y: Any = None,
    *,
    sigma: Any = 1.0,
    normalize: bool = True,
    sakoe_chiba_radius: int | float | None = None,
    itakura_max_slope: float | None = None,
    n_jobs: int | None = None,
    device: str | list[str] = "auto",
) -> Array:
    """Global Alignment Kernel of all pairs of series.

    Parameters
    ----------
    X, Y : array-like or list
        As in `pairwise_soft_dtw`.
    sigma : float or array-like of shape (n_sigmas,), default=1.0
    normalize : bool, default=True
        As in `gak`.
    sakoe_chiba_radius, itakura_max_slope, n_jobs, device
        As in `pairwise_soft_dtw`.

    Returns
    -------
    ndarray of shape (n, m), or (n_sigmas, n, m) for an array of sigmas
        With ``Y=None`` and ``normalize=True`` the diagonal is exactly 1.

    Examples
    --------
    >>> from sktime_sdtw import pairwise_gak
    >>> pairwise_gak([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]).round(3)
    array([[1.   , 0.006],
           [0.006, 1.   ]])
    """
    if on_gpu(X, Y):
        return _on_gpu.kernel(
            *("cdist_soft_dtw_divergence" if normalize else "cdist_soft_dtw", X, Y),
            sigma=sigma,
            sakoe_chiba_radius=sakoe_chiba_radius,
            itakura_max_slope=itakura_max_slope,
            device=device,
        )
    function = pairwise_soft_dtw_divergence if normalize else pairwise_soft_dtw

    def kernel(sigma: float) -> Array:
        values = function(
            X,
            Y,
            gamma=1.0,
            cost="gak",
            sigma=sigma,
            sakoe_chiba_radius=sakoe_chiba_radius,
            itakura_max_slope=itakura_max_slope,
            n_jobs=n_jobs,
            device=device,
        )
        np.negative(values, out=values)
        return np.exp(values, out=values)

    if np.ndim(sigma) == 0:
        return kernel(sigma)
    sigmas = to_float_array(sigma, "sigma")
    if sigmas.ndim != 1 or sigmas.size == 0:
        raise ValueError(f"sigma must be a number or a 1-D array, not empty. Got shape {sigmas.shape}.")
    return np.stack([kernel(float(value)) for value in sigmas])


def median_heuristic_sigma(X: Any, *, n_samples: int = 100, random_state: Any = None) -> float:
    """Bandwidth for the Global Alignment Kernel from the data.

    The median Euclidean distance between time steps drawn from all series, times the square root of the
    longest length.

    Parameters
    ----------
    X : array-like or list
        As in `pairwise_soft_dtw`.
    n_samples : int, default=100
        Number of time steps to draw; all are taken where there are not more.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    float
        > 0: where half of the time steps are equal the mean distance takes the place of the median, and 1
        where all are.

    References
    ----------
    M. Cuturi. Fast global alignment kernels. ICML 2011.

    Examples
    --------
    >>> from sktime_sdtw import median_heuristic_sigma
    >>> median_heuristic_sigma([[0.0, 1.0, 2.0, 3.0]], random_state=0)
    3.0
    """
    n_samples = check_count(n_samples, "n_samples", 2)
    # Here, as they take a second to import and none of the distances needs them.
    from scipy.spatial.distance import pdist
    from sklearn.utils.random import sample_without_replacement

    batch = check_series(X)
    total = len(batch.values)
    rows = sample_without_replacement(total, min(n_samples, total), random_state=random_state)
    distances = pdist(batch.values[rows].astype(np.float64)) if total > 1 else np.zeros(1)
    scale = float(np.median(distances)) or float(np.mean(distances)) or 1.0
    return scale * float(np.sqrt(batch.max_length))


def median_heuristic_gamma(X: Any, *, n_samples: int = 100, random_state: Any = None) -> float:
    """Temperature for Soft-DTW from the data: ``2 * median_heuristic_sigma(X) ** 2``.

    Parameters
    ----------
    X, n_samples, random_state
        As in `median_heuristic_sigma`.

    Returns
    -------
    float
        > 0.

    Examples
    --------
    >>> from sktime_sdtw import median_heuristic_gamma
    >>> round(median_heuristic_gamma([[0.0, 1.0, 2.0, 3.0]], random_state=0), 6)
    18.0
    """
    return 2.0 * median_heuristic_sigma(X, n_samples=n_samples, random_state=random_state) ** 2
