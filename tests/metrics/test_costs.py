"""Costs of the user's own: matrices and functions."""

from __future__ import annotations

import numpy as np
import oracle
import pytest

from sktime_sdtw import (
    dtw,
    dtw_path,
    paired_soft_dtw,
    paired_soft_dtw_gradient,
    pairwise_soft_dtw,
    pairwise_soft_dtw_divergence,
    sharp_soft_dtw_divergence,
    soft_dtw,
    soft_dtw_alignment,
    soft_dtw_gradient,
)
from sktime_sdtw.metrics import _batch


def quartic(x, y):
    """Symmetric: quartic(x, y) is quartic(y, x).T."""
    return ((x[:, None] - y[None]) ** 4).sum(axis=-1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matrix(dtype):
    costs = np.random.default_rng(0).normal(size=(6, 9)).astype(dtype)  # negative costs are costs too
    truth = oracle.solve(costs.astype(float), 0.5)
    rel = oracle.GRADIENT_TOLERANCE[dtype]
    assert soft_dtw(costs, gamma=0.5, cost="precomputed") == pytest.approx(truth.value, rel=rel)
    value, alignment = soft_dtw_alignment(costs, gamma=0.5, cost="precomputed")
    assert value == pytest.approx(truth.value, rel=rel)
    assert alignment.dtype == dtype
    np.testing.assert_allclose(alignment, truth.alignment, atol=rel)
    got = soft_dtw_gradient(costs, gamma=0.5, cost="precomputed")
    np.testing.assert_array_equal(got.x, alignment)
    assert got.y is None
    assert got.gamma == pytest.approx(truth.gamma_slope, rel=rel)
    assert dtw(costs, cost="precomputed") == pytest.approx(oracle.value(costs.astype(float), 0.0), rel=rel)
    hard, path = dtw_path(costs, cost="precomputed", sakoe_chiba_radius=1)
    inside = oracle.constrained(costs.astype(float), radius=1)
    assert hard == pytest.approx(oracle.value(inside, 0.0), rel=rel)
    assert inside[tuple(path.T)].sum() == pytest.approx(hard, rel=rel)


def test_matrices_of_many_pairs():
    rng = np.random.default_rng(1)
    matrices = [rng.uniform(size=shape) for shape in [(3, 4), (1, 5), (6, 2), (3, 4)]]
    truths = [oracle.solve(costs, 0.5) for costs in matrices]
    np.testing.assert_allclose(
        paired_soft_dtw(matrices, gamma=[0.5, 2.0], cost="precomputed")[0],
        [t.value for t in truths],
        rtol=1e-12,
    )
    got = paired_soft_dtw_gradient(matrices, gamma=0.5, wrt=("x", "gamma"), cost="precomputed")
    np.testing.assert_allclose(got.gamma, [t.gamma_slope for t in truths], rtol=1e-9)
    for alignment, truth in zip(got.x, truths, strict=True):
        np.testing.assert_allclose(alignment, truth.alignment, atol=1e-12)
    cube = np.stack([matrices[0], matrices[3]])
    assert paired_soft_dtw_gradient(cube, cost="precomputed").x.shape == (2, 3, 4)


@pytest.mark.parametrize("constraint", [{}, {"sakoe_chiba_radius": 1}, {"sakoe_chiba_radius": 0.2}])
def test_matrix_says_what_its_series_say(constraint):
    rng = np.random.default_rng(2)
    X = [rng.normal(size=(length, 2)) for length in (4, 9, 17, 9)]
    Y = [rng.normal(size=(length, 2)) for length in (6, 9, 3, 8)]
    matrices = [oracle.cost_matrix(x, y) for x, y in zip(X, Y, strict=True)]
    for gamma in (0.0, 0.7):
        np.testing.assert_allclose(
            paired_soft_dtw(matrices, gamma=gamma, cost="precomputed", **constraint),
            paired_soft_dtw(X, Y, gamma=gamma, **constraint),
            rtol=1e-11,
        )
        E = paired_soft_dtw_gradient(matrices, gamma=gamma, cost="precomputed", **constraint).x
        for k, alignment in enumerate(E):
            expected = soft_dtw_alignment(X[k], Y[k], gamma=gamma, **constraint)[1]
            np.testing.assert_allclose(alignment, expected, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_function(dtype, monkeypatch):
    rng = np.random.default_rng(3)
    X = [rng.normal(size=(length, 2)).astype(dtype) for length in (4, 7, 5)]
    Y = [rng.normal(size=(length, 2)).astype(dtype) for length in (6, 3)]
    gammas = [0.0, 0.5]
    rel = 10 * oracle.VALUE_TOLERANCE[dtype]
    expected = [[[oracle.value(quartic(*map(np.float64, (x, y))), g) for y in Y] for x in X] for g in gammas]
    got = pairwise_soft_dtw(X, Y, gamma=gammas, cost=quartic)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, rtol=rel)
    symmetric = pairwise_soft_dtw(X, gamma=gammas, cost=quartic)
    np.testing.assert_allclose(symmetric, pairwise_soft_dtw(X, X, gamma=gammas, cost=quartic), rtol=rel)
    rows = paired_soft_dtw(X[:2], Y, gamma=0.5, cost=quartic)
    np.testing.assert_allclose(rows, [got[1, 0, 0], got[1, 1, 1]], rtol=rel)
    assert soft_dtw(X[0], Y[0], gamma=0.5, cost=quartic) == pytest.approx(got[1, 0, 0], rel=rel)
    monkeypatch.setattr(_batch, "CHUNK_BYTES", 100)
    np.testing.assert_array_equal(pairwise_soft_dtw(X, gamma=gammas, cost=quartic), symmetric)
    np.testing.assert_array_equal(pairwise_soft_dtw(X, Y, gamma=gammas, cost=quartic), got)


def test_function_in_everything_else():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 8))
    costs = quartic(x[:, None], y[:, None])
    truth = oracle.solve(costs, 0.5)
    _, alignment = soft_dtw_alignment(x, y, gamma=0.5, cost=quartic)
    np.testing.assert_allclose(alignment, truth.alignment, atol=1e-12)
    value, path = dtw_path(x, y, cost=quartic)
    assert costs[tuple(path.T)].sum() == pytest.approx(value)
    divergence = pairwise_soft_dtw_divergence([x, y], gamma=0.5, cost=quartic)
    own = [oracle.value(quartic(z[:, None], z[:, None]), 0.5) for z in (x, y)]
    assert divergence[0, 1] == pytest.approx(truth.value - sum(own) / 2)
    own = [oracle.solve(quartic(z[:, None], z[:, None]), 0.5).expected_cost for z in (x, y)]
    sharp = sharp_soft_dtw_divergence(x, y, gamma=0.5, cost=quartic)
    assert sharp == pytest.approx(truth.expected_cost - sum(own) / 2)


