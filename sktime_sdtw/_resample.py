"""Series at a common number of time steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._series import SeriesBatch


def resample(batch: SeriesBatch, length: int) -> NDArray[np.float64]:
    """Linear interpolation at evenly spread times, (n_samples, length, n_features), in float64.

    Values that stay in place are exact in the dtype of the batch.
    """
    values = batch.values.astype(np.float64, copy=False)
    steps = max(length - 1, 1)
    # In integers, so that a time step that stays in place is hit exactly.
    positions = np.arange(length) * (batch.lengths[:, None] - 1)
    before, rest = np.divmod(positions, steps)
    after = before + (rest > 0)
    fraction = (rest / steps)[:, :, None]
    starts = batch.offsets[:-1, None]
    result: NDArray[np.float64] = values[starts + before] * (1 - fraction) + values[starts + after] * fraction
    return result
