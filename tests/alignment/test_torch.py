"""Warps of tensors: the same as of arrays, as an operator that torch's own tools accept."""

from __future__ import annotations

import numpy as np
import pytest
from warp_oracle import smooth, times

from sktime_sdtw import (
    apply_warp,
    gdtw,
    max_alignment_error,
    mean_alignment_error,
    time_deviation,
    time_error,
)

torch = pytest.importorskip("torch")


def batch(seed=0, sizes=((12, 9), (7, 15), (12, 15)), d=2):
    rng = np.random.default_rng(seed)
    n, m = [size[0] for size in sizes], [size[1] for size in sizes]
    x, y = np.full((len(sizes), max(n), d), 3.0), np.full((len(sizes), max(m), d), 5.0)
    s, t = np.full(x.shape[:2], 7.0), np.full(y.shape[:2], 7.0)
    for i, (k, j) in enumerate(sizes):
        x[i, :k], y[i, :j], s[i, :k], t[i, :j] = (
            smooth(rng, k, d),
            smooth(rng, j, d),
            times(rng, k),
            times(rng, j),
        )
    return x, y, {"x_times": s, "y_times": t, "x_lengths": n, "y_lengths": m}


def as_tensors(options):
    return {name: torch.tensor(value) for name, value in options.items()}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "subsequence", "reg": 0.02},
        {"band": 0.1, "slope_max": 4.0},
        {"band": [[0.1, 0.2], [0.3, 0.1], [0.2, 0.2]]},
        {"interpolation": "cubic"},
        {"knots": 6},
        {"reg_cumulative": 0.1, "reg_loss": "huber", "loss": "l1"},
    ],
)
def test_tensors_and_arrays_agree(options):
    x, y, rest = batch()
    arrays = gdtw(x, y, **rest, **options)
    tensors = gdtw(torch.tensor(x), torch.tensor(y), **as_tensors(rest), **options)
    assert isinstance(tensors.values, torch.Tensor)
    np.testing.assert_allclose(tensors.values, arrays.values, atol=1e-9)
    np.testing.assert_allclose(tensors.times, arrays.times, atol=1e-14)
    np.testing.assert_allclose(tensors.objective, arrays.objective, rtol=1e-12)
    np.testing.assert_array_equal(tensors.lengths, arrays.lengths)


def test_ragged_gradient_is_each_pair_alone():
    x, y, rest = batch()
    X, Y = torch.tensor(x, requires_grad=True), torch.tensor(y, requires_grad=True)
    together = gdtw(X, Y, reg=0.03, **as_tensors(rest))
    mask = torch.arange(15) < torch.tensor(rest["y_lengths"])[:, None]
    (together.values.sin() * mask).sum().backward()
    for i, (n, m) in enumerate(zip(rest["x_lengths"], rest["y_lengths"], strict=True)):
        one, other = torch.tensor(x[i, :n], requires_grad=True), torch.tensor(y[i, :m], requires_grad=True)
        alone = gdtw(one, other, reg=0.03, x_times=rest["x_times"][i, :n], y_times=rest["y_times"][i, :m])
        alone.values.sin().sum().backward()
        np.testing.assert_allclose(X.grad[i, :n], one.grad, atol=1e-12)
        np.testing.assert_allclose(Y.grad[i, :m], other.grad, atol=1e-12)
        assert (X.grad[i, n:] == 0).all()
        assert (Y.grad[i, m:] == 0).all()


def test_shapes_and_dtypes():
    x, y = torch.randn(12, 2), torch.randn(9, 2)
    result = gdtw(x, y)
    assert result.values.shape == (9,)
    assert result.values.dtype == torch.float32
    assert gdtw(x[:, 0], y[:, 0]).values.shape == (9,)
    assert gdtw(x[None], y[None]).values.shape == (1, 9)
    assert not result.objective.requires_grad


def test_lists_of_tensors():
    x, y, rest = batch()
    X, Y, s, t = (
        [torch.tensor(row[:k]) for row, k in zip(table, rest[lengths], strict=True)]
        for table, lengths in (
            (x, "x_lengths"),
            (y, "y_lengths"),
            (rest["x_times"], "x_lengths"),
            (rest["y_times"], "y_lengths"),
        )
    )
    X[1].requires_grad_()
    ragged = gdtw(X, Y, x_times=s, y_times=t, reg=0.03)
    expected = gdtw(torch.tensor(x), torch.tensor(y), reg=0.03, **as_tensors(rest))
    assert torch.equal(ragged.values, expected.values)
    assert ragged.lengths.tolist() == rest["y_lengths"]
    ragged.values.sum().backward()
    assert X[1].grad.shape == (7, 2)
    with pytest.raises(ValueError, match="omit x_lengths"):
        gdtw(X, Y, x_lengths=[12, 7, 12])
    with pytest.raises(ValueError, match="different numbers of features"):
        gdtw([X[0], X[1][:, :1], X[2]], Y)


