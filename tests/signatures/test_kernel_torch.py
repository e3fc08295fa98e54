"""The signature kernel of tensors: derivatives, dtypes, torch.library, torch.compile, vmap."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

from sktime_sdtw.signatures import (  # noqa: E402
    signature_kernel,
    signature_kernel_gram,
    signature_mmd,
    signature_score,
)

pytestmark = [
    # torch.compile imports modules that warn.
    pytest.mark.filterwarnings("ignore::UserWarning:torch.*"),
]

PARAMS = [
    {},
    {"refinement": (1, 2)},
    {"static_kernel": "rbf", "refinement": 1},
    {"depth": 3},
    {"depth": 2, "static_kernel": "rbf"},
    {"normalize": True},
]


def leaf(*shape, seed=0, dtype=torch.float64, scale=0.4):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator, dtype=torch.float64) * scale).to(dtype).requires_grad_()


@pytest.mark.parametrize("params", PARAMS, ids=str)
def test_derivatives(params):
    x, y = leaf(2, 4, 2), leaf(2, 3, 2, seed=1)
    lengths = {"x_lengths": torch.tensor([4, 2]), "y_lengths": torch.tensor([1, 3])}
    for f in (signature_kernel, signature_kernel_gram):
        assert gradcheck(lambda a, b, f=f: f(a, b, **params), (x, y))
        assert gradcheck(lambda a, b, f=f: f(a, b, **params, **lengths), (x, y))
    assert gradcheck(lambda a: signature_kernel_gram(a, **params), (x,))


@pytest.mark.parametrize("params", PARAMS, ids=str)
def test_second_derivatives(params):
    x, y = leaf(2, 3, 1), leaf(2, 2, 1, seed=1)
    lengths = {"x_lengths": torch.tensor([3, 2]), "y_lengths": torch.tensor([1, 2])}
    assert gradgradcheck(lambda a, b: signature_kernel(a, b, **params), (x, y))
    assert gradgradcheck(lambda a, b: signature_kernel_gram(a, b, **params, **lengths), (x, y))
    assert gradgradcheck(lambda a: signature_kernel_gram(a, **params), (x,))


@pytest.mark.parametrize("params", [{"refinement": 1}, {"depth": 3}], ids=str)
def test_derivatives_by_increments(params):
    g = leaf(2, 3, 2)
    assert gradcheck(lambda a: signature_kernel(a, static_kernel="precomputed", **params), (g,))
    assert gradgradcheck(lambda a: signature_kernel(a, static_kernel="precomputed", **params), (g,))


def test_no_increments():
    g = torch.zeros(2, 4, 0, requires_grad=True)  # of paths of one point
    for depth in (None, 2):
        value = signature_kernel(g, static_kernel="precomputed", depth=depth)
        assert value.tolist() == [1, 1]
        assert torch.autograd.grad(value.sum(), g)[0].shape == g.shape


@pytest.mark.parametrize("params", [{}, {"depth": 2}, {"static_kernel": "rbf"}, {"normalize": True}], ids=str)
@pytest.mark.parametrize(("n", "m"), [(1, 3), (3, 1), (1, 1)])
def test_second_derivatives_of_single_points(n, m, params):
    x, y = leaf(2, n, 2), leaf(2, m, 2, seed=1)
    for f in (signature_kernel, signature_kernel_gram):
        assert gradgradcheck(lambda a, b, f=f: f(a, b, **params), (x, y))


def test_third_derivative():
    x, y = leaf(3, 1), leaf(3, 1, seed=1)

    def f(a):
        (first,) = torch.autograd.grad(signature_kernel(a, y.detach()), a, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), a, create_graph=True)
        return second

    assert gradcheck(f, (x,))


@pytest.mark.parametrize("shape", [(18, 40, 25, 3), (3, 150, 30, 2)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "params", [{}, {"refinement": (1, 2)}, {"static_kernel": "rbf"}, {"depth": 3}], ids=str
)
def test_gradient_against_automatic_differentiation(shape, dtype, params, monkeypatch):
    from sktime_sdtw.signatures import _kernel, _kernel_arguments, _kernel_reference

    monkeypatch.setattr(_kernel, "MOST_WORDS", 0)  # to a depth, by the recursion

    count, n, m, d = shape
    x, y = (
        leaf(count, n, d, dtype=dtype, scale=n**-0.5),
        leaf(count, m, d, seed=1, dtype=dtype, scale=m**-0.5),
    )
    weights = leaf(count, seed=2).detach()
    (signature_kernel(x, y, **params) * weights.to(dtype)).sum().backward()
    u, v = (a.detach().double().requires_grad_() for a in (x, y))
    chosen = _kernel_arguments.settings_of(
        params.get("static_kernel", "linear"), 1.0, params.get("refinement", 0), params.get("depth")
    )
    (_kernel_reference.kernel(u, v, None, None, True, chosen) * weights).sum().backward()
    for a, b in ((x, u), (y, v)):
        error = (a.grad.double() - b.grad).abs().max() / b.grad.abs().max()
        assert error < (2e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("params", [{}, {"refinement": 1}, {"static_kernel": "rbf"}, {"depth": 3}], ids=str)
def test_gradient_of_a_gram_matrix_is_that_of_its_pairs(params):
    x, y, w = leaf(21, 6, 2), leaf(19, 5, 2, seed=1), leaf(21, 19, seed=2).detach()
    (signature_kernel_gram(x, y, **params) * w).sum().backward()
    a, b = x.grad.clone(), y.grad.clone()
    x.grad = y.grad = None
    left, right = x[:, None].expand(21, 19, 6, 2), y.expand(21, 19, 5, 2)
    (signature_kernel(left, right, **params) * w).sum().backward()
    torch.testing.assert_close(x.grad, a, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(y.grad, b, rtol=1e-12, atol=1e-12)
    w = leaf(21, 21, seed=3).detach()
    (one,) = torch.autograd.grad((signature_kernel_gram(x, **params) * w).sum(), x)
    (two,) = torch.autograd.grad((signature_kernel_gram(x, x, **params) * w).sum(), x)
    torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("refinement", [0, (2, 1), (0, 4), (5, 0)], ids=str)
@pytest.mark.parametrize("static", ["linear", "rbf", "precomputed"])
def test_gradient_of_a_pair_alone(refinement, static):
    for n, m in ((140, 60), (60, 300), (23, 17)):
        x, y = leaf(1, n, 2, scale=n**-0.5), leaf(1, m, 2, seed=1, scale=m**-0.5)
        pair = [x, y]
        if static == "precomputed":
            pair = [(x.diff(dim=1) @ y.diff(dim=1).mT).detach().requires_grad_()]
        alone = signature_kernel(*pair, refinement=refinement, static_kernel=static).sum()
        many = signature_kernel(
            *(v.expand(33, -1, -1) for v in pair), refinement=refinement, static_kernel=static
        )
        for a, b in zip(
            torch.autograd.grad(alone, pair), torch.autograd.grad(many.mean(), pair), strict=True
        ):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


def test_threads_give_the_same_gradient():
    before, grads = torch.get_num_threads(), []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            x, y = leaf(40, 60, 3, scale=0.1), leaf(40, 50, 3, seed=1, scale=0.1)
            both = [x, y]
            grads += torch.autograd.grad(signature_kernel(x, y, refinement=1).sum(), both)
            grads += torch.autograd.grad(signature_kernel_gram(x, y).square().sum(), both)
            grads += torch.autograd.grad(signature_kernel_gram(x).square().sum(), x)
    finally:
        torch.set_num_threads(before)
    for one, two in zip(grads[:5], grads[5:], strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


def test_numpy_and_torch_agree():
    x, y = leaf(3, 6, 2).detach(), leaf(4, 5, 2, seed=1).detach()
    for f in (signature_kernel_gram, signature_mmd, signature_score):
        for params in PARAMS:
            np.testing.assert_allclose(
                f(x, y, **params).numpy(), f(x.numpy(), y.numpy(), **params), rtol=1e-13
            )
    with pytest.raises(TypeError, match="tensor"):
        signature_kernel(x, x.numpy())


def test_mmd_is_differentiable():
    x, y = leaf(3, 4, 1), leaf(2, 3, 1, seed=1)
    assert gradcheck(lambda a, b: signature_mmd(a, b, refinement=1), (x, y))
    assert gradcheck(lambda a, b: signature_score(a, b, static_kernel="rbf"), (x, y))


def test_broken_paths_stay_alone():
    x = leaf(3, 5, 2).detach()
    x[1, 2, 0] = torch.nan
    assert signature_kernel_gram(x).isnan().sum() == 5
    assert signature_kernel(x, x).isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats(dtype):
    x, y = leaf(2, 6, 3, dtype=dtype), leaf(2, 5, 3, seed=1, dtype=dtype)
    out = signature_kernel(x, y)
    assert out.dtype == dtype
    torch.testing.assert_close(out, signature_kernel(x.float(), y.float()).to(dtype), rtol=0, atol=0)
    out.sum().backward()
    assert x.grad.dtype == dtype


def test_operators_obey_torch_library():
    from sktime_sdtw.signatures._kernel_torch import kernel_gradient_op, kernel_op

    quick = ("test_schema", "test_autograd_registration", "test_faketensor")
    x, y, lengths = leaf(2, 4, 2), leaf(2, 3, 2, seed=1), torch.tensor([4, 2])
    for tensors, paired in (
        ((x, y, lengths, None), True),
        ((x, y, None, None), False),
        ((x, None, lengths, None), False),
    ):
        settings = (paired, "linear", 1.0, 1, 1, 0)
        torch.library.opcheck(kernel_op, (*tensors, *settings), test_utils=quick)
        weights = torch.ones_like(kernel_op(*tensors, *settings))
        torch.library.opcheck(kernel_gradient_op, (*tensors, weights, *settings), test_utils=quick)


def test_compile_without_breaks():
    def f(x, y):
        return signature_mmd(x, y, refinement=1, normalize=True) + signature_kernel(x, y, depth=3).sum()

    grads = []
    for call in (f, torch.compile(f, fullgraph=True, backend="aot_eager")):
        x, y = leaf(2, 5, 3), leaf(2, 4, 3, seed=1)
        call(x, y).backward()
        grads.append((x.grad, y.grad))
    for plain, other in zip(*grads, strict=True):
        torch.testing.assert_close(plain, other)


def test_vmap():
    x, y = leaf(4, 3, 5, 2).detach(), leaf(3, 6, 2, seed=1).detach()
    f = torch.func.vmap(lambda a: signature_kernel(a, y, refinement=1), in_dims=0)
    torch.testing.assert_close(f(x), signature_kernel(x, y.expand(4, 3, 6, 2), refinement=1))
    g = torch.func.vmap(lambda a: signature_kernel_gram(a), in_dims=1)
    torch.testing.assert_close(g(x), signature_kernel_gram(x.movedim(1, 0)))
