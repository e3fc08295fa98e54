"""Continuous-time warping by the plainest means: the objective as written, a full table, a general solver."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import minimize


def penalty(r, kind, delta):
    size = np.abs(r)
    if kind == "l1":
        return size
    return np.where((kind == "l2") | (size <= delta), r * r, delta * (2 * size - delta))


@dataclass
class Case:
    x: np.ndarray
    y: np.ndarray
    x_times: np.ndarray
    y_times: np.ndarray
    options: dict = field(default_factory=dict)

    def __post_init__(self):
        o = {
            "reg": 0.1,
            "reg_cumulative": 0.0,
            "mode": "endpoint",
            "loss": "l2",
            "huber_delta": 1.0,
            "reg_loss": "l2",
            "reg_huber_delta": 1.0,
            "slope_min": 0.0,
            "slope_max": None,
            "band": None,
            "interpolation": "linear",
            **self.options,
        }
        self.o = o
        tau, t = self.x_times, self.y_times
        self.slope = (tau[-1] - tau[0]) / (t[-1] - t[0]) if o["mode"] == "endpoint" else 1.0
        self.steps = np.diff(t)
        self.weights = np.convolve(self.steps, [0.5, 0.5])
        self.weights[0], self.weights[-1] = self.steps[0] / 2, self.steps[-1] / 2
        self.low = np.full(len(t), tau[0])
        self.high = np.full(len(t), tau[-1])
        if isinstance(o["band"], float):
            length = tau[-1] - tau[0]
            line = tau[0] + length * (t - t[0]) / (t[-1] - t[0])
            self.low = np.maximum(self.low, line - o["band"] * length)
            self.high = np.minimum(self.high, line + o["band"] * length)
        if o["mode"] == "endpoint":
            self.low[-1], self.high[0] = tau[-1], tau[0]
        most = np.inf if o["slope_max"] is None else o["slope_max"]
        self.least, self.most = o["slope_min"] * self.slope * self.steps, most * self.slope * self.steps
        self.cubic = PchipInterpolator(tau, self.x, axis=0) if o["interpolation"] == "cubic" else None

    def read(self, warp):
        if self.cubic is not None:
            return self.cubic(warp)
        return np.stack([np.interp(warp, self.x_times, column) for column in self.x.T], axis=-1)

    def nodes(self, warp, i=slice(None)):
        """Costs of knots i at times warp."""
        o, t = self.o, self.y_times
        data = penalty(self.read(warp) - self.y[i], o["loss"], o["huber_delta"]).sum(-1)
        line = self.x_times[0] + self.slope * (t[i] - t[0])
        return self.weights[i] * (
            data + o["reg_cumulative"] * penalty(warp - line, o["reg_loss"], o["reg_huber_delta"])
        )

    def links(self, rises, i=slice(None)):
        o = self.o
        deviation = rises / self.steps[i] - self.slope
        return o["reg"] * self.steps[i] * penalty(deviation, o["reg_loss"], o["reg_huber_delta"])

    def objective(self, warp):
        return self.nodes(warp).sum() + self.links(np.diff(warp)).sum()

    def violation(self, warp):
        rises = np.diff(warp)
        return max(
            np.max(self.low - warp),
            np.max(warp - self.high),
            np.max(self.least - rises),
            np.max(rises - self.most),
        )

    def search(self, n_grid=201):
        """The best warp on a grid over the whole source, by a table of all pairs of grid points."""
        grid = np.linspace(self.x_times[0], self.x_times[-1], n_grid)
        slack = 1e-9 * (grid[-1] - grid[0])
        rises = grid[:, None] - grid[None]
        m = len(self.y_times)
        back = np.zeros((m, n_grid), int)
        costs = np.zeros(n_grid)
        for i in range(m):
            if i:
                table = costs[None] + self.links(rises, i - 1)
                table[(rises < self.least[i - 1] - slack) | (rises > self.most[i - 1] + slack)] = np.inf
                back[i] = table.argmin(1)
                costs = table.min(1)
            costs = costs + self.nodes(grid, i)
            costs[(grid < self.low[i] - slack) | (grid > self.high[i] + slack)] = np.inf
        if not np.isfinite(costs.min()):
            return None
        path = [int(costs.argmin())]
        for i in range(m - 1, 0, -1):
            path.append(back[i, path[-1]])
        return np.clip(grid[path[::-1]], self.low, self.high)

    def polish(self, warp):
        """A local minimum near a warp, by sequential quadratic programming."""
        m = len(warp)
        difference = np.diff(np.eye(m), axis=0)
        constraints = [
            {"type": "ineq", "fun": lambda p: difference @ p - self.least, "jac": lambda p: difference}
        ]
        if np.isfinite(self.most).all():
            constraints.append(
                {"type": "ineq", "fun": lambda p: self.most - difference @ p, "jac": lambda p: -difference}
            )
        found = minimize(
            self.objective,
            warp,
            method="SLSQP",
            bounds=list(zip(self.low, self.high, strict=True)),
            constraints=constraints,
            options={"maxiter": 200, "ftol": 1e-14},
        )
        better = found.fun < self.objective(warp) and self.violation(found.x) < 1e-9
        return found.x if better else warp


def smooth(rng, n, d):
    t = np.linspace(0, 1, n)[:, None]
    return sum(rng.normal(size=d) * np.sin(2 * np.pi * (k * t + rng.random(d))) / k for k in range(1, 5))


def walk(rng, n, d):
    return np.cumsum(rng.normal(size=(n, d)), 0) * 2 / np.sqrt(n)


def times(rng, n, start=0.0, length=1.0):
    steps = rng.uniform(0.5, 1.5, n - 1)
    return start + length * np.concatenate([[0], np.cumsum(steps)]) / steps.sum()


def random_case(seed, n=14, m=11, d=1, **options):
    rng = np.random.default_rng(seed)
    kind = smooth if seed % 2 else walk
    length = 1.0 if options.get("mode") != "subsequence" else 0.6
    return Case(
        kind(rng, n, d), kind(rng, m, d), times(rng, n, 0.3, 1.4), times(rng, m, -0.2, length), options
    )


OPTIONS = {
    "plain": {"reg": 0.1},
    "light": {"reg": 0.003},
    "none": {"reg": 0.0},
    "heavy": {"reg": 2.0},
    "subsequence": {"reg": 0.05, "mode": "subsequence"},
    "slope": {"reg": 0.01, "slope_min": 0.4, "slope_max": 1.7},
    "slope_subsequence": {"reg": 0.01, "slope_min": 0.6, "slope_max": 1.5, "mode": "subsequence"},
    "band": {"reg": 0.01, "band": 0.06},
    "l1": {"reg": 0.05, "loss": "l1"},
    "huber": {"reg": 0.05, "loss": "huber", "huber_delta": 0.3},
    "reg_l1": {"reg": 0.1, "reg_loss": "l1"},
    "reg_huber": {"reg": 0.1, "reg_loss": "huber", "reg_huber_delta": 0.2},
    "cumulative": {"reg": 0.02, "reg_cumulative": 0.5},
    "cumulative_l1": {"reg": 0.02, "reg_cumulative": 0.1, "reg_loss": "l1"},
    "cubic": {"reg": 0.05, "interpolation": "cubic"},
    "cubic_huber": {"reg": 0.05, "interpolation": "cubic", "loss": "huber", "huber_delta": 0.3},
}
