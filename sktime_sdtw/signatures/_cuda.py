"""The operators on CUDA tensors: the CUDA engine on buffers of the tensors, on torch's current stream.

Everything is computed on the GPU and nothing waits for it, so that calls can be captured in a CUDA graph once
the same call has been made before. Lengths and windows are needed on the host, to plan the work: pass them as
CPU tensors, or the GPU is waited for. Work that would take much memory beside its results is done in pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import _numpy
from ._words import antipode, bracket_expansion, count_words, lyndon_index, words_to_brackets

if TYPE_CHECKING:
    from ..cuda_ext._runtime import Buffer, Runtime
    from ..cuda_ext._signatures import PathBatch, SignatureEngine


class Device(Protocol):
    """A device with a way from tensors to buffers and back."""

    runtime: Runtime

    def wrap(self, tensor: Tensor) -> Buffer:
        """A contiguous tensor as a buffer."""

    def tensor(self, buffer: Buffer, *shape: int) -> Tensor:
        """The first elements of a buffer as a tensor."""


def device_of(x: Tensor) -> Device | None:
    """The device of a tensor that the CUDA engine is to work on; None for the CPU."""
    if x.is_cpu:
        return None
    if x.device.type != "cuda":
        raise NotImplementedError(
            f"Signatures are computed on the CPU and on GPUs by CUDA. Got a tensor on {x.device}."
        )
    from ..functional._cuda_batches import Gpu

    return Gpu(x)


def _engine(device: Device, x: Tensor) -> SignatureEngine:
    from ..cuda_ext._signatures import SignatureEngine

    return SignatureEngine(device.runtime, np.float64 if x.dtype == torch.float64 else np.float32)


def _buffer(device: Device, x: Tensor | None) -> Any:
    return None if x is None else device.wrap(x.detach().contiguous())


def _host(x: Tensor | None) -> NDArray[np.int64] | None:
    return None if x is None else x.detach().cpu().numpy().astype(np.int64, copy=False)


def _flat(x: Tensor | None, dimensions: int) -> Tensor | None:
    """One leading dimension, and so many others."""
    return None if x is None else x.reshape(-1, *x.shape[x.ndim - dimensions :])


def _batch(
    device: Device,
    points: Tensor,
    basepoint: Tensor | None,
    lengths: NDArray[np.int64] | None,
    windows: NDArray[np.int64] | None,
    depth: int,
) -> PathBatch:
    from ..cuda_ext._signatures import PathBatch

    buffers = _buffer(device, points), _buffer(device, basepoint)
    return PathBatch(*buffers, lengths, windows, *map(int, points.shape), depth)


def signature(
    device: Device,
    points: Tensor,
    basepoint: Tensor | None,
    lengths: Tensor | None,
    depth: int,
    stream: bool,
    initial: Tensor | None,
    windows: Tensor | None = None,
) -> Tensor:
    """As `_numpy.signature`."""
    *leading, n, d = points.shape
    steps = n if basepoint is not None else n - 1
    rows = (steps,) if stream else () if windows is None else (len(windows),)
    shape = (*leading, *rows, count_words(d, depth))
    if 0 in shape:
        return points.new_empty(shape)
    host = _host(lengths)
    paths = points.reshape(-1, n, d), _flat(basepoint, 1)
    batch = _batch(device, *paths, None if host is None else host.ravel(), _host(windows), depth)
    out = _engine(device, points).signature(batch, _buffer(device, _flat(initial, 1)), stream)
    return device.tensor(out, *shape)


def signature_gradient(
    device: Device,
    points: Tensor,
    basepoint: Tensor | None,
    lengths: Tensor | None,
    depth: int,
    stream: bool,
    initial: Tensor | None,
    out: Tensor | None,
    gradient: Tensor,
    windows: Tensor | None = None,
) -> tuple[Tensor | None, ...]:
    """As `_numpy.signature_gradient`."""
    from ..cuda_ext._signature_plan import SCRATCH_BYTES, reverse_bytes

    wanted = (points, basepoint, initial)
    if gradient.numel() == 0:
        return tuple(None if x is None else torch.zeros_like(x) for x in wanted)
    *_, n, d = points.shape
    words, host, intervals = count_words(d, depth), _host(lengths), _host(windows)
    arrays = points.reshape(-1, n, d), _flat(basepoint, 1), _flat(initial, 1)
    rows = (gradient.reshape(len(arrays[0]), -1, words), out)
    flat_out = None if out is None or not stream else out.reshape(rows[0].shape)
    engine = _engine(device, points)

    def bytes_of(part: NDArray[np.int64] | None) -> int:
        steps = n if basepoint is not None else n - 1
        if part is not None:
            steps = int((part[:, 1] - part[:, 0]).max())
        count = 1 if part is None else len(part)
        return max(1, reverse_bytes(d, depth, count, steps, engine.dtype, stream))

    def work(paths: slice, part: slice) -> list[Tensor | None]:
        p, b, i = (None if x is None else x[paths] for x in arrays)
        assert p is not None
        own = None if intervals is None else intervals[part]
        batch = _batch(device, p, b, None if host is None else host.ravel()[paths], own, depth)
        incoming = rows[0][paths] if intervals is None else rows[0][paths, part]
        known = None if flat_out is None else flat_out[paths]
        found = engine.signature_gradient(
            batch, _buffer(device, i), _buffer(device, known), _buffer(device, incoming), stream
        )
        shapes = [None if x is None else x.shape for x in (p, b, i)]
        return [
            None if buffer is None or shape is None else device.tensor(buffer, *shape)
            for buffer, shape in zip(found, shapes, strict=True)
        ]

    count = len(arrays[0])
    each = min(count, max(1, SCRATCH_BYTES // bytes_of(intervals)))
    if intervals is None or bytes_of(intervals) <= SCRATCH_BYTES:
        windows_each = 1 if intervals is None else len(intervals)
    else:
        windows_each = max(1, SCRATCH_BYTES * len(intervals) // bytes_of(intervals))
    n_windows = 1 if intervals is None else len(intervals)
    pieces = []
    for first in range(0, count, each):
        paths = slice(first, first + each)
        parts = [work(paths, slice(w, w + windows_each)) for w in range(0, n_windows, windows_each)]
        total = parts[0]
        for part in parts[1:]:  # only points have gradients by windows
            total = [None if a is None or b is None else a + b for a, b in zip(total, part, strict=True)]
        pieces.append(total)
    return tuple(
        None if x is None else _joined([piece[k] for piece in pieces]).reshape(x.shape)
        for k, x in enumerate(wanted)
    )


def _joined(parts: Sequence[Tensor | None]) -> Tensor:
    present = [part for part in parts if part is not None]
    return present[0] if len(present) == 1 else torch.cat(present)


# --- products and power series


def _by_pieces(tensors: Sequence[Tensor], copies: int, call: Any) -> Any:
    """Call with all rows, or with some at a time where scratch for `copies` of them would be large."""
    from ..cuda_ext._signature_plan import SCRATCH_BYTES

    each = max(1, SCRATCH_BYTES // max(1, copies * tensors[0][0].numel() * tensors[0].element_size()))
    if each >= len(tensors[0]):
        return call(*tensors)
    return torch.cat([call(*parts) for parts in zip(*(x.split(each) for x in tensors), strict=True)])


def product(device: Device, a: Tensor, b: Tensor, channels: int, depth: int) -> Tensor:
    """As `_numpy.product`."""
    if a.numel() == 0:
        return torch.empty_like(a)
    rows = a.numel() // a.shape[-1]
    buffers = _buffer(device, a), _buffer(device, b)
    return device.tensor(_engine(device, a).product(*buffers, rows, channels, depth), *a.shape)


def product_gradient(
    device: Device, a: Tensor, b: Tensor, gradient: Tensor, channels: int, depth: int
) -> tuple[Tensor, Tensor]:
    """As `_numpy.product_gradient`."""
    if a.numel() == 0:
        return torch.empty_like(a), torch.empty_like(b)
    rows = a.numel() // a.shape[-1]
    buffers = [_buffer(device, x) for x in (a, b, gradient)]
    found = _engine(device, a).product_gradient(*buffers, rows, channels, depth)
    return device.tensor(found[0], *a.shape), device.tensor(found[1], *b.shape)


def series(device: Device, x: Tensor, coefficients: Sequence[float], channels: int) -> Tensor:
    """As `_numpy.series`."""
    if x.numel() == 0:
        return torch.empty_like(x)
    engine = _engine(device, x)

    def call(rows: Tensor) -> Tensor:
        found = engine.series(_buffer(device, rows), coefficients, len(rows), channels)
        return device.tensor(found, *rows.shape)

    found: Tensor = _by_pieces([x.reshape(-1, x.shape[-1])], 2, call)
    return found.reshape(x.shape)


def series_gradient(
    device: Device, x: Tensor, gradient: Tensor, coefficients: Sequence[float], channels: int
) -> Tensor:
    """As `_numpy.series_gradient`."""
    if x.numel() == 0:
        return torch.empty_like(x)
    engine = _engine(device, x)

    def call(rows: Tensor, incoming: Tensor) -> Tensor:
        buffers = _buffer(device, rows), _buffer(device, incoming)
        found = engine.series_gradient(*buffers, coefficients, len(rows), channels)
        return device.tensor(found, *rows.shape)

    tensors = [v.reshape(-1, x.shape[-1]) for v in (x, gradient)]
    found: Tensor = _by_pieces(tensors, 4, call)
    return found.reshape(x.shape)


# --- linear maps


@lru_cache(maxsize=64)
def _matrix(kind: str, channels: int, depth: int, adjoint: bool) -> tuple[NDArray[Any], ...]:
    """The sparse matrix of a map by rows: where each begins, columns, values."""
    import scipy.sparse

    words = count_words(channels, depth)
    if kind == "antipode":
        order, sign = antipode(channels, depth)
        return np.arange(words + 1, dtype=np.int32), order.astype(np.int32), sign.astype(np.float64)
    if kind == "to_words":
        chosen = lyndon_index(channels, depth)
        one = np.ones(len(chosen))
        matrix = scipy.sparse.csr_matrix((one, (np.arange(len(chosen)), chosen)), (len(chosen), words))
    else:
        matrix = (words_to_brackets if kind == "to_brackets" else bracket_expansion)(channels, depth)
    matrix = (matrix.T if adjoint else matrix).tocsr()
    return matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32), matrix.data.astype(np.float64)


@cache
def _matrix_on(runtime: Any, dtype: np.dtype[Any], *which: Any) -> tuple[Buffer, ...]:
    """The same on a device, where a CUDA graph finds it again."""
    begins, columns, values = _matrix(*which)
    buffers = [runtime.upload(array) for array in (begins, columns, values.astype(dtype))]
    runtime.download(buffers[-1], (1,))  # waits: the next call may be on another stream
    return tuple(buffers)


def linear(device: Device, x: Tensor, kind: str, channels: int, depth: int, adjoint: bool) -> Tensor:
    """As `_numpy.linear`."""
    size = _numpy.linear_size(kind, channels, depth, adjoint)
    shape = (*x.shape[:-1], size)
    if x.numel() == 0 or size == 0:
        return x.new_zeros(shape)
    engine = _engine(device, x)
    matrix = _matrix_on(device.runtime, engine.dtype, kind, channels, depth, adjoint)
    rows = x.numel() // x.shape[-1]
    sizes = (int(x.shape[-1]), size)
    return device.tensor(engine.linear(_buffer(device, x), *matrix, rows, sizes), *shape)
