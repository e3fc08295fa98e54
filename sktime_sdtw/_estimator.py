"""What all estimators share: reading series, tags, parameter constraints, a version in their pickles."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

# The private names below exist unchanged from scikit-learn 1.6 to 1.9; they come in here and nowhere else.
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions
from sklearn.utils._tags import Tags
from sklearn.utils.validation import validate_data

from ._engine import resolve_device
from ._series import Array, SeriesBatch, check_series

__all__ = [
    "COMMON_CONSTRAINTS",
    "GAMMA",
    "Interval",
    "RealNotInt",
    "SeriesEstimator",
    "SeriesTransformerMixin",
    "StrOptions",
    "fit_context",
    "is_flat",
    "restore_layout",
]

# Decorates fit: checks the constructor's parameters against `_parameter_constraints` first.
fit_context = _fit_context(prefer_skip_nested_validation=True)

GAMMA = [Interval(Real, 0, None, closed="left")]

# The parameters that every estimator passes on to the operators.
COMMON_CONSTRAINTS: dict[str, list[Any]] = {
    "cost": [StrOptions({"sqeuclidean", "euclidean", "manhattan", "cosine", "gak"}), callable],
    "sigma": [Interval(Real, 0, None, closed="neither")],
    "sakoe_chiba_radius": [
        None,
        Interval(Integral, 0, None, closed="left"),
        Interval(RealNotInt, 0, 1, closed="right"),
    ],
    "itakura_max_slope": [None, Interval(Real, 1, None, closed="left")],
    "n_jobs": [None, Integral],
    "device": [str, list],
}


class SeriesEstimator(BaseEstimator):
    """Base of all estimators.

    It reads the forms in which time series come, (n_samples, n_timestamps), (n_samples, n_timestamps,
    n_features) and lists of series of any lengths, and keeps what scikit-learn expects to be kept about them.

    Attributes
    ----------
    n_features_in_ : int
        For a table (2-D input) its number of columns, as everywhere in scikit-learn; for all other input the
        number of features per time step.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Column names, where fit saw a DataFrame with names that are strings.
    """

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = True
        # NaN after the end of a series is padding, that is shape, not missing data; elsewhere it is refused.
        tags.input_tags.allow_nan = False
        return tags

    def _check_series(self, X: Any, *, reset: bool, name: str = "X", allow_nan: bool = False) -> SeriesBatch:
        """Read series; remember (in fit, reset=True) or compare (elsewhere) what they look like.

        Raises
        ------
        ValueError, TypeError
            As `check_series`; and where the number of features per time step, or the number of columns of a
            table after fitting on a table, is not that of fit.
        """
        validate_data(self, X, reset=reset, skip_check_array=True, ensure_2d=False)  # the feature names
        batch = check_series(X, name=name, allow_nan=allow_nan)
        columns = _count_columns(X)
        if reset:
            self.n_features_in_ = batch.n_features if columns is None else columns
            self._table_in = columns is not None
            self._flat_in = is_flat(X)
            return batch
        self._check_features(X, batch, columns, name)
        return batch

    def _check_features(self, X: Any, batch: SeriesBatch, columns: int | None, name: str) -> None:
        me = type(self).__name__
        expected = 1 if self._table_in else self.n_features_in_
        if batch.n_features != expected:
            raise ValueError(
                f"{name} has {batch.n_features} features per time step, but {me} is expecting {expected} "
                f"features per time step as input ({name} has {_describe(X, batch)}, read as (n_samples, "
                "n_timestamps, n_features)). If it is (n_samples, n_channels, n_timestamps), use "
                "sktime_sdtw.from_channels_first first."
            )
        if self._table_in and columns is not None and columns != self.n_features_in_:
            raise ValueError(
                f"{name} has {columns} features, but {me} is expecting {self.n_features_in_} features as "
                "input: it was fitted on a table, whose number of columns is fixed. For series of other "
                f"lengths pass a list of series, or {name}[:, :, None] of shape (n_samples, n_timestamps, 1)."
            )

    def _operator_params(self) -> dict[str, Any]:
        """The parameters of this estimator that the operators take too: cost, constraints, n_jobs, device.

        Operators refuse a bandwidth that has no effect. Parameters may stand there, for a search over costs.
        """
        params = {name: getattr(self, name) for name in COMMON_CONSTRAINTS if hasattr(self, name)}
        return params if self.cost == "gak" else {**params, "sigma": 1.0}

    def __getstate__(self) -> dict[str, Any]:
        # scikit-learn stamps the pickles of its own estimators only.
        from . import __version__

        return {**super().__getstate__(), "_sktime_sdtw_version": __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        from . import __version__

        state = dict(state)
        version = state.pop("_sktime_sdtw_version", "unknown")
        if version != __version__:
            warnings.warn(
                f"{type(self).__name__} was pickled with sktime-sdtw {version} and is loaded with "
                f"{__version__}; it may behave differently. Fit it again to be sure.",
                UserWarning,
                stacklevel=2,
            )
        super().__setstate__(state)
        self._leave_a_missing_gpu()

    def _leave_a_missing_gpu(self) -> None:
        """What was fitted on a GPU computes elsewhere too: where that GPU cannot be used, as "auto" does."""
        device = getattr(self, "device", "auto")
        if device in ("auto", "cpu") or not any(name.endswith("_") for name in vars(self)):
            return
        try:
            resolve_device(device)
        except RuntimeError as error:
            warnings.warn(
                f"{type(self).__name__} was fitted with a device that is not here, and takes device='auto' "
                f"from now on. {error}",
                UserWarning,
                stacklevel=4,
            )
            self.__dict__["device"] = "auto"


class SeriesTransformerMixin(TransformerMixin):
    """For estimators that transform: float32 stays float32."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def restore_layout(batch: SeriesBatch, *, flat: bool) -> Array | list[Array]:
    """Series in the container that users expect back.

    Parameters
    ----------
    batch : SeriesBatch
    flat : bool
        Whether univariate series lose their axis of one feature, as in the 2-D input that they came from.

    Returns
    -------
    ndarray of shape (n_samples, n_timestamps, n_features) or (n_samples, n_timestamps), or list of ndarray
        The list, of (n_timestamps, n_features) or (n_timestamps,) arrays, where lengths differ. A copy.

    Examples
    --------
    >>> from sktime_sdtw._estimator import restore_layout
    >>> from sktime_sdtw._series import check_series
    >>> restore_layout(check_series([[1.0, 2.0], [3.0, 4.0]]), flat=True)
    array([[1., 2.],
           [3., 4.]])
    """
    flat = flat and batch.n_features == 1
    if batch.is_equal_length:
        padded = batch.to_padded()
        return padded[:, :, 0] if flat else padded
    return [series[:, 0].copy() if flat else series.copy() for series in batch.to_list()]


