"""How work is cut for a GPU: rectangles of the output, groups of pairs, chunks of rows, grids.

Pure functions. Nothing here allocates memory or knows a device beyond two numbers, its multiprocessors and
the bytes that may be used: all of it is tested for sizes that no machine holds. Sizes are Python integers or
int64.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Lengths = NDArray[np.int64]

CHUNK_STEP = 8  # rows of a chunk: a multiple of the rows of every tile
SWEEP_THREADS = 128
BLOCK_THREADS = 256  # of the kernels that work in whole blocks: ranges, table, products
SWEEP_BLOCKS = 8  # of SWEEP_THREADS for a multiprocessor; those that find no task left end at once
TABLE_ROWS, TABLE_COLS = 64, 128  # cells of a block of table.cu and tensor_table.cu
PRODUCT_STEPS = 64  # time steps of a block of products.cu
MOST_DIM_WINDOWS = 8  # features up to which the sweep computes the costs itself, for all pairs of two batches
MOST_DIM_PAIRS = 3  # likewise for lists of pairs: their reverse sweep needs more registers
SUMS = frozenset({"expected_cost", "entropy"})  # over all cells of a pair, by the reverse sweep
LEAST_DIM_TENSOR = 16  # features from which tensor cores compute the costs: what they take at a time
TENSOR_CAPABILITY = (8, 0)  # the first GPUs whose tensor cores take numbers of 11 bits
MOST_TASKS = 2**30  # of one launch: its tickets are ints
MOST_RUN = 32
MOST_LISTED = 2**16  # pairs of a window that are written out as a list

# Shares of the memory of the device. None has been tuned on a GPU yet.
EDGE_BYTES = 2**31  # columns that pass from strip to strip
TABLE_BYTES = 2**30  # cost tables of values
SCRATCH_BYTES = 2**28  # what gradients keep of a chunk of rows, with its cost table
RESULT_BYTES = 2**28  # one rectangle of results, of which two exist at a time
LEAST_RESULT_BYTES = 2**22
MOST_TABLES_OF_KEPT = 4  # chunks of which all tiles are kept; for more it is better to sweep twice
SMALL_BYTES = 2**24  # what needs less is planned without asking the device how much memory it has


def ceil_div(a: int, b: int) -> int:
    """The quotient, rounded up."""
    return -(-a // b)


def padded(lengths: Any, step: int = CHUNK_STEP) -> Any:
    """Rows in whole steps; of an int or an array."""
    return (lengths + step - 1) // step * step


def offsets_of(sizes: Any) -> Lengths:
    """Where each of consecutive pieces begins, and where the last one ends."""
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


# --- kernels


@dataclass(frozen=True)
class Variant:
    """The compile-time sizes of a sweep.

    Parameters
    ----------
    dim : int
        Features whose costs the sweep computes itself; 0 where it reads a table of costs.
    tile_rows, tile_cols, lanes : int
        Cells that a lane takes at a time, and lanes of a strip.
    strips : int
        Strips of the longest series of y.
    """

    dim: int
    tile_rows: int
    tile_cols: int
    lanes: int
    strips: int

    @property
    def multi(self) -> bool:
        """Whether a pair has several strips, which hand their last column on."""
        return self.strips > 1

    @property
    def skew(self) -> int:
        """Rows by which a strip's part of a chunk may lie above that of the strip before it.

        So many that the strip, one tile a lane behind, and told of four tiles at a time, waits for nothing.
        """
        return (self.lanes + 4) * self.tile_rows if self.multi else 0

    @property
    def kept_numbers(self) -> int:
        """Numbers that are kept of a tile."""
        return int(padded(self.tile_cols + self.tile_rows, 4))


def choose_variant(
    dim: int, longest: int, groups: int, multiprocessors: int, *, paired: bool, wide: bool
) -> Variant:
    """The sweep for series of y of up to `longest` time steps.

    Parameters
    ----------
    dim : int
    longest : int
    groups : int
        Number of independent strips. Short series share a warp where there are enough of them to fill the
        device all the same.
    multiprocessors : int
    paired, wide : bool
        Pairs rather than a rectangle of them; arithmetic in double. Both need so many registers that tiles
        are small.
    """
    small = paired or wide
    rows, cols = (4, 4) if small else (4 if dim > 4 else 8, 8)
    lanes = 32
    if groups >= 64 * multiprocessors:
        lanes = next(lanes for lanes in (8, 16, 32) if longest <= lanes * cols or lanes == 32)
    return Variant(dim, rows, cols, lanes, ceil_div(longest, lanes * cols))


def dim_of_windows(n_features: int, cost: int) -> int:
    """Features whose costs the sweep of all pairs computes itself, or 0 for a table of costs.

    The functions of the alignment kernel's cost (3), written out for every cell of a tile, take NVRTC seconds
    to compile: a table too. So do costs that are given (4).
    """
    return n_features if n_features <= MOST_DIM_WINDOWS and cost < 3 else 0


def dim_of_pairs(n_features: int, cost: int, wanted: Collection[str] = ()) -> int:
    """The same for lists of pairs, for values or what is wanted of gradients.

    Sums over all cells take the registers that differences of features would need: with them a table too.
    """
    few = n_features <= MOST_DIM_PAIRS and SUMS.isdisjoint(wanted)
    return n_features if few and cost < 3 else 0


def on_tensor_cores(n_features: int, cost: int, real: Any, capability: tuple[int, int]) -> bool:
    """Whether a table of costs is computed by products, on tensor cores, rather than by differences.

    Products take three instructions of the tensor core for 1024 of a cell and a feature, differences 64 of
    the other kind. What they need beside is worth it from some features on; and only sums of squares (squared
    and plain Euclidean costs, the alignment kernel's) in float have a product form, see tensor_table.cu.
    """
    squares = cost in (0, 1, 3)
    enough = n_features >= LEAST_DIM_TENSOR and capability >= TENSOR_CAPABILITY
    return squares and enough and np.dtype(real) == np.float32


def feature_tile(n_features: int) -> int:
    """FEATURE_TILE of products.cu."""
    return next(tile for tile in (8, 16, 32, 64) if n_features <= tile or tile == 64)


def sweep_blocks(groups: int, variant: Variant, multiprocessors: int) -> int:
    """Blocks of a launch whose warps take tasks until none is left."""
    warps = ceil_div(groups * variant.lanes, 32) * variant.strips
    return max(1, min(ceil_div(warps, SWEEP_THREADS // 32), SWEEP_BLOCKS * multiprocessors))


def grid_blocks(tasks: int, multiprocessors: int) -> int:
    """Blocks of a launch that strides through its tasks, one block for each."""
    return max(1, min(tasks, 8 * multiprocessors))


def range_parts(n_series: int, longest: int, n_features: int, multiprocessors: int) -> int:
    """Into how many parts ranges.cu cuts each series."""
    useful = ceil_div(longest * n_features, 16 * BLOCK_THREADS)
    return max(1, min(useful, ceil_div(4 * multiprocessors, n_series)))


# --- pairwise values


@dataclass(frozen=True)
class Window:
    """A rectangle of the output, first <= index < last; `upper`: on the diagonal, half of it computed."""

    first_x: int
    last_x: int
    first_y: int
    last_y: int
    upper: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.last_x - self.first_x, self.last_y - self.first_y

    def halves(self) -> list[Window]:
        """The same in smaller windows; an empty list where there is only one pair."""
        rows, cols = self.shape
        if rows == cols == 1:
            return []
        if self.upper:
            middle = self.first_x + rows // 2
            return [
                Window(self.first_x, middle, self.first_x, middle, True),
                Window(self.first_x, middle, middle, self.last_x),
                Window(middle, self.last_x, middle, self.last_x, True),
            ]
        if rows >= cols:
            middle = self.first_x + rows // 2
            return [
                Window(self.first_x, middle, self.first_y, self.last_y),
                Window(middle, self.last_x, self.first_y, self.last_y),
            ]
        middle = self.first_y + cols // 2
        return [
            Window(self.first_x, self.last_x, self.first_y, middle),
            Window(self.first_x, self.last_x, middle, self.last_y),
        ]


def pairs_of_window(
    n_x: int,
    n_y: int,
    longest_x: int,
    n_gammas: int,
    itemsize: int,
    variant: Variant,
    memory: int,
    devices: int = 1,
) -> int:
    """Most pairs of one window: by its results, by the columns between its strips, by its tickets.

    A whole matrix comes in eight windows or more, unless it is small: results travel back while the next
    window is computed. Several devices need some for each.
    """
    result = n_gammas * (itemsize + 1)  # with a byte for the method
    whole = n_x * n_y * result
    bytes_of_window = max(min(RESULT_BYTES, memory // 8), 1)
    bytes_of_window = min(bytes_of_window, max(ceil_div(whole, 8), LEAST_RESULT_BYTES))
    pairs = min(bytes_of_window // result, MOST_TASKS // (n_gammas * variant.strips))
    if variant.multi:
        edge = padded(longest_x) * n_gammas * 16  # two doubles at most
        pairs = min(pairs, min(EDGE_BYTES, memory // 4) // edge)
    if devices > 1:
        pairs = min(pairs, ceil_div(n_x * n_y, 4 * devices))
    return max(1, pairs)


def windows(n_x: int, n_y: int, pairs: int, upper: bool) -> Iterator[Window]:
    """The output in windows of `pairs` pairs at most, bands of rows from the top."""
    # Whole rows where a window holds some; else about as high as wide. Squares on the diagonal fit too then.
    rows = min(n_x, pairs // n_y if n_y <= pairs // 32 else max(1, math.isqrt(pairs)))
    cols = max(1, pairs // rows)
    for first in range(0, n_x, rows):
        last = min(first + rows, n_x)
        if upper:
            yield Window(first, last, first, last, True)
        for begin in range(last if upper else 0, n_y, cols):
            yield Window(first, last, begin, min(begin + cols, n_y))


def run_length(rows: int, cols: int, n_gammas: int, variant: Variant, multiprocessors: int) -> int:
    """Series of x that stream through a strip one after the other.

    Long runs wait less at their ends, short ones share the work better.
    """
    strips = rows * cols * n_gammas * variant.strips
    enough = 8 * multiprocessors * SWEEP_BLOCKS * (SWEEP_THREADS // variant.lanes)
    return max(1, min(MOST_RUN, rows, strips // enough))


# --- lists of pairs


def split_pairs(sizes: NDArray[Any], budget: int, least: int = 1, most: int = MOST_TASKS) -> Iterator[slice]:
    """Consecutive groups of pairs whose sizes add up to `budget` at most, or that have `least` pairs."""
    totals = np.concatenate([[0.0], np.cumsum(sizes, dtype=np.float64)])
    start, count = 0, len(sizes)
    while start < count:
        fits = int(np.searchsorted(totals, totals[start] + budget, side="right")) - 1
        stop = min(count, max(fits, start + least), start + most)
        yield slice(start, stop)
        start = stop


def least_pairs(variant: Variant, multiprocessors: int) -> int:
    """Pairs of a group that keep the device busy: long ones have many strips and take few."""
    return ceil_div(8 * multiprocessors, variant.strips)


def cells_of_chunk(n: Lengths, m: Lengths, rows: int) -> int:
    """Cells of `rows` rows of each of the tables, n x m, padded as in a table."""
    return int((padded(np.minimum(n, rows)) * padded(m)).sum())


def chunk_rows(n: Lengths, m: Lengths, cell_bytes: float, budget: int, state_bytes: int = 0) -> int:
    """Rows of all pairs of a group that are computed at a time, in whole tiles.

    Parameters
    ----------
    n, m : ndarray of int64
        Lengths of the pairs.
    cell_bytes : float
        Bytes for each cell of a chunk.
    budget : int
        Bytes that a chunk should not exceed.
    state_bytes : int
        Bytes for each column at the start of each chunk, where all of those are kept: then fewer rows than
        the budget may only make things worse.
    """
    whole = int(padded(int(n.max())))
    rows = whole
    if int(n.min()) > whole - CHUNK_STEP:  # all alike
        most = int(budget / (float(padded(m).sum()) * cell_bytes)) // CHUNK_STEP
        rows = min(max(1, most) * CHUNK_STEP, whole)
    elif cells_of_chunk(n, m, whole) * cell_bytes > budget:
        low, high = 1, whole // CHUNK_STEP  # in tiles: the largest that fits lies in [low, high)
        while high - low > 1:
            middle = (low + high) // 2
            if cells_of_chunk(n, m, middle * CHUNK_STEP) * cell_bytes <= budget:
                low = middle
            else:
                high = middle
        rows = low * CHUNK_STEP
    if rows < whole and state_bytes:
        rows = max(rows, int(padded(math.isqrt(int(whole * state_bytes / cell_bytes)))))
    return min(rows, whole)


@dataclass(frozen=True)
class GroupLayout:
    """Where the pairs of a group lie in the arrays of a chunk of rows; one entry more than pairs each.

    Parameters
    ----------
    columns : ndarray
        Columns: flows, and states between chunks.
    tiles : ndarray
        Kept tiles.
    tables : ndarray
        Cells of the table.
    edges : ndarray
        Rows, in whole tiles: what passes between strips.
    whole_edges : ndarray
        The same where all rows are computed at once.
    table_tiles : ndarray
        Strips, which are the blocks of table.cu for one row of blocks.
    own_tiles_y : ndarray
        Blocks of products.cu for y.
    """

    columns: Lengths
    tiles: Lengths
    tables: Lengths
    edges: Lengths
    whole_edges: Lengths
    table_tiles: Lengths
    own_tiles_y: Lengths


def group_layout(n: Lengths, m: Lengths, rows: int, variant: Variant) -> GroupLayout:
    """The layout of the chunks of `rows` rows of these pairs."""
    in_chunk = np.minimum(n, rows)
    in_tiles = -(-in_chunk // variant.tile_rows)
    return GroupLayout(
        columns=offsets_of(m),
        tiles=offsets_of(in_tiles * -(-m // variant.tile_cols)),
        tables=offsets_of(padded(in_chunk) * padded(m)),
        edges=offsets_of(in_tiles * variant.tile_rows),
        whole_edges=offsets_of(padded(n, variant.tile_rows)),
        table_tiles=offsets_of(-(-m // TABLE_COLS)),
        own_tiles_y=offsets_of(-(-m // PRODUCT_STEPS)),
    )


def scratch_budget(enough: int, memory: int) -> int:
    """Bytes for what derivatives keep of the rows of pairs, where so many are enough for all of them.

    Less than a mebibyte would save nothing.
    """
    return min(SCRATCH_BYTES, memory // 4, max(2**20, enough))


def gradient_budget(n: Lengths, m: Lengths, real_bytes: int, memory: int) -> int:
    """The same for gradients.

    One and a half numbers a cell: the kept tiles of all rows, which take one, and a table for half of them.
    Never a whole table, however small it is.
    """
    return scratch_budget(3 * real_bytes * int((padded(n) * padded(m)).sum()) // 2, memory)


def kept_cell_bytes(variant: Variant, real_bytes: int) -> float:
    """Bytes that kept tiles take for each cell; an exponent takes as many as a number."""
    return 2 * real_bytes * variant.kept_numbers / (variant.tile_rows * variant.tile_cols)


def gradient_rows(n: Lengths, m: Lengths, variant: Variant, real_bytes: int, budget: int) -> tuple[int, bool]:
    """Rows of a chunk of gradients, and whether the tiles of all chunks are kept beside its table.

    Then no row is swept twice. Otherwise only those of one chunk are there at a time.
    """
    kept, table = kept_cell_bytes(variant, real_bytes), 0 if variant.dim else real_bytes
    of_all = kept * cells_of_chunk(n, m, int(padded(int(n.max()))))
    left = int(budget - of_all)
    if table and left * MOST_TABLES_OF_KEPT * kept >= of_all * table:
        return chunk_rows(n, m, table, left), True
    return chunk_rows(n, m, kept + table, budget, 2 * real_bytes), False
