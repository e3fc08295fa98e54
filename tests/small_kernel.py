"""A kernel of a few lines, for tests of what compiles, loads and starts kernels."""

from __future__ import annotations

import pytest
from sktime_sdtw.cuda_ext import _compile
from sktime_sdtw.cuda_ext._compile import CompileError
from sktime_sdtw.cuda_ext._sources import KernelSpec


class Scale(KernelSpec):
    """A kernel of a few lines: data[i] *= factor * FACTOR."""

    def parts(self) -> list[tuple[str, str]]:
        text = """extern "C" __global__ void scale(double *data, long long count, float factor, int *) {
    for (long long i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
        data[i] *= factor * FACTOR;
}"""
        return [("scale.cu", text)]


SCALE = Scale("scale", (("FACTOR", "2"),))


def no_nvrtc() -> str:
    try:
        _compile.nvrtc_version()
    except CompileError as error:
        return str(error)
    return ""


needs_nvrtc = pytest.mark.skipif(bool(no_nvrtc()), reason=no_nvrtc() or "-")
