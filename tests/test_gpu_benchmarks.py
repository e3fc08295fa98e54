"""The script that measures on a GPU, as far as it runs without one: a dry run, its steps and tables."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_gpu import plugged_in
from gpu_scripts import FOLDER, check_tables, needs_scripts, tables

pytestmark = needs_scripts


@pytest.mark.slow
def test_a_dry_run_writes_all_tables(tmp_path: Path) -> None:
    pytest.importorskip("torch")  # some rows are of tensors only
    command = [sys.executable, str(FOLDER / "run"), "bench", "--dry-run", "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    (data,) = tmp_path.glob("*.json")
    report = json.loads(data.read_text())
    assert report["dry_run"]
    steps = (
        "pairwise",
        "training",
        "second",
        "signatures",
        "kernels",
        "warps",
        "long",
        "transfer",
        "first",
        "threshold",
    )
    for name in steps:
        rows = report["steps"][name]["result"]
        assert rows
        assert not [row["skipped"] for row in rows if "skipped" in row]
    assert len(report["steps"]["training"]["result"]) == 16
    page = data.with_suffix(".md").read_text()
    assert "dry run" in page
    assert "| **no** |" not in page  # nothing is judged
    assert len(tables(page)) == 10
    check_tables(page)


@pytest.mark.slow
def test_a_later_call_adds_its_rows(tmp_path: Path) -> None:
    for row in ("pairwise-1", "pairwise-dtw", "pairwise-1"):
        command = [
            sys.executable,
            str(FOLDER / "run"),
            "pairwise",
            "--dry-run",
            "--commit",
            "0",
            "--only",
            row,
        ]
        subprocess.run([*command, "--results", str(tmp_path)], check=True, capture_output=True, timeout=300)
    (data,) = tmp_path.glob("*.json")
    rows = json.loads(data.read_text())["steps"]["pairwise"]["result"]
    assert [row["name"] for row in rows] == ["pairwise-1", "pairwise-dtw"]


STEPS_THAT_FAIL = """
import os, sys, time
from dataclasses import dataclass

class Options:
    def __init__(self, **settings):
        self.__dict__.update(settings)

def smoke(options):
    for name in ("good", "crashes", "raises", "hangs", "half", "also good"):
        if name in options.done:
            continue
        options.tell({"begin": name})
        row = {"name": name, "worst": 0.0, "close": True}
        if name == "crashes":
            os._exit(9)
        if name == "hangs":
            time.sleep(100)
        if name == "half":
            options.tell({"row": row, "partial": True})
            os.kill(os.getpid(), 11)
        options.tell({"row": {"name": name, "skipped": "Error: no"} if name == "raises" else row})
        if name == "raises":
            raise SystemExit("nothing works any more")

