"""What holds for every function: leading dimensions, dtypes, NumPy as torch, derivatives, torch.func."""

from __future__ import annotations

import numpy as np
import pytest
from signature_calls import CALLS

LEADING = [(), (0,), (3,), (2, 0), (2, 3)]


def walks(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape) * 0.5


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_leading_dimensions_and_dtypes_of_arrays(name, dtype):
    call = CALLS[name]
    alone = "lengths" not in name and name not in (
        "sliding",
        "windows of each",
        "log brackets",
        "ragged transforms",
    )
    for leading in LEADING:
        x = walks(*leading, 6, 2).astype(dtype)
        before = x.copy()
        found = call(x)
        assert isinstance(found, np.ndarray)
        assert found.dtype == dtype
        assert found.shape[: len(leading)] == leading
        np.testing.assert_array_equal(x, before)
        exact = call(x.astype(np.float64))
        tolerance = {np.float16: 5e-3, np.float32: 1e-5, np.float64: 0}[dtype]
        np.testing.assert_allclose(
            found, exact, rtol=0, atol=tolerance * max(1, np.abs(exact).max(initial=0))
        )
        if alone and dtype == np.float64:  # what does not look at lengths takes paths one by one
            for i in np.ndindex(*leading):
                np.testing.assert_allclose(found[i], call(x[i]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CALLS)
def test_tensors(name):
    torch = pytest.importorskip("torch")
    call = CALLS[name]
    for leading in LEADING:
        x = torch.from_numpy(walks(*leading, 6, 2))
        results = {}
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            leaf = x.to(dtype, copy=True).requires_grad_()
            value = call(leaf)
            assert value.dtype == dtype
            (gradient,) = torch.autograd.grad(value.square().sum(), leaf, create_graph=True)
            (second,) = torch.autograd.grad(gradient.square().sum(), leaf)
            assert gradient.dtype == second.dtype == dtype
            assert gradient.shape == second.shape == x.shape
            results[dtype] = [v.detach() for v in (value, gradient, second)]
        np.testing.assert_allclose(results[torch.float64][0], call(x.numpy()), rtol=0, atol=1e-12)
        for low, exact in zip(results[torch.float32], results[torch.float64], strict=True):
            torch.testing.assert_close(
                low.double(),
                exact,
                rtol=0,
                atol=2e-5 * max(1.0, float(exact.abs().max() if exact.numel() else 0)),
            )


@pytest.mark.parametrize("name", CALLS)
def test_derivatives(name):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(walks(6, 2)[None]).requires_grad_()
    assert torch.autograd.gradcheck(CALLS[name], (x,))
    assert torch.autograd.gradgradcheck(CALLS[name], (x,))


@pytest.mark.parametrize("name", CALLS)
def test_transformed_functions(name):
    torch = pytest.importorskip("torch")
    call = CALLS[name]
    x = torch.from_numpy(walks(3, 2, 6, 2))
    torch.testing.assert_close(torch.func.vmap(call)(x), torch.stack([call(one) for one in x]))
    torch.testing.assert_close(torch.func.jacrev(call)(x[0]), torch.func.jacfwd(call)(x[0]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:torch.*", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", CALLS)
def test_compile_without_breaks(name):
    torch = pytest.importorskip("torch")
    call = CALLS[name]
    grads = []
    torch.compiler.reset()
    for f in (call, torch.compile(call, fullgraph=True, backend="aot_eager")):
        x = torch.from_numpy(walks(2, 6, 2)).requires_grad_()
        value = f(x)
        value.square().sum().backward()
        grads.append((value.detach(), x.grad))
    torch.testing.assert_close(*grads, rtol=1e-12, atol=1e-12)
