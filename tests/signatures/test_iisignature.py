"""Signatures against iisignature, an independent implementation, where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

ii = pytest.importorskip("iisignature")

from sktime_sdtw.signatures import (  # noqa: E402
    logsignature,
    logsignature_channels,
    lyndon_brackets,
    signature,
    signature_channels,
    signature_combine,
)

SINGLE = 1e-5  # its products and gradients are of single precision
# (length, channels, depth); it does not know one channel.
SHAPES = [(2, 2, 1), (9, 2, 6), (40, 3, 4), (7, 5, 3), (300, 4, 3), (12, 8, 2)]


def walks(length, channels, batch=3, seed=0):
    return np.cumsum(np.random.default_rng(seed).normal(size=(batch, length, channels)) / length**0.5, axis=1)


def check(found, expected, tolerance=1e-12):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()))


@pytest.mark.parametrize(("length", "channels", "depth"), SHAPES)
def test_signatures(length, channels, depth):
    x = walks(length, channels)
    assert ii.siglength(channels, depth) == signature_channels(channels, depth)
    check(signature(x, depth), ii.sig(x, depth))
    check(signature(x, depth, stream=True), np.stack([ii.sig(path, depth, 2) for path in x]))
    check(signature(x.astype(np.float32), depth), ii.sig(x, depth), tolerance=SINGLE)


@pytest.mark.parametrize(("length", "channels", "depth"), SHAPES)
def test_logsignatures(length, channels, depth):
    x = walks(length, channels)
    assert ii.logsiglength(channels, depth) == logsignature_channels(channels, depth)
    prepared = ii.prepare(channels, depth)
    names = [str(bracket).replace(" ", "") for bracket in lyndon_brackets(channels, depth)]

    def renamed(name):  # letters from 0
        return "".join(str(int(c) - 1) if c.isdigit() else c for c in name)

    assert [renamed(name) for name in ii.basis(prepared)] == names
    check(logsignature(x, depth, mode="brackets"), np.stack([ii.logsig(path, prepared) for path in x]))
    expanded = np.stack([ii.logsig(path, prepared, "x") for path in x])
    check(logsignature(x, depth, mode="expand"), expanded)


@pytest.mark.parametrize(("length", "channels", "depth"), SHAPES)
def test_products(length, channels, depth):
    a, b = signature(walks(length, channels), depth), signature(walks(length, channels, seed=1), depth)
    check(signature_combine(a, b, channels, depth), ii.sigcombine(a, b, channels, depth), tolerance=SINGLE)


@pytest.mark.parametrize(("length", "channels", "depth"), SHAPES)
def test_gradients(length, channels, depth):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(walks(length, channels)).requires_grad_()
    rng = np.random.default_rng(2)
    out = signature(x, depth)
    weights = rng.normal(size=out.shape)
    (found,) = torch.autograd.grad(out, x, torch.from_numpy(weights))
    check(found, ii.sigbackprop(weights, x.detach().numpy(), depth), tolerance=SINGLE)
    log = logsignature(x, depth, mode="brackets")
    weights = rng.normal(size=log.shape)
    (found,) = torch.autograd.grad(log, x, torch.from_numpy(weights))
    prepared = ii.prepare(channels, depth)
    expected = [
        ii.logsigbackprop(w, path, prepared) for w, path in zip(weights, x.detach().numpy(), strict=True)
    ]
    check(found, np.stack(expected), tolerance=SINGLE)
