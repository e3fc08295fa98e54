"""What the engine needs of a device: memory, copies, and launches of kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ._sources import KernelSpec


class Buffer(Protocol):
    """A typed stretch of device memory, freed with the object."""

    @property
    def pointer(self) -> int:
        """Address on the device."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one element."""

    @property
    def count(self) -> int:
        """Number of elements."""

    @property
    def nbytes(self) -> int:
        """Size in bytes."""


Argument = Buffer | np.generic | None


class Runtime(Protocol):
    """One device. Work is queued in the order of the calls; only `download` waits for it."""

    @property
    def multiprocessors(self) -> int:
        """How many blocks run at once, at least."""

    def free_memory(self) -> int:
        """Bytes that `empty` can still give, about."""

    def empty(self, count: int, dtype: Any) -> Buffer:
        """Memory with anything in it."""

    def zeros(self, count: int, dtype: Any) -> Buffer:
        """Memory full of zeros."""

    def upload(self, array: NDArray[Any]) -> Buffer:
        """A copy of the array on the device, flat in C order."""

    def download(
        self, buffer: Buffer, shape: tuple[int, ...], out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """The first elements of the buffer as an array of this shape, written to `out` where it is given."""

    def launch(self, spec: KernelSpec, blocks: int, threads: int, arguments: Sequence[Argument]) -> None:
        """Start a kernel on a grid of blocks.

        Parameters
        ----------
        spec : KernelSpec
        blocks, threads : int
            Blocks in the grid, threads in a block.
        arguments : sequence of Buffer, numpy scalar or None
            In the order of the kernel's parameters. None is a null pointer; every scalar has the NumPy type of
            its parameter: ``np.int32`` for int, ``np.int64`` for long long, ``np.float64`` for double.
        """
