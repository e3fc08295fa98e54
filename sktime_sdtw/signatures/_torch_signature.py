"""Signatures of tensors as operators of torch.library, with derivatives of any order.

First derivatives run in the engine. Derivatives of those, which hardly any training needs, run in torch, on
the differentiable definitions in `_reference`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from . import _cuda, _numpy, _reference
from ._calls import as_array, as_tensor, front, reference_gradient, second_order, transformable
from ._words import count_words


def _signature(
    points: Tensor,
    basepoint: Tensor | None,
    lengths: Tensor | None,
    depth: int,
    stream: bool,
    initial: Tensor | None,
    windows: Tensor | None = None,
) -> Tensor:
    """Signatures of (..., points, channels), with windows (..., windows, words)."""
    device = _cuda.device_of(points)
    if device is not None:
        return _cuda.signature(device, points, basepoint, lengths, depth, stream, initial, windows)
    arrays = as_array(points), as_array(basepoint), as_array(lengths)
    return as_tensor(
        _numpy.signature(
            *arrays, depth, stream, as_array(initial), torch.get_num_threads(), as_array(windows)
        )
    )


def _signature_gradient(
    points: Tensor,
    basepoint: Tensor | None,
    lengths: Tensor | None,
    depth: int,
    stream: bool,
    initial: Tensor | None,
    out: Tensor | None,
    gradient: Tensor,
    windows: Tensor | None = None,
) -> Sequence[Tensor | None]:
    """Gradients with respect to points, basepoint and initial; None for those that are None."""
    device = _cuda.device_of(points)
    if device is not None:
        sources = points, basepoint, lengths
        return _cuda.signature_gradient(device, *sources, depth, stream, initial, out, gradient, windows)
    arrays = as_array(points), as_array(basepoint), as_array(lengths)
    given = as_array(initial), as_array(out), as_array(gradient)
    found = _numpy.signature_gradient(
        *arrays, depth, stream, *given, torch.get_num_threads(), as_array(windows)
    )
    return [None if x is None else as_tensor(x) for x in found]


def _without_none(found: Sequence[Tensor | None], like: Tensor) -> tuple[Tensor, ...]:
    """Gradients as an operator returns them: empty where they are None."""
    return tuple(like.new_empty(0) if x is None else x for x in found)


signature_op = custom_op("sktime_sdtw::signature", _signature, mutates_args=())
signature_gradient_op = custom_op(
    "sktime_sdtw::signature_gradient",
    lambda points, *rest: _without_none(_signature_gradient(points, *rest), points),
    mutates_args=(),
    schema="(Tensor points, Tensor? basepoint, Tensor? lengths, SymInt depth, bool stream, Tensor? initial, "
    "Tensor? out, Tensor gradient, Tensor? windows=None) -> (Tensor, Tensor, Tensor)",
)


@signature_op.register_fake
def _(points, basepoint, lengths, depth, stream, initial, windows=None):  # type: ignore[no-untyped-def]
    *leading, n, d = points.shape
    words = count_words(int(d), depth)
    steps = n if basepoint is not None else n - 1
    rows = (steps,) if stream else () if windows is None else (windows.shape[0],)
    return points.new_empty((*leading, *rows, words))


@signature_gradient_op.register_fake
def _(  # type: ignore[no-untyped-def]
    points, basepoint, lengths, depth, stream, initial, out, gradient, windows=None
):
    return (
        points.new_empty(points.shape),
        points.new_empty(0) if basepoint is None else points.new_empty(basepoint.shape),
        points.new_empty(0) if initial is None else points.new_empty(initial.shape),
    )


def _keep_signature(ctx: Any, inputs: Any, output: Any) -> None:
    points, basepoint, lengths, ctx.depth, ctx.stream, initial, windows = inputs
    ctx.save_for_backward(points, basepoint, lengths, initial, output if ctx.stream else None, windows)


def _signature_backward(ctx: Any, gradient: Tensor) -> Any:
    points, basepoint, lengths, initial, out, windows = ctx.saved_tensors
    found = signature_gradient_call(
        points, basepoint, lengths, ctx.depth, ctx.stream, initial, out, gradient, windows
    )
    base = None if basepoint is None else found[1]
    return found[0], base, None, None, None, None if initial is None else found[2], None


signature_op.register_autograd(_signature_backward, setup_context=_keep_signature)


def _keep_gradient(ctx: Any, inputs: Any, output: Any) -> None:
    points, basepoint, lengths, ctx.depth, ctx.stream, initial, _, gradient, windows = inputs
    ctx.save_for_backward(points, basepoint, lengths, initial, gradient, windows)


def _gradient_backward(ctx: Any, *directions: Tensor) -> Any:
    points, basepoint, lengths, initial, gradient, windows = ctx.saved_tensors
    variables = [points, basepoint, initial]

    def call(p: Tensor, b: Tensor | None, i: Tensor | None) -> Tensor:
        return _reference.signature(p, b, lengths, ctx.depth, ctx.stream, i, windows)

    back, along = second_order(call, variables, gradient, directions)
    return back[0], back[1], None, None, None, back[2], None, along, None


signature_gradient_op.register_autograd(_gradient_backward, setup_context=_keep_gradient)


def _vmap_signature(  # type: ignore[no-untyped-def]
    info, in_dims, points, basepoint, lengths, depth, stream, initial, windows=None
):
    _refuse_windows_of_a_batch(in_dims[6:])
    n = info.batch_size
    moved = [front(x, a, n) for x, a in zip((points, basepoint, lengths), in_dims[:3], strict=True)]
    return signature_call(*moved, depth, stream, front(initial, in_dims[5], n), windows), 0


signature_op.register_vmap(_vmap_signature)


def _refuse_windows_of_a_batch(axes: Sequence[int | None]) -> None:
    if any(axis is not None for axis in axes):
        raise ValueError(
            "windows cannot be mapped over by vmap: give signature the whole batch, with windows of shape "
            "(..., n_windows, 2)."
        )


def _vmap_signature_gradient(  # type: ignore[no-untyped-def]
    info, in_dims, points, basepoint, lengths, depth, stream, initial, out, gradient, windows=None
):
    n = info.batch_size
    moved = [front(x, a, n) for x, a in zip((points, basepoint, lengths), in_dims[:3], strict=True)]
    last = [front(x, a, n) for x, a in zip((initial, out, gradient), in_dims[5:8], strict=True)]
    found = signature_gradient_call(*moved, depth, stream, *last, windows)
    axes = 0, None if basepoint is None else 0, None if initial is None else 0
    return _without_none(found, points), axes


signature_gradient_op.register_vmap(_vmap_signature_gradient)


def _reference_signature_gradient(  # type: ignore[no-untyped-def]
    points, basepoint, lengths, depth, stream, initial, out, gradient, windows=None
):
    def call(p: Tensor, b: Tensor | None, i: Tensor | None) -> Tensor:
        return _reference.signature(p, b, lengths, depth, stream, i, windows)

    return tuple(reference_gradient(call, [points, basepoint, initial], gradient))


signature_call = transformable(
    signature_op, _signature, _vmap_signature, _reference.signature, _keep_signature, _signature_backward
)
signature_gradient_call = transformable(
    signature_gradient_op, _signature_gradient, _vmap_signature_gradient, _reference_signature_gradient
)


# --- a signature that is known already


def _known_signature(points: Tensor, value: Tensor, depth: int) -> Tensor:
    """The value, which is the signature of the points: that is how it is differentiated."""
    return value.clone()


known_signature_op = custom_op("sktime_sdtw::known_signature", _known_signature, mutates_args=())


@known_signature_op.register_fake
def _(points, value, depth):  # type: ignore[no-untyped-def]
    return value.new_empty(value.shape)


def _keep_known(ctx: Any, inputs: Any, output: Any) -> None:
    points, _, ctx.depth = inputs
    ctx.save_for_backward(points)


def _known_backward(ctx: Any, gradient: Tensor) -> Any:
    (points,) = ctx.saved_tensors
    found = signature_gradient_call(points, None, None, ctx.depth, False, None, None, gradient)
    return found[0], None, None


known_signature_op.register_autograd(_known_backward, setup_context=_keep_known)


def _vmap_known(info, in_dims, points, value, depth):  # type: ignore[no-untyped-def]
    n = info.batch_size
    return known_signature_call(front(points, in_dims[0], n), front(value, in_dims[1], n), depth), 0


def _reference_known(points: Tensor, value: Tensor, depth: int) -> Tensor:
    return _reference.signature(points, None, None, depth, False, None)


known_signature_op.register_vmap(_vmap_known)
known_signature_call = transformable(
    known_signature_op, _known_signature, _vmap_known, _reference_known, _keep_known, _known_backward
)
