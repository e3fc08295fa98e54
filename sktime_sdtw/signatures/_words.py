"""Words: how many there are, which are Lyndon, and the linear maps between systems of coordinates."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from .._core import MOST_DEPTH

Indices = NDArray[np.int64]

MOST_LISTED = 2**24


def check_size(value: Any, name: str) -> int:
    """Return a number of channels or a depth as an int >= 1."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an int >= 1. Got {value!r}.")
    if value < 1:
        raise ValueError(f"{name} must be an int >= 1. Got {value!r}.")
    return int(value)


def check_depth(depth: Any) -> int:
    """Return a depth that the engine takes."""
    depth = check_size(depth, "depth")
    if depth > MOST_DEPTH:
        raise ValueError(f"depth must be at most {MOST_DEPTH}. Got {depth}.")
    return depth


def count_words(channels: int, depth: int) -> int:
    """Return how many words of 1 to `depth` letters there are; raise where an index would overflow."""
    if channels == 1:
        return depth
    total = (channels ** (min(depth, 64) + 1) - channels) // (channels - 1)
    if total >= 2**63:
        raise ValueError(f"There are too many words: {channels} channels to depth {depth}. Integer overflow.")
    return total


def _check_list(count: int, channels: int, depth: int) -> None:
    """Raise where a list of words would take gigabytes."""
    if count > MOST_LISTED:
        raise ValueError(
            f"There are {count} words: {channels} channels to depth {depth}. Lists hold up to {MOST_LISTED}."
        )


def signature_channels(channels: int, depth: int, scalar_term: bool = False) -> int:
    """Count the numbers of a signature.

    Parameters
    ----------
    channels : int
        Channels of the path.
    depth : int
        Longest words.
    scalar_term : bool, default=False
        Whether the constant 1 is counted too.

    Returns
    -------
    int

    Examples
    --------
    >>> from sktime_sdtw.signatures import signature_channels
    >>> signature_channels(3, 2)
    12
    """
    return count_words(check_size(channels, "channels"), check_size(depth, "depth")) + bool(scalar_term)


