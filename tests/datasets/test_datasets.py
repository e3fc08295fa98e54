"""The generators keep what they promise; the real data set is found without importing its package."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from sktime_sdtw import dtw, dtw_path
from sktime_sdtw.datasets import load_trace, make_cylinder_bell_funnel, make_stretched, make_warped

needs_tslearn = pytest.mark.skipif(
    importlib.util.find_spec("tslearn") is None, reason="tslearn carries the data"
)


def test_cylinder_bell_funnel_without_noise():
    X, y = make_cylinder_bell_funnel(60, noise=0.0, random_state=0)
    assert X.shape == (60, 128)
    np.testing.assert_array_equal(np.bincount(y), [20, 20, 20])
    for series, label in zip(X, y, strict=True):
        inside = np.flatnonzero(series)
        assert 15 <= inside[0] <= 33
        assert 31 <= len(inside) <= 97
        assert inside[-1] - inside[0] + 1 == len(inside)
        slope = np.diff(series[inside])
        if label == 0:
            np.testing.assert_allclose(slope, 0)
        else:
            np.testing.assert_allclose(slope, slope[0])
            assert (slope[0] > 0) == (label == 1)


def test_cylinder_bell_funnel_scales_with_length():
    X, _ = make_cylinder_bell_funnel(9, length=512, noise=0.0, random_state=0)
    assert X.shape == (9, 512)
    assert (X[:, :60] == 0).all()


def test_noise_has_the_deviation_asked_for():
    X, _ = make_cylinder_bell_funnel(200, noise=0.5, random_state=0)
    assert X[:, :15].std() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("make", [make_cylinder_bell_funnel, make_warped])
def test_random_state(make):
    first, again, other = make(6, random_state=1)[0], make(6, random_state=1)[0], make(6, random_state=2)[0]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_warps_are_the_truth():
    options = {"length": (20, 60), "n_classes": 3, "n_features": 2, "warp": 0.9, "noise": 0.0}
    X, y, warps = make_warped(12, **options, random_state=0, return_warps=True)
    np.testing.assert_array_equal(np.bincount(y), [4, 4, 4])
    for series, label, warp in zip(X, y, warps, strict=True):
        assert 20 <= len(series) <= 60
        assert warp[0] == 0
        assert warp[-1] == pytest.approx(1)
        assert (np.diff(warp) > 0).all()
        np.testing.assert_allclose(series[:, 0], np.sin(2 * np.pi * (label + 1) * warp), atol=1e-12)


def test_warped_of_equal_length_is_an_array():
    X, y = make_warped(5, length=11, random_state=0)
    assert X.shape == (5, 11, 1)
    assert y.shape == (5,)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stretched_series_are_at_dtw_zero(dtype):
    template = np.random.default_rng(0).normal(size=(12, 2)).astype(dtype)
    X, sources = make_stretched(template, 5, random_state=0)
    for series, source in zip(X, sources, strict=True):
        assert series.dtype == dtype
        np.testing.assert_array_equal(series, template[source])
        assert dtw(series, template) == 0
        value, path = dtw_path(series, template)
        assert value == 0
        np.testing.assert_array_equal(path[:, 1], source[path[:, 0]])


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (make_cylinder_bell_funnel, {"n_samples": 0}, "n_samples must be an int >= 1"),
        (make_cylinder_bell_funnel, {"n_samples": "many"}, "n_samples must be an int >= 1"),
        (make_warped, {"length": 2.5}, "length must be an int >= 1"),
        (make_cylinder_bell_funnel, {"noise": -1.0}, "noise must be a finite number >= 0"),
        (make_cylinder_bell_funnel, {"noise": np.nan}, "noise must be a finite number >= 0"),
        (make_warped, {"noise": None}, "noise must be a finite number >= 0"),
        (make_warped, {"n_classes": 2**70}, "n_classes must be an int >= 1"),
        (make_warped, {"length": ()}, "length must be an int or"),
        (make_stretched, {"template": [1.0], "n_samples": 2**70}, "n_samples must be an int >= 1"),
        (make_warped, {"warp": "fast"}, "warp must be a finite number"),
        (make_warped, {"warp": 1.0}, r"warp must be in \[0, 1\)"),
        (make_warped, {"length": (5, 4)}, "length must be"),
        (make_warped, {"n_features": 0}, "n_features must be an int >= 1"),
        (make_stretched, {"template": [1.0], "max_repeat": 0}, "max_repeat must be an int >= 1"),
        (make_stretched, {"template": []}, "template"),
    ],
)
def test_bad_arguments(make, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make(**options)


@needs_tslearn
def test_trace():
    data = load_trace()
    X_train, y_train, X_test, y_test = data
    assert X_train.shape == X_test.shape == (100, 275)
    assert X_train.dtype == np.float64
    assert set(y_train) == set(y_test) == {1, 2, 3, 4}
    # The archive holds z-normalised series (divisor n - 1).
    np.testing.assert_allclose(np.concatenate([X_train, X_test]).std(axis=1, ddof=1), 1, atol=1e-4)
    assert data.X_test is X_test


@needs_tslearn
def test_trace_does_not_import_tslearn(tmp_path):
    load = "from sktime_sdtw.datasets import load_trace; load_trace()"
    code = f"import sys; {load}; assert 'tslearn' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=tmp_path, timeout=120)


def test_trace_without_tslearn(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"tslearn is not installed.*pip install sktime-sdtw\[demo\]"):
        load_trace()


def test_trace_of_an_empty_tslearn(monkeypatch, tmp_path):
    (tmp_path / "tslearn").mkdir()
    (tmp_path / "tslearn" / "__init__.py").touch()
    spec = importlib.util.spec_from_file_location(
        "tslearn",
        tmp_path / "tslearn" / "__init__.py",
        submodule_search_locations=[str(tmp_path / "tslearn")],
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ImportError, match=r"has no file \.cached_datasets/Trace\.npz"):
        load_trace()
