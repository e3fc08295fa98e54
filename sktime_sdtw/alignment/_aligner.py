"""Alignment of many series to one template, as estimators."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._estimator import (
    Interval,
    SeriesEstimator,
    SeriesTransformerMixin,
    StrOptions,
    fit_context,
    restore_layout,
)
from .._resample import resample
from .._series import Array, SeriesBatch, check_series, check_single_series
from ..preprocessing._container import Container
from ._gdtw import gdtw
from ._problem import Floats, read_lengths, read_numbers

_ROUNDING = 1e-6  # of warps in float32


class Learned(NamedTuple):
    """What fit finds with one weight, in the type of the series."""

    reg: float
    template: Array  # (length, n_features)
    warps: Array
    history: list[float]


class GDTWAligner(SeriesTransformerMixin, SeriesEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Align series to a template, each by its optimal continuous-time warp.

    Every series is taken to last from time 0 to time 1, whatever its number of samples. Its warp tells for
    every time of the template a time of the series; read there, all series are aligned and of one length.

    Parameters
    ----------
    template : array-like of shape (length,) or (length, n_features), default=None
        What to align to. None learns it: the mean of the aligned series, alignment and mean in turns.
    reg : float, default=0.1
        Weight of the penalty on the slope of a warp, >= 0. For series of unit variance, 0.01 to 1; see
        `GDTWAlignerCV`.
    reg_cumulative : float, default=0.0
        Weight of the penalty on the distance of a warp from the straight line.
    slope_min, slope_max : float, default=0.0 and None
        Bounds of the slope of a warp.
    band : float, default=None
        Largest distance of a warp from the straight line, as a fraction of the duration.
    loss : {"l2", "l1", "huber"}, default="l2"
        Penalty of the differences between a series and the template.
    huber_delta : float, default=1.0
        For ``loss="huber"``.
    length : int, default=None
        Number of time steps of a learned template. None takes the longest series.
    max_iter : int, default=10
        Largest number of turns when the template is learned.
    tol : float, default=1e-4
        Stop when a turn lowers the mean objective by less than this share.
    n_folds : int, default=5
        Of `score`: every `n_folds`-th time step of each series is held out in turn.
    n_jobs : int, default=None
        Number of threads, over the series.
    device : {"auto", "cpu", "cuda", "cuda:<i>", "cuda:all"} or list, default="auto"
        Where to compute.

    Attributes
    ----------
    template_ : ndarray of shape (length, n_features), or (length,)
        1-D if fitted on a 2-D array or on series without an axis of features. float32 for float32 series.
    warps_ : ndarray of shape (n_samples, length)
        Warp of each series of fit: times in [0, 1] at which to read it.
    lengths_ : ndarray of shape (n_samples,)
        Number of time steps of each series of fit.
    loss_history_ : ndarray of shape (n_iter + 1,)
        Mean objective of each turn; where a turn made it worse, it is the last and was taken back.
    n_iter_ : int
        Number of turns.
    n_features_in_ : int
        Number of columns of a table, else number of features per time step.

    See Also
    --------
    GDTWAlignerCV : Chooses `reg`.
    gdtw : One warp at a time, with all options.
    SoftDTWBarycenter : Another kind of average, without warps.

    Notes
    -----
    A learned template is centred: the mean of all warps is the straight line, so that its features lie at the
    mean of their times.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw import GDTWAligner
    >>> t = np.linspace(0, 1, 60)
    >>> X = np.array([np.exp(-(((t - place) / 0.06) ** 2)) for place in (0.35, 0.5, 0.65)])
    >>> aligner = GDTWAligner(reg=1e-3)
    >>> aligned = aligner.fit_transform(X)
    >>> bool(aligned.std(axis=0).max() < 0.2 * X.std(axis=0).max())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "template": [None, "array-like"],
        "reg": [Interval(Real, 0, None, closed="left")],
        "reg_cumulative": [Interval(Real, 0, None, closed="left")],
        "slope_min": [Interval(Real, 0, 1, closed="both")],
        "slope_max": [None, Interval(Real, 1, None, closed="left")],
        "band": [None, Interval(Real, 0, None, closed="left")],
        "loss": [StrOptions({"l2", "l1", "huber"})],
        "huber_delta": [Interval(Real, 0, None, closed="neither")],
        "length": [None, Interval(Integral, 2, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_folds": [Interval(Integral, 2, None, closed="left")],
        "n_jobs": [None, Integral],
        "device": [str, list],
    }

    def __init__(
        self,
        template: Any = None,
        *,
        reg: float = 0.1,
        reg_cumulative: float = 0.0,
        slope_min: float = 0.0,
        slope_max: float | None = None,
        band: float | None = None,
        loss: str = "l2",
        huber_delta: float = 1.0,
        length: int | None = None,
        max_iter: int = 10,
        tol: float = 1e-4,
        n_folds: int = 5,
        n_jobs: int | None = None,
        device: str | list[str] = "auto",
    ) -> None:
        self.template = template
        self.reg = reg
        self.reg_cumulative = reg_cumulative
        self.slope_min = slope_min
        self.slope_max = slope_max
        self.band = band
        self.loss = loss
        self.huber_delta = huber_delta
        self.length = length
        self.max_iter = max_iter
        self.tol = tol
        self.n_folds = n_folds
        self.n_jobs = n_jobs
        self.device = device

    @fit_context
    def fit(self, X: Any, y: Any = None) -> GDTWAligner:
        """Find the template, and the warps of all series to it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Series of any lengths.
        y : None
            Ignored.

        Returns
        -------
        self : GDTWAligner
        """
        batch = self._check_series(X, reset=True)
        self._keep(batch, self._learn(batch, self.reg))
        return self

    def _learn(self, batch: SeriesBatch, reg: float) -> Learned:
        sources = as_sources(batch)
        if self.template is None:
            length = max(2, batch.max_length) if self.length is None else int(self.length)
            template = resample(batch, length).mean(axis=0)
        else:
            template = check_single_series(self.template, name="template").astype(np.float64)
            if template.shape[1] != batch.n_features or len(template) < 2:
                raise ValueError(
                    f"template has shape {template.shape}; two time steps or more of {batch.n_features} "
                    "features are needed, as X has."
                )
        warps, loss = self._solve(sources, template, reg)
        history = [loss]
        for _ in range(self.max_iter if self.template is None else 0):
            new = _mean(sources, warps)
            new_warps, loss = self._solve(sources, new, reg)
            history.append(loss)
            if loss >= history[-2]:
                break
            template, warps = new, new_warps
            if history[-2] - loss <= self.tol * history[-2]:
                break
        return Learned(float(reg), template.astype(batch.dtype), warps.astype(batch.dtype), history)

    def _keep(self, batch: SeriesBatch, learned: Learned) -> None:
        self._reg, template, self.warps_, history = learned
        self.lengths_ = batch.lengths
        self.n_iter_ = len(history) - 1
        self.loss_history_ = np.array(history)
        self.template_ = template[:, 0] if self._flat_in and template.shape[1] == 1 else template

    def warp(self, X: Any) -> Array:
        """Warps of series to the template.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Series of any lengths.

        Returns
        -------
        ndarray of shape (n_samples, length)
            Times in [0, 1] at which to read each series.
        """
        check_is_fitted(self)
        batch = self._check_series(X, reset=False)
        return self._solve(as_sources(batch), self._template(), self._reg)[0].astype(batch.dtype)

    def transform(self, X: Any) -> Array:
        """Align series.

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
        sources = as_sources(batch)
        warps = self._solve(sources, self._template(), self._reg)[0]
        return Container.of(X).wrap_array(_read_all(sources, warps).astype(batch.dtype, copy=False))

    def inverse_transform(self, X: Any, *, warps: Any = None, lengths: Any = None) -> Array | list[Array]:
        """Give aligned series their own time back.

        Parameters
        ----------
        X : array-like of shape (n_samples, length) or (n_samples, length, n_features)
            Series in the time of the template, with any number of features.
        warps : array-like of shape (n_samples, n_knots), default=None
            Their warps, from `warp`. None takes `warps_`, for the series of fit.
        lengths : int or array-like of shape (n_samples,), default=None
            Number of time steps that each series gets. None gives the series of fit those that they had, and
            with `warps` as many as the template has.

        Returns
        -------
        ndarray of shape (n_samples, n_timestamps, n_features) or (n_samples, n_timestamps), or list
            At times spread evenly over [0, 1]; a list of arrays where lengths differ. What a warp skipped is
            filled in along a line.
        """
        check_is_fitted(self)
        batch = check_series(X)
        knots = self._warps_for(batch, warps)
        if lengths is None:
            lengths = self.lengths_ if warps is None else len(self.template_)
        wanted = read_lengths(lengths, len(batch), "lengths", least=1)
        times = np.linspace(0, 1, knots.shape[1])
        back = [
            _read(source, np.interp(np.linspace(0, 1, n), warp, times))
            for source, warp, n in zip(as_sources(batch), _rising(knots), wanted, strict=True)
        ]
        flat = Container.of(X).is_flat
        return restore_layout(SeriesBatch.from_arrays(back).astype(batch.dtype), flat=flat)

    def apply(self, X: Any, *, warps: Any = None) -> Array:
        """Warp other series by the same warps: what was recorded along with the series of fit.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            One for each warp, of any lengths and any number of features.
        warps : array-like of shape (n_samples, n_knots), default=None
            Warps, from `warp`. None takes `warps_`, for the series of fit.

        Returns
        -------
        ndarray of shape (n_samples, n_knots, n_features), or (n_samples, n_knots)
            2-D if `X` is 2-D or a list of 1-D arrays.
        """
        check_is_fitted(self)
        batch = check_series(X)
        aligned = _read_all(as_sources(batch), self._warps_for(batch, warps))
        return Container.of(X).wrap_array(aligned.astype(batch.dtype, copy=False))

    def score(self, X: Any, y: Any = None) -> float:
        """How well warps found on a part of the time steps of the series fit the others; larger is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Series of any lengths.
        y : None
            Ignored.

        Returns
        -------
        float
            Minus the mean squared difference, at the time steps held out, of the series from the template at
            the time that the warp gives. A penalty that is too small fits noise, one that is too large fits
            nothing: both lower the score.
        """
        check_is_fitted(self)
        sources = as_sources(self._check_series(X, reset=False))
        return self._score(sources, self._template(), self._reg)

    def _score(self, sources: list[Floats], template: Floats, reg: float) -> float:
        times = np.linspace(0, 1, len(template))
        errors = []
        for fold in range(int(self.n_folds)):
            inside = [np.arange(len(source)) % self.n_folds != fold for source in sources]
            for kept in inside:
                kept[[0, -1]] = True
            places = [np.linspace(0, 1, len(source)) for source in sources]
            warps, _ = self._solve(
                [source[kept] for source, kept in zip(sources, inside, strict=True)],
                template,
                reg,
                [place[kept] for place, kept in zip(places, inside, strict=True)],
            )
            for source, place, kept, warp in zip(sources, places, inside, _rising(warps), strict=True):
                found = np.interp(place[~kept], warp, times)
                seen = np.stack([np.interp(found, times, column) for column in template.T], axis=1)
                errors.append((seen - source[~kept]) ** 2)
        every = np.concatenate(errors)
        return -float(every.mean()) if every.size else 0.0

    def _solve(
        self, sources: list[Floats], template: Floats, reg: float, times: list[Floats] | None = None
    ) -> tuple[Floats, float]:
        result = gdtw(
            sources,
            [template] * len(sources),
            x_times=times,
            reg=reg,
            reg_cumulative=self.reg_cumulative,
            slope_min=self.slope_min,
            slope_max=self.slope_max,
            band=self.band,
            loss=self.loss,
            huber_delta=self.huber_delta if self.loss == "huber" else 1.0,
            n_jobs=self.n_jobs,
            device=self.device,
        )
        return result.values, float(result.objective.mean())

    def _template(self) -> Floats:
        return np.asarray(self.template_, np.float64).reshape(len(self.template_), -1)

    def _warps_for(self, batch: SeriesBatch, warps: Any) -> Floats:
        knots = read_numbers(self.warps_ if warps is None else warps, "warps")
        if knots.ndim != 2 or len(knots) != len(batch) or knots.shape[1] < 2:
            raise ValueError(
                f"X has {len(batch)} series, but warps has shape {knots.shape}: one row for each is needed. "
                "For series other than those of fit, pass warps=aligner.warp(series)."
            )
        inside = (knots >= -_ROUNDING) & (knots <= 1 + _ROUNDING)
        if not inside.all() or (np.diff(knots) < -_ROUNDING).any():
            raise ValueError(
                "warps must be times in [0, 1] that do not decrease, as aligner.warp gives them."
            )
        return knots


