"""Memory, copies, kernels and constants of one device, on GPUs made of host memory and on a real one."""

from __future__ import annotations

import ctypes
import pickle
import threading

import numpy as np
import pytest
from fake_gpu import argument, plugged_in
from sktime_sdtw.cuda_ext import _compile, _copies, _devices, _plan, _runtime
from sktime_sdtw.cuda_ext._compile import CompileError
from sktime_sdtw.cuda_ext._driver import DriverError
from sktime_sdtw.cuda_ext._runtime import CudaRuntime, DeviceMemoryError, cuda_runtime
from sktime_sdtw.cuda_ext._sources import KernelSpec
from small_kernel import SCALE, Scale

import sktime_sdtw as sdtw


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    with plugged_in(monkeypatch, tmp_path) as torch:
        torch.library.kernel = times
        yield torch


def times(pointers):
    """The kernel SCALE: its arguments are read at the launch, as the driver does, its data when it runs."""
    data, count, factor = (
        argument(pointers, k, kind)
        for k, kind in enumerate((ctypes.c_void_p, ctypes.c_longlong, ctypes.c_float))
    )
    array = np.ctypeslib.as_array(ctypes.cast(data, ctypes.POINTER(ctypes.c_double)), (count,))
    return lambda: np.multiply(array, factor, out=array)


def scale(runtime: CudaRuntime, buffer, factor: float, spec: KernelSpec = SCALE) -> None:
    runtime.launch(spec, 4, 128, [buffer, np.int64(buffer.count), np.float32(factor), None])


def test_up_through_a_kernel_and_down(gpu):
    runtime = CudaRuntime(1)
    assert (runtime.multiprocessors, runtime.capability) == (132, (9, 0))
    x = np.arange(12.0).reshape(3, 4)
    buffer = runtime.upload(x)
    assert (buffer.count, buffer.nbytes, buffer.dtype) == (12, 96, np.float64)
    expected = x * 3
    x[:] = -1  # the copy has been taken, though the GPU has not seen it yet
    scale(runtime, buffer, 3.0)
    result = runtime.download(buffer, (2, 3, 2))
    np.testing.assert_array_equal(result, expected.reshape(2, 3, 2))
    launch = gpu.library.launches[0]
    assert launch[1:] == (4, 128, gpu.current_stream(1).cuda_stream, 0xC1)
    assert gpu.compiled == [(SCALE, "sm_90")]


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 450, 1000])
def test_copies_in_chunks(gpu, monkeypatch, size):
    monkeypatch.setattr(_copies, "CHUNK", 100)
    runtime = CudaRuntime(0)
    x = np.random.default_rng(size).integers(0, 255, size).astype(np.uint8)
    buffer = runtime.upload(x)
    assert gpu.pinned_bytes <= 100 * _copies.DEPTH
    np.testing.assert_array_equal(runtime.download(buffer, (size,)), x)


def test_download_into_an_array(gpu, monkeypatch):
    monkeypatch.setattr(_copies, "CHUNK", 64)
    runtime = CudaRuntime(0)
    x = np.arange(60.0)
    buffer = runtime.upload(x)
    out = np.zeros((8, 5))
    assert runtime.download(buffer, (8, 5), out) is out
    np.testing.assert_array_equal(out, x[:40].reshape(8, 5))
    wide = np.zeros((6, 20))
    runtime.download(buffer, (6, 10), wide[:, 5:15])  # with gaps between the rows
    np.testing.assert_array_equal(wide[:, 5:15], x.reshape(6, 10))
    assert not wide[:, :5].any()
    assert not wide[:, 15:].any()
    for wrong in (np.zeros(40), np.zeros((8, 5), np.float32)):
        with pytest.raises(ValueError, match="out must be float64 of shape"):
            runtime.download(buffer, (8, 5), wrong)


def test_download_beside_later_work(gpu):
    """What is queued after `start_download` neither delays nor changes it, and its memory stays."""
    runtime = CudaRuntime(0)
    buffer = runtime.upload(np.ones(5))
    wait = runtime.start_download(buffer, (5,))
    other = runtime.zeros(7, np.float64)
    reached = []
    gpu.stream.add(lambda: reached.append("later work"))
    np.testing.assert_array_equal(wait(), 1.0)
    assert reached == []
    np.testing.assert_array_equal(runtime.download(other, (7,)), 0.0)
    assert reached == ["later work"]


