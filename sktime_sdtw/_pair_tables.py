"""Square tables of pair values over the series seen so far, under one limit of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._pair_blocks import Index
from ._series import Array

Gammas = NDArray[np.float64]
Name = tuple[Hashable, float]


class PairTables:
    """Tables (problem, gamma) -> (capacity, capacity), NaN where nothing is known. Not thread-safe by itself.

    Parameters
    ----------
    max_bytes : int
        Limit of the size of all tables.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.tables: OrderedDict[Name, Array] = OrderedDict()  # the least recently used first
        self.series: dict[Hashable, _Series] = {}
        self.clock = 0

    @property
    def n_series(self) -> int:
        return sum(len(series.rows) for series in self.series.values())

    @property
    def n_bytes(self) -> int:
        return sum(table.nbytes for table in self.tables.values())

    def can_hold(self, n_series: int, n_gammas: int, dtype: np.dtype[Any]) -> bool:
        """Whether the tables of so many series and gammas alone stay within the limit."""
        return n_series**2 * n_gammas * dtype.itemsize <= self.max_bytes

    def read(
        self, problem: Hashable, gamma: float, rows: list[bytes], cols: list[bytes], dtype: np.dtype[Any]
    ) -> Array:
        """What is known of a block; NaN elsewhere."""
        block = np.full((len(rows), len(cols)), np.nan, dtype=dtype)
        table = self._touch((problem, gamma))
        if table is not None:
            (i, to_i), (j, to_j) = self._find(problem, rows), self._find(problem, cols)
            block[np.ix_(to_i, to_j)] = table[np.ix_(i, j)]
        return block

    def read_diagonal(
        self, problem: Hashable, gamma: float, keys: list[bytes], dtype: np.dtype[Any]
    ) -> Array:
        """What is known of each series with itself; NaN elsewhere."""
        values = np.full(len(keys), np.nan, dtype=dtype)
        table = self._touch((problem, gamma))
        if table is not None:
            i, to_i = self._find(problem, keys)
            values[to_i] = table[i, i]
        return values

    def write(
        self, problem: Hashable, gammas: Gammas, rows: list[bytes], cols: list[bytes], values: Array
    ) -> None:
        """Keep a block (n_gammas, n, m)."""
        self._make_room(problem, gammas, list(dict.fromkeys([*rows, *cols])), values.dtype)
        (i, _), (j, _) = self._find(problem, rows), self._find(problem, cols)
        for gamma, block in zip(gammas, values, strict=True):
            table = self.tables[problem, float(gamma)]
            table[np.ix_(i, j)] = block
            table[np.ix_(j, i)] = block.T

    def write_diagonal(self, problem: Hashable, gammas: Gammas, keys: list[bytes], values: Array) -> None:
        """Keep what series give with themselves, (n_gammas, n)."""
        self._make_room(problem, gammas, keys, values.dtype)
        i, _ = self._find(problem, keys)
        for gamma, diagonal in zip(gammas, values, strict=True):
            self.tables[problem, float(gamma)][i, i] = diagonal

    def _touch(self, name: Name) -> Array | None:
        table = self.tables.get(name)
        if table is not None:
            self.tables.move_to_end(name)
        return table

    def _find(self, problem: Hashable, keys: list[bytes]) -> tuple[Index, Index]:
        """Rows in the tables of those keys that are known, and their places among the keys."""
        series = self.series[problem]
        rows = np.array([series.rows.get(key, -1) for key in keys], dtype=np.int64)
        places = np.flatnonzero(rows >= 0)
        self.clock += 1
        series.last_used[rows[places]] = self.clock
        return rows[places], places

    def _make_room(self, problem: Hashable, gammas: Gammas, keys: list[bytes], dtype: np.dtype[Any]) -> None:
        """A row for every key in the table of every gamma, within the limit."""
        series = self.series.setdefault(problem, _Series())
        wanted: list[Name] = [(problem, float(gamma)) for gamma in gammas]
        n_new = sum(key not in series.rows for key in keys)
        needed = len(series.rows) + n_new
        size = max(series.capacity, needed)
        self._evict_tables(problem, wanted, size, dtype)
        free = self._free_bytes(problem)
        n_tables = len({*wanted, *self._names(problem)})
        if size**2 * n_tables * dtype.itemsize > free:
            size = int(np.sqrt(free // (n_tables * dtype.itemsize)))
            # Half of the room stays empty: a stream of new series is not to come here for each of them.
            self._forget(problem, keys, max(size // 2 - len(keys), 0))
        elif size > series.capacity > 0:
            roomy = needed + needed // 8
            size = roomy if roomy**2 * n_tables * dtype.itemsize <= free else size
        self._resize(problem, wanted, size, dtype)
        for key in keys:
            series.rows.setdefault(key, len(series.rows))

    def _names(self, problem: Hashable) -> list[Name]:
        return [name for name in self.tables if name[0] == problem]

    def _free_bytes(self, problem: Hashable) -> int:
        """What the tables of this problem may take."""
        return self.max_bytes - sum(table.nbytes for name, table in self.tables.items() if name[0] != problem)

    def _evict_tables(self, problem: Hashable, wanted: list[Name], size: int, dtype: np.dtype[Any]) -> None:
        """Drop tables, the least recently used first, until those of this problem fit at this size."""
        for name in list(self.tables):
            n_tables = len({*wanted, *self._names(problem)})
            if size**2 * n_tables * dtype.itemsize <= self._free_bytes(problem):
                break
            if name not in wanted:
                del self.tables[name]
        in_use = {name[0] for name in self.tables} | {problem}
        self.series = {name: series for name, series in self.series.items() if name in in_use}

    def _forget(self, problem: Hashable, keys: list[bytes], n_others: int) -> None:
        """Keep these keys, as far as they are known, and as many of the others, those used last."""
        series = self.series[problem]
        known = list(series.rows)
        pinned = {series.rows[key] for key in keys if key in series.rows}
        newest = np.argsort(-series.last_used[: len(known)], kind="stable").tolist()
        others = [row for row in newest if row not in pinned][:n_others]
        kept = np.array(sorted([*pinned, *others]), dtype=np.int64)
        for name in self._names(problem):
            self.tables[name] = self.tables[name][np.ix_(kept, kept)]
        series.rows = {known[row]: i for i, row in enumerate(kept)}
        series.last_used = series.last_used[kept]

    def _resize(self, problem: Hashable, wanted: list[Name], size: int, dtype: np.dtype[Any]) -> None:
        series = self.series[problem]
        for name in dict.fromkeys([*self._names(problem), *wanted]):
            old = self.tables.get(name)
            if old is None or len(old) != size:
                self.tables[name] = np.full((size, size), np.nan, dtype=dtype)
                if old is not None:
                    self.tables[name][: len(old), : len(old)] = old
        for name in wanted:
            self.tables.move_to_end(name)
        room = size - series.capacity
        series.last_used = np.concatenate([series.last_used, np.zeros(room, dtype=np.int64)])


class _Series:
    """The series of one problem: their rows in its tables, and when each was last used."""

    def __init__(self) -> None:
        self.rows: dict[bytes, int] = {}
        self.last_used: Index = np.zeros(0, dtype=np.int64)

    @property
    def capacity(self) -> int:
        return len(self.last_used)
