"""The functions of tensors against the float64 oracle, their derivatives, and bad input."""

from __future__ import annotations

import contextlib
import threading

import numpy as np
import oracle
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from sktime_sdtw.functional import (  # noqa: E402
    _library,
    capturable,
    cdist_soft_dtw,
    soft_dtw,
    soft_dtw_alignment,
    soft_dtw_divergence,
)

COSTS = ["sqeuclidean", "euclidean", "manhattan", "cosine", "gak"]


def series(batch, steps, features, seed=0, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(batch, steps, features))).to(dtype)


def leaves(*tensors):
    return [tensor.clone().requires_grad_() for tensor in tensors]


def expected(x, y, gamma, cost, band=None):
    costs = oracle.cost_matrix(x.numpy(), y.numpy(), cost)
    if band is not None:
        costs = np.where(band(*costs.shape), costs, np.inf)
    solution = oracle.solve(costs, gamma)
    return solution, oracle.gradients(x.numpy(), y.numpy(), solution.alignment, cost)


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_and_gradients_follow_the_oracle(cost, dtype):
    x, y, gamma = leaves(series(3, 6, 2), series(3, 4, 2, 1), torch.tensor(0.6, dtype=torch.float64))
    x, y = (tensor.detach().to(dtype).requires_grad_() for tensor in (x, y))
    value = soft_dtw(x, y, gamma=gamma, cost=cost)
    value.sum().backward()
    assert value.dtype is dtype
    assert gamma.grad.dtype is torch.float64
    tolerance = {torch.float32: 1e-4, torch.float64: 1e-10}[dtype]
    slope = 0.0
    for i in range(3):
        solution, (grad_x, grad_y) = expected(x[i].detach().double(), y[i].detach().double(), 0.6, cost)
        assert value[i].item() == pytest.approx(solution.value, rel=tolerance)
        np.testing.assert_allclose(x.grad[i].numpy(), grad_x, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(y.grad[i].numpy(), grad_y, rtol=tolerance, atol=tolerance)
        slope += solution.gamma_slope
    assert gamma.grad.item() == pytest.approx(slope, rel=10 * tolerance)


@given(
    n=st.integers(1, 9),
    m=st.integers(1, 9),
    features=st.integers(1, 3),
    seed=st.integers(0, 99),
    cost=st.sampled_from(COSTS),
    gamma=st.sampled_from([1e-3, 0.3, 50.0]),
)
@settings(max_examples=40, deadline=None)
def test_alignment_is_the_derivative_of_the_costs(n, m, features, seed, cost, gamma):
    x, y = series(1, n, features, seed), series(1, m, features, seed + 1)
    solution, _ = expected(x[0], y[0], gamma, cost)
    value, alignment = soft_dtw_alignment(x, y, gamma=gamma, cost=cost)
    assert value.item() == pytest.approx(solution.value, rel=1e-10, abs=1e-10)
    np.testing.assert_allclose(alignment[0].numpy(), solution.alignment, atol=1e-9)


def test_gamma_zero_is_dtw_along_its_path():
    (x,) = leaves(series(2, 5, 1))
    y = series(2, 6, 1, 1)
    value, alignment = soft_dtw_alignment(x, y, gamma=0)
    assert set(alignment.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(soft_dtw(x, y, gamma=0), value)
    costs = (x[:, :, None] - y[:, None]).square().sum(-1)
    torch.testing.assert_close(value, (costs * alignment).sum((1, 2)))
    (gradient,) = torch.autograd.grad(soft_dtw(x, y, gamma=0).sum(), x)
    (along,) = torch.autograd.grad((costs * alignment.detach()).sum(), x)
    torch.testing.assert_close(gradient, along)


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean", "gak", "cosine"])
def test_costs_of_many_features_have_the_same_derivatives(monkeypatch, cost):
    from torch.func import grad, hessian, vmap

    from sktime_sdtw.functional import _squares

    def total(x, y):
        return soft_dtw_alignment(x, y, gamma=0.5, cost=cost)[1].square().sum()

    x, y = leaves(series(2, 4, 3), series(2, 5, 3, 1))
    results = []
    for most in (2**20, 0):
        monkeypatch.setattr(_squares, "MOST_DIFFERENCES", most)
        costs = lambda x, y: _squares.squared_distances(x, y).pow(1.5).sum()  # noqa: E731
        plain = x.detach(), y.detach()
        results.append([total(x, y), *torch.autograd.grad(total(x, y), (x, y)), grad(total)(*plain)])
        results[-1] += [vmap(grad(total))(*(z[:, None] for z in plain))]
        results[-1] += [part for row in hessian(costs, argnums=(0, 1))(*plain) for part in row]
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)
    assert torch.autograd.gradgradcheck(_squares.squared_distances, (x, y))
    assert torch.autograd.gradcheck(_squares.squared_distances, (x, y), check_forward_ad=True)


LENGTHS = {"x_lengths": [5, 3, 1], "y_lengths": torch.tensor([4, 1, 2])}
OPTIONS = [
    {},
    LENGTHS,
    {"bandwidth": 1},
    {"bandwidth": 0.4, **LENGTHS},
    {"itakura_max_slope": 3.0},
    {"gamma": 0.01},
    {"gamma": 100.0},
]


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options) or "plain")
def test_gradcheck_and_gradgradcheck(cost, options):
    options = dict(options)
    gamma = torch.tensor(options.pop("gamma", 0.7), dtype=torch.float64)
    tensors = leaves(series(3, 5, 2), series(3, 4, 2, 1), gamma)

    def call(x, y, gamma):
        return soft_dtw(x, y, gamma=gamma, cost=cost, **options)

    step = {"eps": 1e-6, "atol": 1e-4 if gamma < 0.1 else 1e-5}
    assert torch.autograd.gradcheck(call, tensors, **step)
    assert torch.autograd.gradgradcheck(call, tensors, **step)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options) or "plain")
