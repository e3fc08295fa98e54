"""What the two kernel transformers share: from a measure to a kernel, and its bandwidth."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin
from sklearn.utils import check_random_state

from .._estimator import Interval, SeriesEstimator, SeriesTransformerMixin, StrOptions
from .._measure import MEASURE_CONSTRAINTS, Measure, measure_of
from .._series import Array, SeriesBatch
from ..metrics import median_heuristic_sigma

# A bandwidth for its local cost is what sigma means for the kernel "gak" only, so that cost="gak" stays out.
KERNEL_CONSTRAINTS: dict[str, list[Any]] = {
    **{name: rule for name, rule in MEASURE_CONSTRAINTS.items() if name != "metric"},
    "kernel": [StrOptions({"divergence", "gak", "dtw"})],
    "sigma": [StrOptions({"median"}), Interval(Real, 0, None, closed="neither")],
    "cost": [StrOptions({"sqeuclidean", "euclidean", "manhattan", "cosine"}), callable],
    "random_state": ["random_state"],
}

# Series that the median of all pairs is taken over: 4950 pairs.
N_MEDIAN = 100


class KernelTransformer(ClassNamePrefixFeaturesOutMixin, SeriesTransformerMixin, SeriesEstimator):
    """Base of the two: k(x, y) = exp(-D(x, y) / sigma_), for "gak" exp(-D(x, y))."""

    def _measure(self) -> Measure:
        """The D of the kernel; for "gak" this needs `sigma_`."""
        if self.kernel == "gak":
            # The normalised kernel is exp of minus the divergence of this cost at temperature 1.
            return measure_of(self, metric="divergence", cost="gak", sigma=self.sigma_, gamma=1.0)
        metric = "dtw" if self.kernel == "dtw" else "divergence"
        return measure_of(self, metric=metric)

    def _fit_bandwidth(self, batch: SeriesBatch, matrix: Array | None = None) -> None:
        """Set `sigma_`; `matrix` is D over the batch, where it is known."""
        if self.sigma != "median":
            self.sigma_ = float(self.sigma)
            return
        rng = check_random_state(self.random_state)
        if self.kernel == "gak":
            self.sigma_ = median_heuristic_sigma(batch, random_state=rng)
            return
        chosen = np.arange(len(batch))
        if len(batch) > N_MEDIAN:
            chosen = np.sort(rng.choice(len(batch), N_MEDIAN, replace=False))
        if matrix is None:
            matrix = self._measure().matrix(batch.take(chosen))
        else:
            matrix = matrix[np.ix_(chosen, chosen)]
        between = matrix[np.triu_indices(len(chosen), k=1)]
        positive = between[between > 0]  # copies of a series say nothing about the scale of the others
        self.sigma_ = float(np.median(positive)) if len(positive) else 1.0

    def _to_kernel(self, matrix: Array) -> Array:
        """From D to the kernel, in place."""
        scale = 1.0 if self.kernel == "gak" else self.sigma_
        np.divide(matrix, -scale, out=matrix)
        return np.exp(matrix, out=matrix)
