"""The operators on the CPU: addresses of checked, contiguous tensors for the engine."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import _core
from . import _library, _pairwise_library
from ._checks import check_band, check_band_of_pairs, check_gammas, check_lengths

_FEW_CELLS = 1 << 16  # a second thread would take longer to start than to do its part


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _alike(tensor: Tensor | None, like: Tensor) -> Tensor | None:
    return None if tensor is None else tensor.to(like.dtype).contiguous()


def _threads(cells: int) -> int:
    return 1 if cells <= _FEW_CELLS else torch.get_num_threads()


def _kernel(name: str, tensor: Tensor) -> Any:
    if tensor.dtype is torch.float32:
        return getattr(_core, f"{name}_f32")
    if tensor.dtype is torch.float64:
        return getattr(_core, f"{name}_f64")
    raise TypeError(f"The operators of sktime_sdtw take float32 or float64. Got {tensor.dtype}.")


def _checked(
    shape: tuple[int, int, int],
    x_lengths: Tensor | None,
    y_lengths: Tensor | None,
    gammas: Tensor | None,
    band: int,
    band_parameter: float,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Lengths and gammas as the engine reads them."""
    count, n, m = shape
    if gammas is not None:
        gammas = check_gammas(gammas, count)
    if x_lengths is not None:
        x_lengths = check_lengths(x_lengths, count, n, "x_lengths")
    if y_lengths is not None:
        y_lengths = check_lengths(y_lengths, count, m, "y_lengths")
    if band == 3:
        check_band(shape, x_lengths, y_lengths, band_parameter)
    return x_lengths, y_lengths, gammas


def soft_dtw(
    x: Tensor,
    y: Tensor,
    x_lengths: Tensor | None,
    y_lengths: Tensor | None,
    gammas: Tensor | None,
    gamma: float,
    cost: int,
    scale: float,
    band: int,
    band_parameter: float,
    wanted: int,
) -> tuple[Tensor, ...]:
    count, n, features = x.shape
    m = y.shape[1]
    x, y = x.contiguous(), y.contiguous()
    x_lengths, y_lengths, gammas = _checked((count, n, m), x_lengths, y_lengths, gammas, band, band_parameter)
    out = _library.empty_first(x, y, wanted)
    _kernel("padded_gradient", x)(
        x.data_ptr(),
        y.data_ptr(),
        0,
        _address(x_lengths),
        _address(y_lengths),
        count,
        n,
        m,
        features,
        _address(gammas),
        gamma,
        cost,
        scale,
        band,
        band_parameter,
        gammas is None or gammas.numel() == 1,
        *[tensor.data_ptr() for tensor in out],
        0,
        _threads(count * n * m),
    )
    return tuple(out)


def soft_dtw_second_order(
    x: Tensor,
    y: Tensor,
    x_lengths: Tensor | None,
    y_lengths: Tensor | None,
    gammas: Tensor | None,
    gamma: float,
    cost: int,
    scale: float,
    band: int,
    band_parameter: float,
    x_direction: Tensor | None,
    y_direction: Tensor | None,
    gamma_direction: Tensor | None,
    wanted: int,
) -> tuple[Tensor, ...]:
    count, n, features = x.shape
    m = y.shape[1]
    x, y = x.contiguous(), y.contiguous()
    x_lengths, y_lengths, gammas = _checked((count, n, m), x_lengths, y_lengths, gammas, band, band_parameter)
    directions = [_alike(direction, x) for direction in (x_direction, y_direction, gamma_direction)]
    out = _library.empty_second(x, y, wanted)
    _kernel("padded_second_order", x)(
        x.data_ptr(),
        y.data_ptr(),
        0,
        _address(x_lengths),
        _address(y_lengths),
        count,
        n,
        m,
        features,
        _address(gammas),
        gamma,
        cost,
        scale,
        band,
        band_parameter,
        gammas is None or gammas.numel() == 1,
        *[_address(direction) for direction in directions],
        0,
        *[tensor.data_ptr() for tensor in out],
        0,
        torch.get_num_threads(),
    )
    return tuple(out)


