"""Warps of tensors: the solver as an operator of torch, and its gradient as another."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._engine import resolve_device
from . import _problem
from ._gdtw import GDTWResult, check_grid, finer_grid, pad, take_first
from ._problem import LOSSES, Penalty, Problem, Signals
from ._solver import Solution, gradient, solve
from ._torch_objective import objective

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
    problem = _flatten(tensors, x_lengths, lengths, is_endpoint, loss, delta, penalty, penalty_delta)
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
    problem = _flatten(tensors, x_lengths, lengths, is_endpoint, loss, delta, penalty, penalty_delta)
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


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.options = inputs[13:19]
    ctx.has_slopes = inputs[2] is not None
    tensors = [tensor for tensor in inputs[:13] if tensor is not None]
    ctx.save_for_backward(*tensors, *(tensor.detach() for tensor in output[:4]))
    ctx.mark_non_differentiable(*output[4:])


def _pull(ctx: Any, upstream: Tensor, *others: Any) -> tuple[Any, ...]:
    tensors = list(ctx.saved_tensors)
    if not ctx.has_slopes:
        tensors.insert(2, None)
    grads = _backward(*tensors[:13], *ctx.options, *tensors[13:], upstream.contiguous())
    if not ctx.has_slopes:
        grads[2] = None
    return (*grads, *[None] * 9)


_forward.register_autograd(_pull, setup_context=_keep)


def gdtw_torch(x: Any, y: Any, **options: Any) -> GDTWResult:
    """`gdtw` for tensors: everything before and after the solver in differentiable operations."""
    o = dict(options)
    _problem.check_choice(o["mode"], "mode", _problem.MODES)
    _problem.check_choice(o["interpolation"], "interpolation", _problem.INTERPOLATIONS)
    data = _problem.check_penalty(o["loss"], o["huber_delta"], "loss")
    penalty = _problem.check_penalty(o["reg_loss"], o["reg_huber_delta"], "reg_loss")
    x, single, dtype = _read(x, "x")
    y, single_y, _ = _read(y, "y")
    _check_device(x, y, o["device"])
    if single != single_y or x.shape[0] != y.shape[0] or x.shape[2] != y.shape[2]:
        raise ValueError(
            f"x and y must agree in their number of pairs and of features. Got {tuple(x.shape)} and "
            f"{tuple(y.shape)}, read as (n_pairs, n, n_features)."
        )
    x_lengths = _read_lengths(o["x_lengths"], x, "x_lengths")
    y_lengths = _read_lengths(o["y_lengths"], y, "y_lengths")
    x_times = _read_times(o["x_times"], x_lengths, x.shape[:2], "x_times")
    y_times = _read_times(o["y_times"], y_lengths, y.shape[:2], "y_times")
    times, lengths = _read_knots(o["knots"], y_times, y_lengths)
    targets = y if o["knots"] is None else _interpolate(times, y_times, y_lengths, y)
    low, high = _bounds(o["band"], o["band_lower"], o["band_upper"], x_times, x_lengths, times, lengths)
    slope_min = _read_slopes(o["slope_min"], times, 0.0, "slope_min")
    slope_max = _read_slopes(o["slope_max"], times, torch.inf, "slope_max")
    slopes = _pchip(x_times, x, x_lengths) if o["interpolation"] == "cubic" else None
    reg, cumulative = (
        _read_weights(o["reg"], x, "reg"),
        _read_weights(o["reg_cumulative"], x, "reg_cumulative"),
    )
    is_endpoint = o["mode"] == "endpoint"
    arguments = (
        x,
        x_times,
        slopes,
        targets,
        times,
        low,
        high,
        slope_min,
        slope_max,
        reg,
        cumulative,
        x_lengths,
        lengths,
        is_endpoint,
        data.code,
        data.delta,
        penalty.code,
        penalty.delta,
        1 if o["n_jobs"] is None else o["n_jobs"],
    )
    n_grid = check_grid(o["n_grid"])
    warp, cell, holds, ties, value, residual = _forward(*arguments, n_grid)
    gap = None
    if o["return_gap"]:
        with torch.no_grad():
            finer = _forward(*arguments, finer_grid(n_grid, x.shape[1]))[4]
        gap = (value.detach() - finer).clamp(min=0.0).to(dtype)
    last = torch.minimum(torch.arange(times.shape[1], device=times.device), lengths[:, None] - 1)
    times = times.gather(1, last)
    if warp.requires_grad:
        value = objective(
            warp,
            cell,
            x,
            x_times,
            slopes,
            targets,
            times,
            reg,
            cumulative,
            x_lengths,
            lengths,
            is_endpoint,
            data,
            penalty,
        )
    found = (warp.to(dtype), times.to(dtype), value.to(dtype), lengths, residual, holds, ties, gap)
    result = GDTWResult(*found)
    return take_first(result) if single else result


def _read(x: Any, name: str) -> tuple[Tensor, bool, Any]:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is not a tensor, but the other signal is: pass both in one kind.")
    if x.device.type not in ("cpu", "cuda"):
        raise TypeError(
            f"{name} is a tensor on {x.device}; tensors on the CPU and on NVIDIA GPUs are accepted."
        )
    if not x.is_floating_point():
        raise TypeError(f"{name} is of dtype {x.dtype}; floating-point numbers are accepted.")
    if not 1 <= x.ndim <= 3 or 0 in x.shape:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}; expected (n,), (n, n_features) or (n_pairs, n, n_features)."
        )
    single = x.ndim < 3
    if x.ndim == 1:
        x = x[:, None]
    return (x[None] if single else x).double(), single, x.dtype


def _check_device(x: Tensor, y: Tensor, device: Any) -> None:
    if x.device != y.device:
        raise ValueError(f"x is on {x.device} and y on {y.device}: move one of them.")
    wanted = resolve_device(device)
    if device != "auto" and torch.device(wanted.split(",")[0]) != x.device:
        raise ValueError(f"device={device!r}, but tensors are computed where they lie: on {x.device}.")


def _read_lengths(lengths: Any, like: Tensor, name: str) -> Tensor:
    n, longest = like.shape[:2]
    if lengths is None:
        return torch.full((n,), longest, dtype=torch.int64, device=like.device)
    result = torch.as_tensor(lengths, dtype=torch.int64, device=like.device)
    if result.shape not in ((), (n,)):
        raise ValueError(f"{name} must be {n} integers, one for each signal. Got {lengths!r}.")
    return result.expand(n)


def _as_tensor(values: Any, like: Tensor) -> Tensor:
    if isinstance(values, (int, float)):  # no copy from the host, which no CUDA graph could take over
        return torch.full((), float(values), dtype=torch.float64, device=like.device)
    return torch.as_tensor(values, dtype=torch.float64, device=like.device)


def _read_times(times: Any, lengths: Tensor, shape: Any, name: str) -> Tensor:
    if times is None:
        steps = torch.arange(shape[1], dtype=torch.float64, device=lengths.device)
        return steps[None] / (lengths[:, None] - 1).clamp(min=1)
    result = _as_tensor(times, lengths)
    if (
        result.ndim not in (1, 2)
        or result.shape[-1] != shape[1]
        or (result.ndim == 2 and len(result) != shape[0])
    ):
        raise ValueError(
            f"{name} must be of shape {tuple(shape)} or {tuple(shape[1:])}. Got {tuple(result.shape)}."
        )
    return result.expand(tuple(shape))


def _ends(times: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    return times[:, :1], times.gather(1, (lengths - 1).clamp(min=0)[:, None])


def _sees(values: Tensor) -> bool:
    """Whether values may be looked at: not while a call is traced, nor where that would wait for a GPU."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling() and type(values) is Tensor


