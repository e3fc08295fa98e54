"""What is refused by the name of the argument, for arrays and tensors alike."""

from __future__ import annotations

import numpy as np
import pytest

from sktime_sdtw import (
    apply_warp,
    gdtw,
    max_alignment_error,
    mean_alignment_error,
    time_deviation,
    time_error,
)

torch = pytest.importorskip("torch")

X = np.random.default_rng(0).normal(size=(2, 6, 1))
KINDS = [np.asarray, torch.as_tensor]
HUGE = 2**70


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": ["endpoint"]}, "mode must be one of"),
        ({"loss": np.zeros(2)}, "loss must be one of"),
        ({"loss": "huber", "huber_delta": [0.1, 0.2]}, "huber_delta must be a finite number > 0"),
        ({"exact": np.zeros(2)}, "exact must be True or False"),
        ({"n_grid": HUGE}, "n_grid must be"),
        ({"knots": 2**40}, "knots must be at least 2, and less than"),
        ({"knots": []}, "knots must be two or more"),
        ({"slope_min": []}, "slope_min (must be|has a row)"),
        ({"band_upper": ()}, "band_upper (must be|has a row)"),
        ({"x_times": []}, "x_times (must be|has a row)"),
        ({"reg": {1.0}}, "reg must be made of numbers"),
    ],
)
def test_options(kind, options, message):
    with pytest.raises(ValueError, match=message):
        gdtw(kind(X), kind(X), **options)


@pytest.mark.parametrize("n_jobs", [0.5, "2", True])
@pytest.mark.parametrize("kind", KINDS)
def test_number_of_threads(kind, n_jobs):
    with pytest.raises(TypeError, match="n_jobs"):
        gdtw(kind(X), kind(X), n_jobs=n_jobs)


@pytest.mark.parametrize("kind", ["nested", "sparse"])
def test_tensors_that_are_no_table(kind):
    x = torch.tensor(X)
    if kind == "nested":
        bad = torch.nested.nested_tensor([torch.zeros(3, 1), torch.zeros(4, 1)], layout=torch.jagged)
    else:
        bad = x.to_sparse()
    calls = {
        "x": [lambda: gdtw(bad, x), lambda: apply_warp(bad, x[..., 0])],
        "y": [lambda: gdtw(x, bad)],
        "x_times": [lambda: gdtw(x, x, x_times=bad)],
        "warp": [lambda: apply_warp(x, bad), lambda: time_error(bad, x)],
        "truth": [lambda: max_alignment_error(x, bad)],
    }
    for name, each in calls.items():
        for call in each:
            with pytest.raises(
                TypeError, match=f"{name} must be a dense tensor, padded .* Got a {kind} tensor"
            ):
                call()


ERRORS = [time_error, time_deviation, mean_alignment_error, max_alignment_error]


@pytest.mark.parametrize("error", ERRORS)
def test_warps_to_compare(error):
    warp = np.linspace(0, 1, 5)
    for bad in (np.full(5, np.nan), [0, 0.2, 0.5, 0.8, np.inf]):
        with pytest.raises(ValueError, match="warp has NaN or inf"):
            error(bad, warp)
        with pytest.raises(ValueError, match="truth has NaN or inf"):
            error(warp, bad)
    with pytest.raises(ValueError, match="truth must be made of numbers"):
        error(torch.tensor(warp), ["a"] * 5)
    with pytest.raises(TypeError, match="warp must be made of real numbers"):
        error(torch.ones(5, dtype=torch.bool), warp)


@pytest.mark.parametrize("error", ERRORS[:2])
@pytest.mark.parametrize(
    ("times", "message"),
    [
        (1.0, "times must have 5 knots"),
        (np.zeros(5), "times must increase"),
        (["a"] * 5, "times must be made of numbers"),
        (np.zeros((3, 5)) + np.arange(5), "times and warp must be of as many pairs"),
        ([0, 1, 2, np.nan, 4], "times has NaN"),
    ],
)
def test_times_of_errors(error, times, message):
    warps = np.linspace(0, 1, 5) * np.ones((2, 1))
    with pytest.raises(ValueError, match=message):
        error(warps, warps, times=times)
    assert error(warps, warps[:1] ** 2, times=[False, 1, 2, 3, 4]).shape == (2,)
