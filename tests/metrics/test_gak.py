"""The Global Alignment Kernel: values, positive definiteness, range, and the median heuristic."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from scipy.spatial.distance import pdist

from sktime_sdtw import gak, median_heuristic_gamma, median_heuristic_sigma, pairwise_gak, soft_dtw


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("sigma", [0.2, 1.0, 5.0])
def test_against_sums_of_products(sigma, normalize):
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(length, 2)) for length in (4, 7, 1)]
    Y = [rng.normal(size=(length, 2)) for length in (5, 3)]
    expected = [[oracle.gak(x, y, sigma, normalize=normalize) for y in Y] for x in X]
    np.testing.assert_allclose(pairwise_gak(X, Y, sigma=sigma, normalize=normalize), expected, rtol=1e-11)
    assert gak(X[0], Y[1], sigma=sigma, normalize=normalize) == pytest.approx(expected[0][1], rel=1e-11)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
def test_positive_definite(sigma):
    rng = np.random.default_rng(1)
    X = [rng.normal(size=length).cumsum() for length in rng.integers(5, 40, size=40)]
    K = pairwise_gak(X, sigma=sigma)
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_array_equal(K.diagonal(), 1)
    assert K.max() <= 1 + 1e-12
    assert np.linalg.eigvalsh(K).min() > -1e-10


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_long_series_stay_in_range(dtype):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(3, 1500)).cumsum(axis=1).astype(dtype)
    K = pairwise_gak(X, sigma=50.0)
    assert K.dtype == dtype
    assert np.isfinite(K).all()
    assert (K.diagonal() == 1).all()
    logarithm = -soft_dtw(X[0], X[0], cost="gak", sigma=50.0)
    assert 800 < logarithm < 1500 * 1.7628


def test_array_of_sigmas():
    X = np.random.default_rng(3).normal(size=(4, 9))
    whole = pairwise_gak(X, sigma=[0.5, 2.0])
    assert whole.shape == (2, 4, 4)
    np.testing.assert_array_equal(whole[1], pairwise_gak(X, sigma=2.0))
    with pytest.raises(ValueError, match="sigma must be a finite number > 0"):
        pairwise_gak(X, sigma=[1.0, 0.0])
    with pytest.raises(ValueError, match=r"sigma must be a number or a 1-D array"):
        pairwise_gak(X, sigma=[[1.0]])


def test_median_heuristic():
    rng = np.random.default_rng(4)
    X = [rng.normal(size=(length, 2)) for length in (5, 9, 3)]
    expected = np.median(pdist(np.concatenate(X))) * 3.0
    assert median_heuristic_sigma(X) == pytest.approx(expected)
    assert median_heuristic_gamma(X) == pytest.approx(2 * expected**2)
    some = [median_heuristic_sigma(X, n_samples=6, random_state=seed) for seed in (0, 0, 1)]
    assert some[0] == some[1] != some[2]


def test_median_heuristic_is_positive():
    assert median_heuristic_sigma([[1.0, 1.0, 1.0, 5.0]]) == pytest.approx(2 * 2.0)
    assert median_heuristic_sigma([[0.0, 0.0, 0.0, 0.0, 0.0, 1.0]]) > 0
    assert median_heuristic_sigma(np.ones((3, 4))) == pytest.approx(2.0)
    assert median_heuristic_sigma([[3.0]]) == 1.0


@pytest.mark.parametrize(
    ("n_samples", "error"), [(1, ValueError), (0, ValueError), (2.5, TypeError), (True, TypeError)]
)
def test_median_heuristic_refuses(n_samples, error):
    with pytest.raises(error, match="n_samples must be an int >= 2"):
        median_heuristic_sigma(np.ones((2, 3)), n_samples=n_samples)
