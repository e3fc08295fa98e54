"""The test suite with the GPU as the engine, each file in a process of its own.

An error on the GPU, such as a bad address, is the end of all later work of its process, and a kernel that
never ends is that of the run: so neither takes more than its file along. What matters most comes first.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _clock
import _process

# First the loader, tensors, and the kernels against the oracle; last what says little of a GPU.
FIRST = [
    "cuda/test_runtime.py",
    "cuda/test_driver.py",
    "nn/test_gpu.py",
    "signatures/test_gpu.py",
    "alignment/test_gpu.py",
    "cuda/test_operators.py",
    "cuda/test_cutting.py",
    "nn/test_emulated.py",
    "nn/test_emulated_second_order.py",
    "metrics/test_oracle.py",
    "metrics/test_accuracy.py",
    "metrics/test_large.py",
    "metrics",
    "cuda/test_tensor_table.py",
    "signatures/test_cuda_emulated.py",
    "signatures/test_kernel_emulated.py",
    "alignment/test_emulated.py",
    "nn",
]
LAST = ("cuda", "plot", "datasets", "preprocessing")
MOST_SECONDS = 360.0
_RESULT = re.compile(
    r"^(?P<name>\S+::.*?) (?P<kind>PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)(?: \(.*?)?(?: +\[ *\d+%\])?$",
    re.M,
)
_KINDS = {"PASSED": "passed", "XFAIL": "passed", "FAILED": "failed", "XPASS": "failed"}
_KINDS |= {"ERROR": "errors", "SKIPPED": "skipped"}


def in_order(folder: Path) -> list[Path]:
    """All files of tests, the most telling first."""

    def rank(path: Path) -> tuple[int, str]:
        name = path.relative_to(folder).as_posix()
        for k, prefix in enumerate(FIRST):
            if name == prefix or name.startswith(f"{prefix}/"):
                return k, name
        last = name.split("/")[0] in LAST
        return len(FIRST) + last, name

    return sorted(folder.rglob("test_*.py"), key=rank)


def read(done: _process.Done) -> dict[str, Any]:
    """What a file's run has shown, also where it was stopped half way.

    Parameters
    ----------
    done : Done
        Of ``pytest -v``.
    """
    counts = dict.fromkeys(("passed", "failed", "errors", "skipped"), 0)
    results: dict[str, str] = {}
    for match in _RESULT.finditer(done.output):
        kind = _KINDS[match["kind"]]
        results[match["name"]] = kind
        counts[kind] += 1
    failures = [name for name, kind in results.items() if kind in ("failed", "errors")]
    ended = done.code in (0, 1, 5)  # 5: no tests
    if not ended:
        started = re.findall(r"^(\S+::.*)$", done.output, re.M)
        last = started[-1] if started else "before the first test"
        last = re.sub(r"\s*(Timeout \(.*)?$", "", last)  # what faulthandler adds
        how = "stopped by the limit" if done.code is None else f"ended with status {done.code}"
        failures.append(f"{how}: {last}")
    return {**counts, "finished": ended, "failures": failures, "seconds": done.seconds}


def run(
    root: Path,
    files: list[str],
    engine: str,
    workers: int,
    until: float,
    log: Path,
    save: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Run the files, and save what is known after each.

    Parameters
    ----------
    root : Path
        The checkout.
    files : list of str
        What pytest is given, one after the other; nothing: all files of tests.
    engine : {"cuda", "cpu"}
    workers : int
        Processes at a time; 0: half the cores, six at most.
    until : float
        When to stop, by time.monotonic().
    log : Path
        Gets all that was printed.
    save : callable
    """
    chosen = files or [str(path.relative_to(root)) for path in in_order(root / "tests")]
    # What other packages warn of on this machine is no failure of ours.
    words = [
        "pytest",
        f"--engine={engine}",
        "-v",
        "-m",
        "",
        "-W",
        "default",
        "--tb=short",
        "-p",
        "no:cacheprovider",
    ]
    words += ["--color=no", "-o", f"faulthandler_timeout={MOST_SECONDS / 2:.0f}"]

    def commands() -> Iterator[tuple[str, Callable[[], _process.Command]]]:
        for name in chosen:
            yield (
                name,
                lambda name=name: _process.Command(  # type: ignore[misc]
                    _clock.python_without_checkout(*words, name),
                    min(MOST_SECONDS, until - time.monotonic()),
                    cwd=root,
                ),
            )

    result: dict[str, Any] = {"command": " ".join(words), "files": {}, "not_run": chosen}
    begin = time.monotonic()
    workers = workers or max(1, min(6, (os.cpu_count() or 1) // 2))
    log.write_text("")
    for name, done in _process.side_by_side(commands(), workers, until):
        with log.open("a") as file:
            file.write(f"──── {name}: {done.code}, {done.seconds:.1f} s\n{done.output[-100_000:]}\n")
        result["files"][name] = found = read(done)
        result["not_run"] = [other for other in chosen if other not in result["files"]]
        print(
            f"  {name}: {found['passed']} passed, {found['skipped']} skipped, {done.seconds:.0f} s",
            *(f"    FAILED {failure}" for failure in found["failures"][:8]),
            sep="\n",
            flush=True,
        )
        save({**result, "seconds": time.monotonic() - begin})
    return {**result, "seconds": time.monotonic() - begin}
