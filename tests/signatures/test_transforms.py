"""Transforms of paths, and the estimators."""

from __future__ import annotations

import math

import numpy as np
import pytest
from checks_3d import cube, ragged, targets
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktime_sdtw import LogSignatureTransformer, SignatureTransformer
from sktime_sdtw.signatures import logsignature, signature, transform_path
from sktime_sdtw.signatures._transforms import TRANSFORMS


def test_transforms():
    x = np.array([[1.0], [4.0], [2.0]])
    np.testing.assert_array_equal(transform_path(x, "time"), [[1, 0], [4, 0.5], [2, 1]])
    np.testing.assert_array_equal(transform_path(x, "time", times=[3, 4, 9]), [[1, 3], [4, 4], [2, 9]])
    np.testing.assert_array_equal(transform_path(x, "basepoint"), [[0], [1], [4], [2]])
    np.testing.assert_array_equal(transform_path(x, "cumulative_sum"), [[1], [5], [7]])
    np.testing.assert_array_equal(transform_path(x, "lead_lag"), [[1, 1], [4, 1], [4, 4], [2, 4], [2, 2]])
    np.testing.assert_array_equal(
        transform_path(x, "lead_lag", lag=2), [[1, 1], [4, 1], [2, 1], [2, 4], [2, 2]]
    )
    np.testing.assert_array_equal(
        transform_path(x, "invisibility_reset"), [[1, 1], [4, 1], [2, 1], [2, 0], [0, 0]]
    )


@pytest.mark.parametrize("lag", [1, 2, 3, 9])
def test_lead_lag_begins_and_ends_together(lag):
    x = np.random.default_rng(0).normal(size=(2, 6, 3))
    y = transform_path(x, "lead_lag", lag=lag)
    assert y.shape == (2, 11, 6)
    for part in (y[..., :3], y[..., 3:]):
        np.testing.assert_allclose(signature(part, 3), signature(x, 3), rtol=0, atol=1e-12)
    if lag == 1:  # the area between the two is the quadratic variation
        s = signature(y, 2)[:, 6:].reshape(2, 6, 6)
        area = s[:, :3, 3:] - s[:, 3:, :3]
        steps = np.diff(x, axis=1)
        np.testing.assert_allclose(area, np.einsum("nti,ntj->nij", steps, steps), rtol=0, atol=1e-12)


def test_transforms_of_tensors():
    torch = pytest.importorskip("torch")
    x = torch.rand(2, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    names = ["cumulative_sum", "time", "lead_lag", "invisibility_reset", "basepoint"]
    out = transform_path(x, names)
    np.testing.assert_array_equal(out.detach(), transform_path(x.detach().numpy(), names))
    assert torch.autograd.gradcheck(lambda x: transform_path(x, names), (x,))


@pytest.mark.parametrize("leading", [(), (1,), (3,), (2, 3), (0,)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("times", ["none", "same", "one row", "own"])
def test_arrays_are_put_together_as_tensors_are(leading, channels, times):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(*leading, channels, 7)).astype(np.float32).swapaxes(-1, -2)
    shapes = {"none": None, "same": (7,), "one row": (1, 7), "own": (*leading, 7)}
    when = None if shapes[times] is None else np.sort(rng.normal(size=shapes[times]), axis=-1)
    ragged = rng.integers(1, 8, size=leading)
    names = ["time", "lead_lag", "scale", "invisibility_reset", "basepoint"]
    for lengths in (None, ragged):
        arguments = {"times": when, "lengths": lengths, "lag": 2}
        found = transform_path(x, names, **arguments)
        expected = transform_path(torch.from_numpy(x), names, **arguments)
        if lengths is not None:
            (found, ends), (expected, same_ends) = found, expected
            np.testing.assert_array_equal(ends, same_ends)
        np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"transforms": "spline"}, "transforms"),
        ({"transforms": "scale", "scale": [1.0, 2.0]}, "scale"),
        ({"transforms": "time", "lengths": 4}, "lengths"),
        ({"transforms": "lead_lag", "lag": 0}, "lag"),
        ({"transforms": "time", "times": [0.0, 1.0]}, "times"),
        ({"transforms": "basepoint", "times": [0.0, 1.0, 2.0]}, 'times was given without .* "time"'),
        ({"transforms": ["time", "basepoint"], "scale": 2.0}, 'scale was given without .* "scale"'),
        ({"transforms": [], "scale": [1.0]}, 'scale was given without .* "scale"'),
        ({"transforms": "time", "lag": 2}, 'lag was given without .* "lead_lag"'),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        transform_path(np.zeros((3, 1)), **arguments)


def test_transforms_must_be_names():
    with pytest.raises(TypeError, match="transforms"):
        transform_path(np.zeros((3, 1)), 3)


