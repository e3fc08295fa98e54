"""Soft-DTW of all pairs, as torch knows it.

Gradients take pairs in pieces of bounded size: series are gathered, solved and added up, and the next piece
takes the same memory. Pairs whose value has the derivative 0, as many in a contrastive loss have, are
left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from .._torch_calls import is_transformed
from ._library import (
    ASKS,
    GAMMA,
    LIBRARY,
    Operator,
    Results,
    X,
    Y,
    as_asked,
    no_second_forward,
    no_third_order,
    soft_dtw,
    soft_dtw_second_order,
)

PIECE_BYTES = {"cpu": 16 * 2**20, "cuda": 256 * 2**20}

_COMMON = (
    "Tensor x, Tensor? y, Tensor? x_lengths, Tensor? y_lengths, Tensor? gammas, float gamma, int cost, "
    "float scale, int band, float band_parameter"
)
LIBRARY.define(f"cdist_soft_dtw({_COMMON}) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))
LIBRARY.define(
    f"cdist_soft_dtw_backward(Tensor u, {_COMMON}, int wanted) -> (Tensor, Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
LIBRARY.define(
    f"cdist_soft_dtw_second_order(Tensor u, {_COMMON}, Tensor? x_direction, Tensor? y_direction, "
    "Tensor? gamma_direction) -> (Tensor, Tensor, Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
cdist = torch.ops.sktime_sdtw.cdist_soft_dtw.default
cdist_backward = torch.ops.sktime_sdtw.cdist_soft_dtw_backward.default
cdist_second_order = torch.ops.sktime_sdtw.cdist_soft_dtw_second_order.default


def empty_values(x: Tensor, y: Tensor | None) -> Tensor:
    """Room for the values."""
    return x.new_empty((x.shape[0], (x if y is None else y).shape[0]))


def _zeros(x: Tensor, y: Tensor | None, wanted: int) -> Results:
    return (
        x.new_zeros(x.shape if wanted & X else (0,)),
        x.new_zeros(y.shape if y is not None and wanted & Y else (0,)),
        x.new_zeros(() if wanted & GAMMA else (0,)),
    )


def pieces(
    u: Tensor, x: Tensor, y: Tensor, x_lengths: Tensor | None, y_lengths: Tensor | None
) -> Iterator[tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor | None, Tensor | None]]]:
    """The pairs that count, some at a time: rows i, columns j, the pairs x[i], y[j] and their lengths."""
    if not ASKS.get():
        rows, columns, *on_host = _all_pairs(u.shape[0], u.shape[1], u.device)
    else:
        rows, columns = torch.nonzero(u, as_tuple=True)  # NaN is not zero
        given = x_lengths is not None or y_lengths is not None
        on_host = [rows.cpu(), columns.cpu()] if given else []  # as the lengths of batches on a GPU are
    step = (x.shape[1] + y.shape[1]) * x.shape[2] * x.element_size() * 4
    count = max(1, PIECE_BYTES["cuda" if u.is_cuda else "cpu"] // step)
    for start in range(0, len(rows), count):
        part = slice(start, start + count)
        i, j = rows[part], columns[part]
        lengths = [
            None if v is None else v.cpu()[k[part]]
            for v, k in zip((x_lengths, y_lengths), on_host or (rows, columns), strict=True)
        ]
        yield i, j, (x[i], y[j], lengths[0], lengths[1])


@lru_cache(maxsize=4)
def _all_pairs(n: int, m: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Row and column of each pair, on the device and on the host. Kept, as a CUDA graph copies nothing."""
    rows, columns = torch.arange(n).repeat_interleave(m), torch.arange(m).repeat(n)
    return rows.to(device), columns.to(device), rows, columns


def _scaled(gradients: Tensor, weights: Tensor) -> Tensor:
    """The gradient of each pair times its weight; a pair that does not count may be NaN."""
    weights = weights[:, None, None]
    scaled = gradients.mul_(weights)
    return scaled if ASKS.get() else scaled.masked_fill_(weights == 0, 0)


def _add_rows(to: Tensor, indices: Tensor, rows: Tensor) -> None:
    """Adds each row to the one with its index, in the same order each time."""
    if to.is_cuda:  # where index_add_ is in no order
        to.index_put_((indices,), rows, accumulate=True)
    else:
        to.index_add_(0, indices, rows)