def as_sources(batch: SeriesBatch) -> list[Floats]:
    """Series as signals: one of a single time step is constant."""
    return [
        np.repeat(series, 2, axis=0) if len(series) == 1 else series
        for series in batch.astype(np.float64).to_list()
    ]


def _read(source: Floats, warp: Floats) -> Floats:
    """A series at warped times, (n_knots, n_features)."""
    times = np.linspace(0, 1, len(source))
    return np.stack([np.interp(warp, times, column) for column in source.T], axis=1)


def _read_all(sources: list[Floats], warps: Floats) -> Floats:
    """All series at their warped times, (n_samples, n_knots, n_features)."""
    return np.stack([_read(source, warp) for source, warp in zip(sources, warps, strict=True)])


def _rising(warps: Floats) -> Floats:
    """Warps with an inverse: one that stands still has none; nearly still, its inverse jumps."""
    rising: Floats = (1 - 1e-9) * warps + 1e-9 * np.linspace(0, 1, warps.shape[-1])
    return rising


def _mean(sources: list[Floats], warps: Floats) -> Floats:
    """Mean of the aligned series, in a time in which the mean of the warps is the straight line."""
    times = np.linspace(0, 1, warps.shape[1])
    centred = np.interp(times, _rising(warps.mean(axis=0)), times)
    mean: Floats = _read_all(sources, np.stack([np.interp(centred, times, warp) for warp in warps])).mean(
        axis=0
    )
    return mean
