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
from _signature_rows import US, two_threads, two_threads_backward

Call = Callable[[], Any]


def all_pairs(n_series: int, length: int, dtype: type) -> dict[str, Call]:
    from sktime_sdtw import pairwise_soft_dtw

    X = np.random.default_rng(0).normal(size=(n_series, length)).cumsum(axis=1)
    X = ((X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)).astype(dtype)
    return {
        US: lambda: pairwise_soft_dtw(X, X[::-1], n_jobs=2),
        "one thread": lambda: pairwise_soft_dtw(X, X[::-1], n_jobs=1),
    }


WORKLOADS = {
    "soft-DTW, 50×50 of 512": partial(all_pairs, 50, 512),
    "signature (32, 128, 8, 5)": partial(two_threads, 32, 128, 8, 5),
    "signature, backward (32, 128, 8, 5)": partial(two_threads_backward, 32, 128, 8, 5),
    "signature (1, 10,000, 4, 5)": partial(two_threads, 1, 10_000, 4, 5),
    "signature, backward (1, 10,000, 4, 5)": partial(two_threads_backward, 1, 10_000, 4, 5),
}


def seconds(call: Call, times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def companion(name: str, commands: Connection) -> None:
    """Another process: computes the same with one thread, as often as it is told to."""
    call = WORKLOADS[name](dtype=np.float32)["one thread"]
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
    calls = WORKLOADS[name](dtype=np.float32)
    one_thread, two_threads = calls["one thread"], calls[US]
    seconds(two_threads, 3)
    times = max(1, int(0.02 / seconds(one_thread, 3)))
    turns: list[tuple[float, float, float]] = []
    for _ in range(rounds):
        one, two = seconds(one_thread, times), seconds(two_threads, times)
        here.send(times)
        both = max(seconds(one_thread, times), here.recv()) / 2
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
    for name in WORKLOADS:
        if not args.only or any(text in name for text in args.only):
            print(measure(name, args.rounds), flush=True)


if __name__ == "__main__":
    main()
