"""Runs the CUDA kernels on the host: every thread of a block is a fiber, memory is NumPy's.

The sources are those of ``sktime_sdtw.cuda_ext``, with ``warp.cuh`` replaced by its twin ``warp.hpp``. What a
GPU would answer with wrong numbers or a hang is an `EmulationError` here: lanes that meet at different
collectives or not at all, waiting that nobody ends, access beyond shared arrays and buffers.
"""

from __future__ import annotations

from ._build import EmulationError, build
from ._runtime import EmulatedBuffer, EmulatedRuntime

__all__ = ["EmulatedBuffer", "EmulatedRuntime", "EmulationError", "build"]
