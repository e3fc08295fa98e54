"""Alignment of many series: what comes out is aligned, of one length, and can be undone."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sktime_sdtw import GDTWAligner, GDTWAlignerCV, TimeSeriesScaler, gdtw

T = np.linspace(0, 1, 60)


def bumps(at):
    return np.exp(-(((at - 0.3) / 0.08) ** 2)) - 0.6 * np.exp(-(((at - 0.7) / 0.1) ** 2))


def warped(n=6, noise=0.0, seed=0):
    """Series of one shape, and the true warp of each from the shape's time to its own."""
    rng = np.random.default_rng(seed)
    truth = T + 0.12 * rng.uniform(-1, 1, (n, 1)) * np.sin(np.pi * T)
    truth -= truth.mean(axis=0) - T
    X = np.stack([bumps(np.interp(T, warp, T)) for warp in truth])
    return X + noise * rng.normal(size=X.shape), truth


def test_template_of_the_user():
    X, truth = warped()
    aligner = GDTWAligner(bumps(T), reg=1e-4)
    aligned = aligner.fit_transform(X)
    assert aligned.shape == X.shape
    assert np.abs(aligned - bumps(T)).max() < 0.02
    assert np.abs(aligner.warps_ - truth).max() < 0.03
    assert aligner.n_iter_ == 0
    np.testing.assert_array_equal(aligner.template_, bumps(T))
    alone = gdtw(X[2], bumps(T), reg=1e-4)
    np.testing.assert_array_equal(aligner.warps_[2], alone.values)
    np.testing.assert_array_equal(aligner.warp(X)[2], alone.values)


def test_template_is_learned():
    X, truth = warped(10)
    aligner = GDTWAligner(reg=1e-4, max_iter=20)
    aligned = aligner.fit_transform(X)
    assert aligned.std(axis=0).max() < 0.1 * X.std(axis=0).max()
    assert np.abs(aligner.template_ - bumps(T)).max() < 0.1 < np.abs(X.mean(axis=0) - bumps(T)).max()
    assert np.abs(aligner.warps_ - truth).mean() < 0.01
    history = aligner.loss_history_
    assert (np.diff(history[:-1]) < 0).all()
    assert aligner.n_iter_ == len(history) - 1


def test_other_lengths_and_features():
    X, _ = warped(5)
    series = [np.stack([x, x**2], axis=1)[:: 1 + i % 2] for i, x in enumerate(X)]
    aligner = GDTWAligner(reg=1e-3, length=33).fit(series)
    assert aligner.template_.shape == (33, 2)
    assert aligner.transform(series).shape == (5, 33, 2)
    assert aligner.warps_.shape == (5, 33)
    assert aligner.transform([np.ones((1, 2))]).shape == (1, 33, 2)


def test_own_time_comes_back():
    X, _ = warped()
    aligner = GDTWAligner(bumps(T), reg=1e-3, slope_min=0.2)
    back = aligner.inverse_transform(aligner.fit_transform(X))
    assert np.abs(back - X).max() < 0.03
    new = X[:2] + 0.01
    back = aligner.inverse_transform(aligner.transform(new), warps=aligner.warp(new))
    assert np.abs(back - new).max() < 0.03


def test_own_lengths_come_back():
    X, _ = warped(3)
    series = [x[:, None] for x in (X[0], X[1][::2], X[2][:1])]
    aligner = GDTWAligner(reg=1e-2, slope_min=0.3, length=120).fit(series)
    np.testing.assert_array_equal(aligner.lengths_, [60, 30, 1])
    aligned = aligner.transform(series)
    back = aligner.inverse_transform(aligned)
    assert [one.shape for one in back] == [(60, 1), (30, 1), (1, 1)]
    assert np.abs(back[1] - series[1]).max() < 0.1
    table = aligner.inverse_transform(aligned[:, :, 0].astype(np.float32), lengths=25)
    assert (table.shape, table.dtype) == ((3, 25), np.float32)
    warps = aligner.warp(series[:2])
    assert aligner.inverse_transform(aligned[:2], warps=warps).shape == (2, 120, 1)
    assert [len(one) for one in aligner.inverse_transform(aligned[:2], warps=warps, lengths=[3, 5])] == [3, 5]


