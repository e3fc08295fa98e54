"""Signatures from their definition, in float64: every step multiplied out, one path at a time."""

from __future__ import annotations

import itertools

import numpy as np


def multiply(a, b):
    depth = len(a) - 1
    return [sum(np.multiply.outer(a[i], b[k - i]) for i in range(k + 1)) for k in range(depth + 1)]


def unit(channels, depth):
    return [np.array(1.0), *(np.zeros((channels,) * k) for k in range(1, depth + 1))]


def exponential(z, depth):
    levels = [np.array(1.0)]
    for k in range(1, depth + 1):
        levels.append(np.multiply.outer(levels[-1], z) / k)
    return levels


def flat(levels):
    return np.concatenate([level.ravel() for level in levels[1:]])


def split(x, channels, depth):
    levels, at = [np.array(1.0)], 0
    for k in range(1, depth + 1):
        levels.append(np.asarray(x[at : at + channels**k], dtype=np.float64).reshape((channels,) * k))
        at += channels**k
    return levels


def signatures(path, depth, initial=None):
    """All beginnings of one path (length, channels)."""
    path = np.asarray(path, dtype=np.float64)
    channels = path.shape[1]
    state = unit(channels, depth) if initial is None else split(initial, channels, depth)
    rows = []
    for z in np.diff(path, axis=0):
        state = multiply(state, exponential(z, depth))
        rows.append(flat(state))
    return np.stack(rows)


def inverse(x, channels, depth):
    """1 / (1 + n) = 1 - n + n⊗n - …"""
    levels = split(x, channels, depth)
    nilpotent = [np.array(0.0), *levels[1:]]
    total, power = unit(channels, depth), unit(channels, depth)
    for _ in range(depth):
        power = [-level for level in multiply(power, nilpotent)]
        total = [t + p for t, p in zip(total, power, strict=True)]
    return flat(total)


def logarithm(x, channels, depth):
    levels = split(x, channels, depth)
    nilpotent = [np.array(0.0), *levels[1:]]
    total, power = [level * 0 for level in levels], unit(channels, depth)
    for m in range(1, depth + 1):
        power = multiply(power, nilpotent)
        total = [t + (-1.0) ** (m + 1) / m * p for t, p in zip(total, power, strict=True)]
    return flat(total)


def product(a, b, channels, depth):
    return flat(multiply(split(a, channels, depth), split(b, channels, depth)))


def is_lyndon(word):
    return all(word < word[i:] for i in range(1, len(word)))


def lyndon_words(channels, depth):
    return [
        list(word)
        for k in range(1, depth + 1)
        for word in itertools.product(range(channels), repeat=k)
        if is_lyndon(word)
    ]


def shuffles(u, v):
    """All words that arise from shuffling two words, with repetition."""
    if not u or not v:
        return [u + v]
    return [[u[0], *w] for w in shuffles(u[1:], v)] + [[v[0], *w] for w in shuffles(u, v[1:])]
