"""How the work on signatures is cut: pure functions of sizes. kernels/signature.cuh says what they mean."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

MOST_DEPTH = 20  # of the table of factorials
MOST_WORDS = 2**31 - 1
SHARED_BYTES = 44 * 1024  # of a block, beside a little for each unit
LEAST_STEPS = 32  # of a chunk
MOST_CHUNK_BYTES = 64 * 2**20  # of the signatures of all chunks
SCRATCH_BYTES = 2**28  # of one piece of the work on gradients


def count_words(channels: int, depth: int) -> int:
    """Words of 1 to `depth` letters."""
    return sum(channels**k for k in range(1, depth + 1))


@dataclass(frozen=True)
class Layout:
    """Which words a thread owns, and the threads of a block.

    Parameters
    ----------
    channels, depth : int
    own : int
        Levels of the words that a thread owns.
    letters : int
        Last letters of a thread; all where it owns several levels.
    threads, steps : int
        Of a block; of the increments that it loads at once.
    """

    channels: int
    depth: int
    own: int
    letters: int
    threads: int
    steps: int

    @property
    def slots(self) -> int:
        """Threads that share the words of a unit."""
        return self.channels ** (self.depth - self.own) * -(-self.channels // self.letters)

    @property
    def units(self) -> int:
        """Units of a block."""
        return max(1, self.threads // self.slots)

    @property
    def parts(self) -> int:
        """Blocks of a unit."""
        return -(-self.slots // self.threads)

    @property
    def state(self) -> int:
        """Numbers of a thread that its step back needs."""
        return self.depth - self.own + count_words(self.letters, self.own - 1)

    def blocks(self, n_units: int) -> int:
        """Blocks for so many units."""
        return -(-n_units // self.units) * self.parts


def check_sizes(channels: int, depth: int) -> None:
    """Raise where the kernels do not go."""
    if depth > MOST_DEPTH or count_words(channels, depth) > MOST_WORDS:
        raise ValueError(
            f"On a GPU, signatures have a depth of at most {MOST_DEPTH} and fewer than 2**31 words. "
            f"Got {channels} channels to depth {depth}: compute them on the CPU."
        )


@functools.cache
def choose_layout(channels: int, depth: int, itemsize: int, kind: str) -> Layout:
    """The layout for a kernel of `kind`: "forward", "reverse", "stream" or "stream reverse"."""
    check_sizes(channels, depth)
    # Numbers that stay in registers; beside those of many levels there is less room.
    two, many = (72, 40) if itemsize == 4 else (36, 36)
    own = 1
    while kind in ("forward", "reverse") and own < min(depth, 8):
        if count_words(channels, own + 1) > (two if own == 1 else many):
            break
        own += 1
    letters = channels if own > 1 else min(channels, 8)
    threads = 64 if "reverse" in kind else 128
    layout = Layout(channels, depth, own, letters, threads, 1)
    stride = layout.units | 1
    each = channels * stride
    if "reverse" in kind:
        each += (letters + (layout.depth - own if letters < channels else 0)) * (threads + 1)
        each += layout.state * threads if kind == "reverse" else 0
    room = (SHARED_BYTES if "reverse" in kind else SHARED_BYTES // 2) // itemsize - threads
    steps = min(room // each, 8 if "reverse" in kind else 32)
    if steps < 1:
        raise ValueError(
            f"On a GPU, signatures of {channels} channels to depth {depth} need more shared memory than a "
            "block has: compute them on the CPU."
        )
    return Layout(channels, depth, own, letters, threads, steps)


@dataclass(frozen=True)
class Chunks:
    """Into how many parts of how many steps each path is cut."""

    count: int
    steps: int


def choose_chunks(layout: Layout, n_rows: int, steps: int, itemsize: int, multiprocessors: int) -> Chunks:
    """Chunks along time, so that a small batch of long paths fills the GPU."""
    d, depth = layout.channels, layout.depth
    product = sum((k - 1) * d**k for k in range(2, depth + 1))
    step = d + sum((depth - k + 1) * d**k for k in range(2, depth + 1))
    # About twice the threads that are resident at once, by the registers of the kernels; not a few more.
    threads = multiprocessors * (1024 if layout.threads == 128 else 768)
    wanted = threads // (n_rows * layout.slots)
    by_length = steps // max(LEAST_STEPS, 4 * product // step)
    by_memory = MOST_CHUNK_BYTES // (n_rows * count_words(d, depth) * itemsize)
    count = max(1, min(wanted, by_length, by_memory))
    each = max(1, -(-steps // count))
    if count > 1:
        each = -(-each // 8) * 8
    return Chunks(max(1, -(-steps // each)), each)


@dataclass(frozen=True)
class Kept:
    """States that the reverse kernel keeps: one for each group of stretches, and those of a group."""

    groups: int
    spacing: int


def choose_kept(layout: Layout, chunk_steps: int) -> Kept:
    """All states where they are few, else about twice the square root of their number."""
    stretches = max(1, -(-chunk_steps // layout.steps))
    spacing = stretches if stretches <= 16 else math.isqrt(stretches - 1) + 1
    return Kept(-(-stretches // spacing), spacing)


def reverse_bytes(
    channels: int, depth: int, rows_of_path: int, steps: int, dtype: np.dtype[np.generic], stream: bool
) -> int:
    """Bytes of device memory that the gradient of one path takes beside its arguments and results."""
    layout = choose_layout(channels, depth, dtype.itemsize, "stream reverse" if stream else "reverse")
    partial = layout.parts * rows_of_path * steps * channels
    kept = choose_kept(layout, steps)
    states = 0 if stream else (kept.groups + kept.spacing) * layout.state * layout.slots * rows_of_path
    return (partial + states) * dtype.itemsize
