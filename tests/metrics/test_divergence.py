"""The three divergences against the oracle, and their properties."""

from __future__ import annotations

import numpy as np
import oracle
import pytest

from sktime_sdtw import (
    mean_cost_divergence,
    paired_soft_dtw_divergence,
    pairwise_mean_cost_divergence,
    pairwise_sharp_soft_dtw_divergence,
    pairwise_soft_dtw_divergence,
    sharp_soft_dtw_divergence,
    soft_dtw_divergence,
)

COSTS = ["sqeuclidean", "euclidean", "manhattan", "cosine", "gak"]


def term_of(name, gamma):
    return {
        "soft": lambda costs: oracle.value(costs, gamma),
        "sharp": lambda costs: oracle.solve(costs, gamma).expected_cost,
        "mean": oracle.mean_cost,
    }[name]


def call(name, single, gamma, *args, **kwargs):
    functions = {
        "soft": (soft_dtw_divergence, pairwise_soft_dtw_divergence),
        "sharp": (sharp_soft_dtw_divergence, pairwise_sharp_soft_dtw_divergence),
        "mean": (mean_cost_divergence, pairwise_mean_cost_divergence),
    }[name]
    return functions[0 if single else 1](*args, **kwargs, **({} if name == "mean" else {"gamma": gamma}))


@pytest.mark.parametrize("name", ["soft", "sharp", "mean"])
@pytest.mark.parametrize("cost", COSTS)
def test_against_the_oracle(name, cost):
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(length, 2)) for length in (5, 8, 1, 6)]
    Y = [rng.normal(size=(length, 2)) for length in (7, 3)]
    term = term_of(name, 0.4)
    expected = [[oracle.debiased(term, x, y, cost) for y in Y] for x in X]
    np.testing.assert_allclose(call(name, False, 0.4, X, Y, cost=cost), expected, rtol=1e-10, atol=1e-11)
    assert call(name, True, 0.4, X[1], Y[0], cost=cost) == pytest.approx(expected[1][0], abs=1e-11)
    own = [[oracle.debiased(term, x, y, cost) for y in X] for x in X]
    symmetric = call(name, False, 0.4, X, cost=cost)
    np.testing.assert_allclose(symmetric, own, rtol=1e-10, atol=1e-11)
    np.testing.assert_array_equal(symmetric, symmetric.T)
    np.testing.assert_array_equal(symmetric.diagonal(), 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["soft", "sharp", "mean"])
def test_zero_at_equal_series(name, dtype):
    X = np.random.default_rng(1).normal(size=(5, 30, 2)).astype(dtype)
    for gamma in (1e-3, 1.0, 100.0):
        assert call(name, True, gamma, X[0], X[0]) == 0
        matrix = call(name, False, gamma, X, X.copy())
        assert matrix.dtype == dtype
        np.testing.assert_array_equal(matrix.diagonal(), 0)
    np.testing.assert_array_equal(paired_soft_dtw_divergence(X, X), 0)


@pytest.mark.parametrize("name", ["soft", "sharp", "mean"])
def test_constraint(name):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=7), rng.normal(size=9)
    term = term_of(name, 0.4)
    expected = oracle.debiased(lambda costs: term(oracle.constrained(costs, radius=1)), x, y)
    assert call(name, True, 0.4, x, y, sakoe_chiba_radius=1) == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize(
    ("d", "options"),
    [
        (1, {"cost": "gak"}),
        (3, {"cost": "gak", "sigma": 0.3}),
        (1, {"cost": "manhattan", "gamma": 0.2}),
        (1, {"cost": "euclidean", "gamma": 5.0}),
    ],
)
def test_never_negative_where_that_is_proven(d, options):
    rng = np.random.default_rng(3)
    steps = rng.normal(size=(30, 12, d)).cumsum(axis=1)
    X = np.concatenate([steps, steps + 1e-3 * rng.normal(size=steps.shape)])
    assert pairwise_soft_dtw_divergence(X, **options).min() >= -1e-11


def test_squared_distances_may_give_less_than_zero():
    """No rounding: the oracle agrees. The costs with a proof keep the same two series apart."""
    x = np.array([[0.17, 0.02, 0.12, -1.17, -2.29, -1.69, -2.17, -1.85]])
    y = np.array([[0.21, -0.14, 0.42, -0.68, -1.96, -1.9, -2.07, -1.87]])
    truth = oracle.debiased(term_of("soft", 1.0), x.T, y.T, "sqeuclidean")
    assert truth == pytest.approx(-0.0229148, abs=1e-7)
    assert soft_dtw_divergence(x[0], y[0]) == pytest.approx(truth, abs=1e-12)
    assert pairwise_soft_dtw_divergence(x, y)[0, 0] == pytest.approx(truth, abs=1e-12)
    for cost in ("gak", "manhattan"):
        assert soft_dtw_divergence(x[0], y[0], cost=cost) > 0.05


def test_mean_cost_is_the_limit_of_sharp():
    rng = np.random.default_rng(4)
    X, Y = rng.normal(size=(3, 6)), rng.normal(size=(2, 7))
    np.testing.assert_allclose(
        pairwise_sharp_soft_dtw_divergence(X, Y, gamma=1e9), pairwise_mean_cost_divergence(X, Y), rtol=1e-7
    )


def test_without_smoothing_it_is_dtw():
    x, y = np.random.default_rng(5).normal(size=(2, 9))
    truth = oracle.value(oracle.cost_matrix(x, y), 0.0)
    assert soft_dtw_divergence(x, y, gamma=0) == pytest.approx(truth)
    assert sharp_soft_dtw_divergence(x, y, gamma=0) == pytest.approx(truth)


def test_array_of_gammas():
    rng = np.random.default_rng(6)
    X, Y = rng.normal(size=(4, 8)), rng.normal(size=(4, 6))
    gammas = [0.0, 0.1, 10.0]
    for Z in (None, Y):
        whole = pairwise_soft_dtw_divergence(X, Z, gamma=gammas)
        for gamma, matrix in zip(gammas, whole, strict=True):
            np.testing.assert_allclose(matrix, pairwise_soft_dtw_divergence(X, Z, gamma=gamma), atol=1e-12)
    rows = paired_soft_dtw_divergence(X, Y, gamma=gammas)
    np.testing.assert_allclose(
        rows, np.diagonal(pairwise_soft_dtw_divergence(X, Y, gamma=gammas), axis1=1, axis2=2), atol=1e-12
    )


def test_many_pairs_go_in_chunks(monkeypatch):
    from sktime_sdtw.metrics import _batch

    rng = np.random.default_rng(7)
    X = [rng.normal(size=(length, 2)) for length in rng.integers(1, 9, size=11)]
    whole = pairwise_sharp_soft_dtw_divergence(X)
    full = pairwise_sharp_soft_dtw_divergence(X, X[:3])
    monkeypatch.setattr(_batch, "CHUNK_BYTES", 2000)
    np.testing.assert_array_equal(pairwise_sharp_soft_dtw_divergence(X), whole)
    np.testing.assert_array_equal(pairwise_sharp_soft_dtw_divergence(X, X[:3]), full)


def test_mean_cost_of_long_series_is_finite():
    X = np.random.default_rng(8).normal(size=(2, 1500))
    assert np.isfinite(pairwise_mean_cost_divergence(X)).all()
