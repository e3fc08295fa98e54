"""Soft-DTW, its divergence and its alignment, of batches of series."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cuda_ext._kinds import GIVEN
from . import _calls, _library
from ._arguments import (
    Settings,
    broadcast,
    lengths_on,
    read_costs,
    read_gamma,
    read_lengths,
    read_series,
    resolve_settings,
    wanted,
)
from ._squares import squared_distances


def soft_dtw(
    x: Tensor,
    y: Tensor | None = None,
    *,
    gamma: float | Tensor = 1.0,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    bandwidth: int | float | None = None,
    itakura_max_slope: float | None = None,
    x_lengths: Any = None,
    y_lengths: Any = None,
) -> Tensor:
    r"""Soft-DTW of x[i] with y[i], differentiable twice.

    Parameters
    ----------
    x : Tensor of shape (batch, n, features)
        float16 and bfloat16 are computed in float32. With ``cost="precomputed"`` the local costs, (batch, n,
        m).
    y : Tensor of shape (batch, m, features)
        Either batch may be 1: that series is compared with all of the other. None with
        ``cost="precomputed"``.
    gamma : float or Tensor, default=1.0
        Temperature. A number >= 0, where 0 is exact DTW; or a tensor > 0 of one element or one for each
        sample, which gets a gradient.
    cost : str or callable, default="sqeuclidean"
        Local cost of two time steps: "sqeuclidean", "euclidean", "manhattan", "cosine", "gak" or
        "precomputed". A callable gets x and y and returns the costs (batch, n, m); gradients pass through it.
    sigma : float, default=1.0
        Bandwidth of "gak".
    bandwidth : int or float, default=None
        Radius of the Sakoe-Chiba band: an int counts cells, a float in (0, 1] is a fraction of the longer
        series, as `sakoe_chiba_radius` elsewhere in this package.
    itakura_max_slope : float, default=None
        Largest slope of the Itakura parallelogram, >= 1.
    x_lengths, y_lengths : Tensor or sequence of int of shape (batch,), default=None
        Number of time steps of each series; what comes after is not looked at, and gets the gradient 0. Keep
        them on the CPU.

    Returns
    -------
    Tensor of shape (batch,)
        In the dtype of x, float32 for half types.

    See Also
    --------
    sktime_sdtw.nn.SoftDTWLoss : The same as a module.

    Notes
    -----
    A sample with NaN or inf, or whose costs overflow, has the value NaN; the others are not affected. Time
    grows with n m, memory little more than with n + m; second derivatives and alignments take memory n m.

    References
    ----------
    M. Cuturi, M. Blondel. Soft-DTW: a differentiable loss function for time-series. ICML 2017.
    arXiv:1703.01541.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.functional import soft_dtw
    >>> x = torch.tensor([[[0.0], [1.0], [2.0]]], requires_grad=True)
    >>> y = torch.tensor([[[0.0], [2.0]]])
    >>> value = soft_dtw(x, y, gamma=1.0)
    >>> round(float(value.detach()), 3)
    0.123
    >>> value.sum().backward()
    >>> x.grad.shape
    torch.Size([1, 3, 1])
    """
    settings = resolve_settings(cost, sigma, bandwidth, itakura_max_slope)
    return values(x, y, gamma, settings, x_lengths, y_lengths)


def dtw(
    x: Tensor,
    y: Tensor | None = None,
    *,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    bandwidth: int | float | None = None,
    itakura_max_slope: float | None = None,
    x_lengths: Any = None,
    y_lengths: Any = None,
) -> Tensor:
    """Exact DTW of x[i] with y[i]: Soft-DTW at temperature 0, with the gradient along one optimal path.

    Parameters
    ----------
    x, y : Tensor of shape (batch, n, features) and (batch, m, features)
    cost, sigma, bandwidth, itakura_max_slope, x_lengths, y_lengths
        As in `soft_dtw`.

    Returns
    -------
    Tensor of shape (batch,)
        The smallest sum of local costs; no square root is taken.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.functional import dtw
    >>> dtw(torch.tensor([[[0.0], [1.0], [2.0]]]), torch.tensor([[[0.0], [2.0]]]))
    tensor([1.])
    """
    settings = resolve_settings(cost, sigma, bandwidth, itakura_max_slope)
    return values(x, y, 0.0, settings, x_lengths, y_lengths)


def soft_dtw_divergence(
    x: Tensor,
    y: Tensor,
    *,
    gamma: float | Tensor = 1.0,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    bandwidth: int | float | None = None,
    itakura_max_slope: float | None = None,
    x_lengths: Any = None,
    y_lengths: Any = None,
) -> Tensor:
    """Soft-DTW divergence of x[i] with y[i]: zero for equal series, and lengths may differ.

    Parameters
    ----------
    x, y : Tensor of shape (batch, n, features) and (batch, m, features)
    gamma, cost, sigma, bandwidth, itakura_max_slope, x_lengths, y_lengths
        As in `soft_dtw`; without ``cost="precomputed"``, because the divergence also compares x with itself.

    Returns
    -------
    Tensor of shape (batch,)

    Notes
    -----
    soft_dtw(x, y) - soft_dtw(x, x) / 2 - soft_dtw(y, y) / 2.

    References
    ----------
    M. Blondel, A. Mensch, J.-P. Vert. Differentiable divergences between time series. AISTATS 2021.
    arXiv:2010.08354.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.functional import soft_dtw_divergence
    >>> x = torch.tensor([[[0.0], [1.0], [2.0]]])
    >>> soft_dtw_divergence(x, x)
    tensor([0.])
    >>> bool(soft_dtw_divergence(x, x[:, :2]) > 0)
    True
    """
    settings = resolve_settings(cost, sigma, bandwidth, itakura_max_slope)
    return divergences(x, y, gamma, settings, x_lengths, y_lengths)


def soft_dtw_alignment(
    x: Tensor,
    y: Tensor | None = None,
    *,
    gamma: float | Tensor = 1.0,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    bandwidth: int | float | None = None,
    itakura_max_slope: float | None = None,
    x_lengths: Any = None,
    y_lengths: Any = None,
) -> tuple[Tensor, Tensor]:
    """Soft-DTW of x[i] with y[i] and the expected alignments, both differentiable.

    Parameters
    ----------
    x, y : Tensor of shape (batch, n, features) and (batch, m, features)
    gamma, cost, sigma, bandwidth, itakura_max_slope, x_lengths, y_lengths
        As in `soft_dtw`.

    Returns
    -------
    value : Tensor of shape (batch,)
    alignment : Tensor of shape (batch, n, m)
        Probability that a path passes each cell: the derivative of the value with respect to the local costs,
        and for ``gamma=0`` the optimal path. 0 outside the lengths and the band.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.functional import soft_dtw_alignment
    >>> x = torch.tensor([[[0.0], [1.0], [2.0]]])
    >>> y = torch.tensor([[[0.0], [2.0]]])
    >>> value, alignment = soft_dtw_alignment(x, y, gamma=1.0)
    >>> alignment.shape
    torch.Size([1, 3, 2])
    """
    settings = resolve_settings(cost, sigma, bandwidth, itakura_max_slope)
    rows, columns = read_lengths(x_lengths, "x_lengths"), read_lengths(y_lengths, "y_lengths")
    costs = local_costs(x, y, settings, rows, columns)
    gammas, number = read_gamma(gamma)
    bits = _library.X | wanted(costs, None, gammas)
    value, alignment, _ = _calls.soft_dtw_of_costs(
        costs, rows, columns, gammas, number, GIVEN, *settings.numbers[1:], bits
    )
    return value, alignment


def values(
    x: Any,
    y: Any,
    gamma: float | Tensor,
    settings: Settings,
    x_lengths: Any = None,
    y_lengths: Any = None,
) -> Tensor:
    """As `soft_dtw`, with checked settings."""
    rows, columns = read_lengths(x_lengths, "x_lengths"), read_lengths(y_lengths, "y_lengths")
    if settings.numbers.cost == GIVEN:
        costs = local_costs(x, y, settings, rows, columns)
        gammas, number = read_gamma(gamma)
        return _calls.soft_dtw_of_costs(
            costs, rows, columns, gammas, number, *settings.numbers, wanted(costs, None, gammas)
        )[0]
    x, y = broadcast(*read_series(x, y))
    gammas, number = read_gamma(gamma)
    dtype = x.dtype
    if settings.name == "cosine":
        x, y = unit_rows(x, rows), unit_rows(y, columns)
    value = _calls.value(x, y, rows, columns, gammas, number, *settings.numbers, wanted(x, y, gammas))
    return value if value.dtype is dtype else value.to(dtype)


def divergences(
    x: Any,
    y: Any,
    gamma: float | Tensor,
    settings: Settings,
    x_lengths: Any = None,
    y_lengths: Any = None,
) -> Tensor:
    """As `soft_dtw_divergence`, with checked settings."""
    if settings.name == "precomputed":
        raise ValueError("cost='precomputed' says nothing of x with itself, which the divergence needs.")
    x, y = read_series(x, y)
    own_x = values(x, x, gamma, settings, x_lengths, x_lengths)
    own_y = values(y, y, gamma, settings, y_lengths, y_lengths)
    return values(x, y, gamma, settings, x_lengths, y_lengths) - 0.5 * (own_x + own_y)


def local_costs(
    x: Any, y: Any, settings: Settings, x_lengths: Tensor | None = None, y_lengths: Tensor | None = None
) -> Tensor:
    """The matrices (batch, n, m) of local costs, differentiable by torch itself."""
    if settings.name == "precomputed":
        if y is not None:
            raise TypeError("y must be None where cost='precomputed': x holds the local costs.")
        return read_costs(x)
    x, y = broadcast(*read_series(x, y))
    if settings.function is not None:
        costs = read_costs(settings.function(x, y), "the result of cost")
        if costs.shape != (x.shape[0], x.shape[1], y.shape[1]):
            raise ValueError(
                f"cost must return local costs of shape {(x.shape[0], x.shape[1], y.shape[1])}. "
                f"Got {tuple(costs.shape)}."
            )
        return costs
    if settings.name == "cosine":
        x, y = unit_rows(x, x_lengths), unit_rows(y, y_lengths)
    if settings.name == "manhattan":
        return (x[:, :, None] - y[:, None]).abs().sum(-1)
    square = squared_distances(x, y)
    if settings.name == "euclidean":
        positive = square > 0  # the root has no slope at 0, where it is taken as 0
        return torch.where(positive, square, 1.0).sqrt() * positive
    scaled = square * settings.numbers.scale
    return scaled + torch.log1p(-torch.expm1(-scaled)) if settings.name == "gak" else scaled


def unit_rows(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Time steps of length one, in float64: nearly parallel ones differ by less than float32 can say of them.

    A time step of zeros has no angle: it becomes NaN, and its sample with it; unless it lies behind the end.
    """
    rows = x.double()
    if lengths is not None:
        steps = torch.arange(x.shape[1], device=x.device)
        inside = steps < lengths_on(x.device, lengths)[:, None]
        rows = torch.where(inside[:, :, None], rows, 1.0)
    largest = rows.detach().abs().amax(-1, keepdim=True)  # first, so that squares neither overflow nor vanish
    rows = rows / largest
    return rows / rows.square().sum(-1, keepdim=True).sqrt()