def test_signals_are_read_along_warps_of_any_kind():
    x, y, rest = batch()
    arrays, lengths = gdtw(x, y, reg=0.03, **rest), rest["x_lengths"]
    X = torch.tensor(x, requires_grad=True)
    tensors = gdtw(X, torch.tensor(y), reg=0.03, **as_tensors(rest))
    options = {"x_times": rest["x_times"], "x_lengths": lengths}
    expected = apply_warp(x, arrays, **options)
    actual = apply_warp(X, tensors, **as_tensors(options))
    np.testing.assert_allclose(actual.detach(), expected, atol=1e-9)
    for i, n in enumerate(lengths):
        alone = apply_warp(x[i, :n], arrays.values[i], x_times=rest["x_times"][i, :n])
        np.testing.assert_array_equal(expected[i], alone)
    # Between samples, what is read is differentiable in the warp and in the signal.
    (grad,) = torch.autograd.grad(actual.square().sum(), X)
    assert grad.abs().sum() > 0
    one = apply_warp(torch.arange(3.0), torch.tensor([0.0, 0.25, 1.1]))
    assert one.tolist() == [0.0, 0.5, 2.0]
    for wrong, values in ((x, arrays.values[:2]), (X, tensors.values[0]), (x[0], arrays.values)):
        with pytest.raises(ValueError, match="warp must be times of shape"):
            apply_warp(wrong, values)


def test_operator_passes_the_checks_of_torch():
    from sktime_sdtw.alignment._operator import _forward

    x, y, rest = batch(d=1)
    tensor = as_tensors(rest)
    n, m = tensor["x_lengths"], tensor["y_lengths"]
    size = tuple(tensor["y_times"].shape)
    numbers = {
        "low": torch.full(size, -torch.inf),
        "high": torch.full(size, torch.inf),
        "slope_min": torch.zeros(size),
        "slope_max": torch.full(size, 3.0),
    }
    arguments = (
        torch.tensor(x, requires_grad=True),
        tensor["x_times"],
        None,
        torch.tensor(y, requires_grad=True),
        tensor["y_times"],
        *(value.double() for value in numbers.values()),
        torch.full((3,), 0.1, dtype=torch.float64, requires_grad=True),
        torch.zeros(3, dtype=torch.float64),
        n,
        m,
        True,
        0,
        1.0,
        0,
        1.0,
        1,
        0,
    )
    torch.library.opcheck(_forward, arguments)


def test_gap_to_a_finer_grid():
    x, y, rest = batch()
    options = {"reg": 1e-3, "n_grid": 8, "return_gap": True}
    X = torch.tensor(x, requires_grad=True)
    tensors = gdtw(X, torch.tensor(y), **as_tensors(rest), **options)
    np.testing.assert_allclose(tensors.gap, gdtw(x, y, **rest, **options).gap, atol=1e-14)
    assert not tensors.gap.requires_grad
    assert gdtw(X[0], torch.tensor(y[0]), return_gap=True).gap.shape == ()


def test_gradcheck_away_from_kinks():
    rng = np.random.default_rng(3)
    x, y = (torch.tensor(smooth(rng, n, 3)[None], requires_grad=True) for n in (9, 7))
    reg = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, y, reg: gdtw(x, y, reg=reg, interpolation="cubic").values, (x, y, reg), atol=1e-6
    )


def test_errors_name_the_argument():
    x, y = torch.randn(2, 8, 1), torch.randn(2, 6, 1)
    nan = x.clone()
    nan[0, 3] = torch.nan
    bad = {
        "x has NaN": {"x": nan},
        "features": {"y": torch.randn(2, 6, 2)},
        "x_times must increase": {"x_times": torch.tensor([0.0, 1, 1, 2, 3, 4, 5, 6])},
        "y_times must be of shape": {"y_times": torch.arange(5.0)},
        "y_lengths must be one integer.* Got .6, 7.": {"y_lengths": [6, 7]},
        "reg must be": {"reg": torch.tensor([-1.0, 1.0])},
        "No warp of pair 0": {"slope_max": 0.5},
        "slope_max must be a number": {"slope_max": torch.ones(4)},
        "band_lower must be a number": {"band_lower": torch.ones(4)},
        "reg must be made of numbers": {"reg": "much"},
        "exact=True needs": {"exact": True, "n_grid": 9},
        "slope_min must be >= 0": {"slope_min": torch.tensor(-1.0)},
        "knots must begin": {"knots": torch.tensor([0.1, 0.5, 1.0])},
        "knots must be two or more": {"knots": torch.tensor([[0.0, 1.0]] * 3)},
        "band must be finite": {"band": -0.1},
        "band must be": {"band": torch.tensor([0.1, torch.nan])},
        "huber_delta|Huber": {"loss": "huber", "huber_delta": torch.tensor(1.0, requires_grad=True)},
    }
    for message, options in bad.items():
        with pytest.raises(ValueError, match=message):
            gdtw(**{"x": x, "y": y, **options})
    with pytest.raises(TypeError, match="y is not a tensor"):
        gdtw(x, y.numpy())
    with pytest.raises(TypeError, match="floating-point"):
        gdtw(x.int(), y)
    with pytest.raises(ValueError, match="none of them 0"):
        gdtw(x[:0], y[:0])


