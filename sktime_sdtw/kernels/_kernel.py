"""Gram matrices against the fitted series."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.utils.validation import check_is_fitted

from .._cache import PairCache
from .._estimator import fit_context, restore_layout
from .._series import Array, SeriesBatch, check_series
from ._base import KERNEL_CONSTRAINTS, KernelTransformer


class SoftDTWKernel(KernelTransformer):
    r"""Kernel between time series and those of fit, for estimators that take a precomputed kernel.

    Parameters
    ----------
    kernel : {"divergence", "gak", "dtw"}, default="divergence"
        "divergence" is exp(-D / sigma) of the soft-DTW divergence D at temperature gamma. "gak" is the
        normalised Global Alignment Kernel of bandwidth sigma, which is positive definite. "dtw" is
        exp(-DTW / sigma), which is not.
    sigma : float or "median", default="median"
        Bandwidth. "median" takes it from the series of fit: for "gak" `median_heuristic_sigma`, else the
        median of D over pairs of at most 100 of them.
    gamma : float, default=1.0
        Temperature of "divergence", >= 0; not used by the others.
    cost : {"sqeuclidean", "euclidean", "manhattan", "cosine"} or callable, default="sqeuclidean"
        Local cost of two time steps, see `soft_dtw`; "gak" has one of its own.
    sakoe_chiba_radius : int or float, default=None
        Half-width of the band around the diagonal, in cells (int) or as a fraction of the longer series
        (float).
    itakura_max_slope : float, default=None
        Largest slope of the Itakura parallelogram, >= 1.
    cache : PairCache, "auto" or None, default="auto"
        Where values of pairs are kept between calls and estimators; "auto" is one cache of 64 MiB for the
        whole process, None keeps nothing. A `PairCache` that knows the gammas of a search computes them in
        one pass. Bandwidths of "divergence" and "dtw" share their pairs.
    n_jobs : int, default=None
        Number of threads: None is 1 (or what ``joblib.parallel_config`` says), -1 all.
    device : {"auto", "cpu", "cuda", "cuda:<i>", "cuda:all"} or list, default="auto"
    random_state : int, RandomState instance or None, default=None
        Draws the time steps or series of the median.

    Attributes
    ----------
    X_fit_ : ndarray of shape (n_samples, n_timestamps, n_features), or list of ndarray
        The series of fit; a list of (n_timestamps, n_features) arrays where their lengths differ.
    sigma_ : float
        The bandwidth in use.
    n_features_in_ : int
        Columns of a table (2-D input) or features per time step.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Where fit saw a DataFrame with names.

    See Also
    --------
    SoftDTWNystroem : Features of fixed number in place of a Gram matrix, for many series.
    pairwise_gak : The kernel as a function.

    Notes
    -----
    .. math:: k_\mathrm{divergence}(x, y) = e^{-D_\gamma(x, y) / \sigma}, \quad
        k_\mathrm{gak}(x, y) = \frac{\sum_\pi \prod_{(i, j) \in \pi} \kappa_{ij}}{\sqrt{\dots}}

    k(x, x) = 1. The work is n_samples · n_samples_fit alignments. In a pipeline each fold has its own fitted
    series; slicing one Gram matrix of all series (``SVC(kernel="precomputed")`` on
    ``kernel.fit_transform(X)``) gives the same folds where sigma is a number.

    "divergence" is positive definite in practice nearly always; it is proven for "gak" alone, without a
    constraint. `SoftDTWNystroem` with ``n_components=n_samples`` drops what is negative.

    *Gaussian processes.* Those of scikit-learn take no precomputed kernel. `SoftDTWNystroem` followed by a
    `GaussianProcessRegressor` with ``DotProduct(sigma_0=0, sigma_0_bounds="fixed")`` is the process with this
    kernel, exactly where ``n_components`` is the number of series; `KernelRidge(kernel="precomputed")` after
    this transformer gives its mean.

    References
    ----------
    M. Cuturi. Fast global alignment kernels. ICML 2011.

    M. Blondel, A. Mensch, J.-P. Vert. Differentiable divergences between time series. AISTATS 2021.
    arXiv:2010.08354.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.svm import SVC
    >>> from sktime_sdtw import SoftDTWKernel
    >>> X = [[0.0, 1.0, 2.0], [0.0, 2.0], [2.0, 1.0, 0.0], [2.0, 0.0, 0.0, 0.0]]
    >>> model = make_pipeline(SoftDTWKernel(kernel="gak", sigma=1.0), SVC(kernel="precomputed"))
    >>> model.fit(X, ["up", "up", "down", "down"]).predict([[0.0, 0.0, 1.0, 3.0]])
    array(['up'], dtype='<U4')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = KERNEL_CONSTRAINTS

    X_fit_: Array | list[Array]
    sigma_: float

    def __init__(
        self,
        kernel: str = "divergence",
        *,
        sigma: float | str = "median",
        gamma: float = 1.0,
        cost: Any = "sqeuclidean",
        sakoe_chiba_radius: int | float | None = None,
        itakura_max_slope: float | None = None,
        cache: PairCache | str | None = "auto",
        n_jobs: int | None = None,
        device: str | list[str] = "auto",
        random_state: Any = None,
    ) -> None:
        self.kernel = kernel
        self.sigma = sigma
        self.gamma = gamma
        self.cost = cost
        self.sakoe_chiba_radius = sakoe_chiba_radius
        self.itakura_max_slope = itakura_max_slope
        self.cache = cache
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state

    @fit_context
    def fit(self, X: Any, y: Any = None) -> SoftDTWKernel:
        """Keep the series and set the bandwidth.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Lists hold series of any lengths; time steps of NaN at the end of a series are padding.
        y : ignored

        Returns
        -------
        self : SoftDTWKernel
        """
        batch = self._check_series(X, reset=True)
        self._fit_bandwidth(batch)
        self._keep(batch)
        return self

    def transform(self, X: Any) -> Array:
        """Kernel between X and the fitted series.

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
        matrix = self._measure().matrix(batch, check_series(self.X_fit_), self_y=self._self_terms)
        return self._to_kernel(matrix)

    @fit_context
    def fit_transform(self, X: Any, y: Any = None) -> Array:
        """Fit, and the symmetric Gram matrix of the fitted series, at half the work of `transform`.

        Parameters
        ----------
        X : array-like or list, as in `fit`
        y : ignored

        Returns
        -------
        ndarray of shape (n_samples, n_samples)
        """
        batch = self._check_series(X, reset=True)
        # Only the matrix of "gak" needs its bandwidth; from the others it follows.
        known = None if self.kernel == "gak" else self._measure().matrix(batch)
        self._fit_bandwidth(batch, known)
        matrix = self._measure().matrix(batch) if known is None else known
        self._keep(batch)
        return self._to_kernel(matrix)

    def _keep(self, batch: SeriesBatch) -> None:
        self.X_fit_ = restore_layout(batch, flat=False)
        self._self_terms = self._measure().self_terms(batch)
        self._n_features_out = len(batch)
