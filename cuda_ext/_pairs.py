"""Pairs on the device: their values, and their gradients, in chunks of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _plan
from ._chunks import plan_chunks
from ._data import NO_STATE, Arithmetic, DevicePairs, DeviceSeries, Flows, Kept, State, View, arithmetic_of
from ._kernels import ALL_ROWS, Kernels
from ._kinds import VARYING_SLOPE
from ._pieces import Downloads, Group, usable_memory
from ._plan import Variant
from ._runtime import Buffer, Runtime

if TYPE_CHECKING:
    from sktime_sdtw._engine import Wanted
    from sktime_sdtw._series import Array, SeriesBatch


class Problem:
    """A group of pairs on the device, before it is known how many rows are computed at a time.

    Parameters
    ----------
    x, y : DeviceSeries
        Their lengths; and the values, unless they are listed or costs are given.
    variant : Variant
    more : dict
        Further fields of `DevicePairs`.
    """

    def __init__(self, x: DeviceSeries, y: DeviceSeries, variant: Variant, **more: Any) -> None:
        self.x, self.y, self.variant, self.more = x, y, variant, more
        self.n, self.m = x.lengths, y.lengths

    def __len__(self) -> int:
        return len(self.n)

    @property
    def strips(self) -> int:
        """Strips of the longest series of y."""
        return self.variant.strips

    @classmethod
    def of_list(cls, kernels: Kernels, x: DeviceSeries, y: DeviceSeries, i: Array, j: Array) -> Problem:
        """Pairs (i, j) of the series of a window, for tables."""
        n, m = _plan.offsets_of(x.lengths[i]), _plan.offsets_of(y.lengths[j])
        return cls(
            DeviceSeries(None, n, kernels.table_of(n), x.n_features),
            DeviceSeries(None, m, kernels.table_of(m), y.n_features),
            pair_variant(kernels, 0, y.lengths[j], len(i)),
            source_x=x,
            source_y=y,
            list_x=kernels.table_of(i.astype(np.int64)),
            list_y=kernels.table_of(j.astype(np.int64)),
        )

    def classify(self, kernels: Kernels, out: Buffer) -> tuple[Buffer, list[int]]:
        """As `Kernels.classify`."""
        if "source_x" in self.more:
            lists = self.more["list_x"], self.more["list_y"]
            x, y = self.more["source_x"], self.more["source_y"]
            return kernels.classify(x, y, paired=True, out=out, lists=lists, count=len(self))
        return kernels.classify(self.x, self.y, paired=True, out=out)

    def pairs(self, kernels: Kernels, rows: int, *, skewed: bool = False) -> DevicePairs:
        """For chunks of so many rows, or as many cells in parallelograms."""
        layout = _plan.group_layout(self.n, self.m, rows, self.variant)
        plan = plan_chunks(self.n, self.m, rows, self.variant, skewed=skewed)
        distinct = list(dict.fromkeys(plan.places))
        arrays = [*vars(layout).values(), plan.own_tiles_x]
        arrays += [array for places in distinct for array in (places.tables, places.tiles)]
        buffer, starts = kernels.table_of(np.concatenate(arrays)), _plan.offsets_of([len(a) for a in arrays])
        views = [View(buffer, int(start), len(a)) for start, a in zip(starts, arrays, strict=False)]
        device: dict[str, Buffer] = dict(zip(vars(layout), views, strict=False))
        own, *of_strips = views[len(device) :]
        strips = dict(zip(distinct, zip(of_strips[::2], of_strips[1::2], strict=True), strict=True))
        of_chunks: list[tuple[Buffer, Buffer]] = [strips[places] for places in plan.places]
        return DevicePairs(self.x, self.y, self.variant, layout, device, plan, of_chunks, own, **self.more)


def pair_variant(kernels: Kernels, dim: int, m: Array, count: int) -> Variant:
    """The sweep for so many pairs with these lengths of y."""
    return _plan.choose_variant(
        dim, int(m.max()), count * kernels.n_gammas, kernels.runtime.multiprocessors, paired=True, wide=False
    )


def group_problem(
    kernels: Kernels, x: SeriesBatch, y: SeriesBatch, costs: Array | None, group: Group, dim: int
) -> Problem:
    """The pairs of a group, uploaded: a problem of its own."""
    series = []
    for batch in (x, y):
        offsets = batch.offsets[group.first : group.last + 1]
        values = batch.values[offsets[0] : offsets[-1]] if costs is None else None
        series.append(kernels.series(values, offsets - offsets[0], batch.n_features))
    first, second = series
    variant = pair_variant(kernels, dim, second.lengths, len(first))
    if costs is None:
        kernels.ranges(first, second)
        return Problem(first, second, variant)
    before = int((x.lengths[: group.first] * y.lengths[: group.first]).sum())
    cells = _plan.offsets_of(first.lengths * second.lengths)
    buffer = kernels.runtime.upload(costs[before : before + int(cells[-1])])
    cost_offsets = kernels.table_of(cells)
    # The costs are what classify looks at: one feature, as many "time steps" as cells.
    ranged = DeviceSeries(buffer, cells, cost_offsets, 1)
    kernels.ranges(ranged)
    first.low, first.high, first.parts, first.n_features = ranged.low, ranged.high, ranged.parts, 1
    return Problem(first, second, variant, costs=buffer, cost_offsets=cost_offsets)


# --- paired values


def value_groups(
    runtime: Runtime, n: Array, m: Array, dim: int, n_gammas: int, dtype: np.dtype[Any]
) -> Iterator[Group]:
    needed = float((n * m).sum()) * dtype.itemsize + float(n.sum()) * 16 * n_gammas
    memory = usable_memory(runtime, needed)
    table = min(_plan.TABLE_BYTES, memory // 4)
    variant = _plan.choose_variant(dim, int(m.max()), 1, runtime.multiprocessors, paired=True, wide=False)
    if dim:
        sizes = (_plan.padded(n) * 16 * n_gammas) + (n + m) * dim * dtype.itemsize
        budget, least = min(_plan.EDGE_BYTES, memory // 4), 1
    else:
        sizes, budget = n * m * dtype.itemsize, table
        least = _plan.least_pairs(variant, runtime.multiprocessors)
    most = max(1, _plan.MOST_TASKS // (n_gammas * variant.strips))
    for part in _plan.split_pairs(sizes, budget, least, most):
        yield Group(part.start, part.stop, table)


def paired_worker(
    kernels: Kernels,
    x: SeriesBatch,
    y: SeriesBatch,
    costs: Array | None,
    out: Array,
    downloads: Downloads,
) -> Callable[[Group], None]:
    dim = 0 if costs is not None else _plan.dim_of_pairs(x.n_features, kernels.cost)
    kernels.prepare_values(pair_variant(kernels, dim, y.lengths, len(x)), x.n_features, paired=True)

    def work(group: Group) -> None:
        problem = group_problem(kernels, x, y, costs, group, dim)
        values = paired_values if dim else listed_values
        downloads.add(values(kernels, problem, group.budget), out[:, group.first : group.last])

    return work


def paired_values(kernels: Kernels, problem: Problem, budget: int) -> Buffer:
    """Values of pairs whose costs the sweep computes, [gamma][pair]."""
    del budget  # nothing here grows with a chunk of rows
    out = kernels.runtime.empty(kernels.n_gammas * len(problem), kernels.store)
    methods, seen = problem.classify(kernels, out)
    pairs = problem.pairs(kernels, int(problem.n.max()))
    for method in seen:
        arithmetic = arithmetic_of(method, kernels.store)
        kernels.sweep(pairs, methods, arithmetic, (0, ALL_ROWS), out, _edges(kernels, pairs, arithmetic))
    return out


def listed_values(kernels: Kernels, problem: Problem, budget: int) -> Buffer:
    """Values of pairs from tables of costs, which all gammas share, [gamma][pair]."""
    runtime = kernels.runtime
    out = runtime.empty(kernels.n_gammas * len(problem), kernels.store)
    methods, seen = problem.classify(kernels, out)
    found = [arithmetic_of(method, kernels.store) for method in seen]
    for real in dict.fromkeys(arithmetic.real for arithmetic in found):
        alike = [arithmetic for arithmetic in found if arithmetic.real == real]
        rows = _plan.chunk_rows(problem.n, problem.m, real.itemsize, budget)
        pairs = problem.pairs(kernels, rows, skewed=True)
        chunks = pairs.chunks()
        table = runtime.empty(pairs.plan.most_cells, real)
        columns = _state_numbers(kernels, pairs)
        edges = _edges(kernels, pairs, alike[0])
        states = [_state(kernels, alike[0], columns) for _ in chunks[1:3]]
        enters = leaves = NO_STATE
        for number, chunk in enumerate(chunks):
            last = number + 1 == len(chunks)
            leaves = NO_STATE if last else states[number % len(states)]
            kernels.table(pairs, methods, alike, chunk, table)
            for arithmetic in alike:
                kernels.sweep(
                    pairs, methods, arithmetic, chunk, out, edges, table=table, enters=enters, leaves=leaves
                )
            enters = leaves
    return out


def _state_numbers(kernels: Kernels, pairs: DevicePairs) -> int:
    """Numbers between two chunks: those of sweep.cu's `state_in`."""
    of_strips = len(pairs) * pairs.variant.strips * (1 + pairs.plan.skew)
    return kernels.n_gammas * (int(pairs.layout.columns[-1]) + of_strips)


