"""Measure continuous-time warps against other packages: time, memory, objective, in one run with one thread.

    python benchmarks/warps.py --declarativedtw PATH   with a clone of mingu6/declarativedtw
    python benchmarks/warps.py --only forward-1        one workload

Peers (gdtw, tslearn, and numba for the clone) that are not installed are left out. Times are CPU seconds of
this process, which other processes on the machine disturb less than the clock: the least of calls in turns
for "forward-1", else the median over the repeats, of one for what takes long. Figures go to the screen, with
--save FILE also to a file of JSON.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402

from sktime_sdtw import gdtw  # noqa: E402

torch.set_num_threads(1)
WORKLOADS = ("forward-1", "forward-32", "backward-32", "objective-64", "objective-128", "objective-256")


def smooth(rng: np.random.Generator, n: int, d: int) -> Any:
    t = np.linspace(0, 1, n)[:, None]
    return sum(rng.normal(size=d) * np.sin(2 * np.pi * (k * t + rng.random(d))) / k for k in range(1, 5))


def walk(rng: np.random.Generator, n: int, d: int) -> Any:
    return np.cumsum(rng.normal(size=(n, d)), 0) * 2 / np.sqrt(n)


def scaled(x: Any) -> Any:
    """Within [-1, 1], where the package gdtw puts signals in any case."""
    return 2 * (x - x.min(0)) / (x.max(0) - x.min(0)) - 1


def pairs(n: int, d: int, length: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    kinds = (smooth, walk)
    made = [[scaled(kinds[i % 2](rng, length, d)) for _ in range(2)] for i in range(n)]
    x, y = (np.stack([pair[side] for pair in made]) for side in (0, 1))
    return x, y


def objective(x: Any, y: Any, warp: Any, reg: float) -> float:
    """What all of them minimise, of one feature at times spread evenly over [0, 1]."""
    m = len(warp)
    weights = np.full(m, 1 / (m - 1))
    weights[[0, -1]] /= 2
    read = np.interp(warp, np.linspace(0, 1, len(x)), x)
    return float(weights @ (read - y) ** 2 + reg * ((np.diff(warp) * (m - 1) - 1) ** 2).sum() / (m - 1))


def load_layer(path: str | None) -> Any:
    """The published layer, as a function of arrays and the weight."""
    if path is None:
        return None
    sys.path.insert(0, path)
    from decdtw.decdtw import DecDTWLayer
    from decdtw.utils import BatchedSignal

    torch.set_default_dtype(torch.float64)

    def solve(x: Any, y: Any, reg: float) -> Any:
        weight = torch.full((len(x), 1), reg, dtype=torch.float64)
        # Its default band leaves out warps that nobody asked it to leave out only where durations differ.
        return DecDTWLayer()(BatchedSignal(x), BatchedSignal(y), weight).values

    return solve


def load_gdtw() -> Any:
    try:
        package = importlib.import_module("gdtw")
    except ImportError:
        return None

    def solve(x: Any, y: Any, reg: float, **settings: Any) -> Any:
        parameters = {"x": x, "y": y, "lambda_cum": 0.0, "lambda_inst": reg, "verbose": 0, **settings}
        parameters["t"] = np.linspace(0, 1, len(y))
        return np.asarray(package.GDTW().set_params(parameters).run().tau)

    return solve


CONVERGED = {"epsilon_abs": 0.0, "epsilon_rel": 1e-12, "max_iters": 40}


def cpu(function: Any, repeats: int) -> tuple[float, Any]:
    """Median CPU seconds, after a first call that loads code."""
    times, result = [], None
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        times.append(time.process_time() - start)
    return float(np.median(times)), result


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forward_one(layer: Any, peer: Any) -> dict[str, float]:
    x, y = pairs(1, 1, 512, seed=3)
    X, Y = torch.tensor(x), torch.tensor(y)
    contenders: dict[str, Any] = {
        "sktime-sdtw": lambda: gdtw(x, y, reg=0.1),
        "sktime-sdtw, tensors": lambda: gdtw(X, Y, reg=0.1),
    }
    if layer:
        contenders["DecDTW"] = lambda: layer(X, Y, 0.1)
    if peer:
        contenders["gdtw"] = lambda: peer(x[0, :, 0], y[0, :, 0], 0.1)
        contenders["gdtw, converged"] = lambda: peer(x[0, :, 0], y[0, :, 0], 0.1, **CONVERGED)
    try:
        from tslearn.metrics import dtw_path

        contenders["tslearn dtw_path"] = lambda: dtw_path(x[0], y[0])
    except ImportError:
        pass
    result = dict.fromkeys(contenders, float("inf"))
    for run in contenders.values():
        run()
    # In turns, so that what else the machine does meets all of them; the least of each.
    for _ in range(9):
        for name, run in contenders.items():
            result[name] = min(result[name], cpu(run, 1)[0])
    return result


def many(layer: Any, reg: float, which: str, backward: bool) -> dict[str, float]:
    """32 pairs of 512 time steps and 16 features; the memory beyond what was there before."""
    x, y = (torch.tensor(one, requires_grad=backward) for one in pairs(32, 16, 512))
    if which == "ours":
        solve = lambda x, y: gdtw(x, y, reg=reg).values  # noqa: E731
    else:
        solve = lambda x, y: layer(x, y, reg)  # noqa: E731
    solve(x[:1, :40], y[:1, :40])
    before = peak()
    seconds, warps = cpu(lambda: solve(x, y), 3 if which == "ours" else 1)
    result = {"forward": seconds, "MiB": peak() - before}
    if backward:
        upstream = torch.randn_like(warps)
        result["backward"] = cpu(
            lambda: torch.autograd.grad(warps, [x, y], upstream, retain_graph=True),
            5 if which == "ours" else 1,
        )[0]
    return result


def objectives(layer: Any, peer: Any, length: int, count: int) -> dict[str, Any]:
    """Random problems, half smooth and half random walks, weights 1e-3 ... 1."""
    rng = np.random.default_rng(length)
    x, y = pairs(count, 1, length, seed=length)
    regs = 10 ** rng.uniform(-3, 0, count)
    ours = gdtw(x, y, reg=regs)
    best = np.array([objective(x[i, :, 0], y[i, :, 0], ours.values[i], regs[i]) for i in range(count)])
    result: dict[str, Any] = {"problems": count, "largest residual": float(ours.kkt_residual.max())}
    others = {}
    if peer:
        others["gdtw, converged"] = lambda i: peer(x[i, :, 0], y[i, :, 0], regs[i], **CONVERGED)
    if layer:
        others["DecDTW"] = lambda i: layer(torch.tensor(x[i : i + 1]), torch.tensor(y[i : i + 1]), regs[i])[
            0
        ].numpy()
    for name, run in others.items():
        theirs = np.array([objective(x[i, :, 0], y[i, :, 0], run(i), regs[i]) for i in range(count)])
        relative = (best - theirs) / theirs
        result[name] = {
            "ours above by 1e-6": int((relative > 1e-6).sum()),
            "ours below by 1e-6": int((relative < -1e-6).sum()),
            "ours below by 1 %": int((relative < -0.01).sum()),
            "largest ours above": float(relative.max()),
        }
    return result


def run(name: str, arguments: argparse.Namespace) -> Any:
    layer, peer = load_layer(arguments.declarativedtw), load_gdtw()
    if name == "forward-1":
        return forward_one(layer, peer)
    if name in ("forward-32", "backward-32"):
        backward = name == "backward-32"
        if arguments.which is None:
            command = [sys.executable, *sys.argv, "--only", name, "--which"]
            sides = ["ours", *(["DecDTW"] if layer else [])]
            done = {side: subprocess.run([*command, side], check=True, capture_output=True) for side in sides}
            return {side: json.loads(one.stdout)[name] for side, one in done.items()}
        return many(layer, 0.1, arguments.which, backward)
    length = int(name.split("-")[1])
    return objectives(layer, peer, length, arguments.problems if length < 200 else arguments.problems // 5)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--declarativedtw", help="a clone of mingu6/declarativedtw")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, default=WORKLOADS)
    parser.add_argument("--problems", type=int, default=500, help="of the comparison of objectives")
    parser.add_argument("--which", help=argparse.SUPPRESS)
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    results = {name: run(name, arguments) for name in arguments.only}
    print(json.dumps(results, indent=2))
    if arguments.save:
        arguments.save.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
