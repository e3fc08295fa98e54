"""A GPU in the place of emulated devices: with ``pytest --engine=cuda`` their tests run on it.

What concerns the emulation alone, such as the order of the lanes, is not looked at; the number of
multiprocessors and the memory are what the test says, so that work is cut in the same way.
"""

from __future__ import annotations

import weakref
from typing import Any

from sktime_sdtw.cuda_ext._runtime import CudaRuntime, DeviceMemoryError, cuda_runtime


class OnGpu(CudaRuntime):
    """As `cuda_emulation.EmulatedRuntime`."""

    def __init__(
        self,
        multiprocessors: int = 2,
        *,
        memory: int = 2**30,
        resident: int = 3,
        order: int = 0,
        sanitize: bool = False,
        capability: tuple[int, int] | None = None,
    ) -> None:
        del resident, order, sanitize
        super().__init__(0)
        self._real = cuda_runtime(0)
        self._functions = self._real._functions
        self.multiprocessors, self.memory = multiprocessors, memory
        self.capability = capability or self._real.capability
        self.launches: list[tuple[Any, int, int]] = []
        self._alive: weakref.WeakSet[Any] = weakref.WeakSet()

    def free_memory(self) -> int:
        """What the living buffers leave of the memory."""
        return self.memory - sum(tensor.numel() * tensor.element_size() for tensor in self._alive)

    def launch(self, spec: Any, blocks: int, threads: int, arguments: Any) -> None:
        """Note the launch, and make it."""
        self.launches.append((spec, blocks, threads))
        super().launch(spec, blocks, threads, arguments)

    def download(self, buffer: Any, shape: tuple[int, ...], out: Any = None) -> Any:
        """By a start of its own: tests have put others in the place of `start_download`."""
        return CudaRuntime.start_download(self, buffer, shape, out)()

    def prepare(self, specs: Any) -> None:
        """For the real one, whatever capability the test has stated."""
        self._real.prepare(specs)

    def _load(self, spec: Any) -> int:
        return self._real._load(spec)

    def _allocate(self, make: Any, count: int, dtype: Any) -> Any:
        buffer = super()._allocate(make, count, dtype)
        if buffer.nbytes > self.free_memory():
            raise DeviceMemoryError(f"{buffer.nbytes} bytes asked of {self.free_memory()} that are free.")
        self._alive.add(buffer.tensor)
        return buffer
