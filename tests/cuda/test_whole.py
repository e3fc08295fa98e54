"""All layers at once, from arrays to kernels: only torch, the driver and the GPU itself are stand-ins.

Kernels are loaded and started through ctypes with their arguments packed as for the driver, and everything
queued is done as late as possible; then the kernels are executed on the host.
"""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from fake_gpu import plugged_in
from gpu_runtime import OnGpu
from sktime_sdtw.cuda_ext import _pieces, _plan
from sktime_sdtw.cuda_ext._runtime import DeviceMemoryError, cuda_runtime
from sktime_sdtw.cuda_ext._signature_kernel import POINTS, KernelProblem, SignatureKernelEngine
from sktime_sdtw.cuda_ext._signature_kernel_plan import Window
from sktime_sdtw.cuda_ext._signatures import PathBatch, SignatureEngine

import sktime_sdtw as sdtw
from sktime_sdtw._engine import resolve_device
from sktime_sdtw.signatures import _kernel_numpy, _numpy
from sktime_sdtw.signatures._kernel_numpy import Settings


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    with plugged_in(monkeypatch, tmp_path) as torch:
        torch.multiprocessors = 2
        torch.library.emulate = True
        yield torch


rng = np.random.default_rng(0)
X = [rng.normal(size=(length, 1)).astype(np.float32) for length in (11, 6, 40)]
Y = [rng.normal(size=(length, 1)).astype(np.float32) for length in (8, 150, 7)]


@pytest.mark.parametrize(
    "call",
    [
        lambda device: sdtw.pairwise_soft_dtw(X, Y, gamma=[1.0, 0.1], device=device),
        lambda device: sdtw.pairwise_soft_dtw(X, gamma=0.5, device=device),
        lambda device: sdtw.paired_soft_dtw_gradient(X, Y, wrt=("x", "y"), device=device),
        lambda device: sdtw.dtw_path(X[0], Y[0], device=device),
        lambda device: list(vars(sdtw.gdtw(X, [Y[0], *Y[::2]], device=device)).values()),
    ],
    ids=["several gammas", "with itself", "gradients", "path", "warps"],
)
def test_from_arrays_to_arrays(gpu, call):
    found, expected = flat(call("cuda:1")), flat(call("cpu"))
    assert gpu.library.launches
    assert {context for *_, context in gpu.library.launches} == {0xC1}
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.fixture
def each_takes_part(monkeypatch):
    """The first piece of each device waits for that of the other one: none does all the work alone."""
    next_piece, together, here = _pieces.Downloads.next_piece, threading.Barrier(2), threading.local()

    def next_piece_together(downloads):
        if not hasattr(here, "met"):
            here.met = together.wait(timeout=60)
        next_piece(downloads)

    monkeypatch.setattr(_pieces.Downloads, "next_piece", next_piece_together)


