"""The expected alignment of two series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._series import Array, check_single_series
from ..metrics import dtw_path, soft_dtw_alignment
from ._axes import COLORS, INK, MUTED, color_of, draw_colorbar, pyplot, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class AlignmentDisplay:
    """Picture of the expected alignment of two series, with the series along its sides.

    Make it with `from_series`; `plot` draws it again.

    Parameters
    ----------
    x : array-like of shape (n,) or (n, n_features)
        Series along the rows, drawn at the left.
    y : array-like of shape (m,) or (m, n_features)
        Series along the columns, drawn on top.
    alignment : ndarray of shape (n, m)
        Probability that time step i of x is matched with time step j of y.
    value : float, default=None
        Soft-DTW of the two, for the title.
    gamma : float, default=None
        Smoothing, for the title.
    path : ndarray of shape (length, 2), default=None
        Steps (i, j) of the best single path, drawn over the alignment.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The alignment.
    axes_ : dict of matplotlib Axes
        "alignment", "x" (left) and "y" (top).
    figure_ : matplotlib Figure
    image_ : matplotlib AxesImage
        Of the alignment.
    path_ : matplotlib Line2D or None
        Of the best path.

    See Also
    --------
    soft_dtw_alignment : The numbers behind it.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw import AlignmentDisplay
    >>> t = np.linspace(0, 6, 40)
    >>> display = AlignmentDisplay.from_series(np.sin(t), np.sin(t - 0.8), gamma=0.1)  # doctest: +SKIP
    >>> display.figure_.savefig("alignment.png")  # doctest: +SKIP
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        alignment: Array,
        *,
        value: float | None = None,
        gamma: float | None = None,
        path: Array | None = None,
    ) -> None:
        self.x = x
        self.y = y
        self.alignment = alignment
        self.value = value
        self.gamma = gamma
        self.path = path

    @classmethod
    def from_series(
        cls,
        x: Any,
        y: Any,
        *,
        gamma: float = 1.0,
        cost: Any = "sqeuclidean",
        sigma: float = 1.0,
        sakoe_chiba_radius: int | float | None = None,
        itakura_max_slope: float | None = None,
        device: str | list[str] = "auto",
        show_path: bool = True,
        ax: Axes | None = None,
        **plot_kw: Any,
    ) -> AlignmentDisplay:
        """Align two series and draw the result.

        Parameters
        ----------
        x : array-like of shape (n,) or (n, n_features)
            Series along the rows.
        y : array-like of shape (m,) or (m, n_features)
            Series along the columns.
        gamma, cost, sigma, sakoe_chiba_radius, itakura_max_slope, device
            As in `soft_dtw_alignment`.
        show_path : bool, default=True
            Whether to draw the best single path, that of DTW, over the alignment.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **plot_kw
            For `plot`.

        Returns
        -------
        AlignmentDisplay
        """
        common: dict[str, Any] = {
            "cost": cost,
            "sigma": sigma,
            "sakoe_chiba_radius": sakoe_chiba_radius,
            "itakura_max_slope": itakura_max_slope,
            "device": device,
        }
        value, alignment = soft_dtw_alignment(x, y, gamma=gamma, **common)
        path = dtw_path(x, y, **common)[1] if show_path else None
        return cls(x, y, alignment, value=value, gamma=gamma, path=path).plot(ax, **plot_kw)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        image_kw: dict[str, Any] | None = None,
        line_kw: dict[str, Any] | None = None,
        path_kw: dict[str, Any] | None = None,
        colorbar: bool = True,
    ) -> AlignmentDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw the alignment; room for the series is taken from it. None makes a figure.
        image_kw, line_kw, path_kw : dict, default=None
            For ``imshow`` of the alignment and ``plot`` of the series and of the path.
        colorbar : bool, default=True
            Whether to draw the scale of the probabilities.

        Returns
        -------
        self : AlignmentDisplay
        """
        plt = pyplot()
        from matplotlib.colors import PowerNorm

        if ax is None:
            _, ax = plt.subplots(figsize=(5.6, 5.0), layout="constrained")
        left, top, bar = _make_margins(ax, with_bar=colorbar)
        x, y = check_single_series(self.x), check_single_series(self.y, name="y")
        # The root shows what is spread thin beside the few cells of probability 1.
        norm = PowerNorm(0.5, vmin=0, vmax=1)
        style = {"cmap": "Blues", "norm": norm, "aspect": "auto", "interpolation": "nearest"}
        self.image_ = ax.imshow(self.alignment, **{**style, **(image_kw or {})})
        self.path_ = None
        if self.path is not None:
            path_style = {"color": COLORS[1], "lw": 1.0, "ls": (0, (4, 2)), "label": "best path"}
            (self.path_,) = ax.plot(self.path[:, 1], self.path[:, 0], **{**path_style, **(path_kw or {})})
            ax.legend(loc="upper right", frameon=False, fontsize="small")
        if bar is not None:
            draw_colorbar(bar, self.image_, "matching probability")
        for feature in range(x.shape[1]):
            line_style = {"color": color_of(feature), "lw": 1.4, **(line_kw or {})}
            left.plot(x[:, feature], np.arange(len(x)), **line_style)
            top.plot(np.arange(len(y)), y[:, feature], **line_style)
        self._label(ax, left, top)
        self.ax_ = ax
        self.axes_ = {"alignment": ax, "x": left, "y": top}
        self.figure_ = ax.get_figure()
        return self

    def _label(self, ax: Axes, left: Axes, top: Axes) -> None:
        for one in (left, top):
            tidy(one)
        left.invert_xaxis()  # large values away from the alignment, as on top
        left.spines["left"].set_visible(False)
        left.spines["right"].set_visible(True)
        left.spines["right"].set_color(MUTED)
        ax.tick_params(labelleft=False, left=False, labelsize="small", color=MUTED)
        top.tick_params(labelbottom=False)
        left.set_ylabel("time in x")
        ax.set_xlabel("time in y")
        ax.set_xlim(-0.5, self.alignment.shape[1] - 0.5)
        ax.set_ylim(self.alignment.shape[0] - 0.5, -0.5)
        for spine in ax.spines.values():
            spine.set_color(MUTED)
        parts = [] if self.value is None else [f"soft-DTW = {self.value:.4g}"]
        parts += [] if self.gamma is None else [f"γ = {self.gamma:g}"]
        top.set_title(", ".join(parts), fontsize="medium", color=INK)


def _make_margins(ax: Axes, *, with_bar: bool) -> tuple[Axes, Axes, Axes | None]:
    """Axes at the left and on top of these, and for the colour scale at the right, in the room of these."""
    figure: Any = ax.get_figure()
    spec = ax.get_subplotspec()
    if spec is None:  # axes put anywhere in the figure
        place = ax.get_position()
        size = place.width * (0.68 if with_bar else 0.78), place.height * 0.78
        ax.set_position((place.x0 + 0.22 * place.width, place.y0, *size))
        left, top = (
            ax.inset_axes((-0.28, 0, 0.25, 1), sharey=ax),
            ax.inset_axes((0, 1.03, 1, 0.25), sharex=ax),
        )
        return left, top, ax.inset_axes((1.03, 0, 0.035, 1)) if with_bar else None
    # A grid within the cell of these axes, which move to its middle: layouts see every part of the picture.
    widths = [0.26, 1, 0.035] if with_bar else [0.26, 1]
    spacing = {"wspace": 0.03, "hspace": 0.03}
    grid = spec.subgridspec(2, len(widths), width_ratios=widths, height_ratios=[0.26, 1], **spacing)
    ax.set_subplotspec(grid[1, 1])
    left, top = figure.add_subplot(grid[1, 0], sharey=ax), figure.add_subplot(grid[0, 1], sharex=ax)
    return left, top, figure.add_subplot(grid[1, 2]) if with_bar else None
