"""Operators against the oracle over shapes: one time step, primes, ragged batches, features, gammas."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sktime_sdtw import (
    dtw_path,
    paired_soft_dtw,
    paired_soft_dtw_gradient,
    pairwise_dtw,
    pairwise_soft_dtw,
    soft_dtw,
    soft_dtw_alignment,
    soft_dtw_gradient,
)

COSTS = ["sqeuclidean", "euclidean", "manhattan", "cosine", "gak"]
LENGTHS = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 16, 17])
FEATURES = st.sampled_from([1, 1, 2, 3, 5, 8])
GAMMAS = st.sampled_from([0.0, 1e-3, 0.1, 1.0, 30.0])
CONSTRAINTS = st.sampled_from(
    [{}, {"sakoe_chiba_radius": 0}, {"sakoe_chiba_radius": 2}, {"sakoe_chiba_radius": 0.3}]
)


def draw_batch(data, rng, n, d, lengths=LENGTHS):
    return [rng.normal(size=(data.draw(lengths), d)) for _ in range(n)]


def truth(x, y, gamma, cost="sqeuclidean", constraints=None):
    radius = (constraints or {}).get("sakoe_chiba_radius")
    return oracle.value(oracle.constrained(oracle.cost_matrix(x, y, cost), radius), gamma)


def close(got, expected, scale=1.0, dtype="float64"):
    tolerance = 10 * oracle.VALUE_TOLERANCE[dtype]
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * scale)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 2**32 - 1), FEATURES, GAMMAS, st.sampled_from(COSTS), CONSTRAINTS)
def test_pairwise(data, seed, d, gamma, cost, constraints):
    rng = np.random.default_rng(seed)
    X = draw_batch(data, rng, data.draw(st.integers(1, 5)), d)
    Y = draw_batch(data, rng, data.draw(st.integers(1, 5)), d)
    options = {"gamma": gamma, "cost": cost, **constraints}
    expected = [[truth(x, y, gamma, cost, constraints) for y in Y] for x in X]
    close(pairwise_soft_dtw(X, Y, **options), expected)
    close(pairwise_soft_dtw(X, **options), [[truth(x, y, gamma, cost, constraints) for y in X] for x in X])
    close(soft_dtw(X[0], Y[0], **options), expected[0][0])


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 2**32 - 1), FEATURES, GAMMAS, st.sampled_from(COSTS), CONSTRAINTS)
def test_paired_and_gradient(data, seed, d, gamma, cost, constraints):
    rng = np.random.default_rng(seed)
    n = data.draw(st.integers(1, 5))
    X, Y = draw_batch(data, rng, n, d), draw_batch(data, rng, n, d)
    options = {"cost": cost, **constraints}
    radius = constraints.get("sakoe_chiba_radius")
    gamma = gamma or 1e-2  # where gamma is below the rounding of the costs, ties are anybody's
    matrices = [oracle.constrained(oracle.cost_matrix(x, y, cost), radius) for x, y in zip(X, Y, strict=True)]
    solutions = [oracle.solve(costs, gamma) for costs in matrices]
    values = [solution.value for solution in solutions]
    close(paired_soft_dtw(X, Y, gamma=gamma, **options), values)
    got = paired_soft_dtw_gradient(X, Y, gamma=gamma, wrt=("x", "y", "gamma"), **options)
    close(got.value, values)
    np.testing.assert_allclose(got.gamma, [s.gamma_slope for s in solutions], rtol=1e-7, atol=1e-5)
    for i, solution in enumerate(solutions):
        gx, gy = oracle.gradients(X[i], Y[i], solution.alignment, cost)
        np.testing.assert_allclose(got.x[i], gx, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(got.y[i], gy, rtol=1e-7, atol=1e-7)
    value, alignment = soft_dtw_alignment(X[0], Y[0], gamma=gamma, **options)
    close(value, values[0])
    np.testing.assert_allclose(alignment, solutions[0].alignment, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 37), (37, 1), (16, 16), (17, 9), (5, 40)])
def test_batches_of_many_short_series(n, m, dtype):
    """Counts of series that do not fill the lanes of a vector."""
    rng = np.random.default_rng(n + m)
    X, Y = rng.normal(size=(n, 6)).astype(dtype), rng.normal(size=(m, 5)).astype(dtype)
    for gamma in (0.0, 0.5):
        got = pairwise_soft_dtw(X, Y, gamma=gamma)
        assert got.dtype == dtype
        close(got, [[truth(x, y, gamma) for y in Y] for x in X], 6.0, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ragged_batch_of_very_different_lengths(dtype):
    rng = np.random.default_rng(0)
    lengths = [1, 90, 2, 33, 64, 3, 47, 5, 8, 13, 21, 34, 55, 1, 1, 80, 2, 17, 18]
    X = [rng.normal(size=(length, 2)).astype(dtype) for length in lengths]
    got = pairwise_soft_dtw(X, gamma=0.3)
    np.testing.assert_array_equal(got, got.T)
    for i, j in [(0, 0), (0, 1), (1, 1), (1, 15), (3, 4), (12, 6), (18, 2)]:
        close(got[i, j], truth(X[i], X[j], 0.3), 4.0, dtype)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (7, 5), (13, 31), (31, 13), (64, 65)])
def test_hard_path(shape):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=shape[0]), rng.normal(size=shape[1])
    value, path = dtw_path(x, y)
    costs = oracle.cost_matrix(x, y)
    assert value == pytest.approx(oracle.value(costs, 0.0))
    assert path.dtype == np.int64
    assert oracle.is_path(path, *shape)
    assert costs[tuple(path.T)].sum() == pytest.approx(value)
    assert pairwise_dtw(x[None], y[None])[0, 0] == pytest.approx(value)
    # The alignment at temperature 0 is an optimal path.
    hard_value, alignment = soft_dtw_alignment(x, y, gamma=0.0)
    assert hard_value == pytest.approx(value)
    np.testing.assert_array_equal(np.argwhere(alignment == 1), path)
    assert alignment.sum() == len(path)


def test_gradient_at_temperature_zero_is_along_the_path():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(9, 2)), rng.normal(size=(7, 2))
    _, alignment = soft_dtw_alignment(x, y, gamma=0.0)
    got = soft_dtw_gradient(x, y, gamma=0.0)
    gx, gy = oracle.gradients(x, y, alignment)
    np.testing.assert_allclose(got.x, gx, rtol=1e-12)
    np.testing.assert_allclose(got.y, gy, rtol=1e-12)
    assert got.gamma == 0.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cost", COSTS)
def test_array_of_gammas(cost, dtype):
    rng = np.random.default_rng(5)
    X, Y = rng.normal(size=(5, 8, 2)).astype(dtype), rng.normal(size=(5, 6, 2)).astype(dtype)
    gammas = [0.0, 1e-3, 1.0, 1.0, 100.0]
    whole = pairwise_soft_dtw(X, Y, gamma=gammas, cost=cost)
    assert whole.shape == (5, 5, 5)
    for gamma, matrix in zip(gammas, whole, strict=True):
        np.testing.assert_allclose(
            matrix, pairwise_soft_dtw(X, Y, gamma=gamma, cost=cost), rtol=oracle.VALUE_TOLERANCE[dtype]
        )
    symmetric = pairwise_soft_dtw(X, gamma=gammas, cost=cost)
    assert symmetric.shape == (5, 5, 5)
    np.testing.assert_array_equal(symmetric, symmetric.transpose(0, 2, 1))
    rows = paired_soft_dtw(X, Y, gamma=gammas, cost=cost)
    np.testing.assert_allclose(rows, np.diagonal(whole, axis1=1, axis2=2), rtol=oracle.VALUE_TOLERANCE[dtype])
    assert pairwise_soft_dtw(X, Y, gamma=[1.0], cost=cost).shape == (1, 5, 5)


def test_gradients_have_the_container_of_their_input():
    rng = np.random.default_rng(6)
    flat, cube = rng.normal(size=(3, 6)), rng.normal(size=(3, 5, 1))
    got = paired_soft_dtw_gradient(flat, cube, wrt=("x", "y"))
    assert (got.x.shape, got.y.shape, got.gamma) == ((3, 6), (3, 5, 1), None)
    ragged = [rng.normal(size=4), rng.normal(size=6), rng.normal(size=(2, 1))]
    got = paired_soft_dtw_gradient(ragged, flat, wrt={"x", "gamma"})
    assert [g.shape for g in got.x] == [(4,), (6,), (2, 1)]
    assert got.y is None
    assert got.gamma.shape == (3,)
    padded = flat.copy()
    padded[1, 4:] = np.nan
    got = paired_soft_dtw_gradient(padded, flat)
    assert got.x.shape == (3, 6)
    assert (got.x[1, 4:] == 0).all()
    np.testing.assert_array_equal(got.x[1, :4], paired_soft_dtw_gradient([flat[1, :4]], flat[1:2]).x[0])
    single = soft_dtw_gradient(padded[1], cube[0])
    assert (single.x.shape, single.y.shape) == ((6,), (5, 1))
    np.testing.assert_array_equal(single.x, got_alone(padded[1], cube[0]))


def got_alone(x, y):
    return paired_soft_dtw_gradient(x[None], y[None]).x[0]


def test_wrt_accepts_a_name():
    X = np.random.default_rng(7).normal(size=(2, 4))
    got = paired_soft_dtw_gradient(X, X[::-1], wrt="y")
    assert got.x is None
    assert got.y.shape == (2, 4)
