"""torch.func over signatures: derivatives of functions, forward and backward, and batches of them."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.autograd.functional import hessian as plain_hessian  # noqa: E402
from torch.autograd.functional import jacobian as plain_jacobian  # noqa: E402
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap  # noqa: E402

from sktime_sdtw.signatures import (  # noqa: E402
    Path,
    logsignature,
    logsignature_to_signature,
    signature,
    signature_combine,
    transform_path,
)

# torch.compile imports modules that warn.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torch.*", "ignore::DeprecationWarning")


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 0.5


OWN_WINDOWS = torch.tensor([[[0, 3], [1, 5], [3, 5]]])
FUNCTIONS = {
    "signature": lambda x: signature(x, 3, basepoint=True, inverse=True),
    "stream": lambda x: signature(x, 3, stream=True),
    "initial": lambda x: signature(x, 2, basepoint=x[0], initial=signature(x, 2)),
    "lengths": lambda x: signature(x[None], 3, lengths=torch.tensor([3])),
    "windows": lambda x: signature(x, 2, windows=("sliding", 3)),
    "windows in a tensor": lambda x: signature(x, 2, windows=torch.tensor([[0, 3], [1, 5]])),
    "windows of each": lambda x: signature(x[None], 2, windows=OWN_WINDOWS, lengths=torch.tensor([4])),
    "words": lambda x: logsignature(x, 3),
    "brackets": lambda x: logsignature(x, 3, mode="brackets"),
    "and back": lambda x: logsignature_to_signature(x[:, 0], 2, 3, mode="brackets"),
    "product": lambda x: signature_combine(signature(x[:3], 3), signature(x[2:], 3), 2, 3),
    "interval": lambda x: Path(x[None], 3).signature(1, 5),
    "transforms": lambda x: signature(transform_path(x, ["time", "lead_lag", "invisibility_reset"]), 2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives(name):
    f = FUNCTIONS[name]
    x = random(5, 2)

    def total(x):
        return (f(x) ** 2).sum()

    expected = plain_jacobian(f, x)
    torch.testing.assert_close(jacrev(f)(x), expected)
    torch.testing.assert_close(jacfwd(f)(x), expected)
    direction = random(5, 2, seed=1)
    torch.testing.assert_close(jvp(f, (x,), (direction,))[1], (expected * direction).sum((-1, -2)))
    second = plain_hessian(total, x)
    torch.testing.assert_close(hessian(total)(x), second)
    torch.testing.assert_close(jacrev(jacrev(total))(x), second)
    batch = random(3, 5, 2, seed=2)
    each = torch.stack([grad(total)(one) for one in batch])
    torch.testing.assert_close(vmap(grad(total))(batch), each)
    torch.testing.assert_close(grad(lambda b: vmap(total)(b).sum())(batch), each)
    leaf = batch[0].clone().requires_grad_()
    total(leaf).backward()
    torch.testing.assert_close(leaf.grad, each[0])


def test_lengths_in_a_batch_of_functions():
    x, lengths = random(3, 6, 2), torch.tensor([2, 6, 4])
    found = vmap(lambda x, n: signature(x, 3, lengths=n))(x, lengths)
    torch.testing.assert_close(found, signature(x, 3, lengths=lengths))


def test_missing_values_inside_functions():
    x = random(2, 6, 2)
    x[0, 3, 1] = x[1, 0, 0] = torch.nan
    for policy in ("ffill", "skip"):
        expected = signature(x, 3, nan_policy=policy)
        torch.testing.assert_close(vmap(lambda x, p=policy: signature(x, 3, nan_policy=p))(x), expected)
    with pytest.raises(ValueError, match="looks at values"):
        vmap(lambda x: signature(x, 3, nan_policy="raise"))(x)


def test_compile_of_what_depends_on_values():
    def f(x, lengths):
        a = signature(x, 2, lengths=lengths, nan_policy="ffill")
        path, new = transform_path(x, ["time", "lead_lag"], lengths=lengths)
        return a.sum() + signature(path, 2, windows=("sliding", 4)).sum(), new

    x, lengths = random(2, 6, 2), torch.tensor([3, 6])
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    for plain, other in zip(f(x, lengths), compiled(x, lengths), strict=True):
        torch.testing.assert_close(torch.as_tensor(other), torch.as_tensor(plain))
    x[0, 1, 1] = torch.nan
    expected = signature(x, 2, lengths=lengths, nan_policy="ffill")
    assert torch.isfinite(expected).all()
    g = torch.compile(
        lambda x: signature(x, 2, nan_policy="ffill", lengths=lengths), fullgraph=True, backend="aot_eager"
    )
    torch.testing.assert_close(g(x), expected)


@pytest.mark.parametrize(
    "windows",
    [[[0, 3], [1, 6]], torch.tensor([[0, 3], [1, 6]]), torch.tensor([[[0, 3], [1, 6]], [[2, 4], [4, 6]]])],
    ids=["list", "tensor", "own"],
)
def test_compile_with_windows(windows):
    x, lengths = random(2, 6, 2), torch.tensor([4, 6])
    given = (windows,) if isinstance(windows, torch.Tensor) else ()

    def f(x, lengths, *given):
        return signature(x, 2, windows=given[0] if given else windows, lengths=lengths)

    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, lengths, *given), f(x, lengths, *given))


def test_compiled_times_keep_their_digits():
    x = random(8, 2)
    compiled = torch.compile(lambda x: transform_path(x, "time"), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), transform_path(x, "time"), rtol=1e-15, atol=1e-15)


def test_compile_with_lengths_in_a_list():
    x = random(2, 6, 2)
    compiled = torch.compile(lambda x: signature(x, 2, lengths=[4, 6]), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), signature(x, 2, lengths=[4, 6]))


def test_vmap_over_windows_is_refused():
    windows = torch.tensor([[[0, 3]], [[1, 6]]])
    with pytest.raises(ValueError, match="vmap"):
        vmap(lambda x, w: signature(x, 2, windows=w))(random(2, 6, 2), windows)
