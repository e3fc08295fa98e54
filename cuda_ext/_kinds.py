"""Costs and bands by the numbers that the engines know: CostKind and BandKind of cpu_ext/engine.hpp."""

from __future__ import annotations

SQUARES, EUCLIDEAN, MANHATTAN, GAK, GIVEN = range(5)
VARYING_SLOPE = (EUCLIDEAN, GAK)  # costs whose slope differs from cell to cell
NO_BAND, SAKOE_CHIBA, RELATIVE_SAKOE_CHIBA, ITAKURA = range(4)
