"""Paths made of paths, before their signatures are taken."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from ._arguments import check_array, operators
from ._words import check_size

TRANSFORMS = ("time", "lead_lag", "basepoint", "invisibility_reset", "cumulative_sum")


def transform_path(path: Any, transforms: str | Sequence[str], *, times: Any = None, lag: int = 1) -> Any:
    """Augment a path, one transform after the other.

    Parameters
    ----------
    path : ndarray or torch.Tensor of shape (..., length, channels)
        Points that are joined by straight lines.
    transforms : str or sequence of str
        "time" appends a channel of times. "lead_lag" has two copies of the channels, the second of which
        follows the first `lag` points later; 2 length - 1 points for a lag of 1. "basepoint" puts the origin
        in front. "invisibility_reset" appends a channel that is 1, then drops it to 0, then all others, so
        that the signature sees where the path ends. "cumulative_sum" adds up the points.
    times : array of shape (length,) or (..., length), default=None
        When the points were taken; None is 0 to 1 in equal steps. Used by "time".
    lag : int, default=1
        Used by "lead_lag".

    Returns
    -------
    ndarray or torch.Tensor of shape (..., new length, new channels)
        Differentiable where the path is.

    References
    ----------
    J. Morrill, A. Fermanian, P. Kidger, T. Lyons. A generalised signature method for multivariate time series
    feature extraction. 2020. arXiv:2006.00873.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw.signatures import transform_path
    >>> transform_path(np.array([[5.0], [7.0], [6.0]]), ["time", "basepoint"])
    array([[0. , 0. ],
           [5. , 0. ],
           [7. , 0.5],
           [6. , 1. ]])
    """
    ops = operators(path, times)
    path = check_array(path, "path", ops)
    if path.ndim < 2 or 0 in path.shape[-2:]:
        raise ValueError(f"path must have the shape (..., length, channels). Got {tuple(path.shape)}.")
    chosen = [transforms] if isinstance(transforms, str) else list(transforms)
    unknown = [name for name in chosen if name not in TRANSFORMS]
    if unknown:
        raise ValueError(f"transforms must be among {TRANSFORMS}. Got {unknown[0]!r}.")
    if times is not None and "time" not in chosen:
        raise ValueError('times were given without the transform "time".')
    for name in chosen:
        if name == "time":
            path = _add_time(path, times, ops)
        elif name == "lead_lag":
            path = _lead_lag(path, check_size(lag, "lag"), ops)
        elif name == "basepoint":
            path = ops.concatenate([_origin(path, ops), path], axis=-2)
        elif name == "invisibility_reset":
            path = _invisibility_reset(path, ops)
        else:
            path = path.cumsum(-2)
    return path


def _origin(path: Any, ops: ModuleType) -> Any:
    return ops.zeros(path, (*path.shape[:-2], 1, path.shape[-1]))


def _add_time(path: Any, times: Any, ops: ModuleType) -> Any:
    length = path.shape[-2]
    if times is None:
        times = ops.asarray([i / max(length - 1, 1) for i in range(length)], path)
    else:
        times = ops.asarray(times, path)
        if tuple(times.shape) not in {(length,), tuple(path.shape[:-1])}:
            raise ValueError(
                f"times must have the shape {(length,)} or {tuple(path.shape[:-1])}. "
                f"Got {tuple(times.shape)}."
            )
    return ops.concatenate([path, ops.expand(times, path.shape[:-1])[..., None]], axis=-1)


def _lead_lag(path: Any, lag: int, ops: ModuleType) -> Any:
    # Both copies move in turn; the second is `lag` points behind, and at the end it catches up.
    last = path.shape[-2] - 1
    lead, behind = [0], [0]
    for i in range(1, last + lag + 1):
        lead += [min(i, last)] * 2
        behind += [behind[-1], min(max(i - lag + 1, 0), last)]
    keep = [0] + [i for i in range(1, len(lead)) if (lead[i], behind[i]) != (lead[i - 1], behind[i - 1])]
    first = path[..., ops.index([lead[i] for i in keep], path), :]
    second = path[..., ops.index([behind[i] for i in keep], path), :]
    return ops.concatenate([first, second], axis=-1)


def _invisibility_reset(path: Any, ops: ModuleType) -> Any:
    seen = ops.concatenate([path, ops.ones(path, (*path.shape[:-1], 1))], axis=-1)
    hidden = ops.concatenate([path[..., -1:, :], ops.zeros(path, (*path.shape[:-2], 1, 1))], axis=-1)
    return ops.concatenate([seen, hidden, _origin(seen, ops)], axis=-2)
