"""Values of all pairs of two sets of series, window by window of the output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _plan
from ._data import DeviceSeries, arithmetic_of
from ._kernels import Kernels
from ._pairs import Problem, listed_values, pair_variant
from ._pieces import Downloads, usable_memory
from ._plan import Variant, Window
from ._runtime import Buffer, Runtime

if TYPE_CHECKING:
    from sktime_sdtw._series import Array, SeriesBatch

    from ._engine import Settings


def value_windows(
    runtimes: Sequence[Runtime],
    x: SeriesBatch,
    y: SeriesBatch,
    upper: bool,
    settings: Settings,
    n_gammas: int,
    dtype: np.dtype[Any],
) -> Iterator[Window]:
    runtime = runtimes[0]
    dim = _plan.dim_of_values(x.n_features, settings.cost)
    # In double, with the smaller tiles: the more strips of the two.
    variant = _plan.choose_variant(dim, y.max_length, 1, runtime.multiprocessors, paired=dim == 0, wide=True)
    needed = float(len(x)) * len(y) * n_gammas * (16 * x.max_length if variant.multi else 16)
    pairs = _plan.pairs_of_window(
        len(x),
        len(y),
        x.max_length,
        n_gammas,
        dtype.itemsize,
        variant,
        usable_memory(runtime, needed),
        len(runtimes),
    )
    return _plan.windows(len(x), len(y), pairs if dim else min(pairs, _plan.MOST_LISTED), upper)


def pairwise_worker(
    kernels: Kernels, x: SeriesBatch, y: SeriesBatch | None, out: Array, downloads: Downloads
) -> Callable[[Window], None]:
    dim, other = _plan.dim_of_values(x.n_features, kernels.cost), x if y is None else y
    if dim:
        variant = _window_variant(kernels, dim, other.max_length, len(x) * len(other), kernels.store)
    else:
        variant = pair_variant(kernels, 0, other.lengths, len(x) * len(other))
    kernels.prepare_values(variant, x.n_features, paired=not dim)
    budget = usable_memory(kernels.runtime, 4 * x.values.nbytes) // 4
    xs = _Source(kernels, x, budget)
    ys = xs if y is None else _Source(kernels, y, budget)

    def computed(window: Window) -> None:
        part = _block(out, window)
        buffer = _window_values(
            kernels,
            xs.part(window.first_x, window.last_x),
            ys.part(window.first_y, window.last_y),
            window.upper,
            dim,
        )
        downloads.add(buffer, part, _mirror(out, window) if y is None and not window.upper else None)

    def listed(window: Window) -> None:
        x_part, y_part = xs.part(window.first_x, window.last_x), ys.part(window.first_y, window.last_y)
        rows, cols = window.shape
        i, j = np.divmod(np.arange(rows * cols), cols)
        if window.upper:
            i, j = i[i <= j], j[i <= j]
        n, m = x_part.lengths[i], y_part.lengths[j]
        cells = float((n * m).sum()) * kernels.store.itemsize
        budget = min(_plan.TABLE_BYTES, usable_memory(kernels.runtime, cells) // 4)
        multiprocessors = kernels.runtime.multiprocessors
        least = _plan.least_pairs(pair_variant(kernels, 0, m, 1), multiprocessors)
        for part in _plan.split_pairs(n * m * kernels.store.itemsize, budget, least):
            problem = Problem.of_list(kernels, x_part, y_part, i[part], j[part])
            buffer = listed_values(kernels, problem, budget)
            values = np.empty((kernels.n_gammas, len(problem)), kernels.store)
            rows_out, cols_out = window.first_x + i[part], window.first_y + j[part]
            downloads.add(buffer, values, _scatter(out, rows_out, cols_out, values, y is None))

    return computed if dim else listed


class _Source:
    """Series of the host for windows: all of them on the device where they fit, else those of one window."""

    def __init__(self, kernels: Kernels, batch: SeriesBatch, budget: int) -> None:
        self.kernels, self.batch = kernels, batch
        self.whole: DeviceSeries | None = None
        if batch.values.nbytes <= budget:
            self.whole = kernels.series(batch.values, batch.offsets, batch.n_features)
        self.last: tuple[tuple[int, int], DeviceSeries] | None = None

    def part(self, first: int, last: int) -> DeviceSeries:
        """Series first <= index < last."""
        if self.whole is not None:
            return self.whole.part(first, last)
        if self.last is None or self.last[0] != (first, last):
            self.last = None  # freed before the next one comes
            offsets = self.batch.offsets[first : last + 1]
            values = self.batch.values[offsets[0] : offsets[-1]]
            self.last = (
                (first, last),
                self.kernels.series(values, offsets - offsets[0], self.batch.n_features),
            )
        return self.last[1]


def _window_values(kernels: Kernels, x: DeviceSeries, y: DeviceSeries, upper: bool, dim: int) -> Buffer:
    """Values of all pairs of x and y, [gamma][i][j]."""
    runtime = kernels.runtime
    out = runtime.empty(kernels.n_gammas * len(x) * len(y), kernels.store)
    methods, seen = kernels.classify(x, y, paired=False, out=out)
    longest = int(y.lengths.max())
    for method in seen:
        arithmetic = arithmetic_of(method, kernels.store)
        variant = _window_variant(kernels, dim, longest, len(x) * len(y), arithmetic.real)
        kernels.sweep_window(x, y, upper, variant, methods, arithmetic, out)
    return out


def _window_variant(kernels: Kernels, dim: int, longest: int, pairs: int, real: np.dtype[Any]) -> Variant:
    return _plan.choose_variant(
        dim,
        longest,
        pairs * kernels.n_gammas // _plan.MOST_RUN,
        kernels.runtime.multiprocessors,
        paired=False,
        wide=real == np.float64,
    )


def _block(out: Array, window: Window) -> Array:
    block: Array = out[:, window.first_x : window.last_x, window.first_y : window.last_y]
    return block


def _mirror(out: Array, window: Window) -> Callable[[], None]:
    def put() -> None:
        below = out[:, window.first_y : window.last_y, window.first_x : window.last_x]
        below[...] = _block(out, window).transpose(0, 2, 1)

    return put


def _scatter(out: Array, i: Array, j: Array, values: Array, symmetric: bool) -> Callable[[], None]:
    def put() -> None:
        out[:, i, j] = values
        if symmetric:
            out[:, j, i] = values

    return put
