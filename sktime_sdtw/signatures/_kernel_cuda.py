"""Signature kernels of CUDA tensors: the CUDA engine on buffers of the tensors, on torch's current stream.

Pairs are computed in windows that scratch memory has room for. Kernels to a depth take operations of torch on
whole windows: a fixed number of them, whatever the lengths.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import _kernel_reference
from ._calls import reference_gradient
from ._cuda import Device, _host
from ._kernel_numpy import STATIC, Settings, out_shape

if TYPE_CHECKING:
    from ..cuda_ext._signature_kernel import SignatureKernelEngine
    from ..cuda_ext._signature_kernel_plan import Chunks, Window


class _Set(NamedTuple):
    """Paths of one matrix of values, or of all pairs."""

    x: Tensor
    y: Tensor  # x where that stands for it
    x_lengths: Tensor | None
    y_lengths: Tensor | None
    paired: bool
    upper: bool  # the matrix is symmetric

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values."""
        return (len(self.x),) if self.paired else (len(self.x), len(self.y))


def kernel(
    device: Device,
    x: Tensor,
    y: Tensor | None,
    x_lengths: Tensor | None,
    y_lengths: Tensor | None,
    paired: bool,
    settings: Settings,
) -> Tensor:
    """As `_kernel_numpy.kernel`."""
    shape = out_shape(x.shape, None if y is None else y.shape, paired)
    if 0 in shape:
        return x.new_empty(shape)
    compute = _words if settings.depth else _values
    found = [compute(device, one, settings) for one in _sets(x, y, x_lengths, y_lengths, paired)]
    return torch.stack(found).view(shape)


def kernel_gradient(
    device: Device,
    x: Tensor,
    y: Tensor | None,
    x_lengths: Tensor | None,
    y_lengths: Tensor | None,
    weights: Tensor,
    paired: bool,
    settings: Settings,
) -> tuple[Tensor, Tensor | None]:
    """As `_kernel_numpy.kernel_gradient`."""
    if not weights.numel():
        return torch.zeros_like(x), None if y is None else torch.zeros_like(y)
    compute = _words_gradient if settings.depth else _gradient
    sets = list(_sets(x, y, x_lengths, y_lengths, paired))
    parts = weights.reshape(len(sets), *sets[0].shape)
    found = [compute(device, one, part, settings) for one, part in zip(sets, parts, strict=True)]
    x_back = torch.stack([back for back, _ in found]).view(x.shape)
    if y is None:
        for to, (_, back) in zip(x_back.view(len(sets), *sets[0].x.shape), found, strict=True):
            if back is not None:
                to += back
        return x_back, None
    return x_back, torch.stack([back for _, back in found if back is not None]).view(y.shape)


def _sets(
    x: Tensor, y: Tensor | None, x_lengths: Tensor | None, y_lengths: Tensor | None, paired: bool
) -> Iterator[_Set]:
    tensors = x, x if y is None else y
    lengths = x_lengths, x_lengths if y is None else y_lengths
    if paired:
        flat = [v.reshape(math.prod(v.shape[:-2]), *v.shape[-2:]) for v in tensors]
        counts = [None if n is None else n.reshape(-1) for n in lengths]
        yield _Set(flat[0], flat[1], counts[0], counts[1], True, False)
        return
    every = [v.reshape(math.prod(v.shape[:-3]), *v.shape[-3:]) for v in tensors]
    each: list[Any] = [[None] * len(every[0]) if n is None else n.reshape(-1, n.shape[-1]) for n in lengths]
    for a, b, n, m in zip(*every, *each, strict=True):
        yield _Set(a, b, n, m, False, y is None)


# --- all words: the Goursat equation


def _engine(device: Device, of: _Set, settings: Settings) -> SignatureKernelEngine | None:
    """The engine for these paths; None where they have no steps."""
    from ..cuda_ext._signature_kernel import PRECOMPUTED, KernelProblem, SignatureKernelEngine
    from ..cuda_ext._signature_kernel_plan import check_orders

    static = STATIC[settings.static]  # the kernels have the same numbers

    def steps(v: Tensor, lengths: Tensor | None) -> NDArray[np.int64]:
        host = _host(lengths)
        return np.full(len(v), v.shape[1] - 1, np.int64) if host is None else host - 1

    paths = [of.x, of.y]
    if static == PRECOMPUTED:
        rows, cols = of.x.shape[1:]
        sizes = (rows, cols, 1)
        counts = [np.full(len(of.x), n, np.int64) for n in (rows, cols)]
    else:
        counts = [steps(of.x, of.x_lengths), steps(of.y, of.y_lengths)]
        if settings.static == "linear":
            paths = [v.diff(dim=1) for v in paths]
        sizes = (paths[0].shape[1], paths[1].shape[1], of.x.shape[2])
    given = paths[:1] if static == PRECOMPUTED else paths
    buffers = [device.wrap(v.detach().contiguous()) for v in given]
    dtype = np.float64 if of.x.dtype == torch.float64 else np.float32
    problem = KernelProblem(
        static, buffers[0], buffers[-1], *counts, *map(int, sizes), settings.scale, *settings.refinement
    )
    check_orders(problem.sizes)
    if not (problem.sizes.rows and problem.sizes.cols):
        return None
    return SignatureKernelEngine(device.runtime, dtype, problem)


