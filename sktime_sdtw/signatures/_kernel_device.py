"""Signature kernels of arrays on a device that is named; the functions take tensors that are there."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._series import Array
from . import _numpy
from ._device import resolve_one
from ._kernel import signature_kernel, signature_kernel_gram
from ._kernel_arguments import check_values

MOST_RESULT_BYTES = 2**28  # of a matrix that is on the GPU as a whole


def gram_on(
    device: Any, x: Array, y: Array | None, x_lengths: Array, y_lengths: Array | None, **settings: Any
) -> Array:
    """Return `signature_kernel_gram` of arrays, computed on a device.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:<i>"}
        "auto" takes a GPU where there is enough to do.
    x, y : ndarray of shape (n, length, channels)
        y None is x.
    x_lengths, y_lengths : ndarray of int64
    **settings
        Of `signature_kernel_gram`.
    """
    other, other_lengths = (x, x_lengths) if y is None else (y, y_lengths)
    resolved = _resolve(device, x, len(x) * len(other) * other.shape[1], settings)
    if resolved == "cpu":
        on_host: Array = signature_kernel_gram(x, y, x_lengths=x_lengths, y_lengths=y_lengths, **settings)
        return on_host
    import torch

    out = np.empty((len(x), len(other)), x.dtype)
    each = max(1, MOST_RESULT_BYTES // (out.itemsize * max(1, len(other))))
    with torch.no_grad():
        rows = torch.from_numpy(x).to(resolved)
        cols = rows if y is None else torch.from_numpy(y).to(resolved)
        for first in range(0, len(x), each):
            part, begin = slice(first, first + each), 0
            if y is None:
                begin = min(first + each, len(x))
                own = signature_kernel_gram(rows[part], x_lengths=x_lengths[part], **settings)
                out[part, part] = own.cpu().numpy()
            if begin == len(other):
                continue
            found = signature_kernel_gram(
                rows[part],
                cols[begin:],
                x_lengths=x_lengths[part],
                y_lengths=None if other_lengths is None else other_lengths[begin:],
                **settings,
            )
            out[part, begin:] = found.cpu().numpy()
            if y is None:
                out[begin:, part] = out[part, begin:].T
    check_values(out, _numpy)
    return out


def own_on(device: Any, x: Array, lengths: Array, **settings: Any) -> Array:
    """Return the kernel of each path with itself, computed on a device."""
    resolved = _resolve(device, x, len(x) * x.shape[1], settings)
    if resolved == "cpu":
        on_host: Array = signature_kernel(x, x, x_lengths=lengths, y_lengths=lengths, **settings)
        return on_host
    import torch

    with torch.no_grad():
        paths = torch.from_numpy(x).to(resolved)
        found = signature_kernel(paths, paths, x_lengths=lengths, y_lengths=lengths, **settings)
        out: Array = found.cpu().numpy()
    check_values(out, _numpy)
    return out


def _resolve(device: Any, x: Array, others: int, settings: dict[str, Any]) -> str:
    """Return where to compute; `others`: points of the other paths, of all pairs."""
    from ..cuda_ext._signature_kernel_plan import MOST_ORDER

    refinement, depth = settings["refinement"], settings["depth"] or 1
    if device == "auto" and refinement > MOST_ORDER:  # finer than a GPU goes
        device = "cpu"
    # Cells; the CPU takes one in about the time of one of Soft-DTW. An estimate, not yet measured on a GPU.
    return resolve_one(device, float(x.shape[1]) * others * 4.0**refinement * depth**2)
