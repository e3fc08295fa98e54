"""Problems of the CUDA engine from batches of tensors, its kernels, and whether the host may wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from .._engine import Settings
from ._cuda_batches import Batch, Device, Lengths, Packed, offsets_of
from ._library import ASKS

if TYPE_CHECKING:
    from ..cuda_ext._data import DeviceSeries
    from ..cuda_ext._kernels import Kernels
    from ..cuda_ext._pairs import Problem


@contextmanager
def capturable() -> Iterator[None]:
    """Inside, calls on CUDA tensors never wait for the GPU, and can be captured in a CUDA graph.

    Outside, the GPU is asked once a call in which arithmetic its pairs have to be computed. Inside, kernels
    for every arithmetic are launched; those that find nothing to do end at once. Values and derivatives are
    the same. It is worth while where many small calls follow each other, and needed for a graph. Backward
    passes do as the call did that they belong to; those of all pairs then solve even pairs that do not count.

    Notes
    -----
    Make the call once inside before it is captured, as for all of PyTorch: kernels are compiled and loaded
    then. Lengths must be tensors on the CPU, or None, and gamma a number or on the GPU; with
    ``cost="gak"`` it must not differ between samples.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.functional import capturable, soft_dtw
    >>> x, y = torch.randn(2, 4, 30, 1, device="cuda" if torch.cuda.is_available() else "cpu")
    >>> with capturable():
    ...     loss = soft_dtw(x, y, gamma=0.1).mean()
    """
    token = ASKS.set(False)
    try:
        yield
    finally:
        ASKS.reset(token)


def make_kernels(device: Device, like: Tensor, numbers: Settings, gamma: float | Tensor) -> Kernels:
    """The kernels of a call on tensors like this one."""
    from ..cuda_ext._engine import make_kernels as make

    dtype = np.dtype(str(like.dtype).removeprefix("torch."))
    kernels = make(device.runtime, dtype, numbers, np.array([gamma if isinstance(gamma, float) else 1.0]))
    if not ASKS.get():
        kernels.which = lambda seen: kernels.possible_methods()
    if isinstance(gamma, Tensor):
        kernels.gammas = device.wrap(gamma)
    return kernels


def make_series(
    device: Device,
    packed: Packed | None,
    sizes: Lengths,
    width: int,
    first: int = 0,
    last: int | None = None,
) -> DeviceSeries:
    """Series first <= k < last of a batch; without the batch, their lengths."""
    from ..cuda_ext._data import DeviceSeries, View

    offsets, values = offsets_of(sizes[first:last]), None
    if packed is not None:
        before = int(sizes[:first].sum())
        values = View(device.wrap(packed.rows), before * width, int(offsets[-1]) * width)
    return DeviceSeries(values, offsets, device.runtime.constant(offsets), width)


def make_problem(device: Device, kernels: Kernels, batch: Batch, first: int, last: int, dim: int) -> Problem:
    """Pairs first <= k < last of the batch, as `group_problem` makes them from arrays."""
    from ..cuda_ext._pairs import Problem, pair_variant

    def series(packed: Packed | None, sizes: Lengths, width: int) -> DeviceSeries:
        return make_series(device, packed, sizes, width, first, last)

    x_packed, y_packed = (None, None) if batch.of_costs else batch.packed
    x, y = series(x_packed, batch.n, batch.features), series(y_packed, batch.m, batch.features)
    variant = pair_variant(kernels, dim, y.lengths, len(x))
    if not batch.of_costs:
        kernels.ranges(x, y)
        return Problem(x, y, variant)
    costs = series(batch.packed[0], batch.n * batch.m, 1)
    kernels.ranges(costs)
    x.low, x.high, x.parts = costs.low, costs.high, costs.parts
    return Problem(x, y, variant, costs=costs.values, cost_offsets=costs.device_offsets)


def groups_of(kernels: Kernels, batch: Batch, dim: int, wanted: set[str]) -> Iterator[Any]:
    from ..cuda_ext._pairs import gradient_groups, value_groups

    if wanted:
        return gradient_groups(kernels.runtime, batch.n, batch.m, dim, kernels.store, "alignment" in wanted)
    return value_groups(kernels.runtime, batch.n, batch.m, dim, 1, kernels.store)
