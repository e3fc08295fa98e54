"""What tests of tensors on a GPU are marked with; a training step in a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch


def _why_not() -> str:
    if not torch.cuda.is_available():
        return "torch sees no GPU"
    from sktime_sdtw.cuda_ext._devices import device_indices

    try:
        device_indices("cuda")
    except RuntimeError as error:
        return str(error)
    return ""


needs_gpu = [pytest.mark.gpu, pytest.mark.skipif(bool(_why_not()), reason=_why_not())]


def check_step_in_a_graph(
    loss: Callable[[], torch.Tensor], x: torch.Tensor, within: Any = nullcontext, **tolerance: Any
) -> None:
    """Capture a step after a warm-up, and replay it on other numbers: x.grad is that of the step itself.

    Parameters
    ----------
    loss : callable
        Of the numbers that are in x, a leaf.
    x : torch.Tensor
    within : callable, default=nullcontext
        Makes the context for everything up to the capture.
    **tolerance
        Of the comparison.
    """

    def step() -> None:
        x.grad = None
        loss().backward()

    with within():
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(side)
        x.grad = None
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss().backward()
    with torch.no_grad():
        x.copy_(x.flip(0))
    graph.replay()
    replayed = x.grad.clone()
    step()
    torch.testing.assert_close(replayed, x.grad, **tolerance)
