"""Times by CUDA events, peak memory, clocks, and what else a reader needs to judge figures of a GPU."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

PACKAGES = (
    *("sktime-sdtw", "numpy", "scipy", "scikit-learn", "torch", "cuda-core", "cuda-bindings"),
    *("nvidia-cuda-nvrtc", "numba", "numba-cuda"),
)


def commit(folder: Path) -> str:
    """The commit of the checkout, with a star where files differ from it."""

    def git(*words: str) -> str:
        try:
            done = subprocess.run(["git", *words], capture_output=True, text=True, cwd=folder)
        except OSError:  # no git on this machine
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    found = git("rev-parse", "--short", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no") if found else ""
    return (found or "unknown") + ("*" if changed else "")


def machine(folder: Path, gpu: bool, of_commit: str | None) -> dict[str, Any]:
    """The machine, versions and the commit."""
    versions = {}
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    info: dict[str, Any] = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "gpu": None,
        "driver": None,
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "commit": of_commit or commit(folder),
        "versions": versions,
    }
    if gpu:
        info["gpu"] = _smi("name") or "GPU"
        info["memory_mib"] = _number(_smi("memory.total"))
        info["driver"] = _smi("driver_version")
        info["most_clock_mhz"] = _number(_smi("clocks.max.sm"))
    return info


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _smi(field: str) -> str | None:
    with suppress(OSError, subprocess.TimeoutExpired):
        command = ["nvidia-smi", "-i", "0", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        if done.returncode == 0:
            return done.stdout.strip().splitlines()[0]
    return None


def _number(text: str | None) -> float | None:
    with suppress(TypeError, ValueError):
        return float(text)  # type: ignore[arg-type]
    return None


@contextmanager
def clock_watch(gpu: bool) -> Iterator[dict[str, float | None]]:
    """The median of the clock of the multiprocessors, in MHz, while the body runs: key "clock_mhz"."""
    found: dict[str, float | None] = {"clock_mhz": None}
    if not gpu:
        yield found
        return
    seen: list[float] = []
    stop = threading.Event()

    def watch() -> None:
        try:
            import pynvml

            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByIndex(0)
            while not stop.wait(0.02):
                seen.append(float(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM)))
        except Exception:
            while not stop.wait(0.5):
                seen.extend(value for value in [_number(_smi("clocks.sm"))] if value)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join(timeout=30)
        found["clock_mhz"] = statistics.median(seen) if seen else None


def measure(
    call: Callable[[], Any], gpu: bool, *, seconds: float = 2.0, least: int = 7, most: int = 200
) -> dict[str, Any]:
    """Time a call: medians of many, each by CUDA events and by the clock on the wall.

    Warm-up calls come first: they compile, load and allocate. `device_s` is what lies between the events on
    the current stream, with gaps in which the host was slower; without a GPU it is the time on the wall.
    """
    call()
    begin = time.perf_counter()
    call()
    _wait(gpu)
    once = max(time.perf_counter() - begin, 1e-9)
    repeats = max(1, min(most, max(least, int(seconds / once)))) if once < 30 else 1
    walls, devices, pairs = [], [], []
    with clock_watch(gpu) as clock:
        for _ in range(repeats):
            events = _events(gpu)
            _wait(gpu)
            begin = time.perf_counter()
            if events:
                events[0].record()
            call()
            if events:
                events[1].record()
                pairs.append(events)
            _wait(gpu)
            walls.append(time.perf_counter() - begin)
    for first, last in pairs:
        devices.append(first.elapsed_time(last) / 1e3)
    devices = devices or walls
    return {
        "device_s": statistics.median(devices),
        "least_s": min(devices),
        "most_s": max(devices),
        "wall_s": statistics.median(walls),
        "repeats": repeats,
        **clock,
    }


def _wait(gpu: bool) -> None:
    if gpu:
        import torch

        torch.cuda.synchronize()


def _events(gpu: bool) -> tuple[Any, Any] | None:
    if not gpu:
        return None
    import torch

    return torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)


def kernel_seconds(call: Callable[[], Any], gpu: bool, rounds: int = 3) -> dict[str, float] | None:
    """Seconds that each of our kernels takes in a call, by events around its launches; None without a GPU."""
    if not gpu:
        return None
    import torch
    from sktime_sdtw.cuda_ext._runtime import CudaRuntime, cuda_runtime

    runtime, launch = cuda_runtime(torch.cuda.current_device()), CudaRuntime.launch
    programs: Any = runtime.programs
    found: list[dict[str, float]] = []
    marks: list[tuple[str, Any, Any]] = []

    def watched(self: Any, spec: Any, *arguments: Any) -> None:
        first = torch.cuda.Event(enable_timing=True)
        last = torch.cuda.Event(enable_timing=True)
        first.record()
        launch(self, spec, *arguments)
        last.record()
        marks.append((spec.entry, first, last))

    try:
        CudaRuntime.launch = watched  # type: ignore[method-assign]
        runtime.programs = None  # type: ignore[assignment]  # whose launches come all at once
        for _ in range(rounds):
            marks.clear()
            call()
            torch.cuda.synchronize()
            times: dict[str, float] = {}
            for name, first, last in marks:
                times[name] = times.get(name, 0.0) + first.elapsed_time(last) / 1e3
            found.append({**times, "all": sum(times.values()), "launches": float(len(marks))})
    finally:
        CudaRuntime.launch, runtime.programs = launch, programs  # type: ignore[method-assign]
    return sorted(found, key=lambda times: times["all"])[len(found) // 2]


def peak_bytes(make: Callable[[], Callable[[], Any]], gpu: bool) -> dict[str, int | None]:
    """Most bytes that torch gave out, and reserved, from making the input to the end of a second call."""
    if not gpu:
        return {"allocated": None, "reserved": None}
    import gc

    import torch

    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    allocated, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    call = make()
    call()
    call()
    torch.cuda.synchronize()
    return {
        "allocated": torch.cuda.max_memory_allocated() - allocated,
        "reserved": torch.cuda.max_memory_reserved() - reserved,
    }


def python_without_checkout(*arguments: str) -> list[str]:
    """A command that runs a module as python -m does, without the current folder, a checkout, in front."""
    code = (
        "import runpy, sys; del sys.path[0], sys.argv[0]; runpy.run_module(sys.argv[0], run_name='__main__')"
    )
    return [sys.executable, "-c", code, *arguments]
