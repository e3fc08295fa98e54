"""Gradients through the warp: against differences of the problem solved again, in every mode."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warp_oracle import OPTIONS, random_case, walk

from sktime_sdtw import gdtw

torch = pytest.importorskip("torch")

MODES = {
    **{name: options for name, options in OPTIONS.items() if options["reg"] > 0},
    "band_values": {"reg": 0.01, "band": [[0.05, 0.12, 0.03]]},
    "bounds": {"reg": 0.003, "band_lower": 0.35, "band_upper": 1.6, "mode": "subsequence"},
    "knots": {"reg": 0.01, "knots": 8},
    "knots_band": {"reg": 0.01, "band": 0.05, "knots": 9},
    "cubic_band": {"reg": 0.01, "band": 0.05, "interpolation": "cubic", "slope_max": 1.6},
    "reg_l1_slope": {"reg": 0.05, "reg_loss": "l1", "slope_max": 1.5},
}
STATIC = ("mode", "loss", "reg_loss", "interpolation", "knots", "huber_delta", "reg_huber_delta")


def tensors_of(case):
    tensors = {
        name: torch.tensor(getattr(case, name)[None], dtype=torch.float64)
        for name in ("x", "y", "x_times", "y_times")
    }
    for name, value in case.options.items():
        if name not in STATIC:
            tensors[name] = torch.tensor(value, dtype=torch.float64)
    return tensors, {name: case.options[name] for name in STATIC if name in case.options}


def differences(case, rng):
    """Derivative along a random direction in each input: by the gradient, and by solving four times.

    None where the active set changes in between: there the warp may have a kink.
    """
    tensors, static = tensors_of(case)
    leaves = {name: value.clone().requires_grad_() for name, value in tensors.items()}
    result = gdtw(**leaves, **static)
    upstream = torch.tensor(rng.normal(size=tuple(result.values.shape)))
    kept = upstream.clone()
    grads = torch.autograd.grad(result.values, list(leaves.values()), upstream)
    assert torch.equal(upstream, kept)
    for (name, value), grad in zip(tensors.items(), grads, strict=True):
        direction = torch.tensor(rng.normal(size=tuple(value.shape)))
        shares = grad * direction
        errors = []
        for h in (1e-5, 1e-6, 1e-7):
            steps = [gdtw(**{**tensors, name: value + k * h * direction}, **static) for k in (-2, -1, 1, 2)]
            same = all(torch.equal(s.holds, result.holds) and torch.equal(s.ties, result.ties) for s in steps)
            # Another basin may be as good, too.
            if same and all((s.values - result.values).abs().max() < 1e-3 for s in steps):
                a, b, c, d = (float((s.values * upstream).sum()) for s in steps)
                expected = (a - 8 * b + 8 * c - d) / (12 * h)
                scale = max(float(shares.abs().sum()), abs(expected), 1e-4)
                errors.append(abs(float(shares.sum()) - expected) / scale)
                if errors[-1] <= 1e-6:
                    break
        # Too long a step sees curvature, too short a one rounding.
        yield name, min(errors, default=None)


@pytest.mark.parametrize("name", MODES)
def test_every_input_of_every_mode(name):
    checked = 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        case = random_case(seed, n=16, m=12, d=1 + seed % 3, **MODES[name])
        for argument, error in differences(case, rng):
            if error is not None:
                checked += 1
                assert error <= 1e-6, (seed, argument)
    assert checked >= 20


@given(st.integers(0, 10**6), st.sampled_from(sorted(MODES)), st.integers(3, 24), st.integers(3, 20))
@settings(max_examples=60, deadline=None)
def test_random_problems(seed, name, n, m):
    case = random_case(seed, n=n, m=m, d=1 + seed % 2, **MODES[name])
    try:
        tests = list(differences(case, np.random.default_rng(seed)))
    except ValueError as error:
        assert "No warp" in str(error)  # noqa: PT017
        return
    for argument, error in tests:
        assert error is None or error <= 1e-6, argument


@pytest.mark.parametrize("name", MODES)
def test_objective_of_every_mode(name):
    """No case is left out: the least cost is smooth where the warp itself may have a kink."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        case = random_case(seed, n=16, m=12, d=1 + seed % 3, **MODES[name])
        tensors, static = tensors_of(case)
        leaves = {argument: value.clone().requires_grad_() for argument, value in tensors.items()}
        result, plain = gdtw(**leaves, **static), gdtw(**tensors, **static)
        torch.testing.assert_close(result.objective.detach(), plain.objective, rtol=1e-12, atol=1e-14)
        grads = torch.autograd.grad(result.objective.sum(), list(leaves.values()))
        for (argument, value), grad in zip(tensors.items(), grads, strict=True):
            direction = torch.tensor(rng.normal(size=tuple(value.shape)))
            both = [
                gdtw(**{**tensors, argument: value + sign * 1e-6 * direction}, **static).objective
                for sign in (1, -1)
            ]
            expected = float((both[0] - both[1]) / 2e-6)
            assert abs(float((grad * direction).sum()) - expected) <= 1e-6 * abs(expected) + 1e-8, argument


