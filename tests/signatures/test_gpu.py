"""Signatures of tensors on a GPU, against the same on the CPU."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from gpu_marks import check_step_in_a_graph, needs_gpu  # noqa: E402

from sktime_sdtw.signatures import (  # noqa: E402
    Path,
    logsignature,
    logsignature_to_signature,
    multi_signature_combine,
    signature,
    signature_combine,
    signature_kernel,
    signature_kernel_gram,
)

pytestmark = needs_gpu

LENGTHS = torch.tensor([60, 2, 31])
CALLS = {
    "signature": lambda x: signature(x, 4),
    "stream": lambda x: signature(x, 3, stream=True),
    "based": lambda x: signature(x, 3, basepoint=x[:, -1], inverse=True, scalar_term=True),
    "lengths": lambda x: signature(x, 3, lengths=LENGTHS),
    "stream of lengths": lambda x: signature(x, 3, stream=True, lengths=LENGTHS.to(x.device)),
    "initial": lambda x: signature(x, 2, basepoint=x[:, 0], initial=signature(x, 2)),
    "stream from": lambda x: signature(x, 2, stream=True, basepoint=x[:, 0], initial=signature(x, 2)),
    "sliding": lambda x: signature(x, 3, windows=("sliding", 10, 3)),
    "windows of lengths": lambda x: signature(x, 3, windows=("dyadic", 3), lengths=LENGTHS),
    "words": lambda x: logsignature(x, 3),
    "brackets": lambda x: logsignature(x, 3, stream=True, mode="brackets"),
    "expand": lambda x: logsignature(x, 3, mode="expand"),
    "back": lambda x: logsignature_to_signature(logsignature(x, 3), x.shape[-1], 3),
    "combine": lambda x: signature_combine(signature(x[:, :9], 3), signature(x[:, 8:], 3), x.shape[-1], 3),
    "combine many": lambda x: multi_signature_combine(
        [signature(x[:, i : i + 11], 3) for i in (0, 10, 20)], x.shape[-1], 3
    ),
    "path": lambda x: Path(x, 3).signature(5, 55),
    "kernel": lambda x: signature_kernel(x, x.flip(0), refinement=(2, 1)),
    "kernels": lambda x: signature_kernel_gram(x, static_kernel="rbf", x_lengths=LENGTHS, normalize=True),
    "kernel to a depth": lambda x: signature_kernel(x, x.flip(0), depth=3, static_kernel="rbf"),
}


@pytest.mark.parametrize("channels", [1, 2, 5, 8, 12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CALLS)
def test_values_and_derivatives(name, dtype, channels):
    if channels in (1, 5, 12) and name not in ("based", "stream", "sliding"):
        pytest.skip("would compile kernels for little that is new")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 60, channels, generator=generator, dtype=dtype) * 0.2
    results = []
    for place in ("cpu", "cuda"):
        leaf = x.to(place).requires_grad_()
        value = CALLS[name](leaf)
        (gradient,) = torch.autograd.grad(value.square().sum(), leaf, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), leaf)
        results.append([value, gradient, second])
    tolerance = {torch.float32: 1e-4, torch.float64: 1e-11}[dtype]
    for ours, theirs in zip(*results, strict=True):
        assert theirs.device.type == "cuda"
        torch.testing.assert_close(
            theirs.cpu(), ours, rtol=tolerance, atol=tolerance * float(ours.abs().max())
        )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("shape", "depth"), [((64, 2000, 8), 3), ((1, 20_000, 4), 4), ((4, 500, 4), 6), ((300, 50, 3), 5)]
)
def test_many_steps_and_the_same_bits_again(shape, depth, stream):
    if stream and shape[0] > 4:
        shape = (4, *shape[1:])
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(*shape, generator=generator) / shape[1] ** 0.5
    grads = []
    for place in ("cpu", "cuda", "cuda"):
        leaf = x.to(place).requires_grad_()
        signature(leaf, depth, stream).square().mean().backward()
        grads.append(leaf.grad)
    assert torch.equal(grads[1], grads[2])
    torch.testing.assert_close(grads[1].cpu(), grads[0], rtol=1e-3, atol=2e-5 * float(grads[0].abs().max()))


@pytest.mark.parametrize("shape", [(300, 60, 2), (2, 900, 3)])
@pytest.mark.parametrize("static", ["linear", "rbf"])
def test_many_kernels_and_the_same_bits_again(shape, static):
    generator = torch.Generator().manual_seed(2)
    x = (torch.randn(*shape, generator=generator) / shape[1] ** 0.5).cumsum(1)
    grads = []
    for place in ("cpu", "cuda", "cuda"):
        leaf = x.to(place).requires_grad_()
        signature_kernel_gram(leaf, static_kernel=static, refinement=1).mean().backward()
        grads.append(leaf.grad)
    assert torch.equal(grads[1], grads[2])
    torch.testing.assert_close(grads[1].cpu(), grads[0], rtol=1e-3, atol=2e-5 * float(grads[0].abs().max()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats(dtype):
    x = torch.randn(2, 20, 3, device="cuda").mul(0.2).to(dtype).requires_grad_()
    out = signature(x, 3)
    assert out.dtype is dtype
    torch.testing.assert_close(out, signature(x.float(), 3).to(dtype), rtol=0, atol=0)
    out.sum().backward()
    assert x.grad.dtype is dtype


def test_compile_and_vmap():
    x = torch.randn(2, 3, 20, 2, device="cuda", dtype=torch.float64)
    compiled = torch.compile(CALLS["words"], fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x[0]), CALLS["words"](x[0]))
    torch.testing.assert_close(torch.func.vmap(CALLS["signature"])(x), CALLS["signature"](x))


@pytest.mark.parametrize(
    "name", ["signature", "stream", "lengths", "sliding", "brackets", "initial", "kernel"]
)
def test_a_step_in_a_graph(name):
    call = CALLS[name]
    x = (torch.randn(3, 60, 2, device="cuda") * 0.2).requires_grad_()
    check_step_in_a_graph(lambda: call(x).square().sum(), x, rtol=0, atol=0)


def test_two_places_are_refused():
    with pytest.raises(ValueError, match="device"):
        signature(torch.zeros(1, 3, 1, device="cuda"), 2, basepoint=torch.zeros(1, 1))
