"""NVRTC, the compiler of CUDA, called through ctypes: finds the library that came with torch, or any other.

cuda.core does the same where it is installed (`_compile`), and the code that comes out is the same. A CUDA
build of torch brings the library but not always cuda.core, and then nothing else has to be installed.

NVRTC opens a second library, of its built-in functions, by its name alone; before version 13.3 it finds that
only where the dynamic linker looks, which is not where wheels lie. So that one is loaded here first.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_int, _size, _pointer, _bytes = ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_char_p
# Arguments of the functions, which return an nvrtcResult, but for the name of a result.
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "nvrtcVersion": (_pointer, _pointer),
    "nvrtcGetNumSupportedArchs": (_pointer,),
    "nvrtcGetSupportedArchs": (_pointer,),
    "nvrtcCreateProgram": (_pointer, _bytes, _bytes, _int, _pointer, _pointer),
    "nvrtcDestroyProgram": (_pointer,),
    "nvrtcCompileProgram": (_pointer, _int, _pointer),
    "nvrtcGetCUBINSize": (_pointer, _pointer),
    "nvrtcGetCUBIN": (_pointer, _pointer),
    "nvrtcGetPTXSize": (_pointer, _pointer),
    "nvrtcGetPTX": (_pointer, _pointer),
    "nvrtcGetProgramLogSize": (_pointer, _pointer),
    "nvrtcGetProgramLog": (_pointer, _pointer),
}

# Where the library lies: below a folder of packages (wheels of CUDA 13 and 12, a torch that holds its own),
# and below a root of conda's or of a toolkit's. Its generation stands in its name.
_IN_PACKAGES = (
    "nvidia/cu*/lib/libnvrtc*.so*",
    "nvidia/cuda_nvrtc/lib/libnvrtc*.so*",
    "torch/lib/libnvrtc*.so*",
)
_IN_ROOTS = ("lib/libnvrtc.so*", "lib64/libnvrtc.so*", "targets/*/lib/libnvrtc.so*")
_NAME = re.compile(r"libnvrtc(-[0-9a-f]{8})?\.so\.(\d+)[.\d]*")
_NEWEST, _OLDEST = 13, 12
TOOLKIT = "/usr/local/cuda"


class NvrtcError(RuntimeError):
    """NVRTC refused, or is not there; the message holds all that it said."""


class Nvrtc:
    """The library.

    Parameters
    ----------
    library : ctypes library
        With the functions of libnvrtc.
    place : str
        Where it was found.
    """

    def __init__(self, library: Any, place: str) -> None:
        self.place = place
        self._functions = {}
        for name, types in _SIGNATURES.items():
            function = getattr(library, name)
            function.argtypes, function.restype = types, _int
            self._functions[name] = function
        library.nvrtcGetErrorString.argtypes, library.nvrtcGetErrorString.restype = (_int,), _bytes
        self._name_of = library.nvrtcGetErrorString

    def version(self) -> tuple[int, int]:
        """(major, minor)."""
        major, minor = _int(), _int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        return major.value, minor.value

    def architectures(self) -> list[int]:
        """What it can compile for, as numbers like 75."""
        count = _int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        numbers = (_int * count.value)()
        self._call("nvrtcGetSupportedArchs", numbers)
        return list(numbers)

    def compile(self, source: str, name: str, options: Sequence[str], kind: str) -> tuple[bytes, str]:
        """Compile a source to a "CUBIN" or to "PTX": the code and the log.

        Raises
        ------
        NvrtcError
            With the full log.
        """
        program = _pointer()
        self._call("nvrtcCreateProgram", ctypes.byref(program), source.encode(), name.encode(), 0, None, None)
        try:
            words = (_bytes * len(options))(*[option.encode() for option in options])
            status = self._functions["nvrtcCompileProgram"](program, len(options), words)
            log = self._read("nvrtcGetProgramLog", program).rstrip(b"\0").decode(errors="replace")
            if status:
                raise NvrtcError(f"{self._name(status)}\n{log}")
            return self._read(f"nvrtcGet{kind}", program), log
        finally:
            self._call("nvrtcDestroyProgram", ctypes.byref(program))

    def _read(self, name: str, program: Any) -> bytes:
        size = _size()
        self._call(f"{name}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(max(size.value, 1))
        self._call(name, program, buffer)
        return buffer.raw[: size.value]

    def _name(self, status: int) -> str:
        return (self._name_of(status) or b"unknown").decode()

    def _call(self, name: str, *arguments: Any) -> None:
        status = self._functions[name](*arguments)
        if status:
            raise NvrtcError(f"{name}: {self._name(status)} ({status})")


def open_nvrtc() -> Nvrtc:
    """The NVRTC of this environment, loaded once.

    Raises
    ------
    NvrtcError
        There is none; the message says where it was looked for.
    """
    with _lock:
        if not _opened:
            _opened.append(_load())
        return _opened[0]


def found_generation() -> int | None:
    """The major version of what `open_nvrtc` loads, by the file's name; None where there is no such file."""
    return next((_generation(path) for path in _candidates()), None)


def _load() -> Nvrtc:
    problems = []
    for path in [*map(str, _candidates()), *(f"libnvrtc.so.{n}" for n in range(_NEWEST, _OLDEST - 1, -1))]:
        try:
            library = ctypes.CDLL(path)
        except OSError as error:
            problems.append(str(error))
            continue
        found = Nvrtc(library, path)
        _load_builtins(path, found.version())
        return found
    raise NvrtcError(
        "NVRTC is not found: not in the folders of packages (nvidia/cu13, nvidia/cuda_nvrtc, torch/lib), not "
        f"in those of the environment and of a toolkit, not by the dynamic linker. {'; '.join(problems)}"
    )


def _load_builtins(path: str, version: tuple[int, int]) -> None:
    """What NVRTC asks for by name is found by it when it is loaded already."""
    name = "libnvrtc-builtins.so.{}.{}".format(*version)
    with suppress(OSError):
        ctypes.CDLL(str(Path(path).resolve().parent / name) if os.sep in path else name)


def _candidates() -> Iterator[Path]:
    """Files that may be it, those of torch's generation first and the newest of those before others."""
    if sys.platform != "linux":  # elsewhere cuda.core knows the places
        return
    folders = [Path(folder) for folder in sys.path if folder]
    roots = [
        Path(sys.prefix),
        *(Path(os.environ[n]) for n in ("CUDA_PATH", "CUDA_HOME") if os.environ.get(n)),
    ]
    wanted = _generation_of_torch()
    for places, patterns in (
        (folders, _IN_PACKAGES),
        ([*roots, Path(TOOLKIT)], _IN_ROOTS),
    ):
        found: list[tuple[bool, int, Path]] = []
        for folder in places:
            for pattern in patterns:
                for path in sorted(folder.glob(pattern)):
                    generation = _generation(path)
                    if generation is not None and generation >= _OLDEST:
                        found.append((generation != wanted, -generation, path))
        found.sort(key=lambda entry: entry[:2])
        yield from (path for _, _, path in found)


def _generation(path: Path) -> int | None:
    match = _NAME.fullmatch(path.name)
    return int(match[2]) if match else None


def _generation_of_torch() -> int | None:
    torch = sys.modules.get("torch")
    build = getattr(getattr(torch, "version", None), "cuda", None)
    return int(build.split(".")[0]) if build else None


_lock = threading.Lock()
_opened: list[Nvrtc] = []
