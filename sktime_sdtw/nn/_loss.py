"""Soft-DTW as a loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..functional._arguments import read_gamma, resolve_settings
from ..functional._soft_dtw import divergences, values

_REDUCTIONS = ("none", "mean", "sum")


def reduce(losses: Tensor, reduction: str) -> Tensor:
    """The losses of all samples, or their mean or sum."""
    if reduction == "mean":
        return losses.mean()
    return losses.sum() if reduction == "sum" else losses


def check_reduction(reduction: Any) -> str:
    """One of the names that torch's own losses know."""
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction must be one of {list(_REDUCTIONS)}. Got {reduction!r}.")
    return str(reduction)


def keep_gamma(module: torch.nn.Module, gamma: Any) -> None:
    """As a parameter, a buffer or a plain number of the module."""
    _, number = read_gamma(gamma)
    if isinstance(gamma, Tensor) and not isinstance(gamma, torch.nn.Parameter):
        module.register_buffer("gamma", gamma)
    else:
        module.gamma = gamma if isinstance(gamma, Tensor) else number  # NumPy's would break torch.compile


class SoftDTWLoss(torch.nn.Module):
    """Soft-DTW between predicted and true series.

    Parameters
    ----------
    gamma : float or Tensor, default=1.0
        Temperature, in the unit of a local cost. A number >= 0, where 0 is exact DTW. A tensor > 0 of one
        element becomes a buffer, a `torch.nn.Parameter` a parameter of the module, which is learned.
    cost : str or callable, default="sqeuclidean"
        Local cost of two time steps; see `sktime_sdtw.functional.soft_dtw`.
    sigma : float, default=1.0
        Bandwidth of "gak".
    bandwidth : int or float, default=None
        Radius of the Sakoe-Chiba band: an int counts cells, a float in (0, 1] is a fraction of the longer
        series.
    itakura_max_slope : float, default=None
        Largest slope of the Itakura parallelogram, >= 1.
    normalize : bool, default=False
        Whether to compute the divergence, as `SoftDTWDivergenceLoss` does.
    reduction : {"mean", "sum", "none"}, default="mean"
        Over the batch.

    Notes
    -----
    The value is signed: a smooth minimum over many paths lies below the smallest cost. For training that does
    not matter; where zero must mean equal, take the divergence.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.nn import SoftDTWLoss
    >>> loss = SoftDTWLoss(gamma=0.1)
    >>> x = torch.zeros(2, 5, 1, requires_grad=True)
    >>> y = torch.ones(2, 4, 1)
    >>> loss(x, y).backward()
    >>> x.grad.shape
    torch.Size([2, 5, 1])
    >>> loss
    SoftDTWLoss(gamma=0.1, cost='sqeuclidean', reduction='mean')
    """

    def __init__(
        self,
        gamma: float | Tensor = 1.0,
        *,
        cost: Any = "sqeuclidean",
        sigma: float = 1.0,
        bandwidth: int | float | None = None,
        itakura_max_slope: float | None = None,
        normalize: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        keep_gamma(self, gamma)
        self.cost = cost
        self.bandwidth = bandwidth
        self.itakura_max_slope = itakura_max_slope
        self.normalize = normalize
        self.reduction = check_reduction(reduction)
        self._settings = resolve_settings(cost, sigma, bandwidth, itakura_max_slope)

    def forward(
        self, x: Tensor, y: Tensor | None = None, x_lengths: Any = None, y_lengths: Any = None
    ) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        x, y : Tensor of shape (batch, n, features) and (batch, m, features)
            With ``cost="precomputed"`` x holds the local costs, (batch, n, m), and y is None.
        x_lengths, y_lengths : Tensor or sequence of int of shape (batch,), default=None
            Number of time steps of each series.

        Returns
        -------
        Tensor
            A scalar, or (batch,) with ``reduction="none"``.
        """
        compute = divergences if self.normalize else values
        losses = compute(x, y, self.gamma, self._settings, x_lengths, y_lengths)
        return reduce(losses, self.reduction)

    def extra_repr(self) -> str:
        """What distinguishes this loss, for its repr."""
        gamma = self.gamma.tolist() if isinstance(self.gamma, Tensor) else self.gamma
        parts = [f"gamma={gamma}", f"cost={self.cost!r}"]
        parts += [
            f"{name}={getattr(self, name)}"
            for name in ("bandwidth", "itakura_max_slope")
            if getattr(self, name) is not None
        ]
        parts += ["normalize=True"] if self.normalize and type(self) is SoftDTWLoss else []
        return ", ".join([*parts, f"reduction={self.reduction!r}"])


class SoftDTWDivergenceLoss(SoftDTWLoss):
    """Soft-DTW divergence between predicted and true series: zero where they are equal; lengths may differ.

    Parameters
    ----------
    gamma, cost, sigma, bandwidth, itakura_max_slope, reduction
        As in `SoftDTWLoss`; without ``cost="precomputed"``.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.nn import SoftDTWDivergenceLoss
    >>> loss = SoftDTWDivergenceLoss(gamma=0.1)
    >>> x = torch.randn(2, 5, 1)
    >>> loss(x, x)
    tensor(0.)
    """

    def __init__(
        self,
        gamma: float | Tensor = 1.0,
        *,
        cost: Any = "sqeuclidean",
        sigma: float = 1.0,
        bandwidth: int | float | None = None,
        itakura_max_slope: float | None = None,
        reduction: str = "mean",
    ) -> None:
        if cost == "precomputed":
            raise ValueError("cost='precomputed' says nothing of x with itself, which the divergence needs.")
        super().__init__(
            gamma,
            cost=cost,
            sigma=sigma,
            bandwidth=bandwidth,
            itakura_max_slope=itakura_max_slope,
            normalize=True,
            reduction=reduction,
        )
