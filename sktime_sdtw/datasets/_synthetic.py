"""Random series of known structure."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from .._series import Array, check_single_series
from ..metrics._numbers import check_count, check_number


def make_cylinder_bell_funnel(
    n_samples: int = 30, *, length: int = 128, noise: float = 1.0, random_state: Any = None
) -> tuple[Array, Array]:
    """Make the three classes of shapes of Saito: a plateau, a ramp up, a ramp down, at random times.

    Parameters
    ----------
    n_samples : int, default=30
        Number of series; the classes take turns.
    length : int, default=128
        Number of time steps; the times of onset and end scale with it.
    noise : float, default=1.0
        Standard deviation of the noise of every time step. The height of the shapes is 6 plus a standard
        normal number.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same series again.

    Returns
    -------
    X : ndarray of shape (n_samples, length), float64
    y : ndarray of shape (n_samples,), int64
        0 cylinder, 1 bell, 2 funnel.

    Raises
    ------
    ValueError
        If `n_samples` or `length` is not positive, or `noise` is negative.

    References
    ----------
    Saito, N. (1994). Local feature extraction and its applications using a library of bases. PhD thesis,
    Yale.

    Examples
    --------
    >>> from sktime_sdtw.datasets import make_cylinder_bell_funnel
    >>> X, y = make_cylinder_bell_funnel(6, random_state=0)
    >>> X.shape, y
    ((6, 128), array([0, 1, 2, 0, 1, 2]))
    """
    check_count(n_samples, "n_samples", 1)
    check_count(length, "length", 1)
    check_number(noise, "noise", 0)
    rng = check_random_state(random_state)
    y = np.arange(n_samples) % 3
    onset = rng.uniform(16, 32, size=(n_samples, 1)) * length / 128
    duration = rng.uniform(32, 96, size=(n_samples, 1)) * length / 128
    height = 6 + rng.normal(size=(n_samples, 1))
    phase = (np.arange(length) - onset) / duration  # 0 at the onset, 1 at the end
    shape = np.select([y[:, None] == 0, y[:, None] == 1], [np.ones_like(phase), phase], 1 - phase)
    X = np.where((phase >= 0) & (phase <= 1), height * shape, 0.0)
    return X + noise * rng.normal(size=X.shape), y


class WarpedSeries(NamedTuple):
    """What `make_warped` returns with ``return_warps=True``.

    Parameters
    ----------
    X : ndarray of shape (n_samples, length, n_features), or list of (n_timestamps_i, n_features) arrays
    y : ndarray of shape (n_samples,), int64
    warps : list of ndarray of shape (n_timestamps_i,)
        Time in the template, from 0 to 1, of every time step of every series.
    """

    X: Any
    y: Array
    warps: list[Array]


@overload
def make_warped(
    n_samples: int = ...,
    *,
    length: int | tuple[int, int] = ...,
    n_classes: int = ...,
    n_features: int = ...,
    warp: float = ...,
    noise: float = ...,
    random_state: Any = ...,
    return_warps: Literal[False] = ...,
) -> tuple[Any, Array]: ...


@overload
def make_warped(
    n_samples: int = ...,
    *,
    length: int | tuple[int, int] = ...,
    n_classes: int = ...,
    n_features: int = ...,
    warp: float = ...,
    noise: float = ...,
    random_state: Any = ...,
    return_warps: Literal[True],
) -> WarpedSeries: ...


def make_warped(
    n_samples: int = 30,
    *,
    length: int | tuple[int, int] = 100,
    n_classes: int = 3,
    n_features: int = 1,
    warp: float = 0.5,
    noise: float = 0.05,
    random_state: Any = None,
    return_warps: bool = False,
) -> tuple[Any, Array] | WarpedSeries:
    """Make classes of smooth shapes whose members differ by a warping of time, and noise.

    Class k has a template, ``sin(2π (k + 1) s)`` with one phase per feature, over the time s from 0 to 1. A
    series is its template at the warped times ``s + warp·a·sin(2πs)/(2π)``, with a random a between -1 and 1:
    the ends stay in place, time never runs backwards as long as `warp` is less than 1.

    Parameters
    ----------
    n_samples : int, default=30
        Number of series; the classes take turns.
    length : int or tuple of (int, int), default=100
        Number of time steps of all series, or the smallest and largest number for series of different
        lengths.
    n_classes : int, default=3
        Number of templates.
    n_features : int, default=1
        Number of features; their phases are spread over a quarter of a turn.
    warp : float, default=0.5
        Strength of the warping, from 0 for none to less than 1.
    noise : float, default=0.05
        Standard deviation of the noise of every time step.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same series again.
    return_warps : bool, default=False
        Whether to return the warped times too, the true alignment to the templates.

    Returns
    -------
    X : ndarray of shape (n_samples, length, n_features), or list of arrays, float64
        The list, of arrays of shape (n_timestamps_i, n_features), if `length` is a tuple.
    y : ndarray of shape (n_samples,), int64
        Number of the template, from 0.
    warps : list of ndarray of shape (n_timestamps_i,)
        Time in the template of every time step, from 0 to 1. Only if `return_warps`.

    Raises
    ------
    ValueError
        If a number is not positive, `noise` is negative, or `warp` is outside [0, 1).

    Examples
    --------
    >>> from sktime_sdtw.datasets import make_warped
    >>> X, y = make_warped(4, length=50, n_features=2, random_state=0)
    >>> X.shape
    (4, 50, 2)
    >>> X, y = make_warped(3, length=(20, 60), random_state=0)
    >>> [len(series) for series in X]
    [20, 31, 59]
    """
    ends = length if isinstance(length, tuple) else (length, length)
    if len(ends) != 2:
        raise ValueError(f"length must be an int or (smallest, largest). Got {length!r}.")
    shortest, longest = (check_count(end, "length", 1) for end in ends)
    if longest < shortest:
        raise ValueError(f"length must be an int or (smallest, largest). Got {length!r}.")
    counts = {"n_samples": n_samples, "n_classes": n_classes, "n_features": n_features}
    for name, count in counts.items():
        check_count(count, name, 1)
    check_number(noise, "noise", 0)
    if check_number(warp, "warp", 0) >= 1:
        raise ValueError(f"warp must be in [0, 1). Got {warp!r}.")
    rng = check_random_state(random_state)
    y = np.arange(n_samples) % n_classes
    phases = np.pi / 2 * np.arange(n_features) / n_features
    series, warps = [], []
    for label in y:
        s = np.linspace(0, 1, rng.randint(shortest, longest + 1))
        s = s + warp * rng.uniform(-1, 1) * np.sin(2 * np.pi * s) / (2 * np.pi)
        template = np.sin(2 * np.pi * (label + 1) * s[:, None] + phases)
        series.append(template + noise * rng.normal(size=template.shape))
        warps.append(s)
    X: Any = series if isinstance(length, tuple) else np.stack(series)
    return WarpedSeries(X, y, warps) if return_warps else (X, y)


def make_stretched(
    template: ArrayLike, n_samples: int = 10, *, max_repeat: int = 4, random_state: Any = None
) -> tuple[list[Array], list[Array]]:
    """Repeat every time step of a template a random number of times: series at DTW 0 from it.

    A test of elastic distances with an answer that is known exactly: DTW between the template and every
    series is 0 for every cost that is 0 between equal values, and the path that says so is the returned one.

    Parameters
    ----------
    template : array-like of shape (n_timestamps,) or (n_timestamps, n_features)
        The series to repeat.
    n_samples : int, default=10
        Number of series.
    max_repeat : int, default=4
        A time step occurs between once and so many times.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same series again.

    Returns
    -------
    X : list of ndarray of shape (n_timestamps_i,) or (n_timestamps_i, n_features)
        Series of different lengths, float32 or float64.
    sources : list of ndarray of shape (n_timestamps_i,), int64
        The time step of the template that each time step repeats.

    Raises
    ------
    ValueError
        If `template` is no series, or a number is not positive.

    Examples
    --------
    >>> from sktime_sdtw import dtw
    >>> from sktime_sdtw.datasets import make_stretched
    >>> X, sources = make_stretched([1.0, 5.0, 2.0], 1, random_state=0)
    >>> X[0]
    array([1., 5., 5., 5., 5., 2., 2.])
    >>> dtw(X[0], [1.0, 5.0, 2.0])
    0.0
    """
    check_count(n_samples, "n_samples", 1)
    check_count(max_repeat, "max_repeat", 1)
    values = check_single_series(template, name="template")
    flat = np.ndim(template) == 1
    rng = check_random_state(random_state)
    sources = [
        np.repeat(np.arange(len(values)), rng.randint(1, max_repeat + 1, size=len(values)))
        for _ in range(n_samples)
    ]
    return [values[source][:, 0] if flat else values[source] for source in sources], sources
