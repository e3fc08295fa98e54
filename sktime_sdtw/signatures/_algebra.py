"""What is made of signatures: products, single levels and words, and the way back to a path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._arguments import check_array, check_channels_depth, check_same, check_signature, operators, with_scalar
from ._words import check_size, count_words, word_index


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
