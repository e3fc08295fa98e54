from __future__ import annotations

import numpy as np
import pytest
from checks_3d import cube, ragged, targets
from sklearn import config_context
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from sktime_sdtw import (
    SoftDTWKNeighborsClassifier,
    SoftDTWKNeighborsRegressor,
    pairwise_dtw,
    pairwise_soft_dtw,
    pairwise_soft_dtw_divergence,
)
from sktime_sdtw.neighbors._base import _smallest

METRICS = {
    "divergence": lambda X, Y=None: pairwise_soft_dtw_divergence(X, Y, gamma=0.4),
    "soft_dtw": lambda X, Y=None: pairwise_soft_dtw(X, Y, gamma=0.4),
    "dtw": pairwise_dtw,
}
X, QUERIES = ragged(12), ragged(7, seed=4)
LABELS = np.array(["b", "a", "c"])[np.arange(12) % 3]
NUMBERS = np.stack([np.arange(12.0) ** 2, -np.arange(12.0)], axis=1)


@pytest.mark.parametrize("cache", [None, "auto"])
@pytest.mark.parametrize("metric", METRICS)
def test_neighbors_are_the_nearest(metric, cache):
    model = SoftDTWKNeighborsClassifier(4, metric=metric, gamma=0.4, cache=cache).fit(X, LABELS)
    distances, indices = model.kneighbors(QUERIES)
    matrix = METRICS[metric](QUERIES, X)
    np.testing.assert_array_equal(indices, np.argsort(matrix, axis=1, kind="stable")[:, :4])
    np.testing.assert_allclose(distances, np.sort(matrix, axis=1)[:, :4], rtol=1e-12)
    np.testing.assert_array_equal(model.kneighbors(QUERIES, return_distance=False), indices)
    np.testing.assert_array_equal(model.kneighbors(QUERIES, n_neighbors=2)[1], indices[:, :2])


@pytest.mark.parametrize("working_memory", [1024, 12 * 8 * 3 / 2**20])
@pytest.mark.parametrize("metric", METRICS)
def test_neighbors_of_the_fitted_series_leave_them_out(metric, working_memory):
    model = SoftDTWKNeighborsClassifier(3, metric=metric, gamma=0.4).fit(X, LABELS)
    matrix = METRICS[metric](X)
    np.fill_diagonal(matrix, np.inf)
    with config_context(working_memory=working_memory):
        distances, indices = model.kneighbors()
    np.testing.assert_array_equal(indices, np.argsort(matrix, axis=1, kind="stable")[:, :3])
    np.testing.assert_allclose(distances, np.sort(matrix, axis=1)[:, :3], rtol=1e-12)
    with pytest.raises(ValueError, match="at most the number of series to choose from, 11"):
        model.kneighbors(n_neighbors=12)


@pytest.mark.parametrize("weights", ["uniform", "distance", lambda distances: 1 / (1 + distances)])
@pytest.mark.parametrize("metric", ["divergence", "dtw"])
def test_agrees_with_scikit_learn_on_the_matrix(metric, weights):
    """Their nearest neighbours, given the matrices of these metrics."""
    square, across = np.maximum(METRICS[metric](X), 0), np.maximum(METRICS[metric](QUERIES, X), 0)
    params = {"n_neighbors": 5, "weights": weights, "metric": metric, "gamma": 0.4}
    theirs = {"n_neighbors": 5, "weights": weights, "metric": "precomputed"}
    classifier = SoftDTWKNeighborsClassifier(**params).fit(X, LABELS)
    expected = KNeighborsClassifier(**theirs).fit(square, LABELS)
    np.testing.assert_array_equal(classifier.classes_, expected.classes_)
    np.testing.assert_array_equal(classifier.predict(QUERIES), expected.predict(across))
    np.testing.assert_allclose(classifier.predict_proba(QUERIES), expected.predict_proba(across), rtol=1e-9)
    for y in (NUMBERS, NUMBERS[:, 0]):
        regressor = SoftDTWKNeighborsRegressor(**params).fit(X, y)
        expected = KNeighborsRegressor(**theirs).fit(square, y)
        np.testing.assert_allclose(regressor.predict(QUERIES), expected.predict(across), rtol=1e-9)


def test_a_series_at_distance_zero_decides_alone():
    model = SoftDTWKNeighborsClassifier(5, weights="distance").fit(X, LABELS)
    np.testing.assert_array_equal(model.predict(X), LABELS)
    np.testing.assert_array_equal(model.predict_proba(X).max(axis=1), 1.0)
    regressor = SoftDTWKNeighborsRegressor(5, weights="distance").fit(X, NUMBERS)
    np.testing.assert_array_equal(regressor.predict(X), NUMBERS)


def test_weights_by_distance_need_a_distance():
    with pytest.raises(ValueError, match="weights='distance' needs a metric whose least value"):
        SoftDTWKNeighborsClassifier(weights="distance", metric="soft_dtw").fit(X, LABELS)


