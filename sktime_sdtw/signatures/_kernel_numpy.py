"""The signature kernel on NumPy arrays: memory for the engine, and batches of matrices one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core
from .._engine import resolve_n_threads
from .._series import Array

STATIC = {"linear": 0, "rbf": 1, "precomputed": 2}
MOST_DEPTH = int(_core.MOST_KERNEL_DEPTH)
MOST_REFINEMENT = 12


@dataclass(frozen=True)
class Settings:
    """What is computed.

    Parameters
    ----------
    static : {"linear", "rbf", "precomputed"}
    scale : float
        linear: of the inner product; rbf: of the squared distance.
    refinement : tuple of int
        Of the steps of x and of y.
    depth : int
        0: no limit.
    """

    static: str = "linear"
    scale: float = 1.0
    refinement: tuple[int, int] = (0, 0)
    depth: int = 0


def out_shape(x_shape: tuple[int, ...], y_shape: tuple[int, ...] | None, paired: bool) -> tuple[int, ...]:
    """Return the shape of the values."""
    if paired:
        return tuple(x_shape[:-2])
    return (*x_shape[:-2], (x_shape if y_shape is None else y_shape)[-3])


def kernel(
    x: Array,
    y: Array | None,
    x_lengths: Array | None,
    y_lengths: Array | None,
    paired: bool,
    settings: Settings,
    n_jobs: int | None,
) -> Array:
    """Values: (...) of pairs (..., points, channels), or (..., n, m) of all pairs; y None stands for x there.

    With static "precomputed" x is (..., steps of x, steps of y), paired.
    """
    out = np.empty(out_shape(x.shape, None if y is None else y.shape, paired), x.dtype)
    for x3, y3, xl, yl, part in _parts(x, y, x_lengths, y_lengths, paired, out):
        _core.signature_kernel(x3, y3, xl, yl, *_arguments(y, paired, settings), part, _threads(n_jobs))
    return out


def kernel_gradient(
    x: Array,
    y: Array | None,
    x_lengths: Array | None,
    y_lengths: Array | None,
    weights: Array,
    paired: bool,
    settings: Settings,
    n_jobs: int | None,
) -> tuple[Array, Array | None]:
    """Gradients of sum(weights * values) with respect to x and, where it is given, y."""
    if y is None and not paired:
        # The engine goes through each pair once.
        square = np.swapaxes(weights, -1, -2)
        weights = weights + square - weights * np.eye(weights.shape[-1], dtype=weights.dtype)
    weights = np.ascontiguousarray(weights)
    x_back = np.zeros(x.shape, x.dtype)
    y_back = None if y is None else np.zeros(y.shape, x.dtype)
    if not (weights.size and x.size):
        return x_back, y_back
    x_parts = x_back.reshape(-1, *x.shape[-2 if paired else -3 :])
    y_parts = None if y_back is None else y_back.reshape(-1, *y_back.shape[-2 if paired else -3 :])
    for i, (x3, y3, xl, yl, part) in enumerate(_parts(x, y, x_lengths, y_lengths, paired, weights)):
        where = slice(None) if paired else i
        _core.signature_kernel_gradient(
            x3,
            y3,
            xl,
            yl,
            *_arguments(y, paired, settings),
            part,
            x_parts[where],
            None if y_parts is None else y_parts[where],
            _threads(n_jobs),
        )
    return x_back, y_back


def _arguments(y: Array | None, paired: bool, settings: Settings) -> tuple[int, int, float, int, int, int]:
    pairing = 2 if paired else 1 if y is None else 0
    return pairing, STATIC[settings.static], settings.scale, *settings.refinement, settings.depth


def _threads(n_jobs: int | None) -> int:
    return 1 if n_jobs is None else resolve_n_threads(n_jobs)


def _parts(
    x: Array, y: Array | None, x_lengths: Array | None, y_lengths: Array | None, paired: bool, values: Array
) -> Iterator[tuple[Any, ...]]:
    """Yield x, y, the lengths of both and values, which must be contiguous, for each call of the engine."""
    if not values.size:
        return
    x = np.ascontiguousarray(x)
    y = None if y is None else np.ascontiguousarray(y)
    xl, yl = (None if v is None else np.ascontiguousarray(v) for v in (x_lengths, y_lengths))
    if paired:
        count = math.prod(x.shape[:-2])
        flat = [None if v is None else v.reshape(count, *v.shape[-2:]) for v in (x, y)]
        lengths = [None if v is None else v.reshape(count) for v in (xl, yl)]
        yield *flat, *lengths, values.reshape(count)
        return
    count = math.prod(x.shape[:-3])
    parts: list[Any] = [[None] * count if v is None else v.reshape(count, *v.shape[-3:]) for v in (x, y)]
    parts += [[None] * count if v is None else v.reshape(count, v.shape[-1]) for v in (xl, yl)]
    yield from zip(*parts, values.reshape(count, *values.shape[-2:]), strict=True)