def test_scale():
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    np.testing.assert_array_equal(transform_path(x, "scale", scale=2), 2 * x)
    factors = np.array([2.0, 3.0, 4.0, 0.5])
    found = transform_path(x, ["time", "scale", "basepoint"], scale=factors)
    np.testing.assert_array_equal(found[:, 1:], transform_path(x, "time") * factors)
    assert (found[:, 0] == 0).all()


@pytest.mark.parametrize("names", [["scale", "cumulative_sum"], ["time", "scale", "lead_lag"]], ids=str)
def test_short_floats_are_computed_in_float32(names):
    x = np.random.default_rng(0).normal(size=(2, 3000, 2)).astype(np.float16)
    found = transform_path(x, names, scale=1 / 3)
    assert found.dtype == np.float16
    expected = transform_path(x.astype(np.float64), names, scale=1 / 3)
    np.testing.assert_allclose(found, expected, rtol=2**-10, atol=1e-3)  # sums of sums of float16 are far off


def test_the_origin_is_0_whatever_the_first_point_is():
    x = np.array([[np.nan], [np.inf], [2.0]])
    np.testing.assert_array_equal(transform_path(x, "basepoint")[0], [0])
    np.testing.assert_array_equal(transform_path(x, "invisibility_reset")[-1], [0, 0])


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.sampled_from(TRANSFORMS), max_size=5),
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    lag=st.integers(1, 4),
    timed=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_ragged_paths_are_transformed_one_by_one(names, lengths, lag, timed, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(len(lengths), max(lengths), 2))
    given_times = rng.random((len(lengths), max(lengths))) if timed and names[:1] == ["time"] else None
    if given_times is not None:
        names = ["time", *(name for name in names if name != "time")]
    for path, n in zip(x, lengths, strict=True):
        path[n:] = np.nan  # nobody looks
    more = {"lag": lag} if "lead_lag" in names else {}
    more |= {"scale": 0.5} if "scale" in names else {}
    found, new = transform_path(x, names, lengths=lengths, times=given_times, **more)
    for i, n in enumerate(lengths):
        own = None if given_times is None else given_times[i, :n]
        expected = transform_path(x[i, :n], names, times=own, **more)
        assert new[i] == len(expected)
        np.testing.assert_array_equal(found[i, : new[i]], expected)
        assert np.isfinite(found[i]).all()


def test_derivatives_of_irregular_times_and_ragged_paths():
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    x, times, scale = (
        torch.rand(*s, dtype=torch.float64, generator=generator) for s in ((2, 4, 2), (2, 4), (3,))
    )
    for t in (x, times, scale):
        t.requires_grad_()

    def f(x, times, scale):
        names = ["time", "scale", "lead_lag", "cumulative_sum", "invisibility_reset"]
        path, lengths = transform_path(
            x, names, times=times, scale=scale, lag=2, lengths=torch.tensor([2, 4])
        )
        return signature(path, 2, lengths=lengths)

    assert torch.autograd.gradcheck(f, (x, times, scale))


# --- estimators


@pytest.mark.parametrize("estimator", [SignatureTransformer, LogSignatureTransformer])
@pytest.mark.parametrize(
    "transforms", [(), "time", ("time", "lead_lag"), ("cumulative_sum", "lead_lag", "time")]
)
def test_ragged_series_are_computed_one_by_one(estimator, transforms):
    X = ragged()
    found = estimator(depth=3, transforms=transforms).fit_transform(X)
    function = signature if estimator is SignatureTransformer else logsignature
    for row, series in zip(found, X, strict=True):
        np.testing.assert_allclose(row, function(transform_path(series, transforms), 3), rtol=0, atol=1e-12)


def test_invisibility_reset_of_ragged_series():
    X = ragged()
    found = SignatureTransformer(transforms="invisibility_reset").fit_transform(X)
    for row, series in zip(found, X, strict=True):
        expected = signature(transform_path(series, "invisibility_reset"), 3)
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("nan_policy", ["raise", "skip"])
@pytest.mark.parametrize(
    "transforms", [("time",), (), ("time", "lead_lag"), ("invisibility_reset",)], ids=str
)
@pytest.mark.parametrize("levels", [1, 2, 4])
def test_dyadic_windows_of_short_series(levels, transforms, nan_policy):
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(n, 2)) for n in (1, 2, 3, 5, 9, 12, 20)]
    if nan_policy == "skip":
        X[4][3, 0] = np.nan
    transformer = SignatureTransformer(
        2, windows=("dyadic", levels), transforms=transforms, nan_policy=nan_policy
    )
    found = transformer.fit_transform(X)
    for series, row in zip(X, found, strict=True):
        np.testing.assert_allclose(transformer.transform([series])[0], row, rtol=0, atol=1e-12)
        if "time" in transforms:  # of points that are left out, which the path alone does not know
            continue
        path = transform_path(series[~np.isnan(series).any(axis=1)], transforms)
        if len(path) > 2 ** (levels - 1):
            expected = signature(path, 2, windows=("dyadic", levels)).ravel()
            np.testing.assert_allclose(row, expected, rtol=0, atol=1e-12)
        elif len(path) > 1:  # the whole series, and at the end of the last level nothing
            np.testing.assert_allclose(row[: transformer.n_channels_], path[-1] - path[0], rtol=0, atol=1e-12)
            np.testing.assert_array_equal(row[-6:], 0)
    with pytest.raises(ValueError, match="too short"):
        transformer.set_params(windows=("dyadic", 9)).fit(X)


