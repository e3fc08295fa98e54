"""Models that were fitted on a GPU, on a machine without one."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from fake_gpu import plugged_in
from sklearn.base import clone
from sktime_sdtw.cuda_ext import _devices
from sktime_sdtw.cuda_ext._devices import Obstacle

from sktime_sdtw import all_estimators
from sktime_sdtw.cluster import SoftDTWKMeans
from sktime_sdtw.neighbors import SoftDTWKNeighborsClassifier

X = np.random.default_rng(0).normal(size=(8, 12, 2)).astype(np.float32)
Y = np.arange(8) % 2
ON_A_DEVICE = {name: kind for name, kind in all_estimators() if "device" in kind._get_param_names()}


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(_devices, "obstacle", lambda: Obstacle("There is no NVIDIA driver on this machine."))


def test_what_has_no_device():
    """Preparing series is not worth a trip to a GPU."""
    others = set(dict(all_estimators())) - set(ON_A_DEVICE)
    assert others == {"TimeSeriesResampler", "TimeSeriesScaler"}


def small(kind):
    quick = {"n_clusters": 2, "n_components": 3, "n_neighbors": 2, "depth": 2, "max_iter": 2, "cv": 2}
    return kind(**{name: value for name, value in quick.items() if name in kind._get_param_names()})


def answers(model):
    return {
        name: getattr(model, name)(X)
        for name in ("predict", "transform")
        if callable(getattr(model, name, None))
    }


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ON_A_DEVICE)
@pytest.mark.parametrize("device", ["cuda", ["cuda:0", "cuda:1"]], ids=str)
def test_loads_and_answers(name, device):
    model = small(ON_A_DEVICE[name]).fit(X, X if name.startswith("GDTW") else Y)
    expected = answers(model)
    assert expected
    model.device = device  # as if it had been fitted there
    with pytest.warns(
        UserWarning, match=f"{name} was fitted with a device that is not here.*no NVIDIA driver"
    ):
        loaded = pickle.loads(pickle.dumps(model))
    assert loaded.device == "auto"
    for method, found in answers(loaded).items():
        np.testing.assert_array_equal(found, expected[method])


@pytest.mark.usefixtures("no_gpu")
def test_what_is_asked_for_is_not_changed():
    """Only models leave their device, and only when they are loaded: a fit on a GPU needs one."""
    model = SoftDTWKMeans(2, device="cuda")
    assert pickle.loads(pickle.dumps(model)).device == clone(model).device == "cuda"
    with pytest.raises(RuntimeError, match=r"device='cuda': There is no .*device='auto' works"):
        model.fit(X)


@pytest.mark.parametrize("kind", [SoftDTWKMeans, SoftDTWKNeighborsClassifier])
def test_from_a_gpu_to_a_machine_without_one(monkeypatch, tmp_path, kind):
    with pytest.MonkeyPatch.context() as machine, plugged_in(machine, tmp_path) as torch:
        torch.multiprocessors, torch.library.emulate = 2, True
        series = X + len(kind.__name__)  # whose values no cache knows
        model = small(kind).set_params(device="cuda:1").fit(series, Y)
        expected = model.predict(series)
        assert torch.library.launches
        data = pickle.dumps(model)
        assert pickle.loads(data).device == "cuda:1"
    assert b"torch" not in data
    monkeypatch.setattr(_devices, "obstacle", lambda: Obstacle("There is none."))
    with pytest.warns(UserWarning, match=r"takes device='auto'.*There is none\."):
        loaded = pickle.loads(data)
    np.testing.assert_array_equal(loaded.predict(series), expected)
