"""Barycenters of tensors: several at once, differentiable through the condition that they satisfy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .._series import check_dense
from ..metrics._numbers import check_count, check_number
from ._arguments import Settings, read_gamma, read_lengths, read_series, resolve_settings
from ._checks import check_lengths
from ._soft_dtw import divergences, values

_MOST_CG_STEPS = 200
_CG_TOLERANCE = 1e-10  # of the squared residual, relative to that of the start


def soft_dtw_barycenter(
    x: Tensor,
    *,
    weights: Tensor | None = None,
    init: Tensor | None = None,
    length: int | None = None,
    gamma: float | Tensor = 1.0,
    objective: str = "soft_dtw",
    cost: Any = "sqeuclidean",
    sigma: float = 1.0,
    bandwidth: int | float | None = None,
    itakura_max_slope: float | None = None,
    x_lengths: Any = None,
    solver: str = "lbfgs",
    max_iter: int = 200,
    tol: float = 1e-9,
    lr: float = 0.05,
) -> Tensor:
    r"""Series with the least weighted sum of Soft-DTW to the series of a set; of several sets at once.

    Parameters
    ----------
    x : Tensor of shape (n, timestamps, features) or (sets, n, timestamps, features)
    weights : Tensor of shape (n,) or (sets, n), default=None
        Finite, >= 0. None gives every series the weight 1 / n.
    init : Tensor of shape (length, features) or (sets, length, features), default=None
        Where to start. None takes the weighted mean after resampling to `length`.
    length : int, default=None
        Number of time steps. None takes that of `init`, or else the mean of the lengths, rounded.
    gamma : float or Tensor of one element, default=1.0
    objective : {"soft_dtw", "divergence"}, default="soft_dtw"
        What to sum. Under "divergence" the barycenter of equal series is the series itself.
    cost, sigma, bandwidth, itakura_max_slope
        As in `soft_dtw`.
    x_lengths : Tensor or sequence of int of shape (n,) or (sets, n), default=None
        Number of time steps of each series.
    solver : {"lbfgs", "adam", "newton"}, default="lbfgs"
        "newton" solves for each step by conjugate gradients with exact Hessian-vector products: few steps to
        the last digit from a start that is near, each of them dear.
    max_iter : int, default=200
        Steps of the solver.
    tol : float, default=1e-9
        Stop when a step changes the objective, or the largest entry of its gradient is, less than this. In
        float32 the rounding of the objective ends it earlier.
    lr : float, default=0.05
        Step size of "adam".

    Returns
    -------
    Tensor of shape (length, features) or (sets, length, features)
        In the dtype of x, float32 for half types. Differentiable with respect to `weights`, x and `gamma`.

    Notes
    -----
    The barycenter z satisfies :math:`\nabla_z F(z, \theta) = 0`, whatever the solver did. So its derivative
    with respect to the arguments is :math:`-(\nabla^2_{zz} F)^{-1} \nabla^2_{z\theta} F`: the backward pass
    solves one linear system by conjugate gradients, with exact Hessian-vector products, and does not need the
    steps of the solver. It is right where the solver has converged to a proper minimum, where the Hessian is
    positive definite.

    References
    ----------
    M. Cuturi, M. Blondel. Soft-DTW: a differentiable loss function for time-series. ICML 2017.
    arXiv:1703.01541.

    Examples
    --------
    >>> import torch
    >>> from sktime_sdtw.functional import soft_dtw_barycenter
    >>> x = torch.tensor([[[0.0], [0.0], [1.0], [0.0]], [[0.0], [1.0], [0.0], [0.0]]], dtype=torch.float64)
    >>> weights = torch.tensor([0.5, 0.5], dtype=torch.float64, requires_grad=True)
    >>> z = soft_dtw_barycenter(x, weights=weights, gamma=0.1)
    >>> z.shape
    torch.Size([4, 1])
    >>> z.square().sum().backward()
    >>> weights.grad.shape
    torch.Size([2])
    """
    settings = resolve_settings(cost, sigma, bandwidth, itakura_max_slope)
    if settings.name == "precomputed":
        raise ValueError("cost='precomputed' leaves nothing to average; pass series and the name of a cost.")
    for name, value in (("x", x), ("weights", weights), ("init", init)):
        if isinstance(value, Tensor):
            check_dense(value, name)
        elif value is not None and name != "x":
            raise TypeError(f"{name} must be a tensor. Got {type(value).__name__}.")
    if length is not None:
        length = check_count(length, "length", 1)
    if not isinstance(x, Tensor) or x.dim() not in (3, 4):
        shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(
            f"x must be a tensor (n, timestamps, features) or (sets, n, timestamps, features). Got {shape}."
        )
    if solver not in ("lbfgs", "adam", "newton"):
        raise ValueError(f"solver must be 'lbfgs', 'adam' or 'newton'. Got {solver!r}.")
    check_number(lr, "lr", 0, exclusive=True)
    if lr != 0.05 and solver != "adam":
        raise ValueError(f"lr is the step size of solver='adam'. Got lr={lr!r} and solver={solver!r}.")
    if objective not in ("soft_dtw", "divergence"):
        raise ValueError(f"objective must be 'soft_dtw' or 'divergence'. Got {objective!r}.")
    single = x.dim() == 3
    if single:
        x, weights, init = x[None], _with_sets(weights), _with_sets(init)
    sets, n = x.shape[:2]
    flat, _ = read_series(x.flatten(0, 1), x.flatten(0, 1))
    if sets * n == 0:
        raise ValueError(f"x must hold one series or more. Got shape {tuple(x.shape)}.")
    lengths = read_lengths(x_lengths, "x_lengths")
    if lengths is not None:
        if lengths.shape not in ((n,), (sets, n)):
            raise ValueError(f"x_lengths must be one for each of {n} series. Got {tuple(lengths.shape)}.")
        lengths = check_lengths(lengths.expand(sets, n).reshape(-1), sets * n, x.shape[2], "x_lengths")
    read_gamma(gamma)
    weights = _check_weights(weights, flat, sets, n)
    problem = _Objective(flat, weights, gamma, settings, lengths, objective)
    start = _check_start(init, flat, weights.detach(), lengths, length, sets)
    z = _minimise(
        problem.fixed(), start, solver, check_count(max_iter, "max_iter", 0), check_number(tol, "tol", 0), lr
    )
    backward = torch.is_grad_enabled() and problem.requires_grad
    if backward or problem.is_dual:
        with torch.set_grad_enabled(backward):
            z = _implicit(problem, z)
    return z[0] if single else z


class _Objective:
    """The weighted sum for centres (sets, length, features), as a function of everything."""

    def __init__(
        self,
        x: Tensor,
        weights: Tensor,
        gamma: float | Tensor,
        settings: Settings,
        lengths: Tensor | None,
        objective: str,
    ) -> None:
        self.x, self.weights, self.gamma = x, weights, gamma
        self.settings, self.lengths, self.objective = settings, lengths, objective

    @property
    def _tensors(self) -> list[Tensor]:
        return [part for part in (self.x, self.weights, self.gamma) if isinstance(part, Tensor)]

    @property
    def requires_grad(self) -> bool:
        return any(part.requires_grad for part in self._tensors)

    @property
    def is_dual(self) -> bool:
        """Whether forward mode goes through one of them."""
        return any(forward_ad.unpack_dual(part).tangent is not None for part in self._tensors)

    def fixed(self) -> _Objective:
        gamma = self.gamma.detach() if isinstance(self.gamma, Tensor) else self.gamma
        return _Objective(
            self.x.detach(), self.weights.detach(), gamma, self.settings, self.lengths, self.objective
        )

    def __call__(self, z: Tensor) -> Tensor:
        centres = z.repeat_interleave(self.weights.shape[1], dim=0)
        if self.objective == "soft_dtw":
            each = values(centres, self.x, self.gamma, self.settings, None, self.lengths)
        else:
            each = divergences(centres, self.x, self.gamma, self.settings, None, self.lengths)
        return (self.weights.reshape(-1) * each).sum()


def _minimise(
    objective: Callable[[Tensor], Tensor], start: Tensor, solver: str, max_iter: int, tol: float, lr: float
) -> Tensor:
    z = start.clone().requires_grad_()
    if max_iter == 0:
        return start
    with torch.enable_grad():
        if solver == "lbfgs":
            optimiser = torch.optim.LBFGS(
                [z],
                max_iter=max_iter,
                max_eval=2 * max_iter,
                history_size=20,
                tolerance_grad=tol,
                tolerance_change=tol,
                line_search_fn="strong_wolfe",
            )

            def closure() -> Tensor:
                optimiser.zero_grad()
                loss = objective(z)
                loss.backward()
                return loss

            optimiser.step(closure)
            return z.detach()
        if solver == "newton":
            return _newton(objective, z, max_iter, tol)
        adam = torch.optim.Adam([z], lr=lr)
        before = None
        for _ in range(max_iter):
            adam.zero_grad()
            loss = objective(z)
            loss.backward()
            adam.step()
            value = loss.detach()
            if before is not None and bool((before - value).abs() <= tol):
                break
            before = value
    return z.detach()


def _newton(objective: Callable[[Tensor], Tensor], z: Tensor, max_iter: int, tol: float) -> Tensor:
    value = objective(z)
    for _ in range(max_iter):
        (slope,) = torch.autograd.grad(value, z, create_graph=True)
        if bool(slope.abs().max() <= tol):
            break
        step = -_solve(partial(_product, slope, z), slope.detach())
        gain, size = float((slope.detach() * step).sum()), 1.0
        while True:  # halved until it gains something
            ahead = (z + size * step).detach().requires_grad_()
            moved = objective(ahead)
            if bool(moved <= value + 1e-4 * size * gain) or size < 1e-4:
                break
            size /= 2
        change = float((value - moved).detach())
        if change < 0:
            break  # the rounding of the objective
        z, value = ahead, moved
    return z.detach()


# --- implicit differentiation


def _product(slope: Tensor, z: Tensor, direction: Tensor) -> Tensor:
    return torch.autograd.grad(slope, z, direction, retain_graph=True)[0]


def _implicit(problem: _Objective, z: Tensor) -> Tensor:
    """The minimum z as a function of what the objective depends on."""
    with torch.enable_grad():
        leaf = z.clone().requires_grad_()
        (slope,) = torch.autograd.grad(problem(leaf), leaf, create_graph=True)
    return _Minimum.apply(z, slope, problem.fixed())


class _Minimum(torch.autograd.Function):
    """z - H^-1 (slope - its present value): z itself, with the derivative of the minimum."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, slope: Tensor, problem: _Objective) -> Tensor:
        ctx.problem = problem
        ctx.save_for_backward(z)
        ctx.save_for_forward(z)
        return z.clone()

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[None, Tensor, None]:
        return None, -_Solved.apply(v, *ctx.saved_tensors, ctx.problem), None

    @staticmethod
    def jvp(ctx: Any, _z: None, change: Tensor, _problem: None) -> Tensor:
        return -_Solved.apply(change, *ctx.saved_tensors, ctx.problem)


