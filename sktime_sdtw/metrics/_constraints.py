"""Constraints on the alignment path: which cells of the table take part."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, NamedTuple

from ._numbers import check_number


class Band(NamedTuple):
    """A checked constraint, as the engine takes it.

    Parameters
    ----------
    kind : {"none", "sakoe_chiba", "relative_sakoe_chiba", "itakura"}
    parameter : float
        The radius in cells, or as a fraction of the longer series; or the largest slope.
    """

    kind: str = "none"
    parameter: float = 0.0

    def describe(self) -> str:
        """The argument that asked for it, for error messages."""
        argument = "itakura_max_slope" if self.kind == "itakura" else "sakoe_chiba_radius"
        return f"{argument}={self.parameter:g}"


def resolve_band(
    sakoe_chiba_radius: Any = None, itakura_max_slope: Any = None, *, name: str = "sakoe_chiba_radius"
) -> Band:
    """Check the two constraint arguments.

    Parameters
    ----------
    sakoe_chiba_radius : int, float or None
        An int >= 0 counts cells; a float in (0, 1] is a fraction of the longer series of each pair, rounded
        down.
    itakura_max_slope : float or None
        Largest slope of the parallelogram, >= 1.
    name : str, default="sakoe_chiba_radius"
        What error messages call the first argument.

    Returns
    -------
    Band

    Raises
    ------
    TypeError, ValueError
        Not a number, outside the accepted range, or both given.
    """
    if sakoe_chiba_radius is not None and itakura_max_slope is not None:
        raise ValueError(f"{name} and itakura_max_slope exclude each other; pass one of them.")
    if sakoe_chiba_radius is not None:
        return _sakoe_chiba(sakoe_chiba_radius, name)
    if itakura_max_slope is not None:
        return Band("itakura", check_number(itakura_max_slope, "itakura_max_slope", 1))
    return Band()


def _sakoe_chiba(radius: Any, name: str) -> Band:
    accepted = "an int >= 0 (cells) or a float in (0, 1] (fraction of the longer series)"
    if isinstance(radius, bool) or not isinstance(radius, Real):
        raise TypeError(f"{name} must be {accepted}. Got {radius!r}.")
    relative = not isinstance(radius, Integral)
    number = float(radius)
    if not (0 < number <= 1 if relative else number >= 0):
        raise ValueError(f"{name} must be {accepted}. Got {radius!r}.")
    return Band("relative_sakoe_chiba" if relative else "sakoe_chiba", number)
