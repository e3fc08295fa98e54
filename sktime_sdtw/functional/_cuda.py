"""The operators on CUDA tensors: the CUDA engine on buffers of the tensors, on torch's current stream.

Work is planned on the host: pass lengths as CPU tensors, or the GPU is waited for. The engine asks the GPU
which arithmetic the pairs need, once a call, but for calls inside `capturable`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import _library, _pairwise_library
from ._checks import check_band, check_band_of_pairs, check_gammas, check_lengths
from ._library import ASKS, GAMMA, Results, X, Y

if TYPE_CHECKING:
    from ..cuda_ext._data import DeviceSeries
    from ..cuda_ext._kernels import Kernels
    from ..cuda_ext._pairs import Problem
    from ..cuda_ext._runtime import Buffer, Runtime

Lengths = NDArray[np.int64]
Tensors = tuple[Tensor | None, ...]
SQUARES, GAK = 0, 3  # of CostKind


class Device(Protocol):
    """A device with a way from tensors to buffers and back."""

    runtime: Runtime

    def wrap(self, tensor: Tensor) -> Buffer:
        """A contiguous tensor as a buffer."""

    def tensor(self, buffer: Buffer, *shape: int) -> Tensor:
        """The first elements of a buffer as a tensor."""


class Gpu:
    """The GPU that holds a tensor. Raises where the engine cannot use it."""

    def __init__(self, tensor: Tensor) -> None:
        from ..cuda_ext._devices import device_indices
        from ..cuda_ext._runtime import cuda_runtime

        (index,) = device_indices(str(tensor.device))  # says why not
        self.runtime: Any = cuda_runtime(index)
        self.wrap: Callable[[Tensor], Buffer] = self.runtime.wrap

    def tensor(self, buffer: Any, *shape: int) -> Tensor:
        """As `Device.tensor`."""
        flat: Tensor = buffer.tensor.view(-1)
        return flat[: int(np.prod(shape))].view(shape)


class Numbers(NamedTuple):
    """Cost and band, as the engine's `Settings`."""

    cost: int
    scale: float
    band: int
    band_parameter: float


# --- padded tensors and packed rows


def _offsets(sizes: Lengths) -> Lengths:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


@lru_cache(maxsize=64)
def _places(rooms: tuple[int, ...], device: torch.device, *lengths: bytes) -> Tensor:
    """Which rows of padded samples lie inside.

    Kept on the device: equal lengths need no copy again, which no CUDA graph could take over.
    """
    n, *m = (np.frombuffer(part, np.int64) for part in lengths)
    inside = np.arange(rooms[0])[None, :] < n[:, None]
    if m:
        inside = inside[:, :, None] & (np.arange(rooms[1])[None, :] < m[0][:, None])[:, None, :]
    return torch.from_numpy(np.flatnonzero(inside)).to(device)


