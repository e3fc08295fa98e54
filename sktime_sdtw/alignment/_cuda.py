"""The operators of warps on CUDA tensors: kernels on buffers of the tensors, on torch's current stream.

A call waits for the GPU once, to raise where a pair cannot be solved. Inside `functional.capturable` it does
not: there the warps of such pairs are NaN. A CUDA graph takes over no copies from the host: what is not a
number must be a CUDA tensor there, lengths too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..functional._cuda_batches import Device, Gpu
from ..functional._library import ASKS
from ._solver import why_unsolved

if TYPE_CHECKING:
    from ..cuda_ext._gdtw import Found, Room, Settings, Warping

__all__ = ["Gpu", "backward", "forward"]

Tensors = tuple[Tensor | None, ...]  # in the order of `cuda_ext._gdtw.GRADIENTS`


def _problem(device: Device, tensors: Tensors, x_lengths: Tensor, lengths: Tensor) -> tuple[Warping, Room]:
    from ..cuda_ext._gdtw import Room, Warping

    buffers = [None if tensor is None else device.wrap(tensor.contiguous()) for tensor in tensors]
    x_times, times = tensors[1], tensors[4]
    assert x_times is not None
    assert times is not None
    (n, longest_x), longest = x_times.shape, times.shape[1]

    def starts(width: int) -> object:
        return device.runtime.constant(np.arange(n, dtype=np.int64) * width)

    sizes = [
        device.wrap(tensor.to(x_times.device, torch.int64).contiguous()) for tensor in (x_lengths, lengths)
    ]
    fields = [
        *buffers[:3],
        starts(longest_x),
        sizes[0],
        *buffers[3:5],
        starts(longest),
        sizes[1],
        *buffers[5:],
    ]
    return Warping(*fields), Room(longest_x, longest, longest)


def _settings(is_endpoint: bool, loss: int, delta: float, penalty: int, penalty_delta: float) -> Settings:
    from ..cuda_ext._gdtw import Settings

    return Settings(is_endpoint, loss, delta, penalty, penalty_delta)


def forward(
    device: Device,
    tensors: Tensors,
    x_lengths: Tensor,
    lengths: Tensor,
    settings: tuple[bool, int, float, int, float],
    n_grid: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Warp, cell, holds, ties, objective and residual, as the operator `sktime_sdtw::gdtw` has them."""
    from ..cuda_ext._gdtw import UnsolvedPairError, solve
    from ._operator import flatten

    warping, room = _problem(device, tensors, x_lengths, lengths)
    try:
        found = solve(device.runtime, warping, _settings(*settings), room, n_grid, look=ASKS.get())
    except UnsolvedPairError as error:
        # Raises where it is the input that is wrong.
        host = [None if tensor is None else tensor.cpu() for tensor in tensors]
        problem = flatten(host, x_lengths.cpu(), lengths.cpu(), *settings)
        raise ValueError(why_unsolved(problem, error.pair, error.status)) from None
    n, m = len(warping), room.longest
    tables = [device.tensor(buffer, n, m) for buffer in (found.warp, found.cell, found.holds, found.ties)]
    numbers = [device.tensor(buffer, n) for buffer in (found.objective, found.residual)]
    return tables[0], tables[1], tables[2], tables[3], numbers[0], numbers[1]


def backward(
    device: Device,
    tensors: Tensors,
    x_lengths: Tensor,
    lengths: Tensor,
    settings: tuple[bool, int, float, int, float],
    state: tuple[Tensor, ...],
    upstream: Tensor,
) -> list[Tensor]:
    """Gradients with respect to the tensors, as the operator `sktime_sdtw::gdtw_backward` has them.

    `state` is warp, cell, holds and ties of the forward call.
    """
    from ..cuda_ext._gdtw import GRADIENTS, Found, gradient

    warping, room = _problem(device, tensors, x_lengths, lengths)
    pair_numbers = device.wrap(upstream.new_empty(len(warping)))
    found: Found = Found(*(device.wrap(part.contiguous()) for part in state), pair_numbers, pair_numbers)
    pull = device.wrap(upstream.contiguous())
    grads = gradient(device.runtime, warping, _settings(*settings), room, found, pull)
    return [
        upstream.new_empty(0) if tensor is None else device.tensor(grads[name], *tensor.shape)
        for name, tensor in zip(GRADIENTS, tensors, strict=True)
    ]
