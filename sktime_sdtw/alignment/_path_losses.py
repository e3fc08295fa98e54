"""How far a warp is from the true one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._result import GDTWResult


def _difference(warp: Any, truth: Any) -> tuple[Any, Any]:
    """|warp - truth|, and a module that has what is needed: NumPy, or the tensors' own methods."""
    from ._problem import is_tensor

    warp = warp.values if isinstance(warp, GDTWResult) else warp
    if is_tensor(warp, truth):
        import torch

        module: Any = torch
    else:
        module = np
    a, b = _read(warp, "warp", module), _read(truth, "truth", module)
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-1] or a.shape[-1] < 2:
        raise ValueError(
            f"warp and truth must have as many knots, two or more. Got {tuple(a.shape)}, {tuple(b.shape)}."
        )
    _check_pairs(a, b, "warp and truth")
    return module.abs(a - b), module


def _read(values: Any, name: str, module: Any) -> Any:
    """Numbers as an array, finite, or as a tensor, which is not looked into."""
    from ._problem import read_numbers

    if module is not np:
        from ._torch import read_tensor

        return read_tensor(values, name)
    numbers = read_numbers(values, name)
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} has NaN or inf.")
    return numbers


def _check_pairs(a: Any, b: Any, names: str) -> None:
    try:
        np.broadcast_shapes(tuple(a.shape), tuple(b.shape))
    except ValueError:
        raise ValueError(
            f"{names} must be of as many pairs. Got {tuple(a.shape)}, {tuple(b.shape)}."
        ) from None


def _knots(warp: Any, times: Any) -> Any:
    return warp.times if times is None and isinstance(warp, GDTWResult) else times


def _integral(values: Any, times: Any, module: Any) -> Any:
    if times is None:
        return 0.5 * (values[..., 1:] + values[..., :-1]).mean(-1)
    t = _read(times, "times", module)
    if t.ndim == 0 or t.shape[-1] != values.shape[-1]:
        raise ValueError(f"times must have {values.shape[-1]} knots. Got {tuple(t.shape)}.")
    _check_pairs(t, values, "times and warp")
    h = t[..., 1:] - t[..., :-1]
    if module is np and ((h < 0).any() or (t[..., 0] == t[..., -1]).any()):
        raise ValueError("times must increase from knot to knot.")
    return (0.5 * h * (values[..., 1:] + values[..., :-1])).sum(-1) / h.sum(-1)


def time_error(warp: Any, truth: Any, *, times: Any = None) -> Any:
    """Mean distance of a warp from the true one, over the time of the target.

    Parameters
    ----------
    warp : GDTWResult, or array-like or tensor of shape (n_knots,) or (n_pairs, n_knots)
        What `gdtw` returned, or times of the source.
    truth : array-like or tensor of shape (n_knots,) or (n_pairs, n_knots)
        The true warp at the same knots.
    times : array-like or tensor of shape (n_knots,) or (n_pairs, n_knots), default=None
        The knots. None takes those of a GDTWResult, and takes others as evenly spread.

    Returns
    -------
    float, ndarray or tensor of shape (n_pairs,)
        The integral of ``abs(warp - truth)`` by the trapezoid rule, divided by the duration. Differentiable
        for tensors.

    Examples
    --------
    >>> from sktime_sdtw import time_error
    >>> float(time_error([0.0, 0.5, 1.0], [0.0, 0.25, 1.0]))
    0.125
    """
    distance, module = _difference(warp, truth)
    return _integral(distance, _knots(warp, times), module)


def time_deviation(warp: Any, truth: Any, *, times: Any = None) -> Any:
    """Root of the mean squared distance of a warp from the true one, over the time of the target.

    Parameters
    ----------
    warp : GDTWResult, or array-like or tensor of shape (n_knots,) or (n_pairs, n_knots)
        What `gdtw` returned, or times of the source.
    truth : array-like or tensor of shape (n_knots,) or (n_pairs, n_knots)
        The true warp at the same knots.
    times : array-like or tensor of shape (n_knots,) or (n_pairs, n_knots), default=None
        The knots. None takes those of a GDTWResult, and takes others as evenly spread.

    Returns
    -------
    float, ndarray or tensor of shape (n_pairs,)
        Differentiable for tensors, except where the warps are equal.

    Examples
    --------
    >>> from sktime_sdtw import time_deviation
    >>> round(float(time_deviation([0.0, 0.5, 1.0], [0.0, 0.25, 1.0])), 4)
    0.1768
    """
    distance, module = _difference(warp, truth)
    return module.sqrt(_integral(distance * distance, _knots(warp, times), module))


def mean_alignment_error(warp: Any, truth: Any) -> Any:
    """Mean over the knots of the distance of a warp from the true one, each knot counted once.

    Parameters
    ----------
    warp : GDTWResult, or array-like or tensor of shape (n_knots,) or (n_pairs, n_knots)
        What `gdtw` returned, or times of the source.
    truth : array-like or tensor of shape (n_knots,) or (n_pairs, n_knots)
        The true warp at the same knots.

    Returns
    -------
    float, ndarray or tensor of shape (n_pairs,)

    Examples
    --------
    >>> from sktime_sdtw import mean_alignment_error
    >>> float(mean_alignment_error([0.0, 0.5, 1.0], [0.0, 0.2, 1.0]))
    0.09999999999999999
    """
    return _difference(warp, truth)[0].mean(-1)


def max_alignment_error(warp: Any, truth: Any) -> Any:
    """Largest distance of a warp from the true one at a knot.

    Parameters
    ----------
    warp : GDTWResult, or array-like or tensor of shape (n_knots,) or (n_pairs, n_knots)
        What `gdtw` returned, or times of the source.
    truth : array-like or tensor of shape (n_knots,) or (n_pairs, n_knots)
        The true warp at the same knots.

    Returns
    -------
    float, ndarray or tensor of shape (n_pairs,)

    Examples
    --------
    >>> from sktime_sdtw import max_alignment_error
    >>> float(max_alignment_error([0.0, 0.5, 1.0], [0.0, 0.25, 1.0]))
    0.25
    """
    distance, module = _difference(warp, truth)
    return distance.amax(-1) if hasattr(distance, "amax") else module.max(distance, -1)
