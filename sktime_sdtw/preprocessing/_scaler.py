"""Scaling of series over time."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.utils._tags import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._estimator import SeriesEstimator, SeriesTransformerMixin, StrOptions, fit_context
from .._series import Array, SeriesBatch
from ._container import Container


def _can_invert(scaler: TimeSeriesScaler) -> bool:
    if scaler.scope == "dataset":
        return True
    raise AttributeError(
        f"inverse_transform needs scope='dataset'. With scope={scaler.scope!r} every series is scaled by its "
        "own statistics, which transform does not keep."
    )


class TimeSeriesScaler(SeriesTransformerMixin, SeriesEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Bring series to a common scale, by z-normalisation or to a range.

    Elastic distances compare values: without a common scale, offset and amplitude outweigh shape.

    Parameters
    ----------
    method : {"standard", "minmax"}, default="standard"
        "standard" gives mean 0 and standard deviation 1 (divisor n), "minmax" the range `feature_range`.
    scope : {"series", "dataset"}, default="series"
        "series" scales every feature of every series by its own statistics over time, and learns nothing in
        fit. "dataset" scales every feature by its statistics over all time steps of all series of fit:
        differences of level and amplitude between series stay, and `inverse_transform` is possible.
    feature_range : tuple of (float, float), default=(0.0, 1.0)
        Smallest and largest value after method "minmax".

    Attributes
    ----------
    center_ : ndarray of shape (n_features,), float64
        With scope "dataset": mean ("standard") or minimum ("minmax") of each feature.
    scale_ : ndarray of shape (n_features,), float64
        With scope "dataset": standard deviation or width of the range; 1 for a constant feature.
    n_features_in_ : int
        Number of columns of a table, else number of features per time step.

    See Also
    --------
    TimeSeriesResampler : Bring series to a common length.

    Notes
    -----
    NaN inside of a series is left out of its statistics, and stays NaN, as in scikit-learn's scalers.

    A series that is constant, up to the rounding of its dtype, becomes 0 everywhere, or the lower end of the
    range: its noise is not blown up. Statistics are computed in float64 from values relative to the first
    one, so that a large offset costs no digits; the result has the dtype of the input. Work and memory are
    linear in the size of `X`.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw import TimeSeriesScaler
    >>> X = np.array([[1.0, 2.0, 3.0], [10.0, 30.0, 50.0]])
    >>> TimeSeriesScaler().fit_transform(X).round(3)
    array([[-1.225,  0.   ,  1.225],
           [-1.225,  0.   ,  1.225]])
    >>> TimeSeriesScaler(method="minmax", scope="dataset").fit_transform(X).round(2)
    array([[0.  , 0.02, 0.04],
           [0.18, 0.59, 1.  ]])
    """

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "method": [StrOptions({"standard", "minmax"})],
        "scope": [StrOptions({"series", "dataset"})],
        "feature_range": [tuple],
    }

    def __init__(
        self,
        *,
        method: str = "standard",
        scope: str = "series",
        feature_range: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        self.method = method
        self.scope = scope
        self.feature_range = feature_range

    @fit_context
    def fit(self, X: Any, y: Any = None) -> TimeSeriesScaler:
        """Learn the statistics of the data set, if `scope` says so.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Series of any lengths.
        y : None
            Ignored.

        Returns
        -------
        self : TimeSeriesScaler
        """
        batch = self._check_series(X, reset=True, allow_nan=True)
        self._range()
        if self.scope == "dataset":
            whole = SeriesBatch(batch.values, np.array([0, len(batch.values)]))
            base, shift, scale = _statistics(whole, self.method)
            self.center_, self.scale_ = (base + shift)[0], scale[0]
        return self

    def transform(self, X: Any) -> Any:
        """Scale series.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Series of any lengths.

        Returns
        -------
        ndarray or list
            The same kind of container as `X`, with its padding, float32 or float64.
        """
        check_is_fitted(self)
        batch = self._check_series(X, reset=False, allow_nan=True)
        if self.scope == "dataset":
            values = (batch.values - self.center_) / self.scale_
        else:
            base, shift, scale = (
                np.repeat(s, batch.lengths, axis=0) for s in _statistics(batch, self.method)
            )
            values = ((batch.values - base) - shift) / scale
        low, width = self._range()
        values = values * width + low
        return Container.of(X).wrap(SeriesBatch(values.astype(batch.dtype, copy=False), batch.offsets))

    @available_if(_can_invert)
    def inverse_transform(self, X: Any) -> Any:
        """Bring scaled series, or barycenters of such, back to the scale of the data; with scope "dataset".

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Series as `transform` returns them.

        Returns
        -------
        ndarray or list
            The same kind of container as `X`, with its padding, float32 or float64.
        """
        check_is_fitted(self)
        batch = self._check_series(X, reset=False, allow_nan=True)
        low, width = self._range()
        values = (batch.values - low) / width * self.scale_ + self.center_
        return Container.of(X).wrap(SeriesBatch(values.astype(batch.dtype, copy=False), batch.offsets))

    def _range(self) -> tuple[float, float]:
        """Lower end and width of the range after scaling by center and scale."""
        if self.method == "standard":
            return 0.0, 1.0
        accepted = "feature_range must be (smallest, largest), finite numbers, smallest < largest"
        if len(self.feature_range) != 2 or not all(isinstance(end, Real) for end in self.feature_range):
            raise ValueError(f"{accepted}. Got {self.feature_range}.")
        low, high = self.feature_range
        if not (low < high and np.isfinite(high - low)):
            raise ValueError(f"{accepted}. Got {self.feature_range}.")
        return float(low), float(high - low)


class _Statistics(NamedTuple):
    """Of every series and feature, (n_samples, n_features), float64.

    The scaled value is ((x - base) - shift) / scale. The center is base + shift; kept apart, because their
    sum may be too large to hold the digits of shift.
    """

    base: Array
    shift: Array
    scale: Array


def _statistics(batch: SeriesBatch, method: str) -> _Statistics:
    starts, lengths = batch.offsets[:-1], batch.lengths
    # reduceat never sees an empty segment: a SeriesBatch has none. fmin and fmax leave NaN out.
    smallest = np.fmin.reduceat(batch.values, starts, axis=0).astype(np.float64)
    largest = np.fmax.reduceat(batch.values, starts, axis=0).astype(np.float64)
    width = largest - smallest
    noise = 8 * np.finfo(batch.dtype).eps * np.maximum(np.abs(smallest), np.abs(largest))
    constant = width <= noise
    unit = np.where(constant, 1.0, width)
    if method == "minmax":
        return _Statistics(smallest, np.zeros_like(unit), unit)
    missing = np.isnan(batch.values)
    counts = np.maximum(lengths[:, None] - np.add.reduceat(missing, starts, axis=0, dtype=np.int64), 1)
    # In units of the width, above the smallest value: an offset costs no digits, no square overflows.
    relative = (batch.values - np.repeat(smallest, lengths, axis=0)) / np.repeat(unit, lengths, axis=0)
    relative[missing] = 0
    mean = np.add.reduceat(relative, starts, axis=0) / counts
    relative -= np.repeat(mean, lengths, axis=0)
    relative[missing] = 0
    correction = np.add.reduceat(relative, starts, axis=0) / counts  # what the first sum lost to rounding
    deviation = np.sqrt(np.add.reduceat(relative**2, starts, axis=0) / counts - correction**2)
    return _Statistics(smallest, (mean + correction) * unit, np.where(constant, 1.0, deviation * unit))
