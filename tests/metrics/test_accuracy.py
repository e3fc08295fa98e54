"""The promised accuracy, over gamma from 1e-6 to 1e4 and series of scale 1e-3 to 1e3, in both dtypes."""

from __future__ import annotations

import functools
import math

import numpy as np
import oracle
import pytest

from sktime_sdtw import dtw, paired_soft_dtw_gradient, soft_dtw, soft_dtw_alignment, soft_dtw_gradient

GAMMAS = [10.0**k for k in range(-6, 5)]
SCALES = [10.0**k for k in range(-3, 4)]
DTYPES = ["float32", "float64"]


@functools.cache
def problem(gamma, scale=1.0, offset=0.0, d=1, cost="sqeuclidean", shape=(29, 31)):
    """Series that float32 holds exactly, so that one solution judges both dtypes."""
    rng = np.random.default_rng(20)
    x, y = (
        (offset + scale * rng.normal(size=(length, d))).astype(np.float32).astype(np.float64)
        for length in shape
    )
    solution = oracle.solve_exactly(x, y, gamma, cost, sigma=scale)
    mean_cost = float(oracle.cost_matrix(x, y, cost, scale).mean())
    return x, y, solution, mean_cost, oracle.gradients(x, y, solution.alignment, cost, scale)


def check(gamma, dtype, **kwargs):
    x, y, solution, mean_cost, expected = problem(gamma, **kwargs)
    options = {"cost": kwargs.get("cost", "sqeuclidean"), "gamma": gamma}
    if options["cost"] == "gak":
        options["sigma"] = kwargs.get("scale", 1.0)
    got = soft_dtw_gradient(x.astype(dtype), y.astype(dtype), **options)
    allowed = oracle.VALUE_TOLERANCE[dtype] * max(abs(solution.value), mean_cost)
    assert abs(got.value - solution.value) <= allowed
    assert abs(soft_dtw(x.astype(dtype), y.astype(dtype), **options) - solution.value) <= allowed
    for gradient, truth in zip((got.x, got.y), expected, strict=True):
        assert gradient.dtype == dtype
        error = np.abs(gradient - truth).max()
        assert error <= oracle.GRADIENT_TOLERANCE[dtype] * np.abs(truth).max()
    allowed = oracle.GRADIENT_TOLERANCE[dtype] * max(1.0, abs(solution.gamma_slope))
    assert abs(got.gamma - solution.gamma_slope) <= allowed


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("gamma", GAMMAS)
def test_grid(gamma, scale, dtype):
    check(gamma, dtype, scale=scale)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gamma", GAMMAS)
def test_large_offset(gamma, dtype):
    check(gamma, dtype, offset=1000.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gamma", [1e-6, 1e-2, 1.0, 1e4])
@pytest.mark.parametrize("d", [2, 3, 8, 17])
def test_features(d, gamma, dtype):
    check(gamma, dtype, d=d, shape=(11, 7))
    check(gamma, dtype, d=d, shape=(7, 11), offset=1000.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gamma", [1e-6, 1e-3, 0.1, 1.0, 10.0, 1e4])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("cost", ["euclidean", "manhattan", "cosine", "gak"])
def test_costs(cost, scale, gamma, dtype):
    check(gamma, dtype, scale=scale, cost=cost, d=3, shape=(11, 13))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cost", ["euclidean", "manhattan", "cosine", "gak"])
def test_costs_with_a_large_offset(cost, dtype):
    check(1.0, dtype, offset=1000.0, cost=cost, d=3, shape=(11, 13))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", SCALES)
def test_hard(scale, dtype):
    x, y, _, mean_cost, _ = problem(1.0, scale)
    truth = oracle.value(oracle.cost_matrix(x, y), 0.0)
    error = abs(dtw(x.astype(dtype), y.astype(dtype)) - truth)
    assert error <= oracle.VALUE_TOLERANCE[dtype] * max(abs(truth), mean_cost)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gamma", GAMMAS)
def test_alignment(gamma, dtype):
    for scale in (1e-3, 1.0, 1e3):
        x, y, solution, _, _ = problem(gamma, scale)
        _, alignment = soft_dtw_alignment(x.astype(dtype), y.astype(dtype), gamma=gamma)
        assert alignment.dtype == dtype
        assert alignment.min() >= 0
        assert alignment.max() <= 1 + oracle.GRADIENT_TOLERANCE[dtype]
        assert alignment[0, 0] == pytest.approx(1, rel=oracle.GRADIENT_TOLERANCE[dtype])
        np.testing.assert_allclose(
            alignment, solution.alignment, rtol=0, atol=oracle.GRADIENT_TOLERANCE[dtype]
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gamma", "scale", "offset"), [(1.0, 1.0, 0.0), (1e-2, 1.0, 1000.0), (1e-4, 1.0, 0.0), (1.0, 100.0, 0.0)]
)
def test_longer_series(gamma, scale, offset):
    rng = np.random.default_rng(21)
    x, y = ((offset + scale * rng.normal(size=length)).astype(np.float32) for length in (300, 257))
    costs = oracle.cost_matrix(x, y)
    truth = oracle.value(costs, gamma)
    for dtype in DTYPES:
        allowed = oracle.VALUE_TOLERANCE[dtype] * max(abs(truth), costs.mean())
        assert abs(soft_dtw(x.astype(dtype), y.astype(dtype), gamma=gamma) - truth) <= allowed


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("magnitude", [1e-18, 1e-12, 1e12, 1e18])
@pytest.mark.parametrize("gamma", [0.0, 1e-12, 1e-6, 1.0, 1e6, 1e12])
def test_extremes_stay_finite(gamma, magnitude, dtype):
    rng = np.random.default_rng(22)
    X, Y = (magnitude * rng.normal(size=(3, 9, 2)) for _ in range(2))
    got = paired_soft_dtw_gradient(X.astype(dtype), Y.astype(dtype), gamma=gamma, wrt=("x", "y", "gamma"))
    for array in got:
        assert np.isfinite(array).all()


def test_equal_series_at_every_gamma():
    x = np.random.default_rng(23).normal(size=12)
    for gamma in GAMMAS:
        truth = oracle.solve_exactly(x, x, gamma)
        assert soft_dtw(x, x, gamma=gamma) == pytest.approx(truth.value, rel=1e-11)
        assert math.isfinite(soft_dtw_gradient(x, x, gamma=gamma).gamma)
