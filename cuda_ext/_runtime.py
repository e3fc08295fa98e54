"""What the engine needs of a device: memory, copies, and launches of kernels."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ._cache import KernelCache
from ._compile import build
from ._copies import Download, upload
from ._driver import OUT_OF_MEMORY, DriverError, open_driver
from ._sources import KernelSpec


class DeviceMemoryError(MemoryError):
    """The device has no memory left for what was asked for; less may still work."""


class CapturingError(RuntimeError):
    """The host was to look at results while a CUDA graph is captured: before there are any."""

    def __init__(self) -> None:
        super().__init__(
            "The host cannot look at results while a CUDA graph is captured. Make the call, and the one "
            "before it that warms up, inside sktime_sdtw.functional.capturable()."
        )


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

    @property
    def capability(self) -> tuple[int, int]:
        """Major and minor number of the compute capability: 8.0 is sm_80."""

    def free_memory(self) -> int:
        """Bytes that `empty` can still give, about."""

    def empty(self, count: int, dtype: Any) -> Buffer:
        """Memory with anything in it. Raises `DeviceMemoryError` where there is too little."""

    def zeros(self, count: int, dtype: Any) -> Buffer:
        """Memory full of zeros."""

    def upload(self, array: NDArray[Any]) -> Buffer:
        """A copy of the array on the device, flat in C order."""

    def constant(self, array: NDArray[Any]) -> Buffer:
        """As `upload`, for small arrays that come again and again and that no kernel writes to.

        The copy is made once and found again by its content, so that a repeated call has nothing to upload
        and can be captured in a CUDA graph.
        """

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
            In the order of the kernel's parameters. None is a null pointer; every scalar has the NumPy type
            of its parameter: ``np.int32`` for int, ``np.int64`` for long long, ``np.float64`` for double.
        """


class CudaBuffer:
    """Device memory in the hands of torch.

    Parameters
    ----------
    tensor : torch.Tensor
        Contiguous, on the GPU.
    dtype : numpy dtype
        Of one element, as the kernels see it.
    """

    __slots__ = ("count", "dtype", "nbytes", "pointer", "tensor")

    def __init__(self, tensor: Any, dtype: Any) -> None:
        if not tensor.is_contiguous():
            raise ValueError("A buffer must be contiguous.")
        self.tensor = tensor
        self.dtype = np.dtype(dtype)
        self.pointer = int(tensor.data_ptr())
        self.count = int(tensor.numel())
        self.nbytes = self.count * self.dtype.itemsize


class HostFlags:
    """Integers in pinned memory of the host, to which kernels write, and an event after those.

    Parameters
    ----------
    torch : module
    count : int
    """

    def __init__(self, torch: Any, count: int) -> None:
        self._tensor = torch.empty(count, dtype=torch.int32, pin_memory=True)
        self.array: NDArray[np.int32] = self._tensor.numpy()
        self.pointer = int(self._tensor.data_ptr())  # the same on all GPUs, as for all pinned memory
        self.event = torch.cuda.Event()