def _each_pair_once(u: Tensor, y: Tensor | None) -> Tensor:
    """Without y, pairs (i, j) and (j, i) are one."""
    return u if y is not None else u.triu() + u.tril(-1).T


def _backward_kernel(
    u: Tensor,
    x: Tensor,
    y: Tensor | None,
    x_lengths: Tensor | None,
    y_lengths: Tensor | None,
    gammas: Tensor | None,
    gamma: float,
    cost: int,
    scale: float,
    band: int,
    band_parameter: float,
    wanted: int,
) -> Results:
    grad_x, grad_y, slope = _zeros(x, y, wanted)
    other, other_lengths = (x, x_lengths) if y is None else (y, y_lengths)
    into_y = grad_x if y is None else grad_y
    bits = wanted | (Y if y is None and wanted & X else 0)
    u = _each_pair_once(u, y)
    for i, j, pairs in pieces(u, x, other, x_lengths, other_lengths):
        _, of_x, of_y, of_gamma = soft_dtw(*pairs, gammas, gamma, cost, scale, band, band_parameter, bits)
        weights = u[i, j]
        if bits & X:
            _add_rows(grad_x, i, _scaled(of_x, weights))
        if bits & Y:
            _add_rows(into_y, j, _scaled(of_y, weights))
        if bits & GAMMA:
            slope += torch.where(weights == 0, 0, of_gamma * weights).sum()
    return grad_x, grad_y, slope


LIBRARY.impl("cdist_soft_dtw_backward", _backward_kernel, "CompositeExplicitAutograd")
torch.library.register_fake("sktime_sdtw::cdist_soft_dtw", lambda x, y, *_: empty_values(x, y), lib=LIBRARY)
torch.library.register_fake(
    "sktime_sdtw::cdist_soft_dtw_backward",
    lambda u, x, y, *rest: _zeros(x, y, rest[-1]),
    lib=LIBRARY,
)


# --- derivatives


def _as(slope: Tensor, gammas: Tensor | None) -> Tensor | None:
    return None if gammas is None else slope.to(gammas.dtype).reshape(gammas.shape)


def keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """What the backward pass needs."""
    ctx.asks = ASKS.get()
    *tensors, ctx.gamma, ctx.cost, ctx.scale, ctx.band, ctx.band_parameter = inputs
    ctx.save_for_backward(*tensors)


def backward(first: Operator, ctx: Any, u: Tensor) -> tuple[Any, ...]:
    """Derivatives with respect to x, y and gammas."""
    tensors = ctx.saved_tensors
    needs = ctx.needs_input_grad
    wanted = X * needs[0] | Y * needs[1] | GAMMA * needs[4]
    rest = (ctx.gamma, ctx.cost, ctx.scale, ctx.band, ctx.band_parameter)
    dx, dy, slope = as_asked(ctx, first, u, *tensors, *rest, wanted)
    return (
        dx if wanted & X else None,
        dy if wanted & Y else None,
        None,
        None,
        _as(slope, tensors[4]) if wanted & GAMMA else None,
        *[None] * 5,
    )


def keep_for_second_order(ctx: Any, inputs: tuple[Any, ...], output: Results) -> None:
    """What the second backward pass needs."""
    ctx.asks = ASKS.get()
    ctx.set_materialize_grads(False)
    *tensors, ctx.gamma, ctx.cost, ctx.scale, ctx.band, ctx.band_parameter, ctx.wanted = inputs
    ctx.save_for_backward(*tensors)


def _empty_second(u: Tensor, x: Tensor, y: Tensor | None) -> Results:
    other = x.new_zeros((0,)) if y is None else torch.zeros_like(y)
    return torch.zeros_like(u), torch.zeros_like(x), other, u.new_zeros(())


