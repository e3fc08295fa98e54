"""Shape and time, and the loss of both."""

from __future__ import annotations

import numpy as np
import oracle
import pytest

torch = pytest.importorskip("torch")

from sktime_sdtw.functional import shape_and_time, soft_dtw  # noqa: E402
from sktime_sdtw.nn import DILATELoss  # noqa: E402


def series(batch, steps, features=1, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(batch, steps, features)))


def test_parts_follow_the_definition():
    x, y = series(2, 6), series(2, 6, seed=1)
    shape, time = shape_and_time(x, y, gamma=0.3)
    i, j = np.indices((6, 6))
    for k in range(2):
        solution = oracle.solve(oracle.cost_matrix(x[k].numpy(), y[k].numpy()), 0.3)
        assert shape[k].item() == pytest.approx(solution.value, rel=1e-10)
        assert time[k].item() == pytest.approx((solution.alignment * (i - j) ** 2).sum() / 36, rel=1e-10)


@pytest.mark.parametrize("lengths", [{}, {"x_lengths": [5, 3], "y_lengths": [2, 4]}])
@pytest.mark.parametrize("gamma", [0.05, 2.0])
def test_gradients(lengths, gamma):
    x, y = series(2, 5, 2).requires_grad_(), series(2, 4, 2, 1).requires_grad_()
    temperature = torch.tensor(gamma, dtype=torch.float64).requires_grad_()

    def parts(x, y, temperature):
        return tuple(shape_and_time(x, y, gamma=temperature, **lengths))

    assert torch.autograd.gradcheck(parts, (x, y, temperature), atol=1e-4)


def test_loss():
    x, y = series(3, 8).requires_grad_(), series(3, 8, seed=1)
    shape, time = shape_and_time(x, y, gamma=0.1)
    torch.testing.assert_close(DILATELoss(0.3, 0.1, reduction="none")(x, y), 0.3 * shape + 0.7 * time)
    torch.testing.assert_close(DILATELoss(1.0, 0.1)(x, y), soft_dtw(x, y, gamma=0.1).mean())
    gamma = torch.nn.Parameter(torch.tensor(0.1))
    DILATELoss(0.5, gamma)(x, y).backward()
    assert gamma.grad.isfinite()
    assert "alpha=0.3" in repr(DILATELoss(0.3))
    for alpha in (-0.1, 1.1):
        with pytest.raises(ValueError, match="alpha"):
            DILATELoss(alpha)


def test_time_moves_a_late_step():
    # At alpha = 0 only the distortion in time counts, and its gradient alone brings the step to its place.
    steps = torch.arange(20.0)[None, :, None]
    place = torch.nn.Parameter(torch.tensor(13.0))
    target = torch.sigmoid(steps - 9)
    loss, optimiser = DILATELoss(0.0, 0.05), torch.optim.Adam([place], lr=0.3)
    for _ in range(60):
        optimiser.zero_grad()
        loss(torch.sigmoid(steps - place), target).backward()
        optimiser.step()
    assert abs(place.item() - 9) < 1


def test_compiles():
    x, y = series(2, 6).requires_grad_(), series(2, 6, seed=1)
    loss = DILATELoss(0.5, 0.1)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(
        torch.autograd.grad(compiled(x, y), x)[0], torch.autograd.grad(loss(x, y), x)[0]
    )
