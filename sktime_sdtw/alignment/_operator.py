"""The operator of warps and its gradient, as torch knows them: shapes, derivatives, and torch.func."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import _problem
from ._problem import LOSSES, Penalty, Problem, Signals
from ._result import pad
from ._solver import Solution, gradient, solve

_TENSORS = "Tensor x, Tensor x_times, Tensor? x_slopes, Tensor y, Tensor times, Tensor low, Tensor high, "
_TENSORS += (
    "Tensor slope_min, Tensor slope_max, Tensor reg, Tensor cumulative, Tensor x_lengths, Tensor lengths, "
)
_TENSORS += "bool is_endpoint, int loss, float delta, int penalty, float penalty_delta, int n_jobs"
_NAMES = list(LOSSES)


@torch.library.custom_op(
    "sktime_sdtw::gdtw",
    mutates_args=(),
    schema=f"({_TENSORS}, int n_grid) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _forward(
    x: Tensor,
    x_times: Tensor,
    x_slopes: Tensor | None,
    y: Tensor,
    times: Tensor,
    low: Tensor,
    high: Tensor,
    slope_min: Tensor,
    slope_max: Tensor,
    reg: Tensor,
    cumulative: Tensor,
    x_lengths: Tensor,
    lengths: Tensor,
    is_endpoint: bool,
    loss: int,
    delta: float,
    penalty: int,
    penalty_delta: float,
    n_jobs: int,
    n_grid: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    tensors = (x, x_times, x_slopes, y, times, low, high, slope_min, slope_max, reg, cumulative)
    problem = flatten(tensors, x_lengths, lengths, is_endpoint, loss, delta, penalty, penalty_delta)
    found = solve(problem, n_grid, n_jobs=n_jobs)
    rows = problem.targets.lengths

    def table(flat: Any) -> Tensor:
        return torch.from_numpy(_spread(flat, rows, times.shape[1]))

    states = (table(flat) for flat in (found.cell, found.holds, found.ties))
    objective, residual = torch.from_numpy(found.objective), torch.from_numpy(found.residual)
    return (table(found.warp), *states, objective, residual)


@_forward.register_kernel("cuda")
def _(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    from . import _cuda

    device, (x_lengths, lengths) = _cuda.Gpu(arguments[0]), arguments[11:13]
    return _cuda.forward(device, arguments[:11], x_lengths, lengths, arguments[13:18], arguments[19])


@_forward.register_fake
def _(
    x: Tensor, x_times: Tensor, x_slopes: Any, y: Tensor, times: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    warp, numbers = torch.empty_like(times), times.new_empty(times.shape[0])
    states = (torch.empty_like(times, dtype=torch.int32) for _ in range(3))
    return (warp, *states, numbers, torch.empty_like(numbers))


@torch.library.custom_op(
    "sktime_sdtw::gdtw_backward",
    mutates_args=(),
    schema=f"({_TENSORS}, Tensor warp, Tensor cell, Tensor holds, Tensor ties, Tensor upstream) -> Tensor[]",
)
def _backward(
    x: Tensor,
    x_times: Tensor,
    x_slopes: Tensor | None,
    y: Tensor,
    times: Tensor,
    low: Tensor,
    high: Tensor,
    slope_min: Tensor,
    slope_max: Tensor,
    reg: Tensor,
    cumulative: Tensor,
    x_lengths: Tensor,
    lengths: Tensor,
    is_endpoint: bool,
    loss: int,
    delta: float,
    penalty: int,
    penalty_delta: float,
    n_jobs: int,
    warp: Tensor,
    cell: Tensor,
    holds: Tensor,
    ties: Tensor,
    upstream: Tensor,
) -> list[Tensor]:
    tensors = (x, x_times, x_slopes, y, times, low, high, slope_min, slope_max, reg, cumulative)
    problem = flatten(tensors, x_lengths, lengths, is_endpoint, loss, delta, penalty, penalty_delta)
    mask = _mask(lengths.numpy(), times.shape[1])
    nothing = np.empty(0)
    state = [np.ascontiguousarray(t.numpy()[mask]) for t in (warp, cell, holds, ties)]
    flat = np.array(upstream.numpy()[mask], np.float64)
    # What repeats the last number of a shorter row adds to its gradient.
    ends = np.cumsum(problem.targets.lengths) - 1
    flat[ends] += np.where(mask, 0.0, upstream.numpy()).sum(1)
    out = gradient(problem, Solution(state[0], state[1], state[2], state[3], nothing, nothing), flat, n_jobs)
    source_mask = _mask(x_lengths.numpy(), x.shape[1])
    result = []
    for name, tensor in zip(out, tensors, strict=True):
        if tensor is None:
            result.append(x.new_empty(0))
            continue
        values = out[name]
        assert values is not None
        if name in ("reg", "cumulative"):
            result.append(torch.from_numpy(values))
            continue
        where = source_mask if name.startswith("x") else mask
        dense = np.zeros(tuple(tensor.shape))
        dense[where] = values
        result.append(torch.from_numpy(dense))
    return result


@_backward.register_kernel("cuda")
def _(*arguments: Any) -> list[Tensor]:
    from . import _cuda

    device, (x_lengths, lengths) = _cuda.Gpu(arguments[0]), arguments[11:13]
    settings, state, upstream = arguments[13:18], arguments[19:23], arguments[23]
    return _cuda.backward(device, arguments[:11], x_lengths, lengths, settings, state, upstream)


@_backward.register_fake
def _(x: Tensor, x_times: Tensor, x_slopes: Tensor | None, *rest: Any) -> list[Tensor]:
    slopes = x.new_empty(0) if x_slopes is None else torch.empty_like(x_slopes)
    others = [torch.empty_like(tensor) for tensor in rest[:8]]
    return [torch.empty_like(x), torch.empty_like(x_times), slopes, *others]


# --- derivatives


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.options = inputs[13:19]
    ctx.has_slopes = inputs[2] is not None
    tensors = [tensor for tensor in inputs[:13] if tensor is not None]
    ctx.save_for_backward(*tensors, *(tensor.detach() for tensor in output[:4]))
    ctx.mark_non_differentiable(*output[4:])


def _pull(back: Callable[..., Any], ctx: Any, upstream: Tensor, *others: Any) -> tuple[Any, ...]:
    tensors = list(ctx.saved_tensors)
    if not ctx.has_slopes:
        tensors.insert(2, None)
    grads = list(back(*tensors[:13], *ctx.options, *tensors[13:], upstream.contiguous()))
    if not ctx.has_slopes:
        grads[2] = None
    return (*grads, *[None] * 9)


def _no_more(ctx: Any, *_: Any) -> None:
    raise NotImplementedError(
        "Warps have first derivatives, by backward passes; a second one or forward mode was asked for."
    )


_forward.register_autograd(partial(_pull, _backward), setup_context=_keep)
_backward.register_autograd(_no_more)


def _fold(
    operator: Callable[..., Any], info: Any, in_dims: tuple[int | None, ...], *arguments: Any
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """The operator under vmap: the new axis becomes part of the axis of pairs."""
    size = info.batch_size

    def fold(value: Any, axis: int | None) -> Any:
        if not isinstance(value, Tensor):
            return value
        value = value.expand(size, *value.shape) if axis is None else value.movedim(axis, 0)
        return value.reshape(-1, *value.shape[2:])

    results = operator(*(fold(value, axis) for value, axis in zip(arguments, in_dims, strict=True)))
    rows = (result.reshape(size, len(result) // size, *result.shape[1:]) for result in results)
    return tuple(rows), (0,) * len(results)


class _Warp(torch.autograd.Function):
    """The operator outside `torch.compile`: it knows torch.func, and what it does not have it says."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return _forward(*arguments)

    setup_context = staticmethod(_keep)
    jvp = staticmethod(_no_more)

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        return _pull(_WarpGradient.apply, ctx, *upstream)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return _fold(_Warp.apply, info, in_dims, *arguments)


