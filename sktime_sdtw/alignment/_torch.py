"""`gdtw` of tensors: reading what users pass, in differentiable operations."""

from __future__ import annotations

from numbers import Integral
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._engine import resolve_device, resolve_n_threads
from .._series import check_dense, is_list
from . import _problem
from ._apply import check_knots
from ._operator import warp_of
from ._result import GDTWResult, take_first
from ._solver import ALL, EXACT_NEEDS_CPU, check_search, finer_grid
from ._torch_objective import objective


class _Problem(NamedTuple):
    """What the operator is given before the losses."""

    x: Tensor
    x_times: Tensor
    x_slopes: Tensor | None
    y: Tensor
    times: Tensor
    low: Tensor
    high: Tensor
    slope_min: Tensor
    slope_max: Tensor
    reg: Tensor
    cumulative: Tensor
    x_lengths: Tensor
    lengths: Tensor
    is_endpoint: bool


def gdtw_torch(x: Any, y: Any, **options: Any) -> GDTWResult:
    """`gdtw` for tensors: everything before and after the solver in differentiable operations."""
    o = options
    _problem.check_choice(o["mode"], "mode", _problem.MODES)
    _problem.check_choice(o["interpolation"], "interpolation", _problem.INTERPOLATIONS)
    data = _problem.check_penalty(o["loss"], o["huber_delta"], "loss")
    penalty = _problem.check_penalty(o["reg_loss"], o["reg_huber_delta"], "reg_loss")
    n_grid = check_search(o["n_grid"], o["exact"], o["interpolation"])
    problem, origin, single, dtype = _make_problem(x, y, o, n_grid)
    n_jobs = 1 if o["n_jobs"] is None else resolve_n_threads(o["n_jobs"])
    arguments = (*problem, data.code, data.delta, penalty.code, penalty.delta, n_jobs)
    warp, cell, holds, ties, value, residual = warp_of(*arguments, n_grid)
    gap = None
    if o["return_gap"]:
        with torch.no_grad():
            finer = warp_of(*arguments, finer_grid(n_grid, problem.x.shape[1]))[4]
        gap = (value.detach() - finer).clamp(min=0.0).to(dtype)
    times, lengths = problem.times, problem.lengths
    last = torch.minimum(torch.arange(times.shape[1], device=times.device), lengths[:, None] - 1)
    times = times.gather(1, last)
    if warp.requires_grad:
        p = problem
        known = (p.reg, p.cumulative, p.x_lengths, lengths, p.is_endpoint)
        value = objective(warp, cell, p.x, p.x_times, p.x_slopes, p.y, times, *known, data, penalty)
    found = ((warp + origin).to(dtype), times.to(dtype), value.to(dtype), lengths, residual, holds, ties, gap)
    result = GDTWResult(*found)
    return take_first(result) if single else result


def _make_problem(x: Any, y: Any, o: dict[str, Any], n_grid: int) -> tuple[_Problem, Tensor, bool, Any]:
    """Read everything. Also when each source begins, whether it is a single pair, and the result's dtype."""
    x, x_lengths = _stack(x, o["x_lengths"], "x")
    y, y_lengths = _stack(y, o["y_lengths"], "y")
    x, single, dtype_x = _read(x, "x")
    y, single_y, dtype_y = _read(y, "y")
    _check_device(x, y, o["device"])
    if n_grid == ALL and x.is_cuda:
        raise ValueError(EXACT_NEEDS_CPU)
    _problem.check_alike((x.shape[0], x.shape[2], single), (y.shape[0], y.shape[2], single_y))
    x_lengths = _read_lengths(x_lengths, x, "x")
    y_lengths = _read_lengths(y_lengths, y, "y")
    x_times = _read_times(o["x_times"], x_lengths, x.shape[:2], "x_times")
    y_times = _read_times(o["y_times"], y_lengths, y.shape[:2], "y_times")
    times, lengths = _read_knots(o["knots"], y_times, y_lengths)
    low, high = _bounds(o["band"], o["band_lower"], o["band_upper"], x_times, x_lengths, times, lengths)
    # Sources begin at time 0 inside: times like seconds since 1970 would cost half of the digits.
    origin = x_times[:, :1].detach()
    problem = _Problem(
        x=x,
        x_times=x_times - origin,
        x_slopes=_pchip(x_times, x, x_lengths) if o["interpolation"] == "cubic" else None,
        y=y if o["knots"] is None else _interpolate(times, y_times, y_lengths, y),
        times=times,
        low=low - origin,
        high=high - origin,
        slope_min=_read_slopes(o["slope_min"], times, 0.0, "slope_min"),
        slope_max=_read_slopes(o["slope_max"], times, torch.inf, "slope_max"),
        reg=_read_weights(o["reg"], x, "reg"),
        cumulative=_read_weights(o["reg_cumulative"], x, "reg_cumulative"),
        x_lengths=x_lengths,
        lengths=lengths,
        is_endpoint=o["mode"] == "endpoint",
    )
    return problem, origin, single, torch.promote_types(dtype_x, dtype_y)


