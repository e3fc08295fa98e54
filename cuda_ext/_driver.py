"""The functions of the CUDA driver that load and start a kernel, a dozen, called through ctypes.

cuda.core has all this too, and compiles the kernels (`_compile`). But importing it takes 60 to 110 ms on top
of torch (cuda-core 1.2.2, torch 2.13), more than the whole first call of a process may take when all its
kernels are in the cache; and that version can hang for ever when a kernel is loaded on a machine without
a driver. The functions here have not changed since CUDA 7, and torch has loaded the library already.
"""

from __future__ import annotations

import ctypes
import struct
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

_int, _uint, _pointer, _bytes = ctypes.c_int, ctypes.c_uint, ctypes.c_void_p, ctypes.c_char_p
# Arguments of the functions, which all return a CUresult. Handles are pointers; a device is a number.
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuDriverGetVersion": (_pointer,),
    "cuGetErrorName": (_int, _pointer),
    "cuGetErrorString": (_int, _pointer),
    "cuInit": (_uint,),
    "cuDeviceGetCount": (_pointer,),
    "cuDeviceGet": (_pointer, _int),
    "cuDevicePrimaryCtxRetain": (_pointer, _int),
    "cuCtxPushCurrent_v2": (_pointer,),
    "cuCtxPopCurrent_v2": (_pointer,),
    "cuModuleLoadData": (_pointer, _bytes),
    "cuModuleGetFunction": (_pointer, _pointer, _bytes),
    "cuFuncGetAttribute": (_pointer, _int, _pointer),
    "cuLaunchKernel": (_pointer, *[_uint] * 7, _pointer, _pointer, _pointer),
    "cuMemsetD8Async": (ctypes.c_uint64, ctypes.c_ubyte, ctypes.c_size_t, _pointer),
}
OUT_OF_MEMORY = 2  # CUresult
_ATTRIBUTES = {"shared_bytes": 1, "local_bytes": 3, "registers": 4}

# What CUresult 209 and its neighbours mean to the user; all other messages speak for themselves.
_HINTS = {
    200: "The kernel was compiled by an NVRTC that is newer than the driver understands.",
    209: "No code for this GPU: NVRTC and driver do not fit together.",
    222: "NVRTC is newer than the driver. Update the driver, or install an older NVRTC.",
    700: "A kernel used memory that is not its own: please report this. The process must be restarted.",
}

# One slot of eight bytes for each argument: the type of a NumPy scalar, its format in `struct`.
_FORMATS = {
    np.dtype(np.int32): "i4x",
    np.dtype(np.uint32): "I4x",
    np.dtype(np.int64): "q",
    np.dtype(np.uint64): "Q",
    np.dtype(np.float32): "f4x",
    np.dtype(np.float64): "d",
    np.dtype(np.uint8): "B7x",
    np.dtype(np.bool_): "?7x",
}
MAX_ARGUMENTS = 64