def test_path_losses_agree_on_tensors_and_arrays():
    rng = np.random.default_rng(0)
    a, b, t = rng.random((3, 20)), rng.random((3, 20)), np.sort(rng.random((3, 20)), axis=1)
    for loss in (time_error, time_deviation):
        for options in ({}, {"times": t}):
            tensors = {name: torch.tensor(value) for name, value in options.items()}
            np.testing.assert_allclose(
                loss(torch.tensor(a), torch.tensor(b), **tensors), loss(a, b, **options), rtol=1e-12
            )
    for loss in (mean_alignment_error, max_alignment_error):
        np.testing.assert_allclose(loss(torch.tensor(a), torch.tensor(b)), loss(a, b), rtol=1e-12)
    warp = torch.tensor(a, requires_grad=True)
    time_error(warp, torch.tensor(b)).sum().backward()
    assert warp.grad.abs().sum() > 0


def test_path_losses_by_hand():
    t = np.linspace(0, 2, 101)
    assert time_error(t, t) == 0
    np.testing.assert_allclose(time_error(t + 0.1, t), 0.1)
    np.testing.assert_allclose(time_deviation(t + 0.1, t, times=t), 0.1)
    np.testing.assert_allclose(time_error(t, np.zeros(101), times=t), 1.0)
    np.testing.assert_allclose(time_deviation(t, np.zeros(101), times=t), np.sqrt(4 / 3), rtol=1e-3)
    assert max_alignment_error(t, np.zeros(101)) == 2
    with pytest.raises(ValueError, match="as many knots"):
        time_error(t, t[1:])
    with pytest.raises(ValueError, match="as many pairs"):
        time_error(np.ones((3, 5)), np.ones((2, 5)))
    with pytest.raises(ValueError, match="times must increase"):
        time_error(t, t, times=t[::-1])
    with pytest.raises(ValueError, match="truth must be made of numbers"):
        time_error(t, "true")
    with pytest.raises(ValueError, match="as many knots"):
        time_error(t, 1.0)


def test_path_losses_take_results_with_their_knots():
    rng = np.random.default_rng(0)
    x, y, times = rng.normal(size=(2, 30)), rng.normal(size=(2, 20)), np.sort(rng.random((2, 20)), axis=1)
    for kind in (np.asarray, torch.tensor):
        found = gdtw(kind(x[:, :, None]), kind(y[:, :, None]), y_times=kind(times), y_lengths=[20, 12])
        truth = found.values + 0.1 * found.times
        for loss in (time_error, time_deviation):
            np.testing.assert_array_equal(loss(found, truth), loss(found.values, truth, times=found.times))
            assert loss(found, truth)[1] != loss(found.values, truth)[1]  # whose knots would be spread evenly
        for loss in (mean_alignment_error, max_alignment_error):
            np.testing.assert_array_equal(loss(found, truth), loss(found.values, truth))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(dtype):
    x = torch.rand(20).to(dtype).requires_grad_()
    found = gdtw(x, torch.rand(15).to(dtype))
    wanted = torch.float64 if dtype is torch.float64 else torch.float32
    assert found.values.dtype is found.times.dtype is found.objective.dtype is wanted
    assert apply_warp(x, found).dtype is wanted
    found.objective.backward()
    assert x.grad.dtype is dtype
    assert gdtw(x, torch.rand(15).double()).values.dtype is torch.float64


@pytest.mark.parametrize("kind", [np.ones, torch.ones])
@pytest.mark.parametrize("name", ["x_lengths", "y_lengths"])
@pytest.mark.parametrize("knots", [None, 5])
def test_lengths_are_integers_one_for_each(kind, name, knots):
    with pytest.raises(
        ValueError, match=rf"{name} must be one integer, .* 1 series \(of signals in two axes"
    ):
        gdtw(kind((2, 40)), kind((2, 40)), knots=knots, **{name: [10, 20]})
    bounds, kinds = [1, -3, 2**70, [1, 30], [30, 41]], [[10.5, 20.0], [True, True], "ab"]
    for lengths in [*bounds, *kinds, [1, 2, 3], [[20], [20, 30]]]:
        with pytest.raises(
            ValueError, match=f"{name} must be one integer, or one for each of 2 series, at lea"
        ):
            gdtw(kind((2, 40, 1)), kind((2, 40, 1)), knots=knots, **{name: lengths})


@pytest.mark.parametrize("kind", [np.ones, torch.ones])
def test_a_signal_has_two_samples(kind):
    for x in (kind(1), kind((1, 2)), kind((2, 1, 1)), [kind(3), kind(1)]):
        for call in (lambda x: gdtw(x, x), lambda x: apply_warp(x, np.zeros((2, 3)))):
            with pytest.raises(ValueError, match="x has a signal of one sample"):
                call(x)