def _edges(kernels: Kernels, pairs: DevicePairs, arithmetic: Arithmetic) -> State:
    """What passes between the strips of a sweep."""
    rows = kernels.n_gammas * int(pairs.layout.whole_edges[-1])
    return _state(kernels, arithmetic, rows) if pairs.variant.multi else NO_STATE


def _state(kernels: Kernels, arithmetic: Arithmetic, columns: int) -> State:
    runtime = kernels.runtime
    return State(runtime.empty(columns, arithmetic.real), runtime.empty(columns, arithmetic.exponent))


# --- gradients


def gradient_budget(runtime: Runtime, n: Array, m: Array, real_bytes: int) -> int:
    """Bytes for what is kept of the rows of these pairs, and for their tables."""
    return _plan.gradient_budget(n, m, real_bytes, usable_memory(runtime, 2 * float((n * m).sum())))


def gradient_groups(
    runtime: Runtime, n: Array, m: Array, dim: int, dtype: np.dtype[Any], alignment: bool
) -> Iterator[Group]:
    budget = gradient_budget(runtime, n, m, dtype.itemsize)
    variant = _plan.choose_variant(dim, int(m.max()), 1, runtime.multiprocessors, paired=True, wide=False)
    cell = _plan.kept_cell_bytes(variant, dtype.itemsize) + dtype.itemsize * ((dim == 0) + alignment)
    least = _plan.least_pairs(variant, runtime.multiprocessors)
    for part in _plan.split_pairs(n * m * cell, budget, least):
        yield Group(part.start, part.stop, budget)