def _read_knots(knots: Any, times: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    if knots is None:
        return times, lengths
    first, last = _ends(times, lengths)
    if isinstance(knots, int):
        if isinstance(knots, bool) or knots < 2:
            raise ValueError(f"knots must be at least 2. Got {knots!r}.")
        share = torch.linspace(0, 1, knots, dtype=torch.float64, device=times.device)
        result = first + (last - first) * share
    else:
        result = _as_tensor(knots, times)
        if (
            result.ndim not in (1, 2)
            or result.shape[-1] < 2
            or (result.ndim == 2 and len(result) != len(times))
        ):
            raise ValueError(
                f"knots must be two or more times, for all or for each. Got shape {tuple(result.shape)}."
            )
        result = result.expand(len(times), result.shape[-1])
        slack = 1e-9 * (last - first)
        if (
            _sees(result)
            and ((result[:, :1] - first).abs() > slack)
            .logical_or((result[:, -1:] - last).abs() > slack)
            .any()
        ):
            raise ValueError("knots must begin at the first and end at the last of y_times.")
    return result, torch.full_like(lengths, result.shape[1])


def _interpolate(at: Tensor, times: Tensor, lengths: Tensor, values: Tensor) -> Tensor:
    """Values at other times, by linear interpolation."""
    columns = torch.arange(times.shape[1], device=times.device)
    sorted_times = torch.where(columns < lengths[:, None], times.detach(), torch.inf).contiguous()
    last = (lengths - 2).clamp(min=0)[:, None]
    k = torch.minimum((torch.searchsorted(sorted_times, at.detach().contiguous()) - 1).clamp(min=0), last)
    t0, t1 = times.gather(1, k), times.gather(1, k + 1)
    a = ((at - t0) / (t1 - t0))[:, :, None]
    index = k[:, :, None].expand(-1, -1, values.shape[2])
    return values.gather(1, index) * (1 - a) + values.gather(1, index + 1) * a


def _bounds(
    band: Any, lower: Any, upper: Any, x_times: Tensor, x_lengths: Tensor, times: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor]:
    low, high = torch.full_like(times, -torch.inf), torch.full_like(times, torch.inf)
    n = len(times)
    if band is not None:
        widths = _as_tensor(band, times)
        if _sees(widths) and not (torch.isfinite(widths) & (widths >= 0)).all():
            raise ValueError(f"band must be finite and >= 0. Got {band!r}.")
        widths = widths.reshape(-1, 1) if widths.ndim == 0 or widths.shape == (n,) else widths
        if widths.ndim != 2 or widths.shape[0] not in (1, n):
            raise ValueError(
                f"band must be a number, or of shape ({n},) or ({n}, n_values). Got {tuple(widths.shape)}."
            )
        widths = widths.expand(n, widths.shape[1])
        first, last = _ends(x_times, x_lengths)
        start, end = _ends(times, lengths)
        share, length = (times - start) / (end - start), last - first
        if widths.shape[1] > 1:
            knots = torch.linspace(0, 1, widths.shape[1], dtype=torch.float64, device=times.device)
            knots, count = knots.expand(n, -1), torch.full_like(lengths, widths.shape[1])
            width = _interpolate(share.clamp(0, 1), knots, count, widths[:, :, None])[:, :, 0]
        else:
            width = widths
        low, high = first + length * (share - width), first + length * (share + width)
    for values, is_lower in ((lower, True), (upper, False)):
        if values is not None:
            given = _as_tensor(values, times).expand(tuple(times.shape))
            low, high = (torch.maximum(low, given), high) if is_lower else (low, torch.minimum(high, given))
    return low, high


def _read_slopes(values: Any, times: Tensor, default: float, name: str) -> Tensor:
    if values is None:
        return torch.full_like(times, default)
    result, shape = _as_tensor(values, times), times.shape
    try:
        steps = result.expand(shape[0], shape[1] - 1)
    except RuntimeError:
        raise ValueError(
            f"{name} must be a number or of shape ({shape[1] - 1},) or ({shape[0]}, {shape[1] - 1}). "
            f"Got {tuple(result.shape)}."
        ) from None
    return torch.cat([steps, torch.full_like(times[:, :1], default)], 1)


def _read_weights(values: Any, x: Tensor, name: str) -> Tensor:
    result, n = _as_tensor(values, x), len(x)
    if tuple(result.shape) not in ((), (1,), (n,), (n, 1)):
        raise ValueError(
            f"{name} must be a number or one for each of {n} pairs. Got shape {tuple(result.shape)}."
        )
    return result.reshape(-1).expand(n)


def _pchip(times: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
    """Slopes of the monotone cubic interpolant: weighted harmonic means of the slopes at both sides."""
    h = (times[:, 1:] - times[:, :-1])[:, :, None]
    # After the end of a shorter signal nothing is read; the steps there only must not divide by zero.
    inside = torch.arange(1, times.shape[1], device=times.device) < lengths[:, None]
    h = torch.where(inside[:, :, None], h, 1.0)
    rise = (values[:, 1:] - values[:, :-1]) / h
    if values.shape[1] == 2:
        return rise.expand(-1, 2, -1)
    before, after, h0, h1 = rise[:, :-1], rise[:, 1:], h[:, :-1], h[:, 1:]
    agree = before * after > 0
    safe_before, safe_after = torch.where(agree, before, 1.0), torch.where(agree, after, 1.0)
    w0, w1 = 2 * h1 + h0, h1 + 2 * h0
    inner = torch.where(agree, (w0 + w1) / (w0 / safe_before + w1 / safe_after), 0.0)
    first = _pchip_end(h[:, 0], h[:, 1], rise[:, 0], rise[:, 1])
    slopes = torch.cat([first[:, None], inner, inner[:, -1:]], 1)
    k = (lengths - 2)[:, None, None].clamp(min=0)
    at = [
        t.gather(1, j.expand(-1, -1, t.shape[2]))[:, 0] for t in (h, rise) for j in (k, (k - 1).clamp(min=0))
    ]
    last = torch.where((lengths > 2)[:, None], _pchip_end(at[0], at[1], at[2], at[3]), at[2])
    first = torch.where((lengths > 2)[:, None], first, rise[:, 0])
    column = torch.arange(times.shape[1], device=times.device)[None, :, None]
    slopes = torch.where(column == (lengths - 1)[:, None, None], last[:, None], slopes)
    return torch.where(column == 0, first[:, None], slopes)


def _pchip_end(h0: Tensor, h1: Tensor, rise0: Tensor, rise1: Tensor) -> Tensor:
    slope = ((2 * h0 + h1) * rise0 - h0 * rise1) / (h0 + h1)
    slope = torch.where(slope * rise0 > 0, slope, 0.0)
    return torch.where((rise0 * rise1 <= 0) & (slope.abs() > 3 * rise0.abs()), 3 * rise0, slope)


def _mask(lengths: Any, width: int) -> Any:
    return np.arange(width) < lengths[:, None]


def _spread(flat: Any, lengths: Any, width: int) -> Any:
    """Rows in a table of this width; behind the end of a row its last number repeats."""
    table = pad(flat, lengths)
    missing = width - table.shape[1]
    return np.concatenate([table, np.repeat(table[:, -1:], missing, axis=1)], 1) if missing else table


def _flatten(
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
        if (counts > width).any():
            raise ValueError(f"{name}_lengths is greater than the number of samples, {width}.")
        if (counts < 2).any():
            raise ValueError(f"{name} has a signal of one sample; a signal needs two samples or more.")
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
