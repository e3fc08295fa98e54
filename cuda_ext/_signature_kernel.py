"""Signature kernels on a GPU: values and gradients of windows of pairs, on buffers of one device.

The increments of the static kernel are written to a table, which the sweeps read; refined ones are nowhere in
memory. Gradients keep the rows between strips, and compute the strips once more on the way back.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._plan import ceil_div
from ._runtime import Argument, Buffer, Runtime
from ._signature_kernel_plan import Chunks, Sizes, Window, choose_chunks, choose_warps
from ._sources import KernelSpec
from ._specs import name_of

LINEAR, POINTS, PRECOMPUTED = 0, 1, 2  # STATIC of the kernels
BLOCK = 256  # threads of kernels that work in blocks
WARP_BLOCK = 64  # of those whose warps work alone
MOST_BLOCKS = 2**16


@functools.cache
def make_kernel_spec(entry: str, real: str, static: int | None = None) -> KernelSpec:
    """One of the kernels; `static` where it looks at paths."""
    return KernelSpec.of(
        f"signature_kernel_{entry}", REAL=real, **({} if static is None else {"STATIC": static})
    )


@dataclass(frozen=True)
class KernelProblem:
    """Paths on the device, and what is computed of them.

    Parameters
    ----------
    static : int
        LINEAR: the paths are increments. POINTS: points, for exp(-scale · squared distance). PRECOMPUTED: x
        has increments of the static kernel, (n_x, rows, cols).
    x, y : Buffer
        (paths, length, channels); y may be x.
    x_steps, y_steps : ndarray of int64
        On the host: steps of each path.
    x_length, y_length, channels : int
        Of x and y as they lie in memory.
    scale : float
        Of the inner product or the squared distance.
    x_order, y_order : int
        How often each step is cut in two.
    """

    static: int
    x: Buffer
    y: Buffer
    x_steps: NDArray[np.int64]
    y_steps: NDArray[np.int64]
    x_length: int
    y_length: int
    channels: int
    scale: float
    x_order: int
    y_order: int

    @property
    def sizes(self) -> Sizes:
        """Of the largest pair."""
        points = int(self.static == POINTS)
        steps = self.x_length - points, self.y_length - points
        return Sizes(*steps, self.x_order, self.y_order, self.channels)

    @property
    def factor(self) -> float:
        """Of the increments in the table: g' = g / √12 for each cell of the grid."""
        cell = 12**-0.5 / 2 ** (self.x_order + self.y_order)
        return cell * self.scale if self.static == LINEAR else cell


