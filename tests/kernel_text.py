"""Kernels of a few lines, given as text, on the emulated device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from cuda_emulation._runtime import EmulatedRuntime

ORDERS = [0, 1, 2, 7]


@dataclass(frozen=True)
class Text:
    """A kernel from a text; `body` sees its parameters."""

    parameters: str
    body: str
    entry: str = "trial"
    defines: tuple[tuple[str, str], ...] = ()

    def parts(self):
        return [("warp.cuh", ""), ("trial.cu", f"KERNEL void trial({self.parameters}) {{\n{self.body}\n}}")]


def run(parameters, body, *arguments, blocks=1, threads=32, **options):
    """Launch; ndarray arguments are uploaded, and come back changed."""
    runtime = EmulatedRuntime(**options)
    buffers = [runtime.upload(a) if isinstance(a, np.ndarray) else a for a in arguments]
    runtime.launch(Text(parameters, body), blocks, threads, buffers)
    for argument, buffer in zip(arguments, buffers, strict=True):
        if isinstance(argument, np.ndarray):
            runtime.download(buffer, argument.shape, argument)