@pytest.mark.parametrize("lengths", [0, [1, 2], 2.5, [[1, 2, 3]]])
def test_bad_lengths(lengths):
    aligner = GDTWAligner().fit(warped(3)[0])
    with pytest.raises(
        ValueError, match="lengths must be one integer, or one for each of 3 series, at least 1"
    ):
        aligner.inverse_transform(np.ones((3, 60)), lengths=lengths)


@pytest.mark.parametrize("warp", [T[::-1], T + 0.5, T * np.nan])
def test_bad_warps(warp):
    aligner = GDTWAligner().fit(warped(3)[0])
    for method in (aligner.apply, aligner.inverse_transform):
        with pytest.raises(ValueError, match=r"warps must be times in \[0, 1\] that do not decrease"):
            method(np.ones((3, 60)), warps=np.stack([T, T, warp]))


def test_warps_of_one_modality_serve_another():
    X, truth = warped()
    other = np.stack([np.interp(T, warp, np.cos(5 * T)) for warp in truth])
    aligner = GDTWAligner(bumps(T), reg=1e-3).fit(X)
    aligned = aligner.apply(other)
    # Where the first modality is flat, only the penalty says where time goes.
    assert np.abs(aligned - np.cos(5 * T)).mean() < 0.3 * np.abs(other - np.cos(5 * T)).mean()
    assert aligner.apply(np.repeat(other[:, ::2, None], 3, axis=2)).shape == (6, 60, 3)
    with pytest.raises(ValueError, match="one row for each is needed"):
        aligner.apply(other[:3])


def test_weight_is_chosen():
    X, _ = warped(8, noise=0.25, seed=1)
    regs = (1e-6, 1e-1, 1e3)
    chosen = GDTWAlignerCV(bumps(T), regs=regs).fit(X)
    assert chosen.reg_ == 1e-1
    assert chosen.scores_.argmax() == 1
    single = GDTWAligner(bumps(T), reg=1e-1).fit(X)
    np.testing.assert_array_equal(chosen.warps_, single.warps_)
    assert single.score(X) == chosen.scores_[1]
    search = GridSearchCV(GDTWAligner(bumps(T)), {"reg": regs}, cv=2).fit(X)
    assert search.best_params_["reg"] == 1e-1


def test_no_more_than_the_best_fit_is_kept(monkeypatch):
    X, _ = warped(4, noise=0.2)
    learn, found, alive = GDTWAligner._learn, [], []

    def counted(self, batch, reg):
        learned = learn(self, batch, reg)
        found.append(weakref.ref(learned.warps))
        alive.append(sum(warps() is not None for warps in found))
        return learned

    monkeypatch.setattr(GDTWAlignerCV, "_learn", counted)
    GDTWAlignerCV(bumps(T), regs=np.logspace(-6, 3, 10)).fit(X)
    assert len(alive) == 10
    assert max(alive) == 2  # the best so far, and the one that is tried


def test_pipeline():
    X, _ = warped()
    aligned = make_pipeline(TimeSeriesScaler(), GDTWAligner(reg=1e-2)).fit_transform(X)
    assert aligned.std(axis=0).mean() < TimeSeriesScaler().fit_transform(X).std(axis=0).mean()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"template": np.ones((5, 2))}, "template has shape"),
        ({"template": [1.0]}, "template has shape"),
        ({"reg": -1.0}, "reg"),
        ({"slope_max": 0.5}, "slope_max"),
        ({"loss": "l3"}, "loss"),
        ({"length": 1}, "length"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        GDTWAligner(**params).fit(warped()[0])


def test_bad_weights():
    with pytest.raises(ValueError, match="regs must be made of numbers"):
        GDTWAlignerCV(regs=["a"]).fit(warped()[0])
    with pytest.raises(ValueError, match="regs must be"):
        GDTWAlignerCV(regs=[0.1, -1.0]).fit(warped()[0])