def _second_order_kernel(
    u: Tensor,
    x: Tensor,
    y: Tensor | None,
    x_lengths: Tensor | None,
    y_lengths: Tensor | None,
    gammas: Tensor | None,
    gamma: float,
    cost: int,
    scale: float,
    band: int,
    band_parameter: float,
    wx: Tensor | None,
    wy: Tensor | None,
    wg: Tensor | None,
) -> Results:
    """Derivatives of <wx, grad x> + <wy, grad y> + wg slope with respect to u, x, y and gamma."""
    of_u, of_x, of_y, of_gamma = _empty_second(u, x, y)
    other, other_lengths, into_y = (x, x_lengths, of_x) if y is None else (y, y_lengths, of_y)
    wy = wx if y is None else wy
    weights = _each_pair_once(u, y)
    everything = torch.ones_like(u)  # the derivative with respect to u counts where u is 0
    for i, j, pairs in pieces(everything, x, other, x_lengths, other_lengths):
        problem = (*pairs, gammas, gamma, cost, scale, band, band_parameter)
        directions = [None if w is None else w[k] for w, k in ((wx, i), (wy, j))]
        slopes = None if wg is None else wg.expand(len(i))
        _, grad_x, grad_y, slope = soft_dtw(*problem, X | Y | GAMMA)
        along = torch.zeros_like(slope) if slopes is None else slope * slopes
        for w, gradient in zip(directions, (grad_x, grad_y), strict=True):
            along = along if w is None else along + (w * gradient).sum((1, 2))
        of_u[i, j] = along
        scales = weights[i, j]
        scaled = [None if w is None else w * scales[:, None, None] for w in directions]
        scaled.append(None if slopes is None else slopes * scales)
        second = soft_dtw_second_order(*problem, *scaled, X | Y | (0 if gammas is None else GAMMA))
        useless = scales == 0  # such a pair may be NaN
        _add_rows(of_x, i, second[0].masked_fill_(useless[:, None, None], 0))
        _add_rows(into_y, j, second[1].masked_fill_(useless[:, None, None], 0))
        if gammas is not None:
            of_gamma += second[2].masked_fill_(useless, 0).sum()
    return of_u, of_x, of_y, of_gamma


LIBRARY.impl("cdist_soft_dtw_second_order", _second_order_kernel, "CompositeExplicitAutograd")
torch.library.register_fake(
    "sktime_sdtw::cdist_soft_dtw_second_order", lambda u, x, y, *_: _empty_second(u, x, y), lib=LIBRARY
)


def second_backward(
    second: Operator, ctx: Any, wx: Tensor | None, wy: Tensor | None, wg: Tensor | None
) -> tuple[Any, ...]:
    """Derivatives of the gradients with respect to u, x, y and gammas."""
    u, *tensors = ctx.saved_tensors
    needs = ctx.needs_input_grad
    rest = (ctx.gamma, ctx.cost, ctx.scale, ctx.band, ctx.band_parameter)
    of_u, of_x, of_y, of_gamma = as_asked(ctx, second, u, *tensors, *rest, wx, wy, wg)
    return (
        of_u if needs[0] else None,
        of_x if needs[1] else None,
        of_y if needs[2] else None,
        None,
        None,
        _as(of_gamma, tensors[4]) if needs[5] else None,
        *[None] * 6,
    )


def _call_backward(*arguments: Any) -> Results:
    return (_CdistBackward.apply if is_transformed() else cdist_backward)(*arguments)


def _call_second_order(*arguments: Any) -> Results:
    return (_CdistSecondOrder.apply if is_transformed() else cdist_second_order)(*arguments)


torch.library.register_autograd(
    "sktime_sdtw::cdist_soft_dtw", partial(backward, _call_backward), setup_context=keep, lib=LIBRARY
)
torch.library.register_autograd(
    "sktime_sdtw::cdist_soft_dtw_backward",
    partial(second_backward, _call_second_order),
    setup_context=keep_for_second_order,
    lib=LIBRARY,
)
torch.library.register_autograd("sktime_sdtw::cdist_soft_dtw_second_order", no_third_order, lib=LIBRARY)


# --- vmap and autocast


def vmap_rule(
    operator: Operator, info: Any, in_dims: Sequence[int | None], *arguments: Any
) -> tuple[Any, Any]:
    """One matrix after the other: each is large enough."""
    results = [
        operator(
            *[
                value if axis is None else value.select(axis, k)
                for value, axis in zip(arguments, in_dims, strict=True)
            ]
        )
        for k in range(info.batch_size)
    ]
    if isinstance(results[0], Tensor):
        return torch.stack(results), 0
    return tuple(torch.stack(parts) for parts in zip(*results, strict=True)), (0,) * len(results[0])


for _operator in (cdist, cdist_backward, cdist_second_order):
    torch.library.register_vmap(_operator, partial(vmap_rule, _operator), lib=LIBRARY)
    for _device in ("cpu", "cuda"):
        torch.library.register_autocast(_operator, _device, torch.float32, lib=LIBRARY)