def test_costs_and_alignments_have_their_derivatives(options):
    options = dict(options)
    gamma = torch.tensor(options.pop("gamma", 0.7), dtype=torch.float64)
    tensors = leaves(series(3, 5, 4).abs(), gamma)

    def both(costs, gamma):
        return soft_dtw_alignment(costs, gamma=gamma, cost="precomputed", **options)

    step = {"eps": 1e-6, "atol": 1e-4 if gamma < 0.1 else 1e-5}
    assert torch.autograd.gradcheck(both, tensors, **step)
    assert torch.autograd.gradgradcheck(lambda *t: both(*t)[0], tensors, **step)


def test_second_order_by_differences_at_any_gamma():
    # In float64, along one direction; the gradient itself is exact, so its difference is a fair judge.
    for gamma in (1e-6, 1e-2, 1.0, 1e4):
        x, y, direction = series(1, 12, 1), series(1, 9, 1, 1), series(1, 12, 1, 2)

        def slope(x, y=y, gamma=gamma):
            (x,) = leaves(x)
            (gradient,) = torch.autograd.grad(soft_dtw(x, y, gamma=gamma).sum(), x, create_graph=True)
            return x, gradient

        leaf, gradient = slope(x)
        (product,) = torch.autograd.grad((gradient * direction).sum(), leaf)
        step = 1e-6
        ahead, behind = (slope(x + sign * step * direction)[1].detach() for sign in (1, -1))
        torch.testing.assert_close(product, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gamma", [1e-6, 1e-2, 1.0, 1e4])
@pytest.mark.parametrize("band", [{}, {"bandwidth": 2}])
def test_second_order_of_costs_follows_all_paths(gamma, band):
    costs, direction = series(1, 6, 5)[0].square(), series(1, 6, 5, 1)[0]
    for D in (costs, costs.round()):  # rounded: many paths of equal cost
        (leaf,) = leaves(D[None])
        value = soft_dtw(leaf, gamma=gamma, cost="precomputed", **band)
        (E,) = torch.autograd.grad(value.sum(), leaf, create_graph=True)
        (change,) = torch.autograd.grad((E * direction).sum(), leaf)
        limits = {"radius": band["bandwidth"]} if band else {}
        inside = oracle.constrained(D.numpy(), **limits)
        expected = oracle.change_of_alignment(inside, direction.numpy(), gamma)
        scale = max(np.abs(expected).max(), float(direction.abs().max()) * min(1, 1 / gamma))
        assert np.abs(change[0].numpy() - expected).max() < 1e-12 * scale


def test_second_order_in_float32():
    results = []
    for dtype in (torch.float32, torch.float64):
        x, y = leaves(series(2, 40, 3, dtype=dtype))[0], series(2, 30, 3, 1, dtype)
        (gradient,) = torch.autograd.grad(soft_dtw(x, y, gamma=0.1).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), x)
        results.append(second.double())
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-3 * float(results[1].abs().max()))


