"""The signature kernel by its definitions, in float64 and plain Python: independent of the package."""

from __future__ import annotations

import math

import numpy as np


def increments(x, y, static="linear", sigma=1.0):
    """Return the increments of the static kernel over all pairs of steps."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    gram = np.empty((len(x), len(y)))
    for i, a in enumerate(x):
        for j, b in enumerate(y):
            if static == "linear":
                gram[i, j] = sum(a * b) / sigma**2
            else:
                gram[i, j] = math.exp(-sum((a - b) ** 2) / (2 * sigma**2))
    return gram[1:, 1:] - gram[:-1, 1:] - gram[1:, :-1] + gram[:-1, :-1]


def goursat(g, refinement=(0, 0)):
    """Return the last value of the scheme of second order on the refined grid."""
    p, q = 2 ** refinement[0], 2 ** refinement[1]
    k = np.ones((g.shape[0] * p + 1, g.shape[1] * q + 1))
    for i in range(k.shape[0] - 1):
        for j in range(k.shape[1] - 1):
            v = g[i // p, j // q] / (p * q)
            k[i + 1, j + 1] = (k[i + 1, j] + k[i, j + 1]) * (1 + v / 2 + v * v / 12) - k[i, j] * (
                1 - v * v / 12
            )
    return k[-1, -1]


def words(x, depth):
    """Return the signature of a piecewise linear path, one array a level: Chen's identity, step by step."""
    x = np.asarray(x, np.float64)
    levels = [np.ones(())] + [np.zeros((x.shape[1],) * k) for k in range(1, depth + 1)]
    for step in np.diff(x, axis=0):
        powers = [np.ones(())]
        for k in range(1, depth + 1):
            powers.append(np.multiply.outer(powers[-1], step) / k)
        levels = [
            sum(np.multiply.outer(levels[i], powers[k - i]) for i in range(k + 1)) for k in range(depth + 1)
        ]
    return levels


def truncated(x, y, depth, sigma=1.0):
    """Return the inner product of two signatures up to a depth."""
    pairs = zip(words(np.asarray(x) / sigma, depth), words(np.asarray(y) / sigma, depth), strict=True)
    return float(sum((a * b).sum() for a, b in pairs))


def truncated_from(g, depth):
    """Return the same from increments: all choices of steps of both paths, with their multiplicities."""
    from itertools import combinations_with_replacement as choices

    def weight(steps):
        return math.prod(math.factorial(steps.count(s)) for s in set(steps))

    n, m = g.shape
    total = 1.0
    for length in range(1, depth + 1):
        for a in choices(range(n), length):
            for b in choices(range(m), length):
                total += math.prod(g[i, j] for i, j in zip(a, b, strict=True)) / (weight(a) * weight(b))
    return total
