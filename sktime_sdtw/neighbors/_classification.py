"""Classification by a vote of the nearest series."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from .._estimator import fit_context
from .._series import Array
from ._base import NEIGHBORS_CONSTRAINTS, NeighborsBase


class SoftDTWKNeighborsClassifier(ClassifierMixin, NeighborsBase):
    """Classify time series by a vote of the nearest ones.

    Parameters
    ----------
    n_neighbors : int, default=5
        Number of series that vote.
    weights : {"uniform", "distance"} or callable, default="uniform"
        Of the votes: equal, or the inverse of the distance, or a function from distances (n_samples,
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
    classes_ : ndarray of shape (n_classes,)
    X_fit_ : ndarray of shape (n_samples_fit, n_timestamps, n_features), or list of ndarray
        The series of fit; a list of (n_timestamps, n_features) arrays where their lengths differ.
    n_samples_fit_ : int
    n_features_in_ : int
        Columns of a table (2-D input) or features per time step.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Where fit saw a DataFrame with names.

    See Also
    --------
    SoftDTWKNeighborsRegressor : The same for numbers.

    Notes
    -----
    ``fit`` keeps the series and, for "divergence", the n_samples_fit values of each with itself. Prediction
    computes n_samples · n_samples_fit pairs, at most 64 MiB of distances at a time.

    Of two series at the same distance the one with the smaller index counts as nearer; of two classes with
    the same vote the first wins.

    References
    ----------
    M. Cuturi, M. Blondel. Soft-DTW: a differentiable loss function for time-series. ICML 2017.
    arXiv:1703.01541.

    Examples
    --------
    >>> from sktime_sdtw import SoftDTWKNeighborsClassifier
    >>> X = [[0.0, 1.0, 2.0], [0.0, 2.0], [2.0, 1.0, 0.0], [2.0, 0.0, 0.0, 0.0]]
    >>> model = SoftDTWKNeighborsClassifier(n_neighbors=1, gamma=0.1).fit(X, ["up", "up", "down", "down"])
    >>> model.predict([[0.0, 0.0, 1.0, 3.0]])
    array(['up'], dtype='<U4')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = NEIGHBORS_CONSTRAINTS

    classes_: Array

    @fit_context
    def fit(self, X: Any, y: Any) -> SoftDTWKNeighborsClassifier:
        """Keep the series and their classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Lists hold series of any lengths; time steps of NaN at the end of a series are padding.
        y : array-like of shape (n_samples,)

        Returns
        -------
        self : SoftDTWKNeighborsClassifier
        """
        targets = column_or_1d(self._fit_series(X, y), warn=True)
        check_classification_targets(targets)
        self.classes_, self._labels = np.unique(targets, return_inverse=True)
        return self

    def predict(self, X: Any) -> Array:
        """Class of each series.

        Parameters
        ----------
        X : array-like or list, as in `fit`
            Of any lengths, except where fit saw a table.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        winners = self._votes(X).argmax(axis=1)
        return np.asarray(self.classes_[winners])

    def predict_proba(self, X: Any) -> Array:
        """Share of the votes of each class.

        Parameters
        ----------
        X : array-like or list, as in `predict`

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; rows sum to 1, or to 0 where all weights are 0.
        """
        votes = self._votes(X)
        total = votes.sum(axis=1, keepdims=True)
        return np.asarray(votes / np.where(total == 0, 1.0, total))

    def _votes(self, X: Any) -> Array:
        indices, weights = self._weighted_neighbors(X)
        labels = self._labels[indices]
        votes = np.zeros((len(indices), len(self.classes_)))
        rows = np.broadcast_to(np.arange(len(indices))[:, None], indices.shape)
        np.add.at(votes, (rows, labels), 1.0 if weights is None else weights)
        return votes
