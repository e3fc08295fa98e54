"""Batches of CUDA tensors for the engine: where they lie, and what is inside their lengths."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..cuda_ext._kinds import ITAKURA
from ._checks import check_band, check_lengths

if TYPE_CHECKING:
    from ..cuda_ext._runtime import Buffer, Runtime

Lengths = NDArray[np.int64]
Tensors = tuple[Tensor | None, ...]


class Device(Protocol):
    """A device with a way from tensors to buffers and back."""

    runtime: Runtime

    def wrap(self, tensor: Tensor) -> Buffer:
        """A contiguous tensor as a buffer."""

    def tensor(self, buffer: Buffer, *shape: int) -> Tensor:
        """The first elements of a buffer as a tensor."""


class Gpu:
    """The GPU that holds a tensor. Raises where the engine cannot use it."""

    def __init__(self, tensor: Tensor) -> None:
        from ..cuda_ext._devices import device_indices
        from ..cuda_ext._runtime import cuda_runtime

        (index,) = device_indices(str(tensor.device))  # says why not
        self.runtime: Any = cuda_runtime(index)
        self.wrap: Callable[[Tensor], Buffer] = self.runtime.wrap

    def tensor(self, buffer: Any, *shape: int) -> Tensor:
        """As `Device.tensor`."""
        flat: Tensor = buffer.tensor.view(-1)
        return flat[: int(np.prod(shape))].view(shape)


# --- padded tensors and packed rows


def offsets_of(sizes: Lengths) -> Lengths:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


@lru_cache(maxsize=64)
def _places(rooms: tuple[int, ...], device: torch.device, *lengths: bytes) -> Tensor:
    """Which rows of padded samples lie inside.

    Kept on the device: equal lengths need no copy again, which no CUDA graph could take over.
    """
    n, *m = (np.frombuffer(part, np.int64) for part in lengths)
    inside = np.arange(rooms[0])[None, :] < n[:, None]
    if m:
        inside = inside[:, :, None] & (np.arange(rooms[1])[None, :] < m[0][:, None])[:, None, :]
    return torch.from_numpy(np.flatnonzero(inside)).to(device)


class Packed:
    """What is inside the lengths of a padded tensor, flat, as one number or one time step a row."""

    def __init__(self, padded: Tensor, sizes: Lengths, *lengths: Lengths) -> None:
        width = 1 if len(lengths) == 2 else padded.shape[2]
        self.shape, self.index = padded.shape, None
        if int(sizes.sum()) * width == padded.numel():
            self.rows = padded.reshape(-1, width).contiguous()
            return
        rooms, places = padded.shape[1 : 1 + len(lengths)], [part.tobytes() for part in lengths]
        self.index = _places(tuple(rooms), padded.device, *places)
        self.rows = padded.reshape(-1, width)[self.index].contiguous()

    def rows_of(self, padded: Tensor) -> Tensor:
        """The same rows of another tensor of this shape."""
        rows = padded.to(self.rows.dtype).reshape(-1, self.rows.shape[1])
        return (rows if self.index is None else rows[self.index]).contiguous()

    def unpack(self, rows: Tensor, good: Tensor | None) -> Tensor:
        """A gradient of the rows in the shape of the padded tensor; NaN for samples that are not good.

        None: those rows are NaN already.
        """
        rows = rows.reshape(self.rows.shape)
        out = rows
        if self.index is not None:
            out = rows.new_zeros((int(np.prod(self.shape)) // rows.shape[1], rows.shape[1]))
            out[self.index] = rows
        out = out.reshape(self.shape)
        return out if good is None else torch.where(good[:, None, None], out, torch.nan)


class Batch:
    """A batch on the device: series or cost matrices, and the lengths on the host."""

    def __init__(
        self,
        tensors: tuple[Tensor, ...],
        x_lengths: Tensor | None,
        y_lengths: Tensor | None,
        band: int,
        band_parameter: float,
    ) -> None:
        first = tensors[0]
        self.like, self.count = first, first.shape[0]
        self.of_costs = len(tensors) == 1
        n, m = (first.shape[1], first.shape[2]) if self.of_costs else (first.shape[1], tensors[1].shape[1])
        if x_lengths is not None:
            x_lengths = check_lengths(x_lengths, self.count, n, "x_lengths")
        if y_lengths is not None:
            y_lengths = check_lengths(y_lengths, self.count, m, "y_lengths")
        if band == ITAKURA:
            check_band((self.count, n, m), x_lengths, y_lengths, band_parameter)
        self.n: Lengths = np.full(self.count, n) if x_lengths is None else x_lengths.numpy()
        self.m: Lengths = np.full(self.count, m) if y_lengths is None else y_lengths.numpy()
        if self.of_costs:
            self.packed = [Packed(first, self.n * self.m, self.n, self.m)]
        else:
            self.packed = [Packed(first, self.n, self.n), Packed(tensors[1], self.m, self.m)]
        self.features = 1 if self.of_costs else first.shape[2]