class _Solved(torch.autograd.Function):
    """H^-1 v, where derivatives end."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, z: Tensor, problem: _Objective) -> Tensor:
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            (slope,) = torch.autograd.grad(problem(leaf), leaf, create_graph=True)
        return _solve(partial(_product, slope, leaf), v.detach())

    @staticmethod
    def backward(ctx: Any, *_: Any) -> None:
        raise NotImplementedError("Barycenters have first derivatives here; a second one was asked for.")

    jvp = backward


def _solve(hessian: Callable[[Tensor], Tensor], v: Tensor) -> Tensor:
    """Conjugate gradients for all sets at once: the Hessian is zero between them.

    Where the objective is not curved upwards along the first direction, that direction is the answer.
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum((1, 2), keepdim=True)

    solution, residual = torch.zeros_like(v), v.clone()
    direction, square = residual.clone(), dot(residual, residual)
    enough = square * _CG_TOLERANCE
    for _ in range(min(_MOST_CG_STEPS, 2 * v[0].numel())):
        if bool((square <= enough).all()):
            break
        product = hessian(direction)
        curvature = dot(direction, product)
        # A set that is done, or where the objective is not curved upwards, goes no further.
        step = torch.where((square > enough) & (curvature > 0), square / curvature, 0.0)
        solution = solution + step * direction
        residual = residual - step * product
        before, square = square, dot(residual, residual)
        direction = residual + torch.where(before > 0, square / before, 0.0) * direction
        if bool((step == 0).all()):
            break
    return torch.where((solution != 0).any(2, keepdim=True).any(1, keepdim=True), solution, v)


