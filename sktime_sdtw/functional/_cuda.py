"""The operators on CUDA tensors: the CUDA engine on buffers of the tensors, on torch's current stream.

Work is planned on the host: pass lengths as CPU tensors, or the GPU is waited for. The engine asks the GPU
which arithmetic the pairs need, once a call, but for calls inside `capturable`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .._engine import Settings
from ..cuda_ext._kinds import GAK, ITAKURA, SQUARES
from . import _library, _pairwise_library
from ._checks import check_band_of_pairs, check_gammas, check_lengths
from ._cuda_again import solve_again
from ._cuda_batches import Batch, Device, Gpu, Lengths, Packed, Tensors, offsets_of
from ._cuda_problems import groups_of, make_kernels, make_problem, make_series
from ._library import GAMMA, Results, X, Y

if TYPE_CHECKING:
    from ..cuda_ext._pieces import Group
    from ..cuda_ext._runtime import Buffer


def _solve(
    device: Device, batch: Batch, numbers: Settings, gamma: float | Tensor, wanted: set[str]
) -> dict[str, Tensor]:
    """Values and what else is wanted of a batch with one gamma, padded as the tensors; "entropy": slopes."""
    from ..cuda_ext import _plan
    from ..cuda_ext._pairs import group_gradient, listed_values, paired_values
    from ..cuda_ext._pieces import in_pieces

    kernels = make_kernels(device, batch.like, numbers, gamma)
    dim = 0 if batch.of_costs else _plan.dim_of_pairs(batch.features, numbers.cost, wanted)

    def solve_group(group: Group) -> dict[str, Tensor]:
        count = group.last - group.first
        problem = make_problem(device, kernels, batch, group.first, group.last, dim)
        if not wanted:
            values = (paired_values if dim else listed_values)(kernels, problem, group.budget)
            return {"value": device.tensor(values, count)}
        names: Any = wanted
        found: dict[Any, Buffer] = group_gradient(kernels, problem, names, group.budget)
        tensors = {}
        if "entropy" in found:  # a sum for each strip
            sums = device.tensor(found.pop("entropy"), count, problem.strips)
            tensors["entropy"] = -sums.sum(1).to(batch.like.dtype)
        return tensors | {name: device.tensor(buffer, buffer.count) for name, buffer in found.items()}

    joined = _joined(in_pieces(solve_group, groups_of(kernels, batch, dim, wanted)))
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


def _joined(groups: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """What was found for groups of samples, one after the other, flat."""
    first, *others = groups
    if not others:
        return {name: part.reshape(-1) for name, part in first.items()}
    return {name: torch.cat([part[name].reshape(-1) for part in (first, *others)]) for name in first}


def _change(
    device: Device,
    batch: Batch,
    directions: Tensors,
    numbers: Settings,
    gamma: float | Tensor,
    wanted: set[str],
) -> dict[str, Tensor]:
    """How the gradients that are wanted change in the directions of the series (or costs) and of gamma."""
    from ..cuda_ext._data import View
    from ..cuda_ext._pieces import in_pieces
    from ..cuda_ext._second_order import Directions, group_second_order, second_order_groups

    like = batch.like
    kernels = make_kernels(device, like, numbers, gamma)
    rows: list[tuple[Any, Lengths]] = []  # on the device, and of each sample
    sizes = [batch.n * batch.m] if batch.of_costs else [batch.n * batch.features, batch.m * batch.features]
    for packed, direction, size in zip(batch.packed, directions, sizes, strict=False):
        rows.append((None if direction is None else device.wrap(packed.rows_of(direction)), offsets_of(size)))
    last = directions[-1]
    rows.append(
        (None if last is None else device.wrap(last.to(like.dtype).contiguous()), np.arange(batch.count + 1))
    )
    names = ("costs", "gamma") if batch.of_costs else ("x", "y", "gamma")
    asked = {"spread" if name == "gamma" else name for name in wanted}

    def change_group(group: Group) -> dict[str, Tensor]:
        begin, end = group.first, group.last
        problem = make_problem(device, kernels, batch, begin, end, 0)
        views = [
            None if whole is None else View(whole, int(at[begin]), int(at[end] - at[begin]))
            for whole, at in rows
        ]
        of_group = Directions(**dict(zip(names, views, strict=True)))
        found = group_second_order(kernels, problem, of_group, asked, group.budget)
        return {name: device.tensor(buffer, buffer.count) for name, buffer in found.items()}

    groups = second_order_groups(kernels.runtime, batch.n, batch.m, kernels.store)
    joined = _joined(in_pieces(change_group, groups))
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
    numbers: Settings,
    wanted: set[str],
) -> dict[str, Tensor]:
    """What is wanted of all samples, each with its gamma: gradients, or with directions how these change."""

    def solve(
        tensors: tuple[Tensor, ...], directions: Tensors | None, gamma: float | Tensor
    ) -> dict[str, Tensor]:
        if directions is None and x_lengths is None and y_lengths is None and isinstance(gamma, float):
            found = solve_again(device, tensors, numbers, gamma, wanted)
            if found is not None:
                return found
        batch = Batch(tensors, x_lengths, y_lengths, numbers.band, numbers.band_parameter)
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
    found = _by_gamma(device, tensors, directions, *lengths, gammas, gamma, Settings(*numbers), chosen)
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
    numbers, out = Settings(*more), _pairwise_library.empty_values(x, y)
    if out.numel() == 0:
        return out
    lengths = [
        None if given is None else check_lengths(given, len(batch), batch.shape[1], name)
        for given, batch, name in ((x_lengths, x, "x_lengths"), (y_lengths, y, "y_lengths"))
        if batch is not None
    ]
    shapes = [(batch.shape[0], batch.shape[1]) for batch in (x, y) if batch is not None]
    if numbers.band == ITAKURA:
        check_band_of_pairs(shapes[0], shapes[-1], lengths[0], lengths[-1], numbers.band_parameter)
    number = float(gamma) if gammas is None else _one_gamma(gammas, x)
    kernels = make_kernels(device, x, numbers, number)
    series = []
    for batch, given in zip((x, y), lengths, strict=False):
        assert batch is not None
        steps = np.full(batch.shape[:1], batch.shape[1]) if given is None else given.numpy()
        series.append(make_series(device, Packed(batch, steps, steps), steps, batch.shape[2]))
    kernels.ranges(*series)
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
