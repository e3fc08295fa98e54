"""Signatures of intervals, from those of blocks of steps and of products of blocks: nothing is divided out.

An interval is a few steps up to the next block, some products of 1, 2, 4, … blocks, and a few steps more.
So a query costs a bounded number of steps and a number of products that grows with the logarithm of its
length, and its error is that of its own interval, wherever it lies; the quotient of two signatures that begin
at the start of the path, the usual way, loses all digits on long streams.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

STEPS = 32


class BlockTree:
    """Products of 2^i blocks of a growing path: level i holds (..., nodes, words)."""

    def __init__(self, depth: int, ops: ModuleType) -> None:
        self.depth = depth
        self.ops = ops
        self.levels: list[Any] = []

    def grow(self, points: Any, n_jobs: int | None = None) -> None:
        """Take in points that have been appended; those of earlier calls stay in front."""
        *leading, n, channels = points.shape
        done = self.levels[0].shape[-2] if self.levels else 0
        blocks = (n - 1) // STEPS
        if blocks == done:
            return
        index = self.ops.index(
            [[b * STEPS + i for i in range(STEPS + 1)] for b in range(done, blocks)], points
        )
        pieces = points[..., index.reshape(-1), :].reshape(*leading, blocks - done, STEPS + 1, channels)
        new = self.ops.signature(pieces, None, None, self.depth, False, None, n_jobs)
        level = 0
        while new is not None:
            if level == len(self.levels):
                self.levels.append(new)
            else:
                new = self.ops.concatenate([self.levels[level], new], -2)
                self.levels[level] = new
            level += 1
            known = self.levels[level].shape[-2] if level < len(self.levels) else 0
            pairs = self.levels[level - 1].shape[-2] // 2
            if pairs == known:
                break
            lower = self.levels[level - 1][..., 2 * known : 2 * pairs, :]
            new = self.ops.product(lower[..., ::2, :], lower[..., 1::2, :], channels, self.depth, n_jobs)

    def query(self, points: Any, start: int, end: int, n_jobs: int | None = None) -> Any:
        """Return the signature of points[..., start:end, :], at least two of them."""
        first, last = -(-start // STEPS), (end - 1) // STEPS
        if first >= last:
            return self._direct(points[..., start:end, :], n_jobs)
        parts = []
        if start < first * STEPS:
            parts.append(self._direct(points[..., start : first * STEPS + 1, :], n_jobs))
        back = []
        lower, upper, level = first, last, 0
        while lower < upper:
            if lower % 2:
                parts.append(self.levels[level][..., lower, :])
                lower += 1
            if upper % 2:
                upper -= 1
                back.append(self.levels[level][..., upper, :])
            lower, upper, level = lower // 2, upper // 2, level + 1
        parts += back[::-1]
        if last * STEPS < end - 1:
            parts.append(self._direct(points[..., last * STEPS : end, :], n_jobs))
        return self._join(parts, points.shape[-1], n_jobs)

    def _direct(self, points: Any, n_jobs: int | None) -> Any:
        return self.ops.signature(points, None, None, self.depth, False, None, n_jobs)

    def _join(self, parts: list[Any], channels: int, n_jobs: int | None) -> Any:
        """Multiply neighbours, in one call for all pairs."""
        while len(parts) > 1:
            odd = [parts.pop()] if len(parts) % 2 else []
            left, right = self.ops.stack(parts[::2], 0), self.ops.stack(parts[1::2], 0)
            parts = [*self.ops.product(left, right, channels, self.depth, n_jobs), *odd]
        return parts[0]
