"""Bad input: an error that names the argument and says what is accepted, from every function."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import sktime_sdtw
from sktime_sdtw import (
    dtw,
    dtw_path,
    gak,
    mean_cost_divergence,
    median_heuristic_sigma,
    paired_dtw,
    paired_soft_dtw,
    paired_soft_dtw_divergence,
    paired_soft_dtw_gradient,
    pairwise_dtw,
    pairwise_gak,
    pairwise_mean_cost_divergence,
    pairwise_sharp_soft_dtw_divergence,
    pairwise_soft_dtw,
    pairwise_soft_dtw_divergence,
    sharp_soft_dtw_divergence,
    soft_dtw,
    soft_dtw_alignment,
    soft_dtw_divergence,
    soft_dtw_gradient,
)

SINGLE = [
    dtw,
    dtw_path,
    gak,
    mean_cost_divergence,
    sharp_soft_dtw_divergence,
    soft_dtw,
    soft_dtw_alignment,
    soft_dtw_divergence,
    soft_dtw_gradient,
]
PAIRED = [paired_dtw, paired_soft_dtw, paired_soft_dtw_divergence, paired_soft_dtw_gradient]
PAIRWISE = [
    pairwise_dtw,
    pairwise_gak,
    pairwise_mean_cost_divergence,
    pairwise_sharp_soft_dtw_divergence,
    pairwise_soft_dtw,
    pairwise_soft_dtw_divergence,
]
ONE_GAMMA = [
    sharp_soft_dtw_divergence,
    soft_dtw,
    soft_dtw_alignment,
    soft_dtw_divergence,
    soft_dtw_gradient,
    paired_soft_dtw_gradient,
    pairwise_sharp_soft_dtw_divergence,
]
MANY_GAMMAS = [pairwise_soft_dtw, pairwise_soft_dtw_divergence, paired_soft_dtw, paired_soft_dtw_divergence]
NAN, INF = float("nan"), float("inf")
X2 = np.arange(12.0).reshape(3, 4)


def name_of(value):
    return getattr(value, "__name__", None)


BAD_SERIES = [
    ([], ValueError, "NAME is a series of zero length"),
    ([NAN, NAN], ValueError, "NAME is a series of zero length, as it holds nothing but NaN"),
    ([1.0, NAN, 2.0], ValueError, r"NAME contains NaN before its end; NaN is accepted only as padding"),
    ([[1.0, 2.0], [NAN, 1.0]], ValueError, "NAME contains NaN before its end"),
    ([1.0, INF], ValueError, "NAME contains inf; finite values are accepted"),
    (
        3.0,
        ValueError,
        r"NAME has shape \(\).*\(n_timestamps,\) or \(n_timestamps, n_features\).*from_channels_first",
    ),
    (np.zeros((2, 3, 4)), ValueError, r"NAME has shape \(2, 3, 4\).*from_channels_first"),
    (np.zeros((3, 0)), ValueError, r"0 feature\(s\) \(shape=\(3, 0\)\)"),
    (["a", "b"], ValueError, "NAME holds strings"),
    ("text", ValueError, "NAME holds strings"),
    (None, TypeError, "NAME is None"),
    ([1.0, {}], TypeError, "NAME holds something that is not a real number"),
    (np.zeros(3, complex), ValueError, "Complex data not supported: NAME is of dtype complex128"),
    ([1j], ValueError, "Complex data not supported"),
    (sparse.csr_array(np.eye(3)), TypeError, "Sparse data was passed for NAME, but dense data is required"),
    (
        np.array(["2020-01-01"], dtype="M8[D]"),
        TypeError,
        "NAME is of dtype datetime64.*real numbers are accepted",
    ),
    ([[1.0], [1.0, 2.0]], ValueError, "NAME cannot be read as an array"),
]


@pytest.mark.parametrize("function", SINGLE, ids=name_of)
@pytest.mark.parametrize(("bad", "error", "message"), BAD_SERIES)
def test_bad_series(function, bad, error, message):
    with pytest.raises(error, match=message.replace("NAME", "x")):
        function(bad, [1.0, 2.0])
    if bad is not None:
        with pytest.raises(error, match=message.replace("NAME", "y")):
            function([1.0, 2.0], bad)


BAD_SETS = [
    ([], ValueError, r"0 sample\(s\).*: NAME is empty.*\(n_samples, n_timestamps, n_features\)"),
    (np.empty((0, 3)), ValueError, r"0 sample\(s\) \(shape=\(0, 3\)\)"),
    (
        np.empty((3, 0)),
        ValueError,
        r"0 feature\(s\) \(shape=\(3, 0\)\) while a minimum of 1 is required: NAME",
    ),
    (np.empty((3, 4, 0)), ValueError, r"0 feature\(s\) \(shape=\(3, 4, 0\)\)"),
    (np.empty((3, 0, 2)), ValueError, r"NAME has shape \(3, 0, 2\): its series have no time steps"),
    ([[1.0, 2.0], []], ValueError, r"NAME\[1\] is a series of zero length"),
    ([[1.0, 2.0], [NAN, NAN]], ValueError, r"NAME\[1\] is a series of zero length"),
    ([[1.0, 2.0], [NAN, 3.0]], ValueError, r"NAME\[1\] contains NaN before its end"),
    ([[1.0, 2.0], [3.0, INF]], ValueError, r"NAME\[1\] contains inf"),
    (np.where(np.eye(3, 4) == 1, -INF, 0.0), ValueError, r"NAME\[0\] contains inf"),
    (
        [np.zeros((3, 2)), np.zeros((4, 5))],
        ValueError,
        r"number of features: NAME\[0\] has 2 and NAME\[1\] has 5",
    ),
    (np.zeros(5), ValueError, r"Reshape your data.*NAME.reshape\(1, -1\)"),
    ([1.0, 2.0], ValueError, "Reshape your data"),
    (3.0, ValueError, "Reshape your data"),
    (
        np.zeros((2, 3, 4, 5)),
        ValueError,
        r"NAME has 4 dimension\(s\), shape \(2, 3, 4, 5\).*from_channels_first",
    ),
    (np.zeros((2, 3, 4, 5)), ValueError, r"\(n_samples, n_timestamps, n_features\)"),
    ([np.zeros((2, 2, 2)), np.zeros(3)], ValueError, r"NAME\[0\] has shape \(2, 2, 2\)"),
    ([["a", "b"], ["c", "d"]], ValueError, r"NAME(\[0\])? holds strings"),
    ("text", ValueError, "NAME holds strings"),
    (None, TypeError, "NAME is None"),
    ({"a": 1}, TypeError, "NAME holds something that is not a real number"),
    (np.array([[1.0, {}]], dtype=object), TypeError, "argument must be .* string.* number"),
    (np.zeros((2, 3), complex), ValueError, "Complex data not supported"),
    ([[1j, 2.0]], ValueError, "Complex data not supported"),
    (sparse.csr_matrix(np.eye(3)), TypeError, "Sparse data was passed for NAME"),
    ([sparse.csr_array(np.eye(3))], TypeError, r"Sparse data was passed for NAME\[0\]"),
]


@pytest.mark.parametrize("function", PAIRED + PAIRWISE, ids=name_of)
@pytest.mark.parametrize(("bad", "error", "message"), BAD_SETS)
def test_bad_sets(function, bad, error, message):
    with pytest.raises(error, match=message.replace("NAME", "X")):
        function(bad, X2)
    if bad is not None:
        with pytest.raises(error, match=message.replace("NAME", "Y")):
            function(X2, bad)


@pytest.mark.parametrize("function", PAIRWISE, ids=name_of)
def test_bad_sets_alone(function):
    for bad, error, message in BAD_SETS:
        with pytest.raises(error, match=message.replace("NAME", "X")):
            function(bad)


def test_median_heuristic_reads_by_the_same_door():
    for bad, error, message in BAD_SETS:
        with pytest.raises(error, match=message.replace("NAME", "X")):
            median_heuristic_sigma(bad)


@pytest.mark.parametrize("function", SINGLE, ids=name_of)
def test_differing_features_of_two_series(function):
    with pytest.raises(ValueError, match=r"x has 2 features per time step, but y has 3.*from_channels_first"):
        function(np.zeros((4, 2)), np.zeros((4, 3)))
    with pytest.raises(TypeError, match="y is required"):
        function([1.0, 2.0], None)


@pytest.mark.parametrize("function", PAIRED + PAIRWISE, ids=name_of)
def test_differing_features_of_two_sets(function):
    with pytest.raises(
        ValueError,
        match=r"X has 5 features per time step, but Y has 2.*\(n_samples, n_timestamps, n_features\).*first",
    ):
        function(np.zeros((2, 2, 5)), np.zeros((2, 5, 2)))


@pytest.mark.parametrize("function", PAIRED, ids=name_of)
def test_differing_numbers_of_series(function):
    with pytest.raises(ValueError, match=r"same number of series.*Got 3 and 2"):
        function(X2, X2[:2])
    with pytest.raises(TypeError, match="Y is required"):
        function(X2, None)


@pytest.mark.parametrize("function", ONE_GAMMA, ids=name_of)
@pytest.mark.parametrize(
    ("gamma", "error"),
    [
        (-1.0, ValueError),
        (NAN, ValueError),
        (INF, ValueError),
        ("1", TypeError),
        (None, TypeError),
        (True, TypeError),
        (1j, TypeError),
        ([1.0, 2.0], TypeError),
    ],
)
def test_bad_gamma(function, gamma, error):
    X = X2[0] if function in SINGLE else X2
    with pytest.raises(error, match=r"gamma must be a finite number >= 0\. Got"):
        function(X, X, gamma=gamma)


@pytest.mark.parametrize("function", MANY_GAMMAS, ids=name_of)
@pytest.mark.parametrize(
    ("gamma", "error"),
    [
        (-1.0, ValueError),
        (NAN, ValueError),
        (INF, ValueError),
        ("1", TypeError),
        (None, TypeError),
        (True, TypeError),
        (1j, TypeError),
        ([], ValueError),
        ([1.0, -2.0], ValueError),
        ([1.0, NAN], ValueError),
        ([[1.0]], ValueError),
        (["a"], ValueError),
        ([1j], ValueError),
    ],
)
def test_bad_gammas(function, gamma, error):
    with pytest.raises(error, match="gamma"):
        function(X2, X2, gamma=gamma)


def test_gamma_may_be_any_real_number():
    from fractions import Fraction

    values = [soft_dtw(X2[0], X2[1], gamma=gamma) for gamma in (1, np.float32(1), np.int64(1), Fraction(1))]
    assert len(set(values)) == 1
    for gammas in ([1, 2], (1, 2), np.array([1, 2]), np.array([1, 2], np.float32)):
        assert pairwise_soft_dtw(X2, gamma=gammas).shape == (2, 3, 3)
    assert pairwise_soft_dtw(X2, gamma=np.array(1.0)).shape == (3, 3)


@pytest.mark.parametrize(
    "function", [f for f in SINGLE + PAIRED + PAIRWISE if "gak" not in f.__name__], ids=name_of
)
def test_bad_cost(function):
    X = X2[0] if function in SINGLE else X2
    with pytest.raises(
        ValueError, match=r"cost must be one of \['sqeuclidean', .* or a callable. Got 'squared'"
    ):
        function(X, X, cost="squared")
    with pytest.raises(TypeError, match="cost must be one of"):
        function(X, X, cost=2)
    for sigma, error in [
        (0.0, ValueError),
        (-1.0, ValueError),
        (NAN, ValueError),
        (INF, ValueError),
        ("1", TypeError),
    ]:
        with pytest.raises(error, match="sigma must be a finite number > 0"):
            function(X, X, cost="gak", sigma=sigma)
        with pytest.raises(error, match="sigma must be a finite number > 0"):
            function(X, X, sigma=sigma)
    with pytest.raises(ValueError, match="sigma is the bandwidth of cost='gak'; cost='manhattan' has none"):
        function(X, X, cost="manhattan", sigma=0.5)


@pytest.mark.parametrize("function", PAIRWISE, ids=name_of)
def test_pairwise_computes_its_costs(function):
    if "gak" in function.__name__:
        pytest.skip("has no cost")
    with pytest.raises(ValueError, match=r"cost must be one of .*pass a callable"):
        function(X2, cost="precomputed")


@pytest.mark.parametrize("function", [gak, pairwise_gak], ids=name_of)
def test_bad_sigma(function):
    X = X2[0] if function is gak else X2
    for sigma, error in [(0.0, ValueError), (-1.0, ValueError), (NAN, ValueError), (None, TypeError)]:
        with pytest.raises(error, match="sigma must be a finite number > 0"):
            function(X, X, sigma=sigma)


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((0, 3)), np.zeros((2, 2, 2))])
def test_bad_cost_matrix(bad):
    with pytest.raises(
        ValueError, match=r"x must be a matrix of local costs \(n_timestamps_x, n_timestamps_y\)"
    ):
        soft_dtw(bad, cost="precomputed")


def test_bad_cost_matrices():
    with pytest.raises(ValueError, match="x contains NaN or inf"):
        soft_dtw([[NAN, 1.0]], cost="precomputed")
    with pytest.raises(ValueError, match="y must be None where cost='precomputed'"):
        soft_dtw(X2, X2, cost="precomputed")
    with pytest.raises(ValueError, match="Y must be None where cost='precomputed'"):
        paired_soft_dtw([X2], [X2], cost="precomputed")
    with pytest.raises(ValueError, match="X is empty"):
        paired_soft_dtw([], cost="precomputed")
    with pytest.raises(ValueError, match=r"X\[1\] must be a matrix of local costs"):
        paired_soft_dtw([X2, X2[0]], cost="precomputed")
    with pytest.raises(TypeError, match="X must be a list of cost matrices"):
        paired_soft_dtw(3.0, cost="precomputed")
    for call in (soft_dtw_gradient, paired_soft_dtw_gradient):
        with pytest.raises(ValueError, match=r"cost must be named for derivatives.*soft_dtw_alignment"):
            call(X2, X2, cost=lambda x, y: np.zeros((len(x), len(y))))


def test_bad_wrt():
    with pytest.raises(ValueError, match=r"wrt must be a collection of 'x', 'y' and 'gamma'. Got \('z',\)"):
        paired_soft_dtw_gradient(X2, X2, wrt=("z",))


@pytest.mark.parametrize("function", SINGLE + PAIRED + PAIRWISE, ids=name_of)
def test_bad_device(function):
    X = X2[0] if function in SINGLE else X2
    for device in ("cuda:99", ["cuda:99"]):  # not even a machine with GPUs has so many
        with pytest.raises(RuntimeError, match=r"device='cuda:99': [A-Z]?\w+"):
            function(X, X, device=device)
    wrong = [("gpu", ValueError), ("cuda:x", ValueError), (["cpu", "cuda"], ValueError), ([], TypeError)]
    for device, error in [*wrong, (0, TypeError), (None, TypeError)]:
        with pytest.raises(error, match="device must be one of 'auto', 'cpu', 'cuda'"):
            function(X, X, device=device)


@pytest.mark.parametrize("function", PAIRED + PAIRWISE, ids=name_of)
def test_bad_n_jobs(function):
    for n_jobs, error in [(0, ValueError), (1.5, TypeError), ("2", TypeError), (True, TypeError)]:
        with pytest.raises(error, match="n_jobs must be an int other than 0, or None"):
            function(X2, X2, n_jobs=n_jobs)


def test_zero_rows_have_no_angle():
    X = np.ones((2, 3, 2))
    X[1, 2] = 0
    for call in (pairwise_soft_dtw, pairwise_soft_dtw_divergence):
        with pytest.raises(ValueError, match="X has a time step where all features are zero; cost='cosine'"):
            call(X, cost="cosine")
    with pytest.raises(ValueError, match="Y has a time step where all features are zero"):
        pairwise_soft_dtw(X[:1], X, cost="cosine")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_costs_beyond_the_range_of_the_dtype(dtype):
    x, y = np.array([[1.0, -1.0, 1.0], [0.0, 1.0, 0.0]]) * np.finfo(dtype).max / 2
    x, y = x.astype(dtype), y.astype(dtype)
    for call in (soft_dtw, soft_dtw_gradient, soft_dtw_alignment, dtw, mean_cost_divergence):
        with pytest.raises(ValueError, match=r"costs (leave the range|are too large).*scale"):
            call(x, y)


def test_every_function_is_public():
    for function in SINGLE + PAIRED + PAIRWISE:
        assert getattr(sktime_sdtw, function.__name__) is function
