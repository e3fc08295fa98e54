"""What a forward and a backward pass need beside their inputs and outputs: at most 64 MiB."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

CODE = """
import math
from pathlib import Path

import torch
from sktime_sdtw.signatures import logsignature, signature, signature_kernel_gram

CALLS = {
    "long": ((32, 10_000, 4), lambda x: signature(x, 4)),
    "one": ((1, 100_000, 4), lambda x: signature(x, 5)),
    "deep": ((32, 128, 4), lambda x: signature(x, 8)),
    "stream": ((1, 10_000, 4), lambda x: signature(x, 4, stream=True)),
    "windows": ((1, 10_000, 4), lambda x: signature(x, 4, windows=("sliding", 64))),
    "logarithm": ((32, 128, 4), lambda x: logsignature(x, 6)),
    "kernel": ((8, 512, 4), lambda x: signature_kernel_gram(x, x.detach(), refinement=1)),
}


def status(field):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def run(name, shape):
    x = (torch.randn(*shape) / math.sqrt(shape[1])).requires_grad_()
    out = CALLS[name][1](x)
    out.backward(torch.ones_like(out))
    return x, x.grad, out, out  # the last one: the gradient of the output


for name in CALLS:  # loads all code; shapes so small that nothing is kept
    run(name, (1, 70, 2))
for name, (shape, _) in CALLS.items():
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    tensors = run(name, shape)
    most = status("VmHWM") - before - sum(t.numel() * t.element_size() for t in tensors)
    print(name, most)
    del tensors
"""


def test_forward_and_backward(run_python):
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux tells the peak")
    found = dict(line.split() for line in run_python(CODE).decode().splitlines())
    assert len(found) == 7
    assert {name: most for name, most in found.items() if int(most) > 64 * 2**20} == {}
