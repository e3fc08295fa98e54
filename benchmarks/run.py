"""Measure this package and its peers on the same work, on the same machine, in the same minutes.

    python benchmarks/run.py                         everything, about half an hour
    python benchmarks/run.py --only pairwise-128 dtw-512
    python benchmarks/run.py --shrink 8 --repeats 1  a quick try of the script itself

Every workload runs in a process of its own, with one thread for every package. Peers that are not installed
are left out with a note; three are not on the index and are used from clones:

    --sdtw-cuda-torch PATH   a clone of BGU-CS-VIL/sdtw-cuda-torch
    --maghoumi PATH          a clone of Maghoumi/pytorch-softdtw-cuda
    --dilate PATH            a clone of vincent-leguen/DILATE

The figures go to benchmarks/results/DATE.json, and as a table to the screen; with --update also into
benchmarks/README.md and, in short, into README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ONE_THREAD = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"]
US = "sktime-sdtw"
CLONES = ["sdtw_cuda_torch", "maghoumi", "dilate"]  # peers without a package
PEERS = ["tslearn", "dtaidistance", "aeon"]


def measure(name: str, shrink: int, repeats: int, min_seconds: float) -> dict[str, Any]:
    """Measure one workload in this process."""
    from _measure import interleave
    from _workloads import WORKLOADS

    from sktime_sdtw import _core

    built = WORKLOADS[name].build(shrink)
    first, times = interleave(built.contenders, repeats, min_seconds)
    return {
        "name": name,
        "title": WORKLOADS[name].title,
        "isa": _core.instruction_set(),
        "cells": built.cells,
        "times": times,
        "ratios": {k: v["median_s"] / times[US]["median_s"] for k, v in times.items() if k != US},
        "targets": WORKLOADS[name].targets,
        "checks": built.check(first) if built.check else {},
        "skipped": built.skipped,
    }


def measure_memory(name: str, shrink: int) -> int:
    """Return the peak memory of our call of one workload, in this process."""
    from _measure import peak_memory
    from _workloads import US, WORKLOADS

    WORKLOADS[name].build(64).contenders[US]()  # loads the code
    return peak_memory(WORKLOADS[name].build(shrink).contenders[US])


def in_own_process(task: str, name: str, args: argparse.Namespace, isa: str | None) -> Any:
    """Run this script with --task in a fresh process and return what it prints as JSON."""
    environment = dict.fromkeys(ONE_THREAD, "1")
    environment |= {key: value for key, value in os.environ.items() if key not in ONE_THREAD}
    for clone in CLONES:
        if path := getattr(args, clone):
            environment[f"BENCH_{clone.upper()}"] = path
    if isa:
        environment["SKTIME_SDTW_ISA"] = isa
    command = [sys.executable, str(Path(__file__).resolve()), "--task", task, "--only", name]
    command += [
        "--shrink",
        str(args.shrink),
        "--repeats",
        str(args.repeats),
        "--min-seconds",
        str(args.min_seconds),
    ]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
    if done.returncode:
        raise SystemExit(f"{name} failed")
    return json.loads(done.stdout.splitlines()[-1])


def seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def table(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    info = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in info["versions"].items())
    lines = [
        f"{info['date']}, {info['cpu']}, {info['cores']} cores, one thread each unless said, "
        f"Python {info['python']}; commit {info['commit']}; {versions}. "
        f"Medians of {report['repeats']} rounds in which all packages take turns.",
        "",
        "| workload | ours | Gcells/s | compared with | theirs | ratio | must reach | peak memory |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for result in report["results"]:
        ours = result["times"][US]["median_s"]
        rate = f"{result['cells'] / ours / 1e9:.2f}" if result["cells"] else ""
        memory = f"{result['memory'] / 2**20:.1f} MiB" if result.get("memory") is not None else ""
        front = [f"{result['title']} ({result['isa']})", seconds(ours), rate]
        for name, ratio in result["ratios"].items():
            target = f"{result['targets'][name]:g}" if name in result["targets"] else ""
            theirs = seconds(result["times"][name]["median_s"])
            lines.append(
                f"| {' | '.join(front)} | {name} | {theirs} | **{ratio:.3g}** | {target} | {memory} |"
            )
            front, memory = ["", "", ""], ""
    notes = [
        f"* {r['title']} ({r['isa']}): "
        + ", ".join(f"{key} {value:.6g}" for key, value in r["checks"].items())
        for r in report["results"]
        if r["checks"]
    ]
    skipped = sorted({f"* not measured: {note}" for r in report["results"] for note in r["skipped"]})
    return "\n".join([*lines, "", *notes, *skipped])


def summary(report: dict[str, Any]) -> str:
    """Return the few lines for the first screen of the project: workloads with a ratio to reach."""
    info = report["machine"]
    lines = ["| workload, one thread | ours | times faster than |", "| --- | ---: | --- |"]
    for result in report["results"]:
        ratios = [
            f"{name} {result['ratios'][name]:.3g}" for name in result["targets"] if name in result["ratios"]
        ]
        if ratios and "one thread" not in result["targets"]:
            time = seconds(result["times"][US]["median_s"])
            lines.append(f"| {result['title']} ({result['isa']}) | {time} | {', '.join(ratios)} |")
    versions = ", ".join(f"{name} {info['versions'][name]}" for name in PEERS if name in info["versions"])
    return "\n".join(
        [
            *lines,
            "",
            f"Measured on {info['date']} on one core of an {info['cpu']} against {versions}, in one run.",
        ]
    )


def update(path: Path, text: str) -> None:
    """Put text between the two markers of a Markdown file."""
    begin, end = "<!-- table: begin -->", "<!-- table: end -->"
    page = path.read_text()
    if begin not in page or end not in page:
        raise SystemExit(f"{path} lacks the markers {begin} and {end}")
    path.write_text(page[: page.index(begin) + len(begin)] + f"\n\n{text}\n\n" + page[page.index(end) :])


def publish(report: dict[str, Any], files: bool) -> None:
    """Print the table; on request also write it into the two pages that show it."""
    print(table(report))
    if files:
        update(HERE / "README.md", table(report))
        update(HERE.parent / "README.md", summary(report))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="WORKLOAD", help="names of workloads")
    parser.add_argument("--list", action="store_true", help="print the names of the workloads")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each workload (default 5)")
    parser.add_argument(
        "--min-seconds", type=float, default=0.2, help="shortest time that counts as one round"
    )
    parser.add_argument("--shrink", type=int, default=1, help="divide all sizes by this")
    parser.add_argument(
        "--isa", choices=["v2", "v3", "v4"], help="instruction set, where a workload names none"
    )
    for clone in CLONES:
        parser.add_argument("--" + clone.replace("_", "-"), metavar="PATH")
    parser.add_argument("--output", type=Path, metavar="JSON", help="where the figures go")
    parser.add_argument(
        "--update", action="store_true", help="write the tables into benchmarks/README.md and README.md"
    )
    parser.add_argument("--table", type=Path, metavar="JSON", help="only print the table of earlier figures")
    parser.add_argument("--task", choices=["time", "memory"], help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    if args.table:
        report = json.loads(args.table.read_text())
        publish(report, args.update)
        return
    if args.task == "time":
        print(json.dumps(measure(args.only[0], args.shrink, args.repeats, args.min_seconds)))
        return
    if args.task == "memory":
        print(json.dumps(measure_memory(args.only[0], args.shrink)))
        return

    from _measure import machine
    from _workloads import WORKLOADS

    if args.list:
        print("\n".join(f"{name:18} {workload.title}" for name, workload in WORKLOADS.items()))
        return
    unknown = set(args.only or []) - set(WORKLOADS)
    if unknown:
        raise SystemExit(f"unknown workloads {sorted(unknown)}; there are {', '.join(WORKLOADS)}")
    report: dict[str, Any] = {
        "machine": machine(),
        "repeats": args.repeats,
        "shrink": args.shrink,
        "results": [],
    }
    for name in args.only or WORKLOADS:
        isa = WORKLOADS[name].isa or args.isa
        print(f"{name} …", file=sys.stderr, flush=True)
        result = in_own_process("time", name, args, isa)
        result["memory"] = in_own_process("memory", name, args, isa) if WORKLOADS[name].memory else None
        ratios = ", ".join(f"{ratio:.3g} × {peer}" for peer, ratio in result["ratios"].items())
        print(f"  {seconds(result['times'][US]['median_s'])}; {ratios}", file=sys.stderr, flush=True)
        report["results"].append(result)
    output = args.output or HERE / "results" / f"{report['machine']['date']}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nfigures in {output}\n", file=sys.stderr)
    publish(report, args.update)


if __name__ == "__main__":
    main()