def test_what_lies_behind_the_end_is_not_looked_at():
    x, y = series(3, 5, 2), series(3, 4, 2, 1)
    for cost in COSTS:
        plain, filled = x.clone(), x.clone()
        for k, length in enumerate(LENGTHS["x_lengths"]):
            plain[k, length:] = 0
            filled[k, length:] = torch.nan
        plain, filled = leaves(plain, filled)
        values = [soft_dtw(z, y, cost=cost, **LENGTHS) for z in (plain, filled)]
        assert torch.equal(*values)
        for z, value in zip((plain, filled), values, strict=True):
            value.sum().backward()
            for k, length in enumerate(LENGTHS["x_lengths"]):
                assert (z.grad[k, length:] == 0).all() or cost == "cosine"
        assert torch.equal(plain.grad, filled.grad)
        for k, (n, m) in enumerate(zip([5, 3, 1], [4, 1, 2], strict=True)):
            alone = soft_dtw(x[k : k + 1, :n], y[k : k + 1, :m], cost=cost)
            torch.testing.assert_close(values[0][k : k + 1], alone)


def test_divergence_of_unequal_lengths():
    x, y = leaves(series(2, 5, 2), series(2, 8, 2, 1))
    divergence = soft_dtw_divergence(x, y, gamma=0.5)
    for i in range(2):
        a, b = x[i].detach().numpy(), y[i].detach().numpy()
        wanted = oracle.debiased(lambda costs: oracle.solve(costs, 0.5).value, a, b)
        assert divergence[i].item() == pytest.approx(wanted, rel=1e-10)
    same = soft_dtw_divergence(x, x, gamma=0.5)
    assert (same == 0).all()
    (gradient,) = torch.autograd.grad(same.sum(), x)
    assert gradient.abs().max() < 1e-10
    assert torch.autograd.gradcheck(lambda x, y: soft_dtw_divergence(x, y, gamma=0.5), (x, y))


