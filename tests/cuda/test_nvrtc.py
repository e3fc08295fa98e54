"""Compiling with NVRTC: through cuda.core, by itself, for which architecture; what is kept."""

from __future__ import annotations

import sys
import types

import pytest
from sktime_sdtw.cuda_ext import _compile, _nvrtc
from sktime_sdtw.cuda_ext._cache import Binary, KernelCache
from sktime_sdtw.cuda_ext._compile import (
    CompileError,
    build,
    choose_architecture,
    compile_kernel,
    read_resources,
)
from sktime_sdtw.cuda_ext._specs import make_spec
from small_kernel import SCALE, Scale, needs_nvrtc


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
