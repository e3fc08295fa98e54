"""Values of all pairs of two sets of series, window by window of the output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _plan
from ._data import DeviceSeries, arithmetic_of
from ._kernels import Kernels
from ._pairs import Problem, listed_values, pair_variant
from ._pieces import Downloads, in_pieces, usable_memory
from ._plan import Variant, Window
from ._runtime import Buffer, Runtime

if TYPE_CHECKING:
    from sktime_sdtw._engine import Settings
    from sktime_sdtw._series import Array, SeriesBatch


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
    dim = _plan.dim_of_windows(x.n_features, settings.cost)
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
    dim, other = _plan.dim_of_windows(x.n_features, kernels.cost), x if y is None else y
    if dim:
        variant = _window_variant(kernels, dim, other.max_length, len(x) * len(other), kernels.store)
    else:
        variant = pair_variant(kernels, 0, other.lengths, len(x) * len(other))
    kernels.prepare_values(variant, x.n_features, paired=not dim)
    budget = usable_memory(kernels.runtime, 4 * x.values.nbytes) // 4
    xs = _Source(kernels, x, budget)
    ys = xs if y is None else _Source(kernels, y, budget)
    whole = [source.whole for source in dict.fromkeys((xs, ys)) if source.whole is not None]
    if whole:
        kernels.ranges(*whole)

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
        for i, j, problem, budget in _listed(kernels, x_part, y_part, window):
            buffer = listed_values(kernels, problem, budget)
            values = np.empty((kernels.n_gammas, len(problem)), kernels.store)
            rows_out, cols_out = window.first_x + i, window.first_y + j
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
            found = self.kernels.series(values, offsets - offsets[0], self.batch.n_features)
            self.kernels.ranges(found)
            self.last = (first, last), found
        return self.last[1]


def device_values(
    kernels: Kernels, x: DeviceSeries, y: DeviceSeries | None
) -> Iterator[tuple[Window, bool, list[Buffer]]]:
    """Values of all pairs of series on the device, for one gamma, in windows that stay there.

    Yields the window, whether its values are listed, and the values in pieces, row by row. Those of a listed
    window on the diagonal are the ones with i <= j; other windows are whole. Without y: of x with itself.
    """
    runtime, other = kernels.runtime, x if y is None else y
    dim = _plan.dim_of_windows(x.n_features, kernels.cost)
    longest_x, longest = int(x.lengths.max()), int(other.lengths.max())
    count = len(x) * len(other)
    kernels.prepare_values(
        _window_variant(kernels, dim, longest, count, kernels.store)
        if dim
        else pair_variant(kernels, 0, other.lengths, count),
        x.n_features,
        paired=not dim,
    )
    # In double, with the smaller tiles: the more strips of the two.
    variant = _plan.choose_variant(dim, longest, 1, runtime.multiprocessors, paired=dim == 0, wide=True)
    pairs = _plan.RESULT_BYTES // (kernels.store.itemsize + 1) if dim else _plan.MOST_LISTED
    pairs = min(pairs, _plan.MOST_TASKS // variant.strips)
    if dim and variant.multi:
        edge = int(_plan.padded(longest_x)) * 16  # two doubles at most
        memory = usable_memory(runtime, float(min(count, pairs)) * edge)
        pairs = min(pairs, min(_plan.EDGE_BYTES, memory // 4) // edge)

    def values(window: Window) -> tuple[Window, bool, list[Buffer]]:
        x_part, y_part = x.part(window.first_x, window.last_x), other.part(window.first_y, window.last_y)
        if dim:
            return window, False, [_window_values(kernels, x_part, y_part, window.upper, dim)]
        problems = _listed(kernels, x_part, y_part, window)
        return window, True, [listed_values(kernels, problem, budget) for *_, problem, budget in problems]

    yield from in_pieces(values, _plan.windows(len(x), len(other), max(1, pairs), y is None))


def _listed(
    kernels: Kernels, x: DeviceSeries, y: DeviceSeries, window: Window
) -> Iterator[tuple[Array, Array, Problem, int]]:
    """The pairs of a window (on the diagonal those with i <= j) in groups, with the bytes of their tables."""
    rows, cols = window.shape
    i, j = np.divmod(np.arange(rows * cols), cols)
    if window.upper:
        i, j = i[i <= j], j[i <= j]
    n, m = x.lengths[i], y.lengths[j]
    sizes = n * m * kernels.store.itemsize
    budget = min(_plan.TABLE_BYTES, usable_memory(kernels.runtime, float(sizes.sum())) // 4)
    least = _plan.least_pairs(pair_variant(kernels, 0, m, 1), kernels.runtime.multiprocessors)
    for part in _plan.split_pairs(sizes, budget, least):
        yield i[part], j[part], Problem.of_list(kernels, x, y, i[part], j[part]), budget


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