class DriverError(RuntimeError):
    """The CUDA driver refused; `code` is its CUresult, `done` how many launches of several it had taken."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
        self.done = 0


class Driver:
    """The CUDA driver library.

    Parameters
    ----------
    library : ctypes library
        With the functions of libcuda.
    """

    def __init__(self, library: Any) -> None:
        self._functions = {}
        for name, types in _SIGNATURES.items():
            function = getattr(library, name)
            function.argtypes, function.restype = types, _int
            self._functions[name] = function
        self._launch = self._functions["cuLaunchKernel"]
        self._contexts: dict[int, int] = {}
        self._lock = threading.Lock()
        self._slots = _Slots()

    def version(self) -> tuple[int, int]:
        """The newest CUDA that the driver knows: (major, minor)."""
        number = self._get("cuDriverGetVersion", _int)
        return number // 1000, number % 1000 // 10

    def device_count(self) -> int:
        """Number of devices that this process may use. Starts the driver: not before a fork."""
        self._call("cuInit", 0)
        return self._get("cuDeviceGetCount", _int)

    @contextmanager
    def on(self, device: int) -> Iterator[None]:
        """Make the context that torch uses on this device the current one of this thread, for a while.

        A thread that has not used the device yet has no context, and the driver's functions would fail there.
        """
        self._call("cuCtxPushCurrent_v2", self._context(device))
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent_v2", ctypes.byref(_pointer()))

    def load(self, device: int, image: bytes, entry: str) -> int:
        """Load a cubin or PTX on the device; it stays there. The handle of the function `entry`."""
        with self.on(device):
            module = self._get("cuModuleLoadData", _pointer, after=(image,))
            return self._get("cuModuleGetFunction", _pointer, after=(module, entry.encode()))

    def attributes(self, device: int, function: int) -> dict[str, int]:
        """What a thread of the function takes: registers, bytes of local memory; a block: shared memory."""
        with self.on(device):
            return {
                name: self._get("cuFuncGetAttribute", _int, after=(number, function))
                for name, number in _ATTRIBUTES.items()
            }

    def launch(
        self, device: int, function: int, blocks: int, threads: int, stream: int, arguments: Sequence[Any]
    ) -> None:
        """Queue the function on a stream.

        Parameters
        ----------
        device, function : int
            As for and from `load`.
        blocks, threads : int
        stream : int
            The stream's handle; 0 is the default stream.
        arguments : sequence of int, numpy scalar or None
            An int is a pointer, None a null pointer.
        """
        pointers = self._slots.fill(arguments)
        with self.on(device):
            status = self._launch(function, blocks, 1, 1, threads, 1, 1, 0, stream, pointers, None)
        if status:
            self._fail("cuLaunchKernel", status)

    def launch_all(
        self,
        device: int,
        launches: Sequence[tuple[int, int, int, int]],
        stream: int,
        zeros: tuple[int, int] | None = None,
    ) -> None:
        """Queue several functions: (function, blocks, threads, address of the pointers to its arguments).

        Before the first one, `zeros` are written: their address, and how many bytes.
        """
        launch, done = self._launch, 0
        with self.on(device):
            try:
                if zeros and zeros[1]:
                    self._call("cuMemsetD8Async", zeros[0], 0, zeros[1], stream)
                for function, blocks, threads, pointers in launches:
                    status = launch(function, blocks, 1, 1, threads, 1, 1, 0, stream, pointers, None)
                    if status:
                        self._fail("cuLaunchKernel", status)
                    done += 1
            except DriverError as error:
                error.done = done
                raise

    def _context(self, device: int) -> int:
        context = self._contexts.get(device)
        if context is None:
            with self._lock:
                # Retained and never released: torch does not release it either before the process ends.
                number = self._get("cuDeviceGet", _int, after=(device,))
                context = self._get("cuDevicePrimaryCtxRetain", _pointer, after=(number,))
                self._contexts[device] = context
        return context

    def _get(self, name: str, kind: Any, after: tuple[Any, ...] = ()) -> int:
        """Call a function that writes its result to its first argument."""
        result = kind()
        self._call(name, ctypes.byref(result), *after)
        return result.value or 0

    def _call(self, name: str, *arguments: Any) -> None:
        status = self._functions[name](*arguments)
        if status:
            self._fail(name, status)

    def _fail(self, name: str, status: int) -> None:
        texts = []
        for question in ("cuGetErrorName", "cuGetErrorString"):
            text = _bytes()
            self._functions[question](status, ctypes.byref(text))
            texts.append((text.value or b"unknown").decode(errors="replace"))
        hint = f" {_HINTS[status]}" if status in _HINTS else ""
        raise DriverError(f"CUDA driver, {name}: {texts[0]} ({status}), {texts[1]}.{hint}", status)


def packed(argument: Any) -> int:
    """An argument as the eight bytes that a kernel reads it from: an address, None or a NumPy scalar."""
    if argument is None or type(argument) is int:
        return argument or 0
    (word,) = struct.unpack("=Q", struct.pack("=" + _FORMATS[argument.dtype], argument.item()))
    return int(word)


class _Slots(threading.local):
    """Where the driver reads the arguments of a launch: one place for each thread, used again and again."""

    def __init__(self) -> None:
        self._values = ctypes.create_string_buffer(8 * MAX_ARGUMENTS)
        begin = ctypes.addressof(self._values)
        self._pointers = (ctypes.c_void_p * MAX_ARGUMENTS)(*range(begin, begin + 8 * MAX_ARGUMENTS, 8))

    def fill(self, arguments: Sequence[Any]) -> Any:
        """Write the arguments; the array of pointers to them."""
        if len(arguments) > MAX_ARGUMENTS:
            raise ValueError(f"A kernel has at most {MAX_ARGUMENTS} arguments. Got {len(arguments)}.")
        formats, values = ["="], []
        for k, argument in enumerate(arguments):
            if isinstance(argument, np.generic) and argument.dtype in _FORMATS:
                formats.append(_FORMATS[argument.dtype])
                values.append(argument.item())
            elif argument is None or type(argument) is int:
                formats.append("Q")
                values.append(argument or 0)
            else:
                raise TypeError(
                    f"Argument {k} of a kernel must be a buffer, None or a NumPy scalar with the type of its "
                    f"parameter. Got {argument!r} of type {type(argument).__name__}."
                )
        struct.pack_into("".join(formats), self._values, 0, *values)
        return self._pointers


def open_driver() -> Driver:
    """The driver of this machine.

    Raises
    ------
    OSError
        No driver is installed.
    """
    with _lock:
        if not _opened:
            name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
            _opened.append(Driver(ctypes.CDLL(name)))
        return _opened[0]


_lock = threading.Lock()
_opened: list[Driver] = []
