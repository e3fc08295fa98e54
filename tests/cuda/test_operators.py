"""The CUDA engine on emulated hardware, against the oracle and against the CPU engine.

The same sources that a GPU runs, small. `pytest --engine=emulated` puts it under the other tests too.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import oracle
import pytest
from cuda_emulation import EmulatedRuntime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sktime_sdtw.cuda_ext import _engine as cuda
from sktime_sdtw.cuda_ext import _plan

from sktime_sdtw import _engine
from sktime_sdtw._series import SeriesBatch
from sktime_sdtw.metrics._batch import precomputed_pairs
from sktime_sdtw.metrics._constraints import Band
from sktime_sdtw.metrics._costs import ResolvedCost

EVERYTHING = {"value", "x", "y", "alignment", "expected_cost", "entropy"}
GAMMAS = (0.0, 1e-6, 1e-2, 1.0, 1e4)
COSTS = ("sqeuclidean", "euclidean", "manhattan", "gak")
BANDS = (Band(), Band("sakoe_chiba", 2.0), Band("relative_sakoe_chiba", 0.3), Band("itakura", 2.5))
RAGGED = (11, 6, 9), (8, 10, 7)


@pytest.fixture
def runtime():
    return EmulatedRuntime()


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
    numbers = _engine._settings(resolved(cost), band)
    return cuda.forward(runtimes, x, y, pairing, numbers, np.array(gammas, float), costs)


def gradient(runtimes, pairs, wanted=frozenset(EVERYTHING), cost="sqeuclidean", band=BANDS[0], gamma=1.0):
    runtimes = runtimes if isinstance(runtimes, list) else [runtimes]
    numbers = _engine._settings(resolved(cost), band)
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


# --- several strips, chunks, windows, groups


@pytest.mark.parametrize(("d", "dtype"), [(1, "float32"), (2, "float64"), (9, "float32")])
def test_several_strips(runtime, d, dtype):
    x, y = series((30, 9), d, dtype), series((20, 300), d, dtype, seed=1)
    check_values(runtime, x, y, gammas=(1.0, 0.0))
    check_values(runtime, y, x)
    check_gradients(runtime, x, y)


@pytest.mark.parametrize("band", BANDS[1:])
def test_several_strips_with_a_band(runtime, band):
    x, y = series((140, 270), 1), series((270, 290), 1, seed=1)
    check_values(runtime, x, y, band=band, gammas=(0.1,))
    check_gradients(runtime, x, y, band=band, gamma=0.1)


@pytest.mark.parametrize(
    ("d", "cost", "dtype", "band"),
    [(1, "sqeuclidean", "float32", 0), (5, "euclidean", "float64", 1), (9, "gak", "float32", 3)],
)
@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_several_chunks(runtime, monkeypatch, d, cost, dtype, band, gamma):
    monkeypatch.setattr(_plan, "SCRATCH_BYTES", 1)
    monkeypatch.setattr(_plan, "TABLE_BYTES", 1)
    monkeypatch.setattr(_plan, "chunk_rows", lambda *_: 8)
    x, y = series((30, 17, 8), d, dtype), series((25, 150, 12), d, dtype, seed=1)
    check_values(runtime, x, y, cost, BANDS[band] if band < 3 else Band(), gammas=(gamma, 3.0))
    check_gradients(runtime, x, y, cost, BANDS[band] if band < 3 else Band(), gamma=gamma)


@pytest.mark.parametrize(
    ("d", "cost", "dtype", "band"),
    [
        (1, "sqeuclidean", "float32", 0),
        (2, "euclidean", "float64", 1),
        (9, "manhattan", "float32", 3),
        (20, "gak", "float32", 0),
    ],
)
@pytest.mark.parametrize("gamma", [0.0, 0.1])
def test_several_chunks_of_several_strips(monkeypatch, d, cost, dtype, band, gamma):
    # Parallelograms, of which strips begin and end in different chunks; some series have one strip only.
    runtime = EmulatedRuntime(multiprocessors=1, resident=7)
    real = _plan.chunk_rows
    monkeypatch.setattr(_plan, "chunk_rows", lambda *arguments: min(96, real(*arguments)))
    x, y = series((330, 150, 7), d, dtype), series((420, 170, 12), d, dtype, seed=1)
    check_gradients(runtime, x, y, cost, BANDS[band], gamma=gamma)
    if d == 20:
        check_values(runtime, x, y, cost, BANDS[band], gammas=(gamma, 3.0))


def test_bits_of_gradients_do_not_depend_on_chunks(monkeypatch):
    for d in (1, 9):
        x, y = series((400, 200), d), series((300, 420), d, seed=1)
        found = []
        for rows in (80, 160, 400):
            monkeypatch.setattr(_plan, "chunk_rows", lambda *_, rows=rows: rows)
            runtime = EmulatedRuntime(order=rows // 80, resident=1 + rows // 160)
            found.append(gradient(runtime, _engine.Pairs(x, y), {"value", "x", "y", "alignment"}))
        for other in found[1:]:
            for name, values in found[0].items():
                np.testing.assert_array_equal(other[name], values)


def test_windows(runtime, monkeypatch):
    monkeypatch.setattr(_plan, "RESULT_BYTES", 60)
    x, y = series((5, 8, 3, 9, 4, 6, 7), 1), series((6, 5, 9, 2), 1, seed=1)
    check_values(runtime, x, y.take([0, 1, 2, 3, 0, 1, 2]), gammas=(1.0, 0.0))
    monkeypatch.setattr(_plan, "MOST_LISTED", 5)
    x, y = series((5, 8, 3, 9), 9), series((6, 5, 9, 2), 9, seed=1)
    check_values(runtime, x, y)


def test_groups_of_pairs(monkeypatch):
    monkeypatch.setattr(_plan, "EDGE_BYTES", 400)
    monkeypatch.setattr(_plan, "TABLE_BYTES", 400)
    monkeypatch.setattr(_plan, "scratch_budget", lambda *_: 3000)
    runtime = EmulatedRuntime(multiprocessors=1)
    for d in (1, 9):
        x, y = (series(n, d, "float32", k) for k, n in enumerate(((5, 8, 3, 9, 4), (6, 5, 9, 2, 7))))
        check_values(runtime, x, y)
        check_gradients(runtime, x, y)


def test_series_that_do_not_fit_at_once(monkeypatch):
    x, y = series((50, 60, 40, 70), 4, "float64"), series((30, 50, 60), 4, "float64", seed=1)
    runtime = EmulatedRuntime(memory=4 * x.values.nbytes - 1000)
    monkeypatch.setattr(_plan, "SMALL_BYTES", 0)
    monkeypatch.setattr(_plan, "pairs_of_window", lambda *_, **__: 2)
    found = forward(runtime, x, y, "full")
    truth = _engine.forward(x, y, "full", resolved("sqeuclidean"), Band(), np.ones(1))
    assert_values(found, truth, "float64")


def limited(memory):
    """A device whose memory ends sooner than it says."""
    runtime = EmulatedRuntime(memory=memory)
    real, within = runtime.free_memory, runtime.empty

    def empty(count, dtype):
        runtime.free_memory = real
        try:
            return within(count, dtype)
        finally:
            runtime.free_memory = lambda: 2**40

    runtime.empty = empty
    runtime.free_memory = lambda: 2**40
    return runtime


def test_out_of_memory_halves_the_work():
    x, y = series((20,) * 6, 1), series((25,) * 6, 1, seed=1)
    runtime = limited(6000)
    found = forward(runtime, x, y, "full", gammas=np.linspace(1, 2, 40))
    truth = _engine.forward(
        double(x), double(y), "full", resolved("sqeuclidean"), Band(), np.linspace(1, 2, 40)
    )
    assert_values(found, truth, "float32", mean_cost("sqeuclidean", 1))
    check_gradients(limited(20_000), x, y)
    with pytest.raises(MemoryError):
        forward(limited(600), x, y, "full")


def test_several_devices_share_the_pairs():
    runtimes = [EmulatedRuntime(), EmulatedRuntime(multiprocessors=1)]
    x, y = series((5, 8, 3, 9, 4, 6, 7), 1), series((6, 5, 9, 2, 3, 5, 4), 1, seed=1)
    check_values(runtimes, x, y)
    assert all(runtime.launches for runtime in runtimes)
    check_gradients(runtimes, x, y)


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
        value, path = cuda.optimal_path(runtime, pairs, _engine._settings(resolved("sqeuclidean"), band))
        expected, its_path = _engine.optimal_path(pairs, resolved("sqeuclidean"), band, device="cpu")
        assert value == expected
        np.testing.assert_array_equal(path, its_path)
        assert oracle.is_path(path, n, m)


def test_optimal_path_in_chunks(runtime, monkeypatch):
    monkeypatch.setattr(_plan, "chunk_rows", lambda *_: 8)
    pairs = _engine.Pairs(series((45,), 2), series((300,), 2, seed=1))
    value, path = cuda.optimal_path(runtime, pairs, _engine._settings(resolved("euclidean"), Band()))
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
        runtime, _engine.Pairs(x, y), _engine._settings(resolved("sqeuclidean"), Band())
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


class Eager(EmulatedRuntime):
    """Writes down which kernels it is told of before they are launched."""

    def __init__(self):
        super().__init__()
        self.prepared = set()

    def prepare(self, specs):
        self.prepared |= set(specs)

    def late(self):
        launched = {spec for spec, _, _ in self.launches}
        self.launches.clear()
        return sorted(map(str, launched - self.prepared))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("d", [1, 9])
def test_kernels_of_an_ordinary_call_are_compiled_side_by_side(d, dtype):
    runtime = Eager()
    x, y = series((20, 9), d, dtype), series((14, 31), d, dtype, seed=1)
    for pairing, other in (("full", y), ("upper", None), ("paired", y)):
        forward(runtime, x, other, pairing, gammas=(1.0, 0.0))
        assert runtime.late() == []
    gradient(runtime, _engine.Pairs(x, y), {"value", "x", "y"})
    assert runtime.late() == []


def test_a_call_that_waits_for_nothing_has_the_same_results(runtime, monkeypatch):
    x = SeriesBatch.concatenate([series((9, 7), scale=1e-18), series((5, 20))])
    y, made = series((6, 8, 1, 30), seed=1), cuda._kernels
    gammas, pairs = (1.0, 0.0), _engine.Pairs(x, y)
    waiting = forward(runtime, x, y, "full", gammas=gammas), gradient(runtime, pairs)
    launches = len(runtime.launches)
    monkeypatch.setattr(cuda, "_kernels", lambda *arguments: replace(made(*arguments), look=False))
    found = forward(runtime, x, y, "full", gammas=gammas), gradient(runtime, pairs)
    assert len(runtime.launches) > 2 * launches  # some in vain
    np.testing.assert_array_equal(found[0], waiting[0])
    for name, values in waiting[1].items():
        np.testing.assert_array_equal(found[1][name], values)


class Counting(EmulatedRuntime):
    """Knows how much memory was held at once, and the largest part of it."""

    most = largest = 0

    def empty(self, count, dtype):
        buffer = super().empty(count, dtype)
        self.most = max(self.most, self.memory - self.free_memory())
        self.largest = max(self.largest, buffer.nbytes)
        return buffer


@pytest.mark.parametrize("d", [1, 9])
def test_gradients_hold_no_table(d):
    runtime = Counting()
    n, m = 700, 900
    x, y = series((n,), d), series((m,), d, seed=1)
    check_gradients(runtime, x, y, wanted={"value", "x", "y", "expected_cost"})
    # About six bytes a cell, and nothing as large as a table in float32 would be.
    assert runtime.most < 6.5 * n * m
    assert runtime.largest < 3.2 * n * m


class Deferred(EmulatedRuntime):
    """Copies results when they are waited for, at the latest moment that is allowed."""

    def start_download(self, buffer, shape, out=None):
        return lambda: self.download(buffer, shape, out)


@pytest.mark.parametrize("d", [1, 9])
def test_results_travel_while_the_next_are_computed(monkeypatch, d):
    monkeypatch.setattr(_plan, "RESULT_BYTES", 60)
    monkeypatch.setattr(_plan, "scratch_budget", lambda *_: 3000)
    x, y = series((5, 8, 3, 9, 4), d), series((6, 5, 9, 2, 7), d, seed=1)
    check_values(Deferred(), x, y)
    check_gradients(Deferred(multiprocessors=1), x, y)


# --- routing


def test_routing(monkeypatch, runtime):
    monkeypatch.setattr(_engine, "_runtimes", lambda device, work: [runtime] if device == "cuda:0" else [])
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