def group_gradient(
    kernels: Kernels, problem: Problem, wanted: set[Wanted], budget: int
) -> dict[Wanted, Buffer]:
    """What is wanted of a group's pairs; expected costs and entropies by strip."""
    runtime, store, count = kernels.runtime, kernels.store, len(problem)
    sizes: dict[Wanted, tuple[int, Any]] = {
        "expected_cost": (count * problem.strips, np.float64),
        "entropy": (count * problem.strips, np.float64),
        "alignment": (int((problem.n * problem.m).sum()), store),
    }
    if "costs" not in problem.more:
        sizes["x"] = (int(problem.n.sum()) * problem.x.n_features, store)
        sizes["y"] = (int(problem.m.sum()) * problem.y.n_features, store)
    of_series: set[Wanted] = {"x", "y"}
    out = {name: runtime.zeros(*sizes[name]) for name in wanted & sizes.keys() - of_series}
    out |= {name: runtime.empty(*sizes[name]) for name in wanted & sizes.keys() & of_series}
    values = runtime.empty(count, store)
    methods, seen = problem.classify(kernels, values)
    if out.keys() & of_series:
        kernels.clear(problem.x, problem.y, methods, out.get("x"), out.get("y"))
    for method in seen:
        reverse_sweeps(kernels, problem, methods, arithmetic_of(method, store), values, out, budget)
    return {"value": values, **out}


