"""k-means for time series: `SoftDTWKMeans`."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, ClusterMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._estimator import (
    COMMON_CONSTRAINTS,
    GAMMA,
    Interval,
    SeriesEstimator,
    SeriesTransformerMixin,
    StrOptions,
    fit_context,
    restore_layout,
)
from .._resample import resample
from .._series import Array, SeriesBatch, check_series
from ..barycenters._objective import Alignment, CentreLoss, Floats, distances
from ..barycenters._start import check_weights, mean_length
from ._callbacks import CallbackSupportMixin, Progress, with_callbacks
from ._lloyd import Clustering, lloyd, smooth_start
from ._seeding import merge_equal, plus_plus, random_seeds


class SoftDTWKMeans(
    ClassNamePrefixFeaturesOutMixin,
    SeriesTransformerMixin,
    ClusterMixin,
    CallbackSupportMixin,
    SeriesEstimator,
):
    """k-means clustering of time series, with Soft-DTW barycenters as centres.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    gamma : float, default=1.0
        Smoothing of Soft-DTW, >= 0; 0 is k-means under DTW. `median_heuristic_gamma` suggests a value.
    metric : {"divergence", "soft_dtw"}, default="divergence"
        What is summed and compared. The divergence is 0 between equal series and does not favour centres that
        are smoother than the series. Soft-DTW itself is often negative, and so is `inertia_` with it; the
        divergence is so in rare cases, by little.
    init : {"k-means++", "random"} or array-like of n_clusters series, default="k-means++"
        Where the centres start. "k-means++" draws series that are far from each other (by the divergence),
        "random" draws any. Given series need one length.
    n_init : "auto" or int, default="auto"
        Number of runs with different seeds, of which the one with the least inertia is kept. "auto" is 10 for
        "random" and 1 else. Given series start one run, whatever this says.
    length : int, default=None
        Number of time steps of the centres. None takes the weighted mean of the lengths of the series.
    max_iter : int, default=100
        Largest number of iterations of one run.
    max_iter_barycenter : int, default=5
        Largest number of L-BFGS steps of every centre in one iteration. The optimiser goes on in the next
        iteration where it stopped, so that a small number loses nothing.
    tol : float, default=1e-4
        A centre is where it should be once an L-BFGS step lowers its part of the inertia by less than `tol`
        times its size, as in `soft_dtw_barycenter`. A run ends when that holds for all centres and no
        series changes its cluster.
    cost : {"sqeuclidean", "euclidean", "manhattan", "cosine", "gak"}, default="sqeuclidean"
        Local cost.
    sigma : float, default=1.0
        Bandwidth of ``cost="gak"``.
    sakoe_chiba_radius, itakura_max_slope : default=None
        Constraints, as in `pairwise_soft_dtw`.
    verbose : int, default=0
        1 prints one line per run, 2 also one per iteration. Callbacks of scikit-learn 1.9 and later
        (``set_callbacks(ProgressBar())``) show the progress more nicely.
    random_state : int, RandomState or None, default=None
        Draws the seeds.
    n_jobs : int, default=None
        Number of threads.
    device : {"auto", "cpu", "cuda", "cuda:<i>", "cuda:all"} or list, default="auto"
        Where to compute.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, length, n_features), or (n_clusters, length)
        2-D if fitted on a 2-D array or on series without an axis of features.
    labels_ : ndarray of shape (n_samples,), int32
        Cluster of each series of fit, as `predict` says.
    inertia_ : float
        Weighted sum of the distances of the series to `cluster_centers_`, by `metric`.
    n_iter_ : int
        Number of iterations of the best run.
    n_features_in_ : int
        Number of columns of a table, else number of features per time step.

    See Also
    --------
    soft_dtw_barycenter : One centre.

    Notes
    -----
    One iteration assigns every series to the nearest centre, n_samples n_clusters alignments, and moves the
    centres by a few L-BFGS steps, n_samples alignments with gradient each, whatever the number of clusters:
    all centres are moved at the same time, in one batch. Drawn centres are first moved under Soft-DTW of
    ten times `gamma`, whose fewer local minima make the result depend less on the draw. A cluster that
    loses all its series starts again from the series that is fitted worst.

    The fit depends neither on the order of the series nor on whether a series is repeated or has more weight.

    References
    ----------
    M. Cuturi, M. Blondel. Soft-DTW: a differentiable loss function for time-series. ICML 2017.
    arXiv:1703.01541.

    M. Blondel, A. Mensch, J.-P. Vert. Differentiable divergences between time series. AISTATS 2021.
    arXiv:2010.08354.

    Examples
    --------
    >>> from sktime_sdtw import SoftDTWKMeans
    >>> X = [[0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 3], [0, 0, 0, 3, 3]]
    >>> km = SoftDTWKMeans(n_clusters=2, gamma=0.1, random_state=0).fit(X)
    >>> bool(km.labels_[0] == km.labels_[1] != km.labels_[2] == km.labels_[3])
    True
    >>> km.cluster_centers_.shape
    (2, 5)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **COMMON_CONSTRAINTS,
        "cost": COMMON_CONSTRAINTS["cost"][:1],  # names only: a callable gives no gradient
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "gamma": GAMMA,
        "metric": [StrOptions({"divergence", "soft_dtw"})],
        "init": [StrOptions({"k-means++", "random"}), "array-like"],
        "n_init": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "length": [None, Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "max_iter_barycenter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        gamma: float = 1.0,
        metric: str = "divergence",
        init: Any = "k-means++",
        n_init: str | int = "auto",
        length: int | None = None,
        max_iter: int = 100,
        max_iter_barycenter: int = 5,
        tol: float = 1e-4,
        cost: str = "sqeuclidean",
        sigma: float = 1.0,
        sakoe_chiba_radius: int | float | None = None,
        itakura_max_slope: float | None = None,
        verbose: int = 0,
        random_state: Any = None,
        n_jobs: int | None = None,
        device: str | list[str] = "auto",
    ) -> None:
        self.n_clusters = n_clusters
        self.gamma = gamma
        self.metric = metric
        self.init = init
        self.n_init = n_init
        self.length = length
        self.max_iter = max_iter
        self.max_iter_barycenter = max_iter_barycenter
        self.tol = tol
        self.cost = cost
        self.sigma = sigma
        self.sakoe_chiba_radius = sakoe_chiba_radius
        self.itakura_max_slope = itakura_max_slope
        self.verbose = verbose
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.device = device

    @with_callbacks
    @fit_context
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> SoftDTWKMeans:
        """Find the clusters.

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
        self : SoftDTWKMeans
        """
        all_series = self._check_series(X, reset=True)
        weights = check_weights(sample_weight, len(all_series), name="sample_weight")
        if len(all_series) < self.n_clusters:
            raise ValueError(f"n_samples={len(all_series)} should be >= n_clusters={self.n_clusters}.")
        series, merged = merge_equal(all_series, weights)
        if len(series) < self.n_clusters:
            warnings.warn(
                f"SoftDTWKMeans: X has {len(series)} different series of weight > 0, fewer than n_clusters="
                f"{self.n_clusters}: some of the centres are the same.",
                ConvergenceWarning,
                stacklevel=2,
            )
        for name, value in self._attributes(self._best_run(X, series, merged)).items():
            setattr(self, name, value)
        to_centres = self._distances(all_series)
        self.labels_ = np.argmin(to_centres, axis=1).astype(np.int32)
        self.inertia_ = float(weights @ to_centres[np.arange(len(weights)), self.labels_])
        return self

    def predict(self, X: Any) -> Array:
        """Nearest centre of each series.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Series of any lengths.

        Returns
        -------
        labels : ndarray of shape (n_samples,), int32
        """
        check_is_fitted(self)
        return np.argmin(self._distances(self._check_series(X, reset=False)), axis=1).astype(np.int32)

    def transform(self, X: Any) -> Array:
        """Distances to all centres, by `metric`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Series of any lengths.

        Returns
        -------
        ndarray of shape (n_samples, n_clusters)
            float32 for float32 series, else float64.
        """
        check_is_fitted(self)
        series = self._check_series(X, reset=False)
        return self._distances(series).astype(series.dtype, copy=False)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the inertia of series under these centres: the larger, the better they fit.

        Scores of different gamma or metric are not in the same unit.

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
        float
        """
        check_is_fitted(self)
        series = self._check_series(X, reset=False)
        weights = check_weights(sample_weight, len(series), name="sample_weight")
        return -float(weights @ self._distances(series).min(axis=1))

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)

    def _alignment(self) -> Alignment:
        return Alignment.resolve(gamma=self.gamma, **self._operator_params())

    def _distances(self, series: SeriesBatch) -> Floats:
        centres = self.cluster_centers_.reshape(*self.cluster_centers_.shape[:2], -1)
        return distances(series, centres, self._alignment(), is_divergence=self.metric == "divergence")

    def _best_run(self, X: Any, series: SeriesBatch, weights: Floats) -> Clustering:
        given = None if isinstance(self.init, str) else self._given_centres(series)
        alignment = self._alignment()
        loss = CentreLoss(
            series,
            weights,
            alignment,
            self._length(series, weights) if given is None else given.shape[1],
            is_divergence=self.metric == "divergence",
        )
        own = 2 * loss.half_own if loss.is_divergence else alignment.own(series)
        random_state = check_random_state(self.random_state)
        n_runs = self._n_runs()
        progress = Progress.of_fit(self, n_runs).begin(X)
        best: Clustering | None = None
        for run in range(n_runs):
            start = self._draw_centres(loss, own, random_state) if given is None else given[: len(series)]
            result, stop = self._run(X, loss, start, progress.part("run", self.max_iter))
            self._say(1, f"run {run + 1} of {n_runs}: inertia {result.inertia:.6g}")
            if best is None or result.inertia < best.inertia:
                best = result
            if stop:
                break
        assert best is not None
        progress.end(X, lambda: self._attributes(best))
        return best

    def _run(self, X: Any, loss: CentreLoss, start: Floats, progress: Progress) -> tuple[Clustering, bool]:
        iteration = progress.begin(X).part("iteration", 0).begin(X)

        def on_iteration(state: Clustering) -> bool:
            nonlocal iteration
            self._say(
                2, f"iteration {state.n_iter}: inertia {state.inertia:.6g}, {state.n_moved} series moved"
            )
            stop = iteration.end(X, lambda: self._attributes(state))
            if not stop and not state.is_last:
                iteration = progress.part("iteration", 0).begin(X)
            return stop

        result = lloyd(
            loss,
            start,
            max_iter=self.max_iter,
            max_steps=self.max_iter_barycenter,
            tol=self.tol,
            on_iteration=on_iteration,
        )
        return result, progress.end(X, lambda: self._attributes(result))

    def _say(self, verbosity: int, what: str) -> None:
        if self.verbose >= verbosity:
            print(f"[SoftDTWKMeans] {what}")  # noqa: T201

    def _n_runs(self) -> int:
        if not isinstance(self.init, str):
            return 1  # the others would be the same
        if self.n_init != "auto":
            return int(self.n_init)
        return 10 if self.init == "random" else 1

    def _draw_centres(self, loss: CentreLoss, own: Floats, random_state: np.random.RandomState) -> Floats:
        n_clusters = min(self.n_clusters, len(loss.series))
        if self.init == "random":
            seeds = random_seeds(loss.weights, n_clusters, random_state)
        else:
            seeds = plus_plus(loss.series, loss.weights, own, n_clusters, loss.alignment, random_state)
        start = resample(loss.series.take(seeds), loss.length)
        return smooth_start(loss, start, tol=self.tol) if self.gamma > 0 else start

    def _given_centres(self, series: SeriesBatch) -> Floats:
        centres = check_series(self.init, name="init")
        if len(centres) != self.n_clusters or centres.n_features != series.n_features:
            raise ValueError(
                f"init must be n_clusters={self.n_clusters} series of {series.n_features} features per time "
                f"step. Got {len(centres)} series of {centres.n_features}."
            )
        if not centres.is_equal_length and self.length is None:
            raise ValueError(
                "init holds series of different lengths: say with `length` how long centres are."
            )
        return resample(centres, centres.max_length if self.length is None else self.length)

    def _length(self, series: SeriesBatch, weights: Floats) -> int:
        return mean_length(series, weights) if self.length is None else int(self.length)

    def _attributes(self, result: Clustering) -> dict[str, Any]:
        """What makes a fitted estimator, but for what follows from the series of fit."""
        centres = result.centres
        missing = self.n_clusters - len(centres)
        centres = np.concatenate([centres, np.repeat(centres[-1:], missing, axis=0)])
        n, length, d = centres.shape
        batch = SeriesBatch(centres.reshape(-1, d), np.arange(n + 1, dtype=np.int64) * length)
        return {
            "cluster_centers_": restore_layout(batch, flat=self._flat_in),
            "inertia_": result.inertia,
            "n_iter_": result.n_iter,
        }
