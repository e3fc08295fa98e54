"""What lies on the device: series, pairs for chunks of rows, and what passes between sweeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._chunks import Chunks
from ._plan import GroupLayout, Variant
from ._runtime import Buffer

OWN, WIDE, HARD, WIDE_HARD, OVERFLOW = range(5)  # methods, as classify.cu counts them in `seen`


class View:
    """A part of a buffer, which it keeps alive."""

    def __init__(self, buffer: Buffer, start: int, count: int) -> None:
        self.buffer = buffer
        self.pointer = buffer.pointer + start * buffer.dtype.itemsize
        self.dtype = buffer.dtype
        self.count = count

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True)
class Arithmetic:
    """What a method computes with."""

    method: int
    real: np.dtype[Any]
    hard: bool

    @property
    def exponent(self) -> np.dtype[Any]:
        """Type of the exponents of scaled numbers."""
        return np.dtype(np.float64 if self.real == np.float64 else np.int32)


def arithmetic_of(method: int, store: np.dtype[Any]) -> Arithmetic:
    """The arithmetic of a method for series of this type."""
    wide = method in (WIDE, WIDE_HARD)
    return Arithmetic(method, np.dtype(np.float64) if wide else store, method in (HARD, WIDE_HARD))


@dataclass
class DeviceSeries:
    """Series on the device, and where they lie there.

    Parameters
    ----------
    values : Buffer or None
        None where costs are given: then only lengths count.
    offsets : ndarray of int64
        On the host; the first may lie anywhere in `values`.
    device_offsets : Buffer
        The same on the device.
    low, high : Buffer or None
        The range of each feature of each series, in `parts` parts.
    """

    values: Buffer | None
    offsets: NDArray[np.int64]
    device_offsets: Buffer
    n_features: int
    low: Buffer | None = None
    high: Buffer | None = None
    parts: int = 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Time steps of each series."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def part(self, first: int, last: int) -> DeviceSeries:
        """Series first <= index < last, in the same memory."""
        count, step = last - first, self.parts * self.n_features
        return DeviceSeries(
            self.values,
            self.offsets[first : last + 1],
            View(self.device_offsets, first, count + 1),
            self.n_features,
            None if self.low is None else View(self.low, first * step, count * step),
            None if self.high is None else View(self.high, first * step, count * step),
            self.parts,
        )


@dataclass
class DevicePairs:
    """A group of pairs for sweeps over chunks of rows.

    Parameters
    ----------
    x, y : DeviceSeries
        Pair k is x[k] with y[k], for the lengths; and for the values too without lists.
    layout : GroupLayout
        And the same arrays on the device, by name.
    plan : Chunks
    strips : list of (Buffer, Buffer)
        On the device, for each chunk: where the strips of its table begin, and those of its kept tiles.
    own_tiles_x : Buffer
        That of the plan, on the device.
    source_x, source_y, list_x, list_y : optional
        For lists of pairs: the series, and which of them each pair takes.
    costs, cost_offsets : Buffer, optional
        For precomputed costs.
    """

    x: DeviceSeries
    y: DeviceSeries
    variant: Variant
    layout: GroupLayout
    device: dict[str, Buffer]
    plan: Chunks
    strips: list[tuple[Buffer, Buffer]]
    own_tiles_x: Buffer
    source_x: DeviceSeries | None = None
    source_y: DeviceSeries | None = None
    list_x: Buffer | None = None
    list_y: Buffer | None = None
    costs: Buffer | None = None
    cost_offsets: Buffer | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def longest_x(self) -> int:
        """Rows of the highest table."""
        return int(self.x.lengths.max())

    def chunks(self) -> list[tuple[int, int]]:
        """First and last row of each chunk, in the first strip."""
        return self.plan.rows

    def places(self, rows: tuple[int, int]) -> tuple[Buffer, Buffer]:
        """Where the strips of a chunk begin: in its table, and among its kept tiles."""
        return self.strips[self.plan.ends.index(rows[1])]


@dataclass
class State:
    """The row between two chunks."""

    m: Buffer | None = None
    e: Buffer | None = None

    def part(self, first: int, count: int) -> State:
        """One of several, one after the other."""
        assert self.m is not None
        assert self.e is not None
        return State(View(self.m, first, count), View(self.e, first, count))


@dataclass
class Kept:
    """What a sweep keeps of the tiles of a chunk for the reverse sweep."""

    m: Buffer
    e: Buffer

    def part(self, first: int, count: int) -> Kept:
        """That of one of several chunks, one after the other."""
        return Kept(View(self.m, first, count), View(self.e, first, count))


@dataclass
class Flows:
    """What passes between the chunks and the strips of a reverse sweep, and its results; None: not wanted."""

    up: Buffer
    diag: Buffer
    edge_left: Buffer | None = None
    edge_diag: Buffer | None = None
    grad_x: Buffer | None = None
    grad_y: Buffer | None = None
    alignment: Buffer | None = None
    alignment_offsets: Buffer | None = None
    expected_cost: Buffer | None = None
    entropy: Buffer | None = None


NO_STATE = State()
