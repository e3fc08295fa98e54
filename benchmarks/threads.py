"""What two threads gain, and what the machine has to give: one thread, two threads, two processes in turn.

Two processes with one thread each share nothing but the machine. What they gain over one is the most that two
threads can gain there and then; on rented machines it changes from minute to minute.

    python benchmarks/threads.py --rounds 60

Each turn takes 20 ms or one call. A gain is how many times as much work is done in the same time: the median
of all rounds and their middle half, and that of the fastest turns of each kind.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from _signature_rows import US, thread_rows
from _workloads import WORKLOADS

Call = Callable[[], Any]


def workloads() -> dict[str, Callable[[], dict[str, Call]]]:
    """Return what run.py and signatures.py compare with one thread: how to make the calls, by name."""
    pairs = WORKLOADS["threads"]
    rows = {name: partial(row.build, dtype=np.float32) for name, row in thread_rows().items()}
    return {pairs.title: lambda: pairs.build(1).contenders, **rows}


def seconds(call: Call, times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def companion(name: str, commands: Connection) -> None:
    """Another process: computes the same with one thread, as often as it is told to."""
    call = workloads()[name]()["one thread"]
    seconds(call, 3)
    commands.send(0.0)
    while times := commands.recv():
        commands.send(seconds(call, times))


def measure(name: str, rounds: int) -> str:
    """Return the gains of one workload, as a row of a table."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    other = context.Process(target=companion, args=(name, there), daemon=True)
    other.start()
    there.close()  # so that recv fails where the process has ended
    here.recv()
    calls = workloads()[name]()
    seconds(calls[US], 3)
    times = max(1, int(0.02 / seconds(calls["one thread"], 3)))
    turns: list[tuple[float, float, float]] = []
    for _ in range(rounds):
        one, two = seconds(calls["one thread"], times), seconds(calls[US], times)
        here.send(times)
        both = max(seconds(calls["one thread"], times), here.recv()) / 2
        turns.append((one, two, both))
    here.send(0)
    other.join()
    cells = [name]
    for place in (1, 2):
        low, middle, high = statistics.quantiles([turn[0] / turn[place] for turn in turns], n=4)
        fastest = min(turn[0] for turn in turns) / min(turn[place] for turn in turns)
        cells += [f"{middle:.2f} ({low:.2f} to {high:.2f})", f"{fastest:.2f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument(
        "--only", nargs="+", metavar="TEXT", help="workloads whose names contain one of these"
    )
    args = parser.parse_args()
    print("| float32 | two threads | fastest turns | two processes | fastest turns |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in workloads():
        if not args.only or any(text in name for text in args.only):
            print(measure(name, args.rounds), flush=True)


if __name__ == "__main__":
    main()
