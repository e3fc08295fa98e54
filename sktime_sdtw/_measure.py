"""What the estimators compare series by: soft-DTW, its divergence or DTW, cached where there is a cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._cache import PairCache, resolve_cache
from ._engine import Pairs, resolve_device, resolve_n_threads
from ._estimator import COMMON_CONSTRAINTS, GAMMA, StrOptions
from ._series import Array, SeriesBatch
from .metrics import _batch
from .metrics._constraints import Band, resolve_band
from .metrics._costs import ResolvedCost, resolve_cost
from .metrics._divergence import debias

METRICS = {"soft_dtw", "divergence", "dtw"}

# The constructor parameters of estimators that compare series.
MEASURE_CONSTRAINTS: dict[str, list[Any]] = {
    **COMMON_CONSTRAINTS,
    "metric": [StrOptions(METRICS)],
    "gamma": GAMMA,
    "cache": [StrOptions({"auto"}), PairCache, None],
}


class SelfTerms(NamedTuple):
    """Soft-DTW of some series with themselves, none where the metric needs none, and what it was asked for.

    An estimator keeps them from fit. `set_params` after that makes them useless; `Measure.matrix` sees it.

    Parameters
    ----------
    problem : tuple
    values : ndarray of shape (n_samples,) or (0,)
    """

    problem: tuple[Any, ...]
    values: Array

    def take(self, indices: Any) -> SelfTerms:
        """Those of the chosen series."""
        return SelfTerms(self.problem, self.values[indices]) if len(self.values) else self


@dataclass(frozen=True)
class Measure:
    """A metric with all its arguments.

    Parameters
    ----------
    metric : {"soft_dtw", "divergence", "dtw"}
    gamma : float
        Not used by "dtw".
    cost, band : ResolvedCost, Band
    cache : PairCache or None
    n_jobs : int or None
    device : str
    """

    metric: str
    gamma: float
    cost: ResolvedCost
    band: Band
    cache: PairCache | None = None
    n_jobs: int | None = None
    device: str | list[str] = "auto"

    def matrix(
        self, x: SeriesBatch, y: SeriesBatch | None = None, *, self_y: SelfTerms | None = None
    ) -> Array:
        """All pairs, (len(x), len(y)), in the wider of the two dtypes; y=None stands for x, and is symmetric.

        `self_y` are the `self_terms` of y, where they are known.
        """
        if y is None:
            values = self._values(x, None)
            if self.metric == "divergence":
                own = np.diagonal(values).copy()
                debias(values, own, own)
            return values
        dtype = np.result_type(x.dtype, y.dtype)
        # Terms of another precision would not cancel for equal series.
        if self_y is None or self_y.problem != self._problem or dtype != y.dtype:
            self_y = self.self_terms(y.astype(dtype))
        x, y = x.astype(dtype), y.astype(dtype)
        values = self._values(x, y)
        if self.metric == "divergence":
            debias(values, self.self_terms(x).values, self_y.values)
        return values

    def self_terms(self, x: SeriesBatch) -> SelfTerms:
        """Soft-DTW of each series with itself, which a divergence takes off."""
        if self.metric != "divergence":
            return SelfTerms(self._problem, np.empty(0, dtype=x.dtype))
        if self._is_cached:
            assert self.cache is not None
            problem = (self.cost, self.band)
            values = self.cache.self_values(x, self._temperature, problem, self._compute_self)
        else:
            values = self._compute_self(x, None, np.array([self._temperature]))[0]
        return SelfTerms(self._problem, values)

    @property
    def _problem(self) -> tuple[Any, ...]:
        # Plain values: it stands in the fitted state of estimators. A callable is a parameter of theirs.
        cost, band = self.cost, self.band
        function = () if cost.function is None else (cost.function,)
        return (self.metric, self._temperature, cost.name, cost.scale, *function, band.kind, band.parameter)

    @property
    def _temperature(self) -> float:
        return 0.0 if self.metric == "dtw" else float(self.gamma)

    @property
    def _is_cached(self) -> bool:
        # The values of a function are not known by its name, and need not be symmetric.
        return self.cache is not None and self.cost.name != "callable"

    def _values(self, x: SeriesBatch, y: SeriesBatch | None) -> Array:
        if self._is_cached:
            assert self.cache is not None
            return self.cache.values(x, y, self._temperature, (self.cost, self.band), self._compute)
        return self._compute(x, y, np.array([self._temperature]))[0]

    def _compute(self, x: SeriesBatch, y: SeriesBatch | None, gammas: NDArray[np.float64]) -> Array:
        return _batch.pairwise(
            x, y, gammas=gammas, cost=self.cost, band=self.band, n_jobs=self.n_jobs, device=self.device
        )

    def _compute_self(self, x: SeriesBatch, y: SeriesBatch | None, gammas: NDArray[np.float64]) -> Array:
        return _batch.paired(
            Pairs(x, x), gammas=gammas, cost=self.cost, band=self.band, n_jobs=self.n_jobs, device=self.device
        )


def measure_of(estimator: Any, **overrides: Any) -> Measure:
    """The measure that an estimator's parameters describe; `overrides` replace some of them."""
    own = {
        name: getattr(estimator, name) for name in ("metric", "gamma", "cache") if hasattr(estimator, name)
    }
    params = {**estimator._operator_params(), **own, **overrides}
    # Here, so that fit refuses what predict could not use, also where all values come from the cache.
    resolve_device(params["device"])
    resolve_n_threads(params["n_jobs"])
    return Measure(
        metric=params["metric"],
        gamma=params["gamma"],
        cost=resolve_cost(params["cost"], params["sigma"], precomputed=False),
        band=resolve_band(params["sakoe_chiba_radius"], params["itakura_max_slope"]),
        cache=resolve_cache(params["cache"]),
        n_jobs=params["n_jobs"],
        device=params["device"],
    )