def reverse_sweeps(
    kernels: Kernels,
    problem: Problem,
    methods: Buffer,
    arithmetic: Arithmetic,
    values: Buffer,
    out: dict[Wanted, Buffer],
    budget: int,
    collect: Callable[[tuple[int, int], Buffer | None], None] | None = None,
) -> None:
    """Adds the pairs of one method to `out`; `collect` sees each chunk's table of E, from the last one on."""
    variant, real = problem.variant, arithmetic.real
    rows, keeps_all = _plan.gradient_rows(problem.n, problem.m, variant, real.itemsize, budget)
    pairs = problem.pairs(kernels, rows, skewed=collect is None)
    chunks = pairs.chunks()
    table = None if variant.dim else kernels.runtime.empty(pairs.plan.most_cells, real)
    kept, edges = _kept(kernels, pairs, arithmetic, keeps_all), _edges(kernels, pairs, arithmetic)
    flows = _flows(kernels, problem, pairs, real, out)
    numbers = _state_numbers(kernels, pairs)
    between = _state(kernels, arithmetic, numbers * max(1, len(chunks) - 1))
    states = [NO_STATE] + [between.part(number * numbers, numbers) for number in range(len(chunks[1:]))]

    def fill(chunk: tuple[int, int]) -> None:
        if table is not None:
            kernels.table(pairs, methods, [arithmetic], chunk, table)

    if table is None:
        # One sweep over all rows leaves the states between the chunks, and keeps the tiles of the last one.
        kernels.sweep(
            *(pairs, methods, arithmetic, (0, ALL_ROWS), values, edges),
            leaves=between if states[1:] else NO_STATE,
            kept=kept[-1],
            keep_begin=chunks[-1][0],
        )
    else:
        for number, chunk in enumerate(chunks):
            fill(chunk)
            kernels.sweep(
                *(pairs, methods, arithmetic, chunk, values, edges),
                table=table,
                enters=states[number],
                leaves=NO_STATE if chunk == chunks[-1] else states[number + 1],
                kept=kept[number] if keeps_all or chunk == chunks[-1] else None,
            )
    for number, chunk in reversed(list(enumerate(chunks))):
        if chunk != chunks[-1]:
            fill(chunk)
            if not keeps_all:
                kernels.sweep(
                    *(pairs, methods, arithmetic, chunk, values, edges),
                    table=table,
                    enters=states[number],
                    kept=kept[number],
                )
        kernels.reverse(pairs, methods, arithmetic, chunk, table, kept[number], flows, problem.strips)
        if collect is not None:
            collect(chunk, table)
        if table is None or not out.keys() & {"x", "y"}:
            continue
        if kernels.cost in VARYING_SLOPE:
            kernels.table(pairs, methods, [arithmetic], chunk, table, slope=True)
        kernels.products(pairs, methods, arithmetic, chunk, table, out.get("x"), out.get("y"))


def _kept(kernels: Kernels, pairs: DevicePairs, arithmetic: Arithmetic, keeps_all: bool) -> list[Kept]:
    """Room for the tiles of each chunk: of its own, or for all of them the same."""
    tiles, numbers = pairs.plan.tiles, pairs.variant.kept_numbers
    begins = _plan.offsets_of(tiles) if keeps_all else [0] * len(tiles)
    whole = (sum if keeps_all else max)(tiles) * numbers
    empty = kernels.runtime.empty
    room = Kept(empty(whole, arithmetic.real), empty(whole, arithmetic.exponent))
    return [
        room.part(int(begin) * numbers, count * numbers) for begin, count in zip(begins, tiles, strict=False)
    ]


def _flows(
    kernels: Kernels, problem: Problem, pairs: DevicePairs, real: np.dtype[Any], out: dict[Wanted, Buffer]
) -> Flows:
    """What passes between chunks and strips on the way back, and where the results go."""
    empty, columns = kernels.runtime.empty, int(pairs.layout.columns[-1])
    flows = Flows(empty(columns, real), empty(columns, real))
    if pairs.variant.multi:
        rows = int(pairs.layout.whole_edges[-1])
        flows.edge_left, flows.edge_diag = empty(rows, real), empty(rows, real)
    flows.expected_cost, flows.entropy = out.get("expected_cost"), out.get("entropy")
    if "alignment" in out:
        flows.alignment = out["alignment"]
        flows.alignment_offsets = kernels.table_of(_plan.offsets_of(problem.n * problem.m))
    if pairs.variant.dim:
        flows.grad_x, flows.grad_y = out.get("x"), out.get("y")
    return flows