STEPS = {"smoke": smoke}
"""


def test_a_row_that_crashes_or_hangs_costs_no_other(tmp_path: Path) -> None:
    copy = shutil.copytree(FOLDER, tmp_path / "benchmarks" / "gpu", ignore=shutil.ignore_patterns("results"))
    (copy / "_steps.py").write_text(STEPS_THAT_FAIL)
    command = [sys.executable, str(copy / "run"), "smoke", "--dry-run", "--commit", "0", "--row-seconds", "2"]
    done = subprocess.run([*command, "--results", str(tmp_path)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    (data,) = tmp_path.glob("*.json")
    rows = json.loads(data.read_text())["steps"]["smoke"]["result"]
    assert [row["name"] for row in rows] == ["good", "crashes", "raises", "hangs", "half", "also good"]
    assert {row["name"]: row["skipped"] for row in rows if "skipped" in row} == {
        "crashes": "the process ended with status 9 in this row; see bench.log",
        "raises": "Error: no",
        "hangs": "the process was stopped in this row; see bench.log",
    }
    page = data.with_suffix(".md").read_text()
    assert "6 calls of all kernels at small sizes, 0 unlike the CPU's" in page
    assert "* crashes: the process ended with status 9" in page


def test_a_step_that_cannot_start_does_not_keep_others_from_running(tmp_path: Path) -> None:
    copy = shutil.copytree(FOLDER, tmp_path / "benchmarks" / "gpu", ignore=shutil.ignore_patterns("results"))
    (copy / "_steps.py").write_text("raise ImportError('no such library')")
    command = [sys.executable, str(copy / "run"), "smoke", "doctor", "--dry-run", "--commit", "0"]
    done = subprocess.run([*command, "--results", str(tmp_path)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert "FAILED smoke: RuntimeError: smoke ended with status 1 before the first row" in done.stderr
    assert "no such library" in done.stderr
    (page,) = tmp_path.glob("*.md")
    assert "CPU engine" in page.read_text()
    assert "## smoke: not done" in page.read_text()
    assert "no such library" in page.read_text()
    assert 'File "…/_steps.py", line 1' in page.read_text()


def test_it_starts_before_the_package_is_built(tmp_path: Path) -> None:
    code = (
        "import runpy, sys; sys.modules['sktime_sdtw'] = None; del sys.argv[0]; sys.path[0] = ''\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", code, str(FOLDER / "run"), "doctor", "--dry-run", "--commit", "0"]
    done = subprocess.run(
        [*command, "--results", str(tmp_path)], capture_output=True, text=True, timeout=100, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "CPU engine" in done.stdout


def test_a_command_ends_with_all_that_it_started(script: Any, tmp_path: Path) -> None:
    # The grandchild holds what is printed open, and would keep a pipe waiting.
    inner = f"import pathlib, time; time.sleep(3); pathlib.Path({str(tmp_path / 'late')!r}).touch()"
    code = f"import subprocess, sys; print('begun'); subprocess.run([sys.executable, '-c', {inner!r}])"
    done = script("_process").run([sys.executable, "-c", code], 1.5, cwd=tmp_path)
    assert (done.code, done.output) == (None, "begun\n")
    assert done.seconds < 2.9
    time.sleep(2)
    assert not (tmp_path / "late").exists()
    assert script("_process").run([sys.executable, "-c", "print(1); raise SystemExit(4)"], 30, cwd=tmp_path)[
        :2
    ] == (4, "1\n")


def test_commands_end_with_this_process(tmp_path: Path) -> None:
    inner = f"import pathlib, time; time.sleep(2); pathlib.Path({str(tmp_path / 'late')!r}).touch()"
    code = (
        f"import os, pathlib, sys, time; sys.path.insert(0, {str(FOLDER)!r}); import _process\n"
        f"_process.Command([sys.executable, '-c', {inner!r}], 60, cwd=pathlib.Path({str(tmp_path)!r}))\n"
        "time.sleep(0.5); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    time.sleep(2.5)
    assert not (tmp_path / "late").exists()


def test_files_of_tests_by_themselves(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = script("_suite")
    tests = tmp_path / "tests"
    (tests / "metrics").mkdir(parents=True)
    (tests / "conftest.py").write_text("def pytest_addoption(parser): parser.addoption('--engine')")
    (tests / "test_ends.py").write_text(
        "import pytest\n@pytest.mark.parametrize('x', ['a b', 2])\ndef test_it(x): assert x == 2\n"
        "def test_skipped(): pytest.skip('why')\ndef test_error(missing): pass"
    )
    (tests / "test_crash.py").write_text("import os\ndef test_good(): pass\ndef test_bad(): os._exit(7)")
    (tests / "metrics" / "test_hang.py").write_text("import time\ndef test_long(): time.sleep(60)")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # sooner at the first test
    monkeypatch.setattr(suite, "MOST_SECONDS", 10.0)
    saved: list[Any] = []
    until = time.monotonic() + 60
    result = suite.run(
        tmp_path, [], "cpu", 3, until, tmp_path / "tests.log", lambda state: saved.append(len(state["files"]))
    )
    assert sorted(result["files"]) == [
        "tests/metrics/test_hang.py",
        "tests/test_crash.py",
        "tests/test_ends.py",
    ]
    assert [path.name for path in suite.in_order(tests)] == ["test_hang.py", "test_crash.py", "test_ends.py"]
    ends, crash, hang = (
        result["files"][f"tests/{name}"] for name in ("test_ends.py", "test_crash.py", "metrics/test_hang.py")
    )
    assert [ends[kind] for kind in ("passed", "failed", "errors", "skipped")] == [1, 1, 1, 1]
    assert ends["failures"] == ["tests/test_ends.py::test_it[a b]", "tests/test_ends.py::test_error"]
    assert crash["failures"] == ["ended with status 7: tests/test_crash.py::test_bad"]
    assert hang["failures"] == ["stopped by the limit: tests/metrics/test_hang.py::test_long"]
    assert (crash["passed"], hang["finished"], result["not_run"]) == (1, False, [])
    assert saved == [1, 2, 3]
    assert "assert 'a b' == 2" in (tmp_path / "tests.log").read_text()
    page = "\n".join(script("_table")._tests(result, {}, lambda reached: ""))
    assert "2 passed, 1 failed, 1 errors, 1 skipped in 3 files" in page
    none = suite.run(tmp_path, [], "cpu", 3, time.monotonic() + 5, tmp_path / "tests.log", saved.append)
    assert len(none["not_run"]) == 3


def test_the_most_telling_files_are_there(script: Any) -> None:
    folder = Path(__file__).parent
    for name in script("_suite").FIRST:
        assert (folder / name).exists(), name


def test_a_machine_with_nothing_but_python(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no git, no nvidia-smi
    info = script("_clock").machine(tmp_path, True, None)
    assert (info["commit"], info["gpu"], info["driver"]) == ("unknown", "GPU", None)


class TimedEvent:
    """As torch's: a millisecond passes from one to the next."""

    made = itertools.count()

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        self.at = float(next(self.made))

    def elapsed_time(self, other: TimedEvent) -> float:
        return other.at - self.at


