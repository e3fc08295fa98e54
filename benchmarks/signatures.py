"""Signatures against pySigLib and iisignature, on the same work in one run, all packages taking turns.

    python benchmarks/signatures.py --update

One thread unless a row says otherwise; float32 where a package computes in it (iisignature: float64). A row's
ratio is the other package's median time over ours, with --minima the least one. "GFLOP/s" counts the
multiply-adds of the algorithm that this package uses, and compares them with what the matrix product of torch
reaches on one thread.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _measure import interleave, machine, peak_memory

HERE = Path(__file__).resolve().parent
US = "sktime-sdtw"
PEERS = ("pysiglib", "iisignature")
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


def paths(batch: int, length: int, channels: int) -> np.ndarray:
    """Brownian paths over unit time."""
    steps = np.random.default_rng(0).normal(size=(batch, length, channels)) / length**0.5
    return np.cumsum(steps, axis=1).astype(np.float32)


def flops(batch: int, length: int, channels: int, depth: int) -> float:
    """Return two for each multiply-add of the forward pass."""
    return 2.0 * batch * (length - 1) * sum((depth - k + 1) * channels**k for k in range(1, depth + 1))


def peer(name: str) -> Any:
    """Return the module, or None."""
    try:
        return __import__(name)
    except ImportError:
        return None


Calls = dict[str, Callable[[], Any]]


def forward(*shape: int) -> Calls:
    from sktime_sdtw.signatures import signature

    *size, depth = shape
    x = paths(*size)
    calls: Calls = {US: lambda: signature(x, depth)}
    if (sig := peer("pysiglib")) is not None:
        calls["pysiglib"] = lambda: sig.sig(x, depth)
    if (ii := peer("iisignature")) is not None and depth < 9:
        calls["iisignature"] = lambda: ii.sig(x, depth)
    return calls


def backward(*shape: int) -> Calls:
    import torch

    from sktime_sdtw.signatures import signature

    *size, depth = shape
    x = paths(*size)
    tensor = torch.from_numpy(x).requires_grad_()
    out = signature(tensor, depth)
    weights = np.random.default_rng(1).normal(size=out.shape).astype(np.float32)
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
    return calls


def stream(*shape: int) -> Calls:
    from sktime_sdtw.signatures import signature

    *size, depth = shape
    x = paths(*size)
    calls: Calls = {US: lambda: signature(x, depth, stream=True)}
    if (ii := peer("iisignature")) is not None:
        calls["iisignature"] = lambda: ii.sig(x, depth, 2)
    return calls


def logsignature(*shape: int) -> Calls:
    """By words, forward and backward."""
    import torch

    from sktime_sdtw import signatures

    *size, depth = shape
    x = paths(*size)
    tensor = torch.from_numpy(x).requires_grad_()
    weights = np.random.default_rng(1).normal(
        size=(size[0], signatures.logsignature_channels(size[2], depth))
    )
    weights = weights.astype(np.float32)

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
    return calls


def windows(length: int, channels: int, depth: int, size: int) -> Calls:
    from sktime_sdtw.signatures import signature

    x = paths(1, length, channels)
    view = np.lib.stride_tricks.sliding_window_view(x[0], size, axis=0).transpose(0, 2, 1)
    copies = np.ascontiguousarray(view)
    calls: Calls = {US: lambda: signature(x, depth, windows=("sliding", size))}
    if (sig := peer("pysiglib")) is not None:
        calls["pysiglib"] = lambda: sig.sig(copies, depth)
    return calls


def small() -> Calls:
    from sktime_sdtw.signatures import signature

    x = paths(1, 20, 2)
    calls: Calls = {US: lambda: signature(x, 3)}
    if (sig := peer("pysiglib")) is not None:
        calls["pysiglib"] = lambda: sig.sig(x, 3)
    if (ii := peer("iisignature")) is not None:
        calls["iisignature"] = lambda: ii.sig(x, 3)
    return calls


def pair_of_sets(batch: int, length: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    both = paths(2 * batch, length, channels)
    return both[:batch].copy(), both[batch:].copy()  # pySigLib copies views, and warns


def kernels(batch: int, length: int, channels: int, refinement: int, all_pairs: bool, static: str) -> Calls:
    from sktime_sdtw.signatures import signature_kernel, signature_kernel_gram

    x, y = pair_of_sets(batch, length, channels)
    ours = signature_kernel_gram if all_pairs else signature_kernel
    calls: Calls = {US: lambda: ours(x, y, refinement=refinement, static_kernel=static)}
    if (sig := peer("pysiglib")) is not None:
        theirs = sig.sig_kernel_gram if all_pairs else sig.sig_kernel
        kernel = sig.RBFKernel(2.0) if static == "rbf" else None
        calls["pysiglib"] = lambda: theirs(x, y, dyadic_order=refinement, static_kernel=kernel)
    return calls


def kernel_gradients(batch: int, length: int, channels: int, refinement: int, all_pairs: bool) -> Calls:
    """Gradients by both sets, the values being known; pySigLib may have kept its table of all pairs too."""
    import torch

    from sktime_sdtw.signatures import signature_kernel, signature_kernel_gram

    x, y = pair_of_sets(batch, length, channels)
    ours = signature_kernel_gram if all_pairs else signature_kernel
    tensors = [torch.from_numpy(v).requires_grad_() for v in (x, y)]
    out = ours(*tensors, refinement=refinement)
    weights = np.random.default_rng(1).normal(size=out.shape).astype(np.float32)
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


def two_threads(*shape: int) -> Calls:
    from sktime_sdtw.signatures import signature

    *size, depth = shape
    x = paths(*size)
    return {
        US: lambda: signature(x, depth, n_jobs=2),
        "one thread": lambda: signature(x, depth, n_jobs=1),
    }


def rows() -> dict[str, tuple[Callable[[], Calls], tuple[int, ...] | None, dict[str, float]]]:
    """Return for each workload its calls, its shape where it is a forward pass, and the ratios to reach."""
    table: dict[str, Any] = {}
    for shape in SHAPES:
        name = f"{shape}".replace("10000", "10,000")
        long = shape[1] > 1000
        must = {"pysiglib": 2.0} if shape not in {(32, 128, 4, 4), (32, 128, 4, 2)} else {}
        table[f"forward {name}"] = (lambda s=shape: forward(*s)), shape, must
        must = {"our forward": 1 / 3}
        if shape[3] >= 4:
            must["fastest peer"] = 5.0 if long else 10.0
        table[f"backward {name}"] = (lambda s=shape: backward(*s)), None, must
    for shape in ((32, 128, 4, 5), (1, 10_000, 4, 4)):
        name = f"all beginnings {shape}".replace("10000", "10,000")
        table[name] = (lambda s=shape: stream(*s)), None, {"fastest peer": 5.0}
    shape = (32, 128, 4, 6)
    table[f"log-signature by words, forward and backward, {shape}"] = (
        lambda: logsignature(32, 128, 4, 6),
        None,
        {"fastest peer": 5.0},
    )
    table["9937 windows of 64 points, (1, 10,000, 4, 4)"] = (
        lambda: windows(10_000, 4, 4, 64),
        None,
        {"fastest peer": 10.0},
    )
    table["small: (1, 20, 2, 3)"] = small, None, {}
    for n, length, refinement, static in (
        (32, 128, 0, "linear"),
        (32, 128, 1, "linear"),
        (32, 128, 2, "linear"),
        (32, 128, 0, "rbf"),
        (8, 512, 0, "linear"),
    ):
        name = f"kernel of all pairs, {n} with {n}, ({length}, 4), refinement {refinement}, {static}"
        table[name] = (
            (lambda n=n, t=length, r=refinement, s=static: kernels(n, t, 4, r, True, s)),
            None,
            {"pysiglib": 2.0},
        )
    for n, length, refinement in ((32, 128, 0), (32, 128, 2), (1, 128, 0), (1, 2000, 0), (1, 2000, 1)):
        name = f"kernel of pairs, {n}, ({length}, 4), refinement {refinement}"
        table[name] = (
            (lambda n=n, t=length, r=refinement: kernels(n, t, 4, r, False, "linear")),
            None,
            {"pysiglib": 2.0},
        )
    for n, length, refinement, every in (
        (32, 128, 0, True),
        (32, 128, 1, True),
        (32, 128, 0, False),
        (1, 1000, 0, False),
    ):
        kind = f"all pairs, {n} with {n}" if every else f"pairs, {n}"
        name = f"gradient of the kernel of {kind}, ({length}, 4), refinement {refinement}"
        table[name] = (
            (lambda n=n, t=length, r=refinement, e=every: kernel_gradients(n, t, 4, r, e)),
            None,
            {"pysiglib": 5.0, "pysiglib, table kept": 5.0},
        )
    for shape in ((32, 128, 8, 5), (1, 10_000, 4, 5)):
        name = f"two threads {shape}".replace("10000", "10,000")
        table[name] = (lambda s=shape: two_threads(*s)), None, {"one thread": 1.85}
    return table


def accuracy() -> dict[str, float]:
    """Return relative errors of float32 windows of 50 points, by where they begin on 10,000 unit steps."""
    from sktime_sdtw.signatures import Path as Intervals
    from sktime_sdtw.signatures import signature

    steps = np.random.default_rng(0).normal(size=(1, 10_000, 4))
    x = np.cumsum(steps, axis=1).astype(np.float32)
    path, errors = Intervals(x, 5), {}
    for begin in (10, 1000, 9000):
        expected = signature(x[:, begin : begin + 50].astype(np.float64), 5)
        error = np.abs(path.signature(begin, begin + 50) - expected).max() / np.abs(expected).max()
        errors[f"window from {begin}"] = float(error)
    long = np.cumsum(np.random.default_rng(1).normal(size=(1, 100_001, 4)) / 316, axis=1).astype(np.float32)
    expected = signature(long.astype(np.float64), 5)
    errors["100,000 steps"] = float(np.abs(signature(long, 5) - expected).max() / np.abs(expected).max())
    return errors


def sgemm() -> float:
    """Return the GFLOP/s of torch's matrix product on one thread: its best."""
    import time

    import torch

    torch.set_num_threads(1)
    a, b, best = torch.rand(1024, 1024), torch.rand(1024, 1024), 1e9
    for _ in range(20):
        begin = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - begin)
    return 2 * 1024**3 / best / 1e9


