"""What two threads gain, and what the machine has to give: one thread, two threads, two processes in turn.

Two processes with one thread each share nothing but the machine. What they gain over one is the most that two
threads can gain there and then; on rented machines it changes from minute to minute.

    python benchmarks/threads.py --rounds 60
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection

import numpy as np

from sktime_sdtw import pairwise_soft_dtw

N_SERIES, LENGTH = 50, 512


def series() -> np.ndarray:
    X = np.random.default_rng(0).normal(size=(N_SERIES, LENGTH)).cumsum(axis=1)
    return ((X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)).astype(np.float32)


def seconds(X: np.ndarray, n_jobs: int) -> float:
    start = time.perf_counter()
    pairwise_soft_dtw(X, X[::-1], n_jobs=n_jobs)
    return time.perf_counter() - start


def companion(commands: Connection) -> None:
    """Another process: computes the same with one thread whenever it is told to."""
    X = series()
    seconds(X, 1)
    commands.send(0.0)
    while commands.recv():
        commands.send(seconds(X, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    here, there = multiprocessing.get_context("spawn").Pipe()
    other = multiprocessing.get_context("spawn").Process(target=companion, args=(there,), daemon=True)
    other.start()
    here.recv()
    X = series()
    seconds(X, 1)
    threads, processes, one_thread, two_threads = [], [], [], []
    for _ in range(rounds):
        one, two = seconds(X, 1), seconds(X, 2)
        here.send(True)
        both = max(seconds(X, 1), here.recv())
        one_thread.append(one)
        two_threads.append(two)
        threads.append(one / two)
        processes.append(2 * one / both)
    here.send(False)
    print(f"{rounds} rounds of {N_SERIES}×{N_SERIES} pairs of {LENGTH}, float32")
    for name, ratios in (("two threads", threads), ("two processes", processes)):
        low, _, high = statistics.quantiles(ratios, n=4)
        print(f"{name}: {statistics.median(ratios):.2f} × one (half of the rounds: {low:.2f} to {high:.2f})")
    print(f"fastest of each: two threads {min(one_thread) / min(two_threads):.2f} × one")


if __name__ == "__main__":
    main()
