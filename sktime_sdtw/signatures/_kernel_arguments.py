"""Paths and parameters of the signature kernel as users pass them: checked, with messages that name them."""

from __future__ import annotations

from numbers import Integral
from types import ModuleType
from typing import Any

import numpy as np

from ..metrics._numbers import check_number
from . import _kernel_numpy
from ._arguments import check_array, check_lengths, operators
from ._kernel_numpy import MOST_DEPTH, MOST_REFINEMENT, STATIC, Settings
from ._words import check_size


def settings_of(static_kernel: Any, sigma: Any, refinement: Any, depth: Any) -> Settings:
    """Return checked parameters."""
    if not isinstance(static_kernel, str) or static_kernel not in STATIC:
        raise ValueError(f"static_kernel must be one of {tuple(STATIC)}. Got {static_kernel!r}.")
    width = check_number(sigma, "sigma", 0, exclusive=True)
    orders = refinement if isinstance(refinement, tuple) else (refinement, refinement)
    for order in orders:
        if isinstance(order, bool) or not isinstance(order, Integral):
            raise TypeError(f"refinement must be an int >= 0, or two of them. Got {refinement!r}.")
        if not 0 <= int(order) <= MOST_REFINEMENT:
            raise ValueError(f"refinement must lie between 0 and {MOST_REFINEMENT}. Got {refinement!r}.")
    if len(orders) != 2:
        raise ValueError(f"refinement must be one int or two. Got {refinement!r}.")
    if depth is not None:
        depth = check_size(depth, "depth")
        if depth > MOST_DEPTH:
            raise ValueError(f"depth must be at most {MOST_DEPTH} for kernels. Got {depth}.")
        if any(orders):
            raise ValueError("refinement must be 0 where depth is given: that kernel is exact.")
    scale = width**-2 * (0.5 if static_kernel == "rbf" else 1.0)
    return Settings(str(static_kernel), scale, (int(orders[0]), int(orders[1])), depth or 0)


def choose_kernels(x: Any, y: Any) -> tuple[ModuleType, ModuleType]:
    """Return the operators on arrays of this kind, and their kernels."""
    ops = operators(x, y)
    if ops.name == "torch":
        from . import _kernel_torch

        return ops, _kernel_torch
    return ops, _kernel_numpy


def check_paths(x: Any, name: str, ops: ModuleType, least: int = 2) -> Any:
    """Return floating paths, (..., length, channels)."""
    if x is None:
        raise TypeError(f"{name} is required: None is accepted only with static_kernel='precomputed'.")
    x = check_array(x, name, ops)
    if x.ndim < least or x.shape[-1] == 0 or x.shape[-2] == 0:
        shape = "(..., length, channels)" if least == 2 else "(..., n, length, channels)"
        raise ValueError(f"{name} must have the shape {shape}, none of the last two 0. Got {tuple(x.shape)}.")
    return x


def check_alike(x: Any, y: Any, x_name: str, y_name: str) -> None:
    """Raise unless channels, dtype and device are the same."""
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(
            f"{x_name} and {y_name} must have the same number of channels. Got {x.shape[-1]} and "
            f"{y.shape[-1]}."
        )
    if x.dtype != y.dtype or getattr(x, "device", None) != getattr(y, "device", None):
        raise ValueError(
            f"{x_name} and {y_name} must have the same dtype and device. Got {x.dtype} and {y.dtype}."
        )


def check_path_lengths(lengths: Any, x: Any, name: str, ops: ModuleType) -> Any:
    """Return lengths of paths as integers; messages name the argument."""
    try:
        return check_lengths(lengths, x, ops, least=1)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("lengths", name, 1)) from None


def check_finite(x: Any, lengths: Any, name: str, ops: ModuleType) -> None:
    """Refuse NaN and inf in arrays. In tensors they give NaN, in their own pairs only."""
    if ops.name == "torch":
        return
    finite = np.isfinite(x)
    if finite.all():
        return
    bad = ~finite
    if lengths is not None and x.ndim > 1:
        bad &= (np.arange(x.shape[-2]) < np.asarray(lengths)[..., None])[..., None]
    if bad.any():
        raise ValueError(f"{name} contains NaN or inf; finite values are accepted.")


def check_values(values: Any, ops: ModuleType) -> None:
    """Refuse values that are not finite, of arrays."""
    if ops.name == "torch" or np.isfinite(values).all():
        return
    raise ValueError(
        f"The kernel leaves the range of {values.dtype}: choose a larger sigma, or pass float64 where it is "
        "float32."
    )


def to_working(x: Any, ops: ModuleType) -> Any:
    """Return paths in the dtype that is computed in."""
    return ops.cast(x, ops.working_dtype(x.dtype))
