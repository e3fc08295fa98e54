"""The operators as torch sees them: opcheck, compile, export, torch.func, autocast, watching modes."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap  # noqa: E402

from sktime_sdtw.functional import (  # noqa: E402
    _library,
    soft_dtw,
    soft_dtw_alignment,
    soft_dtw_divergence,
)
from sktime_sdtw.nn import SoftDTWLoss  # noqa: E402

SETTINGS = (0, 1.0, 0, 0.0)


def random(*shape, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_(
        options.get("grad", False)
    )


@pytest.fixture
def pair():
    return random(3, 5, 2, seed=1), random(3, 7, 2, seed=2)


def value_of(x, y):
    return soft_dtw(x[None], y[None], gamma=0.7)[0]


@pytest.mark.parametrize("wanted", [0, 1, 5, 7])
def test_opcheck_first_order(wanted):
    x, y, gamma = (
        random(2, 4, 2, grad=True),
        random(2, 3, 2, grad=True),
        torch.tensor(0.7).double().requires_grad_(),
    )
    torch.library.opcheck(
        _library.soft_dtw, (x, y, None, torch.tensor([2, 3]), gamma, 1.0, *SETTINGS, wanted)
    )


def test_opcheck_of_costs():
    costs = random(2, 4, 3, grad=True)
    torch.library.opcheck(_library.soft_dtw_of_costs, (costs, None, None, None, 0.5, 4, 1.0, 1, 2.0, 5))


def test_opcheck_second_order(pair):
    x, y = pair
    torch.library.opcheck(
        _library.soft_dtw_second_order, (x, y, None, None, None, 0.5, *SETTINGS, x, None, None, 7)
    )
    torch.library.opcheck(
        _library.soft_dtw_of_costs_second_order,
        (x.abs(), None, None, None, 0.5, 4, 1.0, 0, 0.0, x, None, 5),
    )


CALLS = {
    "soft_dtw": lambda x, y: soft_dtw(x, y, gamma=0.5),
    "lengths": lambda x, y: soft_dtw(x, y, gamma=0.5, x_lengths=[5, 4, 1], y_lengths=torch.tensor([7, 2, 3])),
    "band": lambda x, y: soft_dtw(x, y, gamma=0.5, bandwidth=1),
    "divergence": lambda x, y: soft_dtw_divergence(x, y, gamma=0.5, cost="cosine"),
    "alignment": lambda x, y: soft_dtw_alignment(x, y, gamma=0.5)[1].square().sum((1, 2)),
    "learned gamma": SoftDTWLoss(gamma=torch.nn.Parameter(torch.tensor(0.5))),
}


@pytest.mark.parametrize("name", CALLS)
def test_compiles_into_one_graph_forward_and_backward(name, pair):
    call = CALLS[name]
    results = []
    for function in (call, torch.compile(call, fullgraph=True, backend="aot_eager")):
        x, y = (series.clone().requires_grad_() for series in pair)
        value = function(x, y)
        results.append((value.detach(), *torch.autograd.grad(value.sum(), (x, y))))
    for eager, compiled in zip(*results, strict=True):
        assert torch.equal(eager, compiled)


def test_compiles_with_dynamic_shapes():
    compiled = torch.compile(CALLS["soft_dtw"], fullgraph=True, backend="aot_eager", dynamic=True)
    for n in (4, 6):
        x, y = random(2, n, 1), random(2, n + 1, 1)
        assert torch.equal(compiled(x, y), CALLS["soft_dtw"](x, y))


def test_exports(pair):
    class Model(torch.nn.Module):
        def forward(self, x, y):
            return soft_dtw(x, y, gamma=0.5)

    program = torch.export.export(Model(), pair)
    assert any("soft_dtw" in str(node.target) for node in program.graph.nodes)
    assert torch.equal(program.module()(*pair), Model()(*pair))


@pytest.mark.parametrize("name", ["soft_dtw", "divergence", "alignment"])
def test_exports_with_dynamic_shapes(name, pair):
    class Model(torch.nn.Module):
        def forward(self, x, y):
            return CALLS[name](x, y)

    batch, n, m = (torch.export.Dim(axis) for axis in ("batch", "n", "m"))
    shapes = {"x": {0: batch, 1: n}, "y": {0: batch, 1: m}}
    module = torch.export.export(Model(), pair, dynamic_shapes=shapes).module()
    x, y = random(4, 6, 2), random(4, 9, 2, seed=1)
    assert torch.equal(module(x, y), Model()(x, y))


def test_func_grad_and_vmap(pair):
    x, y = pair
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(soft_dtw(leaf, y, gamma=0.7).sum(), leaf)
    assert torch.equal(vmap(value_of)(x, y), soft_dtw(x, y, gamma=0.7))
    assert torch.equal(grad(lambda x: soft_dtw(x, y, gamma=0.7).sum())(x), expected)
    assert torch.equal(vmap(grad(value_of))(x, y), expected)
    assert torch.equal(grad(lambda x: vmap(value_of)(x, y).sum())(x), expected)
    assert torch.equal(jacrev(lambda x: soft_dtw(x, y, gamma=0.7))(x).sum(0), expected)
    swapped = vmap(lambda x: value_of(x, y[0]), in_dims=1)(x.movedim(0, 1))
    assert torch.equal(swapped, soft_dtw(x, y[:1], gamma=0.7))


def test_func_second_order(pair):
    x, y = pair[0][0], pair[1][0]
    expected = torch.autograd.functional.hessian(lambda x: value_of(x, y), x)
    for transform in (hessian, lambda f: jacrev(jacrev(f)), lambda f: jacfwd(jacrev(f))):
        torch.testing.assert_close(transform(lambda x: value_of(x, y))(x), expected)


def test_func_jvp(pair):
    x, y = pair
    gamma, directions = torch.tensor(0.7, dtype=torch.float64), (random(3, 5, 2), random(3, 7, 2), 0.3)

    def call(x, y, gamma):
        return soft_dtw(x, y, gamma=gamma)

    tangents = (*directions[:2], torch.tensor(0.3, dtype=torch.float64))
    _, forward = jvp(call, (x, y, gamma), tangents)
    leaves = [tensor.clone().requires_grad_() for tensor in (x, y, gamma)]
    jacobian = torch.autograd.functional.jacobian(call, tuple(leaves))
    backward = sum(
        (part.reshape(3, -1) * tangent.reshape(1, -1)).sum(1)
        for part, tangent in zip(jacobian, tangents, strict=True)
    )
    torch.testing.assert_close(forward, backward)


def test_func_through_costs_and_alignments(pair):
    x, y = pair

    def total(x):
        return soft_dtw_alignment(x, y, gamma=0.7)[1].square().sum()

    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(total(leaf), leaf)
    torch.testing.assert_close(grad(total)(x), expected)
    (forward,) = (jacfwd(total)(x),)
    torch.testing.assert_close(forward, expected)


def test_vmap_over_gamma(pair):
    x, y = pair
    gammas = torch.tensor([0.1, 1.0, 3.0], dtype=torch.float64)
    values = vmap(lambda gamma: soft_dtw(x, y, gamma=gamma))(gammas)
    for row, gamma in zip(values, gammas.tolist(), strict=True):
        torch.testing.assert_close(row, soft_dtw(x, y, gamma=gamma))
    per_sample = soft_dtw(x, y, gamma=gammas)
    torch.testing.assert_close(per_sample, values.diagonal())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_float32(dtype):
    x = random(2, 6, 3).to(dtype).requires_grad_()
    y = random(2, 5, 3, seed=3).to(dtype)
    value = soft_dtw(x, y, gamma=0.5)
    assert value.dtype is torch.float32
    assert torch.equal(value, soft_dtw(x.float(), y.float(), gamma=0.5))
    (2.0**16 * value.sum()).backward()  # as scaled by GradScaler
    assert x.grad.dtype is dtype
    mixed = soft_dtw(x, y.float(), gamma=0.5)
    assert torch.equal(mixed, value)


def test_autocast_keeps_float32():
    x, y = random(2, 6, 3).float(), random(2, 5, 3).float()
    layer = torch.nn.Linear(3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = soft_dtw(layer(x), y, gamma=0.5)
        inside = _library.soft_dtw(layer(x), y.bfloat16(), None, None, None, 0.5, *SETTINGS, 0)[0]
    assert value.dtype is inside.dtype is torch.float32
    value.sum().backward()
    assert layer.weight.grad.dtype is torch.float32


def test_operators_are_seen_by_watching_modes():
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):
        seen: list[str]

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.seen.append(str(function))
            return function(*args, **(kwargs or {}))

    watch = Watch()
    watch.seen = []
    with watch:
        soft_dtw(random(1, 3, 1), random(1, 3, 1))
    assert "sktime_sdtw.soft_dtw.default" in watch.seen


def test_third_order_says_no(pair):
    x, y = pair[0][:1].clone().requires_grad_(), pair[1][:1]
    (first,) = torch.autograd.grad(soft_dtw(x, y).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="third"):
        second.sum().backward()
