"""Calls of the operators by the shortest way that is right where they are called; see `_torch_calls`.

The autograd functions for torch.func and forward mode have forward-mode derivatives because a Hessian is
symmetric.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .._torch_calls import is_plain, is_transformed, is_watched
from . import _cpu, _cuda, _library
from ._library import Results


def soft_dtw(*arguments: Any) -> Results:
    """Value and gradients of series."""
    if torch.compiler.is_compiling():
        return _library.soft_dtw(*arguments)
    if is_transformed():
        return _TransformedFirst.apply(*arguments[:-1], _everything(arguments[4]))
    if arguments[-1]:
        return _EagerFirst.apply(*arguments)
    return _run_first(*arguments)


def soft_dtw_second_order(*arguments: Any) -> Results:
    """Derivatives of the gradients of series."""
    if not torch.compiler.is_compiling() and is_transformed():
        return _TransformedSecond.apply(*arguments[:-1], _everything(arguments[4]))
    return _library.soft_dtw_second_order(*arguments)


def soft_dtw_of_costs(*arguments: Any) -> Results:
    """Value, alignment and slope of cost matrices."""
    if torch.compiler.is_compiling():
        return _library.soft_dtw_of_costs(*arguments)
    if is_transformed():
        return _TransformedFirstOfCosts.apply(*arguments[:-1], _everything(arguments[3]) & ~_library.Y)
    costs, _, _, gammas = arguments[:4]
    if torch.is_grad_enabled() and (costs.requires_grad or (gammas is not None and gammas.requires_grad)):
        return _EagerFirstOfCosts.apply(*arguments)
    return _library.soft_dtw_of_costs(*arguments)


def soft_dtw_of_costs_second_order(*arguments: Any) -> Results:
    """Derivatives of the alignments of cost matrices."""
    if not torch.compiler.is_compiling() and is_transformed():
        return _TransformedSecondOfCosts.apply(*arguments[:-1], _everything(arguments[3]) & ~_library.Y)
    return _library.soft_dtw_of_costs_second_order(*arguments)


def _run_first(*arguments: Any) -> Results:
    x, y = arguments[:2]
    if is_plain(x) and is_plain(y) and not is_watched():
        if x.is_cpu:
            return _cpu.soft_dtw(*arguments)
        if x.is_cuda:
            result: Results = _cuda.soft_dtw_on_gpu(*arguments)
            return result
    return _library.soft_dtw(*arguments)


def value(*arguments: Any) -> Tensor:
    """The values of `soft_dtw` alone, for those who do not look at the gradients."""
    if arguments[-1] and not torch.compiler.is_compiling() and not is_transformed():
        result: Tensor = _EagerValue.apply(*arguments)
        return result
    return soft_dtw(*arguments)[0]


class _EagerValue(torch.autograd.Function):
    """Keeps gradients without making them outputs, which cost more."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        values, *gradients = _run_first(*arguments)
        ctx.rest, ctx.wanted, ctx.asks = arguments[5:-1], arguments[-1], _library.ASKS.get()
        ctx.save_for_backward(*arguments[:5], *gradients)
        return values

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Any, ...]:
        first: Any = soft_dtw
        if torch.is_grad_enabled():  # create_graph=True
            gradients = ctx.saved_tensors[5:]
            first = lambda *arguments: (None, *_Known.apply(*arguments[:-1], ctx.wanted, gradients))  # noqa: E731
            ctx.wanted = 0
        return _library.backward(first, soft_dtw_second_order, ctx, u, None, None, None)


class _Known(torch.autograd.Function):
    """Gradients that have been computed, as outputs with a derivative."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Results:
        output = tuple(gradient.detach() for gradient in arguments[-1])
        _library.keep(ctx, arguments[:-1], (arguments[0], *output))  # the value is not looked at
        return output

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Any, ...]:
        operators = soft_dtw, soft_dtw_second_order
        return (*_library.backward(*operators, ctx, None, *cotangents), None)


class _EagerFirst(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Results:
        output = _run_first(*arguments)
        _library.keep(ctx, arguments, output)
        return output

    backward = staticmethod(partial(_library.backward, soft_dtw, soft_dtw_second_order))


class _EagerFirstOfCosts(torch.autograd.Function):
    """The operator, with a backward pass through which forward mode may go."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Results:
        output = _library.soft_dtw_of_costs(*arguments)
        _library.keep_of_costs(ctx, arguments, output)
        return output

    backward = staticmethod(
        partial(_library.backward_of_costs, soft_dtw_of_costs, soft_dtw_of_costs_second_order)
    )


