"""What the operators must compute, written down once more from the formulas: plain loops, float64 and mpmath.

Nothing here is taken from the package. The cost of clarity is time: for short series only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import mpmath
import numpy as np

INF = math.inf
Cell = tuple[int, int]
STEPS = ((1, 0), (0, 1), (1, 1))

# The accuracy that is promised, per dtype: errors of values relative to max(|value|, mean local cost), errors
# of gradients in the maximum norm, relative to the largest entry.
VALUE_TOLERANCE = {"float32": 2e-6, "float64": 1e-12}
GRADIENT_TOLERANCE = {"float32": 1e-4, "float64": 1e-10}


# --- local costs


def as_rows(x) -> np.ndarray:
    """(n_timestamps, n_features) in float64."""
    x = np.asarray(x, dtype=np.float64)
    return x[:, None] if x.ndim == 1 else x


def local_cost(a, b, cost="sqeuclidean", sigma=1.0) -> float:
    square = math.fsum((p - q) ** 2 for p, q in zip(a, b, strict=True))
    if cost == "sqeuclidean":
        return square
    if cost == "euclidean":
        return math.sqrt(square)
    if cost == "manhattan":
        return math.fsum(abs(p - q) for p, q in zip(a, b, strict=True))
    if cost == "cosine":
        a, b = (np.asarray(v) / math.sqrt(math.fsum(p * p for p in v)) for v in (a, b))
        return 0.5 * math.fsum((p - q) ** 2 for p, q in zip(a, b, strict=True))
    if cost == "gak":
        u = square / (2.0 * sigma**2)
        return u + math.log1p(-math.expm1(-u))  # u + log(2 - exp(-u))
    raise ValueError(cost)


def local_slope(a, b, cost="sqeuclidean", sigma=1.0) -> np.ndarray:
    """Derivative of the local cost with respect to a; 0 in kinks."""
    a, b = np.asarray(a), np.asarray(b)
    difference = a - b
    square = math.fsum(difference**2)
    if cost == "sqeuclidean":
        return 2.0 * difference
    if cost == "euclidean":
        return difference / math.sqrt(square) if square > 0 else 0.0 * difference
    if cost == "manhattan":
        return np.sign(difference)
    if cost == "cosine":
        norm = math.sqrt(math.fsum(a * a))
        u, v = a / norm, b / math.sqrt(math.fsum(b * b))
        return -(v - (u @ v) * u) / norm
    if cost == "gak":
        g = math.exp(-square / (2.0 * sigma**2))
        return difference / sigma**2 * 2.0 / (2.0 - g)  # du * (1 + g / (2 - g))
    raise ValueError(cost)


def cost_matrix(x, y, cost="sqeuclidean", sigma=1.0) -> np.ndarray:
    x, y = as_rows(x), as_rows(y)
    return np.array([[local_cost(a, b, cost, sigma) for b in y] for a in x])


# --- constraints


def inside(i: int, j: int, n: int, m: int, radius=None, slope=None) -> bool:
    """Whether cell (i, j), counted from 0, of an n by m table takes part."""
    if radius is not None:
        if isinstance(radius, float):
            radius = math.floor(radius * max(n, m) + 1e-9)
        return min(0, m - n) - radius <= j - i <= max(0, m - n) + radius
    if slope is not None:
        if n == 1 or m == 1:
            return True
        # In units of the table both axes have length 1: the path stays between the lines of slope s and 1/s
        # through both corners.
        u, v = i / (n - 1), j / (m - 1)
        eps = 1e-9 / (m - 1)
        low = max(u / slope, 1.0 - slope * (1.0 - u))
        high = min(slope * u, 1.0 - (1.0 - u) / slope)
        return low - eps <= v <= high + eps
    return True


def constrained(costs: np.ndarray, radius=None, slope=None) -> np.ndarray:
    """The cost matrix with inf outside."""
    n, m = costs.shape
    cells = [[costs[i, j] if inside(i, j, n, m, radius, slope) else INF for j in range(m)] for i in range(n)]
    return np.array(cells)


# --- recursions in the log domain


def softmin(values: list[float], gamma: float) -> float:
    least = min(values)
    if gamma == 0 or math.isinf(least):
        return least
    return least - gamma * math.log(math.fsum(math.exp((least - v) / gamma) for v in values))


def table(costs: np.ndarray, gamma: float) -> np.ndarray:
    """R, with one row and one column of borders before it."""
    n, m = costs.shape
    R = np.full((n + 1, m + 1), INF)
    R[0, 0] = 0.0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            R[i, j] = costs[i - 1, j - 1] + softmin([R[i - di, j - dj] for di, dj in STEPS], gamma)
    return R


def value(costs: np.ndarray, gamma: float) -> float:
    return float(table(costs, gamma)[-1, -1])


def weights(R: np.ndarray, i: int, j: int, gamma: float) -> dict[Cell, float]:
    """The share of each predecessor in the softmin of cell (i, j) of a table with borders."""
    predecessors = [(i - di, j - dj) for di, dj in STEPS]
    least = min(R[p] for p in predecessors)
    if math.isinf(least):
        return {}
    terms = {p: math.exp((least - R[p]) / gamma) for p in predecessors}
    total = math.fsum(terms.values())
    return {p: term / total for p, term in terms.items() if term > 0}


class Solution(NamedTuple):
    value: float
    alignment: np.ndarray
    expected_cost: float
    gamma_slope: float


def solve(costs: np.ndarray, gamma: float) -> Solution:
    """Value, expected alignment, <E, D>, and the derivative with respect to gamma > 0.

    The latter is minus the entropy of the distribution over paths, added up over its choices: no difference
    of large numbers is taken.
    """
    n, m = costs.shape
    R = table(costs, gamma)
    E = np.zeros((n + 1, m + 1))
    E[n, m] = 1.0
    entropy = []
    for i in range(n, 0, -1):
        for j in range(m, 0, -1):
            if E[i, j] == 0 or (i, j) == (1, 1):
                continue
            shares = weights(R, i, j, gamma)
            for cell, share in shares.items():
                E[cell] += E[i, j] * share
                entropy.append(-E[i, j] * share * math.log(share))
    E = E[1:, 1:]
    expected = math.fsum(e * c for e, c in zip(E.ravel(), costs.ravel(), strict=True) if e > 0)
    return Solution(float(R[n, m]), E, expected, -math.fsum(entropy))


def gradients(x, y, alignment, cost="sqeuclidean", sigma=1.0) -> tuple[np.ndarray, np.ndarray]:
    """By the chain rule through the local costs."""
    x, y = as_rows(x), as_rows(y)
    gx, gy = np.zeros_like(x), np.zeros_like(y)
    for i, j in itertools.product(range(len(x)), range(len(y))):
        if alignment[i, j] > 0:
            gx[i] += alignment[i, j] * local_slope(x[i], y[j], cost, sigma)
            gy[j] += alignment[i, j] * local_slope(y[j], x[i], cost, sigma)
    return gx, gy


# --- by definition: every path


def paths(n: int, m: int) -> Iterator[list[Cell]]:
    """All alignment paths of an n by m table; there are delannoy(n - 1, m - 1) of them."""

    def extend(path: list[Cell]) -> Iterator[list[Cell]]:
        i, j = path[-1]
        if (i, j) == (n - 1, m - 1):
            yield path
        for di, dj in STEPS:
            if i + di < n and j + dj < m:
                yield from extend([*path, (i + di, j + dj)])

    return extend([(0, 0)])


def delannoy(n: int, m: int) -> int:
    """Number of lattice paths from (0, 0) to (n, m) with steps right, up and diagonal."""
    return sum(math.comb(n, k) * math.comb(m, k) * 2**k for k in range(min(n, m) + 1))


def by_enumeration(costs: np.ndarray, gamma: float, digits: int = 60) -> Solution:
    """`solve` without any recursion, in mpmath; gamma = inf gives all paths the same weight."""
    n, m = costs.shape
    with mpmath.workdps(digits):
        D = [[mpmath.mpf(float(c)) for c in row] for row in costs]
        everything = [path for path in paths(n, m) if not any(math.isinf(costs[c]) for c in path)]
        totals = [mpmath.fsum(D[i][j] for i, j in path) for path in everything]
        least = min(totals)
        relative = [mpmath.mpf(1) if math.isinf(gamma) else mpmath.exp((least - t) / gamma) for t in totals]
        norm = mpmath.fsum(relative)
        E = np.zeros((n, m))
        shares = [w / norm for w in relative]
        for i, j in itertools.product(range(n), range(m)):
            E[i, j] = float(
                mpmath.fsum(s for s, path in zip(shares, everything, strict=True) if (i, j) in path)
            )
        expected = mpmath.fsum(s * t for s, t in zip(shares, totals, strict=True))
        entropy = -mpmath.fsum(s * mpmath.log(s) for s in shares if s > 0)
        soft = expected if math.isinf(gamma) else least - gamma * mpmath.log(norm)
        return Solution(float(soft), E, float(expected), -float(entropy))


def change_of_alignment(costs: np.ndarray, direction: np.ndarray, gamma: float) -> np.ndarray:
    """The derivative of the expected alignment when the costs move in a direction.

    A path of probability p whose cost changes by v loses p·(v − mean v)/gamma. The mean is taken over the
    differences to all paths, so that the only likely path loses nothing.
    """
    n, m = costs.shape
    inside = [path for path in paths(n, m) if all(math.isfinite(costs[c]) for c in path)]
    totals = np.array([math.fsum(costs[c] for c in path) for path in inside])
    along = np.array([math.fsum(direction[c] for c in path) for path in inside])
    likely = np.exp(-(totals - totals.min()) / gamma)
    likely /= likely.sum()
    lost = likely * ((along[:, None] - along[None, :]) @ likely) / gamma
    change = np.zeros((n, m))
    for path, loss in zip(inside, lost, strict=True):
        for cell in path:
            change[cell] -= loss
    return change


def mean_cost(costs: np.ndarray) -> float:
    """The mean over all paths of their cost, from counts of paths: exact integers, at any length.

    Cells outside a constraint (inf) are in no path.
    """
    n, m = costs.shape

    def counts(open_cells: np.ndarray) -> list[list[int]]:
        table = [[0] * (m + 1) for _ in range(n + 1)]
        table[0][0] = 1
        for i in range(1, n + 1):
            for j in range(1, m + 1):
                if open_cells[i - 1, j - 1]:
                    table[i][j] = sum(table[i - di][j - dj] for di, dj in STEPS)
        return [row[1:] for row in table[1:]]

    open_cells = np.isfinite(costs)
    ahead, behind = counts(open_cells), counts(open_cells[::-1, ::-1])
    total = ahead[n - 1][m - 1]
    with mpmath.workdps(50):
        return float(
            mpmath.fsum(
                mpmath.mpf(ahead[i][j] * behind[n - 1 - i][m - 1 - j])
                / total
                * mpmath.mpf(float(costs[i, j]))
                for i, j in itertools.product(range(n), range(m))
                if open_cells[i, j]
            )
        )


def exact_cost(a, b, cost="sqeuclidean", sigma=1.0) -> mpmath.mpf:
    """`local_cost` in mpmath."""
    a, b = ([mpmath.mpf(float(p)) for p in v] for v in (a, b))
    if cost == "manhattan":
        return mpmath.fsum(abs(p - q) for p, q in zip(a, b, strict=True))
    if cost == "cosine":
        dot = mpmath.fsum(p * q for p, q in zip(a, b, strict=True))
        return 1 - dot / mpmath.sqrt(mpmath.fsum(p * p for p in a) * mpmath.fsum(q * q for q in b))
    square = mpmath.fsum((p - q) ** 2 for p, q in zip(a, b, strict=True))
    if cost == "gak":
        u = square / (2 * mpmath.mpf(sigma) ** 2)
        return u + mpmath.log(2 - mpmath.exp(-u))
    return mpmath.sqrt(square) if cost == "euclidean" else square


def solve_exactly(x, y, gamma: float, cost="sqeuclidean", sigma=1.0, digits: int = 40) -> Solution:
    """`solve` in mpmath, from the series on: the judge where float64 itself is in doubt.

    Sums of products: Z = exp(-R / gamma), and E = Z ahead times Z behind over K times all.
    """
    x, y = as_rows(x), as_rows(y)
    n, m = len(x), len(y)
    with mpmath.workdps(digits):
        D = [[exact_cost(a, b, cost, sigma) for b in y] for a in x]
        K = [[mpmath.exp(-c / mpmath.mpf(gamma)) for c in row] for row in D]

        def sums(K: list[list[mpmath.mpf]]) -> list[list[mpmath.mpf]]:
            Z = [[mpmath.mpf(0)] * (m + 1) for _ in range(n + 1)]
            Z[0][0] = mpmath.mpf(1)
            for i, j in itertools.product(range(1, n + 1), range(1, m + 1)):
                Z[i][j] = K[i - 1][j - 1] * (Z[i - 1][j] + Z[i][j - 1] + Z[i - 1][j - 1])
            return [row[1:] for row in Z[1:]]

        ahead = sums(K)
        behind = [row[::-1] for row in sums([row[::-1] for row in K[::-1]])[::-1]]
        total = ahead[-1][-1]
        E = [[ahead[i][j] * behind[i][j] / (K[i][j] * total) for j in range(m)] for i in range(n)]
        expected = mpmath.fsum(E[i][j] * D[i][j] for i, j in itertools.product(range(n), range(m)))
        soft = -mpmath.mpf(gamma) * mpmath.log(total)
        alignment = np.array([[float(e) for e in row] for row in E])
        return Solution(float(soft), alignment, float(expected), float((soft - expected) / mpmath.mpf(gamma)))


def value_mp(costs: np.ndarray, gamma: float, digits: int = 50) -> float:
    """The soft recursion in mpmath: the judge where float64 itself is in doubt."""
    n, m = costs.shape
    with mpmath.workdps(digits):
        g = mpmath.mpf(gamma)
        Z = [[mpmath.mpf(0)] * (m + 1) for _ in range(n + 1)]
        Z[0][0] = mpmath.mpf(1)
        for i in range(1, n + 1):
            for j in range(1, m + 1):
                if math.isfinite(costs[i - 1, j - 1]):
                    around = Z[i - 1][j] + Z[i][j - 1] + Z[i - 1][j - 1]
                    Z[i][j] = mpmath.exp(-mpmath.mpf(float(costs[i - 1, j - 1])) / g) * around
        return float(-g * mpmath.log(Z[n][m]))


# --- exact DTW


def is_path(path: np.ndarray, n: int, m: int) -> bool:
    steps = {tuple(step) for step in np.diff(path, axis=0).tolist()}
    return tuple(path[0]) == (0, 0) and tuple(path[-1]) == (n - 1, m - 1) and steps <= set(STEPS)


# --- divergences and the alignment kernel


def debiased(term: Callable[[np.ndarray], float], x, y, cost="sqeuclidean", sigma=1.0) -> float:
    """term(x, y) - term(x, x) / 2 - term(y, y) / 2, for a term of a cost matrix."""
    xy, xx, yy = (term(cost_matrix(a, b, cost, sigma)) for a, b in ((x, y), (x, x), (y, y)))
    return xy - 0.5 * xx - 0.5 * yy


def gak(x, y, sigma: float, *, normalize: bool = True) -> float:
    """Sum over paths of products of the local kernel g / (2 - g), as such."""

    def kernel(a, b) -> mpmath.mpf:
        a, b = as_rows(a), as_rows(b)
        K = [[mpmath.mpf(0)] * (len(b) + 1) for _ in range(len(a) + 1)]
        K[0][0] = mpmath.mpf(1)
        for i in range(1, len(a) + 1):
            for j in range(1, len(b) + 1):
                square = mpmath.fsum(mpmath.mpf(p - q) ** 2 for p, q in zip(a[i - 1], b[j - 1], strict=True))
                g = mpmath.exp(-square / (2 * mpmath.mpf(sigma) ** 2))
                K[i][j] = g / (2 - g) * (K[i - 1][j] + K[i][j - 1] + K[i - 1][j - 1])
        return K[len(a)][len(b)]

    with mpmath.workdps(50):
        k = kernel(x, y)
        return float(k / mpmath.sqrt(kernel(x, x) * kernel(y, y)) if normalize else k)
