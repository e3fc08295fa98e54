"""Sums of alignment costs between centres and the series that belong to them, with gradients, in one call.

A barycenter is the case of one centre; k-means has one per cluster. However many there are, one evaluation
is one batch of pairs for the engine: every series with its centre, and for the divergence every centre with
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._engine import Pairs
from .._series import Array, SeriesBatch
from ..metrics import _batch
from ..metrics._constraints import Band, resolve_band
from ..metrics._costs import ResolvedCost, resolve_cost
from ._lbfgs import Evaluation, Vector

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# The centres are repeated once per series of a chunk; larger problems go through the engine in several calls.
CHUNK_BYTES = 16 * 2**20
SMALLEST_CHUNK = 256


@dataclass(frozen=True)
class Alignment:
    """How two series are compared: all but the series themselves."""

    gamma: float
    cost: ResolvedCost
    band: Band
    n_jobs: int | None = None
    device: str | list[str] = "auto"

    @classmethod
    def resolve(
        cls,
        *,
        gamma: float,
        cost: object,
        sigma: float,
        sakoe_chiba_radius: int | float | None,
        itakura_max_slope: float | None,
        n_jobs: int | None,
        device: str | list[str],
    ) -> Alignment:
        """Check the arguments. A callable cost is refused: it has no gradient to follow."""
        if callable(cost):
            raise ValueError(
                "cost must be the name of a cost: a barycenter follows its gradient, and a callable has none."
            )
        resolved = resolve_cost(cost, sigma, precomputed=False)
        return cls(
            float(gamma), resolved, resolve_band(sakoe_chiba_radius, itakura_max_slope), n_jobs, device
        )

    def pairwise(self, x: SeriesBatch, y: SeriesBatch | None) -> Floats:
        """Soft-DTW of all pairs, (n_x, n_y)."""
        gammas = np.array([self.gamma])
        values = _batch.pairwise(
            x, y, gammas=gammas, cost=self.cost, band=self.band, n_jobs=self.n_jobs, device=self.device
        )
        return values[0].astype(np.float64, copy=False)

    def own(self, x: SeriesBatch) -> Floats:
        """Soft-DTW of every series with itself, (n,)."""
        return self._paired(Pairs(x, x), self.cost)

    def gradient(self, x: SeriesBatch, y: SeriesBatch) -> tuple[Floats, Array]:
        """Values (n,) of row i of x with row i of y, and gradients laid out as the values of x."""
        pairs = Pairs(x, y)
        result = _batch.gradient(
            pairs, gamma=self.gamma, cost=self.cost, band=self.band, n_jobs=self.n_jobs, device=self.device
        )
        assert result.x is not None
        return result.value.astype(np.float64, copy=False), result.x

    def path_offsets(self, lengths: Ints, length: int) -> Floats:
        """Value of gamma log(number of paths) between a series of `length` and series of `lengths`.

        Soft-DTW plus this lies between 0 and the mean cost over all paths: a size to measure decreases by,
        which Soft-DTW, of either sign, is not. It is minus the value of two series of zeros.
        """
        different, where = np.unique(lengths, return_inverse=True)
        rows = SeriesBatch.from_arrays([np.zeros((n, 1)) for n in different])
        columns = SeriesBatch.from_arrays([np.zeros((length, 1))] * len(different))
        values: Floats = -self._paired(Pairs(rows, columns), ResolvedCost("sqeuclidean"))[where]
        return values

    def _paired(self, pairs: Pairs, cost: ResolvedCost) -> Floats:
        gammas = np.array([self.gamma])
        values = _batch.paired(
            pairs, gammas=gammas, cost=cost, band=self.band, n_jobs=self.n_jobs, device=self.device
        )
        return values[0].astype(np.float64, copy=False)


def distances(
    series: SeriesBatch,
    centres: Array,
    alignment: Alignment,
    *,
    is_divergence: bool,
    half_own: Floats | None = None,
) -> Floats:
    """Soft-DTW of series and centres, or the divergence.

    Parameters
    ----------
    series : SeriesBatch
    centres : ndarray of shape (n_centres, length, n_features)
        Rounded to the dtype of the series, as everywhere.
    alignment : Alignment
    is_divergence : bool
    half_own : ndarray of shape (n_samples,), optional
        Half the self terms of the series, where they are known.

    Returns
    -------
    ndarray of shape (n_samples, n_centres), float64
    """
    n, length, d = centres.shape
    offsets = np.arange(n + 1, dtype=np.int64) * length
    batch = SeriesBatch(np.ascontiguousarray(centres.reshape(-1, d), dtype=series.dtype), offsets)
    values = alignment.pairwise(series, batch)
    if is_divergence:
        half_own = 0.5 * alignment.own(series) if half_own is None else half_own
        values -= half_own[:, None] + 0.5 * alignment.own(batch)
    return values


@dataclass
class _Chunk:
    """Some of the pairs of an evaluation, sorted by centre; at the end, room for the centres themselves."""

    slots: Ints  # which centre each pair belongs to
    weights: Floats
    starts: Ints  # where each centre's pairs start
    present: Ints  # the centres that have pairs here
    own: Floats  # half the self terms of the series, for the divergence
    offsets: Floats
    x_offsets: Ints
    y: SeriesBatch


class CentreLoss:
    """sum_i w_i sdtw(Z_c(i), X_i), or the same with the divergence, for several centres Z_c of one length.

    Parameters
    ----------
    series : SeriesBatch
    weights : ndarray of shape (n_samples,), float64
        Series of weight 0 are left out.
    alignment : Alignment
    length : int
        Number of time steps of the centres.
    is_divergence : bool
    """

    def __init__(
        self, series: SeriesBatch, weights: Floats, alignment: Alignment, length: int, *, is_divergence: bool
    ) -> None:
        self.series = series
        self.weights = weights
        self.alignment = alignment
        self.length = length
        self.is_divergence = is_divergence
        self.half_own = 0.5 * alignment.own(series) if is_divergence else np.zeros(len(series))
        self._path_offsets = alignment.path_offsets(series.lengths, length)
        self.assign(np.zeros(len(series), dtype=np.int64))

    def distances(self, centres: Array) -> Floats:
        """Distances (n_samples, n_centres) of the series from any centres, as they are summed here."""
        return distances(
            self.series, centres, self.alignment, is_divergence=self.is_divergence, half_own=self.half_own
        )

    def assign(self, labels: Ints) -> None:
        """Say which centre each series belongs to."""
        self._labels = labels
        self._prepared: tuple[tuple[int, ...], list[_Chunk]] = ((), [])

    def evaluate(self, centres: Sequence[int], points: Sequence[Vector]) -> list[Evaluation]:
        """Value and gradient for some of the centres; every one of them has a series of weight > 0.

        Parameters
        ----------
        centres : sequence of int
            Their numbers.
        points : sequence of ndarray of shape (length * n_features,), float64
            Where they are.
        """
        n, d = len(centres), self.series.n_features
        cube = np.stack(points).astype(self.series.dtype).reshape(n, self.length, d)
        value, energy, size, mass = np.zeros((4, n))
        gradient = np.zeros((n, self.length * d))
        chunks = self._chunks(tuple(centres))
        for number, chunk in enumerate(chunks):
            last = number == len(chunks) - 1
            n_own = n if last and self.is_divergence else 0
            values, slopes = self._call(chunk, cube, n_own)
            m = len(chunk.slots)
            weighted = chunk.weights * values[:m]
            for target, term in (
                (value, weighted - chunk.weights * chunk.own),
                (energy, weighted + chunk.weights * chunk.offsets),
                (size, np.abs(weighted)),
                (mass, chunk.weights),
                (gradient, chunk.weights[:, None] * slopes[:m]),
            ):
                target[chunk.present] += np.add.reduceat(term, chunk.starts)
            if n_own:
                value -= 0.5 * mass * values[m:]
                size += 0.5 * mass * np.abs(values[m:])
                # Both sides of sdtw(Z, Z) move with Z, and by symmetry alike: twice one half.
                gradient -= mass[:, None] * slopes[m:]
        noise = 2 * np.finfo(self.series.dtype).eps * size
        return [
            Evaluation(float(v), g, max(float(e), 0.0), float(r))
            for v, g, e, r in zip(value, gradient, energy, noise, strict=True)
        ]

    def _call(self, chunk: _Chunk, cube: Array, n_own: int) -> tuple[Floats, Array]:
        length, d = self.length, self.series.n_features
        slots = np.concatenate([chunk.slots, np.arange(n_own)]) if n_own else chunk.slots
        if n_own:
            chunk.y.values[-n_own * length :] = cube.reshape(-1, d)
        x = SeriesBatch(cube[slots].reshape(-1, d), chunk.x_offsets)
        values, slopes = self.alignment.gradient(x, chunk.y)
        return values, slopes.reshape(len(slots), -1)

    def _chunks(self, centres: tuple[int, ...]) -> list[_Chunk]:
        """The pairs for these centres, kept until others are asked for: y does not change in between."""
        if self._prepared[0] == centres:
            return self._prepared[1]
        slot_of = np.full(max(int(self._labels.max()), *centres) + 1, -1)
        slot_of[list(centres)] = np.arange(len(centres))
        slots = np.where(self.weights > 0, slot_of[self._labels], -1)
        members = np.argsort(slots, kind="stable")
        members = members[slots[members] >= 0]
        bytes_each = self.length * self.series.n_features * (self.series.dtype.itemsize + 8)
        size = max(SMALLEST_CHUNK, CHUNK_BYTES // bytes_each)
        parts = [members[i : i + size] for i in range(0, len(members), size)]
        n_own = len(centres) if self.is_divergence else 0
        chunks = [self._chunk(part, slots, n_own if part is parts[-1] else 0) for part in parts]
        self._prepared = (centres, chunks)
        return chunks

    def _chunk(self, members: Ints, slots: Ints, n_own: int) -> _Chunk:
        present, starts = np.unique(slots[members], return_index=True)
        y = self.series.take(members)
        if n_own:
            room = np.zeros((self.length, self.series.n_features), self.series.dtype)
            y = SeriesBatch.concatenate([y, SeriesBatch.from_arrays([room] * n_own)])
        return _Chunk(
            slots=slots[members],
            weights=self.weights[members],
            starts=starts,
            present=present,
            own=self.half_own[members],
            offsets=self._path_offsets[members],
            x_offsets=np.arange(len(members) + n_own + 1, dtype=np.int64) * self.length,
            y=y,
        )
