"""Local costs: the price of aligning time step i of one series with time step j of another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._series import Array, SeriesBatch, to_float_array
from ._numbers import check_number

COSTS = ("sqeuclidean", "euclidean", "manhattan", "cosine", "gak", "precomputed")
CostFunction = Callable[[Array, Array], Array]


class ResolvedCost(NamedTuple):
    """A checked local cost.

    Parameters
    ----------
    name : str
        One of `COSTS`, or "callable".
    scale : float
        What the engine multiplies squared distances by.
    function : callable or None
        For "callable": (x (t, d), y (s, d)) -> costs (t, s).
    """

    name: str
    scale: float = 1.0
    function: CostFunction | None = None

    def prepare(self, batch: SeriesBatch, name: str) -> SeriesBatch:
        """The series as the engine must see them: for "cosine" with rows of length one, else unchanged."""
        if self.name != "cosine":
            return batch
        # In float64 whatever came: two nearly parallel rows differ by less than float32 can say of unit
        # vectors.
        rows = batch.values.astype(np.float64)
        largest = np.abs(rows).max(axis=1, keepdims=True)
        if not largest.all():
            raise ValueError(
                f"{name} has a time step where all features are zero; cost='cosine' has no angle there."
            )
        rows /= largest  # first, so that the squares neither overflow nor vanish
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return SeriesBatch(rows, batch.offsets)

    def pull_back(self, gradient: Array, batch: SeriesBatch, prepared: SeriesBatch) -> Array:
        """From the gradient with respect to the prepared series to that with respect to the series."""
        if self.name != "cosine":
            return gradient
        unit = prepared.values
        norms = np.einsum("ij,ij->i", batch.values.astype(np.float64), unit)[:, None]
        tangential = gradient - np.einsum("ij,ij->i", gradient, unit)[:, None] * unit
        return np.asarray((tangential / norms).astype(batch.dtype))

    def matrix(self, x: Array, y: Array, name: str = "cost") -> Array:
        """Call the function for one pair and check what it says."""
        assert self.function is not None
        costs = to_float_array(self.function(x, y), f"the result of {name}")
        if costs.shape != (len(x), len(y)):
            raise ValueError(
                f"{name} must return local costs of shape (len(x), len(y)) = {(len(x), len(y))}. "
                f"Got {costs.shape}."
            )
        return check_finite_costs(costs, f"the result of {name}")


def resolve_cost(cost: Any, sigma: Any = 1.0, *, precomputed: bool = True) -> ResolvedCost:
    """Check the arguments `cost` and `sigma`.

    Parameters
    ----------
    cost : str or callable
    sigma : float
        Bandwidth of the Global Alignment Kernel cost, > 0; for other costs 1, its default.
    precomputed : bool
        Whether cost="precomputed" is meaningful where it was passed.

    Returns
    -------
    ResolvedCost
    """
    width = 1.0
    if not (isinstance(sigma, float) and sigma == 1):  # torch.compile cannot look into the check
        width = check_number(sigma, "sigma", 0, exclusive=True)
    if width != 1 and not (isinstance(cost, str) and cost == "gak"):
        raise ValueError(
            f"sigma is the bandwidth of cost='gak'; cost={cost!r} has none. Got sigma={sigma!r}."
        )
    if callable(cost):
        return ResolvedCost("callable", function=cost)
    accepted = COSTS if precomputed else COSTS[:-1]
    if not isinstance(cost, str):
        raise TypeError(f"cost must be one of {list(accepted)} or a callable. Got {cost!r}.")
    if cost not in accepted:
        reason = " (pairwise functions compute the costs: pass a callable)" if cost == "precomputed" else ""
        raise ValueError(f"cost must be one of {list(accepted)} or a callable. Got {cost!r}{reason}.")
    if cost == "gak":
        return ResolvedCost(cost, 1.0 / (2.0 * width**2))
    return ResolvedCost(cost, 0.5 if cost == "cosine" else 1.0)


def check_cost_matrix(costs: Any, name: str) -> Array:
    """One matrix of local costs (n, m): finite, C-contiguous, float32 or float64."""
    matrix = to_float_array(costs, name)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(
            f"{name} must be a matrix of local costs (n_timestamps_x, n_timestamps_y), not empty, where "
            f"cost='precomputed'. Got shape {matrix.shape}."
        )
    return check_finite_costs(matrix, name)


def check_finite_costs(matrix: Array, name: str) -> Array:
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name} contains NaN or inf; finite costs are accepted.")
    return np.ascontiguousarray(matrix)
