"""Signature kernels of CUDA tensors: the workloads, a peer in torch and a library, measuring, the table."""

from __future__ import annotations

import importlib
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
    count, length, channels : int
        Of each of two sets of paths.
    refinement : int
    gram : bool
        All pairs of the two sets, or each path with the one of its number.
    static : {"linear", "rbf"}
    torch : bool
        Whether the peer in torch, which keeps all cells, has the memory.
    """

    name: str
    title: str
    count: int
    length: int
    channels: int
    refinement: int = 0
    gram: bool = True
    static: str = "linear"
    torch: bool = False

    def data(self, shrink: int) -> tuple[np.ndarray, np.ndarray]:
        """Random walks of about unit size."""
        count, length = (max(2, n // shrink) for n in (self.count, self.length))
        steps = np.random.default_rng(0).normal(size=(2, count, length, self.channels)) / length**0.5
        x, y = steps.cumsum(axis=2).astype(np.float32)
        return x, y

    def cells(self, shrink: int) -> int:
        """Of the refined grids of all pairs."""
        count, length = (max(2, n // shrink) for n in (self.count, self.length))
        return count * (count if self.gram else 1) * ((length - 1) << self.refinement) ** 2

    def call(self, x: Any, y: Any) -> Any:
        """Our function."""
        from sktime_sdtw.signatures import signature_kernel, signature_kernel_gram

        function = signature_kernel_gram if self.gram else signature_kernel
        return function(x, y, refinement=self.refinement, static_kernel=self.static)


ROWS = [
    Row("kernel-gram", "all pairs of 1000, L = 128, d = 4", 1000, 128, 4),
    Row("kernel-gram-1", "the same, refinement 1", 1000, 128, 4, 1),
    Row("kernel-gram-rbf", "the same, refinement 1, rbf", 1000, 128, 4, 1, static="rbf"),
    Row("kernel-gram-64", "all pairs of 64, L = 512, d = 4", 64, 512, 4),
    Row("kernel-pairs", "128 pairs, L = 256, d = 8, refinement 1", 128, 256, 8, 1, gram=False, torch=True),
    Row("kernel-step", "32 pairs, L = 128, d = 4", 32, 128, 4, gram=False, torch=True),
    Row("kernel-long", "one pair, L = 10,000, d = 4", 1, 10_000, 4, gram=False),
]


def _diagonals(row: Row, x: Any, y: Any) -> Any:
    """The same scheme, one launch after the other for each anti-diagonal, as libraries in torch do."""
    from sktime_sdtw.signatures import _kernel_arguments, _kernel_reference

    chosen = _kernel_arguments.settings_of(row.static, 1.0, row.refinement, None)
    return _kernel_reference.kernel(x, y, None, None, not row.gram, chosen)


def _library(row: Row, x: Any, y: Any) -> Any:
    library = importlib.import_module("pysiglib.torch_api")
    function = library.sig_kernel_gram if row.gram else library.sig_kernel
    kernel = importlib.import_module("pysiglib").RBFKernel(2.0) if row.static == "rbf" else None
    return function(x, y, dyadic_order=row.refinement, static_kernel=kernel)


PEERS: dict[str, Callable[[Row, Any, Any], Any]] = {"diagonals in torch": _diagonals, "pySigLib": _library}


# --- measuring


def _times(call: Callable[[Any, Any], Any], x: Any, y: Any, options: Any, least: int) -> dict[str, Any]:
    """Forward without a graph; forward and backward, to both."""
    import torch

    def forward() -> None:
        with torch.no_grad():
            call(x, y)

    def both() -> None:
        leaves = [v.detach().requires_grad_() for v in (x, y)]
        torch.autograd.grad(call(*leaves).sum(), leaves)

    return {
        name: _clock.measure(work, options.gpu, seconds=options.budget(1), least=least)
        for name, work in (("forward", forward), ("both", both))
    }


def measure(options: Any, guarded: Any) -> list[dict[str, Any]]:
    """All rows; `guarded` is that of _steps."""

    def one(row: Row) -> dict[str, Any]:
        import torch

        x, y = (torch.from_numpy(part).to(options.device) for part in row.data(options.shrink))

        def step() -> Any:
            leaf = x.detach().requires_grad_()
            row.call(leaf, y).sum().backward()
            return leaf.grad

        found: dict[str, Any] = {"title": row.title, "ours": _times(row.call, x, y, options, 3)}
        found["cells"] = row.cells(options.shrink)
        found["kernels"] = _clock.kernel_seconds(step, options.gpu)
        found["peak"] = _clock.peak_bytes(lambda: step, options.gpu)
        found["repeated"] = bool(torch.equal(step(), step()))
        few = (x[:8], y[:8])
        expected = row.call(*(v.double().cpu() for v in few))
        difference = (row.call(*few).double().cpu() - expected).abs().max()
        found["difference"] = float(difference / expected.abs().max())
        for name, peer in PEERS.items():
            if peer is _diagonals and not row.torch:
                continue
            try:
                found[name] = _times(lambda a, b, f=peer: f(row, a, b), x, y, options, 1)
            except Exception as error:  # not there, or no memory
                found[name] = {"skipped": f"{type(error).__name__}: {error}"[:200]}
        return found

    chosen = [row for row in ROWS if not options.only or row.name in options.only]
    return [guarded(row.name, options, lambda row=row: one(row)) for row in chosen]


def table(results: list[dict[str, Any]], model: dict[str, Any]) -> list[list[str]]:
    """The heads, then the rows."""
    heads = ["signature kernels", "forward", "cells/s", "forward and backward", "model", "kernels of both"]
    heads += ["peak memory"]
    for name in PEERS:
        heads += [f"{name}: forward", "both"]
    rows = [[*heads, "difference from float64", "same bits again"]]
    for found in results:
        both = [found["ours"][way]["device_s"] for way in ("forward", "both")]
        expected = model.get(found["name"], {})
        peers = [found.get(name, {}).get(way) for name in PEERS for way in ("forward", "both")]
        rows.append(
            [
                found["title"],
                seconds(both[0]),
                f"{found['cells'] / both[0]:.2g}" if both[0] else "",
                seconds(both[1]),
                " / ".join(seconds(expected[way]) for way in ("forward", "both") if way in expected),
                seconds(found["kernels"]["all"]) if found["kernels"] else "",
                size(found["peak"]["allocated"]),
                *(seconds(peer["device_s"]) if peer else "" for peer in peers),
                f"{found['difference']:.1e}",
                "yes" if found["repeated"] else "**no**",
            ]
        )
    return rows


# --- small ones, for the sanitizers and the first look


def small_cases() -> Iterator[tuple[str, Callable[[str], Any]]]:
    """(what it is, the call on a device): every kernel, values and gradients; several strips among them."""

    def values(dtype: str, gram: bool, **more: Any) -> Callable[[str], Any]:
        def call(device: str) -> list[np.ndarray]:
            import torch

            from sktime_sdtw.signatures import signature_kernel, signature_kernel_gram

            rng = np.random.default_rng(0)
            paths = [rng.normal(size=(3, n, 2)).cumsum(axis=1) / n for n in (150, 40)]
            x, y = (torch.from_numpy(v.astype(dtype)).to(device).requires_grad_() for v in paths)
            lengths = {"x_lengths": torch.tensor([150, 1, 77]), "y_lengths": torch.tensor([40, 40, 3])}
            if gram:
                found = signature_kernel_gram(x, y, **lengths, **more)
                own = signature_kernel_gram(y, **more)
                grads = torch.autograd.grad(found.square().sum() + own.square().sum(), (x, y))
                return [part.detach().cpu().numpy() for part in (found, own, *grads)]
            found = signature_kernel(x, y, **lengths, **more)
            grads = torch.autograd.grad(found.square().sum(), (x, y))
            return [part.detach().cpu().numpy() for part in (found, *grads)]

        return call

    def given(dtype: str) -> Callable[[str], Any]:
        def call(device: str) -> list[np.ndarray]:
            import torch

            from sktime_sdtw.signatures import signature_kernel

            increments = np.random.default_rng(0).normal(size=(3, 150, 40)).astype(dtype) / 80
            g = torch.from_numpy(increments).to(device).requires_grad_()
            found = signature_kernel(g, static_kernel="precomputed", refinement=(1, 2))
            grads = torch.autograd.grad(found.square().sum(), g)
            return [part.detach().cpu().numpy() for part in (found, *grads)]

        return call

    for dtype in ("float32", "float64"):
        for static in ("linear", "rbf"):
            for refinement in (0, 1, (4, 2)):
                more = {"static_kernel": static, "refinement": refinement}
                gram = refinement == 1
                what = "all pairs" if gram else "pairs"
                yield (
                    f"signature kernels of {what}, {static}, refinement {refinement}, {dtype}",
                    values(dtype, gram, **more),
                )
        yield f"signature kernels of increments, {dtype}", given(dtype)
        yield f"signature kernels to a depth, {dtype}", values(dtype, False, depth=3, static_kernel="rbf")
