"""Signatures on a GPU: the operators of cpu_ext/signatures/engine.hpp, on buffers of one device.

Paths are cut into chunks along time, so that few long ones fill the GPU; their signatures are multiplied in a
tree of neighbours, and gradients go the same way back. A gradient needs no chunk's first state, as each chunk
begins with 1, and nothing is divided out. No launch waits for the host, and none is for a single step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._plan import ceil_div
from ._runtime import Argument, Buffer
from ._signature_algebra import BLOCK, ONE, Places, SignatureAlgebra
from ._signature_plan import Chunks, Layout, choose_chunks, choose_kept, choose_layout, count_words

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


class SignatureEngine(SignatureAlgebra):
    """The operators on one device, for numbers of one type.

    Parameters
    ----------
    runtime : Runtime
    dtype : dtype
        float32 or float64.
    """

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
        self._prepare(batch, chunks, "stream" if stream else "forward")
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
        self._prepare(batch, chunks, "reverse", always=initial is not None)
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
        self._prepare(batch, chunks, "stream reverse")
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

    def _prepare(self, batch: PathBatch, chunks: Chunks, kind: str, *, always: bool = False) -> None:
        """Begin to compile what a call will need, side by side; `always`: products too."""
        prepare = getattr(self.runtime, "prepare", None)  # emulated devices compile when they launch
        if prepare is None:
            return
        layout, forward = self._layout(batch, kind), self._layout(batch, "forward")
        entry = {"reverse": "signature_reverse", "stream reverse": "signature_stream_reverse"}.get(kind)
        specs = [
            self._path_spec(entry, layout)
            if entry
            else self._path_spec("signature", layout, STREAM=int(kind == "stream"))
        ]
        if entry:
            specs.append(self._plain_spec("signature_points", 1))
        if chunks.count > 1 or always:
            specs += [
                self._path_spec("signature", forward, STREAM=0),
                self._plain_spec("signature_product", batch.channels),
            ]
            specs += [self._plain_spec("signature_product_reverse", batch.channels)] if entry else []
        prepare(specs)

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

    # --- products of chunks

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
