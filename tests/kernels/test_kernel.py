from __future__ import annotations

import numpy as np
import pytest
from checks_3d import cube, ragged, targets
from sklearn.cluster import DBSCAN
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from sktime_sdtw import (
    SoftDTWDistance,
    SoftDTWKernel,
    SoftDTWNystroem,
    median_heuristic_sigma,
    pairwise_dtw,
    pairwise_gak,
    pairwise_soft_dtw,
    pairwise_soft_dtw_divergence,
)

CACHES = [None, "auto"]
KERNELS = ["divergence", "gak", "dtw"]


def expected_kernel(kernel, X, Y=None, sigma=2.0, **params):
    if kernel == "gak":
        return pairwise_gak(X, Y, sigma=sigma)
    if kernel == "dtw":
        return np.exp(-pairwise_dtw(X, Y, **params) / sigma)
    return np.exp(-pairwise_soft_dtw_divergence(X, Y, gamma=0.3, **params) / sigma)


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel_is_that_of_the_functions(kernel, cache):
    X, Y = ragged(6), ragged(4, seed=5)
    model = SoftDTWKernel(kernel, sigma=2.0, gamma=0.3, cache=cache).fit(X)
    np.testing.assert_allclose(model.transform(Y), expected_kernel(kernel, Y, X), rtol=1e-12)
    np.testing.assert_allclose(model.fit_transform(X), expected_kernel(kernel, X), rtol=1e-12)


@pytest.mark.parametrize("kernel", ["divergence", "dtw"])
def test_kernel_takes_costs_and_constraints(kernel):
    X, params = cube(5), {"cost": "manhattan", "sakoe_chiba_radius": 1}
    model = SoftDTWKernel(kernel, sigma=2.0, gamma=0.3, **params)
    np.testing.assert_allclose(model.fit_transform(X), expected_kernel(kernel, X, **params), rtol=1e-12)
    function = SoftDTWKernel(kernel, sigma=2.0, gamma=0.3, cost=lambda x, y: np.abs(x[:, None] - y).sum(2))
    np.testing.assert_allclose(
        function.fit_transform(X), expected_kernel(kernel, X, cost="manhattan"), rtol=1e-12
    )


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_gram_matrix_is_symmetric_with_ones(kernel, cache):
    X = ragged(7)
    model = SoftDTWKernel(kernel, cache=cache, random_state=0)
    gram = model.fit_transform(X)
    np.testing.assert_array_equal(gram, gram.T)
    np.testing.assert_array_equal(np.diag(gram), 1.0)
    np.testing.assert_array_equal(np.diag(model.transform(X)), 1.0)
    np.testing.assert_allclose(model.fit(X).transform(X), gram, rtol=1e-12)


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("sigma", [0.1, 1.0, "median", 100.0])
def test_gak_is_positive_definite(d, sigma):
    X = [*ragged(12, d), *cube(4, d=d), *(1e-3 * cube(4, d=d, seed=3))]
    gram = SoftDTWKernel("gak", sigma=sigma, random_state=0).fit_transform(X)
    assert np.linalg.eigvalsh(gram)[0] > -1e-12 * len(X)


def test_median_bandwidths():
    X = cube(7)
    divergences = pairwise_soft_dtw_divergence(X)[np.triu_indices(7, 1)]
    np.testing.assert_allclose(SoftDTWKernel().fit(X).sigma_, np.median(divergences))
    np.testing.assert_allclose(
        SoftDTWKernel("gak", random_state=3).fit(X).sigma_, median_heuristic_sigma(X, random_state=3)
    )
    assert SoftDTWKernel(sigma=3).fit(X).sigma_ == 3.0
    # Copies do not pull it to zero; where there is nothing else it is 1.
    assert SoftDTWKernel().fit([*X, *X, *X]).sigma_ > divergences.min() / 2
    assert SoftDTWKernel().fit(X[:1]).sigma_ == SoftDTWKernel().fit(X[[0, 0]]).sigma_ == 1.0


def test_median_of_many_series_is_taken_over_some(monkeypatch):
    monkeypatch.setattr("sktime_sdtw.kernels._base.N_MEDIAN", 5)
    X = cube(12)
    first, second = (SoftDTWKernel(random_state=0, cache=None) for _ in range(2))
    gram = first.fit_transform(X)
    second.fit(X)
    assert first.sigma_ == pytest.approx(second.sigma_, rel=1e-12)
    np.testing.assert_allclose(second.transform(X), gram, rtol=1e-9)
    assert first.sigma_ != SoftDTWKernel(random_state=1).fit(X).sigma_


