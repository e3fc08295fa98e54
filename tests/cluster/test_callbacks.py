"""Progress through scikit-learn's callbacks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

import sktime_sdtw as sdtw
from sktime_sdtw import SoftDTWKMeans
from sktime_sdtw.cluster._callbacks import Progress

X = np.random.default_rng(0).normal(size=(20, 10)).cumsum(axis=1)


class Recorder:
    """Writes down what it is told."""

    max_propagation_depth = None

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.begun, self.ended, self.inertias = [], [], []
        self.n_setups = self.n_teardowns = 0

    def setup(self, estimator, context):
        self.n_setups += 1

    def teardown(self, estimator, context):
        self.n_teardowns += 1

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(context.task_name)

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.ended.append(context.task_name)
        if context.task_name == "iteration":
            self.inertias.append(-fitted_estimator.score(X))
            return self.ended.count("iteration") == self.stop_after
        return False


def test_tasks_begin_and_end():
    pytest.importorskip("sklearn.callback")
    recorder = Recorder()
    model = SoftDTWKMeans(3, random_state=0, n_init=2)
    model.set_callbacks(recorder)
    model.fit(X)
    assert sorted(recorder.begun) == sorted(recorder.ended)
    assert recorder.begun.count("run") == 2
    assert recorder.begun[0] == recorder.ended[-1] == "fit"
    assert recorder.ended.count("iteration") >= model.n_iter_
    assert recorder.n_setups == recorder.n_teardowns == 1
    assert min(recorder.inertias) == pytest.approx(model.inertia_, rel=1e-9)


def test_a_callback_can_stop():
    pytest.importorskip("sklearn.callback")
    free = SoftDTWKMeans(5, random_state=0).fit(X)
    assert free.n_iter_ > 1
    model = SoftDTWKMeans(5, random_state=0)
    model.set_callbacks(Recorder(stop_after=1))
    model.fit(X)
    assert model.n_iter_ == 1
    np.testing.assert_array_equal(model.predict(X), model.labels_)


def test_inside_a_pipeline():
    pytest.importorskip("sklearn.callback")
    recorder = Recorder()
    pipeline = make_pipeline(sdtw.TimeSeriesScaler(), SoftDTWKMeans(2, random_state=0))
    pipeline.set_callbacks(recorder)
    with pytest.warns(UserWarning, match="TimeSeriesScaler does not support callbacks"):
        pipeline.fit(X)
    assert "run" in recorder.ended
    assert sorted(recorder.begun) == sorted(recorder.ended)


def test_teardown_after_an_error():
    pytest.importorskip("sklearn.callback")
    recorder = Recorder()

    def fail(*_args, **_kwargs):
        raise RuntimeError("on purpose")

    recorder.on_fit_task_end = fail
    model = SoftDTWKMeans(2)
    model.set_callbacks(recorder)
    with pytest.raises((RuntimeError, TypeError)):
        model.fit(X)
    assert recorder.n_teardowns == 1


def test_without_callbacks_nothing_happens():
    progress = Progress.of_fit(object(), 3).begin(X)
    part = progress.part("run", 2).begin(X)
    assert part.end(X) is False
    assert progress.end(X, dict) is False


def test_a_callback_can_stop_the_runs():
    pytest.importorskip("sklearn.callback")

    class StopRuns(Recorder):
        def on_fit_task_end(self, estimator, context):
            self.ended.append(context.task_name)
            return context.task_name == "run"

    recorder = StopRuns()
    model = SoftDTWKMeans(3, random_state=0, n_init=5)
    model.set_callbacks(recorder)
    model.fit(X)
    assert recorder.ended.count("run") == 1
