"""Squared distances of all time steps, without the differences of all features at once.

Two bilinear operations are each other's derivative, to any order: ``_Between`` is the sum over features of
(x - y)·(u - v), for all pairs of time steps; ``_Gathered`` adds up weights times (x - y) for each time step.
Beside their results they hold one feature at a time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

MOST_DIFFERENCES = 2**20  # below that, torch's own operations are as good, and fewer


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """(batch, n, m) of series (batch, n, features) and (batch, m, features)."""
    few = x.shape[0] * x.shape[1] * y.shape[1] * x.shape[2] <= MOST_DIFFERENCES
    if torch.compiler.is_compiling() or few:
        return (x[:, :, None] - y[:, None]).square().sum(-1)
    result: Tensor = _Between.apply(x, y, x, y)
    return result


def _difference(x: Tensor, y: Tensor, feature: int) -> Tensor:
    return x[:, :, None, feature] - y[:, None, :, feature]


class _Between(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor, u: Tensor, v: Tensor) -> Tensor:
        total = _difference(x, y, 0) * _difference(u, v, 0)
        for k in range(1, x.shape[2]):
            total += _difference(x, y, k) * _difference(u, v, k)
        return total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, weights: Tensor) -> tuple[Any, ...]:
        x, y, u, v = ctx.saved_tensors
        of_x = _Gathered.apply(u, v, weights)
        return (*of_x, *(of_x if x is u and y is v else _Gathered.apply(x, y, weights)))

    @staticmethod
    def jvp(ctx: Any, dx: Any, dy: Any, du: Any, dv: Any) -> Tensor:
        x, y, u, v = ctx.saved_tensors
        dx, dy, du, dv = (
            torch.zeros_like(a) if d is None else d for a, d in ((x, dx), (y, dy), (u, du), (v, dv))
        )
        change: Tensor = _Between.apply(dx, dy, u, v) + _Between.apply(x, y, du, dv)
        return change


class _Gathered(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        of_x, of_y = [], []
        for k in range(x.shape[2]):
            weighted = weights * _difference(x, y, k)
            of_x.append(weighted.sum(2))
            of_y.append(-weighted.sum(1))
        return torch.stack(of_x, 2), torch.stack(of_y, 2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, wx: Tensor, wy: Tensor) -> tuple[Any, ...]:
        x, y, weights = ctx.saved_tensors
        return (*_Gathered.apply(wx, wy, weights), _Between.apply(x, y, wx, wy))

    @staticmethod
    def jvp(ctx: Any, dx: Any, dy: Any, change: Any) -> tuple[Tensor, Tensor]:
        x, y, weights = ctx.saved_tensors
        dx, dy = (torch.zeros_like(a) if d is None else d for a, d in ((x, dx), (y, dy)))
        of_x, of_y = _Gathered.apply(dx, dy, weights)
        if change is None:
            return of_x, of_y
        more = _Gathered.apply(x, y, change)
        return of_x + more[0], of_y + more[1]
