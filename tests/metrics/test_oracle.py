"""The oracle against the definition (every path, one by one) and against finite differences."""

from __future__ import annotations

import math

import numpy as np
import oracle
import pytest

SHAPES = [(1, 1), (1, 4), (3, 1), (2, 3), (4, 4), (3, 5)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gamma", [1e-3, 0.3, 1.0, 50.0])
def test_recursion_is_the_sum_over_paths(shape, gamma):
    costs = np.random.default_rng(0).uniform(0, 2, shape)
    solution, truth = oracle.solve(costs, gamma), oracle.by_enumeration(costs, gamma)
    assert solution.value == pytest.approx(truth.value, abs=1e-12)
    assert solution.expected_cost == pytest.approx(truth.expected_cost, abs=1e-12)
    assert solution.gamma_slope == pytest.approx(truth.gamma_slope, abs=1e-11)
    np.testing.assert_allclose(solution.alignment, truth.alignment, atol=1e-12)
    assert oracle.value_mp(costs, gamma) == pytest.approx(truth.value, abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_hard_and_mean_are_the_limits(shape):
    costs = np.random.default_rng(1).uniform(0, 2, shape)
    totals = [sum(costs[cell] for cell in path) for path in oracle.paths(*shape)]
    assert len(totals) == oracle.delannoy(shape[0] - 1, shape[1] - 1)
    assert oracle.value(costs, 0.0) == pytest.approx(min(totals))
    assert oracle.mean_cost(costs) == pytest.approx(np.mean(totals))
    assert oracle.by_enumeration(costs, math.inf).expected_cost == pytest.approx(np.mean(totals))


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean", "manhattan", "cosine", "gak"])
def test_exact_solution_agrees(cost):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(5, 3))
    solution = oracle.solve(oracle.cost_matrix(x, y, cost, 0.7), 0.5)
    exact = oracle.solve_exactly(x, y, 0.5, cost, 0.7)
    assert solution.value == pytest.approx(exact.value, abs=1e-12)
    assert solution.expected_cost == pytest.approx(exact.expected_cost, abs=1e-12)
    assert solution.gamma_slope == pytest.approx(exact.gamma_slope, abs=1e-11)
    np.testing.assert_allclose(solution.alignment, exact.alignment, atol=1e-12)


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean", "manhattan", "cosine", "gak"])
def test_gradients_are_the_finite_differences(cost):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(4, 3)), rng.normal(size=(5, 3))
    gamma, sigma, h = 0.5, 0.7, 1e-6

    def value(x, y, gamma):
        return oracle.value(oracle.cost_matrix(x, y, cost, sigma), gamma)

    solution = oracle.solve(oracle.cost_matrix(x, y, cost, sigma), gamma)
    gx, gy = oracle.gradients(x, y, solution.alignment, cost, sigma)
    for series, gradient, other in ((x, gx, y), (y, gy, x)):
        for index in np.ndindex(series.shape):
            step = np.zeros_like(series)
            step[index] = h
            pairs = [(series + sign * step, other) for sign in (1, -1)]
            up, down = (value(a, b, gamma) if series is x else value(b, a, gamma) for a, b in pairs)
            assert gradient[index] == pytest.approx((up - down) / (2 * h), abs=1e-7)
    slope = (value(x, y, gamma + h) - value(x, y, gamma - h)) / (2 * h)
    assert solution.gamma_slope == pytest.approx(slope, abs=1e-7)


def test_itakura_keeps_the_corners_and_the_diagonal():
    for n, m in [(5, 5), (6, 11), (11, 6), (1, 4), (4, 1), (1, 1)]:
        assert oracle.inside(0, 0, n, m, slope=2.0)
        assert oracle.inside(n - 1, m - 1, n, m, slope=2.0)
    assert all(oracle.inside(i, i, 9, 9, slope=1.0) for i in range(9))
    assert not oracle.inside(0, 1, 9, 9, slope=1.0)


def test_gak_is_soft_dtw_at_temperature_one():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(6, 2)), rng.normal(size=(4, 2))
    value = oracle.value(oracle.cost_matrix(x, y, "gak", 0.8), 1.0)
    assert oracle.gak(x, y, 0.8, normalize=False) == pytest.approx(math.exp(-value), rel=1e-12)
