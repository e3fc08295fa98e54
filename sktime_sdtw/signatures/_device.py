"""The way of arrays of estimators to a GPU and back; the functions take tensors that are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._engine import resolve_device
from .._series import Array

# Multiply-adds that take the CPU about as long as a cell of Soft-DTW, which `resolve_device` counts in. An
# estimate, not yet measured on a GPU.
OF_CELL = 10


def resolve_one(device: Any, work: float = 0.0) -> str:
    """Return "cpu" or the name of a GPU, as `resolve_device` does."""
    resolved = resolve_device(device, work)
    if "," in resolved:
        raise ValueError(f"Signatures are computed on one GPU. Got device={device!r}, which is {resolved}.")
    return resolved


def compute_on(device: Any, function: Callable[[Any], Any], path: Array, depth: int) -> Array:
    """Return what a function of signatures gives for a path, computed on a device.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:<i>"}
        "auto" takes a GPU where there is enough to do.
    function : callable
        Takes the path as an array or a tensor.
    path : ndarray of shape (..., length, channels)
    depth : int
        Of the signatures, to estimate the work.

    Returns
    -------
    ndarray
    """
    *_, channels = path.shape
    step = channels + sum((depth - k + 1) * channels**k for k in range(2, depth + 1))
    resolved = resolve_one(device, path.size / channels * step / OF_CELL)
    if resolved == "cpu":
        on_host: Array = function(path)
        return on_host
    import torch

    with torch.no_grad():
        found: Array = function(torch.from_numpy(path).to(resolved)).cpu().numpy()
    return found
