"""Compiling with NVRTC; loading and starting kernels, and copies, on a GPU made of host memory."""

from __future__ import annotations

import ctypes
import pickle
import re
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest
from fake_gpu import FakeDriver, FakeTorch, argument, plugged_in
from sktime_sdtw.cuda_ext import _compile, _copies, _devices, _driver, _nvrtc, _runtime
from sktime_sdtw.cuda_ext._cache import Binary, KernelCache
from sktime_sdtw.cuda_ext._compile import (
    CompileError,
    build,
    choose_architecture,
    compile_kernel,
    read_resources,
)
from sktime_sdtw.cuda_ext._driver import Driver, DriverError
from sktime_sdtw.cuda_ext._runtime import CudaRuntime, DeviceMemoryError, cuda_runtime
from sktime_sdtw.cuda_ext._sources import KernelSpec
from sktime_sdtw.cuda_ext._specs import make_spec


class Scale(KernelSpec):
    """A kernel of a few lines: data[i] *= factor * FACTOR."""

    def parts(self) -> list[tuple[str, str]]:
        text = """extern "C" __global__ void scale(double *data, long long count, float factor, int *) {
    for (long long i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
        data[i] *= factor * FACTOR;
}"""
        return [("scale.cu", text)]


SCALE = Scale("scale", (("FACTOR", "2"),))


# ── Compiling ───────────────────────────────────────────────────────────────────────────────────────


def no_nvrtc() -> str:
    try:
        _compile.nvrtc_version()
    except CompileError as error:
        return str(error)
    return ""


needs_nvrtc = pytest.mark.skipif(bool(no_nvrtc()), reason=no_nvrtc() or "-")


@needs_nvrtc
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
def test_compile(architecture):
    binary, log = compile_kernel(SCALE, architecture)
    assert binary.architecture == architecture
    assert binary.code.startswith(b"\x7fELF")
    resources = read_resources(log)
    assert 8 <= resources.registers <= 40
    assert (resources.spill_stores, resources.spill_loads, resources.stack, resources.shared) == (0, 0, 0, 0)


@needs_nvrtc
def test_compile_error_shows_the_log():
    with pytest.raises(CompileError) as failure:
        compile_kernel(Scale("scale", ()), "sm_90")
    text = str(failure.value)
    assert "scale() for sm_90" in text
    assert 'scale.cu(3): error: identifier "FACTOR" is undefined' in text
    assert "\0" not in text


@needs_nvrtc
def test_unknown_architecture():
    with pytest.raises(CompileError, match="invalid value for --gpu-architecture"):
        compile_kernel(SCALE, "sm_17")


@needs_nvrtc
def test_built_for_a_device_and_kept(tmp_path, monkeypatch):
    binary = build(SCALE, (9, 0), KernelCache(tmp_path / "kernels"))
    assert binary.architecture == "sm_90"

    def compiled(*arguments):
        raise AssertionError("compiled again")

    monkeypatch.setattr(_compile, "compile_kernel", compiled)
    assert build(SCALE, (9, 0), KernelCache(tmp_path / "kernels")) == binary
    others = [(SCALE, (8, 0)), (Scale("scale", (("FACTOR", "3"),)), (9, 0))]
    for spec, capability in others:
        with pytest.raises(AssertionError, match="compiled again"):
            build(spec, capability, KernelCache(tmp_path / "kernels"))
    monkeypatch.setattr(_compile, "nvrtc_identity", lambda: "another one")
    with pytest.raises(AssertionError, match="compiled again"):
        build(SCALE, (9, 0), KernelCache(tmp_path / "kernels"))


def test_nothing_is_compiled_where_the_compiler_is_missing(monkeypatch):
    monkeypatch.setattr(_nvrtc, "_opened", [])
    monkeypatch.setattr(_nvrtc, "_candidates", lambda: iter(()))
    monkeypatch.setattr(_nvrtc.ctypes, "CDLL", no_library)
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    with pytest.raises(CompileError, match=r"NVRTC is not found: .*libnvrtc.so.13: no such file"):
        compile_kernel(SCALE, "sm_90")
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(CompileError, match="NVRTC cannot be loaded"):
        _compile.nvrtc_version()


