"""The workloads of the tables: what is computed, on which data, and what it must reach."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

GRID = [(b, n, d) for b in (16, 32) for n in (128, 512, 1024, 2048) for d in (1, 64)]


@dataclass(frozen=True)
class Row:
    """A workload.

    Parameters
    ----------
    name, title : str
    n_x, n_y : int
        Numbers of series; for pairs, of pairs (both the same).
    n, m : int
        Time steps.
    d : int
        Features.
    kind : {"pairwise", "dtw", "training", "product", "dilate"}
        All pairs; value and both gradients of pairs; a Hessian-vector product with respect to both series;
        the gradient of a loss of shape and time. The last two for tensors only.
    data : {"walks", "normal"}
        Z-normalised random walks; or independent normal numbers, as the published grid has them.
    modelled : bool
        Whether model.py has it too.
    tensor_cores : bool
        Whether costs of many features may be computed by products on tensor cores; else by differences.
    """

    name: str
    title: str
    n_x: int
    n_y: int
    n: int
    m: int
    d: int = 1
    kind: str = "pairwise"
    dtype: str = "float32"
    gamma: float = 1.0
    radius: float | None = None
    data: str = "walks"
    modelled: bool = True
    tensor_cores: bool = True

    @property
    def training(self) -> bool:
        """Of pairs, by gradients."""
        return self.kind not in ("pairwise", "dtw")

    @property
    def cells(self) -> int:
        """Cells of all tables, forward only."""
        return self.n * self.m * (self.n_x if self.training else self.n_x * self.n_y)

    def shrunk(self, by: int) -> Row:
        """The same work in small, to try the scripts."""

        def less(size: int, least: int) -> int:
            return max(min(size, least), size // by)

        n_x, n_y = less(self.n_x, 2), less(self.n_y, 2)
        n, m, d = less(self.n, 6), less(self.m, 6), less(self.d, 1)
        return replace(self, n_x=n_x, n_y=n_y, n=min(n, 64), m=min(m, 64), d=d)

    @contextmanager
    def chosen(self) -> Iterator[None]:
        """Inside, the engine computes costs in the way of this row."""
        plan = importlib.import_module("sktime_sdtw.cuda_ext._plan")
        least = plan.LEAST_DIM_TENSOR
        if not self.tensor_cores:
            plan.LEAST_DIM_TENSOR = 2**62
        try:
            yield
        finally:
            plan.LEAST_DIM_TENSOR = least

    def series(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Series of x and of y."""
        rng = np.random.default_rng(seed)
        made = []
        for count, steps in ((self.n_x, self.n), (self.n_y, self.m)):
            X = rng.normal(size=(count, steps, self.d))
            if self.data == "walks":
                X = X.cumsum(axis=1)
                X = (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)
            made.append(X.astype(self.dtype))
        return made[0], made[1]

    def call(self, sdtw: Any, x: Any, y: Any, device: str) -> Any:
        """Our function on these series."""
        if self.kind in ("product", "dilate"):
            raise NotImplementedError("Second derivatives are computed for tensors.")
        if self.kind == "training":
            return sdtw.paired_soft_dtw_gradient(x, y, gamma=self.gamma, wrt=("x", "y"), device=device)
        if self.kind == "dtw":
            return sdtw.pairwise_dtw(x, y, device=device)
        return sdtw.pairwise_soft_dtw(x, y, gamma=self.gamma, sakoe_chiba_radius=self.radius, device=device)

    def call_on_tensors(self, functional: Any, x: Any, y: Any) -> Any:
        """The same by sktime_sdtw.functional; for a training step forward, sum and backward."""
        if not self.training:
            gamma = 0.0 if self.kind == "dtw" else self.gamma
            return functional.cdist_soft_dtw(x, y, gamma=gamma, bandwidth=self.radius)
        x, y = x.detach().requires_grad_(), y.detach().requires_grad_()
        if self.kind == "dilate":
            shape, time = functional.shape_and_time(x, y, gamma=self.gamma)
            (shape + time).sum().backward()
            return shape.detach(), x.grad, y.grad
        value = functional.soft_dtw(x, y, gamma=self.gamma)
        if self.kind == "product":
            return _product(value.sum(), (x, y))
        value.sum().backward()
        return value.detach(), x.grad, y.grad


def _product(value: Any, leaves: tuple[Any, ...]) -> tuple[Any, ...]:
    """The Hessian times the leaves."""
    import torch

    slopes = torch.autograd.grad(value, leaves, create_graph=True)
    along = sum((slope * leaf.detach()).sum() for slope, leaf in zip(slopes, leaves, strict=True))
    return torch.autograd.grad(along, leaves)


