"""Devices, threads, and the calls down."""

from __future__ import annotations

import os

import joblib
import pytest

from sktime_sdtw import _engine

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def test_device():
    assert _engine.resolve_device("auto") == "cpu"
    assert _engine.resolve_device("cpu") == "cpu"
    for device in ("cuda", "cuda:1"):
        with pytest.raises(
            RuntimeError, match=r"no CUDA engine is installed.*device='cpu' or device='auto' works"
        ):
            _engine.resolve_device(device)


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
