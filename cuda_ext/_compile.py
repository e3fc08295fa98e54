"""From CUDA source to code for one GPU, by NVRTC: without toolkit, host compiler, or a GPU to compile on."""

from __future__ import annotations

import functools
import importlib.metadata
import io
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ._cache import Binary, KernelCache, key_of
from ._nvrtc import Nvrtc, NvrtcError, open_nvrtc
from ._sources import KernelSpec

# Turing: the first with independent progress of the lanes of a warp and everything that the kernels use.
OLDEST = (7, 5)

# Systems on a chip. Their code is not for the cards of the same generation, though the number says so.
_EMBEDDED = frozenset({72, 87, 88, 101, 110})

# No contraction: a product and a sum are rounded as they stand, on the GPU, in its emulation and on the CPU;
# where one rounding is wanted the kernels say so. Everything is device code by default: before version 13.2
# NVRTC asks for __device__ at every lambda otherwise. All of it is part of the key of the cache.
_OPTIONS = {"std": "c++17", "fma": False, "device_as_default_execution_space": True}
_WORDS = ("--std=c++17", "--fmad=false", "--device-as-default-execution-space")  # the same for NVRTC itself


class CompileError(RuntimeError):
    """NVRTC refused a kernel, or is not there; the message holds all that it said."""


class Resources(NamedTuple):
    """What ptxas says that a kernel takes: of each thread, and bytes of shared memory of each block."""

    registers: int
    stack: int
    spill_stores: int
    spill_loads: int
    shared: int


def compile_kernel(spec: KernelSpec, architecture: str) -> tuple[Binary, str]:
    """Compile one kernel, here and now.

    Parameters
    ----------
    spec : KernelSpec
    architecture : str
        "sm_90" for a cubin, "compute_90" for PTX (which needs a driver).

    Returns
    -------
    binary : Binary
    log : str
        Warnings, and for a cubin the report of ptxas: see `read_resources`.

    Raises
    ------
    CompileError
        With the full log of NVRTC.
    """
    compiled = _by_core if _has_core() else _directly
    try:
        code, log = compiled(spec, architecture)
    except Exception as error:  # NVRTC's own, and whatever loading the library may raise
        said = str(error).replace("\0", "").strip()
        raise CompileError(f"NVRTC cannot compile {spec} for {architecture}. {said}") from error
    return Binary(architecture, code), log.replace("\0", "")


def _by_core(spec: KernelSpec, architecture: str) -> tuple[bytes, str]:
    from cuda.core import Program, ProgramOptions

    # cuda.core takes the library that is loaded already, with its built-in functions.
    with suppress(NvrtcError):
        open_nvrtc()
    real = architecture.startswith("sm_")
    options = ProgramOptions(
        name=f"{spec.entry}.cu",
        arch=architecture,
        **_OPTIONS,
        define_macro=list(spec.defines) or None,
        ptxas_options=["-v"] if real else None,
    )
    log = io.StringIO()
    try:
        code = Program(spec.source(), "c++", options).compile("cubin" if real else "ptx", logs=log).code
    except Exception as error:
        raise NvrtcError(f"{error}\n{log.getvalue()}") from error
    return bytes(code), log.getvalue()


def _directly(spec: KernelSpec, architecture: str) -> tuple[bytes, str]:
    real = architecture.startswith("sm_")
    words = [f"--gpu-architecture={architecture}", *_WORDS, *(["--ptxas-options=-v"] if real else [])]
    words += [f"-D{name}={value}" for name, value in spec.defines]
    return open_nvrtc().compile(spec.source(), f"{spec.entry}.cu", words, "CUBIN" if real else "PTX")


def _has_core() -> bool:
    """Whether cuda.core can be used; what came before its first version had other names."""
    version = installed_version("cuda-core")
    if version is None or int(version.split(".")[0]) < 1:
        return False
    try:
        import cuda.core  # noqa: F401
    except Exception:  # its bindings may be missing, or of another generation
        return False
    return True


def read_resources(log: str) -> Resources:
    """The figures in ptxas's report on one kernel."""

    def number(pattern: str) -> int:
        return sum(int(found) for found in re.findall(rf"(\d+) {pattern}", log))

    registers = re.search(r"Used (\d+) registers", log)
    if registers is None:
        raise ValueError(f"There is no report of ptxas in this log:\n{log}")
    return Resources(
        int(registers[1]),
        number("bytes stack frame"),
        number("bytes spill stores"),
        number("bytes spill loads"),
        number("bytes smem"),
    )


