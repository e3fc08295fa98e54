"""The cache of pairs: what it answers is what the engine would, and nothing is computed twice."""

from __future__ import annotations

import copy
import pickle
import threading
from collections import Counter

import joblib
import numpy as np
import pytest
from checks_3d import cube, ragged, targets
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from sktime_sdtw import (
    PairCache,
    SoftDTWDistance,
    SoftDTWKernel,
    SoftDTWKNeighborsClassifier,
    SoftDTWKNeighborsRegressor,
    SoftDTWNystroem,
    _engine,
    pairwise_soft_dtw,
    pairwise_soft_dtw_divergence,
)
from sktime_sdtw._measure import measure_of
from sktime_sdtw._series import SeriesBatch, check_series

GAMMAS = [0.01, 0.1, 1.0]


@pytest.fixture
def engine_pairs(monkeypatch):
    """How often each pair went through the engine at each gamma and cost; "passes" over pairs."""
    counts: Counter = Counter()
    forward = _engine.forward

    def counting(x, y, pairing, cost, band, gammas, *args, **kwargs):
        x_keys = [series.tobytes() for series in x.to_list()]
        y_keys = x_keys if y is None else [series.tobytes() for series in y.to_list()]
        if pairing == "full":
            pairs = [(a, b) for a in x_keys for b in y_keys]
        elif pairing == "upper":
            pairs = [(a, b) for i, a in enumerate(x_keys) for b in x_keys[i:]]
        else:
            pairs = list(zip(x_keys, y_keys, strict=True))
        counts.update((*sorted(pair), gamma, cost) for pair in pairs for gamma in gammas.tolist())
        counts["passes"] += len(pairs)
        return forward(x, y, pairing, cost, band, gammas, *args, **kwargs)

    monkeypatch.setattr(_engine, "forward", counting)
    return counts


def most_often(counts):
    return max(count for pair, count in counts.items() if pair != "passes")


