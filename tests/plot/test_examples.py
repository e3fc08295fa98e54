"""The examples run without a warning, and stay short."""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path

import pytest
from matplotlib import pyplot as plt

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("plot_*.py"))


def test_there_are_examples():
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.extend(plt.get_fignums()))
    text = path.read_text()
    assert len(text.splitlines()) < 60
    if "import torch" in text:
        pytest.importorskip("torch")
    if "load_trace" in text and importlib.util.find_spec("tslearn") is None:
        pytest.skip("tslearn carries the data")
    runpy.run_path(str(path))
    assert shown
