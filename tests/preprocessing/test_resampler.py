"""Linear interpolation over time, against numpy.interp, in every container."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sktime_sdtw import TimeSeriesResampler, to_padded


@given(st.integers(1, 40), st.integers(2, 60), st.integers(1, 3))
def test_against_numpy(length, target, n_features):
    x = np.random.default_rng(length).normal(size=(length, n_features))
    result = TimeSeriesResampler(length=target).fit_transform([x])
    assert result.shape == (1, target, n_features)
    times = np.linspace(0, length - 1, target)
    for feature in range(n_features):
        expected = np.interp(times, np.arange(length), x[:, feature])
        np.testing.assert_allclose(result[0, :, feature], expected, atol=1e-12)


@given(st.integers(1, 60), st.sampled_from([np.float32, np.float64]))
def test_same_length_is_unchanged(length, dtype):
    x = np.random.default_rng(length).normal(size=(3, length)).astype(dtype)
    result = TimeSeriesResampler().fit_transform(x)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, x)


def test_straight_lines_stay_straight():
    X = [np.linspace(2, 5, n) for n in (2, 17, 100)]
    result = TimeSeriesResampler(length=31).fit_transform(X)
    np.testing.assert_allclose(result, np.broadcast_to(np.linspace(2, 5, 31), (3, 31)), rtol=1e-14)


def test_ragged_becomes_equal_length():
    X = [np.arange(3.0), np.arange(5.0), np.arange(2.0)]
    resampler = TimeSeriesResampler().fit(X)
    assert resampler.length_ == 5
    assert resampler.transform(X).shape == (3, 5)
    assert resampler.transform([x[:, None] for x in X]).shape == (3, 5, 1)
    padded = to_padded(X)
    result = resampler.transform(padded)
    assert result.shape == (3, 5, 1)
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(result[2, :, 0], [0, 0.25, 0.5, 0.75, 1])


def test_longest_series_is_that_of_fit():
    resampler = TimeSeriesResampler().fit([np.arange(4.0)[:, None]])
    assert resampler.transform([np.arange(9.0)[:, None]]).shape == (1, 4, 1)


def test_one_time_step_is_repeated():
    np.testing.assert_array_equal(TimeSeriesResampler(length=3).fit_transform([[7.0]]), [[7, 7, 7]])


@pytest.mark.parametrize("length", [1, 0, 2.5, "long"])
def test_bad_length(length):
    with pytest.raises(ValueError, match="'length' parameter"):
        TimeSeriesResampler(length=length).fit([[1.0, 2.0]])
