"""Time, memory, and the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

PACKAGES = [
    "sktime-sdtw",
    "numpy",
    "scipy",
    "scikit-learn",
    "tslearn",
    "aeon",
    "dtaidistance",
    "torch",
    "numba",
]


def interleave(
    contenders: dict[str, Callable[[], Any]], repeats: int, min_seconds: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Call all contenders in turn, repeats times; a fast one several times in a row, until min_seconds.

    Returns the first results and the times. First calls are not measured: they compile and fill caches.
    Taking turns makes a slower phase of the machine hit all contenders.
    """
    first, inner = {}, {}
    for name, call in contenders.items():
        begin = time.perf_counter()
        first[name] = call()
        spent = time.perf_counter() - begin
        if spent < 10:  # else certainly long enough, also without compilation
            begin = time.perf_counter()
            call()
            spent = time.perf_counter() - begin
        inner[name] = 1
        while spent < min_seconds and inner[name] < 10**6:  # by doubling: early calls still warm up
            inner[name] *= 2
            begin = time.perf_counter()
            for _ in range(inner[name]):
                call()
            spent = time.perf_counter() - begin
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, call in contenders.items():
            begin = time.perf_counter()
            for _ in range(inner[name]):
                call()
            seconds[name].append((time.perf_counter() - begin) / inner[name])
    times = {
        name: {"median_s": statistics.median(values), "min_s": min(values), "max_s": max(values)}
        for name, values in seconds.items()
    }
    return first, times


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} in /proc/self/status")


def peak_memory(call: Callable[[], Any]) -> int:
    """Bytes of resident memory that call() needs at its peak, beyond what was there and what it returns.

    To be used in a process of its own, after a small call that loads all code.
    """
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is resident now
    before = _status("VmRSS")
    result = call()
    peak = _status("VmHWM")
    returned = getattr(result, "nbytes", 0)
    return max(0, peak - before - returned)


def machine() -> dict[str, Any]:
    """Return what a reader needs to judge the figures."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = lines[0].split(":", 1)[1].strip() if lines else cpu
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    ).stdout.strip()
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "commit": commit,
        "versions": versions,
        "command": "python benchmarks/run.py " + " ".join(sys.argv[1:]),
    }
