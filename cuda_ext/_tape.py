"""Calls that come again: launches are planned once, noted, and repeated with other addresses.

To plan a training step of small series takes the host several times as long as the GPU takes to compute it.
The plan depends on sizes alone. So the engine runs once on a `Tape`, which is a `Runtime` of nothing but
addresses; the `Program` that comes of it writes a call's own addresses between the arguments, and starts all
kernels. The host looks at which arithmetic the pairs need only when everything for the likely one is queued.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._data import OVERFLOW
from ._driver import packed
from ._runtime import Argument, Buffer, CapturingError, CudaBuffer, CudaRuntime
from ._sources import KernelSpec

# Addresses that stand for the memory of a later call: those of a slot begin at FIRST + slot * SLOT_BYTES,
# beyond all that a GPU has.
FIRST, SLOT_BYTES = 1 << 62, 1 << 56
SCRATCH, ZEROS, INPUTS = 0, 1, 2  # slots; the zeros lie at the end of the scratch memory
ALIGNMENT = 256


class NotRepeatableError(RuntimeError):
    """The call copies something to or from the host."""


class Place:
    """A `Buffer` of a later call."""

    def __init__(self, pointer: int, count: int, dtype: Any) -> None:
        self.pointer, self.count, self.dtype = pointer, int(count), np.dtype(dtype)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.count * self.dtype.itemsize


class Tape:
    """A `Runtime` that notes what would be launched.

    Parameters
    ----------
    runtime : CudaRuntime
        Where it will be.
    """

    def __init__(self, runtime: CudaRuntime) -> None:
        self.runtime = runtime
        self.multiprocessors, self.capability = runtime.multiprocessors, runtime.capability
        self.free_memory, self.prepare = runtime.free_memory, runtime.prepare
        self.launches: list[tuple[KernelSpec, int, int, list[Any]]] = []
        self.constants: list[tuple[NDArray[Any], Buffer]] = []
        self.scratch_bytes = self.zero_bytes = self.inputs = 0
        self._free: list[tuple[int, int]] = []  # stretches of the scratch memory, by their begin

    def input(self, count: int, dtype: Any) -> Place:
        """Memory that the call brings along; they are counted in the order of these calls."""
        self.inputs += 1
        return Place(_begin(INPUTS + self.inputs - 1), count, dtype)

    def empty(self, count: int, dtype: Any) -> Place:
        """As in `Runtime`. What nobody holds any more is given out again: launches follow each other."""
        size = _rounded(int(count) * np.dtype(dtype).itemsize)
        for k, (begin, end) in enumerate(self._free):
            if end - begin >= size:
                self._free[k : k + 1] = [(begin + size, end)] if end - begin > size else []
                break
        else:
            begin = self.scratch_bytes
            self.scratch_bytes += size
        place = Place(_begin(SCRATCH) + begin, count, dtype)
        weakref.finalize(place, self._give_back, begin, begin + size).atexit = False
        return place

    def _give_back(self, begin: int, end: int) -> None:
        merged: list[tuple[int, int]] = []
        for stretch in sorted([*self._free, (begin, end)]):
            if merged and merged[-1][1] == stretch[0]:
                stretch = (merged.pop()[0], stretch[1])
            merged.append(stretch)
        self._free = merged

    def zeros(self, count: int, dtype: Any) -> Place:
        """As in `Runtime`: all of them are cleared at once, before the first launch."""
        place = Place(_begin(ZEROS) + self.zero_bytes, count, dtype)
        self.zero_bytes += _rounded(place.nbytes)
        return place

    def constant(self, array: NDArray[Any]) -> Buffer:
        """As in `Runtime`."""
        found = self.runtime.constant(array)
        self.constants.append((array, found))
        return found

    def upload(self, array: NDArray[Any]) -> Buffer:
        """Cannot be repeated."""
        raise NotRepeatableError

    def download(self, buffer: Buffer, shape: tuple[int, ...], out: NDArray[Any] | None = None) -> Any:
        """Cannot be repeated."""
        raise NotRepeatableError

    def launch(self, spec: KernelSpec, blocks: int, threads: int, arguments: Sequence[Argument]) -> None:
        """Note a launch."""
        values = [a if a is None or isinstance(a, np.generic) else a.pointer for a in arguments]
        if blocks:
            self.launches.append((spec, blocks, threads, values))


class Program:
    """The launches of a tape, to be repeated. Safe for many threads, one after the other.

    Parameters
    ----------
    tape : Tape
    results : sequence of Place
        Scratch memory, or zeros, of which each call gets its own.
    seen : Place or None
        Where `classify` says which methods there are, to be looked at by the host.
    methods : frozenset of int
        Those that it launches for.
    """

    def __init__(
        self, tape: Tape, results: Sequence[Buffer], seen: Buffer | None, methods: frozenset[int]
    ) -> None:
        self.methods = methods
        self._runtime, self._constants = tape.runtime, tape.constants
        self._zeros_at, self._zero_bytes = tape.scratch_bytes, tape.zero_bytes
        self._results = [(result.count, result.dtype) for result in results]
        self._stream: Any = None
        self._lock = threading.Lock()
        own = {place.pointer: INPUTS + tape.inputs + k for k, place in enumerate(results)}
        ranges = [(place.pointer, place.pointer + place.nbytes) for place in results]
        self._flags = None
        if seen is not None:
            own[seen.pointer] = INPUTS + tape.inputs + len(results)
            ranges.append((seen.pointer, seen.pointer + seen.nbytes))
            self._flags = tape.runtime.host_flags(seen.count)

        words: list[int] = []
        patches: list[tuple[int, int, int]] = []  # which word, the slot, and bytes from its begin
        begins: list[int] = []
        for _, _, _, values in tape.launches:
            begins.append(len(words))
            for value in values:
                if type(value) is int and value >= FIRST:
                    slot, offset = divmod(value - FIRST, SLOT_BYTES)
                    for begin, end in ranges:
                        if begin <= value < end:
                            slot, offset = own[begin], value - begin
                    patches.append((len(words), slot, offset))
                    value = 0
                words.append(packed(value))
        self._words = np.array(words, np.uint64)
        self._where, self._slots, self._offsets = np.array(patches, np.int64).reshape(-1, 3).T.copy()
        first = self._words.ctypes.data
        self._pointers = (ctypes.c_void_p * len(words))(*range(first, first + 8 * len(words), 8))
        arguments = ctypes.addressof(self._pointers)
        specs = [launch[0] for launch in tape.launches]
        tape.runtime.prepare(dict.fromkeys(specs))
        self._launches = [
            (tape.runtime.function(spec), blocks, threads, arguments + 8 * begin)
            for (spec, blocks, threads, _), begin in zip(tape.launches, begins, strict=True)
        ]
        entries = [spec.entry for spec in specs]
        self._before_look = entries.index("classify") + 1 if seen is not None else len(entries)

    def run(self, inputs: Iterable[int]) -> tuple[list[CudaBuffer], frozenset[int] | None]:
        """Queue everything on torch's current stream, for inputs at these addresses.

        Returns
        -------
        list of CudaBuffer, frozenset of int or None
            The results, and the methods that there are, where the host waits for those.
        """
        runtime = self._runtime
        with self._lock:
            stream = runtime.current_stream()
            if stream != self._stream:  # it waits for constants that were copied on another one
                for array, _ in self._constants:
                    runtime.constant(array)
                self._stream = stream
            elif self._flags is None and runtime.is_capturing():  # the graph will read them whenever it runs
                for array, _ in self._constants:
                    runtime.constant(array)
            scratch = runtime.empty(self._zeros_at + self._zero_bytes, np.uint8)
            results = [runtime.empty(*result) for result in self._results]
            zeros = scratch.pointer + self._zeros_at
            bases = [scratch.pointer, zeros, *inputs, *(result.pointer for result in results)]
            if self._flags is not None:
                self._flags.array[:] = 0
                bases.append(self._flags.pointer)
            self._words[self._where] = np.array(bases, np.int64)[self._slots] + self._offsets
            handle = stream.cuda_stream
            look = self._before_look
            runtime.launch_all(self._launches[:look], handle, (zeros, self._zero_bytes))
            if self._flags is None:
                return results, None
            self._flags.event.record(stream)
            runtime.launch_all(self._launches[look:], handle)
            try:
                self._flags.event.synchronize()
            except RuntimeError as error:
                if runtime.is_capturing():
                    raise CapturingError from error
                raise
            return results, frozenset(k for k in range(OVERFLOW) if self._flags.array[k])


def _begin(slot: int) -> int:
    return FIRST + slot * SLOT_BYTES


def _rounded(nbytes: int) -> int:
    return -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT
