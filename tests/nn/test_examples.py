"""The programs in examples/torch, small."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

FOLDER = Path(__file__).parents[2] / "examples" / "torch"


@pytest.fixture
def program(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.main

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so little work for each that threads would only get in each other's way
    yield load
    torch.set_num_threads(threads)
    sys.modules.pop("contrastive", None)


SMALL = ["--synthetic", "--series", "12", "--epochs", "2"]


def test_forecasting(program, capsys):
    results = program("forecasting")(SMALL)
    assert set(results) == {"MSE", "Soft-DTW", "DILATE"}
    assert all(math.isfinite(value) for measures in results.values() for value in measures.values())
    assert "DILATE" in capsys.readouterr().out


def test_contrastive(program):
    _, after, gamma = program("contrastive")(SMALL)
    assert after > 0.5
    assert gamma != 1.0


def test_learning_gamma(program):
    gammas = program("learning_gamma")(SMALL)
    assert len(gammas) == 2
    assert gammas[0] != gammas[1]


def test_interpolation(program, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "picture.png"
    between = program("interpolation")(["--steps", "3", "--length", "30", "--output", str(picture)])
    assert between.shape == (3, 30, 1)
    assert picture.stat().st_size > 10_000
    assert between.isfinite().all()


def test_learned_alignment(program, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "picture.png"
    small = ["--steps", "2", "--seeds", "1", "--pairs", "8", "2", "--tasks", "audio"]
    errors = program("learned_alignment")([*small, "--output", str(picture)])["audio"]
    assert {"DecDTW", "Soft-DTW", "DILATE", "L2 along the truth"} < set(errors)
    assert all(found.shape == (1, 2) and (found[:, 0] < found[:, 1]).all() for found in errors.values())
    assert "least time error" in capsys.readouterr().out
    assert picture.stat().st_size > 10_000
