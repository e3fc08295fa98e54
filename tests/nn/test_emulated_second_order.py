"""Second derivatives of CUDA tensors, on the host: against all paths, differences, and the CPU engine."""

from __future__ import annotations

from functools import partial

import numpy as np
import oracle
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cuda.core", reason="kernels are compiled through it")

from cuda_emulation import EmulatedRuntime  # noqa: E402
from sktime_sdtw.cuda_ext import _plan, _second_order  # noqa: E402

from sktime_sdtw.functional import _cpu, _cuda, _library, capturable  # noqa: E402


class EmulatedDevice:
    """Copies where a GPU shares memory."""

    def __init__(self, **options):
        self.runtime = EmulatedRuntime(**options)

    def wrap(self, tensor):
        return self.runtime.upload(tensor.contiguous().numpy())

    def tensor(self, buffer, *shape):
        return torch.from_numpy(self.runtime.download(buffer, shape))


@pytest.fixture
def device():
    return EmulatedDevice()


def random(*shape, seed=0, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng([seed, *shape]).normal(size=shape)).to(dtype)


def problem(batch, n, m, features, dtype=torch.float64):
    """x, y and directions of both and of gamma."""
    of_x, of_y = (batch, n, features), (batch, m, features)
    shapes = (of_x, of_y, of_x, of_y, (batch,))
    return [random(*shape, seed=seed, dtype=dtype) for seed, shape in enumerate(shapes)]


def double(call):
    return [v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v for v in call]


TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}


def same(found, expected, tolerance, least=1e-6):
    """In the maximum norm of each result, or relative to `least` where that is smaller."""
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert torch.equal(a.isnan(), b.isnan())
        a, b = a.double().nan_to_num(), b.double().nan_to_num()
        scale = max(float(b.abs().max()), least) if b.numel() else 1.0
        torch.testing.assert_close(a / scale, b / scale, rtol=0, atol=tolerance)


def check(device, *call):
    """Against the CPU engine in double."""
    operator = "soft_dtw_second_order" if len(call) == 14 else "soft_dtw_of_costs_second_order"
    gamma = call[5 if len(call) == 14 else 4]
    least = 1.0 if gamma == 0 else 1e-6  # of one feature, Euclidean costs have no second derivative at all
    *problem, wanted = call
    single = call[0].dtype is torch.float32
    for bits in {wanted, wanted & 3} if single else {wanted}:  # with gamma's, all is computed in double
        found = getattr(_cuda, operator)(device, *problem, bits)
        assert all(result.dtype is call[0].dtype for result in found)
        same(found, getattr(_cpu, operator)(*double(problem), bits), TOLERANCE[call[0].dtype], least)


BANDS = [(0, 0.0), (1, 2.0), (2, 0.3), (3, 2.5)]
LENGTHS = (torch.tensor([9, 5, 1]), torch.tensor([7, 6, 3]))
RAGGED = (torch.tensor([9, 5, 8]), torch.tensor([7, 6, 5]))  # with room for an Itakura parallelogram
GAMMAS = (1e-6, 1e-2, 1.0, 1e4)


# --- costs: all paths


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("band", BANDS)
def test_costs_follow_all_paths(device, dtype, gamma, band):
    costs, direction = random(2, 6, 5, dtype=dtype).square(), random(2, 6, 5, seed=1, dtype=dtype)
    costs[1].round_()  # many paths of equal cost
    call = (costs, None, None, None, gamma, 4, 1.0, *band, direction, None, 5)
    change, _ = _cuda.soft_dtw_of_costs_second_order(device, *call[:-1], 1)
    slope = _cuda.soft_dtw_of_costs_second_order(device, *call)[1]
    limits = {1: {"radius": int(band[1])}, 2: {"radius": band[1]}, 3: {"slope": band[1]}}.get(band[0], {})
    for k in range(2):
        D, V = costs[k].double().numpy(), direction[k].double().numpy()
        expected = oracle.change_of_alignment(oracle.constrained(D, **limits), V, gamma)
        scale = max(np.abs(expected).max(), np.abs(V).max() * min(1, 1 / gamma))
        error = np.abs(change[k].double().numpy() - expected).max() / scale
        assert error < {torch.float32: 3e-5, torch.float64: 1e-12}[dtype]
        spread = -(D * expected).sum() / gamma
        assert float(slope[k]) == pytest.approx(spread, rel=1e-4, abs=1e-4 * scale / gamma)


