"""Where a barycenter starts from, and the weights of the series."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._resample import resample
from .._series import Array, SeriesBatch, check_single_series
from ._objective import Alignment, Floats


def check_weights(weights: Any, n_samples: int, *, name: str = "weights") -> Floats:
    """One finite weight >= 0 per series, not all of them 0; None means 1 each.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and what is accepted.
    """
    if weights is None:
        return np.ones(n_samples)
    accepted = f"{name} must be {n_samples} finite numbers >= 0, one per series"
    try:
        array = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:  # the last from tensors with a gradient
        raise TypeError(f"{accepted}. Got {weights!r}.") from error
    if array.ndim == 0 and array.dtype.kind == "f":
        array = np.full(n_samples, float(array))
    if array.shape != (n_samples,):
        raise ValueError(f"{accepted}. Got shape {array.shape}.")
    if not (np.isfinite(array).all() and (array >= 0).all()):
        raise ValueError(f"{accepted}. Got NaN, inf or a negative number.")
    if not array.any():
        raise ValueError(f"{accepted}, and one of them > 0. Got zeros only.")
    return array


def mean_length(series: SeriesBatch, weights: Floats) -> int:
    """The weighted mean of the lengths, rounded."""
    return int(np.rint(np.average(series.lengths, weights=weights)))


def starting_point(
    series: SeriesBatch, weights: Floats, init: Any, length: int | None, alignment: Alignment
) -> Floats:
    """The barycenter before the first step, (length, n_features)."""
    if init is None:
        cube = resample(series, mean_length(series, weights) if length is None else length)
        return np.asarray(np.average(cube, axis=0, weights=weights))
    if isinstance(init, str):
        if init != "medoid":
            raise ValueError(f"init must be None, 'medoid' or one series. Got {init!r}.")
        chosen = series.take([_medoid(series, weights, alignment)])
        return resample(chosen, chosen.max_length if length is None else length)[0]
    start: Array = check_single_series(init, name="init")
    if start.shape[1] != series.n_features:
        raise ValueError(
            f"init has {start.shape[1]} features per time step, but X has {series.n_features}. init is read "
            "as (n_timestamps,) or (n_timestamps, n_features)."
        )
    if length is not None and length != len(start):
        raise ValueError(f"init has {len(start)} time steps, but length={length}; pass one of them.")
    return start.astype(np.float64)


def _medoid(series: SeriesBatch, weights: Floats, alignment: Alignment) -> int:
    """The series from which the weighted sum of divergences to all series is least."""
    weighty = np.flatnonzero(weights)
    values = alignment.pairwise(series.take(weighty), None)
    # Half the self terms of the other series add the same to every candidate.
    sums = values @ weights[weighty] - 0.5 * weights[weighty].sum() * values.diagonal()
    return int(weighty[np.argmin(sums)])
