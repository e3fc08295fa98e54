"""Signatures on a GPU: the operators of cpu_ext/signatures/engine.hpp, on buffers of one device.

Paths are cut into chunks along time, so that few long ones fill the GPU; their signatures are multiplied in a
tree of neighbours, and gradients go the same way back. A gradient needs no chunk's first state, as each chunk
begins with 1, and nothing is divided out. No launch waits for the host, and none is for a single step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._plan import ceil_div
from ._runtime import Argument, Buffer, Runtime
from ._signature_plan import (
    Chunks,
    Layout,
    check_sizes,
    choose_chunks,
    choose_kept,
    choose_layout,
    count_words,
)
from ._sources import KernelSpec
from ._specs import name_of

BLOCK = 256  # threads, of kernels that have no layout
MOST_BLOCKS = 2**16  # of kernels whose warps go from task to task
MOST_STREAM_CHUNKS = 32  # gradients go through them one after the other


@dataclass(frozen=True)
class PathBatch:
    """Paths on the device.

    Parameters
    ----------
    points : Buffer
        (n_paths, n_points, channels).
    basepoints : Buffer or None
        (n_paths, channels).
    lengths, windows : ndarray of int64 or None
        On the host: points of each path; (n_windows, 2) intervals of points.
    n_paths, n_points, channels, depth : int
    """

    points: Buffer
    basepoints: Buffer | None
    lengths: NDArray[np.int64] | None
    windows: NDArray[np.int64] | None
    n_paths: int
    n_points: int
    channels: int
    depth: int

    @property
    def steps(self) -> int:
        """Steps of a path without regard to its length."""
        return self.n_points - (self.basepoints is None)

    @property
    def row_steps(self) -> int:
        """Steps of the longest row of the results that is no stream."""
        if self.windows is None:
            return self.steps
        return int((self.windows[:, 1] - self.windows[:, 0]).max()) - 1

    @property
    def n_rows(self) -> int:
        """Rows of the results that are no streams."""
        return self.n_paths * (1 if self.windows is None else len(self.windows))

    @property
    def words(self) -> int:
        """Numbers of a signature."""
        return count_words(self.channels, self.depth)


@dataclass(frozen=True)
class Places:
    """Where the factors of the products of a row stand: at scale · i + shift, of so many.

    The gradient of product i stands at place i + shift_gradient, of count_gradient if that is not count_out.
    """

    count_a: int
    count_b: int
    count_out: int
    scale: int = 1
    shift_a: int = 0
    shift_b: int = 0
    count_gradient: int | None = None
    shift_gradient: int = 0

    @staticmethod
    def neighbours(count: int) -> Places:
        """Products of places 0 and 1, of 2 and 3, and so on."""
        return Places(count, count, ceil_div(count, 2), 2, 0, 1)

    def arguments(self, words: Sequence[int]) -> list[Argument]:
        """As the kernels take them; words: of the rows of a, of b and of the result."""
        scales = (self.scale, self.shift_a, self.scale, self.shift_b)
        return [np.int64(n) for n in (self.count_a, self.count_b, self.count_out, *words, *scales)]

    def gradient_arguments(self) -> list[Argument]:
        """Where gradients stand, for the kernel that reads them."""
        count = self.count_out if self.count_gradient is None else self.count_gradient
        return [np.int64(count), np.int64(self.shift_gradient)]


ONE = Places(1, 1, 1)


class SignatureEngine:
    """The operators on one device, for numbers of one type.

    Parameters
    ----------
    runtime : Runtime
    dtype : dtype
        float32 or float64.
    """

    def __init__(self, runtime: Runtime, dtype: Any) -> None:
        self.runtime = runtime
        self.dtype = np.dtype(dtype)

    # --- signatures

    def signature(self, batch: PathBatch, initial: Buffer | None, stream: bool) -> Buffer:
        """Signatures, (n_rows, words) or, of all beginnings, (n_paths, steps, words).

        Parameters
        ----------
        batch : PathBatch
            Of at least one row.
        initial : Buffer or None
            (n_paths, words): what to begin with instead of 1; not with windows.
        stream : bool
        """
        layout = self._layout(batch, "stream" if stream else "forward")
        chunks = self._chunks(batch, layout)
        if not stream:
            out = self._forward(batch, chunks, initial)
            return self._tree(out, batch, chunks.count)[-1]
        before = None
        if chunks.count > 1:
            before = self._scan(self._forward(batch, chunks, initial), batch, chunks.count)
        out = self.runtime.empty(batch.n_paths * batch.steps * batch.words, self.dtype)
        self._launch_paths("signature", layout, batch, chunks, [initial, before, out], STREAM=1)
        return out

    def signature_gradient(
        self, batch: PathBatch, initial: Buffer | None, out: Buffer | None, gradient: Buffer, stream: bool
    ) -> tuple[Buffer, Buffer | None, Buffer | None]:
        """Gradients of points, basepoints and initial, given that of the signatures; `out` of streams too."""
        initial_back = None
        if initial is not None:
            initial_back = self.runtime.empty(batch.n_paths * batch.words, self.dtype)
        if stream:
            assert out is not None
            parts, partial = self._stream_gradient(batch, initial, out, gradient, initial_back)
        else:
            parts, partial = self._gradient(batch, initial, gradient, initial_back)
        points = self.runtime.empty(batch.n_paths * batch.n_points * batch.channels, self.dtype)
        bases = None
        if batch.basepoints is not None:
            bases = self.runtime.empty(batch.n_paths * batch.channels, self.dtype)
        numbers = batch.n_paths * (batch.n_points + (bases is not None)) * batch.channels
        sizes = (batch.n_rows // batch.n_paths, batch.n_paths, batch.n_points, batch.channels, parts)
        windows = order = None
        if batch.windows is not None:
            order = np.argsort(batch.windows[:, 0], kind="stable")
            windows = batch.windows[order]
        self._launch(
            self._plain_spec("signature_points", 1),
            ceil_div(numbers, BLOCK),
            BLOCK,
            [
                *(partial, self._constant(batch.lengths), self._constant(windows), self._constant(order)),
                *(np.int64(size) for size in (*sizes, batch.steps if stream else batch.row_steps)),
                *(points, bases),
            ],
        )
        return points, bases, initial_back

    def _gradient(
        self, batch: PathBatch, initial: Buffer | None, gradient: Buffer, initial_back: Buffer | None
    ) -> tuple[int, Buffer]:
        layout = self._layout(batch, "reverse")
        chunks = self._chunks(batch, layout)
        incoming = gradient
        if chunks.count > 1 or initial is not None:
            tree = self._tree(self._forward(batch, chunks, None), batch, chunks.count)
            if initial is not None:
                assert initial_back is not None
                product = (initial, tree[-1], gradient)
                _, incoming = self._product_back(
                    *product, batch.channels, batch.depth, batch.n_rows, ONE, initial_back
                )
            incoming = self._tree_back(tree, incoming, batch, chunks.count)
        kept = choose_kept(layout, chunks.steps)
        threads = layout.blocks(batch.n_rows * chunks.count) * layout.threads
        states = max(1, (kept.groups + kept.spacing) * layout.state * threads)
        partial = self._partial(batch, layout, batch.row_steps)
        arguments = [
            *(incoming, self.runtime.empty(states, self.dtype)),
            *(np.int32(kept.groups), np.int32(kept.spacing), np.int64(batch.row_steps), partial),
        ]
        self._launch_paths("signature_reverse", layout, batch, chunks, arguments)
        return layout.parts, partial

    def _stream_gradient(
        self,
        batch: PathBatch,
        initial: Buffer | None,
        out: Buffer,
        gradient: Buffer,
        initial_back: Buffer | None,
    ) -> tuple[int, Buffer]:
        layout = self._layout(batch, "stream reverse")
        chunks = self._chunks(batch, layout)
        if chunks.count > MOST_STREAM_CHUNKS:
            each = ceil_div(batch.steps, MOST_STREAM_CHUNKS)
            chunks = Chunks(ceil_div(batch.steps, each), each)
        ends = None
        partial = self._partial(batch, layout, batch.steps)
        if chunks.count > 1:
            # What the beginning of each chunk gets from that chunk, then from all that follow.
            ends = self.runtime.zeros(batch.n_rows * chunks.count * batch.words, self.dtype)
            self._stream_reverse(
                layout, batch, chunks, initial, out, gradient, None, None, ends, initial_back
            )
            own, n = self._forward(batch, chunks, None), chunks.count
            targets = [(chunk, ends, n, chunk - 1) for chunk in range(n - 1, 0, -1)]
            if initial_back is not None:
                targets.append((0, initial_back, 1, 0))
            for chunk, target, count, place in targets:
                self._product_reverse(
                    *(own, own, ends, batch.channels, batch.depth, batch.n_rows),
                    Places(count, n, 1, 1, place, chunk, n, chunk),
                    *((batch.words,) * 3, target, None),
                    add=(True, False),
                )
            initial_back = None
        starts = (None, initial_back)
        self._stream_reverse(layout, batch, chunks, initial, out, gradient, ends, partial, *starts)
        return layout.parts, partial

    def _stream_reverse(
        self,
        layout: Layout,
        batch: PathBatch,
        chunks: Chunks,
        initial: Buffer | None,
        out: Buffer,
        gradient: Buffer,
        ends: Buffer | None,
        partial: Buffer | None,
        starts: Buffer | None,
        first_starts: Buffer | None,
    ) -> None:
        units = batch.n_rows * chunks.count
        lows = None
        prefix = batch.depth - 1
        if starts is not None or first_starts is not None:
            lows = self.runtime.empty(max(1, units * layout.slots * prefix), self.dtype)
        self._launch(
            self._path_spec("signature_stream_reverse", layout),
            layout.blocks(units),
            layout.threads,
            [
                *(batch.points, batch.basepoints, self._constant(batch.lengths), np.int64(batch.n_rows)),
                *(np.int64(batch.n_points), np.int64(chunks.count), np.int64(chunks.steps)),
                *(initial, out, gradient, ends, partial, lows, starts, first_starts),
            ],
        )
        if lows is not None and prefix > 0:
            self._launch(
                self._path_spec("signature_starts", layout),
                ceil_div(units * count_words(batch.channels, prefix), layout.threads),
                layout.threads,
                [lows, np.int64(batch.n_rows), np.int64(chunks.count), starts, first_starts],
            )

    # --- helpers of signatures

    def _layout(self, batch: PathBatch, kind: str) -> Layout:
        return choose_layout(batch.channels, batch.depth, self.dtype.itemsize, kind)

    def _chunks(self, batch: PathBatch, layout: Layout) -> Chunks:
        sizes = (batch.n_rows, batch.row_steps, self.dtype.itemsize)
        return choose_chunks(layout, *sizes, self.runtime.multiprocessors)

    def _constant(self, numbers: NDArray[np.int64] | None) -> Buffer | None:
        if numbers is None:
            return None
        return self.runtime.constant(np.ascontiguousarray(numbers, dtype=np.int64))

    def _partial(self, batch: PathBatch, layout: Layout, steps: int) -> Buffer:
        return self.runtime.empty(layout.parts * batch.n_rows * steps * batch.channels, self.dtype)

    def _forward(self, batch: PathBatch, chunks: Chunks, initial: Buffer | None) -> Buffer:
        """Signatures of all chunks, (n_rows, chunks, words)."""
        out = self.runtime.empty(batch.n_rows * chunks.count * batch.words, self.dtype)
        layout = self._layout(batch, "forward")
        self._launch_paths("signature", layout, batch, chunks, [initial, None, out], STREAM=0)
        return out

    def _launch_paths(
        self,
        entry: str,
        layout: Layout,
        batch: PathBatch,
        chunks: Chunks,
        arguments: Sequence[Argument],
        **defines: int,
    ) -> None:
        n_windows = batch.n_rows // batch.n_paths
        self._launch(
            self._path_spec(entry, layout, **defines),
            layout.blocks(batch.n_rows * chunks.count),
            layout.threads,
            [
                *(batch.points, batch.basepoints),
                *(self._constant(batch.lengths), self._constant(batch.windows)),
                *(np.int64(n_windows), np.int64(batch.n_rows), np.int64(batch.n_points)),
                *(np.int64(chunks.count), np.int64(chunks.steps), *arguments),
            ],
        )

    # --- products

    def product(self, a: Buffer, b: Buffer, n_rows: int, channels: int, depth: int) -> Buffer:
        """Row by row a ⊗ b, (n_rows, words) each."""
        check_sizes(channels, depth)
        words = count_words(channels, depth)
        out = self.runtime.empty(n_rows * words, self.dtype)
        self._product(a, b, channels, n_rows, ONE, (words, words, words), out)
        return out

    def product_gradient(
        self, a: Buffer, b: Buffer, gradient: Buffer, n_rows: int, channels: int, depth: int
    ) -> tuple[Buffer, Buffer]:
        """Gradients of both factors."""
        check_sizes(channels, depth)
        return self._product_back(a, b, gradient, channels, depth, n_rows, ONE)

    def _product(
        self,
        a: Buffer,
        b: Buffer,
        channels: int,
        n_rows: int,
        places: Places,
        words: tuple[int, int, int],
        out: Buffer,
        alpha: float = 1.0,
        beta: float = 1.0,
    ) -> None:
        self._launch(
            self._plain_spec("signature_product", channels),
            ceil_div(n_rows * places.count_out * words[2], BLOCK),
            BLOCK,
            [a, b, np.int64(n_rows), *places.arguments(words), np.float64(alpha), np.float64(beta), out],
        )

    def _product_reverse(
        self,
        a: Buffer,
        b: Buffer,
        gradient: Buffer,
        channels: int,
        levels: int,
        n_rows: int,
        places: Places,
        words: tuple[int, int, int],
        a_back: Buffer | None,
        b_back: Buffer | None,
        *,
        alpha: float = 1.0,
        beta: float = 1.0,
        add: tuple[bool, bool] = (False, False),
    ) -> None:
        shorter = count_words(channels, levels - 2)
        items = n_rows * places.count_out * (shorter + ceil_div(words[2] - shorter, 32))
        self._launch(
            self._plain_spec("signature_product_reverse", channels),
            min(ceil_div(items, BLOCK // 32), MOST_BLOCKS),
            BLOCK,
            [
                *(a, b, gradient, np.int64(n_rows), *places.arguments(words)),
                *(*places.gradient_arguments(), np.float64(alpha), np.float64(beta), np.int32(levels)),
                *(np.int32(add[0]), np.int32(add[1]), a_back, b_back),
            ],
        )

    def _product_back(
        self,
        a: Buffer,
        b: Buffer,
        gradient: Buffer,
        channels: int,
        depth: int,
        n_rows: int,
        places: Places,
        a_back: Buffer | None = None,
    ) -> tuple[Buffer, Buffer]:
        words = count_words(channels, depth)
        if a_back is None:
            a_back = self.runtime.empty(n_rows * words, self.dtype)
        b_back = self.runtime.empty(n_rows * words, self.dtype)
        rows = (words, words, words)
        self._product_reverse(a, b, gradient, channels, depth, n_rows, places, rows, a_back, b_back)
        return a_back, b_back

    def _tree(self, rows: Buffer, batch: PathBatch, count: int) -> list[Buffer]:
        """Products of 1, 2, 4, … neighbours of the `count` of each row; last, one for each row."""
        levels, words = [rows], (batch.words,) * 3
        while count > 1:
            places = Places.neighbours(count)
            count = places.count_out
            out = self.runtime.empty(batch.n_rows * count * batch.words, self.dtype)
            self._product(levels[-1], levels[-1], batch.channels, batch.n_rows, places, words, out)
            levels.append(out)
        return levels

    def _tree_back(self, levels: list[Buffer], gradient: Buffer, batch: PathBatch, count: int) -> Buffer:
        """Gradients of the first level, given those of the last."""
        counts = [count]
        while counts[-1] > 1:
            counts.append(ceil_div(counts[-1], 2))
        for level, size in zip(levels[-2::-1], counts[-2::-1], strict=True):
            back = self.runtime.empty(batch.n_rows * size * batch.words, self.dtype)
            self._product_reverse(
                *(level, level, gradient, batch.channels, batch.depth, batch.n_rows),
                *(Places.neighbours(size), (batch.words,) * 3, back, back),
            )
            gradient = back
        return gradient

    def _scan(self, rows: Buffer, batch: PathBatch, count: int) -> Buffer:
        """Of the `count` of each row, the products of all up to each."""
        shift = 1
        while shift < count:
            out = self.runtime.empty(batch.n_rows * count * batch.words, self.dtype)
            places = Places(count, count, count, 1, -shift, 0)
            self._product(rows, rows, batch.channels, batch.n_rows, places, (batch.words,) * 3, out)
            rows, shift = out, 2 * shift
        return rows

    # --- power series

    def _stages(self, x: Buffer, coefficients: Sequence[float], n_rows: int, channels: int) -> list[Buffer]:
        """Horner's form: stage k is c x + stage k - 1 ⊗ x with c = coefficients[-k], of up to k letters."""
        depth = len(coefficients)
        check_sizes(channels, depth)
        stages = [x]  # the first has no factor in front: what stands there is not read
        for k in range(1, depth + 1):
            before = count_words(channels, k - 1 if k > 1 else depth)
            words = (before, count_words(channels, depth), count_words(channels, k))
            out = self.runtime.empty(n_rows * words[2], self.dtype)
            c = float(coefficients[depth - k])
            self._product(stages[-1], x, channels, n_rows, ONE, words, out, 0.0, c)
            stages.append(out)
        return stages

    def series(self, x: Buffer, coefficients: Sequence[float], n_rows: int, channels: int) -> Buffer:
        """Row by row the sum of coefficients[m - 1] times the m-th power of x."""
        return self._stages(x, coefficients, n_rows, channels)[-1]

    def series_gradient(
        self, x: Buffer, gradient: Buffer, coefficients: Sequence[float], n_rows: int, channels: int
    ) -> Buffer:
        """Gradient of `series`."""
        depth = len(coefficients)
        stages = self._stages(x, coefficients, n_rows, channels)
        words = count_words(channels, depth)
        back = self.runtime.zeros(n_rows * words, self.dtype)
        for k in range(depth, 0, -1):
            shorter = count_words(channels, k - 1) if k > 1 else words
            rows = (shorter, words, count_words(channels, k))
            before = self.runtime.empty(n_rows * shorter, self.dtype) if k > 1 else None
            self._product_reverse(
                *(stages[k - 1], x, gradient, channels, k, n_rows, ONE, rows, before, back),
                alpha=0.0,
                beta=float(coefficients[depth - k]),
                add=(False, True),
            )
            if before is not None:
                gradient = before
        return back

    # --- linear maps

    def linear(
        self, x: Buffer, begins: Buffer, columns: Buffer, values: Buffer, n_rows: int, sizes: tuple[int, int]
    ) -> Buffer:
        """Each row of sizes[0] numbers times a sparse matrix with sizes[1] rows."""
        out = self.runtime.empty(n_rows * sizes[1], self.dtype)
        self._launch(
            self._plain_spec("signature_linear", 1),
            ceil_div(n_rows * sizes[1], BLOCK),
            BLOCK,
            [x, begins, columns, values, np.int64(n_rows), np.int64(sizes[0]), np.int64(sizes[1]), out],
        )
        return out

    # --- launches

    def _path_spec(self, entry: str, layout: Layout, **defines: int) -> KernelSpec:
        return KernelSpec.of(
            entry,
            REAL=name_of(self.dtype),
            CHANNELS=layout.channels,
            DEPTH=layout.depth,
            OWN=layout.own,
            LETTERS=layout.letters,
            THREADS=layout.threads,
            STEPS=layout.steps,
            **defines,
        )

    def _plain_spec(self, entry: str, channels: int) -> KernelSpec:
        return self._path_spec(entry, Layout(channels, 1, 1, 1, BLOCK, 1))

    def _launch(self, spec: KernelSpec, blocks: int, threads: int, arguments: Sequence[Argument]) -> None:
        self.runtime.launch(spec, blocks, threads, arguments)
