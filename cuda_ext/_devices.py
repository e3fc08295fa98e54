"""Which GPUs can be used; where there is none, the one thing that is missing; and what "auto" chooses."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

from . import LEAST_GPU_WORK
from ._compile import OLDEST, CompileError, nvrtc_version
from ._driver import Driver, DriverError, open_driver
from ._nvrtc import found_generation

_START = "see 'Start locally' on pytorch.org for the command"


@dataclass(frozen=True)
class Device:
    """A GPU as torch and the driver number it, after CUDA_VISIBLE_DEVICES."""

    index: int
    name: str
    capability: tuple[int, int]
    multiprocessors: int
    memory: int


class Obstacle(NamedTuple):
    """Why no GPU can be used, with what to do; `broken` where something is wrong, not just not there."""

    text: str
    broken: bool = False


def usable_devices() -> list[Device]:
    """The GPUs that the engine can use. Imports torch only where a driver is installed."""
    return _examine(os.getpid())[0]


def obstacle() -> Obstacle | None:
    """Why there are none; None where there are."""
    return _examine(os.getpid())[1]


def device_indices(device: str | Sequence[str]) -> list[int]:
    """The GPUs that an argument `device` names.

    Parameters
    ----------
    device : str or sequence of str
        "cuda" (torch's current device), "cuda:<index>", "cuda:all", or several of these.

    Raises
    ------
    RuntimeError
        One of them is not there or cannot be used; the message says why and what to install.
    ValueError
        Not one of these strings.
    """
    found: list[int] = []
    for name in [device] if isinstance(device, str) else device:
        found += [index for index in _indices(name) if index not in found]
    if not found:
        raise ValueError(f"device must name one GPU at least. Got {device!r}.")
    return found


def _indices(name: str) -> list[int]:
    kind, _, which = name.partition(":") if isinstance(name, str) else ("", "", "")
    if kind != "cuda" or not (name == "cuda" or which == "all" or which.isdecimal()):
        raise ValueError(f"device must be one of 'cuda', 'cuda:<index>', 'cuda:all'. Got {name!r}.")
    problem = obstacle()
    if problem is not None:
        raise RuntimeError(f"device={name!r}: {problem.text} device='cpu' or device='auto' works.")
    usable = [device.index for device in usable_devices()]
    if which == "all":
        return usable
    index = int(which) if which else _current_index()
    if index not in usable:
        names = ", ".join(f"'cuda:{i}'" for i in usable)
        raise RuntimeError(f"device={name!r}: there is no such GPU that can be used. There are: {names}.")
    return [index]


def _current_index() -> int:
    import torch

    return int(torch.cuda.current_device())


# ── What is missing ─────────────────────────────────────────────────────────────────────────────


@functools.cache
def _examine(process: int) -> tuple[list[Device], Obstacle | None]:
    """Look once in each process: a forked one has no GPU, whatever its parent had."""
    del process
    # First what is cheap to find out, so that a machine without a GPU never pays for importing torch.
    try:
        driver = open_driver()
    except OSError:
        return [], Obstacle("There is no NVIDIA driver on this machine.")
    if importlib.util.find_spec("torch") is None:
        return [], Obstacle(
            "PyTorch is not installed; it holds the GPU's memory. "
            'Install what is needed with: pip install "sktime-sdtw[cuda13]".'
        )
    try:
        import torch
    except (ImportError, OSError) as error:
        return [], Obstacle(f"PyTorch is installed and cannot be imported: {error}.", broken=True)
    problem = _torch_obstacle(torch, driver) or _compiler_obstacle(torch, driver)
    if problem is not None:
        return [], problem
    try:
        devices = [_describe(torch, index) for index in range(torch.cuda.device_count())]
    except RuntimeError as error:
        return [], Obstacle(f"CUDA cannot be started: {error}.", broken=True)
    new = [device for device in devices if device.capability >= OLDEST]
    if not new:
        seen = ", ".join(f"{d.name} ({d.capability[0]}.{d.capability[1]})" for d in devices)
        return [], Obstacle(
            f"A GPU of compute capability {OLDEST[0]}.{OLDEST[1]} or later is needed. Found: {seen}."
        )
    return new, None


def _describe(torch: ModuleType, index: int) -> Device:
    found = torch.cuda.get_device_properties(index)
    return Device(
        index, found.name, (found.major, found.minor), found.multi_processor_count, found.total_memory
    )


def _torch_obstacle(torch: ModuleType, driver: Driver) -> Obstacle | None:
    build = torch.version.cuda
    if build is None:
        kind = "for AMD GPUs" if torch.version.hip else "for the CPU only"
        return Obstacle(
            f"This PyTorch ({torch.__version__}) is built {kind}. Install one for CUDA: {_START}."
        )
    if int(build.split(".")[0]) < 12:
        return Obstacle(f"This PyTorch is built for CUDA {build}; 12 or later is needed: {_START}.")
    if getattr(torch.cuda, "_is_in_bad_fork", lambda: False)():
        return Obstacle(
            "This process was forked after CUDA had been started, and CUDA does not survive that. "
            "Use the start method 'spawn', or joblib's default backend.",
        )
    if torch.cuda.is_available():
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        version, count = driver.version(), driver.device_count()
    except DriverError as error:
        if error.code == 100:  # CUDA_ERROR_NO_DEVICE
            hidden = "" if visible is None else f" CUDA_VISIBLE_DEVICES is {visible!r}."
            return Obstacle(f"There is a driver, but no GPU that this process may use.{hidden}")
        return Obstacle(f"The driver does not start. {error}", broken=True)
    if version[0] < int(build.split(".")[0]):
        return Obstacle(
            f"The driver is for CUDA {version[0]}.{version[1]}, and PyTorch was built for {build}: "
            f"update the driver, or install a PyTorch for CUDA {version[0]} ({_START}).",
            broken=True,
        )
    return Obstacle(f"PyTorch finds no GPU, though the driver has {count}.", broken=True)


def _compiler_obstacle(torch: ModuleType, driver: Driver) -> Obstacle | None:
    """What is missing to compile kernels: NVRTC, of a generation that the driver understands."""
    major = torch.version.cuda.split(".")[0]
    # The file's name says what it is. Without one it may be where only the linker or cuda.core finds it: load
    # it to see.
    try:
        nvrtc = found_generation() or nvrtc_version()[0]
    except CompileError as error:
        install = f'Install it with: pip install "sktime-sdtw[cuda{major}]".'
        return Obstacle(f"NVRTC, the compiler of the kernels, is not found. {install} ({error})", broken=True)
    newest = driver.version()
    if nvrtc > newest[0]:
        return Obstacle(
            f"NVRTC, the compiler of the kernels, is of CUDA {nvrtc}, and the driver for CUDA {newest[0]}. "
            "Update the driver, or: pip uninstall nvidia-cuda-nvrtc; "
            f'pip install "sktime-sdtw[cuda{newest[0]}]".',
            broken=True,
        )
    return None


# ── What "auto" chooses ────────────────────────────────────────────────────────────────────────

# As LEAST_GPU_WORK, where torch is yet to be imported, which takes one to three seconds, once in a process.
WORTH_TORCH = 1e10


class Choice(NamedTuple):
    """What "auto" takes ("cpu" or "cuda"), and why."""

    device: str
    reason: str


def choose(work: float, torch_is_loaded: bool) -> Choice:
    """The engine for work of this size on data in the memory of the host.

    Parameters
    ----------
    work : float
        Sum of n · m over all pairs, times the number of features.
    torch_is_loaded : bool
        Whether this process has imported torch, so that the GPU costs no more than the trip.
    """
    needed = LEAST_GPU_WORK if torch_is_loaded else WORTH_TORCH
    if work < needed:
        cost = "the trip to a GPU" if torch_is_loaded else "the time to import torch"
        return Choice("cpu", f"{work:.2g} cells are not worth {cost}; {needed:.2g} are.")
    problem = obstacle()
    if problem is not None:
        return Choice("cpu", problem.text)
    return Choice("cuda", f"{work:.2g} cells are worth the trip; {needed:.2g} are.")
