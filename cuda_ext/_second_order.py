"""Second derivatives of a group of pairs: gradients change in a direction, in chunks of rows.

For each chunk, from the last one on: tables of the costs and of their changes, a sweep from the start that
keeps shares and differences, a sweep from the end that leaves the alignment and its change in the tables, and
products with the series and their directions. The kernels `second_order_*.cu` say how. What enters each chunk
from above is found by sweeps over the chunks before it, which keep nothing.

Memory of a group beside its series and results: for each cell of a chunk two tables and five kept numbers, 28
bytes in float32 and 56 where the arithmetic is double; for each column and chunk two numbers and an exponent,
12 or 24 bytes; four numbers for each column, and for each row of a chunk where a table is wider than a block.
Arithmetic is double, too, where the derivative with respect to gamma is wanted.
Chunks of more than eight rows take the bytes of `second_order_groups` at most: 3.5 for each cell of the whole
tables, no fewer than 16 MiB and no more than 256 MiB, and a quarter of the device's memory. Double arithmetic
that float32 needs here and there takes chunks of half the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import _plan
from ._data import Arithmetic, DevicePairs, View, arithmetic_of
from ._kernels import Kernels
from ._kinds import MANHATTAN, NO_BAND, VARYING_SLOPE
from ._pairs import Problem
from ._pieces import Group, usable_memory
from ._plan import Variant
from ._runtime import Buffer, Runtime
from ._sources import KernelSpec
from ._specs import name_of

COLUMNS = 4  # of a thread
MOST_THREADS = {4: 512, 8: 256}  # of a block, by the bytes of a number: doubles take twice the registers
VARIANT = Variant(dim=0, tile_rows=1, tile_cols=COLUMNS, lanes=32, strips=1)
NUMBERS_OF_CELL = 7  # two tables, and what is kept
KEPT_OF_CELL = 5
COST_TILE = 64  # rows and columns of a block of second_order_costs.cu
LEAST_SCRATCH = 2**24  # smaller chunks would save little and cost launches


@dataclass(frozen=True)
class Directions:
    """Where to: as the series (or costs) and gammas of a group; None stands for zeros."""

    x: Buffer | View | None = None
    y: Buffer | View | None = None
    costs: Buffer | View | None = None
    gamma: Buffer | View | None = None


def second_order_groups(runtime: Runtime, n: Any, m: Any, dtype: np.dtype[Any]) -> Iterator[Group]:
    """Consecutive pairs that are computed together."""
    cells = int((n * m).sum())
    memory = usable_memory(runtime, NUMBERS_OF_CELL * dtype.itemsize * cells)
    budget = max(_plan.scratch_budget(5 * cells, memory), min(LEAST_SCRATCH, memory // 4))
    for part in _plan.split_pairs(
        n * m * (NUMBERS_OF_CELL * dtype.itemsize), budget, 2 * runtime.multiprocessors
    ):
        yield Group(part.start, part.stop, budget)


def group_second_order(
    kernels: Kernels, problem: Problem, directions: Directions, wanted: set[str], budget: int
) -> dict[str, Buffer]:
    """Changes of what is wanted: gradients "x" and "y", alignments "costs", and "spread".

    The last is the change of the expected costs, <D, change of E>, of each pair. With them comes "value": NaN
    where costs overflow, else 0.
    """
    problem.variant = VARIANT
    runtime, store, count = kernels.runtime, kernels.store, len(problem)
    sizes: dict[str, tuple[int, Any]] = {
        "x": (int(problem.n.sum()) * problem.x.n_features, store),
        "y": (int(problem.m.sum()) * problem.y.n_features, store),
        "costs": (int((problem.n * problem.m).sum()), store),
        "spread": (count, np.float64),
    }
    out = {name: runtime.zeros(*sizes[name]) for name in wanted}
    values = runtime.zeros(count, store)
    methods, seen = problem.classify(kernels, values)
    for method in seen:
        arithmetic = arithmetic_of(method, store)
        if "spread" in wanted:  # a sum in which nearly all cancels
            arithmetic = replace(arithmetic, real=np.dtype(np.float64))
        _Chunks(kernels, problem, directions, methods, arithmetic, out, budget).run()
    return {"value": values, **out}


class _Chunks:
    """The pairs of one method."""

    def __init__(
        self,
        kernels: Kernels,
        problem: Problem,
        directions: Directions,
        methods: Buffer,
        arithmetic: Arithmetic,
        out: dict[str, Buffer],
        budget: int,
    ) -> None:
        self.kernels, self.methods, self.arithmetic, self.out = kernels, methods, arithmetic, out
        self.runtime, real = kernels.runtime, arithmetic.real
        state_bytes = 2 * real.itemsize + arithmetic.exponent.itemsize
        rows = _plan.chunk_rows(problem.n, problem.m, NUMBERS_OF_CELL * real.itemsize, budget, state_bytes)
        self.pairs = pairs = problem.pairs(kernels, rows)
        self.directions = directions
        layout = pairs.layout
        self.columns = int(layout.columns[-1])
        longest = int(problem.m.max())
        self.threads = block_threads(longest, real)
        self.blocks = _plan.grid_blocks(len(pairs), 4 * self.runtime.multiprocessors)
        empty = self.runtime.empty
        self.first, self.second = (empty(int(layout.tables[-1]), real) for _ in range(2))
        self.kept = empty(int(layout.tiles[-1]) * KEPT_OF_CELL * COLUMNS, real)
        self.flow = empty(4 * self.columns, real)
        self.edge = self.edge_e = None
        if longest > self.threads * COLUMNS:
            self.edge = empty(4 * int(layout.edges[-1]), real)
            self.edge_e = empty(int(layout.edges[-1]), arithmetic.exponent)
        self.change_offsets = None
        if "costs" in out:
            self.change_offsets = kernels.table_of(_plan.offsets_of(problem.n * problem.m))
        between = self.columns * max(1, len(pairs.chunks()) - 1)
        self.states, self.states_e = empty(2 * between, real), empty(between, arithmetic.exponent)

    def run(self) -> None:
        """Adds the changes to `out`."""
        prepare = getattr(self.runtime, "prepare", None)  # emulated devices compile when they launch
        if prepare is not None:
            prepare([self._costs_spec(weights=False), self._sweep_spec("sweep"), self._sweep_spec("reverse")])
        chunks = self.pairs.chunks()
        for number, chunk in enumerate(chunks[:-1]):
            self._costs(chunk, weights=False)
            self._sweep(chunk, number, keep=False)
        for number, chunk in reversed(list(enumerate(chunks))):
            self._costs(chunk, weights=False)
            self._sweep(chunk, number, keep=True)
            self._reverse(chunk)
            if not self.out.keys() & {"x", "y"}:
                continue
            if self.kernels.cost in VARYING_SLOPE:
                self._costs(chunk, weights=True)
            self._products(chunk)

    def _costs(self, rows: tuple[int, int], *, weights: bool) -> None:
        pairs, kernels, to = self.pairs, self.kernels, self.directions
        x, y, device = pairs.x, pairs.y, pairs.device
        tiles = int(pairs.layout.own_tiles_y[-1]) * _plan.ceil_div(rows[1] - rows[0], COST_TILE)
        self.runtime.launch(
            self._costs_spec(weights=weights),
            _plan.grid_blocks(tiles, self.runtime.multiprocessors),
            _plan.BLOCK_THREADS,
            [
                *(x.values, y.values, to.x, to.y, x.device_offsets, y.device_offsets),
                *(pairs.costs, to.costs, pairs.cost_offsets, to.gamma, kernels.gammas, np.int64(len(pairs))),
                *(np.int64(x.n_features), kernels.scale, self.methods, np.int32(self.arithmetic.method)),
                *(device["own_tiles_y"], device["tables"], np.int64(rows[0]), np.int64(rows[1])),
                *(self.first, self.second),
            ],
        )

    def _sweep(self, rows: tuple[int, int], number: int, *, keep: bool) -> None:
        device = self.pairs.device
        self.runtime.launch(
            self._sweep_spec("sweep"),
            self.blocks,
            self.threads,
            [
                *self._problem(*self.kernels.band_arguments),
                *(self.first, self.second, device["tables"], np.int64(rows[0]), np.int64(rows[1])),
                *(*self._state(number - 1), *self._state(None if keep else number), device["columns"]),
                *(self.kept if keep else None, device["tiles"], self.edge, self.edge_e, device["edges"]),
            ],
        )

    def _reverse(self, rows: tuple[int, int]) -> None:
        device = self.pairs.device
        self.runtime.launch(
            self._sweep_spec("reverse"),
            self.blocks,
            self.threads,
            [
                *self._problem(),
                *(self.first, self.second, device["tables"], np.int64(rows[0]), np.int64(rows[1])),
                *(self.kept, device["tiles"], self.flow, device["columns"], self.edge, device["edges"]),
                *(self.out.get("costs"), self.change_offsets, self.out.get("spread")),
            ],
        )

    def _products(self, rows: tuple[int, int]) -> None:
        kernels, pairs, to = self.kernels, self.pairs, self.directions
        done: list[tuple[DevicePairs, Buffer]] = [(pairs, self.second)]
        if kernels.cost != MANHATTAN and (to.x is not None or to.y is not None):
            x, y = (
                replace(pairs.x, values=self._turn(to.x, pairs.x)),
                replace(pairs.y, values=self._turn(to.y, pairs.y)),
            )
            done.append((replace(pairs, x=x, y=y), self.first))
        grads = self.out.get("x"), self.out.get("y")
        if grads != (None, None):
            for of, table in done:
                kernels.products(of, self.methods, self.arithmetic, rows, table, *grads)

    def _turn(self, direction: Any, series: Any) -> Any:
        return self.runtime.zeros(series.values.count, self.kernels.store) if direction is None else direction

    def _problem(self, *more: Any) -> list[Any]:
        """The first parameters of both sweeps."""
        pairs = self.pairs
        return [
            *(pairs.x.device_offsets, pairs.y.device_offsets, np.int64(len(pairs)), self.kernels.gammas),
            *(self.methods, np.int32(self.arithmetic.method), *more),
        ]

    def _state(self, number: int | None) -> tuple[Any, Any]:
        """What passes from chunk `number` to the next."""
        if number is None or number < 0:
            return None, None
        first = number * self.columns
        return View(self.states, 2 * first, 2 * self.columns), View(self.states_e, first, self.columns)

    def _costs_spec(self, *, weights: bool) -> KernelSpec:
        return costs_spec(self.kernels, self.arithmetic, weights=weights)

    def _sweep_spec(self, name: str) -> KernelSpec:
        return sweep_spec(self.kernels, name, self.arithmetic)


def block_threads(longest: int, real: np.dtype[Any]) -> int:
    """Threads of a block for series of y up to `longest`: a power of two."""
    threads = 32
    while threads < MOST_THREADS[real.itemsize] and threads * COLUMNS < longest:
        threads *= 2
    return threads


def costs_spec(kernels: Kernels, arithmetic: Arithmetic, *, weights: bool) -> KernelSpec:
    """The kernel second_order_costs.cu."""
    real = name_of(arithmetic.real)
    return kernels.spec("second_order_costs", COST=kernels.cost, REAL=real, WEIGHTS=int(weights))


def sweep_spec(kernels: Kernels, name: str, arithmetic: Arithmetic) -> KernelSpec:
    """The kernel second_order_sweep.cu or second_order_reverse.cu; the latter has no use for a band."""
    return kernels.spec(
        f"second_order_{name}",
        REAL=name_of(arithmetic.real),
        HARD=int(arithmetic.hard),
        BAND=int(name == "sweep" and kernels.band != NO_BAND),
        TILE_ROWS=1,
        TILE_COLS=COLUMNS,
    )
