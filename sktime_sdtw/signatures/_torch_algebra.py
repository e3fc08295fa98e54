"""Products, power series and linear maps of signatures as operators; see `_torch_signature`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from . import _cuda, _numpy, _reference
from ._calls import as_array, as_tensor, front, reference_gradient, second_order, transformable

# --- products


def _product(a: Tensor, b: Tensor, channels: int, depth: int) -> Tensor:
    """Truncated tensor product."""
    device = _cuda.device_of(a)
    if device is not None:
        return _cuda.product(device, a, b, channels, depth)
    return as_tensor(_numpy.product(as_array(a), as_array(b), channels, depth, torch.get_num_threads()))


def _product_gradient(
    a: Tensor, b: Tensor, gradient: Tensor, channels: int, depth: int
) -> tuple[Tensor, Tensor]:
    """Gradients with respect to both factors."""
    device = _cuda.device_of(a)
    if device is not None:
        return _cuda.product_gradient(device, a, b, gradient, channels, depth)
    found = _numpy.product_gradient(
        as_array(a), as_array(b), as_array(gradient), channels, depth, torch.get_num_threads()
    )
    return as_tensor(found[0]), as_tensor(found[1])


product_op = custom_op("sktime_sdtw::tensor_product", _product, mutates_args=())


@product_op.register_fake
def _(a, b, channels, depth):  # type: ignore[no-untyped-def]
    return a.new_empty(a.shape)


product_gradient_op = custom_op("sktime_sdtw::tensor_product_gradient", _product_gradient, mutates_args=())


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

    back, along = second_order(call, [a, b], gradient, directions)
    return *back, along, None, None


product_op.register_autograd(_product_backward, setup_context=_keep_product)
product_gradient_op.register_autograd(_product_gradient_backward, setup_context=_keep_product)


def _vmap_product(info, in_dims, a, b, channels, depth):  # type: ignore[no-untyped-def]
    n = info.batch_size
    return product_call(front(a, in_dims[0], n), front(b, in_dims[1], n), channels, depth), 0


def _vmap_product_gradient(info, in_dims, a, b, gradient, channels, depth):  # type: ignore[no-untyped-def]
    n = info.batch_size
    moved = [front(x, axis, n) for x, axis in zip((a, b, gradient), in_dims[:3], strict=True)]
    return product_gradient_call(*moved, channels, depth), (0, 0)


product_op.register_vmap(_vmap_product)
product_gradient_op.register_vmap(_vmap_product_gradient)


def _reference_product_gradient(  # type: ignore[no-untyped-def]
    a, b, gradient, channels, depth
):
    def call(x: Tensor, y: Tensor) -> Tensor:
        return _reference.product(x, y, channels, depth)

    return tuple(reference_gradient(call, [a, b], gradient))


product_call = transformable(
    product_op, _product, _vmap_product, _reference.product, _keep_product, _product_backward
)
product_gradient_call = transformable(
    product_gradient_op, _product_gradient, _vmap_product_gradient, _reference_product_gradient
)


# --- power series


def _series(x: Tensor, coefficients: list[float], channels: int) -> Tensor:
    """Sum of coefficients[m - 1] times the m-th tensor power of x."""
    device = _cuda.device_of(x)
    if device is not None:
        return _cuda.series(device, x, coefficients, channels)
    return as_tensor(_numpy.series(as_array(x), coefficients, channels, torch.get_num_threads()))


def _series_gradient(x: Tensor, gradient: Tensor, coefficients: list[float], channels: int) -> Tensor:
    """Gradient with respect to x."""
    device = _cuda.device_of(x)
    if device is not None:
        return _cuda.series_gradient(device, x, gradient, coefficients, channels)
    found = _numpy.series_gradient(
        as_array(x), as_array(gradient), coefficients, channels, torch.get_num_threads()
    )
    return as_tensor(found)


series_op = custom_op("sktime_sdtw::tensor_series", _series, mutates_args=())


@series_op.register_fake
def _(x, coefficients, channels):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape)


series_gradient_op = custom_op("sktime_sdtw::tensor_series_gradient", _series_gradient, mutates_args=())


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

    back, along = second_order(call, [x], gradient, [direction])
    return back[0], along, None, None


series_op.register_autograd(_series_backward, setup_context=_keep_series)
series_gradient_op.register_autograd(_series_gradient_backward, setup_context=_keep_series)


def _vmap_series(info, in_dims, x, coefficients, channels):  # type: ignore[no-untyped-def]
    return series_call(front(x, in_dims[0], info.batch_size), coefficients, channels), 0


def _vmap_series_gradient(info, in_dims, x, gradient, coefficients, channels):  # type: ignore[no-untyped-def]
    n = info.batch_size
    moved = front(x, in_dims[0], n), front(gradient, in_dims[1], n)
    return series_gradient_call(*moved, coefficients, channels), 0


series_op.register_vmap(_vmap_series)
series_gradient_op.register_vmap(_vmap_series_gradient)


def _reference_series_gradient(x, gradient, coefficients, channels):  # type: ignore[no-untyped-def]
    def call(v: Tensor) -> Tensor:
        return _reference.series(v, coefficients, channels)

    return reference_gradient(call, [x], gradient)[0]


series_call = transformable(
    series_op, _series, _vmap_series, _reference.series, _keep_series, _series_backward
)
series_gradient_call = transformable(
    series_gradient_op, _series_gradient, _vmap_series_gradient, _reference_series_gradient
)


# --- linear maps


def _linear(x: Tensor, kind: str, channels: int, depth: int, adjoint: bool) -> Tensor:
    """One of the linear maps of `_numpy.linear`."""
    device = _cuda.device_of(x)
    if device is not None:
        return _cuda.linear(device, x, kind, channels, depth, adjoint)
    return as_tensor(_numpy.linear(as_array(x), kind, channels, depth, adjoint))


linear_op = custom_op("sktime_sdtw::signature_coordinates", _linear, mutates_args=())


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
    return linear_call(front(x, in_dims[0], info.batch_size), kind, channels, depth, adjoint), 0


linear_op.register_vmap(_vmap_linear)
linear_call = transformable(
    linear_op, _linear, _vmap_linear, linear_op, _keep_linear, _linear_backward, linear=True
)
