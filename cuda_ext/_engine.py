"""The CUDA engine: forward, gradient and optimal_path over one or several devices.

The twin of cpu_ext/engine.cpp, with the arguments and results of the functions in `sktime_sdtw._engine`. Work
is cut by `_plan` and started by `_kernels`; here the pieces are put in order. NumPy arrays enter and leave in
the public functions only: what is between them works on buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _plan
from ._data import HARD, OWN, WIDE_HARD, arithmetic_of
from ._kernels import Kernels
from ._pairs import (
    gradient_budget,
    gradient_groups,
    group_gradient,
    group_problem,
    pair_variant,
    paired_worker,
    reverse_sweeps,
    value_groups,
)
from ._pairwise import pairwise_worker, value_windows
from ._pieces import Downloads, Group, share
from ._runtime import Buffer, Runtime

if TYPE_CHECKING:
    from sktime_sdtw._engine import Pairs, Settings, Wanted
    from sktime_sdtw._series import Array, SeriesBatch


def forward(
    runtimes: Sequence[Runtime],
    x: SeriesBatch,
    y: SeriesBatch | None,
    pairing: str,
    settings: Settings,
    gammas: NDArray[np.float64],
    costs: Array | None = None,
) -> Array:
    """Values for several gammas, as `sktime_sdtw._engine.forward`; NaN where the costs overflow.

    Parameters
    ----------
    runtimes : sequence of Runtime
        The devices that share the work.
    x, y : SeriesBatch
    pairing : {"full", "upper", "paired"}
    settings : Settings
    gammas : ndarray of float64
    costs : ndarray, optional

    Returns
    -------
    ndarray of shape (n_gammas, n_x, n_y) or (n_gammas, n_x)
    """
    other = x if y is None else y
    dtype = x.dtype if costs is None else costs.dtype
    shape = (len(x),) if pairing == "paired" else (len(x), len(other))
    out = np.empty((len(gammas), *shape), dtype)

    def worker(runtime: Runtime) -> tuple[Callable[[Any], None], Downloads]:
        kernels = make_kernels(runtime, dtype, settings, gammas)
        downloads = Downloads(runtime)
        if pairing == "paired":
            return paired_worker(kernels, x, other, costs, out, downloads), downloads
        return pairwise_worker(kernels, x, y, out, downloads), downloads

    if pairing == "paired":
        dim = 0 if costs is not None else _plan.dim_of_pairs(x.n_features, settings.cost)
        pieces: Iterable[Any] = value_groups(runtimes[0], x.lengths, other.lengths, dim, len(gammas), dtype)
    else:
        pieces = value_windows(runtimes, x, other, pairing == "upper", settings, len(gammas), dtype)
    share(runtimes, pieces, worker)
    return out


def gradient(
    runtimes: Sequence[Runtime], pairs: Pairs, wanted: set[Wanted], settings: Settings, gamma: float
) -> dict[Wanted, Array]:
    """Values, expected costs, gradients and alignments, as `sktime_sdtw._engine.gradient`.

    Parameters
    ----------
    runtimes : sequence of Runtime
        The devices that share the work.
    pairs : Pairs
    wanted : set of {"value", "expected_cost", "entropy", "x", "y", "alignment"}
    settings : Settings
    gamma : float
    """
    x, y, costs = pairs.x, pairs.y, pairs.costs
    n, m = x.lengths, y.lengths
    dtype = x.dtype if costs is None else costs.dtype
    cells = _plan.offsets_of(n * m)
    shapes: dict[Wanted, tuple[int, ...]] = {
        "value": (len(x),),
        "expected_cost": (len(x),),
        "entropy": (len(x),),
        "x": x.values.shape,
        "y": y.values.shape,
        "alignment": (int(cells[-1]),),
    }
    result: dict[Wanted, Array] = {name: np.empty(shapes[name], dtype) for name in wanted}
    bounds: dict[Wanted, NDArray[np.int64]] = {"x": x.offsets, "y": y.offsets, "alignment": cells}
    dim = 0 if costs is not None else _plan.dim_of_pairs(x.n_features, settings.cost, wanted)

    def worker(runtime: Runtime) -> tuple[Callable[[Group], None], Downloads]:
        kernels = make_kernels(runtime, dtype, settings, np.array([gamma]))
        variant = pair_variant(kernels, dim, m, len(x))
        kernels.prepare_gradients(variant, x.n_features, wanted)
        downloads = Downloads(runtime)

        def work(group: Group) -> None:
            problem = group_problem(kernels, x, y, costs, group, dim)
            found = group_gradient(kernels, problem, wanted, group.budget)
            part, count = slice(group.first, group.last), group.last - group.first
            values = result["value"][part] if "value" in result else np.empty(count, dtype)
            downloads.add(found.pop("value"), values)
            for name in wanted & found.keys():
                if name in bounds:
                    begin, end = bounds[name][group.first], bounds[name][group.last]
                    downloads.add(found[name], result[name][begin:end])
                else:  # a sum for each strip
                    sums = np.empty((count, problem.strips))
                    downloads.add(found[name], sums, _adder(result[name][part], sums, values))

        return work, downloads

    share(runtimes, gradient_groups(runtimes[0], n, m, dim, dtype, "alignment" in wanted), worker)
    return result


def optimal_path(runtime: Runtime, pairs: Pairs, settings: Settings) -> tuple[float, NDArray[np.int64]]:
    """The best path of the first pair and its cost, as `sktime_sdtw._engine.optimal_path`."""
    # In double, whatever the input, as the CPU engine does.
    double = np.dtype(np.float64)
    x, y = pairs.x.astype(double), pairs.y.astype(double)
    costs = None if pairs.costs is None else pairs.costs.astype(double, copy=False)
    kernels = make_kernels(runtime, double, settings, np.zeros(1))
    budget = gradient_budget(runtime, x.lengths, y.lengths, double.itemsize)
    problem = group_problem(kernels, x, y, costs, Group(0, 1, budget), 0)
    n, m = int(problem.n[0]), int(problem.m[0])
    value = runtime.empty(1, double)
    methods, seen = problem.classify(kernels, value)
    spans: list[NDArray[np.int64]] = []

    def collect(rows: tuple[int, int], table: Buffer | None) -> None:
        assert table is not None
        spans.append(kernels.spans(table, min(rows[1], n) - rows[0], m))

    for method in seen:  # one, or none where the costs overflow
        reverse_sweeps(kernels, problem, methods, arithmetic_of(method, double), value, {}, budget, collect)
    rows = np.concatenate([np.full((0, 2), -1), *spans[::-1]])
    counts = np.where(rows[:, 0] < 0, 0, rows[:, 1] - rows[:, 0] + 1)
    i = np.repeat(np.arange(len(rows)), counts)
    j = np.arange(len(i)) + np.repeat(rows[:, 0] - (np.cumsum(counts) - counts), counts)
    return float(runtime.download(value, (1,))[0]), np.stack([i, j], axis=1)


def _adder(target: Array, sums: Array, values: Array) -> Callable[[], None]:
    def put() -> None:
        with np.errstate(over="ignore"):  # inf is what the caller looks for
            target[...] = sums.sum(axis=1)
        target[np.isnan(values)] = np.nan  # pairs whose costs overflow were left out

    return put


def make_kernels(
    runtime: Runtime, dtype: np.dtype[Any], settings: Settings, gammas: NDArray[np.float64]
) -> Kernels:
    """The kernels of a call."""
    hard = HARD if dtype == np.float32 else WIDE_HARD
    return Kernels(
        runtime,
        np.dtype(dtype),
        settings.cost,
        np.float64(settings.scale),
        settings.band,
        np.float64(settings.band_parameter),
        runtime.constant(np.ascontiguousarray(gammas, dtype=np.float64)),
        len(gammas),
        likely=tuple(sorted({OWN if gamma > 0 else hard for gamma in gammas})),
    )
