"""Signatures of CUDA tensors: the workloads, two peers in torch and two libraries, measuring, the table."""

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
    batch, length, channels, depth : int
    stream : bool
        Whether the signatures of all beginnings are computed.
    log : bool
        Log-signatures, by words.
    window : int
        Length of sliding windows, 0 for none.
    peers : tuple of {"tree", "steps"}
        Those in torch that have the memory, and the time.
    """

    name: str
    title: str
    batch: int
    length: int
    channels: int
    depth: int
    stream: bool = False
    log: bool = False
    window: int = 0
    peers: tuple[str, ...] = ("tree",)

    def data(self, shrink: int, seed: int = 0) -> np.ndarray:
        """Random walks of about unit size."""
        batch, length = (max(2, n // shrink) for n in (self.batch, self.length))
        steps = np.random.default_rng(seed).normal(size=(batch, length, self.channels)) / length**0.5
        return steps.cumsum(axis=1).astype(np.float32)

    def call(self, x: Any) -> Any:
        """Our function."""
        from sktime_sdtw.signatures import logsignature, signature

        if self.log:
            return logsignature(x, self.depth, stream=self.stream)
        windows = ("sliding", min(self.window, x.shape[-2])) if self.window else None
        return signature(x, self.depth, stream=self.stream, windows=windows)


ROWS = [
    Row("signature-8-3", "B = 256, L = 10,000, (8, 3)", 256, 10_000, 8, 3, peers=("tree", "steps")),
    Row("signature-4-3", "B = 256, L = 10,000, (4, 3)", 256, 10_000, 4, 3),
    Row("signature-2-2", "B = 256, L = 10,000, (2, 2)", 256, 10_000, 2, 2),
    Row("signature-4-6", "B = 32, L = 128, (4, 6)", 32, 128, 4, 6, peers=("tree", "steps")),
    Row("signature-8-5", "B = 32, L = 128, (8, 5)", 32, 128, 8, 5, peers=("tree", "steps")),
    Row("signature-one", "B = 1, L = 10,000, (4, 5)", 1, 10_000, 4, 5),
    Row("stream-4-5", "all beginnings, B = 32, L = 128, (4, 5)", 32, 128, 4, 5, stream=True, peers=()),
    Row("stream-one", "all beginnings, B = 1, L = 10,000, (4, 4)", 1, 10_000, 4, 4, stream=True, peers=()),
    Row("log-4-6", "log-signature by words, B = 32, L = 128, (4, 6)", 32, 128, 4, 6, log=True, peers=()),
    Row("sliding", "sliding windows of 64, B = 1, L = 10,000, (4, 4)", 1, 10_000, 4, 4, window=64, peers=()),
]
MOST_SECONDS = {"signature-8-3": (3e-3, 10e-3)}  # forward, backward


# --- peers


def _split(x: Any, channels: int, depth: int) -> list[Any]:
    import torch

    return list(torch.split(x, [channels**k for k in range(1, depth + 1)], dim=-1))


def _outer(a: Any, b: Any) -> Any:
    return (a[..., :, None] * b[..., None, :]).flatten(-2)


def tree(x: Any, depth: int) -> Any:
    """Exponentials of all increments, and products of neighbours: a launch for each level and depth."""
    import torch

    z = x[:, 1:] - x[:, :-1]
    levels = [z]
    for k in range(2, depth + 1):
        levels.append(_outer(levels[-1], z) / k)
    while levels[0].shape[1] > 1:
        n = levels[0].shape[1]
        left, right = ([v[:, i : n - n % 2 : 2] for v in levels] for i in (0, 1))
        joined = [left[k] + right[k] for k in range(depth)]
        for k in range(depth):
            for i in range(k):
                joined[k] = joined[k] + _outer(left[i], right[k - 1 - i])
        if n % 2:
            joined = [torch.cat([j, v[:, -1:]], dim=1) for j, v in zip(joined, levels, strict=True)]
        levels = joined
    return torch.cat([v[:, 0] for v in levels], dim=-1)


def steps(x: Any, depth: int) -> Any:
    """One step after the other in Horner's form, as libraries for torch do: launches for each step."""
    import torch

    z = x[:, 1:] - x[:, :-1]
    channels = x.shape[-1]
    levels = [x.new_zeros(x.shape[0], channels**k) for k in range(1, depth + 1)]
    for t in range(z.shape[1]):
        new = []
        for k in range(1, depth + 1):
            b = z[:, t] / k
            for j in range(1, k):
                b = _outer(levels[j - 1] + b, z[:, t] / (k - j))
            new.append(levels[k - 1] + b)
        levels = new
    return torch.cat(levels, dim=-1)


def _library(module: str, name: str) -> Callable[[Any, int], Any]:
    def call(x: Any, depth: int) -> Any:
        return getattr(importlib.import_module(module), name)(x, depth)

    return call


PEERS: dict[str, Callable[[Any, int], Any]] = {
    "tree": tree,
    "steps": steps,
    "pySigLib": _library("pysiglib.torch_api", "sig"),
    "Signatory": _library("signatory", "signature"),
}
LIBRARIES = ("pySigLib", "Signatory")  # for every row that is a plain signature


# --- measuring