class _WarpGradient(torch.autograd.Function):
    @staticmethod
    def forward(*arguments: Any) -> Any:
        return tuple(_backward(*arguments))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    jvp = staticmethod(_no_more)
    backward = staticmethod(_no_more)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return _fold(_WarpGradient.apply, info, in_dims, *arguments)


def warp_of(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Warp, cell, holds, ties, objective and residual of all pairs."""
    operator = _forward if torch.compiler.is_compiling() else _Warp.apply
    result: tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor] = operator(*arguments)
    return result


# --- between tables and flat arrays


def _mask(lengths: Any, width: int) -> Any:
    return np.arange(width) < lengths[:, None]


def _spread(flat: Any, lengths: Any, width: int) -> Any:
    """Rows in a table of this width; behind the end of a row its last number repeats."""
    table = pad(flat, lengths)
    missing = width - table.shape[1]
    return np.concatenate([table, np.repeat(table[:, -1:], missing, axis=1)], 1) if missing else table


def flatten(
    tensors: Any,
    x_lengths: Tensor,
    lengths: Tensor,
    is_endpoint: bool,
    loss: int,
    delta: float,
    penalty: int,
    penalty_delta: float,
) -> Problem:
    """The problem of these tensors, checked."""
    names = ("x", "x_times", "x_slopes", "y", "y_times", "band_lower", "band_upper", "slope_min", "slope_max")
    rows, knots = x_lengths.numpy(), lengths.numpy()
    for name, counts, width in (("x", rows, tensors[0].shape[1]), ("y", knots, tensors[3].shape[1])):
        _problem.check_lengths(counts, counts, len(counts), f"{name}_lengths", most=width)
    flat: list[Any] = []
    for name, tensor in zip(names, tensors, strict=False):
        if tensor is None:
            flat.append(None)
            continue
        array = tensor.detach().numpy()
        mask = _mask(rows if name.startswith("x") else knots, array.shape[1])
        values = np.ascontiguousarray(array[mask], np.float64)
        if not np.isfinite(values).all() and name in ("x", "x_times", "y", "y_times"):
            raise ValueError(f"{name} has NaN or inf.")
        if name.startswith("band") and np.isnan(values).any():
            raise ValueError("band, band_lower or band_upper has NaN.")
        if name.endswith("times"):
            steps = np.diff(values)
            inner = np.ones(len(steps), bool)
            inner[np.cumsum(rows if name.startswith("x") else knots)[:-1] - 1] = False
            if (steps[inner] <= 0).any():
                raise ValueError(f"{name} must increase from sample to sample, without duplicates.")
        if name.startswith("slope") and (np.isnan(values).any() or (values < 0).any()):
            raise ValueError(f"{name} must be >= 0.")
        flat.append(values)
    _problem.check_slopes(flat[7], flat[8])
    weights = [
        _problem.read_weights(tensor.detach().numpy(), len(rows), name)
        for tensor, name in zip(tensors[9:], ("reg", "reg_cumulative"), strict=True)
    ]
    if tensors[2] is not None:
        _problem.check_smooth(
            "cubic", Penalty(_NAMES[loss], delta), Penalty(_NAMES[penalty], 1.0), weights[1]
        )
    offsets = [np.concatenate([[0], np.cumsum(counts)]).astype(np.int64) for counts in (rows, knots)]
    return Problem(
        sources=Signals(flat[0], flat[1], offsets[0]),
        targets=Signals(flat[3], flat[4], offsets[1]),
        low=flat[5],
        high=flat[6],
        slope_min=flat[7],
        slope_max=flat[8],
        reg=weights[0],
        cumulative=weights[1],
        is_endpoint=is_endpoint,
        data=Penalty(_NAMES[loss], delta),
        penalty=Penalty(_NAMES[penalty], penalty_delta),
        slopes=flat[2],
    )
