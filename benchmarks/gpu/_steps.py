"""The steps of `run` that measure, each in a process of its own; each returns what the report says."""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import _clock
import _kernel_rows
import _rows
import _signature_rows
import _warp_rows
import numpy as np

import sktime_sdtw as sdtw


@dataclass
class Options:
    """How to measure.

    Parameters
    ----------
    device : str
    gpu : bool
        Whether there are events, clocks and memory to look at; False in a dry run.
    shrink : int
        Sizes are divided by this.
    peer : str or None
        A checkout of BGU-CS-VIL/sdtw-cuda-torch.
    until : float
        When to stop, by time.monotonic().
    only : set of str
        Names of rows; all where it is empty.
    done : set of str
        Names of rows that an earlier process has done.
    tell : callable
        Gets {"begin": name} when a row begins and {"row": what is known} as soon as something is, with
        "partial" where more is to come.
    """

    device: str
    gpu: bool
    shrink: int
    peer: str | None
    until: float
    only: set[str]
    done: set[str] = field(default_factory=set)
    tell: Callable[[dict[str, Any]], None] = lambda found: None

    def rows(self, rows: Iterable[_rows.Row]) -> list[_rows.Row]:
        """Those that were asked for, in their size."""
        chosen = [row for row in rows if not self.only or row.name in self.only]
        return [row.shrunk(self.shrink) if self.shrink > 1 else row for row in chosen]

    def budget(self, seconds: float) -> float:
        """How long one measurement may go on."""
        return 0.01 if not self.gpu else seconds


