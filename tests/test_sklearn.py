"""Every estimator against scikit-learn's checks and ours, and in the company of scikit-learn's own tools."""

from __future__ import annotations

import joblib
import numpy as np
import pytest
from checks_3d import configured, cube, parametrize_with_checks_3d, ragged, targets
from sklearn import clone, config_context
from sklearn.cluster import DBSCAN
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score, train_test_split
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.svm import SVC
from sklearn.utils import estimator_html_repr
from sklearn.utils.estimator_checks import parametrize_with_checks

import sktime_sdtw
from sktime_sdtw import (
    PairCache,
    SoftDTWDistance,
    SoftDTWKernel,
    SoftDTWKMeans,
    SoftDTWKNeighborsClassifier,
    TimeSeriesScaler,
    all_estimators,
)

ESTIMATORS = [configured(cls) for _, cls in all_estimators()]

pytestmark = [pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]


def test_all_estimators_are_known():
    assert [name for name, _ in all_estimators()] == sorted(
        name
        for name in sktime_sdtw.__all__
        if name.startswith(("GDTWAligner", "Signature", "SoftDTW", "TimeSeries"))
        or name.endswith("Transformer")
    )


def expected_failed_checks(estimator):
    return {}


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failed_checks)
def test_sklearn_checks(estimator, check):
    check(estimator)


@parametrize_with_checks_3d(ESTIMATORS)
def test_checks_3d(estimator, check):
    check(estimator)


# --- pipelines and searches, on series of more than one feature


def kernel_machine(**params):
    return make_pipeline(TimeSeriesScaler(), SoftDTWKernel(sigma=5.0, **params), SVC(kernel="precomputed"))


@pytest.mark.parametrize("X", [cube(16), ragged(16)], ids=["cube", "ragged"])
def test_search_in_worker_processes(X):
    grid = {"softdtwkernel__gamma": [0.1, 1.0], "svc__C": [1.0, 10.0]}
    alone = GridSearchCV(kernel_machine(), grid, cv=2, error_score="raise").fit(X, targets(X))
    workers = GridSearchCV(kernel_machine(), grid, cv=2, n_jobs=2, error_score="raise").fit(X, targets(X))
    np.testing.assert_allclose(
        workers.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"], rtol=0, atol=1e-12
    )
    np.testing.assert_array_equal(workers.predict(X), alone.predict(X))


def test_search_in_threads():
    X = cube(16)
    search = GridSearchCV(SoftDTWKNeighborsClassifier(n_neighbors=1), {"gamma": [0.1, 1.0]}, cv=2, n_jobs=2)
    with joblib.parallel_config(backend="threading"):
        search.fit(X, targets(X))
    assert search.best_score_ == 1.0


def test_ragged_series_are_split_and_scored():
    X, y = ragged(20), targets(range(20))
    train, test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    model = make_pipeline(TimeSeriesScaler(), SoftDTWKNeighborsClassifier(n_neighbors=1, gamma=0.1))
    assert model.fit(train, y_train).score(test, y_test) >= 0.8
    assert cross_val_score(model, X, y, cv=2).mean() >= 0.8
    assert cross_val_predict(model, X, y, cv=2, method="predict_proba").shape == (20, 2)


def test_folds_of_a_pipeline_equal_slices_of_one_gram_matrix():
    X, y = cube(12), targets(range(12))
    kernel = SoftDTWKernel(sigma=3.0, cache=None)
    folds = cross_val_predict(make_pipeline(kernel, SVC(kernel="precomputed")), X, y, cv=3)
    sliced = cross_val_predict(SVC(kernel="precomputed"), kernel.fit_transform(X), y, cv=3)
    np.testing.assert_array_equal(folds, sliced)


def test_distances_serve_precomputed_metrics():
    X = cube(12)
    distances = SoftDTWDistance().fit_transform(X)
    labels = DBSCAN(metric="precomputed", eps=4.0, min_samples=2).fit_predict(distances)
    assert len({*zip(labels.tolist(), targets(X).tolist(), strict=True)}) == 2


# --- output containers, displays, routing


def test_set_output_names_the_columns():
    pandas = pytest.importorskip("pandas")
    X = cube(4)
    transformers = [estimator for estimator in ESTIMATORS if hasattr(estimator, "set_output")]
    assert len(transformers) >= 8
    for transformer in map(clone, transformers):
        frame = transformer.set_output(transform="pandas").fit_transform(X)
        assert isinstance(frame, pandas.DataFrame)
        prefix = type(transformer).__name__.lower()
        if not prefix.endswith("transformer"):  # features of signatures have names: their words
            assert list(frame.columns) == [f"{prefix}{i}" for i in range(frame.shape[1])]
        assert list(frame.columns) == list(transformer.get_feature_names_out())
    union = FeatureUnion([("a", SoftDTWDistance()), ("b", SoftDTWKernel(sigma=1.0))])
    assert union.set_output(transform="pandas").fit_transform(X).shape == (4, 8)


def test_pandas_output_everywhere_leaves_series_alone():
    pandas = pytest.importorskip("pandas")
    with config_context(transform_output="pandas"):
        model = make_pipeline(TimeSeriesScaler(), SoftDTWDistance())
        assert isinstance(model.fit_transform(cube(4)), pandas.DataFrame)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_html_repr(estimator):
    fitted = estimator.fit(cube(), targets(cube()))
    with config_context(print_changed_only=False):
        html = estimator_html_repr(fitted)
    assert type(estimator).__name__ in html
    assert all(name in html for name in estimator.get_params())


def test_repr_of_a_cache_is_short():
    assert "cache=PairCache(gammas=[0.1, 1.0], max_bytes=" in repr(SoftDTWKernel(cache=PairCache([0.1, 1.0])))


def test_sample_weight_is_routed():
    X, weight = cube(8), np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    means = configured(SoftDTWKMeans)
    with config_context(enable_metadata_routing=True):
        routed = make_pipeline(TimeSeriesScaler(), means.set_fit_request(sample_weight=True))
        routed.fit(X, sample_weight=weight)
    direct = configured(SoftDTWKMeans).fit(TimeSeriesScaler().fit_transform(X), sample_weight=weight)
    np.testing.assert_allclose(routed[-1].cluster_centers_, direct.cluster_centers_)


@pytest.mark.parametrize("name", ["sigma", "huber_delta", "lag"])
def test_parameters_without_effect_may_stay_in_a_search(name):
    """Where a search tries several costs, say, the bandwidth of one of them stays set for all."""
    X = cube(4)
    for estimator in ESTIMATORS:
        if name not in estimator.get_params() or estimator.get_params()[name] not in (1, 1.0):
            continue
        first, other = clone(estimator), clone(estimator).set_params(**{name: 2})
        for model in (first, other):
            model.fit(X, targets(X))
        if hasattr(first, "transform"):
            np.testing.assert_array_equal(first.transform(X), other.transform(X))
        else:
            np.testing.assert_array_equal(first.kneighbors(X)[0], other.kneighbors(X)[0])
