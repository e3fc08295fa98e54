"""Losses that tell errors of shape from errors of time."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..cuda_ext._kinds import GIVEN
from . import _calls, _library
from ._arguments import Settings, lengths_on, read_gamma, read_lengths, resolve_settings, wanted
from ._soft_dtw import local_costs


class ShapeAndTime(NamedTuple):
    """The two parts of `shape_and_time`, (batch,) each."""

    shape: Tensor
    time: Tensor


def shape_and_time(
    x: Tensor,
    y: Tensor,
    *,
    gamma: float | Tensor = 0.01,
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    bandwidth: int | float | None = None,
    itakura_max_slope: float | None = None,
    x_lengths: Any = None,
    y_lengths: Any = None,
) -> ShapeAndTime:
    r"""How far x[i] and y[i] differ in shape, and how far in time.

    Parameters
    ----------
    x, y : Tensor of shape (batch, n, features) and (batch, m, features)
    gamma, cost, sigma, bandwidth, itakura_max_slope, x_lengths, y_lengths
        As in `soft_dtw`.

    Returns
    -------
    ShapeAndTime
        Named tuple ``(shape, time)``. The shape is Soft-DTW. The time is the mean, over the alignments that
        Soft-DTW averages, of the sum of squared differences in relative time along the path.

    See Also
    --------
    sktime_sdtw.nn.DILATELoss : A weighted sum of both.

    Notes
    -----
    .. math:: \text{time} = \langle E, \Omega \rangle, \qquad
        \Omega_{ij} = \left(\tfrac{i}{n} - \tfrac{j}{m}\right)^2,

    with the expected alignment E. Its gradient is the second derivative of Soft-DTW in the direction of
    :math:`\Omega`. For series of one length n this is :math:`(i - j)^2 / n^2`, as in the paper.

    References
    ----------
    V. Le Guen, N. Thome. Shape and time distortion loss for training deep time series forecasting models.
    NeurIPS 2019. arXiv:1909.09020.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.functional import shape_and_time
    >>> step = (torch.arange(20.0) >= 10).float().reshape(1, 20, 1)
    >>> late = step.roll(4, dims=1) * (torch.arange(20.0) >= 4).reshape(1, 20, 1)
    >>> parts = shape_and_time(late, step)
    >>> bool(parts.shape < 0.1), bool(parts.time > 0.1)
    (True, True)
    """
    settings = resolve_settings(cost, sigma, bandwidth, itakura_max_slope)
    return parts_of(x, y, gamma, settings, x_lengths, y_lengths)


def parts_of(
    x: Any, y: Any, gamma: float | Tensor, settings: Settings, x_lengths: Any, y_lengths: Any
) -> ShapeAndTime:
    """As `shape_and_time`, with checked settings."""
    rows, columns = read_lengths(x_lengths, "x_lengths"), read_lengths(y_lengths, "y_lengths")
    costs = local_costs(x, y, settings, rows, columns)
    gammas, number = read_gamma(gamma)
    bits = _library.X | wanted(costs, None, gammas)
    shape, alignment, _ = _calls.soft_dtw_of_costs(
        costs, rows, columns, gammas, number, GIVEN, *settings.numbers[1:], bits
    )
    i, j = _relative_time(costs, 1, rows), _relative_time(costs, 2, columns)
    time = (alignment * (i[:, :, None] - j[:, None, :]).square()).sum((1, 2))
    return ShapeAndTime(shape, time)


def _relative_time(costs: Tensor, axis: int, lengths: Tensor | None) -> Tensor:
    steps = torch.arange(costs.shape[axis], dtype=costs.dtype, device=costs.device)[None]
    return steps / (costs.shape[axis] if lengths is None else lengths_on(costs.device, lengths)[:, None])
