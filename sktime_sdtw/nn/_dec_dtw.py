"""The optimal warp as a layer."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..alignment import GDTWResult, gdtw


class DecDTW(torch.nn.Module):
    """Layer that aligns: the optimal continuous-time warp of one signal onto another.

    A loss gives a distance; this layer gives the alignment itself, to be compared with a known one.
    The warp phi gives every time of the target y a time of the source x, such that x(phi(t)) is like y(t).

    Parameters
    ----------
    reg : float, default=0.1
        Weight of the penalty on the slope of the warp, >= 0.
    learn_reg : bool, default=False
        Whether `reg` is learned; what is learned is its logarithm, `log_reg`.
    mode : {"endpoint", "subsequence"}, default="endpoint"
        Whether the ends of y must meet the ends of x, or y may lie anywhere in x.
    **options
        Further arguments of `sktime_sdtw.gdtw`: `slope_max`, `band`, `knots`, `loss`, `interpolation`, more.

    See Also
    --------
    sktime_sdtw.gdtw : The function.

    Notes
    -----
    Backward differentiates the conditions of optimality on the active set of the solution, in time and memory
    linear in the number of knots. The gradient is exact where the warp is differentiable. At a knot that is
    held by a sample of x (see `kinks` of the result) the values of x have no first-order effect, which the
    gradient says; ``interpolation="cubic"`` has no such knots. The `objective` that `solve` returns is
    differentiable, too. There are no second derivatives and no forward mode: asking for them raises an error.

    References
    ----------
    M. Xu, S. Garg, M. Milford, S. Gould. Deep declarative dynamic time warping for end-to-end learning of
    alignment paths. ICLR 2023.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.nn import DecDTW
    >>> layer = DecDTW(reg=0.1, band=0.3)
    >>> x = torch.randn(2, 20, 3, requires_grad=True)
    >>> warp = layer(x, torch.randn(2, 15, 3))
    >>> warp.shape
    torch.Size([2, 15])
    >>> warp.square().mean().backward()
    >>> x.grad.shape
    torch.Size([2, 20, 3])
    """

    def __init__(
        self, reg: float = 0.1, *, learn_reg: bool = False, mode: str = "endpoint", **options: Any
    ) -> None:
        super().__init__()
        if isinstance(reg, Tensor) and reg.requires_grad:
            raise ValueError(f"reg must be a number; learn_reg=True learns it. Got {reg!r}.")
        try:
            number = float(reg)
        except (TypeError, ValueError, RuntimeError):
            raise ValueError(f"reg must be a number; `gdtw` takes one for each pair. Got {reg!r}.") from None
        if not math.isfinite(number) or number < 0 or (learn_reg and number == 0):
            raise ValueError(f"reg must be finite and >= 0, and > 0 to be learned. Got {reg!r}.")
        known = set(gdtw.__kwdefaults__ or ()) - {
            "x_times",
            "y_times",
            "x_lengths",
            "y_lengths",
            "return_gap",
        }
        unknown = set(options) - known
        if unknown:
            raise TypeError(f"DecDTW got unknown options {sorted(unknown)}; known are {sorted(known)}.")
        self._reg = number
        self.mode = mode
        self.options = options
        self.log_reg = torch.nn.Parameter(torch.tensor(number).log()) if learn_reg else None

    @property
    def reg(self) -> float | Tensor:
        """The weight of the penalty: a number, or the exponential of `log_reg`."""
        return self._reg if self.log_reg is None else self.log_reg.exp()

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        x_times: Tensor | None = None,
        y_times: Tensor | None = None,
        x_lengths: Any = None,
        y_lengths: Any = None,
    ) -> Tensor:
        """Align.

        Parameters
        ----------
        x, y : Tensor of shape (batch, n, features) and (batch, m, features)
            Sources and targets.
        x_times, y_times : Tensor of shape (batch, n) and (batch, m), default=None
            Times of the samples. None spreads them evenly over [0, 1].
        x_lengths, y_lengths : Tensor or sequence of int of shape (batch,), default=None
            Number of samples of each signal.

        Returns
        -------
        Tensor of shape (batch, n_knots)
            The warps. After the last knot of a shorter target the last time repeats.
        """
        values: Tensor = self.solve(x, y, x_times, y_times, x_lengths, y_lengths).values
        return values

    def solve(
        self,
        x: Tensor,
        y: Tensor,
        x_times: Tensor | None = None,
        y_times: Tensor | None = None,
        x_lengths: Any = None,
        y_lengths: Any = None,
    ) -> GDTWResult:
        """Align, and tell all that is known about the warps; see `forward`.

        Parameters
        ----------
        x, y : Tensor of shape (batch, n, features) and (batch, m, features)
            Sources and targets.
        x_times, y_times : Tensor of shape (batch, n) and (batch, m), default=None
            Times of the samples.
        x_lengths, y_lengths : Tensor or sequence of int of shape (batch,), default=None
            Number of samples of each signal.

        Returns
        -------
        GDTWResult
            Warps and objectives, both differentiable, and diagnostics.
        """
        times: dict[str, Any] = {"x_times": x_times, "y_times": y_times}
        lengths: dict[str, Any] = {"x_lengths": x_lengths, "y_lengths": y_lengths}
        return gdtw(x, y, reg=self.reg, mode=self.mode, **times, **lengths, **self.options)

    def extra_repr(self) -> str:
        """What distinguishes this layer, for its repr."""
        reg = "learned" if self.log_reg is not None else self._reg
        parts = [f"reg={reg}", f"mode={self.mode!r}"]
        return ", ".join([*parts, *(f"{name}={value!r}" for name, value in self.options.items())])
