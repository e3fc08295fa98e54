"""Reads the arguments that the metrics share, and gives gradients the shape of what they belong to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._engine import Pairs
from .._series import Array, SeriesBatch, check_series, check_single_series, is_list, to_float_array
from ._batch import precomputed_pairs
from ._costs import ResolvedCost, check_cost_matrix
from ._numbers import check_number


def check_gamma(gamma: Any) -> float:
    """One temperature: a finite number >= 0."""
    return check_number(gamma, "gamma", 0)


def check_gammas(gamma: Any) -> tuple[NDArray[np.float64], bool]:
    """One temperature or a 1-D array of them, as an array, and whether it was a single one."""
    if isinstance(gamma, (bool, np.bool_)) or gamma is None or isinstance(gamma, (str, bytes, complex)):
        raise TypeError(f"gamma must be a finite number >= 0 or a 1-D array of them. Got {gamma!r}.")
    gammas = to_float_array(gamma, "gamma").astype(np.float64)
    if gammas.ndim > 1 or gammas.size == 0:
        raise ValueError(f"gamma must be a number or a 1-D array, not empty. Got shape {gammas.shape}.")
    if not (np.isfinite(gammas).all() and (gammas >= 0).all()):
        raise ValueError(f"gamma must be finite and >= 0. Got {gamma!r}.")
    return np.ascontiguousarray(np.atleast_1d(gammas)), gammas.ndim == 0


def read_pair(x: Any, y: Any, cost: ResolvedCost) -> Pairs:
    """One pair of series; or one cost matrix, as x."""
    if cost.name == "precomputed":
        _refuse_y(y, "y", "x is the matrix of local costs")
        return precomputed_pairs([check_cost_matrix(x, "x")])
    _require_y(y, "y")
    first = SeriesBatch.from_arrays([check_single_series(x, name="x")])
    second = SeriesBatch.from_arrays([check_single_series(y, name="y")])
    return Pairs(*_same_kind(first, second, "x", "y"))


def read_paired(X: Any, Y: Any, cost: ResolvedCost) -> Pairs:
    """Row i of X with row i of Y; or a list of cost matrices, as X."""
    if cost.name == "precomputed":
        _refuse_y(Y, "Y", "X is a list of matrices of local costs")
        if isinstance(X, (str, bytes)) or not hasattr(X, "__len__"):
            raise TypeError(
                f"X must be a list of cost matrices where cost='precomputed'. Got {type(X).__name__}."
            )
        if len(X) == 0:
            raise ValueError("X is empty; one cost matrix or more is needed.")
        return precomputed_pairs([check_cost_matrix(matrix, f"X[{i}]") for i, matrix in enumerate(X)])
    _require_y(Y, "Y")
    first, second = _same_kind(check_series(X, name="X"), check_series(Y, name="Y"), "X", "Y")
    if len(first) != len(second):
        raise ValueError(
            "X and Y must have the same number of series, as row i goes with row i. "
            f"Got {len(first)} and {len(second)}."
        )
    return Pairs(first, second)


def read_pairwise(X: Any, Y: Any) -> tuple[SeriesBatch, SeriesBatch | None]:
    """Two sets of series, or one with itself."""
    if Y is None:
        return check_series(X, name="X"), None
    return _same_kind(check_series(X, name="X"), check_series(Y, name="Y"), "X", "Y")


def shaped_like(X: Any, flat: Array | None, offsets: NDArray[np.int64]) -> Any:
    """Split flat results into the container of the input, element i being flat[offsets[i]:offsets[i + 1]].

    An array where all elements have one shape, else a list of arrays; zero where the input is padding.
    """
    if flat is None:
        return None
    if isinstance(X, SeriesBatch):
        shapes: list[tuple[int, ...]] = [(int(length), X.n_features) for length in X.lengths]
    elif is_list(X):
        shapes = [to_float_array(element, "X").shape for element in X]
    else:
        array = to_float_array(X, "X")
        shapes = [array.shape[1:]] * len(array)
    parts = [_padded(flat[offsets[i] : offsets[i + 1]], shape) for i, shape in enumerate(shapes)]
    return np.stack(parts) if len(set(shapes)) == 1 else parts


def _padded(values: Array, shape: tuple[int, ...]) -> Array:
    out = np.zeros(math.prod(shape), values.dtype)
    out[: values.size] = values.ravel()
    return out.reshape(shape)


def _same_kind(x: SeriesBatch, y: SeriesBatch, x_name: str, y_name: str) -> tuple[SeriesBatch, SeriesBatch]:
    if x.n_features != y.n_features:
        raise ValueError(
            f"{x_name} has {x.n_features} features per time step, but {y_name} has {y.n_features}. The axes "
            "are read as (n_samples, n_timestamps, n_features), of a single series as (n_timestamps, "
            "n_features); for channels-first data use sktime_sdtw.from_channels_first."
        )
    dtype = np.result_type(x.dtype, y.dtype)
    return x.astype(dtype), y.astype(dtype)


def _require_y(y: Any, name: str) -> None:
    if y is None:
        raise TypeError(f"{name} is required: None is accepted only with cost='precomputed'.")


def _refuse_y(y: Any, name: str, reason: str) -> None:
    if y is not None:
        raise ValueError(f"{name} must be None where cost='precomputed': {reason}.")
