"""Log-signatures in three coordinate systems, and the ways between them and signatures."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from ._arguments import check_array, check_channels_depth, check_signature, operators, with_scalar
from ._signature import signature
from ._words import logsignature_channels

MODES = ("words", "brackets", "expand")


def check_mode(mode: str) -> str:
    """Return the mode, or raise."""
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"mode must be one of {MODES}. Got {mode!r}.")
    return mode


def _logarithm(x: Any, channels: int, depth: int, mode: str, n_jobs: int | None, ops: ModuleType) -> Any:
    x = ops.series(x, [(-1.0) ** (m + 1) / m for m in range(1, depth + 1)], channels, n_jobs)
    if mode != "expand":
        x = ops.linear(x, "to_words", channels, depth, False)
    if mode == "brackets":
        x = ops.linear(x, "to_brackets", channels, depth, False)
    return x


def logsignature(
    path: Any,
    depth: int,
    stream: bool = False,
    basepoint: Any = False,
    inverse: bool = False,
    mode: str = "words",
    *,
    lengths: Any = None,
    windows: Any = None,
    nan_policy: str = "propagate",
    n_jobs: int | None = None,
) -> Any:
    """Log-signature of a path: the signature's logarithm, in fewer numbers that say the same.

    Parameters
    ----------
    path : ndarray or torch.Tensor of shape (..., length, channels)
        Points that are joined by straight lines.
    depth : int
        Longest words, >= 1.
    stream : bool, default=False
        Return the log-signatures of all beginnings of the path.
    basepoint : bool or array of shape (..., channels), default=False
        A point before the first one; True is the origin.
    inverse : bool, default=False
        Of the inverse signature.
    mode : {"words", "brackets", "expand"}, default="words"
        "words" are the coefficients of Lyndon words in the logarithm, "brackets" its coordinates in the basis
        of Lyndon brackets, "expand" its coefficients of all words.
    lengths : array of int of shape (...), default=None
        How many points of each path count.
    windows : tuple or array of int of shape (n_windows, 2) or (..., n_windows, 2), default=None
        Parts of the path, as in `signature`.
    nan_policy : {"propagate", "raise", "ffill", "skip"}, default="propagate"
        As in `signature`.
    n_jobs : int, default=None
        Number of threads for NumPy arrays: None is 1, -1 all.

    Returns
    -------
    ndarray or torch.Tensor of shape (..., logsignature_channels)
        With stream (..., steps, logsignature_channels), with windows (..., n_windows, logsignature_channels);
        signature_channels numbers for "expand".
        In the order of `lyndon_words`, of `lyndon_brackets` or of `all_words`.

    See Also
    --------
    signature_to_logsignature : From a signature that is known already.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw.signatures import logsignature
    >>> logsignature(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]]), depth=2)
    array([1., 2., 1.])
    """
    check_mode(mode)
    ops = operators(path, basepoint)
    path = check_array(path, "path", ops)
    dtype = path.dtype
    if dtype != ops.working_dtype(dtype):  # the logarithm of a rounded signature would lose digits
        path = ops.cast(path, ops.working_dtype(dtype))
        if not isinstance(basepoint, bool) and basepoint is not None:
            basepoint = ops.cast(check_array(basepoint, "basepoint", ops), path.dtype)
    out = signature(
        path,
        depth,
        stream,
        basepoint,
        inverse,
        lengths=lengths,
        windows=windows,
        nan_policy=nan_policy,
        n_jobs=n_jobs,
    )
    return ops.cast(_logarithm(out, path.shape[-1], depth, mode, n_jobs, ops), dtype)


def signature_to_logsignature(
    signature: Any,
    channels: int,
    depth: int,
    stream: bool = False,
    mode: str = "words",
    scalar_term: bool = False,
    *,
    n_jobs: int | None = None,
) -> Any:
    """Log-signature from a signature.

    Parameters
    ----------
    signature : ndarray or torch.Tensor of shape (..., signature_channels)
        Any leading dimensions.
    channels : int
        Channels of the path.
    depth : int
        Depth of the signature.
    stream : bool, default=False
        Whether these are signatures of all beginnings; the result is the same for both.
    mode : {"words", "brackets", "expand"}, default="words"
        As in `logsignature`.
    scalar_term : bool, default=False
        Whether the signature has the constant 1 in front.
    n_jobs : int, default=None
        Number of threads for NumPy arrays: None is 1, -1 all.

    Returns
    -------
    ndarray or torch.Tensor of shape (..., logsignature_channels)

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw.signatures import signature, signature_to_logsignature
    >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]])
    >>> signature_to_logsignature(signature(x, 2), channels=2, depth=2)
    array([1., 2., 1.])
    """
    check_mode(mode)
    ops = operators(signature)
    channels, depth = check_channels_depth(channels, depth)
    given = check_array(signature, "signature", ops)
    if given.ndim < 1 + bool(stream):
        raise ValueError(f"signature must have the shape (..., steps, words). Got {tuple(given.shape)}.")
    x = check_signature(given, "signature", channels, depth, bool(scalar_term), ops)
    return ops.cast(_logarithm(x, channels, depth, mode, n_jobs, ops), given.dtype)


def logsignature_to_signature(
    logsignature: Any,
    channels: int,
    depth: int,
    mode: str = "words",
    scalar_term: bool = False,
    *,
    n_jobs: int | None = None,
) -> Any:
    """Signature from a log-signature: the exponential.

    Parameters
    ----------
    logsignature : ndarray or torch.Tensor of shape (..., logsignature_channels)
        Any leading dimensions.
    channels : int
        Channels of the path.
    depth : int
        Depth of the log-signature.
    mode : {"words", "brackets", "expand"}, default="words"
        In which coordinates it is given; see `logsignature`.
    scalar_term : bool, default=False
        Put the constant 1 in front of the signature.
    n_jobs : int, default=None
        Number of threads for NumPy arrays: None is 1, -1 all.

    Returns
    -------
    ndarray or torch.Tensor of shape (..., signature_channels)

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw.signatures import logsignature_to_signature
    >>> logsignature_to_signature(np.array([1.0, 2.0, 1.0]), channels=2, depth=2)
    array([1. , 2. , 0.5, 2. , 0. , 2. ])
    """
    check_mode(mode)
    ops = operators(logsignature)
    channels, depth = check_channels_depth(channels, depth)
    given = check_array(logsignature, "logsignature", ops)
    if mode == "expand":
        x = check_signature(given, "logsignature", channels, depth, False, ops)
    else:
        size = logsignature_channels(channels, depth)
        if given.ndim < 1 or given.shape[-1] != size:
            raise ValueError(
                f"logsignature must have {size} numbers in its last dimension. Got {tuple(given.shape)}."
            )
        x = ops.cast(given, ops.working_dtype(given.dtype))
        if mode == "words":
            x = ops.linear(x, "to_brackets", channels, depth, False)
        x = ops.linear(x, "from_brackets", channels, depth, False)
    x = ops.series(x, [1 / math.factorial(m) for m in range(1, depth + 1)], channels, n_jobs)
    return ops.cast(with_scalar(x, bool(scalar_term), ops), given.dtype)
