"""SignatureKernel: against the function, in pipelines and searches, on every form of series."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KernelCenterer
from sklearn.svm import SVC

from sktime_sdtw import SignatureKernel
from sktime_sdtw.signatures import signature_kernel_gram, transform_path


def series(n, length=20, features=2, seed=0):
    """Two classes that turn in opposite directions, from random starting points and at random speeds."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    t = np.sort(rng.uniform(0, 1, size=(n, length)), axis=1)
    angle = rng.uniform(0, 6, size=(n, 1)) + 4 * t * (2 * y[:, None] - 1)
    X = np.stack([np.cos(angle), np.sin(angle)], axis=-1) + rng.normal(size=(n, 1, 2))
    return X[..., :features] + 0.02 * rng.normal(size=(n, length, features)), y


def ragged(n):
    X, y = series(n)
    return [x[: 12 + i % 5] for i, x in enumerate(X)], y


@pytest.mark.parametrize(
    "params", [{}, {"refinement": 2, "static_kernel": "rbf"}, {"depth": 3, "transforms": "lead_lag"}], ids=str
)
def test_against_the_function(params):
    X, _ = series(9)
    kernel = SignatureKernel(sigma=1.5, **params)
    found = kernel.fit_transform(X[:6])
    paths = transform_path(X, params.get("transforms", ("time",)))
    arguments = {name: v for name, v in params.items() if name != "transforms"} | {"sigma": 1.5}
    expected = signature_kernel_gram(paths, normalize=True, **arguments)
    np.testing.assert_allclose(found, expected[:6, :6], rtol=1e-12)
    np.testing.assert_allclose(kernel.transform(X[6:]), expected[6:, :6], rtol=1e-12)
    np.testing.assert_allclose(clone(kernel).fit(X[:6]).transform(X[:6]), found, rtol=1e-12)
    plain = SignatureKernel(sigma=1.5, normalize=False, **params).fit(X[:6]).transform(X[6:])
    np.testing.assert_allclose(plain, signature_kernel_gram(paths[6:], paths[:6], **arguments), rtol=1e-12)


def test_ragged_and_padded_series_agree():
    X, _ = ragged(8)
    padded = np.full((8, 16, 2), np.nan)
    for row, x in zip(padded, X, strict=True):
        row[: len(x)] = x
    found = SignatureKernel().fit_transform(X)
    np.testing.assert_array_equal(SignatureKernel().fit_transform(padded), found)
    one = SignatureKernel(sigma=SignatureKernel().fit(X).sigma_).fit(X[:1]).transform(X)
    np.testing.assert_allclose(one[:, 0], found[:, 0], rtol=1e-12)


def test_parameters_set_after_fit_take_effect():
    X, _ = series(6)
    kernel = SignatureKernel(sigma=1.0).fit(X)
    kernel.set_params(depth=2)
    np.testing.assert_allclose(np.diagonal(kernel.transform(X)), 1, rtol=1e-12)


def test_median_bandwidth():
    line = np.linspace(0, 1, 5)[:, None] * [[[3.0]], [[4.0]], [[9.0]]]
    assert SignatureKernel(transforms=()).fit(line).sigma_ == pytest.approx(4)
    assert SignatureKernel(transforms=(), static_kernel="rbf").fit([[0.0, 1.0, 5.0]]).sigma_ == pytest.approx(
        4
    )
    assert SignatureKernel(transforms=()).fit(np.zeros((2, 3, 1))).sigma_ == 1
    X = [[0.0, 2.0, 2.0, 5.0], [1.0, 2.0]]
    assert SignatureKernel(transforms=()).fit(X).sigma_ == pytest.approx(3)


@pytest.mark.parametrize("make", [series, ragged])
def test_search_over_parameters(make):
    X, y = make(24)
    model = make_pipeline(SignatureKernel(), SVC(kernel="precomputed"))
    grid = {"signaturekernel__sigma": ["median", 2.0], "signaturekernel__depth": [None, 2]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.8
    assert search.score(X, y) == 1.0


def test_other_kernel_machines():
    X, y = series(16, features=1)
    assert cross_val_score(
        make_pipeline(SignatureKernel(), KernelRidge(kernel="precomputed")), X, y, cv=2
    ).size
    gram = SignatureKernel(refinement=2).fit_transform(X)
    assert KernelPCA(3, kernel="precomputed").fit_transform(gram).shape == (16, 3)


def test_gaussian_process():
    """Its features by KernelPCA make a linear Gaussian process one of the centred kernel."""
    X, _ = series(16, features=1)
    y, train, test = X[:, -1, 0] - X[:, 0, 0], slice(10), slice(10, 16)
    process = GaussianProcessRegressor(DotProduct(sigma_0=0, sigma_0_bounds="fixed"), alpha=0.1)
    model = make_pipeline(SignatureKernel(), KernelPCA(kernel="precomputed"), process).fit(X[train], y[train])
    mean, deviation = model.predict(X[test], return_std=True)
    kernel, centerer = SignatureKernel().fit(X[train]), KernelCenterer()
    gram = centerer.fit_transform(kernel.transform(X[train]))
    across = centerer.transform(kernel.transform(X[test]))
    expected = across @ np.linalg.solve(gram + 0.1 * np.eye(10), y[train])
    np.testing.assert_allclose(mean, expected, rtol=1e-6, atol=1e-8)
    assert (deviation > 0).all()


def test_copies_names_and_output():
    pandas = pytest.importorskip("pandas")
    X, _ = series(4)
    kernel = SignatureKernel().fit(X)
    for other in (copy.deepcopy(kernel), pickle.loads(pickle.dumps(kernel))):
        np.testing.assert_array_equal(other.transform(X), kernel.transform(X))
    assert list(kernel.get_feature_names_out()) == [f"signaturekernel{i}" for i in range(4)]
    assert isinstance(kernel.set_output(transform="pandas").transform(X), pandas.DataFrame)


def test_dtypes_and_threads():
    X, _ = series(5)
    assert SignatureKernel().fit_transform(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_array_equal(
        SignatureKernel(n_jobs=2).fit_transform(X), SignatureKernel().fit_transform(X)
    )


def test_errors_name_what_to_change():
    X, _ = series(4)
    with pytest.raises(ValueError, match="sigma"):
        SignatureKernel(sigma=1e-8).fit(X)
    with pytest.raises(ValueError, match="NaN"):
        SignatureKernel().fit(np.where(np.arange(20)[:, None] == 3, np.nan, X))
    with pytest.raises(ValueError, match="refinement"):
        SignatureKernel(depth=2, refinement=1).fit(X)
