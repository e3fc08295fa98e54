"""Pieces of work: shared among devices, cut smaller where memory does not suffice, and their results."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray

from . import _plan
from ._runtime import Buffer, Runtime

Array = NDArray[Any]
Piece = TypeVar("Piece")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Group:
    """Consecutive pairs, first <= k < last, computed together; `budget`: bytes of a chunk of their rows."""

    first: int
    last: int
    budget: int

    def halves(self) -> list[Group]:
        """The same in smaller steps; an empty list where there are none."""
        if self.last - self.first > 1:
            middle = (self.first + self.last) // 2
            return [Group(self.first, middle, self.budget), Group(middle, self.last, self.budget)]
        return [Group(self.first, self.last, self.budget // 4)] if self.budget > 2**16 else []


def usable_memory(runtime: Runtime, needed: float) -> int:
    """Bytes to plan with, for work that needs about so many. Asking the device takes a while."""
    return 2**40 if needed <= _plan.SMALL_BYTES else runtime.free_memory()


class Downloads:
    """Results on their way to the host: one piece's are awaited while the next one is computed."""

    def __init__(self, runtime: Runtime) -> None:
        self._start = getattr(runtime, "start_download", None)
        self._runtime = runtime
        self._waiting: deque[tuple[Callable[[], Array], Callable[[], None] | None]] = deque()
        self._new = 0

    def add(self, buffer: Buffer, out: Array, then: Callable[[], None] | None = None) -> None:
        """Copy the buffer to `out`, an array or a view of one, and call `then` when it is there."""
        if self._start is None:
            self._waiting.append((lambda: self._runtime.download(buffer, out.shape, out), then))
        else:
            self._waiting.append((self._start(buffer, out.shape, out), then))
        self._new += 1

    def next_piece(self) -> None:
        """Wait for all but the last piece's."""
        self._finish(self._new)
        self._new = 0

    def finish(self) -> None:
        """Wait for everything."""
        self._finish(0)

    def _finish(self, left: int) -> None:
        while len(self._waiting) > left:
            wait, then = self._waiting.popleft()
            wait()
            if then is not None:
                then()


def in_pieces(work: Callable[[Any], Result], pieces: Iterable[Any]) -> Iterator[Result]:
    """The results of all pieces, in their order, on one device; one that does not fit is halved."""
    for whole in pieces:
        stack = [whole]
        while stack:
            piece = stack.pop()
            try:
                result = work(piece)
            except MemoryError:
                smaller = piece.halves()
                if not smaller:
                    raise
                stack.extend(reversed(smaller))
                continue
            yield result


def share(
    runtimes: Sequence[Runtime],
    pieces: Iterable[Piece],
    worker: Callable[[Runtime], tuple[Callable[[Piece], None], Downloads]],
) -> None:
    """Do all pieces of work, each on the device that is free; one that does not fit in smaller pieces."""
    source, lock = iter(pieces), threading.Lock()

    def take() -> Piece | None:
        with lock:
            return next(source, None)

    def run(runtime: Runtime) -> None:
        work, downloads = worker(runtime)

        def attempt(piece: Piece) -> None:
            try:
                work(piece)
                downloads.next_piece()
            except MemoryError:
                downloads.finish()  # frees what they hold
                raise

        for _ in in_pieces(attempt, iter(take, None)):
            pass
        downloads.finish()

    if len(runtimes) == 1:
        run(runtimes[0])
        return
    with ThreadPoolExecutor(len(runtimes)) as pool:
        for done in [pool.submit(run, runtime) for runtime in runtimes]:
            done.result()
