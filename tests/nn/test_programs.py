"""Calls that come again: their launches are noted once and repeated through the driver, here a stand-in.

Memory of the GPU is that of torch's tensors on the CPU; kernels are executed on the host at once.
"""

from __future__ import annotations

import contextlib
import threading
import types

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cuda.core", reason="kernels are compiled through it")

from fake_gpu import FakeDriver, Stream  # noqa: E402
from sktime_sdtw.cuda_ext import _compile, _driver, _plan, _runtime, _tape  # noqa: E402
from sktime_sdtw.cuda_ext._cache import Binary  # noqa: E402

from sktime_sdtw.functional import _cpu, _cuda, _cuda_again, _cuda_batches, capturable  # noqa: E402


class AtOnce(Stream):
    """Keeps nothing back: torch's tensors on the CPU are no longer there later."""

    def add(self, work):
        work()


class Event:
    def record(self, stream):
        pass

    def synchronize(self):
        pass


class OnHost(_runtime.CudaRuntime):
    """A GPU whose memory is the host's."""

    def __init__(self):
        super().__init__(0)
        self._device = torch.device("cpu")

    def prepare(self, specs):
        pass


class Machine:
    """As `Gpu`."""

    def __init__(self):
        self.runtime = OnHost()
        self.wrap = self.runtime.wrap

    tensor = _cuda_batches.Gpu.tensor

    def solve(self, x, y, gamma, wanted=3, cost=0, band=(0, 0.0)):
        return _cuda.soft_dtw(self, x, y, None, None, None, gamma, cost, 1.0, *band, wanted)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    stream = AtOnce(0)
    driver = FakeDriver(types.SimpleNamespace(stream=stream, compiled=[]))
    driver.emulate = True

    def compile_now(spec, architecture):
        driver.torch.compiled.append((spec, architecture))
        return Binary(architecture, str(spec).encode()), ""

    properties = types.SimpleNamespace(multi_processor_count=2, major=9, minor=0, total_memory=2**30)
    for name, value in {
        "is_available": lambda: True,
        "get_device_properties": lambda index: properties,
        "current_stream": lambda device=None: stream,
        "Stream": lambda device=None: stream,
        "Event": Event,
        "stream": lambda stream: contextlib.nullcontext(),
        "device": lambda device: contextlib.nullcontext(),
        "is_current_stream_capturing": lambda: False,
        "mem_get_info": lambda device: (2**30, 2**30),
        "memory_reserved": lambda device: 0,
        "memory_allocated": lambda device: 0,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, pin_memory=False, **more: empty(*a, **more))
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: None)
    monkeypatch.setattr(_driver, "_opened", [_driver.Driver(driver)])
    monkeypatch.setattr(_compile, "compile_kernel", compile_now)
    monkeypatch.setattr(_compile, "supported_architectures", lambda: [90])
    monkeypatch.setattr(_compile, "nvrtc_version", lambda: (13, 0))
    monkeypatch.setenv("SKTIME_SDTW_CACHE", str(tmp_path))
    for cached in (_runtime.kernel_cache, _compile.nvrtc_identity):
        cached.cache_clear()
    found = Machine()
    found.driver = driver
    yield found
    for cached in (_runtime.kernel_cache, _compile.nvrtc_identity):
        cached.cache_clear()


@pytest.fixture
def notes(monkeypatch):
    """How many programs have been made."""
    made = []
    init = _tape.Program.__init__

    def counted(self, *arguments):
        made.append(self)
        init(self, *arguments)

    monkeypatch.setattr(_tape.Program, "__init__", counted)
    return made


def series(batch, steps, features, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, steps, features, generator=generator, dtype=dtype)


def check(machine, x, y, gamma, wanted=3, **more):
    found = machine.solve(x, y, gamma, wanted, **more)
    cost, band = more.get("cost", 0), more.get("band", (0, 0.0))
    expected = _cpu.soft_dtw(x, y, None, None, None, gamma, cost, 1.0, *band, wanted)
    tolerance = 1e-4 if x.dtype == torch.float32 else 1e-9
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
    return found


@pytest.mark.parametrize(("features", "dtype"), [(1, torch.float32), (4, torch.float64), (16, torch.float32)])
def test_other_numbers(machine, notes, features, dtype):
    for seed, gamma in enumerate((1.0, 0.3)):  # gamma is a number like the others
        x, y = series(3, 20, features, seed, dtype), series(3, 17, features, seed + 9, dtype)
        check(machine, x, y, gamma)
    assert len(notes) == 1
    launches = len(machine.driver.launches)
    check(machine, x, y, 0.5)
    assert len(notes) == 1
    assert len(machine.driver.launches) - launches == len(notes[0]._launches)


@pytest.mark.parametrize("features", [1, 5])
def test_several_strips_and_chunks(machine, notes, monkeypatch, features):
    monkeypatch.setattr(_plan, "gradient_budget", lambda n, m, real, memory: 6 * int((n * m).sum()))
    x, y = series(2, 300, features), series(2, 330, features, 1)
    check(machine, x, y, 1.0)
    first = check(machine, x, y, 1.0)
    machine.runtime.programs = None  # by the way of calls that do not come again
    for a, b in zip(first, check(machine, x, y, 1.0), strict=True):
        assert torch.equal(a, b)
    assert len(notes) == 1