def logsignature_channels(in_channels: int, depth: int) -> int:
    """Count the numbers of a log-signature in the modes "words" and "brackets": one for each Lyndon word.

    Parameters
    ----------
    in_channels : int
        Channels of the path.
    depth : int
        Longest words.

    Returns
    -------
    int
        By Witt's formula.

    Examples
    --------
    >>> from sktime_sdtw.signatures import logsignature_channels
    >>> logsignature_channels(4, 6)
    964
    """
    d, depth = check_size(in_channels, "in_channels"), check_size(depth, "depth")
    if d == 1:
        return 1
    count_words(d, depth)
    total = 0
    for k in range(1, depth + 1):
        total += sum(_moebius(k // j) * d**j for j in range(1, k + 1) if k % j == 0) // k
    return total


def _moebius(n: int) -> int:
    sign, p = 1, 2
    while n > 1:
        if n % p == 0:
            n //= p
            if n % p == 0:
                return 0
            sign = -sign
        p += 1
    return sign


def all_words(channels: int, depth: int) -> list[tuple[int, ...]]:
    """All words, in the order of the numbers of a signature: by length, then lexicographically.

    Parameters
    ----------
    channels : int
        Letters are 0 … channels - 1.
    depth : int
        Longest words.

    Returns
    -------
    list of tuple of int

    Examples
    --------
    >>> from sktime_sdtw.signatures import all_words
    >>> all_words(2, 2)
    [(0,), (1,), (0, 0), (0, 1), (1, 0), (1, 1)]
    """
    channels, depth = check_size(channels, "channels"), check_depth(depth)
    _check_list(count_words(channels, depth), channels, depth)
    return [word for k in range(1, depth + 1) for word in itertools.product(range(channels), repeat=k)]


def lyndon_words(channels: int, depth: int) -> list[list[int]]:
    """Lyndon words, in the order of the numbers of a log-signature: by length, then lexicographically.

    A word is Lyndon if it comes before all of its proper endings in the dictionary.

    Parameters
    ----------
    channels : int
        Letters are 0 … channels - 1.
    depth : int
        Longest words.

    Returns
    -------
    list of list of int

    Examples
    --------
    >>> from sktime_sdtw.signatures import lyndon_words
    >>> lyndon_words(2, 3)
    [[0], [1], [0, 1], [0, 0, 1], [0, 1, 1]]
    """
    channels, depth = check_size(channels, "channels"), check_depth(depth)
    return [list(word) for word in _lyndon(channels, depth)]


@lru_cache(maxsize=64)
def _lyndon(channels: int, depth: int) -> list[tuple[int, ...]]:
    _check_list(logsignature_channels(channels, depth), channels, depth)
    # Duval: the next Lyndon word repeats the last one up to the full length, then loses its largest letters.
    words, word = [], [-1]
    while word:
        word[-1] += 1
        words.append(tuple(word))
        word = [word[i % len(word)] for i in range(depth)]
        while word and word[-1] == channels - 1:
            word.pop()
    return sorted(words, key=lambda w: (len(w), w))


def lyndon_brackets(channels: int, depth: int) -> list[Any]:
    """Standard brackets of the Lyndon words, in the order of `lyndon_words`.

    The bracket of a letter is the letter; that of a longer word is [bracket of u, bracket of v], v being its
    longest proper ending that is Lyndon.

    Parameters
    ----------
    channels : int
        Letters are 0 … channels - 1.
    depth : int
        Longest words.

    Returns
    -------
    list
        Of ints and of nested lists of two.

    Examples
    --------
    >>> from sktime_sdtw.signatures import lyndon_brackets
    >>> lyndon_brackets(2, 3)
    [0, 1, [0, 1], [0, [0, 1]], [[0, 1], 1]]
    """
    words = _lyndon(check_size(channels, "channels"), check_depth(depth))
    known = set(words)

    def bracket(word: tuple[int, ...]) -> Any:
        if len(word) == 1:
            return word[0]
        split = _standard_split(word, known)
        return [bracket(word[:split]), bracket(word[split:])]

    return [bracket(word) for word in words]


def _standard_split(word: tuple[int, ...], known: set[tuple[int, ...]]) -> int:
    return next(split for split in range(1, len(word)) if word[split:] in known)


def word_index(word: Sequence[int], channels: int) -> int:
    """Return the place of a word among all words."""
    index = 0
    for letter in word:
        index = index * channels + letter
    return index + (count_words(channels, len(word) - 1) if len(word) > 1 else 0)


@lru_cache(maxsize=64)
def lyndon_index(channels: int, depth: int) -> Indices:
    """Return the places of the Lyndon words among all words."""
    index = np.array([word_index(word, channels) for word in _lyndon(channels, depth)], dtype=np.int64)
    index.flags.writeable = False
    return index


@lru_cache(maxsize=64)
def antipode(channels: int, depth: int) -> tuple[Indices, NDArray[np.float64]]:
    """Return where the letters of each word stand in reverse order, and the sign (-1)^length."""
    index, sign, offset = [], [], 0
    for k in range(1, depth + 1):
        level = np.arange(channels**k).reshape((channels,) * k)
        index.append(offset + level.transpose().ravel())
        sign.append(np.full(channels**k, (-1.0) ** k))
        offset += channels**k
    return np.concatenate(index), np.concatenate(sign)


@lru_cache(maxsize=16)
def bracket_expansion(channels: int, depth: int) -> scipy.sparse.csr_array:
    """Return the matrix (words, Lyndon words) whose columns are the brackets, multiplied out."""
    words = _lyndon(channels, depth)
    known = set(words)
    expanded: dict[tuple[int, ...], tuple[Indices, NDArray[np.float64]]] = {}
    for word in words:
        if len(word) == 1:
            expanded[word] = np.array([word[0]], dtype=np.int64), np.ones(1)
            continue
        split = _standard_split(word, known)
        (i, a), (j, b) = expanded[word[:split]], expanded[word[split:]]
        first = (i[:, None] * channels ** (len(word) - split) + j).ravel()
        second = (j[:, None] * channels**split + i).ravel()
        product = np.multiply.outer(a, b)
        index, inverse = np.unique(np.concatenate([first, second]), return_inverse=True)
        values = np.bincount(inverse, np.concatenate([product.ravel(), -product.T.ravel()]))
        expanded[word] = index[values != 0], values[values != 0]
    rows = [expanded[w][0] + (count_words(channels, len(w) - 1) if len(w) > 1 else 0) for w in words]
    columns = [np.full(len(row), column) for column, row in enumerate(rows)]
    values = np.concatenate([expanded[word][1] for word in words])
    shape = (count_words(channels, depth), len(words))
    return scipy.sparse.csr_array((values, (np.concatenate(rows), np.concatenate(columns))), shape=shape)


@lru_cache(maxsize=16)
def words_to_brackets(channels: int, depth: int) -> scipy.sparse.csr_array:
    """Return the matrix from coefficients of Lyndon words to coordinates in the Lyndon basis.

    The bracket of w is w plus words that come later, so the matrix of the other direction is 1 + K with a
    nilpotent K, and this one the finite sum of (-K)^n.
    """
    forward = bracket_expansion(channels, depth)[lyndon_index(channels, depth)]
    unit = scipy.sparse.eye_array(forward.shape[0], format="csr")
    nilpotent = (forward - unit).tocsr()
    nilpotent.eliminate_zeros()
    total, term = unit, unit
    while term.nnz:
        term = -(term @ nilpotent)
        term.eliminate_zeros()
        total = total + term
    return scipy.sparse.csr_array(total)
