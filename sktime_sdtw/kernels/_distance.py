"""Distances to the fitted series, as features."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.base import ClassNamePrefixFeaturesOutMixin
from sklearn.utils.validation import check_is_fitted

from .._cache import PairCache
from .._estimator import SeriesEstimator, SeriesTransformerMixin, fit_context, restore_layout
from .._measure import MEASURE_CONSTRAINTS, measure_of
from .._series import Array, SeriesBatch, check_series


class SoftDTWDistance(ClassNamePrefixFeaturesOutMixin, SeriesTransformerMixin, SeriesEstimator):
    """Distances between time series and those of fit.

    Parameters
    ----------
    metric : {"divergence", "soft_dtw", "dtw"}, default="divergence"
        "divergence" is the soft-DTW divergence, 0 for equal series. "soft_dtw" is signed and not 0 for equal
        series. "dtw" is soft-DTW at temperature 0: the smallest sum of local costs, without a square root.
    gamma : float, default=1.0
        Temperature, >= 0; not used by "dtw".
    cost : {"sqeuclidean", "euclidean", "manhattan", "cosine", "gak"} or callable, default="sqeuclidean"
        Local cost of two time steps, see `soft_dtw`.
    sigma : float, default=1.0
        Bandwidth of ``cost="gak"``.
    sakoe_chiba_radius : int or float, default=None
        Half-width of the band around the diagonal, in cells (int) or as a fraction of the longer series
        (float).
    itakura_max_slope : float, default=None
        Largest slope of the Itakura parallelogram, >= 1.
    cache : PairCache, "auto" or None, default="auto"
        Where values of pairs are kept between calls and estimators; "auto" is one cache of 64 MiB for the
        whole process, None keeps nothing. A `PairCache` that knows the gammas of a search computes them in
        one pass.
    n_jobs : int, default=None
        Number of threads: None is 1 (or what ``joblib.parallel_config`` says), -1 all.
    device : {"auto", "cpu", "cuda", "cuda:<i>", "cuda:all"} or list, default="auto"

    Attributes
    ----------
    X_fit_ : ndarray of shape (n_samples, n_timestamps, n_features), or list of ndarray
        The series of fit; a list of (n_timestamps, n_features) arrays where their lengths differ.
    n_features_in_ : int
        Columns of a table (2-D input) or features per time step.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Where fit saw a DataFrame with names.

    See Also
    --------
    SoftDTWKernel : Similarities, for kernel methods.
    pairwise_soft_dtw_divergence : The same numbers from a function.

    Notes
    -----
    ``transform`` fills a matrix (n_samples, n_samples_fit). It suits ``metric="precomputed"`` of
    scikit-learn's clustering and embedding. What scikit-learn builds on its own nearest neighbours, `DBSCAN`
    too, refuses negative values. "dtw" has none; "soft_dtw" has many, and "divergence" now and then (see
    `soft_dtw_divergence`). In a pipeline, ``FunctionTransformer(np.clip, kw_args={"a_min": 0, "a_max":
    None})`` sets these to 0.

    References
    ----------
    M. Cuturi, M. Blondel. Soft-DTW: a differentiable loss function for time-series. ICML 2017.
    arXiv:1703.01541.

    Examples
    --------
    >>> from sktime_sdtw import SoftDTWDistance
    >>> X = [[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]
    >>> SoftDTWDistance(metric="dtw").fit_transform(X)
    array([[0., 8.],
           [8., 0.]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = MEASURE_CONSTRAINTS

    X_fit_: Array | list[Array]

    def __init__(
        self,
        metric: str = "divergence",
        *,
        gamma: float = 1.0,
        cost: Any = "sqeuclidean",
        sigma: float = 1.0,
        sakoe_chiba_radius: int | float | None = None,
        itakura_max_slope: float | None = None,
        cache: PairCache | str | None = "auto",
        n_jobs: int | None = None,
        device: str | list[str] = "auto",
    ) -> None:
        self.metric = metric
        self.gamma = gamma
        self.cost = cost
        self.sigma = sigma
        self.sakoe_chiba_radius = sakoe_chiba_radius
        self.itakura_max_slope = itakura_max_slope
        self.cache = cache
        self.n_jobs = n_jobs
        self.device = device

    @fit_context
    def fit(self, X: Any, y: Any = None) -> SoftDTWDistance:
        """Keep the series to measure distances to.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Lists hold series of any lengths; time steps of NaN at the end of a series are padding.
        y : ignored

        Returns
        -------
        self : SoftDTWDistance
        """
        self._fit(X)
        return self

    def transform(self, X: Any) -> Array:
        """Distances to the fitted series.

        Parameters
        ----------
        X : array-like or list, as in `fit`
            Of any lengths, except where fit saw a table.

        Returns
        -------
        ndarray of shape (n_samples, n_samples_fit)
        """
        check_is_fitted(self)
        batch = self._check_series(X, reset=False)
        return measure_of(self).matrix(batch, check_series(self.X_fit_), self_y=self._self_terms)

    @fit_context
    def fit_transform(self, X: Any, y: Any = None) -> Array:
        """Fit, and the symmetric matrix between the fitted series, at half the work of `transform`.

        Parameters
        ----------
        X : array-like or list, as in `fit`
        y : ignored

        Returns
        -------
        ndarray of shape (n_samples, n_samples)
        """
        return measure_of(self).matrix(self._fit(X))

    def _fit(self, X: Any) -> SeriesBatch:
        batch = self._check_series(X, reset=True)
        self.X_fit_ = restore_layout(batch, flat=False)
        self._self_terms = measure_of(self).self_terms(batch)
        self._n_features_out = len(batch)
        return batch
