"""The engine computes a pair whole in one lane, or region by region: the bits must be the same.

A single pair of this size goes region by region; in a batch the same pair has a lane of its own. And a pair
whose range needs an exponent in every cell shares its vector with pairs that do not need it.
"""

import numpy as np
import pytest

from sktime_sdtw import paired_soft_dtw_gradient, pairwise_soft_dtw, soft_dtw, soft_dtw_gradient

pytestmark = pytest.mark.cpu_engine
OPTIONS = [
    {},
    {"sakoe_chiba_radius": 0},
    {"sakoe_chiba_radius": 37},
    {"sakoe_chiba_radius": 0.2},
    {"itakura_max_slope": 6.0},
    {"cost": "gak", "sigma": 2.0},
    {"cost": "manhattan"},
]


def batches(dtype, d):
    rng = np.random.default_rng(7)
    lengths = rng.integers(190, 420, size=(2, 18))
    # Scales from 0.01 to 30 need every way there is to hold a number.
    scales = 10.0 ** rng.uniform(-2, 1.5, size=18)
    return (
        [
            scale * rng.normal(size=(n, d)).astype(dtype).cumsum(axis=0) / 5
            for n, scale in zip(side, scales, strict=True)
        ]
        for side in lengths
    )


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("dtype", "d"), [(np.float32, 1), (np.float64, 3)])
def test_same_bits(dtype, d, options):
    X, Y = ([series.astype(dtype) for series in batch] for batch in batches(dtype, d))
    gammas = [0.0, 0.05, 1.0]
    matrices = pairwise_soft_dtw(X, Y, gamma=gammas, **options)
    for i, j in [(0, 0), (3, 11), (9, 2), (17, 17)]:
        alone = [soft_dtw(X[i], Y[j], gamma=gamma, **options) for gamma in gammas]
        np.testing.assert_array_equal(np.array(alone, dtype), matrices[:, i, j])


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("dtype", "d"), [(np.float32, 1), (np.float64, 3)])
def test_same_bits_of_gradients(dtype, d, options):
    X, Y = ([series.astype(dtype) for series in batch] for batch in batches(dtype, d))
    together = paired_soft_dtw_gradient(X, Y, gamma=0.3, wrt=("x", "y", "gamma"), n_jobs=2, **options)
    for i in (0, 8, 17):
        alone = soft_dtw_gradient(X[i], Y[i], gamma=0.3, **options)
        assert alone.value == together.value[i]
        assert alone.gamma == together.gamma[i]
        np.testing.assert_array_equal(alone.x, together.x[i])
        np.testing.assert_array_equal(alone.y, together.y[i])
