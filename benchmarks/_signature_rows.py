"""What signatures.py measures: calls of ours and of the peers for each workload, and the ratios to reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

US = "sktime-sdtw"
PEERS = ("pysiglib", "iisignature", "signatory")
SHAPES = [
    (32, 128, 4, 6),
    (32, 128, 8, 5),
    (32, 128, 4, 7),
    (32, 128, 3, 7),
    (32, 128, 4, 9),
    (32, 128, 4, 4),
    (32, 128, 4, 2),
    (32, 10_000, 4, 4),
    (1, 10_000, 4, 5),
]


def paths(batch: int, length: int, channels: int, dtype: type) -> np.ndarray:
    """Brownian paths over unit time; in float64 the same numbers as in float32."""
    steps = np.random.default_rng(0).normal(size=(batch, length, channels)) / length**0.5
    return np.cumsum(steps, axis=1).astype(np.float32).astype(dtype)


def step(channels: int, depth: int) -> int:
    """Return the multiply-adds of one step of one path, forward."""
    return sum((depth - k + 1) * channels**k for k in range(1, depth + 1))


def step_backward(channels: int, depth: int) -> int:
    """Return those of one step back: twice the forward step, and the lower levels twice again."""
    return 2 * step(channels, depth) + 2 * step(channels, depth - 1)


def product(channels: int, depth: int) -> int:
    """Return those of one product of signatures."""
    return sum((k - 1) * channels**k for k in range(2, depth + 1))


def peer(name: str) -> Any:
    """Return the module, or None."""
    try:
        return __import__(name)
    except ImportError:
        return None


def as_tensor(x: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(x)


Calls = dict[str, Callable[[], Any]]


def forward(*shape: int, dtype: type) -> Calls:
    from sktime_sdtw.signatures import signature

    *size, depth = shape
    x = paths(*size, dtype)
    calls: Calls = {US: lambda: signature(x, depth)}
    if (sig := peer("pysiglib")) is not None:
        calls["pysiglib"] = lambda: sig.sig(x, depth)
    if (ii := peer("iisignature")) is not None and depth < 9:
        calls["iisignature"] = lambda: ii.sig(x, depth)
    if (signatory := peer("signatory")) is not None:
        tensor = as_tensor(x)
        calls["signatory"] = lambda: signatory.signature(tensor, depth).numpy()
    return calls


def backward(*shape: int, dtype: type) -> Calls:
    import torch

    from sktime_sdtw.signatures import signature

    *size, depth = shape
    x = paths(*size, dtype)
    tensor = torch.from_numpy(x).requires_grad_()
    out = signature(tensor, depth)
    weights = np.random.default_rng(1).normal(size=out.shape).astype(dtype)
    gradient = torch.from_numpy(weights)
    calls: Calls = {
        US: lambda: torch.autograd.grad(out, tensor, gradient, retain_graph=True)[0].numpy(),
        "our forward": lambda: signature(tensor.detach(), depth).numpy(),
    }
    if (sig := peer("pysiglib")) is not None:
        value = sig.sig(x, depth)
        calls["pysiglib"] = lambda: sig.sig_backprop(x, value, weights, depth)
    if (ii := peer("iisignature")) is not None and depth < 9:
        calls["iisignature"] = lambda: ii.sigbackprop(weights, x, depth)
    if (signatory := peer("signatory")) is not None:
        there = signatory.signature(tensor, depth)
        calls["signatory"] = lambda: torch.autograd.grad(there, tensor, gradient, retain_graph=True)[
            0
        ].numpy()
    return calls


def stream(*shape: int, dtype: type) -> Calls:
    from sktime_sdtw.signatures import signature

    *size, depth = shape
    x = paths(*size, dtype)
    calls: Calls = {US: lambda: signature(x, depth, stream=True)}
    if (ii := peer("iisignature")) is not None:
        calls["iisignature"] = lambda: ii.sig(x, depth, 2)
    if (signatory := peer("signatory")) is not None:
        tensor = as_tensor(x)
        calls["signatory"] = lambda: signatory.signature(tensor, depth, stream=True).numpy()
    return calls


def logsignature(*shape: int, dtype: type) -> Calls:
    """By words, forward and backward."""
    import torch

    from sktime_sdtw import signatures

    *size, depth = shape
    x = paths(*size, dtype)
    tensor = torch.from_numpy(x).requires_grad_()
    weights = np.random.default_rng(1).normal(
        size=(size[0], signatures.logsignature_channels(size[2], depth))
    )
    weights = weights.astype(dtype)

    def ours() -> np.ndarray:
        out = signatures.logsignature(tensor, depth)
        return torch.autograd.grad(out, tensor, torch.from_numpy(weights))[0].numpy()

    calls: Calls = {US: ours}
    if (sig := peer("pysiglib")) is not None:
        sig.prepare_log_sig(size[2], depth, 1)

        def theirs() -> np.ndarray:
            value = sig.sig(x, depth)
            sig.sig_to_log_sig(value, size[2], depth, method=1)
            back = sig.sig_to_log_sig_backprop(value, weights, size[2], depth, method=1)
            return sig.sig_backprop(x, value, back, depth)

        calls["pysiglib"] = theirs
    if (signatory := peer("signatory")) is not None:

        def signatorys() -> np.ndarray:
            out = signatory.logsignature(tensor, depth)
            return torch.autograd.grad(out, tensor, torch.from_numpy(weights))[0].numpy()

        calls["signatory"] = signatorys
    return calls


def windows(length: int, channels: int, depth: int, size: int, dtype: type) -> Calls:
    from sktime_sdtw.signatures import signature

    x = paths(1, length, channels, dtype)
    view = np.lib.stride_tricks.sliding_window_view(x[0], size, axis=0).transpose(0, 2, 1)
    copies = np.ascontiguousarray(view)
    calls: Calls = {US: lambda: signature(x, depth, windows=("sliding", size))}
    if (sig := peer("pysiglib")) is not None:
        calls["pysiglib"] = lambda: sig.sig(copies, depth)
    return calls


def small(dtype: type) -> Calls:
    from sktime_sdtw.signatures import signature

    x = paths(1, 20, 2, dtype)
    calls: Calls = {US: lambda: signature(x, 3)}
    if (sig := peer("pysiglib")) is not None:
        calls["pysiglib"] = lambda: sig.sig(x, 3)
    if (ii := peer("iisignature")) is not None:
        calls["iisignature"] = lambda: ii.sig(x, 3)
    return calls


def pair_of_sets(batch: int, length: int, channels: int, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    both = paths(2 * batch, length, channels, dtype)
    return both[:batch].copy(), both[batch:].copy()  # pySigLib copies views, and warns


def kernels(
    batch: int, length: int, channels: int, refinement: int, all_pairs: bool, static: str, dtype: type
) -> Calls:
    from sktime_sdtw.signatures import signature_kernel, signature_kernel_gram

    x, y = pair_of_sets(batch, length, channels, dtype)
    ours = signature_kernel_gram if all_pairs else signature_kernel
    calls: Calls = {US: lambda: ours(x, y, refinement=refinement, static_kernel=static)}
    if (sig := peer("pysiglib")) is not None:
        theirs = sig.sig_kernel_gram if all_pairs else sig.sig_kernel
        kernel = sig.RBFKernel(2.0) if static == "rbf" else None
        calls["pysiglib"] = lambda: theirs(x, y, dyadic_order=refinement, static_kernel=kernel)
    return calls


def kernel_gradients(
    batch: int, length: int, channels: int, refinement: int, all_pairs: bool, dtype: type
) -> Calls:
    """Gradients by both sets, the values being known; pySigLib may have kept its table of all pairs too."""
    import torch

    from sktime_sdtw.signatures import signature_kernel, signature_kernel_gram

    x, y = pair_of_sets(batch, length, channels, dtype)
    ours = signature_kernel_gram if all_pairs else signature_kernel
    tensors = [torch.from_numpy(v).requires_grad_() for v in (x, y)]
    out = ours(*tensors, refinement=refinement)
    weights = np.random.default_rng(1).normal(size=out.shape).astype(dtype)
    gradient = torch.from_numpy(weights)

    def stacked(found: Any) -> np.ndarray:
        return np.concatenate([np.asarray(v) for v in found])

    calls: Calls = {US: lambda: stacked(torch.autograd.grad(out, tensors, gradient, retain_graph=True))}
    if (sig := peer("pysiglib")) is not None:
        back = sig.sig_kernel_gram_backprop if all_pairs else sig.sig_kernel_backprop
        forward = sig.sig_kernel_gram if all_pairs else sig.sig_kernel
        arguments = {"dyadic_order": refinement, "right_deriv": True}
        table = np.array(forward(x, y, dyadic_order=refinement, return_grid=True))
        calls["pysiglib"] = lambda: stacked(back(weights, x, y, **arguments))
        calls["pysiglib, table kept"] = lambda: stacked(back(weights, x, y, k_grid=table, **arguments))
    return calls


def warm_up() -> None:
    """Load all code that our calls need, by calls so small that the memory they keep is none."""
    kinds: list[Calls] = [
        build(2, 20, 2, 3, dtype=np.float32) for build in (forward, backward, stream, logsignature)
    ]
    kinds.append(windows(20, 2, 3, 4, dtype=np.float32))
    for all_pairs in (False, True):
        kinds += [kernels(2, 20, 2, 1, all_pairs, static, dtype=np.float32) for static in ("linear", "rbf")]
        kinds.append(kernel_gradients(2, 20, 2, 1, all_pairs, dtype=np.float32))
    for calls in kinds:
        calls[US]()


def two_threads(*shape: int, dtype: type) -> Calls:
    from sktime_sdtw.signatures import signature

    *size, depth = shape
    x = paths(*size, dtype)
    return {
        US: lambda: signature(x, depth, n_jobs=2),
        "one thread": lambda: signature(x, depth, n_jobs=1),
    }


def two_threads_backward(*shape: int, dtype: type) -> Calls:
    import torch

    from sktime_sdtw.signatures import signature

    *size, depth = shape
    tensor = torch.from_numpy(paths(*size, dtype)).requires_grad_()
    out = signature(tensor, depth)
    gradient = torch.ones_like(out)

    def call(n_threads: int) -> np.ndarray:
        torch.set_num_threads(n_threads)
        return torch.autograd.grad(out, tensor, gradient, retain_graph=True)[0].numpy()

    return {US: lambda: call(2), "one thread": lambda: call(1)}


@dataclass
class Row:
    """One workload: what is called, the ratios to reach, and how many multiply-adds our algorithm needs."""

    build: Callable[..., Calls]  # of the dtype
    must: dict[str, float] = field(default_factory=dict)
    fmas: float | None = None
    threads: int = 1


def rows() -> dict[str, Row]:
    """Return the workloads by name."""
    return {**signature_rows(), **kernel_rows(), **thread_rows()}


def named(prefix: str, shape: tuple[int, ...]) -> str:
    return f"{prefix} {shape}".replace("10000", "10,000")


def steps(shape: tuple[int, ...]) -> int:
    return shape[0] * (shape[1] - 1)


def signature_rows() -> dict[str, Row]:
    table = {}
    for shape in SHAPES:
        *_, d, depth = shape
        asked = shape not in {(32, 128, 4, 4), (32, 128, 4, 2)}
        must = {"pysiglib": 2.0, "signatory": 8.0} if asked else {}
        fmas = steps(shape) * step(d, depth)
        table[named("forward", shape)] = Row(partial(forward, *shape), must, fmas)
        must = {"our forward": 1 / 3}
        if depth >= 4:
            must["fastest peer"] = 5.0 if shape[1] > 1000 else 10.0
        fmas = steps(shape) * step_backward(d, depth)
        table[named("backward", shape)] = Row(partial(backward, *shape), must, fmas)
    for shape in ((32, 128, 4, 5), (1, 10_000, 4, 4)):
        fmas = steps(shape) * step(*shape[2:])
        table[named("all beginnings", shape)] = Row(partial(stream, *shape), {"fastest peer": 5.0}, fmas)
    table["log-signature by words, forward and backward, (32, 128, 4, 6)"] = Row(
        partial(logsignature, 32, 128, 4, 6), {"fastest peer": 5.0}
    )
    # A step in each of two directions, and a product for each window.
    fmas = 9_999 * 2 * step(4, 4) + 9_937 * product(4, 4)
    table["9937 windows of 64 points, (1, 10,000, 4, 4)"] = Row(
        partial(windows, 10_000, 4, 4, 64), {"fastest peer": 10.0}, fmas
    )
    table["small: (1, 20, 2, 3)"] = Row(small, {}, 19 * step(2, 3))
    return table


def kernel_rows() -> dict[str, Row]:
    table = {}
    for n, length, refinement, static in (
        (32, 128, 0, "linear"),
        (32, 128, 1, "linear"),
        (32, 128, 2, "linear"),
        (32, 128, 0, "rbf"),
        (8, 512, 0, "linear"),
    ):
        name = f"kernel of all pairs, {n} with {n}, ({length}, 4), refinement {refinement}, {static}"
        table[name] = Row(partial(kernels, n, length, 4, refinement, True, static), {"pysiglib": 2.0})
    for n, length, refinement in ((32, 128, 0), (32, 128, 2), (1, 128, 0), (1, 2000, 0), (1, 2000, 1)):
        name = f"kernel of pairs, {n}, ({length}, 4), refinement {refinement}"
        table[name] = Row(partial(kernels, n, length, 4, refinement, False, "linear"), {"pysiglib": 2.0})
    for n, length, refinement, every in (
        (32, 128, 0, True),
        (32, 128, 1, True),
        (32, 128, 0, False),
        (1, 1000, 0, False),
    ):
        kind = f"all pairs, {n} with {n}" if every else f"pairs, {n}"
        name = f"gradient of the kernel of {kind}, ({length}, 4), refinement {refinement}"
        table[name] = Row(
            partial(kernel_gradients, n, length, 4, refinement, every),
            {"pysiglib": 5.0, "pysiglib, table kept": 5.0},
        )
    return table


def thread_rows() -> dict[str, Row]:
    table = {}
    for shape in ((32, 128, 8, 5), (1, 10_000, 4, 5)):
        must = {"one thread": 1.85}
        fmas = steps(shape) * step(*shape[2:])
        table[named("two threads", shape)] = Row(partial(two_threads, *shape), must, fmas, threads=2)
        fmas = steps(shape) * step_backward(*shape[2:])
        table[named("two threads, backward", shape)] = Row(
            partial(two_threads_backward, *shape), must, fmas, threads=2
        )
    return table
