"""Warps of tensors on a GPU, against the same on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
from warp_oracle import OPTIONS, random_case, smooth

from sktime_sdtw import GDTWAligner, gdtw

torch = pytest.importorskip("torch")

from gpu_marks import check_step_in_a_graph, needs_gpu  # noqa: E402

from sktime_sdtw.functional import capturable  # noqa: E402
from sktime_sdtw.nn import DecDTW  # noqa: E402

pytestmark = needs_gpu


def batch(name, n, m, d, size=3):
    cases = [random_case(seed, n=n, m=m, d=d, **OPTIONS[name]) for seed in range(size)]
    tensors = {
        key: torch.tensor(np.stack([getattr(case, key) for case in cases]))
        for key in ("x", "y", "x_times", "y_times")
    }
    return tensors, OPTIONS[name]


@pytest.mark.parametrize("size", [(30, 25, 2), (200, 180, 16)])
@pytest.mark.parametrize("name", [name for name in OPTIONS if OPTIONS[name]["reg"] > 0])
def test_warps_and_gradients(name, size):
    tensors, options = batch(name, *size)
    upstream = torch.linspace(-1, 2, size[1], dtype=torch.float64)
    results = []
    for place in ("cpu", "cuda"):
        leaves = {key: value.to(place).requires_grad_() for key, value in tensors.items()}
        found = gdtw(**leaves, **options)
        assert found.values.device.type == place
        grads = torch.autograd.grad((found.values * upstream.to(place)).sum(), list(leaves.values()))
        results.append([found.values, found.objective, found.holds, found.ties, *grads])
    for ours, theirs in zip(*results, strict=True):
        scale = float(ours.abs().max()) + 1
        torch.testing.assert_close(theirs.cpu(), ours, rtol=1e-7, atol=1e-9 * scale)


def test_arrays_and_an_estimator():
    rng = np.random.default_rng(0)
    x, y = (np.stack([smooth(rng, n, 2) for _ in range(5)]) for n in (60, 50))
    for options in ({}, {"loss": "l1", "band": 0.2}, {"n_grid": 3000}):
        ours, theirs = (gdtw(x, y, device=device, **options) for device in ("cpu", "cuda"))
        np.testing.assert_allclose(theirs.values, ours.values, atol=1e-9)
    warps = [GDTWAligner(reg=0.01, device=device).fit(x).warps_ for device in ("cpu", "cuda")]
    np.testing.assert_allclose(warps[1], warps[0], atol=1e-7)
    with pytest.raises(ValueError, match="No warp of pair 0"):
        gdtw(x, y, slope_max=0.5, device="cuda")


def test_layer_compiles_and_repeats():
    layer = DecDTW(reg=0.1, learn_reg=True, band=0.3).cuda()
    x, y = torch.randn(4, 50, 3, device="cuda", requires_grad=True), torch.randn(4, 40, 3, device="cuda")
    lengths = {"x_lengths": torch.tensor([50, 31, 2, 17]), "y_lengths": [40, 3, 30, 12]}
    warp = layer(x, y, **lengths)
    assert warp.dtype == torch.float32
    warp.square().mean().backward()
    assert x.grad.isfinite().all()
    assert layer.log_reg.grad.isfinite()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, y), layer(x, y))
    again = [torch.autograd.grad(layer(x, y).sum(), x)[0] for _ in range(2)]
    assert torch.equal(*again)


def test_a_training_step_in_a_graph():
    x = torch.randn(4, 40, 2, device="cuda", requires_grad=True)
    y = torch.randn(4, 30, 2, device="cuda")
    check_step_in_a_graph(lambda: gdtw(x, y, reg=0.1).values.square().sum(), x, capturable)


def test_two_places_are_refused():
    with pytest.raises(ValueError, match="move one of them"):
        gdtw(torch.zeros(3, device="cuda"), torch.zeros(3))
    with pytest.raises(ValueError, match="where they lie"):
        gdtw(torch.zeros(3, device="cuda"), torch.zeros(3, device="cuda"), device="cpu")