def test_memory(gpu):
    runtime = CudaRuntime(0)
    assert runtime.free_memory() == 1000 + 200 - 30
    assert runtime.empty(0, np.float32).nbytes == 0
    with pytest.raises(DeviceMemoryError, match=r"GPU 0 has no 2 GiB left\. CUDA out of memory"):
        runtime.empty(2**28, np.float64)
    assert issubclass(DeviceMemoryError, MemoryError)
    tensor = gpu.zeros(3, np.float32)
    buffer = runtime.wrap(tensor)
    assert (buffer.pointer, buffer.dtype, buffer.tensor) == (tensor.data_ptr(), np.float32, tensor)


@pytest.mark.parametrize("function", ["cuModuleLoadData", "cuLaunchKernel"])
def test_memory_that_torch_holds_is_given_to_the_driver(gpu, function):
    runtime, failures = CudaRuntime(0), gpu.library.fail
    buffer = runtime.zeros(4, np.float64)
    failures[function] = 2
    with pytest.raises(DeviceMemoryError, match=rf"GPU 0 has no memory left\. CUDA driver, {function}"):
        scale(runtime, buffer, 1.0)
    gpu.cuda.empty_cache = failures.clear
    scale(runtime, buffer, 1.0)
    assert len(gpu.library.launches) == 1
    runtime, failures[function] = CudaRuntime(0), 700
    with pytest.raises(DriverError, match=rf"{function}.*\(700\)"):
        scale(runtime, buffer, 1.0)


def test_kernels_are_loaded_once_for_each_device(gpu):
    first, second = cuda_runtime(0), cuda_runtime(1)
    assert cuda_runtime(0) is first
    for runtime in (first, second, first):
        scale(runtime, runtime.zeros(4, np.float64), 1.0)
    assert len(gpu.compiled) == 1  # one architecture
    assert len(gpu.library.images) == 2
    assert first.attributes(SCALE)["registers"] == 40
    assert pickle.loads(pickle.dumps(first)) is first
    assert b"_functions" not in pickle.dumps(first)


def test_kernels_are_loaded_once_by_many_threads(gpu):
    runtime = cuda_runtime(0)
    specs = [Scale("scale", (("FACTOR", str(k)),)) for k in range(5)]
    buffer = runtime.zeros(4, np.float64)
    errors = []

    def work():
        try:
            for spec in specs:
                scale(runtime, buffer, 1.0, spec)
        except Exception as error:  # a thread cannot raise to the test
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(gpu.compiled) == len(gpu.library.images) == 5
    assert len(gpu.library.launches) == 30


def test_kernels_are_compiled_side_by_side_before_they_are_launched(gpu, monkeypatch):
    compile_now, together = _compile.compile_kernel, threading.Barrier(3)

    def compile_together(spec, architecture):
        together.wait(timeout=30)
        return compile_now(spec, architecture)

    monkeypatch.setattr(_compile, "compile_kernel", compile_together)
    runtime = cuda_runtime(0)
    specs = [Scale("scale", (("FACTOR", str(k)),)) for k in range(3)]
    runtime.prepare(specs)
    runtime.prepare(specs)
    buffer = runtime.zeros(4, np.float64)
    for spec in specs:
        scale(runtime, buffer, 1.0, spec)
    assert len(gpu.compiled) == len(gpu.library.images) == 3


def test_kernel_that_cannot_be_compiled_fails_at_its_launch(gpu, monkeypatch):
    def fail(spec, architecture):
        raise CompileError("no such thing")

    monkeypatch.setattr(_compile, "compile_kernel", fail)
    runtime = cuda_runtime(0)
    runtime.prepare([SCALE])
    for _ in range(2):
        with pytest.raises(CompileError, match="no such thing"):
            scale(runtime, runtime.zeros(4, np.float64), 1.0)


def test_empty_grid_is_not_started(gpu):
    runtime = CudaRuntime(0)
    runtime.launch(SCALE, 0, 128, [None, np.int64(0), np.float32(1), None])
    assert gpu.library.launches == []


def test_constants_are_uploaded_once(gpu):
    runtime = CudaRuntime(0)
    a, b = np.array([0, 3, 7]), np.array([0.0, 3.0, 7.0])
    first = runtime.constant(a)
    pinned = gpu.pinned_bytes
    assert runtime.constant(a.copy()) is first
    assert gpu.pinned_bytes == pinned
    assert runtime.constant(b) is not first
    np.testing.assert_array_equal(runtime.download(first, (3,)), a)
    gpu.stream = elsewhere = type(gpu.stream)()
    assert runtime.constant(a) is first  # on another stream: waits for the upload, and keeps the memory
    assert elsewhere in first.tensor.streams
    assert len(elsewhere._work) == 1