def _pairwise(name: str, title: str, **more: Any) -> Row:
    return Row(name, title, 1000, 1000, 512, 512, **more)


def _training(b: int, n: int, d: int) -> Row:
    return Row(
        f"training-{b}-{n}-{d}", f"B = {b}, N = {n}, D = {d}", b, b, n, n, d, kind="training", data="normal"
    )


def _second(kind: str, b: int, n: int, d: int) -> Row:
    what = {"product": "Hessian-vector product", "dilate": "shape and time"}[kind]
    title = f"{what}, B = {b}, N = {n}, D = {d}"
    return Row(f"{kind}-{b}-{n}-{d}", title, b, b, n, n, d, kind=kind, data="normal", modelled=False)


PAIRWISE = [
    _pairwise("pairwise-1", "1000×1000 of 512, d = 1"),
    _pairwise("pairwise-8", "the same, d = 8", d=8),
    _pairwise("pairwise-64", "the same, d = 64", d=64),
    _pairwise("pairwise-64-differences", "d = 64, without tensor cores", d=64, tensor_cores=False),
    _pairwise("pairwise-16", "d = 16", d=16),
    _pairwise("pairwise-16-differences", "d = 16, without tensor cores", d=16, tensor_cores=False),
    _pairwise("pairwise-noise", "d = 1, normal noise", data="normal", modelled=False),
    _pairwise("pairwise-gamma-0.1", "d = 1, gamma = 0.1", gamma=0.1, modelled=False),
    _pairwise("pairwise-gamma-0.001", "d = 1, gamma = 0.001", gamma=0.001, modelled=False),
    _pairwise("pairwise-band", "d = 1, Sakoe-Chiba radius 10 %", radius=0.1, modelled=False),
    _pairwise("pairwise-float64", "d = 1, float64", dtype="float64"),
    _pairwise("pairwise-dtw", "d = 1, DTW", kind="dtw"),
]
TRAINING = [_training(*sizes) for sizes in GRID]
SECOND = [
    _second(kind, *sizes)
    for kind in ("product", "dilate")
    for sizes in ((32, 128, 8), (32, 512, 1), (32, 512, 64))
]
LONG = Row("long", "one pair of 100,000, value and both gradients", 1, 1, 100_000, 100_000, kind="training")
TRANSFER = Row("transfer", "5000×5000 of 256, NumPy in and out", 5000, 5000, 256, 256)
ROWS = [*PAIRWISE, *TRAINING, *SECOND, LONG, TRANSFER]

# What a row must reach: in words here, as numbers below.
TARGETS = {
    "pairwise-1": "≥ 1.0·10¹² cells/s, then beyond 1.4·10¹²",
    "pairwise-8": "≥ 0.8·10¹² cells/s",
    "pairwise-64": "≥ 0.25·10¹² cells/s",
    "training-32-512-64": "≤ 0.4 ms",
    "long": "≤ 1 GiB",
    "transfer": "≤ 1.15 × the kernels' time",
}
LEAST_RATE = {"pairwise-1": 1.0e12, "pairwise-8": 0.8e12, "pairwise-64": 0.25e12}
MOST_SECONDS = {"training-32-512-64": 0.4e-3}
MOST_LONG_BYTES = 2**30
MOST_OF_KERNELS = 1.15  # NumPy in and out, by the time of the kernels
MOST_OF_PEER_BYTES = 0.5  # by the leaner mode of the peer
MOST_FIRST_CALL = {"warm": 0.05, "cold": 1.5}  # seconds, by the state of the cache


def least_ratio(name: str) -> float:
    """How many times faster than the faster mode of the peer this training step must be."""
    return next(50.0 if row.n >= 512 else 20.0 for row in TRAINING if row.name == name)


def seconds(value: float | None) -> str:
    """A time with its unit."""
    if value is None:
        return ""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 1 or unit == "µs":
            return f"{value * factor:.3g} {unit}"
    return ""


def size(nbytes: float | None) -> str:
    """A number of bytes with its unit."""
    if nbytes is None:
        return ""
    return f"{nbytes / 2**30:.3g} GiB" if nbytes >= 2**30 else f"{nbytes / 2**20:.3g} MiB"


def verdict(reached: bool | None) -> str:
    """Whether a target was reached, for a table."""
    return "" if reached is None else "yes" if reached else "**no**"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[str] = ()) -> list[str]:
    """A table in Markdown: its columns are numbers, but for the first one and those with these heads."""
    rule = ["---" if head == heads[0] or head in words else "---:" for head in heads]
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]
