"""The doctor's report, and which GPUs can be used or why none can."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from fake_gpu import forget, plugged_in
from sktime_sdtw.cuda_ext import _cache, _compile, _devices, _driver
from sktime_sdtw.cuda_ext._compile import CompileError

import sktime_sdtw.metrics
from sktime_sdtw import _engine, doctor


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    with plugged_in(monkeypatch, tmp_path) as torch:
        yield torch


@pytest.fixture
def no_driver(monkeypatch, tmp_path):
    def missing():
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setenv("SKTIME_SDTW_CACHE", str(tmp_path))
    monkeypatch.setattr(_devices, "open_driver", missing)
    monkeypatch.setattr(_driver, "open_driver", missing)
    forget()
    yield
    forget()


# ── Devices ─────────────────────────────────────────────────────────────────────────────────────────


def test_devices(gpu):
    assert _devices.obstacle() is None
    assert [(d.index, d.name, d.capability) for d in _devices.usable_devices()] == [
        (0, "Fake 0", (9, 0)),
        (1, "Fake 1", (9, 0)),
    ]
    assert _devices.device_indices("cuda") == [0]
    assert _devices.device_indices("cuda:1") == [1]
    assert _devices.device_indices("cuda:all") == [0, 1]
    assert _devices.device_indices(["cuda:1", "cuda:0", "cuda:1"]) == [1, 0]
    with pytest.raises(RuntimeError, match=r"no such GPU that can be used\. There are: 'cuda:0', 'cuda:1'"):
        _devices.device_indices("cuda:7")
    for wrong in ("cpu", "auto", "cuda:", "cuda:-1", "cuda:x", "gpu", [], [3]):
        with pytest.raises(ValueError, match="device must"):
            _devices.device_indices(wrong)


def test_old_devices_are_left_out(gpu):
    gpu.capability = (7, 0)
    assert _devices.obstacle() == (
        "A GPU of compute capability 7.5 or later is needed. Found: Fake 0 (7.0), Fake 1 (7.0).",
        False,
    )


def set_on(name, value):
    return lambda gpu, monkeypatch: setattr(gpu, name, value)


def no_torch(gpu, monkeypatch):
    find = _devices.importlib.util.find_spec
    monkeypatch.setattr(
        _devices.importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
    )


def broken_torch(gpu, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(_devices.importlib.util, "find_spec", lambda name: object())


def build(cuda, hip=None):
    return set_on("version", SimpleNamespace(cuda=cuda, hip=hip))


def not_available(driver=13000, devices=1, **failures):
    def prepare(gpu, monkeypatch):
        gpu.available = False
        gpu.library.number, gpu.library.devices = driver, devices
        gpu.library.fail.update(failures)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")

    return prepare


def without(*names, **versions):
    def prepare(gpu, monkeypatch):
        for name in names:
            del gpu.installed[name]
        gpu.installed.update({name.replace("_", "-"): version for name, version in versions.items()})

    return prepare


def no_nvrtc(gpu, monkeypatch):
    def fail():
        raise CompileError("NVRTC cannot be loaded: not found")

    del gpu.installed["nvidia-cuda-nvrtc"]
    monkeypatch.setattr(_devices, "nvrtc_version", fail)


def cannot_start(gpu, monkeypatch):
    def fail(index):
        raise RuntimeError("out of memory")

    gpu.cuda.get_device_properties = fail


@pytest.mark.parametrize(
    ("prepare", "broken", "text"),
    [
        (no_torch, False, r'PyTorch is not installed.*pip install "sktime-sdtw\[cuda13\]"'),
        (broken_torch, True, "PyTorch is installed and cannot be imported"),
        (build(None), False, r"PyTorch \(2.13.0\) is built for the CPU only.*pytorch.org"),
        (build(None, hip="6.4"), False, "is built for AMD GPUs"),
        (build("11.8"), False, "is built for CUDA 11.8; 12 or later is needed"),
        (set_on("bad_fork", True), False, "was forked after CUDA had been started.*spawn"),
        (not_available(cuInit=100), False, "no GPU that this process may use. CUDA_VISIBLE_DEVICES is '5'"),
        (
            not_available(cuInit=3),
            True,
            r"The driver does not start. CUDA driver, cuInit: CUDA_ERROR_FAKE \(3\)",
        ),
        (not_available(12020), True, "driver is for CUDA 12.2, and PyTorch was built for 13.0: update"),
        (not_available(), True, "PyTorch finds no GPU, though the driver has 1"),
        (no_nvrtc, True, r"NVRTC, the compiler of the kernels, is not found.*\[cuda13\]"),
        (without(nvidia_cuda_nvrtc="14.1.0"), True, r"is of CUDA 14, and the driver for CUDA 13.*\[cuda13\]"),
        (cannot_start, True, "CUDA cannot be started: out of memory"),
    ],
)
def test_the_one_thing_that_is_missing(gpu, monkeypatch, prepare, broken, text):
    prepare(gpu, monkeypatch)
    forget()
    problem = _devices.obstacle()
    assert problem is not None
    with pytest.raises(RuntimeError, match=f"device='cuda': .*{text}.*device='cpu' or device='auto' works"):
        _devices.device_indices("cuda")
    assert problem.broken == broken
    assert _devices.usable_devices() == []
    assert _devices.choose(1e13, torch_is_loaded=True) == ("cpu", problem.text)


def test_cuda_core_is_not_needed(gpu):
    del gpu.installed["cuda-core"], gpu.installed["cuda-bindings"]
    assert _devices.obstacle() is None
    assert _compile.nvrtc_identity() == "nvidia-cuda-nvrtc 13.0.88"


def test_nvrtc_from_elsewhere(gpu):
    del gpu.installed["nvidia-cuda-nvrtc"]  # as with conda: the library is there, and no such wheel
    assert _devices.obstacle() is None
    assert _compile.nvrtc_identity() == "cuda-bindings 13.0.3, NVRTC (13, 0)"


def test_no_driver(no_driver):
    assert _devices.obstacle() == ("There is no NVIDIA driver on this machine.", False)


def test_nobody_imports_torch_to_find_no_driver(tmp_path):
    code = (
        "import sys; from sktime_sdtw.cuda_ext import _devices, _driver\n"
        "def missing(): raise OSError\n"
        "_devices.open_driver = missing\n"
        "print(_devices.choose(1e15, False).device, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout.strip(), done.stderr) == ("cpu False", "")


def test_choice(gpu):
    assert _devices.choose(1e6, torch_is_loaded=True).device == "cpu"
    assert _devices.choose(1e8, torch_is_loaded=True).device == "cuda"
    assert _devices.choose(1e8, torch_is_loaded=False).device == "cpu"
    assert _devices.choose(1e11, torch_is_loaded=False).device == "cuda"


# ── The report ──────────────────────────────────────────────────────────────────────────────────────


def test_machine_without_a_gpu_is_not_broken(no_driver, capsys):
    assert doctor.main([]) == 0
    report = capsys.readouterr().out
    assert f"instruction set {_engine.instruction_set()}" in report
    assert "none is used. There is no NVIDIA driver" in report
    assert "1000 × 1000 series of length 512, 1 feature: cpu." in report
    assert report.endswith("Nothing is broken.\n")


def test_what_is_asked_for_has_to_work(no_driver, capsys):
    assert doctor.main(["--device", "cuda:0"]) == 1
    assert "device='cuda:0': There is no NVIDIA driver" in capsys.readouterr().out
    assert doctor.main(["--device", "cpu"]) == 0
    assert doctor.main(["--device", "quantum"]) == 1


def test_small_workload(no_driver, capsys):
    assert doctor.main(["--n", "10", "--length", "20", "--features", "3"]) == 0
    assert (
        "10 × 10 series of length 20, 3 features: cpu. 6e+04 cells are not worth" in capsys.readouterr().out
    )


def test_workload_must_be_positive(capsys):
    with pytest.raises(SystemExit):
        doctor.main(["--n", "0"])
    assert "must be 1 or more" in capsys.readouterr().err


def test_report_on_gpus(gpu, capsys, monkeypatch):
    compute = sktime_sdtw.metrics.pairwise_soft_dtw
    asked = []

    def pretend(X, *, gamma, device):
        asked.append(device)
        return compute(X, gamma=gamma, device="cpu")

    monkeypatch.setattr(sktime_sdtw.metrics, "pairwise_soft_dtw", pretend)
    assert doctor.main(["--device", "cuda:all"]) == 0
    report = capsys.readouterr().out
    assert asked == ["cuda:0", "cpu", "cuda:1", "cpu"]
    assert "torch         2.13.0, CUDA 13.0" in report
    assert "driver        for CUDA 13.0" in report
    assert "cuda:1        Fake 1, 9.0, 132 multiprocessors" in report
    assert "computes what the CPU computes" in report
    assert "cuda:all: cuda:0,cuda:1" in report
    assert doctor.main(["--n", "100", "--length", "100"]) == 0
    report = capsys.readouterr().out
    assert "cuda where torch is imported already" in report
    assert "cpu where it is not" in report


def test_the_trial_runs_through_all_layers(gpu, capsys):
    gpu.multiprocessors, gpu.count, gpu.library.emulate = 2, 1, True
    forget()
    assert doctor.main(["--device", "cuda:0"]) == 0
    assert "computes what the CPU computes; first call" in capsys.readouterr().out
    entries = {spec.entry for spec, _ in gpu.compiled}
    assert {"ranges", "classify", "sweep"} <= entries


def test_wrong_numbers_are_broken(gpu, capsys, monkeypatch):
    monkeypatch.setattr(
        sktime_sdtw.metrics, "pairwise_soft_dtw", lambda X, **options: np.full((5, 5), len(options["device"]))
    )
    assert doctor.main([]) == 1
    assert "computes something else than the CPU  <- broken" in capsys.readouterr().out


def test_a_check_that_fails_does_not_end_the_report(gpu, capsys, monkeypatch):
    def fail(*arguments):
        raise CompileError("NVRTC cannot compile")

    monkeypatch.setattr(_compile, "compile_kernel", fail)
    assert doctor.main([]) == 1
    report = capsys.readouterr().out
    assert "CompileError: NVRTC cannot compile  <- broken" in report
    assert "auto " in report


def test_compiler_not_installed(no_driver, monkeypatch, capsys):
    def missing():
        raise CompileError("NVRTC cannot be loaded: it is not there")

    monkeypatch.setattr(_compile, "installed_version", lambda name: None)
    monkeypatch.setattr(_compile, "nvrtc_version", missing)
    assert doctor.main([]) == 0
    report = capsys.readouterr().out
    assert "NVRTC         none (only a GPU needs it). NVRTC cannot be loaded: it is not there" in report
    assert "torch         not installed" in report


def test_cache_that_cannot_be_used(gpu, monkeypatch, capsys, tmp_path):
    (tmp_path / "kernels").write_text("a file")
    monkeypatch.setattr(doctor, "_trial", lambda index: iter(()))
    assert doctor.main([]) == 1
    assert "Kernels are compiled anew in each process  <- broken" in capsys.readouterr().out
    monkeypatch.setattr(_devices, "obstacle", lambda: _devices.Obstacle("There is none."))
    monkeypatch.setattr(_devices, "usable_devices", list)
    assert doctor.main([]) == 0
    assert _cache.KernelCache().check() is not None


def test_as_a_program(tmp_path):
    command = [sys.executable, "-m", "sktime_sdtw.doctor", "--n", "5"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.startswith("sktime-sdtw ")
    assert done.stderr == ""
    assert done.returncode in (0, 1)
