"""Checks of values, as the operators on each device make them; the functions have checked the shapes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def check_lengths(lengths: Tensor, count: int, longest: int, name: str) -> Tensor:
    """Lengths on the CPU as int64, one for each sample, within 1 .. longest."""
    lengths = lengths.to("cpu", torch.int64).contiguous()
    if lengths.shape != (count,):
        raise ValueError(
            f"{name} must hold one length for each of {count} samples. Got {tuple(lengths.shape)}."
        )
    if count and (int(lengths.min()) < 1 or int(lengths.max()) > longest):
        raise ValueError(
            f"{name} must lie between 1 and {longest}, the number of time steps there is room for. "
            f"Got {int(lengths.min())} to {int(lengths.max())}."
        )
    return lengths


def check_gammas(gammas: Tensor, count: int) -> Tensor:
    """Temperatures on the CPU as float64: one, or one for each sample, finite and > 0."""
    gammas = gammas.to("cpu", torch.float64).contiguous()
    if gammas.numel() not in (1, count):
        raise ValueError(
            f"gamma must be a number, or a tensor of one element or of one for each of {count} samples. "
            f"Got shape {tuple(gammas.shape)}."
        )
    values = gammas.reshape(-1).tolist()
    if not all(0.0 < value < float("inf") for value in values):
        raise ValueError(f"A tensor gamma must be finite and > 0. Got {values[:5]}.")
    return gammas


def check_band(
    shape: tuple[int, int, int], x_lengths: Tensor | None, y_lengths: Tensor | None, slope: float
) -> None:
    """Raise where the Itakura parallelogram leaves a sample without a path."""
    count, n, m = shape
    rows = [n] * count if x_lengths is None else x_lengths.tolist()
    cols = [m] * count if y_lengths is None else y_lengths.tolist()
    _check_shapes(set(zip(rows, cols, strict=True)), slope)


def check_band_of_pairs(
    x: tuple[int, int], y: tuple[int, int], x_lengths: Tensor | None, y_lengths: Tensor | None, slope: float
) -> None:
    """As `check_band`, for all pairs of two batches of these sizes and longest lengths."""
    rows = {x[1]} if x_lengths is None else set(x_lengths.tolist())
    cols = {y[1]} if y_lengths is None else set(y_lengths.tolist())
    _check_shapes({(n, m) for n in rows for m in cols}, slope)


def _check_shapes(shapes: set[tuple[int, int]], slope: float) -> None:
    for lengths in shapes:
        if not _has_path(*lengths, slope):
            raise ValueError(
                f"itakura_max_slope={slope:g} leaves no path between series of lengths {lengths[0]} and "
                f"{lengths[1]}. Choose a larger slope."
            )


@lru_cache(maxsize=4096)
def _has_path(n: int, m: int, slope: float) -> bool:
    from ..metrics import soft_dtw

    try:
        soft_dtw(np.zeros(n), np.zeros(m), gamma=0, itakura_max_slope=slope)
    except ValueError:
        return False
    return True
