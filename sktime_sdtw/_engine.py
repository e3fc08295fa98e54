"""The way down to the engines: devices, threads, output. Nobody else imports ``_core`` and ``cuda_ext``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray

from . import _core
from ._series import Array, SeriesBatch
from .cuda_ext import LEAST_GPU_WORK, _kinds

if TYPE_CHECKING:
    from .cuda_ext._runtime import Runtime
    from .metrics._constraints import Band
    from .metrics._costs import ResolvedCost

Pairing = Literal["full", "upper", "paired"]
Wanted = Literal["value", "expected_cost", "entropy", "x", "y", "alignment"]

_PAIRING = {"full": 0, "upper": 1, "paired": 2}
_COST = {
    "sqeuclidean": _kinds.SQUARES,
    "cosine": _kinds.SQUARES,  # of rows of length one
    "euclidean": _kinds.EUCLIDEAN,
    "manhattan": _kinds.MANHATTAN,
    "gak": _kinds.GAK,
    "precomputed": _kinds.GIVEN,
    "callable": _kinds.GIVEN,
}
_BAND = {
    "none": _kinds.NO_BAND,
    "sakoe_chiba": _kinds.SAKOE_CHIBA,
    "relative_sakoe_chiba": _kinds.RELATIVE_SAKOE_CHIBA,
    "itakura": _kinds.ITAKURA,
}


def resolve_device(device: Any, work: float = 0.0) -> str:
    """The engine to use.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:<i>", "cuda:all"} or list of str
        A list names several GPUs.
    work : float
        Cells of the tables of all pairs times features: "auto" takes a GPU where there is enough to do.

    Returns
    -------
    str
        "cpu", or the GPUs: "cuda:0", "cuda:0,cuda:1".

    Raises
    ------
    RuntimeError
        A CUDA device was asked for and cannot be used.
    TypeError, ValueError
        Not one of the accepted strings.
    """
    accepted = "device must be one of 'auto', 'cpu', 'cuda', 'cuda:<index>', 'cuda:all', or a list of GPUs."
    names = list(device) if isinstance(device, (list, tuple)) else [device]
    if not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{accepted} Got {device!r}.")
    if names == ["cpu"]:
        return "cpu"
    if names == ["auto"]:
        return _auto_device(work)
    for name in names:
        kind, _, which = name.partition(":")
        if kind != "cuda" or not (name == "cuda" or which == "all" or which.isdecimal()):
            raise ValueError(f"{accepted} Got {device!r}.")
    from .cuda_ext._devices import device_indices

    return ",".join(f"cuda:{index}" for index in device_indices(names))


def _auto_device(work: float) -> str:
    if work < LEAST_GPU_WORK:
        return "cpu"
    from .cuda_ext._devices import choose, usable_devices

    if choose(work, "torch" in sys.modules).device == "cpu":
        return "cpu"
    return f"cuda:{usable_devices()[0].index}"


def runtimes_for(device: Any, work: float) -> list[Runtime]:
    """The GPUs to use; an empty list for the CPU."""
    resolved = resolve_device(device, work)
    if resolved == "cpu":
        return []
    from .cuda_ext._runtime import cuda_runtime

    return [cuda_runtime(int(name.removeprefix("cuda:"))) for name in resolved.split(",")]


def _work(x: SeriesBatch, y: SeriesBatch, pairing: Pairing) -> float:
    """What `resolve_device` compares."""
    if pairing == "paired":
        cells = float(x.lengths.astype(np.float64) @ y.lengths)
    else:
        cells = float(x.lengths.sum()) * float(y.lengths.sum())
    return cells * x.n_features * (0.5 if pairing == "upper" else 1.0)


class Settings(NamedTuple):
    """The cost and the band of a call in numbers, in the order in which engines and operators take them."""

    cost: int
    scale: float  # of squared distances
    band: int
    band_parameter: float  # radius or slope


def settings_of(cost: ResolvedCost, band: Band) -> Settings:
    return Settings(_COST[cost.name], cost.scale, _BAND[band.kind], band.parameter)


def resolve_n_threads(n_jobs: Any) -> int:
    """Number of threads, as joblib counts jobs and never more than the CPUs of this process.

    Parameters
    ----------
    n_jobs : int or None
        None means 1, or what an enclosing ``joblib.parallel_config`` says; -1 means all CPUs, -2 all but one.
    """
    if n_jobs is not None and (isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral)):
        raise TypeError(f"n_jobs must be an int other than 0, or None. Got {n_jobs!r}.")
    if n_jobs == 0:
        raise ValueError("n_jobs must be an int other than 0, or None. Got 0.")
    if n_jobs == 1:
        return 1
    backend, configured = joblib.parallel.get_active_backend()
    if n_jobs is None or n_jobs < 0 or backend.nesting_level:
        jobs = int(backend.effective_n_jobs(configured if n_jobs is None else int(n_jobs)))
    else:  # joblib would look whether processes can be started, which takes time, and threads need none
        jobs = int(n_jobs)
    return 1 if jobs <= 1 else min(jobs, _available_threads(backend))


def _available_threads(backend: Any) -> int:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if backend.nesting_level:
        # So joblib tells its workers their share of the CPUs: workers and threads do not multiply.
        share = os.environ.get("OMP_NUM_THREADS", "")
        available = min(available, int(share)) if share.isdecimal() else available
    return max(1, available)


def instruction_set() -> str:
    """Name of the instruction set that the engine uses on this machine."""
    return str(_core.instruction_set())


@dataclass(frozen=True)
class Pairs:
    """Row i of x with row i of y. With `costs`, x and y give only the lengths."""

    x: SeriesBatch
    y: SeriesBatch
    costs: Array | None = None

    @property
    def cost_offsets(self) -> NDArray[np.int64]:
        """Where the (n, m) matrix of each pair starts in a flat array of them."""
        return np.concatenate([[0], np.cumsum(self.x.lengths * self.y.lengths)]).astype(np.int64)


def lengths_only(lengths: NDArray[np.int64], dtype: np.dtype[Any]) -> SeriesBatch:
    """A stand-in for series that nobody needs the values of."""
    return SeriesBatch(np.zeros((0, 1), dtype), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def forward(
    x: SeriesBatch,
    y: SeriesBatch | None,
    pairing: Pairing,
    cost: ResolvedCost,
    band: Band,
    gammas: NDArray[np.float64],
    n_jobs: int | None = None,
    device: str | list[str] = "auto",
    costs: Array | None = None,
) -> Array:
    """Values of Soft-DTW for several gammas.

    Parameters
    ----------
    x, y : SeriesBatch
        Of one dtype and number of features, as `ResolvedCost.prepare` left them. y is None for "upper".
    pairing : {"full", "upper", "paired"}
        All of x with all of y; all of x with all of x, symmetric; row i with row i.
    cost, band : ResolvedCost, Band
    gammas : ndarray of shape (n_gammas,), float64
    costs : ndarray, optional
        Flat cost matrices of the pairs; "paired" only.

    Returns
    -------
    ndarray of shape (n_gammas, n_x, n_y) or (n_gammas, n_x)
    """
    other = x if y is None else y
    runtimes = runtimes_for(device, _work(x, other, pairing))
    n_threads, settings = resolve_n_threads(n_jobs), settings_of(cost, band)
    if runtimes:
        from .cuda_ext import _engine as cuda

        values = cuda.forward(runtimes, x, y, pairing, settings, gammas, costs)
        _check_values(values, band)
        return values
    shape = (len(x),) if pairing == "paired" else (len(x), len(other))
    dtype = x.dtype if costs is None else costs.dtype
    out = np.empty((len(gammas), *shape), dtype)
    _core.forward(
        *_problem(Pairs(x, other, costs)),
        _PAIRING[pairing],
        *settings,
        gammas,
        out,
        n_threads,
    )
    _check_values(out, band)
    return out


def gradient(
    pairs: Pairs,
    wanted: set[Wanted],
    cost: ResolvedCost,
    band: Band,
    gamma: float,
    n_jobs: int | None = None,
    device: str | list[str] = "auto",
) -> dict[Wanted, Array]:
    """Values, expected costs, gradients and alignments of pairs of series.

    Parameters
    ----------
    pairs : Pairs
    wanted : set of {"value", "expected_cost", "entropy", "x", "y", "alignment"}
    cost, band : ResolvedCost, Band
    gamma : float
        0 takes the optimal path, inf the mean over all paths with equal weights.

    Returns
    -------
    dict of ndarray
        By the names in `wanted`: value, expected_cost and entropy (n,), x and y laid out as the values of the
        batches, alignment flat as the costs.
    """
    runtimes = runtimes_for(device, _work(pairs.x, pairs.y, "paired"))
    n_threads, settings = resolve_n_threads(n_jobs), settings_of(cost, band)
    # Checked whatever was asked for: an overflow, which gradients would hide. No value exists at gamma = inf.
    wanted = wanted | ({"expected_cost"} if np.isinf(gamma) else {"value"})
    if band.kind == "itakura":
        _check_itakura(pairs, band)
    if runtimes:
        from .cuda_ext import _engine as cuda

        result = cuda.gradient(runtimes, pairs, wanted, settings, gamma)
    else:
        result = _allocate(pairs, wanted)
        _core.gradient(
            *_problem(pairs),
            *settings,
            gamma,
            result.get("value"),
            result.get("expected_cost"),
            result.get("entropy"),
            result.get("x"),
            result.get("y"),
            result.get("alignment"),
            n_threads,
        )
    _check_values(result["expected_cost" if np.isinf(gamma) else "value"], band)
    return result


def optimal_path(
    pairs: Pairs, cost: ResolvedCost, band: Band, device: str | list[str] = "auto"
) -> tuple[float, NDArray[np.int64]]:
    """The best path of the first pair and its cost.

    Returns
    -------
    value : float
    path : ndarray of shape (length, 2), int64
    """
    runtimes, settings = runtimes_for(device, _work(pairs.x, pairs.y, "paired")), settings_of(cost, band)
    if band.kind == "itakura":
        _check_itakura(pairs, band)
    if runtimes:
        from .cuda_ext import _engine as cuda

        value, path = cuda.optimal_path(runtimes[0], pairs, settings)
        _check_values(np.asarray(value), band)
        return value, path
    path = np.empty((int(pairs.x.lengths[0] + pairs.y.lengths[0]) - 1, 2), np.int64)
    length, value = _core.optimal_path(*_problem(pairs), *settings, path)
    _check_values(np.asarray(value), band)
    return float(value), path[:length].copy()


def _problem(pairs: Pairs) -> tuple[Array, Array, Array, Array, Array | None]:
    return pairs.x.values, pairs.x.offsets, pairs.y.values, pairs.y.offsets, pairs.costs


def _allocate(pairs: Pairs, wanted: set[Wanted]) -> dict[Wanted, Array]:
    dtype = pairs.x.dtype if pairs.costs is None else pairs.costs.dtype
    shapes: dict[Wanted, tuple[int, ...]] = {
        "value": (len(pairs.x),),
        "expected_cost": (len(pairs.x),),
        "entropy": (len(pairs.x),),
        "x": pairs.x.values.shape,
        "y": pairs.y.values.shape,
        "alignment": (int(pairs.cost_offsets[-1]),),
    }
    # Zeros, because the engine adds to the gradients and skips cells outside the band.
    return {name: np.zeros(shapes[name], dtype) for name in wanted}


def _check_itakura(pairs: Pairs, band: Band) -> None:
    """Raise where a pair has no path: the engine itself is asked, on series of zeros of these lengths."""
    from .metrics._costs import ResolvedCost

    shapes = np.unique(np.stack([pairs.x.lengths, pairs.y.lengths], axis=1), axis=0)
    x, y = (
        SeriesBatch(
            np.zeros((int(lengths.sum()), 1)), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        )
        for lengths in shapes.T
    )
    forward(x, y, "paired", ResolvedCost("sqeuclidean"), band, np.zeros(1), device="cpu")


def _check_values(values: Array, band: Band) -> None:
    """Raise for a value that is not finite: no path exists, or the costs left the range of the dtype."""
    if np.isfinite(values.min()) and np.isfinite(values.max()):  # no array of the size of the values
        return
    if band.kind == "itakura":
        raise ValueError(
            f"{band.describe()} leaves no path between two of the series: their lengths differ too much for "
            "it. Choose a larger slope, or resample the series (TimeSeriesResampler)."
        )
    raise ValueError(
        f"The costs leave the range of {values.dtype}: scale the series down (TimeSeriesScaler), or pass "
        "float64 where they are float32."
    )
