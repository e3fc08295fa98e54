"""The warp of one signal onto another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._series import Array, check_series
from ..alignment import apply_warp, gdtw
from ..alignment._problem import read_signals
from ._axes import COLORS, INK, MUTED, check_drawable, color_of, make_axes, pyplot, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class WarpDisplay:
    """Picture of a continuous-time warp: the warp, and below it the source before and after, over the target.

    Make it with `from_signals` or `from_estimator`; `plot` draws it again.

    Parameters
    ----------
    warps : array-like of shape (n_knots,) or (n_warps, n_knots)
        Times of the source for each time of the target.
    times : array-like of shape (n_knots,)
        The knots.
    x : array-like of shape (n,) or (n, n_features), default=None
        Source of a single warp; None draws the warps alone.
    y : array-like of shape (m,) or (m, n_features), default=None
        Target.
    x_times, y_times : array-like of shape (n,) and (m,), default=None
        Times of their samples. None spreads them evenly over [0, 1].
    truth : array-like of shape (n_knots,), default=None
        The true warp, if it is known.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Of the warp, and of each feature.
    ax_ : matplotlib Axes
        Of the warp.
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        Of the warps.

    See Also
    --------
    gdtw : The numbers behind it.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw import WarpDisplay
    >>> t = np.linspace(0, 1, 80)
    >>> display = WarpDisplay.from_signals(np.sin(9 * t**2), np.sin(9 * t), reg=1e-3)  # doctest: +SKIP
    >>> display.figure_.savefig("warp.png")  # doctest: +SKIP
    """

    def __init__(
        self,
        warps: Any,
        times: Any,
        *,
        x: Any = None,
        y: Any = None,
        x_times: Any = None,
        y_times: Any = None,
        truth: Any = None,
    ) -> None:
        self.warps = warps
        self.times = times
        self.x = x
        self.y = y
        self.x_times = x_times
        self.y_times = y_times
        self.truth = truth

    @classmethod
    def from_signals(
        cls,
        x: Any,
        y: Any,
        *,
        x_times: Any = None,
        y_times: Any = None,
        truth: Any = None,
        ax: Axes | Sequence[Axes] | None = None,
        plot_kw: dict[str, Any] | None = None,
        **gdtw_kw: Any,
    ) -> WarpDisplay:
        """Warp one signal onto another and draw the result.

        Parameters
        ----------
        x, y : array-like of shape (n,) or (n, n_features)
            Source and target.
        x_times, y_times : array-like of shape (n,) and (m,), default=None
            Times of their samples.
        truth : array-like of shape (n_knots,), default=None
            The true warp, if it is known.
        ax : matplotlib Axes or sequence of Axes, default=None
            As in `plot`.
        plot_kw : dict, default=None
            For `plot`.
        **gdtw_kw
            For `gdtw`.

        Returns
        -------
        WarpDisplay
        """
        result = gdtw(x, y, x_times=x_times, y_times=y_times, **gdtw_kw)
        if np.ndim(result.values) != 1:
            raise ValueError("x and y must be single signals, of shape (n,) or (n, n_features).")
        display = cls(result.values, result.times, x=x, y=y, x_times=x_times, y_times=y_times, truth=truth)
        return display.plot(ax, **(plot_kw or {}))

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any = None, *, ax: Axes | Sequence[Axes] | None = None, **plot_kw: Any
    ) -> WarpDisplay:
        """Draw the warps of an aligner.

        Parameters
        ----------
        estimator : GDTWAligner
            Fitted.
        X : array-like or list, default=None
            Series whose warps to draw; of a single one the series is drawn, too. None takes those of fit.
        ax : matplotlib Axes or sequence of Axes, default=None
            As in `plot`.
        **plot_kw
            For `plot`.

        Returns
        -------
        WarpDisplay
        """
        check_drawable(estimator, "warps_", "a GDTWAligner or GDTWAlignerCV")
        warps = estimator.warps_ if X is None else estimator.warp(X)
        times = np.linspace(0, 1, warps.shape[1])
        batch = None if X is None else check_series(X)
        if batch is not None and len(batch) == 1 and batch.max_length > 1:
            return cls(warps[0], times, x=batch[0], y=estimator.template_).plot(ax, **plot_kw)
        return cls(warps, times).plot(ax, **plot_kw)

    def plot(
        self,
        ax: Axes | Sequence[Axes] | None = None,
        *,
        warp_kw: dict[str, Any] | None = None,
        signal_kw: dict[str, Any] | None = None,
    ) -> WarpDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of Axes, default=None
            One for the warp and one for each feature, or one that is divided among them. None makes a figure.
        warp_kw, signal_kw : dict, default=None
            For ``plot`` of the warps and of the signals.

        Returns
        -------
        self : WarpDisplay
        """
        warps, times = np.atleast_2d(np.asarray(self.warps)), np.asarray(self.times)
        if warps.ndim != 2 or times.shape != warps.shape[1:]:
            raise ValueError(
                f"warps and times disagree in the number of knots: {warps.shape}, {times.shape}."
            )
        signals = self._signals(warps)
        n = 1 + (0 if signals is None else signals[0][1].shape[1])
        self.figure_, self.axes_ = _make_panels(ax, n)
        self.ax_ = self.axes_[0]
        ends = [warps.min(), warps.max()]
        self.ax_.plot(times[[0, -1]], ends, color=MUTED, lw=1, ls=(0, (4, 2)), zorder=0)
        if self.truth is not None:
            self.ax_.plot(times, np.asarray(self.truth), color=COLORS[1], lw=4, alpha=0.5, label="true warp")
        alpha = 1.0 if len(warps) == 1 else float(np.clip(2.5 / np.sqrt(len(warps)), 0.2, 0.8))
        style = {"color": COLORS[0], "lw": 1.6 if len(warps) == 1 else 1.0, "alpha": alpha, **(warp_kw or {})}
        self.lines_ = [self.ax_.plot(times, warp, **style)[0] for warp in warps]
        self.lines_[0].set_label("warp" if len(warps) == 1 else f"{len(warps)} warps")
        self.ax_.set_ylabel("time of the source", color=INK)
        for feature, one in enumerate(self.axes_[1:]):
            self._draw_signals(one, signals, feature, signal_kw or {})
        for one in self.axes_:
            tidy(one)
        self.ax_.legend(frameon=False, fontsize="small", loc="best")
        self.axes_[-1].set_xlabel("time of the target", color=INK)
        return self

    def _signals(self, warps: Array) -> list[tuple[Array, Array, str]] | None:
        """Times, values and names of what is drawn below."""
        if self.x is None or self.y is None or len(warps) != 1:
            return None
        x, y = (
            read_signals(signal, at, None, name)[0]
            for signal, at, name in ((self.x, self.x_times, "x"), (self.y, self.y_times, "y"))
        )
        warped = apply_warp(x.values, warps[0], x_times=x.times)
        line = y.times[0] + (x.times - x.times[0]) * (y.times[-1] - y.times[0]) / (x.times[-1] - x.times[0])
        return [
            (line, x.values, "source"),
            (y.times, y.values, "target"),
            (np.asarray(self.times), warped, "source, warped"),
        ]

    def _draw_signals(
        self, ax: Axes, signals: list[tuple[Array, Array, str]] | None, feature: int, style: dict[str, Any]
    ) -> None:
        looks = (
            {"color": MUTED, "lw": 1.0},
            {"color": COLORS[1], "lw": 4, "alpha": 0.5},
            {"color": color_of(0), "lw": 1.4},
        )
        for (times, values, name), look in zip(signals or [], looks, strict=False):
            ax.plot(times, values[:, feature], **{"label": name, **look, **style})
        ax.set_ylabel(f"feature {feature}" if len(self.axes_) > 2 else "value", color=INK)
        if feature == 0:
            ax.legend(frameon=False, fontsize="small", loc="best")


def _make_panels(ax: Axes | Sequence[Axes] | None, n: int) -> tuple[Figure, Array]:
    """Panels below each other that share the time, but not the values: those of the first are times, too."""
    plt = pyplot()
    given: Any = ax
    if given is not None and (n == 1 or not hasattr(given, "get_figure")):
        return make_axes(given, (n, 1), n, (6.0, 3.0))
    if given is None:
        figure = plt.figure(figsize=(6.4, 3.2 if n == 1 else 2.3 * n), layout="constrained")
        grid = figure.add_gridspec(n, 1)
    else:
        figure, grid = given.get_figure(), given.get_subplotspec().subgridspec(n, 1)
        given.set_axis_off()
    axes = np.empty(n, dtype=object)
    for i in range(n):
        axes[i] = figure.add_subplot(grid[i, 0], sharex=axes[0] if i else None)
        axes[i].tick_params(labelbottom=i == n - 1)
    return figure, axes
