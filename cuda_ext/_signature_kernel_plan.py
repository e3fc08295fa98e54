"""How the work on signature kernels is cut: pure functions of sizes, as kernels/signature_kernel.cuh."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ._plan import ceil_div

STRIP_ROWS = 128
MOST_ORDER = 7  # of x: a strip has a whole step at least
SCRATCH_BYTES = 2**29  # tables, edges and matrices of the pairs of a launch
NODE_BYTES = 2**28  # values of strips that warps are at work on
SWEEP_WARPS = 32  # of a multiprocessor, at most: more find no room


@dataclass(frozen=True)
class Sizes:
    """Of the largest pair: steps of x and of y, how often each of them is cut in two, and channels."""

    rows: int
    cols: int
    x_order: int
    y_order: int
    channels: int = 1

    @property
    def units(self) -> int:
        """Steps of x in a strip."""
        return STRIP_ROWS >> self.x_order

    @property
    def strips(self) -> int:
        """Strips of a pair."""
        return ceil_div(self.rows << self.x_order, STRIP_ROWS)

    @property
    def width(self) -> int:
        """Columns of the grid."""
        return self.cols << self.y_order

    @property
    def strip_numbers(self) -> int:
        """Of the table of a strip."""
        return (self.cols + (31 >> self.y_order)) * self.units

    @property
    def node_numbers(self) -> int:
        """Of all values of a strip."""
        return (self.width + 31) * STRIP_ROWS

    def edge_numbers(self, gradient: bool) -> int:
        """Of the rows between the strips of a pair, without their steps: of one, or of all for gradients."""
        return self.width * (self.strips if gradient else min(self.strips - 1, 1))


def check_orders(sizes: Sizes) -> None:
    """Raise where the kernels do not go."""
    if sizes.x_order > MOST_ORDER:
        raise ValueError(
            f"On a GPU the refinement of x is at most {MOST_ORDER}. Got {sizes.x_order}: cut the steps of y "
            "instead, or compute on the CPU."
        )
    if sizes.width >= 2**31 - 64:
        raise ValueError(
            f"On a GPU a grid has fewer than 2**31 columns. Got {sizes.cols} steps of y cut into "
            f"{2**sizes.y_order}."
        )


@dataclass(frozen=True)
class Chunks:
    """How many pairs, and how many strips of each, the table of a launch has."""

    pairs: int
    strips: int


def choose_chunks(sizes: Sizes, n_pairs: int, itemsize: int, gradient: bool, matrix: bool) -> Chunks:
    """All strips of as many pairs as scratch has room for; of a large pair, some strips after the other.

    `matrix`: whether there is a plain matrix of each pair beside the table.
    """
    room = SCRATCH_BYTES // itemsize
    more = (sizes.rows + 1) * (sizes.cols + 1) if matrix else 0
    if gradient:  # a row that goes up from strip to strip, and the results
        more += sizes.width + (sizes.rows + sizes.cols + 2) * sizes.channels
    pair = sizes.strips * sizes.strip_numbers + 2 * sizes.edge_numbers(gradient) + more
    if pair <= room:
        return Chunks(max(1, min(n_pairs, room // pair)), sizes.strips)
    strip = sizes.strip_numbers + ((sizes.units + 1) * (sizes.cols + 1) if matrix else 0)
    return Chunks(1, max(1, min(sizes.strips, room // strip)))


@dataclass(frozen=True)
class Window:
    """Pairs of a launch.

    Parameters
    ----------
    first_x, count_x : int
        Paths of x, each with the one of the same number;
    first_y, count_y : int
        or, where count_y is not 0, with all of these.
    upper : bool
        Only with those of y that are not before it.
    strips : int
        Of a pair, that are in the table at a time.
    """

    first_x: int
    count_x: int
    first_y: int = 0
    count_y: int = 0
    upper: bool = False
    strips: int = 1

    @property
    def pairs(self) -> int:
        """How many."""
        return self.count_x * max(1, self.count_y)

    def halves(self) -> list[Window]:
        """The same in smaller steps; an empty list where there are none."""
        for first, count in (("first_x", "count_x"), ("first_y", "count_y")):
            begin, every = getattr(self, first), getattr(self, count)
            if every > 1:
                half = every // 2
                return [
                    replace(self, **{first: begin, count: half}),
                    replace(self, **{first: begin + half, count: every - half}),
                ]
        return [replace(self, strips=self.strips // 2)] if self.strips > 1 else []


def windows_of(n_x: int, n_y: int, paired: bool, upper: bool, chunks: Chunks) -> Iterator[Window]:
    """All pairs: whole rows of the matrix at a time where they fit, else parts of them."""
    most_pairs, strips = chunks.pairs, chunks.strips
    if paired:
        for first in range(0, n_x, most_pairs):
            yield Window(first, min(most_pairs, n_x - first), strips=strips)
        return
    first = 0
    while first < n_x:
        begin = first if upper else 0
        each = max(1, min(n_x - first, most_pairs // max(1, n_y - begin)))
        for first_y in range(begin, n_y, most_pairs if each == 1 else n_y):
            count_y = min(n_y - first_y, most_pairs if each == 1 else n_y)
            yield Window(first, each, first_y, count_y, upper, strips)
        first += each


def choose_warps(tasks: int, multiprocessors: int, node_bytes: int = 0) -> int:
    """Warps of a launch; `node_bytes` is what each keeps of a strip."""
    most = multiprocessors * SWEEP_WARPS
    if node_bytes:
        most = min(most, max(1, NODE_BYTES // node_bytes))
    return max(1, min(tasks, most))
