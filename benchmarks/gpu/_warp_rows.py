"""Continuous-time warps of CUDA tensors: the workloads, measuring, the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import _clock
import numpy as np
from _rows import seconds, size


@dataclass(frozen=True)
class Row:
    """A workload.

    Parameters
    ----------
    name, title : str
    batch, length, features : int
        Sources and targets are equally long.
    kind : {"smooth", "walk"}
        Sums of sines, or random walks.
    options : tuple of (name, value)
        Further arguments of `gdtw`.
    """

    name: str
    title: str
    batch: int
    length: int
    features: int
    kind: str = "smooth"
    options: tuple[tuple[str, Any], ...] = ()

    def data(self, shrink: int) -> tuple[np.ndarray, np.ndarray]:
        """Sources and targets, in double."""
        rng = np.random.default_rng(0)
        batch, length = (max(3, number // shrink) for number in (self.batch, self.length))
        shape = (batch, length, self.features)
        if self.kind == "walk":
            x, y = (np.cumsum(rng.normal(size=shape), 1) * 2 / length**0.5 for _ in range(2))
            return x, y
        t = np.linspace(0, 1, length)[:, None]

        def waves() -> np.ndarray:
            parts = [
                rng.normal(size=(batch, 1, self.features))
                * np.sin(2 * np.pi * (k * t + rng.random((batch, 1, self.features))))
                / k
                for k in range(1, 5)
            ]
            return np.sum(parts, axis=0)

        return waves(), waves()


ROWS = [
    Row("warps-16", "B = 256, L = 512, D = 16", 256, 512, 16),
    Row("warps-1", "B = 256, L = 512, D = 1", 256, 512, 1),
    Row("warps-walk", "B = 256, L = 512, D = 16, random walks", 256, 512, 16, "walk"),
    Row("warps-short", "B = 256, L = 128, D = 1", 256, 128, 1),
    Row("warps-l1", "B = 256, L = 512, D = 4, absolute loss", 256, 512, 4, options=(("loss", "l1"),)),
    Row("warps-cubic", "B = 256, L = 512, D = 4, cubic", 256, 512, 4, options=(("interpolation", "cubic"),)),
    Row("warps-one", "B = 1, L = 512, D = 1", 1, 512, 1),
]
MOST_SECONDS = {"warps-16": 5e-3}  # forward and backward


def measure(options: Any, guarded: Any) -> list[dict[str, Any]]:
    """All rows; `guarded` is that of _steps."""

    def one(row: Row) -> dict[str, Any]:
        import torch

        from sktime_sdtw.alignment import gdtw
        from sktime_sdtw.functional import capturable

        x, y = (torch.from_numpy(part).to(options.device) for part in row.data(options.shrink))
        chosen = dict(row.options)

        def forward() -> Any:
            with torch.no_grad():
                return gdtw(x, y, **chosen).values

        def step() -> Any:
            leaf = x.detach().requires_grad_()
            gdtw(leaf, y, **chosen).values.square().sum().backward()
            return leaf.grad

        def queued() -> Any:
            with capturable():
                return step()

        found: dict[str, Any] = {"title": row.title}
        for name, call in (("forward", forward), ("both", step), ("queued", queued)):
            found[name] = _clock.measure(call, options.gpu, seconds=options.budget(1), least=3)
        found["kernels"] = _clock.kernel_seconds(step, options.gpu)
        found["peak"] = _clock.peak_bytes(lambda: step, options.gpu)
        found["repeated"] = bool(torch.equal(step(), step()))
        expected = gdtw(x[:4].cpu(), y[:4].cpu(), **chosen).values
        found["difference"] = float((forward()[:4].cpu() - expected).abs().max())
        return found

    rows = [row for row in ROWS if not options.only or row.name in options.only]
    return [guarded(row.name, options, lambda row=row: one(row)) for row in rows]


def table(results: list[dict[str, Any]], model: dict[str, Any], judge: Any) -> list[list[str]]:
    """The heads, then the rows."""
    heads = ["warps", "forward", "forward and backward", "the same without waiting", "model", "kernels"]
    rows = [[*heads, "peak memory", "difference from the CPU", "must reach", "reached", "same bits again"]]
    for found in results:
        most = MOST_SECONDS.get(found["name"])
        expected = model.get(found["name"], {})
        rows.append(
            [
                found["title"],
                *(seconds(found[name]["device_s"]) for name in ("forward", "both", "queued")),
                seconds(expected.get("both")),
                seconds(found["kernels"]["all"]) if found["kernels"] else "",
                size(found["peak"]["allocated"]),
                f"{found['difference']:.1e}",
                f"≤ {seconds(most)}" if most else "",
                judge(None if most is None else found["both"]["device_s"] <= most),
                "yes" if found["repeated"] else "**no**",
            ]
        )
    return rows


# --- small ones, for the sanitizers and the first look


def small_cases() -> Iterator[tuple[str, Callable[[str], Any]]]:
    """(what it is, the call on a device): both kernels in all their forms, values and gradients."""

    def values(length: int, **more: Any) -> Callable[[str], Any]:
        def call(device: str) -> list[np.ndarray]:
            import torch

            from sktime_sdtw.alignment import gdtw

            pair = Row("", "", 3, length, 2).data(1)
            x, y = (torch.from_numpy(part).to(device).requires_grad_() for part in pair)
            found = gdtw(x, y, x_lengths=[length, 2, length - 5], reg=0.05, **more)
            grads = torch.autograd.grad(found.values.square().sum(), (x, y))
            parts = (found.values, found.objective, found.holds, found.ties, *grads)
            return [part.detach().cpu().numpy() for part in parts]

        return call

    kinds: dict[str, dict[str, Any]] = {
        "squared": {},
        "squared, in a band": {"band": 0.2, "slope_max": 3.0},
        "squared, anywhere": {"mode": "subsequence"},
        "absolute": {"loss": "l1"},
        "Huber": {"loss": "huber", "huber_delta": 0.3, "reg_loss": "huber", "reg_cumulative": 0.1},
        "cubic": {"interpolation": "cubic"},
        "a coarse grid": {"n_grid": 40},
        "a fine grid": {"n_grid": 2500},
    }
    for name, more in kinds.items():
        yield f"warps, {name}, float64", values(24, **more)
    yield "warps, longer, float64", values(140)
