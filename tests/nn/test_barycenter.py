"""Barycenters of tensors, and their derivatives."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import sktime_sdtw  # noqa: E402
from sktime_sdtw.functional import soft_dtw, soft_dtw_barycenter  # noqa: E402


def series(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).cumsum(-2) / 2


def objective(z, x, weights, gamma=1.0, **options):
    return (weights * soft_dtw(z.expand(len(x), -1, -1), x, gamma=gamma, **options)).sum()


@pytest.mark.parametrize("solver", ["lbfgs", "adam", "newton"])
def test_no_worse_than_the_estimator(solver):
    x = series(5, 12, 2)
    weights = torch.full((5,), 0.2, dtype=torch.float64)
    steps = {"max_iter": 2000, "lr": 0.03} if solver == "adam" else {}
    z = soft_dtw_barycenter(x, gamma=1.0, solver=solver, **steps)
    other = sktime_sdtw.soft_dtw_barycenter(x.numpy(), gamma=1.0, tol=1e-12, max_iter=500)
    ours, theirs = objective(z[None], x, weights), objective(torch.from_numpy(other)[None], x, weights)
    assert ours <= theirs + 1e-6 * theirs.abs()


def test_several_sets_are_each_as_alone():
    x = series(3, 4, 8, 1)
    weights = torch.rand(3, 4, dtype=torch.float64) + 0.1
    lengths = torch.randint(3, 9, (3, 4))
    together = soft_dtw_barycenter(x, weights=weights, length=6, x_lengths=lengths, gamma=2.0, tol=1e-12)
    assert together.shape == (3, 6, 1)
    for k in range(3):
        alone = soft_dtw_barycenter(
            x[k], weights=weights[k], length=6, x_lengths=lengths[k], gamma=2.0, tol=1e-12
        )
        torch.testing.assert_close(together[k], alone, atol=1e-4, rtol=0)


def test_divergence_barycenter_of_equal_series():
    x = series(1, 10, 1).expand(3, -1, -1)
    z = soft_dtw_barycenter(x, objective="divergence", gamma=0.5)
    torch.testing.assert_close(z, x[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("objective", ["soft_dtw", "divergence"])
def test_derivatives_by_differences(objective):
    x = series(3, 6, 1)
    lengths = [6, 5, 4]
    weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    gamma = torch.tensor(2.0, dtype=torch.float64)
    direction = series(5, 1, seed=3)

    def solve(x, weights, gamma):
        return soft_dtw_barycenter(
            x,
            weights=weights,
            gamma=gamma,
            length=5,
            x_lengths=lengths,
            objective=objective,
            solver="newton",
            tol=1e-12,
        )

    leaves = [tensor.clone().requires_grad_() for tensor in (x, weights, gamma)]
    gradients = torch.autograd.grad((solve(*leaves) * direction).sum(), leaves)
    step = 1e-5
    for place, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
        along = torch.ones_like(leaf) if place else series(3, 6, 1, seed=4)
        ends = []
        for sign in (1, -1):
            moved = [other.detach().clone() for other in leaves]
            moved[place] += sign * step * along
            ends.append((solve(*moved) * direction).sum())
        difference = (ends[0] - ends[1]) / (2 * step)
        torch.testing.assert_close((gradient * along).sum(), difference, rtol=1e-5, atol=1e-7)


def test_half_types_float32_and_starts():
    x = series(4, 9, 2)
    init = x[0, :7]
    z = soft_dtw_barycenter(x, init=init)
    assert z.shape == (7, 2)
    assert torch.equal(soft_dtw_barycenter(x, init=init, max_iter=0), init)
    single = soft_dtw_barycenter(x.float(), init=init.float())
    assert single.dtype is torch.float32
    torch.testing.assert_close(single.double(), z, atol=2e-2, rtol=0)
    assert soft_dtw_barycenter(x.half()).dtype is torch.float32


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"solver": "sgd"}, ValueError),
        ({"lr": 0.1}, ValueError),
        ({"solver": "adam", "lr": 0}, ValueError),
        ({"solver": "adam", "lr": "fast"}, TypeError),
        ({"objective": "dtw"}, ValueError),
        ({"weights": torch.ones(3)}, ValueError),
        ({"weights": -torch.ones(4)}, ValueError),
        ({"weights": torch.zeros(4)}, ValueError),
        ({"weights": [1.0] * 4}, TypeError),
        ({"init": torch.zeros(3, 2)}, ValueError),
        ({"init": torch.zeros(3, 1), "length": 4}, ValueError),
        ({"cost": "precomputed"}, ValueError),
        ({"x_lengths": [1, 2, 3, 99]}, ValueError),
        ({"max_iter": -1}, ValueError),
    ],
)
def test_bad_arguments(options, error):
    with pytest.raises(error):
        soft_dtw_barycenter(torch.zeros(4, 6, 1), **options)


def test_bad_shapes():
    with pytest.raises(ValueError, match="sets"):
        soft_dtw_barycenter(torch.zeros(4, 6))
    with pytest.raises(ValueError, match="one series or more"):
        soft_dtw_barycenter(torch.zeros(0, 6, 1))


def test_arguments_that_are_no_tensors_or_numbers():
    x = torch.randn(3, 6, 2)
    for name in ("weights", "init"):
        with pytest.raises(TypeError, match=f"{name} must be a tensor. Got list"):
            soft_dtw_barycenter(x, **{name: [1.0]})
    for length, error in ((0, ValueError), (2**40, ValueError), (2.0, TypeError)):
        with pytest.raises(error, match="length must be an int >= 1"):
            soft_dtw_barycenter(x, length=length)
    for lengths, error in (([2, 3], ValueError), ([None] * 3, TypeError), (2, TypeError)):
        with pytest.raises(error, match="x_lengths must"):
            soft_dtw_barycenter(x, x_lengths=lengths)
    with pytest.raises(TypeError, match="x must be a dense tensor, padded"):
        soft_dtw_barycenter(x.to_sparse())
