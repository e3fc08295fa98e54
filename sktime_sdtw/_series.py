"""The one door: every container of time series that users bring becomes a `SeriesBatch` here, or an error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[Any]

_AXES = (
    "Expected (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or a list of arrays "
    "(n_timestamps,) or (n_timestamps, n_features); for (n_samples, n_channels, n_timestamps) data use "
    "sktime_sdtw.from_channels_first first."
)
_AXES_SINGLE = (
    "Expected one series, (n_timestamps,) or (n_timestamps, n_features); for (n_channels, n_timestamps) data "
    "pass the transpose (sktime_sdtw.from_channels_first does so for many series)."
)

_HOST_ONLY = (
    "pass {}. (Values, derivatives and alignments of single, paired and all pairs of series, "
    "pairwise_soft_dtw say, and sktime_sdtw.functional take it as it is.)"
)
_CUDA = 2  # kDLCUDA


@dataclass(frozen=True, eq=False, repr=False)
class SeriesBatch:
    """Series of any lengths, one after the other in one array.

    Parameters
    ----------
    values : ndarray of shape (total_timestamps, n_features), float32 or float64, C-contiguous
        May share memory with what the user passed: copy before keeping it, and never write to it.
    offsets : ndarray of shape (n_samples + 1,), int64
        Series ``i`` is ``values[offsets[i]:offsets[i + 1]]``.
    """

    values: Array
    offsets: NDArray[np.int64]

    @property
    def n_samples(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_features(self) -> int:
        return int(self.values.shape[1])

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    @property
    def max_length(self) -> int:
        return int(self.lengths.max())

    @property
    def is_equal_length(self) -> bool:
        lengths = self.lengths
        return bool((lengths == lengths[0]).all())

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    def __len__(self) -> int:
        return self.n_samples

    def __getitem__(self, index: int) -> Array:
        index = range(self.n_samples)[index]
        view: Array = self.values[self.offsets[index] : self.offsets[index + 1]]
        return view

    def __repr__(self) -> str:
        return f"SeriesBatch({self.n_samples} series, {self.n_features} features, {self.dtype})"

    def astype(self, dtype: DTypeLike) -> SeriesBatch:
        """The same series in another dtype; without a copy where it is the same."""
        return SeriesBatch(self.values.astype(dtype, copy=False), self.offsets)

    def copy(self) -> SeriesBatch:
        """A batch that shares no memory with what it was made from."""
        return SeriesBatch(self.values.copy(), self.offsets.copy())

    def take(self, indices: ArrayLike) -> SeriesBatch:
        """The chosen series (integers, repeats allowed, or a mask), copied, in that order."""
        chosen = np.arange(self.n_samples)[np.asarray(indices)]
        lengths = self.lengths[chosen]
        if self.is_equal_length:
            cube = self.values.reshape(self.n_samples, -1, self.n_features)[chosen]
            return SeriesBatch(cube.reshape(-1, self.n_features), _offsets_of(lengths))
        offsets = _offsets_of(lengths)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        return SeriesBatch(self.values[rows], offsets)

    def to_list(self) -> list[Array]:
        """Views (n_timestamps, n_features), one per series."""
        return [self[i] for i in range(self.n_samples)]

    def to_padded(self, length: int | None = None) -> Array:
        """Array (n_samples, length, n_features) with NaN after the end of each shorter series."""
        length = self.max_length if length is None else length
        if length < self.max_length:
            raise ValueError(f"length={length} is shorter than the longest series, {self.max_length}.")
        if self.is_equal_length and self.max_length == length:
            return self.values.reshape(self.n_samples, length, self.n_features).copy()
        padded = np.full((self.n_samples, length, self.n_features), np.nan, dtype=self.dtype)
        padded[np.arange(length) < self.lengths[:, None]] = self.values
        return padded

    @staticmethod
    def from_arrays(arrays: Sequence[Array]) -> SeriesBatch:
        """From arrays (n_timestamps, n_features) that are known to be good."""
        values = np.ascontiguousarray(np.concatenate(arrays))
        return SeriesBatch(values, _offsets_of([len(array) for array in arrays]))

    @staticmethod
    def concatenate(batches: Sequence[SeriesBatch]) -> SeriesBatch:
        """All series of all batches."""
        values = np.ascontiguousarray(np.concatenate([batch.values for batch in batches]))
        return SeriesBatch(values, _offsets_of(np.concatenate([batch.lengths for batch in batches])))


def check_series(
    X: Any, *, name: str = "X", dtype: DTypeLike | None = None, allow_nan: bool = False
) -> SeriesBatch:
    """Read a set of time series.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
        A 2-D array holds univariate series, one a row. A list (or tuple, or object array) holds arrays of
        shape (n_timestamps,) or (n_timestamps, n_features), of any lengths. Rows of NaN at the end of a
        series are padding. A `SeriesBatch` is returned as it is.
    name : str, default="X"
        What error messages call it.
    dtype : float32 or float64, default=None
        None keeps float32 and turns every other real dtype into float64.
    allow_nan : bool, default=False
        Let NaN before the end of a series pass.

    Returns
    -------
    SeriesBatch

    Raises
    ------
    TypeError
        Sparse or non-numeric input, or a tensor that is not on the CPU or requires grad.
    ValueError
        Empty input, a series without time steps, inf anywhere, NaN anywhere but at the end, complex numbers,
        series with different numbers of features, any other number of dimensions.

    Examples
    --------
    >>> from sktime_sdtw._series import check_series
    >>> batch = check_series([[1.0, 2.0, 3.0], [4.0, 5.0]])
    >>> batch.lengths
    array([3, 2])
    """
    batch = X if isinstance(X, SeriesBatch) else _read(X, name, allow_nan)
    return batch if dtype is None else batch.astype(dtype)


def check_single_series(x: Any, *, name: str = "x") -> Array:
    """Read one series, (n_timestamps,) or (n_timestamps, n_features), as a C-contiguous (t, d) array."""
    array = to_float_array(x, name)
    if array.ndim not in (1, 2):
        raise ValueError(f"{name} has shape {array.shape}. {_AXES_SINGLE}")
    if array.ndim == 2 and array.shape[1] == 0:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={array.shape}) while a minimum of 1 is required: {name}."
        )
    return _strip(array.reshape(len(array), -1) if array.size else array.reshape(0, 1), name)


def to_float_array(X: Any, name: str) -> Array:
    """Dense real array of any number of dimensions, float32 or float64."""
    array = _to_array(X, name)
    if array.dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} is of dtype {array.dtype}, real numbers are accepted."
        )
    if array.dtype.kind in "USOV":
        array = _from_objects(array, name)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} is of dtype {array.dtype}; real numbers are accepted.")
    return array.astype(np.float32 if array.dtype == np.float32 else np.float64, copy=False)


def is_list(X: Any) -> bool:
    """Whether a container is read series by series: a list, a tuple, or an object array of arrays."""
    return isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1)


def is_masked(X: Any) -> bool:
    """Whether this is a masked array. Who has one has imported its module, which takes milliseconds."""
    return "numpy.ma" in sys.modules and isinstance(X, np.ma.MaskedArray)


def lies_on_gpu(X: Any) -> bool:
    """Whether an array, of torch or of anything that speaks DLPack, lies on a CUDA device."""
    module = type(X).__module__.split(".")[0]
    if module == "numpy":
        return False
    if module == "torch" and hasattr(X, "is_cuda"):
        return bool(X.is_cuda)
    return hasattr(X, "__dlpack_device__") and int(X.__dlpack_device__()[0]) == _CUDA


def _to_array(X: Any, name: str) -> Array:
    if X is None:
        raise TypeError(f"{name} is None; an array of real numbers is needed.")
    module = type(X).__module__.split(".")[0]
    if module == "torch" and hasattr(X, "detach"):
        return _from_tensor(X, name)
    if lies_on_gpu(X):
        raise TypeError(f"{name} lies on a GPU; {_HOST_ONLY.format('a NumPy array')}")
    if hasattr(X, "tocsr") or hasattr(X, "todense"):
        raise TypeError(
            f"Sparse data was passed for {name}, but dense data is required. Use '.toarray()' to convert to "
            "a dense numpy array."
        )
    if module == "pandas" and hasattr(X, "to_numpy"):
        array = X.to_numpy()
        # A missing value of a nullable dtype is an object of its own. (pandas 2.0 cannot replace it in ints.)
        X = X.to_numpy(na_value=np.nan) if array.dtype == object else array
    if is_masked(X):  # what is masked is missing, and asarray would bring it back
        X = (np.ma.asarray(X, dtype=np.float64) if X.dtype.kind in "biu" else X).filled(np.nan)
    try:
        return np.asarray(X)
    except ValueError as error:  # numpy says "inhomogeneous shape" where an array is needed
        raise ValueError(f"{name} cannot be read as an array: {error}") from error


def check_dense(tensor: Any, name: str) -> None:
    """Raise for torch tensors of a layout that is no table."""
    if tensor.is_nested or tensor.is_sparse or tensor.is_sparse_csr:
        kind = "nested" if tensor.is_nested else "sparse"
        raise TypeError(f"{name} must be a dense tensor, padded where lengths differ. Got a {kind} tensor.")


def _from_tensor(X: Any, name: str) -> Array:
    """A CPU tensor as an array; recognised by its module, so that torch is never imported for it."""
    check_dense(X, name)
    if X.device.type != "cpu":
        raise TypeError(
            f"{name} is a tensor on {X.device}; tensors on the CPU are accepted here: "
            f"{_HOST_ONLY.format(f'{name}.cpu()')}"
        )
    if X.requires_grad:
        raise TypeError(
            f"{name} is a tensor that requires grad, which NumPy would lose; pass {name}.detach()."
        )
    if not X.is_floating_point() or str(X.dtype) in ("torch.float32", "torch.float64"):
        return np.asarray(X.numpy())
    return np.asarray(X.double().numpy())  # half types: NumPy lacks some of them


def _from_objects(array: Array, name: str) -> Array:
    if array.dtype.kind in "US":
        raise ValueError(f"{name} holds strings (dtype {array.dtype}); real numbers are accepted.")
    for element in array.flat:
        if isinstance(element, complex):
            raise ValueError(
                f"Complex data not supported: {name} holds complex numbers, real numbers are accepted."
            )
        if isinstance(element, (str, bytes)):
            raise ValueError(f"{name} holds strings; real numbers are accepted.")
        if np.ndim(element) > 0:
            raise ValueError(f"{name} is a column or table of arrays. {_AXES}")
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{name} holds something that is not a real number; real numbers are accepted. ({error})"
        ) from error


def _read(X: Any, name: str, allow_nan: bool) -> SeriesBatch:
    if is_list(X):
        return _read_sequence(X, name, allow_nan)
    if getattr(getattr(X, "index", None), "nlevels", 1) > 1:
        raise ValueError(
            f"{name} is a frame with a multi-index. If its rows are time steps, use "
            f"sktime_sdtw.from_multiindex first; if they are series, pass {name}.to_numpy()."
        )
    return _read_array(to_float_array(X, name), name, allow_nan)


def _read_sequence(X: Iterable[Any], name: str, allow_nan: bool) -> SeriesBatch:
    elements = list(X)
    if not elements:
        raise ValueError(
            f"Found array with 0 sample(s) while a minimum of 1 is required: {name} is empty. {_AXES}"
        )
    if all(np.isscalar(element) or element is None for element in elements):
        return _read_array(to_float_array(elements, name), name, allow_nan)
    arrays = [to_float_array(element, f"{name}[{i}]") for i, element in enumerate(elements)]
    if len({array.shape for array in arrays}) == 1:
        return _read_array(np.stack(arrays), name, allow_nan)
    return _join(arrays, name, allow_nan)


def _join(arrays: list[Array], name: str, allow_nan: bool) -> SeriesBatch:
    for i, array in enumerate(arrays):
        if array.ndim not in (1, 2):
            raise ValueError(f"{name}[{i}] has shape {array.shape}. {_AXES}")
    columns = [array.reshape(len(array), -1) if array.size else array.reshape(0, 1) for array in arrays]
    parts = [_strip(array, f"{name}[{i}]", allow_nan) for i, array in enumerate(columns)]
    widths = [part.shape[1] for part in parts]
    if len(set(widths)) != 1:
        odd = next(i for i, width in enumerate(widths) if width != widths[0])
        raise ValueError(
            f"The series of {name} differ in their number of features: {name}[0] has {widths[0]} and "
            f"{name}[{odd}] has {widths[odd]}. {_AXES}"
        )
    return SeriesBatch.from_arrays([part.astype(np.result_type(*parts), copy=False) for part in parts])


def _read_array(array: Array, name: str, allow_nan: bool) -> SeriesBatch:
    if array.ndim not in (2, 3):
        hint = (
            f" Reshape your data: {name}.reshape(1, -1) if it is a single series, {name}.reshape(-1, 1) if "
            "it is many series of one time step."
            if array.ndim < 2
            else ""
        )
        raise ValueError(f"{name} has {array.ndim} dimension(s), shape {array.shape}. {_AXES}{hint}")
    if array.shape[0] == 0:
        raise ValueError(
            f"Found array with 0 sample(s) (shape={array.shape}) while a minimum of 1 is required: {name}."
        )
    if array.shape[-1] == 0:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={array.shape}) while a minimum of 1 is required: {name}. "
            f"{_AXES}"
        )
    if array.shape[1] == 0:
        raise ValueError(f"{name} has shape {array.shape}: its series have no time steps. {_AXES}")
    cube = array.reshape(array.shape[0], array.shape[1], -1)
    with np.errstate(all="ignore"):
        finite = bool(np.isfinite(cube.sum())) or bool(np.isfinite(cube).all())
    if finite:
        n, t, d = cube.shape
        return SeriesBatch(np.ascontiguousarray(cube).reshape(n * t, d), np.arange(n + 1, dtype=np.int64) * t)
    return SeriesBatch.from_arrays(
        [_strip(series, f"{name}[{i}]", allow_nan) for i, series in enumerate(cube)]
    )


def _strip(series: Array, name: str, allow_nan: bool = False) -> Array:
    """Without the NaN rows at the end; finite but for NaN that is allowed, not empty, C-contiguous."""
    finite = np.isfinite(series)
    if not finite.all():
        if np.isinf(series).any():
            raise ValueError(f"{name} contains inf; finite values are accepted.")
        real = np.flatnonzero(~np.isnan(series).all(axis=1))
        length = int(real[-1]) + 1 if len(real) else 0
        if not allow_nan and not finite[:length].all():
            raise ValueError(
                f"{name} contains NaN before its end; NaN is accepted only as padding, in whole time steps "
                "after the last one. Fill or drop the missing values first."
            )
        series = series[:length]
    if len(series) == 0:
        holds = ", as it holds nothing but NaN" if len(finite) else ""
        raise ValueError(
            f"{name} is a series of zero length{holds}; every series needs one time step or more."
        )
    return np.ascontiguousarray(series)


def _offsets_of(lengths: ArrayLike) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
