"""Tensors under the names that `_numpy` has for arrays; the operators are in the modules beside this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._torch_calls import is_transformed
from ._torch_algebra import linear_call, product_call, series_call
from ._torch_signature import signature_call

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


def compose(blocks: Sequence[Any], leading: Sequence[int]) -> Tensor:
    """Join the channels of blocks, as `_transforms` has them, to points of shape (*leading, channels)."""
    parts = []
    for block in blocks:
        found = block.source
        if not block.whole:
            found = take_points(found, np.maximum(block.index, 0))
        if block.origin:
            found = keep_where(block.index[..., None] >= 0, found)
        parts.append(expand(found, (*leading, found.shape[-1])))
    return parts[0] if len(parts) == 1 else concatenate(parts, axis=-1)


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


def is_followed(x: Tensor) -> bool:
    """Whether derivatives with respect to x may be asked for."""
    return x.requires_grad or is_hidden(x) or is_transformed()


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
