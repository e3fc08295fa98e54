"""Chunks of the tables of a group of pairs: where they end, and where each strip's part of them lies.

A chunk is a number of rows; or, with a skew, a parallelogram: each strip of columns has rows that lie `skew`
higher than those of the strip before it, as far as there are such rows. Its strips all begin at once then,
while in a chunk of rows each waits until the one before it has reached the end of its first row. Pure
functions, as in `_plan`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ._plan import CHUNK_STEP, PRODUCT_STEPS, TABLE_COLS, Lengths, Variant, offsets_of, padded


@dataclass(frozen=True, eq=False)
class StripPlaces:
    """Where each strip's part of a chunk begins, and in the last entry where all end.

    Parameters
    ----------
    tables, tiles : ndarray of int64
        In cells of a table, and in kept tiles. Strips of all pairs, one after the other.
    """

    tables: Lengths
    tiles: Lengths


@dataclass(frozen=True, eq=False)
class Chunks:
    """The chunks of a group.

    Parameters
    ----------
    ends : tuple of int
        Rows at which they end, in the first strip.
    skew : int
        Rows by which each strip lies above the one before it.
    places : tuple of StripPlaces
        Of each chunk.
    own_tiles_x : ndarray of int64
        Blocks of products.cu for x, of all pairs one after the other.
    """

    ends: tuple[int, ...]
    skew: int
    places: tuple[StripPlaces, ...]
    own_tiles_x: Lengths

    @property
    def rows(self) -> list[tuple[int, int]]:
        """First and last row of each chunk."""
        return list(zip((0, *self.ends), self.ends, strict=False))

    @property
    def most_cells(self) -> int:
        """Of the largest chunk's table."""
        return max(int(places.tables[-1]) for places in self.places)

    @property
    def tiles(self) -> list[int]:
        """Kept tiles of each chunk."""
        return [int(places.tiles[-1]) for places in self.places]


def plan_chunks(n: Lengths, m: Lengths, rows: int, variant: Variant, *, skewed: bool) -> Chunks:
    """Chunks of pairs with these lengths, each with about as many cells as `rows` rows.

    Planned once for the same lengths: a batch of the same shape comes again and again.
    """
    return _planned(n.tobytes(), m.tobytes(), rows, variant, skewed)


@functools.lru_cache(maxsize=64)
def _planned(n_bytes: bytes, m_bytes: bytes, rows: int, variant: Variant, skewed: bool) -> Chunks:
    n, m = np.frombuffer(n_bytes, np.int64), np.frombuffer(m_bytes, np.int64)
    whole = int(padded(int(n.max())))
    if rows < whole and skewed and variant.skew:
        return _skewed_chunks(n, m, -(-whole // rows), variant)
    in_chunk = np.minimum(n, rows)
    strips = -(-m // TABLE_COLS)
    tiles = _tiles_kept(in_chunk, m, variant)
    number = _numbers_of_strips(strips)
    places = StripPlaces(
        _in_strips(padded(in_chunk) * padded(m), strips, number * TABLE_COLS),
        _in_strips(tiles, strips, number * (TABLE_COLS // variant.tile_cols)),
    )
    ends = tuple(range(rows, whole + rows, rows))
    return Chunks(ends, 0, (places,) * len(ends), offsets_of(-(-in_chunk // PRODUCT_STEPS)))


def _skewed_chunks(n: Lengths, m: Lengths, count: int, variant: Variant) -> Chunks:
    skew, strips = variant.skew, -(-m // TABLE_COLS)
    number = _numbers_of_strips(strips)
    # Of each strip: by how much it lies higher, the rows of its table, and its columns.
    above, lengths = number * skew, np.repeat(n, strips)
    columns = np.minimum(np.repeat(m, strips) - number * TABLE_COLS, TABLE_COLS)
    last = int(padded(int((n + skew * (strips - 1)).max())))

    def cells_before(row: int) -> float:
        return float((np.clip(row - above, 0, lengths) * columns).sum())

    whole = cells_before(last)
    ends: list[int] = []
    for chunk in range(1, count):
        # The first row before which there is the share of so many chunks; it lies in (low, high].
        low, high = (ends[-1] if ends else 0) // CHUNK_STEP, last // CHUNK_STEP
        while high - low > 1:
            middle = (low + high) // 2
            if cells_before(middle * CHUNK_STEP) * count >= whole * chunk:
                high = middle
            else:
                low = middle
        ends.append(high * CHUNK_STEP)
    # As high as the skew at least: a strip then needs nothing but what the chunk before has left.
    kept = [0]
    for end in ends:
        if kept[-1] + skew <= end <= last - skew:
            kept.append(end)
    ends = [*kept[1:], last]
    places = []
    for begin, end in zip([0, *ends], ends, strict=False):
        in_chunk = np.clip(end - above, 0, lengths) - np.clip(begin - above, 0, lengths)
        tiles = _tiles_kept(in_chunk, columns, variant)
        places.append(StripPlaces(offsets_of(padded(in_chunk) * padded(columns)), offsets_of(tiles)))
    highest = max(end - begin for begin, end in zip([0, *ends], ends, strict=False))
    own = -(-np.minimum(n, highest + skew * (strips - 1)) // PRODUCT_STEPS)
    return Chunks(tuple(ends), skew, tuple(places), offsets_of(own))


def _tiles_kept(rows: Lengths, columns: Lengths, variant: Variant) -> Lengths:
    """With one more row, for the corners below the last one."""
    return (-(-rows // variant.tile_rows) + 1) * -(-columns // variant.tile_cols)


def _numbers_of_strips(strips: Lengths) -> Lengths:
    """0, 1, … for the strips of each pair."""
    starts = offsets_of(strips)
    return np.arange(starts[-1]) - np.repeat(starts[:-1], strips)


def _in_strips(sizes: Lengths, strips: Lengths, steps: Lengths) -> Lengths:
    """Places of strips, `steps` from where their pair begins; and the end of all."""
    starts = offsets_of(sizes)
    return np.concatenate([np.repeat(starts[:-1], strips) + steps, starts[-1:]])
