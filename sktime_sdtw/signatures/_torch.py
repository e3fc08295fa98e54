"""The operators on torch tensors: registered with torch.library, with derivatives of any order.

First derivatives run in the engine. Derivatives of those, which hardly any training needs, run in torch, on
the differentiable definitions in `_reference`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import _cuda, _numpy, _reference
from ._calls import reference_gradient, transformable
from ._words import count_words

name = "torch"


def is_floating(x: Tensor) -> bool:
    """Whether the dtype is one of real floating numbers."""
    return bool(x.dtype.is_floating_point)


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that is computed in: float64 in that, everything shorter in float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the tensor in another dtype."""
    return x.to(dtype)


def zeros(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Return zeros of the dtype and on the device of `like`."""
    return like.new_zeros(tuple(shape))


def ones(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Return ones of the dtype and on the device of `like`."""
    return like.new_ones(tuple(shape))


def concatenate(tensors: Sequence[Tensor], axis: int) -> Tensor:
    """Join tensors along an axis."""
    return torch.cat(list(tensors), dim=axis)


def stack(tensors: Sequence[Tensor], axis: int) -> Tensor:
    """Join tensors along a new axis."""
    return torch.stack(list(tensors), dim=axis)


def take_points(x: Tensor, place: Any) -> Tensor:
    """Points (..., n, channels) of x at places (..., n); leading dimensions are broadcast."""
    place = torch.as_tensor(place, device=x.device)
    if place.ndim == 1:
        return x.index_select(-2, place)
    leading = torch.broadcast_shapes(x.shape[:-2], place.shape[:-1])
    x, place = x.expand(*leading, *x.shape[-2:]), place.expand(*leading, place.shape[-1])
    return x.gather(-2, place[..., None].expand(*place.shape, x.shape[-1]))


def last_known(x: Tensor, missing: Tensor) -> Tensor:
    """Each number of (..., n, channels) or, where missing, the last one before it, else the first one."""
    place = torch.arange(x.shape[-2], device=x.device)[:, None]
    last = torch.where(missing, -1, place).cummax(-2).values
    first = (~missing).to(torch.int8).argmax(-2, keepdim=True)
    return x.gather(-2, torch.where(last < 0, first, last))


def is_hidden(x: Any) -> bool:
    """Whether the values cannot be looked at: torch compiles, or transforms functions."""
    if torch.compiler.is_compiling():
        return True
    return isinstance(x, Tensor) and torch._C._functorch.is_functorch_wrapped_tensor(x)


def keep_where(condition: Any, x: Tensor) -> Tensor:
    """Return x, and 0 where the condition does not hold."""
    return torch.where(torch.as_tensor(condition, device=x.device), x, x.new_zeros(()))


def expand(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Return x as if it had been repeated to this shape."""
    return x.expand(tuple(shape))


def to_numpy(x: Any) -> Any:
    """Return values without a graph, on the host."""
    if not isinstance(x, Tensor):
        return np.asarray(x)
    if torch.compiler.is_compiling():
        return x.detach().cpu().numpy()
    with torch._C._DisableFuncTorch():  # inside a function that torch.func differentiates, detach() wraps
        return x.detach().cpu().numpy()


def asarray(x: Any, like: Tensor) -> Tensor:
    """Return constants as a tensor of the dtype and on the device of `like`."""
    return torch.as_tensor(x, dtype=like.dtype, device=like.device)


def index(x: Any, like: Tensor) -> Tensor:
    """Return integers that can index `like`."""
    return torch.as_tensor(x, dtype=torch.int64, device=like.device)


def host_index(x: Any) -> Tensor:
    """Return integers that work is planned with, which therefore stay on the host."""
    return torch.as_tensor(x, dtype=torch.int64, device="cpu")


def _array(x: Tensor | None) -> Any:
    return None if x is None else x.detach().numpy()


def _tensor(x: Any) -> Tensor:
    return torch.from_numpy(x)


def _threads() -> int:
    return torch.get_num_threads()


def _front(x: Tensor | None, axis: int | None, size: int) -> Tensor | None:
    """Move the axis of a vmap to the front; repeat what has none."""
    if x is None:
        return None
    return x.expand(size, *x.shape) if axis is None else x.movedim(axis, 0)


# --- signature


@torch.library.custom_op("sktime_sdtw::signature", mutates_args=())
def signature_op(
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
    arrays = _array(points), _array(basepoint), _array(lengths)
    return _tensor(_numpy.signature(*arrays, depth, stream, _array(initial), _threads(), _array(windows)))


@torch.library.custom_op("sktime_sdtw::signature_gradient", mutates_args=())
def signature_gradient_op(
    points: Tensor,
    basepoint: Tensor | None,
    lengths: Tensor | None,
    depth: int,
    stream: bool,
    initial: Tensor | None,
    out: Tensor | None,
    gradient: Tensor,
    windows: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients with respect to points, basepoint and initial; empty for those that are None."""
    device = _cuda.device_of(points)
    if device is not None:
        sources = points, basepoint, lengths
        back = _cuda.signature_gradient(device, *sources, depth, stream, initial, out, gradient, windows)
        return tuple(points.new_empty(0) if x is None else x for x in back)
    arrays = _array(points), _array(basepoint), _array(lengths)
    given = _array(initial), _array(out), _array(gradient)
    found = _numpy.signature_gradient(*arrays, depth, stream, *given, _threads(), _array(windows))
    return tuple(points.new_empty(0) if x is None else _tensor(x) for x in found)


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

    back, along = _second(call, variables, gradient, directions)
    return back[0], back[1], None, None, None, back[2], None, along, None


signature_gradient_op.register_autograd(_gradient_backward, setup_context=_keep_gradient)


def _second(
    call: Any, variables: Sequence[Tensor | None], gradient: Tensor, directions: Sequence[Tensor | None]
) -> tuple[list[Tensor | None], Tensor | None]:
    """Gradients of sum(direction · gradient of call), by the variables and by the gradient that call got.

    In a graph that is itself differentiated they are differentiable again.
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():

        def variable(x: Tensor | None) -> Tensor | None:
            if x is None or (again and x.requires_grad):
                return x
            return x.detach().requires_grad_()

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


def _vmap_signature(  # type: ignore[no-untyped-def]
    info, in_dims, points, basepoint, lengths, depth, stream, initial, windows=None
):
    _refuse_windows_of_a_batch(in_dims[6:])
    n = info.batch_size
    moved = [_front(x, a, n) for x, a in zip((points, basepoint, lengths), in_dims[:3], strict=True)]
    return signature_call(*moved, depth, stream, _front(initial, in_dims[5], n), windows), 0


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
    moved = [_front(x, a, n) for x, a in zip((points, basepoint, lengths), in_dims[:3], strict=True)]
    last = [_front(x, a, n) for x, a in zip((initial, out, gradient), in_dims[5:8], strict=True)]
    found = signature_gradient_call(*moved, depth, stream, *last, windows)
    return found, (0, None if basepoint is None else 0, None if initial is None else 0)


signature_gradient_op.register_vmap(_vmap_signature_gradient)


def _reference_signature_gradient(  # type: ignore[no-untyped-def]
    points, basepoint, lengths, depth, stream, initial, out, gradient, windows=None
):
    def call(p: Tensor, b: Tensor | None, i: Tensor | None) -> Tensor:
        return _reference.signature(p, b, lengths, depth, stream, i, windows)

    return tuple(reference_gradient(call, [points, basepoint, initial], gradient))


signature_call = transformable(
    signature_op, _vmap_signature, _reference.signature, _keep_signature, _signature_backward
)
signature_gradient_call = transformable(
    signature_gradient_op, _vmap_signature_gradient, _reference_signature_gradient
)


# --- a signature that is known already


@torch.library.custom_op("sktime_sdtw::known_signature", mutates_args=())
def known_signature_op(points: Tensor, value: Tensor, depth: int) -> Tensor:
    """The value, which is the signature of the points: that is how it is differentiated."""
    return value.clone()


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
    return known_signature_call(_front(points, in_dims[0], n), _front(value, in_dims[1], n), depth), 0


def _reference_known(points: Tensor, value: Tensor, depth: int) -> Tensor:
    return _reference.signature(points, None, None, depth, False, None)


known_signature_op.register_vmap(_vmap_known)
known_signature_call = transformable(
    known_signature_op, _vmap_known, _reference_known, _keep_known, _known_backward
)


# --- products


@torch.library.custom_op("sktime_sdtw::tensor_product", mutates_args=())
def product_op(a: Tensor, b: Tensor, channels: int, depth: int) -> Tensor:
    """Truncated tensor product."""
    device = _cuda.device_of(a)
    if device is not None:
        return _cuda.product(device, a, b, channels, depth)
    return _tensor(_numpy.product(_array(a), _array(b), channels, depth, _threads()))


@torch.library.custom_op("sktime_sdtw::tensor_product_gradient", mutates_args=())
def product_gradient_op(
    a: Tensor, b: Tensor, gradient: Tensor, channels: int, depth: int
) -> tuple[Tensor, Tensor]:
    """Gradients with respect to both factors."""
    device = _cuda.device_of(a)
    if device is not None:
        return _cuda.product_gradient(device, a, b, gradient, channels, depth)
    found = _numpy.product_gradient(_array(a), _array(b), _array(gradient), channels, depth, _threads())
    return _tensor(found[0]), _tensor(found[1])


@product_op.register_fake
def _(a, b, channels, depth):  # type: ignore[no-untyped-def]
    return a.new_empty(a.shape)


@product_gradient_op.register_fake
def _(a, b, gradient, channels, depth):  # type: ignore[no-untyped-def]
    return a.new_empty(a.shape), b.new_empty(b.shape)


def _keep_product(ctx: Any, inputs: Any, output: Any) -> None:
    *tensors, ctx.channels, ctx.depth = inputs
    ctx.save_for_backward(*tensors)


def _product_backward(ctx: Any, gradient: Tensor) -> Any:
    a, b = ctx.saved_tensors
    return *product_gradient_call(a, b, gradient, ctx.channels, ctx.depth), None, None


def _product_gradient_backward(ctx: Any, *directions: Tensor) -> Any:
    a, b, gradient = ctx.saved_tensors

    def call(x: Tensor, y: Tensor) -> Tensor:
        return _reference.product(x, y, ctx.channels, ctx.depth)

    back, along = _second(call, [a, b], gradient, directions)
    return *back, along, None, None


product_op.register_autograd(_product_backward, setup_context=_keep_product)
product_gradient_op.register_autograd(_product_gradient_backward, setup_context=_keep_product)


def _vmap_product(info, in_dims, a, b, channels, depth):  # type: ignore[no-untyped-def]
    n = info.batch_size
    return product_call(_front(a, in_dims[0], n), _front(b, in_dims[1], n), channels, depth), 0


def _vmap_product_gradient(info, in_dims, a, b, gradient, channels, depth):  # type: ignore[no-untyped-def]
    n = info.batch_size
    moved = [_front(x, axis, n) for x, axis in zip((a, b, gradient), in_dims[:3], strict=True)]
    return product_gradient_call(*moved, channels, depth), (0, 0)


product_op.register_vmap(_vmap_product)
product_gradient_op.register_vmap(_vmap_product_gradient)


def _reference_product_gradient(  # type: ignore[no-untyped-def]
    a, b, gradient, channels, depth
):
    def call(x: Tensor, y: Tensor) -> Tensor:
        return _reference.product(x, y, channels, depth)

    return tuple(reference_gradient(call, [a, b], gradient))


product_call = transformable(product_op, _vmap_product, _reference.product, _keep_product, _product_backward)
product_gradient_call = transformable(
    product_gradient_op, _vmap_product_gradient, _reference_product_gradient
)


# --- power series


@torch.library.custom_op("sktime_sdtw::tensor_series", mutates_args=())
def series_op(x: Tensor, coefficients: list[float], channels: int) -> Tensor:
    """Sum of coefficients[m - 1] times the m-th tensor power of x."""
    device = _cuda.device_of(x)
    if device is not None:
        return _cuda.series(device, x, coefficients, channels)
    return _tensor(_numpy.series(_array(x), coefficients, channels, _threads()))


@torch.library.custom_op("sktime_sdtw::tensor_series_gradient", mutates_args=())
def series_gradient_op(x: Tensor, gradient: Tensor, coefficients: list[float], channels: int) -> Tensor:
    """Gradient with respect to x."""
    device = _cuda.device_of(x)
    if device is not None:
        return _cuda.series_gradient(device, x, gradient, coefficients, channels)
    found = _numpy.series_gradient(_array(x), _array(gradient), coefficients, channels, _threads())
    return _tensor(found)


@series_op.register_fake
def _(x, coefficients, channels):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape)


@series_gradient_op.register_fake
def _(x, gradient, coefficients, channels):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape)


def _keep_series(ctx: Any, inputs: Any, output: Any) -> None:
    *tensors, ctx.coefficients, ctx.channels = inputs
    ctx.save_for_backward(*tensors)


def _series_backward(ctx: Any, gradient: Tensor) -> Any:
    (x,) = ctx.saved_tensors
    return series_gradient_call(x, gradient, ctx.coefficients, ctx.channels), None, None


def _series_gradient_backward(ctx: Any, direction: Tensor) -> Any:
    x, gradient = ctx.saved_tensors

    def call(v: Tensor) -> Tensor:
        return _reference.series(v, ctx.coefficients, ctx.channels)

    back, along = _second(call, [x], gradient, [direction])
    return back[0], along, None, None


series_op.register_autograd(_series_backward, setup_context=_keep_series)
series_gradient_op.register_autograd(_series_gradient_backward, setup_context=_keep_series)


def _vmap_series(info, in_dims, x, coefficients, channels):  # type: ignore[no-untyped-def]
    return series_call(_front(x, in_dims[0], info.batch_size), coefficients, channels), 0


def _vmap_series_gradient(info, in_dims, x, gradient, coefficients, channels):  # type: ignore[no-untyped-def]
    n = info.batch_size
    moved = _front(x, in_dims[0], n), _front(gradient, in_dims[1], n)
    return series_gradient_call(*moved, coefficients, channels), 0


series_op.register_vmap(_vmap_series)
series_gradient_op.register_vmap(_vmap_series_gradient)


def _reference_series_gradient(x, gradient, coefficients, channels):  # type: ignore[no-untyped-def]
    def call(v: Tensor) -> Tensor:
        return _reference.series(v, coefficients, channels)

    return reference_gradient(call, [x], gradient)[0]


series_call = transformable(series_op, _vmap_series, _reference.series, _keep_series, _series_backward)
series_gradient_call = transformable(series_gradient_op, _vmap_series_gradient, _reference_series_gradient)


# --- linear maps


@torch.library.custom_op("sktime_sdtw::signature_coordinates", mutates_args=())
def linear_op(x: Tensor, kind: str, channels: int, depth: int, adjoint: bool) -> Tensor:
    """One of the linear maps of `_numpy.linear`."""
    device = _cuda.device_of(x)
    if device is not None:
        return _cuda.linear(device, x, kind, channels, depth, adjoint)
    return _tensor(_numpy.linear(_array(x), kind, channels, depth, adjoint))


@linear_op.register_fake
def _(x, kind, channels, depth, adjoint):  # type: ignore[no-untyped-def]
    return x.new_empty((*x.shape[:-1], _numpy.linear_size(kind, channels, depth, adjoint)))


def _keep_linear(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.arguments = inputs[1:]


def _linear_backward(ctx: Any, gradient: Tensor) -> Any:
    *which, adjoint = ctx.arguments
    return linear_call(gradient, *which, not adjoint), None, None, None, None


linear_op.register_autograd(_linear_backward, setup_context=_keep_linear)


def _vmap_linear(info, in_dims, x, kind, channels, depth, adjoint):  # type: ignore[no-untyped-def]
    return linear_call(_front(x, in_dims[0], info.batch_size), kind, channels, depth, adjoint), 0


linear_op.register_vmap(_vmap_linear)
linear_call = transformable(linear_op, _vmap_linear, linear_op, _keep_linear, _linear_backward, linear=True)


# --- the same names as in _numpy


def signature(
    points: Tensor,
    basepoint: Tensor | None,
    lengths: Tensor | None,
    depth: int,
    stream: bool,
    initial: Tensor | None,
    n_jobs: int | None,
    windows: Tensor | None = None,
) -> Tensor:
    """Signatures of (..., points, channels), with windows (..., windows, words)."""
    return signature_call(points, basepoint, lengths, depth, stream, initial, windows)


def product(a: Tensor, b: Tensor, channels: int, depth: int, n_jobs: int | None) -> Tensor:
    """Truncated tensor product of two tensors of one shape, the leading 1 left out."""
    return product_call(a, b, channels, depth)


def series(x: Tensor, coefficients: Sequence[float], channels: int, n_jobs: int | None) -> Tensor:
    """Sum of coefficients[m - 1] times the m-th tensor power of x."""
    return series_call(x, list(coefficients), channels)


def linear(x: Tensor, kind: str, channels: int, depth: int, adjoint: bool) -> Tensor:
    """One of the linear maps of `_numpy.linear`."""
    return linear_call(x, kind, channels, depth, adjoint)