def guarded(name: str, options: Options, body: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `body` finds, or why it found nothing: one row must not cost the others."""
    if name in options.done:
        return {"name": name}
    print(f"{name} …", file=sys.stderr, flush=True)
    options.tell({"begin": name})
    broken = False
    if time.monotonic() > options.until:
        found = {"name": name, "skipped": "out of time"}
    else:
        try:
            found = {"name": name, **body()}
        except Exception as error:
            traceback.print_exc()
            found = {"name": name, "skipped": f"{type(error).__name__}: {error}"[:500]}
            broken = options.gpu and not _gpu_works(options.device)
    options.tell({"row": found})
    if broken:
        raise SystemExit("After that error nothing works on the GPU any more in this process.")
    if options.gpu:
        import torch

        torch.cuda.empty_cache()
    return found


def _gpu_works(device: str) -> bool:
    """Whether a process can go on after an error: after a bad address, say, it cannot."""
    import torch

    try:
        torch.cuda.synchronize(device)
        return bool(torch.ones(1, device=device).item() == 1)
    except RuntimeError:
        return False


def smoke(options: Options) -> list[dict[str, Any]]:
    """Every kernel a few times at small sizes, against the CPU."""
    import _small

    return [
        guarded(name, options, lambda call=call, name=name: _small.compare(name, call, options.device))
        for name, call in _small.cases()
        if not options.only or name in options.only
    ]


def series_for(row: _rows.Row, options: Options) -> tuple[Callable[[], Any], str]:
    """Our call on tensors of the device where there is one for them, else on arrays; and which of them."""
    x, y = row.series()
    try:
        import torch

        functional = importlib.import_module("sktime_sdtw.functional")
        a, b = (torch.from_numpy(series).to(options.device) for series in (x, y))
        row.call_on_tensors(functional, a[:1, :2], b[:1, :2])
        return lambda: row.call_on_tensors(functional, a, b), "tensors"
    except (ImportError, NotImplementedError, TypeError) as error:
        print(f"  no tensors: {error}", file=sys.stderr)
    return lambda: row.call(sdtw, x, y, device=options.device), "arrays"


def pairwise(options: Options) -> list[dict[str, Any]]:
    """Values of all pairs."""

    def one(row: _rows.Row) -> dict[str, Any]:
        call, kind = series_for(row, options)
        times = _clock.measure(call, options.gpu, seconds=options.budget(3))
        kernels = _clock.kernel_seconds(call, options.gpu)
        spent = kernels["all"] if kernels else times["device_s"]
        return {
            "title": row.title,
            "input": kind,
            "cells": row.cells,
            **times,
            "kernels": kernels,
            "cells_per_s": row.cells / times["device_s"],
            "cells_per_s_of_kernels": row.cells / spent,
            "repeated": _same(call),
        }

    def in_its_way(row: _rows.Row) -> dict[str, Any]:
        with row.chosen():
            return one(row)

    return [
        guarded(row.name, options, lambda row=row: in_its_way(row)) for row in options.rows(_rows.PAIRWISE)
    ]


def _same(call: Callable[[], Any]) -> bool:
    """Whether two calls give the same bits."""

    def bits(value: Any) -> bytes:
        return np.asarray(value.cpu() if hasattr(value, "cpu") else value).tobytes()

    return bits(call()) == bits(call())


def training(options: Options) -> list[dict[str, Any]]:
    """Values and both gradients of a batch, beside the peer's modes."""

    def one(row: _rows.Row) -> dict[str, Any]:
        call, kind = series_for(row, options)
        found = {
            "title": row.title,
            "input": kind,
            "cells": row.cells,
            "ours": {
                **_clock.measure(call, options.gpu, seconds=options.budget(1)),
                "kernels": _clock.kernel_seconds(call, options.gpu),
            },
        }
        del call
        found["ours"]["peak"] = _clock.peak_bytes(lambda: series_for(row, options)[0], options.gpu)
        found |= {mode: {"skipped": "not come to"} for mode in ("unfused", "fused")}
        options.tell({"row": {"name": row.name, **found}, "partial": True})  # whatever becomes of the peer
        for mode, fused in (("unfused", False), ("fused", True)):
            found[mode] = _peer(row, fused, options)
        return found

    # The grid in the order of its sizes, so that time runs out at the largest.
    rows = sorted(options.rows(_rows.TRAINING), key=lambda row: row.cells * row.d)
    return [guarded(row.name, options, lambda row=row: one(row)) for row in rows]


def second(options: Options) -> list[dict[str, Any]]:
    """Training steps with second derivatives, of tensors."""

    def one(row: _rows.Row) -> dict[str, Any]:
        call, kind = series_for(row, options)
        found = {
            "title": row.title,
            "input": kind,
            "cells": row.cells,
            **_clock.measure(call, options.gpu, seconds=options.budget(1)),
            "kernels": _clock.kernel_seconds(call, options.gpu),
            "repeated": _same(lambda: call()[-1]),
        }
        return {**found, "peak": _clock.peak_bytes(lambda: series_for(row, options)[0], options.gpu)}

    return [guarded(row.name, options, lambda row=row: one(row)) for row in options.rows(_rows.SECOND)]


def _peer(row: _rows.Row, fused: bool, options: Options) -> dict[str, Any]:
    """SoftDTW-CUDA-Torch on the same numbers."""
    if options.peer is None:
        return {"skipped": "no checkout given"}
    try:
        import torch

        if options.peer not in sys.path:
            sys.path.insert(0, options.peer)
        module = importlib.import_module("softdtw_cuda")
        x, y = row.series()
        loss = module.SoftDTW(gamma=row.gamma, fused=fused)
        results: list[Any] = []

        def make() -> Callable[[], Any]:
            X, Y = (torch.from_numpy(a).to(options.device) for a in (x, y))

            def step() -> None:
                a, b = X.detach().requires_grad_(), Y.detach().requires_grad_()
                value = loss(a, b)
                value.sum().backward()
                results[:] = [value, a.grad, b.grad]

            return step

        step = make()
        times = _clock.measure(step, options.gpu, seconds=options.budget(1), least=3)
        theirs = [part.detach().cpu().numpy().astype(np.float64) for part in results]
        results.clear()
        del step
        peak = _clock.peak_bytes(make, options.gpu)
        ours = (
            row.call(sdtw, x.astype(np.float64), y.astype(np.float64), device="cpu") if row.n <= 512 else None
        )
        difference = None
        if ours is not None:  # from ours in double on the CPU
            parts = zip(theirs, (ours.value, ours.x, ours.y), strict=True)
            difference = max(float(np.abs(a - np.asarray(b)).max() / np.abs(b).max()) for a, b in parts)
        return {**times, "peak": peak, "difference": difference}
    except Exception as error:
        return {"skipped": f"{type(error).__name__}: {error}"[:500]}


def long(options: Options) -> list[dict[str, Any]]:
    """One long pair, value and gradients."""

    def one(row: _rows.Row) -> dict[str, Any]:
        call, kind = series_for(row, options)
        times = _clock.measure(call, options.gpu, seconds=options.budget(20), least=2)
        kernels = _clock.kernel_seconds(call, options.gpu, rounds=1)
        del call
        peak = _clock.peak_bytes(lambda: series_for(row, options)[0], options.gpu)
        return {
            "title": row.title,
            "input": kind,
            "cells": row.cells,
            **times,
            "kernels": kernels,
            "peak": peak,
        }

    return [guarded(row.name, options, lambda row=row: one(row)) for row in options.rows([_rows.LONG])]


def transfer(options: Options) -> list[dict[str, Any]]:
    """A large matrix from arrays to an array: what the way to the GPU and back adds to the kernels."""

    def one(row: _rows.Row) -> dict[str, Any]:
        x, y = row.series()

        def call() -> Any:
            return row.call(sdtw, x, y, device=options.device)

        times = _clock.measure(call, options.gpu, seconds=options.budget(10), least=3)
        kernels = _clock.kernel_seconds(call, options.gpu)
        ratio = times["wall_s"] / kernels["all"] if kernels else None
        return {"title": row.title, "cells": row.cells, **times, "kernels": kernels, "ratio": ratio}

    return [guarded(row.name, options, lambda row=row: one(row)) for row in options.rows([_rows.TRANSFER])]


# A process that makes one call; torch's own start comes first and is not ours.
_FIRST = """
import json, sys, time
device, what = sys.argv[1:]
begin = time.perf_counter()
if device != "cpu":
    import torch
    torch.zeros(1, device=device)
    torch.cuda.synchronize()
import numpy as np
started = time.perf_counter()
import sktime_sdtw as sdtw
sdtw.pairwise_soft_dtw, sdtw.paired_soft_dtw_gradient  # which brings scikit-learn and SciPy
imported = time.perf_counter()
x = np.random.default_rng(0).normal(size=(8, 100, 64 if what == "training" else 1)).astype(np.float32)
if what == "training":
    sdtw.paired_soft_dtw_gradient(x, x[::-1], wrt=("x", "y"), device=device)
else:
    sdtw.pairwise_soft_dtw(x, device=device)
called = time.perf_counter()
print(json.dumps({"start": started - begin, "import": imported - started, "call": called - imported}))
"""


def first(options: Options) -> list[dict[str, Any]]:
    """The first call in a new process, its kernels to be compiled, or found on the disk."""

    def one(what: str) -> dict[str, Any]:
        seen: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
        for _ in range(3 if options.gpu else 1):
            with tempfile.TemporaryDirectory() as folder:
                for times in seen.values():  # cold first, then what that left
                    environment = {**os.environ, "SKTIME_SDTW_CACHE": folder}
                    command = [sys.executable, "-c", _FIRST, options.device, what]
                    done = subprocess.run(
                        command, env=environment, capture_output=True, text=True, timeout=120, cwd=folder
                    )
                    if done.returncode:
                        raise RuntimeError(done.stderr[-400:])
                    times.append(json.loads(done.stdout.splitlines()[-1]))
        return {
            state: {part: statistics.median(run[part] for run in times) for part in times[0]}
            for state, times in seen.items()
        }

    names = ("values", "training")
    return [guarded(name, options, lambda name=name: one(name)) for name in names]


def threshold(options: Options) -> list[dict[str, Any]]:
    """From how much work on the GPU is faster than the CPU, NumPy in and out."""

    def one(kind: str, d: int) -> dict[str, Any]:
        steps, points = 128, []
        for power in range(3 if options.shrink > 1 else 17):
            pairs = 2**power
            side = pairs if kind == "training" else max(1, round(pairs**0.5))
            sides = (side, side) if kind == "training" else (side, -(-pairs // side))
            row = _rows.Row(kind, kind, *sides, steps, steps, d, kind=kind)
            x, y = row.series()
            times = {}
            for name, device, jobs in (
                ("gpu", options.device, None),
                ("cpu", "cpu", 1),
                ("cpu, all threads", "cpu", -1),
            ):
                call = _call_with_jobs(row, x, y, device, jobs)
                times[name] = _clock.measure(
                    call, options.gpu and name == "gpu", seconds=options.budget(0.2), least=3
                )["wall_s"]
            points.append({"work": row.cells * d, **times})
            if times["cpu"] > 4 or time.monotonic() > options.until:
                break
        return {"kind": kind, "d": d, "points": points, **_crossings(points)}

    cases = [("pairwise", 1), ("pairwise", 8), ("training", 1), ("training", 8)]
    return [guarded(f"{kind}, d = {d}", options, lambda k=kind, d=d: one(k, d)) for kind, d in cases]


def _call_with_jobs(row: _rows.Row, x: Any, y: Any, device: str, jobs: int | None) -> Callable[[], Any]:
    if row.training:
        return lambda: sdtw.paired_soft_dtw_gradient(x, y, wrt=("x", "y"), device=device, n_jobs=jobs)
    return lambda: sdtw.pairwise_soft_dtw(x, y, device=device, n_jobs=jobs)


def _crossings(points: list[dict[str, float]]) -> dict[str, Any]:
    """The work from which on the GPU wins, between the last size where it lost and the next."""
    found: dict[str, Any] = {}
    for name, key in (("cpu", "above_one_thread"), ("cpu, all threads", "above_all_threads")):
        lost = [k for k, point in enumerate(points) if point["gpu"] >= point[name]]
        if not lost:
            found[key] = points[0]["work"]
        elif lost[-1] + 1 == len(points):
            found[key] = None  # it never wins
        else:
            found[key] = float(np.sqrt(points[lost[-1]]["work"] * points[lost[-1] + 1]["work"]))
    rates = [point["work"] / point["cpu"] for point in points]
    found["cpu_work_per_s"] = max(rates)
    return found


STEPS: dict[str, Callable[[Options], list[dict[str, Any]]]] = {
    "smoke": smoke,
    "pairwise": pairwise,
    "training": training,
    "second": second,
    "signatures": lambda options: _signature_rows.measure(options, guarded),
    "kernels": lambda options: _kernel_rows.measure(options, guarded),
    "warps": lambda options: _warp_rows.measure(options, guarded),
    "long": long,
    "transfer": transfer,
    "first": first,
    "threshold": threshold,
}