def apply_torch(x: Any, at: Any, x_times: Any, x_lengths: Any) -> Tensor:
    """`apply_warp` for tensors."""
    x, x_lengths = _stack(x, x_lengths, "x")
    is_plain = x.ndim == 1
    x, single, dtype = _read(x, "x")
    lengths = _read_lengths(x_lengths, x, "x")
    times = _read_times(x_times, lengths, x.shape[:2], "x_times")
    at = _as_tensor(at, x, "warp")
    check_knots(tuple(at.shape), None if single else x.shape[0])
    at = (at[None] if single else at).clamp(*_ends(times, lengths))
    values = _interpolate(at, times, lengths, x).to(dtype)
    if not single:
        return values
    return values[0, :, 0] if is_plain else values[0]


def _stack(x: Any, lengths: Any, name: str) -> tuple[Any, Any]:
    """A list of signals as a padded tensor, with their lengths."""
    if not is_list(x):
        return x, lengths
    if lengths is not None:
        raise ValueError(f"{name} is a list, whose signals have lengths of their own: omit {name}_lengths.")
    if not x or not all(isinstance(one, Tensor) and one.ndim in (1, 2) for one in x):
        raise TypeError(f"{name} must be a list of tensors, of shape (n,) or (n, n_features) each.")
    if len({one.shape[1:] for one in x}) > 1:
        raise ValueError(f"{name} has signals of different numbers of features.")
    _problem.check_samples(min(len(one) for one in x), name)
    rows = [one[:, None] if one.ndim == 1 else one for one in x]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return padded, torch.tensor([len(one) for one in rows], device=padded.device)


def _read(x: Any, name: str) -> tuple[Tensor, bool, Any]:
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name} is not a tensor, but the other signal is: pass two tensors, which are differentiated "
            "through, or two arrays."
        )
    check_dense(x, name)
    if x.device.type not in ("cpu", "cuda"):
        raise TypeError(
            f"{name} is a tensor on {x.device}; tensors on the CPU and on NVIDIA GPUs are accepted."
        )
    if not x.is_floating_point():
        raise TypeError(f"{name} is of dtype {x.dtype}; floating-point numbers are accepted.")
    if not 1 <= x.ndim <= 3 or 0 in x.shape:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}; expected (n,), (n, n_features) or (n_pairs, n, n_features), "
            "none of them 0."
        )
    single = x.ndim < 3
    if x.ndim == 1:
        x = x[:, None]
    return (x[None] if single else x).double(), single, torch.promote_types(x.dtype, torch.float32)


def read_tensor(values: Any, name: str) -> Tensor:
    """Real numbers, as a tensor."""
    try:
        found = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} must be made of numbers. Got {values!r}.") from None
    check_dense(found, name)
    if found.dtype is torch.bool or found.is_complex():
        raise TypeError(f"{name} must be made of real numbers. Got {found.dtype}.")
    return found


def _check_device(x: Tensor, y: Tensor, device: Any) -> None:
    if x.device != y.device:
        raise ValueError(f"x is on {x.device} and y on {y.device}: move one of them.")
    wanted = resolve_device(device)
    if device != "auto" and torch.device(wanted.split(",")[0]) != x.device:
        raise ValueError(f"device={device!r}, but tensors are computed where they lie: on {x.device}.")


def _read_lengths(lengths: Any, like: Tensor, name: str) -> Tensor:
    n, longest = like.shape[:2]
    _problem.check_samples(longest, name)
    if lengths is None:
        return torch.full((n,), longest, dtype=torch.int64, device=like.device)
    try:
        given = torch.as_tensor(lengths)
    except (TypeError, ValueError):  # rows of different lengths, or no numbers
        given = torch.empty(0, 0)
    _problem.check_lengths(given, lengths, n, f"{name}_lengths", most=longest, look=_sees(given))
    return given.to(like.device, torch.int64).expand(n)


