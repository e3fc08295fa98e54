"""What a warping problem is made of: signals, times, knots, bounds, read from what users pass."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._series import SeriesBatch, check_series, check_single_series, is_list

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MODES = ("endpoint", "subsequence")
LOSSES = {"l2": 0, "l1": 1, "huber": 2}
INTERPOLATIONS = ("linear", "cubic")


@dataclass(frozen=True)
class Penalty:
    """A loss by name; `delta` is where Huber's turns from a square into a line."""

    name: str
    delta: float

    @property
    def code(self) -> int:
        return LOSSES[self.name]


@dataclass(frozen=True, eq=False)
class Signals:
    """Signals of any lengths, one after the other, float64, each with the times of its samples."""

    values: Floats
    times: Floats
    offsets: Integers

    @property
    def lengths(self) -> Integers:
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def part(self, index: int) -> slice:
        """Rows of one signal."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))


@dataclass(frozen=True, eq=False)
class Problem:
    """Pairs of signals, flat: `targets` holds y at the knots, other arrays one number for each knot."""

    sources: Signals
    targets: Signals
    low: Floats
    high: Floats
    slope_min: Floats
    slope_max: Floats
    reg: Floats
    cumulative: Floats
    is_endpoint: bool
    data: Penalty
    penalty: Penalty
    slopes: Floats | None = None


def is_tensor(*values: Any) -> bool:
    """Whether one of these is a torch tensor, or a list of tensors."""
    firsts = [value[0] if is_list(value) and len(value) else value for value in values]
    return any(type(value).__module__.split(".")[0] == "torch" for value in firsts)


def from_zero(problem: Problem) -> tuple[Problem, Floats]:
    """The same with every source beginning at time 0, and what that takes off the warp at each knot.

    Times like seconds since 1970 would cost half of the digits.
    """
    sources, targets = problem.sources, problem.targets
    first = sources.times[sources.offsets[:-1]]
    rows, knots = np.repeat(first, sources.lengths), np.repeat(first, targets.lengths)
    moved = replace(sources, times=sources.times - rows)
    return replace(problem, sources=moved, low=problem.low - knots, high=problem.high - knots), knots


def check_choice(value: Any, name: str, choices: tuple[str, ...]) -> str:
    """One of some strings."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}. Got {value!r}.")
    return value


def check_knot_count(knots: Any) -> int:
    """A number of knots."""
    if not 2 <= int(knots) < 2**31:
        raise ValueError(f"knots must be at least 2, and less than 2^31. Got {knots!r}.")
    return int(knots)


def check_penalty(name: Any, delta: Any, argument: str) -> Penalty:
    """A loss and its delta."""
    check_choice(name, argument, tuple(LOSSES))
    if getattr(delta, "requires_grad", False):
        raise ValueError("The delta of Huber's loss is a number: there is no gradient with respect to it.")
    prefix = "reg_" if argument == "reg_loss" else ""
    numbers = read_numbers(delta, f"{prefix}huber_delta")
    number = float(numbers) if numbers.ndim == 0 else math.nan
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f"{prefix}huber_delta must be a finite number > 0. Got {delta!r}.")
    if name != "huber" and number != 1:
        raise ValueError(f"{prefix}huber_delta={delta!r} is of {argument}='huber'. Got {argument}={name!r}.")
    return Penalty(str(name), number)


