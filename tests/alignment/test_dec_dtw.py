"""The layer: learning, compiling, saving."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from warp_oracle import smooth

from sktime_sdtw import gdtw

torch = pytest.importorskip("torch")
from sktime_sdtw.nn import DecDTW  # noqa: E402


def signals(seed=0, n=24, m=18, d=2):
    rng = np.random.default_rng(seed)
    return tuple(
        torch.tensor(np.stack([smooth(rng, size, d) for _ in range(3)]), dtype=torch.float32)
        for size in (n, m)
    )


def test_layer_is_the_function():
    x, y = signals()
    layer = DecDTW(0.05, mode="subsequence", slope_max=3.0)
    expected = gdtw(x, y, reg=0.05, mode="subsequence", slope_max=3.0)
    assert torch.equal(layer(x, y), expected.values)
    assert torch.equal(layer.solve(x, y).objective, expected.objective)
    assert repr(layer) == "DecDTW(reg=0.05, mode='subsequence', slope_max=3.0)"


def test_weight_is_learned():
    t = torch.linspace(0, 1, 40)
    x = torch.stack([torch.sin(9 * t), torch.cos(5 * t)], 1)[None]
    at = t + 0.1 * torch.sin(2 * torch.pi * t)
    y = torch.stack([torch.sin(9 * at), torch.cos(5 * at)], 1)[None]
    truth = DecDTW(0.3)(x, y)
    layer = DecDTW(3.0, learn_reg=True)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    first = None
    for _ in range(60):
        loss = (layer(x, y) - truth).square().mean()
        first = loss.item() if first is None else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05 * first
    assert 0.2 < layer.reg.item() < 0.45


def test_embedding_is_learned():
    """Two features, of which one is noise: the layer's gradient turns it down."""
    torch.manual_seed(0)
    x, y = signals(d=1)
    t = torch.linspace(0, 1, 40)
    truth = (t + 0.1 * torch.sin(2 * torch.pi * t))[None].repeat(3, 1)
    x = torch.stack([torch.sin(9 * t), torch.randn(40)], 1)[None].repeat(3, 1, 1)
    y = torch.stack([torch.sin(9 * truth), torch.randn(3, 40)], 2)
    scale = torch.nn.Parameter(torch.ones(2))
    layer = DecDTW(1e-2)
    optimizer = torch.optim.Adam([scale], lr=0.05)
    losses = []
    for _ in range(60):
        loss = (layer(x * scale, y * scale) - truth).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert abs(scale[1]) < 0.5 * abs(scale[0])


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_compiles_without_a_break(interpolation):
    x, y = signals()
    x.requires_grad_()
    layer = DecDTW(0.1, band=0.3, knots=9, interpolation=interpolation, learn_reg=True)
    lengths = torch.tensor([24, 20, 15])
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    expected, actual = layer(x, y, x_lengths=lengths), compiled(x, y, x_lengths=lengths)
    torch.testing.assert_close(actual, expected)
    (one,) = torch.autograd.grad(expected.square().sum(), x)
    (other,) = torch.autograd.grad(actual.square().sum(), x)
    torch.testing.assert_close(other, one)


def test_state_and_copies():
    layer = DecDTW(0.3, learn_reg=True)
    other = DecDTW(0.1, learn_reg=True)
    other.load_state_dict(layer.state_dict())
    assert abs(other.reg.item() - 0.3) < 1e-6
    assert abs(copy.deepcopy(layer).reg.item() - 0.3) < 1e-6
    assert not list(DecDTW(0.3).parameters())


def test_bad_options():
    with pytest.raises(TypeError, match=r"unknown options \['gamma'\]"):
        DecDTW(gamma=1.0)
    with pytest.raises(ValueError, match="learn_reg=True learns it"):
        DecDTW(torch.nn.Parameter(torch.tensor(0.1)))
    with pytest.raises(ValueError, match="reg must be"):
        DecDTW(-1.0)
    with pytest.raises(ValueError, match="reg must be"):
        DecDTW(0.0, learn_reg=True)
