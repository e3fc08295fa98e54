"""Tensors on a GPU, against the same on the CPU."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from gpu_marks import check_step_in_a_graph, needs_gpu  # noqa: E402

from sktime_sdtw.functional import (  # noqa: E402
    capturable,
    cdist_soft_dtw,
    shape_and_time,
    soft_dtw,
    soft_dtw_alignment,
    soft_dtw_barycenter,
    soft_dtw_divergence,
)
from sktime_sdtw.nn import SoftDTWLoss  # noqa: E402

pytestmark = needs_gpu

LENGTHS = {"x_lengths": [40, 31, 1, 17], "y_lengths": torch.tensor([35, 2, 30, 12])}
CALLS = {
    "soft_dtw": lambda x, y: soft_dtw(x, y, gamma=0.5),
    "lengths": lambda x, y: soft_dtw(x, y, gamma=0.5, **LENGTHS),
    "band": lambda x, y: soft_dtw(x, y, bandwidth=0.2),
    "cosine": lambda x, y: soft_dtw(x, y, cost="cosine"),
    "gak": lambda x, y: soft_dtw(x, y, cost="gak"),
    "dtw": lambda x, y: soft_dtw(x, y, gamma=0),
    "gamma": lambda x, y: soft_dtw(x, y, gamma=torch.tensor(0.5, device=x.device)),
    "gammas": lambda x, y: soft_dtw(x, y, gamma=torch.tensor([0.5, 1.0, 1.0, 2.0], device=x.device)),
    "divergence": lambda x, y: soft_dtw_divergence(x, y),
    "alignment": lambda x, y: soft_dtw_alignment(x, y)[1].square().sum((1, 2)),
    "time": lambda x, y: shape_and_time(x, y).time,
    "cdist": lambda x, y: cdist_soft_dtw(x, y),
    "cdist of one": lambda x, y: cdist_soft_dtw(x) + y.sum(),
}


@pytest.mark.parametrize("name", ["soft_dtw", "gak", "cdist"])
def test_second_derivatives_in_a_graph(name):
    x, y = torch.randn(4, 40, 2, device="cuda", requires_grad=True), torch.randn(4, 30, 2, device="cuda")

    def product():
        (slope,) = torch.autograd.grad(CALLS[name](x, y).sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), x)[0]

    with capturable():
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                product()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = product()
    with torch.no_grad():
        x.copy_(torch.randn(4, 40, 2, device="cuda"))
    graph.replay()
    torch.testing.assert_close(captured, product())


@pytest.mark.parametrize("features", [1, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients(name, dtype, features):
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(4, n, features, generator=generator, dtype=dtype) for n in (40, 35))
    results = []
    for place in ("cpu", "cuda"):
        leaves = [tensor.to(place).requires_grad_() for tensor in (x, y)]
        value = CALLS[name](*leaves)
        gradients = torch.autograd.grad(value.sum(), leaves, create_graph=True)
        second = torch.autograd.grad(gradients[0].square().sum(), leaves, allow_unused=True)
        results.append([value, *gradients, *[g for g in second if g is not None and name != "dtw"]])
    tolerance = {torch.float32: 2e-3, torch.float64: 1e-8}[dtype]
    for ours, theirs in zip(*results, strict=True):
        scale = float(ours.abs().max()) + 1
        torch.testing.assert_close(theirs.cpu(), ours, rtol=tolerance, atol=tolerance * scale)


def test_training_step_and_bad_samples():
    x, y = torch.randn(4, 20, 2, device="cuda"), torch.randn(4, 20, 2, device="cuda")
    x[1, 3, 0] = torch.nan
    x.requires_grad_()
    value = SoftDTWLoss(reduction="none")(x, y)
    assert value.isnan().tolist() == [False, True, False, False]
    value.sum().backward()
    assert x.grad[[0, 2, 3]].isfinite().all()
    with torch.autocast("cuda", dtype=torch.float16):
        assert soft_dtw(x.half(), y.half()).dtype is torch.float32


def test_barycenter_and_compile():
    x = torch.randn(5, 30, 2, dtype=torch.float64)
    torch.testing.assert_close(soft_dtw_barycenter(x.cuda()).cpu(), soft_dtw_barycenter(x), rtol=0, atol=1e-3)
    compiled = torch.compile(CALLS["soft_dtw"], fullgraph=True, backend="aot_eager")
    a, b = x.cuda(), x.flip(1).cuda()
    torch.testing.assert_close(compiled(a, b), CALLS["soft_dtw"](a, b))


def test_two_places_are_refused():
    with pytest.raises(ValueError, match="move one of them"):
        soft_dtw(torch.zeros(1, 3, 1, device="cuda"), torch.zeros(1, 3, 1))


def test_a_training_step_in_a_graph():
    x, y = torch.randn(4, 40, 2, device="cuda", requires_grad=True), torch.randn(4, 30, 2, device="cuda")
    check_step_in_a_graph(lambda: soft_dtw(x, y, gamma=0.1).sum(), x, capturable)