def test_function_is_called_once_per_pair():
    calls = []

    def cost(x, y):
        calls.append((len(x), len(y)))
        return quartic(x, y)

    X = np.random.default_rng(5).normal(size=(5, 4))
    pairwise_soft_dtw(X, gamma=[0.1, 1.0, 10.0], cost=cost)
    assert len(calls) == 15


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x, y: np.zeros((len(y), len(x))), ValueError, r"must return local costs of shape .*\(3, 4\)"),
        (lambda x, y: np.full((len(x), len(y)), np.nan), ValueError, "result of cost contains NaN or inf"),
        (lambda x, y: np.zeros((len(x), len(y))) * 1j, ValueError, "Complex data not supported"),
        (lambda x, y: "no", ValueError, "result of cost holds strings"),
    ],
)
def test_function_with_a_bad_result(function, error, message):
    with pytest.raises(error, match=message):
        soft_dtw(np.zeros(3), np.zeros(4), cost=function)


def test_errors_in_a_function_come_through():
    def cost(x, y):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        pairwise_soft_dtw(np.zeros((2, 3)), cost=cost)


def test_gak_cost_follows_sigma():
    x, y = np.random.default_rng(6).normal(size=(2, 6))
    for sigma in (0.1, 1.0, 10.0):
        expected = oracle.value(oracle.cost_matrix(x, y, "gak", sigma), 1.0)
        assert soft_dtw(x, y, cost="gak", sigma=sigma) == pytest.approx(expected, rel=1e-12)


def test_cosine_ignores_the_length_of_rows():
    rng = np.random.default_rng(7)
    X, Y = rng.normal(size=(2, 5, 8, 3))
    stretch = rng.uniform(0.1, 10, size=(5, 8, 1))
    np.testing.assert_allclose(
        pairwise_soft_dtw(X * stretch, Y, cost="cosine"), pairwise_soft_dtw(X, Y, cost="cosine"), rtol=1e-11
    )
    got = paired_soft_dtw_gradient(X, Y, cost="cosine")
    np.testing.assert_allclose((got.x * X).sum(axis=-1), 0, atol=1e-12)  # no slope along the row


def test_cosine_in_blocks_of_rows(monkeypatch):
    rng = np.random.default_rng(8)
    X = [rng.normal(size=(length, 3)).astype(np.float32) for length in (5, 3, 8, 1, 6)]
    half, full = pairwise_soft_dtw(X, cost="cosine"), pairwise_soft_dtw(X, X[:2], cost="cosine")
    assert half.dtype == np.float32
    monkeypatch.setattr(_batch, "CHUNK_BYTES", 100)
    np.testing.assert_array_equal(pairwise_soft_dtw(X, cost="cosine"), half)
    np.testing.assert_array_equal(pairwise_soft_dtw(X, X[:2], cost="cosine"), full)
    np.testing.assert_array_equal(half, half.T)