def _number(direction: Tensor | None, like: Tensor) -> Tensor | None:
    return None if direction is None else direction.to(like.dtype).reshape(())


class _Cdist(torch.autograd.Function):
    """For torch.func and forward mode, which do not look into registered operators."""

    @staticmethod
    def forward(*arguments: Any) -> Tensor:
        return cdist(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        keep(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:5])

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Any, ...]:
        return backward(_CdistBackward.apply, ctx, u)

    @staticmethod
    def jvp(ctx: Any, dx: Tensor | None, dy: Tensor | None, _n: Any, _m: Any, dg: Any, *_: Any) -> Tensor:
        rest = (ctx.gamma, ctx.cost, ctx.scale, ctx.band, ctx.band_parameter)
        changes: Tensor = _CdistAlong.apply(
            *ctx.saved_tensors, *rest, dx, dy, _number(dg, ctx.saved_tensors[0])
        )
        return changes

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *arguments: Any) -> tuple[Any, Any]:
        return vmap_rule(call, info, in_dims, *arguments)


class _CdistAlong(torch.autograd.Function):
    """How the values change along directions."""

    @staticmethod
    def forward(*arguments: Any) -> Tensor:
        nothing = torch.zeros_like(empty_values(*arguments[:2]))
        return cdist_second_order(nothing, *arguments)[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.asks, ctx.rest = ASKS.get(), inputs[5:10]
        ctx.save_for_backward(*inputs[:5], *inputs[10:])

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Any, ...]:
        *tensors, dx, dy, dg = ctx.saved_tensors
        problem = (u, *tensors, *ctx.rest)
        _, of_x, of_y, of_gamma = as_asked(ctx, _call_second_order, *problem, dx, dy, dg)
        of_directions = as_asked(ctx, _call_backward, *problem, X | Y | GAMMA)
        needs = ctx.needs_input_grad
        found = of_x, of_y, None, None, _as(of_gamma, tensors[4]), *[None] * 5, *of_directions
        return tuple(part if needed else None for part, needed in zip(found, needs, strict=True))

    jvp = staticmethod(no_second_forward)

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *arguments: Any) -> tuple[Any, Any]:
        return vmap_rule(_CdistAlong.apply, info, in_dims, *arguments)


class _CdistBackward(torch.autograd.Function):
    @staticmethod
    def forward(*arguments: Any) -> Results:
        return cdist_backward(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Results) -> None:
        keep_for_second_order(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:6])

    @staticmethod
    def backward(ctx: Any, *directions: Tensor | None) -> tuple[Any, ...]:
        return second_backward(_CdistSecondOrder.apply, ctx, *directions)

    @staticmethod
    def jvp(ctx: Any, du: Any, dx: Any, dy: Any, _n: Any, _m: Any, dg: Any, *_: Any) -> Results:
        u, x, *others = ctx.saved_tensors
        rest = (ctx.gamma, ctx.cost, ctx.scale, ctx.band, ctx.band_parameter)
        changes = _CdistSecondOrder.apply(u, x, *others, *rest, dx, dy, _number(dg, x))[1:]
        if du is not None:
            of_u = _CdistBackward.apply(du, x, *others, *rest, ctx.wanted)
            pairs = zip(changes, of_u, (X, Y, GAMMA), strict=True)
            changes = tuple(a + b if ctx.wanted & bit else b for a, b, bit in pairs)
        wanted = zip(changes, (X, Y, GAMMA), strict=True)
        return tuple(change if ctx.wanted & bit else x.new_empty((0,)) for change, bit in wanted)

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *arguments: Any) -> tuple[Any, Any]:
        return vmap_rule(_CdistBackward.apply, info, in_dims, *arguments)


class _CdistSecondOrder(torch.autograd.Function):
    @staticmethod
    def forward(*arguments: Any) -> Results:
        return cdist_second_order(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Results) -> None:
        pass

    backward = staticmethod(no_third_order)
    jvp = staticmethod(no_second_forward)

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *arguments: Any) -> tuple[Any, Any]:
        return vmap_rule(_CdistSecondOrder.apply, info, in_dims, *arguments)


def call(*arguments: Any) -> Tensor:
    """Values of all pairs."""
    if not torch.compiler.is_compiling() and is_transformed():
        return _Cdist.apply(*arguments)
    return cdist(*arguments)
