"""What the displays share: axes to draw in, colours, lines. matplotlib is imported inside the functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._series import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by people who confuse red and green; blue and vermilion first.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
INK = "#222222"
MUTED = "#9A9A9A"


def pyplot() -> Any:
    """Import matplotlib's pyplot, or say how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Plots need matplotlib. Install it with: pip install sktime-sdtw[plot]") from error
    return plt


def check_drawable(estimator: Any, attribute: str, accepted: str) -> None:
    """Raise where an estimator is not fitted, or has not what is to be drawn."""
    check_is_fitted(estimator)
    if not hasattr(estimator, attribute):
        raise TypeError(f"estimator must be {accepted}. Got {type(estimator).__name__}.")


def color_of(index: int) -> str:
    """Colour of the class, cluster or feature with this number; they repeat after the last."""
    return COLORS[index % len(COLORS)]


def make_axes(
    ax: Axes | Sequence[Axes] | None, shape: tuple[int, int], n_used: int, panel: tuple[float, float]
) -> tuple[Figure, Array]:
    """Axes for a grid of panels that share their scales.

    Parameters
    ----------
    ax : None, Axes or sequence of Axes
        None makes a figure. One Axes is used itself for one panel, and gives its place to a grid of several.
        A sequence has one Axes per panel.
    shape : (n_rows, n_columns)
        Of the grid.
    n_used : int
        Number of panels, filled row by row; the rest of the grid stays empty.
    panel : (width, height)
        Of one panel of a new figure, in inches.

    Returns
    -------
    figure : Figure
    axes : ndarray of shape (n_used,), of Axes
    """
    plt = pyplot()
    n_rows, n_columns = shape
    given: Any = ax
    if given is None:
        size = (panel[0] * n_columns + 0.4, panel[1] * n_rows + 0.4)
        figure = plt.figure(figsize=size, layout="constrained")
        grid = figure.add_gridspec(n_rows, n_columns)
    elif not hasattr(given, "get_figure"):
        many = np.asarray(given, dtype=object).ravel()
        if len(many) != n_used:
            raise ValueError(
                f"ax has {len(many)} axes, this plot has {n_used} panels. Pass as many, or one to divide."
            )
        return many[0].get_figure(), many
    elif n_used == 1:
        return given.get_figure(), np.array([given], dtype=object)
    else:
        figure = given.get_figure()
        grid = given.get_subplotspec().subgridspec(n_rows, n_columns)
        given.set_axis_off()
    axes = np.empty(n_used, dtype=object)
    for i in range(n_used):
        first = axes[0] if i else None
        axes[i] = figure.add_subplot(grid[divmod(i, n_columns)], sharex=first, sharey=first)
        axes[i].tick_params(labelbottom=i + n_columns >= n_used, labelleft=i % n_columns == 0)
    return figure, axes


def tidy(ax: Axes) -> None:
    """Fewer lines around the panel, quiet ticks."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(MUTED)
    ax.tick_params(color=MUTED, labelcolor=INK, labelsize="small")
    ax.margins(x=0.01)


def draw_members(ax: Axes, series: Sequence[Array], feature: int, **line_kw: Any) -> list[Any]:
    """Draw one feature of many series as thin lines that darken where they agree."""
    style = {
        "color": MUTED,
        "lw": 0.8,
        "alpha": float(np.clip(2.5 / np.sqrt(max(len(series), 1)), 0.12, 0.7)),
        **line_kw,
    }
    return [ax.plot(one[:, feature], **style)[0] for one in series]


def draw_center(ax: Axes, center: Array, feature: int, **line_kw: Any) -> Any:
    """Draw one feature of an average as a thick line with a white rim, readable on top of many others."""
    from matplotlib import patheffects

    width = line_kw.pop("lw", line_kw.pop("linewidth", 2.2))
    rim = [patheffects.Stroke(linewidth=width + 2, foreground="white", alpha=0.8), patheffects.Normal()]
    return ax.plot(center[:, feature], **{"lw": width, "path_effects": rim, "zorder": 3, **line_kw})[0]


def draw_colorbar(ax: Axes, image: Any, label: str) -> None:
    """Draw the scale of the colours of an image into axes of their own."""
    bar = image.get_figure().colorbar(image, cax=ax)
    bar.set_label(label, color=INK, fontsize="small")
    bar.ax.tick_params(labelsize="small", color=MUTED)
    bar.outline.set_visible(False)
