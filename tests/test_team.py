"""Threads that stay for the next call, for a moment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PRELUDE = """
import os, signal, sys, threading
import numpy as np
from sktime_sdtw.signatures import signature

signal.alarm(60)  # a deadlock ends the process
x = np.random.default_rng(0).normal(size=(64, 200, 4)) * 0.1
expected = signature(x, 4)

def check(n_jobs=3):
    assert np.array_equal(signature(x, 4, n_jobs=n_jobs), expected)
"""

FORK = """
check()
for _ in range(3):  # a child, and a child's child
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        check()
        break
    check()
os._exit(0)
"""

THREADS = """
failed = []

def run():
    try:
        for _ in range(20):
            check()
    except BaseException as error:
        failed.append(error)

threads = [threading.Thread(target=run) for _ in range(4)]
for t in threads: t.start()
for t in threads: t.join()
assert not failed, failed
"""

FEW = """
import time
threads = lambda: len(os.listdir("/proc/self/task"))
without = threads()
check()
most = threads()
assert most > without
for n_jobs in (2, 3) * 20:
    check(n_jobs)
    assert threads() <= most
deadline = time.monotonic() + 30
while threads() > without and time.monotonic() < deadline:
    time.sleep(0.02)
assert threads() == without  # they leave
check()  # and others come
assert threads() > without
"""

# Two threads on one CPU (only the engine itself can be told so): who waits keeps the other one from its
# work. In time of the processor, which other processes leave alone.
ONE_CPU = """
import time
from sktime_sdtw import _core
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
seconds, out = {1: [], 2: []}, np.empty_like(expected)
for _ in range(300):
    for n_threads in seconds:
        out[:] = 0
        begin = time.process_time()
        _core.signature(x, None, None, None, 4, False, None, out, n_threads)
        seconds[n_threads].append(time.process_time() - begin)
        assert np.array_equal(out, expected)
one, two = (np.median(seconds[n]) for n in (1, 2))
assert two < 2 * one, (one, two)
"""

# Helpers that are sent to another CPU may still run on any.
AFFINITY = """
allowed = os.sched_getaffinity(0)
for _ in range(200):
    check(2)
    assert all(os.sched_getaffinity(int(task)) == allowed for task in os.listdir("/proc/self/task"))
"""

LINUX = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinities")


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(FORK, marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork"), id="fork"),
        pytest.param(THREADS, id="threads"),
        pytest.param(
            FEW, marks=pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc"), id="few"
        ),
        pytest.param(ONE_CPU, marks=LINUX, id="one CPU"),
        pytest.param(AFFINITY, marks=LINUX, id="affinity"),
    ],
)
def test_threads_that_stay(code, tmp_path):
    done = subprocess.run([sys.executable, "-c", PRELUDE + code], capture_output=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
