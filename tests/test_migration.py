"""The rows for tslearn of docs/guide/migrating.rst, against tslearn."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import numpy as np
import pytest

import sktime_sdtw as ours

# They compile for half a minute, and warn of packages that tslearn looks for.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def theirs():
    pytest.importorskip("tslearn.metrics", reason="what is compared with", exc_type=ImportError)
    names = ("metrics", "barycenters", "preprocessing", "neighbors", "svm")
    modules = [importlib.import_module(f"tslearn.{name}") for name in names]
    return SimpleNamespace(**{name: value for module in modules for name, value in vars(module).items()})


@pytest.fixture
def batches():
    rng = np.random.default_rng(0)
    return rng.standard_normal((4, 15, 2)), rng.standard_normal((3, 12, 2))


def close(a, b, tolerance=1e-10):
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ({}, {}),
        ({"global_constraint": "sakoe_chiba", "sakoe_chiba_radius": 3}, {"sakoe_chiba_radius": 3}),
        ({"global_constraint": "itakura", "itakura_max_slope": 2.0}, {"itakura_max_slope": 2.0}),
    ],
)
def test_dtw(theirs, batches, there, here):
    X, Y = batches
    Y = np.concatenate([Y, Y[:, :3]], axis=1)  # one length: bands of two are drawn differently
    close(theirs.dtw(X[0], Y[0], **there), np.sqrt(ours.dtw(X[0], Y[0], **here)))
    close(theirs.cdist_dtw(X, Y, **there), np.sqrt(ours.pairwise_dtw(X, Y, **here)))
    path, distance = theirs.dtw_path(X[0], Y[0], **there)
    value, steps = ours.dtw_path(X[0], Y[0], **here)
    close(distance**2, value)
    np.testing.assert_array_equal(path, steps)  # random series have one optimal path


@pytest.mark.parametrize("gamma", [0.1, 5.0])
def test_soft_dtw(theirs, batches, gamma):
    X, Y = batches
    close(theirs.soft_dtw(X[0], Y[0], gamma=gamma), ours.soft_dtw(X[0], Y[0], gamma=gamma))
    close(theirs.cdist_soft_dtw(X, Y, gamma=gamma), ours.pairwise_soft_dtw(X, Y, gamma=gamma))
    close(
        theirs.cdist_soft_dtw_normalized(X, Y, gamma=gamma),
        ours.pairwise_soft_dtw_divergence(X, Y, gamma=gamma),
    )
    table, value = theirs.soft_dtw_alignment(X[0], Y[0], gamma=gamma)
    our_value, our_table = ours.soft_dtw_alignment(X[0], Y[0], gamma=gamma)
    close(value, our_value)
    close(table, our_table)


def test_gak(theirs, batches):
    X, Y = batches
    close(theirs.gak(X[0], Y[0], sigma=2.0), ours.gak(X[0], Y[0], sigma=2.0))
    close(theirs.cdist_gak(X, Y, sigma=2.0), ours.pairwise_gak(X, Y, sigma=2.0))


def test_estimators(theirs):
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    rng = np.random.default_rng(0)
    X, new, y = rng.standard_normal((20, 10, 2)), rng.standard_normal((30, 10, 2)), np.arange(20) % 2
    known = theirs.TimeSeriesSVC(kernel="gak", gamma=8.0).fit(X, y)
    kernel = ours.SoftDTWKernel(kernel="gak", sigma=np.sqrt(8.0 / 2))
    found = make_pipeline(kernel, SVC(kernel="precomputed")).fit(X, y)
    close(known.decision_function(new), found.decision_function(new))
    known = theirs.KNeighborsTimeSeriesClassifier(metric="softdtw", metric_params={"gamma": 0.5}).fit(X, y)
    found = ours.SoftDTWKNeighborsClassifier(metric="soft_dtw", gamma=0.5).fit(X, y)
    np.testing.assert_array_equal(known.predict(new), found.predict(new))


def test_heuristics(theirs, batches):
    X, _ = batches
    found = ours.median_heuristic_gamma(X, random_state=0), ours.median_heuristic_sigma(X, random_state=0)
    known = (
        theirs.gamma_soft_dtw(X, n_samples=400, random_state=0),
        theirs.sigma_gak(X, n_samples=400, random_state=0),
    )
    np.testing.assert_allclose(found, known, rtol=0.3)


def test_barycenter(theirs, batches):
    X, _ = batches
    init = X.mean(axis=0)
    known = theirs.softdtw_barycenter(X, gamma=1.0, init=init, max_iter=200, tol=1e-9)
    found = ours.soft_dtw_barycenter(X, gamma=1.0, init=init, max_iter=200, tol=1e-9)
    close(known, found, 1e-3)


def test_preprocessing(theirs, batches):
    X, _ = batches
    close(theirs.TimeSeriesScalerMeanVariance().fit_transform(X), ours.TimeSeriesScaler().fit_transform(X))
    close(
        theirs.TimeSeriesScalerMinMax().fit_transform(X),
        ours.TimeSeriesScaler(method="minmax").fit_transform(X),
    )
    close(
        theirs.TimeSeriesResampler(sz=20).fit_transform(X),
        ours.TimeSeriesResampler(length=20).fit_transform(X),
    )