def soft_dtw_of_costs(
    costs: Tensor,
    x_lengths: Tensor | None,
    y_lengths: Tensor | None,
    gammas: Tensor | None,
    gamma: float,
    cost: int,
    scale: float,
    band: int,
    band_parameter: float,
    wanted: int,
) -> tuple[Tensor, ...]:
    count, n, m = costs.shape
    costs = costs.contiguous()
    x_lengths, y_lengths, gammas = _checked((count, n, m), x_lengths, y_lengths, gammas, band, band_parameter)
    value, alignment, slope = out = _library.empty_first_of_costs(costs, wanted)
    _kernel("padded_gradient", costs)(
        0,
        0,
        costs.data_ptr(),
        _address(x_lengths),
        _address(y_lengths),
        count,
        n,
        m,
        1,
        _address(gammas),
        gamma,
        cost,
        scale,
        band,
        band_parameter,
        gammas is None or gammas.numel() == 1,
        value.data_ptr(),
        0,
        0,
        slope.data_ptr(),
        alignment.data_ptr(),
        _threads(count * n * m),
    )
    return tuple(out)


def soft_dtw_of_costs_second_order(
    costs: Tensor,
    x_lengths: Tensor | None,
    y_lengths: Tensor | None,
    gammas: Tensor | None,
    gamma: float,
    cost: int,
    scale: float,
    band: int,
    band_parameter: float,
    alignment_direction: Tensor | None,
    gamma_direction: Tensor | None,
    wanted: int,
) -> tuple[Tensor, ...]:
    count, n, m = costs.shape
    costs = costs.contiguous()
    x_lengths, y_lengths, gammas = _checked((count, n, m), x_lengths, y_lengths, gammas, band, band_parameter)
    alignment_direction, gamma_direction = _alike(alignment_direction, costs), _alike(gamma_direction, costs)
    of_costs, of_gamma = out = _library.empty_second_of_costs(costs, wanted)
    _kernel("padded_second_order", costs)(
        0,
        0,
        costs.data_ptr(),
        _address(x_lengths),
        _address(y_lengths),
        count,
        n,
        m,
        1,
        _address(gammas),
        gamma,
        cost,
        scale,
        band,
        band_parameter,
        gammas is None or gammas.numel() == 1,
        0,
        0,
        _address(gamma_direction),
        _address(alignment_direction),
        0,
        0,
        of_gamma.data_ptr(),
        of_costs.data_ptr(),
        torch.get_num_threads(),
    )
    return tuple(out)


_library.LIBRARY.impl("soft_dtw", soft_dtw, "CPU")
_library.LIBRARY.impl("soft_dtw_second_order", soft_dtw_second_order, "CPU")
_library.LIBRARY.impl("soft_dtw_of_costs", soft_dtw_of_costs, "CPU")
_library.LIBRARY.impl("soft_dtw_of_costs_second_order", soft_dtw_of_costs_second_order, "CPU")


def cdist(
    x: Tensor,
    y: Tensor | None,
    x_lengths: Tensor | None,
    y_lengths: Tensor | None,
    gammas: Tensor | None,
    gamma: float,
    cost: int,
    scale: float,
    band: int,
    band_parameter: float,
) -> Tensor:
    """Values of all pairs."""
    count, n, features = x.shape
    x, y = x.contiguous(), None if y is None else y.contiguous()
    other = x if y is None else y
    count_y, m = other.shape[:2]
    if gammas is not None:
        gammas = check_gammas(gammas, 1)
    if x_lengths is not None:
        x_lengths = check_lengths(x_lengths, count, n, "x_lengths")
    if y_lengths is not None:
        y_lengths = check_lengths(y_lengths, count_y, m, "y_lengths")
    if band == 3:
        check_band_of_pairs((count, n), (count_y, m), x_lengths, y_lengths, band_parameter)
    out = _pairwise_library.empty_values(x, y)
    if out.numel() == 0:  # an empty y has no address, which would mean that there is no y
        return out
    _kernel("padded_pairwise", x)(
        x.data_ptr(),
        _address(y),
        _address(x_lengths),
        _address(y_lengths),
        count,
        count_y,
        n,
        m,
        features,
        _address(gammas),
        gamma,
        cost,
        scale,
        band,
        band_parameter,
        out.data_ptr(),
        _threads(count * count_y * n * m),
    )
    return out


_library.LIBRARY.impl("cdist_soft_dtw", cdist, "CPU")