SEARCHES = {
    "neighbors": (SoftDTWKNeighborsClassifier(n_neighbors=1), "gamma"),
    "neighbors, soft_dtw": (SoftDTWKNeighborsClassifier(n_neighbors=1, metric="soft_dtw"), "gamma"),
    "regression": (SoftDTWKNeighborsRegressor(n_neighbors=2, weights="distance"), "gamma"),
    "kernel": (make_pipeline(SoftDTWKernel(), SVC(kernel="precomputed")), "softdtwkernel__gamma"),
    "distance": (make_pipeline(SoftDTWDistance(), SVC()), "softdtwdistance__gamma"),
    "landmarks": (
        make_pipeline(SoftDTWNystroem(n_components=6, landmarks="k-means++", random_state=0), SVC()),
        "softdtwnystroem__gamma",
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("knows_gammas", [False, True])
def test_a_search_computes_each_pair_once(name, knows_gammas, engine_pairs):
    estimator, gamma = SEARCHES[name]
    X, y = cube(15, 5), targets(range(15))
    cache = PairCache(GAMMAS if knows_gammas else None)
    model = clone(estimator).set_params(**{gamma.replace("gamma", "cache"): cache})
    grid = {gamma: GAMMAS}
    search = GridSearchCV(model, grid, cv=KFold(5), return_train_score=True, error_score="raise").fit(X, y)
    assert most_often(engine_pairs) == 1
    # One pass over the local costs serves all gammas.
    n_pairs = 15 * 16 // 2
    assert engine_pairs["passes"] <= (1 if knows_gammas else len(GAMMAS)) * n_pairs
    assert cache.info().computed == engine_pairs["passes"]

    uncached = clone(estimator).set_params(**{gamma.replace("gamma", "cache"): None})
    plain = GridSearchCV(uncached, grid, cv=KFold(5), return_train_score=True, error_score="raise").fit(X, y)
    for key in ("mean_test_score", "mean_train_score"):
        np.testing.assert_allclose(search.cv_results_[key], plain.cv_results_[key])
    assert most_often(engine_pairs) > 2


def test_the_default_cache_serves_a_search(engine_pairs):
    X = cube(10, 5, seed=np.random.SeedSequence().entropy)  # series that no other test has put there
    GridSearchCV(SoftDTWKNeighborsClassifier(n_neighbors=1), {"gamma": GAMMAS}, cv=5).fit(X, targets(X))
    assert most_often(engine_pairs) == 1


def test_bandwidths_share_their_pairs(engine_pairs):
    X = cube(8, 5)
    model = make_pipeline(SoftDTWKernel(cache=PairCache()), SVC(kernel="precomputed"))
    GridSearchCV(model, {"softdtwkernel__sigma": [0.1, 1.0, 10.0, "median"]}, cv=2).fit(X, targets(X))
    assert most_often(engine_pairs) == 1


def batch_values(cache, x, y, metric="divergence", gamma=0.5, **params):
    measure = measure_of(SoftDTWDistance(metric=metric, gamma=gamma, cache=cache, **params))
    return measure.matrix(check_series(x), None if y is None else check_series(y))


@settings(max_examples=60, deadline=None)
@given(
    calls=st.lists(
        st.tuples(
            st.lists(st.integers(0, 7), min_size=1, max_size=6),
            st.none() | st.lists(st.integers(0, 7), min_size=1, max_size=6),
            st.sampled_from(["soft_dtw", "divergence", "dtw"]),
            st.sampled_from([0.1, 1.0]),
        ),
        min_size=1,
        max_size=5,
    ),
    max_bytes=st.sampled_from([0, 64, 500, 1200, 10**6]),
    gammas=st.sampled_from([None, [0.1, 1.0], [0.0, 0.1, 1.0]]),
)
def test_any_sequence_of_calls(calls, max_bytes, gammas):
    """Overlapping, repeated and swapped series; any limit: the values are those of the operator."""
    series = [values[:4] for values in ragged(8, 1)]
    functions = {"divergence": pairwise_soft_dtw_divergence}
    cache = PairCache(gammas, max_bytes=max_bytes)
    for rows, cols, metric, gamma in calls:
        x = [series[i] for i in rows]
        y = None if cols is None else [series[j] for j in cols]
        expected = functions.get(metric, pairwise_soft_dtw)(x, y, gamma=0.0 if metric == "dtw" else gamma)
        np.testing.assert_allclose(batch_values(cache, x, y, metric, gamma), expected, rtol=1e-12, atol=1e-12)
        assert cache.info().n_bytes <= max_bytes


def test_a_block_that_is_known_in_part_computes_the_rest(engine_pairs):
    series, cache = ragged(9), PairCache()
    batch_values(cache, series[:4], series[3:6], "soft_dtw")
    batch_values(cache, series[2:7], None, "soft_dtw")
    batch_values(cache, series[::-1], series, "soft_dtw")
    assert most_often(engine_pairs) == 1
    assert engine_pairs["passes"] == 45 == cache.info().computed
    assert cache.info().found > 0


def test_repeated_series_are_one_series(engine_pairs):
    series = [ragged(2)[0]] * 5
    assert batch_values(PairCache(), series, None, "soft_dtw").shape == (5, 5)
    assert engine_pairs["passes"] == 1


def test_equal_series_are_at_distance_zero_whatever_is_known():
    series = ragged(5)
    cache = PairCache()
    batch_values(cache, series[:3], series[2:])
    np.testing.assert_array_equal(np.diag(batch_values(cache, series, series)), 0.0)
    np.testing.assert_array_equal(np.diag(batch_values(cache, series, None)), 0.0)


@pytest.mark.parametrize(
    "params",
    [
        {"cost": "manhattan"},
        {"cost": "gak", "sigma": 2.0},
        {"cost": "gak", "sigma": 3.0},
        {"sakoe_chiba_radius": 1},
        {"sakoe_chiba_radius": 0.5},
        {"itakura_max_slope": 3.0},
    ],
    ids=str,
)
def test_problems_do_not_mix(params):
    X, cache = cube(4), PairCache()
    first = batch_values(cache, X, None, "soft_dtw")
    other = batch_values(cache, X, None, "soft_dtw", **params)
    np.testing.assert_array_equal(other, pairwise_soft_dtw(X, gamma=0.5, **params))
    assert not np.allclose(first, other)


def test_dtypes_do_not_mix():
    X, cache = cube(4), PairCache()
    single = batch_values(cache, X.astype(np.float32), None)
    double = batch_values(cache, X, None)
    mixed = batch_values(cache, X.astype(np.float32), X)
    assert (single.dtype, double.dtype, mixed.dtype) == (np.float32, np.float64, np.float64)
    np.testing.assert_array_equal(double, pairwise_soft_dtw_divergence(X, gamma=0.5))


def test_one_series_of_two_features_is_not_two_of_one():
    values, cache = np.arange(6.0), PairCache()
    for t, d in ((6, 1), (3, 2), (2, 3)):
        batch = SeriesBatch(values.reshape(t, d), np.array([0, t]))
        measure = measure_of(SoftDTWDistance(metric="soft_dtw", cache=cache))
        assert measure.matrix(batch) == pairwise_soft_dtw(batch)


def test_functions_are_not_cached():
    calls = []

    def cost(x, y):
        calls.append(1)
        return np.abs(x - y.T) + len(calls)

    cache = PairCache()
    model = SoftDTWDistance(metric="dtw", cost=cost, cache=cache).fit(cube(3, d=1))
    assert not np.allclose(model.transform(cube(3, d=1)), model.transform(cube(3, d=1)))
    assert cache.info().computed == 0


# --- the limit


def test_the_oldest_series_leave():
    """A stream of new series: what is asked for again and again stays known, and the limit holds."""
    cache = PairCache(max_bytes=30**2 * 8)
    fitted = ragged(10)
    model = SoftDTWDistance(metric="soft_dtw", cache=cache).fit(fitted)
    rng = np.random.default_rng(0)
    for _ in range(40):
        query = [rng.standard_normal((4, 2))]
        np.testing.assert_allclose(model.transform(query), pairwise_soft_dtw(query, fitted))
        assert cache.info().n_bytes <= 30**2 * 8
    before = cache.info().computed
    model.transform(query)
    assert cache.info().computed == before
    assert 10 < cache.info().n_series <= 30


def test_the_oldest_gammas_leave():
    X = cube(8)
    cache = PairCache(max_bytes=2 * 8**2 * 8)
    for gamma in (0.1, 0.2, 0.3):
        batch_values(cache, X, None, gamma=gamma)
    before = cache.info().computed
    batch_values(cache, X, None, gamma=0.3)
    batch_values(cache, X, None, gamma=0.2)
    assert cache.info().computed == before
    batch_values(cache, X, None, gamma=0.1)
    assert cache.info().computed > before


def test_what_is_too_large_is_computed_and_not_kept():
    cache = PairCache(max_bytes=100)
    expected = pairwise_soft_dtw_divergence(cube(), gamma=0.5)
    np.testing.assert_array_equal(batch_values(cache, cube(), None), expected)
    assert cache.info() == (0, 45, 0, 0)


def test_clear():
    cache = PairCache()
    batch_values(cache, cube(), None)
    assert cache.info().n_bytes == 9 * 9 * 8
    cache.clear()
    assert cache.info() == (0, 0, 0, 0)


@pytest.mark.parametrize("gammas", [[-1.0], [np.nan], [np.inf], "a"])
def test_bad_gammas(gammas):
    with pytest.raises(ValueError, match="gammas must be finite numbers >= 0"):
        PairCache(gammas)


@pytest.mark.parametrize("max_bytes", [-1, 1.5, None, True])
def test_bad_max_bytes(max_bytes):
    with pytest.raises(ValueError, match="max_bytes must be an int >= 0"):
        PairCache(max_bytes=max_bytes)


# --- copies, pickles, threads, processes


def test_clones_and_copies_share_the_cache():
    cache = PairCache()
    model = SoftDTWDistance(cache=cache)
    assert clone(model).cache is cache
    assert copy.deepcopy(model).cache is cache
    assert copy.copy(cache) is cache


def test_a_pickle_is_small_and_finds_its_cache_again():
    cache = PairCache(GAMMAS)
    batch_values(cache, cube(40, 3), None, gamma=0.1)
    dump = pickle.dumps(cache)
    assert len(dump) < 1000
    assert pickle.loads(dump) is cache


def test_a_pickle_outlives_its_cache():
    cache = PairCache(GAMMAS, max_bytes=12345)
    dump = pickle.dumps(cache)
    del cache
    restored = pickle.loads(dump)
    assert (restored.gammas.tolist(), restored.max_bytes) == (GAMMAS, 12345)
    assert pickle.loads(dump) is restored


def test_tasks_of_a_worker_process_share_one_cache():
    def computed_in_worker(model, X):  # local: workers cannot import this module
        model.transform(X)
        return model.cache.info().computed

    model = SoftDTWDistance(metric="soft_dtw", cache=PairCache()).fit(cube(4))
    counts = joblib.Parallel(n_jobs=2)(joblib.delayed(computed_in_worker)(model, cube(4)) for _ in range(6))
    assert set(counts) == {10}
    assert model.cache.info().computed == 0


def test_threads():
    series, cache = ragged(12), PairCache(max_bytes=8**2 * 8 * 2)
    expected = pairwise_soft_dtw_divergence(series, gamma=0.5)
    failures = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(20):
            rows, cols = rng.integers(0, 12, 4), rng.integers(0, 12, 3)
            found = batch_values(cache, [series[i] for i in rows], [series[j] for j in cols])
            if not np.allclose(found, expected[np.ix_(rows, cols)], rtol=1e-12, atol=1e-12):
                failures.append((rows, cols))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_scores_do_not_depend_on_the_cache():
    X, y = ragged(12), targets(range(12))
    scores = [
        cross_val_score(SoftDTWKNeighborsClassifier(cache=cache, n_neighbors=3), X, y, cv=3).tolist()
        for cache in ("auto", None, PairCache(), PairCache(max_bytes=300))
    ]
    assert all(score == scores[0] for score in scores)
