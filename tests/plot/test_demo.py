"""The README's first command, on a few series."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from sktime_sdtw import demo
from sktime_sdtw.datasets import TraceData, make_warped


def small_data():
    X, y = make_warped(80, length=40, n_classes=4, random_state=0)
    return TraceData(X[:40, :, 0], y[:40] + 1, X[40:, :, 0], y[40:] + 1)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(demo, "load_trace", small_data)


def test_tables_and_picture(small, tmp_path, capsys):
    picture = tmp_path / "clusters.png"
    assert demo.main(["--output", str(picture), "--n-series", "24", "--n-jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "24 + 24 series of 40 time steps, 4 classes" in out
    assert "cpu" in out
    rows = {line[:34].strip(): line[34:].split() for line in out.splitlines() if re.search(r"\d\.\d$", line)}
    assert list(rows) == [
        "1-NN, Euclidean distance",
        "1-NN, soft-DTW divergence",
        "SVM, soft-DTW kernel",
        "k-means, Euclidean",
        "k-means, soft-DTW",
    ]
    for gamma, left, right, seconds in rows.values():
        assert gamma == "–" or float(gamma) in demo.GAMMAS
        assert -1 <= float(left) <= 1
        assert -1 <= float(right) <= 1
        assert float(seconds) >= 0
    # Shapes that differ by warping: the elastic methods find them, to the last one.
    assert float(rows["1-NN, soft-DTW divergence"][2]) == 1
    assert float(rows["SVM, soft-DTW kernel"][2]) == 1
    assert float(rows["k-means, soft-DTW"][2]) == 1
    assert imread(picture).std() > 0.05
    assert str(picture) in out


def test_the_same_again(small, tmp_path, capsys):
    tables = []
    for n_jobs in ("1", "2"):
        demo.main(["--output", str(tmp_path / "a.png"), "--n-series", "20", "--n-jobs", n_jobs])
        tables.append(re.sub(r"\d+\.\d\n|\d+ threads", "", capsys.readouterr().out))
    assert tables[0] == tables[1]


def test_spread_takes_classes_in_turn():
    y = np.array([1, 1, 1, 1, 1, 2, 2, 3])
    np.testing.assert_array_equal(demo._spread(y, 3), [0, 5, 7])
    np.testing.assert_array_equal(demo._spread(y, 5), [0, 1, 5, 6, 7])
    np.testing.assert_array_equal(demo._spread(y, 100), np.arange(8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "/no/such/folder/a.png"], "there is no folder"),
        (["--output", "/"], "--output must be the name of a picture"),
        (["--output", "clusters"], "--output must be the name of a picture"),
        (["--n-jobs", "0"], "n_jobs must be an int other than 0"),
        (["--device", "tpu"], "device must be one of"),
        (["--n-series", "5"], "--n-series must be 20 or more"),
    ],
)
def test_bad_arguments(small, arguments, message, capsys):
    assert demo.main(arguments) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_without_matplotlib(small, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert demo.main([]) == 1
    assert "pip install sktime-sdtw[demo]" in capsys.readouterr().err


def test_without_tslearn(monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tslearn" else find_spec(name)
    )
    assert demo.main([]) == 1
    assert "pip install sktime-sdtw[demo]" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("tslearn") is None, reason="tslearn carries the data")
def test_as_a_command(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "sktime_sdtw.demo"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.search(r"SVM, soft-DTW kernel .* (0\.9\d|1\.00) +\d+\.\d\n", done.stdout)
    assert [path.name for path in tmp_path.iterdir()] == ["trace_clusters.png"]
