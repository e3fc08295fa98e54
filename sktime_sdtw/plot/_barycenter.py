"""A barycenter over the series that it averages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._series import Array, check_series, check_single_series
from ..barycenters import soft_dtw_barycenter
from ._axes import COLORS, INK, check_drawable, draw_center, draw_members, make_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class BarycenterDisplay:
    """Picture of a barycenter over its series; one panel per feature.

    Make it with `from_estimator` or `from_series`; `plot` draws it again.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
        Series of any lengths.
    barycenter : array-like of shape (length,) or (length, n_features)

    Attributes
    ----------
    axes_ : ndarray of shape (n_features,), of matplotlib Axes
    ax_ : matplotlib Axes
        The first of them.
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        Of the barycenter, one per feature.

    See Also
    --------
    ClusterDisplay : Several groups of series, each with its centre.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw import BarycenterDisplay
    >>> t = np.linspace(0, 6, 40)
    >>> X = [np.sin(t - shift) for shift in (0.0, 0.4, 0.8)]
    >>> display = BarycenterDisplay.from_series(X, gamma=0.1)  # doctest: +SKIP
    >>> display.figure_.savefig("barycenter.png")  # doctest: +SKIP
    """

    def __init__(self, X: Any, barycenter: Array) -> None:
        self.X = X
        self.barycenter = barycenter

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, ax: Axes | Sequence[Axes] | None = None, **plot_kw: Any
    ) -> BarycenterDisplay:
        """Draw the barycenter of a fitted estimator.

        Parameters
        ----------
        estimator : SoftDTWBarycenter
            Fitted.
        X : array-like or list
            Series to draw under it, usually those of fit.
        ax : matplotlib Axes or sequence of Axes, default=None
            As in `plot`.
        **plot_kw
            For `plot`.

        Returns
        -------
        BarycenterDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        """
        check_drawable(estimator, "barycenter_", "a SoftDTWBarycenter")
        return cls(X, estimator.barycenter_).plot(ax, **plot_kw)

    @classmethod
    def from_series(
        cls,
        X: Any,
        *,
        gamma: float = 1.0,
        weights: Any = None,
        length: int | None = None,
        barycenter_kw: dict[str, Any] | None = None,
        ax: Axes | Sequence[Axes] | None = None,
        **plot_kw: Any,
    ) -> BarycenterDisplay:
        """Compute a barycenter and draw it.

        Parameters
        ----------
        X : array-like or list
            Series of any lengths.
        gamma, weights, length
            As in `soft_dtw_barycenter`.
        barycenter_kw : dict, default=None
            Further arguments of `soft_dtw_barycenter`.
        ax : matplotlib Axes or sequence of Axes, default=None
            As in `plot`.
        **plot_kw
            For `plot`.

        Returns
        -------
        BarycenterDisplay
        """
        barycenter = soft_dtw_barycenter(
            X, gamma=gamma, weights=weights, length=length, **(barycenter_kw or {})
        )
        return cls(X, barycenter).plot(ax, **plot_kw)

    def plot(
        self,
        ax: Axes | Sequence[Axes] | None = None,
        *,
        series_kw: dict[str, Any] | None = None,
        barycenter_kw: dict[str, Any] | None = None,
    ) -> BarycenterDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of Axes, default=None
            Where to draw: one for each feature, or one that is divided among them. None makes a figure.
        series_kw, barycenter_kw : dict, default=None
            For ``plot`` of the series and of the barycenter.

        Returns
        -------
        self : BarycenterDisplay
        """
        batch = check_series(self.X)
        center = check_single_series(self.barycenter, name="barycenter")
        n_features = batch.n_features
        if center.shape[1] != n_features:
            raise ValueError(
                f"barycenter has {center.shape[1]} features per time step, but X has {n_features}, read as "
                "(n_samples, n_timestamps, n_features)."
            )
        self.figure_, self.axes_ = make_axes(
            ax, (n_features, 1), n_features, (6.0, 3.2 if n_features == 1 else 1.9)
        )
        self.ax_ = self.axes_[0]
        self.lines_ = []
        for feature, one in enumerate(self.axes_):
            members = draw_members(one, batch.to_list(), feature, **(series_kw or {}))
            style = {"color": COLORS[1], "label": "barycenter", **(barycenter_kw or {})}
            self.lines_.append(draw_center(one, center, feature, **style))
            members[0].set_label(f"{len(batch)} series")
            if n_features > 1:
                one.set_ylabel(f"feature {feature}", color=INK)
            tidy(one)
        self.ax_.legend(frameon=False, fontsize="small", loc="best")
        self.axes_[-1].set_xlabel("time", color=INK)
        return self
