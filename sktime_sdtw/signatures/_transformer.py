"""Signatures as features of time series, for scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from .._estimator import Interval, StrOptions, fit_context
from .._series import Array
from ._device import compute_on, resolve_one
from ._logsignature import MODES, logsignature
from ._path_estimator import PathEstimator, TimedSeries
from ._signature import signature
from ._windows import least_dyadic_points, resolve_windows
from ._words import all_words, check_depth, lyndon_brackets, lyndon_words, word_index


class SignatureFeatures(PathEstimator):
    """Base of the two transformers: windows of paths, numbers of each window."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **PathEstimator._parameter_constraints,
        "depth": [Interval(Integral, 1, None, closed="left")],
        "windows": [None, tuple, list, np.ndarray],
        "scaling": [StrOptions({"none", "pre", "post"})],
        "device": [str, list],
    }

    def _fit(self, X: Any, times: Any) -> None:
        series = self._read(X, times, reset=True)
        check_depth(self.depth)
        resolve_one(self.device)
        path, _ = self._to_paths(series)
        self.n_channels_ = int(path.shape[2])
        self.n_timestamps_ = series.batch.max_length
        self._n_windows = 1
        if self.windows is not None:
            self._n_windows = len(resolve_windows(self.windows, path.shape[1]))
            if self._n_windows == 0:
                raise ValueError(
                    f"windows={self.windows!r} leaves no window of paths of {path.shape[1]} points."
                )

    def _windows_of(self, series: TimedSeries) -> Array:
        """Numbers of all windows, (n_samples, n_windows, n_numbers)."""
        if self.windows is None:
            return self._compute(self._to_paths(series)[0], None)[:, None]
        if not (isinstance(self.windows, tuple) and self.windows[0] == "dyadic"):
            # Windows that are given in points lie where they lay in fit.
            return self._compute(self._to_paths(series, self.n_timestamps_)[0], self.windows)
        least = least_dyadic_points(self.windows[1])  # a series of fewer stands still after its end
        paths, lengths = self._to_paths(series, max(series.batch.max_length, least))
        of_length = {n: resolve_windows(self.windows, max(n, least)) for n in np.unique(lengths)}
        shared = len(of_length) == 1
        windows = of_length[lengths[0]] if shared else np.stack([of_length[n] for n in lengths])
        return self._compute(paths, windows)

    def _compute(self, path: Array, windows: Any) -> Array:
        """Scaled numbers of the windows of paths."""
        if self.scaling == "pre":
            path = path * path.dtype.type(math.factorial(self.depth) ** (1 / self.depth))
        found = compute_on(self.device, lambda path: self._numbers(path, windows), path, self.depth)
        if self.scaling == "post":
            factors = [math.factorial(k) for k in range(self.depth + 1)]
            found *= np.array([factors[k] for k in self._levels()], dtype=found.dtype)
        return found

    def _numbers(self, path: Any, windows: Any) -> Any:
        """The function whose features these are."""
        raise NotImplementedError

    def _levels(self) -> Iterable[int]:
        """For each number, the letters of its word."""
        raise NotImplementedError

    def _words(self) -> list[str]:
        raise NotImplementedError

    def transform(self, X: Any, *, times: Any = None) -> Array:
        """Features of series.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Series of any lengths, except where fit saw a table.
        times : array-like of shape (n_samples, n_timestamps), or list, default=None
            When the time steps were taken, as in `fit`; needed where `fit` had some.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
        """
        check_is_fitted(self)
        series = self._read(X, times, reset=False)
        return np.ascontiguousarray(self._windows_of(series).reshape(len(series.batch), -1))

    def fit_transform(self, X: Any, y: Any = None, *, times: Any = None) -> Array:
        """Fit, and the features of the same series.

        Parameters
        ----------
        X : array-like or list, as in `fit`
        y : None
            Ignored.
        times : array-like or list, default=None
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
        """
        return self.fit(X, y, times=times).transform(X, times=times)

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Names of the features: the words, their letters being channels after the transforms.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Checked against the names that fit saw, otherwise not used.

        Returns
        -------
        ndarray of str
            Such as "0,1", with windows "window3:0,1".
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        words = self._words()
        if self.windows is None:
            return np.array(words, dtype=object)
        return np.array([f"window{i}:{word}" for i in range(self._n_windows) for word in words], dtype=object)


