"""What must not change the result: threads, the rest of the batch, order, direction, memory layout."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
import pytest

from sktime_sdtw import (
    paired_soft_dtw,
    paired_soft_dtw_gradient,
    pairwise_dtw,
    pairwise_soft_dtw,
    pairwise_soft_dtw_divergence,
    soft_dtw,
    soft_dtw_alignment,
    soft_dtw_gradient,
)

DTYPES = ["float32", "float64"]
COSTS = ["sqeuclidean", "euclidean", "manhattan", "cosine", "gak"]


def ragged(seed, n, d, dtype, longest=40):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(length, d)).astype(dtype) for length in rng.integers(1, longest, size=n)]


def rows(X, indices):
    return [X[i] for i in indices]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("d", [1, 3])
def test_rest_of_the_batch_changes_no_bit(request, d, cost, dtype):
    X, Y = ragged(0, 21, d, dtype), ragged(1, 19, d, dtype)
    # On a GPU, functions of all pairs take larger tiles than those of given pairs: other roundings.
    exact = request.config.getoption("--engine") == "cpu" or dtype == "float64"
    tolerance = 0 if exact else 2e-6
    for gamma in (0.0, 0.5):
        whole = pairwise_soft_dtw(X, Y, gamma=gamma, cost=cost)
        part = pairwise_soft_dtw(rows(X, [3, 17, 4]), rows(Y, [2, 18]), gamma=gamma, cost=cost)
        np.testing.assert_array_equal(whole[np.ix_([3, 17, 4], [2, 18])], part)
        assert pairwise_soft_dtw(X[5:6], Y[7:8], gamma=gamma, cost=cost)[0, 0] == whole[5, 7]
        paired = paired_soft_dtw(X[:19], Y, gamma=gamma, cost=cost)
        assert soft_dtw(X[5], Y[5], gamma=gamma, cost=cost) == paired[5]
        np.testing.assert_allclose(paired, whole.diagonal(), tolerance, tolerance * d)


@pytest.mark.parametrize("dtype", DTYPES)
def test_symmetric_is_the_upper_triangle_of_the_full(dtype):
    X = ragged(2, 23, 2, dtype)
    for gamma in (0.0, 0.5):
        half, full = pairwise_soft_dtw(X, gamma=gamma), pairwise_soft_dtw(X, list(X), gamma=gamma)
        np.testing.assert_array_equal(np.triu(half), np.triu(full))
        np.testing.assert_array_equal(half, half.T)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_gamma_or_many_changes_no_bit(dtype):
    X, Y = ragged(3, 9, 2, dtype), ragged(4, 7, 2, dtype)
    gammas = [0.0, 0.01, 1.0, 100.0]
    whole = pairwise_soft_dtw(X, Y, gamma=gammas)
    for k, gamma in enumerate(gammas):
        np.testing.assert_array_equal(whole[k], pairwise_soft_dtw(X, Y, gamma=gamma))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 4])
def test_rest_of_the_batch_changes_no_bit_of_the_gradient(d, dtype):
    X, Y = ragged(5, 21, d, dtype), ragged(6, 21, d, dtype)
    for gamma in (0.0, 0.5):
        whole = paired_soft_dtw_gradient(X, Y, gamma=gamma, wrt=("x", "y", "gamma"))
        chosen = [20, 3, 3, 11]
        part = paired_soft_dtw_gradient(
            rows(X, chosen), rows(Y, chosen), gamma=gamma, wrt=("x", "y", "gamma")
        )
        np.testing.assert_array_equal(part.value, whole.value[chosen])
        np.testing.assert_array_equal(part.gamma, whole.gamma[chosen])
        for k, i in enumerate(chosen):
            np.testing.assert_array_equal(part.x[k], whole.x[i])
            np.testing.assert_array_equal(part.y[k], whole.y[i])
        single = soft_dtw_gradient(X[20], Y[20], gamma=gamma)
        np.testing.assert_array_equal(single.x, whole.x[20])
        # What is asked for does not change what is given.
        np.testing.assert_array_equal(paired_soft_dtw_gradient(X, Y, gamma=gamma, wrt="y").y[7], whole.y[7])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_jobs", [2, 3, -1])
def test_threads_change_no_bit(n_jobs, dtype):
    X, Y = ragged(7, 30, 2, dtype), ragged(8, 30, 2, dtype)
    for gamma in (0.0, [0.1, 2.0]):
        for call in (pairwise_soft_dtw, paired_soft_dtw, pairwise_soft_dtw_divergence):
            np.testing.assert_array_equal(
                call(X, Y, gamma=gamma, n_jobs=n_jobs), call(X, Y, gamma=gamma, n_jobs=1)
            )
    one, many = (paired_soft_dtw_gradient(X, Y, wrt=("x", "y"), n_jobs=jobs) for jobs in (1, n_jobs))
    for a, b in zip([*one.x, *one.y], [*many.x, *many.y], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.cpu_engine  # the workers would have that one
def test_threads_of_a_parallel_config():
    X = ragged(9, 12, 1, "float64")
    expected = pairwise_soft_dtw(X)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        np.testing.assert_array_equal(pairwise_soft_dtw(X), expected)
    results = joblib.Parallel(n_jobs=2, backend="loky")(
        joblib.delayed(pairwise_soft_dtw)(X, n_jobs=-1) for _ in range(2)
    )
    for result in results:
        np.testing.assert_array_equal(result, expected)


TASKS = Path("/proc/self/task")


@pytest.mark.skipif(not TASKS.is_dir(), reason="counts threads through /proc")
def test_no_thread_is_left_behind():
    X = ragged(10, 40, 2, "float64")
    pairwise_soft_dtw(X, n_jobs=-1)
    before = len(list(TASKS.iterdir()))
    for _ in range(5):
        pairwise_soft_dtw(X, n_jobs=-1)
        paired_soft_dtw_gradient(X, X[::-1], n_jobs=-1)
    assert len(list(TASKS.iterdir())) <= before


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("constraint", [{}, {"sakoe_chiba_radius": 3}, {"itakura_max_slope": 2.5}])
def test_transposed_and_reversed(cost, constraint):
    rng = np.random.default_rng(11)
    x, y = rng.normal(size=(14, 2)), rng.normal(size=(11, 2))
    options = {"gamma": 0.7, "cost": cost, **constraint}
    value, alignment = soft_dtw_alignment(x, y, **options)
    for a, b, again in [
        (y, x, lambda E: E.T),
        (x[::-1], y[::-1], lambda E: E[::-1, ::-1]),
        (y[::-1], x[::-1], lambda E: E[::-1, ::-1].T),
    ]:
        other_value, other = soft_dtw_alignment(a, b, **options)
        assert other_value == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(again(other), alignment, atol=1e-11)


def test_permuted_features():
    rng = np.random.default_rng(12)
    X, Y = rng.normal(size=(3, 8, 5)), rng.normal(size=(4, 9, 5))
    order = [3, 0, 4, 1, 2]
    for cost in COSTS:
        np.testing.assert_allclose(
            pairwise_soft_dtw(X, Y, cost=cost),
            pairwise_soft_dtw(X[..., order], Y[..., order], cost=cost),
            rtol=1e-11,
        )


def test_scaling_of_series_and_gamma():
    rng = np.random.default_rng(13)
    X = rng.normal(size=(5, 12))
    np.testing.assert_allclose(
        pairwise_soft_dtw(3.0 * X, gamma=9 * 0.2), 9 * pairwise_soft_dtw(X, gamma=0.2), rtol=1e-11
    )
    # Powers of two are exact.
    np.testing.assert_array_equal(pairwise_dtw(4.0 * X), 16 * pairwise_dtw(X))


def test_memory_layouts():
    rng = np.random.default_rng(14)
    X = rng.normal(size=(6, 10, 3))
    expected = pairwise_soft_dtw(X)
    read_only = X.copy()
    read_only.flags.writeable = False
    strided = np.empty((6, 20, 6))[:, ::2, ::2]
    strided[...] = X
    for layout in (np.asfortranarray(X), read_only, strided, X[::-1][::-1], X.astype(">f8")):
        np.testing.assert_array_equal(pairwise_soft_dtw(layout), expected)


def test_inputs_are_not_written_to():
    rng = np.random.default_rng(15)
    X = rng.normal(size=(4, 9, 2))
    before = X.copy()
    for cost in COSTS:
        pairwise_soft_dtw(X, cost=cost)
        paired_soft_dtw_gradient(X, X[::-1], wrt=("x", "y"), cost=cost)
    np.testing.assert_array_equal(X, before)
