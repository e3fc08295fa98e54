"""The signature kernel on torch tensors: registered with torch.library, with derivatives of any order.

Values and first derivatives run in the engine of the device, further ones in torch, on the definitions in
`_kernel_reference`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from . import _cuda, _kernel_cuda, _kernel_numpy, _kernel_reference
from ._calls import as_array, as_tensor, front, reference_gradient, second_order, transformable
from ._kernel_numpy import Settings


def _settings(static: str, scale: float, x_refinement: int, y_refinement: int, depth: int) -> Settings:
    return Settings(static, scale, (x_refinement, y_refinement), depth)


def _kernel(
    x: Tensor,
    y: Tensor | None,
    x_lengths: Tensor | None,
    y_lengths: Tensor | None,
    paired: bool,
    static: str,
    scale: float,
    x_refinement: int,
    y_refinement: int,
    depth: int,
) -> Tensor:
    """Values, as `_kernel_numpy.kernel`."""
    settings = _settings(static, scale, x_refinement, y_refinement, depth)
    device = _cuda.device_of(x)
    if device is not None:
        return _kernel_cuda.kernel(device, x, y, x_lengths, y_lengths, paired, settings)
    arrays = as_array(x), as_array(y), as_array(x_lengths), as_array(y_lengths)
    return as_tensor(_kernel_numpy.kernel(*arrays, paired, settings, torch.get_num_threads()))


def _kernel_gradient(
    x: Tensor,
    y: Tensor | None,
    x_lengths: Tensor | None,
    y_lengths: Tensor | None,
    weights: Tensor,
    paired: bool,
    static: str,
    scale: float,
    x_refinement: int,
    y_refinement: int,
    depth: int,
) -> tuple[Tensor, Tensor]:
    """Gradients of sum(weights * values) with respect to x and y; empty where y is None."""
    settings = _settings(static, scale, x_refinement, y_refinement, depth)
    device = _cuda.device_of(x)
    if device is not None:
        lengths = x_lengths, y_lengths
        back = _kernel_cuda.kernel_gradient(device, x, y, *lengths, weights, paired, settings)
        return back[0], x.new_empty(0) if back[1] is None else back[1]
    arrays = as_array(x), as_array(y), as_array(x_lengths), as_array(y_lengths), as_array(weights)
    found = _kernel_numpy.kernel_gradient(*arrays, paired, settings, torch.get_num_threads())
    return as_tensor(found[0]), x.new_empty(0) if found[1] is None else as_tensor(found[1])


kernel_op = custom_op("sktime_sdtw::signature_kernel", _kernel, mutates_args=())
kernel_gradient_op = custom_op("sktime_sdtw::signature_kernel_gradient", _kernel_gradient, mutates_args=())


@kernel_op.register_fake
def _(x, y, x_lengths, y_lengths, paired, *settings):  # type: ignore[no-untyped-def]
    return x.new_empty(_kernel_numpy.out_shape(x.shape, None if y is None else y.shape, paired))


@kernel_gradient_op.register_fake
def _(x, y, x_lengths, y_lengths, weights, paired, *settings):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape), x.new_empty(0 if y is None else y.shape)


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    tensors, ctx.settings = inputs[:4], inputs[4:]
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, weights: Tensor) -> Any:
    x, y, x_lengths, y_lengths = ctx.saved_tensors
    found = kernel_gradient_call(x, y, x_lengths, y_lengths, weights, *ctx.settings)
    return found[0], None if y is None else found[1], *[None] * 8


def _keep_gradient(ctx: Any, inputs: Any, output: Any) -> None:
    tensors, ctx.settings = inputs[:5], inputs[5:]
    ctx.save_for_backward(*tensors)


def _gradient_backward(ctx: Any, *directions: Tensor) -> Any:
    x, y, x_lengths, y_lengths, weights = ctx.saved_tensors
    paired, *settings = ctx.settings

    def call(u: Tensor, v: Tensor | None) -> Tensor:
        return _kernel_reference.kernel(u, v, x_lengths, y_lengths, paired, _settings(*settings))

    back, along = second_order(call, [x, y], weights, directions)
    return *back, None, None, along, *[None] * 6


kernel_op.register_autograd(_backward, setup_context=_keep)
kernel_gradient_op.register_autograd(_gradient_backward, setup_context=_keep_gradient)


def _vmap_kernel(info, in_dims, *inputs):  # type: ignore[no-untyped-def]
    tensors = [front(x, axis, info.batch_size) for x, axis in zip(inputs[:4], in_dims[:4], strict=True)]
    return kernel_call(*tensors, *inputs[4:]), 0


def _vmap_gradient(info, in_dims, *inputs):  # type: ignore[no-untyped-def]
    tensors = [front(x, axis, info.batch_size) for x, axis in zip(inputs[:5], in_dims[:5], strict=True)]
    return kernel_gradient_call(*tensors, *inputs[5:]), (0, None if inputs[1] is None else 0)


def _reference(x, y, x_lengths, y_lengths, paired, *settings):  # type: ignore[no-untyped-def]
    return _kernel_reference.kernel(x, y, x_lengths, y_lengths, paired, _settings(*settings))


def _reference_gradient(  # type: ignore[no-untyped-def]
    x, y, x_lengths, y_lengths, weights, paired, *settings
):
    def call(u: Tensor, v: Tensor | None) -> Tensor:
        return _kernel_reference.kernel(u, v, x_lengths, y_lengths, paired, _settings(*settings))

    return tuple(reference_gradient(call, [x, y], weights))


kernel_op.register_vmap(_vmap_kernel)
kernel_gradient_op.register_vmap(_vmap_gradient)
kernel_call = transformable(kernel_op, _kernel, _vmap_kernel, _reference, _keep, _backward)
kernel_gradient_call = transformable(
    kernel_gradient_op, _kernel_gradient, _vmap_gradient, _reference_gradient
)


def kernel(
    x: Tensor,
    y: Tensor | None,
    x_lengths: Tensor | None,
    y_lengths: Tensor | None,
    paired: bool,
    settings: Settings,
    n_jobs: int | None,
) -> Tensor:
    """Values, as `_kernel_numpy.kernel`."""
    chosen = settings.static, settings.scale, *settings.refinement, settings.depth
    return kernel_call(x, y, x_lengths, y_lengths, paired, *chosen)
