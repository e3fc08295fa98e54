"""Compiles kernels for the host, each variant once: libraries are kept in the folder for temporary files."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

FOLDER = Path(__file__).parent
# One fiber at a time in the whole process, and no buffer comes or goes meanwhile: the scheduler has no lock
# of its own. Reentrant, as a buffer may be collected at any moment.
ONE_AT_A_TIME = threading.RLock()
MESSAGE_BYTES = 4096
# No contraction: what the kernels fuse they fuse by name, and results do not depend on the machine. No
# fortified longjmp: it takes the way back from a fault in a fiber for an accident.
FLAGS = [
    *("-std=c++20", "-fPIC", "-shared", "-fvisibility=hidden"),
    *("-ffp-contract=off", "-fno-math-errno", "-U_FORTIFY_SOURCE", "-Wno-unknown-pragmas"),
]
SANITIZE = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]


class EmulationError(RuntimeError):
    """A kernel did what no kernel may do; the message says which block, warp and lanes."""


class Spec(Protocol):
    """What is needed of a kernel specification."""

    @property
    def entry(self) -> str:
        """Name of the kernel."""

    @property
    def defines(self) -> tuple[tuple[str, str], ...]:
        """Preprocessor definitions."""

    def parts(self) -> list[tuple[str, str]]:
        """File names and texts, in the order of compilation."""


@functools.cache
def compiler() -> tuple[str, ...]:
    """The C++ compiler and the flags for this machine."""
    return (os.environ.get("CXX", "g++"), "-march=native", *FLAGS)


@functools.cache
def _version() -> str:
    return subprocess.run([compiler()[0], "--version"], capture_output=True, text=True, check=True).stdout


@functools.cache
def cache_folder() -> Path:
    """A folder of this user, where libraries of earlier runs may lie."""
    folder = Path(tempfile.gettempdir()) / f"sktime-sdtw-emulation-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        folder = Path(tempfile.mkdtemp(prefix="sktime-sdtw-emulation-"))
    return folder


def _compile(name: str, text: str, flags: Sequence[str]) -> Path:
    """The shared library of this text; compiled if no earlier run did."""
    command = [*compiler(), *flags]
    key = hashlib.sha256("\0".join([_version(), *command, text]).encode()).hexdigest()[:24]
    library = cache_folder() / f"{name}-{key}.so"
    if library.is_file():
        return library
    source = library.with_suffix(f".{os.getpid()}-{threading.get_ident()}.cpp")
    unfinished = source.with_suffix(".part")
    source.write_text(text, encoding="utf-8")
    try:
        done = subprocess.run(
            [*command, f"-I{FOLDER}", str(source), "-o", str(unfinished), "-ldl"],
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise EmulationError(f"{name} does not compile for the host:\n{done.stderr[:6000]}")
        unfinished.replace(library)  # whoever compiles the same at the same time gets the same
    finally:
        source.unlink(missing_ok=True)
        unfinished.unlink(missing_ok=True)
    return library


@functools.cache
def scheduler() -> ctypes.CDLL:
    """The library of the fibers, which those of the kernels find their symbols in."""
    header = (FOLDER / "scheduler.hpp").read_text(encoding="utf-8")
    text = (FOLDER / "scheduler.cpp").read_text(encoding="utf-8")
    path = _compile(
        "scheduler",
        f"// {hashlib.sha256(header.encode()).hexdigest()}\n{text}",
        ["-O2", "-fvisibility=default"],
    )
    library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    library.emulation_allocate.restype = ctypes.c_void_p
    library.emulation_allocate.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
    for function in (library.emulation_protect, library.emulation_release):
        function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
    return library


class Kernel:
    """A kernel built for the host.

    Attributes
    ----------
    parameters : list of str
        One code for each parameter: ``i``, ``q``, ``B``, ``f``, ``d`` for int, long long, unsigned char,
        float and double; ``Pi`` and so on for pointers.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.library = ctypes.CDLL(str(path))
        self.library.emulation_signature.restype = ctypes.c_char_p
        codes = self.library.emulation_signature().decode()
        half = len(codes) // 2
        self.parameters = [(a + b).strip() for a, b in zip(codes[:half], codes[half:], strict=True)]

    def run(
        self,
        blocks: int,
        threads: int,
        arguments: Sequence[ctypes._SimpleCData[object]],
        resident: int,
        order: int,
    ) -> None:
        """Run the grid to its end, or raise EmulationError."""
        if blocks < 1 or not 32 <= threads <= 1024 or threads % 32:
            raise EmulationError(
                f"kernel {self.name}: {blocks} blocks of {threads} threads. There must be a block, and "
                "blocks have whole warps, up to 1024 threads."
            )
        message = ctypes.create_string_buffer(MESSAGE_BYTES)
        addresses = (ctypes.c_void_p * len(arguments))(*[ctypes.addressof(a) for a in arguments])
        with ONE_AT_A_TIME:
            failed = self.library.emulation_launch(
                blocks, threads, addresses, resident, ctypes.c_uint(order), message, MESSAGE_BYTES
            )
        if failed:
            raise EmulationError(message.value.decode())


@functools.cache
def build(spec: Spec, *, sanitize: bool = False, optimize: str = "-O1") -> Kernel:
    """The kernel of this specification for the host; `sanitize` makes undefined behaviour an error."""
    scheduler()
    twin = (FOLDER / "warp.hpp").read_text(encoding="utf-8")
    header = (FOLDER / "scheduler.hpp").read_text(encoding="utf-8")
    parts = [("warp.hpp", twin) if name == "warp.cuh" else (name, text) for name, text in spec.parts()]
    if parts[0][0] != "warp.hpp":
        raise EmulationError(f"{spec.entry}: warp.cuh must come first. Got {[name for name, _ in parts]}.")
    text = "".join(f'#line 1 "{name}"\n{text}\n' for name, text in parts)
    text += f"// {hashlib.sha256(header.encode()).hexdigest()}\nEMULATED_KERNEL({spec.entry})\n"
    flags = [
        optimize,
        *(f"-D{name}={value}" for name, value in spec.defines),
        *(SANITIZE if sanitize else []),
    ]
    return Kernel(spec.entry, _compile(spec.entry, text, flags))
