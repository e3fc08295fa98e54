"""Checks of estimators on time series proper, beside scikit-learn's, which know tables only.

Each check takes an estimator that is not fitted yet. `configured` makes one that is quick;
`parametrize_with_checks_3d` runs every check on every estimator.
"""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags

METHODS = ("predict", "predict_proba", "decision_function", "transform", "score_samples")
QUICK = {
    "max_iter": 3,
    "n_clusters": 2,
    "n_components": 4,
    "n_init": 1,
    "n_neighbors": 2,
    "random_state": 0,
}
N, T, D = 9, 7, 2
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}


# --- series, estimators, outputs


def configured(cls):
    """An estimator with settings that keep it quick."""
    estimator = cls()
    known = estimator.get_params()
    return estimator.set_params(**{name: value for name, value in QUICK.items() if name in known})


def cube(n=N, t=T, d=D, seed=0):
    """Two kinds of series, (n, t, d)."""
    rng = np.random.default_rng(seed)
    trend = np.linspace(-1.0, 1.0, t)[None, :, None] * np.where(np.arange(n) % 2, 1.0, -1.0)[:, None, None]
    return trend + 0.3 * rng.standard_normal((n, t, d))


def ragged(n=N, d=D, seed=1):
    lengths = np.random.default_rng(seed).integers(3, 9, n)
    return [series[:length].copy() for series, length in zip(cube(n, 9, d, seed), lengths, strict=True)]


def padded(series, extra=0):
    """(n, t, d) with NaN after the end."""
    out = np.full((len(series), max(map(len, series)) + extra, series[0].shape[1]), np.nan)
    for row, values in zip(out, series, strict=True):
        row[: len(values)] = values
    return out


def as_objects(series):
    out = np.empty(len(series), dtype=object)
    out[:] = list(series)
    return out


def targets(X):
    return np.arange(len(X)) % 2


def fit(estimator, X):
    return clone(estimator).fit(X, targets(X))


def outputs(fitted, X):
    """What every method says of X."""
    return {name: getattr(fitted, name)(X) for name in METHODS if hasattr(fitted, name)}


def learned(fitted):
    """Public attributes with numbers, but for what describes the input's form."""
    return {
        name: value
        for name, value in vars(fitted).items()
        if name.endswith("_")
        and not name.startswith("_")
        and name not in ("n_features_in_", "feature_names_in_")
    }


