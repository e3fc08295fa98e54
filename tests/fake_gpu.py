"""GPUs of nothing but host memory: enough of torch and of the driver to run the loader and its copies.

Work on a stream is kept back and done only when somebody waits for it, as late as a real GPU might do it.
What reads its memory too early, or hands it out again too soon, therefore gets wrong numbers.
"""

from __future__ import annotations

import ctypes
import itertools
import sys
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from sktime_sdtw.cuda_ext import _compile, _devices, _driver, _runtime
from sktime_sdtw.cuda_ext._cache import Binary

_ONE_AT_A_TIME = threading.RLock()  # what is queued is done in its order, whichever thread waits for it


class Stream:
    """A queue of work on a device, which is given by its index; `cuda_stream` is its handle."""

    handles = itertools.count(0x1000)
    known: ClassVar[weakref.WeakValueDictionary[int, Stream]] = weakref.WeakValueDictionary()

    def __init__(self, device: Any = 0) -> None:
        self.device = getattr(device, "index", device)
        self.cuda_stream = next(self.handles)
        self.known[self.cuda_stream] = self
        self._work: deque[Callable[[], None]] = deque()

    def add(self, work: Callable[[], None]) -> None:
        self._work.append(work)

    def run(self) -> None:
        with _ONE_AT_A_TIME:
            while self._work:
                self._work.popleft()()

    def record_event(self) -> Event:
        return Event(self)

    def wait_stream(self, other: Stream) -> None:
        self.wait_event(other.record_event())

    def wait_event(self, event: Event) -> None:
        self.add(event.synchronize)


