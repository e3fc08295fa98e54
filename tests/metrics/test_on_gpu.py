"""Arrays on a GPU, with tensors on the CPU in their place: that they are found, read, and given back."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from sktime_sdtw import (
    dtw,
    gak,
    paired_dtw,
    paired_soft_dtw,
    paired_soft_dtw_divergence,
    paired_soft_dtw_gradient,
    pairwise_dtw,
    pairwise_gak,
    pairwise_soft_dtw,
    pairwise_soft_dtw_divergence,
    soft_dtw,
    soft_dtw_alignment,
    soft_dtw_barycenter,
    soft_dtw_divergence,
    soft_dtw_gradient,
)
from sktime_sdtw.cluster import SoftDTWKMeans
from sktime_sdtw.metrics import _on_gpu
from sktime_sdtw.signatures import signature

torch = pytest.importorskip("torch")

from gpu_marks import needs_gpu  # noqa: E402

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
        self.device_type, self.shape = device_type, self.tensor.shape

    def __dlpack_device__(self):
        return (self.device_type, 0)

    def __dlpack__(self, **options):
        return self.tensor.__dlpack__()

    def __array_namespace__(self):
        return self.Library


class OldLibrary:
    """An array that does not know its namespace: the module that it comes from has `from_dlpack`."""

    __module__ = "old_library.arrays"

    def __init__(self, tensor):
        self.tensor, self.shape = tensor, tensor.shape

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, **options):
        return self.tensor.__dlpack__()


@pytest.fixture
def tensors_count_as_on_gpu(monkeypatch):
    library = types.ModuleType("old_library")
    library.from_dlpack = OldLibrary
    monkeypatch.setitem(sys.modules, "old_library", library)
    monkeypatch.setattr(_on_gpu, "lies_on_gpu", lambda X: isinstance(X, (torch.Tensor, OnGpu, OldLibrary)))


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


CPU = 1  # where torch is to take arrays from
LIBRARIES = [
    torch.as_tensor,
    lambda array: OnGpu(array, CPU),
    lambda array: OldLibrary(torch.as_tensor(array)),
]
FLAT = [X[i, :, 0] for i in range(3)]
COSTS = np.square(X @ np.swapaxes(Y[:3], 1, 2))
CALLS = {
    "value": lambda to: soft_dtw(to(X[0]), to(Y[0]), gamma=0.5),
    "values of pairs": lambda to: paired_soft_dtw(to(X), to(Y[:3]), gamma=[0.0, 0.5]),
    "all values": lambda to: pairwise_soft_dtw(to(X), to(Y)),
    "DTW": lambda to: dtw(to(X[0, :, 0]), to(Y[0, :, 0])),
    "alignment": lambda to: soft_dtw_alignment(to(X[0]), to(Y[0]), sakoe_chiba_radius=2),
    "gradient": lambda to: soft_dtw_gradient(to(X[0, :, 0]), to(Y[0, :, 0]), gamma=0.5, cost="euclidean"),
    "gradient of DTW": lambda to: soft_dtw_gradient(to(X[0]), to(Y[0]), gamma=0),
    "gradients": lambda to: paired_soft_dtw_gradient(to(X), to(Y[:3]), wrt=("y", "gamma"), cost="cosine"),
    "gradients of ragged series": lambda to: paired_soft_dtw_gradient(
        [to(X[0, :4]), to(X[1])], [to(Y[0]), to(Y[1])], wrt=("x", "y", "gamma"), cost="gak", sigma=2.0
    ),
    "gradients of a list": lambda to: paired_soft_dtw_gradient([to(x) for x in FLAT], to(Y[:3, :, 0])),
    "gradients of costs": lambda to: paired_soft_dtw_gradient(
        to(X @ np.swapaxes(Y[:3], 1, 2)), cost="precomputed"
    ),
    "divergence": lambda to: soft_dtw_divergence(to(X[0]), to(Y[0])),
    "divergences of pairs": lambda to: paired_soft_dtw_divergence(to(X), to(Y[:3])),
    "all divergences": lambda to: pairwise_soft_dtw_divergence(to(X), gamma=[0.1, 1.0]),
    "kernel": lambda to: gak(to(X[0]), to(Y[0]), sigma=2.0),
    "kernel matrix": lambda to: pairwise_gak(to(X), normalize=False, sigma=2.0),
    "kernel matrices": lambda to: pairwise_gak(to(X), to(Y), sigma=[1.0, 2.0]),
}


def arrays_in(result):
    if isinstance(result, (tuple, list)):
        return [array for part in result for array in arrays_in(part)]
    return [] if result is None else [result]


def check_kind(call, library, to_numpy):
    found, expected = call(library), call(np.asarray)
    if isinstance(expected, tuple):
        assert type(found) is type(expected)
        assert [part is None for part in found] == [part is None for part in expected]
    found, expected = arrays_in(found), arrays_in(expected)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert type(a) is type(library(X))
        array = to_numpy(a)
        assert array.shape == np.shape(b)
        np.testing.assert_allclose(array, b, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("tensors_count_as_on_gpu")
@pytest.mark.parametrize("library", LIBRARIES, ids=["torch", "namespace", "module"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_same_kind_of_array(call, library):
    check_kind(call, library, lambda array: getattr(array, "tensor", array).numpy())


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("library", [pytest.param(name, marks=needs_gpu) for name in ("torch", "cupy")])
def test_the_same_kind_of_array_on_a_gpu(call, library):
    module = pytest.importorskip(library)
    if library == "torch":
        check_kind(
            call, lambda array: torch.as_tensor(array, device="cuda"), lambda array: array.cpu().numpy()
        )
    else:
        check_kind(call, module.asarray, module.asnumpy)


@pytest.mark.usefixtures("tensors_count_as_on_gpu")
def test_another_device():
    with pytest.raises(ValueError, match="X lies on cpu, and device='cuda:1'"):
        pairwise_soft_dtw(torch.as_tensor(X), device="cuda:1")
    with pytest.raises(TypeError, match=r"Y\[0\] must lie on the GPU too\. Got list"):
        pairwise_soft_dtw(torch.as_tensor(X), Y=[[1.0, 2.0]])


def test_elsewhere_a_clear_error():
    with pytest.raises(TypeError, match="tensors on the CPU are accepted here"):
        soft_dtw_barycenter(torch.empty((3, 7, 2), device="meta"))
    with pytest.raises(TypeError, match="X lies on a GPU; pass a NumPy array"):
        soft_dtw_barycenter(OnGpu(X))
    with pytest.raises(TypeError, match="X lies on a GPU; pass a NumPy array"):
        SoftDTWKMeans().fit(OnGpu(X))
    with pytest.raises(TypeError, match=r"path lies on a GPU; pass torch.from_dlpack\(path\)"):
        signature(OnGpu(X), 2)
