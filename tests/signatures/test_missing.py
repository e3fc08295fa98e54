"""Missing numbers and irregular times: in transforms of paths, and in the estimators."""

from __future__ import annotations

import numpy as np
import pytest
from checks_3d import cube, ragged, targets
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktime_sdtw import LogSignatureTransformer, SignatureKernel, SignatureTransformer, TimeSeriesScaler
from sktime_sdtw.signatures import logsignature, signature, transform_path
from sktime_sdtw.signatures._transforms import TRANSFORMS

ESTIMATORS = [SignatureTransformer(depth=2), LogSignatureTransformer(depth=3), SignatureKernel(sigma=2.0)]
NAMES = [type(estimator).__name__ for estimator in ESTIMATORS]


def filled(path):
    """The path with the last number of each channel where there is none, at the start the first one."""
    path = path.copy()
    for column in path.T:
        known = np.flatnonzero(~np.isnan(column))
        for i in range(len(column)):
            before = known[known <= i]
            column[i] = column[before[-1] if len(before) else known[0]]
    return path


def with_holes(shape, seed, share=0.3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    x[rng.random(shape) < share] = np.nan
    x[:, shape[1] // 2] = 1.0  # no channel without any number
    return x


# --- transforms of paths


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.sampled_from(TRANSFORMS), max_size=4),
    n=st.integers(2, 8),
    lag=st.integers(1, 3),
    timed=st.booleans(),
    short=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_holes_are_treated_before_the_transforms(names, n, lag, timed, short, seed):
    rng = np.random.default_rng(seed)
    x = with_holes((3, n, 2), seed)
    names = ["time", *(name for name in names if name != "time")]
    times = np.sort(rng.random((3, n)), axis=1) if timed else np.broadcast_to(np.arange(n) / (n - 1), (3, n))
    lengths = rng.integers(n // 2 + 1, n + 1, 3) if short else np.full(3, n)
    if not timed:
        times = np.arange(n) / np.maximum(lengths - 1, 1)[:, None]
    own_settings = {"lag": lag} if "lead_lag" in names else {}
    own_settings |= {"scale": 0.5} if "scale" in names else {}
    more = {**own_settings, "times": times if timed else None}
    for policy in ("ffill", "skip"):
        found, new = transform_path(x, names, lengths=lengths, nan_policy=policy, **more)
        for i, end in enumerate(lengths):
            path, own = x[i, :end], times[i, :end]
            if policy == "skip":
                kept = ~np.isnan(path).any(axis=1)
                path, own = path[kept], own[kept]
            expected = transform_path(filled(path), names, times=own, **own_settings)
            assert new[i] == len(expected)
            np.testing.assert_allclose(found[i, : new[i]], expected, rtol=1e-12)
            np.testing.assert_array_equal(
                found[i, new[i] :], found[i, new[i] - 1 : new[i]].repeat(found.shape[1] - new[i], axis=0)
            )
        if not short:  # without lengths the same paths, which stand still at their ends
            same = transform_path(x, names, nan_policy=policy, **more)
            np.testing.assert_array_equal(same, found)


def test_skipped_points_are_not_there_for_lead_lag():
    x = np.array([[1.0], [np.nan], [3.0], [2.0]])
    found = transform_path(x, ["lead_lag", "cumulative_sum"], nan_policy="skip", lag=2)
    expected = transform_path(x[[0, 2, 3]], ["lead_lag", "cumulative_sum"], lag=2)
    np.testing.assert_array_equal(found[:5], expected)
    np.testing.assert_allclose(signature(found, 3), signature(expected, 3), rtol=0, atol=1e-12)


@pytest.mark.parametrize("policy", ["ffill", "skip"])
@pytest.mark.parametrize("f", [signature, logsignature, transform_path], ids=lambda f: f.__name__)
def test_paths_without_any_number_before_their_end(f, policy):
    x = np.random.default_rng(0).normal(size=(2, 5, 2))
    x[0, :3, 0] = np.nan
    what = ["time"] if f is transform_path else 2
    with pytest.raises(ValueError, match="without any"):
        f(x, what, lengths=[3, 5], nan_policy=policy)
    f(x, what, lengths=[4, 5], nan_policy=policy)


def test_policies_of_transforms():
    x = np.array([[[1.0], [np.nan]], [[2.0], [3.0]]])
    assert np.isnan(transform_path(x, "time")).any()
    with pytest.raises(ValueError, match="NaN"):
        transform_path(x, "time", nan_policy="raise")
    np.testing.assert_array_equal(
        transform_path(x, "time", nan_policy="raise", lengths=[1, 2])[0], [[[1, 0]] * 2, [[2, 0], [3, 1]]]
    )
    with pytest.raises(ValueError, match="nan_policy"):
        transform_path(x, "time", nan_policy="drop")
    for policy in ("ffill", "skip"):
        with pytest.raises(ValueError, match="without any"):
            transform_path(x * np.nan, "time", nan_policy=policy)


@pytest.mark.parametrize("policy", ["ffill", "skip"])
def test_derivatives_and_compilation(policy):
    torch = pytest.importorskip("torch")
    holes = torch.zeros(2, 5, 2, dtype=torch.float64)
    holes[0, 2, 1] = holes[0, 4] = holes[1, 0] = torch.nan
    x = torch.rand(2, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    times = torch.tensor([0.0, 1.0, 1.5, 4.0, 4.5], dtype=torch.float64).requires_grad_()

    def f(x, times):
        names = ["time", "cumulative_sum", "lead_lag"]
        return signature(transform_path(x + holes, names, times=times, nan_policy=policy), 2)

    assert torch.autograd.gradcheck(f, (x, times))
    assert torch.autograd.gradgradcheck(f, (x, times))
    np.testing.assert_allclose(
        f(x, times).detach(),
        signature(
            transform_path(
                (x + holes).detach().numpy(),
                ["time", "cumulative_sum", "lead_lag"],
                times=times.detach().numpy(),
                nan_policy=policy,
            ),
            2,
        ),
        rtol=1e-12,
    )
    if policy == "ffill":
        torch.testing.assert_close(
            torch.func.vmap(lambda x, h: transform_path(x + h, "time", nan_policy=policy))(x, holes),
            transform_path(x + holes, "time", nan_policy=policy),
        )
    else:
        with pytest.raises(ValueError, match="looks at values"):
            torch.func.vmap(lambda x: transform_path(x, "time", nan_policy=policy))(x)


# --- estimators: missing numbers


POLICIES = ("ffill", "skip", "skip")


@parametrize_with_checks(
    [clone(e).set_params(nan_policy=policy) for e, policy in zip(ESTIMATORS, POLICIES, strict=True)]
)
def test_sklearn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS[:2], ids=NAMES[:2])
@pytest.mark.parametrize("windows", [None, ("dyadic", 2), ("sliding", 3)], ids=str)
@pytest.mark.parametrize("form", ["cube", "ragged"])
def test_features_are_those_of_the_function(estimator, windows, form):
    X = with_holes((9, 12, 2), 0, share=0.15)
    if form == "ragged":
        X = [series[:n] for series, n in zip(X, np.random.default_rng(0).integers(9, 13, 9), strict=True)]
    function = signature if isinstance(estimator, SignatureTransformer) else logsignature
    for policy in ("ffill", "skip"):
        model = clone(estimator).set_params(
            nan_policy=policy, windows=windows, transforms=("time", "lead_lag")
        )
        found = model.fit_transform(X)
        for row, series in zip(found, X, strict=True):
            times = np.linspace(0, 1, len(series))
            kept = ~np.isnan(series).any(axis=1) if policy == "skip" else np.full(len(series), True)
            path = transform_path(filled(series[kept]), ["time", "lead_lag"], times=times[kept])
            if windows is not None and windows[0] == "sliding":  # as many as in the longest series
                path = np.concatenate([path, path[-1:].repeat(23 - len(path), axis=0)])
            expected = function(path, model.depth, windows=windows)
            np.testing.assert_allclose(row, expected.ravel(), rtol=0, atol=1e-11)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=NAMES)
def test_nan_is_refused_unless_it_is_asked_for(estimator):
    X = with_holes((9, 12, 2), 0, share=0.1)
    with pytest.raises(ValueError, match="NaN before its end"):
        clone(estimator).fit(X)
    with pytest.raises(ValueError, match="nan_policy"):
        clone(estimator).set_params(nan_policy="propagate").fit(X)
    fitted = clone(estimator).set_params(nan_policy="skip").fit(X)
    with pytest.raises(ValueError, match="without any"):
        fitted.transform(np.where(np.arange(2) == 0, np.nan, X))
    X32 = X.astype(np.float32)
    assert clone(fitted).fit(X32).transform(X32).dtype == np.float32


def test_kernel_of_series_with_holes():
    X = with_holes((6, 12, 2), 0, share=0.1)
    for policy in ("ffill", "skip"):
        kept = [~np.isnan(s).any(axis=1) if policy == "skip" else np.full(len(s), True) for s in X]
        times = [np.linspace(0, 1, 12)[k] for k in kept]
        paths = [
            transform_path(filled(s[k]), "time", times=t) for s, k, t in zip(X, kept, times, strict=True)
        ]
        expected = SignatureKernel(transforms=()).fit_transform(paths)
        model = SignatureKernel(nan_policy=policy)
        np.testing.assert_allclose(model.fit_transform(X), expected, rtol=1e-12)
        np.testing.assert_allclose(model.transform(X[:3]), expected[:3], rtol=1e-12)


def test_search_over_policies_behind_a_scaler():
    X, y = with_holes((24, 12, 2), 0, share=0.1), np.arange(24) % 2
    X[y == 1] += np.linspace(0, 20, 12)[:, None]
    model = make_pipeline(TimeSeriesScaler(), SignatureTransformer(depth=2), LogisticRegression())
    grid = {"signaturetransformer__nan_policy": ["ffill", "skip"]}
    search = GridSearchCV(model, grid, cv=3, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.9
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# --- estimators: times


def irregular(X, seed=0):
    rng = np.random.default_rng(seed)
    return [np.cumsum(rng.exponential(size=len(series))) + 1e9 for series in X]


@pytest.mark.parametrize("estimator", ESTIMATORS[:2], ids=NAMES[:2])
@pytest.mark.parametrize("X", [cube(), ragged()], ids=["cube", "ragged"])
def test_times_are_those_of_the_function(estimator, X):
    times = irregular(X)
    function = signature if isinstance(estimator, SignatureTransformer) else logsignature
    model = clone(estimator)
    found = model.fit_transform(X, times=times)
    for row, series, own in zip(found, X, times, strict=True):
        path = transform_path(series, "time", times=own - own[0])
        np.testing.assert_allclose(row, function(path, model.depth), rtol=0, atol=1e-9)
    single = [series.astype(np.float32) for series in X]
    low = clone(model).fit_transform(
        single, times=times
    )  # late times do not cost digits of their differences
    assert low.dtype == np.float32
    np.testing.assert_allclose(low, found, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=NAMES)
def test_even_times_are_the_default(estimator):
    X = cube()
    even = np.tile(np.linspace(0, 1, X.shape[1]), (len(X), 1))
    np.testing.assert_allclose(
        clone(estimator).fit_transform(X, times=even),
        clone(estimator).fit_transform(X),
        rtol=1e-12,
        atol=1e-12,
    )
    padded = np.concatenate([X, np.full((len(X), 2, X.shape[2]), np.nan)], axis=1)
    longer = np.concatenate([even, np.full((len(X), 2), 7.0)], axis=1)  # nobody looks after the end
    np.testing.assert_allclose(
        clone(estimator).fit(padded, times=longer).transform(X, times=even),
        clone(estimator).fit(X).transform(X),
        rtol=1e-12,
        atol=1e-12,
    )


def test_times_of_points_that_are_left_out():
    X = with_holes((6, 12, 2), 0, share=0.1)
    times = irregular(X)
    kept = [~np.isnan(s).any(axis=1) for s in X]
    paths = [
        transform_path(s[k], "time", times=(t - t[0])[k]) for s, k, t in zip(X, kept, times, strict=True)
    ]
    expected = np.stack([signature(path, 3) for path in paths])
    found = SignatureTransformer(nan_policy="skip").fit_transform(X, times=times)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    kernel = SignatureKernel(nan_policy="skip", sigma=3.0)
    expected = SignatureKernel(transforms=(), sigma=3.0).fit_transform(paths)
    np.testing.assert_allclose(kernel.fit_transform(X, times=times), expected, rtol=1e-9)
    np.testing.assert_allclose(kernel.fit(X, times=times).transform(X, times=times), expected, rtol=1e-9)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=NAMES)
def test_bad_times(estimator):
    X = cube()
    good = np.tile(np.arange(float(X.shape[1])), (len(X), 1))
    hole = good.copy()
    hole[2, 3] = np.nan
    back = good.copy()
    back[2, 3] = 0.0
    for bad, text in [
        (good[:-1], "one number for each time step"),
        (np.stack([good, good], axis=2), "one number for each time step"),
        (good[:, :-1], r"times\[0\] has"),
        (hole, "times.* contains NaN"),
        (back, r"times\[2\] goes back in time"),
    ]:
        with pytest.raises(ValueError, match=text):
            clone(estimator).fit(X, times=bad)
    with pytest.raises(ValueError, match="transforms"):
        clone(estimator).set_params(transforms=()).fit(X, times=good)
    with pytest.raises(ValueError, match="fitted with times"):
        clone(estimator).fit(X, times=good).transform(X)
    with pytest.raises(ValueError, match="fitted with no times"):
        clone(estimator).fit(X).transform(X, times=good)


@pytest.mark.parametrize("name", ["features", "union", "kernel"])
@pytest.mark.parametrize("form", ["cube", "ragged"])
def test_times_are_routed_through_pipelines_and_searches(name, form):
    X = cube(24) if form == "cube" else ragged(24)
    y, times = targets(X), irregular(X)
    times = np.array(times) if form == "cube" else times
    with config_context(enable_metadata_routing=True):

        def routed(estimator):
            return estimator.set_fit_request(times=True).set_transform_request(times=True)

        features = routed(SignatureTransformer(depth=2))
        if name == "kernel":
            model, step = (
                make_pipeline(routed(SignatureKernel(sigma=3.0)), SVC(kernel="precomputed")),
                "signaturekernel",
            )
        elif name == "union":
            both = FeatureUnion([("a", features), ("b", routed(LogSignatureTransformer(depth=3)))])
            model, step = make_pipeline(both, StandardScaler(), LogisticRegression()), "featureunion__a"
        else:
            model, step = (
                make_pipeline(features, StandardScaler(), LogisticRegression()),
                "signaturetransformer",
            )
        by_hand = [part.fit_transform(X, times=times) for part in (clone(features),)]
        fitted = clone(model).fit(X, y, times=times)
        if name == "features":
            np.testing.assert_array_equal(fitted[0].transform(X, times=times), by_hand[0])
        assert fitted.predict(X, times=times).shape == (24,)
        search = GridSearchCV(model, {f"{step}__depth": [1, 2]}, cv=3, error_score="raise")
        search.fit(X, y, times=times)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert search.score(X, y, times=times) == search.best_estimator_.score(X, y, times=times)
        scores = cross_val_score(model, X, y, cv=3, params={"times": times}, error_score="raise")
        assert len(scores) == 3
