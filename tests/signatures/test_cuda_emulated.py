"""Signatures of CUDA tensors, on the host: kernels and everything around them.

The emulated device takes the place of a GPU for all tensors; arrays of NumPy still go to the CPU engine.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cuda.core", reason="kernels are compiled through it")

import signature_oracle as oracle  # noqa: E402
from cuda_emulation import EmulatedRuntime  # noqa: E402
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from sktime_sdtw.cuda_ext import _signature_plan  # noqa: E402
from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

from sktime_sdtw import LogSignatureTransformer, SignatureTransformer  # noqa: E402
from sktime_sdtw.signatures import (  # noqa: E402
    Path,
    _cuda,
    _device,
    _numpy,
    invert_signature,
    logsignature,
    logsignature_to_signature,
    multi_signature_combine,
    signature,
    signature_combine,
    signature_to_logsignature,
)
from sktime_sdtw.signatures._words import count_words  # noqa: E402

DTYPES = [torch.float32, torch.float64]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


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


def numbers(*shape, seed=0, dtype=torch.float64, scale=0.3):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator, dtype=torch.float64) * scale).to(dtype)


def error(found, expected):
    expected = torch.as_tensor(np.asarray(expected), dtype=torch.float64)
    assert found.shape == expected.shape
    return 0.0 if not found.numel() else float((found.double() - expected).abs().max() / expected.abs().max())


def compare(x, base, lengths, depth, stream, initial, windows):
    """Values and gradients against the CPU engine in float64; returns what was found."""
    dtype = x.dtype
    arguments = (base, lengths, depth, stream, initial)

    def array(t):
        return t.numpy() if t is None or not t.is_floating_point() else t.double().numpy()

    double = [None if t is None else array(t) for t in (x, base, lengths, initial, windows)]
    d_x, d_base, d_lengths, d_initial, d_windows = double
    found = _cuda.signature(_cuda.device_of(x), x, *arguments, windows)
    expected = _numpy.signature(d_x, d_base, d_lengths, depth, stream, d_initial, 1, d_windows)
    assert found.dtype == dtype
    assert error(found, expected) < TOLERANCE[dtype]
    gradient = numbers(*found.shape, seed=9, dtype=dtype)
    out = found if stream else None
    back = _cuda.signature_gradient(_cuda.device_of(x), x, *arguments, out, gradient, windows)
    theirs = _numpy.signature_gradient(
        d_x,
        d_base,
        d_lengths,
        depth,
        stream,
        d_initial,
        expected if stream else None,
        gradient.double().numpy(),
        1,
        d_windows,
    )
    for ours, other in zip(back, theirs, strict=True):
        assert (ours is None) == (other is None)
        if ours is not None:
            assert error(ours, other) < TOLERANCE[dtype]
    return [found, *(x for x in back if x is not None)]


# Every way to share words among threads: one or several levels of their own, tiles of letters, several units
# in a block, several blocks for a unit, one channel, one level.
QUICK = [(1, 3), (2, 1), (2, 5), (3, 3), (12, 2), (3, 6)]
ALL = [(d, n) for d in range(1, 9) for n in range(1, 7) if count_words(d, n) <= 10_000]
SIZES = [*QUICK, *(pytest.param(*size, marks=pytest.mark.slow) for size in ALL if size not in QUICK)]


@pytest.mark.parametrize(("channels", "depth"), SIZES)
def test_against_the_definition(channels, depth):
    x, initial = numbers(2, 7, channels), numbers(2, count_words(channels, depth), seed=1)
    base = numbers(2, channels, seed=2)
    found = compare(x, base, None, depth, False, initial, None)[0]
    for row in range(2):
        path = np.concatenate([base[row : row + 1], x[row]])
        expected = oracle.signatures(path, depth, initial[row].numpy())[-1]
        np.testing.assert_allclose(found[row].numpy(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("channels", "depth"), [(2, 3), (12, 2), pytest.param(4, 5, marks=pytest.mark.slow)])
def test_streams_against_the_definition(channels, depth):
    x = numbers(2, 7, channels)
    found = compare(x, None, None, depth, True, None, None)[0]
    for row in range(2):
        expected = oracle.signatures(x[row], depth)
        np.testing.assert_allclose(found[row].numpy(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("based", [False, True])
def test_chunks_and_lengths(dtype, stream, based, device):
    x, base, initial = numbers(3, 300, 2, dtype=dtype, scale=0.1), numbers(3, 2, dtype=dtype), None
    if based:
        initial = numbers(3, 14, seed=3, dtype=dtype)
    lengths = torch.tensor([300, 2, 131])
    x[1, 2:] = torch.nan  # never looked at
    compare(x.nan_to_num(7.0), base if based else None, lengths, 3, stream, initial, None)
    found = signature(x, 3, stream, basepoint=base if based else False, lengths=lengths)
    assert found.isfinite().all()
    assert any(spec.entry == "signature_product" for spec, *_ in device.runtime.launches)  # chunks


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lengths", [None, torch.tensor([50, 70])])
def test_windows(dtype, lengths):
    windows = torch.tensor([[0, 70], [3, 5], [2, 60], [68, 70], [2, 60]])
    compare(numbers(2, 70, 2, dtype=dtype), None, lengths, 3, False, None, windows)


@pytest.mark.parametrize(("channels", "depth"), [(2, 1), (12, 2)])
def test_chunks_of_other_streams(channels, depth, device):
    x, base = numbers(1, 150, channels, scale=0.1), numbers(1, channels)
    initial = numbers(1, count_words(channels, depth), seed=2)
    compare(x, base, None, depth, True, initial, None)
    assert any(spec.entry == "signature_product_reverse" for spec, *_ in device.runtime.launches)  # chunks


def test_windows_through_the_public_function():
    x = numbers(2, 30, 2)
    of_each = [[[20, 25], [0, 3]], [[0, 30], [28, 30]]]
    for windows in (("sliding", 5, 2), ("expanding", 4, 3), ("dyadic", 3), [[0, 5], [4, 30]], of_each):
        a = np.asarray(windows) if isinstance(windows, list) else windows
        b = torch.tensor(windows) if isinstance(windows, list) else windows
        np.testing.assert_allclose(signature(x, 3, windows=b), signature(x.numpy(), 3, windows=a), atol=1e-14)


def test_windows_behind_the_end_of_a_path():
    x, lengths = numbers(3, 30, 2), np.array([30, 2, 9])
    of_each = np.array([[[20, 25], [0, 3]], [[0, 30], [28, 30]], [[9, 12], [3, 20]]])
    for end, row in zip(lengths, x, strict=True):
        row[end:] = torch.nan
    for windows in (("sliding", 5, 2), ("expanding", 4, 3), ("dyadic", 3), [[0, 5], [4, 30]], of_each):
        leaf = x.clone().requires_grad_()
        found = signature(leaf, 3, windows=windows, lengths=lengths)
        expected = signature(x.numpy(), 3, windows=windows, lengths=lengths)
        np.testing.assert_allclose(found.detach(), expected, rtol=0, atol=1e-13)
        found.square().sum().backward()
        assert leaf.grad.isfinite().all()
        assert not any(row[end:].any() for end, row in zip(lengths, leaf.grad, strict=True))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_shape(data):
    batch, points = data.draw(st.integers(1, 70)), data.draw(st.integers(2, 90))
    stream, based = data.draw(st.booleans()), data.draw(st.booleans())
    least = 1 if based else 2
    lengths = None
    if data.draw(st.booleans()):
        drawn = data.draw(st.lists(st.integers(least, points), min_size=batch, max_size=batch))
        lengths = torch.tensor(drawn)
    x, base = numbers(batch, points, 2), numbers(batch, 2, seed=1) if based else None
    initial = numbers(batch, 14, seed=2) if based and data.draw(st.booleans()) else None
    compare(x, base, lengths, 3, stream, initial, None)


def test_kept_states_of_long_chunks(monkeypatch):
    monkeypatch.setattr(_signature_plan, "LEAST_STEPS", 10**6)
    x = numbers(1, 420, 2, scale=0.1)
    layout = _signature_plan.choose_layout(2, 3, 8, "reverse")
    kept = _signature_plan.choose_kept(layout, 419)
    assert kept.groups > 2
    assert kept.groups * kept.spacing * layout.steps >= 419
    compare(x, None, None, 3, False, None, None)


def test_pieces(monkeypatch):
    monkeypatch.setattr(_signature_plan, "SCRATCH_BYTES", 5000)
    windows = torch.tensor([[i, i + 9] for i in range(0, 60, 3)])
    compare(numbers(5, 70, 2), None, torch.tensor([70, 9, 33, 50, 60]), 3, False, None, windows)
    compare(numbers(5, 70, 2), numbers(5, 2), None, 3, True, numbers(5, 14, seed=1), None)
    x = numbers(50, 14).requires_grad_()
    whole = signature_to_logsignature(x.detach().numpy(), 2, 3)
    found = signature_to_logsignature(x, 2, 3)
    np.testing.assert_allclose(found.detach(), whole, atol=1e-14)
    assert gradcheck(lambda x: signature_to_logsignature(x[:4], 2, 3), (x[:5].detach().requires_grad_(),))


def test_order_does_not_matter(monkeypatch):
    results = []
    for options in ({}, {"order": 1, "resident": 1}, {"order": 7, "resident": 8}):
        found = EmulatedDevice(**options)
        monkeypatch.setattr(_cuda, "device_of", lambda x, found=found: found)
        results.append(compare(numbers(2, 150, 2), None, None, 3, False, None, None))
        results[-1] += compare(numbers(2, 150, 2), None, None, 3, True, None, None)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "depth"), [(2, 3), (12, 2), (1, 4)])
def test_nothing_undefined(monkeypatch, channels, depth):
    found = EmulatedDevice(sanitize=True)
    monkeypatch.setattr(_cuda, "device_of", lambda x: found)
    compare(numbers(2, 80, channels), numbers(2, channels), torch.tensor([80, 3]), depth, False, None, None)
    compare(numbers(2, 80, channels), None, None, depth, True, None, None)
    logsignature(numbers(2, 5, channels), depth)


def test_nothing_is_launched_for_a_step(device):
    counts = []
    for points in (40, 80, 1280):
        x = numbers(1, points, 2, scale=0.05).requires_grad_()
        before = len(device.runtime.launches)
        signature(x, 3).sum().backward()
        counts.append(len(device.runtime.launches) - before)
    assert counts[0] == 3
    assert counts[2] <= counts[1] + 3 * 5  # a level of the tree for twice the length


def test_what_will_be_needed_is_compiled_side_by_side(device):
    prepared = []
    device.runtime.prepare = prepared.extend
    for call in (lambda x: signature(x, 3), lambda x: signature(x, 3, stream=True)):
        for points in (20, 200):
            before = len(device.runtime.launches)
            prepared.clear()
            call(numbers(1, points, 2).requires_grad_()).sum().backward()
            launched = {spec for spec, *_ in device.runtime.launches[before:]}
            assert set(prepared) <= launched
            assert {spec.entry for spec in launched - set(prepared)} <= {"signature_starts"}


def test_float32_on_a_long_stream():
    x = numbers(1, 3000, 2, dtype=torch.float32, scale=1.0).cumsum(1)
    compare(x / x.abs().max(), None, None, 3, False, None, None)


@pytest.mark.slow
def test_float32_on_a_very_long_stream():
    x = numbers(1, 100_000, 4, dtype=torch.float32, scale=1e5**-0.5).cumsum(1)
    compare(x, None, None, 4, False, None, None)


def check(f, *inputs):
    inputs = [x.requires_grad_() for x in inputs]
    assert gradcheck(f, inputs)
    assert gradgradcheck(f, inputs)


@pytest.mark.parametrize("stream", [False, True])
def test_derivatives(stream):
    def f(x, base, initial):
        return signature(x, 3, stream, base, True, initial, True)

    check(f, numbers(2, 4, 2), numbers(2, 2, seed=1), numbers(2, 15, seed=2))
    lengths = torch.tensor([2, 4])
    check(lambda x: signature(x, 3, stream, lengths=lengths), numbers(2, 4, 2))


def test_derivatives_of_windows():
    check(lambda x: signature(x, 3, windows=("sliding", 3)), numbers(2, 5, 2))
    own = torch.tensor([[[2, 5], [0, 2]], [[0, 5], [1, 4]]])
    check(lambda x: signature(x, 3, windows=own, lengths=torch.tensor([4, 5])), numbers(2, 5, 2))


@pytest.mark.parametrize("mode", ["words", "brackets", "expand"])
def test_derivatives_of_logsignatures(mode):
    check(lambda x: logsignature(x, 3, mode=mode), numbers(2, 4, 2))
    size = {"expand": 14}.get(mode, 5)
    check(lambda x: logsignature_to_signature(x, 2, 3, mode=mode), numbers(2, size))


def test_derivatives_of_products():
    check(lambda a, b: signature_combine(a, b, 2, 3), numbers(2, 14), numbers(2, 14, seed=1))
    parts = [numbers(2, 14, seed=i) for i in range(3)]
    check(lambda *x: multi_signature_combine(list(x), 2, 3, inverse=True, scalar_term=False), *parts)
    check(lambda s: invert_signature(s, 3, 2), numbers(2, 14))


@pytest.mark.parametrize(("channels", "depth"), [(1, 3), (2, 6), (3, 3), (12, 2), (3, 1)])
def test_products_series_and_coordinates(channels, depth, device):
    words = count_words(channels, depth)
    a, b, g = (numbers(7, words, seed=i) for i in range(3))
    arrays = [x.numpy() for x in (a, b, g)]
    assert (
        error(_cuda.product(device, a, b, channels, depth), _numpy.product(*arrays[:2], channels, depth, 1))
        < 1e-14
    )
    found = _cuda.product_gradient(device, a, b, g, channels, depth)
    expected = _numpy.product_gradient(*arrays, channels, depth, 1)
    assert max(map(error, found, expected)) < 1e-14
    c = [(-1.0) ** m / (m + 1) for m in range(depth)]
    assert error(_cuda.series(device, a, c, channels), _numpy.series(arrays[0], c, channels, 1)) < 1e-14
    found = _cuda.series_gradient(device, a, g, c, channels)
    assert error(found, _numpy.series_gradient(arrays[0], arrays[2], c, channels, 1)) < 1e-13
    for kind in ("antipode", "to_words", "to_brackets", "from_brackets"):
        for adjoint in (False, True):
            x = numbers(3, _numpy.linear_size(kind, channels, depth, not adjoint))
            expected = _numpy.linear(x.numpy(), kind, channels, depth, adjoint)
            assert error(_cuda.linear(device, x, kind, channels, depth, adjoint), expected) < 1e-14


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats(dtype):
    x = numbers(2, 6, 2, dtype=dtype).requires_grad_()
    out = signature(x, 3, basepoint=True, inverse=True)
    assert out.dtype == dtype
    expected = signature(x.detach().float().numpy(), 3, basepoint=True, inverse=True)
    torch.testing.assert_close(
        out.float(), torch.from_numpy(expected).to(dtype).float(), rtol=0.01, atol=1e-3
    )
    out.sum().backward()
    assert x.grad.dtype == dtype


def test_paths_vmap_and_empty_batches():
    x = numbers(2, 90, 2)
    path, other = Path(x, 3), Path(x.numpy(), 3)
    np.testing.assert_allclose(path.signature(5, 80), other.signature(5, 80), atol=1e-13)
    np.testing.assert_allclose(path.logsignature(40, 90), other.logsignature(40, 90), atol=1e-13)
    found = torch.func.vmap(lambda p: signature(p, 3))(x[:, None])
    torch.testing.assert_close(found[:, 0], signature(x, 3))
    empty = numbers(0, 5, 2).requires_grad_()
    assert signature(empty, 3, True).shape == (0, 4, 14)
    logsignature(empty, 3).sum().backward()
    assert empty.grad.shape == (0, 5, 2)
    assert signature(x[:, None], 2).shape == (2, 1, 6)


def test_bad_numbers_stay_in_their_path():
    x = numbers(9, 40, 2)
    x[3, 20, 0], x[5, 7, 1] = torch.nan, torch.inf
    x.requires_grad_()
    value = signature(x, 3)
    assert (~value.isfinite().all(1)).nonzero().ravel().tolist() == [3, 5]
    value.sum().backward()
    assert (~x.grad.isfinite().all((1, 2))).nonzero().ravel().tolist() == [3, 5]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_transformers(monkeypatch, dtype, device):
    series = [x.astype(dtype) for x in np.random.default_rng(0).normal(size=(3, 20, 1))]
    series[1] = series[1][:11]
    for make in (SignatureTransformer, LogSignatureTransformer):
        for windows in (None, ("sliding", 8, 4), ("dyadic", 2)):
            expected = make(3, windows=windows).fit_transform(series)
            with monkeypatch.context() as patch:
                patch.setattr(
                    _device, "resolve_device", lambda name, work: "cpu:0" if name == "cuda" else "cpu"
                )
                before = len(device.runtime.launches)
                found = make(3, windows=windows, device="cuda").fit_transform(series)
                assert len(device.runtime.launches) > before
            assert found.dtype == dtype
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 if dtype == np.float32 else 1e-13)


def test_where_transformers_compute(monkeypatch):
    transformer = SignatureTransformer(device="nowhere")
    with pytest.raises(ValueError, match="device must be"):
        transformer.fit_transform([[0.0, 1.0, 2.0]])
    monkeypatch.setattr(_device, "resolve_device", lambda name, work: "cuda:0,cuda:1")
    with pytest.raises(ValueError, match="one GPU"):
        transformer.fit_transform([[0.0, 1.0, 2.0]])


def test_what_does_not_fit():
    with pytest.raises(ValueError, match="depth of at most 20"):
        signature(numbers(1, 3, 1), 21)
    with pytest.raises(ValueError, match="shared memory"):
        signature(numbers(1, 3, 30_000), 1)