def _as_tensor(values: Any, like: Tensor, name: str) -> Tensor:
    if isinstance(values, (int, float)):  # no copy from the host, which no CUDA graph could take over
        return torch.full((), float(values), dtype=torch.float64, device=like.device)
    if is_list(values) and any(isinstance(one, Tensor) and one.ndim for one in values):
        values = torch.nn.utils.rnn.pad_sequence(list(values), batch_first=True)
    if isinstance(values, Tensor):
        check_dense(values, name)
    try:
        return torch.as_tensor(values, dtype=torch.float64, device=like.device)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} must be made of numbers. Got {values!r}.") from None


def _read_times(times: Any, lengths: Tensor, shape: Any, name: str) -> Tensor:
    if times is None:
        steps = torch.arange(shape[1], dtype=torch.float64, device=lengths.device)
        return steps[None] / (lengths[:, None] - 1).clamp(min=1)
    result = _as_tensor(times, lengths, name)
    if (
        result.ndim not in (1, 2)
        or result.shape[-1] != shape[1]
        or (result.ndim == 2 and result.shape[0] != shape[0])
    ):
        raise ValueError(
            f"{name} must be of shape {tuple(shape)} or {tuple(shape[1:])}. Got {tuple(result.shape)}."
        )
    return result.expand(tuple(shape))


def _ends(times: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    return times[:, :1], times.gather(1, (lengths - 1).clamp(min=0)[:, None])


def _sees(values: Tensor) -> bool:
    """Whether values may be looked at: not while torch traces, nor where that would wait for a GPU."""
    if torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(values):
        return False
    return values.device.type == "cpu" and type(values) is Tensor


def _read_knots(knots: Any, times: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    if knots is None:
        return times, lengths
    first, last = _ends(times, lengths)
    if isinstance(knots, (bool, float)):
        raise ValueError(f"knots must be None, a number of knots, or their times. Got {knots!r}.")
    if isinstance(knots, Integral):
        share = torch.linspace(
            0, 1, _problem.check_knot_count(knots), dtype=torch.float64, device=times.device
        )
        result = first + (last - first) * share
    else:
        result = _as_tensor(knots, times, "knots")
        if (
            result.ndim not in (1, 2)
            or result.shape[-1] < 2
            or (result.ndim == 2 and result.shape[0] != times.shape[0])
        ):
            raise ValueError(
                f"knots must be two or more times, for all or for each. Got shape {tuple(result.shape)}."
            )
        result = result.expand(times.shape[0], result.shape[-1])
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
    n = times.shape[0]
    if band is not None:
        widths = _as_tensor(band, times, "band")
        if _sees(widths) and not (torch.isfinite(widths) & (widths >= 0)).all():
            raise ValueError(f"band must be finite and >= 0. Got {band!r}.")
        widths = widths.reshape(-1, 1) if widths.ndim == 0 or tuple(widths.shape) == (n,) else widths
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
    if lower is not None:
        low = torch.maximum(low, _at_knots(lower, times, "band_lower", 0))
    if upper is not None:
        high = torch.minimum(high, _at_knots(upper, times, "band_upper", 0))
    return low, high


def _at_knots(values: Any, times: Tensor, name: str, fewer: int) -> Tensor:
    """A number for each knot, but for so many at the end."""
    result, size = _as_tensor(values, times, name), times.shape[1] - fewer
    try:
        return result.expand(times.shape[0], size)
    except RuntimeError:
        raise ValueError(
            f"{name} must be a number or of shape ({size},) or ({times.shape[0]}, {size}). "
            f"Got {tuple(result.shape)}."
        ) from None


def _read_slopes(values: Any, times: Tensor, default: float, name: str) -> Tensor:
    if values is None:
        return torch.full_like(times, default)
    steps = _at_knots(values, times, name, 1)
    return torch.cat([steps, torch.full_like(times[:, :1], default)], 1)


def _read_weights(values: Any, x: Tensor, name: str) -> Tensor:
    result, n = _as_tensor(values, x, name), x.shape[0]
    if result.numel() != 1 and tuple(result.shape) not in ((n,), (n, 1)):
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