class CudaRuntime:
    """One GPU: memory and streams are torch's, kernels are started through the driver. Safe for many threads.

    Everything is queued on the current stream of torch, of the thread that calls, as torch's own operations
    are. Nothing waits for the GPU but `download`, and `upload` for its own pinned memory when an array is
    larger than that. Where a kernel has been loaded and its constants have been uploaded by an earlier call,
    `empty`, `zeros`, `constant` and `launch` can be captured in a CUDA graph.

    Parameters
    ----------
    index : int
        As torch numbers the GPUs. See `cuda_runtime`, which makes one for each.
    """

    def __init__(self, index: int) -> None:
        import torch

        # Without a GPU the libraries below do not fail cleanly, so they are not touched.
        if not torch.cuda.is_available():
            raise RuntimeError("torch.cuda.is_available() is False: there is no GPU to use.")
        properties = torch.cuda.get_device_properties(index)
        self.index = index
        self.multiprocessors = int(properties.multi_processor_count)
        self.capability = (int(properties.major), int(properties.minor))
        self._torch = torch
        self._device = torch.device("cuda", index)
        self._driver = open_driver()
        self._functions: dict[KernelSpec, int] = {}
        self._prepared: set[KernelSpec] = set()
        self._loading = threading.Lock()
        self._constants = _Constants(self)
        self._types: dict[np.dtype[Any], Any] = {}  # as torch calls them
        self.programs: dict[Any, Any] = {}  # of calls that came before; see _tape
        self._copy_stream = torch.cuda.Stream(self._device)
        self._free_memory = int(properties.total_memory)

    def __reduce__(self) -> tuple[Callable[[int], CudaRuntime], tuple[int]]:
        return cuda_runtime, (self.index,)  # handles mean nothing in another process

    def free_memory(self) -> int:
        """Bytes that `empty` can still give: what is free, and what torch holds and does not use."""
        if not self.is_capturing():  # a graph is planned like the call before it
            free, _ = self._torch.cuda.mem_get_info(self._device)
            reserved = self._torch.cuda.memory_reserved(self._device)
            self._free_memory = int(free + reserved - self._torch.cuda.memory_allocated(self._device))
        return self._free_memory

    def empty(self, count: int, dtype: Any) -> CudaBuffer:
        """Memory with anything in it. Raises `DeviceMemoryError` where there is too little."""
        return self._allocate(self._torch.empty, count, dtype)

    def zeros(self, count: int, dtype: Any) -> CudaBuffer:
        """Memory full of zeros. Raises `DeviceMemoryError` where there is too little."""
        return self._allocate(self._torch.zeros, count, dtype)

    def wrap(self, tensor: Any) -> CudaBuffer:
        """A contiguous torch tensor on this GPU as a buffer; no copy."""
        return CudaBuffer(tensor, str(tensor.dtype).removeprefix("torch."))

    def upload(self, array: NDArray[Any]) -> CudaBuffer:
        """A copy of the array on the device, flat in C order, queued on the current stream."""
        if self.is_capturing():
            raise RuntimeError(
                "Arrays in the memory of the host cannot be used while a CUDA graph is captured: the graph "
                "would copy from memory that is gone. Pass CUDA tensors, and make the same call once before."
            )
        array = np.ascontiguousarray(array)
        buffer = self.empty(array.size, array.dtype)
        upload(array, buffer.tensor)
        return buffer

    def constant(self, array: NDArray[Any]) -> CudaBuffer:
        """As `upload`, for small arrays that come again and again and that no kernel writes to."""
        return self._constants.get(np.ascontiguousarray(array))

    def download(
        self, buffer: Buffer, shape: tuple[int, ...], out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """The first elements of the buffer as an array of this shape, written to `out` where it is given."""
        return self.start_download(buffer, shape, out)()

    def start_download(
        self, buffer: Buffer, shape: tuple[int, ...], out: NDArray[Any] | None = None
    ) -> Callable[[], NDArray[Any]]:
        """Begin `download`; the function that is returned waits for it and gives the array.

        The copy follows what has been queued so far and runs beside what is queued later.
        """
        assert isinstance(buffer, CudaBuffer)
        if self.is_capturing():
            raise CapturingError
        if out is not None and (out.shape != shape or out.dtype != buffer.dtype):
            raise ValueError(f"out must be {buffer.dtype} of shape {shape}. Got {out.dtype} of {out.shape}.")
        direct = out is not None and out.flags.c_contiguous
        target = out if out is not None and direct else np.empty(shape, buffer.dtype)
        copy = Download(buffer.tensor.view(-1)[: target.size], target, self._copy_stream)

        def finish() -> NDArray[Any]:
            copy.wait()
            if out is None or direct:
                return target
            out[...] = target
            return out

        return finish

    def launch(self, spec: KernelSpec, blocks: int, threads: int, arguments: Sequence[Argument]) -> None:
        """Queue a kernel on the current stream; see `Runtime.launch`."""
        function = self._functions.get(spec) or self._load(spec)
        if blocks == 0:
            return
        stream = self._torch.cuda.current_stream(self._device).cuda_stream
        # Buffers and views of them have a pointer; their memory stays until the kernel has run, because torch
        # gives it out again in the order of this stream.
        values = [a if a is None or isinstance(a, np.generic) else a.pointer for a in arguments]
        try:
            self._driver.launch(self.index, function, blocks, threads, stream, values)
        except DriverError as error:  # memory for what threads spill is taken when it is first needed
            self._after(
                error,
                lambda: self._driver.launch(self.index, function, blocks, threads, stream, values),
            )

    def function(self, spec: KernelSpec) -> int:
        """The loaded kernel, as the driver knows it."""
        return self._functions.get(spec) or self._load(spec)

    def launch_all(
        self,
        launches: Sequence[tuple[int, int, int, int]],
        stream: int,
        zeros: tuple[int, int] | None = None,
    ) -> None:
        """Queue several kernels on a stream; see `Driver.launch_all`."""
        try:
            self._driver.launch_all(self.index, launches, stream, zeros)
        except DriverError as error:
            left = launches[error.done :]
            self._after(error, lambda: self._driver.launch_all(self.index, left, stream))

    def current_stream(self) -> Any:
        """That of torch, of the thread that calls."""
        return self._torch.cuda.current_stream(self._device)

    def host_flags(self, count: int) -> HostFlags:
        """Integers in the memory of the host that kernels can write to."""
        return HostFlags(self._torch, count)

    def attributes(self, spec: KernelSpec) -> dict[str, int]:
        """Registers and bytes of local memory of a thread, bytes of shared memory of a block."""
        return self._driver.attributes(self.index, self._functions.get(spec) or self._load(spec))

    def is_capturing(self) -> bool:
        """Whether the current stream is being captured in a CUDA graph."""
        with self._torch.cuda.device(self._device):
            return bool(self._torch.cuda.is_current_stream_capturing())

    def prepare(self, specs: Iterable[KernelSpec]) -> None:
        """Begin to compile kernels that a call is going to launch, side by side; returns at once.

        NVRTC is busy for up to a second with the largest kernel and takes one core for each. A launch waits
        for its own kernel alone. What goes wrong is left for the launch to find.
        """

        def compile_quietly(spec: KernelSpec) -> None:
            with suppress(Exception):
                build(spec, self.capability, kernel_cache())

        for spec in specs:
            if spec not in self._functions and spec not in self._prepared:
                self._prepared.add(spec)
                threading.Thread(target=compile_quietly, args=(spec,)).start()

    def _load(self, spec: KernelSpec) -> int:
        if self.is_capturing():
            raise RuntimeError(
                f"The kernel {spec} is not loaded yet, and cannot be while a CUDA graph is captured. "
                "Make the same call once before."
            )
        binary = build(spec, self.capability, kernel_cache())  # threads that want the same wait for one
        with self._loading:
            function = self._functions.get(spec)
            if function is None:
                try:
                    function = self._driver.load(self.index, binary.code, spec.entry)
                except DriverError as error:
                    function = self._after(
                        error, lambda: self._driver.load(self.index, binary.code, spec.entry)
                    )
                self._functions[spec] = function
            return function

    def _after(self, error: DriverError, again: Callable[[], Any]) -> Any:
        """Once more where the driver found no memory: torch may hold what nobody uses."""
        if error.code != OUT_OF_MEMORY or self.is_capturing():
            raise error
        self._torch.cuda.empty_cache()
        try:
            return again()
        except DriverError as failure:
            if failure.code != OUT_OF_MEMORY:
                raise
            raise DeviceMemoryError(f"GPU {self.index} has no memory left. {failure}") from failure

    def _allocate(self, make: Callable[..., Any], count: int, dtype: Any) -> CudaBuffer:
        kind = np.dtype(dtype)
        known = self._types.get(kind)
        if known is None:  # the name takes a while
            known = self._types[kind] = getattr(self._torch, kind.name)
        try:
            tensor = make(int(count), dtype=known, device=self._device)
        except self._torch.cuda.OutOfMemoryError as error:
            size = int(count) * kind.itemsize / 2**30
            raise DeviceMemoryError(f"GPU {self.index} has no {size:.3g} GiB left. {error}") from error
        return CudaBuffer(tensor, kind)


class _Constants:
    """Small arrays on the device, found again by their content; the least recently used go first."""

    LIMIT = 32 * 2**20

    def __init__(self, runtime: CudaRuntime) -> None:
        self._runtime = runtime
        # With each: the stream of its upload, and the event at its end.
        self._known: OrderedDict[tuple[str, bytes], tuple[CudaBuffer, Any, Any]] = OrderedDict()
        self._captured: dict[tuple[str, bytes], CudaBuffer] = {}
        self._nbytes = 0
        self._lock = threading.Lock()

    def get(self, array: NDArray[Any]) -> CudaBuffer:
        cuda, device = self._runtime._torch.cuda, self._runtime._device
        key = (array.dtype.str, array.tobytes())
        stream = cuda.current_stream(device)
        with self._lock:
            found = self._known.get(key)
            if found is None:
                buffer = self._runtime.upload(array)  # says so where a graph is captured
                self._known[key] = (buffer, stream, stream.record_event())
                self._nbytes += buffer.nbytes
                self._forget_old()
                return buffer
            self._known.move_to_end(key)
            buffer, home, ready = found
            if self._runtime.is_capturing():
                self._captured[key] = buffer  # the graph will read it whenever it runs, so it stays
            elif stream != home:
                stream.wait_event(ready)
                buffer.tensor.record_stream(stream)
            return buffer

    def _forget_old(self) -> None:
        while self._nbytes > self.LIMIT and len(self._known) > 1:
            _, (buffer, _, _) = self._known.popitem(last=False)
            self._nbytes -= buffer.nbytes


@functools.cache
def kernel_cache() -> KernelCache:
    """The compiled kernels of this process, for all GPUs."""
    return KernelCache()


@functools.cache
def cuda_runtime(index: int) -> CudaRuntime:
    """The runtime of a GPU, which keeps the kernels loaded there."""
    return CudaRuntime(index)
