"""The base of the estimators: what it keeps of the series of fit, and what it refuses afterwards."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from sktime_sdtw._estimator import COMMON_CONSTRAINTS, GAMMA, SeriesEstimator, fit_context, restore_layout
from sktime_sdtw._series import check_series


class Plain(SeriesEstimator):
    _parameter_constraints = {**COMMON_CONSTRAINTS, "gamma": GAMMA}  # noqa: RUF012  (as scikit-learn writes it)

    def __init__(
        self,
        gamma=1.0,
        cost="sqeuclidean",
        sigma=1.0,
        sakoe_chiba_radius=None,
        itakura_max_slope=None,
        n_jobs=None,
        device="auto",
    ):
        self.gamma = gamma
        self.cost = cost
        self.sigma = sigma
        self.sakoe_chiba_radius = sakoe_chiba_radius
        self.itakura_max_slope = itakura_max_slope
        self.n_jobs = n_jobs
        self.device = device

    @fit_context
    def fit(self, X, y=None):
        self.batch_ = self._check_series(X, reset=True).copy()
        return self

    def read(self, X):
        return self._check_series(X, reset=False)


TABLE = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(
    ("X", "n_features", "flat"),
    [
        (TABLE, 4, True),
        (TABLE.tolist(), 4, True),
        (pd.DataFrame(TABLE), 4, True),
        (TABLE[:, :, None], 1, False),
        (TABLE.reshape(3, 2, 2), 2, False),
        ([TABLE[0], TABLE[1][:2]], 1, True),
        ([TABLE[0], TABLE[1]], 1, True),
        ([[1.0, 2.0], [3.0]], 1, True),
        ([TABLE, TABLE[:2]], 4, False),
        (check_series(TABLE), 1, False),
    ],
    ids=[
        "table",
        "lists",
        "frame",
        "3-D",
        "two",
        "ragged 1-D",
        "list 1-D",
        "ragged lists",
        "ragged 2-D",
        "batch",
    ],
)
def test_features_of_fit(X, n_features, flat):
    model = Plain().fit(X)
    assert model.n_features_in_ == n_features
    assert model._flat_in == flat


def test_feature_names():
    model = Plain().fit(pd.DataFrame(TABLE, columns=list("abcd")))
    assert list(model.feature_names_in_) == list("abcd")
    with pytest.raises(ValueError, match="feature names should match"):
        model.read(pd.DataFrame(TABLE, columns=list("abce")))


def test_other_lengths_after_a_table():
    model = Plain().fit(TABLE)
    with pytest.raises(ValueError, match="X has 3 features, but Plain is expecting 4 features as input"):
        model.read(TABLE[:, :3])
    assert model.read(TABLE[:, :3, None]).max_length == 3
    assert model.read([TABLE[0], TABLE[1, :2]]).max_length == 4


def test_other_lengths_after_series():
    for X in (TABLE[:, :, None], [TABLE[0], TABLE[1, :2]]):
        model = Plain().fit(X)
        assert model.read(np.zeros((2, 9))).max_length == 9
        assert model.read(np.zeros((2, 9, 1))).max_length == 9


@pytest.mark.parametrize("X", [TABLE, TABLE[:, :, None], list(TABLE)], ids=["table", "3-D", "list"])
def test_other_features(X):
    message = r"X has 2 features per time step, but Plain is expecting 1 features per time step as input "
    with pytest.raises(
        ValueError, match=message + r"\(X has shape \(2, 5, 2\), read as \(n_samples, n_timestamps"
    ):
        Plain().fit(X).read(np.zeros((2, 5, 2)))
    with pytest.raises(ValueError, match=message + r"\(X has 1 series, the first of shape \(5, 2\), read as"):
        Plain().fit(X).read([np.zeros((5, 2))])


def test_missing_values_are_refused_and_padding_is_not():
    assert not Plain().__sklearn_tags__().input_tags.allow_nan
    assert Plain().__sklearn_tags__().input_tags.three_d_array
    padded = np.array([[1.0, np.nan], [1.0, 2.0]])
    assert list(Plain().fit(padded).batch_.lengths) == [1, 2]
    with pytest.raises(ValueError, match="NaN before its end"):
        Plain().fit(padded[:, ::-1])


@pytest.mark.parametrize(
    "params",
    [
        {"gamma": -1},
        {"gamma": np.inf},
        {"gamma": np.nan},
        {"cost": "precomputed"},
        {"sigma": 0},
        {"sakoe_chiba_radius": -1},
        {"sakoe_chiba_radius": 1.5},
        {"itakura_max_slope": 0.5},
        {"n_jobs": 1.5},
        {"device": None},
    ],
    ids=str,
)
def test_parameter_constraints(params):
    (name,) = params
    with pytest.raises(ValueError, match=f"The '{name}' parameter of Plain must be"):
        Plain(**params).fit(TABLE)


def test_operator_params():
    assert Plain(cost="gak", n_jobs=2)._operator_params() == {
        "cost": "gak",
        "sigma": 1.0,
        "sakoe_chiba_radius": None,
        "itakura_max_slope": None,
        "n_jobs": 2,
        "device": "auto",
    }


def test_pickle_carries_the_version():
    model = Plain().fit(TABLE)
    state = model.__getstate__()
    assert "_sktime_sdtw_version" not in vars(model)
    assert pickle.loads(pickle.dumps(model)).n_features_in_ == 4
    with pytest.warns(UserWarning, match="Plain was pickled with sktime-sdtw unknown"):
        Plain().__setstate__({k: v for k, v in state.items() if k != "_sktime_sdtw_version"})


def test_restore_layout():
    ragged = restore_layout(check_series([[1.0, 2.0], [3.0]]), flat=True)
    assert [x.tolist() for x in ragged] == [[1.0, 2.0], [3.0]]
    assert restore_layout(check_series(TABLE), flat=False).shape == (3, 4, 1)
    wide = restore_layout(check_series(TABLE.reshape(3, 2, 2)), flat=True)
    assert wide.shape == (3, 2, 2)
    assert not np.shares_memory(restore_layout(check_series(TABLE), flat=True), TABLE)