def test_gradcheck_of_the_objective_of_ragged_pairs():
    rng = np.random.default_rng(1)
    x, y = (torch.tensor(np.stack([walk(rng, n, 2) for _ in range(2)]), requires_grad=True) for n in (9, 7))
    reg = torch.tensor([0.05, 0.3], dtype=torch.float64, requires_grad=True)

    def least(x, y, reg):
        y = torch.where(torch.arange(7)[None, :, None] < 5, y, torch.nan)
        return gdtw(x, y, reg=reg, band=0.2, x_lengths=[9, 6], y_lengths=[5, 5]).objective

    assert torch.autograd.gradcheck(least, (x, y, reg), atol=1e-7)


def test_knots_held_by_kinks_ignore_the_values_of_x():
    rng = np.random.default_rng(0)
    x, y = torch.tensor(walk(rng, 30, 1)[None]), torch.tensor(walk(rng, 20, 1)[None])
    x.requires_grad_()
    result = gdtw(x, y, reg=0.01)
    held = result.kinks[0]
    assert held.sum() >= 5
    for i in torch.nonzero(held)[:, 0]:
        (grad,) = torch.autograd.grad(result.values[0, i], x, retain_graph=True)
        assert grad.abs().max() == 0


def test_flat_signals():
    x = torch.zeros(1, 20, 1, dtype=torch.float64, requires_grad=True)
    y = torch.ones(1, 15, 1, dtype=torch.float64, requires_grad=True)
    for reg in (0.1, 0.0):
        result = gdtw(x, y, reg=reg)
        grads = torch.autograd.grad(result.values.sum(), [x, y])
        assert all(torch.isfinite(grad).all() for grad in grads)
    result = gdtw(x, y, reg=0.1)
    np.testing.assert_allclose(result.values[0].detach(), np.linspace(0, 1, 15), atol=1e-12)


def test_pchip_slopes_are_scipys():
    from sktime_sdtw.alignment._problem import pchip_slopes, read_signals
    from sktime_sdtw.alignment._torch import _pchip

    rng = np.random.default_rng(0)
    for n in (2, 3, 4, 20):
        x, t = rng.normal(size=(3, n, 2)), np.sort(rng.random((3, n)), axis=1)
        signals = read_signals(x, t, None, "x")[0]
        ours = _pchip(torch.tensor(t), torch.tensor(x), torch.full((3,), n))
        np.testing.assert_allclose(ours.reshape(-1, 2), pchip_slopes(signals), rtol=1e-10, atol=1e-12)
        # The same in a longer table
        wide = [np.concatenate([a, np.full_like(a[:, :1], 9.0)], 1) for a in (t, x)]
        more = _pchip(torch.tensor(wide[0]), torch.tensor(wide[1]), torch.full((3,), n))
        np.testing.assert_allclose(more[:, :n], ours, rtol=1e-12)
