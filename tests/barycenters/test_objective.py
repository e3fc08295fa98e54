"""The objective of barycenters: its gradient, and what does not change it."""

from __future__ import annotations

import numpy as np
import pytest

import sktime_sdtw as sdtw
from sktime_sdtw._series import check_series
from sktime_sdtw.barycenters import _objective
from sktime_sdtw.barycenters._objective import Alignment, CentreLoss

RAGGED = [9, 5, 12, 7, 1]


def series(n_features=2, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return check_series([rng.normal(size=(t, n_features)).astype(dtype) for t in RAGGED])


def align(gamma=0.5, **params):
    defaults = {
        "cost": "sqeuclidean",
        "sigma": 1.3 if params.get("cost") == "gak" else 1.0,
        "sakoe_chiba_radius": None,
        "itakura_max_slope": None,
        "n_jobs": None,
        "device": "auto",
    }
    return Alignment.resolve(gamma=gamma, **{**defaults, **params})


WEIGHTS = np.array([1.0, 0.0, 2.5, 0.3, 1.0])


@pytest.mark.parametrize("is_divergence", [False, True])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"gamma": 1e-3},
        {"gamma": 20.0},
        {"cost": "euclidean"},
        {"cost": "manhattan"},
        {"cost": "cosine"},
        {"cost": "gak"},
        {"sakoe_chiba_radius": 2},
        {"sakoe_chiba_radius": 0.3},
    ],
    ids=str,
)
def test_gradient_against_differences(is_divergence, params):
    loss = CentreLoss(series(), WEIGHTS, align(**params), 6, is_divergence=is_divergence)
    point = np.random.default_rng(1).normal(size=12)
    (at,) = loss.evaluate([0], [point])
    direction = np.random.default_rng(2).normal(size=(5, 12))
    for along in direction:
        step = 1e-6
        (ahead,), (behind,) = (
            loss.evaluate([0], [point + step * along]),
            loss.evaluate([0], [point - step * along]),
        )
        difference = (ahead.value - behind.value) / (2 * step)
        assert difference == pytest.approx(along @ at.gradient, rel=1e-4, abs=1e-6)


def test_itakura_gradient_against_differences():
    batch = check_series(np.random.default_rng(0).normal(size=(3, 8)))
    loss = CentreLoss(batch, np.ones(3), align(itakura_max_slope=2.0), 8, is_divergence=True)
    point = np.random.default_rng(1).normal(size=8)
    (at,) = loss.evaluate([0], [point])
    for i in range(8):
        step = 1e-6 * np.eye(8)[i]
        (ahead,), (behind,) = loss.evaluate([0], [point + step]), loss.evaluate([0], [point - step])
        assert (ahead.value - behind.value) / 2e-6 == pytest.approx(at.gradient[i], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("is_divergence", [False, True])
def test_value_is_the_sum_of_the_public_function(is_divergence):
    batch, centre = series(), np.random.default_rng(1).normal(size=(6, 2))
    loss = CentreLoss(batch, WEIGHTS, align(), 6, is_divergence=is_divergence)
    (at,) = loss.evaluate([0], [centre.ravel()])
    function = sdtw.pairwise_soft_dtw_divergence if is_divergence else sdtw.pairwise_soft_dtw
    expected = WEIGHTS @ function(batch, [centre], gamma=0.5)[:, 0]
    assert at.value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(WEIGHTS @ loss.distances(centre[None])[:, 0], expected, rtol=1e-12)


def test_several_centres_in_one_call():
    batch = series()
    labels = np.array([2, 0, 0, 2, 1])
    weights = np.ones(5)
    points = list(np.random.default_rng(1).normal(size=(3, 12)))
    loss = CentreLoss(batch, weights, align(), 6, is_divergence=True)
    loss.assign(labels)
    together = loss.evaluate([0, 1, 2], points)
    for cluster in range(3):
        members = np.flatnonzero(labels == cluster)
        alone = CentreLoss(batch.take(members), weights[members], align(), 6, is_divergence=True)
        (expected,) = alone.evaluate([0], [points[cluster]])
        (by_itself,) = loss.evaluate([cluster], [points[cluster]])
        for got in (together[cluster], by_itself):
            assert got.value == pytest.approx(expected.value, rel=1e-12)
            np.testing.assert_allclose(got.gradient, expected.gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("is_divergence", [False, True])
def test_chunks_change_nothing(is_divergence, monkeypatch):
    batch, labels = series(), np.array([1, 0, 0, 1, 1])
    points = list(np.random.default_rng(1).normal(size=(2, 12)))

    def evaluate():
        loss = CentreLoss(batch, WEIGHTS, align(), 6, is_divergence=is_divergence)
        loss.assign(labels)
        return loss.evaluate([0, 1], points)

    whole = evaluate()
    monkeypatch.setattr(_objective, "SMALLEST_CHUNK", 2)
    monkeypatch.setattr(_objective, "CHUNK_BYTES", 1)
    for one, other in zip(whole, evaluate(), strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-12)
        np.testing.assert_allclose(one.gradient, other.gradient, rtol=1e-10, atol=1e-12)


def test_weight_is_repetition():
    batch = series()
    weights = np.array([2.0, 0.0, 1.0, 3.0, 1.0])
    point = np.random.default_rng(1).normal(size=12)
    repeated = batch.take(np.repeat(np.arange(5), weights.astype(int)))
    (weighted,) = CentreLoss(batch, weights, align(), 6, is_divergence=True).evaluate([0], [point])
    (plain,) = CentreLoss(repeated, np.ones(7), align(), 6, is_divergence=True).evaluate([0], [point])
    assert weighted.value == pytest.approx(plain.value, rel=1e-12)
    np.testing.assert_allclose(weighted.gradient, plain.gradient, rtol=1e-10, atol=1e-12)


def test_float32_is_close_to_float64():
    point = np.random.default_rng(1).normal(size=12)
    narrow = CentreLoss(series(dtype=np.float32), WEIGHTS, align(), 6, is_divergence=True)
    wide = CentreLoss(series(), WEIGHTS, align(), 6, is_divergence=True)
    (one,), (other,) = narrow.evaluate([0], [point]), wide.evaluate([0], [point])
    assert one.gradient.dtype == np.float64
    assert one.value == pytest.approx(other.value, rel=1e-5)
    np.testing.assert_allclose(one.gradient, other.gradient, atol=1e-4 * np.abs(other.gradient).max())


@pytest.mark.parametrize("gamma", [0.0, 0.1, 1.0, 1000.0])
def test_scale_lies_between_zero_and_the_mean_cost(gamma):
    batch = series()
    loss = CentreLoss(batch, np.ones(5), align(gamma=gamma), 6, is_divergence=False)
    centre = np.random.default_rng(1).normal(size=(6, 2))
    (at,) = loss.evaluate([0], [centre.ravel()])
    largest = sum(((centre[:, None] - x[None]) ** 2).sum(-1).max() * (len(x) + 6) for x in batch.to_list())
    assert 0 <= at.scale <= largest


def test_callable_cost_is_refused():
    with pytest.raises(ValueError, match="cost must be the name"):
        align(cost=lambda x, y: np.zeros((len(x), len(y))))
