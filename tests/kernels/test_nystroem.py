from __future__ import annotations

import numpy as np
import pytest
from checks_3d import cube, ragged
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline

from sktime_sdtw import SoftDTWKernel, SoftDTWNystroem


@pytest.mark.parametrize("landmarks", ["random", "k-means++"])
def test_all_series_as_landmarks_give_the_kernel(landmarks):
    X, Y = ragged(8), ragged(3, seed=9)
    model = SoftDTWNystroem("gak", sigma=1.0, n_components=8, landmarks=landmarks, random_state=0).fit(X)
    kernel = SoftDTWKernel("gak", sigma=1.0).fit(X)
    np.testing.assert_allclose(model.transform(X) @ model.transform(X).T, kernel.transform(X), atol=1e-9)
    np.testing.assert_allclose(model.transform(Y) @ model.transform(X).T, kernel.transform(Y), atol=1e-9)
    assert sorted(model.component_indices_) == list(range(8))


@pytest.mark.parametrize("landmarks", ["random", "k-means++"])
def test_landmarks_are_some_of_the_series(landmarks):
    X = cube(10)
    model = SoftDTWNystroem(n_components=4, landmarks=landmarks, random_state=0).fit(X)
    assert model.transform(X).shape == (10, 4)
    assert len({*model.component_indices_.tolist()}) == 4
    np.testing.assert_array_equal(model.components_, X[model.component_indices_])
    again = SoftDTWNystroem(n_components=4, landmarks=landmarks, random_state=0).fit(X)
    np.testing.assert_array_equal(again.component_indices_, model.component_indices_)


def test_more_landmarks_are_closer_to_the_kernel():
    X = cube(20, 5)
    gram = SoftDTWKernel(sigma=5.0).fit_transform(X)
    errors = []
    for n in (2, 8, 20):
        features = SoftDTWNystroem(sigma=5.0, n_components=n, random_state=0).fit_transform(X)
        errors.append(np.abs(features @ features.T - gram).max())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-8


def test_k_means_landmarks_visit_every_group():
    rng = np.random.default_rng(0)
    X = np.repeat(np.arange(5) * 10.0, 8)[:, None] + 0.01 * rng.standard_normal((40, 4))
    for seed in range(5):
        model = SoftDTWNystroem(n_components=5, landmarks="k-means++", sigma=10.0, random_state=seed).fit(X)
        assert sorted(model.component_indices_ // 8) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("landmarks", ["random", "k-means++"])
def test_copies_take_directions_out(landmarks):
    X = [ragged(2)[0]] * 3 + [ragged(2)[1]] * 3
    features = SoftDTWNystroem(n_components=6, landmarks=landmarks, random_state=0).fit_transform(X)
    assert np.isfinite(features).all()
    gram = SoftDTWKernel(random_state=0).fit_transform(X)
    np.testing.assert_allclose(features @ features.T, gram, atol=1e-9)


def test_what_is_not_positive_definite_is_projected():
    X = np.random.default_rng(0).integers(0, 3, (15, 6))
    gram = SoftDTWKernel("dtw", sigma=10.0).fit_transform(X)
    values, vectors = np.linalg.eigh(gram)
    assert values[0] < -1e-6  # that the kernel is none
    features = SoftDTWNystroem("dtw", sigma=10.0, n_components=15).fit_transform(X)
    positive = (vectors * np.maximum(values, 0)) @ vectors.T
    np.testing.assert_allclose(features @ features.T, positive, atol=1e-8)


def test_fewer_series_than_landmarks():
    assert SoftDTWNystroem(n_components=100).fit_transform(cube(5)).shape == (5, 5)


def test_float32_is_kept_and_good():
    X = cube(8).astype(np.float32)
    features = SoftDTWNystroem(sigma=3.0, random_state=0).fit_transform(X)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features @ features.T, SoftDTWKernel(sigma=3.0).fit_transform(X), atol=1e-4)


def test_linear_models_on_features():
    X, y = ragged(24), np.arange(24) % 2
    model = make_pipeline(SoftDTWNystroem(n_components=6, random_state=0), RidgeClassifier())
    model.fit(X[:16], y[:16])
    assert model.score(X[16:], y[16:]) >= 0.75


@pytest.mark.parametrize(
    ("params", "text"),
    [({"n_components": 0}, "'n_components' parameter"), ({"landmarks": "all"}, "'landmarks' parameter")],
)
def test_bad_parameters(params, text):
    with pytest.raises(ValueError, match=text):
        SoftDTWNystroem(**params).fit(cube())
