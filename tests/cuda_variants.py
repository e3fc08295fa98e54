"""The kernel variants that the engine asks for, and choices among them that are small enough to compile."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from cuda_emulation._build import cache_folder
from sktime_sdtw.cuda_ext import _data, _gdtw, _kernels, _plan, _second_order
from sktime_sdtw.cuda_ext._compile import Resources, compile_kernel, nvrtc_identity, read_resources
from sktime_sdtw.cuda_ext._signature_kernel import make_kernel_spec
from sktime_sdtw.cuda_ext._signature_plan import choose_layout
from sktime_sdtw.cuda_ext._signatures import SignatureEngine
from sktime_sdtw.cuda_ext._sources import KernelSpec

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")

# (type of the series, method): a method of its own where the GPU computes with doubles for series in float.
TYPES = (("float32", 0), ("float32", 1), ("float32", 2), ("float32", 3), ("float64", 0), ("float64", 3))
STORES = ("float32", "float64")
REALS = (("float32", 0), ("float32", 1), ("float64", 0))
COSTS = (0, 1, 2, 3, 4)
BANDS = (0, 1)  # none, or one; which one is told when it runs
# (channels, depth) of signatures: the words of a thread in several levels, in one, and in tiles.
SIGNATURES = ((1, 3), (2, 6), (3, 4), (4, 6), (6, 3), (8, 3), (8, 5), (12, 2))
STRIPS = ("shared", "one", "several")  # several to a warp, one of a pair, several of a pair


@dataclass(frozen=True, eq=False)
class Family:
    """The variants of a kernel.

    Parameters
    ----------
    name : str
    axes : dict of tuple
        The choices, independent of each other. Some may lead to the same kernel.
    spec : callable
        The specification for one value of each axis, or None where the engine never asks for it.
    architectures : tuple of str
        Those that it is made for.
    """

    name: str
    axes: dict[str, tuple[Any, ...]]
    spec: Callable[..., KernelSpec | None]
    architectures: tuple[str, ...] = ARCHITECTURES

    def all(self) -> list[KernelSpec]:
        """All variants, each once."""
        specs = (self.spec(*choice) for choice in itertools.product(*self.axes.values()))
        return list(dict.fromkeys(spec for spec in specs if spec is not None))

    @functools.cache  # noqa: B019 - there are a handful of families
    def covering(self) -> list[tuple[KernelSpec, str]]:
        """Variants with architectures: any two values of two axes meet, and any with any architecture."""
        found = []
        for *choice, architecture in covering([*self.axes.values(), self.architectures]):
            spec = self.spec(*choice)
            if spec is not None:
                found.append((spec, architecture))
        return list(dict.fromkeys(found))


def covering(axes: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    """Few choices of one value for each axis; every pair of values of two axes is in one of them."""
    choose = random.Random(0)
    sizes = [len(axis) for axis in axes]
    missing = {
        (a, i, b, j)
        for a, b in itertools.combinations(range(len(axes)), 2)
        for i in range(sizes[a])
        for j in range(sizes[b])
    }
    while missing:
        best: tuple[int, list[int]] = (0, [])
        a, i, b, j = min(missing)
        for _ in range(60):
            row = [choose.randrange(size) for size in sizes]
            row[a], row[b] = i, j
            gain = len(_pairs(row) & missing)
            best = max(best, (gain, row), key=lambda candidate: candidate[0])
        missing -= _pairs(best[1])
        yield tuple(axis[index] for axis, index in zip(axes, best[1], strict=True))


def _pairs(row: Sequence[int]) -> set[tuple[int, int, int, int]]:
    return {(a, row[a], b, row[b]) for a, b in itertools.combinations(range(len(row)), 2)}


def _kernels_for(store: str, cost: int, band: int) -> _kernels.Kernels:
    nothing: Any = None  # what takes no part in the choice of a kernel
    return _kernels.Kernels(nothing, np.dtype(store), cost, np.float64(1), band, np.float64(0), nothing, 1)


def _variant(dim: int, strips: str, *, paired: bool, wide: bool) -> _plan.Variant:
    """What the plan chooses where series are as long as `strips` says."""
    groups, longest = {"shared": (10**9, 1), "one": (1, 1), "several": (1, 10**4)}[strips]
    return _plan.choose_variant(dim, longest, groups, 1, paired=paired, wide=wide)


def _sweep(
    entry: str, kind: tuple[str, int], cost: int, features: int, band: int, strips: str, **more: int
) -> KernelSpec | None:
    store, method = kind
    paired = bool(more.get("PAIRED", 1))
    sums = _plan.SUMS if more.get("SUMS") else ()
    dim = _plan.dim_of_pairs(features, cost, sums) if paired else _plan.dim_of_windows(features, cost)
    if dim == 0 and not paired:
        return None
    arithmetic = _data.arithmetic_of(method, np.dtype(store))
    variant = _variant(dim, strips, paired=paired, wide=arithmetic.real == np.float64)
    return _kernels_for(store, cost, band)._sweep_spec(entry, variant, arithmetic, **more)


def _window(kind: tuple[str, int], cost: int, features: int, band: int, strips: str) -> KernelSpec | None:
    return _sweep("sweep", kind, cost, features, band, strips, PAIRED=0)


def _paired(kind: tuple[str, int], cost: int, features: int, band: int, strips: str) -> KernelSpec | None:
    return _sweep("sweep", kind, cost, features, band, strips)


def _reverse(
    kind: tuple[str, int], cost: int, features: int, band: int, strips: str, sums: int
) -> KernelSpec | None:
    return _sweep("reverse", kind, cost, features, band, strips, SUMS=sums)


def _real(store: str, method: int) -> str:
    return "double" if method or store == "float64" else "float"


def _table(real: tuple[str, int], cost: int, slope: int) -> KernelSpec | None:
    if slope and cost == 4:
        return None
    return _kernels_for(real[0], cost, 0).spec("table", COST=cost, REAL=_real(*real), SLOPE=slope)


def _tensor_table(cost: int, slope: int) -> KernelSpec | None:
    if slope and cost == 0:
        return None  # a constant
    return _kernels_for("float32", cost, 0).spec("tensor_table", COST=cost, SLOPE=slope)


def _products(real: tuple[str, int], cost: int, tile: int) -> KernelSpec | None:
    kernels = _kernels_for(real[0], cost, 0)
    return kernels.spec("products", COST=cost, REAL=_real(*real), FEATURE_TILE=tile)


def _second_costs(kind: tuple[str, int], cost: int, weights: int) -> KernelSpec | None:
    if weights and cost not in _second_order.VARYING_SLOPE:
        return None
    arithmetic = _data.arithmetic_of(kind[1], np.dtype(kind[0]))
    return _second_order.costs_spec(_kernels_for(kind[0], cost, 0), arithmetic, weights=bool(weights))


def _second(name: str, kind: tuple[str, int], band: int = 0) -> KernelSpec | None:
    arithmetic = _data.arithmetic_of(kind[1], np.dtype(kind[0]))
    return _second_order.sweep_spec(_kernels_for(kind[0], 0, band), name, arithmetic)


def _signatures(store: str) -> SignatureEngine:
    nothing: Any = None
    return SignatureEngine(nothing, store)


def _signature(entry: str, kind: str, store: str, size: tuple[int, int], **more: int) -> KernelSpec:
    layout = choose_layout(*size, np.dtype(store).itemsize, kind)
    return _signatures(store)._path_spec(entry, layout, **more)


def _signature_forward(store: str, size: tuple[int, int], stream: int) -> KernelSpec:
    return _signature("signature", "stream" if stream else "forward", store, size, STREAM=stream)


_WINDOWS = tuple(range(1, _plan.MOST_DIM_WINDOWS + 1))
_PAIRS = tuple(range(1, _plan.MOST_DIM_PAIRS + 2))

FAMILIES = (
    Family(
        "sweep, windows",
        {"type": TYPES, "cost": COSTS[:3], "features": _WINDOWS, "band": BANDS, "strips": STRIPS},
        _window,
    ),
    Family(
        "sweep, pairs",
        {"type": TYPES, "cost": COSTS[:3], "features": _PAIRS, "band": BANDS, "strips": STRIPS},
        _paired,
    ),
    Family(
        "reverse",
        {
            "type": TYPES,
            "cost": COSTS[:3],
            "features": _PAIRS,
            "band": BANDS,
            "strips": STRIPS,
            "sums": (0, 1),
        },
        _reverse,
    ),
    Family("table", {"real": REALS, "cost": COSTS, "slope": (0, 1)}, _table),
    Family(
        "tensor_table",
        {"cost": (0, 1, 3), "slope": (0, 1)},
        _tensor_table,
        tuple(name for name in ARCHITECTURES if name != "sm_75"),
    ),
    Family("products", {"real": REALS, "cost": (0, 2), "tile": (8, 16, 32, 64)}, _products),
    Family("second order, costs", {"real": REALS, "cost": COSTS, "weights": (0, 1)}, _second_costs),
    Family("second order, sweep", {"type": TYPES, "band": BANDS}, functools.partial(_second, "sweep")),
    Family("second order, reverse", {"type": TYPES}, functools.partial(_second, "reverse")),
    Family("signature", {"store": STORES, "size": SIGNATURES, "stream": (0, 1)}, _signature_forward),
    Family(
        "signature, reverse",
        {"store": STORES, "size": SIGNATURES},
        functools.partial(_signature, "signature_reverse", "reverse"),
    ),
    Family(
        "signature, reverse of streams",
        {"entry": ("signature_stream_reverse", "signature_starts"), "store": STORES, "size": SIGNATURES},
        lambda entry, store, size: _signature(entry, "stream reverse", store, size),
    ),
    Family(
        "products of signatures",
        {
            "entry": ("signature_product", "signature_product_reverse"),
            "store": STORES,
            "channels": (1, 2, 3, 4, 8, 40),
        },
        lambda entry, store, channels: _signatures(store)._plain_spec(entry, channels),
    ),
    Family(
        "points and coordinates of signatures",
        {"entry": ("signature_points", "signature_linear"), "store": STORES},
        lambda entry, store: _signatures(store)._plain_spec(entry, 1),
    ),
    Family(
        "signature kernels, sweeps",
        {"entry": ("sweep", "reverse"), "real": ("float", "double")},
        make_kernel_spec,
    ),
    Family(
        "signature kernels, paths",
        {"entry": ("table", "weights", "products"), "real": ("float", "double"), "static": (0, 1, 2)},
        lambda entry, real, static: (
            None
            if (entry, static) in (("products", 2), ("weights", 0))
            else make_kernel_spec(entry, real, static)
        ),
    ),
    Family(
        "warps",
        {"general": (False, True), "wide": (False, True)},
        lambda general, wide: _gdtw.make_gdtw_spec("gdtw", general, wide),
    ),
    Family(
        "gradients of warps",
        {"general": (False, True)},
        lambda general: _gdtw.make_gdtw_spec("gdtw_backward", general),
    ),
    Family("classify", {"store": STORES}, lambda store: _kernels_for(store, 0, 0).spec("classify")),
    Family("clear", {"store": STORES}, lambda store: _kernels_for(store, 0, 0).spec("clear")),
    Family("ranges", {"store": STORES}, lambda store: _kernels_for(store, 0, 0).spec("ranges")),
    Family("spans", {"store": STORES}, lambda store: _kernels_for(store, 0, 0).spec("spans", REAL="double")),
)


def product(architecture: str) -> list[KernelSpec]:
    """All variants of all kernels that are made for an architecture."""
    families = (family for family in FAMILIES if architecture in family.architectures)
    return list(dict.fromkeys(spec for family in families for spec in family.all()))


def typical() -> dict[str, KernelSpec]:
    """The variants that most of the work is done by, named."""
    single, double, wide, hard = TYPES[0], TYPES[4], TYPES[1], TYPES[2]
    shared, one, several = STRIPS
    large = _plan.MOST_DIM_WINDOWS + 1
    chosen = {
        "values, d = 1": _window(single, 0, 1, 0, one),
        "values, d = 1, series share warps": _window(single, 0, 1, 0, shared),
        "values, d = 1, long series": _window(single, 0, 1, 0, several),
        "values, d = 1, band": _window(single, 0, 1, 1, one),
        "values, d = 1, hard": _window(hard, 0, 1, 0, one),
        "values, d = 1, computed in double": _window(wide, 0, 1, 0, one),
        "values, d = 1, double": _window(double, 0, 1, 0, one),
        "values, d = 3": _window(single, 0, 3, 0, one),
        "values, d = 8": _window(single, 0, 8, 0, one),
        "pairs, larger d": _paired(single, 0, large, 0, one),
        "pairs, d = 1, long series": _paired(single, 0, 1, 0, several),
        "pairs, larger d, long series": _paired(single, 0, large, 0, several),
        "pairs, larger d, long series, double": _paired(double, 0, large, 0, several),
        "gradients, reverse, d = 1": _reverse(single, 0, 1, 0, several, 0),
        "gradients, reverse, larger d": _reverse(single, 0, large, 0, several, 0),
        "gradients, reverse, larger d, double": _reverse(double, 0, large, 0, several, 0),
        "gradients, reverse, with gamma's": _reverse(single, 0, 1, 0, several, 1),
        "table of costs, sqeuclidean": _table(REALS[0], 0, 0),
        "table of costs, gak": _table(REALS[0], 3, 0),
        "table of costs, sqeuclidean, double": _table(REALS[2], 0, 0),
        "table of costs, sqeuclidean, on tensor cores": _tensor_table(0, 0),
        "gradients from a table, d up to 8": _products(REALS[0], 0, 8),
        "gradients from a table, d = 64": _products(REALS[0], 0, 64),
        "gradients from a table, d = 64, double": _products(REALS[2], 0, 64),
        "second order, costs": _second_costs(single, 0, 0),
        "second order, weights, gak": _second_costs(single, 3, 1),
        "second order, sweep": _second("sweep", single),
        "second order, sweep, band": _second("sweep", single, 1),
        "second order, sweep, double": _second("sweep", double),
        "second order, reverse": _second("reverse", single),
        "second order, reverse, double": _second("reverse", double),
        "signature, 8 channels to depth 3": _signature_forward("float32", (8, 3), 0),
        "signature, 8 channels to depth 3, double": _signature_forward("float64", (8, 3), 0),
        "signature, 4 channels to depth 6": _signature_forward("float32", (4, 6), 0),
        "signatures of beginnings, 4 channels to depth 6": _signature_forward("float32", (4, 6), 1),
        "signature, reverse, 8 channels to depth 3": _signature(
            "signature_reverse", "reverse", "float32", (8, 3)
        ),
        "signature, reverse, 8 channels to depth 3, double": _signature(
            "signature_reverse", "reverse", "float64", (8, 3)
        ),
        "signature, reverse, 4 channels to depth 6": _signature(
            "signature_reverse", "reverse", "float32", (4, 6)
        ),
        "signatures of beginnings, reverse, 4 channels to depth 6": _signature(
            "signature_stream_reverse", "stream reverse", "float32", (4, 6)
        ),
        "product of signatures, 8 channels": _signatures("float32")._plain_spec("signature_product", 8),
        "product of signatures, reverse, 8 channels": _signatures("float32")._plain_spec(
            "signature_product_reverse", 8
        ),
        "signature kernels": make_kernel_spec("sweep", "float"),
        "signature kernels, double": make_kernel_spec("sweep", "double"),
        "signature kernels, reverse": make_kernel_spec("reverse", "float"),
        "signature kernels, reverse, double": make_kernel_spec("reverse", "double"),
        "signature kernels, increments": make_kernel_spec("table", "float", 0),
        "signature kernels, gradients of paths": make_kernel_spec("products", "float", 0),
        "warps, squared losses": _gdtw.make_gdtw_spec("gdtw", False),
        "warps, all losses": _gdtw.make_gdtw_spec("gdtw", True),
        "gradients of warps, squared losses": _gdtw.make_gdtw_spec("gdtw_backward", False),
        "methods": FAMILIES[-3].spec("float32"),
        "beginning of gradients": FAMILIES[-3].spec("float32"),
        "ranges of series": FAMILIES[-2].spec("float32"),
        "spans of a path": FAMILIES[-1].spec("float32"),
    }
    return {name: spec for name, spec in chosen.items() if spec is not None}


class Budget(NamedTuple):
    """What a kernel may take: registers and bytes that spill, of a thread; bytes that a block shares."""

    registers: int
    spill: int
    shared: int


# By kernel and type of the arithmetic; over all variants and architectures. The few bytes that some kernels
# may spill are NVRTC's choice: it keeps to 64, 80 or 128 registers for some architectures of more.
BUDGETS = {
    ("sweep", "float"): Budget(255, 16, 0),
    ("sweep", "double"): Budget(255, 448, 0),
    ("reverse", "float"): Budget(255, 64, 0),
    ("reverse", "double"): Budget(255, 1280, 0),
    ("table", "float"): Budget(128, 16, 16 * 1024),
    ("table", "double"): Budget(176, 16, 32 * 1024),
    ("tensor_table", "float"): Budget(128, 160, 40 * 1024),
    ("products", "float"): Budget(128, 32, 16 * 1024),
    ("products", "double"): Budget(216, 128, 32 * 1024),
    ("second_order_costs", "float"): Budget(128, 0, 24 * 1024),
    ("second_order_costs", "double"): Budget(184, 0, 40 * 1024),
    ("second_order_sweep", "float"): Budget(128, 16, 16 * 1024),
    ("second_order_sweep", "double"): Budget(255, 48, 32 * 1024),
    ("second_order_reverse", "float"): Budget(128, 0, 24 * 1024),
    ("second_order_reverse", "double"): Budget(255, 0, 40 * 1024),
    ("signature", "float"): Budget(144, 32, 20 * 1024),
    ("signature", "double"): Budget(152, 32, 24 * 1024),
    ("signature_reverse", "float"): Budget(184, 32, 46 * 1024),
    ("signature_reverse", "double"): Budget(184, 32, 46 * 1024),
    ("signature_stream_reverse", "float"): Budget(128, 32, 46 * 1024),
    ("signature_stream_reverse", "double"): Budget(168, 32, 46 * 1024),
    ("signature_starts", "float"): Budget(64, 0, 0),
    ("signature_starts", "double"): Budget(64, 0, 0),
    ("signature_product", "float"): Budget(64, 0, 0),
    ("signature_product", "double"): Budget(64, 0, 0),
    ("signature_product_reverse", "float"): Budget(64, 0, 0),
    ("signature_product_reverse", "double"): Budget(72, 0, 0),
    ("signature_points", "float"): Budget(128, 0, 0),
    ("signature_points", "double"): Budget(128, 0, 0),
    ("signature_linear", "float"): Budget(64, 0, 0),
    ("signature_linear", "double"): Budget(64, 0, 0),
    ("signature_kernel_sweep", "float"): Budget(96, 16, 0),
    ("signature_kernel_sweep", "double"): Budget(152, 0, 0),
    ("signature_kernel_reverse", "float"): Budget(112, 0, 0),
    ("signature_kernel_reverse", "double"): Budget(184, 0, 0),
    ("signature_kernel_table", "float"): Budget(128, 96, 12 * 1024),
    ("signature_kernel_table", "double"): Budget(184, 96, 20 * 1024),
    ("signature_kernel_weights", "float"): Budget(64, 16, 0),
    ("signature_kernel_weights", "double"): Budget(64, 16, 0),
    ("signature_kernel_products", "float"): Budget(128, 16, 12 * 1024),
    ("signature_kernel_products", "double"): Budget(128, 16, 20 * 1024),
    # Large functions with several callers, whose registers they keep in memory meanwhile.
    ("gdtw", "double"): Budget(255, 1024, 34 * 1024),
    ("gdtw_backward", "double"): Budget(128, 256, 1024),
    ("classify", "float"): Budget(80, 0, 0),
    ("classify", "double"): Budget(80, 0, 0),
    ("clear", "float"): Budget(48, 0, 0),
    ("clear", "double"): Budget(48, 0, 0),
    ("ranges", "float"): Budget(48, 0, 4 * 1024),
    ("ranges", "double"): Budget(48, 0, 4 * 1024),
    ("spans", "double"): Budget(64, 0, 0),
}


def architectures(spec: KernelSpec) -> tuple[str, ...]:
    """Those that the kernel is made for."""
    return next(family.architectures for family in FAMILIES if spec in family.all())


def budget(spec: KernelSpec) -> Budget:
    """What this variant may take."""
    return BUDGETS[spec.entry, dict(spec.defines)["REAL"]]


def within(found: Resources, limit: Budget) -> bool:
    """Whether a kernel keeps to its budget; what spills once may be loaded twice."""
    return (
        found.registers <= limit.registers
        and found.spill_stores <= limit.spill
        and found.spill_loads <= 2 * limit.spill
        and found.shared <= limit.shared
    )


def resources(spec: KernelSpec, architecture: str) -> Resources:
    """What the kernel takes, from this or an earlier run's compilation."""
    parts = [spec.source(), repr(spec), architecture, nvrtc_identity()]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    path = cache_folder() / f"{spec.entry}-{architecture}-{key}.json"
    if path.is_file():
        return Resources(**json.loads(path.read_text()))
    binary, log = compile_kernel(spec, architecture)
    assert binary.code.startswith(b"\x7fELF")
    found = read_resources(log)
    unfinished = path.with_suffix(f".{random.getrandbits(64)}.part")
    unfinished.write_text(json.dumps(found._asdict()))
    unfinished.replace(path)
    return found
