"""Soft-DTW of all pairs of two batches."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from . import _pairwise_library
from ._arguments import Settings, read_gamma, read_lengths, read_series, resolve_settings
from ._soft_dtw import unit_rows, values


def cdist_soft_dtw(
    x: Tensor,
    y: Tensor | None = None,
    *,
    gamma: float | Tensor = 1.0,
    cost: str = "sqeuclidean",
    sigma: float = 1.0,
    bandwidth: int | float | None = None,
    itakura_max_slope: float | None = None,
    x_lengths: Any = None,
    y_lengths: Any = None,
) -> Tensor:
    """Soft-DTW of every x[i] with every y[j], differentiable twice.

    Parameters
    ----------
    x : Tensor of shape (batch_x, n, features)
    y : Tensor of shape (batch_y, m, features), default=None
        None compares x with itself, in half the time.
    gamma : float or Tensor, default=1.0
        Temperature: a number >= 0, or a tensor > 0 of one element, which gets a gradient.
    cost : {"sqeuclidean", "euclidean", "manhattan", "cosine", "gak"}, default="sqeuclidean"
    sigma, bandwidth, itakura_max_slope
        As in `soft_dtw`.
    x_lengths, y_lengths : Tensor or sequence of int, default=None
        Number of time steps of each series.

    Returns
    -------
    Tensor of shape (batch_x, batch_y)

    Notes
    -----
    No copy of the series for each pair is made: values come from the pairwise kernels, and the backward pass
    takes the pairs in pieces of bounded memory, leaving out those whose value does not matter. A series with
    NaN or inf has the value NaN with all others.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.functional import cdist_soft_dtw
    >>> x = torch.randn(3, 6, 2, requires_grad=True)
    >>> distances = cdist_soft_dtw(x, torch.randn(4, 5, 2))
    >>> distances.shape
    torch.Size([3, 4])
    >>> distances.min(dim=1).values.sum().backward()
    >>> x.grad.shape
    torch.Size([3, 6, 2])
    """
    settings = _resolve(cost, sigma, bandwidth, itakura_max_slope)
    return matrix(x, y, gamma, settings, x_lengths, y_lengths)


def cdist_soft_dtw_divergence(
    x: Tensor,
    y: Tensor | None = None,
    *,
    gamma: float | Tensor = 1.0,
    cost: str = "sqeuclidean",
    sigma: float = 1.0,
    bandwidth: int | float | None = None,
    itakura_max_slope: float | None = None,
    x_lengths: Any = None,
    y_lengths: Any = None,
) -> Tensor:
    """Soft-DTW divergence of every x[i] with every y[j].

    Parameters
    ----------
    x, y, gamma, cost, sigma, bandwidth, itakura_max_slope, x_lengths, y_lengths
        As in `cdist_soft_dtw`.

    Returns
    -------
    Tensor of shape (batch_x, batch_y)

    Notes
    -----
    Each series is compared with itself once.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.functional import cdist_soft_dtw_divergence
    >>> x = torch.randn(3, 6, 2)
    >>> cdist_soft_dtw_divergence(x).diagonal()
    tensor([0., 0., 0.])
    """
    settings = _resolve(cost, sigma, bandwidth, itakura_max_slope)
    joint = matrix(x, y, gamma, settings, x_lengths, y_lengths)
    own_x = values(x, x, gamma, settings, x_lengths, x_lengths)
    if y is None:
        # The diagonal is exactly 0, whatever the rounding of the two ways to compute it.
        distances = joint - 0.5 * (own_x[:, None] + own_x[None, :])
        return distances - distances.diagonal().diag_embed()
    own_y = values(y, y, gamma, settings, y_lengths, y_lengths)
    return joint - 0.5 * (own_x[:, None] + own_y[None, :])


def matrix(
    x: Any, y: Any, gamma: float | Tensor, settings: Settings, x_lengths: Any, y_lengths: Any
) -> Tensor:
    """As `cdist_soft_dtw`, with checked settings."""
    if y is None and y_lengths is not None:
        raise TypeError("y_lengths without y says nothing; pass x_lengths.")
    rows, columns = read_lengths(x_lengths, "x_lengths"), read_lengths(y_lengths, "y_lengths")
    x, other = read_series(x, x if y is None else y)
    gammas, number = read_gamma(gamma)
    if gammas is not None and gammas.numel() != 1:
        raise ValueError(f"gamma must have one element here. Got shape {tuple(gammas.shape)}.")
    dtype = x.dtype
    if settings.name == "cosine":
        x = unit_rows(x, rows)
        other = x if y is None else unit_rows(other, columns)
    value = _pairwise_library.call(
        x, None if y is None else other, rows, columns, gammas, number, *settings.numbers
    )
    return value if value.dtype is dtype else value.to(dtype)


def _resolve(cost: Any, sigma: Any, bandwidth: Any, itakura_max_slope: Any) -> Settings:
    if callable(cost) or cost == "precomputed":
        raise ValueError(
            f"cost must be the name of a cost that the engine knows. Got {cost!r}; for own costs, call "
            "soft_dtw on the pairs."
        )
    return resolve_settings(cost, sigma, bandwidth, itakura_max_slope)
