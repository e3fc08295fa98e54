"""Specifications of kernels: which definitions the engine asks for.

Made once for each choice: the same few come again and again, and hashing types and sorting names would take
longer than a launch.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ._data import Arithmetic
from ._plan import Variant
from ._sources import KernelSpec

# Every kernel is compiled together with all headers, which want all of these.
_DEFAULTS: dict[str, str | int] = {
    "COST": 0,
    "BAND": 0,
    "HARD": 0,
    "WIDE": 0,
    "DIM": 0,
    "TILE_ROWS": 4,
    "TILE_COLS": 4,
    "PAIRED": 1,
    "SHARED": 0,
    "MULTI": 0,
}


@functools.cache
def make_spec(entry: str, store: str, defines: tuple[tuple[str, str | int], ...]) -> KernelSpec:
    """The kernel for series of a type, with these definitions and the defaults for the others."""
    given: dict[str, str | int] = {"STORE": store, "REAL": store, **_DEFAULTS, **dict(defines)}
    given["WIDE"] = int(given["REAL"] == "double")
    return KernelSpec.of(entry, **given)


@functools.cache
def make_sweep_spec(
    entry: str,
    kind: tuple[str, int, bool],
    variant: Variant,
    arithmetic: Arithmetic,
    more: tuple[tuple[str, int], ...],
) -> KernelSpec:
    """A kernel that works in tiles; `kind`: the type of the series, the cost, and whether there is a band."""
    store, cost, banded = kind
    defines: dict[str, str | int] = {
        "REAL": name_of(arithmetic.real),
        "HARD": int(arithmetic.hard),
        "COST": cost,
        "BAND": int(banded),
        "DIM": variant.dim,
        "TILE_ROWS": variant.tile_rows,
        "TILE_COLS": variant.tile_cols,
        "SHARED": int(variant.lanes < 32),
        "MULTI": int(variant.multi),
        **dict(more),
    }
    return make_spec(entry, store, tuple(defines.items()))


def name_of(dtype: np.dtype[Any]) -> str:
    """The type in C++."""
    return "double" if dtype == np.float64 else "float"