def no_library(name):
    raise OSError(f"{name}: no such file")


def test_ptx_by_cuda_core(monkeypatch):
    """cuda.core checks PTX against the driver, so that it cannot be made without one: the call, then."""
    calls = []

    class Program:
        def __init__(self, code, kind, options):
            self.options = options

        def compile(self, target, logs):
            calls.append((target, self.options["arch"], self.options["ptxas_options"]))
            logs.write("a warning\0")
            return type("Code", (), {"code": b"// PTX"})

    core = type(sys)("cuda.core")
    core.Program, core.ProgramOptions = Program, dict
    monkeypatch.setitem(sys.modules, "cuda.core", core)
    monkeypatch.setattr(_compile, "_has_core", lambda: True)
    binary, log = compile_kernel(SCALE, "compute_120")
    assert binary == Binary("compute_120", b"// PTX")
    assert log == "a warning"
    assert calls == [("ptx", "compute_120", None)]


@needs_nvrtc
@pytest.mark.skipif(not _compile._has_core(), reason="cuda.core is not installed")
def test_nvrtc_by_itself_makes_the_same_code(monkeypatch):
    for spec in (SCALE, make_spec("spans", "float", (("REAL", "double"),))):
        by_core, _ = compile_kernel(spec, "sm_90")
        with monkeypatch.context() as without_core:
            without_core.setattr(_compile, "_has_core", lambda: False)
            directly, log = compile_kernel(spec, "sm_90")
        assert directly == by_core
        assert read_resources(log).spill_stores == 0


@needs_nvrtc
def test_nvrtc_by_itself(monkeypatch):
    monkeypatch.setattr(_compile, "_has_core", lambda: False)
    binary, _ = compile_kernel(SCALE, "compute_90")  # PTX, which cuda.core makes for a driver only
    assert b".target sm_90" in binary.code
    assert b".visible .entry scale" in binary.code
    assert "directly" in _compile.way_to_nvrtc()
    with pytest.raises(CompileError) as failure:
        compile_kernel(Scale("scale", ()), "sm_90")
    assert 'scale.cu(3): error: identifier "FACTOR" is undefined' in str(failure.value)
    with pytest.raises(CompileError, match="invalid value for --gpu-architecture"):
        compile_kernel(SCALE, "sm_17")


@needs_nvrtc
def test_the_same_nvrtc_is_asked_directly_and_through_the_bindings(monkeypatch):
    pytest.importorskip("cuda.bindings")
    direct = _compile.nvrtc_version(), _compile.supported_architectures()
    monkeypatch.setattr(_nvrtc, "_opened", [])
    monkeypatch.setattr(_nvrtc, "_load", lambda: no_nvrtc_here())
    assert (_compile.nvrtc_version(), _compile.supported_architectures()) == direct


def no_nvrtc_here():
    raise _nvrtc.NvrtcError("it is not here")


@pytest.mark.skipif(sys.platform != "linux", reason="names of Linux")
@pytest.mark.parametrize(
    ("files", "torch", "expected"),
    [
        (["nvidia/cu13/lib/libnvrtc.so.13", "nvidia/cu13/lib/libnvrtc-builtins.so.13.0"], None, 0),
        (["nvidia/cu13/lib/libnvrtc.alt.so.13", "nvidia/cuda_nvrtc/lib/libnvrtc.so.12"], None, 1),
        (["nvidia/cuda_nvrtc/lib/libnvrtc.so.12", "nvidia/cu13/lib/libnvrtc.so.13"], None, 1),
        (["nvidia/cuda_nvrtc/lib/libnvrtc.so.12", "nvidia/cu13/lib/libnvrtc.so.13"], "12.8", 0),
        (["torch/lib/libnvrtc-b51b459d.so.12", "torch/lib/libnvrtc-builtins.so.12.4"], "12.4", 0),
        (["nvidia/cuda_nvrtc/lib/libnvrtc.so.11.2"], "12.4", None),
        (["nvidia/cu13/lib/libnvrtc.so"], None, None),
    ],
)
def test_where_nvrtc_lies(tmp_path, monkeypatch, files, torch, expected):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "empty"), str(tmp_path), ""])
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "empty"))
    monkeypatch.setattr(_nvrtc, "TOOLKIT", str(tmp_path / "empty"))
    for name in ("CUDA_PATH", "CUDA_HOME"):
        monkeypatch.delenv(name, raising=False)
    version = types.SimpleNamespace(version=types.SimpleNamespace(cuda=torch))
    monkeypatch.setitem(sys.modules, "torch", version)
    found = next(_nvrtc._candidates(), None)
    assert found == (None if expected is None else tmp_path / files[expected])
    assert _nvrtc.found_generation() == (None if found is None else int(found.name.split(".so.")[1][:2]))


