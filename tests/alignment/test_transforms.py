"""Warps under torch.func, in programs that torch exports, and the derivatives that do not exist."""

from __future__ import annotations

import numpy as np
import pytest
from warp_oracle import smooth

from sktime_sdtw import gdtw

torch = pytest.importorskip("torch")
from torch.autograd import forward_ad  # noqa: E402

from sktime_sdtw.nn import DecDTW  # noqa: E402


def signals(seed=0, n=12, m=9, size=3):
    rng = np.random.default_rng(seed)
    return tuple(torch.tensor(np.stack([smooth(rng, k, 2) for _ in range(size)])) for k in (n, m))


@pytest.mark.parametrize("options", [{}, {"interpolation": "cubic", "slope_max": 3.0}, {"knots": 5}])
def test_transforms_are_loops(options):
    X, Y = signals()

    def warp(x, y):
        return gdtw(x, y, reg=0.05, **options).values

    torch.testing.assert_close(torch.func.vmap(warp)(X, Y), warp(X, Y), rtol=0, atol=1e-14)
    over_targets = torch.func.vmap(warp, in_dims=(None, 0))(X[0], Y)
    torch.testing.assert_close(over_targets[2], warp(X[0], Y[2]), rtol=0, atol=1e-14)
    both = torch.func.vmap(torch.func.vmap(warp, (None, 0)), (0, None))(X, Y)
    torch.testing.assert_close(both[2, 1], warp(X[2], Y[1]), rtol=0, atol=1e-14)
    jacobian = torch.autograd.functional.jacobian(lambda x: warp(x, Y[0]), X[0])
    torch.testing.assert_close(torch.func.jacrev(warp)(X[0], Y[0]), jacobian, rtol=1e-12, atol=1e-12)
    grads = torch.func.vmap(torch.func.grad(lambda x, y: warp(x, y).square().sum()))(X, Y)
    leaf = X.clone().requires_grad_()
    warp(leaf, Y).square().sum().backward()
    torch.testing.assert_close(grads, leaf.grad, rtol=1e-12, atol=1e-12)


def test_what_has_no_derivative_says_so():
    X, Y = signals()

    def total(x):
        return gdtw(x, Y).values.square().sum()

    leaf = X.clone().requires_grad_()
    with pytest.raises(NotImplementedError, match="second one or forward mode"):
        torch.func.hessian(total)(X)
    with pytest.raises(NotImplementedError, match="second one or forward mode"):
        torch.func.jvp(total, (X,), (X,))
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="forward mode"):
        total(forward_ad.make_dual(X, X))
    for function in (total, lambda x: gdtw(x, Y).objective.sum()):
        (grad,) = torch.autograd.grad(function(leaf), leaf, create_graph=True)
        with pytest.raises(NotImplementedError, match="second one or forward mode"):
            grad.sum().backward()


@pytest.mark.parametrize(
    "options", [{"band": 0.3, "learn_reg": True}, {"interpolation": "cubic", "knots": 7, "slope_max": 3.0}]
)
def test_exported_for_other_sizes(options):
    pairs, n = torch.export.Dim("pairs", min=2), torch.export.Dim("n", min=4)
    x, y = (signal.float() for signal in signals())
    layer = DecDTW(**options)
    shapes = ({0: pairs, 1: n}, {0: pairs})
    program = torch.export.export(layer, (x, y), dynamic_shapes=shapes)
    x, y = (signal.float() for signal in signals(seed=1, n=17, size=5))
    torch.testing.assert_close(program.module()(x, y), layer(x, y))


OPTIONS = {
    "x_lengths": torch.tensor([8, 5, 6]),
    "band": torch.tensor([0.2, 0.3, 0.4]),
    "knots": torch.tensor([[0, 0.5, 1], [0, 0.4, 1], [0, 0.8, 1]], dtype=torch.float64),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_vmap_over_an_option(name):
    x = torch.tensor(np.random.default_rng(4).normal(size=(3, 8, 1)))
    found = torch.func.vmap(lambda x, option: gdtw(x[None], x[None], **{name: option[None]}).values[0])(
        x, OPTIONS[name]
    )
    torch.testing.assert_close(found, gdtw(x, x, **{name: OPTIONS[name]}).values, rtol=0, atol=1e-14)
