"""The CUDA engine on emulated hardware, against the oracle and against the CPU engine.

The same sources that a GPU runs, small. `pytest --engine=emulated` puts it under the other tests too.
"""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest
from cuda_checks import (
    BANDS,
    COSTS,
    EVERYTHING,
    GAMMAS,
    RAGGED,
    assert_gradients,
    assert_values,
    check_gradients,
    check_values,
    double,
    forward,
    gradient,
    resolved,
    series,
)
from cuda_emulation import EmulatedRuntime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sktime_sdtw.cuda_ext import _engine as cuda
from sktime_sdtw.cuda_ext import _plan

from sktime_sdtw import _engine
from sktime_sdtw._series import SeriesBatch
from sktime_sdtw.metrics._batch import precomputed_pairs
from sktime_sdtw.metrics._constraints import Band


@pytest.fixture
def runtime():
    return EmulatedRuntime()


# --- against the oracle


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cost", COSTS)
def test_oracle(runtime, cost, dtype):
    x, y = series(RAGGED[0], 2, dtype), series(RAGGED[1], 2, dtype, seed=1)
    values = forward(runtime, x, y, "full", cost, gammas=GAMMAS)
    for i, j, (g, gamma) in itertools.product(range(3), range(3), enumerate(GAMMAS)):
        costs = oracle.cost_matrix(x[i], y[j], cost)
        assert_values(values[g, i, j], oracle.value(costs, gamma), dtype, costs.mean())
    found = gradient(runtime, _engine.Pairs(x, y), cost=cost, gamma=0.5)
    offsets = np.cumsum([0, *(x.lengths * y.lengths)])
    for k in range(3):
        costs = oracle.cost_matrix(x[k], y[k], cost)
        truth = oracle.solve(costs, 0.5)
        gx, gy = oracle.gradients(x[k], y[k], truth.alignment, cost)
        part = {
            "value": found["value"][k],
            "expected_cost": found["expected_cost"][k],
            "entropy": found["entropy"][k],
            "x": found["x"][x.offsets[k] : x.offsets[k + 1]],
            "y": found["y"][y.offsets[k] : y.offsets[k + 1]],
            "alignment": found["alignment"][offsets[k] : offsets[k + 1]],
        }
        expected = {
            "value": truth.value,
            "expected_cost": truth.expected_cost,
            "entropy": -truth.gamma_slope,
            "x": gx,
            "y": gy,
            "alignment": truth.alignment.ravel(),
        }
        assert_gradients(part, expected, dtype)


# --- against the CPU engine


