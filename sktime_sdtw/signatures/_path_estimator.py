"""From time series to paths, for estimators: times, missing numbers, transforms."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray
from sklearn.utils._tags import Tags

from .._estimator import Interval, SeriesEstimator, SeriesTransformerMixin, StrOptions
from .._series import Array, SeriesBatch, check_series
from ._transforms import TRANSFORMS, transform_path


class TimedSeries(NamedTuple):
    """Series, and of each time step the time since the first one of its series; None is 0 to 1."""

    batch: SeriesBatch
    times: Array | None

    def astype(self, dtype: DTypeLike) -> TimedSeries:
        """The same in another dtype."""
        return TimedSeries(self.batch.astype(dtype), self.times)


class PathEstimator(SeriesTransformerMixin, SeriesEstimator):
    """Base of estimators that look at series as paths."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "transforms": [StrOptions(set(TRANSFORMS) - {"scale"}), list, tuple],
        "lag": [Interval(Integral, 1, None, closed="left")],
        "nan_policy": [StrOptions({"raise", "ffill", "skip"})],
        "n_jobs": [None, Integral],
    }

    transforms: Any
    lag: int
    nan_policy: str
    _timed: bool

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.nan_policy != "raise"
        return tags

    def _read(self, X: Any, times: Any, *, reset: bool) -> TimedSeries:
        """Read series and their times, in fit with reset=True."""
        batch = self._check_series(X, reset=reset, allow_nan=self.nan_policy != "raise")
        if reset:
            if "scale" in self.transforms:
                raise ValueError(
                    'transforms cannot hold "scale" here: the parameters `scaling` and `sigma` are for that.'
                )
            if times is not None and "time" not in self.transforms:
                raise ValueError('times were given, but "time" is not among the transforms.')
            self._timed = times is not None
        elif self._timed != (times is not None):
            had, has = ("times", "none") if self._timed else ("no times", "some")
            raise ValueError(
                f"{type(self).__name__} was fitted with {had} and got {has} now. In a Pipeline or a search "
                "they come as metadata: set_fit_request(times=True).set_transform_request(times=True)."
            )
        return TimedSeries(batch, None if times is None else _read_times(times, batch))

    def _to_paths(self, series: TimedSeries, length: int | None = None) -> tuple[Array, NDArray[np.int64]]:
        """Return transformed paths, and how many of their points count.

        The paths are of one length, that of the longest series or of one of `length` time steps, whose first
        points are taken of longer ones: after its end a path stands still, which no signature sees.
        """
        batch, times = series
        longest = max(length or batch.max_length, 2)
        rows = batch.offsets[:-1, None] + np.minimum(np.arange(longest), batch.lengths[:, None] - 1)
        lengths = np.minimum(batch.lengths, longest)
        ragged = self.nan_policy == "skip" or lengths.min() < longest
        found = transform_path(
            batch.values[rows],
            self.transforms,
            times=None if times is None else times.astype(batch.dtype, copy=False)[rows],
            lag=self.lag if "lead_lag" in self.transforms else 1,
            lengths=lengths if ragged else None,
            nan_policy=self.nan_policy,
        )
        if ragged:
            paths, lengths = found
            return paths, lengths
        return found, np.full(len(batch), found.shape[1], np.int64)


def _read_times(times: Any, batch: SeriesBatch) -> Array:
    """Read the times of series; they count from the first of each."""
    given = check_series(times, name="times")
    if given.n_features != 1 or len(given) != len(batch):
        raise ValueError(
            f"times must hold one number for each time step of the {len(batch)} series: an array of shape "
            f"(n_samples, n_timestamps), or a list. Got {len(given)} series of {given.n_features} numbers."
        )
    short = np.flatnonzero(given.lengths < batch.lengths)
    if len(short):
        i = short[0]
        raise ValueError(
            f"times[{i}] has {given.lengths[i]} numbers, but X[{i}] {batch.lengths[i]} time steps."
        )
    first = np.repeat(given.offsets[:-1], batch.lengths)
    place = np.arange(batch.offsets[-1]) - np.repeat(batch.offsets[:-1], batch.lengths)
    since: Array = given.values[first + place, 0] - given.values[first, 0]
    back = np.flatnonzero((np.diff(since) < 0) & (place[1:] > 0))
    if len(back):
        i = int(np.searchsorted(batch.offsets, back[0], side="right")) - 1
        raise ValueError(f"times[{i}] goes back in time, after its number {place[back[0]]}.")
    return since
