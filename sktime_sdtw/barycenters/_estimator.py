"""The barycenter as an estimator: `SoftDTWBarycenter`."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.base import ClassNamePrefixFeaturesOutMixin
from sklearn.utils.validation import check_is_fitted

from .._estimator import (
    COMMON_CONSTRAINTS,
    GAMMA,
    Interval,
    SeriesEstimator,
    SeriesTransformerMixin,
    StrOptions,
    fit_context,
)
from .._series import Array
from ._barycenter import fit_barycenter
from ._objective import Alignment, distances
from ._start import check_weights


class SoftDTWBarycenter(ClassNamePrefixFeaturesOutMixin, SeriesTransformerMixin, SeriesEstimator):
    """Barycenter of time series under Soft-DTW, as an estimator.

    `fit` finds the barycenter, `transform` tells how far series are from it.

    Parameters
    ----------
    gamma : float, default=1.0
        Smoothing, >= 0. The larger, the smoother the objective and its minimum; 0 gives the DTW barycenter.
    init : None, "medoid" or array-like of shape (length,) or (length, n_features), default=None
        Where to start. None takes the weighted mean after resampling to `length`; "medoid" the series that is
        closest to all others.
    length : int, default=None
        Number of time steps of the barycenter. None takes that of `init`, or else the weighted mean of the
        lengths.
    objective : {"soft_dtw", "divergence"}, default="soft_dtw"
        What to sum. The barycenter of equal series is the series under "divergence", and a smoothed version
        of it under "soft_dtw".
    cost : {"sqeuclidean", "euclidean", "manhattan", "cosine", "gak"}, default="sqeuclidean"
        Local cost.
    sigma : float, default=1.0
        Bandwidth of ``cost="gak"``.
    sakoe_chiba_radius, itakura_max_slope : default=None
        Constraints, as in `pairwise_soft_dtw`.
    max_iter : int, default=100
        Largest number of L-BFGS steps; 0 keeps the start.
    tol : float, default=1e-6
        Stop when a step lowers the objective by less than `tol` times its size, as in `soft_dtw_barycenter`.
    n_jobs : int, default=None
        Number of threads.
    device : {"auto", "cpu", "cuda", "cuda:<i>", "cuda:all"} or list, default="auto"
        Where to compute.

    Attributes
    ----------
    barycenter_ : ndarray of shape (length, n_features), or (length,)
        1-D if fitted on a 2-D array or on series without an axis of features. float32 for float32 series.
    loss_history_ : ndarray of shape (n_iter + 1,)
        The objective at the start and after each step.
    n_iter_ : int
        Number of steps; `max_iter` if that ended the search.
    n_features_in_ : int
        Number of columns of a table, else number of features per time step.

    See Also
    --------
    soft_dtw_barycenter : The same as a function.
    SoftDTWKMeans : Several barycenters, each of a cluster.

    References
    ----------
    M. Cuturi, M. Blondel. Soft-DTW: a differentiable loss function for time-series. ICML 2017.
    arXiv:1703.01541.

    Examples
    --------
    >>> from sktime_sdtw import SoftDTWBarycenter
    >>> X = [[0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    >>> average = SoftDTWBarycenter(gamma=0.01).fit(X)
    >>> average.barycenter_.shape
    (4,)
    >>> bool(average.loss_history_[-1] < average.loss_history_[0])
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **COMMON_CONSTRAINTS,
        "cost": COMMON_CONSTRAINTS["cost"][:1],  # names only: a callable gives no gradient
        "gamma": GAMMA,
        "init": [None, StrOptions({"medoid"}), "array-like"],
        "length": [None, Interval(Integral, 1, None, closed="left")],
        "objective": [StrOptions({"soft_dtw", "divergence"})],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        gamma: float = 1.0,
        *,
        init: Any = None,
        length: int | None = None,
        objective: str = "soft_dtw",
        cost: str = "sqeuclidean",
        sigma: float = 1.0,
        sakoe_chiba_radius: int | float | None = None,
        itakura_max_slope: float | None = None,
        max_iter: int = 100,
        tol: float = 1e-6,
        n_jobs: int | None = None,
        device: str | list[str] = "auto",
    ) -> None:
        self.gamma = gamma
        self.init = init
        self.length = length
        self.objective = objective
        self.cost = cost
        self.sigma = sigma
        self.sakoe_chiba_radius = sakoe_chiba_radius
        self.itakura_max_slope = itakura_max_slope
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs
        self.device = device

    @fit_context
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> SoftDTWBarycenter:
        """Find the barycenter.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Series of any lengths.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Finite, >= 0, not all 0.

        Returns
        -------
        self : SoftDTWBarycenter
        """
        series = self._check_series(X, reset=True)
        fit = fit_barycenter(
            series,
            check_weights(sample_weight, len(series), name="sample_weight"),
            Alignment.resolve(gamma=self.gamma, **self._operator_params()),
            init=self.init,
            length=self.length,
            objective=self.objective,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        flat = self._flat_in and series.n_features == 1
        self.barycenter_ = fit.barycenter[:, 0] if flat else fit.barycenter
        self.loss_history_ = fit.loss_history
        self.n_iter_ = fit.n_iter
        return self

    def transform(self, X: Any) -> Array:
        """Distance of series from the barycenter, by `objective`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Series of any lengths.

        Returns
        -------
        ndarray of shape (n_samples, 1)
            float32 for float32 series, else float64. Soft-DTW can be negative.
        """
        check_is_fitted(self)
        series = self._check_series(X, reset=False)
        alignment = Alignment.resolve(gamma=self.gamma, **self._operator_params())
        values = distances(
            series,
            self.barycenter_.reshape(1, len(self.barycenter_), -1),
            alignment,
            is_divergence=self.objective == "divergence",
        )
        return values.astype(series.dtype, copy=False)

    @property
    def _n_features_out(self) -> int:
        return 1
