"""How the CUDA engine cuts work does not show: strips, chunks, windows, groups, devices, little memory."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_checks import (
    BANDS,
    assert_values,
    check_gradients,
    check_values,
    double,
    forward,
    gradient,
    mean_cost,
    resolved,
    series,
)
from cuda_emulation import EmulatedRuntime
from sktime_sdtw.cuda_ext import _engine as cuda
from sktime_sdtw.cuda_ext import _plan

from sktime_sdtw import _engine
from sktime_sdtw._series import SeriesBatch
from sktime_sdtw.metrics._constraints import Band


@pytest.fixture
def runtime():
    return EmulatedRuntime()


@pytest.mark.parametrize(("d", "dtype"), [(1, "float32"), (2, "float64"), (9, "float32")])
def test_several_strips(runtime, d, dtype):
    x, y = series((30, 9), d, dtype), series((20, 300), d, dtype, seed=1)
    check_values(runtime, x, y, gammas=(1.0, 0.0))
    check_values(runtime, y, x)
    check_gradients(runtime, x, y)


@pytest.mark.parametrize("d", [1, 5, 8])
def test_rows_of_several_strips_wherever_they_lie(runtime, d):
    x, y = series((16, 9, 12, 11), d), series((300, 5, 8, 20), d, seed=1)
    starts = x.offsets[:-1] * d * x.values.itemsize % 16
    assert (starts == 0).any()  # loaded 16 bytes at a time
    assert d == 8 or (starts > 0).any()  # singly
    check_values(runtime, x, y)


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
    y, made = series((6, 8, 1, 30), seed=1), cuda.make_kernels
    gammas, pairs = (1.0, 0.0), _engine.Pairs(x, y)
    waiting = forward(runtime, x, y, "full", gammas=gammas), gradient(runtime, pairs)
    launches = len(runtime.launches)

    def never_waits(*arguments):
        kernels = made(*arguments)
        kernels.which = lambda seen: kernels.possible_methods()
        return kernels

    monkeypatch.setattr(cuda, "make_kernels", never_waits)
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
