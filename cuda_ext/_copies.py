"""Copies between the memory of the host and of a GPU, through pinned memory, chunk by chunk.

The GPU reads and writes pinned memory by itself while the host goes on; ordinary memory it cannot reach. A
chunk is large enough to run at full speed and small enough that a few of them, in turns, are all that is
pinned: the host fills or empties one while the GPU works on another. torch keeps it for the next copy.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 8 * 2**20
DEPTH = 4


def upload(source: NDArray[Any], target: Any) -> None:
    """Queue a copy on torch's current stream; `source` may change as soon as this returns.

    Parameters
    ----------
    source : ndarray, C-contiguous
    target : torch.Tensor of shape (source.size,)
        On the GPU.
    """
    import torch

    data, place = _bytes_of(source), target.view(torch.uint8)
    stream = torch.cuda.current_stream(target.device)
    used: deque[tuple[Any, Any]] = deque()
    for begin in range(0, len(data), CHUNK):
        part = data[begin : begin + CHUNK]
        if len(used) < DEPTH:
            staging = torch.empty(len(part), dtype=torch.uint8, pin_memory=True)
        else:
            staging, done = used.popleft()
            done.synchronize()
        staging.numpy()[: len(part)] = part
        place[begin : begin + len(part)].copy_(staging[: len(part)], non_blocking=True)
        used.append((staging, stream.record_event()))


class Download:
    """A copy to the host, on a stream of its own, after what is queued on torch's current stream now.

    Work queued after it does not delay it: so results leave while the next ones are computed.

    Parameters
    ----------
    source : torch.Tensor of shape (n,)
        On the GPU.
    out : ndarray, C-contiguous
        Of the same number of bytes.
    stream : torch.cuda.Stream
        For the copy.
    """

    def __init__(self, source: Any, out: NDArray[Any], stream: Any) -> None:
        import torch

        self._torch, self._stream = torch, stream
        self._source, self._target = source.view(torch.uint8), _bytes_of(out)
        self._next = 0
        self._pending: deque[tuple[int, Any, Any]] = deque()
        stream.wait_stream(torch.cuda.current_stream(source.device))
        source.record_stream(stream)  # not to be given away before the copy is done, even if nobody waits
        for _ in range(DEPTH):
            self._start(None)

    def wait(self) -> None:
        """Return when everything is in `out`."""
        while self._pending:
            begin, staging, done = self._pending.popleft()
            done.synchronize()
            part = self._target[begin : begin + CHUNK]
            part[:] = staging.numpy()[: len(part)]
            self._start(staging)

    def _start(self, staging: Any) -> None:
        begin, length = self._next, min(CHUNK, len(self._target) - self._next)
        if length <= 0:
            return
        if staging is None:
            staging = self._torch.empty(length, dtype=self._torch.uint8, pin_memory=True)
        with self._torch.cuda.stream(self._stream):
            staging[:length].copy_(self._source[begin : begin + length], non_blocking=True)
        self._pending.append((begin, staging, self._stream.record_event()))
        self._next += length


def _bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The memory of a C-contiguous array."""
    return array.reshape(-1).view(np.uint8)