def _times(call: Callable[[Any], Any], x: Any, options: Any, least: int) -> dict[str, Any]:
    """Forward without a graph; and the backward alone."""
    import torch

    def forward() -> None:
        with torch.no_grad():
            call(x)

    leaf = x.detach().requires_grad_()
    found = {"forward": _clock.measure(forward, options.gpu, seconds=options.budget(1), least=least)}
    out = call(leaf)
    weights = torch.ones_like(out)

    def backward() -> None:
        torch.autograd.grad(out, leaf, weights, retain_graph=True)

    found["backward"] = _clock.measure(backward, options.gpu, seconds=options.budget(1), least=least)
    return found


def measure(options: Any, guarded: Any) -> list[dict[str, Any]]:
    """All rows; `guarded` is that of _steps."""

    def one(row: Row) -> dict[str, Any]:
        import torch

        x = torch.from_numpy(row.data(options.shrink)).to(options.device)

        def step() -> Any:
            leaf = x.detach().requires_grad_()
            row.call(leaf).sum().backward()
            return leaf.grad

        found: dict[str, Any] = {"title": row.title, "ours": _times(row.call, x, options, 5)}
        found["kernels"] = _clock.kernel_seconds(step, options.gpu)
        found["peak"] = _clock.peak_bytes(lambda: step, options.gpu)
        found["repeated"] = bool(torch.equal(step(), step()))
        expected = row.call(x.double().cpu())
        difference = (row.call(x).double().cpu() - expected).abs().max()
        found["difference"] = float(difference / expected.abs().max())
        plain = not (row.stream or row.log or row.window)
        for name in (*row.peers, *(LIBRARIES if plain else ())):
            try:
                found[name] = _times(lambda v, f=PEERS[name]: f(v, row.depth), x, options, 1)
            except Exception as error:  # not there, or no memory
                found[name] = {"skipped": f"{type(error).__name__}: {error}"[:200]}
        return found

    chosen = [row for row in ROWS if not options.only or row.name in options.only]
    return [guarded(row.name, options, lambda row=row: one(row)) for row in chosen]


def table(results: list[dict[str, Any]], model: dict[str, Any], judge: Any) -> list[list[str]]:
    """The heads, then the rows."""
    heads = ["signatures", "forward", "backward", "model", "kernels of both", "peak memory"]
    for name in PEERS:
        heads += [f"{name}: forward", "backward"]
    heads += ["difference from float64", "must reach", "reached", "same bits again"]
    rows = [heads]
    for found in results:
        most = MOST_SECONDS.get(found["name"])
        both = [found["ours"][way]["device_s"] for way in ("forward", "backward")]
        peers = [found.get(name, {}).get(way) for name in PEERS for way in ("forward", "backward")]
        expected = model.get(found["name"], {})
        rows.append(
            [
                found["title"],
                *map(seconds, both),
                " / ".join(seconds(expected[way]) for way in ("forward", "backward") if way in expected),
                seconds(found["kernels"]["all"]) if found["kernels"] else "",
                size(found["peak"]["allocated"]),
                *(seconds(peer["device_s"]) if peer else "" for peer in peers),
                f"{found['difference']:.1e}",
                " / ".join(f"≤ {seconds(limit)}" for limit in most) if most else "",
                judge(None if most is None else all(t <= m for t, m in zip(both, most, strict=True))),
                "yes" if found["repeated"] else "**no**",
            ]
        )
    return rows


# --- small ones, for the sanitizers and the first look


def small_cases() -> Iterator[tuple[str, Callable[[str], Any]]]:
    """(what it is, the call on a device): every kernel, values and gradients."""

    def values(dtype: str, channels: int, depth: int, lengths: bool, **more: Any) -> Callable[[str], Any]:
        def call(device: str) -> list[np.ndarray]:
            import torch

            from sktime_sdtw.signatures import logsignature, signature, signature_combine

            rng = np.random.default_rng(0)
            x = torch.from_numpy((rng.normal(size=(3, 150, channels)) / 12).astype(dtype)).to(device)
            x.requires_grad_()
            ragged = torch.tensor([150, 2, 77]) if lengths else None
            out = signature(x, depth, lengths=ragged, **more)
            found = [out, *torch.autograd.grad(out.square().sum(), x, retain_graph=True)]
            if not more:
                whole = signature_combine(out, out, channels, depth)
                found += [whole, *torch.autograd.grad(whole.square().sum(), x)]
                log = logsignature(x, depth, mode="brackets", lengths=ragged)
                found += [log, *torch.autograd.grad(log.square().sum(), x)]
            return [part.detach().cpu().numpy() for part in found]

        return call

    for dtype in ("float32", "float64"):
        for channels, depth in ((1, 3), (2, 5), (3, 3), (8, 3), (12, 2), (4, 5)):
            where = f"{channels} channels to depth {depth}, {dtype}"
            yield f"signatures, {where}", values(dtype, channels, depth, depth == 3)
            stream = values(dtype, channels, depth, depth == 5, stream=True)
            yield f"signatures of beginnings, {where}", stream
        yield (
            f"signatures of windows, {dtype}",
            values(dtype, 2, 3, True, windows=[[0, 150], [3, 9], [100, 150], [3, 9]]),
        )
