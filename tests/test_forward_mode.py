"""Forward mode outside of torch.func: tangents of dual tensors, or a clear refusal."""

from __future__ import annotations

import warnings

import pytest

torch = pytest.importorskip("torch")

from torch.autograd import forward_ad, gradcheck, gradgradcheck  # noqa: E402

from sktime_sdtw import apply_warp, gdtw, signatures, time_error  # noqa: E402
from sktime_sdtw import functional as F  # noqa: E402, N812
from sktime_sdtw.nn import DecDTW, DILATELoss, SoftDTWDivergenceLoss, SoftDTWLoss  # noqa: E402
from sktime_sdtw.signatures import Path, signature, signature_kernel, signature_kernel_gram  # noqa: E402


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 0.5


X, Y = random(3, 6, 2), random(3, 5, 2, seed=1)
COSTS = random(2, 4, 5, seed=2)
GAMMA = torch.tensor(0.7, dtype=torch.float64)
LENGTHS = torch.tensor([6, 2, 4])
SIGNATURES = {
    "signature": lambda x: signature(x, 3),
    "stream": lambda x: signature(x, 3, stream=True, basepoint=True, inverse=True),
    "initial": lambda x: signature(x, 2, basepoint=x[:, 0], initial=signature(x, 2)),
    "lengths": lambda x: signature(x, 3, lengths=LENGTHS),
    "windows": lambda x: signature(x, 2, windows=("sliding", 3)),
    "logsignature": lambda x: signatures.logsignature(x, 3, mode="brackets"),
    "back": lambda x: signatures.logsignature_to_signature(signatures.logsignature(x, 3), 2, 3),
    "combine": lambda x: signatures.multi_signature_combine([signature(x, 3)] * 3, 2, 3),
    "path": lambda x: Path(x, 3).logsignature(1, 5),
    "transforms": lambda x: signature(signatures.transform_path(x, ["time", "lead_lag"]), 2),
    "missing": lambda x: signature(torch.where(x > 1, torch.nan, x), 2, nan_policy="ffill"),
    "modules": lambda x: signatures.SignatureToLogSignature(2, 3)(signatures.Signature(3)(x)),
    "kernel": lambda x, y: signature_kernel(x, y, refinement=1, normalize=True),
    "kernel to a depth": lambda x, y: signature_kernel(x, y, depth=2, static_kernel="rbf"),
    "kernel, two arguments": lambda x: signature_kernel(x, x.flip(1)),
    "gram": lambda x: signature_kernel_gram(x, x_lengths=LENGTHS),
    "mmd": lambda x, y: signatures.signature_mmd(x, y),
    "score": lambda x, y: signatures.signature_score(x, y),
}
SOFT_DTW = {
    "soft_dtw": lambda x, y: F.soft_dtw(x, y, x_lengths=LENGTHS),
    "gamma": lambda x, y, g: F.soft_dtw(x, y, gamma=g, cost="gak", bandwidth=3),
    "one with itself": lambda x: F.soft_dtw(x, x.flip(1)),
    "euclidean": lambda x, y: F.soft_dtw(x, y, cost="euclidean"),
    "cosine": lambda x, y: F.soft_dtw(x, y, cost="cosine"),
    "own cost": lambda x, y: F.soft_dtw(x, y, cost=lambda a, b: (a[:, :, None] - b[:, None]).pow(4).sum(-1)),
    "divergence": lambda x, y: F.soft_dtw_divergence(x, y),
    "alignment": lambda x, y, g: torch.cat(
        [v.reshape(3, -1) for v in F.soft_dtw_alignment(x, y, gamma=g)], 1
    ),
    "cdist": lambda x, y, g: F.cdist_soft_dtw(x, y, gamma=g),
    "cdist alone": lambda x: F.cdist_soft_dtw(x, x_lengths=LENGTHS),
    "cdist divergence": lambda x, y: F.cdist_soft_dtw_divergence(x, y),
    "shape and time": lambda x, y: torch.stack(tuple(F.shape_and_time(x, y, gamma=0.5))),
    "loss": lambda x, y: SoftDTWLoss(gamma=0.5, normalize=False)(x, y),
    "divergence loss": lambda x, y: SoftDTWDivergenceLoss()(x, y),
    "dilate": lambda x, y: DILATELoss(gamma=0.5)(x, y),
    "read at a warp": lambda x: apply_warp(x, torch.linspace(0, 1, 9).double().expand(3, 9)),
    "error of a warp": lambda x: time_error(x[..., 0], x[..., 1].detach()),
}
ARGUMENTS = (X, Y, GAMMA)


