"""Checks of single numbers, with messages that name the argument and say what is accepted."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any


def check_number(value: Any, name: str, least: float, *, exclusive: bool = False) -> float:
    """Read a finite real number that is at least `least`, or greater.

    Raises
    ------
    TypeError
        Not a real number; a bool is not one.
    ValueError
        NaN, infinite or too small.
    """
    accepted = f"{name} must be a finite number {'>' if exclusive else '>='} {least:g}"
    # NumPy's bool is not a Real, Python's is.
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{accepted}. Got {value!r}.")
    number = float(value)
    if not math.isfinite(number) or number < least or (exclusive and number == least):
        raise ValueError(f"{accepted}. Got {value!r}.")
    return number


def check_count(value: Any, name: str, least: int) -> int:
    """Read an integer that is at least `least`, and that counts what fits a memory; a bool is none."""
    accepted = f"{name} must be an int >= {least}, and less than 2^31"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{accepted}. Got {value!r}.")
    if not least <= int(value) < 2**31:
        raise ValueError(f"{accepted}. Got {value!r}.")
    return int(value)