class _Packed:
    """What is inside the lengths of a padded tensor, flat, as one number or one time step a row."""

    def __init__(self, padded: Tensor, sizes: Lengths, *lengths: Lengths) -> None:
        width = 1 if len(lengths) == 2 else padded.shape[2]
        self.shape, self.index = padded.shape, None
        if int(sizes.sum()) * width == padded.numel():
            self.rows = padded.reshape(-1, width).contiguous()
            return
        rooms, places = padded.shape[1 : 1 + len(lengths)], [part.tobytes() for part in lengths]
        self.index = _places(tuple(rooms), padded.device, *places)
        self.rows = padded.reshape(-1, width)[self.index].contiguous()

    def rows_of(self, padded: Tensor) -> Tensor:
        """The same rows of another tensor of this shape."""
        rows = padded.to(self.rows.dtype).reshape(-1, self.rows.shape[1])
        return (rows if self.index is None else rows[self.index]).contiguous()

    def unpack(self, rows: Tensor, good: Tensor | None) -> Tensor:
        """A gradient of the rows in the shape of the padded tensor; NaN for samples that are not good.

        None: those rows are NaN already.
        """
        rows = rows.reshape(self.rows.shape)
        out = rows
        if self.index is not None:
            out = rows.new_zeros((int(np.prod(self.shape)) // rows.shape[1], rows.shape[1]))
            out[self.index] = rows
        out = out.reshape(self.shape)
        return out if good is None else torch.where(good[:, None, None], out, torch.nan)


class _Batch:
    """A batch on the device: series or cost matrices, and the lengths on the host."""

    def __init__(
        self,
        tensors: tuple[Tensor, ...],
        x_lengths: Tensor | None,
        y_lengths: Tensor | None,
        band: int,
        band_parameter: float,
    ) -> None:
        first = tensors[0]
        self.like, self.count = first, first.shape[0]
        self.of_costs = len(tensors) == 1
        n, m = (first.shape[1], first.shape[2]) if self.of_costs else (first.shape[1], tensors[1].shape[1])
        if x_lengths is not None:
            x_lengths = check_lengths(x_lengths, self.count, n, "x_lengths")
        if y_lengths is not None:
            y_lengths = check_lengths(y_lengths, self.count, m, "y_lengths")
        if band == 3:
            check_band((self.count, n, m), x_lengths, y_lengths, band_parameter)
        self.n: Lengths = np.full(self.count, n) if x_lengths is None else x_lengths.numpy()
        self.m: Lengths = np.full(self.count, m) if y_lengths is None else y_lengths.numpy()
        if self.of_costs:
            self.packed = [_Packed(first, self.n * self.m, self.n, self.m)]
        else:
            self.packed = [_Packed(first, self.n, self.n), _Packed(tensors[1], self.m, self.m)]
        self.features = 1 if self.of_costs else first.shape[2]


# --- the engine


_asks = ASKS


@contextmanager
def capturable() -> Iterator[None]:
    """Inside, calls on CUDA tensors never wait for the GPU, and can be captured in a CUDA graph.

    Outside, the GPU is asked once a call in which arithmetic its pairs have to be computed. Inside, kernels
    for every arithmetic are launched; those that find nothing to do end at once. Values and derivatives are
    the same. It is worth while where many small calls follow each other, and needed for a graph. Backward
    passes do as the call did that they belong to; those of all pairs then solve even pairs that do not count.

    Notes
    -----
    Make the call once inside before it is captured, as for all of PyTorch: kernels are compiled and loaded
    then. Lengths must be tensors on the CPU, or None, and gamma a number or on the GPU; with
    ``cost="gak"`` it must not differ between samples.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.functional import capturable, soft_dtw
    >>> x, y = torch.randn(2, 4, 30, 1, device="cuda" if torch.cuda.is_available() else "cpu")
    >>> with capturable():
    ...     loss = soft_dtw(x, y, gamma=0.1).mean()
    """
    token = _asks.set(False)
    try:
        yield
    finally:
        _asks.reset(token)


def _kernels(device: Device, dtype: np.dtype[Any], numbers: Numbers, gamma: float | Tensor) -> Kernels:
    from ..cuda_ext._engine import _kernels as make

    kernels = make(device.runtime, dtype, numbers, np.array([gamma if isinstance(gamma, float) else 1.0]))
    kernels.look = _asks.get()
    if isinstance(gamma, Tensor):
        kernels.gammas = device.wrap(gamma)
    return kernels


def _series(
    device: Device,
    kernels: Kernels,
    packed: _Packed | None,
    sizes: Lengths,
    width: int,
    first: int = 0,
    last: int | None = None,
) -> DeviceSeries:
    """Series first <= k < last of a batch, with their ranges; without the batch, their lengths."""
    from ..cuda_ext._data import DeviceSeries, View

    offsets, values = _offsets(sizes[first:last]), None
    if packed is not None:
        before = int(sizes[:first].sum())
        values = View(device.wrap(packed.rows), before * width, int(offsets[-1]) * width)
    found = DeviceSeries(values, offsets, device.runtime.constant(offsets), width)
    if values is not None:
        kernels.ranges(found, values, int(found.lengths.max()))
    return found


def _problem(device: Device, kernels: Kernels, batch: _Batch, first: int, last: int, dim: int) -> Problem:
    """Pairs first <= k < last of the batch, as `group_problem` makes them from arrays."""
    from ..cuda_ext._pairs import Problem, pair_variant

    def series(packed: _Packed | None, sizes: Lengths, width: int) -> DeviceSeries:
        return _series(device, kernels, packed, sizes, width, first, last)

    x_packed, y_packed = (None, None) if batch.of_costs else batch.packed
    x, y = series(x_packed, batch.n, batch.features), series(y_packed, batch.m, batch.features)
    variant = pair_variant(kernels, dim, y.lengths, len(x))
    if not batch.of_costs:
        return Problem(x, y, variant)
    costs = series(batch.packed[0], batch.n * batch.m, 1)
    x.low, x.high, x.parts = costs.low, costs.high, costs.parts
    return Problem(x, y, variant, costs=costs.values, cost_offsets=costs.device_offsets)


def _groups(kernels: Kernels, batch: _Batch, dim: int, wanted: set[str]) -> Iterator[Any]:
    from ..cuda_ext._pairs import gradient_groups, value_groups

    if wanted:
        return gradient_groups(kernels.runtime, batch.n, batch.m, dim, kernels.store, "alignment" in wanted)
    return value_groups(kernels.runtime, batch.n, batch.m, dim, 1, kernels.store)


def _solve(
    device: Device, batch: _Batch, numbers: Numbers, gamma: float | Tensor, wanted: set[str]
) -> dict[str, Tensor]:
    """Values and what else is wanted of a batch with one gamma, padded as the tensors; "entropy": slopes."""
    from ..cuda_ext import _plan
    from ..cuda_ext._pairs import group_gradient, listed_values, paired_values

    dtype = np.dtype(str(batch.like.dtype).removeprefix("torch."))
    kernels = _kernels(device, dtype, numbers, gamma)
    dim = 0 if batch.of_costs else _plan.dim_of_pairs(batch.features, numbers.cost)
    parts: dict[str, list[Tensor]] = {name: [] for name in ("value", *wanted)}
    for group in _groups(kernels, batch, dim, wanted):
        count = group.last - group.first
        problem = _problem(device, kernels, batch, group.first, group.last, dim)
        if not wanted:
            values = (paired_values if dim else listed_values)(kernels, problem, group.budget)
            parts["value"].append(device.tensor(values, count))
            continue
        names: Any = wanted
        found = group_gradient(kernels, problem, names, group.budget)
        for name, buffer in found.items():
            if name == "entropy":  # a sum for each strip
                sums = device.tensor(buffer, count, problem.strips)
                parts[name].append(-sums.sum(1).to(batch.like.dtype))
            else:
                parts[str(name)].append(device.tensor(buffer, buffer.count))
    joined = {name: _joined(found) for name, found in parts.items()}
    known = {"value"}  # where they are NaN already
    if not isinstance(gamma, Tensor):
        known |= {name for name, place in (("x", 0), ("y", -1)) if batch.packed[place].index is None}
    good = _good(joined["value"], gamma) if joined.keys() - known or isinstance(gamma, Tensor) else None
    result = {}
    for name, flat in joined.items():
        mask = None if name in known and not isinstance(gamma, Tensor) else good
        if name in ("value", "entropy"):
            result[name] = flat if mask is None else torch.where(mask, flat, torch.nan)
        else:
            result[name] = batch.packed[-1 if name == "y" else 0].unpack(flat, mask)
    return result


# --- calls that come again


MOST_PROGRAMS = 64


class _Noting:
    """A `Device` on a tape; the tensors that it is given are the inputs of the program, in this order."""

    def __init__(self, tape: Any) -> None:
        self.runtime = tape

    def wrap(self, tensor: Tensor) -> Buffer:
        """As `Device.wrap`."""
        found: Buffer = self.runtime.input(tensor.numel(), str(tensor.dtype).removeprefix("torch."))
        return found

    def tensor(self, buffer: Buffer, *shape: int) -> Tensor:
        """There is none yet."""
        raise NotImplementedError


@dataclass
class _Known:
    """The programs of calls of the same sizes, by the methods of their pairs."""

    by_methods: dict[frozenset[int] | None, Any] = field(default_factory=dict)
    last: frozenset[int] | None = None  # the methods that the last call had
    repeatable: bool = True


def _solve_again(
    device: Device, tensors: tuple[Tensor, ...], numbers: Numbers, gamma: float, wanted: set[str]
) -> dict[str, Tensor] | None:
    """As `_solve`, by the launches of an earlier call, for series of full lengths; None: not that simple."""
    from ..cuda_ext._runtime import DeviceMemoryError

    runtime: Any = device.runtime
    programs: dict[Any, _Known] | None = getattr(runtime, "programs", None)
    if programs is None or len(tensors) != 2 or not wanted <= {"x", "y"}:
        return None
    x, y = (tensor.contiguous() for tensor in tensors)
    names = ("value", *sorted(wanted))
    key = (x.dtype, x.shape, y.shape, numbers, gamma > 0, names, _asks.get())
    known = programs.get(key)
    if known is None:
        while len(programs) >= MOST_PROGRAMS:
            programs.pop(next(iter(programs)), None)
        known = programs.setdefault(key, _Known())
    number = runtime.constant(np.array([gamma]))
    methods = known.last
    while known.repeatable:
        program = known.by_methods.get(methods)
        if program is None:
            program = _note(runtime, (x, y), numbers, gamma, names, methods)
            if program is None:
                known.repeatable = False
                break
            program = known.by_methods.setdefault(program.methods, program)
        try:
            buffers, found = program.run((x.data_ptr(), y.data_ptr(), number.pointer))
        except DeviceMemoryError:  # there is less of it than when this was planned
            programs.pop(key, None)
            return None
        known.last = found or program.methods
        if found is None or found <= program.methods:
            break
        methods = found
    if not known.repeatable:
        return None
    shapes = {"value": x.shape[:1], "x": x.shape, "y": y.shape}
    return {name: buffer.tensor.view(shapes[name]) for name, buffer in zip(names, buffers, strict=True)}


def _note(
    runtime: Any,
    tensors: tuple[Tensor, ...],
    numbers: Numbers,
    gamma: float,
    names: tuple[str, ...],
    methods: frozenset[int] | None,
) -> Any:
    """The program of these calls, for pairs of these methods; None where the work comes in several pieces."""
    from ..cuda_ext import _plan
    from ..cuda_ext._data import possible_methods
    from ..cuda_ext._pairs import group_gradient, listed_values, paired_values
    from ..cuda_ext._tape import NotRepeatableError, Program, Tape

    tape = Tape(runtime)
    noting = _Noting(tape)
    batch = _Batch(tensors, None, None, numbers.band, numbers.band_parameter)
    kernels = _kernels(noting, np.dtype(str(batch.like.dtype).removeprefix("torch.")), numbers, gamma)
    asks = kernels.look
    if methods is None:
        methods = frozenset(kernels.likely if asks else possible_methods(kernels.likely, kernels.store))
    kernels.assumed = sorted(methods)
    dim, wanted = _plan.dim_of_pairs(batch.features, numbers.cost), set(names[1:])
    groups = list(_groups(kernels, batch, dim, wanted))
    if len(groups) > 1:
        return None
    try:
        problem = _problem(noting, kernels, batch, 0, batch.count, dim)
        kernels.gammas = tape.input(1, np.float64)
        if wanted:
            chosen: Any = wanted
            found: Any = group_gradient(kernels, problem, chosen, groups[0].budget)
        else:
            found = {"value": (paired_values if dim else listed_values)(kernels, problem, groups[0].budget)}
    except NotRepeatableError:
        return None
    return Program(tape, [found[name] for name in names], kernels.seen if asks else None, methods)


def _joined(parts: list[Tensor]) -> Tensor:
    """One after the other, flat."""
    return parts[0].reshape(-1) if len(parts) == 1 else torch.cat([part.reshape(-1) for part in parts])


def _change(
    device: Device,
    batch: _Batch,
    directions: Tensors,
    numbers: Numbers,
    gamma: float | Tensor,
    wanted: set[str],
) -> dict[str, Tensor]:
    """How the gradients that are wanted change in the directions of the series (or costs) and of gamma."""
    from ..cuda_ext._data import View
    from ..cuda_ext._second_order import Directions, group_second_order, second_order_groups

    like = batch.like
    kernels = _kernels(device, np.dtype(str(like.dtype).removeprefix("torch.")), numbers, gamma)
    rows: list[tuple[Any, Lengths]] = []  # on the device, and of each sample
    sizes = [batch.n * batch.m] if batch.of_costs else [batch.n * batch.features, batch.m * batch.features]
    for packed, direction, size in zip(batch.packed, directions, sizes, strict=False):
        rows.append((None if direction is None else device.wrap(packed.rows_of(direction)), _offsets(size)))
    last = directions[-1]
    rows.append(
        (None if last is None else device.wrap(last.to(like.dtype).contiguous()), np.arange(batch.count + 1))
    )
    names = ("costs", "gamma") if batch.of_costs else ("x", "y", "gamma")
    asked = {"spread" if name == "gamma" else name for name in wanted}
    parts: dict[str, list[Tensor]] = {name: [] for name in ("value", *asked)}
    for group in second_order_groups(kernels.runtime, batch.n, batch.m, kernels.store):
        begin, end = group.first, group.last
        problem = _problem(device, kernels, batch, begin, end, 0)
        views = [
            None if whole is None else View(whole, int(at[begin]), int(at[end] - at[begin]))
            for whole, at in rows
        ]
        of_group = Directions(**dict(zip(names, views, strict=True)))
        found = group_second_order(kernels, problem, of_group, asked, group.budget)
        for name, buffer in found.items():
            parts[name].append(device.tensor(buffer, buffer.count))
    joined = {name: torch.cat(found) for name, found in parts.items()}
    good = _good(joined["value"], gamma)
    places = {"x": 0, "y": -1, "costs": 0}
    result = {name: batch.packed[places[name]].unpack(joined[name], good) for name in places.keys() & asked}
    if "gamma" in wanted:
        hard = isinstance(gamma, float) and gamma == 0  # nothing spreads there
        slope = joined["spread"] if hard else -joined["spread"] / gamma
        result["gamma"] = torch.where(good, slope.to(like.dtype), torch.nan)
    return result


def _good(values: Tensor, gamma: float | Tensor) -> Tensor:
    """Samples with a result; values are NaN where numbers are not finite, or costs overflow."""
    good = ~values.isnan()
    return good & torch.isfinite(gamma) & (gamma > 0) if isinstance(gamma, Tensor) else good


def _one_gamma(gammas: Tensor, like: Tensor) -> float | Tensor:
    """The only element, on the GPU where the series are: there a wrong one gives NaN, without a look."""
    if gammas.numel() != 1:
        check_gammas(gammas, 1)  # says so
    number = gammas.to(like.device, torch.float64).reshape(1).contiguous()
    return number if number.is_cuda else float(check_gammas(number, 1))


def _by_gamma(
    device: Device,
    tensors: tuple[Tensor, ...],
    directions: Tensors | None,
    x_lengths: Tensor | None,
    y_lengths: Tensor | None,
    gammas: Tensor | None,
    gamma: float,
    numbers: Numbers,
    wanted: set[str],
) -> dict[str, Tensor]:
    """What is wanted of all samples, each with its gamma: gradients, or with directions how these change."""

    def solve(
        tensors: tuple[Tensor, ...], directions: Tensors | None, gamma: float | Tensor
    ) -> dict[str, Tensor]:
        if directions is None and x_lengths is None and y_lengths is None and isinstance(gamma, float):
            found = _solve_again(device, tensors, numbers, gamma, wanted)
            if found is not None:
                return found
        batch = _Batch(tensors, x_lengths, y_lengths, numbers.band, numbers.band_parameter)
        if directions is None:
            return _solve(device, batch, numbers, gamma, wanted)
        return _change(device, batch, directions, numbers, gamma, wanted)

    if gammas is None:
        return solve(tensors, directions, float(gamma))
    if gammas.numel() == 1:
        return solve(tensors, directions, _one_gamma(gammas, tensors[0]))
    if not gammas.is_cuda or gammas.numel() != tensors[0].shape[0]:
        gammas = check_gammas(gammas, tensors[0].shape[0])
    if numbers.cost != GAK:
        each = gammas.to(tensors[0].device, torch.float64).reshape(-1)
        return _with_gamma_one(tensors, directions, each, numbers.cost == SQUARES, solve)
    result: dict[str, Tensor] = {}
    checked = check_gammas(gammas, tensors[0].shape[0]).reshape(-1)
    for value in checked.unique().tolist():
        chosen = torch.nonzero(checked == value)[:, 0]

        def some(tensor: Tensor | None, chosen: Tensor = chosen) -> Any:
            return None if tensor is None else tensor[chosen.to(tensor.device)]

        found = _by_gamma(
            device,
            tuple(some(tensor) for tensor in tensors),
            None if directions is None else tuple(some(tensor) for tensor in directions),
            *(some(x_lengths), some(y_lengths), None, value, numbers, wanted),
        )
        for name, part in found.items():
            if name not in result:
                result[name] = part.new_empty((tensors[0].shape[0], *part.shape[1:]))
            result[name][chosen.to(part.device)] = part
    return result


def _with_gamma_one(
    tensors: tuple[Tensor, ...],
    directions: Tensors | None,
    gammas: Tensor,
    squares: bool,
    solve: Callable[[tuple[Tensor, ...], Tensors | None, float], dict[str, Tensor]],
) -> dict[str, Tensor]:
    """Samples with a gamma each, all at once: with costs D/gamma, each is gamma times a problem of gamma 1.

    Costs are proportional to the differences of the series, or to their squares. A gamma that is not finite
    and > 0 gives NaN.
    """
    scales = gammas.rsqrt() if squares else 1 / gammas

    def times(tensor: Tensor | None, factors: Tensor) -> Any:
        if tensor is None:
            return None
        return tensor * factors.to(tensor.dtype).view(-1, *[1] * (tensor.dim() - 1))

    scaled = tuple(times(tensor, scales) for tensor in tensors)
    ways = None
    if directions is not None:
        ways = (*(times(way, scales) for way in directions[:-1]), times(directions[-1], 1 / gammas))
    found = solve(scaled, ways, 1.0)
    back = {"value": gammas, "x": gammas * scales, "y": gammas * scales}
    good = torch.where(torch.isfinite(gammas) & (gammas > 0), 1.0, torch.nan)
    return {name: times(part, back.get(name, 1.0) * good) for name, part in found.items()}


def _run(
    device: Device,
    tensors: tuple[Tensor, ...],
    common: Sequence[Any],
    directions: Tensors | None,
    names: dict[str, int],
    wanted: int,
) -> Results:
    """What is wanted of a batch of series x and y, or of costs, by the bits of the names.

    `common` is what follows the tensors in every operator, from x_lengths to band_parameter.
    """
    x_lengths, y_lengths, gammas, gamma, *numbers = common
    chosen = {name for name, bit in names.items() if wanted & bit}
    lengths = (x_lengths, y_lengths)
    found = _by_gamma(device, tensors, directions, *lengths, gammas, gamma, Numbers(*numbers), chosen)
    return tuple(
        found[name] if bit == 0 or wanted & bit else tensors[0].new_empty((0,)) for name, bit in names.items()
    )


def soft_dtw(device: Device, x: Tensor, y: Tensor, *rest: Any) -> Results:
    """As `_cpu.soft_dtw`."""
    *common, wanted = rest
    if x.shape[0] == 0:
        return tuple(_library.empty_first(x, y, wanted))
    return _run(device, (x, y), common, None, {"value": 0, "x": X, "y": Y, "entropy": GAMMA}, wanted)


def soft_dtw_second_order(device: Device, x: Tensor, y: Tensor, *rest: Any) -> Results:
    """As `_cpu.soft_dtw_second_order`."""
    *common, x_direction, y_direction, gamma_direction, wanted = rest
    if x.shape[0] == 0:
        return tuple(_library.empty_second(x, y, wanted))
    directions = (x_direction, y_direction, gamma_direction)
    return _run(device, (x, y), common, directions, {"x": X, "y": Y, "gamma": GAMMA}, wanted)


def soft_dtw_of_costs(device: Device, costs: Tensor, *rest: Any) -> Results:
    """As `_cpu.soft_dtw_of_costs`."""
    *common, wanted = rest
    if costs.shape[0] == 0:
        return tuple(_library.empty_first_of_costs(costs, wanted))
    return _run(device, (costs,), common, None, {"value": 0, "alignment": X, "entropy": GAMMA}, wanted)


def soft_dtw_of_costs_second_order(device: Device, costs: Tensor, *rest: Any) -> Results:
    """As `_cpu.soft_dtw_of_costs_second_order`."""
    *common, alignment_direction, gamma_direction, wanted = rest
    if costs.shape[0] == 0:
        return tuple(_library.empty_second_of_costs(costs, wanted))
    directions = (alignment_direction, gamma_direction)
    return _run(device, (costs,), common, directions, {"costs": X, "gamma": GAMMA}, wanted)


def cdist(device: Device, x: Tensor, y: Tensor | None, *rest: Any) -> Tensor:
    """As `_cpu.cdist`: windows of values that stay on the device."""
    from ..cuda_ext._pairwise import device_values

    x_lengths, y_lengths, gammas, gamma, *more = rest
    numbers, out = Numbers(*more), _pairwise_library.empty_values(x, y)
    if out.numel() == 0:
        return out
    lengths = [
        None if given is None else check_lengths(given, len(batch), batch.shape[1], name)
        for given, batch, name in ((x_lengths, x, "x_lengths"), (y_lengths, y, "y_lengths"))
        if batch is not None
    ]
    shapes = [(batch.shape[0], batch.shape[1]) for batch in (x, y) if batch is not None]
    if numbers.band == 3:
        check_band_of_pairs(shapes[0], shapes[-1], lengths[0], lengths[-1], numbers.band_parameter)
    number = float(gamma) if gammas is None else _one_gamma(gammas, x)
    kernels = _kernels(device, np.dtype(str(x.dtype).removeprefix("torch.")), numbers, number)
    series = []
    for batch, given in zip((x, y), lengths, strict=False):
        assert batch is not None
        steps = np.full(batch.shape[:1], batch.shape[1]) if given is None else given.numpy()
        series.append(_series(device, kernels, _Packed(batch, steps, steps), steps, batch.shape[2]))
    for window, listed, buffers in device_values(kernels, series[0], None if y is None else series[1]):
        values = torch.cat([device.tensor(buffer, buffer.count) for buffer in buffers])
        i, j = slice(window.first_x, window.last_x), slice(window.first_y, window.last_y)
        block = out[i, j]
        if listed and window.upper:
            above = _above(window.shape[0], x.device)
            block[above] = block.T[above] = values
            continue
        block[...] = values.view(window.shape)
        if y is None and not window.upper:
            out[j, i] = block.T
    if isinstance(number, Tensor):
        out = torch.where(torch.isfinite(number) & (number > 0), out, torch.nan)
    return out


@lru_cache(maxsize=8)
def _above(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and columns of a square on its diagonal and above it. Kept on the device, as `_places`."""
    i, j = torch.triu_indices(size, size).to(device)
    return i, j


# --- registration


_gpus: dict[torch.device, Gpu] = {}


def _on_gpu(operator: Callable[..., Any], tensor: Tensor, *arguments: Any) -> Any:
    gpu = _gpus.get(tensor.device)
    if gpu is None:
        gpu = _gpus[tensor.device] = Gpu(tensor)
    return operator(gpu, tensor, *arguments)


soft_dtw_on_gpu = partial(_on_gpu, soft_dtw)


_KERNELS: dict[str, Callable[..., Any]] = {
    "soft_dtw": soft_dtw_on_gpu,
    "soft_dtw_of_costs": partial(_on_gpu, soft_dtw_of_costs),
    "soft_dtw_second_order": partial(_on_gpu, soft_dtw_second_order),
    "soft_dtw_of_costs_second_order": partial(_on_gpu, soft_dtw_of_costs_second_order),
    "cdist_soft_dtw": partial(_on_gpu, cdist),
}
for _name, _kernel in _KERNELS.items():
    _library.LIBRARY.impl(_name, _kernel, "CUDA")
