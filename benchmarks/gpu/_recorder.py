"""A stand-in for a GPU: the engine runs on it, and it notes the launches and how much memory is held."""

from __future__ import annotations

import functools
import re
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from _h200 import MEMORY, MULTIPROCESSORS

from sktime_sdtw import _engine


class Held:
    """A buffer that holds nothing but its size."""

    def __init__(self, recorder: Recorder, count: int, dtype: Any) -> None:
        self.dtype, self.count = np.dtype(dtype), int(count)
        self.nbytes = self.count * self.dtype.itemsize
        self.pointer = 256
        recorder.take(self.nbytes)
        weakref.finalize(self, recorder.take, -self.nbytes)


class Recorder:
    """A `Runtime` that computes nothing: all results are zeros, all pairs of one method."""

    multiprocessors = MULTIPROCESSORS
    capability = (9, 0)

    def __init__(self, method: int) -> None:
        self.method = method
        self.launches: list[tuple[Any, int, int, dict[str, Any]]] = []
        self.held = self.peak = self.clears = 0

    def take(self, nbytes: int) -> None:
        """More bytes are held, or fewer."""
        self.held += nbytes
        self.peak = max(self.peak, self.held)

    def free_memory(self) -> int:
        """As in `Runtime`."""
        return MEMORY - self.held

    def empty(self, count: int, dtype: Any) -> Held:
        """As in `Runtime`."""
        return Held(self, count, dtype)

    def zeros(self, count: int, dtype: Any) -> Held:
        """As in `Runtime`."""
        self.clears += 1
        return self.empty(count, dtype)

    def upload(self, array: Any) -> Held:
        """As in `Runtime`."""
        return Held(self, array.size, array.dtype)

    constant = upload

    def download(self, buffer: Held, shape: tuple[int, ...], out: Any = None) -> Any:
        """As in `Runtime`."""
        result = np.zeros(shape, buffer.dtype) if out is None else out
        result[...] = 0
        if shape == (5,):  # which methods there are
            result[self.method] = 1
        return result

    def prepare(self, specs: Any) -> None:
        """As in `Runtime`."""

    def launch(self, spec: Any, blocks: int, threads: int, arguments: Sequence[Any]) -> None:
        """As in `Runtime`."""
        given = dict(zip(_parameters(spec), arguments, strict=True))
        values = {name: value for name, value in given.items() if isinstance(value, np.generic)}
        values["keeps"] = given.get("keep_m") is not None and spec.entry == "sweep"
        self.launches.append((spec, blocks, threads, values))


@functools.cache
def _parameters(spec: Any) -> tuple[str, ...]:
    found = re.search(
        rf"KERNEL void\s+(?:\w+(?:\([\w, ]+\))?\s+)?{spec.entry}\((.*?)\)\s*{{",
        spec.source(),
        re.DOTALL,
    )
    assert found, spec.entry
    return tuple(re.findall(r"(\w+)\s*(?:,|$)", found[1]))


def record(call: Callable[[], Any], method: int = 0) -> Recorder:
    """What the engine would do for a call of which all pairs are computed by one method (0 soft, 2 hard)."""
    recorder, routed = Recorder(method), _engine.runtimes_for
    _engine.runtimes_for = lambda device, work: [recorder]
    try:
        call()
    finally:
        _engine.runtimes_for = routed
    return recorder
