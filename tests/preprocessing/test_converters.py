"""Layouts of other packages: the axes land where they belong, and the round trips are exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sktime_sdtw import (
    from_channels_first,
    from_multiindex,
    to_channels_first,
    to_multiindex,
    to_padded,
    to_ragged,
)
from sktime_sdtw._series import check_series

shapes = st.tuples(
    st.integers(1, 4),
    st.lists(st.integers(1, 7), min_size=1, max_size=6),
    st.sampled_from([np.float32, np.float64]),
)


def ragged_of(shape):
    n_features, lengths, dtype = shape
    rng = np.random.default_rng(sum(lengths))
    return [rng.normal(size=(length, n_features)).astype(dtype) for length in lengths]


def assert_same(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b, strict=True)


@given(shapes)
def test_round_trip_through_padding(shape):
    series = ragged_of(shape)
    padded = to_padded(series)
    assert padded.shape == (len(series), max(map(len, series)), series[0].shape[1])
    assert_same(to_ragged(padded), series)


@given(shapes)
def test_round_trip_through_lists_of_channels(shape):
    series = ragged_of(shape)
    turned = to_channels_first(series)
    assert [array.shape for array in turned] == [array.T.shape for array in series]
    assert all(array.flags.c_contiguous for array in turned)
    assert_same(from_channels_first(turned), series)


@given(shapes)
def test_round_trip_through_a_frame(shape):
    series = ragged_of(shape)
    frame = to_multiindex(series)
    assert frame.index.names == ["instances", "timepoints"]
    assert (frame.dtypes == series[0].dtype).all()
    assert_same(list(from_multiindex(frame)), series)


@given(shapes)
def test_round_trip_of_padded_channels(shape):
    padded = to_padded(ragged_of(shape), length=9)  # padding beyond the longest series stays
    turned = to_channels_first(padded)
    assert turned.shape == padded.transpose(0, 2, 1).shape
    np.testing.assert_array_equal(from_channels_first(turned), padded, strict=True)


def test_axes():
    cube = np.arange(24.0).reshape(2, 3, 4)
    ours = from_channels_first(cube)
    assert ours.shape == (2, 4, 3)
    assert ours[1, 2, 0] == cube[1, 0, 2]
    assert ours.flags.c_contiguous
    np.testing.assert_array_equal(to_channels_first(ours), cube)
    assert to_channels_first(np.zeros((5, 7))).shape == (5, 1, 7)


def test_results_are_copies():
    X = np.ones((2, 3, 1))
    for result in (
        to_padded(X),
        to_ragged(X)[0],
        to_channels_first(X),
        from_channels_first(X),
        to_channels_first([*X])[0],
    ):
        result[...] = 7
        np.testing.assert_array_equal(X, 1)
    frame = to_multiindex(X)
    frame.iloc[0, 0] = 7
    np.testing.assert_array_equal(X, 1)


def test_batch_of_series_is_accepted():
    batch = check_series([[1.0, 2.0], [3.0]])
    assert [a.shape for a in to_channels_first(batch)] == [(1, 2), (1, 1)]
    assert to_padded(batch).shape == (2, 2, 1)


def test_integers_become_float64():
    assert to_padded([[1, 2], [3]]).dtype == np.float64
    assert from_channels_first(np.ones((1, 2, 3), dtype=int)).dtype == np.float64


def test_frame_keeps_the_order_of_its_series_and_their_names():
    pd = pytest.importorskip("pandas")
    index = pd.MultiIndex.from_tuples([("b", 3), ("b", 5), ("a", 10), ("a", 11)])
    X = from_multiindex(pd.DataFrame({"u": [1, 2, 3, 4], "v": [5, 6, 7, 8]}, index=index))
    np.testing.assert_array_equal(X, [[[1, 5], [2, 6]], [[3, 7], [4, 8]]])
    assert list(to_multiindex(X, columns=["u", "v"]).columns) == ["u", "v"]
    assert list(to_multiindex(X).columns) == ["var_0", "var_1"]


def test_frame_of_dates():
    pd = pytest.importorskip("pandas")
    index = pd.MultiIndex.from_product([[0, 1], pd.date_range("2020-01-01", periods=3)])
    assert from_multiindex(pd.DataFrame(np.arange(6.0), index=index)).shape == (2, 3, 1)


def test_frames_out_of_order_are_refused():
    pd = pytest.importorskip("pandas")
    for rows in ([(0, 1), (0, 0)], [(0, 0), (1, 0), (0, 1)], [(0, 0), (0, 0)]):
        frame = pd.DataFrame({"u": np.arange(len(rows))}, index=pd.MultiIndex.from_tuples(rows))
        with pytest.raises(ValueError, match=r"out of order.*sort_index"):
            from_multiindex(frame)


def test_bad_frames():
    pd = pytest.importorskip("pandas")
    with pytest.raises(TypeError, match="MultiIndex"):
        from_multiindex(pd.DataFrame({"u": [1.0]}))
    with pytest.raises(TypeError, match="ndarray"):
        from_multiindex(np.zeros((2, 2)))
    three = pd.MultiIndex.from_tuples([(0, 0, 0)])
    with pytest.raises(ValueError, match="two levels"):
        from_multiindex(pd.DataFrame({"u": [1.0]}, index=three))
    with pytest.raises(ValueError, match="empty"):
        from_multiindex(pd.DataFrame({"u": []}, index=pd.MultiIndex.from_arrays([[], []])))
    with pytest.raises(ValueError, match="strings"):
        from_multiindex(pd.DataFrame({"u": ["a"]}, index=pd.MultiIndex.from_tuples([(0, 0)])))
    with pytest.raises(ValueError, match="1 names, X has 2 features"):
        to_multiindex(np.zeros((2, 3, 2)), columns=["u"])


def test_bad_arrays():
    with pytest.raises(ValueError, match=r"n_samples, n_channels, n_timestamps"):
        from_channels_first(np.zeros((4, 5)))
    with pytest.raises(ValueError, match=r"X\[1\] has shape"):
        from_channels_first([np.zeros((2, 5)), np.zeros(5)])
    with pytest.raises(ValueError, match="features"):
        from_channels_first([np.zeros((2, 5)), np.zeros((3, 5))])
    with pytest.raises(ValueError, match="inf"):
        from_channels_first(np.full((1, 2, 3), np.inf))
    with pytest.raises(ValueError, match="shorter than the longest"):
        to_padded(np.zeros((2, 5)), length=4)
    with pytest.raises(ValueError, match="NaN before its end"):
        to_ragged([[np.nan, 1.0]])


def test_pandas_is_asked_for(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        to_multiindex(np.zeros((2, 3)))
