"""Tensors that are not on the CPU stay where they are, and what work is planned with stays on the host.

The device "meta" stands for a GPU: its tensors have shapes and no numbers, and nothing can be read from them.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from signature_calls import CALLS  # noqa: E402

from sktime_sdtw.signatures import (  # noqa: E402
    Augment,
    LogSignature,
    Signature,
    SignatureToLogSignature,
    _torch,
    signature,
)

VALUES = {"forward fill", "skip", "ragged transforms"}  # these look at numbers
CALLS = {
    **{name: call for name, call in CALLS.items() if name not in VALUES},
    "lengths in a tensor": lambda x: signature(x, 3, lengths=torch.tensor([60, 2, 31])),
    "module": lambda x: Signature(3)(x),
    "log module": lambda x: LogSignature(3)(x),
    "to log module": lambda x: SignatureToLogSignature(2, 3)(signature(x, 3)),
    "augment": lambda x: Augment(2, (4, 2), 3).to(x)(x),
    "half": lambda x: signature(x.half(), 3).double(),
}


@pytest.fixture(autouse=True)
def planned(monkeypatch):
    """Look at the arguments of the operator that lengths and windows go to."""
    call = _torch.signature_call

    def look(points, basepoint, lengths, depth, stream, initial, windows=None):
        assert {x.device.type for x in (points, basepoint, initial) if x is not None} == {"meta"}
        assert {x.device.type for x in (lengths, windows) if x is not None} <= {"cpu"}
        return call(points, basepoint, lengths, depth, stream, initial, windows)

    monkeypatch.setattr(_torch, "signature_call", look)


@pytest.mark.parametrize("name", CALLS)
def test_values_and_derivatives_stay_there(name):
    x = torch.empty(3, 60, 2, dtype=torch.float64, device="meta", requires_grad=True)
    value = CALLS[name](x)
    (gradient,) = torch.autograd.grad(value.square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), x)
    assert {part.device.type for part in (value, gradient, second)} == {"meta"}
    assert gradient.shape == second.shape == x.shape
