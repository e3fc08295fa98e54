"""What operators share; above all the ways to call one, which `_torch_calls` chooses from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .._torch_calls import is_plain, is_transformed, is_watched

Operator = Callable[..., Any]
_NUMBERS = {int, float, bool, str, list, type(None)}  # not symbolic ones


def transformable(
    operator: Operator,
    implementation: Operator,
    vmap_rule: Operator,
    reference: Operator,
    keep: Operator | None = None,
    pull_back: Operator | None = None,
    *,
    linear: bool = False,
) -> Operator:
    """Return a function that calls the operator.

    Parameters
    ----------
    operator : callable
        Takes and returns tensors, the first argument is one. Registered with torch.
    implementation : callable
        What the operator does with tensors of the CPU and of CUDA.
    vmap_rule : callable
        As ``torch.library.register_vmap`` takes it.
    reference : callable
        The same function in differentiable operations of torch. Forward-mode derivatives are taken of it, and
        backward ones where the operator has none of its own.
    keep, pull_back : callable, default=None
        As ``torch.library.register_autograd`` takes them.
    linear : bool, default=False
        Whether the operator is linear in its first argument, the only tensor: it is its own derivative then,
        and `reference` is not looked at.
    """

    class Eager(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *arguments: Any) -> Any:
            output = implementation(*arguments)
            assert keep is not None
            keep(ctx, arguments, output)
            return output

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            assert pull_back is not None
            return pull_back(ctx, *gradients)

    class Transformed(torch.autograd.Function):
        @staticmethod
        def forward(*arguments: Any) -> Any:
            return operator(*arguments)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            tensors = [x if isinstance(x, Tensor) else None for x in inputs]
            ctx.constants = [None if isinstance(x, Tensor) else x for x in inputs]
            ctx.save_for_forward(*tensors)
            if keep is None:
                ctx.save_for_backward(*tensors)
            else:
                keep(ctx, inputs, output)

        @staticmethod
        def jvp(ctx: Any, *tangents: Any) -> Any:
            if linear:
                return call(tangents[0], *ctx.constants[1:])
            chosen = [i for i, tangent in enumerate(tangents) if tangent is not None]
            f, primals = _as_function_of(chosen, reference, ctx)
            return directional_derivative(f, primals, tuple(tangents[i] for i in chosen))

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            if pull_back is not None:
                return pull_back(ctx, *gradients)
            chosen = [i for i, needed in enumerate(ctx.needs_input_grad) if needed]
            f, primals = _as_function_of(chosen, reference, ctx)
            found = torch.func.vjp(f, *primals)[1](gradients if len(gradients) > 1 else gradients[0])
            by_place = dict(zip(chosen, found, strict=True))
            return tuple(by_place.get(i) for i in range(len(ctx.constants)))

        vmap = staticmethod(vmap_rule)

    def call(*arguments: Any) -> Any:
        if torch.compiler.is_compiling():
            return operator(*arguments)
        if is_transformed():
            return Transformed.apply(*arguments)
        if is_watched() or not (arguments[0].is_cpu or arguments[0].is_cuda):
            return operator(*arguments)
        differentiated = False
        for x in arguments:
            if type(x) not in _NUMBERS:
                if not is_plain(x):
                    return operator(*arguments)
                differentiated = differentiated or x.requires_grad
        if not differentiated or not torch.is_grad_enabled():
            return implementation(*arguments)
        return operator(*arguments) if keep is None else Eager.apply(*arguments)

    return call


def directional_derivative(f: Operator, primals: tuple[Tensor, ...], tangents: tuple[Tensor, ...]) -> Any:
    """Return the derivative of f along the tangents, inside of torch.func and outside."""
    if is_transformed():
        return torch.func.jvp(f, primals, tangents)[1]
    # Called for an open level of forward mode, beside which there can be no other one. The gradients of f are
    # linear in the weights of its results: how they change with these, along the tangents, is asked for.
    value, pull = torch.func.vjp(f, *primals)
    weights = tuple(map(torch.zeros_like, value)) if isinstance(value, tuple) else torch.zeros_like(value)
    return torch.func.vjp(pull, weights)[1](tangents)[0]


def _as_function_of(
    chosen: Sequence[int], reference: Operator, ctx: Any
) -> tuple[Operator, tuple[Tensor, ...]]:
    """Return the reference as a function of some of its arguments, and their values."""
    saved, constants = ctx.saved_tensors, ctx.constants
    arguments = [c if x is None else x for x, c in zip(saved, constants, strict=True)]

    def f(*values: Tensor) -> Any:
        filled = list(arguments)
        for i, value in zip(chosen, values, strict=True):
            filled[i] = value
        return reference(*filled)

    return f, tuple(arguments[i] for i in chosen)


def reference_gradient(f: Operator, variables: Sequence[Tensor | None], gradient: Tensor) -> list[Any]:
    """Gradients of f by those of its arguments that are not None; empty tensors for the others."""
    given = [i for i, x in enumerate(variables) if x is not None]

    def of_given(*values: Tensor) -> Any:
        filled: list[Tensor | None] = [None] * len(variables)
        for i, value in zip(given, values, strict=True):
            filled[i] = value
        return f(*filled)

    found = torch.func.vjp(of_given, *(variables[i] for i in given))[1](gradient)
    by_place = dict(zip(given, found, strict=True))
    return [by_place.get(i, gradient.new_empty(0)) for i in range(len(variables))]


def second_order(
    call: Any, variables: Sequence[Tensor | None], gradient: Tensor, directions: Sequence[Tensor | None]
) -> tuple[list[Tensor | None], Tensor | None]:
    """Gradients of sum(direction · gradient of call), by the variables and by the gradient that call got.

    In a graph that is itself differentiated they are differentiable again.
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():

        def variable(x: Tensor | None) -> Tensor | None:
            if x is None:
                return None
            # An alias: what a direction or the gradient owes to x is not meant.
            return x.view_as(x) if again and x.requires_grad else x.detach().requires_grad_()

        inputs = [variable(x) for x in variables]
        outer = variable(gradient)
        given = [x for x in inputs if x is not None]
        first = torch.autograd.grad(call(*inputs), given, outer, create_graph=True, allow_unused=True)
        chosen = [v for x, v in zip(inputs, directions, strict=True) if x is not None]
        pairs = [(g, v) for g, v in zip(first, chosen, strict=True) if g is not None and v is not None]
        total = sum((g * v).sum() for g, v in pairs)
        if not isinstance(total, Tensor) or not total.requires_grad:
            return [None if x is None else torch.zeros_like(x) for x in inputs], torch.zeros_like(gradient)
        found = list(torch.autograd.grad(total, [*given, outer], create_graph=again, allow_unused=True))
    along = found.pop()
    rest = iter(found)
    return [None if x is None else next(rest) for x in inputs], along


def as_array(x: Tensor | None) -> Any:
    """Return the array that shares a tensor's memory, for the engine."""
    return None if x is None else x.numpy(force=True)  # no gradient is asked for; the shortest way to say so


def as_tensor(x: Any) -> Tensor:
    """Return the tensor that shares an array's memory."""
    return torch.from_numpy(x)


def front(x: Tensor | None, axis: int | None, size: int) -> Tensor | None:
    """Move the axis of a vmap to the front; repeat what has none."""
    if x is None:
        return None
    return x.expand(size, *x.shape) if axis is None else x.movedim(axis, 0)
