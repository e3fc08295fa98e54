"""The one door: every container gives the same batch."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from sktime_sdtw._series import SeriesBatch, check_series, check_single_series

RNG = np.random.default_rng(0)
FLAT = RNG.normal(size=(4, 6))
CUBE = RNG.normal(size=(4, 6, 2))
RAGGED = [RNG.normal(size=(length, 2)) for length in (3, 6, 1, 4)]


def padded(series, length=8):
    out = np.full((len(series), length, series[0].shape[1]), np.nan)
    for row, one in zip(out, series, strict=True):
        row[: len(one)] = one
    return out


def same(batch, series):
    assert isinstance(batch, SeriesBatch)
    assert len(batch) == batch.n_samples == len(series)
    assert batch.values.flags.c_contiguous
    assert batch.offsets.dtype == np.int64
    for i, expected in enumerate(series):
        expected = np.asarray(expected, dtype=float)
        np.testing.assert_array_equal(batch[i], expected[:, None] if expected.ndim == 1 else expected)


def as_object_array(series):
    array = np.empty(len(series), dtype=object)
    array[:] = series
    return array


def test_containers_of_equal_length():
    import pandas as pd

    for X in (
        FLAT,
        FLAT[..., None],
        FLAT.tolist(),
        tuple(FLAT),
        list(FLAT[..., None]),
        as_object_array(list(FLAT)),
        FLAT.astype(object),
        np.asfortranarray(FLAT),
        pd.DataFrame(FLAT),
        pd.DataFrame(dict(zip("abcdef", FLAT.T, strict=True))),
        [pd.Series(row) for row in FLAT],
        np.hstack([FLAT, np.full((4, 3), np.nan)]),
        [[*row, None] for row in FLAT.tolist()],
    ):
        same(check_series(X), FLAT)
    for X in (CUBE, CUBE.tolist(), list(CUBE), padded(list(CUBE))):
        same(check_series(X), CUBE)


def test_tensors_of_equal_length():
    torch = pytest.importorskip("torch")
    same(check_series(torch.from_numpy(FLAT)), FLAT)
    same(check_series([torch.from_numpy(row) for row in FLAT]), FLAT)
    same(check_series(torch.from_numpy(CUBE)), CUBE)


def test_containers_of_ragged_series():
    for X in (RAGGED, tuple(RAGGED), as_object_array(RAGGED), padded(RAGGED), list(padded(RAGGED))):
        same(check_series(X), RAGGED)
    same(check_series([[1.0, 2.0], [3.0], np.array([[4.0], [5.0], [6.0]])]), [[1, 2], [3], [4, 5, 6]])
    same(check_series([[1.0, 2.0, np.nan], [3.0, np.nan, np.nan]]), [[1, 2], [3]])


def test_an_array_like_without_numpy_functions():
    class NotAnArray:
        def __array__(self, dtype=None, copy=None):
            return FLAT

        def __array_function__(self, func, types, args, kwargs):
            raise TypeError("must not be called")

    same(check_series(NotAnArray()), FLAT)


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float64, np.longdouble, np.int8, np.int64, np.uint16, bool, ">f8"]
)
def test_other_real_dtypes_become_float64(dtype):
    assert check_series(FLAT.astype(dtype)).dtype == np.float64
    assert check_single_series(FLAT[0].astype(dtype)).dtype == np.float64


def test_dtype():
    X = FLAT.astype(np.float32)
    assert check_series(X).dtype == np.float32
    assert check_series(list(X)).dtype == np.float32
    assert check_series([X[0], X[1, :3]]).dtype == np.float32
    assert check_series([X[0], FLAT[1, :3]]).dtype == np.float64
    assert check_series(FLAT, dtype=np.float32).dtype == np.float32
    assert check_series(X, dtype=np.float64).dtype == np.float64


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    same(check_series(torch.tensor([[1, 2], [3, 4]])), [[1, 2], [3, 4]])
    assert check_series(torch.ones(2, 3)).dtype == np.float32
    assert check_series(torch.ones(2, 3, dtype=torch.bfloat16)).dtype == np.float64
    with pytest.raises(TypeError, match=r"X is a tensor that requires grad.*pass X.detach\(\)"):
        check_series(torch.ones(2, 3, requires_grad=True))
    with pytest.raises(TypeError, match=r"X is a tensor on meta; tensors on the CPU are accepted here"):
        check_series(torch.ones(2, 3, device="meta"))
    with pytest.raises(TypeError, match=r"X\[0\] is a tensor that requires grad"):
        check_series([torch.ones(3, requires_grad=True)])


def test_data_frame_with_missing_values():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2], "b": [3, None]}, dtype="Float64")
    same(check_series(frame), [[1, 3], [2]])
    same(check_series(pd.DataFrame({"a": [1, 2], "b": [3, 4]})), [[1, 3], [2, 4]])
    same(check_series(pd.DataFrame({"a": [1, 2], "b": [0.5, 4]})), [[1, 0.5], [2, 4]])
    assert check_series(pd.DataFrame(FLAT.astype(np.float32))).dtype == np.float32
    with pytest.raises(ValueError, match="X holds strings"):
        check_series(pd.DataFrame({"a": ["u", "v"]}))
    column = pd.Series([np.ones(3), np.ones(4)])
    for nested in (column, column.to_frame()):
        with pytest.raises(ValueError, match=r"X is a column or table of arrays\. Expected .* or a list"):
            check_series(nested)
    assert check_series(list(column)).lengths.tolist() == [3, 4]


def test_frame_of_stacked_series_is_not_read_as_a_table():
    pd = pytest.importorskip("pandas")
    index = pd.MultiIndex.from_product([["u", "v"], [0, 1, 2]])
    frame = pd.DataFrame(np.arange(12.0).reshape(6, 2), index=index)
    with pytest.raises(ValueError, match=r"X is a frame with a multi-index.* sktime_sdtw.from_multiindex"):
        check_series(frame)
    same(check_series(frame.to_numpy()), frame.to_numpy())
    parts = [part for _, part in frame.groupby(level=0)]
    same(check_series(parts), [part.to_numpy() for part in parts])
    np.testing.assert_array_equal(check_single_series(parts[0]), parts[0])


def test_what_is_masked_is_missing():
    mask = np.zeros(FLAT.shape, dtype=bool)
    mask[1, 3:] = True
    for dtype in (np.float32, np.float64, int):
        X = np.ma.masked_array(FLAT.astype(dtype), mask)
        same(check_series(X), [*X.data[:1], X.data[1, :3], *X.data[2:]])
    mask[0, 1] = True
    with pytest.raises(ValueError, match=r"X\[0\] contains NaN before its end"):
        check_series(np.ma.masked_array(FLAT, mask))


def test_good_arrays_are_not_copied():
    assert np.shares_memory(check_series(CUBE).values, CUBE)
    assert np.shares_memory(check_single_series(CUBE[0]), CUBE)
    assert not np.shares_memory(check_series(CUBE).copy().values, CUBE)
    batch = check_series(CUBE)
    assert check_series(batch) is batch


def test_a_single_series():
    for x in ([1, 2, 3], [1.0, 2.0, 3.0, np.nan], np.array([[1.0], [2.0], [3.0]]), (1, 2, 3)):
        np.testing.assert_array_equal(check_single_series(x), [[1.0], [2.0], [3.0]])
    assert check_single_series(CUBE[0]).shape == (6, 2)


def test_large_values_are_finite():
    """Their sum overflows, each of them does not."""
    X = np.full((2, 100), np.finfo(np.float64).max)
    same(check_series(X), X)


def test_batch():
    batch = check_series(RAGGED)
    assert (batch.n_samples, batch.n_features, batch.max_length) == (4, 2, 6)
    assert batch.lengths.tolist() == [3, 6, 1, 4]
    assert not batch.is_equal_length
    assert check_series(CUBE).is_equal_length
    assert repr(batch) == "SeriesBatch(4 series, 2 features, float64)"
    same(batch, batch.to_list())
    np.testing.assert_array_equal(batch[-1], RAGGED[-1])
    with pytest.raises(IndexError):
        batch[4]
    np.testing.assert_array_equal(batch.to_padded(8), padded(RAGGED))
    np.testing.assert_array_equal(batch.to_padded(), padded(RAGGED, 6))
    np.testing.assert_array_equal(check_series(CUBE).to_padded(), CUBE)
    with pytest.raises(ValueError, match="length=5 is shorter than the longest series, 6"):
        batch.to_padded(5)
    same(pickle.loads(pickle.dumps(batch)), RAGGED)
    assert batch.astype(np.float32).dtype == np.float32


@pytest.mark.parametrize("X", [RAGGED, list(CUBE)], ids=["ragged", "equal"])
def test_take(X):
    batch = check_series(X)
    for indices in ([0], [3, 1, 1, 0], [-1], np.array([2]), np.arange(4) % 2 == 0, slice(1, 3)):
        chosen = np.arange(4)[indices]
        same(batch.take(chosen), [X[i] for i in chosen])
    same(batch.take(np.array([True, False, False, True])), [X[0], X[3]])
    assert not np.shares_memory(batch.take([0, 1, 2, 3]).values, batch.values)


def test_concatenate():
    batch = SeriesBatch.concatenate([check_series(RAGGED), check_series(CUBE)])
    same(batch, [*RAGGED, *CUBE])


@pytest.mark.parametrize(
    "form", [np.array, list, lambda X: [X[0], X[1], X[0][:2]]], ids=["cube", "list", "ragged"]
)
def test_nan_that_is_allowed(form):
    X = np.array(CUBE[:2])
    X[0, 0, 1] = X[1, 1] = np.nan
    X[1, -1] = np.nan
    with pytest.raises(ValueError, match="NaN before its end"):
        check_series(form(X))
    batch = check_series(form(X), allow_nan=True)
    np.testing.assert_array_equal(batch[0], X[0])
    np.testing.assert_array_equal(batch[1], X[1, :-1])  # what is at the end is still padding
    X[0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="inf"):
        check_series(form(X), allow_nan=True)