# --- arguments


def _with_sets(tensor: Tensor | None) -> Tensor | None:
    return tensor[None] if isinstance(tensor, Tensor) else tensor


def _check_weights(weights: Tensor | None, x: Tensor, sets: int, n: int) -> Tensor:
    if weights is None:
        return x.new_full((sets, n), 1.0 / n)
    if weights.shape not in ((sets, n), (1, n)):
        raise ValueError(
            f"weights must hold one number for each of {n} series. Got shape {tuple(weights.shape)}."
        )
    if not bool((torch.isfinite(weights) & (weights >= 0)).all()):
        raise ValueError("weights must be finite and >= 0.")
    if not bool((weights > 0).any(-1).all()):
        raise ValueError("weights must be > 0 for one series or more of each set. Got zeros only.")
    return weights.to(x.dtype).expand(sets, n)


def _check_start(
    init: Tensor | None,
    x: Tensor,
    weights: Tensor,
    lengths: Tensor | None,
    length: int | None,
    sets: int,
) -> Tensor:
    x = x.detach()
    if init is not None:
        if init.dim() != 3 or init.shape[0] not in (1, sets) or init.shape[2] != x.shape[2]:
            raise ValueError(
                f"init must have shape (length, {x.shape[2]}), once or for each of {sets} sets. Got "
                f"{tuple(init.shape)}."
            )
        if length is not None and length != init.shape[1]:
            raise ValueError(f"init has {init.shape[1]} time steps, but length={length}; pass one of them.")
        return init.detach().to(x.dtype).expand(sets, -1, -1).contiguous()
    if lengths is None:
        lengths = torch.full((x.shape[0],), x.shape[1])
    if length is None:
        length = max(1, int(lengths.double().mean().round()))
    shape = (sets, weights.shape[1], length, x.shape[2])
    mean = (weights[:, :, None, None] * resample(x, lengths, length).reshape(shape)).sum(1)
    return mean / weights.sum(1)[:, None, None].clamp_min(torch.finfo(x.dtype).tiny)


def resample(x: Tensor, lengths: Tensor, length: int) -> Tensor:
    """Each series (count, timestamps, features) brought to one length, linearly in time."""
    ends = (lengths.to(x.device, torch.float64) - 1)[:, None]
    at = torch.linspace(0, 1, length, dtype=torch.float64, device=x.device)[None] * ends
    left = at.floor().clamp(max=(ends - 1).clamp(min=0)).long()
    right = torch.minimum(left + 1, ends.long())
    part = (at - left).to(x.dtype)[:, :, None]
    rows = torch.arange(len(x), device=x.device)[:, None]
    return (1 - part) * x[rows, left] + part * x[rows, right]
