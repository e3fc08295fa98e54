"""Clusters of series, each with its centre."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._series import Array, SeriesBatch, check_series
from ._axes import INK, check_drawable, color_of, draw_center, draw_members, make_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ClusterDisplay:
    """Picture of clusters: a panel for each, with its series and its centre.

    Series of several features get a row of panels per feature. Make it with `from_estimator`; `plot` draws it
    again.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
        Series of any lengths.
    labels : array-like of shape (n_samples,), of int
        Cluster of each series, from 0.
    centers : array-like of shape (n_clusters, length) or (n_clusters, length, n_features), or list
        Centres of the clusters.
    y : array-like of shape (n_samples,), default=None
        Known classes, shown as the colours of the series.

    Attributes
    ----------
    axes_ : ndarray of shape (n_clusters,), or (n_features, n_clusters) if n_features > 1, of matplotlib Axes
    ax_ : matplotlib Axes
        The first of them.
    figure_ : matplotlib Figure
    lines_ : ndarray like `axes_`, of matplotlib Line2D
        Of the centres.

    See Also
    --------
    BarycenterDisplay : One group of series.

    Examples
    --------
    >>> from sktime_sdtw import ClusterDisplay, SoftDTWKMeans
    >>> from sktime_sdtw.datasets import make_warped
    >>> X, y = make_warped(random_state=0)
    >>> km = SoftDTWKMeans(n_clusters=3, gamma=0.1, random_state=0).fit(X)  # doctest: +SKIP
    >>> display = ClusterDisplay.from_estimator(km, X, y=y)  # doctest: +SKIP
    >>> display.figure_.savefig("clusters.png")  # doctest: +SKIP
    """

    def __init__(self, X: Any, labels: Any, centers: Any, *, y: Any = None) -> None:
        self.X = X
        self.labels = labels
        self.centers = centers
        self.y = y

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, ax: Axes | Sequence[Axes] | None = None, **plot_kw: Any
    ) -> ClusterDisplay:
        """Assign series to the clusters of a fitted estimator and draw them.

        Parameters
        ----------
        estimator : SoftDTWKMeans
            Fitted; anything with ``cluster_centers_`` that are series, and ``predict``.
        X : array-like or list
            Series to draw.
        y : array-like of shape (n_samples,), default=None
            Known classes, shown as the colours of the series.
        ax : matplotlib Axes or sequence of Axes, default=None
            As in `plot`.
        **plot_kw
            For `plot`.

        Returns
        -------
        ClusterDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        """
        check_drawable(estimator, "cluster_centers_", "a SoftDTWKMeans or another clusterer with centres")
        return cls(X, estimator.predict(X), estimator.cluster_centers_, y=y).plot(ax, **plot_kw)

    def plot(
        self,
        ax: Axes | Sequence[Axes] | None = None,
        *,
        n_columns: int | None = None,
        series_kw: dict[str, Any] | None = None,
        center_kw: dict[str, Any] | None = None,
    ) -> ClusterDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of Axes, default=None
            Where to draw: one for each panel, or one that is divided among them. None makes a figure.
        n_columns : int, default=None
            Panels in a row, for series of one feature; 4 at most by default.
        series_kw, center_kw : dict, default=None
            For ``plot`` of the series and of the centres.

        Returns
        -------
        self : ClusterDisplay
        """
        batch, centers = check_series(self.X), check_series(self.centers, name="centers")
        labels = np.asarray(self.labels)
        if labels.shape != (len(batch),):
            raise ValueError(f"labels has shape {labels.shape}; X has {len(batch)} series.")
        if self.y is not None and np.shape(self.y) != (len(batch),):
            raise ValueError(f"y has shape {np.shape(self.y)}; X has {len(batch)} series.")
        if centers.n_features != batch.n_features:
            raise ValueError(
                f"centers have {centers.n_features} features per time step, but X has {batch.n_features}, "
                "read as (n_samples, n_timestamps, n_features)."
            )
        if n_columns is not None and n_columns < 1:
            raise ValueError(f"n_columns must be an int >= 1, or None. Got {n_columns!r}.")
        n_clusters, n_features = len(centers), batch.n_features
        columns = n_clusters if n_features > 1 else (n_columns or _columns(n_clusters))
        rows = n_features if n_features > 1 else -(-n_clusters // columns)
        self.figure_, axes = make_axes(ax, (rows, columns), n_clusters * n_features, (2.6, 2.1))
        lines: Array = np.empty(len(axes), dtype=object)
        for i, one in enumerate(axes):
            feature, cluster = divmod(i, n_clusters)
            members = np.flatnonzero(labels == cluster)
            self._draw_series(one, batch, members, feature, series_kw or {})
            style = {"color": INK if self.y is not None else color_of(cluster), **(center_kw or {})}
            lines[i] = draw_center(one, centers[cluster], feature, **style)
            if feature == 0:
                one.set_title(f"cluster {cluster}  (n = {len(members)})", fontsize="small", color=INK)
            if n_features > 1 and cluster == 0:
                one.set_ylabel(f"feature {feature}", fontsize="small", color=INK)
            tidy(one)
            if i + columns >= len(axes):
                one.set_xlabel("time", fontsize="small", color=INK)
        self.axes_ = axes.reshape(n_features, n_clusters) if n_features > 1 else axes
        self.lines_ = lines.reshape(self.axes_.shape)
        self.ax_ = axes[0]
        if self.y is not None:
            self._add_legend(is_own_figure=ax is None)
        return self

    def _draw_series(
        self, ax: Axes, batch: SeriesBatch, members: Array, feature: int, series_kw: dict[str, Any]
    ) -> None:
        if self.y is None:
            draw_members(ax, [batch[i] for i in members], feature, **series_kw)
            return
        classes, codes = np.unique(np.asarray(self.y), return_inverse=True)
        for code in range(len(classes)):
            chosen = [batch[i] for i in members if codes[i] == code]
            draw_members(ax, chosen, feature, **{"color": color_of(code), **series_kw})

    def _add_legend(self, *, is_own_figure: bool) -> None:
        from matplotlib.lines import Line2D

        names = np.unique(np.asarray(self.y))
        handles = [
            Line2D([], [], color=color_of(i), lw=1.5, label=f"class {name}") for i, name in enumerate(names)
        ]
        handles.append(Line2D([], [], color=INK, lw=2.2, label="centre"))
        if is_own_figure:  # whose layout makes room outside the panels
            n = min(len(handles), 8)
            self.figure_.legend(
                handles=handles, loc="outside lower center", ncols=n, frameon=False, fontsize="small"
            )
        else:
            self.ax_.legend(handles=handles, frameon=False, fontsize="x-small")


def _columns(n_clusters: int) -> int:
    """As square as it gets with at most four in a row: 4 -> 4, 5 -> 3, 6 -> 3, 8 -> 4, 9 -> 3."""
    n_rows = -(-n_clusters // 4)
    return -(-n_clusters // n_rows)
