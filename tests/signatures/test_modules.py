"""The modules of torch."""

from __future__ import annotations

import copy
import io
import pickle

import pytest

torch = pytest.importorskip("torch")

from sktime_sdtw import signatures  # noqa: E402
from sktime_sdtw.signatures import (  # noqa: E402
    Augment,
    LogSignature,
    Signature,
    SignatureToLogSignature,
    logsignature,
    signature,
)

MODULES = [
    Signature(3, stream=True, inverse=True, scalar_term=True),
    LogSignature(3, stream=True, mode="brackets"),
    SignatureToLogSignature(2, 3, stream=True, mode="brackets"),
    Augment(2, (4, 3), 3),
]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: type(m).__name__)
def test_modules_copy_pickle_and_save(module):
    x = torch.rand(3, 6, 14 if isinstance(module, SignatureToLogSignature) else 2)
    expected = module(x)
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    twins = [
        copy.deepcopy(module),
        pickle.loads(pickle.dumps(module)),
        torch.load(buffer, weights_only=False),
    ]
    for twin in twins:
        torch.testing.assert_close(twin(x), expected)
        assert repr(twin) == repr(module)


def test_modules_are_the_functions():
    x = torch.rand(3, 6, 2, dtype=torch.float64)
    base, start = torch.rand(3, 2, dtype=torch.float64), signature(x, 3)
    expected = signature(x, 3, basepoint=base, initial=start)
    torch.testing.assert_close(Signature(3)(x, basepoint=base, initial=start), expected)
    log = LogSignature(3, mode="words")
    log.prepare(2)
    torch.testing.assert_close(log(x, basepoint=base), logsignature(x, 3, basepoint=base))
    torch.testing.assert_close(SignatureToLogSignature(2, 3)(start), logsignature(x, 3))
    assert signatures.Logsignature is LogSignature
    assert signatures.SignatureToLogsignature is SignatureToLogSignature


@pytest.mark.parametrize("original", [False, True])
@pytest.mark.parametrize("time", [False, True])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 0, 1), (1, 2, 1), (2, 1, 3)])
def test_augment(original, time, stride, padding, dilation):
    x = torch.rand(4, 20, 2)
    layer = Augment(2, (5, 3), 4, stride, padding, dilation, include_original=original, include_time=time)
    out = layer(x)
    steps = (20 + 2 * padding - dilation * 3 - 1) // stride + 1
    assert out.shape == (4, steps, 2 * original + time + 3)
    if original and (stride, padding, dilation) == (1, 0, 1):
        torch.testing.assert_close(out[..., :2], x[:, 3:])
    if time:
        torch.testing.assert_close(out[0, :, 2 * original], torch.linspace(0, 1, steps))
    out.sum().backward()


def test_augment_without_layers():
    x = torch.rand(4, 20, 2)
    torch.testing.assert_close(Augment(2, (), 1)(x)[..., :2], x)
    for bad in (x[0, 0], x[:, :2]):
        with pytest.raises(RuntimeError):
            Augment(2, (3,), 4)(bad)


@pytest.mark.parametrize("leading", [(), (0,), (2, 3), (2, 0)], ids=str)
def test_augment_takes_any_leading_dimensions(leading):
    layer = Augment(2, 3, 4).double()  # an int is one layer
    x = torch.rand(*leading, 9, 2, dtype=torch.float64)
    out = layer(x)
    assert out.shape == (*leading, 6, 6)
    assert out.dtype == x.dtype
    for one, path in zip(out.reshape(-1, 6, 6), x.reshape(-1, 9, 2), strict=True):
        torch.testing.assert_close(one, layer(path))


def test_stacked_signature_layers_learn():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        Augment(2, (4, 2), 3),
        Signature(2, stream=True),
        Augment(30, (3,), 2, include_original=False),
        LogSignature(3),
    )
    x = torch.rand(3, 12, 2, requires_grad=True)
    net(x).square().sum().backward()
    assert torch.isfinite(x.grad).all()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


@pytest.mark.parametrize(("module", "function"), [(Signature, signature), (LogSignature, logsignature)])
def test_modules_take_ragged_batches_and_windows(module, function):
    x = torch.rand(2, 8, 2, dtype=torch.float64)
    x[0, 2, 1] = x[1, 5:, 0] = float("nan")
    more = {"lengths": torch.tensor([8, 5]), "windows": ("sliding", 3), "nan_policy": "ffill"}
    found = module(3)(x, **more)
    assert found.isfinite().all()
    torch.testing.assert_close(found, function(x, 3, **more), rtol=0, atol=0)
