"""torch.func over signature kernels: derivatives of functions, forward and backward, and batches of them."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.autograd.functional import hessian as plain_hessian  # noqa: E402
from torch.autograd.functional import jacobian as plain_jacobian  # noqa: E402
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap  # noqa: E402

from sktime_sdtw.signatures import (  # noqa: E402
    signature,
    signature_kernel,
    signature_kernel_gram,
    signature_mmd,
    signature_score,
)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 0.5


OTHER, LENGTHS = random(3, 3, 2, seed=1), torch.tensor([4, 1, 3])
FUNCTIONS = {
    "pairs": lambda x: signature_kernel(x, OTHER, refinement=1),
    "lengths": lambda x: signature_kernel(x, OTHER, x_lengths=LENGTHS, normalize=True),
    "rbf": lambda x: signature_kernel(OTHER, x, static_kernel="rbf"),
    "gram": signature_kernel_gram,
    "gram of two": lambda x: signature_kernel_gram(x, OTHER, normalize=True),
    "depth": lambda x: signature_kernel(x, OTHER, depth=3),
    "depth, rbf": lambda x: signature_kernel(x, OTHER, depth=3, static_kernel="rbf"),
    "precomputed": lambda x: signature_kernel(x, static_kernel="precomputed"),
    "mmd": lambda x: signature_mmd(x, OTHER),
    "score": lambda x: signature_score(x, OTHER),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives(name):
    f = FUNCTIONS[name]
    x = random(3, 4, 2)

    def total(x):
        return (f(x) ** 2).sum()

    expected = plain_jacobian(f, x)
    torch.testing.assert_close(jacrev(f)(x), expected)
    torch.testing.assert_close(jacfwd(f)(x), expected)
    direction = random(3, 4, 2, seed=2)
    along = (expected * direction).sum((-1, -2, -3))
    torch.testing.assert_close(jvp(f, (x,), (direction,))[1], along)
    second = plain_hessian(total, x)
    torch.testing.assert_close(hessian(total)(x), second)
    torch.testing.assert_close(jacrev(jacrev(total))(x), second)
    batch = torch.stack([x, direction])
    each = torch.stack([grad(total)(one) for one in batch])
    torch.testing.assert_close(vmap(grad(total))(batch), each)
    torch.testing.assert_close(grad(lambda b: vmap(total)(b).sum())(batch), each)


def test_lengths_from_outside_the_function():
    # Seen from inside a function that is differentiated, they must still be numbers.
    x = random(3, 4, 2)
    f = lambda x: signature(x, 2, lengths=torch.clamp(LENGTHS, min=2))  # noqa: E731
    torch.testing.assert_close(jacrev(f)(x), plain_jacobian(f, x))
    lengths = LENGTHS.clamp(min=2)
    torch.testing.assert_close(jacrev(lambda x: signature(x, 2, lengths=lengths))(x), plain_jacobian(f, x))