def read_numbers(values: Any, name: str) -> Floats:
    """Numbers of any shape, float64."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} must be made of numbers. Got {values!r}.") from None


def check_alike(x: tuple[int, int, bool], y: tuple[int, int, bool]) -> None:
    """Numbers of signals and of features, and whether there is no axis of pairs: the same for both."""
    if x[0] != y[0] or x[2] != y[2]:
        raise ValueError(
            f"x has {x[0]} and y {y[0]} signals; pass as many of both, and both with or both without the "
            "axis of pairs."
        )
    if x[1] != y[1]:
        raise ValueError(f"x has {x[1]} features per time step, but y has {y[1]}.")


def check_smooth(interpolation: str, data: Penalty, penalty: Penalty, cumulative: Floats) -> None:
    """Raise where absolute values would put kinks into what cubics are to keep smooth."""
    if interpolation == "cubic" and (data.name == "l1" or (penalty.name == "l1" and (cumulative > 0).any())):
        raise ValueError(
            "interpolation='cubic' needs loss 'l2' or 'huber', and reg_cumulative no reg_loss='l1'."
        )


def read_signals(x: Any, times: Any, lengths: Any, name: str) -> tuple[Signals, bool, np.dtype[Any]]:
    """Signals with their times; whether it was a single one; and the dtype that they came in."""
    if is_list(x):  # of numbers, or of signals
        single = len(x) > 0 and all(np.ndim(one) == 0 for one in x)
    else:
        single = getattr(x, "ndim", np.ndim(x)) <= 2
    if single:
        one = check_single_series(x, name=name)
        batch = SeriesBatch(one, np.array([0, len(one)]))
    else:
        batch = check_series(x, name=name)
    batch = _cut(batch, lengths, f"{name}_lengths")
    check_samples(int(batch.lengths.min()), name)
    flat = _read_times(times, batch.lengths, f"{name}_times")
    values = np.ascontiguousarray(batch.values, np.float64)
    return Signals(values, flat, batch.offsets), single, batch.dtype


def _cut(batch: SeriesBatch, lengths: Any, name: str) -> SeriesBatch:
    if lengths is None:
        return batch
    wanted = read_lengths(lengths, len(batch), name, most=batch.lengths)
    return SeriesBatch.from_arrays(
        [one[:length] for one, length in zip(batch.to_list(), wanted, strict=True)]
    )


def check_samples(fewest: int, name: str) -> None:
    """Raise where a signal is too short for a warp."""
    if fewest < 2:
        raise ValueError(f"{name} has a signal of one sample; a signal needs two samples or more.")


def read_lengths(lengths: Any, n: int, name: str, *, least: int = 2, most: Any = None) -> Integers:
    """One integer for each of n series, from an array-like."""
    try:
        given = np.asarray(lengths)
    except ValueError:  # rows of different lengths
        given = np.empty((0, 0))
    check_lengths(given, lengths, n, name, least=least, most=most)
    return np.broadcast_to(given, n)


def check_lengths(
    given: Any, lengths: Any, n: int, name: str, *, least: int = 2, most: Any = None, look: bool = True
) -> None:
    """Raise unless an array or a tensor is one integer for all of n series, or one for each.

    `lengths` is what the user passed, `most` the number of samples that there are; with look=False the values
    are not looked at.
    """
    is_integer = "int" in getattr(given.dtype, "name", str(given.dtype))
    if is_integer and tuple(given.shape) in ((), (n,)):
        inside = not look or not (given < least).any()
        if inside and (not look or most is None or not (given > most).any()):
            return
    hint = " (of signals in two axes there is one; several have three axes, or are a list)" if n == 1 else ""
    limit = "" if most is None else " and at most the number of samples"
    raise ValueError(
        f"{name} must be one integer, or one for each of {n} series{hint}, at least {least}{limit}. "
        f"Got {lengths!r}."
    )


def _read_times(times: Any, lengths: Integers, name: str) -> Floats:
    if times is None:
        return np.concatenate([np.linspace(0.0, 1.0, int(length)) for length in lengths])
    rows = read_rows(times, lengths, name)
    for row in rows:
        if not np.isfinite(row).all():
            raise ValueError(f"{name} has NaN or inf.")
        if (np.diff(row) <= 0).any():
            raise ValueError(f"{name} must increase from sample to sample, without duplicates.")
    return np.concatenate(rows)


def read_rows(values: Any, lengths: Integers, name: str) -> list[Floats]:
    """One row of numbers for each signal: from a list, a padded table, one row for all, or one number."""
    n = len(lengths)
    if is_list(values) and len(values) and np.ndim(values[0]) > 0:
        rows = [read_numbers(row, name) for row in values]
    else:
        table = read_numbers(values, name)
        if table.ndim == 0 or table.shape in ((1,), (n, 1)):
            table = np.broadcast_to(table.reshape(-1, 1), (n, int(lengths.max())))
        rows = [table] * n if table.ndim == 1 else list(table)
    if len(rows) != n:
        raise ValueError(f"{name} has {len(rows)} rows, but there are {n} signals.")
    longest = int(lengths.max())
    for row, length in zip(rows, lengths, strict=True):
        if row.ndim != 1 or len(row) not in (length, longest):
            raise ValueError(f"{name} has a row of shape {row.shape}, but its signal needs {length} numbers.")
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]


def read_weights(values: Any, n: int, name: str) -> Floats:
    """One number >= 0 for all pairs, or one for each."""
    table = read_numbers(values, name)
    if table.shape not in ((), (1,), (n,), (n, 1)):
        raise ValueError(f"{name} must be a number or one for each of {n} pairs. Got shape {table.shape}.")
    if not np.isfinite(table).all() or (table < 0).any():
        raise ValueError(f"{name} must be finite and >= 0. Got {values!r}.")
    return np.ascontiguousarray(np.broadcast_to(table.reshape(-1), n))


def read_targets(y: Signals, knots: Any) -> Signals:
    """The target at the knots of the warp: by default at its own samples, else interpolated."""
    if knots is None:
        return y
    if isinstance(knots, (bool, np.bool_)) or (
        np.ndim(knots) == 0 and np.asarray(knots).dtype.kind not in "iu"
    ):
        raise ValueError(f"knots must be None, a number of knots, or their times. Got {knots!r}.")
    n = len(y)
    first, last = y.times[y.offsets[:-1]], y.times[y.offsets[1:] - 1]
    if np.ndim(knots) == 0:
        rows = list(np.linspace(first, last, check_knot_count(knots), axis=1))
    else:
        count = [len(row) for row in knots] if len(knots) and np.ndim(knots[0]) else [len(knots)] * n
        rows = read_rows(knots, np.asarray(count), "knots")
        for row, start, end in zip(rows, first, last, strict=True):
            if len(row) < 2 or not np.isfinite(row).all() or (np.diff(row) <= 0).any():
                raise ValueError("knots must be two or more finite times that increase.")
            slack = 1e-9 * (end - start)
            if abs(row[0] - start) > slack or abs(row[-1] - end) > slack:
                raise ValueError("knots must begin at the first and end at the last of y_times.")
    values = [
        np.stack([np.interp(row, y.times[y.part(i)], column) for column in y.values[y.part(i)].T], axis=1)
        for i, row in enumerate(rows)
    ]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Signals(np.concatenate(values), np.concatenate(rows), offsets)


def read_slopes(values: Any, lengths: Integers, default: float, name: str) -> Floats:
    """Bounds of the slope, one for each step between knots, and one more that is not used."""
    if values is None:
        return np.full(int(lengths.sum()), default)
    rows = read_rows(values, lengths - 1, name)
    for row in rows:
        if np.isnan(row).any() or (row < 0).any():
            raise ValueError(f"{name} must be >= 0. Got {values!r}.")
    return np.concatenate([np.append(row, default) for row in rows])


def read_bounds(
    x: Signals, knots: Signals, band: Any, band_lower: Any, band_upper: Any
) -> tuple[Floats, Floats]:
    """Bounds of the warp at every knot: the band around the line of mean slope, and what is given."""
    low, high = np.full(len(knots.times), -np.inf), np.full(len(knots.times), np.inf)
    if band is not None:
        widths = read_numbers(band, "band")
        if not np.isfinite(widths).all() or (widths < 0).any():
            raise ValueError(f"band must be finite and >= 0. Got {band!r}.")
        if widths.ndim == 0 or widths.shape == (len(x),):
            widths = widths.reshape(-1, 1)
        if widths.ndim != 2 or widths.shape[0] not in (1, len(x)):
            raise ValueError(
                f"band must be a number, or of shape ({len(x)},) or ({len(x)}, n_values). Got {widths.shape}."
            )
        widths = np.broadcast_to(widths, (len(x), widths.shape[1]))
        for i in range(len(x)):
            part = knots.part(i)
            source, place = x.times[x.part(i)], knots.times[part] - knots.times[part][0]
            share = place / place[-1]
            length = source[-1] - source[0]
            width = length * np.interp(share, np.linspace(0, 1, widths.shape[1]), widths[i])
            low[part], high[part] = source[0] + length * share - width, source[0] + length * share + width
    for values, bound, name in ((band_lower, low, "band_lower"), (band_upper, high, "band_upper")):
        if values is None:
            continue
        flat = np.concatenate(read_rows(values, knots.lengths, name))
        if np.isnan(flat).any():
            raise ValueError(f"{name} has NaN.")
        (np.maximum if bound is low else np.minimum)(bound, flat, out=bound)
    return low, high


def check_slopes(slope_min: Floats, slope_max: Floats) -> None:
    """Raise where the bounds of a slope contradict each other."""
    if (slope_min > slope_max).any():
        raise ValueError("slope_min is greater than slope_max: no warp has such a slope.")


def pchip_slopes(signals: Signals) -> Floats:
    """Slopes of the monotone cubic interpolant, at every sample of every signal."""
    from scipy.interpolate import PchipInterpolator

    rows = []
    for i in range(len(signals)):
        part = signals.part(i)
        times = signals.times[part]
        rows.append(PchipInterpolator(times, signals.values[part], axis=0).derivative()(times))
    return np.ascontiguousarray(np.concatenate(rows))


def make_problem(
    x: Any,
    y: Any,
    *,
    x_times: Any,
    y_times: Any,
    reg: Any,
    reg_cumulative: Any,
    mode: str,
    slope_min: Any,
    slope_max: Any,
    band: Any,
    band_lower: Any,
    band_upper: Any,
    knots: Any,
    loss: str,
    huber_delta: float,
    reg_loss: str,
    reg_huber_delta: float,
    interpolation: str,
    x_lengths: Any,
    y_lengths: Any,
) -> tuple[Problem, bool, np.dtype[Any]]:
    """Read everything. Also whether it is a single pair, and the dtype of the result."""
    check_choice(mode, "mode", MODES)
    check_choice(interpolation, "interpolation", INTERPOLATIONS)
    data = check_penalty(loss, huber_delta, "loss")
    penalty = check_penalty(reg_loss, reg_huber_delta, "reg_loss")
    sources, single_x, dtype_x = read_signals(x, x_times, x_lengths, "x")
    samples, single_y, dtype_y = read_signals(y, y_times, y_lengths, "y")
    check_alike(
        (len(sources), sources.values.shape[1], single_x), (len(samples), samples.values.shape[1], single_y)
    )
    targets = read_targets(samples, knots)
    low, high = read_bounds(sources, targets, band, band_lower, band_upper)
    least = read_slopes(slope_min, targets.lengths, 0.0, "slope_min")
    greatest = read_slopes(slope_max, targets.lengths, np.inf, "slope_max")
    check_slopes(least, greatest)
    cumulative = read_weights(reg_cumulative, len(sources), "reg_cumulative")
    check_smooth(interpolation, data, penalty, cumulative)
    problem = Problem(
        sources,
        targets,
        low,
        high,
        least,
        greatest,
        read_weights(reg, len(sources), "reg"),
        cumulative,
        mode == "endpoint",
        data,
        penalty,
        pchip_slopes(sources) if interpolation == "cubic" else None,
    )
    return problem, single_x, np.result_type(dtype_x, dtype_y)