def _windows(of: _Set, chunks: Chunks) -> Iterator[Window]:
    from ..cuda_ext._signature_kernel_plan import windows_of

    return windows_of(len(of.x), of.shape[-1], of.paired, of.upper, chunks)


def _values(device: Device, of: _Set, settings: Settings) -> Tensor:
    from ..cuda_ext._pieces import in_pieces

    engine, out = _engine(device, of, settings), of.x.new_ones(of.shape)
    if engine is None:
        return out
    buffer = device.wrap(out)
    windows = _windows(of, engine.chunks(out.numel(), gradient=False))
    for _ in in_pieces(lambda window: engine.values(window, buffer, out.shape[-1]), windows):
        pass
    return device.tensor(buffer, *of.shape)


def _gradient(device: Device, of: _Set, weights: Tensor, settings: Settings) -> tuple[Tensor, Tensor | None]:
    from ..cuda_ext._pieces import in_pieces

    engine = _engine(device, of, settings)
    if engine is None:
        return torch.zeros_like(of.x), torch.zeros_like(of.y)
    if of.upper:
        weights = weights + weights.mT - weights.diagonal().diag()  # each pair counts once
    windows = _windows(of, engine.chunks(weights.numel(), gradient=True))
    given = device.wrap(weights.detach().contiguous())
    p, n_y = engine.problem, weights.shape[-1]
    found = in_pieces(lambda window: (window, *engine.gradient(window, given, n_y)), windows)
    if settings.static == "precomputed":
        return torch.cat([device.tensor(back, w.pairs, *of.x.shape[1:]) for w, back, _ in found]), None
    x_sum = of.x.new_zeros(len(of.x), p.x_length, p.channels)
    y_sum = of.x.new_zeros(len(of.y), p.y_length, p.channels)
    for window, *backs in found:
        rows, cols = _slices(window)
        x_back, y_back = (
            device.tensor(back, window.count_x, max(1, window.count_y), length, p.channels)
            for back, length in zip(backs, (p.x_length, p.y_length), strict=True)
        )
        x_sum[rows] += x_back.sum(1)
        y_sum[cols] += y_back[:, 0] if of.paired else y_back.sum(0)
    if settings.static == "linear":
        return _by_points(x_sum), _by_points(y_sum)
    return x_sum, y_sum


def _by_points(increments: Tensor) -> Tensor:
    """Gradients of points, given those of the increments between them."""
    edge = increments.new_zeros(len(increments), 1, increments.shape[2])
    return torch.cat([edge, increments], 1) - torch.cat([increments, edge], 1)


# --- words up to a depth


def _windows_of_words(of: _Set, settings: Settings, gradient: bool) -> Iterator[Window]:
    from ..cuda_ext._signature_kernel_plan import SCRATCH_BYTES, Chunks

    if settings.static == "precomputed":
        cells = of.x[0].numel()
    else:
        cells = of.x.shape[1] * of.y.shape[1]
    depth = settings.depth
    # Two levels of words at a time; gradients keep them all, and sums of each.
    copies = 3 * depth**3 if gradient else 4 * depth**2
    most = max(1, SCRATCH_BYTES // (copies * of.x.element_size() * max(1, cells)))
    return _windows(of._replace(upper=False), Chunks(most, 1))


def _words_of(x: Tensor, y: Tensor, of: _Set, window: Window, settings: Settings) -> Tensor:
    rows, cols = _slices(window)
    n = None if of.x_lengths is None else of.x_lengths[rows]
    m = None if of.y_lengths is None else of.y_lengths[cols]
    return _kernel_reference.kernel(x, y, n, m, of.paired, settings)


def _words(device: Device, of: _Set, settings: Settings) -> Tensor:
    out = of.x.new_empty(of.shape)
    for window in _windows_of_words(of, settings, gradient=False):
        rows, cols = _slices(window)
        _place(out, of, window).copy_(_words_of(of.x[rows], of.y[cols], of, window, settings))
    return out


def _words_gradient(
    device: Device, of: _Set, weights: Tensor, settings: Settings
) -> tuple[Tensor, Tensor | None]:
    given = settings.static == "precomputed"
    x_back, y_back = torch.zeros_like(of.x), torch.zeros_like(of.y)
    for window in _windows_of_words(of, settings, gradient=True):
        rows, cols = _slices(window)

        def call(x: Tensor, y: Tensor, window: Window = window) -> Tensor:
            return _words_of(x, y, of, window, settings)

        # Inside an operator torch.autograd records nothing; torch.func does.
        found = reference_gradient(call, [of.x[rows], of.y[cols]], _place(weights, of, window))
        x_back[rows] += found[0]
        if not given:
            y_back[cols] += found[1]
    return x_back, None if given else y_back


def _slices(window: Window) -> tuple[slice, slice]:
    """Which paths of x and of y are in a window."""
    rows = slice(window.first_x, window.first_x + window.count_x)
    cols = slice(window.first_y, window.first_y + window.count_y) if window.count_y else rows
    return rows, cols


def _place(values: Tensor, of: _Set, window: Window) -> Tensor:
    rows, cols = _slices(window)
    return values[rows] if of.paired else values[rows, cols]
