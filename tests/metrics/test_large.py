"""Long series, memory, and Ctrl-C: against closed forms, as no oracle gets there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import mpmath
import numpy as np
import pytest

from sktime_sdtw import dtw, dtw_path, soft_dtw, soft_dtw_gradient

pytestmark = pytest.mark.slow
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads memory from /proc")


def anti_diagonals(x, y, gamma):
    """Soft-DTW of two univariate series in float64, one vector operation per anti-diagonal; linear memory."""
    n, m = len(x), len(y)
    before, last = np.full(n + 1, np.inf), np.full(n + 1, np.inf)  # R on diagonals k - 2 and k - 1, by row
    before[0] = 0.0
    for k in range(2, n + m + 1):
        rows = np.arange(max(1, k - m), min(n, k - 1) + 1)
        around = np.stack([last[rows - 1], last[rows], before[rows - 1]])
        least = around.min(axis=0)
        soft = least - gamma * np.log(np.exp((least - around) / gamma).sum(axis=0))
        now = np.full(n + 1, np.inf)
        now[rows] = (x[rows - 1] - y[k - rows - 1]) ** 2 + soft
        before, last = last, now
    return last[n]


def log_count_of_paths(n, m):
    """log of the Delannoy number of (n - 1, m - 1)."""
    with mpmath.workdps(30):
        terms = []
        for k in range(0, min(n, m), max(1, min(n, m) // 1500)):
            log_orders = mpmath.loggamma(k + 1) + mpmath.loggamma(n - k) + mpmath.loggamma(m - k)
            terms.append(mpmath.loggamma(n + m - 1 - k) - log_orders)
        top = max(terms)
    return float(top)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_against_anti_diagonals(dtype):
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=length).astype(dtype) for length in (4000, 1500))
    for gamma in (0.01, 1.0):
        truth = anti_diagonals(x.astype(float), y.astype(float), gamma)
        for a, b in ((x, y), (y, x)):
            assert soft_dtw(a, b, gamma=gamma) == pytest.approx(
                truth, rel=2e-6 if dtype == "float32" else 1e-11
            )


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((200_000, 1000), "float32"), ((1000, 200_000), "float64"), ((30_000, 30_000), "float32")],
)
def test_value_of_long_series(shape, dtype):
    n, m = shape
    # At cost 0 the number of paths is left. The largest term of the sum that counts them misses the sum by a
    # factor below min(n, m) only.
    low = log_count_of_paths(n, m)
    value = soft_dtw(np.zeros(n, dtype), np.zeros(m, dtype), gamma=2.0)
    slack = 1e-5 if dtype == "float32" else 1e-9
    assert low * (1 - slack) - 1 <= -value / 2.0 <= (low + np.log(min(shape))) * (1 + slack) + 1
    # A stretched copy costs nothing to align, and the path follows the stretch.
    steps = np.random.default_rng(1).normal(size=min(shape)).cumsum().astype(dtype)
    x = np.repeat(steps, max(shape) // min(shape))
    a, b = (x, steps) if n >= m else (steps, x)
    assert dtw(a, b) == 0
    hard, path = dtw_path(a, b)
    assert hard == 0
    assert tuple(path[-1]) == (n - 1, m - 1)
    np.testing.assert_array_equal(a[path[:, 0]], b[path[:, 1]])


@pytest.mark.parametrize("shape", [(200_000, 1000), (30_000, 30_000)])
def test_gradient_of_long_series(shape):
    n, m = shape
    # A constant cost: all cells of a path add 2 (a - b) to the sum of the gradient, and the two sums cancel.
    got = soft_dtw_gradient(np.full(n, 1.0, np.float32), np.full(m, 0.5, np.float32), gamma=1.0)
    assert np.isfinite(got.x).all()
    assert np.isfinite(got.y).all()
    length = got.x.sum(dtype=np.float64)
    assert max(shape) * (1 - 1e-4) <= length <= sum(shape) * (1 + 1e-4)
    assert -got.y.sum(dtype=np.float64) == pytest.approx(length, rel=1e-4)


MEASURE = """
import json, resource, sys
import numpy as np
from sktime_sdtw.alignment import gdtw
from sktime_sdtw.metrics import *
from sktime_sdtw.signatures import signature, signature_kernel_gram

