"""Gram matrices of the signature kernel, for scikit-learn."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin
from sklearn.utils.validation import check_is_fitted

from .._engine import resolve_n_threads
from .._estimator import Interval, StrOptions, fit_context, restore_layout
from .._series import Array, check_series
from ._device import resolve_one
from ._kernel_device import gram_on, own_on
from ._path_estimator import PathEstimator, TimedSeries

# Points that the median distance is taken over.
N_MEDIAN = 500


class SignatureKernel(ClassNamePrefixFeaturesOutMixin, PathEstimator):
    r"""Signature kernel between time series and those of fit, for estimators that take a precomputed kernel.

    Parameters
    ----------
    sigma : float or "median", default="median"
        Bandwidth, > 0. "linear" divides the paths by it, "rbf" is exp(-‖x - y‖² / (2 sigma²)) of two points.
        "median" is, of the transformed series of fit, for "linear" the median of their lengths (the sum of
        the distances from point to point), for "rbf" the median distance of two points.
    depth : int, default=None
        Longest words that count; None is all of them, by the Goursat equation.
    refinement : int, default=0
        Each step of the series is cut into 2^refinement for the Goursat equation.
    static_kernel : {"linear", "rbf"}, default="linear"
        Of two points; see `signature_kernel`.
    normalize : bool, default=True
        Divide by sqrt(k(x, x) k(y, y)), so that k(x, x) = 1.
    transforms : str or sequence of str, default=("time",)
        Applied to the series first, in this order; see `transform_path`. "time" is 0 at the first time step
        of a series and 1 at its last, or what `fit` and `transform` get as times.
    lag : int, default=1
        Of the transform "lead_lag".
    nan_policy : {"raise", "ffill", "skip"}, default="raise"
        What happens to NaN inside of series, before the transforms. "ffill" puts the last number of the
        channel in its place, and in front of the first number that one; "skip" leaves the time step out.
        Time steps of NaN at the end are padding.
    n_jobs : int, default=None
        Number of threads: None is 1 (or what ``joblib.parallel_config`` says), -1 all.
    device : {"auto", "cpu", "cuda", "cuda:<i>"}, default="auto"
        Where it is computed; "auto" takes a GPU where there is one and enough to do.

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
    SignatureTransformer : The signatures themselves, up to a depth.
    SoftDTWKernel : Kernels of alignments.
    sktime_sdtw.signatures.signature_kernel_gram : The function.

    Notes
    -----
    The kernel is positive definite, as an inner product; the error of the grid need not be, and is divided by
    4 by each further `refinement`. The work is n_samples · n_samples_fit tables of length × length.

    Gaussian processes of scikit-learn take no precomputed kernel. With `KernelPCA(kernel="precomputed")`
    between this transformer and a `GaussianProcessRegressor` whose kernel is `DotProduct`, the process is
    that of the centred signature kernel.

    References
    ----------
    C. Salvi, T. Cass, J. Foster, T. Lyons, W. Yang. The signature kernel is the solution of a Goursat PDE.
    SIAM Journal on Mathematics of Data Science, 2021. arXiv:2006.14794.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.svm import SVC
    >>> from sktime_sdtw import SignatureKernel
    >>> X = [[0.0, 1.0, 2.0], [0.0, 2.0], [2.0, 1.0, 0.0], [2.0, 0.0, 0.0, 0.0]]
    >>> model = make_pipeline(SignatureKernel(), SVC(kernel="precomputed"))
    >>> model.fit(X, ["up", "up", "down", "down"]).predict([[0.0, 0.0, 1.0, 3.0]])
    array(['up'], dtype='<U4')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **PathEstimator._parameter_constraints,
        "sigma": [StrOptions({"median"}), Interval(Real, 0, None, closed="neither")],
        "depth": [None, Interval(Integral, 1, None, closed="left")],
        "refinement": [Interval(Integral, 0, None, closed="left")],
        "static_kernel": [StrOptions({"linear", "rbf"})],
        "normalize": ["boolean"],
        "device": [str, list],
    }

    X_fit_: Array | list[Array]
    sigma_: float
    _own: tuple[tuple[Any, ...], Array] | None

    def __init__(
        self,
        sigma: float | str = "median",
        *,
        depth: int | None = None,
        refinement: int = 0,
        static_kernel: str = "linear",
        normalize: bool = True,
        transforms: Any = ("time",),
        lag: int = 1,
        nan_policy: str = "raise",
        n_jobs: int | None = None,
        device: str | list[str] = "auto",
    ) -> None:
        self.sigma = sigma
        self.depth = depth
        self.refinement = refinement
        self.static_kernel = static_kernel
        self.normalize = normalize
        self.transforms = transforms
        self.lag = lag
        self.nan_policy = nan_policy
        self.n_jobs = n_jobs
        self.device = device

    @fit_context
    def fit(self, X: Any, y: Any = None, *, times: Any = None) -> SignatureKernel:
        """Keep the series and set the bandwidth.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Lists hold series of any lengths; time steps of NaN at the end of a series are padding.
        y : None
            Ignored.
        times : array-like of shape (n_samples, n_timestamps), or list, default=None
            When the time steps were taken, at any distances, for the transform "time"; counted from the first
            of each series. None is 0 to 1 in equal steps.

        Returns
        -------
        self : SignatureKernel
        """
        series = self._read(X, times, reset=True)
        paths, lengths = self._to_paths(series)
        self._keep(series, paths, lengths)
        self._own = (self._problem(), self._roots(paths, lengths)) if self.normalize else None
        return self

    def transform(self, X: Any, *, times: Any = None) -> Array:
        """Kernel between X and the fitted series.

        Parameters
        ----------
        X : array-like or list, as in `fit`
            Of any lengths, except where fit saw a table.
        times : array-like of shape (n_samples, n_timestamps), or list, default=None
            When the time steps were taken, as in `fit`; needed where `fit` had some.

        Returns
        -------
        ndarray of shape (n_samples, n_samples_fit)
        """
        check_is_fitted(self)
        series = self._read(X, times, reset=False)
        known = TimedSeries(check_series(self.X_fit_, allow_nan=True), self._times_fit)
        dtype = np.result_type(series.batch.dtype, known.batch.dtype)
        paths, lengths = self._to_paths(series.astype(dtype))
        to, to_lengths = self._to_paths(known.astype(dtype))
        matrix = gram_on(self.device, paths, to, lengths, to_lengths, **self._settings())
        if self.normalize:
            # Parameters may have been set, and series of another dtype passed, since fit.
            known_roots = None if self._own is None or self._own[0] != self._problem() else self._own[1]
            if known_roots is None or known_roots.dtype != dtype:
                known_roots = self._roots(to, to_lengths)
            self._divide(matrix, self._roots(paths, lengths), known_roots)
        return matrix

    @fit_context
    def fit_transform(self, X: Any, y: Any = None, *, times: Any = None) -> Array:
        """Fit, and the symmetric Gram matrix of the fitted series, at half the work of `transform`.

        Parameters
        ----------
        X : array-like or list, as in `fit`
        y : None
            Ignored.
        times : array-like or list, default=None
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_samples)
        """
        series = self._read(X, times, reset=True)
        paths, lengths = self._to_paths(series)
        self._keep(series, paths, lengths)
        matrix = gram_on(self.device, paths, None, lengths, None, **self._settings())
        self._own = None
        if self.normalize:
            own = matrix.diagonal().copy()
            self._check_positive(own)
            self._own = self._problem(), np.sqrt(own)
            self._divide(matrix, self._own[1], self._own[1])
            np.fill_diagonal(matrix, 1)
        return matrix

    def _settings(self) -> dict[str, Any]:
        return {
            "depth": self.depth,
            "refinement": self.refinement,
            "static_kernel": self.static_kernel,
            "sigma": self.sigma_,
            "n_jobs": resolve_n_threads(self.n_jobs),
        }

    def _keep(self, series: TimedSeries, paths: Array, lengths: Array) -> None:
        resolve_one(self.device)  # says at once what is wrong with it
        if self.sigma != "median":
            self.sigma_ = float(self.sigma)
        elif self.static_kernel == "linear":
            steps = np.linalg.norm(np.diff(paths, axis=1), axis=-1)
            steps[np.arange(1, paths.shape[1]) >= lengths[:, None]] = 0
            self.sigma_ = float(np.median(steps.sum(axis=1))) or 1.0
        else:
            points = paths[np.arange(paths.shape[1]) < lengths[:, None]].astype(np.float64)
            points = points[np.linspace(0, len(points) - 1, min(N_MEDIAN, len(points))).astype(int)]
            squares = (points**2).sum(axis=1)
            distances = squares[:, None] + squares - 2 * points @ points.T
            between = np.sqrt(np.maximum(distances[np.triu_indices(len(points), k=1)], 0))
            self.sigma_ = float(np.median(between)) if len(between) else 1.0
            self.sigma_ = self.sigma_ or float(np.mean(between)) or 1.0
        self.X_fit_ = restore_layout(series.batch, flat=False)
        self._times_fit = series.times
        self._n_features_out = len(series.batch)

    def _problem(self) -> tuple[Any, ...]:
        transforms = self.transforms if isinstance(self.transforms, str) else tuple(self.transforms)
        settings = self.sigma_, self.depth, self.refinement, self.static_kernel
        return *settings, transforms, self.lag, self.nan_policy

    def _roots(self, paths: Array, lengths: Array) -> Array:
        own = own_on(self.device, paths, lengths, **self._settings())
        self._check_positive(own)
        return np.sqrt(own)

    @staticmethod
    def _divide(matrix: Array, x_roots: Array, y_roots: Array) -> None:
        matrix /= x_roots[:, None] * y_roots

    def _check_positive(self, own: Array) -> None:
        if not own.min() > 0:
            raise ValueError(
                "The kernel of a series with itself is not positive: its steps are too large for this grid. "
                f"Choose a refinement above {self.refinement}, or a sigma above {self.sigma_:.3g}."
            )
