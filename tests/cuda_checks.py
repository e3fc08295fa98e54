"""Calls of the CUDA engine on any devices, and comparisons of what they give."""

from __future__ import annotations

import numpy as np
import oracle
from sktime_sdtw.cuda_ext import _engine as cuda

from sktime_sdtw import _engine
from sktime_sdtw._series import SeriesBatch
from sktime_sdtw.metrics._constraints import Band
from sktime_sdtw.metrics._costs import ResolvedCost

EVERYTHING = {"value", "x", "y", "alignment", "expected_cost", "entropy"}
GAMMAS = (0.0, 1e-6, 1e-2, 1.0, 1e4)
COSTS = ("sqeuclidean", "euclidean", "manhattan", "gak")
BANDS = (Band(), Band("sakoe_chiba", 2.0), Band("relative_sakoe_chiba", 0.3), Band("itakura", 2.5))
RAGGED = (11, 6, 9), (8, 10, 7)


def series(lengths, d=1, dtype="float32", seed=0, scale=1.0):
    rng = np.random.default_rng([seed, d, *lengths])
    return SeriesBatch.from_arrays([(scale * rng.normal(size=(t, d))).astype(dtype) for t in lengths])


def resolved(cost):
    return ResolvedCost(cost, 0.5 if cost == "gak" else 1.0)


def mean_cost(cost, d):
    """Of a cell, for `series` of scale 1: what errors are relative to where values are around 0."""
    return {"sqeuclidean": 2 * d, "euclidean": 1.1 * d**0.5, "manhattan": 1.1 * d, "gak": d}[cost]


def double(batch):
    return None if batch is None else batch.astype(np.float64)


def forward(runtimes, x, y, pairing, cost="sqeuclidean", band=BANDS[0], gammas=(1.0,), costs=None):
    runtimes = runtimes if isinstance(runtimes, list) else [runtimes]
    numbers = _engine.settings_of(resolved(cost), band)
    return cuda.forward(runtimes, x, y, pairing, numbers, np.array(gammas, float), costs)


def gradient(runtimes, pairs, wanted=frozenset(EVERYTHING), cost="sqeuclidean", band=BANDS[0], gamma=1.0):
    runtimes = runtimes if isinstance(runtimes, list) else [runtimes]
    numbers = _engine.settings_of(resolved(cost), band)
    return cuda.gradient(runtimes, pairs, set(wanted), numbers, gamma)


def assert_values(found, truth, dtype, scale=0.0):
    np.testing.assert_array_equal(np.isfinite(found), True)
    allowed = oracle.VALUE_TOLERANCE[str(np.dtype(dtype))] * np.maximum(np.abs(truth), scale)
    assert (np.abs(found - truth) <= allowed).all(), (found, truth)


def assert_gradients(found, truth, dtype):
    for name in found:
        if name == "value":
            assert_values(found[name], truth[name], dtype, scale=1.0)
            continue
        # An entropy below is a sum of roundings: of probabilities that should be 1.
        largest = max(np.abs(truth[name]).max(), 1e-2 if name == "entropy" else 1e-6)
        error = np.abs(found[name] - truth[name]).max() / largest
        assert error <= oracle.GRADIENT_TOLERANCE[str(np.dtype(dtype))], (name, error)


def check_values(runtime, x, y, cost="sqeuclidean", band=BANDS[0], gammas=(1.0,)):
    """All pairings against the CPU engine in float64."""
    for pairing, other in (("full", y), ("upper", None), ("paired", y)):
        found = forward(runtime, x, other, pairing, cost, band, gammas)
        arguments = resolved(cost), band, np.array(gammas, float)
        truth = _engine.forward(double(x), double(other), pairing, *arguments, device="cpu")
        assert found.dtype == x.dtype
        assert found.shape == truth.shape
        assert_values(found, truth, x.dtype, mean_cost(cost, x.n_features))


def check_gradients(runtime, x, y, cost="sqeuclidean", band=BANDS[0], gamma=1.0, wanted=EVERYTHING):
    found = gradient(runtime, _engine.Pairs(x, y), wanted, cost, band, gamma)
    pairs = _engine.Pairs(double(x), double(y))
    truth = _engine.gradient(pairs, set(wanted), resolved(cost), band, gamma, device="cpu")
    assert {name: a.dtype for name, a in found.items()} == dict.fromkeys(found, x.dtype)
    assert_gradients(found, truth, x.dtype)
