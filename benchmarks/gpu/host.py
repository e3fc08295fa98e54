"""Seconds of the host for a training step on CUDA tensors, without a GPU.

    python benchmarks/gpu/host.py

Needs torch and a C compiler (cc). The driver is a library whose functions do nothing, the memory of the GPU
is that of torch's tensors on the CPU, and these are tiny, in as many chunks as large ones would come in: what
is left is Python, ctypes and torch. torch's own operations take longer where they launch kernels.
"""

from __future__ import annotations

import contextlib
import ctypes
import subprocess
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sktime_sdtw.cuda_ext import _driver, _plan, _runtime
from sktime_sdtw.cuda_ext._cache import Binary

from sktime_sdtw import functional
from sktime_sdtw.functional import _calls, _cuda

DRIVER = """
#include <stddef.h>
#define NOTHING(name) int name(void) { return 0; }
NOTHING(cuInit) NOTHING(cuDeviceGet) NOTHING(cuFuncGetAttribute) NOTHING(cuCtxPushCurrent_v2)
NOTHING(cuCtxPopCurrent_v2) NOTHING(cuLaunchKernel) NOTHING(cuMemsetD8Async) NOTHING(cuDriverGetVersion)
NOTHING(cuGetErrorName) NOTHING(cuGetErrorString) NOTHING(cuDeviceGetCount)
static int handle(void **to) { *to = (void *)16; return 0; }
int cuDevicePrimaryCtxRetain(void **to) { return handle(to); }
int cuModuleLoadData(void **to) { return handle(to); }
int cuModuleGetFunction(void **to) { return handle(to); }
"""


class Stream:
    """Has nothing to do."""

    cuda_stream = 16

    def __init__(self, device: Any = None) -> None:
        del device

    def record_event(self) -> Any:
        """As in torch."""
        return None


class Event:
    """When it is waited for, all pairs have the usual arithmetic."""

    def record(self, stream: Any) -> None:
        """As in torch."""

    def synchronize(self) -> None:
        """As in torch."""
        for known in machine.runtime.programs.values():
            for program in known.by_methods.values():
                if program._flags is not None:
                    program._flags.array[0] = 1


class Machine:
    """As `Gpu`."""

    def __init__(self) -> None:
        self.runtime: Any = _runtime.CudaRuntime(0)
        self.runtime._device = torch.device("cpu")
        self.runtime.prepare = lambda specs: None
        self.wrap = self.runtime.wrap

    tensor = _cuda.Gpu.tensor


def stand_in(folder: Path) -> None:
    """Put the driver and what is asked of torch.cuda in the places of the real ones."""
    (folder / "driver.c").write_text(DRIVER)
    library = folder / "driver.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, folder / "driver.c"], check=True)
    _driver._opened.append(_driver.Driver(ctypes.CDLL(str(library))))
    _runtime.build = lambda *_: Binary("sm_90", b"")  # type: ignore[attr-defined]
    _runtime.upload = lambda *_: None  # type: ignore[attr-defined]
    properties = types.SimpleNamespace(multi_processor_count=132, major=9, minor=0, total_memory=2**37)
    stream, empty, cuda = Stream(), torch.empty, torch.cuda
    torch.empty = lambda *a, pin_memory=False, **more: empty(*a, **more)  # type: ignore[assignment]
    cuda.is_available = lambda: True
    cuda.get_device_properties = lambda index: properties
    cuda.current_stream = lambda device=None: stream
    cuda.Stream, cuda.Event = Stream, Event  # type: ignore[misc, assignment]
    cuda.device = lambda device: contextlib.nullcontext()  # type: ignore[misc, assignment]
    cuda.is_current_stream_capturing = lambda: False


def least(call: Callable[[], Any], rounds: int = 500) -> float:
    """Seconds of the fastest of many calls."""
    for _ in range(50):
        call()
    best = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - begin)
    return best


with tempfile.TemporaryDirectory() as _folder:
    stand_in(Path(_folder))
machine = Machine()


def main() -> None:
    # Chunks as for large batches: the least size for which memory is saved is left out.
    _plan.scratch_budget = lambda enough, memory: enough
    for features in (1, 4):
        x, y = (torch.from_numpy(np.random.default_rng(k).normal(size=(4, 16, features))) for k in (0, 1))
        x, y = x.float(), y.float()

        def solve(*arguments: Any) -> Any:
            return _cuda.soft_dtw(machine, *arguments)

        _calls._run_first = solve

        def step(x: torch.Tensor = x, y: torch.Tensor = y) -> None:
            a, b = x.detach().requires_grad_(), y.detach().requires_grad_()
            functional.soft_dtw(a, b, gamma=1.0).sum().backward()

        whole = least(step)
        with torch.no_grad():
            arguments = (x, y, None, None, None, 1.0, 0, 1.0, 0, 0.0, 3)
            operator = least(lambda arguments=arguments: solve(*arguments))
            results = solve(*arguments)
        _calls._run_first = lambda *_, results=results: results
        rest = least(step)
        programs = [p for known in machine.runtime.programs.values() for p in known.by_methods.values()]
        kernels = len(programs[-1]._launches)
        print(
            f"{features} features, {kernels} kernels: {whole * 1e6:.0f} µs for forward, sum "
            f"and backward; the operator alone {operator * 1e6:.0f} µs; without it {rest * 1e6:.0f} µs"
        )


if __name__ == "__main__":
    main()