def measure(name: str, repeats: int) -> dict[str, Any]:
    """Time one row, in this process."""
    import torch

    torch.set_num_threads(1)
    build, shape, must = rows()[name]
    calls = build()
    first, times = interleave(calls, repeats, 0.05)
    differences = {}
    for other, result in first.items():
        if other in PEERS and np.shape(result) == np.shape(first[US]):
            scale = np.abs(result).max()
            differences[other] = float(f"{np.abs(result - first[US]).max() / scale:.2g}")
    return {
        "times": times,
        "must": must,
        "differences": differences,
        "flops": flops(*shape) if shape else None,
    }


def measure_memory(name: str) -> int:
    """Return the bytes that our call needs beside what it returns."""
    import torch

    torch.set_num_threads(1)
    call = rows()[name][0]()[US]
    call()  # loads code and fills caches
    return peak_memory(call)


def in_own_process(task: str, name: str, repeats: int) -> Any:
    command = [sys.executable, __file__, "--task", task, "--only", name, "--repeats", str(repeats)]
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **one})
    if done.returncode:
        raise SystemExit(f"{name} failed")
    return json.loads(done.stdout.splitlines()[-1])


def duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-4 else f"{seconds * 1e6:.3g} µs"


def table(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    info, peak = report["machine"], report["sgemm"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    lines = [
        f"{info['date']}, {info['cpu']}, {info['cores']} cores, one thread each unless said, load average "
        f"{info['load_average']} at the start; commit {info['commit']}; {versions}; "
        f"{'medians' if report['statistic'] == 'median_s' else 'minima'} of {report['repeats']} rounds in "
        "which all take turns. (batch, length, channels, depth), float32. "
        f"Matrix product of torch, one thread: {peak:.0f} GFLOP/s.",
        "",
        "| workload | ours | GFLOP/s | compared with | theirs | ratio | must reach | peak memory |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, row in report["rows"].items():
        times = {key: value[report["statistic"]] for key, value in row["times"].items()}
        ours = times.pop(US)
        rate = (
            f"{row['flops'] / ours / 1e9:.0f} ({row['flops'] / ours / 1e7 / peak:.0f} %)"
            if row["flops"]
            else ""
        )
        memory = f"{row['memory'] / 2**20:.1f} MiB"
        front = [name, duration(ours), rate]
        fastest = min((key for key in times if key in PEERS), key=lambda key: times[key], default=None)
        for other, seconds in times.items():
            must = row["must"].get(other)
            if other == fastest:
                must = row["must"].get("fastest peer", must)
            wanted = f"{must:.3g}" if must else ""
            ratio = f"**{seconds / ours:.3g}**"
            lines.append(
                f"| {' | '.join(front)} | {other} | {duration(seconds)} | {ratio} | {wanted} | {memory} |"
            )
            front, memory = ["", "", ""], ""
        if not times:
            lines.append(f"| {' | '.join(front)} | | | | | {memory} |")
    errors = ", ".join(f"{key} {value:.1e}" for key, value in report["accuracy"].items())
    worst = max((d for row in report["rows"].values() for d in row["differences"].values()), default=0.0)
    lines += [
        "",
        f"Relative errors in float32, depth 5, 4 channels: {errors}.",
        f"Largest difference from a peer's result, relative to its largest number: {worst:.1e}.",
    ]
    return "\n".join(lines)


def update(text: str) -> None:
    page = HERE / "SIGNATURES.md"
    begin, end = "<!-- table: begin -->", "<!-- table: end -->"
    old = page.read_text()
    page.write_text(old[: old.index(begin) + len(begin)] + f"\n\n{text}\n\n" + old[old.index(end) :])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="rows whose names contain one of these")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each row (default 5)")
    parser.add_argument("--output", type=Path, metavar="JSON", help="where the figures go")
    parser.add_argument("--update", action="store_true", help="write the table into benchmarks/SIGNATURES.md")
    parser.add_argument(
        "--minima", action="store_true", help="compare the fastest rounds, on a machine that is busy"
    )
    parser.add_argument("--task", choices=["time", "memory"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task == "time":
        print(json.dumps(measure(args.only[0], args.repeats)))
        return
    if args.task == "memory":
        print(json.dumps(measure_memory(args.only[0])))
        return
    info = machine()
    info["command"] = "python benchmarks/signatures.py"
    versions = {}
    for name in (US, "numpy", "torch", *PEERS):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            print(f"not measured: {name} is not installed", file=sys.stderr)
    report: dict[str, Any] = {
        "machine": info,
        "versions": versions,
        "repeats": args.repeats,
        "statistic": "min_s" if args.minima else "median_s",
        "sgemm": sgemm(),
        "accuracy": accuracy(),
        "rows": {},
    }
    for name in rows():
        if args.only and not any(text in name for text in args.only):
            continue
        print(f"{name} …", file=sys.stderr, flush=True)
        row = in_own_process("time", name, args.repeats)
        row["memory"] = in_own_process("memory", name, args.repeats)
        report["rows"][name] = row
    output = args.output or HERE / "results" / f"signatures-{info['date']}.json"
    output.write_text(json.dumps(report, indent=1) + "\n")
    print(table(report))
    if args.update:
        update(table(report))


if __name__ == "__main__":
    main()
