"""What happens before the first iteration of k-means."""

from __future__ import annotations

import numpy as np
import pytest

import sktime_sdtw as sdtw
from sktime_sdtw._series import check_series
from sktime_sdtw.barycenters._objective import Alignment
from sktime_sdtw.cluster._seeding import merge_equal, plus_plus, random_seeds

ALIGNMENT = Alignment.resolve(
    gamma=0.5,
    cost="sqeuclidean",
    sigma=1.0,
    sakoe_chiba_radius=None,
    itakura_max_slope=None,
    n_jobs=None,
    device="auto",
)


def test_merge_adds_the_weights_of_equal_series():
    batch = check_series([[1.0, 2.0], [3.0], [1.0, 2.0], [1.0, 2.0, 2.0], [3.0]])
    merged, weights = merge_equal(batch, np.array([1.0, 2.0, 0.5, 3.0, 0.0]))
    found = {tuple(series.ravel()): weight for series, weight in zip(merged.to_list(), weights, strict=True)}
    assert found == {(1.0, 2.0): 1.5, (3.0,): 2.0, (1.0, 2.0, 2.0): 3.0}


def test_merge_does_not_depend_on_the_order():
    rng = np.random.default_rng(0)
    batch = check_series(np.repeat(rng.normal(size=(6, 5)), 3, axis=0))
    weights = rng.uniform(size=18)
    order = rng.permutation(18)
    one, one_weights = merge_equal(batch, weights)
    other, other_weights = merge_equal(batch.take(order), weights[order])
    assert np.array_equal(one.values, other.values)
    assert np.array_equal(one_weights, other_weights)
    assert len(one) == 6


def test_plus_plus_finds_far_groups():
    rng = np.random.default_rng(0)
    groups = np.repeat([0.0, 10.0, 20.0, 30.0], 6)
    batch = check_series(groups[:, None] + 0.1 * rng.normal(size=(24, 8)))
    own = ALIGNMENT.own(batch)
    for seed in range(5):
        chosen = plus_plus(batch, np.ones(24), own, 4, ALIGNMENT, np.random.RandomState(seed))
        assert sorted(groups[chosen]) == [0.0, 10.0, 20.0, 30.0]


def test_plus_plus_follows_weights():
    batch = check_series(np.arange(12.0).reshape(4, 3))
    weights = np.array([1e-9, 1.0, 1e-9, 1e-9])
    seeds = plus_plus(batch, weights, ALIGNMENT.own(batch), 1, ALIGNMENT, np.random.RandomState(0))
    assert list(seeds) == [1]


@pytest.mark.parametrize("gamma", [0.0, 1e3])
def test_plus_plus_takes_every_series_where_all_are_needed(gamma):
    # Of nearly equal series all divergences round to 0, or below.
    batch = check_series(1.0 + 1e-9 * np.arange(15.0).reshape(5, 3))
    alignment = Alignment(gamma, ALIGNMENT.cost, ALIGNMENT.band)
    seeds = plus_plus(batch, np.ones(5), alignment.own(batch), 5, alignment, np.random.RandomState(0))
    assert sorted(seeds) == [0, 1, 2, 3, 4]


def test_random_seeds_are_different_and_follow_weights():
    weights = np.array([1.0, 100.0, 100.0, 1.0])
    counts = np.zeros(4)
    for seed in range(200):
        chosen = random_seeds(weights, 2, np.random.RandomState(seed))
        assert len(set(chosen)) == 2
        counts[chosen] += 1
    assert counts[[1, 2]].min() > 190


def test_negative_divergences_do_no_harm():
    x = [0.17, 0.02, 0.12, -1.17, -2.29, -1.69, -2.17, -1.85]
    y = [0.21, -0.14, 0.42, -0.68, -1.96, -1.9, -2.07, -1.87]
    assert sdtw.soft_dtw_divergence(x, y, gamma=1.0) < 0
    assert set(sdtw.SoftDTWKMeans(2, gamma=1.0, random_state=0).fit([x, y]).labels_) <= {0, 1}
