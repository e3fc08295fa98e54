"""What the functions and modules share: reading arguments, before any operator is called."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _engine
from .._series import check_dense
from ..metrics._constraints import resolve_band
from ..metrics._costs import resolve_cost
from ._library import GAMMA, X, Y

CostFunction = Callable[[Tensor, Tensor], Tensor]

_HALF = (torch.float16, torch.bfloat16)


class Settings(NamedTuple):
    """Cost and constraint: for the operators in numbers."""

    numbers: _engine.Settings
    name: str
    function: CostFunction | None


def resolve_settings(
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    bandwidth: int | float | None = None,
    itakura_max_slope: float | None = None,
) -> Settings:
    """Check the arguments that say how to compare time steps, and which."""
    resolved = resolve_cost(cost, sigma)
    band = resolve_band(bandwidth, itakura_max_slope, name="bandwidth")
    return Settings(_engine.settings_of(resolved, band), resolved.name, resolved.function)


def read_gamma(gamma: Any) -> tuple[Tensor | None, float]:
    """The arguments `gammas` and `gamma` of the operators."""
    if isinstance(gamma, Tensor):
        if not gamma.is_floating_point() or gamma.dim() > 1:
            raise TypeError(
                "gamma must be a number, or a floating-point tensor of one element or one for each sample. "
                f"Got {gamma.dtype} of shape {tuple(gamma.shape)}."
            )
        return gamma.double(), 1.0
    if isinstance(gamma, bool) or not isinstance(gamma, Real):
        raise TypeError(f"gamma must be a finite number >= 0, or a tensor. Got {gamma!r}.")
    number = float(gamma)
    if not 0 <= number < math.inf:
        raise ValueError(f"gamma must be a finite number >= 0. Got {gamma!r}.")
    return None, number


def read_lengths(lengths: Any, name: str) -> Tensor | None:
    """Lengths as a tensor of integers; their values are checked by the operator."""
    if lengths is None:
        return None
    if not isinstance(lengths, Tensor):
        try:
            lengths = torch.as_tensor(lengths) if len(lengths) else torch.empty(0, dtype=torch.int64)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"{name} must hold integers, one for each sample. Got {lengths!r}.") from None
    if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype is torch.bool:
        raise TypeError(f"{name} must hold integers. Got {lengths.dtype}.")
    return lengths.to(torch.int64)


def lengths_on(device: torch.device, lengths: Tensor) -> Tensor:
    """Lengths beside the data. Those of the host are copied once: a CUDA graph could not copy them again."""
    plain = type(lengths) is Tensor and lengths.is_cpu and not torch._C._are_functorch_transforms_active()
    if device.type != "cuda" or not plain or torch.compiler.is_compiling():
        return lengths.to(device)
    return copied_once(device, lengths.contiguous().numpy().tobytes())


@lru_cache(maxsize=64)
def copied_once(device: torch.device, lengths: bytes) -> Tensor:
    """As int64 on the device, found again by their content."""
    return torch.frombuffer(bytearray(lengths), dtype=torch.int64).to(device)


def read_series(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Two batches of one dtype, device and number of features, float32 or float64; of any batch sizes."""
    _check_batch(x, "x")
    _check_batch(y, "y")
    if x.shape[2] != y.shape[2]:
        raise ValueError(
            f"x has {x.shape[2]} features and y has {y.shape[2]}; the same number is needed. Got shapes "
            f"{tuple(x.shape)} and {tuple(y.shape)}, read as (batch, time steps, features)."
        )
    if x.device != y.device:
        raise ValueError(f"x is on {x.device} and y is on {y.device}; move one of them: y.to(x.device).")
    return _one_dtype(x, y)


def broadcast(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """A batch of one series stands for as many as the other has."""
    if x.shape[0] == y.shape[0]:
        return x, y
    if x.shape[0] == 1:
        return x.expand(y.shape[0], -1, -1), y
    if y.shape[0] == 1:
        return x, y.expand(x.shape[0], -1, -1)
    raise ValueError(
        f"x holds {x.shape[0]} series and y holds {y.shape[0]}; equal numbers are needed, or one."
    )


def read_costs(costs: Any, name: str = "x") -> Tensor:
    """Cost matrices (batch, n, m), float32 or float64."""
    _check_batch(costs, name, "(batch, n, m), the matrices of local costs")
    return costs.float() if costs.dtype in _HALF else costs


def wanted(x: Tensor, y: Tensor | None, gammas: Tensor | None) -> int:
    """The gradients that a backward pass will ask for."""
    if not torch.is_grad_enabled():
        return 0
    bits = X if x.requires_grad else 0
    if y is not None and y.requires_grad:
        bits |= Y
    if gammas is not None and gammas.requires_grad:
        bits |= GAMMA
    return bits


def _check_batch(x: Any, name: str, axes: str = "(batch, time steps, features)") -> None:
    if isinstance(x, (list, tuple)) or (isinstance(x, Tensor) and x.is_nested):
        kind = "nested tensor" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(
            f"{name} must be one padded tensor, with {name}_lengths. Got a {kind}; "
            "torch.nn.utils.rnn.pad_sequence pads a list of tensors."
        )
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name} must be a tensor. Got {type(x).__name__}; for NumPy arrays there is sktime_sdtw.metrics."
        )
    check_dense(x, name)
    if x.dim() != 3:
        hint = (
            f" Add the axis of features, {name}[..., None], or for a single series the batch, {name}[None]."
            if x.dim() == 2
            else ""
        )
        raise ValueError(f"{name} must have three axes, {axes}. Got shape {tuple(x.shape)}.{hint}")
    if not x.is_floating_point():
        raise TypeError(f"{name} must be of a floating-point dtype. Got {x.dtype}.")
    if 0 in x.shape[1:]:
        raise ValueError(f"{name} must not be empty along an axis but the first. Got shape {tuple(x.shape)}.")


def _one_dtype(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if x.dtype is y.dtype and x.dtype not in _HALF:
        return x, y
    x = x.float() if x.dtype in _HALF else x
    y = y.float() if y.dtype in _HALF else y
    if x.dtype is not y.dtype:
        raise TypeError(f"x is {x.dtype} and y is {y.dtype}; convert one of them: y.to(x.dtype).")
    return x, y
