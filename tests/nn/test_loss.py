"""The modules."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sktime_sdtw.functional import soft_dtw, soft_dtw_divergence  # noqa: E402
from sktime_sdtw.nn import DILATELoss, SoftDTWDivergenceLoss, SoftDTWLoss  # noqa: E402


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return torch.randn(3, 6, 2), torch.randn(3, 4, 2)


def test_reductions(pair):
    losses = soft_dtw(*pair, gamma=0.5, bandwidth=2)
    assert torch.equal(SoftDTWLoss(0.5, bandwidth=2, reduction="none")(*pair), losses)
    assert torch.equal(SoftDTWLoss(0.5, bandwidth=2, reduction="sum")(*pair), losses.sum())
    assert torch.equal(SoftDTWLoss(0.5, bandwidth=2)(*pair), losses.mean())
    with pytest.raises(ValueError, match="reduction"):
        SoftDTWLoss(reduction="max")


def test_divergence_by_both_names(pair):
    wanted = soft_dtw_divergence(*pair, gamma=0.5, cost="gak", sigma=2.0).mean()
    assert torch.equal(SoftDTWDivergenceLoss(0.5, cost="gak", sigma=2.0)(*pair), wanted)
    assert torch.equal(SoftDTWLoss(0.5, cost="gak", sigma=2.0, normalize=True)(*pair), wanted)
    with pytest.raises(ValueError, match="precomputed"):
        SoftDTWDivergenceLoss(cost="precomputed")


def test_lengths(pair):
    x, y = pair
    values = SoftDTWLoss(reduction="none")(x, y, [6, 2, 3], torch.tensor([4, 1, 2]))
    assert values[1] == soft_dtw(x[1:2, :2], y[1:2, :1])[0]


def test_gamma_as_number_buffer_and_parameter(pair):
    number = SoftDTWLoss(gamma=0.5)
    assert not number.state_dict()
    for loss in (SoftDTWLoss(gamma=np.float32(0.5)), DILATELoss(gamma=np.float32(0.5))):
        assert type(loss.gamma) is float  # a NumPy scalar would break torch.compile
    buffer = SoftDTWLoss(gamma=torch.tensor(0.5))
    assert list(buffer.state_dict()) == ["gamma"]
    assert not list(buffer.parameters())
    learned = SoftDTWLoss(gamma=torch.nn.Parameter(torch.tensor(0.5)))
    assert len(list(learned.parameters())) == 1
    assert number(*pair) == buffer(*pair) == learned(*pair)
    learned(*pair).backward()
    assert learned.gamma.grad < 0  # minus the entropy
    assert learned.gamma.grad.dtype is torch.float32


def test_modules_can_be_copied_and_saved(pair):
    loss = SoftDTWLoss(0.5, cost="euclidean", bandwidth=0.5, itakura_max_slope=None)
    file = io.BytesIO()
    torch.save(loss, file)
    file.seek(0)
    for other in (copy.deepcopy(loss), torch.load(file, weights_only=False)):
        assert torch.equal(other(*pair), loss(*pair))
    assert "bandwidth=0.5" in repr(loss)


def test_compiled_training_step_has_no_graph_break(pair):
    x, y = pair
    model = torch.nn.Linear(2, 2)
    loss = SoftDTWDivergenceLoss(0.5)

    def step(x, y):
        return loss(model(x), y)

    eager = torch.autograd.grad(step(x, y), list(model.parameters()))
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    for a, b in zip(eager, torch.autograd.grad(compiled(x, y), list(model.parameters())), strict=True):
        torch.testing.assert_close(a, b)


def test_training_reduces_the_loss():
    torch.manual_seed(0)
    y = torch.sin(torch.linspace(0, 6, 30))[None, :, None]
    x = torch.nn.Parameter(torch.zeros(1, 30, 1))
    loss, optimiser = SoftDTWDivergenceLoss(0.1), torch.optim.Adam([x], lr=0.1)
    first = loss(x, y).item()
    for _ in range(60):
        optimiser.zero_grad()
        loss(x, y).backward()
        optimiser.step()
    assert loss(x, y).item() < 0.05 * first
