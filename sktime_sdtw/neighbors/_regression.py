"""Regression by the mean over the nearest series."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils._tags import Tags
from sklearn.utils.validation import check_array

from .._estimator import fit_context
from .._series import Array
from ._base import NEIGHBORS_CONSTRAINTS, NeighborsBase


class SoftDTWKNeighborsRegressor(RegressorMixin, NeighborsBase):
    """Predict numbers for time series: the mean over the nearest ones.

    Parameters
    ----------
    n_neighbors : int, default=5
        Number of series to take the mean over.
    weights : {"uniform", "distance"} or callable, default="uniform"
        Of the mean: equal, or the inverse of the distance, or a function from distances (n_samples,
        n_neighbors) to weights of that shape. "distance" needs the metric "divergence" or "dtw"; a divergence
        below 0 counts as 0, and a series at 0 outweighs all that are farther.
    metric : {"divergence", "soft_dtw", "dtw"}, default="divergence"
        "divergence" is the soft-DTW divergence, 0 for equal series. "soft_dtw" is signed, and at a large
        gamma a series is often not its own nearest neighbour. "dtw" is soft-DTW at temperature 0.
    gamma : float, default=1.0
        Temperature, >= 0; not used by "dtw".
    cost : {"sqeuclidean", "euclidean", "manhattan", "cosine", "gak"} or callable, default="sqeuclidean"
        Local cost of two time steps, see `soft_dtw`.
    sigma : float, default=1.0
        Bandwidth of ``cost="gak"``.
    sakoe_chiba_radius : int or float, default=None
        Half-width of the band around the diagonal, in cells (int) or as a fraction of the longer series
        (float).
    itakura_max_slope : float, default=None
        Largest slope of the Itakura parallelogram, >= 1.
    cache : PairCache, "auto" or None, default="auto"
        Where values of pairs are kept between calls and estimators; "auto" is one cache of 64 MiB for the
        whole process, None keeps nothing. A `PairCache` that knows the gammas of a search computes them in
        one pass.
    n_jobs : int, default=None
        Number of threads: None is 1 (or what ``joblib.parallel_config`` says), -1 all.
    device : {"auto", "cpu", "cuda", "cuda:<i>", "cuda:all"} or list, default="auto"

    Attributes
    ----------
    X_fit_ : ndarray of shape (n_samples_fit, n_timestamps, n_features), or list of ndarray
        The series of fit; a list of (n_timestamps, n_features) arrays where their lengths differ.
    n_samples_fit_ : int
    n_features_in_ : int
        Columns of a table (2-D input) or features per time step.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Where fit saw a DataFrame with names.

    See Also
    --------
    SoftDTWKNeighborsClassifier : The same for classes, and notes on both.

    References
    ----------
    M. Cuturi, M. Blondel. Soft-DTW: a differentiable loss function for time-series. ICML 2017.
    arXiv:1703.01541.

    Examples
    --------
    >>> from sktime_sdtw import SoftDTWKNeighborsRegressor
    >>> X = [[0.0, 1.0, 2.0], [0.0, 2.0], [2.0, 1.0, 0.0], [2.0, 0.0, 0.0, 0.0]]
    >>> model = SoftDTWKNeighborsRegressor(n_neighbors=2, gamma=0.1).fit(X, [1.0, 2.0, 5.0, 6.0])
    >>> model.predict([[0.0, 0.0, 1.0, 3.0]])
    array([1.5])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = NEIGHBORS_CONSTRAINTS

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @fit_context
    def fit(self, X: Any, y: Any) -> SoftDTWKNeighborsRegressor:
        """Keep the series and their targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Lists hold series of any lengths; time steps of NaN at the end of a series are padding.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)

        Returns
        -------
        self : SoftDTWKNeighborsRegressor
        """
        targets = self._fit_series(X, y)
        if targets.dtype.kind in "SU":
            raise ValueError(f"y holds strings (dtype {targets.dtype}); real numbers are accepted.")
        self._targets = check_array(
            targets,
            ensure_2d=False,
            dtype=[np.float64, np.float32],
            input_name="y",
            estimator=self,
            copy=True,
        )
        return self

    def predict(self, X: Any) -> Array:
        """Target of each series.

        Parameters
        ----------
        X : array-like or list, as in `fit`
            Of any lengths, except where fit saw a table.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        indices, weights = self._weighted_neighbors(X)
        near = self._targets[indices]
        if weights is None:
            return np.asarray(near.mean(axis=1))
        total = weights.sum(axis=1, keepdims=True)
        shares = weights / np.where(total == 0, 1.0, total)
        return np.asarray(np.einsum("nk,nk...->n...", shares, near))
