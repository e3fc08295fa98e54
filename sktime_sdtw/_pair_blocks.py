"""What is missing from a block of pairs, cut into rectangles for the engine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ._series import Array

Index = NDArray[np.int64]


class UniqueKeys:
    """Distinct keys in order of appearance, where each first stands, and the way back to the first order."""

    def __init__(self, keys: list[bytes]) -> None:
        places: dict[bytes, int] = {}
        self.inverse: Index = np.array([places.setdefault(key, len(places)) for key in keys], dtype=np.int64)
        self.keys = list(places)
        self.is_unique = len(places) == len(keys)
        self.first: Index = np.unique(self.inverse, return_index=True)[1].astype(np.int64)

    def __getitem__(self, indices: Index) -> list[bytes]:
        return [self.keys[index] for index in indices]


class MissingPairs:
    """The entries of a block that are NaN; (x, y) and (y, x) are one pair.

    Parameters
    ----------
    block : ndarray of shape (n, m)
        Written by `fill`.
    rows, cols : UniqueKeys
        The series that its n rows and m columns stand for; some may be among both.
    """

    def __init__(self, block: Array, rows: UniqueKeys, cols: UniqueKeys) -> None:
        self.block = block
        self.missing = np.isnan(block)
        # Where the series of a row stands among the columns, and the other way round; -1: nowhere.
        column = {key: j for j, key in enumerate(cols.keys)}
        self.row_as_col: Index = np.array([column.get(key, -1) for key in rows.keys], dtype=np.int64)
        self.col_as_row: Index = np.full(len(cols.keys), -1, dtype=np.int64)
        shared = self.row_as_col >= 0
        self.col_as_row[self.row_as_col[shared]] = np.flatnonzero(shared)

    def count(self) -> int:
        """Number of entries that are missing."""
        return int(np.count_nonzero(self.missing))

    def rectangles(self) -> Iterator[tuple[Index, Index | None]]:
        """Rows and columns (None: the rows again, symmetric) to compute and `fill`, until none is missing."""
        while True:
            incomplete = np.flatnonzero(self.missing.any(axis=0))
            if len(incomplete) == 0:
                return
            pattern = self.missing[:, incomplete[0]]
            cols = incomplete[(self.missing[:, incomplete] == pattern[:, None]).all(axis=0)]
            rows = np.flatnonzero(pattern)
            # Series that stand among the rows and among the columns: half of their square is enough.
            both = rows[np.isin(self.row_as_col[rows], cols)]
            other_rows = np.setdiff1d(rows, both)
            other_cols = np.setdiff1d(cols, self.row_as_col[both])
            if len(both):
                yield both, None
            if len(other_rows):
                yield other_rows, cols
            if len(both) and len(other_cols):
                yield both, other_cols

    def fill(self, rows: Index, cols: Index | None, values: Array) -> None:
        """Write what was computed for a rectangle, also where the same pairs stand the other way round."""
        cols = self.row_as_col[rows] if cols is None else cols
        self._put(rows, cols, values)
        mirrored_rows, mirrored_cols = self.col_as_row[cols], self.row_as_col[rows]
        i, j = mirrored_rows >= 0, mirrored_cols >= 0
        self._put(mirrored_rows[i], mirrored_cols[j], values.T[np.ix_(i, j)])

    def _put(self, rows: Index, cols: Index, values: Array) -> None:
        self.block[np.ix_(rows, cols)] = values
        self.missing[np.ix_(rows, cols)] = False
