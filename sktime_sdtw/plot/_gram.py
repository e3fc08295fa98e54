"""Kernel and distance matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._series import Array
from ._axes import INK, MUTED, check_drawable, draw_colorbar, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class GramDisplay:
    """Picture of a kernel or distance matrix, with its rows and columns sorted by class.

    Make it with `from_estimator` or `from_matrix`; `plot` draws it again.

    Parameters
    ----------
    matrix : ndarray of shape (n_rows, n_columns)
        Kernel or distances between two sets of series.
    y : array-like of shape (n_rows,), default=None
        Classes of the rows, and of the columns too if the matrix is square and `y_columns` is None.
    y_columns : array-like of shape (n_columns,), default=None
        Classes of the columns.
    name : str, default="kernel"
        What the numbers are, beside the colour scale.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    image_ : matplotlib AxesImage
    row_order_, column_order_ : ndarray of int
        Rows and columns of `matrix` in the order in which they are drawn.

    See Also
    --------
    SoftDTWKernel, SoftDTWDistance : Estimators that give such matrices.

    Examples
    --------
    >>> from sktime_sdtw import GramDisplay, pairwise_gak
    >>> from sktime_sdtw.datasets import make_warped
    >>> X, y = make_warped(12, length=30, random_state=0)
    >>> display = GramDisplay.from_matrix(pairwise_gak(X, sigma=0.5), y)  # doctest: +SKIP
    >>> display.figure_.savefig("gram.png")  # doctest: +SKIP
    """

    def __init__(self, matrix: Array, *, y: Any = None, y_columns: Any = None, name: str = "kernel") -> None:
        self.matrix = matrix
        self.y = y
        self.y_columns = y_columns
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        y_columns: Any = None,
        ax: Axes | None = None,
        **plot_kw: Any,
    ) -> GramDisplay:
        """Draw what a fitted kernel or distance transformer gives for series.

        Parameters
        ----------
        estimator : SoftDTWKernel, SoftDTWDistance or SignatureKernel
            Fitted.
        X : array-like or list
            Series of the rows; the columns are the series of fit.
        y : array-like of shape (n_samples,), default=None
            Classes of the rows, and of the columns too if there are as many and `y_columns` is None.
        y_columns : array-like of shape (n_samples_fit,), default=None
            Classes of the series of fit.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **plot_kw
            For `plot`.

        Returns
        -------
        GramDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        """
        check_drawable(estimator, "X_fit_", "a SoftDTWKernel, SoftDTWDistance or SignatureKernel")
        name = "kernel" if "kernel" in estimator.get_params() else "distance"
        return cls(estimator.transform(X), y=y, y_columns=y_columns, name=name).plot(ax, **plot_kw)

    @classmethod
    def from_matrix(
        cls,
        matrix: Any,
        y: Any = None,
        *,
        y_columns: Any = None,
        name: str = "kernel",
        ax: Axes | None = None,
        **plot_kw: Any,
    ) -> GramDisplay:
        """Draw a matrix.

        Parameters
        ----------
        matrix : array-like of shape (n_rows, n_columns)
        y : array-like of shape (n_rows,), default=None
            Classes of the rows, and of the columns too if the matrix is square and `y_columns` is None.
        y_columns : array-like of shape (n_columns,), default=None
            Classes of the columns.
        name : str, default="kernel"
            What the numbers are, beside the colour scale.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **plot_kw
            For `plot`.

        Returns
        -------
        GramDisplay
        """
        return cls(np.asarray(matrix), y=y, y_columns=y_columns, name=name).plot(ax, **plot_kw)

    def plot(
        self, ax: Axes | None = None, *, image_kw: dict[str, Any] | None = None, colorbar: bool = True
    ) -> GramDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        image_kw : dict, default=None
            For ``imshow``.
        colorbar : bool, default=True
            Whether to draw the scale of the colours.

        Returns
        -------
        self : GramDisplay
        """
        plt = pyplot()
        if self.matrix.ndim != 2:
            raise ValueError(f"matrix has shape {self.matrix.shape}; (n_rows, n_columns) is expected.")
        y_rows = None if self.y is None else _check_labels(self.y, self.matrix.shape[0], "y")
        y_columns = (
            None
            if self.y_columns is None
            else _check_labels(self.y_columns, self.matrix.shape[1], "y_columns")
        )
        if y_columns is None and self.matrix.shape[0] == self.matrix.shape[1]:
            y_columns = y_rows
        if ax is None:
            _, ax = plt.subplots(figsize=(5.4, 4.6), layout="constrained")
        self.row_order_, rows = _groups(y_rows, self.matrix.shape[0])
        self.column_order_, columns = _groups(y_columns, self.matrix.shape[1])
        shown = self.matrix[np.ix_(self.row_order_, self.column_order_)]
        style = {"cmap": "viridis" if self.name == "kernel" else "viridis_r", "interpolation": "nearest"}
        self.image_ = ax.imshow(shown, **{**style, **(image_kw or {})})
        if colorbar:
            draw_colorbar(ax.inset_axes((1.03, 0, 0.04, 1)), self.image_, self.name)
        _mark(ax.yaxis, rows, ax.axhline)
        _mark(ax.xaxis, columns, ax.axvline)
        for spine in ax.spines.values():
            spine.set_visible(False)
        ax.tick_params(labelsize="small", color=MUTED)
        self.ax_ = ax
        self.figure_ = ax.get_figure()
        return self


def _check_labels(y: Any, n: int, name: str) -> Array:
    labels = np.asarray(y)
    if labels.shape != (n,):
        raise ValueError(f"{name} has shape {labels.shape}; the matrix has {n} of them.")
    return labels


def _groups(y: Array | None, n: int) -> tuple[Array, list[tuple[Any, int, int]]]:
    """Order in which classes stand together, and (class, first, after the last) of each."""
    if y is None:
        return np.arange(n), []
    order = np.argsort(y, kind="stable")
    classes, counts = np.unique(y, return_counts=True)
    stops = np.cumsum(counts)
    return order, list(zip(classes, stops - counts, stops, strict=True))


def _mark(axis: Any, groups: list[tuple[Any, int, int]], line: Any) -> None:
    """Lines between classes, and their names in place of the numbers of rows."""
    if not groups:
        return
    for _, first, _ in groups[1:]:
        line(first - 0.5, color="white", lw=1.2)
    axis.set_ticks(
        [(first + stop - 1) / 2 for _, first, stop in groups], labels=[str(name) for name, _, _ in groups]
    )
    axis.set_tick_params(length=0)
    axis.set_label_text("class", color=INK)