@pytest.mark.usefixtures("each_takes_part")
@pytest.mark.parametrize("device", ["cuda:all", ["cuda:1", "cuda:0"]])
def test_several_gpus_share_the_work(gpu, monkeypatch, device):
    """Each on its own streams and in its own context, with its own copies of what all of them need."""
    monkeypatch.setattr(_plan, "RESULT_BYTES", 60)
    monkeypatch.setattr(_plan, "scratch_budget", lambda *_: 3000)
    x, y = X * 3, Y * 3
    for call in (
        lambda device: sdtw.pairwise_soft_dtw(x, y, gamma=[1.0, 0.1], device=device),
        lambda device: sdtw.pairwise_soft_dtw(x, gamma=0.5, device=device),
        lambda device: sdtw.paired_soft_dtw_gradient(x, y, wrt=("x", "y"), device=device),
    ):
        gpu.library.launches.clear()
        found, expected = flat(call(device)), flat(call("cpu"))
        assert {context for *_, context in gpu.library.launches} == {0xC0, 0xC1}
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_several_threads_at_once(gpu):
    """Each on a stream of its own, with kernels and constants that all of them need."""

    def call(k, device):
        return sdtw.paired_soft_dtw_gradient(X, Y, gamma=1.0 + k % 2, wrt=("x", "y"), device=device)

    found, begin = [None] * 6, threading.Barrier(6)

    def work(k):
        with gpu.cuda.stream(gpu.cuda.Stream(k % 2)):
            begin.wait(timeout=60)
            found[k] = call(k, f"cuda:{k % 2}")

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({stream for *_, stream, _ in gpu.library.launches}) == 6
    for k, result in enumerate(found):
        for a, b in zip(flat(result), flat(call(k, "cpu")), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_has_no_gpu(gpu):
    sdtw.pairwise_soft_dtw(X, device="cuda:0")
    child = os.fork()
    if child == 0:
        gpu.bad_fork, said = True, ""  # which torch notices
        try:
            try:
                sdtw.pairwise_soft_dtw(X, device="cuda:0")
            except RuntimeError as error:
                said = str(error)
            os._exit(0 if "forked" in said and resolve_device("auto", 1e15) == "cpu" else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert resolve_device("auto", 1e15) == "cuda:0"


def flat(result):
    if isinstance(result, (list, tuple)):
        return [array for part in result for array in flat(part)]
    return [] if result is None else [np.asarray(result)]


def test_a_gpu_in_the_place_of_an_emulated_one(gpu):
    runtime = OnGpu(3, memory=1000, order=5)
    assert (runtime.multiprocessors, runtime.capability, runtime.free_memory()) == (3, (9, 0), 1000)
    first = runtime.upload(np.arange(20.0))
    assert runtime.free_memory() == 1000 - first.nbytes
    with pytest.raises(DeviceMemoryError):
        runtime.empty(900, np.uint8)
    np.testing.assert_array_equal(runtime.download(first, (4, 5)), np.arange(20.0).reshape(4, 5))
    del first
    assert runtime.free_memory() == 1000
    assert OnGpu(capability=(7, 5)).capability == (7, 5)
    assert OnGpu()._functions is cuda_runtime(0)._functions


@pytest.mark.parametrize("stream", [False, True])
def test_signatures(gpu, stream):
    x = (rng.normal(size=(2, 150, 2)) / 10).astype(np.float32)
    lengths = np.array([150, 7])
    expected = _numpy.signature(x, None, lengths, 3, stream, None, None)
    gradient = rng.normal(size=expected.shape).astype(np.float32)
    known = expected if stream else None
    slope = _numpy.signature_gradient(x, None, lengths, 3, stream, None, known, gradient, None)[0]
    runtime = cuda_runtime(0)
    engine = SignatureEngine(runtime, np.float32)
    batch = PathBatch(runtime.upload(x), None, lengths, None, *x.shape, 3)
    out = engine.signature(batch, None, stream)
    np.testing.assert_allclose(runtime.download(out, expected.shape), expected, atol=1e-5)
    back = engine.signature_gradient(batch, None, out if stream else None, runtime.upload(gradient), stream)
    np.testing.assert_allclose(runtime.download(back[0], x.shape), slope, atol=1e-4)
    assert back[1:] == (None, None)


def test_signature_kernels(gpu):
    x = rng.normal(size=(2, 150, 2)).cumsum(axis=1).astype(np.float32) / 20
    y = rng.normal(size=(3, 40, 2)).cumsum(axis=1).astype(np.float32) / 10
    lengths = np.array([150, 70]), np.array([40, 1, 12])
    settings = Settings("rbf", 0.5, (1, 0))
    expected = _kernel_numpy.kernel(x, y, *lengths, False, settings, None)
    weights = rng.normal(size=expected.shape).astype(np.float32)
    slopes = _kernel_numpy.kernel_gradient(x, y, *lengths, weights, False, settings, None)
    runtime = cuda_runtime(0)
    problem = KernelProblem(
        POINTS, runtime.upload(x), runtime.upload(y), lengths[0] - 1, lengths[1] - 1, 150, 40, 2, 0.5, 1, 0
    )
    engine = SignatureKernelEngine(runtime, np.float32, problem)
    window = Window(0, 2, 0, 3, strips=engine.sizes.strips)
    assert window.strips > 1
    out = runtime.upload(np.ones((2, 3), np.float32))
    engine.values(window, out, 3)
    np.testing.assert_allclose(runtime.download(out, (2, 3)), expected, rtol=1e-5)
    backs = engine.gradient(window, runtime.upload(weights), 3)
    for back, slope, axis in zip(backs, slopes, (1, 0), strict=True):
        found = runtime.download(back, (2, 3, *slope.shape[1:])).sum(axis=axis)
        np.testing.assert_allclose(found, slope, atol=1e-5 * abs(slope).max())
