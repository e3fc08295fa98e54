"""Arrays on a GPU, with tensors on the CPU in their place: that they are found, read, and given back."""

from __future__ import annotations

import numpy as np
import pytest

from sktime_sdtw import (
    paired_dtw,
    paired_soft_dtw,
    pairwise_dtw,
    pairwise_soft_dtw,
    soft_dtw_barycenter,
)
from sktime_sdtw.metrics import _on_gpu

torch = pytest.importorskip("torch")

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(3, 7, 2)), rng.normal(size=(4, 5, 2))


class OnGpu:
    """Anything that speaks DLPack, of an array library of its own, and says that it lies on a CUDA device."""

    class Library:
        @staticmethod
        def from_dlpack(tensor):
            return OnGpu(tensor)

    def __init__(self, tensor, device_type=2):
        self.tensor = torch.as_tensor(tensor)
        self.device_type = device_type

    def __dlpack_device__(self):
        return (self.device_type, 0)

    def __dlpack__(self, **options):
        return self.tensor.__dlpack__()

    def __array_namespace__(self):
        return self.Library


@pytest.fixture
def tensors_count_as_on_gpu(monkeypatch):
    monkeypatch.setattr(_on_gpu, "_is_on_gpu", lambda X: isinstance(X, (torch.Tensor, OnGpu)))


def test_what_lies_on_a_gpu():
    assert _on_gpu.on_gpu(X, OnGpu(X))
    assert _on_gpu.on_gpu([OnGpu(X)])
    for other in (X, OnGpu(X, 1), [X], [[1.0, 2.0]], None, [], torch.as_tensor(X), "series"):
        assert not _on_gpu.on_gpu(other)


@pytest.mark.usefixtures("tensors_count_as_on_gpu")
@pytest.mark.parametrize(
    "settings",
    [
        {"gamma": 0.5},
        {"gamma": [0.0, 1.0], "cost": "manhattan"},
        {"gamma": 1.0, "cost": "gak", "sigma": 2.0, "sakoe_chiba_radius": 2},
        {"itakura_max_slope": 3.0},
    ],
)
def test_the_same_values(settings):
    x, y = torch.as_tensor(X), torch.as_tensor(Y)
    for function, arrays in (
        (pairwise_soft_dtw, (X, Y)),
        (pairwise_soft_dtw, (X,)),
        (paired_soft_dtw, (X, Y[:3])),
    ):
        found = function(*(torch.as_tensor(array) for array in arrays), **settings)
        assert isinstance(found, torch.Tensor)
        np.testing.assert_allclose(found.numpy(), function(*arrays, **settings), rtol=1e-12)
    np.testing.assert_allclose(pairwise_dtw(x, y).numpy(), pairwise_dtw(X, Y), rtol=1e-12)
    np.testing.assert_allclose(paired_dtw(x, y[:3]).numpy(), paired_dtw(X, Y[:3]), rtol=1e-12)


@pytest.mark.usefixtures("tensors_count_as_on_gpu")
def test_series_of_different_lengths():
    series = [X[0, :4], X[1], X[2, :5]]
    found = pairwise_soft_dtw([torch.as_tensor(one) for one in series], torch.as_tensor(Y))
    np.testing.assert_allclose(found.numpy(), pairwise_soft_dtw(series, Y), rtol=1e-12)
    univariate = [torch.as_tensor(one[:, 0]) for one in series]
    expected = pairwise_soft_dtw([one[:, 0] for one in series])
    np.testing.assert_allclose(pairwise_soft_dtw(univariate).numpy(), expected, rtol=1e-12)
    expected = pairwise_soft_dtw(X[:, :, 0])
    np.testing.assert_allclose(pairwise_soft_dtw(torch.as_tensor(X[:, :, 0])).numpy(), expected, rtol=1e-12)


@pytest.mark.usefixtures("tensors_count_as_on_gpu")
def test_the_same_kind_of_array():
    cpu = 1  # torch is to take it from there
    found = pairwise_soft_dtw(OnGpu(X, cpu), OnGpu(Y, cpu))
    assert isinstance(found, OnGpu)
    np.testing.assert_allclose(found.tensor.numpy(), pairwise_soft_dtw(X, Y), rtol=1e-12)


@pytest.mark.usefixtures("tensors_count_as_on_gpu")
def test_another_device():
    with pytest.raises(ValueError, match="X lies on cpu, and device='cuda:1'"):
        pairwise_soft_dtw(torch.as_tensor(X), device="cuda:1")
    with pytest.raises(TypeError, match=r"Y\[0\] must lie on the GPU too\. Got list"):
        pairwise_soft_dtw(torch.as_tensor(X), Y=[[1.0, 2.0]])


def test_elsewhere_a_clear_error():
    with pytest.raises(TypeError, match="tensors on the CPU are accepted here"):
        soft_dtw_barycenter(torch.empty((3, 7, 2), device="meta"))
