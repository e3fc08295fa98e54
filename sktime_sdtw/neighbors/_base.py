"""Finding the nearest of the fitted series, in chunks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted

from .._cache import PairCache
from .._estimator import Interval, SeriesEstimator, StrOptions, restore_layout
from .._measure import MEASURE_CONSTRAINTS, Measure, measure_of
from .._series import Array, SeriesBatch, check_series

Index = NDArray[np.int64]

NEIGHBORS_CONSTRAINTS: dict[str, list[Any]] = {
    **MEASURE_CONSTRAINTS,
    "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    "weights": [StrOptions({"uniform", "distance"}), callable],
}

# MiB of distances at a time, where scikit-learn's working_memory (1 GiB unless configured) allows so much.
CHUNK_MEMORY = 64


class NeighborsBase(SeriesEstimator):
    """Base of the classifier and the regressor."""

    X_fit_: Array | list[Array]
    n_samples_fit_: int

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        weights: Any = "uniform",
        metric: str = "divergence",
        gamma: float = 1.0,
        cost: Any = "sqeuclidean",
        sigma: float = 1.0,
        sakoe_chiba_radius: int | float | None = None,
        itakura_max_slope: float | None = None,
        cache: PairCache | str | None = "auto",
        n_jobs: int | None = None,
        device: str | list[str] = "auto",
    ) -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.metric = metric
        self.gamma = gamma
        self.cost = cost
        self.sigma = sigma
        self.sakoe_chiba_radius = sakoe_chiba_radius
        self.itakura_max_slope = itakura_max_slope
        self.cache = cache
        self.n_jobs = n_jobs
        self.device = device

    def kneighbors(
        self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> tuple[Array, Index] | Index:
        """Nearest of the fitted series, the nearest first.

        Parameters
        ----------
        X : array-like or list, as in `fit`, default=None
            None asks for the neighbours of each fitted series among the others.
        n_neighbors : int, default=None
            As the constructor's.
        return_distance : bool, default=True

        Returns
        -------
        distances : ndarray of shape (n_samples, n_neighbors)
            Values of `metric` with their sign, not where `return_distance` is False.
        indices : ndarray of shape (n_samples, n_neighbors), int64
            Which series of fit. Of two at the same distance the one with the smaller index counts as nearer.
        """
        check_is_fitted(self)
        k = self._check_n_neighbors(n_neighbors, self.n_samples_fit_ - (X is None))
        measure = measure_of(self)
        fitted = check_series(self.X_fit_)
        if X is None:
            parts = [_smallest(block, k) for block in self._blocks_without_self(fitted, measure)]
        else:
            batch = self._check_series(X, reset=False)
            parts = [_smallest(block, k) for block in self._blocks(batch, fitted, measure)]
        indices = np.concatenate([part[1] for part in parts])
        return (np.concatenate([part[0] for part in parts]), indices) if return_distance else indices

    def _fit_series(self, X: Any, y: Any) -> Array:
        """Keep X; the targets as an array (n_samples,) or (n_samples, n_outputs), not checked further."""
        name = type(self).__name__
        if y is None:
            raise ValueError(f"{name} requires y to be passed, but the target y is None.")
        if self.weights == "distance" and self.metric == "soft_dtw":
            raise ValueError(
                "weights='distance' needs a metric whose least value is about 0, 'divergence' or 'dtw': the "
                "inverse of a signed value is no weight. Got metric='soft_dtw'."
            )
        batch = self._check_series(X, reset=True)
        targets = check_array(y, ensure_2d=False, dtype=None, input_name="y", estimator=self)
        check_consistent_length(batch.offsets[:-1], targets)
        self.X_fit_ = restore_layout(batch, flat=False)
        self.n_samples_fit_ = len(batch)
        self._self_terms = measure_of(self).self_terms(batch)
        return np.asarray(targets)

    def _weighted_neighbors(self, X: Any) -> tuple[Index, Array | None]:
        """Neighbours of X and their weights, None where all are equal."""
        check_is_fitted(self)
        if self.weights == "uniform":
            return np.asarray(self.kneighbors(X, return_distance=False)), None
        distances, indices = self.kneighbors(X)
        if callable(self.weights):
            weights = np.asarray(self.weights(distances))
            if weights.shape != distances.shape:
                raise ValueError(
                    "weights must return one weight per neighbour, of the shape of the distances, "
                    f"{distances.shape}. Got {weights.shape}."
                )
            return indices, weights
        # A divergence may be less than 0: in truth a little (see soft_dtw_divergence), and by rounding.
        distances = np.maximum(distances, 0)
        with np.errstate(divide="ignore"):
            weights = 1 / distances
        # A series at distance 0 outweighs everything that is not.
        exact = np.isinf(weights)
        rows = exact.any(axis=1)
        weights[rows] = exact[rows]
        return indices, weights

    def _check_n_neighbors(self, n_neighbors: int | None, n_available: int) -> int:
        k: Any = self.n_neighbors if n_neighbors is None else n_neighbors
        if isinstance(k, bool) or not isinstance(k, Integral):
            raise TypeError(f"n_neighbors must be an int >= 1. Got {k!r}.")
        k = int(k)
        if not 1 <= k <= n_available:
            raise ValueError(
                "n_neighbors must be at least 1 and at most the number of series to choose from, "
                f"{n_available}. Got n_neighbors={k}, n_samples_fit={self.n_samples_fit_}."
            )
        return k

    def _blocks(self, batch: SeriesBatch, fitted: SeriesBatch, measure: Measure) -> Iterator[Array]:
        """Distances to the fitted series, for some rows of the batch at a time."""
        for rows in _chunks(len(batch), len(fitted)):
            part = batch if rows == slice(0, len(batch)) else batch.take(np.arange(rows.start, rows.stop))
            yield measure.matrix(part, fitted, self_y=self._self_terms)

    def _blocks_without_self(self, fitted: SeriesBatch, measure: Measure) -> Iterator[Array]:
        """Distances between the fitted series, inf for each to itself."""
        chunks = list(_chunks(len(fitted), len(fitted)))
        # The symmetric half is enough where all of it fits.
        blocks = iter([measure.matrix(fitted)]) if len(chunks) == 1 else self._blocks(fitted, fitted, measure)
        for rows, block in zip(chunks, blocks, strict=True):
            block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = np.inf
            yield block


def _chunks(n_rows: int, n_columns: int) -> Iterator[slice]:
    memory = min(CHUNK_MEMORY, get_config()["working_memory"]) * 2**20
    yield from gen_batches(n_rows, max(1, int(memory // (8 * n_columns))))


def _smallest(block: Array, k: int) -> tuple[Array, Index]:
    """The k smallest of each row in order, and where they stand; equal ones by index."""
    nearest = np.argpartition(block, k - 1, axis=1)[:, :k] if k < block.shape[1] else None
    if nearest is None:
        nearest = np.broadcast_to(np.arange(k), block.shape).copy()
    else:
        # Where more than k are no farther than the k-th, the partition chose among equals at will.
        bound = np.take_along_axis(block, nearest[:, k - 1 :], axis=1)
        tied = np.flatnonzero(np.count_nonzero(block <= bound, axis=1) > k)
        nearest[tied] = np.argsort(block[tied], axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(block, nearest, axis=1)
    order = np.lexsort((nearest, values), axis=1)
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(nearest, order, axis=1)
