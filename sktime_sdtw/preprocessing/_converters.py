"""Between the layouts of this package, tslearn, aeon, sktime and pandas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._series import Array, SeriesBatch, check_series, is_list, to_float_array
from ..metrics._numbers import check_count

if TYPE_CHECKING:
    from pandas import DataFrame

_INDEX_NAMES = ("instances", "timepoints")  # what sktime calls the levels


def to_padded(X: Any, *, length: int | None = None) -> Array:
    """Series as one array with NaN after the end of the shorter ones, the layout of tslearn.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
        Series of any lengths, in any form that the package accepts.
    length : int, default=None
        Length of the time axis, at least that of the longest series, which is the default.

    Returns
    -------
    ndarray of shape (n_samples, length, n_features), float32 or float64

    Raises
    ------
    ValueError
        If `length` is shorter than the longest series, or `X` is no set of series.

    See Also
    --------
    to_ragged : The way back.

    Examples
    --------
    >>> from sktime_sdtw import to_padded, to_ragged
    >>> padded = to_padded([[1.0, 2.0, 3.0], [4.0]])
    >>> padded[:, :, 0]
    array([[ 1.,  2.,  3.],
           [ 4., nan, nan]])
    >>> [series.shape for series in to_ragged(padded)]
    [(3, 1), (1, 1)]
    """
    return check_series(X).to_padded(None if length is None else check_count(length, "length", 1))


def to_ragged(X: Any) -> list[Array]:
    """Series as a list of arrays, each of its own length; padding is dropped.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
        Series in any form that the package accepts, such as an array padded with NaN (the layout of tslearn).

    Returns
    -------
    list of ndarray of shape (n_timestamps_i, n_features), float32 or float64
        Copies.

    Raises
    ------
    ValueError
        If `X` is no set of series, for example with NaN before the end of one.

    See Also
    --------
    to_padded : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw import to_ragged
    >>> to_ragged(np.array([[1.0, 2.0], [3.0, np.nan]]))
    [array([[1.],
           [2.]]), array([[3.]])]
    """
    return [series.copy() for series in check_series(X).to_list()]


def from_channels_first(X: Any) -> Array | list[Array]:
    """Series from the layout of aeon and sktime, time last, to the layout of this package, time first.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_channels, n_timestamps), or list of (n_channels, n_timestamps)
        What aeon and sktime call numpy3D, and what aeon calls np-list. Time steps of NaN at the end are
        padding.

    Returns
    -------
    ndarray of shape (n_samples, n_timestamps, n_channels), or list of (n_timestamps_i, n_channels) arrays
        An array for an array, with its padding; a list for a list. C-contiguous copies, float32 or float64.

    Raises
    ------
    ValueError
        If an array is not 3-D or an element of a list is not 2-D, or if the series are not usable.

    See Also
    --------
    to_channels_first : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw import from_channels_first
    >>> from_channels_first(np.zeros((10, 3, 50))).shape
    (10, 50, 3)
    """
    expected = "(n_samples, n_channels, n_timestamps), or a list of (n_channels, n_timestamps) arrays"
    swapped = _swap_axes(X, expected)
    check_series(swapped)
    return swapped


def to_channels_first(X: Any) -> Array | list[Array]:
    """Series from the layout of this package, time first, to that of aeon and sktime, time last.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
        Series in any form that the package accepts.

    Returns
    -------
    ndarray of shape (n_samples, n_features, n_timestamps), or list of (n_features, n_timestamps_i) arrays
        An array for an array, with its padding (sktime and aeon call it numpy3D); a list for a list (aeon:
        np-list). C-contiguous copies, float32 or float64.

    Raises
    ------
    ValueError
        If `X` is no set of series.

    See Also
    --------
    from_channels_first : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw import to_channels_first
    >>> to_channels_first(np.zeros((10, 50, 3))).shape
    (10, 3, 50)
    >>> to_channels_first(np.zeros((10, 50))).shape
    (10, 1, 50)
    """
    batch = check_series(X)
    if isinstance(X, SeriesBatch) or is_list(X):
        return [np.ascontiguousarray(series.T).copy() for series in batch.to_list()]
    return np.ascontiguousarray(batch.to_padded(X.shape[1]).transpose(0, 2, 1))


def from_multiindex(frame: DataFrame) -> Array | list[Array]:
    """Series from a pandas frame with a row for every series and time step.

    Parameters
    ----------
    frame : DataFrame of shape (total_timestamps, n_features) with a MultiIndex of two levels
        The first level says which series a row belongs to, the second is its time; what sktime calls
        pd-multiindex. The rows of a series stand together, in the order of time. The times themselves are not
        kept.

    Returns
    -------
    ndarray of shape (n_samples, n_timestamps, n_features), or list of (n_timestamps_i, n_features) arrays
        An array if all series have the same length, else a list; in the order in which the series stand in
        the frame.

    Raises
    ------
    TypeError
        If `frame` has no MultiIndex.
    ValueError
        If the index does not have two levels, or the rows are out of order.

    See Also
    --------
    to_multiindex : The way back.

    Examples
    --------
    >>> from sktime_sdtw import from_multiindex, to_multiindex
    >>> frame = to_multiindex([[1.0, 2.0, 3.0], [4.0, 5.0]], columns=["speed"])
    >>> frame.loc[1]
                speed
    timepoints
    0             4.0
    1             5.0
    >>> [series.shape for series in from_multiindex(frame)]
    [(3, 1), (2, 1)]
    """
    index: Any = getattr(frame, "index", None)
    if not hasattr(index, "codes") or not hasattr(frame, "to_numpy"):
        raise TypeError(
            f"frame must be a pandas DataFrame with a MultiIndex (series, time); got {type(frame).__name__}."
        )
    if index.nlevels != 2:
        raise ValueError(
            f"frame must have an index of two levels, (series, time); got {index.nlevels}: {index.names}."
        )
    if len(frame) == 0:
        raise ValueError("frame is empty; one series of one time step or more is needed.")
    instances, times = np.asarray(index.codes[0]), index.get_level_values(1)
    starts = np.flatnonzero(np.r_[True, instances[1:] != instances[:-1]])
    stops = np.r_[starts[1:], len(instances)]
    if len(np.unique(instances[starts])) != len(starts) or not all(
        times[start:stop].is_monotonic_increasing and times[start:stop].is_unique
        for start, stop in zip(starts, stops, strict=True)
    ):
        raise ValueError(
            "The rows of frame are out of order: the rows of a series must stand together, with times that "
            "increase. frame.sort_index() sorts them."
        )
    values = to_float_array(frame.to_numpy(), "frame").reshape(len(frame), -1)
    parts = [values[start:stop] for start, stop in zip(starts, stops, strict=True)]
    batch = check_series(parts, name="frame")
    if batch.is_equal_length:
        return batch.to_padded()
    return [series.copy() for series in batch.to_list()]


def to_multiindex(X: Any, *, columns: Sequence[str] | None = None) -> DataFrame:
    """Series as a pandas frame with a row for every series and time step, sktime's pd-multiindex.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
        Series in any form that the package accepts. Padding is dropped.
    columns : sequence of str, default=None
        Names of the features, by default ``var_0``, ``var_1``, …

    Returns
    -------
    DataFrame of shape (total_timestamps, n_features)
        Index levels ``instances`` and ``timepoints``, both counted from 0.

    Raises
    ------
    ImportError
        If pandas is not installed.
    ValueError
        If `X` is no set of series, or `columns` has another number of names than there are features.

    See Also
    --------
    from_multiindex : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw import to_multiindex
    >>> to_multiindex(np.zeros((2, 3, 2))).shape
    (6, 2)
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("to_multiindex needs pandas: pip install pandas.") from error
    batch = check_series(X)
    names = [f"var_{i}" for i in range(batch.n_features)] if columns is None else list(columns)
    if len(names) != batch.n_features:
        raise ValueError(f"columns has {len(names)} names, X has {batch.n_features} features.")
    instances = np.repeat(np.arange(len(batch)), batch.lengths)
    times = np.arange(len(batch.values)) - np.repeat(batch.offsets[:-1], batch.lengths)
    index = pd.MultiIndex.from_arrays([instances, times], names=_INDEX_NAMES)
    return pd.DataFrame(batch.values.copy(), index=index, columns=names)


def _swap_axes(X: Any, expected: str) -> Array | list[Array]:
    """The last two axes of a 3-D array, or of every array of a list, changed over."""
    if is_list(X):
        elements: Iterable[Any] = X
        arrays = [to_float_array(element, f"X[{i}]") for i, element in enumerate(elements)]
        for i, array in enumerate(arrays):
            if array.ndim != 2:
                raise ValueError(f"X[{i}] has shape {array.shape}. Expected {expected}.")
        return [np.array(array.T, order="C") for array in arrays]
    cube = to_float_array(X, "X")
    if cube.ndim != 3:
        raise ValueError(f"X has shape {cube.shape}. Expected {expected}.")
    return np.array(cube.transpose(0, 2, 1), order="C")