class SignatureKernelEngine:
    """Signature kernels on one device, for numbers of one type.

    Parameters
    ----------
    runtime : Runtime
    dtype : dtype
        float32 or float64.
    problem : KernelProblem
        Of which no size is 0.
    """

    def __init__(self, runtime: Runtime, dtype: Any, problem: KernelProblem) -> None:
        self.runtime = runtime
        self.dtype = np.dtype(dtype)
        self.problem = problem
        self.sizes = problem.sizes

    def chunks(self, n_pairs: int, gradient: bool) -> Chunks:
        """How many pairs to ask for at once."""
        matrix = gradient and self.problem.static != LINEAR
        return choose_chunks(self.sizes, n_pairs, self.dtype.itemsize, gradient, matrix)

    def values(self, window: Window, out: Buffer, n_y: int) -> None:
        """Write the values of a window.

        Parameters
        ----------
        window : Window
        out : Buffer
            (n_x,), or (n_x, n_y) for windows of all pairs; paths without steps have 1 there already.
        n_y : int
        """
        table = self._table(window)
        edges = self._edges(window.pairs, gradient=False)
        for begin, end in self._chunks_of(window):
            self._fill(window, begin, end, table)
            self._sweep(window, begin, end, table, edges, out, n_y, gradient=False)

    def gradient(self, window: Window, weights: Buffer, n_y: int) -> tuple[Buffer, Buffer | None]:
        """Gradients of each pair's value times its weight by x and y, (pairs, length, channels) each.

        Of increments and points as they were given; of PRECOMPUTED ones (pairs, rows, cols) and None.
        """
        p, size, real = self.problem, self.sizes, name_of(self.dtype)
        points, pairs = int(p.static == POINTS), window.pairs
        table = self._table(window)
        edges = self._edges(pairs, gradient=True)
        flow = self.runtime.empty(pairs * size.width, self.dtype)
        ranges = self._chunks_of(window)
        for begin, end in ranges:
            self._fill(window, begin, end, table)
            if size.strips > 1:
                self._sweep(window, begin, end, table, edges, None, n_y, gradient=True)
        rows, cols = min(window.strips * size.units, size.rows) + points, size.cols + points
        matrix, backs = table, []
        if p.static != LINEAR:
            numbers = (size.rows if p.static == PRECOMPUTED else rows) * cols
            matrix = self.runtime.empty(pairs * numbers, self.dtype)
        if p.static != PRECOMPUTED:
            lengths = p.x_length, p.y_length
            backs = [self.runtime.zeros(pairs * n * p.channels, self.dtype) for n in lengths]
        for begin, end in reversed(ranges):
            if len(ranges) > 1:
                self._fill(window, begin, end, table)
            self._reverse(window, begin, end, table, edges, flow, weights, n_y)
            first = begin * size.units
            own = min((end - begin) * size.units, size.rows - first) + points
            shape = (np.int64(own), np.int64(cols))
            start = [*self._start(window, begin, end), *self._paths()]
            if p.static != LINEAR:
                place = (size.rows * cols, first) if p.static == PRECOMPUTED else (own * cols, 0)
                self._launch(
                    make_kernel_spec("weights", real, p.static),
                    ceil_div(pairs * own * cols, BLOCK),
                    BLOCK,
                    [*start, table, matrix, *(np.int64(n) for n in place), *shape],
                )
            if p.static != PRECOMPUTED:
                tiles = (ceil_div(own, 128) + ceil_div(cols, 128)) * ceil_div(p.channels, 8)
                self._launch(
                    make_kernel_spec("products", real, p.static),
                    pairs * tiles,
                    BLOCK,
                    [*start, matrix, *shape, *backs],
                )
        return (matrix, None) if p.static == PRECOMPUTED else (backs[0], backs[1])

    # --- launches

    def _fill(self, window: Window, begin: int, end: int, table: Buffer) -> None:
        tiles = ceil_div((end - begin) * self.sizes.units, 64) * ceil_div(self.sizes.cols, 64)
        spec = make_kernel_spec("table", name_of(self.dtype), self.problem.static)
        arguments = [*self._start(window, begin, end), *self._paths(), table]
        self._launch(spec, window.pairs * tiles, BLOCK, arguments)

    def _sweep(
        self,
        window: Window,
        begin: int,
        end: int,
        table: Buffer,
        edges: Buffer | None,
        out: Buffer | None,
        n_y: int,
        *,
        gradient: bool,
    ) -> None:
        warps = choose_warps(window.pairs * (end - begin), self.runtime.multiprocessors)
        arguments = [
            *(*self._start(window, begin, end), table, *self._edge_arguments(edges, gradient=gradient)),
            *(self._progress(window, begin, end), out, np.int64(n_y)),
        ]
        self._launch_warps(make_kernel_spec("sweep", name_of(self.dtype)), warps, arguments)

    def _reverse(
        self,
        window: Window,
        begin: int,
        end: int,
        table: Buffer,
        edges: Buffer | None,
        flow: Buffer,
        weights: Buffer,
        n_y: int,
    ) -> None:
        node_bytes = self.sizes.node_numbers * self.dtype.itemsize
        warps = choose_warps(window.pairs * (end - begin), self.runtime.multiprocessors, node_bytes)
        per_block = WARP_BLOCK // 32
        nodes = self.runtime.empty(
            ceil_div(warps, per_block) * per_block * self.sizes.node_numbers, self.dtype
        )
        arguments = [
            *(*self._start(window, begin, end), table, *self._edge_arguments(edges, gradient=True)),
            *(self._progress(window, begin, end), weights, np.int64(n_y), nodes, flow),
        ]
        self._launch_warps(make_kernel_spec("reverse", name_of(self.dtype)), warps, arguments)

    # --- arguments and memory

    def _pairs(self, window: Window) -> list[Argument]:
        steps = [
            self.runtime.constant(np.ascontiguousarray(n, np.int64))
            for n in (self.problem.x_steps, self.problem.y_steps)
        ]
        sizes = (window.first_x, window.first_y, window.count_y)
        return [*steps, *(np.int64(n) for n in sizes), np.int32(window.upper), np.int64(window.pairs)]

    def _start(self, window: Window, begin: int, end: int) -> list[Argument]:
        """What most kernels begin with."""
        orders = np.int32(self.sizes.x_order), np.int32(self.sizes.y_order)
        sizes = (np.int64(n) for n in (self.sizes.cols, begin, end))
        return [*self._pairs(window), *orders, *sizes]

    def _paths(self) -> list[Argument]:
        p = self.problem
        sizes = (np.int64(n) for n in (p.x_length, p.y_length, p.channels))
        return [p.x, p.y, *sizes, np.float64(p.scale), np.float64(p.factor)]

    def _chunks_of(self, window: Window) -> list[tuple[int, int]]:
        every = self.sizes.strips
        return [(begin, min(begin + window.strips, every)) for begin in range(0, every, window.strips)]

    def _table(self, window: Window) -> Buffer:
        return self.runtime.empty(window.pairs * window.strips * self.sizes.strip_numbers, self.dtype)

    def _edges(self, pairs: int, *, gradient: bool) -> Buffer | None:
        numbers = 2 * pairs * self.sizes.edge_numbers(gradient)
        return self.runtime.empty(numbers, self.dtype) if numbers else None

    def _edge_arguments(self, edges: Buffer | None, *, gradient: bool) -> list[Argument]:
        return [
            edges,
            np.int64(self.sizes.width if gradient else 0),
            np.int64(self.sizes.edge_numbers(gradient)),
        ]

    def _progress(self, window: Window, begin: int, end: int) -> Buffer:
        return self.runtime.zeros(window.pairs * (end - begin) + 1, np.int32)

    def _launch_warps(self, spec: KernelSpec, warps: int, arguments: Sequence[Argument]) -> None:
        self._launch(spec, ceil_div(warps, WARP_BLOCK // 32), WARP_BLOCK, arguments)

    def _launch(self, spec: KernelSpec, blocks: int, threads: int, arguments: Sequence[Argument]) -> None:
        self.runtime.launch(spec, min(blocks, MOST_BLOCKS), threads, arguments)
