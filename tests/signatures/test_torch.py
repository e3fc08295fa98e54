"""Signatures of tensors: derivatives, dtypes, torch.library, torch.compile, vmap."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

from sktime_sdtw import signatures  # noqa: E402
from sktime_sdtw.signatures import (  # noqa: E402
    invert_signature,
    logsignature,
    logsignature_to_signature,
    multi_signature_combine,
    signature,
    signature_combine,
    signature_kernel,
    signature_to_logsignature,
)

pytestmark = [
    # torch.compile imports modules that warn.
    pytest.mark.filterwarnings("ignore::UserWarning:torch.*"),
]


def leaf(*shape, seed=0, dtype=torch.float64, scale=0.5):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64) * scale
    return x.to(dtype).requires_grad_()


def check(f, *inputs):
    assert gradcheck(f, inputs)
    assert gradgradcheck(f, inputs)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("inverse", [False, True])
def test_derivatives_with_basepoint_and_initial(stream, inverse):
    def f(x, base, initial):
        return signature(x, 3, stream, base, inverse, initial, True)

    check(f, leaf(2, 4, 2), leaf(2, 2, seed=1), leaf(2, 15, seed=2))


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("stream", [False, True])
def test_derivatives_without_basepoint(depth, stream):
    check(lambda x: signature(x, depth, stream), leaf(2, 5, 2))


def test_derivatives_of_lengths():
    lengths = torch.tensor([2, 6, 4])
    check(lambda x: signature(x, 3, lengths=lengths), leaf(3, 6, 2))
    check(lambda x: signature(x, 2, True, lengths=lengths), leaf(3, 6, 2))
    x = leaf(3, 6, 2)
    signature(x, 3, lengths=lengths).sum().backward()
    assert (x.grad[0, 2:] == 0).all()
    assert (x.grad[2, 4:] == 0).all()


@pytest.mark.parametrize("nan_policy", ["ffill", "skip"])
def test_derivatives_where_points_are_missing(nan_policy):
    holes = torch.zeros(2, 6, 2, dtype=torch.float64)
    holes[0, 3, 1] = holes[1, 0] = torch.nan
    check(lambda x: signature(x + holes, 3, nan_policy=nan_policy), leaf(2, 6, 2))


@pytest.mark.parametrize("shape", [(1, 700, 3), (20, 30, 4), (1, 12, 8), (3, 200, 2)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("stream", [False, True])
def test_gradient_against_automatic_differentiation(shape, dtype, stream):
    from sktime_sdtw.signatures import _reference

    depth = 4 if shape[-1] < 8 else 3
    x = leaf(*shape, dtype=dtype, scale=0.2)
    y = x.detach().double().requires_grad_()
    out = signature(x, depth, stream)
    expected = _reference.signature(y, None, None, depth, stream, None)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (out * weights.to(dtype)).sum().backward()
    (expected * weights.to(dtype).double()).sum().backward()
    error = (x.grad.double() - y.grad).abs().max() / y.grad.abs().max()
    assert error < (1e-5 if dtype == torch.float32 else 1e-12)


def test_threads_give_the_same_gradient():
    before = torch.get_num_threads()
    grads = []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            for shape in ((1, 1000, 4), (1, 40, 8), (40, 64, 4)):
                x = leaf(*shape, scale=0.1)
                signature(x, 5 if shape[1] == 40 else 4).square().sum().backward()
                grads.append(x.grad)
    finally:
        torch.set_num_threads(before)
    for one, two in zip(grads[:3], grads[3:], strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["words", "brackets", "expand"])
def test_derivatives_of_logsignatures(mode):
    check(lambda x: logsignature(x, 3, mode=mode), leaf(2, 4, 3))
    check(lambda x: logsignature(x, 3, stream=True, mode=mode), leaf(1, 4, 2))
    size = {"expand": 14}.get(mode, 5)
    check(lambda x: logsignature_to_signature(x, 2, 3, mode=mode), leaf(2, size))
    check(lambda x: signature_to_logsignature(x, 2, 3, mode=mode), leaf(2, 14))


def test_derivatives_of_products_and_inversion():
    check(lambda a, b: signature_combine(a, b, 2, 3), leaf(2, 14), leaf(2, 14, seed=1))
    check(
        lambda a, b, c: multi_signature_combine([a, b, c], 2, 3, inverse=True),
        *(leaf(2, 14, seed=i) for i in range(3)),
    )
    check(lambda s: invert_signature(s, 3, 2), leaf(2, 14))


@pytest.mark.parametrize(("channels", "depth"), [(1, 4), (2, 5), (3, 3), (5, 3), (9, 2), (20, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_of_few_rows_and_of_many(channels, depth, dtype):
    from sktime_sdtw.signatures import _reference

    words = signatures.signature_channels(channels, depth)
    weights = leaf(23, words, seed=2, dtype=dtype).detach()
    tolerance = {"rtol": 0, "atol": 1e-4 if dtype == torch.float32 else 1e-12}
    for rows in (1, 2, 23):
        a, b = leaf(rows, words, dtype=dtype), leaf(rows, words, seed=1, dtype=dtype)
        found, expected = signature_combine(a, b, channels, depth), _reference.product(a, b, channels, depth)
        torch.testing.assert_close(found, expected, **tolerance)
        ours = torch.autograd.grad(found, (a, b), weights[:rows])
        for one, two in zip(ours, torch.autograd.grad(expected, (a, b), weights[:rows]), strict=True):
            torch.testing.assert_close(one, two, **tolerance)


def test_third_derivative():
    x = leaf(1, 3, 2)
    total = signature(x, 3).square().sum()
    for _ in range(3):
        (g,) = torch.autograd.grad(total, x, create_graph=True)
        total = g.square().sum()

    def f(x):
        (first,) = torch.autograd.grad(signature(x, 3).square().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x, create_graph=True)
        return second

    assert gradcheck(f, (x,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats(dtype):
    x = leaf(2, 6, 3, dtype=dtype)
    for f in (lambda x: signature(x, 3, basepoint=True), lambda x: logsignature(x, 3, basepoint=True)):
        out = f(x)
        assert out.dtype == dtype
        torch.testing.assert_close(out, f(x.float()).to(dtype), rtol=0, atol=0)
    out.sum().backward()
    assert x.grad.dtype == dtype


def test_numpy_and_torch_agree():
    x = leaf(3, 6, 2).detach()
    for name, arguments in {
        "signature": {"stream": True, "scalar_term": True},
        "logsignature": {"mode": "brackets"},
    }.items():
        f = getattr(signatures, name)
        np.testing.assert_array_equal(f(x, 4, **arguments).numpy(), f(x.numpy(), 4, **arguments))
    with pytest.raises(TypeError, match="tensor"):
        signature_combine(x[:, 0, :].new_zeros(2, 6), np.zeros((2, 6)), 2, 2)


def test_operators_obey_torch_library():
    from sktime_sdtw.signatures import _torch_algebra, _torch_signature

    # Without the slow one: test_compile_without_breaks compiles the operators.
    quick = ("test_schema", "test_autograd_registration", "test_faketensor")

    def check_op(operator, arguments):
        torch.library.opcheck(operator, arguments, test_utils=quick)

    x, base, initial = leaf(2, 4, 2), leaf(2, 2), leaf(2, 14)
    for arguments in ((x, None, None, 3, False, None), (x, base, torch.tensor([1, 4]), 3, True, initial)):
        check_op(_torch_signature.signature_op, arguments)
        gradient = torch.ones_like(_torch_signature.signature_op(*arguments))
        out = gradient * 1.0 if arguments[4] else None
        check_op(_torch_signature.signature_gradient_op, (*arguments, out, gradient))
    check_op(_torch_algebra.product_op, (initial, leaf(2, 14, seed=1), 2, 3))
    check_op(_torch_algebra.series_op, (initial, [1.0, -0.5, 0.25], 2))
    for kind, size in (("antipode", 14), ("to_words", 14), ("to_brackets", 5), ("from_brackets", 5)):
        check_op(_torch_algebra.linear_op, (leaf(2, size), kind, 2, 3, False))


def test_compile_without_breaks():
    def f(x, base):
        a = signature(x, 3, basepoint=base, inverse=True).square().sum()
        return a + logsignature(x, 3, mode="brackets").square().sum()

    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    grads = []
    for call in (f, compiled):
        x, base = leaf(2, 5, 3), leaf(2, 3, seed=1)
        call(x, base).backward()
        grads.append((x.grad, base.grad))
    for plain, other in zip(*grads, strict=True):
        torch.testing.assert_close(plain, other)


def test_vmap():
    x, base = leaf(4, 3, 5, 2).detach(), leaf(4, 3, 2).detach()
    f = torch.func.vmap(lambda p, b: signature(p, 3, basepoint=b, inverse=True))
    torch.testing.assert_close(f(x, base), signature(x, 3, basepoint=base, inverse=True))
    g = torch.func.vmap(lambda p: logsignature(p, 3, mode="brackets"), in_dims=1)
    torch.testing.assert_close(g(x), logsignature(x.movedim(1, 0), 3, mode="brackets"))
    one = torch.func.vmap(lambda p: signature_combine(p, base.new_ones(14), 2, 3))(leaf(4, 14).detach())
    assert one.shape == (4, 14)


def test_tensor_that_requires_grad_is_not_needed():
    x = leaf(2, 4, 2).detach()
    assert not signature(x, 2).requires_grad
    assert signature(x, 2, basepoint=leaf(2, 2)).requires_grad


def test_derivatives_of_second_derivatives():
    """Where the gradient that comes in depends on the points, too: no way to them is counted twice."""
    x, v = (torch.randn(1, 4, 2, generator=torch.Generator().manual_seed(i)).double() for i in (0, 1))

    for f in (
        lambda x: signature(x, 2).square().sum(),
        lambda x: signature_combine(signature(x, 2), signature(2 * x, 2), 2, 2).pow(3).sum(),
        lambda x: logsignature(x, 2).square().sum(),
        lambda x: signature_kernel(x, x.flip(-2)).square().sum(),
    ):
        hessian = torch.func.hessian(f)(x)
        expected = (hessian * v).sum((-1, -2, -3))
        torch.testing.assert_close(torch.autograd.functional.hvp(f, x, v)[1], expected)

        def slope(x, f=f):
            (first,) = torch.autograd.grad(f(x), x, create_graph=True)
            return torch.autograd.grad((first * v).sum(), x, create_graph=True)[0]

        assert gradcheck(slope, x.clone().requires_grad_())


CALLED = {
    "signature": lambda x: signature(x, 3),
    "product": lambda x: signature_combine(signature(x, 2), signature(x, 2), 2, 2),
    "series": lambda x: signature_to_logsignature(signature(x, 2), 2, 2),
    "kernel": lambda x: signature_kernel(x, x.flip(-2)),
    "known": lambda x: signatures.Path(x, 2).signature(0, 3),
}


@pytest.mark.parametrize("name", CALLED)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_who_sees_operators(name, requires_grad):
    """Modes that watch operators see them; subclasses of tensors and parameters get the same numbers."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    class Own(torch.Tensor):
        pass

    f, seen = CALLED[name], []
    x = leaf(2, 5, 2).detach().requires_grad_(requires_grad)
    expected = f(x)
    with Watch():
        watched = f(x)
    assert any(operator.startswith("sktime_sdtw.") for operator in seen)
    for found in (watched, f(x.detach().as_subclass(Own)), f(torch.nn.Parameter(x.detach(), requires_grad))):
        torch.testing.assert_close(
            found.detach().as_subclass(torch.Tensor), expected.detach(), rtol=0, atol=0
        )
    with torch.no_grad():
        assert not f(x).requires_grad
    with torch.inference_mode():
        torch.testing.assert_close(f(x), expected.detach(), rtol=0, atol=0)


@pytest.mark.parametrize("name", CALLED)
def test_results_have_memory_of_their_own(name):
    x = leaf(2, 5, 2).detach()
    before = x.clone()
    first, second = CALLED[name](x), CALLED[name](x)
    first.zero_()
    torch.testing.assert_close(x, before, rtol=0, atol=0)
    torch.testing.assert_close(second, CALLED[name](x), rtol=0, atol=0)
