"""The picture of warps shows the right numbers in the right places."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt

from sktime_sdtw import GDTWAligner, WarpDisplay, apply_warp, gdtw

T = np.linspace(0, 1, 40)
X, Y = np.stack([np.sin(9 * T**2), T], 1), np.stack([np.sin(9 * T), np.sqrt(T)], 1)


def test_signals():
    result = gdtw(X, Y, reg=1e-3)
    display = WarpDisplay.from_signals(X, Y, reg=1e-3, truth=np.sqrt(T))
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), result.values)
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), T)
    assert len(display.axes_) == 3
    for feature in range(2):
        source, target, warped = display.axes_[1 + feature].lines
        np.testing.assert_array_equal(source.get_ydata(), X[:, feature])
        np.testing.assert_array_equal(target.get_ydata(), Y[:, feature])
        np.testing.assert_array_equal(warped.get_ydata(), apply_warp(X, result)[:, feature])
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["true warp", "warp"]
    assert display.figure_ is display.ax_.get_figure()


def test_own_times():
    display = WarpDisplay.from_signals(X[:, 0], Y[:, 0], x_times=10 * T, y_times=5 + T)
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), 5 + T)
    assert display.lines_[0].get_ydata()[-1] == 10
    np.testing.assert_allclose(display.axes_[1].lines[0].get_xdata(), 5 + T)


def test_estimator():
    series = np.stack([np.sin(9 * T**p) for p in (0.8, 1.0, 1.3)])
    aligner = GDTWAligner(reg=1e-2).fit(series)
    display = WarpDisplay.from_estimator(aligner)
    assert len(display.lines_) == 3
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), aligner.warps_[1])
    one = WarpDisplay.from_estimator(aligner, series[:1])
    assert len(one.axes_) == 2
    np.testing.assert_array_equal(one.axes_[1].lines[1].get_ydata(), aligner.template_)


def test_axes_of_the_user():
    _, axes = plt.subplots(3, 1)
    assert (WarpDisplay.from_signals(X, Y, ax=axes).axes_ == axes).all()
    _, ax = plt.subplots()
    divided = WarpDisplay.from_signals(X, Y, ax=ax)
    assert len(divided.axes_) == 3
    _, ax = plt.subplots()
    assert WarpDisplay(T, T).plot(ax).ax_ is ax


def test_bad_input():
    with pytest.raises(ValueError, match="number of knots"):
        WarpDisplay(T, T[1:]).plot()
    with pytest.raises(ValueError, match="single signals"):
        WarpDisplay.from_signals(X[None], Y[None])
