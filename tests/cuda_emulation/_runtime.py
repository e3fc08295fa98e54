"""The runtime of the engine with the host in place of the GPU."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._build import ONE_AT_A_TIME, EmulationError, Spec, build, scheduler

MARGIN = 256  # bytes in front of each buffer that no kernel may change
MARK = 0xA5

CODES = {"i": np.int32, "q": np.int64, "B": np.uint8, "f": np.float32, "d": np.float64}
CTYPES = {
    "i": ctypes.c_int32,
    "q": ctypes.c_int64,
    "B": ctypes.c_uint8,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
}


def _bytes_at(address: int, count: int) -> NDArray[np.uint8]:
    return np.frombuffer((ctypes.c_uint8 * count).from_address(address), dtype=np.uint8)


def _release(pointer: int, nbytes: int) -> None:
    with ONE_AT_A_TIME:
        scheduler().emulation_release(pointer, nbytes, MARGIN)


class EmulatedBuffer:
    """Memory of the emulated device.

    Behind the last element lie pages that nobody may touch, in front of the first a margin that is looked at
    after each launch, and such pages again. New memory is full of bytes 0xFF: NaN, or −1.

    Attributes
    ----------
    array : ndarray
        The elements, in place.
    """

    def __init__(self, count: int, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self.count = int(count)
        self.nbytes = self.count * self.dtype.itemsize
        library = scheduler()
        with ONE_AT_A_TIME:
            self.pointer = library.emulation_allocate(self.nbytes, MARGIN)
        if not self.pointer:
            raise MemoryError(f"No {self.nbytes} bytes for a buffer.")
        weakref.finalize(self, _release, self.pointer, self.nbytes)
        self.margin = _bytes_at(self.pointer - MARGIN, MARGIN)
        self.margin[:] = MARK
        self.array = _bytes_at(self.pointer, self.nbytes).view(self.dtype)
        self.array.view(np.uint8)[:] = 0xFF


class EmulatedRuntime:
    """Executes kernels on the host, at once and in the thread of the caller.

    Parameters
    ----------
    multiprocessors : int
    memory : int
        Bytes of the device; `empty` raises MemoryError where they are used up.
    resident : int
        Blocks that run at the same time; the others start in their order, when one ends.
    order : int
        The order in which lanes and warps get their turn: 0 up, 1 down, others shuffled. Results that depend
        on it show a barrier that is missing.
    sanitize : bool
        Whether undefined behaviour of C++ is an error.
    capability : (int, int)
        What the engine is told about the device; all of warp.cuh is there in any case.
    """

    def __init__(
        self,
        multiprocessors: int = 2,
        *,
        memory: int = 2**30,
        resident: int = 3,
        order: int = 0,
        sanitize: bool = False,
        capability: tuple[int, int] = (9, 0),
    ) -> None:
        self._multiprocessors = multiprocessors
        self.capability = capability
        self.memory = memory
        self.resident = resident
        self.order = order
        self.sanitize = sanitize
        self.launches: list[tuple[Spec, int, int]] = []
        self._buffers: weakref.WeakSet[EmulatedBuffer] = weakref.WeakSet()

    @property
    def multiprocessors(self) -> int:
        """As asked for."""
        return self._multiprocessors

    def free_memory(self) -> int:
        """What the living buffers leave of the memory."""
        with ONE_AT_A_TIME:
            return self.memory - sum(buffer.nbytes for buffer in self._buffers)

    def empty(self, count: int, dtype: Any) -> EmulatedBuffer:
        """Memory full of NaN or −1."""
        needed = int(count) * np.dtype(dtype).itemsize
        if needed > self.free_memory():
            raise MemoryError(f"{needed} bytes asked of {self.free_memory()} that are free.")
        buffer = EmulatedBuffer(count, dtype)
        with ONE_AT_A_TIME:
            self._buffers.add(buffer)
        return buffer

    def zeros(self, count: int, dtype: Any) -> EmulatedBuffer:
        """Memory full of zeros."""
        buffer = self.empty(count, dtype)
        buffer.array[:] = 0
        return buffer

    def upload(self, array: NDArray[Any]) -> EmulatedBuffer:
        """A copy of the array."""
        array = np.asarray(array)
        buffer = self.empty(array.size, array.dtype)
        buffer.array[:] = array.ravel()
        return buffer

    def constant(self, array: NDArray[Any]) -> EmulatedBuffer:
        """A copy of an array that no kernel may write to."""
        buffer = self.upload(array)
        scheduler().emulation_protect(buffer.pointer, buffer.nbytes, MARGIN)
        return buffer

    def download(
        self, buffer: EmulatedBuffer, shape: tuple[int, ...], out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """A copy of the first elements."""
        result = np.empty(shape, buffer.dtype) if out is None else out
        result[...] = buffer.array[: result.size].reshape(shape)
        return result

    def launch(
        self, spec: Spec, blocks: int, threads: int, arguments: Sequence[EmulatedBuffer | np.generic | None]
    ) -> None:
        """Run the kernel to its end; arguments must be of exactly the types of its parameters."""
        kernel = build(spec, sanitize=self.sanitize)
        if len(arguments) != len(kernel.parameters):
            raise EmulationError(
                f"kernel {spec.entry} has {len(kernel.parameters)} parameters. "
                f"Got {len(arguments)} arguments."
            )
        values = [
            self._value(f"kernel {spec.entry}, argument {number}", code, argument)
            for number, (code, argument) in enumerate(zip(kernel.parameters, arguments, strict=True))
        ]
        self.launches.append((spec, blocks, threads))
        with ONE_AT_A_TIME:
            kernel.run(blocks, threads, values, self.resident, self.order)
            for number, buffer in enumerate(self._buffers):
                if not (buffer.margin == MARK).all():
                    place = MARGIN - int(np.flatnonzero(buffer.margin != MARK)[0])
                    raise EmulationError(
                        f"kernel {spec.entry} wrote {place} bytes before the start of buffer {number}, of "
                        f"{buffer.count} {buffer.dtype}"
                    )

    @staticmethod
    def _value(where: str, code: str, argument: EmulatedBuffer | np.generic | None) -> Any:
        if code[0] == "P":
            if argument is None:
                return ctypes.c_void_p(None)
            if isinstance(argument, np.generic) or argument.dtype != CODES[code[1]]:
                raise EmulationError(f"{where} is a pointer to {np.dtype(CODES[code[1]])}. Got {argument!r}.")
            return ctypes.c_void_p(argument.pointer)
        if not isinstance(argument, np.generic) or argument.dtype != CODES[code]:
            raise EmulationError(f"{where} is of type {np.dtype(CODES[code])}. Got {argument!r}.")
        return CTYPES[code](argument.item())
