"""The CUDA engine gives the same bits in all orders of execution, and does nothing undefined."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_emulation import EmulatedRuntime
from cuda_variants import covering

import sktime_sdtw
from sktime_sdtw import _engine

BANDS = {
    "whole": {},
    "sakoe_chiba": {"sakoe_chiba_radius": 4},
    "relative": {"sakoe_chiba_radius": 0.3},
    "itakura": {"itakura_max_slope": 2.0},
}
CHOICES = list(
    covering(
        [("float32", "float64"), ("sqeuclidean", "euclidean", "manhattan", "gak"), (1, 2, 3, 9), tuple(BANDS)]
    )
)
RUNTIMES = {  # all of the same build: most of the time goes into compiling
    "up": {"order": 0},
    "down": {"order": 1, "resident": 1},
    "shuffled": {"order": 5, "resident": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "cost", "d", "band"), CHOICES)
def test_all_schedules_give_the_same_bits(dtype, cost, d, band, monkeypatch):
    rng = np.random.default_rng([d, len(cost)])
    # Several strips for some; some shorter than a tile; of lengths that the bands can be fulfilled for.
    lengths = [(150, 300), (1, 300), (33, 5), (64, 64)] if band == "whole" else [(150, 170), (7, 9), (33, 40)]
    x, y = ([rng.normal(size=(pair[i], d)).cumsum(0).astype(dtype) for pair in lengths] for i in (0, 1))
    settings = {"cost": cost, **BANDS[band], **({"sigma": 3.0} if cost == "gak" else {})}
    wide = {"sakoe_chiba_radius": 0.99} if band == "relative" else {}

    def results():
        if band in ("whole", "relative"):
            yield sktime_sdtw.pairwise_soft_dtw(x, y, gamma=[0.0, 0.01, 1.0], **{**settings, **wide})
            yield sktime_sdtw.pairwise_soft_dtw(x, gamma=0.1, **{**settings, **wide})
        for gamma in (0.0, 0.01):
            wrt = ("x", "y", "gamma") if gamma else ("x", "y")
            gradient = sktime_sdtw.paired_soft_dtw_gradient(x, y, gamma=gamma, wrt=wrt, **settings)
            yield np.concatenate([gradient.value, *(np.ravel(g) for g in (*gradient.x, *gradient.y))])
            if gamma:
                yield gradient.gamma

    truth = list(results())
    found = {}
    for name, options in RUNTIMES.items():
        runtime = EmulatedRuntime(sanitize=True, **options)
        monkeypatch.setattr(_engine, "runtimes_for", lambda device, work, runtime=runtime: [runtime])
        found[name] = list(results())
        assert runtime.launches
    for k, expected in enumerate(truth):
        for name in RUNTIMES:
            np.testing.assert_array_equal(found[name][k], found["up"][k], err_msg=name)
        # How close is for other tests to say; this says that it is the same quantity.
        error = np.abs(found["up"][k] - expected).max()
        assert error <= (1e-3 if dtype == "float32" else 1e-9) * (1 + np.abs(expected).max())
