"""Tensors that are not on the CPU stay where they are, and what work is planned with stays on the host.

The device "meta" stands for a GPU: its tensors have shapes and no numbers, and nothing can be read from them.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from sktime_sdtw.signatures import (  # noqa: E402
    Augment,
    LogSignature,
    Path,
    Signature,
    SignatureToLogSignature,
    _torch,
    extract_signature_term,
    extract_words,
    invert_signature,
    logsignature,
    logsignature_to_signature,
    multi_signature_combine,
    signature,
    transform_path,
)

LENGTHS = torch.tensor([60, 2, 31])
OWN_WINDOWS = torch.tensor([[[0, 5], [2, 9]]] * 3)
CALLS = {
    "signature": lambda x: signature(x, 3, inverse=True, scalar_term=True),
    "stream": lambda x: signature(x, 3, True, basepoint=True, initial=signature(x, 3)),
    "lengths": lambda x: signature(x, 3, lengths=LENGTHS),
    "stream of lengths": lambda x: signature(x, 3, stream=True, lengths=LENGTHS),
    "sliding": lambda x: signature(x, 3, windows=("sliding", 4, 3), lengths=LENGTHS),
    "expanding": lambda x: signature(x, 3, windows=("expanding", 4, 3)),
    "windows of each": lambda x: signature(x, 3, windows=OWN_WINDOWS, lengths=LENGTHS),
    "log-signature": lambda x: logsignature(x, 3, mode="brackets", lengths=LENGTHS),
    "back": lambda x: logsignature_to_signature(logsignature(x, 3), 2, 3),
    "combine": lambda x: multi_signature_combine([signature(x, 3)] * 3, 2, 3, inverse=True),
    "invert": lambda x: invert_signature(signature(x, 3), 3, 2),
    "term": lambda x: extract_signature_term(signature(x, 3), 2, 2),
    "words": lambda x: extract_words(signature(x, 3), [(0,), (0, 1)], 2),
    "module": lambda x: Signature(3)(x),
    "log module": lambda x: LogSignature(3)(x),
    "to log module": lambda x: SignatureToLogSignature(2, 3)(signature(x, 3)),
    "augment": lambda x: Augment(2, (4, 2), 3).to(x)(x),
    "transforms": lambda x: transform_path(x, ["time", "lead_lag", "invisibility_reset", "cumulative_sum"]),
    "path": lambda x: Path(x, 3, basepoint=True).logsignature(5, 55),
    "path that grows": lambda x: (path := Path(x, 3)).update(x) or path.signature(3, 100),
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
