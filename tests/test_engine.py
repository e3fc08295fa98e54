"""Devices, threads, and the calls down."""

from __future__ import annotations

import os
import subprocess
import sys

import joblib
import numpy as np
import pytest
from sktime_sdtw.cuda_ext import LEAST_GPU_WORK, _devices

from sktime_sdtw import _engine
from sktime_sdtw._engine import lengths_only

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def test_device():
    assert _engine.resolve_device("auto") == "cpu"  # nothing to do is not worth a trip
    assert _engine.resolve_device("cpu") == "cpu"
    for device in ("cuda:99", ["cuda:99"]):
        with pytest.raises(RuntimeError, match="device='cuda:99'"):
            _engine.resolve_device(device)


def test_gpus_by_name(monkeypatch):
    gpus = [_devices.Device(index, "GPU", (9, 0), 132, 2**37) for index in (0, 1)]
    monkeypatch.setattr(_devices, "usable_devices", lambda: gpus)
    monkeypatch.setattr(_devices, "obstacle", lambda: None)
    monkeypatch.setattr(_devices, "_current_index", lambda: 0)
    assert _engine.resolve_device("cuda") == "cuda:0"
    assert _engine.resolve_device("cuda:1") == "cuda:1"
    assert _engine.resolve_device("cuda:all") == "cuda:0,cuda:1"
    assert _engine.resolve_device(["cuda:1", "cuda:0"]) == "cuda:1,cuda:0"
    # "auto": a GPU where there is enough to do, more where torch must be imported for it.
    assert _engine.resolve_device("auto", 0.9 * LEAST_GPU_WORK) == "cpu"
    assert _engine.resolve_device("auto", 1e15) == "cuda:0"
    monkeypatch.setattr(_devices, "obstacle", lambda: _devices.Obstacle("There is none."))
    assert _engine.resolve_device("auto", 1e15) == "cpu"


def test_work_of_a_call():
    x, y = lengths_only(np.array([3, 4]), np.dtype("f4")), lengths_only(np.array([5, 7]), np.dtype("f4"))
    assert _engine._work(x, y, "full") == 7 * 12
    assert _engine._work(x, x, "upper") == 7 * 7 / 2
    assert _engine._work(x, y, "paired") == 3 * 5 + 4 * 7


def test_threads():
    assert _engine.resolve_n_threads(None) == 1
    assert _engine.resolve_n_threads(1) == 1
    assert _engine.resolve_n_threads(-1) == CPUS
    assert _engine.resolve_n_threads(-10_000) == 1
    assert _engine.resolve_n_threads(10_000) == CPUS  # more would only get in each other's way


def test_threads_of_a_parallel_config():
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert _engine.resolve_n_threads(None) == min(2, CPUS)
        assert _engine.resolve_n_threads(1) == 1


def test_threads_inside_a_worker_do_not_multiply():
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(_engine.resolve_n_threads)(-1) for _ in range(4))
    assert max(found) <= max(1, CPUS // 2)


def test_instruction_set():
    assert _engine.instruction_set()


def run_with(isa: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import numpy as np; from sktime_sdtw import _engine, paired_soft_dtw_gradient as f;"
        "X = np.random.default_rng(0).normal(size=(2, 20, 70)).cumsum(2);"
        "g = f(X[0], X[1], gamma=0.5, wrt=('x', 'y', 'gamma'));"
        "print(_engine.instruction_set(), *np.concatenate([g.value, g.gamma, g.x.ravel(), g.y.ravel()]))"
    )
    environment = {**os.environ, "SKTIME_SDTW_ISA": isa}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


def test_lower_instruction_sets():
    best = _engine.instruction_set()
    names = {"v4": ["v4", "v3", "v2"], "v3": ["v3", "v2"]}.get(best, [best])
    results = {}
    for name in names:
        done = run_with(name)
        assert done.returncode == 0, done.stderr
        used, *numbers = done.stdout.split()
        assert used == name
        results[name] = np.array(numbers, dtype=float)
    for name in names:
        np.testing.assert_allclose(results[name], results[best], rtol=1e-10, atol=1e-10)


def test_unknown_instruction_set():
    done = run_with("mmx")
    assert "ValueError: SKTIME_SDTW_ISA is 'mmx'; this machine has:" in done.stderr
