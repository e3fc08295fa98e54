"""The functions of the driver and of NVRTC, called through ctypes as their libraries want it."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest
from fake_gpu import FakeDriver, FakeTorch, argument
from sktime_sdtw.cuda_ext import _driver, _nvrtc
from sktime_sdtw.cuda_ext._driver import Driver, DriverError


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
    numbers |= {"unsigned char": ctypes.c_ubyte, "CUdeviceptr": ctypes.c_uint64}
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