def test_hard_costs_do_not_change(device):
    costs, direction = random(2, 9, 7), random(2, 9, 7, seed=1)
    for gamma in (0.0, 1e-300):
        call = (costs, None, None, None, gamma, 4, 1.0, 0, 0.0, direction, None, 5)
        for result in _cuda.soft_dtw_of_costs_second_order(device, *call):
            assert (result == 0).all()


# --- series: the CPU engine


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cost", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("features", "lengths", "band"), [(1, LENGTHS, 0), (2, RAGGED, 3), (5, RAGGED, 1), (19, LENGTHS, 2)]
)
def test_series(device, dtype, cost, features, lengths, band):
    x, y, *directions = problem(3, 9, 7, features, dtype)
    x[0, 2] = y[0, 2]  # a kink
    scale = 0.5 / features
    for gamma in (0.7, 0.0):
        check(device, x, y, *lengths, None, gamma, cost, scale, *BANDS[band], *directions, 7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", [0.1, 1e4])
def test_gammas(device, dtype, gamma):
    x, y, *directions = problem(3, 9, 7, 2, dtype)
    check(device, x, y, *LENGTHS, None, gamma, 0, 1.0, 0, 0.0, *directions, 7)


def test_gamma_as_a_tensor(device):
    x, y, *directions = problem(3, 9, 7, 2)
    for gammas in (torch.tensor(0.3), torch.tensor([0.3, 2.0, 0.3], dtype=torch.float64)):
        check(device, x, y, *LENGTHS, gammas, 1.0, 0, 1.0, 0, 0.0, *directions, 7)
    for cost in (1, 2, 3):
        check(device, x, y, *LENGTHS, gammas, 1.0, cost, 0.5, 0, 0.0, *directions, 7)
    costs = (
        random(3, 9, 7).square(),
        *LENGTHS,
        gammas,
        1.0,
        4,
        1.0,
        0,
        0.0,
        random(3, 9, 7, seed=1),
        directions[2],
    )
    check(device, *costs, 5)
    with pytest.raises(ValueError, match="> 0"):
        _cuda.soft_dtw_second_order(device, x, y, None, None, -gammas, 1.0, 0, 1.0, 0, 0.0, *directions, 7)


@pytest.mark.parametrize("given", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
@pytest.mark.parametrize("wanted", [1, 2, 4, 7])
def test_only_what_is_given_and_wanted(device, given, wanted):
    x, y, *directions = problem(2, 6, 5, 2)
    directions = [w if is_given else None for w, is_given in zip(directions, given, strict=True)]
    for cost in (1, 2):
        call = (x, y, None, None, None, 0.5, cost, 1.0, 0, 0.0, *directions)
        found = _cuda.soft_dtw_second_order(device, *call, wanted)
        assert [result.numel() > 0 for result in found] == [bool(wanted & bit) for bit in (1, 2, 4)]
        check(device, *call, 7)


# --- chunks, panels, groups


@pytest.mark.parametrize("gamma", [0.0, 0.5])
@pytest.mark.parametrize(
    ("cost", "dtype", "band"), [(0, torch.float32, 0), (1, torch.float64, 1), (3, torch.float32, 2)]
)
def test_several_chunks_and_panels(device, monkeypatch, gamma, cost, dtype, band):
    monkeypatch.setattr(_plan, "chunk_rows", lambda *_: 8)
    monkeypatch.setattr(_second_order, "MOST_THREADS", {4: 32, 8: 32})
    x, y, *directions = problem(3, 27, 270, 1, dtype)
    lengths = torch.tensor([27, 8, 17]), torch.tensor([270, 3, 130])
    check(device, x, y, *lengths, None, gamma, cost, 1.0, *BANDS[band], *directions, 7)
    blocks = {threads for spec, _, threads in device.runtime.launches if spec.entry == "second_order_sweep"}
    assert blocks == {32}
    costs, direction = random(3, 27, 270, dtype=dtype).abs(), random(3, 27, 270, seed=1, dtype=dtype)
    check(device, costs, *lengths, None, 0.5, 4, 1.0, *BANDS[band], direction, directions[2], 5)


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 512), (torch.float64, 256)])
def test_wide_blocks(device, dtype, most):
    x, y, *directions = problem(2, 5, 2100, 1, dtype)
    lengths = None, torch.tensor([2100, 700])
    check(device, x, y, *lengths, None, 2.0, 0, 1.0, 0, 0.0, *directions, 3)
    assert {threads for spec, _, threads in device.runtime.launches if "reverse" in spec.entry} == {most}


