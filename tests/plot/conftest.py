"""Plots without a screen, and no figure left open."""

from __future__ import annotations

import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    """Close what a test has opened."""
    from matplotlib import pyplot as plt

    yield
    plt.close("all")
