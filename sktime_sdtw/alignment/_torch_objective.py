"""The objective of warps of tensors, in differentiable operations.

At a minimum the derivative of the objective is that of its explicit arguments, and of the right sides of
the constraints that bind. Written as a function of the warp and of everything else, with the warp's own
derivative from the operator, it is just that: the objective changes along the warp only where a constraint
moves it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._problem import Penalty


def objective(
    warp: Tensor,
    cell: Tensor,
    x: Tensor,
    x_times: Tensor,
    x_slopes: Tensor | None,
    y: Tensor,
    times: Tensor,
    reg: Tensor,
    cumulative: Tensor,
    x_lengths: Tensor,
    lengths: Tensor,
    is_endpoint: bool,
    data: Penalty,
    penalty: Penalty,
) -> Tensor:
    """What `warp`, read from the segments `cell` of x, leaves of the objective of each pair.

    `times` repeat their last number after the last knot of a pair.
    """
    inside = torch.arange(times.shape[1], device=times.device) < lengths[:, None]
    read = _read(warp, cell.long(), x, x_times, x_slopes)
    residual = read - torch.where(inside[:, :, None], y, 0.0)
    step = torch.where(inside[:, 1:], times[:, 1:] - times[:, :-1], 0.0)
    nothing = step.new_zeros(step.shape[0], 1)
    weight = 0.5 * (torch.cat([nothing, step], 1) + torch.cat([step, nothing], 1))
    start = x_times[:, :1]
    slope = torch.ones_like(start)
    if is_endpoint:
        end = x_times.gather(1, (x_lengths - 1)[:, None])
        slope = (end - start) / (times[:, -1:] - times[:, :1])
    line = start + slope * (times - times[:, :1])
    place = cumulative[:, None] * _penalty(warp - line, penalty)
    safe = torch.where(inside[:, 1:], step, 1.0)
    bend = step * _penalty((warp[:, 1:] - warp[:, :-1]) / safe - slope, penalty)
    nodes = torch.where(inside, weight * (_penalty(residual, data).sum(2) + place), 0.0)
    return nodes.sum(1) + reg * torch.where(inside[:, 1:], bend, 0.0).sum(1)


def _penalty(r: Tensor, kind: Penalty) -> Tensor:
    if kind.name == "l2":
        return r * r
    size = r.abs()
    if kind.name == "l1":
        return size
    return torch.where(size <= kind.delta, r * r, kind.delta * (2 * size - kind.delta))


def _read(warp: Tensor, k: Tensor, x: Tensor, x_times: Tensor, x_slopes: Tensor | None) -> Tensor:
    """Values of x at the warped times, (n_pairs, n_knots, n_features)."""
    start = x_times.gather(1, k)
    h = x_times.gather(1, k + 1) - start
    a, h = ((warp - start) / h)[:, :, None], h[:, :, None]
    index = k[:, :, None].expand(-1, -1, x.shape[2])
    first, last = x.gather(1, index), x.gather(1, index + 1)
    line = first + a * (last - first)
    if x_slopes is None:
        return line
    p, q = (h * x_slopes.gather(1, at) - (last - first) for at in (index, index + 1))
    return line + a * (1 - a) * ((1 - a) * p - a * q)