def test_groups_of_pairs(monkeypatch):
    monkeypatch.setattr(_plan, "scratch_budget", lambda *_: 3000)
    monkeypatch.setattr(_second_order, "LEAST_SCRATCH", 0)
    device = EmulatedDevice(multiprocessors=1)
    x, y, *directions = problem(7, 9, 7, 2)
    lengths = torch.tensor([9, 5, 1, 3, 9, 2, 8]), torch.tensor([7, 2, 3, 7, 1, 6, 5])
    check(device, x, y, *lengths, None, 0.5, 1, 1.0, 0, 0.0, *directions, 7)
    assert len([spec for spec, *_ in device.runtime.launches if spec.entry == "classify"]) > 2


# --- derivatives through torch


class Second(torch.autograd.Function):
    @staticmethod
    def forward(device, *arguments):
        return _cuda.soft_dtw_second_order(device, *arguments)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    backward = staticmethod(_library.no_third_order)


class First(torch.autograd.Function):
    """As the operators are registered."""

    @staticmethod
    def forward(device, *arguments):
        return _cuda.soft_dtw(device, *arguments)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.device = inputs[0]
        _library.keep(ctx, inputs[1:], output)

    @staticmethod
    def backward(ctx, *cotangents):
        class Shifted:  # `needs_input_grad` without the device
            saved_tensors, rest, wanted, asks = ctx.saved_tensors, ctx.rest, ctx.wanted, ctx.asks
            needs_input_grad = ctx.needs_input_grad[1:]

        operators = partial(First.apply, ctx.device), partial(Second.apply, ctx.device)
        return (None, *_library.backward(*operators, Shifted, *cotangents))


@pytest.mark.parametrize("cost", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("lengths", "band"), [((None, None), 0), ((torch.tensor([5, 3]), torch.tensor([4, 2])), 1)]
)
def test_gradgradcheck(device, cost, lengths, band):
    x, y = (random(2, n, 2, seed=seed).requires_grad_() for seed, n in enumerate((5, 4)))
    gamma = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def value(x, y, gamma):
        return First.apply(device, x, y, *lengths, gamma, 1.0, cost, 0.5, *BANDS[band], 7)[0]

    assert torch.autograd.gradgradcheck(value, (x, y, gamma), eps=1e-6, atol=1e-5)


# --- bad numbers, waiting, order, memory


def test_bad_numbers_stay_in_their_sample(device):
    x, y, *directions = problem(4, 9, 7, 2)
    x[1, 3, 0], y[2, 0, 1], x[3] = torch.nan, torch.inf, 1e200
    call = (x, y, None, None, None, 0.5, 0, 1.0, 0, 0.0, *directions, 7)
    found = _cuda.soft_dtw_second_order(device, *call)
    assert found[2].isnan().tolist() == [False, True, True, True]
    same(found, _cpu.soft_dtw_second_order(*call), 1e-10)


