"""Signatures of paths, of their beginnings and of their windows."""

from __future__ import annotations

import math
import warnings
from types import ModuleType
from typing import Any

import numpy as np

from ._arguments import check_lengths, check_path, check_same, operators, treat_nan, with_scalar
from ._windows import resolve_windows
from ._words import check_depth, count_words


def signature(
    path: Any,
    depth: int,
    stream: bool = False,
    basepoint: Any = False,
    inverse: bool = False,
    initial: Any = None,
    scalar_term: bool = False,
    *,
    lengths: Any = None,
    windows: Any = None,
    nan_policy: str = "propagate",
    n_jobs: int | None = None,
) -> Any:
    r"""Signature of a path: its iterated integrals up to a depth.

    Parameters
    ----------
    path : ndarray or torch.Tensor of shape (..., length, channels)
        Points that are joined by straight lines. float16 and bfloat16 are computed in float32.
    depth : int
        Longest words, >= 1.
    stream : bool, default=False
        Return the signatures of all beginnings of the path.
    basepoint : bool or array of shape (..., channels), default=False
        A point before the first one; True is the origin. Without it the signature does not change when the
        path is moved.
    inverse : bool, default=False
        Return the inverse with respect to the product of signatures: the signature of the path run backwards.
    initial : array of shape (..., signature_channels), default=None
        A signature to go on from: the result is initial ⊗ signature, with `inverse` signature⁻¹ ⊗ initial.
        The basepoint should then be where that path ended.
    scalar_term : bool, default=False
        Put the constant 1, the integral over the empty word, in front; `initial` must then have it too.
    lengths : array of int of shape (...), default=None
        How many points of each path count; after them it stands still.
    windows : tuple or array of int of shape (n_windows, 2) or (..., n_windows, 2), default=None
        Return the signatures of parts of the path: ``("sliding", length, step)``, ``("expanding", length,
        step)`` (all begin at the first point), ``("dyadic", levels)`` (1, 2, 4, … parts of equal length), or
        intervals [start, end) of points, the same for all paths or each path's own; a step not given is 1.
        Not with stream, basepoint or initial.
    nan_policy : {"propagate", "raise", "ffill", "skip"}, default="propagate"
        "ffill" puts the last number of the channel in the place of NaN, "skip" leaves points out that have
        any NaN: the point before stands in their place, so that streams and windows count all points. What is
        missing before the first number, or the first point, is replaced by that.
    n_jobs : int, default=None
        Number of threads for NumPy arrays: None is 1, -1 all. For tensors, ``torch.get_num_threads()``.

    Returns
    -------
    ndarray or torch.Tensor of shape (..., signature_channels)
        With stream (..., steps, signature_channels), with windows (..., n_windows, signature_channels). The
        words are in the order of `all_words`. There are as many steps as points, one less without basepoint.

    Raises
    ------
    ValueError
        For shapes, dtypes and values that do not fit together, as the message says.

    See Also
    --------
    logsignature : The same information in fewer numbers.

    Notes
    -----
    The number of the word :math:`i_1 … i_k` is :math:`\int_{t_1<…<t_k} dx^{i_1}_{t_1} … dx^{i_k}_{t_k}`. A
    step costs about :math:`d^N (d/(d-1))^2` multiply-adds for d channels and depth N. The gradient needs no
    memory that grows with length × words: states are computed again from a few that are kept.

    References
    ----------
    P. Kidger, T. Lyons. Signatory: differentiable computations of the signature and logsignature transforms,
    on both CPU and GPU. ICLR 2021. arXiv:2001.00706.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw.signatures import signature
    >>> signature(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]]), depth=2)
    array([1. , 2. , 0.5, 2. , 0. , 2. ])
    """
    ops = operators(path, initial, basepoint)
    depth = check_depth(depth)
    based = basepoint is not False and basepoint is not None
    path = check_path(path, ops, basepoint=based)
    *leading, _, channels = path.shape
    dtype, working = path.dtype, ops.working_dtype(path.dtype)
    words = count_words(channels, depth)
    if basepoint is True:
        basepoint = ops.zeros(path, (*leading, channels))
    elif based:
        if isinstance(basepoint, (list, tuple)):
            raise TypeError("basepoint must be a bool or an array. Got a list.")
        basepoint = check_same(basepoint, "basepoint", path, (*leading, channels), ops)
    else:
        basepoint = None
    if initial is not None:
        if not based:
            warnings.warn(
                "An initial signature was given without a basepoint: the step from the end of the earlier "
                "path to the first point of this one is lost. Pass its end as the basepoint.",
                UserWarning,
                stacklevel=2,
            )
        initial = check_same(initial, "initial", path, (*leading, words + bool(scalar_term)), ops)
        initial = ops.cast(initial[..., 1:] if scalar_term else initial, working)
        if inverse:
            initial = ops.linear(initial, "antipode", channels, depth, False)
    lengths = check_lengths(lengths, path, ops, least=1 if based else 2)
    intervals = None
    if windows is not None:
        if stream or based or initial is not None:
            raise ValueError("windows cannot be combined with stream, basepoint or initial.")
        intervals = resolve_windows(windows, path.shape[-2], tuple(leading), ops)
    if nan_policy != "propagate":
        path = treat_nan(path, nan_policy, lengths, ops)
    if dtype != working:
        path = ops.cast(path, working)
        basepoint = None if basepoint is None else ops.cast(basepoint, working)
    if intervals is not None and isinstance(windows, tuple) and windows[0] == "expanding":
        # All begin at the first point: beginnings of the path, each computed from the one before.
        out = ops.signature(path, basepoint, lengths, depth, True, None, n_jobs)
        out = out[..., ops.index(intervals[:, 1] - 2, path), :]
    elif intervals is not None and intervals.ndim > 2:
        out = _signatures_of_own_windows(path, lengths, depth, intervals, n_jobs, ops)
    elif intervals is not None:
        out = ops.signature(path, None, lengths, depth, False, None, n_jobs, ops.host_index(intervals))
    else:
        out = ops.signature(path, basepoint, lengths, depth, bool(stream), initial, n_jobs)
    if inverse:
        # The antipode turns products round, so it takes inverses, with any initial signature.
        out = ops.linear(out, "antipode", channels, depth, False)
    if scalar_term:
        out = with_scalar(out, True, ops)
    return ops.cast(out, dtype) if dtype != working else out


def _signatures_of_own_windows(
    path: Any, lengths: Any, depth: int, intervals: Any, n_jobs: int | None, ops: ModuleType
) -> Any:
    """Signatures of windows that each path has for itself: of one long path, made of all of them."""
    *leading, n, channels = path.shape
    intervals, inside = ops.host_index(intervals), None
    if lengths is not None:
        start, last = intervals[..., 0], ops.host_index(lengths)[..., None]
        inside = start + 2 <= last
        # Where a path stands still all the time any two points will do: their result is replaced by 0.
        end = intervals[..., 1].clip(max=last) * inside + 2 * ~inside
        intervals = ops.stack([start * inside, end], -1)
    first = ops.host_index(np.arange(math.prod(leading)).reshape(*leading, 1, 1) * n)
    places = (intervals + first).reshape(-1, 2)
    out = ops.signature(path.reshape(-1, channels), None, None, depth, False, None, n_jobs, places)
    out = out.reshape(*leading, intervals.shape[-2], out.shape[-1])
    return out if inside is None else ops.keep_where(inside[..., None], out)
