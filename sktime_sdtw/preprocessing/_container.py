"""What kind of container the user passed, so that a transformer can hand the same kind back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .._series import Array, SeriesBatch, is_list

Kind = Literal["batch", "list", "array"]


@dataclass(frozen=True)
class Container:
    """The outside of a set of series.

    Parameters
    ----------
    kind : {"batch", "list", "array"}
        "list" for lists, tuples and object arrays of arrays, and for nested lists of different lengths.
    is_flat : bool
        Whether the features have no axis: (n, t) arrays, lists of (t,) arrays.
    length : int or None
        Length of the time axis of an array, padding included.
    """

    kind: Kind
    is_flat: bool
    length: int | None = None

    @classmethod
    def of(cls, X: Any) -> Container:
        """Of `X`, which `check_series` has read."""
        if isinstance(X, SeriesBatch):
            return cls("batch", is_flat=False)
        if is_list(X):
            element = X[0]
            # Nested lists of numbers are array-likes to scikit-learn, and an array comes back; lists of
            # arrays are not.
            if hasattr(element, "shape") or not _is_rectangular(X):
                return cls("list", is_flat=_n_dimensions(element) == 1)
        if not hasattr(X, "shape"):
            X = np.asarray(X)
        return cls("array", is_flat=len(X.shape) == 2, length=int(X.shape[1]))

    def wrap(self, batch: SeriesBatch) -> Any:
        """Put series into such a container; an array is padded with NaN to the length of the original."""
        if self.kind == "batch":
            return batch
        if self.kind == "list":
            return [series[:, 0] if self.is_flat else series for series in batch.to_list()]
        return self.wrap_array(batch.to_padded(self.length))

    def wrap_array(self, cube: Array) -> Array:
        """Drop the axis of features of an (n, t, d) array where the original had none."""
        return cube[:, :, 0] if self.is_flat else cube


def _n_dimensions(element: Any) -> int:
    return len(element.shape) if hasattr(element, "shape") else np.asarray(element).ndim


def _is_rectangular(X: Any) -> bool:
    return len({len(element) for element in X}) == 1
