"""The operators of CUDA tensors, on the host: kernels and everything around them, against the CPU engine."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cuda.core", reason="kernels are compiled through it")

from cuda_emulation import EmulatedRuntime  # noqa: E402
from sktime_sdtw.cuda_ext import _plan  # noqa: E402

from sktime_sdtw.functional import _cpu, _cuda, capturable  # noqa: E402


class EmulatedDevice:
    """Copies where a GPU shares memory."""

    def __init__(self):
        self.runtime = EmulatedRuntime()

    def wrap(self, tensor):
        return self.runtime.upload(tensor.contiguous().numpy())

    def tensor(self, buffer, *shape):
        return torch.from_numpy(self.runtime.download(buffer, shape))


@pytest.fixture(scope="module")
def device():
    return EmulatedDevice()


def series(batch, steps, features, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, steps, features, generator=generator, dtype=dtype)


LENGTHS = (torch.tensor([5, 9, 1]), torch.tensor([7, 2, 3]))
PER_SAMPLE = torch.tensor([0.5, 2.0, 0.5], dtype=torch.float64)


def same(found, expected, dtype):
    tolerance = {torch.float32: 1e-4, torch.float64: 1e-9}[dtype]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("features", [1, 4])
@pytest.mark.parametrize("wanted", [0, 1, 7])
def test_plain(device, dtype, features, wanted):
    x, y = series(3, 9, features, dtype=dtype), series(3, 7, features, 1, dtype)
    call = (x, y, None, None, None, 0.5, 0, 1.0, 0, 0.0, wanted)
    same(_cuda.soft_dtw(device, *call), _cpu.soft_dtw(*call), dtype)


@pytest.mark.parametrize(
    ("lengths", "gammas", "gamma", "cost", "band"),
    [
        (LENGTHS, None, 0.5, 1, (0, 0.0)),
        ((LENGTHS[0], None), PER_SAMPLE, 1.0, 0, (1, 2.0)),
        ((None, None), PER_SAMPLE[:1], 1.0, 2, (2, 0.4)),
        (LENGTHS, None, 0.0, 0, (0, 0.0)),
    ],
)
def test_lengths_gammas_costs_and_bands(device, lengths, gammas, gamma, cost, band):
    x, y = series(3, 9, 2), series(3, 7, 2, 1)
    call = (x, y, *lengths, gammas, gamma, cost, 1.0, *band, 7)
    same(_cuda.soft_dtw(device, *call), _cpu.soft_dtw(*call), torch.float64)


@pytest.mark.parametrize("lengths", [(None, None), LENGTHS])
@pytest.mark.parametrize("wanted", [0, 5])
def test_costs(device, lengths, wanted):
    costs = series(3, 9, 7).square()
    call = (costs, *lengths, None, 0.5, 4, 1.0, 0, 0.0, wanted)
    same(_cuda.soft_dtw_of_costs(device, *call), _cpu.soft_dtw_of_costs(*call), torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cost", [0, 1, 2, 3, 4])
def test_a_gamma_for_each_sample(device, dtype, cost):
    gammas, rest = torch.tensor([1e-4, 30.0, 0.5], dtype=torch.float64), (1.0, cost, 0.5, 0, 0.0)
    if cost == 4:
        call = (series(3, 9, 7, dtype=dtype).square(), *LENGTHS, gammas, *rest, 5)
        found, expected = _cuda.soft_dtw_of_costs(device, *call), _cpu.soft_dtw_of_costs(*call)
    else:
        x, y = series(3, 9, 2, dtype=dtype), series(3, 7, 2, 1, dtype)
        call = (x, y, *LENGTHS, gammas, *rest, 7)
        found, expected = _cuda.soft_dtw(device, *call), _cpu.soft_dtw(*call)
    assert all(a.dtype is dtype for a in found)
    same(found, expected, dtype)


def test_bad_numbers_stay_in_their_sample(device):
    x, y = series(4, 9, 2), series(4, 7, 2, 1)
    x[1, 3, 0], y[2, 0, 1], x[3] = torch.nan, torch.inf, 1e200
    call = (x, y, None, None, None, 0.5, 0, 1.0, 0, 0.0, 7)
    found = _cuda.soft_dtw(device, *call)
    assert found[0].isnan().tolist() == [False, True, True, True]
    same(found, _cpu.soft_dtw(*call), torch.float64)


def test_bad_arguments_and_empty_batches(device):
    x, y = series(3, 9, 2), series(3, 7, 2, 1)
    rest = (1.0, 0, 1.0, 0, 0.0, 7)
    with pytest.raises(ValueError, match="x_lengths"):
        _cuda.soft_dtw(device, x, y, torch.tensor([1, 2, 10]), None, None, *rest)
    with pytest.raises(ValueError, match="> 0"):
        _cuda.soft_dtw(device, x, y, None, None, -PER_SAMPLE, *rest)
    assert [r.shape[0] for r in _cuda.soft_dtw(device, x[:0], y[:0], None, None, None, *rest)] == [0] * 4


PAIR_LENGTHS = (LENGTHS[0], torch.tensor([7, 1, 2, 3]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("features", "cost", "band"), [(2, 0, (0, 0.0)), (2, 3, (1, 3.0)), (9, 1, (0, 0.0))])
@pytest.mark.parametrize("few", [False, True])
def test_all_pairs(device, monkeypatch, dtype, features, cost, band, few):
    if few:  # several windows
        monkeypatch.setattr(_plan, "RESULT_BYTES", 20)
        monkeypatch.setattr(_plan, "MOST_LISTED", 5)
        monkeypatch.setattr(_plan, "TABLE_BYTES", 400)
    x, y = series(3, 9, features, dtype=dtype), series(4, 7, features, 1, dtype)
    for gammas, gamma in ((None, 0.5), (torch.tensor(0.5, dtype=torch.float64), 1.0), (None, 0.0)):
        rest = (gammas, gamma, cost, 0.5, *band)
        for call in (
            (x, y, None, None, *rest),
            (x, y, *PAIR_LENGTHS, *rest),
            (x, None, None, None, *rest),
            (x, None, LENGTHS[0], None, *rest),
        ):
            with contextlib.nullcontext() if few else capturable():
                same([_cuda.cdist(device, *call)], [_cpu.cdist(*call)], dtype)


def test_all_pairs_of_bad_input(device):
    x, y = series(3, 9, 2), series(4, 7, 2, 1)
    x[1, 3, 0], y[2] = torch.nan, 1e200
    call = (x, y, None, None, None, 0.5, 0, 1.0, 0, 0.0)
    found = _cuda.cdist(device, *call)
    assert found.isnan().any(1).all()
    assert found.isnan().all(1).tolist() == [False, True, False]
    same([found], [_cpu.cdist(*call)], torch.float64)
    assert _cuda.cdist(device, x[:0], *call[1:]).shape == (0, 4)
    with pytest.raises(ValueError, match="y_lengths"):
        _cuda.cdist(device, x, y, None, torch.tensor([1, 2, 3, 8]), *call[4:])
    with pytest.raises(ValueError, match="one element"):
        _cuda.cdist(device, x, y, None, None, PER_SAMPLE, *call[5:])


@pytest.mark.parametrize("wanted", [0, 7])
def test_calls_that_ask_the_device_nothing(device, wanted):
    x, y = series(3, 9, 2, dtype=torch.float32), series(3, 7, 2, 1, torch.float32)
    x[1] *= 1e4  # in double
    call = (x, y, None, None, None, 0.5, 0, 1.0, 0, 0.0, wanted)
    asked = _cuda.soft_dtw(device, *call)
    before = len(device.runtime.launches)
    with capturable():
        found = _cuda.soft_dtw(device, *call)
    sweeps = [spec for spec, *_ in device.runtime.launches[before:] if spec.entry == "sweep"]
    assert {dict(spec.defines)["REAL"] for spec in sweeps} == {"float", "double"}
    for a, b in zip(found, asked, strict=True):
        assert torch.equal(a, b)


class Overstated(EmulatedRuntime):
    """A device whose memory ends sooner than it says; `failures` counts how often."""

    failures = 0

    def free_memory(self):
        return 2**40

    def empty(self, count, dtype):
        if count * np.dtype(dtype).itemsize > super().free_memory():
            self.failures += 1
            raise MemoryError
        return super().empty(count, dtype)


@pytest.mark.parametrize(("other", "memory"), [(True, 3000), (False, 2500)])
def test_all_pairs_in_smaller_windows_where_memory_ends(other, memory):
    x, y = series(14, 6, 1), series(15, 5, 1, 1) if other else None
    small = EmulatedDevice()
    small.runtime = Overstated(memory=memory)
    call = (x, y, None, None, None, 0.5, 0, 1.0, 0, 0.0)
    same([_cuda.cdist(small, *call)], [_cpu.cdist(*call)], torch.float64)
    assert small.runtime.failures
    small.runtime.memory = 500
    with pytest.raises(MemoryError):
        _cuda.cdist(small, *call)


ONE, OTHER = series(6, 9, 1), series(6, 7, 1, 1)
SECOND = (ONE, OTHER, None, None, None, 0.5, 0, 1.0, 0, 0.0, ONE, OTHER, None, 7)


@pytest.mark.parametrize(
    ("operator", "call", "memory"),
    [
        ("soft_dtw", (ONE, OTHER, None, None, None, 0.5, 0, 1.0, 0, 0.0, 0), 1200),
        ("soft_dtw", (ONE, OTHER, *2 * [torch.full((6,), 7)], None, 0.5, 0, 1.0, 0, 0.0, 7), 6000),
        ("soft_dtw_second_order", SECOND, 16_000),
    ],
)
def test_pairs_in_smaller_groups_where_memory_ends(operator, call, memory):
    small = EmulatedDevice()
    small.runtime = Overstated(memory=memory)
    same(getattr(_cuda, operator)(small, *call), getattr(_cpu, operator)(*call), torch.float64)
    assert small.runtime.failures