rng = np.random.default_rng(0)
{setup}
soft_dtw(np.zeros(3), np.zeros(4))  # what is allocated once
paired_soft_dtw_gradient(np.zeros((2, 3)), np.zeros((2, 4)), wrt=("x", "y"), n_jobs=2)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
result = {call}
parts = result if isinstance(result, tuple) else [result]
total = sum(np.asarray(part).nbytes for part in parts if part is not None)
print(json.dumps([(peak() - before) / 1024, total / 2**20]))
"""

WORKLOADS = {
    "pairwise": ("X = rng.normal(size=(100, 128))", "pairwise_soft_dtw(X, n_jobs=2)"),
    "pairwise with an output of 95 MiB": (
        "X = rng.normal(size=(5000, 8)).astype('f4')",
        "pairwise_soft_dtw(X, n_jobs=2)",
    ),
    "pairwise, full": ("X = rng.normal(size=(3000, 8))", "pairwise_soft_dtw(X, X[::-1])"),
    "divergence": ("X = rng.normal(size=(3000, 8))", "pairwise_soft_dtw_divergence(X, gamma=1.0)"),
    "kernel": ("X = rng.normal(size=(3000, 8))", "pairwise_gak(X)"),
    "cosine": ("X = rng.normal(size=(4000, 4, 2)).astype('f4')", "pairwise_soft_dtw(X, cost='cosine')"),
    "many features": ("X = rng.normal(size=(50, 300, 64))", "pairwise_soft_dtw(X)"),
    "gammas": ("X = rng.normal(size=(500, 16))", "pairwise_soft_dtw(X, gamma=[0.1, 1.0, 10.0])"),
    "ragged": (
        "X = [rng.normal(size=k) for k in rng.integers(1, 400, 200)]",
        "pairwise_soft_dtw(X, n_jobs=2)",
    ),
    "sharp": ("X = rng.normal(size=(150, 60))", "pairwise_sharp_soft_dtw_divergence(X)"),
    "callable": ("X = rng.normal(size=(60, 200))", "pairwise_soft_dtw(X, cost=lambda x, y: (x - y.T) ** 2)"),
    "gradients": (
        "X, Y = rng.normal(size=(2, 60, 400))",
        "paired_soft_dtw_gradient(X, Y, wrt=('x', 'y', 'gamma'), n_jobs=2)",
    ),
    "a pair of 200,000 x 1,000": ("x, y = np.zeros(200_000), np.zeros(1000)", "soft_dtw(x, y)"),
    "a gradient of 200,000 x 1,000": ("x, y = np.zeros(200_000), np.zeros(1000)", "soft_dtw_gradient(x, y)"),
    "a pair of 10,000 x 10,000": ("x, y = np.zeros((2, 10_000), 'f4')", "soft_dtw(x, y)"),
    "a gradient of 10,000 x 10,000": ("x, y = np.zeros((2, 10_000), 'f4')", "soft_dtw_gradient(x, y)"),
    "a path of 10,000 x 10,000": ("x, y = np.zeros((2, 10_000), 'f4')", "dtw_path(x, y)"),
}


@needs_proc
@pytest.mark.parametrize("workload", WORKLOADS)
def test_memory_beyond_the_result(workload, tmp_path):
    setup, call = WORKLOADS[workload]
    code = MEASURE.format(setup=setup, call=call)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=300
    )
    assert done.returncode == 0, done.stderr
    grown, result = json.loads(done.stdout)
    assert grown - result < 64


INTERRUPT = """
import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
import numpy as np
from sktime_sdtw.alignment import gdtw
from sktime_sdtw.metrics import *
from sktime_sdtw.signatures import signature, signature_kernel_gram

rng = np.random.default_rng(0)
{setup}
threads = lambda: len(os.listdir("/proc/self/task"))
soft_dtw(np.zeros(3), np.zeros(4))
before = threads()
print("start", flush=True)
try:
    while True:
        {call}
except KeyboardInterrupt:
    stopped = time.perf_counter()
    while threads() > before and time.perf_counter() < stopped + 1:
        time.sleep(0.01)  # a helper stays for the next call, for a tenth of a second
    print(threads() - before, flush=True)
"""


@needs_proc
@pytest.mark.parametrize(
    ("setup", "call"),
    [
        ("X = rng.normal(size=(4000, 500))", "pairwise_soft_dtw(X, n_jobs=2)"),
        ("X = rng.normal(size=(4000, 500)).astype('f4')", "pairwise_dtw(X)"),
        ("x, y = rng.normal(size=(2, 100_000))", "soft_dtw(x, y)"),
        ("x, y = rng.normal(size=(2, 100_000))", "soft_dtw_gradient(x, y)"),
        ("x, y = rng.normal(size=(2, 100_000))", "dtw_path(x, y)"),
        (
            "X, Y = rng.normal(size=(2, 3000, 1000))",
            "paired_soft_dtw_gradient(X, Y, wrt=('x', 'y'), n_jobs=2)",
        ),
        ("x = rng.normal(size=(64, 20_000, 4))", "signature(x, 7)"),
        ("x = rng.normal(size=(1, 200_000, 4))", "signature(x, 9, n_jobs=2)"),
        ("x = rng.normal(size=(300, 1000, 2))", "signature_kernel_gram(x, n_jobs=2)"),
        ("x, y = rng.normal(size=(2, 1000)).cumsum(1)", "gdtw(x, y, reg=0.1, exact=True)"),
    ],
)
def test_interrupt_returns_promptly_and_leaves_no_thread(setup, call, tmp_path):
    code = INTERRUPT.format(setup=setup, call=call)
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            assert process.stdout.readline() == "start\n"
            time.sleep(0.7)
            assert process.poll() is None
            sent = time.perf_counter()
            process.send_signal(signal.SIGINT)
            answer, _ = process.communicate(timeout=60)
            waited = time.perf_counter() - sent
        finally:
            process.kill()
    assert answer.strip() == "0"
    assert waited < 2.0