def test_a_divergence_below_zero_is_as_near_as_can_be():
    x = [0.17, 0.02, 0.12, -1.17, -2.29, -1.69, -2.17, -1.85]
    y = [0.21, -0.14, 0.42, -0.68, -1.96, -1.9, -2.07, -1.87]
    model = SoftDTWKNeighborsClassifier(2, weights="distance").fit([x, np.ones(8)], [0, 1])
    assert model.kneighbors([y])[0][0, 0] == pytest.approx(-0.0229148, abs=1e-6)
    np.testing.assert_array_equal(model.predict_proba([y]), [[1.0, 0.0]])
    regressor = SoftDTWKNeighborsRegressor(2, weights="distance").fit([x, np.ones(8)], [3.0, 5.0])
    np.testing.assert_array_equal(regressor.predict([y]), [3.0])


def test_weights_of_a_function():
    model = SoftDTWKNeighborsClassifier(3, weights=lambda distances: np.zeros_like(distances)).fit(X, LABELS)
    np.testing.assert_array_equal(model.predict_proba(QUERIES), 0.0)
    wrong = SoftDTWKNeighborsClassifier(3, weights=lambda distances: distances[:, :1]).fit(X, LABELS)
    with pytest.raises(ValueError, match="one weight per neighbour"):
        wrong.predict(QUERIES)
    signed = SoftDTWKNeighborsClassifier(3, metric="soft_dtw", weights=np.exp).fit(X, LABELS)
    np.testing.assert_allclose(signed.predict_proba(QUERIES).sum(axis=1), 1.0)


def test_of_equals_the_first_counts():
    copies = [X[0], X[1], X[0], X[1], X[0]]
    model = SoftDTWKNeighborsClassifier(2).fit(copies, [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(model.kneighbors([X[0], X[1]])[1], [[0, 2], [1, 3]])
    np.testing.assert_array_equal(model.kneighbors()[1], [[2, 4], [3, 0], [0, 4], [1, 0], [0, 2]])
    np.testing.assert_array_equal(model.predict([X[0]]), [0])


@pytest.mark.parametrize("seed", range(20))
def test_smallest(seed):
    rng = np.random.default_rng(seed)
    block = rng.integers(0, 4, (6, 9)).astype(float)
    for k in range(1, 10):
        values, indices = _smallest(block, k)
        order = np.argsort(block, axis=1, kind="stable")[:, :k]
        np.testing.assert_array_equal(indices, order)
        np.testing.assert_array_equal(values, np.take_along_axis(block, order, axis=1))


def test_chunks_change_nothing():
    model = SoftDTWKNeighborsClassifier(3, cache=None).fit(X, LABELS)
    expected = model.kneighbors(QUERIES)
    with config_context(working_memory=12 * 8 * 2 / 2**20):
        for one, other in zip(model.kneighbors(QUERIES), expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "change", [{"gamma": 0.05}, {"metric": "dtw"}, {"cost": "manhattan"}, {"sakoe_chiba_radius": 1}]
)
def test_parameters_set_after_fit_count_in_full(change):
    """What fit kept of the old ones must not be taken off the values of the new ones."""
    model = SoftDTWKNeighborsClassifier(3, gamma=2.0, cache=None).fit(X, LABELS).set_params(**change)
    fresh = SoftDTWKNeighborsClassifier(3, gamma=2.0, cache=None).set_params(**change).fit(X, LABELS)
    np.testing.assert_array_equal(model.kneighbors(QUERIES)[0], fresh.kneighbors(QUERIES)[0])


def test_float32_and_float64_mix():
    single = [series.astype(np.float32) for series in X]
    model = SoftDTWKNeighborsClassifier(1).fit(single, LABELS)
    assert model.kneighbors(single)[0].dtype == np.float32
    distances, indices = model.kneighbors([series.astype(np.float64) for series in single])
    np.testing.assert_array_equal(distances, 0.0)
    np.testing.assert_array_equal(indices[:, 0], np.arange(12))


@pytest.mark.parametrize("cls", [SoftDTWKNeighborsClassifier, SoftDTWKNeighborsRegressor])
@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"n_neighbors": 0}, "'n_neighbors' parameter"),
        ({"weights": "inverse"}, "'weights' parameter"),
        ({"metric": "euclidean"}, "'metric' parameter"),
        ({"gamma": -0.1}, "'gamma' parameter"),
    ],
)
def test_bad_parameters(cls, params, text):
    with pytest.raises(ValueError, match=text):
        cls(**params).fit(cube(), targets(cube()))


def test_bad_calls():
    model = SoftDTWKNeighborsClassifier(3)
    with pytest.raises(NotFittedError):
        model.kneighbors(QUERIES)
    model.fit(X, LABELS)
    with pytest.raises(ValueError, match="at most the number of series to choose from, 12"):
        model.kneighbors(QUERIES, n_neighbors=13)
    with pytest.raises(TypeError, match="n_neighbors must be an int"):
        model.kneighbors(QUERIES, n_neighbors=2.0)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, LABELS[:-1])
    with pytest.raises(ValueError, match="Unknown label type"):
        model.fit(X, np.linspace(0, 1, 12))
    with pytest.raises(ValueError, match="requires y to be passed"):
        model.fit(X, None)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        SoftDTWKNeighborsRegressor().fit(X, np.full(12, np.nan))
    with pytest.raises(ValueError, match="y holds strings"):
        SoftDTWKNeighborsRegressor().fit(X, ["a"] * 12)
