"""Tensor algebra on a GPU: products of signatures, power series of them, linear maps of coordinates."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._plan import ceil_div
from ._runtime import Argument, Buffer, Runtime
from ._signature_plan import Layout, check_sizes, count_words
from ._sources import KernelSpec
from ._specs import name_of

BLOCK = 256  # threads, of kernels that have no layout
MOST_BLOCKS = 2**16  # of kernels whose warps go from task to task


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


@functools.cache
def make_spec(entry: str, real: str, layout: Layout, defines: tuple[tuple[str, int], ...]) -> KernelSpec:
    """The kernel of this layout; made once, as the same few come again and again."""
    return KernelSpec.of(
        entry,
        REAL=real,
        CHANNELS=layout.channels,
        DEPTH=layout.depth,
        OWN=layout.own,
        LETTERS=layout.letters,
        THREADS=layout.threads,
        STEPS=layout.steps,
        **dict(defines),
    )


class SignatureAlgebra:
    """What is computed row by row, on one device, for numbers of one type.

    Parameters
    ----------
    runtime : Runtime
    dtype : dtype
        float32 or float64.
    """

    def __init__(self, runtime: Runtime, dtype: Any) -> None:
        self.runtime = runtime
        self.dtype = np.dtype(dtype)

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
        return make_spec(entry, name_of(self.dtype), layout, tuple(defines.items()))

    def _plain_spec(self, entry: str, channels: int) -> KernelSpec:
        return self._path_spec(entry, Layout(channels, 1, 1, 1, BLOCK, 1))

    def _launch(self, spec: KernelSpec, blocks: int, threads: int, arguments: Sequence[Argument]) -> None:
        self.runtime.launch(spec, blocks, threads, arguments)