class Event:
    """A place in the queue of a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._done = False
        stream.add(self._finish)

    def _finish(self) -> None:
        self._done = True

    def synchronize(self) -> None:
        with _ONE_AT_A_TIME:
            while not self._done:
                self._stream._work.popleft()()


class Storage:
    """Memory that others write to, in the order of its stream, once no tensor holds it."""

    def __init__(self, array: np.ndarray, home: Stream) -> None:
        self.streams: list[Stream] = []
        weakref.finalize(self, self._give_back, array, home, self.streams).atexit = False

    @staticmethod
    def _give_back(array: np.ndarray, home: Stream, streams: list[Stream]) -> None:
        for stream in streams:
            home.wait_event(stream.record_event())
        home.add(lambda: array.view(np.uint8).fill(0xFF))


class Tensor:
    """Flat memory with the few methods that the runtime uses; pinned where it has no device."""

    def __init__(
        self, torch: FakeTorch, array: np.ndarray, device: Any = None, storage: Storage | None = None
    ) -> None:
        self._torch, self._array, self._storage = torch, array, storage
        self.dtype, self.device = f"torch.{array.dtype}", device

    @property
    def pinned(self) -> bool:
        return self.device is None

    def data_ptr(self) -> int:
        return self._array.ctypes.data

    def numel(self) -> int:
        return self._array.size

    def element_size(self) -> int:
        return self._array.itemsize

    def is_contiguous(self) -> bool:
        return self._array.flags.c_contiguous

    def numpy(self) -> np.ndarray:
        assert self.pinned, "the host cannot read the memory of the device"
        return self._array

    def view(self, kind: Any) -> Tensor:
        array = self._array.reshape(-1) if kind == -1 else self._array.view(kind)
        return Tensor(self._torch, array, self.device, self._storage)

    def __getitem__(self, which: slice) -> Tensor:
        return Tensor(self._torch, self._array[which], self.device, self._storage)

    def copy_(self, source: Tensor, non_blocking: bool) -> None:
        assert non_blocking
        assert self.pinned or source.pinned, "copies between host and device go through pinned memory"

        def work() -> None:
            self._array[:] = source._array

        self._torch.current_stream(source.device if self.pinned else self.device).add(work)

    @property
    def streams(self) -> list[Stream]:
        return self._storage.streams

    def record_stream(self, stream: Stream) -> None:
        self.streams.append(stream)


class FakeTorch(types.ModuleType):
    """The part of torch that the package uses. Memory beyond `limit` bytes at once is out of memory."""

    def __init__(self, capability: tuple[int, int] = (9, 0), limit: int = 2**30) -> None:
        super().__init__("torch")
        self.__version__ = "2.13.0"
        self.__spec__ = ModuleSpec("torch", None)
        self.Tensor = Tensor  # which SciPy asks for wherever torch has been imported
        self.version = types.SimpleNamespace(cuda="13.0", hip=None)
        self.limit, self.capability = limit, capability
        self.available, self.capturing, self.bad_fork, self.count = True, False, False, 2
        self.multiprocessors = 132
        self._streams = [Stream(index) for index in range(self.count)]
        self._of_thread = threading.local()
        self.pinned_bytes = self.uploads = 0
        for name in ("uint8", "int32", "int64", "float32", "float64"):
            setattr(self, name, np.dtype(name))
        self.cuda = types.SimpleNamespace(
            OutOfMemoryError=type("OutOfMemoryError", (RuntimeError,), {}),
            Stream=Stream,
            _is_in_bad_fork=lambda: self.bad_fork,
            current_device=lambda: 0,
            current_stream=self.current_stream,
            device=lambda device: nullcontext(),
            device_count=lambda: self.count,
            empty_cache=lambda: None,
            get_device_properties=self._properties,
            is_available=lambda: self.available,
            is_current_stream_capturing=lambda: self.capturing,
            mem_get_info=lambda device: (1000, 5000),
            memory_allocated=lambda device: 30,
            memory_reserved=lambda device: 200,
            stream=self._as_current,
        )

    @property
    def stream(self) -> Stream:
        """The current one of the first device."""
        return self.current_stream()

    @stream.setter
    def stream(self, stream: Stream) -> None:
        self._streams[0] = stream

    def current_stream(self, device: Any = 0) -> Stream:
        """The current one of the calling thread."""
        index = getattr(device, "index", device)
        chosen: dict[int, Stream] = getattr(self._of_thread, "chosen", {})
        return chosen.get(index, self._streams[index])

    def device(self, kind: str, index: int) -> Any:
        return types.SimpleNamespace(type=kind, index=index)

    def empty(self, count: int, dtype: Any, device: Any = None, pin_memory: bool = False) -> Tensor:
        if count * np.dtype(dtype).itemsize > self.limit:
            raise self.cuda.OutOfMemoryError("CUDA out of memory.")
        if pin_memory:
            self.pinned_bytes += count * np.dtype(dtype).itemsize
        array = np.full(count * np.dtype(dtype).itemsize, 0xFF, np.uint8).view(dtype)
        if pin_memory:
            return Tensor(self, array)
        device = device or self.device("cuda", 0)
        return Tensor(self, array, device, Storage(array, self.current_stream(device)))

    def zeros(self, count: int, dtype: Any, device: Any = None) -> Tensor:
        tensor = self.empty(count, dtype, device)
        self.current_stream(tensor.device).add(lambda: tensor._array.fill(0))
        return tensor

    @contextmanager
    def _as_current(self, stream: Stream) -> Any:
        before = getattr(self._of_thread, "chosen", {})
        self._of_thread.chosen = {**before, stream.device: stream}
        try:
            yield
        finally:
            self._of_thread.chosen = before

    def _properties(self, index: int) -> Any:
        major, minor = self.capability
        return types.SimpleNamespace(
            name=f"Fake {index}",
            major=major,
            minor=minor,
            multi_processor_count=self.multiprocessors,
            total_memory=9000,
        )


class FakeDriver:
    """The functions of libcuda, called through ctypes as the real ones are.

    `launches` holds (function, blocks, threads, stream, context) of each. `kernel(pointers)` gets the
    pointers to the arguments, and returns what is then queued on the stream; or, with `emulate`, kernels
    are executed on the host. A launch fails where function, stream and context are not of one device.
    """

    def __init__(self, torch: FakeTorch, version: int = 13000, devices: int = 2) -> None:
        self.torch, self.number, self.devices = torch, version, devices
        self.launches: list[tuple[int, ...]] = []
        self.images: list[bytes] = []
        self._homes: list[int] = []  # the context of each
        self._loading = threading.Lock()
        self._of_thread = threading.local()
        self.fail: dict[str, int] = {}
        self.kernel: Callable[[Any], Callable[[], None]] | None = None
        self.emulate = False
        p, i, u, s = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p
        signatures = {
            "cuDriverGetVersion": (self._version, p),
            "cuGetErrorName": (lambda code, out: self._put(out, ctypes.c_char_p, b"CUDA_ERROR_FAKE"), i, p),
            "cuGetErrorString": (lambda code, out: self._put(out, ctypes.c_char_p, b"asked to fail"), i, p),
            "cuInit": (lambda flags: 0, u),
            "cuDeviceGetCount": (lambda out: self._put(out, i, self.devices), p),
            "cuDeviceGet": (lambda out, index: self._put(out, i, index), p, i),
            "cuDevicePrimaryCtxRetain": (lambda out, device: self._put(out, p, 0xC0 + device), p, i),
            "cuCtxPushCurrent_v2": (self._push, p),
            "cuCtxPopCurrent_v2": (self._pop, p),
            "cuModuleLoadData": (self._load, p, s),
            "cuModuleGetFunction": (lambda out, module, name: self._put(out, p, module + 1), p, p, s),
            "cuFuncGetAttribute": (lambda out, which, function: self._put(out, i, 10 * which), p, i, p),
            "cuLaunchKernel": (self._launch, p, *[u] * 7, p, ctypes.POINTER(p), p),
            "cuMemsetD8Async": (self._memset, ctypes.c_uint64, ctypes.c_ubyte, ctypes.c_size_t, p),
        }
        for name, (function, *types_) in signatures.items():
            setattr(self, name, ctypes.CFUNCTYPE(i, *types_)(self._failing(name, function)))

    def _failing(self, name: str, function: Callable[..., int]) -> Callable[..., int]:
        return lambda *arguments: self.fail.get(name, 0) or function(*arguments)

    @staticmethod
    def _put(out: int, kind: Any, value: Any) -> int:
        ctypes.cast(out, ctypes.POINTER(kind))[0] = value
        return 0

    def _version(self, out: int) -> int:
        return self._put(out, ctypes.c_int, self.number)

    @property
    def contexts(self) -> list[int]:
        """Those of the calling thread, the current one last."""
        found: list[int] = self._of_thread.__dict__.setdefault("contexts", [])
        return found

    def _push(self, context: int) -> int:
        self.contexts.append(context)
        return 0

    def _pop(self, out: int) -> int:
        self.contexts.pop()
        return 0

    def _load(self, out: int, image: bytes) -> int:
        with self._loading:
            self.images.append(image)
            self._homes.append(self.contexts[-1])
            return self._put(out, ctypes.c_void_p, 0xF00 + 0x10 * len(self.images))

    def _launch(self, function: int, *rest: Any) -> int:
        blocks, threads, handle, pointers = rest[0], rest[3], rest[7] or 0, rest[8]
        self.launches.append((function, blocks, threads, handle, self.contexts[-1]))
        if self.kernel is None and not self.emulate:
            return 0
        stream, home = Stream.known.get(handle), self._homes[(function - 0xF01) // 0x10 - 1]
        if stream is None or not home == 0xC0 + stream.device == self.contexts[-1]:
            return 400  # CUDA_ERROR_INVALID_HANDLE
        if self.emulate:
            stream.add(self._emulated(function, blocks, threads, pointers))
        else:
            stream.add(self.kernel(pointers))
        return 0

    def _memset(self, pointer: int, value: int, nbytes: int, handle: int | None) -> int:
        Stream.known[handle or 0].add(lambda: ctypes.memset(pointer, value, nbytes))
        return 0

    def _emulated(self, function: int, blocks: int, threads: int, pointers: Any) -> Callable[[], None]:
        """A launch, whose arguments are read now and whose data when it runs."""
        from cuda_emulation import build
        from cuda_emulation._runtime import CTYPES

        image = self.images[(function - 0xF01) // 0x10 - 1].decode()
        kernel = build(next(spec for spec, _ in self.torch.compiled if str(spec) == image))
        kinds = [ctypes.c_void_p if code[0] == "P" else CTYPES[code] for code in kernel.parameters]
        values = [kind(argument(pointers, k, kind)) for k, kind in enumerate(kinds)]
        return lambda: kernel.run(blocks, threads, values, 3, 0)


def argument(pointers: Any, k: int, kind: Any) -> Any:
    """The k-th argument of a launch, as a kernel would see it."""
    return ctypes.cast(pointers[k], ctypes.POINTER(kind))[0]


@contextmanager
def plugged_in(monkeypatch: pytest.MonkeyPatch, folder: Path, **torch_options: Any) -> Iterator[FakeTorch]:
    """A machine with such a GPU, and a compiler that only remembers what it was given in `torch.compiled`."""
    torch = FakeTorch(**torch_options)
    torch.library = FakeDriver(torch)
    torch.compiled = []

    def compile_now(spec: Any, architecture: str) -> tuple[Binary, str]:
        torch.compiled.append((spec, architecture))
        return Binary(architecture, str(spec).encode()), ""

    versions = {
        "cuda-core": "1.2.2",
        "cuda-bindings": "13.0.3",
        "nvidia-cuda-nvrtc": "13.0.88",
        "torch": "2.13.0",
    }
    torch.installed = versions
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(_driver, "_opened", [_driver.Driver(torch.library)])
    monkeypatch.setattr(_compile, "compile_kernel", compile_now)
    monkeypatch.setattr(_compile, "supported_architectures", lambda: [75, 80, 86, 87, 88, 89, 90, 100, 120])

    def found_generation() -> int | None:
        version = versions.get("nvidia-cuda-nvrtc")
        return int(version.split(".")[0]) if version else None

    monkeypatch.setattr(_compile, "installed_version", versions.get)
    monkeypatch.setattr(_devices, "found_generation", found_generation)
    for module in (_compile, _devices):
        monkeypatch.setattr(module, "nvrtc_version", lambda: (13, 0))
    monkeypatch.setenv("SKTIME_SDTW_CACHE", str(folder))
    forget()
    yield torch
    forget()


def forget() -> None:
    """Forget what has been found out about this machine."""
    for cached in (_runtime.kernel_cache, _runtime.cuda_runtime, _devices._examine, _compile.nvrtc_identity):
        cached.cache_clear()