@pytest.mark.parametrize(
    ("d", "cost", "band", "dtype"),
    [
        (d, COSTS[k % 4], BANDS[k // 2 % 4], dtype)
        for k, (d, dtype) in enumerate(itertools.product((1, 2, 3, 4, 8, 9, 40), ("float32", "float64")))
    ],
)
def test_values(runtime, d, cost, band, dtype):
    x, y = series(RAGGED[0], d, dtype), series(RAGGED[1], d, dtype, seed=1)
    check_values(runtime, x, y, cost, band, gammas=(1.0, 0.0))


@pytest.mark.parametrize(
    ("d", "cost", "band", "dtype"),
    [
        (d, COSTS[(k + 1) % 4], BANDS[(k // 2 + 1) % 4], dtype)
        for k, (d, dtype) in enumerate(itertools.product((1, 2, 3, 4, 9, 40), ("float32", "float64")))
    ],
)
def test_gradients(runtime, d, cost, band, dtype):
    check_gradients(runtime, *(series(n, d, dtype, k) for k, n in enumerate(RAGGED)), cost, band, 0.7)


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean", "gak"])
@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_costs_from_tensor_cores(runtime, monkeypatch, cost, offset):
    d = 20
    x, y = (series(n, d, "float32", k) for k, n in enumerate(((70, 17, 8), (75, 140, 12))))
    # The first two series are nearly alike, and the third ones begin with the same time steps.
    rows = y.values.copy()
    rows[:70], rows[-12:-7] = x.values[:70] + 0.01 * rows[:70], x.values[-8:-3]
    x, y = SeriesBatch(x.values + offset, x.offsets), SeriesBatch(rows + offset, y.offsets)
    x, y = (SeriesBatch(batch.values.astype(np.float32), batch.offsets) for batch in (x, y))
    entries = []
    for in_chunks in (False, True):
        if in_chunks:
            monkeypatch.setattr(_plan, "chunk_rows", lambda *_: 16)
        check_values(runtime, x, y, cost, gammas=(1.0, 0.0))
        check_gradients(runtime, x, y, cost, gamma=0.7)
        entries += [spec.entry for spec, _, _ in runtime.launches]
    assert "tensor_table" in entries
    assert "table" not in entries
    older = EmulatedRuntime(capability=(7, 5))
    check_values(older, x, y, cost)
    assert {"tensor_table", "table"} & {spec.entry for spec, _, _ in older.launches} == {"table"}


@pytest.mark.parametrize("gamma", [0.0, 1e-6, 1e-2, 1e4, np.inf])
@pytest.mark.parametrize(("d", "dtype"), [(1, "float32"), (5, "float32"), (2, "float64")])
def test_gradients_of_extreme_gammas(runtime, d, dtype, gamma):
    wanted = EVERYTHING - ({"value"} if np.isinf(gamma) else set())
    x, y = series(RAGGED[0], d, dtype), series(RAGGED[1], d, dtype, seed=1)
    check_gradients(runtime, x, y, gamma=gamma, wanted=wanted)


def test_one_time_step(runtime):
    for lengths in (((1, 1, 9), (1, 7, 1)), ((1,), (1,))):
        x, y = (series(n, 1, "float32", k) for k, n in enumerate(lengths))
        check_values(runtime, x, y, gammas=GAMMAS)
        check_gradients(runtime, x, y, gamma=1e4)


@pytest.mark.parametrize("scale", [1e-18, 1e12])
def test_wide_ranges_of_float32(runtime, scale):
    # float32 would lose these costs: such pairs are computed in double, side by side with the others.
    x = SeriesBatch.concatenate([series((9, 7), scale=scale), series((5,))])
    y = SeriesBatch.concatenate([series((6, 8), seed=1, scale=scale), series((9,), seed=1)])
    gammas = (scale**2, 1.0, 0.0)
    found = forward(runtime, x, y, "paired", gammas=gammas)
    truth = _engine.forward(double(x), double(y), "paired", resolved("sqeuclidean"), Band(), np.array(gammas))
    np.testing.assert_allclose(found, truth, rtol=2e-6)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=4),
    gamma=st.sampled_from(GAMMAS),
)
def test_shapes(runtime, lengths, gamma):
    x, y = (series(n, 1, "float32", k) for k, n in enumerate(zip(*lengths, strict=True)))
    check_values(runtime, x, y, gammas=(gamma,))
    check_gradients(runtime, x, y, gamma=gamma)


# --- given costs, paths, overflow


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [None, 8])
def test_precomputed_costs(runtime, monkeypatch, dtype, rows):
    if rows:
        monkeypatch.setattr(_plan, "chunk_rows", lambda *_: rows)
    rng = np.random.default_rng(0)
    pairs = precomputed_pairs([rng.normal(size=s).astype(dtype) for s in ((9, 14), (20, 6), (1, 5))])
    for gammas in ((1.0, 0.0), (1e-6,)):
        values = forward(runtime, pairs.x, pairs.y, "paired", "precomputed", Band(), gammas, pairs.costs)
        for k, (start, stop) in enumerate(itertools.pairwise(pairs.cost_offsets)):
            matrix = pairs.costs[start:stop].reshape(pairs.x.lengths[k], -1).astype(float)
            truth = [oracle.value(matrix, gamma) for gamma in gammas]
            assert_values(values[:, k], np.array(truth), dtype, scale=1.0)
    found = gradient(runtime, pairs, EVERYTHING - {"x", "y"}, "precomputed", gamma=0.3)
    truth = _engine.gradient(
        _engine.Pairs(double(pairs.x), double(pairs.y), pairs.costs.astype(float)),
        EVERYTHING - {"x", "y"},
        resolved("precomputed"),
        Band(),
        0.3,
        device="cpu",
    )
    assert_gradients(found, truth, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (40, 33), (30, 280)])
def test_optimal_path(runtime, shape, dtype):
    n, m = shape
    rng = np.random.default_rng(n)
    # Small integers: many optimal paths, of which both engines take the same.
    x, y = (SeriesBatch.from_arrays([rng.integers(0, 3, size=(t, 1)).astype(dtype)]) for t in shape)
    for band in (Band(), Band("sakoe_chiba", 5.0)):
        pairs = _engine.Pairs(x, y)
        value, path = cuda.optimal_path(runtime, pairs, _engine.settings_of(resolved("sqeuclidean"), band))
        expected, its_path = _engine.optimal_path(pairs, resolved("sqeuclidean"), band, device="cpu")
        assert value == expected
        np.testing.assert_array_equal(path, its_path)
        assert oracle.is_path(path, n, m)


def test_optimal_path_in_chunks(runtime, monkeypatch):
    monkeypatch.setattr(_plan, "chunk_rows", lambda *_: 8)
    pairs = _engine.Pairs(series((45,), 2), series((300,), 2, seed=1))
    value, path = cuda.optimal_path(runtime, pairs, _engine.settings_of(resolved("euclidean"), Band()))
    expected, its_path = _engine.optimal_path(pairs, resolved("euclidean"), Band(), device="cpu")
    assert value == pytest.approx(expected, rel=1e-14)
    np.testing.assert_array_equal(path, its_path)


def test_costs_that_overflow(runtime):
    x, y = series((5, 6), dtype="float64"), series((4, 5), dtype="float64", seed=1)
    x = SeriesBatch(np.where(np.arange(11)[:, None] < 5, 1e200, x.values), x.offsets)
    values = forward(runtime, x, y, "full", gammas=(1.0, 0.0))
    assert np.isnan(values[:, 0]).all()
    assert np.isfinite(values[:, 1]).all()
    value, path = cuda.optimal_path(
        runtime, _engine.Pairs(x, y), _engine.settings_of(resolved("sqeuclidean"), Band())
    )
    assert np.isnan(value)
    assert len(path) == 0


# --- what must not matter


def test_results_do_not_depend_on_the_order_of_execution():
    x, y = series((20, 9, 33), 1), series((140, 31, 12), 1, seed=1)
    wide_x, wide_y = series((20, 9, 33), 5), series((14, 31, 12), 5, seed=1)
    results = []
    for order, resident in ((0, 3), (1, 1), (5, 2)):
        runtime = EmulatedRuntime(order=order, resident=resident)
        found = gradient(runtime, _engine.Pairs(x, y)), gradient(runtime, _engine.Pairs(wide_x, wide_y))
        values = forward(runtime, x, y, "full", gammas=(1.0, 0.1))
        results.append([values, *(found[0][name] for name in sorted(EVERYTHING)), *found[1].values()])
    for others in results[1:]:
        for a, b in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("d", [1, 5])
def test_results_do_not_depend_on_the_batch(runtime, d):
    x, y = series((20, 9, 33), d), series((14, 31, 12), d, seed=1)
    together = gradient(runtime, _engine.Pairs(x, y))
    values = forward(runtime, x, y, "full")[0]
    for k in range(3):
        one = _engine.Pairs(x.take([k]), y.take([k]))
        alone = gradient(runtime, one)
        for name, offsets in (("value", range(4)), ("entropy", range(4)), ("x", x.offsets), ("y", y.offsets)):
            np.testing.assert_array_equal(alone[name], together[name][offsets[k] : offsets[k + 1]])
        assert forward(runtime, one.x, one.y, "full")[0, 0, 0] == values[k, k]


def test_without_undefined_behaviour():
    runtime = EmulatedRuntime(sanitize=True)
    x, y = series((9, 5), 1), series((7, 11), 1, seed=1)
    forward(runtime, x, y, "full", gammas=(1e-6, 1.0, 0.0))
    gradient(runtime, _engine.Pairs(x, y))
    gradient(runtime, _engine.Pairs(series((9, 5), 9), series((7, 11), 9)), cost="gak")


# --- routing


def test_routing(monkeypatch, runtime):
    monkeypatch.setattr(_engine, "runtimes_for", lambda device, work: [runtime] if device == "cuda:0" else [])
    x, y = series(RAGGED[0]), series(RAGGED[1], seed=1)
    cost, pairs = resolved("sqeuclidean"), _engine.Pairs(x, y)
    assert _engine.forward(x, y, "full", cost, Band(), np.ones(1), device="cpu").shape == (1, 3, 3)
    assert not runtime.launches
    _engine.forward(x, y, "full", cost, Band(), np.ones(1), device="cuda:0")
    launches = len(runtime.launches)
    assert launches > 0
    assert set(_engine.gradient(pairs, {"x"}, cost, Band(), 1.0, device="cuda:0")) == {"x", "value"}
    _engine.optimal_path(pairs, cost, Band(), device="cuda:0")
    assert len(runtime.launches) > launches
    huge = SeriesBatch(x.values.astype(float) * 1e200, x.offsets)
    with pytest.raises(ValueError, match="leave the range of float64"):
        _engine.forward(huge, double(y), "full", cost, Band(), np.ones(1), device="cuda:0")
    with pytest.raises(ValueError, match="itakura_max_slope=1 leaves no path"):
        _engine.forward(x, y, "full", cost, Band("itakura", 1.0), np.ones(1), device="cuda:0")
