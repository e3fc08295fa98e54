"""The displays show the right numbers in the right places."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError

from sktime_sdtw import (
    AlignmentDisplay,
    BarycenterDisplay,
    ClusterDisplay,
    GramDisplay,
    SoftDTWBarycenter,
    SoftDTWDistance,
    SoftDTWKernel,
    SoftDTWKMeans,
    TimeSeriesScaler,
    WarpDisplay,
    dtw_path,
    pairwise_gak,
    soft_dtw_alignment,
)
from sktime_sdtw.datasets import make_warped


@pytest.fixture
def data():
    return make_warped(9, length=16, random_state=0)


def ragged(n_features):
    return make_warped(6, length=(8, 14), n_features=n_features, n_classes=2, random_state=0)


class TestAlignment:
    def test_content(self):
        x, y = np.sin(np.arange(7.0)), np.sin(np.arange(9.0) - 0.5)
        display = AlignmentDisplay.from_series(x, y, gamma=0.3)
        value, alignment = soft_dtw_alignment(x, y, gamma=0.3)
        np.testing.assert_array_equal(display.image_.get_array(), alignment)
        np.testing.assert_array_equal(display.path_.get_xydata()[:, ::-1], dtw_path(x, y)[1])
        left, top = display.axes_["x"], display.axes_["y"]
        np.testing.assert_array_equal(left.lines[0].get_xdata(), x)
        np.testing.assert_array_equal(left.lines[0].get_ydata(), np.arange(7))
        np.testing.assert_array_equal(top.lines[0].get_ydata(), y)
        assert f"{value:.4g}" in top.get_title()
        assert "0.3" in top.get_title()
        assert display.ax_ is display.axes_["alignment"]
        assert display.figure_ is display.ax_.figure

    def test_time_runs_down_and_to_the_right(self):
        display = AlignmentDisplay.from_series(np.arange(4.0), np.arange(6.0))
        bottom, top = display.ax_.get_ylim()
        assert (bottom, top) == (3.5, -0.5)
        assert display.axes_["x"].get_ylim() == (3.5, -0.5)
        assert display.ax_.get_xlim() == display.axes_["y"].get_xlim() == (-0.5, 5.5)

    def test_features_get_a_line_each(self):
        X, _ = ragged(3)
        display = AlignmentDisplay.from_series(X[0], X[1], show_path=False, colorbar=False)
        assert len(display.axes_["x"].lines) == len(display.axes_["y"].lines) == 3
        assert len({line.get_color() for line in display.axes_["y"].lines}) == 3
        assert display.path_ is None
        assert len(display.figure_.axes) == 3

    @pytest.mark.parametrize("layout", [None, "constrained"])
    def test_axes_of_ones_own(self, layout):
        figure, (first, second) = plt.subplots(1, 2, layout=layout)
        place = second.get_position()
        display = AlignmentDisplay.from_series([0.0, 1.0], [0.0, 1.0, 1.0], ax=second)
        assert display.ax_ is second
        assert display.figure_ is figure
        figure.canvas.draw()
        if layout is None:  # the parts stay in the place of the axes
            for ax in (display.ax_, *display.axes_.values()):
                box = ax.get_position()
                assert box.x0 >= place.x0 - 1e-9
                assert box.x1 <= place.x1 + 1e-9
                assert box.y1 <= place.y1 + 1e-9
        assert not first.lines

    def test_axes_outside_a_grid(self):
        figure = plt.figure()
        ax = figure.add_axes((0.2, 0.2, 0.5, 0.5))
        assert AlignmentDisplay.from_series([0.0, 1.0], [0.0, 1.0, 1.0], ax=ax).ax_ is ax
        figure.canvas.draw()
        assert all(child.get_position().x1 < 0.8 for child in ax.child_axes)

    def test_style(self):
        line, path, image = {"color": "#ff0000"}, {"color": "#00ff00"}, {"cmap": "magma"}
        display = AlignmentDisplay.from_series(
            [0.0, 1.0], [0.0, 1.0], line_kw=line, path_kw=path, image_kw=image
        )
        assert display.axes_["x"].lines[0].get_color() == "#ff0000"
        assert display.path_.get_color() == "#00ff00"
        assert display.image_.get_cmap().name == "magma"

    def test_plot_again(self):
        display = AlignmentDisplay.from_series([0.0, 1.0], [0.0, 1.0])
        first = display.figure_
        assert display.plot() is display
        assert display.figure_ is not first


class TestBarycenter:
    def test_content(self):
        X, _ = ragged(1)
        estimator = SoftDTWBarycenter(gamma=0.1, max_iter=3).fit(X)
        display = BarycenterDisplay.from_estimator(estimator, X)
        assert display.axes_.shape == (1,)
        np.testing.assert_array_equal(display.lines_[0].get_ydata(), np.ravel(estimator.barycenter_))
        members = [line for line in display.ax_.lines if line is not display.lines_[0]]
        assert [len(line.get_ydata()) for line in members] == [len(x) for x in X]
        for line, x in zip(members, X, strict=True):
            np.testing.assert_array_equal(line.get_ydata(), x[:, 0])
        labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
        assert labels == ["6 series", "barycenter"]

    def test_from_series(self):
        X, _ = ragged(2)
        display = BarycenterDisplay.from_series(X, gamma=0.1, length=10, barycenter_kw={"max_iter": 2})
        assert display.barycenter.shape == (10, 2)
        assert display.axes_.shape == (2,)
        for feature, line in enumerate(display.lines_):
            np.testing.assert_array_equal(line.get_ydata(), display.barycenter[:, feature])
            assert display.axes_[feature].get_ylabel() == f"feature {feature}"

    def test_axes_of_ones_own(self):
        X, _ = ragged(2)
        display = BarycenterDisplay(X, X[0])
        figure, axes = plt.subplots(2)
        assert list(display.plot(axes).axes_) == list(axes)
        assert display.figure_ is figure
        figure, one = plt.subplots()
        display.plot(one)
        assert len(display.axes_) == 2
        assert all(ax.figure is figure for ax in display.axes_)
        assert not one.axison
        with pytest.raises(ValueError, match="ax has 3 axes, this plot has 2 panels"):
            display.plot(plt.subplots(3)[1])

    def test_not_fitted(self):
        with pytest.raises(NotFittedError):
            BarycenterDisplay.from_estimator(SoftDTWBarycenter(), [[0.0, 1.0]])
        with pytest.raises(ValueError, match="barycenter has 1 features per time step, but X has 2"):
            BarycenterDisplay(np.zeros((3, 4, 2)), np.zeros(4)).plot()


class TestCluster:
    def test_content(self, data):
        X, _ = data
        km = SoftDTWKMeans(n_clusters=3, gamma=0.1, max_iter=2, random_state=0).fit(X)
        display = ClusterDisplay.from_estimator(km, X)
        labels = km.predict(X)
        assert display.axes_.shape == display.lines_.shape == (3,)
        for cluster, (ax, line) in enumerate(zip(display.axes_, display.lines_, strict=True)):
            np.testing.assert_array_equal(line.get_ydata(), np.ravel(km.cluster_centers_[cluster]))
            members = [other.get_ydata() for other in ax.lines if other is not line]
            np.testing.assert_array_equal(members, X[labels == cluster, :, 0])
            assert ax.get_title() == f"cluster {cluster}  (n = {np.sum(labels == cluster)})"
        assert len({line.get_color() for line in display.lines_}) == 3
        assert not display.figure_.legends

    def test_panels_share_their_scales(self, data):
        X, y = data
        display = ClusterDisplay(X, y, [X[0], X[1], 10 + X[2]]).plot()
        assert len({ax.get_ylim() for ax in display.axes_}) == 1

    def test_classes_are_colours(self, data):
        X, y = data
        names = np.array(["a", "b", "c"])[y]
        display = ClusterDisplay(X, np.zeros(9, dtype=int), X[:1], y=names).plot()
        colors = [line.get_color() for line in display.ax_.lines if line is not display.lines_[0]]
        assert len(set(colors)) == 3
        legend = display.figure_.legends[0]
        assert [text.get_text() for text in legend.get_texts()] == ["class a", "class b", "class c", "centre"]
        shown = dict(zip(names[np.argsort(names, kind="stable")], colors, strict=True))
        for text, handle in zip(legend.get_texts()[:3], legend.get_lines()[:3], strict=True):
            assert to_hex(handle.get_color()) == to_hex(shown[text.get_text()[-1]])
        display.plot(plt.subplots()[1])
        assert len(display.ax_.get_legend().get_texts()) == 4

    def test_features_are_rows(self):
        X, y = ragged(2)
        display = ClusterDisplay(X, y, [X[0], X[1]]).plot()
        assert display.axes_.shape == (2, 2)
        np.testing.assert_array_equal(display.lines_[1, 0].get_ydata(), X[0][:, 1])
        assert display.ax_ is display.axes_[0, 0]

    @pytest.mark.parametrize(
        ("n", "shape"), [(1, (1, 1)), (4, (1, 4)), (5, (2, 3)), (8, (2, 4)), (9, (3, 3))]
    )
    def test_grid(self, n, shape):
        X = np.zeros((n, 3))
        display = ClusterDisplay(X, np.arange(n), X).plot()
        assert len(display.axes_) == n
        assert display.ax_.get_subplotspec().get_gridspec().get_geometry() == shape

    def test_number_of_columns(self):
        X = np.zeros((4, 3))
        display = ClusterDisplay(X, np.arange(4), X).plot(n_columns=2)
        assert display.ax_.get_subplotspec().get_gridspec().get_geometry() == (2, 2)

    def test_empty_cluster(self):
        display = ClusterDisplay(np.zeros((2, 3)), [0, 0], np.ones((2, 3))).plot()
        assert display.axes_[1].get_title() == "cluster 1  (n = 0)"
        assert len(display.axes_[1].lines) == 1

    def test_errors(self):
        with pytest.raises(ValueError, match="labels has shape"):
            ClusterDisplay(np.zeros((2, 3)), [0], np.ones((2, 3))).plot()
        with pytest.raises(ValueError, match="y has shape"):
            ClusterDisplay(np.zeros((2, 3)), [0, 1], np.ones((2, 3)), y=[0]).plot()
        with pytest.raises(ValueError, match="centers have 1 features per time step, but X has 2"):
            ClusterDisplay(np.zeros((2, 3, 2)), [0, 1], np.ones((2, 3))).plot()
        with pytest.raises(ValueError, match="n_columns must be an int >= 1"):
            ClusterDisplay(np.zeros((2, 3)), [0, 1], np.ones((2, 3))).plot(n_columns=-1)
        with pytest.raises(NotFittedError):
            ClusterDisplay.from_estimator(SoftDTWKMeans(), np.zeros((2, 3)))


def test_estimators_of_another_kind(data):
    X, _ = data
    other = TimeSeriesScaler().fit(X)
    for display in (BarycenterDisplay, ClusterDisplay, GramDisplay, WarpDisplay):
        with pytest.raises(TypeError, match=r"estimator must be an? .* Got TimeSeriesScaler"):
            display.from_estimator(other, X)


class TestGram:
    def test_sorted_by_class(self, data):
        X, y = data
        gram = pairwise_gak(X, sigma=0.5)
        display = GramDisplay.from_matrix(gram, y)
        order = np.argsort(y, kind="stable")
        np.testing.assert_array_equal(display.row_order_, order)
        np.testing.assert_array_equal(display.column_order_, order)
        np.testing.assert_array_equal(display.image_.get_array(), gram[np.ix_(order, order)])
        assert [text.get_text() for text in display.ax_.get_yticklabels()] == ["0", "1", "2"]
        np.testing.assert_array_equal(display.ax_.get_yticks(), [1, 4, 7])
        edges = [
            line.get_ydata()[0] for line in display.ax_.lines if line.get_ydata()[0] == line.get_ydata()[1]
        ]
        np.testing.assert_array_equal(edges, [2.5, 5.5])

    def test_without_classes(self):
        matrix = np.arange(6.0).reshape(2, 3)
        display = GramDisplay.from_matrix(matrix)
        np.testing.assert_array_equal(display.image_.get_array(), matrix)
        assert not display.ax_.lines

    def test_from_estimators(self, data):
        X, y = data
        for estimator, name in ((SoftDTWKernel(), "kernel"), (SoftDTWDistance(), "distance")):
            estimator.fit(X[:6])
            display = GramDisplay.from_estimator(estimator, X, y, y_columns=y[:6])
            assert display.matrix.shape == (9, 6)
            assert display.name == name
            assert [ax.get_ylabel() for ax in display.ax_.child_axes] == [name]
            expected = estimator.transform(X)[np.ix_(display.row_order_, display.column_order_)]
            np.testing.assert_array_equal(display.image_.get_array(), expected)

    def test_axes_of_ones_own(self):
        figure, axes = plt.subplots(1, 2)
        display = GramDisplay.from_matrix(np.eye(3), ax=axes[1], colorbar=False, image_kw={"cmap": "magma"})
        assert display.ax_ is axes[1]
        assert display.figure_ is figure
        assert display.image_.get_cmap().name == "magma"
        assert not axes[1].child_axes

    def test_errors(self):
        with pytest.raises(NotFittedError):
            GramDisplay.from_estimator(SoftDTWKernel(), np.zeros((2, 3)))
        with pytest.raises(ValueError, match="y has shape"):
            GramDisplay.from_matrix(np.eye(3), [0, 1])
        with pytest.raises(ValueError, match="y_columns has shape"):
            GramDisplay.from_matrix(np.eye(3), [0, 1, 2], y_columns=[0])
        with pytest.raises(ValueError, match="matrix has shape"):
            GramDisplay.from_matrix(np.zeros(3))


def test_matplotlib_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    display = AlignmentDisplay([0.0], [0.0], np.ones((1, 1)))
    for plot in (display.plot, GramDisplay(np.eye(2)).plot, BarycenterDisplay([[0.0]], [0.0]).plot):
        with pytest.raises(ImportError, match=r"pip install sktime-sdtw\[plot\]"):
            plot()


def test_clusterers_of_scikit_learn(data):
    X, y = data
    km = KMeans(n_clusters=3, n_init=1, random_state=0).fit(X[:, :, 0])
    display = ClusterDisplay.from_estimator(km, X[:, :, 0], y)
    np.testing.assert_array_equal(display.lines_[2].get_ydata(), km.cluster_centers_[2])
