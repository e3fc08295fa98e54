"""Signatures, their products, and the way back to a path."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from ._arguments import (
    check_array,
    check_channels_depth,
    check_lengths,
    check_path,
    check_same,
    check_signature,
    operators,
    treat_nan,
    with_scalar,
)
from ._windows import resolve_windows
from ._words import check_depth, check_size, count_words, word_index


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
        any NaN. NaN before the first number is replaced by that.
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


def signature_combine(
    sigtensor1: Any,
    sigtensor2: Any,
    input_channels: int,
    depth: int,
    inverse: bool = False,
    scalar_term: bool = False,
    *,
    n_jobs: int | None = None,
) -> Any:
    """Signature of two paths run one after the other, from their signatures (Chen's identity).

    Parameters
    ----------
    sigtensor1, sigtensor2 : ndarray or torch.Tensor of shape (..., signature_channels)
        The second path must begin where the first one ends: computed with that point as its basepoint.
    input_channels : int
        Channels of the paths.
    depth : int
        Depth of the signatures.
    inverse : bool, default=False
        Whether these are inverse signatures, whose product goes the other way round.
    scalar_term : bool, default=False
        Whether they have the constant 1 in front.
    n_jobs : int, default=None
        Number of threads for NumPy arrays: None is 1, -1 all.

    Returns
    -------
    ndarray or torch.Tensor of shape (..., signature_channels)

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw.signatures import signature, signature_combine
    >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]])
    >>> signature_combine(signature(x[:2], 2), signature(x[1:], 2), 2, 2)
    array([1. , 2. , 0.5, 2. , 0. , 2. ])
    """
    return multi_signature_combine(
        [sigtensor1, sigtensor2], input_channels, depth, inverse, scalar_term, n_jobs=n_jobs
    )


def multi_signature_combine(
    sigtensors: Sequence[Any],
    input_channels: int,
    depth: int,
    inverse: bool = False,
    scalar_term: bool = False,
    *,
    n_jobs: int | None = None,
) -> Any:
    """Signature of several paths run one after the other, from their signatures.

    Parameters
    ----------
    sigtensors : sequence of ndarray or torch.Tensor of shape (..., signature_channels)
        At least one. Each path must begin where the one before ends.
    input_channels : int
        Channels of the paths.
    depth : int
        Depth of the signatures.
    inverse : bool, default=False
        Whether these are inverse signatures, whose product goes the other way round.
    scalar_term : bool, default=False
        Whether they have the constant 1 in front.
    n_jobs : int, default=None
        Number of threads for NumPy arrays: None is 1, -1 all.

    Returns
    -------
    ndarray or torch.Tensor of shape (..., signature_channels)

    Notes
    -----
    Products are taken of neighbours, of their products, and so on.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw.signatures import multi_signature_combine, signature
    >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0], [0.0, 0.0]])
    >>> multi_signature_combine([signature(x[i : i + 2], 2) for i in range(3)], 2, 2)
    array([ 0.,  0.,  0.,  1., -1.,  0.])
    """
    if not isinstance(sigtensors, Sequence) or not sigtensors:
        raise ValueError("sigtensors must be a list of at least one signature.")
    ops = operators(*sigtensors)
    channels, depth = check_channels_depth(input_channels, depth)
    first = check_array(sigtensors[0], "sigtensors[0]", ops)
    parts = []
    for i, x in enumerate(sigtensors):
        same = check_same(x, f"sigtensors[{i}]", first, tuple(first.shape), ops)
        parts.append(check_signature(same, f"sigtensors[{i}]", channels, depth, bool(scalar_term), ops))
    if inverse:
        parts.reverse()
    while len(parts) > 1:
        joined = [
            ops.product(a, b, channels, depth, n_jobs) for a, b in zip(parts[::2], parts[1::2], strict=False)
        ]
        parts = joined + parts[2 * len(joined) :]
    return ops.cast(with_scalar(parts[0], bool(scalar_term), ops), first.dtype)


def extract_signature_term(sigtensor: Any, channels: int, depth: int, scalar_term: bool = False) -> Any:
    """One level of a signature: the words of exactly `depth` letters.

    Parameters
    ----------
    sigtensor : ndarray or torch.Tensor of shape (..., signature_channels)
        A signature of at least this depth.
    channels : int
        Channels of the path.
    depth : int
        Length of the words.
    scalar_term : bool, default=False
        Whether the constant 1 stands in front.

    Returns
    -------
    ndarray or torch.Tensor of shape (..., channels ** depth)
        A view.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw.signatures import extract_signature_term, signature
    >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]])
    >>> extract_signature_term(signature(x, 3), 2, 2)
    array([0.5, 2. , 0. , 2. ])
    """
    ops = operators(sigtensor)
    channels, depth = check_size(channels, "channels"), check_size(depth, "depth")
    sigtensor = check_array(sigtensor, "sigtensor", ops)
    begin = (count_words(channels, depth - 1) if depth > 1 else 0) + bool(scalar_term)
    end = begin + channels**depth
    if sigtensor.ndim < 1 or sigtensor.shape[-1] < end:
        raise ValueError(
            f"sigtensor must have at least {end} numbers in its last dimension. "
            f"Got the shape {tuple(sigtensor.shape)}."
        )
    return sigtensor[..., begin:end]


def extract_words(
    sigtensor: Any, words: Sequence[Sequence[int]], channels: int, scalar_term: bool = False
) -> Any:
    """Numbers of some words of a signature.

    Parameters
    ----------
    sigtensor : ndarray or torch.Tensor of shape (..., signature_channels)
        A signature, deep enough for the longest of the words.
    words : sequence of sequences of int
        Each of at least one letter.
    channels : int
        Channels of the path.
    scalar_term : bool, default=False
        Whether the constant 1 stands in front.

    Returns
    -------
    ndarray or torch.Tensor of shape (..., len(words))
        In the order of `words`.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw.signatures import extract_words, signature
    >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]])
    >>> extract_words(signature(x, 3), [(0, 1), (1, 0), (0,)], channels=2)
    array([2., 0., 1.])
    """
    ops = operators(sigtensor)
    channels = check_size(channels, "channels")
    sigtensor = check_array(sigtensor, "sigtensor", ops)
    places = []
    for word in words:
        if not len(word) or not set(word) <= set(range(channels)):
            raise ValueError(f"words must have letters 0 to {channels - 1}, at least one. Got {word!r}.")
        places.append(word_index(word, channels) + bool(scalar_term))
    if sigtensor.ndim < 1 or max(places, default=-1) >= sigtensor.shape[-1]:
        raise ValueError(f"sigtensor is not deep enough for these words: {tuple(sigtensor.shape)}.")
    return sigtensor[..., ops.index(places, sigtensor)]


def invert_signature(signature: Any, depth: int, channels: int, initial_position: Any = None) -> Any:
    """Path of `depth` straight pieces whose signature is close to a given one.

    Parameters
    ----------
    signature : ndarray or torch.Tensor of shape (..., signature_channels)
        Without scalar term.
    depth : int
        Depth of the signature.
    channels : int
        Channels of the path.
    initial_position : array of shape (..., channels), default=None
        Where the path begins; None is the origin.

    Returns
    -------
    ndarray or torch.Tensor of shape (..., depth + 1, channels)
        Of the dtype and on the device of the signature.

    Notes
    -----
    The signature of level N-1 is inserted into that of level N: piece p is the letter that, put at place p
    into all words of N-1 letters, comes closest to the words of N letters. A signature whose level N-1 is 0
    gives a path that stays where it is.

    References
    ----------
    J. Chang, T. Lyons. Insertion algorithm for inverting the signature of a path. 2019. arXiv:1907.08423.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw.signatures import invert_signature, signature
    >>> line = np.array([[0.0, 0.0], [1.0, 2.0]])
    >>> invert_signature(signature(line, 2), depth=2, channels=2)
    array([[0. , 0. ],
           [0.5, 1. ],
           [1. , 2. ]])
    """
    ops = operators(signature, initial_position)
    channels, depth = check_channels_depth(channels, depth)
    given = check_array(signature, "signature", ops)
    x = check_signature(given, "signature", channels, depth, False, ops)
    leading = tuple(x.shape[:-1])
    start = ops.zeros(x, (*leading, channels))
    if initial_position is not None:
        position = check_same(initial_position, "initial_position", given, (*leading, channels), ops)
        start = ops.cast(position, x.dtype)
    top = extract_signature_term(x, channels, depth)
    pieces = [top]
    if depth > 1:
        below = extract_signature_term(x, channels, depth - 1)
        size = (below * below).sum(-1)[..., None]
        # Where level N-1 vanishes the numerator does too: any divisor will do.
        size = size + ops.cast(size == 0, size.dtype)
        pieces = []
        for p in range(depth):
            u, v = channels**p, channels ** (depth - 1 - p)
            left = below.reshape(*leading, u, 1, v)
            inserted = (left * top.reshape(*leading, u, channels, v)).sum(-1).sum(-2)
            pieces.append(inserted * (depth / size))
    points = [start]
    for piece in pieces:
        points.append(points[-1] + piece / depth)
    return ops.cast(ops.stack(points, axis=-2), given.dtype)