def flat(value):
    """All numbers of an array, or of arrays in lists and dictionaries."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype == object):
        return np.concatenate([np.empty(0), *(flat(element) for element in value)])
    if value is None:
        return np.empty(0)
    array = np.asarray(value)
    return array[~np.isnan(array)].ravel() if array.dtype.kind == "f" else array.ravel()


def assert_same(actual, expected, **tolerance):
    assert actual.keys() == expected.keys()
    for name in expected:
        one, other = flat(actual[name]), flat(expected[name])
        if other.dtype.kind in "fiub":
            np.testing.assert_allclose(one, other, err_msg=name, **(tolerance or TOLERANCE))
        else:
            np.testing.assert_array_equal(one, other, err_msg=name)


def assert_fits_alike(estimator, forms):
    """Fitted on any of the forms and asked about any of them, the answers are the same."""
    first = fit(estimator, forms[0])
    expected = outputs(first, forms[0])
    for form in forms[1:]:
        other = fit(estimator, form)
        assert_same(outputs(other, form), expected)
        assert_same(learned(other), learned(first))
        assert_same(outputs(first, form), expected)


# --- forms of input


def check_forms_of_equal_length(estimator):
    X = cube()
    assert_fits_alike(estimator, [X, list(X), tuple(X), as_objects(X), X.tolist(), padded(X, extra=3)])


def check_forms_of_ragged(estimator):
    series = ragged()
    assert_fits_alike(estimator, [series, as_objects(series), padded(series), padded(series, extra=2)])


def check_forms_of_univariate(estimator):
    X = cube(d=1)
    assert_fits_alike(estimator, [X, list(X), list(X[:, :, 0])])
    table = fit(estimator, X[:, :, 0])
    assert_same(learned(table), learned(fit(estimator, X)))
    assert_same(outputs(table, X[:, :, 0]), outputs(fit(estimator, X), X))


def check_memory_layouts(estimator):
    X = cube()
    assert_fits_alike(estimator, [X, np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2]])


def check_torch_tensors(estimator):
    torch = pytest.importorskip("torch")
    X = cube()
    assert_fits_alike(estimator, [X, torch.from_numpy(X), [torch.from_numpy(series) for series in X]])
    _assert_plain(_state(fit(estimator, torch.from_numpy(X))))


def check_read_only_memmap(estimator):
    X = cube()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.joblib"
        joblib.dump(X, path)
        mapped = joblib.load(path, mmap_mode="r")
        assert not mapped.flags.writeable
        fitted = fit(estimator, mapped)
        assert_same(outputs(fitted, mapped), outputs(fit(estimator, X), X))
        del mapped


def check_input_stays_as_it_was(estimator):
    X, series = cube(), ragged()
    before, series_before = X.copy(), [values.copy() for values in series]
    fitted = fit(estimator, X)
    expected = outputs(fitted, before)
    outputs(fitted, X)
    np.testing.assert_array_equal(X, before)
    outputs(fit(estimator, series), series)
    for values, values_before in zip(series, series_before, strict=True):
        np.testing.assert_array_equal(values, values_before)
    X[:] = 1e3  # nor does the fitted state share memory with it
    assert_same(outputs(fitted, before), expected)


# --- shapes


def check_number_of_features(estimator):
    name = type(estimator).__name__
    fitted = fit(estimator, cube())
    for method in outputs(fitted, cube()):
        with pytest.raises(ValueError, match=f"X has 3 features per time step, but {name} is expecting 2"):
            getattr(fitted, method)(cube(d=3))
        with pytest.raises(ValueError, match=r"n_samples, n_timestamps, n_features.*from_channels_first"):
            getattr(fitted, method)(cube().transpose(0, 2, 1))
    assert fitted.n_features_in_ == D


def check_columns_of_a_table(estimator):
    X = cube(d=1)[:, :, 0]
    fitted = fit(estimator, X)
    assert fitted.n_features_in_ == T
    for method in outputs(fitted, X):
        with pytest.raises(ValueError, match=f"X has {T - 1} features, but .* is expecting {T} features"):
            getattr(fitted, method)(X[:, :-1])


def check_other_lengths(estimator):
    fitted = fit(estimator, cube())
    for X in (cube(5, 11), cube(5, 1), ragged(5)):
        for name, value in outputs(fitted, X).items():
            assert len(value) == 5, name
            assert np.isfinite(flat(value)).all() if flat(value).dtype.kind == "f" else True, name


def check_one_series(estimator):
    fitted = fit(estimator, cube())
    whole = outputs(fitted, cube())
    for name, value in outputs(fitted, cube()[:1]).items():
        np.testing.assert_allclose(flat(value), flat(whole[name][:1]), err_msg=name, **TOLERANCE)


def check_fit_again(estimator):
    """A second fit leaves nothing of the first."""
    again = fit(estimator, ragged(d=1)).fit(cube(), targets(cube()))
    once = fit(estimator, cube())
    assert_same(learned(again), learned(once))
    assert_same(outputs(again, cube()), outputs(once, cube()))
    assert vars(again).keys() == vars(once).keys()


# --- numbers


def check_order_of_series(estimator):
    fitted = fit(estimator, cube())
    X = ragged(8)
    order = np.random.default_rng(0).permutation(8)
    expected = outputs(fitted, X)
    for name, value in outputs(fitted, [X[i] for i in order]).items():
        np.testing.assert_allclose(
            flat(value), flat([expected[name][i] for i in order]), err_msg=name, **TOLERANCE
        )


def check_float32(estimator):
    """float32 stays float32, and says nearly the same."""
    X = cube()
    single, double = fit(estimator, X.astype(np.float32)), fit(estimator, X)
    for name, value in learned(double).items():
        if isinstance(value, np.ndarray) and value.dtype == np.float64 and value.ndim > 1:
            assert getattr(single, name).dtype == np.float32, name
    if hasattr(single, "transform"):
        out = single.transform(X.astype(np.float32))
        assert (out if isinstance(out, np.ndarray) else out[0]).dtype == np.float32
    # Iterative fits may stop elsewhere; the answers of one fit are compared.
    for name, value in outputs(single, X.astype(np.float32)).items():
        np.testing.assert_allclose(
            flat(value), flat(outputs(single, X)[name]), err_msg=name, rtol=1e-3, atol=1e-4
        )


def check_integers(estimator):
    X = np.round(4 * cube()).astype(np.int64)
    assert_same(outputs(fit(estimator, X), X), outputs(fit(estimator, X.astype(float)), X.astype(float)))


def check_n_jobs(estimator):
    if "n_jobs" not in estimator.get_params():
        pytest.skip("no n_jobs")
    X = cube()
    one, two = fit(estimator, X), fit(clone(estimator).set_params(n_jobs=2), X)
    assert_same(learned(two), learned(one))
    assert_same(outputs(two, X), outputs(one, X))


# --- errors


def check_bad_series(estimator):
    hole, infinite = cube(), cube()
    hole[2, 3] = np.nan
    infinite[2, 3, 0] = np.inf
    bad = {
        "NaN before its end": hole,
        "inf": infinite,
        "time steps|zero length": np.empty((N, 0, D)),
        "0 sample": np.empty((0, T, D)),
        "0 feature": np.empty((N, T, 0)),
        "zero length": [*cube()[:8], np.empty((0, D))],
        "number of features": [*cube()[:8], np.zeros((T, 3))],
        "dimension": np.zeros((2, 3, 4, 5)),
        "strings": np.full((N, T, D), "a"),
        "Complex data not supported": cube() + 1j,
        "Sparse|sparse": scipy.sparse.csr_matrix(cube(d=1)[:, :, 0]),
    }
    if get_tags(estimator).input_tags.allow_nan:
        del bad["NaN before its end"]
    fitted = fit(estimator, cube())
    for text, X in bad.items():
        for method in (clone(estimator).fit, *(getattr(fitted, name) for name in outputs(fitted, cube()))):
            arguments = (X, targets(np.empty(N))) if method.__name__ == "fit" else (X,)
            with pytest.raises((ValueError, TypeError), match=f"(?s)X.*({text})|({text}).*X|{text}"):
                method(*arguments)


def check_not_fitted(estimator):
    for name in METHODS:
        if hasattr(clone(estimator), name):
            with pytest.raises(NotFittedError):
                getattr(clone(estimator), name)(cube())


def check_device(estimator):
    if "device" not in estimator.get_params():
        pytest.skip("no device")
    fit(clone(estimator).set_params(device="cpu"), cube())
    with pytest.raises(RuntimeError, match="device='cuda:99'"):
        fit(clone(estimator).set_params(device="cuda:99"), cube())
    with pytest.raises(ValueError, match="device must be"):
        fit(clone(estimator).set_params(device="gpu"), cube())


# --- state


def check_pickle(estimator):
    X = ragged()
    fitted = fit(estimator, X)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.joblib"
        joblib.dump(fitted, path)
        read_only = joblib.load(path, mmap_mode="r")
        for loaded in (pickle.loads(pickle.dumps(fitted)), read_only):
            assert_same(outputs(loaded, X), outputs(fitted, X))
            assert_same(learned(loaded), learned(fitted))
        del loaded, read_only


def check_plain_state(estimator):
    """Fitted state is NumPy arrays and plain Python: any program can read it, with no torch in sight."""
    for X in (cube(), ragged(), cube(d=1)[:, :, 0]):
        _assert_plain(_state(fit(estimator, X)))


def check_clone_is_not_fitted(estimator):
    fitted = fit(estimator, cube())
    assert not learned(clone(fitted))
    assert clone(fitted).get_params().keys() == fitted.get_params().keys()


def _state(fitted):
    return {name: value for name, value in vars(fitted).items() if name not in fitted.get_params(deep=False)}


def _assert_plain(value, path="state"):
    if isinstance(value, dict):
        for key, element in value.items():
            _assert_plain(element, f"{path}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for i, element in enumerate(value):
            _assert_plain(element, f"{path}[{i}]")
    elif type(value) is np.ndarray:
        assert value.dtype != object or all(isinstance(element, str) for element in value.flat), path
    else:
        plain = value is None or isinstance(value, (bool, int, float, str, np.generic))
        assert plain, f"{path}: {type(value)}"


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]


def parametrize_with_checks_3d(estimators):
    """Decorate a test of (estimator, check)."""
    return pytest.mark.parametrize(
        ("estimator", "check"),
        [
            pytest.param(
                estimator, check, id=f"{type(estimator).__name__}-{check.__name__.removeprefix('check_')}"
            )
            for estimator in estimators
            for check in CHECKS
        ],
    )
