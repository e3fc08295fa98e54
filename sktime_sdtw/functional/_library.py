"""The operators as torch knows them: names, shapes, derivatives, and how they behave under vmap and autocast.

Every gradient is an output of the operator that computes the value, filled only where it is wanted. It is a
differentiable output: its derivative is the operator of the second order. So one call serves forward and
backward, and a second backward pass follows from the same formula. `_cpu` registers the implementation on the
CPU; call the operators through `_calls`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch
from torch import Tensor

ASKS = ContextVar("asks", default=True)  # whether calls may wait for a GPU; see `capturable`
X, Y, GAMMA = 1, 2, 4  # bits of `wanted`; for cost matrices, X is the alignment

_COMMON = (
    "Tensor? x_lengths, Tensor? y_lengths, Tensor? gammas, float gamma, int cost, float scale, int band, "
    "float band_parameter"
)
LIBRARY = torch.library.Library("sktime_sdtw", "DEF")
LIBRARY.define(
    f"soft_dtw(Tensor x, Tensor y, {_COMMON}, int wanted) -> (Tensor, Tensor, Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
LIBRARY.define(
    f"soft_dtw_second_order(Tensor x, Tensor y, {_COMMON}, Tensor? x_direction, Tensor? y_direction, "
    "Tensor? gamma_direction, int wanted) -> (Tensor, Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
LIBRARY.define(
    f"soft_dtw_of_costs(Tensor costs, {_COMMON}, int wanted) -> (Tensor, Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
LIBRARY.define(
    f"soft_dtw_of_costs_second_order(Tensor costs, {_COMMON}, Tensor? alignment_direction, "
    "Tensor? gamma_direction, int wanted) -> (Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)

soft_dtw = torch.ops.sktime_sdtw.soft_dtw.default
soft_dtw_second_order = torch.ops.sktime_sdtw.soft_dtw_second_order.default
soft_dtw_of_costs = torch.ops.sktime_sdtw.soft_dtw_of_costs.default
soft_dtw_of_costs_second_order = torch.ops.sktime_sdtw.soft_dtw_of_costs_second_order.default

Results = tuple[Tensor, ...]
Operator = Callable[..., Results]


# --- shapes


def _outputs(like: Tensor, wanted: int, **shapes: tuple[int, Sequence[int]]) -> list[Tensor]:
    """An empty tensor for each result, of no elements where its bit is not in `wanted`."""
    return [like.new_empty(shape if wanted & bit else (0,)) for bit, shape in shapes.values()]


def empty_first(x: Tensor, y: Tensor, wanted: int) -> list[Tensor]:
    """Room for value and gradients."""
    return [  # written out: on the way of every call
        x.new_empty(x.shape[:1]),
        x.new_empty(x.shape if wanted & X else 0),
        x.new_empty(y.shape if wanted & Y else 0),
        x.new_empty(x.shape[:1] if wanted & GAMMA else 0),
    ]


def empty_second(x: Tensor, y: Tensor, wanted: int) -> list[Tensor]:
    """Room for the derivatives of gradients."""
    return _outputs(x, wanted, x=(X, x.shape), y=(Y, y.shape), gamma=(GAMMA, (x.shape[0],)))


def empty_first_of_costs(costs: Tensor, wanted: int) -> list[Tensor]:
    """Room for value, alignment and slope."""
    return [costs.new_empty((costs.shape[0],)), *empty_second_of_costs(costs, wanted)]


def empty_second_of_costs(costs: Tensor, wanted: int) -> list[Tensor]:
    """Room for the derivatives of alignments."""
    return _outputs(costs, wanted, costs=(X, costs.shape), gamma=(GAMMA, (costs.shape[0],)))


torch.library.register_fake(
    "sktime_sdtw::soft_dtw", lambda x, y, *rest: tuple(empty_first(x, y, rest[-1])), lib=LIBRARY
)
torch.library.register_fake(
    "sktime_sdtw::soft_dtw_second_order",
    lambda x, y, *rest: tuple(empty_second(x, y, rest[-1])),
    lib=LIBRARY,
)
torch.library.register_fake(
    "sktime_sdtw::soft_dtw_of_costs",
    lambda costs, *rest: tuple(empty_first_of_costs(costs, rest[-1])),
    lib=LIBRARY,
)
torch.library.register_fake(
    "sktime_sdtw::soft_dtw_of_costs_second_order",
    lambda costs, *rest: tuple(empty_second_of_costs(costs, rest[-1])),
    lib=LIBRARY,
)


# --- derivatives


def _add(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


def _of_gamma(slopes: Tensor | None, gammas: Tensor | None) -> Tensor | None:
    """From the derivatives with respect to the gamma of each sample to those with respect to the tensor."""
    if slopes is None or gammas is None:
        return None
    slopes = slopes if gammas.numel() == slopes.numel() else slopes.sum()
    return slopes.to(gammas.dtype).reshape(gammas.shape)


def _per_sample(u: Tensor, gradient: Tensor) -> Tensor:
    return u.view(-1, *[1] * (gradient.dim() - 1)) * gradient


def as_asked(ctx: Any, run: Callable[..., Any], *arguments: Any) -> Any:
    """What `run` gives with ASKS as in the forward pass.

    Backward passes of CUDA tensors run in a thread of torch's own, where no `capturable` is known of.
    """
    if ctx.asks:
        return run(*arguments)
    token = ASKS.set(False)
    try:
        return run(*arguments)
    finally:
        ASKS.reset(token)


def keep(ctx: Any, inputs: tuple[Any, ...], output: Results) -> None:
    """What the backward pass of `soft_dtw` needs."""
    ctx.asks = ASKS.get()
    ctx.set_materialize_grads(False)
    x, y, x_lengths, y_lengths, gammas, *ctx.rest, ctx.wanted = inputs
    ctx.save_for_backward(x, y, x_lengths, y_lengths, gammas, *output[1:])


def backward(first: Operator, second: Operator, ctx: Any, *cotangents: Tensor | None) -> tuple[Any, ...]:
    """From derivatives with respect to value and gradients to those with respect to x, y and gammas."""
    result: tuple[Any, ...] = as_asked(ctx, _backward, first, second, ctx, *cotangents)
    return result


def _backward(
    first: Operator,
    second: Operator,
    ctx: Any,
    u: Tensor | None,
    wx: Tensor | None,
    wy: Tensor | None,
    wg: Tensor | None,
) -> tuple[Any, ...]:
    *problem, grad_x, grad_y, slope = ctx.saved_tensors
    needs = ctx.needs_input_grad
    wanted = X * needs[0] | Y * needs[1] | GAMMA * needs[4]
    dx = dy = dg = None
    if u is not None:
        if wanted & ~ctx.wanted:
            _, grad_x, grad_y, slope = first(*problem, *ctx.rest, wanted)
        dx = _per_sample(u, grad_x) if wanted & X else None
        dy = _per_sample(u, grad_y) if wanted & Y else None
        dg = u * slope if wanted & GAMMA else None
    if wx is not None or wy is not None or wg is not None:
        of_x, of_y, of_gamma = second(*problem, *ctx.rest, wx, wy, wg, wanted)
        dx = _add(dx, of_x) if wanted & X else None
        dy = _add(dy, of_y) if wanted & Y else None
        dg = _add(dg, of_gamma) if wanted & GAMMA else None
    return (dx, dy, None, None, _of_gamma(dg, problem[4]), *[None] * 6)


def keep_of_costs(ctx: Any, inputs: tuple[Any, ...], output: Results) -> None:
    """What the backward pass of `soft_dtw_of_costs` needs."""
    ctx.asks = ASKS.get()
    ctx.set_materialize_grads(False)
    costs, x_lengths, y_lengths, gammas, *ctx.rest, ctx.wanted = inputs
    ctx.save_for_backward(costs, x_lengths, y_lengths, gammas, *output[1:])


def backward_of_costs(
    first: Operator, second: Operator, ctx: Any, *cotangents: Tensor | None
) -> tuple[Any, ...]:
    """As `backward`, for derivatives with respect to costs and gammas."""
    result: tuple[Any, ...] = as_asked(ctx, _backward_of_costs, first, second, ctx, *cotangents)
    return result


def _backward_of_costs(
    first: Operator, second: Operator, ctx: Any, u: Tensor | None, wE: Tensor | None, wg: Tensor | None
) -> tuple[Any, ...]:
    *problem, alignment, slope = ctx.saved_tensors
    needs = ctx.needs_input_grad
    wanted = X * needs[0] | GAMMA * needs[3]
    dcosts = dg = None
    if u is not None:
        if wanted & ~ctx.wanted:
            _, alignment, slope = first(*problem, *ctx.rest, wanted)
        dcosts = _per_sample(u, alignment) if wanted & X else None
        dg = u * slope if wanted & GAMMA else None
    if wE is not None or wg is not None:
        of_costs, of_gamma = second(*problem, *ctx.rest, wE, wg, wanted)
        dcosts = _add(dcosts, of_costs) if wanted & X else None
        dg = _add(dg, of_gamma) if wanted & GAMMA else None
    return (dcosts, None, None, _of_gamma(dg, problem[3]), *[None] * 6)


def no_third_order(ctx: Any, *_: Tensor | None) -> None:
    """Say where the derivatives end."""
    raise NotImplementedError("Soft-DTW has first and second derivatives here; a third one was asked for.")


def no_second_forward(ctx: Any, *_: Tensor | None) -> None:
    """Say where derivatives in forward mode end."""
    raise NotImplementedError(
        "Soft-DTW has first and second derivatives here, one of them in forward mode: a second one of that, "
        "or a third one, was asked for. Take a backward pass, such as torch.func.jacrev, for all but one."
    )


torch.library.register_autograd(
    "sktime_sdtw::soft_dtw",
    partial(backward, soft_dtw, soft_dtw_second_order),
    setup_context=keep,
    lib=LIBRARY,
)
torch.library.register_autograd(
    "sktime_sdtw::soft_dtw_of_costs",
    partial(backward_of_costs, soft_dtw_of_costs, soft_dtw_of_costs_second_order),
    setup_context=keep_of_costs,
    lib=LIBRARY,
)
for _name in ("soft_dtw_second_order", "soft_dtw_of_costs_second_order"):
    torch.library.register_autograd(f"sktime_sdtw::{_name}", no_third_order, lib=LIBRARY)


# --- vmap: the new axis is folded into the batch


def _fold(value: Any, axis: int | None, size: int) -> Any:
    """(size, count, ...) as (size * count, ...); a tensor without the new axis is repeated."""
    if not isinstance(value, Tensor):
        return value
    value = value.expand(size, *value.shape) if axis is None else value.movedim(axis, 0)
    return value.reshape(size * value.shape[1], *value.shape[2:])


def _fold_gammas(gammas: Tensor | None, axis: int | None, size: int, count: int) -> Tensor | None:
    if gammas is None or (axis is None and gammas.numel() == 1):
        return gammas
    each = gammas.expand(size, *gammas.shape) if axis is None else gammas.movedim(axis, 0)
    return each.reshape(size, -1).expand(size, count).reshape(-1)


def vmap_rule(
    operator: Operator,
    names: Sequence[str],
    info: Any,
    in_dims: tuple[int | None, ...],
    *arguments: Any,
) -> tuple[Results, tuple[int | None, ...]]:
    """An operator, whose arguments have these names, on batches of batches."""
    size = info.batch_size
    count = arguments[0].shape[0 if in_dims[0] is None or in_dims[0] > 0 else 1]
    folded = [
        _fold_gammas(value, axis, size, count) if name == "gammas" else _fold(value, axis, size)
        for name, value, axis in zip(names, arguments, in_dims, strict=True)
    ]
    results = operator(*folded)
    # A gradient that is not wanted has no elements and no new axis.
    axes = tuple(0 if result.shape[0] == size * count else None for result in results)
    unfolded = [
        result if axis is None else result.reshape(size, count, *result.shape[1:])
        for result, axis in zip(results, axes, strict=True)
    ]
    return tuple(unfolded), axes


for _operator in (soft_dtw, soft_dtw_second_order, soft_dtw_of_costs, soft_dtw_of_costs_second_order):
    _names = [argument.name for argument in _operator._schema.arguments]
    torch.library.register_vmap(_operator, partial(vmap_rule, _operator, _names), lib=LIBRARY)
    for _device in ("cpu", "cuda"):  # half types and autocast: in float32; float64 stays
        torch.library.register_autocast(_operator, _device, torch.float32, lib=LIBRARY)