# --- torch.func and forward mode


def _everything(gammas: Tensor | None) -> int:
    """What may be wanted: what requires a gradient is not to be seen under a transform."""
    return _library.X | _library.Y | (0 if gammas is None else _library.GAMMA)


def _names(operator: Any) -> Sequence[str]:
    return [argument.name for argument in operator._schema.arguments]


class _TransformedFirst(torch.autograd.Function):
    @staticmethod
    def forward(*arguments: Any) -> Results:
        return _library.soft_dtw(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Results) -> None:
        _library.keep(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:5], *output[1:])

    backward = staticmethod(partial(_library.backward, soft_dtw, soft_dtw_second_order))

    @staticmethod
    def jvp(ctx: Any, dx: Tensor | None, dy: Tensor | None, _n: Any, _m: Any, dg: Any, *_: Any) -> Results:
        *problem, grad_x, grad_y, slope = ctx.saved_tensors
        value = grad_x.new_zeros(grad_x.shape[:1])
        if dx is not None:
            value = value + (grad_x * dx).sum((1, 2))
        if dy is not None:
            value = value + (grad_y * dy).sum((1, 2))
        if dg is not None:
            dg = dg.to(slope.dtype).reshape(-1).expand(slope.shape)
            value = value + slope * dg
        return (value, *soft_dtw_second_order(*problem, *ctx.rest, dx, dy, dg, ctx.wanted))

    vmap = staticmethod(partial(_library.vmap_rule, soft_dtw, _names(_library.soft_dtw)))


class _TransformedFirstOfCosts(torch.autograd.Function):
    @staticmethod
    def forward(*arguments: Any) -> Results:
        return _library.soft_dtw_of_costs(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Results) -> None:
        _library.keep_of_costs(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:4], *output[1:])

    backward = staticmethod(
        partial(_library.backward_of_costs, soft_dtw_of_costs, soft_dtw_of_costs_second_order)
    )

    @staticmethod
    def jvp(ctx: Any, dcosts: Tensor | None, _n: Any, _m: Any, dg: Any, *_: Any) -> Results:
        *problem, alignment, slope = ctx.saved_tensors
        value = alignment.new_zeros(alignment.shape[:1])
        if dcosts is not None:
            value = value + (alignment * dcosts).sum((1, 2))
        if dg is not None:
            dg = dg.to(slope.dtype).reshape(-1).expand(slope.shape)
            value = value + slope * dg
        return (value, *soft_dtw_of_costs_second_order(*problem, *ctx.rest, dcosts, dg, ctx.wanted))

    vmap = staticmethod(partial(_library.vmap_rule, soft_dtw_of_costs, _names(_library.soft_dtw_of_costs)))


class _TransformedSecond(torch.autograd.Function):
    @staticmethod
    def forward(*arguments: Any) -> Results:
        return _library.soft_dtw_second_order(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Results) -> None:
        pass

    backward = staticmethod(_library.no_third_order)
    jvp = staticmethod(_library.no_second_forward)
    vmap = staticmethod(
        partial(_library.vmap_rule, soft_dtw_second_order, _names(_library.soft_dtw_second_order))
    )


class _TransformedSecondOfCosts(torch.autograd.Function):
    @staticmethod
    def forward(*arguments: Any) -> Results:
        return _library.soft_dtw_of_costs_second_order(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Results) -> None:
        pass

    backward = staticmethod(_library.no_third_order)
    jvp = staticmethod(_library.no_second_forward)
    vmap = staticmethod(
        partial(
            _library.vmap_rule,
            soft_dtw_of_costs_second_order,
            _names(_library.soft_dtw_of_costs_second_order),
        )
    )