def test_empty_batches(device):
    x, y, *directions = (tensor[:0] for tensor in problem(2, 5, 4, 2))
    call = (x, y, None, None, None, 0.5, 0, 1.0, 0, 0.0, *directions, 7)
    assert [tuple(r.shape) for r in _cuda.soft_dtw_second_order(device, *call)] == [
        (0, 5, 2),
        (0, 4, 2),
        (0,),
    ]
    costs = (random(0, 4, 3), None, None, None, 0.5, 4, 1.0, 0, 0.0, random(0, 4, 3), None, 5)
    found = _cuda.soft_dtw_of_costs_second_order(device, *costs)
    assert [tuple(r.shape) for r in found] == [(0, 4, 3), (0,)]


class Downloads(EmulatedRuntime):
    """Counts them."""

    count = 0

    def download(self, *arguments):
        self.count += 1
        return super().download(*arguments)


@pytest.mark.parametrize("gammas", [None, torch.tensor(0.5, dtype=torch.float64)])
def test_calls_that_ask_the_device_nothing(device, gammas):
    device.runtime = runtime = Downloads()
    x, y, *directions = problem(3, 9, 7, 2, torch.float32)
    x[1] *= 1e4  # in double
    call = (x, y, None, None, gammas, 0.5, 0, 1.0, 0, 0.0, *directions, 3)
    asked = _cuda.soft_dtw_second_order(device, *call)
    before, runtime.count = len(runtime.launches), 0
    with capturable():
        found = _cuda.soft_dtw_second_order(device, *call)
    assert runtime.count == 3  # which stand for sharing memory
    sweeps = [spec for spec, *_ in runtime.launches[before:] if spec.entry == "second_order_sweep"]
    assert {dict(spec.defines)["REAL"] for spec in sweeps} == {"float", "double"}
    for a, b in zip(found, asked, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("wanted", [3, 7])
def test_results_depend_neither_on_the_order_of_execution_nor_on_the_batch(monkeypatch, wanted):
    monkeypatch.setattr(_plan, "chunk_rows", lambda *_: 8)
    x, y, *directions = problem(3, 20, 150, 2, torch.float32)
    rest = (None, 0.5, 1, 1.0, 1, 3.0)
    n, m = torch.tensor([20, 9, 15]), torch.tensor([150, 31, 12])
    results = []
    for order, resident in ((0, 3), (1, 1), (5, 2)):
        device = EmulatedDevice(order=order, resident=resident, sanitize=order == 1)
        results.append(_cuda.soft_dtw_second_order(device, x, y, n, m, *rest, *directions, wanted))
    alone = []
    for k in range(3):
        one = [tensor[k : k + 1] for tensor in (x, y, n, m)]
        one[0], one[1] = one[0][:, : int(n[k])], one[1][:, : int(m[k])]
        turns = directions[0][k : k + 1, : int(n[k])], directions[1][k : k + 1, : int(m[k])]
        alone.append(
            _cuda.soft_dtw_second_order(device, *one, *rest, *turns, directions[2][k : k + 1], wanted)
        )
    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))
    for k, one in enumerate(alone):
        assert torch.equal(one[0][0], results[0][0][k, : int(n[k])])
        assert torch.equal(one[1][0], results[0][1][k, : int(m[k])])
        assert torch.equal(one[2][:1], results[0][2][k : k + 1])


class Counting(EmulatedRuntime):
    """Knows how much memory was held at once."""

    most = 0

    def empty(self, count, dtype):
        buffer = super().empty(count, dtype)
        self.most = max(self.most, self.memory - self.free_memory())
        return buffer


def test_no_table_is_held(monkeypatch):
    monkeypatch.setattr(_second_order, "LEAST_SCRATCH", 2**20)
    device = EmulatedDevice()
    device.runtime = Counting()
    n, m = 700, 900
    x, y, *directions = problem(1, n, m, 1, torch.float32)
    check(device, x, y, None, None, None, 1.0, 0, 1.0, 0, 0.0, *directions, 3)
    # About five bytes a cell; three tables in float32 would take twelve.
    assert device.runtime.most < 5.3 * n * m
