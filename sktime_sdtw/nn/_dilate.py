"""DILATE: shape and time in one loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..functional._arguments import resolve_settings
from ..functional._dilate import parts_of
from ..metrics._numbers import check_number
from ._loss import check_reduction, keep_gamma, reduce


class DILATELoss(torch.nn.Module):
    """Shape and time distortion: alpha times Soft-DTW plus 1 - alpha times the expected distortion in time.

    Parameters
    ----------
    alpha : float, default=0.5
        Weight of the shape, between 0 and 1.
    gamma : float or Tensor, default=0.01
        Temperature, as in `SoftDTWLoss`.
    cost, sigma, bandwidth, itakura_max_slope, reduction
        As in `SoftDTWLoss`.

    See Also
    --------
    sktime_sdtw.functional.shape_and_time : Both parts by themselves.

    References
    ----------
    V. Le Guen, N. Thome. Shape and time distortion loss for training deep time series forecasting models.
    NeurIPS 2019. arXiv:1909.09020.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.nn import DILATELoss
    >>> loss = DILATELoss(alpha=0.8, gamma=0.01)
    >>> x = torch.randn(4, 24, 1, requires_grad=True)
    >>> loss(x, torch.randn(4, 24, 1)).backward()
    >>> x.grad.shape
    torch.Size([4, 24, 1])
    """

    def __init__(
        self,
        alpha: float = 0.5,
        gamma: float | Tensor = 0.01,
        *,
        cost: Any = "sqeuclidean",
        sigma: float = 1.0,
        bandwidth: int | float | None = None,
        itakura_max_slope: float | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.alpha = check_number(alpha, "alpha", 0)
        if self.alpha > 1:
            raise ValueError(f"alpha must lie between 0 and 1. Got {alpha!r}.")
        keep_gamma(self, gamma)
        self.reduction = check_reduction(reduction)
        self._settings = resolve_settings(cost, sigma, bandwidth, itakura_max_slope)

    def forward(self, x: Tensor, y: Tensor, x_lengths: Any = None, y_lengths: Any = None) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        x, y : Tensor of shape (batch, n, features) and (batch, m, features)
        x_lengths, y_lengths : Tensor or sequence of int of shape (batch,), default=None
            Number of time steps of each series.

        Returns
        -------
        Tensor
            A scalar, or (batch,) with ``reduction="none"``.
        """
        shape, time = parts_of(x, y, self.gamma, self._settings, x_lengths, y_lengths)
        return reduce(self.alpha * shape + (1 - self.alpha) * time, self.reduction)

    def extra_repr(self) -> str:
        """What distinguishes this loss, for its repr."""
        gamma = self.gamma.tolist() if isinstance(self.gamma, Tensor) else self.gamma
        return f"alpha={self.alpha}, gamma={gamma}, reduction={self.reduction!r}"
