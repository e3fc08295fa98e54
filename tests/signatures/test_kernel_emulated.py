"""Signature kernels of CUDA tensors, on the host: kernels and everything around them.

The emulated device takes the place of a GPU for all tensors; arrays of NumPy still go to the CPU engine.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cuda.core", reason="kernels are compiled through it")

import kernel_oracle as oracle  # noqa: E402
from cuda_emulation import EmulatedRuntime  # noqa: E402
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from sktime_sdtw.cuda_ext import _signature_kernel_plan as plan  # noqa: E402
from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

from sktime_sdtw import SignatureKernel  # noqa: E402
from sktime_sdtw.signatures import (  # noqa: E402
    _cuda,
    _device,
    _kernel,
    _kernel_cuda,
    _kernel_device,
    _kernel_numpy,
    _kernel_torch,
    signature_kernel,
    signature_kernel_gram,
    signature_mmd,
)
from sktime_sdtw.signatures._kernel_numpy import Settings  # noqa: E402

DTYPES = [torch.float32, torch.float64]
# Of values, of gradients. Those of points are differences of two of increments, which float32 knows to 3e-7.
TOLERANCE = {torch.float32: (2e-6, 5e-6), torch.float64: (1e-12, 1e-12)}


class EmulatedDevice:
    """Copies where a GPU shares memory."""

    def __init__(self, **options):
        self.runtime = EmulatedRuntime(**options)

    def wrap(self, tensor):
        return self.runtime.upload(tensor.contiguous().numpy())

    def tensor(self, buffer, *shape):
        return torch.from_numpy(self.runtime.download(buffer, shape))


@pytest.fixture(autouse=True)
def device(monkeypatch):
    found = EmulatedDevice()
    monkeypatch.setattr(_cuda, "device_of", lambda x: found)
    return found


def paths(*shape, seed=0, dtype=torch.float64, scale=0.6):
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(*shape, generator=generator, dtype=torch.float64) * scale / shape[-2] ** 0.5
    return steps.cumsum(-2).to(dtype)


def error(found, expected):
    expected = torch.as_tensor(np.asarray(expected), dtype=torch.float64)
    assert found.shape == expected.shape
    return float((found.double() - expected).abs().max() / expected.abs().max()) if found.numel() else 0.0


def compare(x, y, x_lengths, y_lengths, paired, chosen):
    """Values and gradients against the CPU engine in float64; returns what was found."""

    def array(t):
        return None if t is None else (t.double() if t.is_floating_point() else t).numpy()

    arrays = [array(t) for t in (x, y, x_lengths, y_lengths)]
    device = _cuda.device_of(x)
    value = _kernel_cuda.kernel(device, x, y, x_lengths, y_lengths, paired, chosen)
    assert value.dtype == x.dtype
    of_value, of_gradient = TOLERANCE[x.dtype]
    assert error(value, _kernel_numpy.kernel(*arrays, paired, chosen, 1)) < of_value
    weights = torch.randn(value.shape, generator=torch.Generator().manual_seed(9), dtype=x.dtype)
    back = _kernel_cuda.kernel_gradient(device, x, y, x_lengths, y_lengths, weights, paired, chosen)
    expected = _kernel_numpy.kernel_gradient(*arrays, array(weights), paired, chosen, 1)
    for ours, theirs in zip(back, expected, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert error(ours, theirs) < of_gradient
    return [value, *(part for part in back if part is not None)]


ORDERS = [(0, 0), (1, 1), (0, 2), (2, 0), (3, 1), (2, 3), (7, 0), (0, 6)]


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("static", ["linear", "rbf", "precomputed"])
def test_against_the_definition(static, order):
    n = 4 if max(order) > 3 else 12
    x, y = paths(2, n, 3), paths(2, 9, 3, seed=1)
    increments = [oracle.increments(a, b, static) for a, b in zip(x, y, strict=True)]
    expected = [oracle.goursat(g, order) for g in increments]
    given = (torch.tensor(np.array(increments)),) if static == "precomputed" else (x, y)
    found = signature_kernel(*given, static_kernel=static, refinement=order)
    assert error(found, expected) < 1e-13


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("static", ["linear", "rbf", "precomputed"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_and_gradients(dtype, static, order):
    chosen = Settings(static, 0.7, order)
    n = 9 if max(order) > 3 else 41
    x, y = paths(3, n, 3, dtype=dtype), paths(3, 23, 3, seed=1, dtype=dtype)
    if static == "precomputed":
        compare(x.diff(dim=1) @ y.diff(dim=1).mT, None, None, None, True, chosen)
        return
    x_lengths, y_lengths = torch.tensor([n, 1, 5]), torch.tensor([23, 3, 9])
    compare(x, y, None, y_lengths, True, chosen)
    compare(x, y[:2], x_lengths, y_lengths[:2], False, chosen)
    if order[0] == order[1]:
        compare(x, None, x_lengths, None, False, chosen)


@pytest.mark.parametrize("channels", [1, 8, 19])
@pytest.mark.parametrize("static", ["linear", "rbf"])
def test_any_number_of_channels(static, channels):
    compare(paths(2, 70, channels), paths(2, 130, channels, seed=1), None, None, True, Settings(static, 0.4))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", [(0, 0), (2, 1), (5, 0)], ids=str)
def test_several_strips(order, dtype, monkeypatch, device):
    n = 300 if order[0] < 5 else 20
    x, y = paths(2, n, 2, dtype=dtype), paths(2, 40, 2, seed=1, dtype=dtype)
    lengths = torch.tensor([n, n // 3]), torch.tensor([40, 33])
    chosen = Settings("linear", 0.7, order)
    assert plan.Sizes(n - 1, 39, *order).strips > 2
    whole = compare(x, y, *lengths, True, chosen)
    compare(x, y, *lengths, False, Settings("rbf", 0.7, order))
    # Some strips at a time, by a warp alone.
    monkeypatch.setattr(plan, "SCRATCH_BYTES", 30_000 if order[0] < 5 else 3_000)
    monkeypatch.setattr(plan, "NODE_BYTES", 1)
    before = len(device.runtime.launches)
    for a, b in zip(whole, compare(x, y, *lengths, True, chosen), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=1e-6)
    swept = [spec for spec, *_ in device.runtime.launches[before:] if spec.entry == "signature_kernel_sweep"]
    assert len(swept) > 2 * 2  # chunks, of values and of gradients
    compare(x, y, *lengths, True, Settings("rbf", 0.7, order))
    compare(x.diff(dim=1) @ y.diff(dim=1).mT, None, None, None, True, Settings("precomputed", 1.0, order))


@pytest.mark.parametrize("static", ["linear", "rbf"])
def test_long_float32_paths_keep_their_digits(static):
    x = paths(2, 1000, 2, dtype=torch.float32, scale=1.0)
    expected = signature_kernel_gram(x.double().numpy(), static_kernel=static)
    size = np.sqrt(np.diagonal(expected)[:, None] * np.diagonal(expected))
    found = signature_kernel_gram(x, static_kernel=static).double().numpy()
    assert (np.abs(found - expected) / size).max() < 3e-6


def test_windows(monkeypatch, device):
    x, y, lengths = paths(7, 12, 2), paths(5, 9, 2, seed=1), torch.tensor([12, 3, 1, 9, 12, 2, 7])
    for scratch in (40_000, 100_000):
        monkeypatch.setattr(plan, "SCRATCH_BYTES", scratch)
        for depth in (0, 3):
            chosen = Settings("linear", 0.7, (0, 0), depth)
            compare(x, y, lengths, None, False, chosen)
            compare(x, None, lengths, None, False, chosen)
            compare(x, x.flip(0), None, lengths, True, chosen)
    chunks = plan.Chunks(3, 1)
    counts = [len(list(plan.windows_of(7, 5, paired, False, chunks))) for paired in (False, True)]
    assert counts == [14, 3]


@pytest.mark.parametrize(
    ("static", "little", "too_little"), [("linear", 900_000, 60_000), ("precomputed", 1_400_000, 210_000)]
)
def test_smaller_windows_where_memory_ends(monkeypatch, static, little, too_little):
    x, y = paths(5, 150, 2), paths(5, 30, 2, seed=1)
    if static == "precomputed":
        x, y = x.diff(dim=1) @ y.diff(dim=1).mT, None
    asked = []
    halves = plan.Window.halves
    monkeypatch.setattr(plan.Window, "halves", lambda self: asked.append(self) or halves(self))
    found = EmulatedDevice(memory=little)
    monkeypatch.setattr(_cuda, "device_of", lambda x: found)
    compare(x, y, None, None, True, Settings(static, 0.7))
    assert asked
    found.runtime.memory = too_little
    with pytest.raises(MemoryError):
        _kernel_cuda.kernel(found, x, y, None, None, True, Settings(static, 0.7))
    assert asked[-1].pairs == asked[-1].strips == 1


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from(["paired", "all", "upper"]),
    st.integers(1, 70),
    st.booleans(),
)
def test_windows_cover_each_pair_once(n_x, n_y, kind, most, halved):
    paired, upper = kind == "paired", kind == "upper"
    n_y = n_x if upper else n_y
    seen = np.zeros((n_x, n_y if not paired else 1), int)
    windows = list(plan.windows_of(n_x, n_y, paired, upper, plan.Chunks(most, 1)))
    assert max(window.pairs for window in windows) <= most
    if halved:
        windows = [part for window in windows for part in window.halves() or [window]]
    for window in windows:
        rows, cols = _kernel_cuda._slices(window)
        part = seen[rows] if paired else seen[rows, cols]
        assert part.size == window.pairs
        part += 1
    assert (seen == 1).all() if not upper else ((seen <= 1) & (seen >= np.triu(np.ones_like(seen)))).all()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_shape(data):
    n, m = data.draw(st.integers(1, 140)), data.draw(st.integers(1, 70))
    order = data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))
    paired, count = data.draw(st.booleans()), data.draw(st.integers(1, 4))
    x, y = paths(count, n, 2), paths(count, m, 2, seed=1)
    x_lengths = torch.tensor(data.draw(st.lists(st.integers(1, n), min_size=count, max_size=count)))
    static = data.draw(st.sampled_from(["linear", "rbf"]))
    if min(n, m) > 1 and (x_lengths > 1).any():
        compare(x, y, x_lengths, None, paired, Settings(static, 0.5, order))
    else:
        assert (signature_kernel(x, y, x_lengths=x_lengths, static_kernel=static) == 1).all()


def test_paths_of_one_point_and_none():
    x, y = paths(2, 1, 2).requires_grad_(), paths(2, 5, 2, seed=1).requires_grad_()
    for call in (signature_kernel, signature_kernel_gram):
        value = call(x, y)
        assert (value == 1).all()
        assert all((v == 0).all() for v in torch.autograd.grad(value.sum(), (x, y)))
    assert signature_kernel(paths(0, 5, 2), paths(0, 4, 2)).shape == (0,)
    assert signature_kernel_gram(paths(0, 5, 2), paths(3, 4, 2)).shape == (0, 3)
    none = torch.zeros(2, 4, 0).requires_grad_()  # increments of paths of one point
    for depth in (None, 2):
        value = signature_kernel(none, static_kernel="precomputed", depth=depth)
        assert (value == 1).all()
        assert torch.autograd.grad(value.sum(), none)[0].shape == none.shape
    empty = paths(0, 5, 2).requires_grad_()
    signature_kernel_gram(empty, y).sum().backward()
    assert empty.grad.shape == (0, 5, 2)


def test_order_does_not_matter(monkeypatch):
    results = []
    for options in ({}, {"order": 1, "resident": 1}, {"order": 7, "resident": 8}):
        found = EmulatedDevice(**options)
        monkeypatch.setattr(_cuda, "device_of", lambda x, found=found: found)
        x, y = paths(2, 150, 2), paths(2, 40, 2, seed=1)
        results.append(compare(x, y, torch.tensor([150, 70]), None, False, Settings("rbf", 0.7, (1, 0))))
        results[-1] += compare(x, None, None, None, False, Settings("linear", 0.7, (3, 3)))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("static", ["linear", "rbf", "precomputed"])
def test_nothing_undefined(monkeypatch, static):
    found = EmulatedDevice(sanitize=True)
    monkeypatch.setattr(_cuda, "device_of", lambda x: found)
    x, y = paths(2, 140, 2), paths(2, 30, 2, seed=1)
    for order in ((0, 0), (1, 2), (4, 0)):
        given = (x.diff(dim=1) @ y.diff(dim=1).mT, None) if static == "precomputed" else (x, y)
        compare(*given, None, None, True, Settings(static, 0.7, order))


def test_bad_numbers_stay_in_their_pairs():
    x, y = paths(4, 40, 2), paths(4, 30, 2, seed=1)
    x[1, 20, 0], x[2, 7, 1] = torch.nan, torch.inf
    y[3, 10:] = torch.nan  # behind its end
    x.requires_grad_()
    value = signature_kernel(x, y, y_lengths=torch.tensor([30, 30, 30, 10]))
    assert value.isfinite().tolist() == [True, False, False, True]
    value.sum().backward()
    assert x.grad.isfinite().all((1, 2)).tolist() == [True, False, False, True]


@pytest.mark.parametrize("params", [{"refinement": (1, 0)}, {"static_kernel": "rbf"}, {"depth": 2}], ids=str)
def test_derivatives_of_any_order(params, monkeypatch):
    monkeypatch.setattr(_kernel, "MOST_WORDS", 0)  # to a depth, by the recursion
    x, y = paths(2, 4, 2).requires_grad_(), paths(2, 3, 2, seed=1).requires_grad_()
    lengths = {"x_lengths": torch.tensor([4, 2])}
    assert gradcheck(lambda a, b: signature_kernel(a, b, **params, **lengths), (x, y))
    assert gradgradcheck(lambda a, b: signature_kernel(a, b, **params), (x, y))
    assert gradcheck(lambda a: signature_kernel_gram(a, **params), (x,))
    assert gradcheck(lambda a, b: signature_mmd(a, b, **params), (x, y))
    found = torch.func.grad(lambda a: signature_kernel_gram(a, y, **params).sum())(x)
    expected = torch.autograd.grad(signature_kernel_gram(x, y, **params).sum(), x)[0]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("static", ["linear", "rbf", "precomputed"])
def test_to_a_depth(static):
    x, y = paths(2, 9, 2), paths(2, 8, 2, seed=1)
    given = (x.diff(dim=1) @ y.diff(dim=1).mT, None) if static == "precomputed" else (x, y)
    lengths = (None, None) if static == "precomputed" else (torch.tensor([9, 1]), None)
    compare(*given, *lengths, True, Settings(static, 0.7, (0, 0), 4))


def test_several_sets_and_vmap():
    x, y = paths(2, 3, 5, 2), paths(2, 4, 6, 2, seed=1)
    found = signature_kernel_gram(x, y, x_lengths=torch.tensor([[5, 4, 1], [2, 5, 5]]), normalize=True)
    expected = signature_kernel_gram(
        x.numpy(), y.numpy(), x_lengths=np.array([[5, 4, 1], [2, 5, 5]]), normalize=True
    )
    assert error(found, expected) < 1e-13
    one = torch.func.vmap(lambda a: signature_kernel_gram(a))(x)
    assert error(one, signature_kernel_gram(x.numpy())) < 1e-13


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("params", [{}, {"static_kernel": "rbf", "refinement": 1}, {"depth": 3}], ids=str)
def test_estimator(monkeypatch, dtype, params, device):
    series = [x.astype(dtype) for x in np.random.default_rng(0).normal(size=(6, 20, 1)).cumsum(axis=1)]
    series[1], more = series[1][:11], series[2:5]
    expected = SignatureKernel(**params).fit_transform(series)
    of_others = SignatureKernel(**params).fit(series).transform(more)
    monkeypatch.setattr(_device, "resolve_device", lambda name, work: "cpu:0" if name == "cuda" else "cpu")
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    # The second time the matrix comes in parts.
    for most in (_kernel_device.MOST_RESULT_BYTES, 2 * 6 * expected.itemsize):
        monkeypatch.setattr(_kernel_device, "MOST_RESULT_BYTES", most)
        kernel = SignatureKernel(device="cuda", **params)
        before = len(device.runtime.launches)
        found = kernel.fit_transform(series)
        assert len(device.runtime.launches) > before
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=tolerance)
        np.testing.assert_array_equal(found, found.T)
        np.testing.assert_allclose(kernel.transform(more), of_others, rtol=tolerance)
        np.testing.assert_allclose(
            SignatureKernel(device="cuda", **params).fit(series).transform(more), of_others, rtol=tolerance
        )


def test_where_the_estimator_computes(monkeypatch):
    asked = []
    monkeypatch.setattr(_device, "resolve_device", lambda name, work: asked.append((name, work)) or "cpu")
    X = np.random.default_rng(0).normal(size=(3, 5)).cumsum(axis=1)
    SignatureKernel(refinement=2).fit_transform(X)
    assert ("auto", 3 * 3 * 5 * 5 * 16.0) in asked
    SignatureKernel(refinement=8).fit(X).transform(X[:1])
    assert asked[-1][0] == "cpu"  # finer than a GPU goes
    monkeypatch.setattr(_device, "resolve_device", lambda name, work: "cuda:0,cuda:1")
    with pytest.raises(ValueError, match="one GPU"):
        SignatureKernel(device="cuda:all").fit(X)
    monkeypatch.setattr(_device, "resolve_device", lambda name, work: "cpu:0")
    with pytest.raises(ValueError, match="larger sigma"):
        SignatureKernel(1e-40, device="cuda", normalize=False).fit_transform(X)


def test_operators_obey_torch_library():
    x, y, lengths = paths(2, 4, 2), paths(2, 3, 2, seed=1), torch.tensor([4, 2])
    settings_of = (True, "linear", 1.0, 1, 1, 0)
    utils = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(_kernel_torch.kernel_op, (x, y, lengths, None, *settings_of), test_utils=utils)
    given = (x, y, lengths, None, torch.ones(2, dtype=x.dtype), *settings_of)
    torch.library.opcheck(_kernel_torch.kernel_gradient_op, given, test_utils=utils)


def test_what_does_not_fit():
    with pytest.raises(ValueError, match="refinement of x is at most 7"):
        signature_kernel(paths(1, 3, 1), paths(1, 3, 1), refinement=(8, 0))
    with pytest.raises(ValueError, match="fewer than"):
        plan.check_orders(plan.Sizes(1, 2**20, 0, 12))