def _count_columns(X: Any) -> int | None:
    """Number of columns of a table: of a 2-D array, or of a list of lists of numbers, all of one length.

    A list of arrays is a list of series, also where all happen to be of one length.
    """
    if isinstance(X, SeriesBatch):
        return None
    if isinstance(X, (list, tuple)):
        rows_are_lists = all(isinstance(row, (list, tuple)) for row in X)
        if not rows_are_lists or len({len(row) for row in X}) != 1 or np.ndim(X[0]) != 1:
            return None
        return len(X[0])
    array = X if hasattr(X, "ndim") and hasattr(X, "shape") else np.asarray(X)
    return int(array.shape[1]) if array.ndim == 2 else None


def is_flat(X: Any) -> bool:
    """Whether series come without an axis of features: a 2-D array, or a list of 1-D series."""
    if _count_columns(X) is not None:
        return True
    if isinstance(X, (list, tuple)) or getattr(X, "ndim", 0) == 1:
        return all(np.ndim(series) == 1 for series in X)
    return False


def _describe(X: Any, batch: SeriesBatch) -> str:
    shape: Sequence[int] | None = getattr(X, "shape", None)
    if shape is not None and len(shape) > 1:
        return f"shape {tuple(shape)}"
    return f"{batch.n_samples} series, the first of shape {batch[0].shape}"
