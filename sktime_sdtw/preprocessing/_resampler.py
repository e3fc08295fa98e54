"""Resampling of series to a common length."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

from sklearn.utils.validation import check_is_fitted

from .._estimator import Interval, SeriesEstimator, SeriesTransformerMixin, fit_context
from .._resample import resample
from .._series import Array
from ._container import Container


class TimeSeriesResampler(SeriesTransformerMixin, SeriesEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Bring series to a common length by linear interpolation over time.

    Series of different lengths go in, an array comes out, ready for whatever needs equal lengths. Soft-DTW
    does not; fewer time steps make it faster, though: half the length is a quarter of the work.

    Parameters
    ----------
    length : int, default=None
        Number of time steps of every series after resampling. None takes the longest series of fit.

    Attributes
    ----------
    length_ : int
        Number of time steps of every series after resampling.
    n_features_in_ : int
        Number of columns of a table, else number of features per time step.

    See Also
    --------
    TimeSeriesScaler : Bring series to a common scale.

    Notes
    -----
    The first and last time step stay in place, those between are spread evenly. A series that has the length
    already is returned unchanged, bit by bit. No filter is applied before: a series that oscillates faster
    than the new time steps should be smoothed first.

    Examples
    --------
    >>> from sktime_sdtw import TimeSeriesResampler
    >>> TimeSeriesResampler(length=5).fit_transform([[0.0, 1.0, 2.0], [0.0, 4.0]])
    array([[0. , 0.5, 1. , 1.5, 2. ],
           [0. , 1. , 2. , 3. , 4. ]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "length": [None, Interval(Integral, 2, None, closed="left")]
    }

    def __init__(self, length: int | None = None) -> None:
        self.length = length

    @fit_context
    def fit(self, X: Any, y: Any = None) -> TimeSeriesResampler:
        """Find the common length, if it is not given.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Series of any lengths.
        y : None
            Ignored.

        Returns
        -------
        self : TimeSeriesResampler
        """
        batch = self._check_series(X, reset=True)
        self.length_ = batch.max_length if self.length is None else int(self.length)
        return self

    def transform(self, X: Any) -> Array:
        """Resample series.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Series of any lengths.

        Returns
        -------
        ndarray of shape (n_samples, length, n_features), or (n_samples, length)
            2-D if `X` is 2-D or a list of 1-D arrays; float32 or float64.
        """
        check_is_fitted(self)
        batch = self._check_series(X, reset=False)
        cube = resample(batch, self.length_).astype(batch.dtype, copy=False)
        return Container.of(X).wrap_array(cube)