def test_support_vectors_and_principal_components():
    X, y = ragged(20), targets(range(20))
    machine = make_pipeline(SoftDTWKernel("gak", random_state=0), SVC(kernel="precomputed", C=10.0))
    machine.fit(X[:14], y[:14])
    assert machine.score(X[14:], y[14:]) >= 0.8
    components = make_pipeline(SoftDTWKernel(), KernelPCA(2, kernel="precomputed")).fit(X)
    assert components.transform(X).shape == (20, 2)
    first = components.transform(X)[:, 0]
    assert max((first[y == 0].max() < first[y == 1].min()), (first[y == 1].max() < first[y == 0].min()))


def test_gaussian_process():
    """The recipe of the docstring is the process with the kernel itself."""
    X, y = ragged(10), np.sin(np.arange(10.0))
    queries = ragged(4, seed=8)
    kernel = SoftDTWKernel("gak", sigma=2.0).fit(X)
    gram, cross = kernel.transform(X) + 0.1 * np.eye(10), kernel.transform(queries)
    process = make_pipeline(
        SoftDTWNystroem("gak", sigma=2.0, n_components=10),
        GaussianProcessRegressor(DotProduct(sigma_0=0, sigma_0_bounds="fixed"), alpha=0.1),
    ).fit(X, y)
    mean, std = process.predict(queries, return_std=True)
    np.testing.assert_allclose(mean, cross @ np.linalg.solve(gram, y), atol=1e-6)
    # Its prior variance is that of the projection on the fitted series, the Nyström value of k(x, x).
    prior = np.einsum("ij,ji->i", cross, np.linalg.solve(kernel.transform(X), cross.T))
    variance = prior - np.einsum("ij,ji->i", cross, np.linalg.solve(gram, cross.T))
    np.testing.assert_allclose(std**2, variance, atol=1e-6)
    ridge = make_pipeline(SoftDTWKernel("gak", sigma=2.0), KernelRidge(kernel="precomputed", alpha=0.1))
    ridge.fit(X, y)
    np.testing.assert_allclose(ridge.predict(queries), mean, atol=1e-6)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"kernel": "rbf"}, "'kernel' parameter"),
        ({"sigma": 0.0}, "'sigma' parameter"),
        ({"sigma": "mean"}, "'sigma' parameter"),
        ({"gamma": -1.0}, "'gamma' parameter"),
        ({"cost": "gak"}, "'cost' parameter"),
        ({"cache": {}}, "'cache' parameter"),
        ({"sakoe_chiba_radius": 1, "itakura_max_slope": 2.0}, "sakoe_chiba_radius and itakura_max_slope"),
    ],
)
def test_bad_parameters(params, text):
    for cls in (SoftDTWKernel, SoftDTWNystroem):
        with pytest.raises(ValueError, match=text):
            cls(**params).fit(cube())


# --- distances


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize(
    ("metric", "function"),
    [
        ("soft_dtw", lambda X, Y=None: pairwise_soft_dtw(X, Y, gamma=0.3)),
        ("divergence", lambda X, Y=None: pairwise_soft_dtw_divergence(X, Y, gamma=0.3)),
        ("dtw", pairwise_dtw),
    ],
)
def test_distances_are_those_of_the_functions(metric, function, cache):
    X, Y = ragged(6), ragged(4, seed=5)
    model = SoftDTWDistance(metric, gamma=0.3, cache=cache).fit(X)
    np.testing.assert_allclose(model.transform(Y), function(Y, X), rtol=1e-12)
    np.testing.assert_allclose(model.fit_transform(X), function(X), rtol=1e-12, atol=1e-12)


def test_distances_of_another_precision_still_vanish():
    X = cube().astype(np.float32)
    distances = SoftDTWDistance().fit(X).transform(X.astype(np.float64))
    np.testing.assert_array_equal(np.diag(distances), 0.0)


def test_bad_metric():
    with pytest.raises(ValueError, match="'metric' parameter of SoftDTWDistance"):
        SoftDTWDistance("euclidean").fit(cube())


def test_clusters_of_scikit_learn_on_distances():
    """Its neighbours refuse negative values: the pipeline that the docstring names."""
    x = [0.17, 0.02, 0.12, -1.17, -2.29, -1.69, -2.17, -1.85]
    y = [0.21, -0.14, 0.42, -0.68, -1.96, -1.9, -2.07, -1.87]
    assert SoftDTWDistance().fit_transform([x, y])[0, 1] < 0
    at_least_zero = FunctionTransformer(np.clip, kw_args={"a_min": 0, "a_max": None})
    model = make_pipeline(SoftDTWDistance(), at_least_zero, DBSCAN(metric="precomputed", min_samples=1))
    np.testing.assert_array_equal(model.fit_predict([x, y, np.ones(8)]), [0, 0, 1])


def test_bad_n_jobs_is_refused_whatever_is_cached():
    SoftDTWDistance().fit(cube()).transform(cube())
    with pytest.raises(ValueError, match="n_jobs must be an int other than 0"):
        SoftDTWDistance(n_jobs=0).fit_transform(cube())
