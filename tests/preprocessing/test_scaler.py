"""Scaling over time: against plain formulas, at the edges of the number range, in every container."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktime_sdtw import TimeSeriesResampler, TimeSeriesScaler, to_padded
from sktime_sdtw._series import SeriesBatch, check_series

VARIANTS = [
    TimeSeriesScaler(method=method, scope=scope)
    for method in ("standard", "minmax")
    for scope in ("series", "dataset")
]


@parametrize_with_checks([*VARIANTS, TimeSeriesResampler(), TimeSeriesResampler(length=5)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_standard_per_series_and_feature(rng):
    X = rng.normal(size=(5, 40, 3)) * [1, 10, 100] + [0, -5, 1000]
    Z = TimeSeriesScaler().fit_transform(X)
    np.testing.assert_allclose(Z, (X - X.mean(1, keepdims=True)) / X.std(1, keepdims=True), atol=1e-12)


def test_minmax_per_series_and_feature(rng):
    X = rng.normal(size=(5, 40, 3))
    Z = TimeSeriesScaler(method="minmax", feature_range=(-1.0, 3.0)).fit_transform(X)
    np.testing.assert_allclose(Z.min(1), -1, atol=1e-14)
    np.testing.assert_allclose(Z.max(1), 3, atol=1e-14)
    assert (np.argmax(Z, 1) == np.argmax(X, 1)).all()


@pytest.mark.parametrize("method", ["standard", "minmax"])
def test_dataset_scope_learns_in_fit_and_inverts(rng, method):
    train = [rng.normal(size=(n, 2)) * [1, 20] + [7, -3] for n in (10, 25, 3)]
    scaler = TimeSeriesScaler(method=method, scope="dataset").fit(train)
    pooled = np.concatenate(train)
    center, scale = (
        (pooled.mean(0), pooled.std(0)) if method == "standard" else (pooled.min(0), np.ptp(pooled, axis=0))
    )
    np.testing.assert_allclose(scaler.center_, center)
    np.testing.assert_allclose(scaler.scale_, scale)
    other = [rng.normal(size=(n, 2)) for n in (4, 6)]
    scaled = scaler.transform(other)
    np.testing.assert_allclose(scaled[1], (other[1] - center) / scale)
    for back, original in zip(scaler.inverse_transform(scaled), other, strict=True):
        np.testing.assert_allclose(back, original, atol=1e-12)


def test_range_of_dataset_scope_inverts(rng):
    X = rng.normal(size=(4, 10, 2))
    scaler = TimeSeriesScaler(method="minmax", scope="dataset", feature_range=(-2.0, 5.0)).fit(X)
    Z = scaler.transform(X)
    assert (Z.min(), Z.max()) == (pytest.approx(-2), pytest.approx(5))
    np.testing.assert_allclose(scaler.inverse_transform(Z), X, atol=1e-12)


def test_series_scope_cannot_invert(rng):
    scaler = TimeSeriesScaler().fit(rng.normal(size=(3, 5)))
    assert not hasattr(scaler, "inverse_transform")
    with pytest.raises(AttributeError, match="inverse_transform"):
        scaler.inverse_transform([[0.0] * 5])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e5, 1e30])
@pytest.mark.parametrize(("method", "expected"), [("standard", 0.0), ("minmax", 0.25)])
def test_constant_series(dtype, value, method, expected):
    X = np.full((2, 77, 2), value, dtype=dtype)
    X[0, :, 1] = np.arange(77)
    scaler = TimeSeriesScaler(method=method, feature_range=(0.25, 1.0))
    Z = scaler.fit_transform(X)
    np.testing.assert_array_equal(Z[1], expected)
    assert np.ptp(Z[0, :, 1]) > 0.7


def test_rounding_noise_of_a_constant_is_not_blown_up():
    X = np.array([[0.1 + 0.2, 0.3, 0.3, 0.1 + 0.2, 0.3]])
    assert np.ptp(X) > 0
    np.testing.assert_allclose(TimeSeriesScaler().fit_transform(X), 0, atol=1e-15)


def test_series_of_one_time_step():
    np.testing.assert_array_equal(TimeSeriesScaler().fit_transform([[3.0], [4.0]]), 0)


@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1e3, 1e200])
def test_any_scale_float64(rng, scale):
    X = rng.normal(size=(3, 50))
    np.testing.assert_allclose(
        TimeSeriesScaler().fit_transform(X * scale),
        TimeSeriesScaler().fit_transform(X),
        rtol=1e-12,
        atol=1e-13,
    )


def test_large_offset_keeps_digits(rng):
    noise = rng.integers(-512, 512, size=(3, 4000)) / 256  # exact in float32 beside the offset
    expected = TimeSeriesScaler().fit_transform(noise)
    small = TimeSeriesScaler().fit_transform((noise + 1000).astype(np.float32))
    assert small.dtype == np.float32
    np.testing.assert_allclose(small, expected, atol=3e-7)
    np.testing.assert_allclose(TimeSeriesScaler().fit_transform(noise + 2.0**40), expected, atol=1e-12)


def test_containers_come_back_as_they_were(rng):
    flat = [rng.normal(size=n).astype(np.float32) for n in (4, 6, 2)]
    scaler = TimeSeriesScaler()
    expected = [(x - x.mean()) / x.std() for x in flat]

    result = scaler.fit_transform(flat)
    assert isinstance(result, list)
    assert [x.shape for x in result] == [(4,), (6,), (2,)]
    assert all(x.dtype == np.float32 for x in result)
    for left, right in zip(result, expected, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)

    deep = scaler.fit_transform([x[:, None] for x in flat])
    assert [x.shape for x in deep] == [(4, 1), (6, 1), (2, 1)]

    padded = to_padded(flat, length=9)
    result = scaler.fit_transform(padded)
    assert result.shape == padded.shape
    np.testing.assert_array_equal(np.isnan(result), np.isnan(padded))
    np.testing.assert_allclose(result[1, :6, 0], expected[1], atol=1e-5)
    assert scaler.fit_transform(padded[:, :, 0]).shape == (3, 9)

    objects = np.empty(3, dtype=object)
    objects[:] = flat
    assert isinstance(scaler.fit_transform(objects), list)
    assert isinstance(scaler.fit_transform(check_series(flat)), SeriesBatch)
    assert isinstance(
        scaler.fit_transform([[1, 2, 3], [3, 4, 6]]), np.ndarray
    )  # numbers in nested lists: an array-like
    assert isinstance(scaler.fit_transform([np.arange(3.0), np.arange(3.0)]), list)
    assert isinstance(scaler.fit_transform([[1, 2, 3], [3, 4]]), list)


def test_input_is_not_written(rng):
    X = rng.normal(size=(3, 8))
    X.setflags(write=False)
    for scaler in VARIANTS:
        Z = clone(scaler).fit_transform(X)
        assert not np.shares_memory(Z, X)


def test_results_do_not_depend_on_neighbours(rng):
    X = [rng.normal(size=(n, 2)) for n in (30, 7, 300)]
    together = TimeSeriesScaler().fit_transform(X)
    for alone, one in zip(X, together, strict=True):
        np.testing.assert_array_equal(TimeSeriesScaler().fit_transform([alone])[0], one)


def test_wrong_numbers_of_features(rng):
    scaler = TimeSeriesScaler(scope="dataset").fit(rng.normal(size=(3, 8, 2)))
    with pytest.raises(ValueError, match="3 features per time step"):
        scaler.transform(rng.normal(size=(3, 8, 3)))
    assert scaler.transform(rng.normal(size=(1, 100, 2))).shape == (1, 100, 2)


def test_bad_parameters():
    X = [[1.0, 2.0]]
    with pytest.raises(ValueError, match="'method' parameter"):
        TimeSeriesScaler(method="robust").fit(X)
    with pytest.raises(ValueError, match="'scope' parameter"):
        TimeSeriesScaler(scope="feature").fit(X)
    for bad in ((1.0, 1.0), (0.0, np.nan), (0.0, np.inf), ("a", "b"), (0.0, 1.0, 2.0)):
        with pytest.raises(ValueError, match="feature_range must be"):
            TimeSeriesScaler(method="minmax", feature_range=bad).fit(X)
    with pytest.raises(ValueError, match="zero length"):
        TimeSeriesScaler().fit([[np.nan, np.nan], [1.0, 2.0]])


def test_pipeline_under_global_pandas_output(rng):
    from sklearn import config_context

    X = [rng.normal(size=(n, 2)) for n in (5, 9)]
    pipeline = make_pipeline(TimeSeriesScaler(), TimeSeriesResampler(length=6))
    with config_context(transform_output="pandas"):  # a 3-D result has no place in a frame and stays an array
        assert pipeline.fit_transform(X).shape == (2, 6, 2)
    copy = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(copy.transform(X), pipeline.transform(X))


@pytest.mark.parametrize("method", ["standard", "minmax"])
@pytest.mark.parametrize("scope", ["series", "dataset"])
def test_missing_numbers_are_left_out(method, scope):
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(n, 2)) + 5 for n in (6, 9, 4)]
    X[0][2, 1] = X[1][0] = np.nan
    X[2][:, 0] = np.nan  # of this there are no statistics
    scaler = TimeSeriesScaler(method=method, scope=scope).fit(X)
    for scaled, series in zip(scaler.transform(X), X, strict=True):
        known = np.concatenate(X) if scope == "dataset" else series
        for found, column, all_known in zip(scaled.T, series.T, known.T, strict=True):
            np.testing.assert_array_equal(np.isnan(found), np.isnan(column))
            if np.isnan(column).all():
                continue
            low, spread = np.nanmean(all_known), np.nanstd(all_known)
            if method == "minmax":
                low, spread = np.nanmin(all_known), np.nanmax(all_known) - np.nanmin(all_known)
            np.testing.assert_allclose(found, (column - low) / spread, rtol=1e-12)
    if scope == "dataset":
        for back, series in zip(scaler.inverse_transform(scaler.transform(X)), X, strict=True):
            np.testing.assert_allclose(back, series, rtol=1e-12)
