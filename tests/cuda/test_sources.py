"""Putting a kernel's source together."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest
from sktime_sdtw.cuda_ext._sources import HEADERS, OTHER_HEADERS, KernelSpec, headers_of

KERNELS = files("sktime_sdtw.cuda_ext") / "kernels"
ENTRIES = sorted(path.name.removesuffix(".cu") for path in KERNELS.iterdir() if path.name.endswith(".cu"))


@pytest.mark.parametrize("entry", ENTRIES)
def test_source_is_the_headers_and_then_the_kernel(entry):
    spec = KernelSpec.of(entry)
    assert [name for name, _ in spec.parts()] == [*headers_of(entry), f"{entry}.cu"]
    source = spec.source()
    for name, text in spec.parts():
        assert f'#line 1 "{name}"\n{text}' in source
    # NVRTC has no headers to offer, and no path of a machine may reach the key of the cache.
    assert "#include" not in source
    assert re.search(rf"\b{entry}\s*\(", source)


def test_every_kernel_file_is_known():
    names = {path.name for path in KERNELS.iterdir()}
    headers = {name for family in (HEADERS, *OTHER_HEADERS.values()) for name in family}
    assert names == {*headers, *(f"{entry}.cu" for entry in ENTRIES)}
    assert {"sweep", "reverse"} <= set(ENTRIES)


def test_defines_are_sorted_and_each_named_once():
    spec = KernelSpec.of("sweep", REAL="float", DIM=3)
    assert spec.defines == (("DIM", "3"), ("REAL", "float"))
    assert spec == KernelSpec("sweep", (("DIM", "3"), ("REAL", "float")))
    assert str(spec) == "sweep(DIM=3, REAL=float)"
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert len({spec, KernelSpec.of("sweep", DIM=3, REAL="float")}) == 1
    for wrong in ((("REAL", "float"), ("DIM", "3")), (("DIM", "3"), ("DIM", "4"))):
        with pytest.raises(ValueError, match="sorted"):
            KernelSpec("sweep", wrong)


def test_unknown_kernel():
    with pytest.raises(FileNotFoundError, match="no_such_kernel"):
        KernelSpec.of("no_such_kernel").source()


def test_importing_the_loader_imports_neither_torch_nor_cuda(tmp_path):
    modules = "_sources, _driver, _cache, _compile, _copies, _devices, _runtime"
    code = (
        f"import sys; from sktime_sdtw.cuda_ext import {modules};"
        "print([name for name in sys.modules if name.partition('.')[0] in ('torch', 'cuda')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.slow
def test_wheel_has_the_kernels(tmp_path):
    checkout = Path(__file__).parents[2]
    pytest.importorskip("scikit_build_core")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    # Without the compiler: what counts here is which files are taken.
    command += [
        "-C",
        "wheel.cmake=false",
        "-C",
        f"build-dir={tmp_path}/build",
        "-w",
        str(tmp_path),
        str(checkout),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in (*HEADERS, *(f"{entry}.cu" for entry in ENTRIES)):
        assert f"sktime_sdtw/cuda_ext/kernels/{name}" in names