@pytest.mark.parametrize("wanted", [0, 1, 2, 3])
@pytest.mark.parametrize("features", [2, 6])
def test_what_is_wanted(machine, notes, wanted, features):
    x, y = series(2, 9, features), series(2, 12, features, 1)
    check(machine, x, y, 0.5, wanted, cost=2, band=(1, 3.0))
    check(machine, x + 1, y, 0.5, wanted, cost=2, band=(1, 3.0))
    check(machine, x, y, 0.0, wanted, cost=2, band=(1, 3.0))
    assert len(notes) == 2  # one for gamma = 0, whose arithmetic is another


@pytest.mark.parametrize("asks", [True, False])
def test_arithmetic_follows_the_numbers(machine, notes, asks):
    x, y = series(3, 10, 1), series(3, 12, 1, 1)
    large = x.clone()
    large[1] *= 1e5
    bad = large.clone()
    bad[0, 3], bad[2, 5] = torch.nan, torch.inf
    with contextlib.nullcontext() if asks else capturable():
        for one in (x, large, bad, large, x, bad):
            check(machine, one, y, 0.01)
    # Those of one arithmetic; of both; of the second alone. Without a look, one for all.
    assert len(notes) == (3 if asks else 1)


def test_all_samples_overflow(machine):
    x, y = series(2, 5, 1, dtype=torch.float64), series(2, 5, 1, 1, torch.float64)
    for one in (x * 1e200, x, x * 1e200):
        check(machine, one, y, 1.0)


def test_tensors_that_are_not_contiguous(machine):
    x, y = series(4, 2, 9).movedim(2, 0)[:4].transpose(1, 2), series(1, 8, 4, 1).expand(4, -1, -1)
    check(machine, x.contiguous()[..., :4].transpose(1, 2).transpose(1, 2), y, 1.0)
    check(machine, x[:, ::2], y[:, ::3], 1.0)


def test_no_memory_left(machine, notes, monkeypatch):
    x, y = series(2, 9, 1), series(2, 12, 1, 1)
    check(machine, x, y, 1.0)
    run = _tape.Program.run

    def refuse(self, inputs):
        raise _runtime.DeviceMemoryError("none")

    monkeypatch.setattr(_tape.Program, "run", refuse)
    check(machine, x, y, 1.0)
    assert not machine.runtime.programs
    monkeypatch.setattr(_tape.Program, "run", run)
    check(machine, x, y, 1.0)
    assert len(notes) == 2


def test_launches_go_on_after_memory_was_found(machine, monkeypatch):
    x, y = series(2, 9, 4), series(2, 12, 4, 1)
    check(machine, x, y, 1.0)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: machine.driver.fail.clear())
    launch = machine.driver._launch
    driver = machine.runtime._driver
    left = [4]
    real = driver._launch

    def failing(*arguments):
        left[0] -= 1
        if left[0] == 0:
            return _driver.OUT_OF_MEMORY
        return real(*arguments)

    monkeypatch.setattr(driver, "_launch", failing)
    check(machine, x, y, 1.0)
    assert left[0] < 0
    assert launch is not None


def test_many_threads(machine):
    x, y = series(2, 20, 1), series(2, 17, 1, 1)
    expected = machine.solve(x, y, 1.0)
    wrong = []

    def work(seed):
        other = series(2, 20, 1, seed)
        for _ in range(3):
            machine.solve(other, y, 1.0)
            if not all(map(torch.equal, machine.solve(x, y, 1.0), expected)):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_old_programs_are_forgotten(machine, monkeypatch):
    monkeypatch.setattr(_cuda_again, "MOST_PROGRAMS", 2)
    for steps in (4, 5, 6, 4):
        check(machine, series(1, steps, 1), series(1, 3, 1, 1), 1.0)
        assert len(machine.runtime.programs) <= 2


def test_memory_of_a_tape():
    runtime = types.SimpleNamespace(multiprocessors=1, capability=(9, 0), free_memory=None, prepare=None)
    tape = _tape.Tape(runtime)
    first, second = tape.empty(100, np.float32), tape.empty(10, np.uint8)
    assert second.pointer - first.pointer == 512
    begin = first.pointer
    del first
    third = tape.empty(1, np.float64)  # where the first one was
    assert third.pointer == begin
    rest = tape.empty(200, np.uint8)
    assert rest.pointer == begin + 256
    del rest, third, second
    whole = tape.empty(768, np.uint8)
    assert (whole.pointer, tape.scratch_bytes) == (begin, 768)
    assert tape.zeros(3, np.int32).pointer != tape.zeros(3, np.int32).pointer
    assert tape.input(1, np.int32).pointer != tape.input(1, np.int32).pointer
    with pytest.raises(_tape.NotRepeatableError):
        tape.upload(np.zeros(3))
