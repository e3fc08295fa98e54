"""L-BFGS that is asked for points and told values, so that many problems share one call of the engine.

An optimiser that calls the function itself has one problem evaluated at a time. Here each problem says
where it wants to be evaluated next, all of them are evaluated in one batch, and each goes on by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

ARMIJO = 1e-4
MAX_HALVINGS = 20


class Evaluation(NamedTuple):
    """One problem at one point.

    Parameters
    ----------
    value : float
    gradient : ndarray of shape (n,), float64
    scale : float
        Size, >= 0, that a decrease of the value is compared with.
    noise : float
        Size of the rounding errors of the value: smaller differences say nothing.
    """

    value: float
    gradient: Vector
    scale: float
    noise: float


class LBFGS:
    """One minimisation.

    Parameters
    ----------
    start : ndarray of shape (n,), float64
    tol : float
        Converged when a step lowers the value by less than tol times the scale of the evaluation.
    memory : int
        Number of steps that are remembered.

    Attributes
    ----------
    point, value : ndarray of shape (n,), float
        The best seen so far. The value is inf before the first evaluation.
    n_iter : int
        Number of steps taken.
    done : bool
        Whether there is nothing more to gain.

    References
    ----------
    Nocedal and Wright, Numerical Optimization, 2nd edition, 2006: algorithm 7.4 (the direction) and section
    3.5 (interpolation in the line search).
    """

    def __init__(self, start: Vector, *, tol: float, memory: int = 10) -> None:
        self.point = start
        self.value = np.inf
        self.tol = tol
        self.n_iter = 0
        self.done = False
        self._trial = start
        self._pairs: deque[tuple[Vector, Vector, float]] = deque(maxlen=memory)
        self._inverse_curvature = 0.0  # of the last step: what the direction starts from

    def ask(self) -> Vector:
        """The point to evaluate."""
        return self._trial

    def tell(self, at: Evaluation) -> bool:
        """Take in the evaluation of the point asked for; returns whether a step was made."""
        if self.value == np.inf:
            self._accept(at)
            return False
        step = self._trial - self.point
        decrease = self.value - at.value
        if decrease < ARMIJO * -self._slope * self._length:
            self._shorten(decrease)
            return False
        self._remember(step, at.gradient - self._gradient)
        self.n_iter += 1
        self._accept(at, decrease)
        return True

    def restart(self) -> None:
        """Go on from here with another function that resembles the first: its values are forgotten."""
        self.value = np.inf
        self.done = False
        self._trial = self.point
        self._pairs.clear()

    def _accept(self, at: Evaluation, decrease: float = np.inf) -> None:
        self.point, self.value, self._gradient, self._noise = self._trial, at.value, at.gradient, at.noise
        norm = float(at.gradient @ at.gradient)
        self.done = norm == 0 or decrease <= max(self.tol * at.scale, at.noise)
        if self._inverse_curvature == 0 and norm > 0:
            # First guess: the step that would lose the whole scale if the function were linear.
            self._inverse_curvature = max(at.scale, at.noise) / norm
        self._aim()

    def _aim(self) -> None:
        """Choose a direction and the first trial along it."""
        direction = self._direction()
        slope = float(self._gradient @ direction)
        if not slope < 0:  # rounding, or a function with kinks, has spoiled the memory
            self._pairs.clear()
            direction = -self._inverse_curvature * self._gradient
            slope = float(self._gradient @ direction)
        self._step, self._slope, self._length, self._halvings = direction, slope, 1.0, 0
        self._trial = self.point + direction

    def _shorten(self, decrease: float) -> None:
        self._halvings += 1
        predicted = -self._slope * self._length
        if self._halvings > MAX_HALVINGS or predicted <= self._noise:
            if not self._pairs or predicted <= self._noise:
                self.done = True
                return
            self._pairs.clear()
            self._aim()
            return
        # The parabola through value, slope and the trial's value has its minimum here, if it curves upward.
        curvature = 2 * (predicted - decrease)
        factor = predicted / curvature if np.isfinite(decrease) else 0.1
        self._length *= min(max(factor, 0.1), 0.5)
        if not self._pairs and self.n_iter == 0:
            self._inverse_curvature *= min(max(factor, 0.1), 0.5)
        self._trial = self.point + self._length * self._step

    def _remember(self, step: Vector, change: Vector) -> None:
        curvature = float(step @ change)
        size = float(change @ change)
        if curvature > 1e-10 * np.sqrt(size * float(step @ step)):
            self._pairs.append((step, change, 1.0 / curvature))
            self._inverse_curvature = curvature / size

    def _direction(self) -> Vector:
        direction = -self._gradient
        shares = []
        for step, change, rho in reversed(self._pairs):
            share = rho * float(step @ direction)
            shares.append(share)
            direction = direction - share * change
        direction = direction * self._inverse_curvature
        for (step, change, rho), share in zip(self._pairs, reversed(shares), strict=True):
            direction = direction + (share - rho * float(change @ direction)) * step
        return direction


def minimise(
    problems: Sequence[LBFGS],
    evaluate: Callable[[list[int], list[Vector]], list[Evaluation]],
    *,
    max_iter: int,
    on_step: Callable[[int], None] | None = None,
) -> None:
    """Run problems side by side until each is done or has made max_iter more steps.

    Parameters
    ----------
    problems : sequence of LBFGS
    evaluate : callable
        (numbers of problems, their points) -> their evaluations.
    max_iter : int
    on_step : callable, optional
        Called with the number of a problem after each of its steps, and after its first evaluation.
    """
    last = [problem.n_iter + max_iter for problem in problems]
    while True:
        active = [
            i
            for i, problem in enumerate(problems)
            if not problem.done and (problem.n_iter < last[i] or problem.value == np.inf)
        ]
        if not active:
            return
        for i, at in zip(active, evaluate(active, [problems[i].ask() for i in active]), strict=True):
            first = problems[i].value == np.inf
            if (problems[i].tell(at) or first) and on_step is not None:
                on_step(i)
