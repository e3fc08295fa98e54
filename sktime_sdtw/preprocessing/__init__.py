"""Scaling and resampling of time series, and converters between the layouts of time-series packages."""

from ._converters import (
    from_channels_first,
    from_multiindex,
    to_channels_first,
    to_multiindex,
    to_padded,
    to_ragged,
)
from ._resampler import TimeSeriesResampler
from ._scaler import TimeSeriesScaler

__all__ = [
    "TimeSeriesResampler",
    "TimeSeriesScaler",
    "from_channels_first",
    "from_multiindex",
    "to_channels_first",
    "to_multiindex",
    "to_padded",
    "to_ragged",
]
