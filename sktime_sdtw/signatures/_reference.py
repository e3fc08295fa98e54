"""Definitions of the operators in torch, differentiable any number of times; no loop over time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ._words import count_words

Levels = list[Tensor]  # level k of shape (..., channels**k), k = 1 … depth


def _split(x: Tensor, channels: int, depth: int) -> Levels:
    return list(torch.split(x, [channels**k for k in range(1, depth + 1)], dim=-1))


def _outer(a: Tensor, b: Tensor) -> Tensor:
    return (a[..., :, None] * b[..., None, :]).flatten(-2)


def _multiply(a: Levels, b: Levels) -> Levels:
    out = []
    for k in range(len(b)):
        level = a[k] + b[k]
        for i in range(k):
            level = level + _outer(a[i], b[k - 1 - i])
        out.append(level)
    return out


def product(a: Tensor, b: Tensor, channels: int, depth: int) -> Tensor:
    """Truncated tensor product."""
    return torch.cat(_multiply(_split(a, channels, depth), _split(b, channels, depth)), dim=-1)


def series(x: Tensor, coefficients: Sequence[float], channels: int) -> Tensor:
    """Sum of coefficients[m - 1] times the m-th tensor power of x."""
    depth = len(coefficients)
    levels = _split(x, channels, depth)
    total = [coefficients[0] * level for level in levels]
    power = levels
    for c in coefficients[1:]:
        power = _concatenation(power, levels)
        total = [t + c * p for t, p in zip(total, power, strict=True)]
    return torch.cat(total, dim=-1)


def _concatenation(a: Levels, b: Levels) -> Levels:
    """Return the product without the two terms in which one factor is 1."""
    out = []
    for k in range(len(b)):
        level = torch.zeros_like(b[k])
        for i in range(k):
            level = level + _outer(a[i], b[k - 1 - i])
        out.append(level)
    return out


def signature(
    points: Tensor,
    basepoint: Tensor | None,
    lengths: Tensor | None,
    depth: int,
    stream: bool,
    initial: Tensor | None,
    windows: Tensor | None = None,
) -> Tensor:
    """Signatures of (..., points, channels), by products of neighbours."""
    d = points.shape[-1]
    if windows is not None:
        # Each window is a path of its own, with its length.
        start, size = windows[:, :1], windows[:, 1:] - windows[:, :1]
        longest = int(size.max()) if len(size) else 2
        place = start + torch.arange(longest, device=windows.device)
        points = points[..., place.clamp(max=points.shape[-2] - 1).to(points.device), :]
        inside = size[:, 0]
        if lengths is not None:
            inside = torch.minimum(inside, lengths[..., None].to(inside.device) - start[:, 0])
        return signature(points, None, inside, depth, False, None)
    if basepoint is not None:
        points = torch.cat([basepoint[..., None, :], points], dim=-2)
    z = points[..., 1:, :] - points[..., :-1, :]
    if lengths is not None:
        given = lengths if basepoint is not None else lengths - 1
        inside = torch.arange(z.shape[-2], device=given.device) < given[..., None]
        z = torch.where(inside.to(z.device)[..., None], z, torch.zeros_like(z))
    levels = [z]
    for k in range(2, depth + 1):
        levels.append(_outer(levels[-1], z) / k)
    levels = _scan(levels) if stream else _reduce(levels)
    if initial is not None:
        first = _split(initial[..., None, :] if stream else initial, d, depth)
        levels = _multiply(first, levels)
    out = torch.cat(levels, dim=-1)
    if not stream and z.shape[-2] == 0:
        return (
            initial if initial is not None else points.new_zeros((*points.shape[:-2], count_words(d, depth)))
        )
    return out


def _reduce(levels: Levels) -> Levels:
    while levels[0].shape[-2] > 1:
        n = levels[0].shape[-2]
        left = [x[..., 0 : n - n % 2 : 2, :] for x in levels]
        right = [x[..., 1::2, :] for x in levels]
        joined = _multiply(left, right)
        if n % 2:
            joined = [torch.cat([j, x[..., -1:, :]], dim=-2) for j, x in zip(joined, levels, strict=True)]
        levels = joined
    return [x.sum(dim=-2) for x in levels]


def _scan(levels: Levels) -> Levels:
    shift = 1
    while shift < levels[0].shape[-2]:
        later = _multiply([x[..., :-shift, :] for x in levels], [x[..., shift:, :] for x in levels])
        levels = [torch.cat([x[..., :shift, :], y], dim=-2) for x, y in zip(levels, later, strict=True)]
        shift *= 2
    return levels
