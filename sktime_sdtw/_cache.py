"""Soft-DTW values of pairs of series, kept from one call to the next: a search computes each pair once.

Series are known by their content (a hash of their bytes). For each problem (local cost, constraint, dtype)
and each gamma there is one square table over the series seen so far, NaN where a pair is not known yet: to
look a whole block up is one fancy index, a few nanoseconds a pair, where a dictionary of pairs would cost as
much as the pairs themselves. What is missing from a block is cut into rectangles, so that the engine is
still called with matrices.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._pair_blocks import Index, MissingPairs, UniqueKeys
from ._pair_tables import PairTables
from ._series import Array, SeriesBatch

# (x, y, gammas) -> (n_gammas, len(x), len(y)), where y=None stands for x; self values: -> (n_gammas, len(x)).
Compute = Callable[[SeriesBatch, "SeriesBatch | None", NDArray[np.float64]], Array]


class CacheInfo(NamedTuple):
    """What a `PairCache` did and holds.

    Parameters
    ----------
    found : int
        Values asked for that were there.
    computed : int
        Pairs handed to the engine. All gammas of one pass count once, and so do (x, y) and (y, x).
    n_series, n_bytes : int
        Series known now, over all problems, and the size of the tables.
    """

    found: int
    computed: int
    n_series: int
    n_bytes: int


class PairCache:
    """Keep soft-DTW values between calls, estimators and folds; compute a whole grid of gammas in one pass.

    Passed as ``cache=`` to `SoftDTWKernel`, `SoftDTWNystroem`, `SoftDTWDistance` and the nearest neighbours.
    A search with `GridSearchCV` then computes each pair of series at most once per gamma, whatever the folds.
    Where `gammas` names the grid, the first gamma computes all of them in one pass over the local costs.

    Parameters
    ----------
    gammas : array-like of shape (n_gammas,), default=None
        When one of these is asked for and a pair is missing, the pair is computed for all of them.
    max_bytes : int, default=268435456
        Limit of the tables' size, 256 MiB. A matrix of n series and G gammas in float64 takes 8 G n² bytes.
        Beyond the limit the least recently used gammas go first, then the least recently used series; a block
        that is too large for the limit all by itself is computed and not kept.

    Notes
    -----
    `clone` and copies share the cache of the original. A pickle holds the arguments and no values; it is the
    same cache again in a process that still has it. Each worker process of a search
    (``GridSearchCV(n_jobs=2)``) therefore fills a cache of its own, and a pair may be computed once in every
    worker; ``GridSearchCV(n_jobs=1)`` around an estimator with ``n_jobs=-1`` has one cache and as much
    parallel work. Threads may share a cache; two that miss the same pair at the same moment both compute it.

    (x, y) and (y, x) are one pair, of one value up to rounding. Callable local costs are not cached: what a
    function returns may change.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sktime_sdtw import PairCache, SoftDTWKNeighborsClassifier
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((10, 8)), np.arange(10) % 2
    >>> gammas = [0.01, 0.1, 1.0]
    >>> knn = SoftDTWKNeighborsClassifier(n_neighbors=1, cache=PairCache(gammas))
    >>> search = GridSearchCV(knn, {"gamma": gammas}, cv=5).fit(X, y)

    Ten series in five folds of two: 40 pairs stand in different folds, and each series meets itself.

    >>> knn.cache.info().computed
    50
    """

    def __init__(self, gammas: Any = None, *, max_bytes: int = 256 * 2**20) -> None:
        try:
            grid = np.empty(0) if gammas is None else np.unique(np.asarray(gammas, dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise type(error)(f"gammas must be finite numbers >= 0. Got {gammas!r}.") from error
        if not (np.isfinite(grid) & (grid >= 0)).all():
            raise ValueError(f"gammas must be finite numbers >= 0. Got {gammas!r}.")
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, (int, np.integer)) or max_bytes < 0:
            raise ValueError(f"max_bytes must be an int >= 0. Got {max_bytes!r}.")
        self._start(grid, int(max_bytes), uuid.uuid4().hex)

    def _start(self, grid: NDArray[np.float64], max_bytes: int, token: str) -> None:
        self.gammas = grid
        self.max_bytes = max_bytes
        self._token = token
        self._lock = threading.Lock()
        self._tables = PairTables(max_bytes)
        self._found = 0
        self._computed = 0
        with _registry_lock:
            _live[token] = self

    def __repr__(self) -> str:
        gammas = f"gammas={self.gammas.tolist()}, " if len(self.gammas) else ""
        return f"PairCache({gammas}max_bytes={self.max_bytes})"

    def __deepcopy__(self, memo: dict[int, Any]) -> PairCache:
        return self  # sklearn.base.clone copies parameters deeply; the clones are to share what is known

    def __copy__(self) -> PairCache:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.gammas, self.max_bytes, self._token)

    def info(self) -> CacheInfo:
        """Counts since the cache was made or cleared, and its size now.

        Returns
        -------
        CacheInfo
            Named tuple ``(found, computed, n_series, n_bytes)``.
        """
        with self._lock:
            return CacheInfo(self._found, self._computed, self._tables.n_series, self._tables.n_bytes)

    def clear(self) -> None:
        """Forget all values and counts."""
        with self._lock:
            self._tables = PairTables(self.max_bytes)
            self._found = self._computed = 0

    def values(
        self, x: SeriesBatch, y: SeriesBatch | None, gamma: float, problem: Hashable, compute: Compute
    ) -> Array:
        """Matrix (len(x), len(y)) at one gamma; what is not known is computed and kept.

        Parameters
        ----------
        x, y : SeriesBatch
            Of one dtype; y=None stands for x.
        gamma : float
        problem : hashable
            Everything else that the values depend on.
        compute : callable
            (x, y, gammas) -> (n_gammas, len(x), len(y)); y=None for x with itself.
        """
        rows = UniqueKeys(_digests(x))
        cols = rows if y is None else UniqueKeys(_digests(y))
        grid, chosen = self._grid(gamma)
        if not self._tables.can_hold(len({*rows.keys, *cols.keys}), len(grid), x.dtype):
            self._count(computed=_n_pairs(len(x), None if y is None else len(y)))
            return compute(x, y, np.array([gamma]))[0]
        problem = (problem, x.n_features, x.dtype.str)
        with self._lock:
            block = self._tables.read(problem, gamma, rows.keys, cols.keys, x.dtype)
        missing = MissingPairs(block, rows, cols)
        self._count(found=block.size - missing.count())
        y = x if y is None else y
        for i, j in missing.rectangles():
            other = None if j is None else y.take(cols.first[j])
            values = compute(x.take(rows.first[i]), other, grid)
            missing.fill(i, j, values[chosen])
            self._count(computed=_n_pairs(len(i), None if j is None else len(j)))
            with self._lock:
                self._tables.write(problem, grid, rows[i], rows[i] if j is None else cols[j], values)
        return block if rows.is_unique and cols.is_unique else block[np.ix_(rows.inverse, cols.inverse)]

    def self_values(self, x: SeriesBatch, gamma: float, problem: Hashable, compute: Compute) -> Array:
        """Each series with itself, (len(x),); `compute` gives (n_gammas, len(x)) and is passed y=None."""
        rows = UniqueKeys(_digests(x))
        grid, chosen = self._grid(gamma)
        if not self._tables.can_hold(len(rows.keys), len(grid), x.dtype):
            self._count(computed=len(x))
            return compute(x, None, np.array([gamma]))[0]
        problem = (problem, x.n_features, x.dtype.str)
        with self._lock:
            known = self._tables.read_diagonal(problem, gamma, rows.keys, x.dtype)
        missing: Index = np.flatnonzero(np.isnan(known))
        self._count(found=len(known) - len(missing), computed=len(missing))
        if len(missing):
            values = compute(x.take(rows.first[missing]), None, grid)
            known[missing] = values[chosen]
            with self._lock:
                self._tables.write_diagonal(problem, grid, rows[missing], values)
        return known[rows.inverse]

    def _grid(self, gamma: float) -> tuple[NDArray[np.float64], int]:
        """The gammas to compute together, and which of them is this one."""
        places = np.flatnonzero(self.gammas == gamma)
        return (self.gammas, int(places[0])) if len(places) else (np.array([gamma]), 0)

    def _count(self, *, found: int = 0, computed: int = 0) -> None:
        with self._lock:
            self._found += found
            self._computed += computed


def resolve_cache(cache: PairCache | str | None) -> PairCache | None:
    """The cache that a constructor argument names: itself, the process-wide one for "auto", or none."""
    if isinstance(cache, str):
        with _registry_lock:
            if not _process_cache:
                _process_cache.append(PairCache(max_bytes=_AUTO_BYTES))
            return _process_cache[0]
    return cache


_AUTO_BYTES = 64 * 2**20
_registry_lock = threading.RLock()
_process_cache: list[PairCache] = []
# By token, so that what was pickled finds its cache again.
_live: weakref.WeakValueDictionary[str, PairCache] = weakref.WeakValueDictionary()
# Between two tasks of a worker process nothing but this holds a cache.
_kept: deque[PairCache] = deque(maxlen=8)


def _restore(gammas: NDArray[np.float64], max_bytes: int, token: str) -> PairCache:
    """Unpickle: the living cache of this token, or an empty one."""
    with _registry_lock:
        cache = _live.get(token)
        if cache is None:
            cache = PairCache.__new__(PairCache)
            cache._start(gammas, max_bytes, token)
            _kept.append(cache)
        return cache


def _n_pairs(n: int, m: int | None) -> int:
    return n * (n + 1) // 2 if m is None else n * m


def _digests(batch: SeriesBatch) -> list[bytes]:
    """A key for the content of each series: 128 bits, enough that no two contents share one."""
    return [hashlib.blake2b(batch[i].tobytes(), digest_size=16).digest() for i in range(len(batch))]
