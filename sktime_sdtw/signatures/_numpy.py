"""The operators on NumPy arrays: memory for the engine, and linear maps between coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core
from .._engine import resolve_n_threads
from .._series import Array
from ._words import antipode, bracket_expansion, count_words, lyndon_index, words_to_brackets

name = "numpy"


def is_floating(x: Array) -> bool:
    """Whether the dtype is one of real floating numbers."""
    return x.dtype.kind == "f"


def working_dtype(dtype: Any) -> Any:
    """Return the dtype that is computed in: float64 in that, everything shorter in float32."""
    return np.float64 if np.dtype(dtype).itemsize >= 8 else np.float32


def cast(x: Array, dtype: Any) -> Array:
    """Return the array in another dtype."""
    return x.astype(dtype, copy=False)


def zeros(like: Array, shape: Sequence[int]) -> Array:
    """Return zeros of the dtype of `like`."""
    return np.zeros(tuple(shape), like.dtype)


def ones(like: Array, shape: Sequence[int]) -> Array:
    """Return ones of the dtype of `like`."""
    return np.ones(tuple(shape), like.dtype)


concatenate = np.concatenate
stack = np.stack


def take_points(x: Array, place: Array) -> Array:
    """Points (..., n, channels) of x at places (..., n); leading dimensions are broadcast."""
    if place.ndim == 1:
        return np.take(x, place, axis=-2)
    leading = np.broadcast_shapes(x.shape[:-2], place.shape[:-1])
    x, place = (
        np.broadcast_to(x, (*leading, *x.shape[-2:])),
        np.broadcast_to(place, (*leading, place.shape[-1])),
    )
    return np.take_along_axis(x, place[..., None], axis=-2)


def compose(blocks: Sequence[Any], leading: Sequence[int]) -> Array:
    """Join the channels of blocks, as `_transforms` has them, to points of shape (*leading, channels)."""
    channels = [block.source.shape[-1] for block in blocks]
    if len(blocks) == 1 and blocks[0].whole:
        return expand(blocks[0].source, (*leading, *channels))
    *paths, length = leading
    out = np.empty((*leading, sum(channels)), blocks[0].source.dtype)
    flat, first = out.reshape(-1, length, out.shape[-1]), 0
    for block, n in zip(blocks, channels, strict=True):
        if out.size:
            _core.take_points(_rows(block.source, paths, 2), _rows(block.index, paths, 1), flat, first)
        first += n
    return out


def _rows(x: Array, paths: Sequence[int], ndim: int) -> Array:
    """Return x, whose last `ndim` dimensions are of one path, with one before them: of 1, or of all paths."""
    leading, shape = x.shape[:-ndim], x.shape[-ndim:]
    if math.prod(leading) != 1:
        x = np.broadcast_to(x, (*paths, *shape))
    return np.ascontiguousarray(x).reshape(-1, *shape)


def last_known(x: Array, missing: Array) -> Array:
    """Each number of (..., n, channels) or, where missing, the last one before it, else the first one."""
    last = np.maximum.accumulate(np.where(missing, -1, np.arange(x.shape[-2])[:, None]), axis=-2)
    first = np.argmin(missing, axis=-2, keepdims=True)
    return np.take_along_axis(x, np.where(last < 0, first, last), axis=-2)


def is_hidden(x: Any) -> bool:
    """Whether the values cannot be looked at."""
    return False


def is_followed(x: Any) -> bool:
    """Whether derivatives with respect to x may be asked for."""
    return False


def keep_where(condition: Array, x: Array) -> Array:
    """Return x, and 0 where the condition does not hold."""
    return np.where(condition, x, x.dtype.type(0))


def expand(x: Array, shape: Sequence[int]) -> Array:
    """Return x as if it had been repeated to this shape."""
    return np.broadcast_to(x, tuple(shape))


def to_numpy(x: Any) -> Array:
    """Return values without a graph, on the host."""
    return np.asarray(x)


def asarray(x: Any, like: Array) -> Array:
    """Return constants as an array of the dtype of `like`."""
    return np.asarray(x, dtype=like.dtype)


def index(x: Any, like: Array) -> Array:
    """Return integers that can index `like`."""
    return np.asarray(x, dtype=np.int64)


def host_index(x: Any) -> Array:
    """Return integers that work is planned with."""
    return np.asarray(x, dtype=np.int64)


def signature(
    points: Array,
    basepoint: Array | None,
    lengths: Array | None,
    depth: int,
    stream: bool,
    initial: Array | None,
    n_jobs: int | None,
    windows: Array | None = None,
) -> Array:
    """Signatures of (..., points, channels), with windows (..., windows, words)."""
    *leading, n, d = points.shape
    n_threads = 1 if n_jobs is None else resolve_n_threads(n_jobs)
    steps = n if basepoint is not None else n - 1
    words = count_words(d, depth)
    rows = (steps,) if stream else () if windows is None else (len(windows),)
    out = np.empty((*leading, *rows, words), points.dtype)
    if out.size == 0:
        return out
    points = np.ascontiguousarray(points)
    if points.ndim != 3:
        points = points.reshape(-1, n, d)
    _core.signature(
        points, _flat(basepoint), _flat(lengths), windows, depth, stream, _flat(initial), out, n_threads
    )
    return out


def signature_gradient(
    points: Array,
    basepoint: Array | None,
    lengths: Array | None,
    depth: int,
    stream: bool,
    initial: Array | None,
    out: Array | None,
    gradient: Array,
    n_jobs: int | None,
    windows: Array | None = None,
) -> tuple[Array, Array | None, Array | None]:
    """Gradients with respect to the points, the basepoint and the initial signature."""
    n, d = points.shape[-2:]
    make = np.empty if gradient.size else np.zeros
    back = make(points.shape, points.dtype)
    base_back = None if basepoint is None else make(basepoint.shape, points.dtype)
    initial_back = None if initial is None else make(initial.shape, points.dtype)
    if gradient.size:
        n_threads = 1 if n_jobs is None else resolve_n_threads(n_jobs)
        points = np.ascontiguousarray(points).reshape(-1, n, d)
        _core.signature_gradient(
            points,
            _flat(basepoint),
            _flat(lengths),
            windows,
            depth,
            stream,
            _flat(initial),
            None if out is None else np.ascontiguousarray(out),
            np.ascontiguousarray(gradient),
            back,
            base_back,
            initial_back,
            n_threads,
        )
    return back, base_back, initial_back


def _flat(x: Array | None) -> Array | None:
    """Return the array as the engine reads it: contiguous; it knows the shape."""
    if x is None:
        return None
    return np.ascontiguousarray(x).reshape(-1) if x.dtype.kind == "i" else np.ascontiguousarray(x)


def product(a: Array, b: Array, channels: int, depth: int, n_jobs: int | None) -> Array:
    """Truncated tensor product of two arrays of one shape, the leading 1 left out."""
    out = np.empty(a.shape, a.dtype)
    words = count_words(channels, depth)
    a, b = (np.ascontiguousarray(x).reshape(-1, words) for x in (a, b))
    n_threads = 1 if n_jobs is None else resolve_n_threads(n_jobs)
    _core.tensor_product(a, b, channels, depth, out, n_threads)
    return out


def product_gradient(
    a: Array, b: Array, gradient: Array, channels: int, depth: int, n_jobs: int | None
) -> tuple[Array, Array]:
    """Gradients with respect to both factors."""
    a_back, b_back = np.empty(a.shape, a.dtype), np.empty(b.shape, b.dtype)
    words = count_words(channels, depth)
    a, b, gradient = (np.ascontiguousarray(x).reshape(-1, words) for x in (a, b, gradient))
    n_threads = 1 if n_jobs is None else resolve_n_threads(n_jobs)
    _core.tensor_product_gradient(a, b, gradient, channels, depth, a_back, b_back, n_threads)
    return a_back, b_back


def series(x: Array, coefficients: Sequence[float], channels: int, n_jobs: int | None) -> Array:
    """Sum of coefficients[m - 1] times the m-th tensor power of x."""
    out = np.empty(x.shape, x.dtype)
    rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    n_threads = 1 if n_jobs is None else resolve_n_threads(n_jobs)
    _core.tensor_series(rows, np.asarray(coefficients, dtype=np.float64), channels, out, n_threads)
    return out


def series_gradient(
    x: Array, gradient: Array, coefficients: Sequence[float], channels: int, n_jobs: int | None
) -> Array:
    """Gradient of `series` with respect to x."""
    back = np.empty(x.shape, x.dtype)
    rows, gradient = (np.ascontiguousarray(v).reshape(-1, x.shape[-1]) for v in (x, gradient))
    n_threads = 1 if n_jobs is None else resolve_n_threads(n_jobs)
    c = np.asarray(coefficients, dtype=np.float64)
    _core.tensor_series_gradient(rows, gradient, c, channels, back, n_threads)
    return back


def linear_size(kind: str, channels: int, depth: int, adjoint: bool) -> int:
    """Numbers that a linear map returns."""
    words = count_words(channels, depth)
    few = len(lyndon_index(channels, depth)) if kind != "antipode" else words
    if kind == "antipode":
        return words
    if kind == "to_brackets":
        return few
    return few if (kind == "to_words") != adjoint else words


def linear(x: Array, kind: str, channels: int, depth: int, adjoint: bool) -> Array:
    """One of the linear maps between coordinates, or its adjoint.

    "antipode": from a signature to that of the reversed path; "to_words": picks Lyndon words;
    "to_brackets": from Lyndon words to the Lyndon basis; "from_brackets": from there to all words.
    """
    if kind == "antipode":
        order, sign = antipode(channels, depth)
        return np.take(x, order, axis=-1) * sign.astype(x.dtype)
    if kind == "to_words":
        chosen = lyndon_index(channels, depth)
        if not adjoint:
            return np.take(x, chosen, axis=-1)
        out = np.zeros((*x.shape[:-1], count_words(channels, depth)), x.dtype)
        out[..., chosen] = x
        return out
    matrix = (words_to_brackets if kind == "to_brackets" else bracket_expansion)(channels, depth)
    matrix = matrix.astype(x.dtype)
    if adjoint:
        matrix = matrix.T.tocsr()
    out = (matrix @ x.reshape(-1, x.shape[-1]).T).T
    return np.ascontiguousarray(out).reshape(*x.shape[:-1], matrix.shape[0])
