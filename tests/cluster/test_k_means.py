"""`SoftDTWKMeans`."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import sktime_sdtw as sdtw
from sktime_sdtw import SoftDTWKMeans

LENGTH = 20


def planted(n=24, lengths=(LENGTH,), n_features=1, dtype=np.float64, seed=0):
    """Three shapes at shifted times, and which is which."""
    rng = np.random.default_rng(seed)
    X, y = [], np.arange(n) % 3
    for i in range(n):
        length = lengths[i % len(lengths)]
        time = np.linspace(0, 1, length) + rng.uniform(-0.1, 0.1)
        bump = np.exp(-0.5 * ((time - 0.5) / 0.08) ** 2)
        shape = [3 * bump, -3 * bump, 2.0 * (time > 0.5)][y[i]]
        X.append(shape[:, None] * np.linspace(1, 2, n_features) + 0.1 * rng.normal(size=(length, n_features)))
    if len(lengths) > 1:
        return [x.astype(dtype) for x in X], y
    return np.stack(X).astype(dtype), y


def containers():
    X, _ = planted()
    ragged, _ = planted(lengths=(LENGTH, 15, 18))
    padded = np.full((24, LENGTH, 1), np.nan)
    for row, x in zip(padded, ragged, strict=True):
        row[: len(x)] = x
    return {
        "2-D": X[:, :, 0],
        "3-D": X,
        "two features": planted(n_features=2)[0],
        "list": ragged,
        "list of 1-D": [x[:, 0] for x in ragged],
        "padded": padded,
    }


CENTERS = {
    "2-D": (3, LENGTH),
    "3-D": (3, LENGTH, 1),
    "two features": (3, LENGTH, 2),
    "list": (3, 18, 1),
    "list of 1-D": (3, 18),
    "padded": (3, 18, 1),
}


@parametrize_with_checks(
    [
        SoftDTWKMeans(n_clusters=3, metric="soft_dtw", gamma=0.1),
        SoftDTWKMeans(n_clusters=3, init="random", n_init=2, max_iter=5),
    ]
)
def test_sklearn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("metric", ["divergence", "soft_dtw"])
@pytest.mark.parametrize("name", list(CENTERS))
def test_planted_clusters_are_found(name, metric):
    X, y = containers()[name], np.arange(24) % 3
    model = SoftDTWKMeans(3, gamma=0.1, metric=metric, random_state=0).fit(X)
    assert adjusted_rand_score(y, model.labels_) == 1.0
    assert model.cluster_centers_.shape == CENTERS[name]
    assert model.labels_.dtype == np.int32
    assert 1 <= model.n_iter_ <= model.max_iter


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gamma", [0.0, 0.01, 1.0])
def test_planted_clusters_are_found_for_any_seed_and_gamma(seed, gamma):
    X, y = planted()
    model = SoftDTWKMeans(3, gamma=gamma, random_state=seed).fit(X)
    assert adjusted_rand_score(y, model.labels_) == 1.0


@pytest.mark.parametrize("metric", ["divergence", "soft_dtw"])
@pytest.mark.parametrize("name", list(CENTERS))
def test_attributes_fit_together(name, metric):
    X = containers()[name]
    model = SoftDTWKMeans(3, gamma=0.1, metric=metric, random_state=0, max_iter=2).fit(X)
    distances = model.transform(X)
    function = sdtw.pairwise_soft_dtw if metric == "soft_dtw" else sdtw.pairwise_soft_dtw_divergence
    np.testing.assert_allclose(
        distances, function(X, model.cluster_centers_, gamma=0.1), rtol=1e-9, atol=1e-9
    )
    assert distances.shape == (24, 3)
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    np.testing.assert_array_equal(distances.argmin(axis=1), model.labels_)
    assert model.inertia_ == pytest.approx(distances.min(axis=1).sum(), rel=1e-12)
    assert model.score(X) == pytest.approx(-model.inertia_, rel=1e-12)


def test_centres_are_barycenters_of_their_clusters():
    X, _ = planted()
    model = SoftDTWKMeans(3, gamma=0.1, metric="soft_dtw", random_state=0, tol=1e-9).fit(X)
    for cluster in range(3):
        members = X[model.labels_ == cluster]
        centres = np.repeat(model.cluster_centers_[[cluster]], len(members), axis=0)
        slope = sdtw.paired_soft_dtw_gradient(centres, members, gamma=0.1).x
        assert np.abs(np.sum(slope, axis=0)).max() < 0.05


def test_inertia_falls_over_the_iterations():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 12)).cumsum(axis=1)
    for metric in ("divergence", "soft_dtw"):
        inertias = [
            SoftDTWKMeans(5, gamma=0.5, metric=metric, max_iter=i, random_state=0).fit(X).inertia_
            for i in range(1, 8)
        ]
        assert np.all(np.diff(inertias) <= 1e-9 * np.abs(inertias[:-1]))


def test_random_state():
    X = np.random.default_rng(0).normal(size=(30, 10)).cumsum(axis=1)
    one, same, other = (SoftDTWKMeans(6, random_state=seed, max_iter=3).fit(X) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.cluster_centers_, same.cluster_centers_)
    assert not np.array_equal(one.cluster_centers_, other.cluster_centers_)


def test_more_runs_are_no_worse():
    X = np.random.default_rng(0).normal(size=(30, 10)).cumsum(axis=1)
    one, more = (SoftDTWKMeans(6, init="random", random_state=0, n_init=n).fit(X) for n in (1, 4))
    assert more.inertia_ <= one.inertia_


def test_order_of_the_series_is_no_matter():
    X, _ = planted()
    order = np.random.default_rng(1).permutation(len(X))
    one, other = (SoftDTWKMeans(3, random_state=0).fit(series) for series in (X, X[order]))
    np.testing.assert_array_equal(one.cluster_centers_, other.cluster_centers_)
    np.testing.assert_array_equal(one.labels_[order], other.labels_)


@pytest.mark.parametrize("init", ["k-means++", "random"])
@pytest.mark.parametrize("metric", ["divergence", "soft_dtw"])
def test_weight_is_repetition(metric, init):
    rng = np.random.default_rng(0)
    X, weights = rng.normal(size=(15, 8)).cumsum(axis=1), rng.integers(0, 4, size=15)
    params = {"n_clusters": 3, "metric": metric, "init": init, "n_init": 2, "random_state": 0}
    weighted = SoftDTWKMeans(**params).fit(X, sample_weight=weights)
    repeated = SoftDTWKMeans(**params).fit(rng.permutation(np.repeat(X, weights, axis=0)))
    np.testing.assert_array_equal(weighted.cluster_centers_, repeated.cluster_centers_)
    assert weighted.inertia_ == pytest.approx(repeated.inertia_, rel=1e-12)
    assert weighted.score(X, sample_weight=weights) == pytest.approx(-weighted.inertia_, rel=1e-12)


def test_series_of_weight_zero_are_labelled_but_have_no_say():
    X, _ = planted()
    X[0] += 100.0
    weights = np.ones(24)
    weights[0] = 0.0
    model = SoftDTWKMeans(3, random_state=0).fit(X, sample_weight=weights)
    assert model.labels_.shape == (24,)
    assert np.abs(model.cluster_centers_).max() < 10


def test_threads_change_nothing():
    X, _ = planted()
    one, two = (SoftDTWKMeans(3, random_state=0, n_jobs=n).fit(X) for n in (1, 2))
    np.testing.assert_array_equal(one.cluster_centers_, two.cluster_centers_)


def test_float32():
    X, y = planted(dtype=np.float32)
    model = SoftDTWKMeans(3, gamma=0.1, random_state=0).fit(X)
    assert model.cluster_centers_.dtype == np.float32
    assert model.transform(X).dtype == np.float32
    assert adjusted_rand_score(y, model.labels_) == 1.0
    np.testing.assert_array_equal(model.predict(X), model.labels_)


@pytest.mark.parametrize("params", [{"cost": "gak", "sigma": 1.0, "gamma": 1.0}, {"cost": "euclidean"}])
@pytest.mark.parametrize("band", [{}, {"sakoe_chiba_radius": 5}, {"itakura_max_slope": 2.0}], ids=str)
def test_costs_and_constraints(params, band):
    X, y = planted()
    model = SoftDTWKMeans(3, random_state=0, **{"gamma": 0.1, **params, **band}).fit(X)
    assert adjusted_rand_score(y, model.labels_) == 1.0


def test_length_of_the_centres():
    X, y = planted()
    model = SoftDTWKMeans(3, gamma=0.1, length=11, random_state=0).fit(X)
    assert model.cluster_centers_.shape == (3, 11, 1)
    assert adjusted_rand_score(y, model.labels_) == 1.0


def test_predict_on_other_lengths():
    X, _ = planted()
    model = SoftDTWKMeans(3, gamma=0.1, random_state=0).fit(X)
    others, truth = planted(lengths=(14, 25), seed=1)
    assert adjusted_rand_score(truth, model.predict(others)) == 1.0
    with pytest.raises(ValueError, match="X has 2 features per time step"):
        model.predict(np.zeros((2, LENGTH, 2)))
    table = SoftDTWKMeans(3, gamma=0.1, random_state=0).fit(X[:, :, 0])
    assert adjusted_rand_score(truth, table.predict(others)) == 1.0
    with pytest.raises(ValueError, match="is expecting 20 features as input"):
        table.predict(X[:, :-1, 0])


def test_given_centres():
    X, y = planted()
    model = SoftDTWKMeans(3, gamma=0.1, init=X[:3]).fit(X)
    assert adjusted_rand_score(y, model.labels_) == 1.0
    np.testing.assert_array_equal(model.labels_[:3], [0, 1, 2])
    ragged = [X[0][:15], X[1][:18], X[2]]
    assert SoftDTWKMeans(3, init=ragged, length=9).fit(X).cluster_centers_.shape == (3, 9, 1)
    with pytest.raises(ValueError, match="different lengths"):
        SoftDTWKMeans(3, init=ragged).fit(X)
    with pytest.raises(ValueError, match="init must be n_clusters=4 series"):
        SoftDTWKMeans(4, init=X[:3]).fit(X)


def test_empty_cluster_starts_again():
    X, y = planted()
    far = np.full((1, LENGTH, 1), 1e3)
    model = SoftDTWKMeans(3, gamma=0.1, init=np.concatenate([X[:2], far])).fit(X)
    assert adjusted_rand_score(y, model.labels_) == 1.0
    all_far = SoftDTWKMeans(3, gamma=0.1, init=np.concatenate([X[:1], far, 2 * far])).fit(X)
    assert set(all_far.labels_) == {0, 1, 2}


def test_one_cluster_is_the_barycenter():
    X, _ = planted()
    model = SoftDTWKMeans(1, gamma=0.1, metric="soft_dtw", random_state=0, tol=1e-8).fit(X)
    _, history = sdtw.soft_dtw_barycenter(
        X, gamma=0.1, init=model.cluster_centers_[0], return_history=True, tol=1e-8
    )
    assert model.inertia_ == pytest.approx(history[0], rel=1e-9)
    assert history[0] - history[-1] < 1e-3 * abs(history[0])


def test_as_many_clusters_as_series():
    X, _ = planted(6)
    model = SoftDTWKMeans(6, gamma=0.1, random_state=0).fit(X)
    assert sorted(model.labels_) == list(range(6))
    assert abs(model.inertia_) < 1e-2


def test_fewer_different_series_than_clusters():
    X = np.repeat(np.arange(8.0).reshape(2, 4), 3, axis=0)
    with pytest.warns(ConvergenceWarning, match="2 different series"):
        model = SoftDTWKMeans(4, random_state=0).fit(X)
    assert model.cluster_centers_.shape == (4, 4)
    assert len(set(model.labels_)) == 2
    assert adjusted_rand_score([0, 0, 0, 1, 1, 1], model.labels_) == 1.0


def test_pickle_clone_and_pipeline():
    X, _ = planted()
    model = SoftDTWKMeans(3, random_state=0).fit(X)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert not hasattr(clone(model), "labels_")
    assert all(not type(value).__module__.startswith("sktime_sdtw") for value in vars(model).values())
    pipeline = make_pipeline(sdtw.TimeSeriesScaler(), SoftDTWKMeans(3, random_state=0))
    assert pipeline.fit_predict(X).shape == (24,)
    assert list(model.get_feature_names_out()) == ["softdtwkmeans0", "softdtwkmeans1", "softdtwkmeans2"]


def test_grid_search():
    X, y = planted()
    search = GridSearchCV(
        SoftDTWKMeans(3, random_state=0),
        {"gamma": [0.05, 0.5]},
        scoring="adjusted_rand_score",
        cv=2,
        n_jobs=2,
    )
    search.fit(X, y)
    assert search.best_score_ == 1.0


def test_verbose(capsys):
    X, _ = planted()
    SoftDTWKMeans(3, random_state=0).fit(X)
    assert capsys.readouterr().out == ""
    SoftDTWKMeans(3, random_state=0, n_init=2, verbose=1).fit(X)
    assert capsys.readouterr().out.count("\n") == 2
    model = SoftDTWKMeans(3, random_state=0, verbose=2).fit(X)
    assert capsys.readouterr().out.count("iteration") == model.n_iter_


def test_given_centres_start_one_run(capsys):
    X = np.random.default_rng(0).normal(size=(6, 5))
    SoftDTWKMeans(2, init=X[:2], n_init=7, max_iter=2, verbose=1).fit(X)
    assert capsys.readouterr().out.count("run") == 1


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"n_clusters": 0}, "'n_clusters'"),
        ({"n_clusters": 25}, "n_samples=24 should be >= n_clusters=25"),
        ({"gamma": -1.0}, "'gamma'"),
        ({"metric": "dtw"}, "'metric'"),
        ({"init": "kmeans++"}, "'init'"),
        ({"n_init": 0}, "'n_init'"),
        ({"length": 0}, "'length'"),
        ({"max_iter": 0}, "'max_iter'"),
        ({"max_iter_barycenter": 0}, "'max_iter_barycenter'"),
        ({"tol": -1.0}, "'tol'"),
        ({"cost": "precomputed"}, "'cost'"),
        ({"cost": lambda x, y: 0}, "'cost'"),
        ({"sakoe_chiba_radius": 1.5}, "'sakoe_chiba_radius'"),
        ({"device": "tpu"}, "device"),
        ({"n_jobs": 0}, "n_jobs"),
    ],
    ids=str,
)
def test_errors(params, match):
    with pytest.raises(ValueError, match=match):
        SoftDTWKMeans(**{"n_clusters": 3, **params}).fit(planted()[0])


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (np.zeros(24), "> 0"),
        (-np.ones(24), ">= 0"),
        (np.ones(5), "sample_weight must be 24"),
        (np.ones((24, 1)), "shape"),
    ],
)
def test_bad_weights(weights, match):
    with pytest.raises(ValueError, match=match):
        SoftDTWKMeans(3).fit(planted()[0], sample_weight=weights)
