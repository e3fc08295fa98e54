"""A small set of calls through all kernels, for compute-sanitizer; their results are compared with the CPU's.

python _small.py [DEVICE]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import _kernel_rows
import _signature_rows
import _warp_rows
import numpy as np

import sktime_sdtw as sdtw


def ragged(rng: np.random.Generator, lengths: list[int], d: int, dtype: str) -> list[np.ndarray]:
    return [rng.normal(size=(length, d)).astype(dtype) for length in lengths]


def second_derivatives(x: np.ndarray, y: np.ndarray, cost: str, device: str) -> list[np.ndarray]:
    """The Hessian times the series, and the slope of gamma's; by tensors."""
    import torch

    from sktime_sdtw.functional import soft_dtw

    a, b = (torch.from_numpy(series).to(device).requires_grad_() for series in (x, y))
    gamma = torch.tensor(0.5, device=device, requires_grad=True)
    value = soft_dtw(a, b, gamma=gamma, cost=cost, x_lengths=[40, 7, 23], bandwidth=0.5)
    first = torch.autograd.grad(value.sum(), (a, b, gamma), create_graph=True)
    along = (first[0] * a.detach()).sum() + (first[1] * b.detach()).sum() + first[2]
    return [part.detach().cpu().numpy() for part in torch.autograd.grad(along, (a, b, gamma))]


def cases() -> Iterator[tuple[str, Callable[[str], Any]]]:
    """(what it is, the call on a device)."""
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        x, y = ragged(rng, [5, 40, 17, 9], 1, dtype), ragged(rng, [33, 8, 300], 1, dtype)
        x3, y3 = ragged(rng, [7, 21], 3, dtype), ragged(rng, [30, 6], 3, dtype)
        padded = rng.normal(size=(2, 3, 40, 5)).astype(dtype)
        x9, y9 = ragged(rng, [12, 70], 9, dtype), ragged(rng, [70, 11], 9, dtype)
        for gamma in (1.0, 1e-4, 0.0):
            yield (
                f"pairwise, {dtype}, gamma {gamma}",
                lambda device, x=x, y=y, g=gamma: sdtw.pairwise_soft_dtw(x, y, gamma=g, device=device),
            )
        yield (
            f"pairwise with itself, several gammas, {dtype}",
            lambda device, y=y: sdtw.pairwise_soft_dtw(y, gamma=[0.1, 1.0, 10.0], device=device),
        )
        yield (
            f"pairwise, 9 features, {dtype}",
            lambda device, x=x9, y=y9: sdtw.pairwise_soft_dtw(x, y, device=device),
        )
        for band in ({"sakoe_chiba_radius": 4}, {"sakoe_chiba_radius": 0.3}):
            yield (
                f"pairwise, {band}, {dtype}",
                lambda device, x=x3, y=y3, band=band: sdtw.pairwise_soft_dtw(x, y, device=device, **band),
            )
        for cost in ("euclidean", "manhattan", "cosine", "gak"):
            yield (
                f"gradient, {cost}, {dtype}",
                lambda device, x=x3, y=y3, cost=cost: sdtw.paired_soft_dtw_gradient(
                    x, y, wrt=("x", "y", "gamma"), cost=cost, device=device
                ),
            )
        yield (
            f"gradient, 9 features, {dtype}",
            lambda device, x=x9, y=y9: sdtw.paired_soft_dtw_gradient(x, y, wrt=("x", "y"), device=device),
        )
        long = [rng.normal(size=(700, 1)).astype(dtype).cumsum(axis=0) for _ in range(2)]
        yield (
            f"gradient, long, {dtype}",
            lambda device, long=long: sdtw.paired_soft_dtw_gradient(
                long[:1], long[1:], gamma=0.1, wrt=("x", "y"), device=device
            ),
        )
        yield (
            f"alignment, {dtype}",
            lambda device, x=x3, y=y3: sdtw.soft_dtw_alignment(x[0], y[0], device=device),
        )
        for cost in ("sqeuclidean", "euclidean", "gak"):
            yield (
                f"second derivatives, {cost}, {dtype}",
                lambda device, x=padded[0], y=padded[1], cost=cost: second_derivatives(x, y, cost, device),
            )
        yield f"path, {dtype}", lambda device, x=x3, y=y3: sdtw.dtw_path(x[1], y[1], device=device)
    yield from _signature_rows.small_cases()
    yield from _kernel_rows.small_cases()
    yield from _warp_rows.small_cases()


def numbers(result: Any) -> list[np.ndarray]:
    """All arrays and numbers in a result."""
    if result is None:
        return []
    if isinstance(result, (tuple, list)):
        return [array for part in result for array in numbers(part)]
    return [np.asarray(result, dtype=np.float64)]


def compare(name: str, call: Callable[[str], Any], device: str) -> dict[str, Any]:
    """How far a device's results are from the CPU's, and whether that is close enough."""
    found, expected = numbers(call(device)), numbers(call("cpu"))
    if [a.shape for a in found] != [b.shape for b in expected]:
        raise ValueError(f"{[a.shape for a in found]}, and from the CPU {[b.shape for b in expected]}")
    worst = max(
        float(np.abs(a - b).max() / max(1.0, np.abs(b).max())) for a, b in zip(found, expected, strict=True)
    )
    return {"worst": worst, "close": worst < (1e-9 if "float64" in name else 2e-5)}


def main() -> None:
    device = sys.argv[1] if len(sys.argv) > 1 else "cuda"
    wrong = 0
    for name, call in cases():
        found = compare(name, call, device)
        wrong += not found["close"]
        print(f"{'ok   ' if found['close'] else 'WRONG'} {name}: {found['worst']:.1e}", flush=True)
    raise SystemExit(f"{wrong} results differ from the CPU's." if wrong else 0)


if __name__ == "__main__":
    main()