def build(spec: KernelSpec, capability: tuple[int, int], cache: KernelCache) -> Binary:
    """The kernel for a device: from the cache, else compiled.

    Parameters
    ----------
    spec : KernelSpec
    capability : (major, minor)
        The device's compute capability.
    cache : KernelCache
    """
    # The device stands for the architecture, which follows from it and from NVRTC: to ask NVRTC what it
    # supports would mean to load it (60 ms with cold files), and a kernel from the cache needs no NVRTC.
    definitions = [f"{name}={value}" for name, value in spec.defines]
    key = key_of(
        [
            spec.source(),
            spec.entry,
            *definitions,
            repr(_OPTIONS),
            f"{capability[0]}.{capability[1]}",
            nvrtc_identity(),
        ]
    )

    def compile_now() -> Binary:
        return compile_kernel(spec, choose_architecture(capability, supported_architectures()))[0]

    return cache.get(key, compile_now)


def choose_architecture(capability: tuple[int, int], supported: Sequence[int]) -> str:
    """What to compile for: code of the device's own kind, else PTX, which the driver compiles to that.

    Parameters
    ----------
    capability : (major, minor)
        The device's compute capability.
    supported : sequence of int
        What NVRTC can compile for: 75, 80, …

    Examples
    --------
    >>> choose_architecture((9, 0), [75, 80, 86, 89, 90])
    'sm_90'

    Code runs on later GPUs of its generation, and on no other generation:

    >>> choose_architecture((8, 9), [75, 80, 86])
    'sm_86'
    >>> choose_architecture((12, 0), [75, 80, 86, 89, 90])
    'compute_90'
    """
    number = 10 * capability[0] + capability[1]
    if capability < OLDEST:
        raise CompileError(
            f"The kernels need a GPU of compute capability {OLDEST[0]}.{OLDEST[1]} (Turing) or later; "
            f"this one has {capability[0]}.{capability[1]}."
        )
    if number in supported:
        return f"sm_{number}"
    known = [s for s in supported if s < number and s not in _EMBEDDED and s >= 10 * OLDEST[0] + OLDEST[1]]
    if not known:
        raise CompileError(
            f"The NVRTC of this environment cannot compile for compute capability {number / 10}, only for: "
            f"{', '.join(str(s / 10) for s in supported)}. Install another version of it."
        )
    newest = max(known)
    same_generation = newest // 10 == capability[0] and number not in _EMBEDDED
    return f"sm_{newest}" if same_generation else f"compute_{newest}"


def supported_architectures() -> list[int]:
    """What the NVRTC of this environment can compile for, as numbers like 75."""
    return [int(number) for number in _ask_nvrtc(Nvrtc.architectures, "nvrtcGetSupportedArchs")]


def nvrtc_version() -> tuple[int, int]:
    """(major, minor) of the NVRTC of this environment, which is loaded for that."""
    major, minor = _ask_nvrtc(Nvrtc.version, "nvrtcVersion")
    return int(major), int(minor)


@functools.cache
def nvrtc_identity() -> str:
    """Something that changes whenever NVRTC does, found without loading it where it comes from a wheel."""
    found = [
        f"{name} {version}"
        for name in ("cuda-bindings", "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12")
        if (version := installed_version(name)) is not None
    ]
    if any("nvrtc" in name for name in found):
        return ", ".join(found)
    return f"{', '.join(found)}, NVRTC {nvrtc_version()}"


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def way_to_nvrtc() -> str:
    """How kernels are compiled, for people."""
    way = "through cuda.core" if _has_core() else "called directly"
    with suppress(NvrtcError):
        return f"{way}, {open_nvrtc().place}"
    return way


def _ask_nvrtc(directly: Callable[[Nvrtc], Any], question: str) -> Any:
    try:
        return directly(open_nvrtc())
    except NvrtcError as error:
        missing = error
    # The bindings know more places, and other systems.
    try:
        from cuda.bindings import nvrtc

        status, *answer = getattr(nvrtc, question)()
    except Exception as error:  # the loader of the bindings has exceptions of its own
        raise CompileError(f"NVRTC cannot be loaded: {missing} cuda-bindings: {error}") from error
    if int(status) != 0:
        raise CompileError(f"NVRTC answers {question} with {status!r}.")
    return answer[0] if len(answer) == 1 else tuple(answer)
