"""What this installation can compute on, and what is wrong with it: ``python -m sktime_sdtw.doctor``.

Shows the processor's instruction set, the GPUs, driver, torch, the compiler of the kernels and where they
are kept, and what device="auto" takes for a workload, and why. Ends with 0, or with 1 where something is
broken. A machine without a GPU is not broken; one without what ``--device`` asks for is.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from . import __version__
from .cuda_ext import _cache, _compile, _devices, _driver, _sources


class Finding(NamedTuple):
    """One line of the report; `broken` where it is something to repair."""

    topic: str
    text: str
    broken: bool = False


class _Probe(_sources.KernelSpec):
    """A kernel that needs nothing of the package, to see whether NVRTC works at all."""

    def parts(self) -> list[tuple[str, str]]:
        text = 'extern "C" __global__ void probe(float *x) { x[threadIdx.x] *= 2.0f; }'
        return [("probe.cu", text)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report.

    Parameters
    ----------
    arguments : sequence of str, default=None
        Of the command line; None takes those of the process.

    Returns
    -------
    int
        0, or 1 where something is broken.
    """
    options = _parse(arguments)
    broken = False
    for finding in examine(options.device, options.n, options.length, options.features):
        broken = broken or finding.broken
        print(f"{finding.topic:<14}{finding.text}{'  <- broken' if finding.broken else ''}", flush=True)
    print(f"\n{'Something is broken, see above.' if broken else 'Nothing is broken.'}")
    return int(broken)


def examine(device: str | list[str], n: int, length: int, features: int) -> Iterator[Finding]:
    """Everything that the report says, in its order.

    Parameters
    ----------
    device : str
        What is to work: "auto", "cpu", or GPUs.
    n, length, features : int
        The workload: all pairs of n series.

    Yields
    ------
    Finding
    """
    system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield Finding("sktime-sdtw", f"{__version__}, {system}")
    for part in (_processor, _torch, _driver_version, _compiler, _kernels_on_disk, _gpus):
        yield from _guarded(part)
    yield from _guarded(lambda: _choice(n, length, features))
    if device not in ("auto", "cpu"):
        yield from _guarded(lambda: _asked_for(device))


def _guarded(part: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What cannot be found out is a finding too; the rest of the report is still wanted."""
    try:
        yield from part()
    except Exception as error:
        yield Finding("error", f"{type(error).__name__}: {error}", broken=True)


def _processor() -> Iterator[Finding]:
    from ._engine import instruction_set, resolve_n_threads

    yield Finding("CPU engine", f"instruction set {instruction_set()}, {resolve_n_threads(-1)} threads")


def _torch() -> Iterator[Finding]:
    version = _compile.installed_version("torch")
    if version is None:
        yield Finding("torch", "not installed (only a GPU needs it)")
        return
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA in this build"
    yield Finding("torch", f"{torch.__version__}, {build}")


def _driver_version() -> Iterator[Finding]:
    try:
        major, minor = _driver.open_driver().version()
    except OSError:
        yield Finding("driver", "none")
        return
    yield Finding("driver", f"for CUDA {major}.{minor} and before")


def _compiler() -> Iterator[Finding]:
    """NVRTC and what goes with it, tried on a small kernel; that works without a GPU."""
    names = ("cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12")
    versions = {name: _compile.installed_version(name) for name in names}
    found = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    yield Finding("compiler", found or "no package of it is installed")
    try:
        major, minor = _compile.nvrtc_version()
    except _compile.CompileError as error:
        # Where there is a GPU, `_gpus` says what is missing for it.
        yield Finding("NVRTC", f"none (only a GPU needs it). {error}")
        return
    supported = [number for number in _compile.supported_architectures() if number >= 75]
    begin = time.perf_counter()
    _compile.compile_kernel(_Probe("probe"), f"sm_{supported[0]}")
    seconds = time.perf_counter() - begin
    known = ", ".join(str(number / 10) for number in supported)
    way = _compile.way_to_nvrtc()
    yield Finding("NVRTC", f"{major}.{minor}, {way}, for compute capability {known}; tried, {seconds:.2f} s")


def _kernels_on_disk() -> Iterator[Finding]:
    cache = _cache.KernelCache()
    problem = cache.check()
    count, size = cache.size()
    if problem is None:
        yield Finding("cache", f"{cache.folder}: {count} kernels, {size / 2**20:.1f} MiB")
        return
    # Everything works without it, only slower at first: no reason to fail where there is no GPU anyway.
    broken = _devices.obstacle() is None
    yield Finding("cache", f"{problem}. Kernels are compiled anew in each process", broken)


def _gpus() -> Iterator[Finding]:
    problem = _devices.obstacle()
    if problem is not None:
        yield Finding("GPU", f"none is used. {problem.text}", problem.broken)
    for device in _devices.usable_devices():
        major, minor = device.capability
        text = f"{device.name}, {major}.{minor}, {device.multiprocessors} multiprocessors"
        yield Finding(f"cuda:{device.index}", f"{text}, {device.memory / 2**30:.0f} GiB")
        yield from _guarded(lambda index=device.index: _trial(index))  # type: ignore[misc]


def _trial(index: int) -> Iterator[Finding]:
    """Compute a little on a GPU and compare it with the CPU."""
    from .metrics import pairwise_soft_dtw

    X = np.random.default_rng(0).normal(size=(5, 40)).cumsum(axis=1)
    begin = time.perf_counter()
    values = pairwise_soft_dtw(X, gamma=0.5, device=f"cuda:{index}")
    seconds = time.perf_counter() - begin
    right = np.allclose(values, pairwise_soft_dtw(X, gamma=0.5, device="cpu"), rtol=1e-10, atol=1e-10)
    text = f"computes what the CPU computes; first call {seconds:.2f} s"
    yield Finding("", text if right else "computes something else than the CPU", not right)


def _choice(n: int, length: int, features: int) -> Iterator[Finding]:
    work = n * n / 2 * length**2 * features
    loaded, alone = (_devices.choose(work, torch_is_loaded) for torch_is_loaded in (True, False))
    name = f"{n} × {n} series of length {length}, {features} feature{'s' if features > 1 else ''}"
    if loaded.device == alone.device:
        yield Finding("auto", f"{name}: {alone.device}. {alone.reason}")
        return
    yield Finding("auto", f"{name}: {loaded.device} where torch is imported already. {loaded.reason}")
    yield Finding("", f"{alone.device} where it is not. {alone.reason}")


def _asked_for(device: str | list[str]) -> Iterator[Finding]:
    from ._engine import resolve_device

    try:
        yield Finding("asked for", f"{device}: {resolve_device(device)}")
    except (RuntimeError, ValueError) as error:
        yield Finding("asked for", str(error), broken=True)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    summary = (__doc__ or "").partition("\n\n")[2]
    parser = argparse.ArgumentParser(prog="python -m sktime_sdtw.doctor", description=summary)
    parser.add_argument("--device", default="auto", help="what has to work (default: %(default)s)")
    for name, default, text in (
        ("n", 1000, "number of series, of which all pairs are compared"),
        ("length", 512, "of each series"),
        ("features", 1, "of each time step"),
    ):
        parser.add_argument(
            f"--{name}", type=_positive, default=default, help=f"workload: {text} (default: %(default)s)"
        )
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