def test_dyadic_windows_are_fractions_of_each_series():
    X = ragged()
    transformer = SignatureTransformer(depth=2, windows=("dyadic", 2)).fit(X)
    found = transformer.transform(X)
    for row, series in zip(found, X, strict=True):
        expected = signature(transform_path(series, "time"), 2, windows=("dyadic", 2))
        np.testing.assert_allclose(row, expected.ravel(), rtol=0, atol=1e-12)
    names = transformer.get_feature_names_out()
    assert len(names) == found.shape[1] == 36
    assert names[12] == "window1:0"


def test_sliding_windows_lie_where_they_lay_in_fit():
    X = cube(t=9)
    transformer = LogSignatureTransformer(depth=2, windows=("sliding", 4, 2), mode="brackets").fit(X)
    assert transformer.transform(X).shape == (9, 3 * 6)
    np.testing.assert_allclose(
        transformer.transform(cube(t=9)[:, :5])[:, :6],
        logsignature(transform_path(X[:, :5], "time")[:, :4], 2, mode="brackets"),
        rtol=0,
        atol=1e-12,
    )
    assert transformer.transform(cube(t=30)).shape == (9, 18)
    assert transformer.get_feature_names_out()[-1] == "window2:[1,2]"


@pytest.mark.parametrize("mode", ["words", "brackets", "expand"])
def test_scaling_of_log_signatures(mode):
    X = np.random.default_rng(0).normal(size=(3, 9, 2))
    plain, post, pre = (
        LogSignatureTransformer(depth=4, mode=mode, transforms=(), windows=("sliding", 5, 2), scaling=scaling)
        for scaling in ("none", "post", "pre")
    )
    expected, names = plain.fit_transform(X), plain.get_feature_names_out()
    letters = np.array([sum(c.isdigit() for c in name.split(":")[1]) for name in names])
    factorials = np.array([math.factorial(k) for k in letters])
    np.testing.assert_allclose(post.fit_transform(X), expected * factorials, rtol=1e-12)
    np.testing.assert_allclose(pre.fit_transform(X), expected * 24 ** (letters / 4), rtol=1e-10, atol=1e-12)


def test_scaling_and_words():
    X = cube()
    plain = SignatureTransformer(depth=3).fit_transform(X)
    post = SignatureTransformer(depth=3, scaling="post").fit_transform(X)
    np.testing.assert_allclose(post, plain * np.repeat([1.0, 2.0, 6.0], [3, 9, 27]), rtol=1e-12)
    pre = SignatureTransformer(depth=3, scaling="pre", transforms=()).fit_transform(X)
    np.testing.assert_allclose(pre, signature(X * 6 ** (1 / 3), 3), rtol=1e-12, atol=1e-12)
    some = SignatureTransformer(depth=3, words=[(2, 0), [1, 1, 0]]).fit(X)
    np.testing.assert_array_equal(some.transform(X), plain[:, [3 + 6, 12 + 12]])
    assert some.get_feature_names_out().tolist() == ["2,0", "1,1,0"]
    for words in ([(3,)], [()], [(0, 0, 0, 0)]):
        with pytest.raises(ValueError, match="words"):
            SignatureTransformer(depth=3, words=words).fit(X)


def test_pandas_output():
    pd = pytest.importorskip("pandas")
    found = LogSignatureTransformer(depth=2).set_output(transform="pandas").fit_transform(cube())
    assert isinstance(found, pd.DataFrame)
    assert list(found.columns) == ["0", "1", "2", "0,1", "0,2", "1,2"]


def test_search_over_depth_and_windows():
    X = cube(24)
    model = make_pipeline(SignatureTransformer(), StandardScaler(), LogisticRegression())
    grid = {"signaturetransformer__depth": [1, 2], "signaturetransformer__windows": [None, ("dyadic", 2)]}
    search = GridSearchCV(model, grid, cv=3, error_score="raise").fit(X, targets(X))
    assert search.best_score_ == 1.0


@pytest.mark.parametrize(
    "bad",
    [
        {"depth": 65},
        {"transforms": ("spline",)},
        {"transforms": ("scale",)},
        {"windows": ("sliding", 100)},
        {"windows": ("hopping", 2)},
    ],
    ids=str,
)
def test_bad_parameters(bad):
    with pytest.raises(ValueError):
        SignatureTransformer(**bad).fit(cube())
