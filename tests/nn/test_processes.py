"""The modules as copies and in other processes: workers of a data loader, data-parallel training."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_models import Series, gradients, gradients_in_parallel, models, pairs  # noqa: E402

NAMES = list(models())


@pytest.mark.parametrize("name", NAMES)
def test_copies_compute_the_same(name):
    model, other = models()[name], models()[name]
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    wanted = gradients(model, *pairs())
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), loaded, other):
        assert repr(twin) == repr(model)
        assert all(map(torch.equal, gradients(twin, *pairs()), wanted))


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_of_a_data_loader(start):
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {start} here")
    series = Series()
    wanted = [series[i] for i in range(len(series))]  # starts threads
    loader = torch.utils.data.DataLoader(
        series, batch_size=None, num_workers=2, multiprocessing_context=start, timeout=60
    )
    for found, expected in zip(loader, wanted, strict=True):
        for name in NAMES:
            for one, other in zip(found[name], expected[name], strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without torch.distributed")
def test_data_parallel_gradients_are_those_of_the_whole_batch(tmp_path):
    file = tmp_path / "group"
    torch.multiprocessing.spawn(gradients_in_parallel, args=(2, str(file)), nprocs=2)
    found = torch.load(f"{file}.gradients")
    for name, model in models().items():
        wanted = gradients(model, *pairs())
        assert len(wanted) >= 2
        for one, other in zip(found[name], wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12, msg=name)
