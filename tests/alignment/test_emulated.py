"""Warps on a GPU, on the host: the kernels and everything around them, against the CPU engine."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from warp_oracle import OPTIONS, random_case, smooth, times

from sktime_sdtw import gdtw
from sktime_sdtw.alignment import _solver
from sktime_sdtw.alignment._problem import make_problem

torch = pytest.importorskip("torch")
pytest.importorskip("cuda.core", reason="kernels are compiled through it")

from cuda_emulation import EmulatedRuntime  # noqa: E402
from sktime_sdtw.cuda_ext import _gdtw  # noqa: E402

from sktime_sdtw.alignment import _cuda, _operator, _torch  # noqa: E402
from sktime_sdtw.functional import capturable  # noqa: E402

DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(gdtw).parameters.items()
    if name not in ("x", "y", "n_grid", "exact", "return_gap", "n_jobs", "device")
}


class EmulatedDevice:
    """Copies where a GPU shares memory."""

    def __init__(self, **options):
        self.runtime = EmulatedRuntime(**options)

    def wrap(self, tensor):
        return self.runtime.upload(tensor.detach().contiguous().numpy())

    def tensor(self, buffer, *shape):
        return torch.from_numpy(self.runtime.download(buffer, shape))


def problem_of(case, **more):
    times_of = {"x_times": case.x_times, "y_times": case.y_times}
    return make_problem(case.x, case.y, **{**DEFAULTS, **times_of, **case.options, **more})[0]


def compare(problem, found, rtol=1e-9):
    """Against the CPU engine: as good, and the same warp and active set where a penalty leaves only one."""
    ours, theirs = _solver.Solution(**found), _solver.solve(problem)
    np.testing.assert_allclose(ours.objective, theirs.objective, rtol=rtol, atol=1e-14)
    one = np.repeat(problem.reg > 0, problem.targets.lengths)
    np.testing.assert_allclose(ours.warp[one], theirs.warp[one], atol=rtol)
    for name in ("cell", "holds", "ties"):
        np.testing.assert_array_equal(getattr(ours, name)[one], getattr(theirs, name)[one])
    assert (ours.residual < 1e-9).all()


@pytest.mark.parametrize("name", OPTIONS)
def test_all_modes_as_on_the_cpu(name):
    for seed in range(3):
        problem = problem_of(random_case(seed, n=15, m=12, d=1 + seed, **OPTIONS[name]))
        compare(problem, _gdtw.solve_arrays([EmulatedRuntime()], problem, 0))


@pytest.mark.parametrize(
    "options",
    [
        {"slope_max": np.where(np.arange(11) < 5, 1.2, 3.0), "reg": 0.003},
        {"band": [[0.05, 0.12, 0.03]], "reg": 0.003},
        {"band_lower": 0.35, "band_upper": 1.6, "mode": "subsequence", "reg": 0.003},
        {"knots": 8, "loss": "huber", "huber_delta": 0.1, "reg": 0.01},
        {"reg": 0.01, "reg_cumulative": 0.3, "reg_loss": "huber", "reg_huber_delta": 0.05},
        {"slope_min": 1.0, "slope_max": 1.0},
    ],
)
def test_bounds_and_knots(options):
    problem = problem_of(random_case(4, n=15, m=12, d=2, **options))
    compare(problem, _gdtw.solve_arrays([EmulatedRuntime()], problem, 0))


@pytest.mark.parametrize("name", ["plain", "light", "slope", "l1", "cumulative", "subsequence", "cubic"])
def test_long_pairs_by_grids_and_leaps(name):
    problem = problem_of(random_case(6, n=40, m=33, d=2, **OPTIONS[name]))
    found = _solver.Solution(**_gdtw.solve_arrays([EmulatedRuntime()], problem, 50))
    expected = _solver.solve(problem, 50)
    np.testing.assert_allclose(found.objective, expected.objective, rtol=1e-9)
    np.testing.assert_allclose(found.warp, expected.warp, atol=1e-9)


@pytest.mark.parametrize("size", [(120, 100), (280, 240)])
def test_a_pair_too_long_to_be_searched_at_once(size):
    problem = problem_of(random_case(7, n=size[0], m=size[1], reg=0.01))
    compare(problem, _gdtw.solve_arrays([EmulatedRuntime()], problem, 0))


def ragged(sizes=((30, 9), (7, 25), (12, 12), (2, 2), (5, 2))):
    rng = np.random.default_rng(0)
    rows = [(smooth(rng, n, 2), smooth(rng, m, 2), times(rng, n), times(rng, m)) for n, m in sizes]
    x, y, s, t = map(list, zip(*rows, strict=True))
    return x, y, {"x_times": s, "y_times": t, "reg": [0.01, 0.1, 0.0, 0.1, 0.2]}


@pytest.mark.parametrize("mode", ["endpoint", "subsequence"])
def test_ragged_pairs_in_any_order_on_two_devices(mode):
    x, y, rest = ragged()
    problem = make_problem(x, y, **{**DEFAULTS, **rest, "mode": mode})[0]
    results = [
        _gdtw.solve_arrays(runtimes, problem, 0)
        for runtimes in (
            [EmulatedRuntime()],
            [EmulatedRuntime(1, resident=1, order=1, memory=2**25)],
            [EmulatedRuntime(1, order=7, sanitize=True)] * 2,
        )
    ]
    compare(problem, results[0])
    for other in results[1:]:
        for name, values in other.items():
            np.testing.assert_array_equal(values, results[0][name])


def test_long_grids_and_chains_without_room(monkeypatch):
    problem = problem_of(random_case(2, n=30, m=25, reg=0.003))
    runtime = EmulatedRuntime()
    wide = _gdtw.solve_arrays([runtime], problem, 3000)
    np.testing.assert_allclose(wide["objective"], _solver.solve(problem, 3000).objective, rtol=1e-9)
    assert ("WIDE_GRID", "1") in runtime.launches[-1][0].defines
    enough = _gdtw.solve_arrays([runtime], problem, 0)
    monkeypatch.setattr(_gdtw, "USUAL_JOINTS", 3)
    count = len(runtime.launches)
    again = _gdtw.solve_arrays([runtime], problem, 0)
    assert len(runtime.launches) == count + 2
    for name, values in again.items():
        np.testing.assert_array_equal(values, enough[name])


# --- tensors


@pytest.fixture
def device(monkeypatch):
    """A device in the place of the CPU: what `gdtw` does with CUDA tensors, down to the kernels."""
    found = EmulatedDevice()

    class Operator(torch.autograd.Function):
        @staticmethod
        def forward(*arguments):
            return _cuda.forward(found, arguments[:11], *arguments[11:13], arguments[13:18], arguments[19])

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.inputs, ctx.state = inputs, output[:4]
            ctx.mark_non_differentiable(*output[1:])

        @staticmethod
        def backward(ctx, upstream, *others):
            tensors, settings = ctx.inputs[:11], ctx.inputs[13:18]
            grads = _cuda.backward(found, tensors, *ctx.inputs[11:13], settings, ctx.state, upstream)
            grads = [None if tensor is None else grad for tensor, grad in zip(tensors, grads, strict=True)]
            return (*grads, *[None] * 9)

    monkeypatch.setattr(_torch, "warp_of", Operator.apply)
    return found


def leaves_of(name, seed, n=15, m=12):
    case = random_case(seed, n=n, m=m, d=2, **OPTIONS[name])
    tensors = {
        key: torch.tensor(getattr(case, key)[None], requires_grad=True)
        for key in ("x", "y", "x_times", "y_times")
    }
    options = dict(case.options)
    for key in ("reg", "reg_cumulative", "slope_min", "slope_max", "band"):
        if isinstance(options.get(key), float):
            tensors[key] = torch.tensor(options.pop(key), dtype=torch.float64, requires_grad=True)
    return tensors, options


@pytest.mark.parametrize("name", OPTIONS)
def test_gradients_as_on_the_cpu(name, device, monkeypatch):
    for seed in range(2):
        tensors, options = leaves_of(name, seed)
        found = gdtw(**tensors, **options)
        upstream = torch.linspace(-1, 2, 12, dtype=torch.float64)[None]
        ours = torch.autograd.grad(found.values, list(tensors.values()), upstream)
        with monkeypatch.context() as m:
            m.setattr(_torch, "warp_of", _operator.warp_of)
            expected = gdtw(**tensors, **options)
        torch.testing.assert_close(found.values, expected.values, rtol=0, atol=1e-9)
        torch.testing.assert_close(found.holds, expected.holds)
        theirs = torch.autograd.grad(expected.values, list(tensors.values()), upstream)
        for key, a, b in zip(tensors, ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9 * (1 + float(b.abs().max())), msg=key)
    assert {spec.entry for spec, *_ in device.runtime.launches} == {"gdtw", "gdtw_backward"}


def test_padded_tensors(device):
    x, y, rest = ragged()
    n, m = [len(row) for row in x], [len(row) for row in y]

    def padded(rows):
        size = (len(rows), max(map(len, rows)), *rows[0].shape[1:])
        table = np.full(size, np.nan)
        for row, values in zip(table, rows, strict=True):
            row[: len(values)] = values
        return torch.tensor(table)

    X, Y = padded(x).requires_grad_(), padded(y).requires_grad_()
    lengths = {"x_lengths": torch.tensor(n), "y_lengths": m}
    reg = torch.tensor(rest["reg"], dtype=torch.float64)
    s, t = padded(rest["x_times"]), padded(rest["y_times"])
    together = gdtw(X, Y, x_times=s, y_times=t, reg=reg, **lengths)
    together.values.sin().sum().backward()
    for i in range(len(x)):
        one, other = torch.tensor(x[i], requires_grad=True), torch.tensor(y[i], requires_grad=True)
        parts = {"x_times": rest["x_times"][i], "y_times": rest["y_times"][i], "reg": rest["reg"][i]}
        alone = gdtw(one, other, **parts)
        torch.testing.assert_close(together.values[i, : m[i]], alone.values, rtol=0, atol=1e-12)
        assert (together.values[i, m[i] :] == alone.values[-1]).all()
        assert together.times[i, -1] == alone.times[-1]
        weights = torch.ones(m[i])
        weights[-1] += max(m) - m[i]
        (alone.values.sin() * weights).sum().backward()
        torch.testing.assert_close(X.grad[i, : n[i]], one.grad, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(Y.grad[i, : m[i]], other.grad, rtol=1e-9, atol=1e-12)
        assert (X.grad[i, n[i] :] == 0).all()
        assert (Y.grad[i, m[i] :] == 0).all()


def test_gradcheck(device):
    rng = np.random.default_rng(3)
    x, y = (torch.tensor(smooth(rng, n, 3)[None], requires_grad=True) for n in (9, 7))
    reg = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    for options in ({"interpolation": "cubic"}, {"reg_loss": "huber", "reg_huber_delta": 0.3}):
        assert torch.autograd.gradcheck(
            lambda x, y, reg, options=options: gdtw(x, y, reg=reg, **options).values, (x, y, reg), atol=1e-6
        )


BAD = {
    "x has NaN": {"x": "nan"},
    "y has NaN": {"y": "nan"},
    "x_times must increase": {"x_times": torch.tensor([0.0, 1, 1, 2, 3, 4, 5, 6])},
    "y_times has NaN": {"y_times": torch.tensor([0.0, torch.inf, 1, 2, 3, 4])},
    r"x_lengths must be .* Got \[8, 9\]": {"x_lengths": [8, 9]},
    r"y_lengths must be .* Got \[6, 1\]": {"y_lengths": [6, 1]},
    "reg must be finite": {"reg": torch.tensor([0.1, -1.0])},
    "reg_cumulative must be": {"reg_cumulative": torch.tensor([0.1, torch.inf])},
    "No warp of pair 0 meets slope_max: at time 1 ": {"slope_max": 0.5},
    "slope_min must be >= 0": {"slope_min": -1.0},
    "slope_max must be >= 0": {"slope_max": torch.nan},
    "slope_min is greater": {"slope_min": 2.0, "slope_max": 1.5},
    "band.* has NaN": {"band_lower": torch.nan},
    "No warp of pair 1 meets band or band_lower: ": {"band_lower": torch.tensor([[0.0] * 6, [2.0] * 6])},
    "leaves the range": {"x": "huge"},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(device, message):
    good = {"x": torch.randn(2, 8, 1), "y": torch.randn(2, 6, 1)}
    options = {**good, **BAD[message]}
    for name in good:
        if isinstance(options[name], str):
            change = {"nan": torch.nan, "huge": 1e200}[options[name]]
            options[name] = good[name].double()
            options[name][1] = change
    with pytest.raises(ValueError, match=f"(?s){message}"):
        gdtw(**options)


def test_bad_pairs_in_graphs_are_not_numbers(device):
    x, y = torch.randn(3, 8, 1, dtype=torch.float64), torch.randn(3, 6, 1, dtype=torch.float64)
    x[1, 2] = torch.nan
    x.requires_grad_(), y.requires_grad_()
    with capturable():
        found = gdtw(x, y)
        found.values.sum().backward()
    assert found.values.isnan().all(1).tolist() == [False, True, False]
    assert found.objective.isnan().tolist() == [False, True, False]
    for grad in (x.grad, y.grad):
        assert grad.isnan().any((1, 2)).tolist() == [False, True, False]


def test_tensors_in_two_places_are_refused():
    x, y = torch.zeros(8), torch.zeros(6, device="meta")
    with pytest.raises(TypeError, match="meta"):
        gdtw(x, y)
    with pytest.raises((ValueError, RuntimeError), match="cuda"):
        gdtw(x, torch.zeros(6), device="cuda")
