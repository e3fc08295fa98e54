"""Operators on batches that are checked already: what the public functions and the estimators call.

They bring series, cost and engine together: unit rows for the cosine cost, calls of a user's cost function in
chunks, dtypes, and the derivative with respect to gamma.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from .._engine import Pairs, Wanted, lengths_only
from .._series import Array, SeriesBatch
from ._constraints import Band
from ._costs import ResolvedCost

CHUNK_BYTES = 8 * 2**20


class BatchGradient(NamedTuple):
    """Values and derivatives; value and gamma (n,), x and y laid out as the values of the batches."""

    value: Array
    x: Array | None
    y: Array | None
    gamma: Array | None


def pairwise(
    x: SeriesBatch,
    y: SeriesBatch | None,
    *,
    gammas: NDArray[np.float64],
    cost: ResolvedCost,
    band: Band,
    n_jobs: int | None = None,
    device: str | list[str] = "auto",
) -> Array:
    """Values of all pairs, (n_gammas, n_x, n_y); y=None takes x with itself and computes half."""
    dtype = x.dtype
    if cost.name == "callable":
        return _pairwise_callable(x, y, gammas=gammas, cost=cost, band=band, n_jobs=n_jobs, device=device)
    x = cost.prepare(x, "X")
    y = None if y is None else cost.prepare(y, "Y")
    if x.dtype == dtype:
        return _engine.forward(x, y, "upper" if y is None else "full", cost, band, gammas, n_jobs, device)
    # The engine's float64 would be twice the result: block by block of rows instead.
    out = np.empty((len(gammas), len(x), len(x if y is None else y)), dtype)
    for rows in chunks(np.full(len(x), 8 * out[:, 0].size)):
        block = x.take(np.arange(rows.start, rows.stop))
        if y is not None:
            out[:, rows] = _engine.forward(block, y, "full", cost, band, gammas, n_jobs, device)
            continue
        out[:, rows, rows] = _engine.forward(block, None, "upper", cost, band, gammas, n_jobs, device)
        if rows.stop < len(x):
            rest = x.take(np.arange(rows.stop, len(x)))
            out[:, rows, rows.stop :] = _engine.forward(
                block, rest, "full", cost, band, gammas, n_jobs, device
            )
            out[:, rows.stop :, rows] = out[:, rows, rows.stop :].transpose(0, 2, 1)
    return out


def paired(
    pairs: Pairs,
    *,
    gammas: NDArray[np.float64],
    cost: ResolvedCost,
    band: Band,
    n_jobs: int | None = None,
    device: str | list[str] = "auto",
) -> Array:
    """Values of row i of x with row i of y, (n_gammas, n)."""
    out = np.empty((len(gammas), len(pairs.x)), dtype_of(pairs))
    for rows, chunk in prepared_chunks(pairs, cost):
        out[:, rows] = _engine.forward(
            chunk.x, chunk.y, "paired", cost, band, gammas, n_jobs, device, chunk.costs
        )
    return out


def expected_cost(
    pairs: Pairs,
    *,
    gamma: float,
    cost: ResolvedCost,
    band: Band,
    n_jobs: int | None = None,
    device: str | list[str] = "auto",
) -> Array:
    """<E, D> of row i of x with row i of y, (n,); gamma=inf takes the mean over all paths."""
    out = np.empty(len(pairs.x), dtype_of(pairs))
    for rows, chunk in prepared_chunks(pairs, cost):
        result = _engine.gradient(chunk, {"expected_cost"}, cost, band, gamma, n_jobs, device)
        out[rows] = result["expected_cost"]
    return out


def gradient(
    pairs: Pairs,
    *,
    gamma: float,
    cost: ResolvedCost,
    band: Band,
    wrt: Collection[str] = ("x",),
    n_jobs: int | None = None,
    device: str | list[str] = "auto",
) -> BatchGradient:
    """Values and gradients of row i of x with row i of y.

    Parameters
    ----------
    pairs : Pairs
        Of cost matrices, x is the gradient with respect to those.
    gamma : float
        >= 0; 0 takes the optimal path.
    cost, band : ResolvedCost, Band
        A cost that the engine knows by name.
    wrt : subset of {"x", "y", "gamma"}
    """
    dtype = dtype_of(pairs)
    prepared = Pairs(cost.prepare(pairs.x, "X"), cost.prepare(pairs.y, "Y"), pairs.costs)
    wanted: set[Wanted] = {"value"}
    if pairs.costs is None:
        wanted.update(name for name in ("x", "y") if name in wrt)
    elif "x" in wrt:
        wanted.add("alignment")
    if "gamma" in wrt:
        wanted.add("entropy")
    result = _engine.gradient(prepared, wanted, cost, band, gamma, n_jobs, device)
    x, y = result.get("alignment"), None
    if "x" in result:
        x = cost.pull_back(result["x"], pairs.x, prepared.x)
    if "y" in result:
        y = cost.pull_back(result["y"], pairs.y, prepared.y)
    # dR/dgamma = (R - <E, D>)/gamma is minus the entropy of the distribution over paths, which the engine
    # sums without the cancellation of that difference.
    slope = 0.0 - result["entropy"].astype(dtype, copy=False) if "entropy" in result else None
    return BatchGradient(result["value"].astype(dtype, copy=False), x, y, slope)


def dtype_of(pairs: Pairs) -> np.dtype[Any]:
    """The dtype of the results."""
    return pairs.x.dtype if pairs.costs is None else pairs.costs.dtype


def precomputed_pairs(matrices: Sequence[Array]) -> Pairs:
    """Pairs that are given by their cost matrices."""
    dtype = np.result_type(*matrices)
    n, m = np.array([matrix.shape for matrix in matrices], dtype=np.int64).T
    costs = np.concatenate([matrix.ravel() for matrix in matrices]).astype(dtype, copy=False)
    return Pairs(lengths_only(n, dtype), lengths_only(m, dtype), costs)


def prepared_chunks(pairs: Pairs, cost: ResolvedCost) -> Iterator[tuple[slice, Pairs]]:
    """The pairs as the engine takes them: at once, or chunk by chunk where a function makes cost matrices."""
    if cost.name != "callable":
        yield (
            slice(0, len(pairs.x)),
            Pairs(cost.prepare(pairs.x, "X"), cost.prepare(pairs.y, "Y"), pairs.costs),
        )
        return
    cells = pairs.x.lengths * pairs.y.lengths
    for rows in chunks(cells * pairs.x.dtype.itemsize):
        indices = range(rows.start, rows.stop)
        matrices = [cost.matrix(pairs.x[i], pairs.y[i]).astype(pairs.x.dtype, copy=False) for i in indices]
        yield rows, precomputed_pairs(matrices)


def chunks(sizes: NDArray[np.int64]) -> Iterator[slice]:
    """Consecutive slices whose sizes add up to `CHUNK_BYTES` at most (or of one item)."""
    totals = np.concatenate([[0], np.cumsum(sizes)])
    start = 0
    while start < len(sizes):
        stop = max(start + 1, int(np.searchsorted(totals, totals[start] + CHUNK_BYTES, side="right")) - 1)
        yield slice(start, stop)
        start = stop


def pair_chunks(x: SeriesBatch, y: SeriesBatch | None) -> Iterator[tuple[Array, Array, Pairs]]:
    """All pairs (the upper triangle for y=None): rows, columns, and paired batches of bounded memory."""
    other = x if y is None else y
    step = (x.max_length + other.max_length) * x.n_features * x.dtype.itemsize
    count = max(1, CHUNK_BYTES // step)
    for start in range(0, len(x) * len(other), count):
        rows, columns = np.divmod(np.arange(start, min(start + count, len(x) * len(other))), len(other))
        if y is None:
            upper = columns >= rows
            rows, columns = rows[upper], columns[upper]
        if len(rows):
            yield rows, columns, Pairs(x.take(rows), other.take(columns))


def _pairwise_callable(
    x: SeriesBatch,
    y: SeriesBatch | None,
    *,
    gammas: NDArray[np.float64],
    cost: ResolvedCost,
    band: Band,
    n_jobs: int | None,
    device: str | list[str],
) -> Array:
    out = np.empty((len(gammas), len(x), len(x if y is None else y)), x.dtype)
    for rows, columns, pairs in pair_chunks(x, y):
        out[:, rows, columns] = paired(
            pairs, gammas=gammas, cost=cost, band=band, n_jobs=n_jobs, device=device
        )
        if y is None:
            out[:, columns, rows] = out[:, rows, columns]
    return out
