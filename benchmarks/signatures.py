"""Signatures against pySigLib, iisignature and Signatory: the same work in one run, all taking turns.

    python benchmarks/signatures.py --update

One thread unless a row says otherwise; float32 where a package computes in it (iisignature: float64). A row's
ratio is the other package's median time over ours, with --minima the least one. "GFLOP/s" counts the
multiply-adds of the algorithm that this package uses, and compares them with what each core reaches in
fma_peak.c, which the system's C compiler builds: vectors as wide as the machine has, and no memory. Rows of
two threads, which need two free cores at the same time, take 200 times as many rounds of a tenth of the time.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _measure import interleave, machine, peak_memory
from _signature_rows import PEERS, US, Row, rows, warm_up

HERE = Path(__file__).resolve().parent


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


def fma_peak() -> float:
    """Return the GFLOP/s of one core in multiply-adds."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "fma_peak"
        build = ["cc", "-O2", "-march=native", str(HERE / "fma_peak.c"), "-o", str(program)]
        try:
            subprocess.run(build, check=True)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            raise SystemExit("fma_peak.c needs a C compiler by the name of cc.") from error
        return float(subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout)


def errors(row: Row) -> dict[str, dict[str, float]]:
    """Return by package how far it lies from our float64 results, relative to the largest of them.

    "float32" is the error of each package in float32, "float64" how far the others lie from us in float64.
    """
    calls = {dtype: row.build(dtype=dtype) for dtype in (np.float32, np.float64)}
    exact = calls[np.float64][US]()

    def error(name: str, dtype: type) -> float:
        found = np.reshape(calls[dtype][name](), np.shape(exact))
        return float(f"{np.abs(found - exact).max() / np.abs(exact).max():.2g}")

    packages = [name for name in calls[np.float32] if name in PEERS]
    return {
        "float32": {name: error(name, np.float32) for name in (US, *packages)},
        "float64": {name: error(name, np.float64) for name in packages},
    }


def furthest(report: dict[str, Any], dtype: str) -> str:
    """Return the largest error of each package, and the workload that has it."""
    found: dict[str, tuple[float, str]] = {}
    for workload, row in report["rows"].items():
        for name, error in row["accuracy"][dtype].items():
            found[name] = max(found.get(name, (0.0, "")), (error, workload))
    return "; ".join(f"{name} {error:.1e} ({workload})" for name, (error, workload) in found.items())


def measure(name: str, repeats: int) -> dict[str, Any]:
    """Time one row, in this process."""
    import torch

    torch.set_num_threads(1)
    row = rows()[name]
    rounds, min_seconds = (repeats, 0.05) if row.threads == 1 else (200 * repeats, 0.005)
    _, times = interleave(row.build(dtype=np.float32), rounds, min_seconds)
    return {
        "times": times,
        "must": row.must,
        "accuracy": errors(row),
        "flops": 2 * row.fmas if row.fmas else None,
        "threads": row.threads,
    }


def measure_memory(name: str) -> int:
    """Return the bytes that our first call needs beside what it returns; later ones find some of them."""
    import torch

    torch.set_num_threads(1)
    warm_up()
    call = rows()[name].build(dtype=np.float32)[US]
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
    info, peak = report["machine"], report["fma_peak"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    lines = [
        f"{info['date']}, {info['cpu']}, {info['cores']} cores, one thread each unless said, load average "
        f"{info['load_average']} at the start; commit {info['commit']}; {versions}; "
        f"{'medians' if report['statistic'] == 'median_s' else 'minima'} of {report['repeats']} rounds in "
        "which all take turns. (batch, length, channels, depth), float32. "
        f"Peak of multiply-adds (fma_peak.c), one core: {peak:.0f} GFLOP/s.",
        "",
        "| workload | ours | GFLOP/s | compared with | theirs | ratio | must reach | peak memory |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, row in report["rows"].items():
        times = {key: value[report["statistic"]] for key, value in row["times"].items()}
        ours = times.pop(US)
        rate = (
            f"{row['flops'] / ours / 1e9:.0f} ({row['flops'] / ours / 1e7 / peak / row['threads']:.0f} %)"
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
    windows = ", ".join(f"{key} {value:.1e}" for key, value in report["accuracy"].items())
    lines += [
        "",
        f"Relative errors in float32, depth 5, 4 channels: {windows}.",
        "",
        f"Largest errors in float32, relative to float64: {furthest(report, 'float32')}.",
        "",
        f"Largest differences from {US} where all compute in float64: {furthest(report, 'float64')}.",
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
        "fma_peak": fma_peak(),
        "accuracy": accuracy(),
        "rows": {},
    }
    chosen, measured = rows(), {}
    for name in sorted(chosen, key=lambda name: -chosen[name].threads):  # first what needs the whole machine
        if args.only and not any(text in name for text in args.only):
            continue
        print(f"{name} …", file=sys.stderr, flush=True)
        row = in_own_process("time", name, args.repeats)
        row["memory"] = in_own_process("memory", name, args.repeats)
        measured[name] = row
    report["rows"] = {name: measured[name] for name in chosen if name in measured}
    output = args.output or HERE / "results" / f"signatures-{info['date']}.json"
    output.write_text(json.dumps(report, indent=1) + "\n")
    print(table(report))
    if args.update:
        update(table(report))


if __name__ == "__main__":
    main()
