"""The operators on the CPU: addresses of checked, contiguous tensors for the engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import _core
from ..cuda_ext._kinds import ITAKURA
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
    if band == ITAKURA:
        check_band(shape, x_lengths, y_lengths, band_parameter)
    return x_lengths, y_lengths, gammas


def _run(
    kernel: str, tensors: tuple[Tensor, ...], common: Sequence[Any], ends: Iterable[int], first_order: bool
) -> None:
    """One of the engine's kernels on a batch: series x and y, or costs.

    Parameters
    ----------
    kernel : str
    tensors : tuple of Tensor
        Contiguous.
    common : sequence
        What follows the tensors in every operator, from x_lengths to band_parameter.
    ends : iterable of int
        Addresses of directions and results.
    first_order : bool
        A small batch is not worth a second thread then.
    """
    x_lengths, y_lengths, gammas, gamma, *numbers = common
    first = tensors[0]
    if len(tensors) == 2:
        (count, n, features), m = first.shape, tensors[1].shape[1]
        addresses = (first.data_ptr(), tensors[1].data_ptr(), 0)
    else:
        (count, n, m), features = first.shape, 1
        addresses = (0, 0, first.data_ptr())
    x_lengths, y_lengths, gammas = _checked((count, n, m), x_lengths, y_lengths, gammas, *numbers[2:])
    _kernel(kernel, first)(
        *addresses,
        _address(x_lengths),
        _address(y_lengths),
        count,
        n,
        m,
        features,
        _address(gammas),
        gamma,
        *numbers,
        gammas is None or gammas.numel() == 1,
        *ends,
        _threads(count * n * m) if first_order else torch.get_num_threads(),
    )


def soft_dtw(x: Tensor, y: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    """Values and gradients; arguments as in `_library`."""
    *common, wanted = rest
    x, y = x.contiguous(), y.contiguous()
    value, of_x, of_y, of_gamma = out = _library.empty_first(x, y, wanted)
    ends = (value.data_ptr(), of_x.data_ptr(), of_y.data_ptr(), of_gamma.data_ptr(), 0)
    _run("padded_gradient", (x, y), common, ends, True)
    return tuple(out)


def soft_dtw_second_order(x: Tensor, y: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    """How the gradients change in a direction."""
    *common, x_direction, y_direction, gamma_direction, wanted = rest
    x, y = x.contiguous(), y.contiguous()
    directions = [_alike(direction, x) for direction in (x_direction, y_direction, gamma_direction)]
    out = _library.empty_second(x, y, wanted)
    ends = (*map(_address, directions), 0, *map(_address, out), 0)
    _run("padded_second_order", (x, y), common, ends, False)
    return tuple(out)


def soft_dtw_of_costs(costs: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    """Values, alignments and slopes."""
    *common, wanted = rest
    costs = costs.contiguous()
    value, alignment, slope = out = _library.empty_first_of_costs(costs, wanted)
    ends = (value.data_ptr(), 0, 0, slope.data_ptr(), alignment.data_ptr())
    _run("padded_gradient", (costs,), common, ends, True)
    return tuple(out)


def soft_dtw_of_costs_second_order(costs: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    """How alignments and slopes change in a direction."""
    *common, alignment_direction, gamma_direction, wanted = rest
    costs = costs.contiguous()
    directions = _alike(alignment_direction, costs), _alike(gamma_direction, costs)
    of_costs, of_gamma = out = _library.empty_second_of_costs(costs, wanted)
    ends = (0, 0, *map(_address, directions[::-1]), 0, 0, _address(of_gamma), _address(of_costs))
    _run("padded_second_order", (costs,), common, ends, False)
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
    if band == ITAKURA:
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