def arguments_of(f):
    return ARGUMENTS[: f.__code__.co_argcount]


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("name", [*SIGNATURES, *SOFT_DTW])
def test_tangents(name, requires_grad):
    f = {**SIGNATURES, **SOFT_DTW}[name]
    primals = arguments_of(f)
    ways = [random(*x.shape, seed=7 + i) for i, x in enumerate(primals)]
    jacobians = torch.autograd.functional.jacobian(f, primals)
    expected = sum(
        (j * way).flatten(j.ndim - way.ndim).sum(-1) if way.ndim else j * way
        for j, way in zip(jacobians, ways, strict=True)
    )
    with forward_ad.dual_level():
        leaves = [x.clone().requires_grad_(requires_grad) for x in primals]
        value, tangent = forward_ad.unpack_dual(f(*map(forward_ad.make_dual, leaves, ways)))
        torch.testing.assert_close(tangent, expected)
        torch.testing.assert_close(value, f(*primals), rtol=1e-14, atol=1e-14)
        assert value.requires_grad == requires_grad
        constant = forward_ad.unpack_dual(f(*primals))
        assert constant.tangent is None or not constant.tangent.any()


CHECKED = {
    "signature": lambda x: signature(x, 2),
    "stream": lambda x: signature(x, 2, stream=True, basepoint=True, lengths=torch.tensor([4])),
    "logsignature": lambda x: signatures.logsignature(x, 2),
    "product": lambda x: signatures.signature_combine(signature(x, 2), signature(2 * x, 2), 2, 2),
    "kernel": lambda x, y: signature_kernel(x, y),
    "gram": lambda x, y: signature_kernel_gram(x, y),
    "soft_dtw": lambda x, y, g: F.soft_dtw(x, y, gamma=g),
    "alignment": lambda x, y: F.soft_dtw_alignment(x, y)[0],
    "cdist": lambda x, y, g: F.cdist_soft_dtw(x, y, gamma=g),
    "cdist alone": lambda x: F.cdist_soft_dtw(torch.cat([x, x.flip(1), 2 * x])),
}


@pytest.mark.parametrize("name", CHECKED)
def test_checked_by_torch(name):
    """Forward mode, and both mixtures of forward and backward passes."""
    f = CHECKED[name]
    tensors = (random(1, 4, 2), random(1, 3, 2, seed=1), GAMMA.clone())
    primals = [x.requires_grad_() for x in tensors[: f.__code__.co_argcount]]
    assert gradcheck(f, primals, check_forward_ad=True)
    assert gradgradcheck(f, primals, check_fwd_over_rev=True)
    ways = tuple(random(*x.shape, seed=3 + i) for i, x in enumerate(primals))
    with forward_ad.dual_level():
        value, tangent = forward_ad.unpack_dual(f(*map(forward_ad.make_dual, primals, ways)))
    weights = random(*value.shape, seed=9)
    total = (tangent * weights).sum()  # differentiated after the level, which would ask for third derivatives
    found = torch.autograd.grad(total, primals)
    _, expected = torch.autograd.functional.vhp(lambda *p: (f(*p) * weights).sum(), tuple(primals), ways)
    torch.testing.assert_close(found, expected)


def test_a_backward_pass_from_before_the_level():
    """Its weights may be dual: the gradient is linear in them."""
    x, y = X.clone().requires_grad_(), Y.clone().requires_grad_()
    for f in (
        lambda: signature(x, 3),
        lambda: signature_kernel(x, y),
        lambda: F.soft_dtw(x, y),
        lambda: F.soft_dtw_alignment(x, y)[0],
        lambda: F.cdist_soft_dtw(x, y),
    ):
        value = f()
        weights, way = random(*value.shape, seed=3), random(*value.shape, seed=4)
        (expected,) = torch.autograd.grad(value, x, way, retain_graph=True)
        with forward_ad.dual_level():
            (found,) = torch.autograd.grad(value, x, forward_ad.make_dual(weights, way))
            torch.testing.assert_close(forward_ad.unpack_dual(found).tangent, expected)