NVRTC_12_6 = [50, 52, 53, 60, 61, 62, 70, 72, 75, 80, 86, 87, 89, 90]
NVRTC_13 = [75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121]


@pytest.mark.parametrize(
    ("capability", "supported", "expected"),
    [
        ((7, 5), NVRTC_13, "sm_75"),
        ((8, 0), NVRTC_13, "sm_80"),
        ((8, 6), NVRTC_13, "sm_86"),
        ((8, 7), NVRTC_13, "sm_87"),
        ((9, 0), NVRTC_13, "sm_90"),
        ((10, 0), NVRTC_13, "sm_100"),
        ((12, 0), NVRTC_13, "sm_120"),
        ((12, 0), NVRTC_12_6, "compute_90"),  # a newer generation
        ((13, 5), NVRTC_13, "compute_121"),
        ((12, 3), NVRTC_13, "sm_121"),  # newer, of the same generation
        ((8, 9), [75, 80, 86, 87], "sm_86"),  # 87 is a system on a chip
        ((10, 3), [90, 100, 101, 120], "sm_100"),
        ((11, 0), [90, 100, 101, 120], "compute_100"),
        ((8, 8), [75, 80, 86], "compute_86"),  # itself a system on a chip
    ],
)
def test_architecture(capability, supported, expected):
    assert choose_architecture(capability, supported) == expected


def test_architecture_that_cannot_be():
    with pytest.raises(CompileError, match=r"7\.5 \(Turing\) or later; this one has 7\.0"):
        choose_architecture((7, 0), NVRTC_12_6)
    with pytest.raises(CompileError, match=r"cannot compile for compute capability 7\.5, only for: 8\.0"):
        choose_architecture((7, 5), [80, 90])


def test_resources():
    log = """ptxas info    : Function properties for f
ptxas         .     432 bytes stack frame, 8 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 26 registers, used 1 barriers, 432 bytes cumulative stack size, 256 bytes smem"""
    assert read_resources(log) == (26, 432, 8, 16, 256)
    with pytest.raises(ValueError, match="no report"):
        read_resources("nothing")


# ── The driver ──────────────────────────────────────────────────────────────────────────────────────


def prototypes(*names: str) -> dict[str, list[str]]:
    """The C prototypes of a library as the installed bindings have them: types of the arguments by name."""
    bindings = pytest.importorskip("cuda.bindings")
    folder = Path(bindings.__path__[0])
    text = "".join(path.read_text() for name in names if (path := folder / name).is_file())
    if not text:
        pytest.skip(f"these bindings have none of {', '.join(names)}")
    found = re.findall(r"^cdef \w+ _(\w+)\((.*?)\) (?:except|nogil)", text, re.MULTILINE)
    return {name: [part.rsplit(" ", 1)[0] for part in parts.split(", ") if part] for name, parts in found}


def kind_of(type_: str) -> type:
    """How an argument of a C type is passed."""
    numbers = {"int": ctypes.c_int, "unsigned int": ctypes.c_uint, "size_t": ctypes.c_size_t}
    enumerations = ("CUdevice", "CUresult", "CUfunction_attribute")  # and handles are pointers
    return ctypes.c_int if type_ in enumerations else numbers.get(type_, ctypes.c_void_p)


@pytest.mark.parametrize(
    ("signatures", "files"),
    [
        (_driver._SIGNATURES, ("_internal/driver.pxd", "_bindings/cydriver.pxd")),
        (_nvrtc._SIGNATURES, ("_internal/nvrtc.pxd", "_bindings/cynvrtc.pxd")),
    ],
    ids=["libcuda", "libnvrtc"],
)
def test_functions_are_called_as_the_bindings_call_them(signatures, files):
    known = prototypes(*files)
    for name, ours in signatures.items():
        theirs = [kind_of(type_) for type_ in known[name]]
        # Text and images go as bytes, where C has a pointer.
        assert [ctypes.c_void_p if kind is ctypes.c_char_p else kind for kind in ours] == theirs, name