def test_constants_do_not_fill_the_memory(gpu, monkeypatch):
    monkeypatch.setattr(_runtime._Constants, "LIMIT", 100)
    runtime = CudaRuntime(0)
    first = runtime.constant(np.arange(8))
    assert runtime.constant(np.arange(8)) is first
    runtime.constant(np.arange(9))
    assert runtime.constant(np.arange(8)) is not first


def test_capture_after_a_call(gpu):
    runtime = CudaRuntime(0)
    offsets = np.arange(4)

    def call(buffer):
        runtime.free_memory()
        runtime.constant(offsets)
        scale(runtime, buffer, 2.0)
        runtime.zeros(3, np.int32)

    buffer = runtime.zeros(4, np.float64)
    gpu.capturing = True
    with pytest.raises(RuntimeError, match="same call once before"):
        scale(runtime, buffer, 2.0)
    with pytest.raises(RuntimeError, match="same call once before"):
        runtime.constant(offsets)
    with pytest.raises(RuntimeError, match="Pass CUDA tensors"):
        runtime.upload(np.ones(3))
    with pytest.raises(RuntimeError, match=r"functional\.capturable\(\)"):
        runtime.download(buffer, (4,))
    gpu.capturing = False
    call(buffer)
    gpu.capturing, pinned = True, gpu.pinned_bytes
    gpu.cuda.mem_get_info = None  # not to be called now
    call(buffer)
    assert gpu.pinned_bytes == pinned
    gpu.capturing = False


def test_no_runtime_without_a_gpu(gpu):
    gpu.available = False
    with pytest.raises(RuntimeError, match="is_available"):
        CudaRuntime(0)
    assert gpu.library.images == []


# ── With a real GPU ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def runtime():
    problem = _devices.obstacle()
    if problem is not None:
        pytest.skip(problem.text)
    return cuda_runtime(_devices.usable_devices()[0].index)


@pytest.mark.gpu
def test_on_a_gpu(runtime):
    x = np.random.default_rng(0).normal(size=(7, 1000))
    buffer = runtime.upload(x)
    scale(runtime, buffer, 1.5)
    np.testing.assert_array_equal(runtime.download(buffer, x.shape), x * 3)
    assert runtime.attributes(SCALE)["registers"] > 0


@pytest.mark.gpu
def test_large_copies_on_a_gpu(runtime):
    x = np.random.default_rng(0).integers(0, 255, 10 * _copies.CHUNK + 12345).astype(np.uint8)
    np.testing.assert_array_equal(runtime.download(runtime.upload(x), x.shape), x)


@pytest.mark.gpu
def test_memory_that_ends_sooner_than_planned_on_a_gpu(runtime, monkeypatch):
    """torch refuses what the GPU still has: the work goes on in smaller pieces."""
    import torch

    halved, halves = [], _plan.Window.halves
    monkeypatch.setattr(_plan.Window, "halves", lambda window: halved.append(window) or halves(window))
    X = np.random.default_rng(0).normal(size=(5000, 8)).astype(np.float32)
    torch.cuda.empty_cache()  # which would serve the call
    whole = torch.cuda.get_device_properties(runtime.index).total_memory
    most = torch.cuda.memory_reserved(runtime.index) + 24 * 2**20
    torch.cuda.set_per_process_memory_fraction(most / whole, runtime.index)
    try:
        found = sdtw.pairwise_soft_dtw(X, X[::-1], device=f"cuda:{runtime.index}")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, runtime.index)
    assert halved
    some = np.arange(0, 5000, 313)
    expected = sdtw.pairwise_soft_dtw(X[some], X[::-1], device="cpu")
    np.testing.assert_allclose(found[some], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
def test_streams_and_threads_on_a_gpu(runtime):
    import torch

    results = {}

    def work(k):
        with torch.cuda.stream(torch.cuda.Stream(runtime.index)):
            buffer = runtime.upload(np.full(100_000, float(k)))
            for _ in range(50):
                scale(runtime, buffer, 0.5)
            results[k] = runtime.download(buffer, (100_000,))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(8):
        np.testing.assert_array_equal(results[k], k)


@pytest.mark.gpu
def test_graph_on_a_gpu(runtime):
    import torch

    tensor = torch.ones(1000, dtype=torch.float64, device=f"cuda:{runtime.index}")

    def call():
        runtime.constant(np.arange(5))
        scale(runtime, runtime.wrap(tensor), 1.0)

    call()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    tensor.fill_(1.0)
    for _ in range(3):
        graph.replay()
    assert tensor.cpu().unique().tolist() == [8.0]