def test_callable_cost_passes_gradients():
    x, y = leaves(series(2, 4, 2), series(2, 3, 2, 1))
    value = soft_dtw(x, y, cost=lambda x, y: torch.cdist(x, y).square())
    torch.testing.assert_close(value, soft_dtw(x, y))
    for ours, theirs in zip(
        torch.autograd.grad(value.sum(), (x, y)),
        torch.autograd.grad(soft_dtw(x, y).sum(), (x, y)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_only_what_requires_grad_is_computed(monkeypatch):
    from sktime_sdtw.functional import _cpu

    asked = []
    run = _cpu.soft_dtw
    monkeypatch.setattr(_cpu, "soft_dtw", lambda *a: asked.append(a[-1]) or run(*a))
    x, y = leaves(series(1, 4, 1))[0], series(1, 3, 1)
    soft_dtw(x, y).sum().backward()
    soft_dtw(x.detach(), y)
    with torch.no_grad():
        soft_dtw(x, y)
    gamma = torch.tensor(1.0, requires_grad=True)
    soft_dtw(y, y, gamma=gamma)
    assert asked == [1, 0, 0, 4]


def test_lengths_are_copied_to_a_device_once():
    from sktime_sdtw.functional import _arguments

    device, lengths = torch.device("cpu"), torch.tensor([3, 1, 2])
    first = _arguments.copied_once(device, lengths.numpy().tobytes())
    assert torch.equal(first, lengths)
    assert _arguments.copied_once(device, lengths.clone().numpy().tobytes()) is first
    assert _arguments.lengths_on(device, lengths) is lengths


def test_broadcast_and_strange_layouts():
    x, y = series(4, 6, 3), series(1, 5, 3, 1)
    expanded = soft_dtw(x, y.expand(4, -1, -1))
    assert torch.equal(soft_dtw(x, y), expanded)
    assert torch.equal(soft_dtw(y, x), soft_dtw(y.expand(4, -1, -1), x))
    (leaf,) = leaves(y)
    soft_dtw(x, leaf).sum().backward()
    (many,) = leaves(y.repeat(4, 1, 1))
    soft_dtw(x, many).sum().backward()
    torch.testing.assert_close(leaf.grad, many.grad.sum(0, keepdim=True))
    strided = x.transpose(0, 2).contiguous().transpose(0, 2)
    assert not strided.is_contiguous()
    assert torch.equal(soft_dtw(strided, y), expanded)
    assert torch.equal(soft_dtw(x[::2].flip(1), y), soft_dtw(x[::2].flip(1).contiguous(), y))


def test_zero_batch():
    (x,) = leaves(torch.empty(0, 4, 2))
    value = soft_dtw(x, torch.empty(0, 3, 2), x_lengths=[])
    assert value.shape == (0,)
    value.sum().backward()
    assert x.grad.shape == (0, 4, 2)
    assert soft_dtw_divergence(x, x).shape == (0,)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
@pytest.mark.parametrize("cost", ["sqeuclidean", "manhattan", "precomputed"])
def test_bad_numbers_stay_in_their_sample(bad, cost):
    x, y = series(3, 5, 2), series(3, 4, 2, 1)
    if cost == "precomputed":
        x, y, bad = (x[:, :, None] - y[:, None]).square().sum(-1), None, bad * 1e100
    good = soft_dtw(x, y, cost=cost)
    broken = x.clone()
    broken[1, 2, 0] = bad if cost != "manhattan" else bad * 1e100
    (broken,) = leaves(broken)
    value = soft_dtw(broken, y, cost=cost)
    assert value.isnan().tolist() == [False, True, False]
    assert torch.equal(value[::2], good[::2])
    (gradient,) = torch.autograd.grad(value.sum(), broken, create_graph=True)
    assert gradient[1].isnan().all()
    assert gradient[::2].isfinite().all()
    (second,) = torch.autograd.grad(gradient.square().sum(), broken)
    assert second[1].isnan().all()
    assert second[::2].isfinite().all()


X, Y = torch.zeros(2, 4, 3), torch.zeros(2, 5, 3)
BAD = [
    (lambda: soft_dtw(X[0], Y[0]), ValueError, "three axes"),
    (lambda: soft_dtw(X, Y[:, :, :2]), ValueError, "features"),
    (lambda: soft_dtw(X, torch.zeros(3, 5, 3)), ValueError, "2 series and y holds 3"),
    (lambda: soft_dtw(X, Y.double()), TypeError, r"y.to\(x.dtype\)"),
    (lambda: soft_dtw(X, Y.to("meta")), ValueError, r"y.to\(x.device\)"),
    (lambda: soft_dtw(X.long(), Y.long()), TypeError, "floating-point"),
    (lambda: soft_dtw(X.numpy(), Y), TypeError, "tensor"),
    (lambda: soft_dtw(X[:, :0], Y), ValueError, "empty"),
    (lambda: soft_dtw(X, Y[:, :0]), ValueError, "empty"),
    (lambda: soft_dtw(X[:, :, :0], Y[:, :, :0]), ValueError, "empty"),
    (lambda: soft_dtw(X, None), TypeError, "y must be a tensor"),
    (lambda: soft_dtw(X, Y, gamma=-1.0), ValueError, "gamma"),
    (lambda: soft_dtw(X, Y, gamma=float("nan")), ValueError, "gamma"),
    (lambda: soft_dtw(X, Y, gamma="soft"), TypeError, "gamma"),
    (lambda: soft_dtw(X, Y, gamma=torch.tensor(0.0)), ValueError, "tensor gamma must be finite and > 0"),
    (lambda: soft_dtw(X, Y, gamma=torch.tensor(-1.0)), ValueError, "> 0"),
    (lambda: soft_dtw(X, Y, gamma=torch.tensor([1.0, float("nan")])), ValueError, "> 0"),
    (lambda: soft_dtw(X, Y, gamma=torch.ones(3)), ValueError, "shape"),
    (lambda: soft_dtw(X, Y, gamma=torch.tensor(1)), TypeError, "floating-point"),
    (lambda: soft_dtw(X, Y, x_lengths=[1, 5]), ValueError, "between 1 and 4"),
    (lambda: soft_dtw(X, Y, y_lengths=[0, 5]), ValueError, "between 1 and 5"),
    (lambda: soft_dtw(X, Y, y_lengths=[3]), ValueError, "one length for each of 2"),
    (lambda: soft_dtw(X, Y, y_lengths=[1.0, 2.0]), TypeError, "integers"),
    (lambda: soft_dtw(X, Y, cost="chebyshev"), ValueError, "cost"),
    (lambda: soft_dtw(X, Y, cost=1), TypeError, "cost"),
    (lambda: soft_dtw(X, Y, cost="precomputed"), TypeError, "y must be None"),
    (lambda: soft_dtw(X, Y, cost=lambda x, y: x), ValueError, "local costs of shape"),
    (lambda: soft_dtw(X, Y, bandwidth=-1), ValueError, "bandwidth must be"),
    (lambda: soft_dtw(X, Y, bandwidth=1, itakura_max_slope=2.0), ValueError, "bandwidth and itakura"),
    (lambda: soft_dtw(X, Y[0]), ValueError, r"single series .* y\[None\]"),
    (
        lambda: soft_dtw(X, torch.nested.nested_tensor([Y[0]], layout=torch.jagged)),
        TypeError,
        "nested tensor",
    ),
    (lambda: soft_dtw(X, list(Y)), TypeError, "y must be one padded tensor, with y_lengths. Got a list"),
    (lambda: soft_dtw(X[:, :2], Y, itakura_max_slope=1.5), ValueError, "no path"),
    (lambda: soft_dtw_divergence(X, X, cost="precomputed"), ValueError, "itself"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_gamma_may_be_a_number_of_numpy():
    for gamma in (np.float32(0.5), np.float64(0.5)):
        assert torch.equal(soft_dtw(X, Y, gamma=gamma), soft_dtw(X, Y, gamma=0.5))
    assert torch.equal(soft_dtw(X, Y, gamma=np.int64(2)), soft_dtw(X, Y, gamma=2))


def test_threads_do_not_change_results():
    x, y = leaves(series(9, 100, 2, dtype=torch.float32), series(9, 90, 2, 1, torch.float32))
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            value = soft_dtw(x, y)
            results.append([value, *torch.autograd.grad(value.sum(), (x, y), create_graph=True)])
            results[-1] += torch.autograd.grad(results[-1][1].square().sum(), (x, y))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


CALLS = {
    "series": (soft_dtw, "soft_dtw_second_order"),
    "costs": (lambda x, y: soft_dtw(x * y.mT, None, cost="precomputed"), "soft_dtw_of_costs_second_order"),
    "all pairs": (cdist_soft_dtw, "cdist_soft_dtw_second_order"),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("asks", [True, False])
def test_backward_passes_of_other_threads_know_whether_they_may_wait(name, asks):
    # Those of CUDA tensors run in a thread of torch's.
    from torch.utils._python_dispatch import TorchDispatchMode

    call, operator = CALLS[name]
    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if operator in str(function):
                seen.append(_library.ASKS.get())
            return function(*args, **(kwargs or {}))

    x, y = leaves(series(2, 4, 1), series(2, 3, 1, 1))
    with contextlib.nullcontext() if asks else capturable():
        value = call(x, y).sum()

    def second():
        with Watch():
            (slope,) = torch.autograd.grad(value, x, create_graph=True)
            torch.autograd.grad(slope.square().sum(), x)

    thread = threading.Thread(target=second)
    thread.start()
    thread.join()
    assert seen
    assert set(seen) == {asks}