def test_weights_of_second_derivatives_are_refused():
    x = X.clone().requires_grad_()
    alignment = F.soft_dtw_alignment(x, Y)[1]
    (slope,) = torch.autograd.grad(F.cdist_soft_dtw(x, Y).sum(), x, create_graph=True)
    for value in (alignment, slope):
        weights = random(*value.shape, seed=3)
        with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="third"):
            torch.autograd.grad(value, x, forward_ad.make_dual(weights, weights))


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("options", [{}, {"objective": "divergence", "solver": "newton"}])
def test_barycenters(options, requires_grad):
    def f(x, weights, gamma):
        return F.soft_dtw_barycenter(x, weights=weights, gamma=gamma, max_iter=300, tol=1e-12, **options)

    primals = X, torch.tensor([0.2, 0.5, 0.3]).double(), GAMMA
    ways = random(*X.shape, seed=3), random(3, seed=4), random(seed=5)
    jacobians = torch.autograd.functional.jacobian(f, primals)
    expected = sum((j * way).reshape(6, 2, -1).sum(-1) for j, way in zip(jacobians, ways, strict=True))
    with forward_ad.dual_level():
        leaves = [x.clone().requires_grad_(requires_grad) for x in primals]
        z, tangent = forward_ad.unpack_dual(f(*map(forward_ad.make_dual, leaves, ways)))
        assert z.requires_grad == requires_grad
        torch.testing.assert_close(tangent, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_second_derivatives_of_barycenters_are_refused():
    v = X.clone().requires_grad_()
    z = F.soft_dtw_barycenter(X, weights=(w := torch.full((3,), 1 / 3).double().requires_grad_()))
    (g,) = torch.autograd.grad((z * v.sum()).sum(), w, create_graph=True)
    with pytest.raises(NotImplementedError, match="a second one was asked for"):
        torch.autograd.grad(g.sum(), v)


REFUSED = {
    "warp": (lambda x: gdtw(x, Y).values, "forward mode"),
    "objective": (lambda x: gdtw(x, Y).objective, "forward mode"),
    "layer": (lambda x: DecDTW()(x, Y), "forward mode"),
}


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_forward_mode_says_so(name, requires_grad):
    f, text = REFUSED[name]
    with forward_ad.dual_level():
        x = forward_ad.make_dual(X.clone().requires_grad_(requires_grad), random(3, 6, 2, seed=9))
        with pytest.raises(NotImplementedError, match=text):
            f(x)
        torch.testing.assert_close(f(X), f(X.clone()))  # what is not dual is computed


@pytest.mark.parametrize("f", [lambda x: F.soft_dtw(x, Y), lambda x: F.cdist_soft_dtw(x, Y)])
def test_third_derivatives_say_so(f):
    x = X.clone().requires_grad_()
    with forward_ad.dual_level():
        value = f(forward_ad.make_dual(x, random(*x.shape, seed=5)))
        (first,) = torch.autograd.grad(value.square().sum(), x, create_graph=True)
        with pytest.raises(NotImplementedError, match="third"):
            torch.autograd.grad(first.square().sum(), x)


def test_no_level_is_opened_for_those_who_switch_forward_mode_off():
    """Inside of an autograd function of somebody's own, torch listens to no tangents."""

    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return signature(x, 2) + F.soft_dtw(x, Y)[:, None]

        @staticmethod
        def jvp(ctx, way):
            return way.sum((1, 2))[:, None].expand(3, 6)

    with forward_ad.dual_level():
        value, tangent = forward_ad.unpack_dual(Own.apply(forward_ad.make_dual(X, torch.ones_like(X))))
    torch.testing.assert_close(value, signature(X, 2) + F.soft_dtw(X, Y)[:, None])
    assert (tangent == 12).all()


def test_tensors_that_are_not_what_their_memory_holds():
    for x, plain in (
        (torch._neg_view(X), -X),
        (torch._efficientzerotensor(3, 6, 2, dtype=torch.float64), torch.zeros_like(X)),
    ):
        torch.testing.assert_close(signature(x, 3), signature(plain, 3))
        torch.testing.assert_close(F.soft_dtw(x, Y), F.soft_dtw(plain, Y))
        torch.testing.assert_close(F.soft_dtw(Y, x), F.soft_dtw(Y, plain))
        torch.testing.assert_close(F.cdist_soft_dtw(x), F.cdist_soft_dtw(plain))


def test_traces_hold_operators():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(lambda x: F.soft_dtw(x, Y), (X,), check_trace=False)
    torch.testing.assert_close(traced(X + 1), F.soft_dtw(X + 1, Y))
