"""Paths and signatures as users pass them: checked, of one dtype, ready for the operators."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

from .._series import check_dense, is_masked, lies_on_gpu
from . import _numpy
from ._words import check_depth, check_size, count_words

NAN_POLICIES = ("propagate", "raise", "ffill", "skip")


def operators(*arrays: Any) -> ModuleType:
    """Return the operators for torch where a tensor is among the arrays, else those for NumPy."""
    torch = sys.modules.get("torch")
    if torch is not None and any(isinstance(x, torch.Tensor) for x in arrays):
        from . import _torch

        return _torch
    return _numpy


def check_array(x: Any, name: str, ops: ModuleType) -> Any:
    """Return a floating array of the kind that `ops` works on."""
    if ops is _numpy:
        if lies_on_gpu(x):
            raise TypeError(
                f"{name} lies on a GPU; pass torch.from_dlpack({name}), which has the same memory."
            )
        if is_masked(x) and x.dtype.kind == "f":  # asarray would bring back what is masked
            x = x.filled(np.nan)
        try:
            x = np.asarray(x)
        except ValueError:
            raise ValueError(
                f"{name} must be one array: pad paths of different lengths, and pass their lengths. "
                f"Got a {type(x).__name__} of arrays of different shapes."
            ) from None
        if not x.dtype.isnative:
            x = x.astype(x.dtype.newbyteorder("="))
    elif not hasattr(x, "requires_grad"):
        raise TypeError(f"{name} must be a torch tensor like the other arguments. Got {type(x).__name__}.")
    else:
        check_dense(x, name)
    if not ops.is_floating(x):
        raise ValueError(f"{name} must hold floating numbers. Got {x.dtype}.")
    return x


def check_numbers(x: Any, name: str, like: Any, ops: ModuleType) -> Any:
    """Return numbers that go with an array: of its kind, dtype and device."""
    try:
        return ops.asarray(() if x is None else x, like)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} must be made of numbers. Got {x!r}.") from None


def check_path(path: Any, ops: ModuleType, *, basepoint: bool) -> Any:
    """Return a path of shape (..., points, channels)."""
    path = check_array(path, "path", ops)
    if path.ndim < 2:
        raise ValueError(
            "path must have the shape (..., length, channels). Got "
            f"{tuple(path.shape)}; a path of one channel is path[:, None]."
        )
    if path.shape[-1] == 0:
        raise ValueError(f"path must have at least one channel. Got the shape {tuple(path.shape)}.")
    least = 1 if basepoint else 2
    if path.shape[-2] < least:
        raise ValueError(
            f"path must have at least {'one point beside a basepoint' if basepoint else 'two points'}. "
            f"Got the shape {tuple(path.shape)}."
        )
    return path


def check_same(x: Any, name: str, path: Any, shape: tuple[int, ...], ops: ModuleType) -> Any:
    """Return an array that belongs to the path: its kind, dtype and device, and this shape."""
    x = check_array(x, name, ops)
    if tuple(x.shape) != shape:
        raise ValueError(f"{name} must have the shape {shape}. Got {tuple(x.shape)}.")
    if x.dtype != path.dtype or getattr(x, "device", None) != getattr(path, "device", None):
        raise ValueError(f"{name} must have the dtype and device of the path, {path.dtype}. Got {x.dtype}.")
    return x


def check_lengths(lengths: Any, path: Any, ops: ModuleType, *, least: int) -> Any:
    """Return lengths as integers, one for each path, between `least` and the number of points."""
    if lengths is None:
        return None
    hidden = ops.is_hidden(lengths)
    values = ops.host_index(lengths) if hidden else ops.to_numpy(lengths)
    if not hidden and values.size and values.dtype.kind not in "iu":
        raise TypeError(f"lengths must be integers. Got {values.dtype}.")
    if tuple(values.shape) != tuple(path.shape[:-2]):
        raise ValueError(f"lengths must have the shape {tuple(path.shape[:-2])}. Got {tuple(values.shape)}.")
    if not hidden and values.size and (values.min() < least or values.max() > path.shape[-2]):
        raise ValueError(
            f"lengths must lie between {least} and {path.shape[-2]}, the number of points. "
            f"Got {values.min()} to {values.max()}."
        )
    return ops.host_index(lengths if hidden else values.astype(np.int64))


def check_signature(x: Any, name: str, channels: int, depth: int, scalar_term: bool, ops: ModuleType) -> Any:
    """Return signatures without their scalar term, in the dtype that is computed in."""
    x = check_array(x, name, ops)
    words = count_words(channels, depth)
    if x.ndim < 1 or x.shape[-1] != words + scalar_term:
        raise ValueError(
            f"{name} must have {words + scalar_term} numbers in its last dimension, those of {channels} "
            f"channels to depth {depth}{' with' if scalar_term else ' without'} a scalar term. "
            f"Got the shape {tuple(x.shape)}."
        )
    x = ops.cast(x, ops.working_dtype(x.dtype))
    return x[..., 1:] if scalar_term else x


def check_channels_depth(channels: Any, depth: Any) -> tuple[int, int]:
    """Return both as ints."""
    return check_size(channels, "channels"), check_depth(depth)


def with_scalar(x: Any, scalar_term: bool, ops: ModuleType) -> Any:
    """Return signatures with the 1 in front, where wanted."""
    if not scalar_term:
        return x
    return ops.concatenate([ops.ones(x, (*x.shape[:-1], 1)), x], axis=-1)


def missing_numbers(path: Any, lengths: Any, ops: ModuleType) -> Any:
    """Return where NaN stands inside of paths."""
    missing = path != path
    if lengths is None:
        return missing
    inside = ops.index(np.arange(path.shape[-2]), path) < ops.index(lengths, path)[..., None]
    return missing & inside[..., None]


def visible_missing(path: Any, policy: str, lengths: Any, ops: ModuleType) -> Any:
    """Return where NaN stands inside of paths, for what depends on the values of that."""
    if ops.is_hidden(path):
        raise ValueError(
            f"nan_policy={policy!r} looks at values here, which torch.compile and torch.func do not show."
        )
    return missing_numbers(path, lengths, ops)


def treat_nan(path: Any, policy: str, lengths: Any, ops: ModuleType) -> Any:
    """Apply a policy for NaN; see `signature`. Points that are skipped repeat the last one that is not."""
    if policy not in NAN_POLICIES:
        raise ValueError(f"nan_policy must be one of {NAN_POLICIES}. Got {policy!r}.")
    if policy == "propagate":
        return path
    if policy == "raise":
        if bool(visible_missing(path, policy, lengths, ops).any()):
            raise ValueError('path holds NaN. nan_policy="ffill" or "skip" treat it as missing.')
        return path
    missing, hidden = missing_numbers(path, lengths, ops), ops.is_hidden(path)
    if not hidden and not bool(missing.any()):
        return path
    if policy == "skip":
        missing = ops.expand(missing.any(-1)[..., None], path.shape)
    if not hidden and _any_without_number(missing, lengths, ops):
        raise ValueError("path has a channel or a path without any number.")
    return ops.last_known(path, missing)


def _any_without_number(missing: Any, lengths: Any, ops: ModuleType) -> bool:
    """Whether all of the points that count are missing, in any channel of any path."""
    if lengths is None:
        return bool(missing.all(-2).any())
    return bool((missing.sum(-2) == ops.index(lengths, missing)[..., None]).any())
