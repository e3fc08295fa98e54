"""Launches of the kernels of one call: what they share, their defines, and their arguments in order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _plan
from ._data import (
    HARD,
    NO_STATE,
    OVERFLOW,
    OWN,
    WIDE,
    WIDE_HARD,
    Arithmetic,
    DevicePairs,
    DeviceSeries,
    Flows,
    Kept,
    State,
    View,
    arithmetic_of,
)
from ._kinds import EUCLIDEAN, MANHATTAN, NO_BAND, SQUARES
from ._plan import Variant
from ._runtime import Argument, Buffer, Runtime
from ._sources import KernelSpec
from ._specs import make_spec, make_sweep_spec, name_of

ALL_ROWS = np.iinfo(np.int64).max // 4


@dataclass
class Kernels:
    """The kernels for one problem: the types, the cost and the band are settled.

    Parameters
    ----------
    runtime : Runtime
    store : dtype
        Of the series (or costs given by the user) and of the results.
    cost, band : int
        As `_kinds` numbers them.
    likely : tuple of int
        The methods of nearly all pairs: what is worth compiling before it is known to be needed.
    which : callable, optional
        The methods to launch for, given where the device is going to say which there are. None waits for
        that; launches in vain end at once.
    """

    runtime: Runtime
    store: np.dtype[Any]
    cost: int
    scale: np.float64
    band: int
    band_parameter: np.float64
    gammas: Buffer
    n_gammas: int
    likely: tuple[int, ...] = ()
    which: Callable[[Buffer], list[int]] | None = None

    @property
    def band_arguments(self) -> tuple[np.int32, np.float64]:
        """Of all kernels that know bands."""
        return np.int32(self.band), self.band_parameter

    def possible_methods(self) -> list[int]:
        """All methods that a pair may need."""
        wider = {OWN: (WIDE, WIDE_HARD), HARD: (WIDE_HARD,)}
        found = {method for one in self.likely for method in (one, *wider.get(one, ()))}
        return sorted(found - {WIDE} if self.store == np.float64 else found)

    def spec(self, entry: str, **defines: str | int) -> KernelSpec:
        """A kernel that knows how the series are stored."""
        return make_spec(entry, name_of(self.store), tuple(defines.items()))

    def prepare_values(self, variant: Variant, n_features: int, *, paired: bool) -> None:
        """Begin to compile what values will need, side by side."""
        sweeps = []
        for method in self.likely:
            arithmetic = arithmetic_of(method, self.store)
            sweeps.append(self._sweep_spec("sweep", variant, arithmetic, PAIRED=int(paired)))
        self._prepare(sweeps, variant, n_features)

    def prepare_gradients(self, variant: Variant, n_features: int, wanted: Collection[str]) -> None:
        """Begin to compile what gradients will need, side by side."""
        arithmetic = arithmetic_of(self.likely[0], self.store)
        sums = int(not _plan.SUMS.isdisjoint(wanted))
        found = [
            self._sweep_spec("sweep", variant, arithmetic),
            self._sweep_spec("reverse", variant, arithmetic, SUMS=sums),
        ]
        if variant.dim == 0:
            found += [self._products_spec(arithmetic, n_features)] if {"x", "y"} & set(wanted) else []
        self._prepare(found, variant, n_features)

    def _prepare(self, sweeps: list[KernelSpec], variant: Variant, n_features: int) -> None:
        prepare = getattr(self.runtime, "prepare", None)  # emulated devices compile when they launch
        if prepare is None:
            return
        if variant.dim == 0:
            arithmetic = arithmetic_of(self.likely[0], self.store)
            sweeps = [*sweeps, self._table_spec(arithmetic, n_features, slope=False)]
        prepare([*sweeps, self.spec("ranges"), self.spec("classify"), self.spec("clear")])

    def _table_spec(self, arithmetic: Arithmetic, n_features: int, *, slope: bool) -> KernelSpec:
        products = _plan.on_tensor_cores(n_features, self.cost, arithmetic.real, self.runtime.capability)
        entry = "tensor_table" if products else "table"
        return self.spec(entry, COST=self.cost, REAL=name_of(arithmetic.real), SLOPE=int(slope))

    def _products_spec(self, arithmetic: Arithmetic, n_features: int) -> KernelSpec:
        return self.spec(
            "products",
            COST=self.cost if self.cost == MANHATTAN else SQUARES,  # only Manhattan costs differ here: a sign
            REAL=name_of(arithmetic.real),
            FEATURE_TILE=_plan.feature_tile(n_features),
        )

    def table_of(self, numbers: NDArray[np.int64]) -> Buffer:
        """Offsets and the like on the device, found again there by their content unless they are many."""
        small = numbers.nbytes <= 2**20
        return self.runtime.constant(numbers) if small else self.runtime.upload(numbers)

    def series(
        self, values: NDArray[Any] | None, offsets: NDArray[np.int64], n_features: int
    ) -> DeviceSeries:
        """Series of the host on the device; without values, their lengths only."""
        offsets = np.ascontiguousarray(offsets)
        buffer = None if values is None else self.runtime.upload(values)
        return DeviceSeries(buffer, offsets, self.table_of(offsets), n_features)

    def ranges(self, *batches: DeviceSeries) -> None:
        """Fill low and high of one or two batches, for `classify`, in one launch."""
        mps, arguments, tasks = self.runtime.multiprocessors, list[Argument](), 0
        for series in batches:
            count, longest = len(series), int(series.lengths.max())
            series.parts = _plan.range_parts(count, longest, series.n_features, mps)
            numbers = count * series.parts * series.n_features
            series.low, series.high = (self.runtime.empty(numbers, self.store) for _ in range(2))
            arguments += [series.values, series.device_offsets, np.int64(count), np.int32(series.parts)]
            arguments += [series.low, series.high]
            tasks += count * series.parts
        if len(batches) == 1:
            arguments += [None, None, np.int64(0), np.int32(1), None, None]
        self.runtime.launch(
            self.spec("ranges"),
            _plan.grid_blocks(tasks, mps),
            _plan.BLOCK_THREADS,
            [*arguments, np.int64(batches[0].n_features)],
        )

    def classify(
        self,
        x: DeviceSeries,
        y: DeviceSeries,
        *,
        paired: bool,
        out: Buffer | None,
        lists: tuple[Buffer, Buffer] | None = None,
        count: int = 0,
    ) -> tuple[Buffer, list[int]]:
        """The method of each pair and gamma, and which there are; NaN in `out` where costs overflow."""
        runtime = self.runtime
        n_x = count if lists else len(x)
        n_pairs = n_x if paired else n_x * len(y)
        methods = runtime.empty(n_pairs * self.n_gammas, np.uint8)
        seen = runtime.zeros(5, np.int32)
        threads = 128
        self.runtime.launch(
            self.spec("classify"),
            _plan.grid_blocks(_plan.ceil_div(n_pairs, threads), runtime.multiprocessors),
            threads,
            [
                *(x.low, x.high, y.low, y.high, np.int32(x.parts), np.int32(y.parts)),
                *(x.device_offsets, y.device_offsets, *(lists or (None, None))),
                *(np.int64(n_x), np.int64(len(y)), np.int64(x.n_features)),
                *(self.gammas, np.int32(self.n_gammas), np.int32(paired), np.int32(self.cost), self.scale),
                *(*self.band_arguments, methods, seen, out),
            ],
        )
        if self.which is not None:
            return methods, self.which(seen)
        found = runtime.download(seen, (5,))
        return methods, [method for method in range(OVERFLOW) if found[method]]

    def clear(
        self, x: DeviceSeries, y: DeviceSeries, methods: Buffer, grad_x: Buffer | None, grad_y: Buffer | None
    ) -> None:
        """Gradients of pairs begin as 0; as NaN where their costs overflow."""
        mps, longest = self.runtime.multiprocessors, int(max(x.lengths.max(), y.lengths.max()))
        parts = _plan.range_parts(2 * len(x), longest, x.n_features, mps)
        self.runtime.launch(
            self.spec("clear"),
            _plan.grid_blocks(2 * len(x) * parts, mps),
            _plan.BLOCK_THREADS,
            [
                *(methods, x.device_offsets, y.device_offsets, np.int64(len(x)), np.int64(x.n_features)),
                *(np.int32(parts), grad_x, grad_y),
            ],
        )

    def table(
        self,
        pairs: DevicePairs,
        methods: Buffer,
        needed: Sequence[Arithmetic],
        rows: tuple[int, int],
        table: Buffer,
        *,
        slope: bool = False,
    ) -> None:
        """Costs of a chunk of rows of the pairs that are computed by one of the needed methods.

        `slope`: multiplies what is there by the slope of the cost instead.
        """
        x, y = pairs.source_x or pairs.x, pairs.source_y or pairs.y
        row_tiles = _plan.ceil_div(min(rows[1] - rows[0], pairs.longest_x), _plan.TABLE_ROWS)
        tasks = int(pairs.layout.table_tiles[-1]) * row_tiles
        self.runtime.launch(
            self._table_spec(needed[0], x.n_features, slope=slope),
            _plan.grid_blocks(tasks, self.runtime.multiprocessors),
            _plan.BLOCK_THREADS,
            [
                *(x.values, y.values, x.device_offsets, y.device_offsets, pairs.list_x, pairs.list_y),
                *(pairs.costs, pairs.cost_offsets, np.int64(len(pairs)), np.int64(x.n_features)),
                *(self.scale, methods, np.int32(self.n_gammas), np.int32(sum(1 << a.method for a in needed))),
                *(pairs.device["table_tiles"], pairs.places(rows)[0], np.int64(rows[0]), np.int64(rows[1])),
                *(np.int64(pairs.plan.skew), np.int64(row_tiles), table),
            ],
        )

    def sweep_window(
        self,
        x: DeviceSeries,
        y: DeviceSeries,
        upper: bool,
        variant: Variant,
        methods: Buffer,
        arithmetic: Arithmetic,
        out: Buffer,
    ) -> None:
        """Values of all pairs of x and y."""
        runtime = self.runtime
        run = _plan.run_length(len(x), len(y), self.n_gammas, variant, runtime.multiprocessors)
        runs = _plan.ceil_div(len(x), run)
        groups = runs * len(y)
        edge_m = edge_e = row_offsets = None
        if variant.multi:
            rows = np.add.reduceat(_plan.padded(x.lengths, variant.tile_rows), np.arange(0, len(x), run))
            offsets = _plan.offsets_of(np.tile(rows, len(y)))
            row_offsets = self.table_of(offsets)
            edge_m = runtime.empty(self.n_gammas * int(offsets[-1]), arithmetic.real)
            edge_e = runtime.empty(self.n_gammas * int(offsets[-1]), arithmetic.exponent)
        ticket, progress = self._counters(groups * self.n_gammas, variant)
        self.runtime.launch(
            self._sweep_spec("sweep", variant, arithmetic, PAIRED=0),
            _plan.sweep_blocks(groups * self.n_gammas, variant, runtime.multiprocessors),
            _plan.SWEEP_THREADS,
            [
                *(x.values, y.values, x.device_offsets, y.device_offsets, np.int64(len(x)), np.int64(len(y))),
                *(np.int64(0), np.int64(len(x)), np.int64(0), np.int64(run), np.int32(upper)),
                *(self.gammas, np.int32(self.n_gammas), methods, np.int32(arithmetic.method)),
                *(self.scale, *self.band_arguments, None, None, None, None),
                *(np.int64(0), np.int64(ALL_ROWS)),
                *(np.int64(0), None, None, None, None, None, None, None),
                *(edge_m, edge_e, row_offsets, progress, ticket, out, np.int64(groups)),
                *(np.int32(variant.lanes), np.int32(variant.strips), None, np.int64(0)),
            ],
        )

    def sweep(
        self,
        pairs: DevicePairs,
        methods: Buffer,
        arithmetic: Arithmetic,
        rows: tuple[int, int],
        out: Buffer,
        edges: State,
        *,
        table: Buffer | None = None,
        enters: State = NO_STATE,
        leaves: State = NO_STATE,
        kept: Kept | None = None,
        keep_begin: int = 0,
    ) -> None:
        """A chunk of every pair; values go to `out` where it holds the last row.

        `edges`: for what passes between strips. All rows at once: the chunk that begins
        at keep_begin, which is the last one, is kept, and `leaves` gets the state between all chunks.
        """
        runtime, variant, groups = self.runtime, pairs.variant, len(pairs)
        whole = rows == (0, ALL_ROWS)
        tables, tiles = pairs.places(pairs.chunks()[-1] if whole else rows)
        ends = None
        if whole and leaves.m is not None:
            ends = self.table_of(np.array([*pairs.plan.ends[:-1], ALL_ROWS]))
        ticket, progress = self._counters(groups * self.n_gammas, variant)
        x, y, device = pairs.x, pairs.y, pairs.device
        self.runtime.launch(
            self._sweep_spec("sweep", variant, arithmetic),
            _plan.sweep_blocks(groups * self.n_gammas, variant, runtime.multiprocessors),
            _plan.SWEEP_THREADS,
            [
                *(x.values, y.values, x.device_offsets, y.device_offsets, np.int64(groups), np.int64(groups)),
                *(np.int64(0), np.int64(groups), np.int64(0), np.int64(1), np.int32(0)),
                *(self.gammas, np.int32(self.n_gammas), methods, np.int32(arithmetic.method)),
                *(self.scale, *self.band_arguments, table, tables, tiles, device["table_tiles"]),
                *(np.int64(rows[0]), np.int64(rows[1]), np.int64(pairs.plan.skew)),
                *(enters.m, enters.e, leaves.m, leaves.e, device["columns"]),
                *(kept.m if kept else None, kept.e if kept else None),
                *(edges.m, edges.e, device["whole_edges"], progress, ticket, out, np.int64(groups)),
                *(np.int32(variant.lanes), np.int32(variant.strips), ends, np.int64(keep_begin)),
            ],
        )

    def reverse(
        self,
        pairs: DevicePairs,
        methods: Buffer,
        arithmetic: Arithmetic,
        rows: tuple[int, int],
        table: Buffer | None,
        kept: Kept,
        flows: Flows,
        strips: int,
    ) -> None:
        """E of a chunk of rows, from its end; `strips`: of the longest series of all groups."""
        runtime, variant = self.runtime, pairs.variant
        ticket, progress = self._counters(len(pairs), variant)
        x, y, device = pairs.x, pairs.y, pairs.device
        sums = flows.expected_cost is not None or flows.entropy is not None
        self.runtime.launch(
            self._sweep_spec("reverse", variant, arithmetic, SUMS=int(sums)),
            _plan.sweep_blocks(len(pairs), variant, runtime.multiprocessors),
            _plan.SWEEP_THREADS,
            [
                *(x.values, y.values, x.device_offsets, y.device_offsets, np.int64(len(pairs)), self.gammas),
                *(methods, np.int32(arithmetic.method), self.scale, *self.band_arguments, table),
                *(*pairs.places(rows), device["table_tiles"], np.int64(rows[0]), np.int64(rows[1])),
                *(np.int64(pairs.plan.skew), kept.m, kept.e),
                *(flows.up, flows.diag, device["columns"], flows.edge_left, flows.edge_diag),
                *(device["whole_edges"], progress, ticket, flows.grad_x, flows.grad_y, flows.alignment),
                *(flows.alignment_offsets, flows.expected_cost, flows.entropy),
                *(np.int32(variant.lanes), np.int32(strips)),
            ],
        )

    def products(
        self,
        pairs: DevicePairs,
        methods: Buffer,
        arithmetic: Arithmetic,
        rows: tuple[int, int],
        table: Buffer,
        grad_x: Buffer | None,
        grad_y: Buffer | None,
    ) -> None:
        """Adds what a chunk of weights gives to the gradients of x and y."""
        x, y, device = pairs.x, pairs.y, pairs.device
        tile = _plan.feature_tile(x.n_features)
        tiles = int(pairs.plan.own_tiles_x[-1]) + int(pairs.layout.own_tiles_y[-1])
        tasks = tiles * _plan.ceil_div(x.n_features, tile)
        factor = np.float64(2 * self.scale if self.cost == SQUARES else 1)
        self.runtime.launch(
            self._products_spec(arithmetic, x.n_features),
            _plan.grid_blocks(tasks, self.runtime.multiprocessors),
            _plan.BLOCK_THREADS,
            [
                *(x.values, y.values, x.device_offsets, y.device_offsets, np.int64(len(pairs))),
                *(np.int64(x.n_features), factor, methods, np.int32(arithmetic.method), table),
                *(pairs.places(rows)[0], device["table_tiles"], pairs.own_tiles_x, device["own_tiles_y"]),
                *(np.int64(rows[0]), np.int64(rows[1]), np.int64(pairs.plan.skew), grad_x, grad_y),
            ],
        )

    def spans(self, table: Buffer, rows: int, cols: int) -> NDArray[np.int64]:
        """First and last column of each row of a table where it is not 0, or -1 twice: (rows, 2)."""
        out = self.runtime.empty(2 * rows, np.int64)
        self.runtime.launch(
            self.spec("spans", REAL="double"),
            _plan.grid_blocks(_plan.ceil_div(rows, 4), self.runtime.multiprocessors),
            _plan.SWEEP_THREADS,
            [table, np.int64(rows), np.int64(cols), out],
        )
        return self.runtime.download(out, (rows, 2))

    def _sweep_spec(self, entry: str, variant: Variant, arithmetic: Arithmetic, **more: int) -> KernelSpec:
        cost = self.cost if variant.dim else SQUARES
        if variant.dim == 1 and cost == EUCLIDEAN:
            cost = MANHATTAN  # the same of one feature
        kind = (name_of(self.store), cost, self.band != NO_BAND)
        return make_sweep_spec(entry, kind, variant, arithmetic, tuple(more.items()))

    def _counters(self, groups: int, variant: Variant) -> tuple[Buffer, Buffer | None]:
        """Ticket and progress of a launch, from one stretch of zeros."""
        slots = groups * variant.strips if variant.multi else 0
        zeros = self.runtime.zeros(1 + slots, np.int32)
        return View(zeros, 0, 1), View(zeros, 1, slots) if slots else None
