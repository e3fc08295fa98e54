"""The signature kernel in operations of torch, for derivatives of any order; the engine has the first ones.

They keep what they compute: memory grows with pairs × length of x × length of y.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._kernel_numpy import Settings


def kernel(
    x: Tensor,
    y: Tensor | None,
    x_lengths: Tensor | None,
    y_lengths: Tensor | None,
    paired: bool,
    settings: Settings,
) -> Tensor:
    """Values, as `_kernel_numpy.kernel`."""
    if settings.static == "precomputed":
        g = x
    else:
        x = _stand_still(x, x_lengths)
        y = x if y is None else _stand_still(y, y_lengths)
        if not paired:
            x, y = x[..., :, None, :, :], y[..., None, :, :, :]
        g = _increments(x, y, settings)
    return _truncated(g, settings.depth) if settings.depth else _goursat(g, settings.refinement)


def _stand_still(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Repeat the last point of each path to the end."""
    if lengths is None:
        return x
    last = lengths.to(x.device)[..., None] - 1
    place = torch.minimum(torch.arange(x.shape[-2], device=x.device), last)
    return x.gather(-2, place[..., None].expand(*place.shape, x.shape[-1]))


def _increments(x: Tensor, y: Tensor, settings: Settings) -> Tensor:
    if settings.static == "linear":
        return settings.scale * (x.diff(dim=-2) @ y.diff(dim=-2).transpose(-1, -2))
    squares = (x[..., :, None, :] - y[..., None, :, :]).square().sum(-1)
    return torch.exp(-settings.scale * squares).diff(dim=-1).diff(dim=-2)


def _goursat(g: Tensor, refinement: tuple[int, int]) -> Tensor:
    """The scheme of second order, one anti-diagonal after the other."""
    p, q = 2 ** refinement[0], 2 ** refinement[1]
    g = g.repeat_interleave(p, -2).repeat_interleave(q, -1) / (p * q)
    n, m = g.shape[-2:]
    if n == 0 or m == 0:
        return 1 + g.sum((-1, -2))  # 1, which is differentiated like any other value
    ones = g.new_ones(*g.shape[:-2], n + 1)
    # Cell (i, j) is needed on anti-diagonal i + j; where there is none, g = 0 leaves the values as they are.
    row = torch.arange(n, device=g.device)[:, None]
    column = torch.arange(n + m - 1, device=g.device) - row
    inside = (column >= 0) & (column < m)
    skewed = g.gather(-1, column.clamp(0, m - 1).expand(*g.shape[:-1], n + m - 1)) * inside
    before, last = ones, ones
    for v in skewed.unbind(-1):
        square = v * v / 12
        new = (last[..., 1:] + last[..., :-1]) * (1 + v / 2 + square) - before[..., :-1] * (1 - square)
        before, last = last, torch.cat([ones[..., :1], new], -1)
    return last[..., n]


def _truncated(g: Tensor, depth: int) -> Tensor:
    """The recursion over the words' lengths, on whole matrices of increments."""

    def before(v: Tensor, axis: int) -> Tensor:
        return v.cumsum(axis) - v

    total = 1 + g.sum((-1, -2))
    level: list[list[Any]] = [[g]]
    for m in range(2, depth + 1):
        by_x = [sum(level[p]) for p in range(m - 1)]
        by_y = [sum(level[p][q] for p in range(m - 1)) for q in range(m - 1)]
        upper = before(before(sum(by_x), -1), -2)
        new = [[g * upper] + [g * before(by_y[q], -2) / (q + 2) for q in range(m - 1)]]
        for p in range(m - 1):
            first = g * before(by_x[p], -1) / (p + 2)
            new.append([first] + [g * level[p][q] / ((p + 2) * (q + 2)) for q in range(m - 1)])
        level = new
        total = total + torch.stack([sum(line) for line in level]).sum((0, -1, -2))
    return total
