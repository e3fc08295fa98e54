"""Problems whose answers are known without a recursion, at lengths that no oracle reaches."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import oracle
import pytest

from sktime_sdtw import (
    dtw,
    dtw_path,
    mean_cost_divergence,
    pairwise_soft_dtw,
    soft_dtw,
    soft_dtw_alignment,
    soft_dtw_gradient,
)


def log_sum_over_paths(n, m, price):
    """log of the sum over paths of an n by m table of exp(-price * length), and the mean length under it.

    A path with k diagonal steps has n + m - 1 - k cells; a multinomial coefficient counts such paths.
    """
    with mpmath.workdps(30):
        terms = []
        for k in range(min(n, m)):
            log_count = mpmath.loggamma(n + m - 1 - k) - mpmath.loggamma(k + 1)
            log_count -= mpmath.loggamma(n - k) + mpmath.loggamma(m - k)
            terms.append((log_count - mpmath.mpf(price) * (n + m - 1 - k), n + m - 1 - k))
        top = max(term for term, _ in terms)
        weights = [(mpmath.exp(term - top), length) for term, length in terms]
        total = mpmath.fsum(w for w, _ in weights)
        return float(top + mpmath.log(total)), float(mpmath.fsum(w * length for w, length in weights) / total)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gamma", [1e-4, 1.0, 100.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (8, 1), (2, 2), (17, 33), (64, 64), (100, 3), (257, 300)])
def test_zero_cost_counts_the_paths(shape, gamma, dtype):
    n, m = shape
    x, y = np.zeros(n, dtype), np.zeros(m, dtype)
    count = oracle.delannoy(n - 1, m - 1)
    expected = -gamma * float(mpmath.log(count))
    assert soft_dtw(x, y, gamma=gamma) == pytest.approx(expected, rel=oracle.VALUE_TOLERANCE[dtype])
    assert soft_dtw_gradient(x, y, gamma=gamma).gamma == pytest.approx(expected / gamma, rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gamma", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("shape", [(1, 5), (17, 33), (200, 200), (500, 60)])
def test_constant_cost(shape, gamma, dtype):
    (n, m), a, b = shape, 1.5, -0.5
    price = (a - b) ** 2
    log_total, length = log_sum_over_paths(n, m, price / gamma)
    got = soft_dtw_gradient(np.full(n, a, dtype), np.full(m, b, dtype), gamma=gamma)
    assert got.value == pytest.approx(-gamma * log_total, rel=2 * oracle.VALUE_TOLERANCE[dtype], abs=1e-6)
    # Each cell of a path adds 2 (a - b) to the sum of the gradient.
    assert got.x.sum(dtype=np.float64) == pytest.approx(
        2 * (a - b) * length, rel=oracle.GRADIENT_TOLERANCE[dtype]
    )
    assert got.y.sum(dtype=np.float64) == pytest.approx(
        -2 * (a - b) * length, rel=oracle.GRADIENT_TOLERANCE[dtype]
    )


@pytest.mark.parametrize("n", [1, 2, 31, 400])
def test_single_row_sums_its_costs(n):
    y = np.random.default_rng(0).normal(size=n)
    total = np.sum((0.5 - y) ** 2)
    for gamma in (0.0, 1e-6, 1.0, 1e4):
        assert soft_dtw([0.5], y, gamma=gamma) == pytest.approx(total, rel=1e-12)
        assert soft_dtw(y, [0.5], gamma=gamma) == pytest.approx(total, rel=1e-12)
    value, path = dtw_path([0.5], y)
    assert value == pytest.approx(total)
    assert path.tolist() == [[0, j] for j in range(n)]
    np.testing.assert_allclose(soft_dtw_alignment([0.5], y)[1], np.ones((1, n)), rtol=1e-12)


def test_equal_series_cost_nothing_without_smoothing():
    x = np.random.default_rng(1).normal(size=(300, 2))
    assert dtw(x, x) == 0
    assert dtw_path(x, x)[1].tolist() == [[i, i] for i in range(300)]


def test_smoothing_lowers_the_value_by_the_number_of_paths_at_most():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(12, 30))
    hard = pairwise_soft_dtw(X, gamma=0)
    for gamma in (0.1, 1.0, 10.0):
        soft = pairwise_soft_dtw(X, gamma=gamma)
        assert (soft <= hard).all()
        assert (soft >= hard - gamma * math.log(oracle.delannoy(29, 29)) * (1 + 1e-12)).all()


def test_alignment_of_stretched_series_follows_the_stretch():
    x = np.repeat(np.arange(6.0), 3)
    y = np.repeat(np.arange(6.0), 2)
    _, alignment = soft_dtw_alignment(x, y, gamma=1e-3)
    inside = np.kron(np.eye(6), np.ones((3, 2))).astype(bool)
    assert alignment[~inside].max() < 1e-12


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(450, 450), (900, 300)])
def test_mean_cost_at_lengths_whose_path_counts_overflow(shape, dtype):
    n, m = shape
    a, b = 1.0, 0.0
    _, length = log_sum_over_paths(n, m, 0.0)
    got = mean_cost_divergence(np.full(n, a, dtype), np.full(m, b, dtype))
    assert got == pytest.approx((a - b) ** 2 * length, rel=1e-5 if dtype == "float32" else 1e-10)