def test_numbers_of_the_driver():
    driver = pytest.importorskip("cuda.bindings.driver")
    attribute = driver.CUfunction_attribute
    assert _driver._ATTRIBUTES == {
        "shared_bytes": attribute.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES,
        "local_bytes": attribute.CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES,
        "registers": attribute.CU_FUNC_ATTRIBUTE_NUM_REGS,
    }
    names = ("INVALID_IMAGE", "NO_BINARY_FOR_GPU", "UNSUPPORTED_PTX_VERSION", "ILLEGAL_ADDRESS")
    assert list(_driver._HINTS) == [getattr(driver.CUresult, f"CUDA_ERROR_{name}") for name in names]
    assert driver.CUresult.CUDA_ERROR_NO_DEVICE == 100  # _devices asks for it
    assert driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY == _driver.OUT_OF_MEMORY


def test_arguments_arrive_as_the_kernel_reads_them():
    torch = FakeTorch()
    library = FakeDriver(torch)
    seen = []

    def kernel(pointers):
        kinds = [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_int,
            ctypes.c_longlong,
            ctypes.c_float,
            ctypes.c_double,
            ctypes.c_uint8,
            ctypes.c_bool,
            ctypes.c_uint64,
        ]
        seen.append([argument(pointers, k, kind) for k, kind in enumerate(kinds)])
        return lambda: None

    library.kernel = kernel
    driver = Driver(library)
    function = driver.load(1, b"image", "scale")
    values = [
        2**63 + 5,
        None,
        np.int32(-7),
        np.int64(-(2**40)),
        np.float32(0.1),
        np.float64(0.1),
        np.uint8(200),
        np.bool_(True),
        np.uint64(2**64 - 1),
    ]
    stream = torch.current_stream(1).cuda_stream
    driver.launch(1, function, 1000, 256, stream, values)
    assert seen == [[2**63 + 5, None, -7, -(2**40), np.float32(0.1), 0.1, 200, True, 2**64 - 1]]
    assert library.launches == [(function, 1000, 256, stream, 0xC1)]  # on the context of device 1
    assert library.contexts == []
    assert library.images == [b"image"]
    for other in (torch.current_stream(0).cuda_stream, 0x77):  # the stand-in is as strict as the driver
        with pytest.raises(DriverError, match=r"\(400\)"):
            driver.launch(1, function, 1, 32, other, values)


@pytest.mark.parametrize("wrong", [1.5, True, "x", np.zeros(3), np.float16(1), [1]])
def test_arguments_that_no_kernel_has(wrong):
    with pytest.raises(TypeError, match="Argument 1 of a kernel must be"):
        Driver(FakeDriver(FakeTorch())).launch(0, 1, 1, 32, 0, [np.int32(1), wrong])


def test_too_many_arguments():
    with pytest.raises(ValueError, match="at most 64"):
        Driver(FakeDriver(FakeTorch())).launch(0, 1, 1, 32, 0, [None] * 65)


def test_driver_errors_say_what_to_do():
    library = FakeDriver(FakeTorch())
    driver = Driver(library)
    assert driver.version() == (13, 0)
    assert driver.attributes(0, 5) == {"shared_bytes": 10, "local_bytes": 30, "registers": 40}
    library.fail["cuModuleLoadData"] = 222
    with pytest.raises(
        DriverError, match=r"cuModuleLoadData: CUDA_ERROR_FAKE \(222\).*older NVRTC"
    ) as failure:
        driver.load(0, b"image", "scale")
    assert failure.value.code == 222
    library.fail["cuLaunchKernel"] = 1
    with pytest.raises(DriverError, match=r"cuLaunchKernel: CUDA_ERROR_FAKE \(1\), asked to fail\.$"):
        driver.launch(0, 1, 1, 32, 0, [])
    assert library.contexts == []  # also after an error


# ── The runtime ─────────────────────────────────────────────────────────────────────────────────────


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
