"""The optimal continuous-time warp of one signal onto another: `gdtw`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ._problem import from_zero, is_tensor, make_problem
from ._result import GDTWResult, pack, take_first
from ._solver import check_search, finer_grid, solve


def gdtw(
    x: Any,
    y: Any,
    *,
    x_times: Any = None,
    y_times: Any = None,
    reg: Any = 0.1,
    reg_cumulative: Any = 0.0,
    mode: str = "endpoint",
    slope_min: Any = 0.0,
    slope_max: Any = None,
    band: Any = None,
    band_lower: Any = None,
    band_upper: Any = None,
    knots: Any = None,
    loss: str = "l2",
    huber_delta: float = 1.0,
    reg_loss: str = "l2",
    reg_huber_delta: float = 1.0,
    interpolation: str = "linear",
    x_lengths: Any = None,
    y_lengths: Any = None,
    n_grid: int | None = None,
    exact: bool = False,
    return_gap: bool = False,
    n_jobs: int | None = None,
    device: str | list[str] = "auto",
) -> GDTWResult:
    r"""Warp the time of a signal so that it follows another: continuous-time dynamic time warping.

    The warp :math:`\varphi` gives every time of the *target* y a time of the *source* x, such that
    :math:`x(\varphi(t)) \approx y(t)`.

    Parameters
    ----------
    x : array-like of shape (n,), (n, n_features) or (n_pairs, n, n_features), or list of signals
        The sources, which are read at the warped times. NumPy arrays or torch tensors; the latter are
        differentiated through.
    y : array-like of shape (m,), (m, n_features) or (n_pairs, m, n_features), or list of signals
        The targets.
    x_times, y_times : array-like of shape (n,) or (n_pairs, n), or list, default=None
        Times of the samples, increasing. None spreads each signal evenly over [0, 1].
    reg : float or array-like of shape (n_pairs,), default=0.1
        Weight of the penalty on the slope, >= 0.
    reg_cumulative : float or array-like of shape (n_pairs,), default=0.0
        Weight of the penalty on the distance from the warp of mean slope, >= 0.
    mode : {"endpoint", "subsequence"}, default="endpoint"
        Whether the ends of y must meet the ends of x, or y may lie anywhere in x.
    slope_min, slope_max : float, or array-like of shape (n_knots - 1,) or (n_pairs, n_knots - 1)
        Bounds of the slope of the warp in each step, as multiples of the mean slope. Defaults 0.0 and None,
        no upper bound.
    band : float or array-like of shape (n_pairs,) or (n_pairs, n_values), default=None
        Largest distance from the line of mean slope, as a fraction of the duration of x. Several values are
        spread evenly over the duration of y, and interpolated.
    band_lower, band_upper : float or array-like of shape (n_knots,) or (n_pairs, n_knots), default=None
        Bounds of the warp at each knot, as times of x.
    knots : int or array-like of shape (n_knots,) or (n_pairs, n_knots), default=None
        Times of y at which the warp is free; in between it is linear. A number spreads so many evenly. None
        takes `y_times`.
    loss : {"l2", "l1", "huber"}, default="l2"
        Penalty of each feature of x(phi(t)) - y(t): the square, the absolute value, or the square up to
        `huber_delta` and its tangent beyond.
    huber_delta : float, default=1.0
        For ``loss="huber"``.
    reg_loss : {"l2", "l1", "huber"}, default="l2"
        Penalty of the slope, minus the mean slope, and of the distance that `reg_cumulative` weighs.
    reg_huber_delta : float, default=1.0
        For ``reg_loss="huber"``.
    interpolation : {"linear", "cubic"}, default="linear"
        How x is read between samples. "cubic" is the monotone cubic interpolant, whose slope has no jumps.
    x_lengths, y_lengths : array-like of shape (n_pairs,), default=None
        Number of samples of each signal in a padded array. NaN after the end says the same.
    n_grid : int, default=None
        Points of the grid on which the search starts. None takes what is good for the lengths: no grid where
        n times m is at most 8192, for there the search is exact; see Notes.
    exact : bool, default=False
        Whether to search all warps of signals of any length: the result is the best there is. Signals of 256
        samples take about ten times as long, those of 512 about a hundred times. On the CPU, and with linear
        interpolation.
    return_gap : bool, default=False
        Whether to search again on a grid four times as fine and tell the difference.
    n_jobs : int, default=None
        Number of threads, over the pairs.
    device : {"auto", "cpu", "cuda", "cuda:<i>", "cuda:all"} or list, default="auto"
        Where to compute. Tensors are computed where they lie.

    Returns
    -------
    GDTWResult
        With the warps in `values`, their knots in `times`, and `objective`. float32 where both signals are
        float32, or tensors of half types; else float64.

    Raises
    ------
    ValueError
        Bad input, by name, or constraints that leave no warp.

    See Also
    --------
    dtw_path : The discrete alignment.
    GDTWAligner : The same as an estimator.

    Notes
    -----
    With knots :math:`t_i`, steps :math:`h_i`, trapezoid weights :math:`w_i`, mean slope :math:`s` (the ratio
    of the durations for "endpoint", 1 for "subsequence") and :math:`g_i` the warp of mean slope, minimised is

    .. math::

       \sum_i w_i \sum_c \ell(x_c(\varphi_i) - y_c(t_i))
       + \lambda \sum_i h_i\, \rho\left(\frac{\varphi_{i+1} - \varphi_i}{h_i} - s\right)
       + \mu \sum_i w_i\, \rho(\varphi_i - g_i).

    The problem is not convex: there are minima that are not the best.

    * With ``interpolation="linear"``, where n times m is at most 8192 (times ``1 + n_features`` for other
      losses than "l2"), or with ``exact=True``, the result is the **global optimum**, up to rounding: the
      cost of the first knots, as a function of where the last of them is, is quadratic piece by piece, and
      dynamic programming over such functions leaves no warp out.
    * Else it is a **local optimum**, the best near what a search on a grid found; more than 1024 knots begin
      with fewer of them. There may be a better one elsewhere; `return_gap` tells whether a finer grid finds
      one, ``exact=True`` whether there is any.

    References
    ----------
    D. Deriso, S. Boyd. A general optimization framework for dynamic time warping. arXiv:1905.12893.

    M. Xu, S. Garg, M. Milford, S. Gould. Deep declarative dynamic time warping for end-to-end learning of
    alignment paths. ICLR 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw import gdtw
    >>> t = np.linspace(0, 1, 100)
    >>> x, y = np.sin(9 * t**2), np.sin(9 * t)
    >>> warp = gdtw(x, y, reg=1e-4)
    >>> bool(abs(warp.values - np.sqrt(t))[10:].max() < 0.02)
    True
    """
    options: dict[str, Any] = {name: value for name, value in locals().items() if name not in ("x", "y")}
    if is_tensor(x, y):
        from ._torch import gdtw_torch

        return gdtw_torch(x, y, **options)
    for name, value in options.items():
        if getattr(value, "requires_grad", False):
            raise TypeError(f"{name} is a tensor that requires grad, but x and y are arrays: pass tensors.")
    options.pop("device")
    finest, n_jobs = options.pop("return_gap"), options.pop("n_jobs")
    n_grid = check_search(options.pop("n_grid"), options.pop("exact"), interpolation)
    problem, single, dtype = make_problem(x, y, **options)
    problem, origin = from_zero(problem)
    solution = solve(problem, n_grid, n_jobs=n_jobs, device=device)
    gap = None
    if finest:
        points = finer_grid(n_grid, int(problem.sources.lengths.max()))
        finer = solve(problem, points, n_jobs=n_jobs, device=device)
        gap = np.maximum(solution.objective - finer.objective, 0.0)
    result = pack(problem, replace(solution, warp=solution.warp + origin), dtype)
    result = replace(result, gap=gap)
    return take_first(result) if single else result
