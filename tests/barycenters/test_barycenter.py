"""`soft_dtw_barycenter` and `SoftDTWBarycenter`: what users see."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import sktime_sdtw as sdtw
from sktime_sdtw import SoftDTWBarycenter, soft_dtw_barycenter


def bumps(n=8, length=16, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(length)
    return np.exp(-0.5 * ((time - rng.uniform(5, 11, size=(n, 1))) / 1.5) ** 2).astype(dtype)


RAGGED = [bumps(length=length)[0] for length in (12, 16, 14)]


def total(X, centre, gamma, weights=None, objective="soft_dtw"):
    function = {"soft_dtw": sdtw.pairwise_soft_dtw, "divergence": sdtw.pairwise_soft_dtw_divergence}[
        objective
    ]
    values = function(X, [centre], gamma=gamma)[:, 0]
    return float(values.sum() if weights is None else np.asarray(weights) @ values)


@pytest.mark.parametrize("objective", ["soft_dtw", "divergence"])
@pytest.mark.parametrize("gamma", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("X", [bumps(), bumps()[:, :, None], RAGGED], ids=["2-D", "3-D", "ragged"])
def test_history_falls_and_ends_at_the_loss(X, gamma, objective):
    centre, history = soft_dtw_barycenter(X, gamma=gamma, objective=objective, return_history=True)
    assert np.all(np.diff(history) <= 0)
    assert history[-1] < history[0]
    assert history[-1] == pytest.approx(total(X, centre, gamma, objective=objective), rel=1e-10, abs=1e-10)
    assert centre.shape == {2: (16,), 3: (16, 1)}.get(np.ndim(X) if not isinstance(X, list) else 0, (14,))


@pytest.mark.parametrize("gamma", [0.0, 0.01, 1.0, 30.0])
def test_divergence_barycenter_of_equal_series_is_the_series(gamma):
    X = np.tile(bumps()[0], (4, 1))
    centre, history = soft_dtw_barycenter(X, gamma=gamma, objective="divergence", return_history=True)
    np.testing.assert_allclose(centre, X[0], atol=1e-6)
    np.testing.assert_allclose(history, 0.0, atol=1e-10)


@pytest.mark.parametrize("params", [{"gamma": 0.01}, {"gamma": 1.0, "cost": "gak", "sigma": 0.3}], ids=str)
def test_divergence_barycenter_comes_back_to_the_series(params):
    x = bumps()[0]
    start = x + 0.05 * np.random.default_rng(1).normal(size=x.shape)
    centre, history = soft_dtw_barycenter(
        np.tile(x, (4, 1)), objective="divergence", init=start, tol=1e-10, return_history=True, **params
    )
    assert -1e-9 < history[-1] < 1e-3 * history[0]
    np.testing.assert_allclose(centre, x, atol=0.02)


def test_divergence_of_squared_distances_can_be_negative():
    # So no test, and no seed of k-means, may take its sign for granted. 50 digits agree: -0.0229148...
    x = [0.17, 0.02, 0.12, -1.17, -2.29, -1.69, -2.17, -1.85]
    y = [0.21, -0.14, 0.42, -0.68, -1.96, -1.9, -2.07, -1.87]
    assert sdtw.soft_dtw_divergence(x, y, gamma=1.0) == pytest.approx(-0.0229148, abs=1e-6)


def test_soft_dtw_barycenter_of_equal_series_is_smoother():
    X = np.tile(bumps()[0], (4, 1))
    centre = soft_dtw_barycenter(X, gamma=1.0)
    assert np.ptp(centre) < 0.8 * np.ptp(X)


def test_gradient_vanishes():
    X = bumps()
    centre = soft_dtw_barycenter(X, gamma=1.0, tol=0.0, max_iter=500)
    result = sdtw.paired_soft_dtw_gradient(np.tile(centre, (8, 1)), X, gamma=1.0)
    assert np.abs(np.sum(result.x, axis=0)).max() < 1e-5


@pytest.mark.parametrize("objective", ["soft_dtw", "divergence"])
def test_weights_are_repetitions(objective):
    X = bumps(5)
    weights = [2, 0, 1, 3, 1]
    weighted = soft_dtw_barycenter(X, gamma=0.1, weights=weights, objective=objective)
    repeated = soft_dtw_barycenter(np.repeat(X, weights, axis=0), gamma=0.1, objective=objective)
    np.testing.assert_allclose(weighted, repeated, atol=1e-6)


def test_series_of_weight_zero_have_no_say():
    X = bumps(5)
    X[1] = 1e6
    centre = soft_dtw_barycenter(X, weights=[1, 0, 1, 1, 1])
    np.testing.assert_allclose(centre, soft_dtw_barycenter(X[[0, 2, 3, 4]]), atol=1e-8)


@pytest.mark.parametrize("length", [1, 5, 40])
@pytest.mark.parametrize("X", [bumps(), RAGGED], ids=["equal", "ragged"])
def test_length(X, length):
    centre = soft_dtw_barycenter(X, gamma=0.1, length=length)
    assert centre.shape == (length,)
    assert np.isfinite(centre).all()


def test_medoid_start():
    X = bumps()
    start = soft_dtw_barycenter(X, gamma=0.1, init="medoid", max_iter=0)
    D = sdtw.pairwise_soft_dtw_divergence(X, gamma=0.1)
    np.testing.assert_array_equal(start, X[np.argmin(D.sum(axis=0))])
    assert soft_dtw_barycenter(RAGGED, init="medoid").shape[0] in (12, 14, 16)
    assert soft_dtw_barycenter(RAGGED, init="medoid", length=9).shape == (9,)


def test_start_is_kept_without_iterations():
    X = bumps()
    start = np.linspace(0, 1, 11)
    centre, history = soft_dtw_barycenter(X, init=start, max_iter=0, return_history=True)
    np.testing.assert_array_equal(centre, start)
    assert history.shape == (1,)
    np.testing.assert_allclose(soft_dtw_barycenter(X, max_iter=0), X.mean(axis=0))


def test_float32():
    X = bumps(dtype=np.float32)
    centre, history = soft_dtw_barycenter(X, gamma=0.1, return_history=True)
    assert centre.dtype == np.float32
    assert np.all(np.diff(history) <= 0)
    np.testing.assert_allclose(centre, soft_dtw_barycenter(X.astype(np.float64), gamma=0.1), atol=2e-3)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_scale_of_the_data_is_no_matter(scale):
    X = bumps()
    centre = soft_dtw_barycenter(X, gamma=0.1)
    scaled = soft_dtw_barycenter(scale * X, gamma=0.1 * scale**2)
    np.testing.assert_allclose(scaled, scale * centre, atol=1e-5 * scale)


@pytest.mark.parametrize(
    "params", [{"cost": "gak", "sigma": 0.5}, {"cost": "manhattan"}, {"sakoe_chiba_radius": 3}]
)
def test_costs_and_constraints_reach_the_objective(params):
    X = bumps()
    centre, history = soft_dtw_barycenter(X, gamma=0.1, return_history=True, **params)
    values = sdtw.pairwise_soft_dtw(X, [centre], gamma=0.1, **params)
    assert history[-1] == pytest.approx(float(values.sum()), rel=1e-10)
    assert history[-1] < history[0]


def test_threads_change_nothing():
    X = bumps(20)
    np.testing.assert_array_equal(soft_dtw_barycenter(X, n_jobs=2), soft_dtw_barycenter(X, n_jobs=1))


def test_input_is_left_alone():
    X, start = bumps(), np.ones(16)
    before = X.copy()
    X.flags.writeable = start.flags.writeable = False
    soft_dtw_barycenter(X, init=start)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize(
    ("params", "error", "match"),
    [
        ({"gamma": -1.0}, ValueError, "gamma"),
        ({"gamma": np.nan}, ValueError, "gamma"),
        ({"weights": [1.0, 2.0]}, ValueError, "weights must be 8"),
        ({"weights": np.zeros(8)}, ValueError, "one of them > 0"),
        ({"weights": -np.ones(8)}, ValueError, "weights must be 8 finite"),
        ({"weights": np.full(8, np.nan)}, ValueError, "weights must be 8 finite"),
        ({"weights": ["a"] * 8}, TypeError, "weights must be 8 finite"),
        ({"init": "mean"}, ValueError, "init must be None"),
        ({"init": np.ones((5, 2))}, ValueError, "init has 2 features"),
        ({"init": np.ones(5), "length": 6}, ValueError, "init has 5 time steps, but length=6"),
        ({"init": [np.nan, 1.0]}, ValueError, "init"),
        ({"length": 0}, ValueError, "length"),
        ({"length": 2.5}, TypeError, "length"),
        ({"objective": "dba"}, ValueError, "objective must be"),
        ({"cost": "cubic"}, ValueError, "cost"),
        ({"cost": "precomputed"}, ValueError, "cost"),
        ({"cost": lambda x, y: 0}, ValueError, "cost must be the name"),
        ({"max_iter": -1}, ValueError, "max_iter"),
        ({"tol": -1e-3}, ValueError, "tol"),
        ({"tol": "small"}, TypeError, "tol"),
        ({"sakoe_chiba_radius": -1}, ValueError, "sakoe_chiba_radius"),
        ({"sakoe_chiba_radius": 2, "itakura_max_slope": 2.0}, ValueError, "exclude each other"),
        ({"device": "cuda:99"}, RuntimeError, "device"),
        ({"n_jobs": 0}, ValueError, "n_jobs"),
    ],
    ids=str,
)
def test_errors(params, error, match):
    with pytest.raises(error, match=match):
        soft_dtw_barycenter(bumps(), **params)


# --- the estimator


@parametrize_with_checks([SoftDTWBarycenter(objective="divergence", gamma=0.1)])
def test_sklearn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("objective", ["soft_dtw", "divergence"])
@pytest.mark.parametrize("X", [bumps(), bumps()[:, :, None], RAGGED], ids=["2-D", "3-D", "ragged"])
def test_estimator_is_the_function(X, objective):
    model = SoftDTWBarycenter(gamma=0.1, objective=objective).fit(X)
    centre, history = soft_dtw_barycenter(X, gamma=0.1, objective=objective, return_history=True)
    np.testing.assert_array_equal(model.barycenter_, centre)
    np.testing.assert_array_equal(model.loss_history_, history)
    assert model.n_iter_ == len(history) - 1
    distances = model.transform(X)
    assert distances.shape == (len(X), 1)
    assert distances.sum() == pytest.approx(history[-1], rel=1e-10)


def test_estimator_on_other_lengths():
    model = SoftDTWBarycenter(gamma=0.1).fit(bumps()[:, :, None])
    assert model.transform(bumps(3, length=9)[:, :, None]).shape == (3, 1)
    with pytest.raises(ValueError, match="X has 2 features per time step"):
        model.transform(np.zeros((3, 9, 2)))


def test_estimator_keeps_float32():
    model = SoftDTWBarycenter(gamma=0.1).fit(bumps(dtype=np.float32))
    assert model.barycenter_.dtype == np.float32
    assert model.transform(bumps(dtype=np.float32)).dtype == np.float32


def test_pickle_clone_and_pipeline():
    model = SoftDTWBarycenter(gamma=0.1, init=bumps()[0]).fit(bumps())
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.transform(bumps()), model.transform(bumps()))
    assert not hasattr(clone(model), "barycenter_")
    pipeline = make_pipeline(sdtw.TimeSeriesScaler(), SoftDTWBarycenter())
    assert pipeline.fit(bumps()).transform(bumps()).shape == (8, 1)
    assert list(model.get_feature_names_out()) == ["softdtwbarycenter0"]


def test_pickle_of_another_version_warns():
    model = SoftDTWBarycenter().fit(bumps())
    state = {**model.__getstate__(), "_sktime_sdtw_version": "0.0.1"}
    with pytest.warns(UserWarning, match=r"pickled with sktime-sdtw 0\.0\.1"):
        SoftDTWBarycenter().__setstate__(state)