def test_what_is_measured_on_a_gpu(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a stand-in that computes nothing: what is asked of torch is there, and no launch is missed."""
    from sktime_sdtw.cuda_ext._runtime import cuda_runtime

    import sktime_sdtw
    from sktime_sdtw import _engine

    clock = script("_clock")
    monkeypatch.setattr(_engine, "_check_values", lambda *_: None)
    x = np.ones((3, 20, 64), np.float32)
    with plugged_in(monkeypatch, tmp_path) as torch:
        torch.cuda.Event = TimedEvent
        for name in ("synchronize", "reset_peak_memory_stats"):
            setattr(torch.cuda, name, lambda: None)
        for number, name in enumerate(("memory_allocated", "memory_reserved"), 1):
            setattr(torch.cuda, name, lambda number=number: number)
            setattr(torch.cuda, f"max_{name}", lambda number=number: 10 * number)

        def call() -> Any:
            return sktime_sdtw.paired_soft_dtw_gradient(x, x, wrt=("x", "y"), device="cuda:0")

        times = clock.measure(call, True, seconds=0)
        assert (times["device_s"], times["repeats"]) == (1e-3, 7)
        torch.library.launches.clear()
        programs, seen = cuda_runtime(0).programs, []
        kernels = clock.kernel_seconds(lambda: (seen.append(cuda_runtime(0).programs), call()), True)
        assert seen == [None] * 3  # calls of tensors that came before would not launch one by one
        assert cuda_runtime(0).programs is programs
        assert kernels["launches"] == len(torch.library.launches) / 3 > 0
        assert kernels["all"] == pytest.approx(1e-3 * kernels["launches"])
        assert kernels["all"] == pytest.approx(sum(kernels.values()) - kernels["all"] - kernels["launches"])
        assert {"ranges", "classify"} <= kernels.keys()
        assert clock.peak_bytes(lambda: call, True) == {"allocated": 9, "reserved": 18}


def test_wrong_numbers_are_seen(script: Any) -> None:
    small = script("_small")
    assert small.compare("x", lambda device: [1.0, [2.0]], "cuda")["close"]
    assert not small.compare("x", lambda device: float(device == "cuda"), "cuda")["close"]
    assert not small.compare("x", lambda device: np.full(3, np.nan if device == "cuda" else 1.0), "cuda")[
        "close"
    ]
    assert not small.compare("float64", lambda device: 1.0 + 1e-8 * (device == "cuda"), "cuda")["close"]
    with pytest.raises(ValueError, match="from the CPU"):
        small.compare("x", lambda device: np.zeros(len(device)), "cuda")


def step(name: str, ours: float, unfused: float, fused: float, peaks: tuple[int, int, int]) -> dict[str, Any]:
    def mode(seconds: float, peak: int) -> dict[str, Any]:
        return {"device_s": seconds, "kernels": None, "peak": {"allocated": peak, "reserved": peak}}

    first, second, third = peaks
    row = {"name": name, "title": name, "input": "tensors", "ours": mode(ours, first)}
    return {**row, "unfused": mode(unfused, second), "fused": mode(fused, third)}


@pytest.mark.parametrize(
    ("name", "ours", "peaks", "reached"),
    [
        ("training-16-128-1", 0.05, (50, 200, 100), True),
        ("training-16-128-1", 0.051, (50, 200, 100), False),  # 20 times the faster mode
        ("training-16-128-1", 0.05, (51, 200, 100), False),  # half of the leaner mode
        ("training-16-512-1", 0.05, (50, 200, 100), False),  # 50 times
        ("training-32-512-64", 0.0005, (50, 200, 100), False),  # 0.4 ms
        ("training-32-512-64", 0.0004, (50, 200, 100), True),
    ],
)
def test_targets_of_training_steps(
    script: Any, name: str, ours: float, peaks: tuple[int, int, int], reached: bool
) -> None:
    row = step(name, ours, 1.0, 10.0, peaks)
    assert script("_table").training_verdict(row)["reached"] is reached
    report = {
        "machine": {
            "gpu": "a",
            "driver": "1",
            "date": "",
            "cpu": "",
            "cores": 1,
            "python": "",
            "commit": "c",
        },
        "dry_run": False,
        "steps": {
            "training": {"result": [row, {"name": "x", "skipped": "why"}], "commit": "b", "seconds": 1}
        },
    }
    report["machine"]["versions"] = {}
    page = script("_table").markdown(report, {})
    check_tables(page)
    assert "* x: why" in page
    assert "(commit b)" in page
    assert ("| yes |" if reached else "| **no** |") in page


def test_nothing_is_judged_without_the_peer(script: Any) -> None:
    row = step("training-16-128-1", 1.0, 1.0, 1.0, (1, 1, 1))
    row["unfused"] = row["fused"] = {"skipped": "no checkout given"}
    assert script("_table").training_verdict(row) == {"speed": None, "memory": None, "reached": None}


def test_crossings(script: Any) -> None:
    def point(work: float, gpu: float, cpu: float) -> dict[str, float]:
        return {"work": work, "gpu": gpu, "cpu": cpu, "cpu, all threads": 0.5}

    found = script("_steps")._crossings([point(1, 1, 0.1), point(100, 1, 2), point(1e4, 1, 200)])
    assert found["above_one_thread"] == 10
    assert found["above_all_threads"] is None