class SignatureTransformer(SignatureFeatures):
    """Signatures of time series, as features.

    Parameters
    ----------
    depth : int, default=3
        Longest words.
    transforms : str or sequence of str, default=("time",)
        Applied to the series, in this order; see `transform_path`. "time" is 0 at the first time step of a
        series and 1 at its last, or what `fit` and `transform` get as times.
    lag : int, default=1
        Of the transform "lead_lag".
    windows : tuple or array of int of shape (n_windows, 2), default=None
        Parts of the transformed path, whose features are put side by side; see `signature`. Dyadic windows
        are fractions of each series; one of too few steps for them stands still after its end. All others are
        given in points: they lie where they lay in fit, a shorter series stands still after its end, and of a
        longer one only the first points count.
    scaling : {"none", "pre", "post"}, default="none"
        Brings levels to similar sizes: "post" multiplies level k by k!, "pre" the path by (depth!)^(1/depth).
    nan_policy : {"raise", "ffill", "skip"}, default="raise"
        What happens to NaN inside of series, before the transforms. "ffill" puts the last number of the
        channel in its place, and in front of the first number that one; "skip" leaves the time step out, and
        windows that are given in points count those that are left. Time steps of NaN at the end are padding.
    words : list of words, default=None
        Keep these only, each a sequence of letters (channels after the transforms); None keeps all.
    n_jobs : int, default=None
        Number of threads: None is 1 (or what ``joblib.parallel_config`` says), -1 all.
    device : {"auto", "cpu", "cuda", "cuda:<i>"}, default="auto"
        Where it is computed; "auto" takes a GPU where there is one and enough to do.

    Attributes
    ----------
    n_channels_ : int
        Channels after the transforms.
    n_timestamps_ : int
        Length of the longest series of fit.
    n_features_in_ : int
        Columns of a table (2-D input) or features per time step.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Where fit saw a DataFrame with names.

    See Also
    --------
    LogSignatureTransformer : Fewer features that say the same.
    sktime_sdtw.signatures.signature : The function.

    References
    ----------
    J. Morrill, A. Fermanian, P. Kidger, T. Lyons. A generalised signature method for multivariate time series
    feature extraction. 2020. arXiv:2006.00873.

    Examples
    --------
    >>> from sktime_sdtw import SignatureTransformer
    >>> transformer = SignatureTransformer(depth=2)
    >>> transformer.fit_transform([[0.0, 1.0, 3.0], [1.0, 1.0]])
    array([[3.  , 1.  , 4.5 , 1.25, 1.75, 0.5 ],
           [0.  , 1.  , 0.  , 0.  , 0.  , 0.5 ]])
    >>> transformer.get_feature_names_out()
    array(['0', '1', '0,0', '0,1', '1,0', '1,1'], dtype=object)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SignatureFeatures._parameter_constraints,
        "words": [None, list, tuple],
    }

    def __init__(
        self,
        depth: int = 3,
        *,
        transforms: Any = ("time",),
        lag: int = 1,
        windows: Any = None,
        scaling: str = "none",
        nan_policy: str = "raise",
        words: Any = None,
        n_jobs: int | None = None,
        device: str | list[str] = "auto",
    ) -> None:
        self.depth = depth
        self.transforms = transforms
        self.lag = lag
        self.windows = windows
        self.scaling = scaling
        self.nan_policy = nan_policy
        self.words = words
        self.n_jobs = n_jobs
        self.device = device

    @fit_context
    def fit(self, X: Any, y: Any = None, *, times: Any = None) -> SignatureTransformer:
        """Learn the number of channels and of time steps.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Lists hold series of any lengths; time steps of NaN at the end of a series are padding.
        y : None
            Ignored.
        times : array-like of shape (n_samples, n_timestamps), or list, default=None
            When the time steps were taken, at any distances, for the transform "time"; counted from the first
            of each series. None is 0 to 1 in equal steps.

        Returns
        -------
        self : SignatureTransformer
        """
        self._fit(X, times)
        self._chosen = None
        if self.words is not None:
            chosen = [tuple(word) for word in self.words]
            for word in chosen:
                if not 1 <= len(word) <= self.depth or not set(word) <= set(range(self.n_channels_)):
                    raise ValueError(
                        f"words must be of 1 to {self.depth} letters 0 to {self.n_channels_ - 1}. Got {word}."
                    )
            self._chosen = np.array([word_index(word, self.n_channels_) for word in chosen], dtype=np.int64)
        return self

    def _compute(self, path: Array, windows: Any) -> Array:
        found = super()._compute(path, windows)
        return found if self._chosen is None else found[..., self._chosen]

    def _numbers(self, path: Any, windows: Any) -> Any:
        return signature(path, self.depth, windows=windows, n_jobs=self.n_jobs)

    def _levels(self) -> Iterable[int]:
        return (k for k in range(1, self.depth + 1) for _ in range(self.n_channels_**k))

    def _words(self) -> list[str]:
        words = all_words(self.n_channels_, self.depth) if self.words is None else self.words
        return [",".join(map(str, word)) for word in words]


class LogSignatureTransformer(SignatureFeatures):
    """Log-signatures of time series, as features.

    Parameters
    ----------
    depth : int, default=3
        Longest words.
    transforms : str or sequence of str, default=("time",)
        Applied to the series, in this order; see `transform_path`. "time" is 0 at the first time step of a
        series and 1 at its last, or what `fit` and `transform` get as times.
    lag : int, default=1
        Of the transform "lead_lag".
    windows : tuple or array of int of shape (n_windows, 2), default=None
        Parts of the transformed path, whose features are put side by side; see `signature`. Dyadic windows
        are fractions of each series; one of too few steps for them stands still after its end. All others are
        given in points: they lie where they lay in fit, a shorter series stands still after its end, and of a
        longer one only the first points count.
    scaling : {"none", "pre", "post"}, default="none"
        Brings levels to similar sizes: "post" multiplies level k by k!, "pre" the path by (depth!)^(1/depth).
    nan_policy : {"raise", "ffill", "skip"}, default="raise"
        What happens to NaN inside of series, before the transforms. "ffill" puts the last number of the
        channel in its place, and in front of the first number that one; "skip" leaves the time step out, and
        windows that are given in points count those that are left. Time steps of NaN at the end are padding.
    mode : {"words", "brackets", "expand"}, default="words"
        Coordinates, see `logsignature`.
    n_jobs : int, default=None
        Number of threads: None is 1 (or what ``joblib.parallel_config`` says), -1 all.
    device : {"auto", "cpu", "cuda", "cuda:<i>"}, default="auto"
        Where it is computed; "auto" takes a GPU where there is one and enough to do.

    Attributes
    ----------
    n_channels_ : int
        Channels after the transforms.
    n_timestamps_ : int
        Length of the longest series of fit.
    n_features_in_ : int
        Columns of a table (2-D input) or features per time step.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Where fit saw a DataFrame with names.

    See Also
    --------
    SignatureTransformer : More features, in which more is linear.
    sktime_sdtw.signatures.logsignature : The function.

    Examples
    --------
    >>> from sktime_sdtw import LogSignatureTransformer
    >>> transformer = LogSignatureTransformer(depth=2)
    >>> transformer.fit_transform([[0.0, 1.0, 3.0], [1.0, 1.0]])
    array([[ 3.  ,  1.  , -0.25],
           [ 0.  ,  1.  ,  0.  ]])
    >>> transformer.get_feature_names_out()
    array(['0', '1', '0,1'], dtype=object)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SignatureFeatures._parameter_constraints,
        "mode": [StrOptions(set(MODES))],
    }

    def __init__(
        self,
        depth: int = 3,
        *,
        transforms: Any = ("time",),
        lag: int = 1,
        windows: Any = None,
        scaling: str = "none",
        nan_policy: str = "raise",
        mode: str = "words",
        n_jobs: int | None = None,
        device: str | list[str] = "auto",
    ) -> None:
        self.depth = depth
        self.transforms = transforms
        self.lag = lag
        self.windows = windows
        self.scaling = scaling
        self.nan_policy = nan_policy
        self.mode = mode
        self.n_jobs = n_jobs
        self.device = device

    @fit_context
    def fit(self, X: Any, y: Any = None, *, times: Any = None) -> LogSignatureTransformer:
        """Learn the number of channels and of time steps.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Lists hold series of any lengths; time steps of NaN at the end of a series are padding.
        y : None
            Ignored.
        times : array-like of shape (n_samples, n_timestamps), or list, default=None
            When the time steps were taken, at any distances, for the transform "time"; counted from the first
            of each series. None is 0 to 1 in equal steps.

        Returns
        -------
        self : LogSignatureTransformer
        """
        self._fit(X, times)
        return self

    def _numbers(self, path: Any, windows: Any) -> Any:
        return logsignature(path, self.depth, mode=self.mode, windows=windows, n_jobs=self.n_jobs)

    def _levels(self) -> Iterable[int]:
        words = all_words if self.mode == "expand" else lyndon_words
        return (len(word) for word in words(self.n_channels_, self.depth))

    def _words(self) -> list[str]:
        if self.mode == "brackets":
            brackets = lyndon_brackets(self.n_channels_, self.depth)
            return [str(bracket).replace(" ", "") for bracket in brackets]
        words = (all_words if self.mode == "expand" else lyndon_words)(self.n_channels_, self.depth)
        return [",".join(map(str, word)) for word in words]
