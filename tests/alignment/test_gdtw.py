"""Optimal warps: against the oracle, under changes that must not matter, in every form of input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from warp_oracle import OPTIONS, Case, random_case, smooth, times, walk

from sktime_sdtw import apply_warp, gdtw


def solve(case, **options):
    return gdtw(case.x, case.y, x_times=case.x_times, y_times=case.y_times, **{**case.options, **options})


# --- against the oracle


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("seed", range(6))
def test_no_worse_than_a_full_table_and_a_general_solver(name, seed):
    case = random_case(seed, d=1 + seed % 3, **OPTIONS[name])
    result = solve(case)
    scale = case.x_times[-1] - case.x_times[0]
    assert case.violation(result.values) < 1e-11 * scale
    np.testing.assert_allclose(result.objective, case.objective(result.values), rtol=1e-11)
    start = case.search(201)
    best = result.objective if start is None else case.objective(case.polish(start))
    assert result.objective <= best * (1 + 1e-6) + 1e-12
    assert result.kkt_residual < 1e-9


@pytest.mark.parametrize("name", OPTIONS)
def test_no_small_step_is_better(name):
    rng = np.random.default_rng(0)
    for seed in range(4):
        case = random_case(10 + seed, d=2, **OPTIONS[name])
        result = solve(case)
        for size in (1e-3, 1e-5):
            for _ in range(200):
                trial = result.values + size * rng.normal(size=len(result.values)) * (rng.random(11) < 0.3)
                trial = np.maximum.accumulate(np.clip(trial, case.low, case.high))
                if case.violation(trial) <= 1e-12:
                    assert case.objective(trial) >= result.objective * (1 - 1e-12) - 1e-15


@st.composite
def any_options(draw):
    """Every loss with every penalty and every constraint."""
    losses = st.sampled_from(["l2", "l1", "huber"])
    options = {
        "reg": draw(st.sampled_from([0.0, 0.003, 0.1, 2.0])),
        "reg_cumulative": draw(st.sampled_from([0.0, 0.0, 0.01, 0.5])),
        "loss": draw(losses),
        "reg_loss": draw(losses),
        "mode": draw(st.sampled_from(["endpoint", "endpoint", "subsequence"])),
        "slope_min": draw(st.sampled_from([0.0, 0.0, 0.2, 1.0])),
        "slope_max": draw(st.sampled_from([None, None, 1.0, 1.5])),
        "band": draw(st.sampled_from([None, None, 0.03, 0.3])),
    }
    for prefix, least in (("", 0.1), ("reg_", 0.05)):
        if options[f"{prefix}loss"] == "huber":
            options[f"{prefix}huber_delta"] = draw(st.sampled_from([least, 1.0]))
    kinks = options["loss"] == "l1" or (options["reg_loss"] == "l1" and options["reg_cumulative"] > 0)
    options["interpolation"] = draw(st.sampled_from(["linear", "linear" if kinks else "cubic"]))
    return options


@given(st.integers(0, 10**6), any_options(), st.integers(2, 24), st.integers(2, 20), st.integers(1, 3))
@example(114019, OPTIONS["cumulative_l1"], 2, 11, 1)
@example(29377, OPTIONS["cumulative_l1"], 5, 19, 1)
@example(493177, OPTIONS["cumulative_l1"], 15, 11, 1)
@settings(max_examples=150, deadline=None)
def test_random_problems_meet_the_conditions_of_a_minimum(seed, options, n, m, d):
    case = random_case(seed, n=n, m=m, d=d, **options)
    try:
        result = solve(case)
    except ValueError as error:
        assert "No warp" in str(error)  # noqa: PT017
        assert case.search(401) is None
        return
    assert case.violation(result.values) < 1e-11
    np.testing.assert_allclose(result.objective, case.objective(result.values), rtol=1e-10, atol=1e-14)
    assert result.kkt_residual < 1e-7


@pytest.mark.parametrize("name", [name for name in OPTIONS if "cubic" not in name])
def test_no_warp_is_better(name):
    """Short signals: the best of all warps, which a fine grid and many starts do not beat."""
    for seed in (20, 21):
        case = random_case(seed, n=9, m=8, **OPTIONS[name])
        result = solve(case)
        rng = np.random.default_rng(seed)
        starts = [case.search(n) for n in (61, 97, 301)]
        starts += [np.clip(np.sort(rng.uniform(0.3, 1.7, 8)), case.low, case.high) for _ in range(4)]
        for start in starts:
            found = start if start is None else case.polish(start)
            if found is not None and case.violation(found) <= 1e-10:
                assert result.objective <= case.objective(found) * (1 + 1e-9) + 1e-13


def test_long_signals_are_searched_on_a_grid_first():
    rng = np.random.default_rng(0)
    X, Y = (np.stack([walk(rng, 100, 1) for _ in range(6)]) for _ in range(2))
    best, searched = gdtw(X, Y, reg=0.03), gdtw(X, Y, reg=0.03, n_grid=1025)
    assert (best.objective <= searched.objective * (1 + 1e-12)).all()
    np.testing.assert_allclose(searched.objective[:5], best.objective[:5], rtol=1e-2)
    assert max(best.kkt_residual.max(), searched.kkt_residual.max()) < 1e-10


def test_all_warps_of_longer_signals_are_searched_where_asked_for():
    """Two ways up, of which the grid's choice is the worse one by a hair: only the search of all can tell."""
    rng = np.random.default_rng(256)
    X, Y = (np.stack([walk(rng, 120, 1) for _ in range(20)]) for _ in range(2))
    usual, exact = gdtw(X, Y, reg=1.0, n_grid=8), gdtw(X, Y, reg=1.0, exact=True, return_gap=True)
    assert (exact.objective <= usual.objective * (1 + 1e-12)).all()
    assert (exact.objective < usual.objective * (1 - 1e-6)).any()
    assert (exact.gap <= 1e-12 * exact.objective).all()
    assert exact.kkt_residual.max() < 1e-10
    short = gdtw(X[:3, :80], Y[:3, :80]), gdtw(X[:3, :80], Y[:3, :80], exact=True)
    np.testing.assert_array_equal(short[0].values, short[1].values)


def test_a_minimum_far_from_where_the_grid_found_one():
    """Bounds of steps leave a grid few slopes; at a segment in a round there were too few rounds."""
    for d in (1, 2):
        case = random_case(196558205, n=295, m=298, d=d, **OPTIONS["slope"])
        for n_grid in (0, 422):
            assert solve(case, n_grid=n_grid or None).kkt_residual < 1e-9


@pytest.mark.parametrize("options", [{}, {"slope_max": 2.0, "band": 0.2}, {"mode": "subsequence"}])
@pytest.mark.parametrize("kind", [smooth, walk])
def test_many_knots_begin_with_fewer(kind, options):
    """More knots follow the target more closely, but only a little: a bad start would show."""
    rng = np.random.default_rng(5000)
    x, y = kind(rng, 4000, 1), kind(rng, 5000, 1)
    many, few = gdtw(x, y, **options), gdtw(x, y, knots=1000, **options)
    assert many.kkt_residual < 1e-7
    assert many.values.shape == (5000,)
    spread = np.interp(many.times, few.times, few.values)
    assert np.abs(many.values - spread).mean() < 0.05
    case = Case(x, y, np.linspace(0, 1, 4000), np.linspace(0, 1, 5000), options)
    assert case.violation(many.values) < 1e-9
    assert many.objective <= case.objective(spread)


def test_gap_to_a_finer_grid():
    rng = np.random.default_rng(0)
    X, Y = (np.stack([walk(rng, 40, 1) for _ in range(8)]) for _ in range(2))
    coarse = gdtw(X, Y, reg=0.01, n_grid=20, return_gap=True)
    fine = gdtw(X, Y, reg=0.01, return_gap=True)
    assert (coarse.gap >= 0).all()
    assert (fine.objective <= coarse.objective * (1 + 1e-6)).all()
    assert (fine.gap < 1e-3 * fine.objective).all()


# --- what is known in advance


def test_equal_signals_give_the_identity():
    rng = np.random.default_rng(0)
    x = walk(rng, 30, 2)
    result = gdtw(x, x, reg=0.1)
    np.testing.assert_allclose(result.values, np.linspace(0, 1, 30), atol=1e-12)
    assert result.objective < 1e-20


def test_heavy_penalty_gives_the_mean_slope():
    rng = np.random.default_rng(0)
    result = gdtw(walk(rng, 30, 1), walk(rng, 20, 1), x_times=np.linspace(2, 5, 30), reg=1e9)
    np.testing.assert_allclose(result.values, np.linspace(2, 5, 20), atol=1e-7)


def test_known_warp_is_found():
    t = np.linspace(0, 1, 200)
    truth = t + 0.08 * np.sin(2 * np.pi * t)
    s = np.linspace(0, 1, 400)

    def signal(at):
        return np.stack([np.sin(9 * at), np.cos(5 * at)], axis=1)

    result = gdtw(signal(s), signal(truth), reg=1e-7)
    np.testing.assert_allclose(result.values, truth, atol=1e-3)


def test_subsequence_is_found_where_it_is():
    s = np.linspace(0, 4, 300)
    x = np.sin(3 * s) + 0.5 * s
    t = np.linspace(0, 1.5, 80)
    y = np.sin(3 * (t + 1.2)) + 0.5 * (t + 1.2)
    result = gdtw(x, y, x_times=s, y_times=t, reg=0.1, mode="subsequence")
    np.testing.assert_allclose(result.values, t + 1.2, atol=1e-3)


@pytest.mark.parametrize("name", ["plain", "slope", "band", "l1"])
def test_unit_of_time_does_not_matter(name):
    case = random_case(3, **OPTIONS[name])
    result = solve(case)
    # Slopes scale with c / b, the weights of the trapezoid rule with b: the weight takes care of the rest.
    b, c = 60.0, 7.0
    power = 2
    scaled = Case(case.x, case.y, c * case.x_times + 5, b * case.y_times - 3, dict(case.options))
    scaled.options["reg"] = case.o["reg"] * (b / c) ** power
    other = solve(scaled)
    np.testing.assert_allclose(other.values, c * result.values + 5, atol=1e-9)
    np.testing.assert_allclose(other.objective, b * result.objective, rtol=1e-9)


def test_times_far_from_zero_lose_no_digits():
    x, y = smooth(np.random.default_rng(1), 40, 1), smooth(np.random.default_rng(2), 30, 1)
    options = {"reg": 1e-3, "slope_max": 1.5, "y_times": np.arange(30.0)}
    since_1970, since_zero = (
        gdtw(x, y, x_times=start + np.arange(40.0), band_lower=start - 1.0, **options)
        for start in (1.7e9, 0.0)
    )
    np.testing.assert_allclose(since_1970.values - 1.7e9, since_zero.values, atol=1e-6)
    np.testing.assert_array_equal(since_1970.holds, since_zero.holds)
    assert since_1970.kkt_residual < 1e-12
    with pytest.raises(ValueError, match="slope_max"):
        gdtw(x, y, x_times=1.7e9 + np.arange(40.0), slope_max=0.99)


@pytest.mark.parametrize("name", ["plain", "light", "slope", "band", "huber", "cubic"])
def test_reversal_of_time_reverses_the_warp(name):
    case = random_case(5, **OPTIONS[name])
    result = solve(case)
    back = Case(case.x[::-1], case.y[::-1], -case.x_times[::-1], -case.y_times[::-1], case.options)
    other = solve(back)
    np.testing.assert_allclose(other.objective, result.objective, rtol=1e-6)
    np.testing.assert_allclose(-other.values[::-1], result.values, atol=1e-4)


def test_order_of_features_does_not_matter():
    case = random_case(4, d=3)
    swapped = Case(case.x[:, ::-1], case.y[:, ::-1], case.x_times, case.y_times, case.options)
    np.testing.assert_allclose(solve(swapped).values, solve(case).values, atol=1e-9)


# --- forms of input


def make_batch(seed=0):
    rng = np.random.default_rng(seed)
    lengths = [(12, 9), (7, 15), (12, 15), (5, 5)]
    X, Y = [smooth(rng, n, 2) for n, _ in lengths], [smooth(rng, m, 2) for _, m in lengths]
    return X, Y, [times(rng, len(x)) for x in X], [times(rng, len(y)) for y in Y]


def as_padded(rows, fill):
    longest = max(map(len, rows))
    return np.stack([np.concatenate([r, np.full((longest - len(r), *r.shape[1:]), fill)]) for r in rows])


@pytest.mark.parametrize("mode", ["endpoint", "subsequence"])
def test_ragged_batch_is_each_pair_alone(mode):
    X, Y, s, t = make_batch()
    together = gdtw(X, Y, x_times=s, y_times=t, reg=0.02, mode=mode, n_jobs=2)
    n, m = [len(x) for x in X], [len(y) for y in Y]
    padded = gdtw(
        as_padded(X, 7.0), as_padded(Y, 8.0), x_times=as_padded(s, 9.0), y_times=as_padded(t, 9.0), reg=0.02,
        mode=mode, x_lengths=n, y_lengths=m,
    )  # fmt: skip
    with_nan = gdtw(as_padded(X, np.nan), as_padded(Y, np.nan), x_times=s, y_times=t, reg=0.02, mode=mode)
    for result in (padded, with_nan):
        np.testing.assert_array_equal(result.values, together.values)
    np.testing.assert_array_equal(together.lengths, m)
    for i in range(4):
        alone = gdtw(X[i], Y[i], x_times=s[i], y_times=t[i], reg=0.02, mode=mode)
        np.testing.assert_array_equal(together.values[i, : m[i]], alone.values)
        assert (together.values[i, m[i] :] == alone.values[-1]).all()
        assert together.objective[i] == alone.objective


def test_shapes():
    x, y = np.sin(np.linspace(0, 3, 12)), np.sin(np.linspace(0, 3, 9))
    one = gdtw(x, y)
    assert one.values.shape == one.times.shape == (9,)
    assert one.objective.shape == ()
    batch = gdtw(np.stack([x, x])[:, :, None], np.stack([y, y])[:, :, None])
    assert batch.values.shape == (2, 9)
    np.testing.assert_array_equal(batch.values[1], one.values)
    np.testing.assert_array_equal(gdtw(x[:, None], y[:, None]).values, one.values)
    assert gdtw(x.astype(np.float32), y.astype(np.float32)).values.dtype == np.float32
    np.testing.assert_array_equal(gdtw(list(np.stack([x, x])), list(np.stack([y, y]))).values[0], one.values)


def test_weights_bands_and_slopes_for_each_pair():
    X, Y, _, _ = make_batch()
    reg, band = np.array([0.01, 0.1, 1.0, 0.0]), np.array([0.1, 0.2, 0.3, 0.05])
    together = gdtw(X, Y, reg=reg, band=band, slope_max=4.0)
    for i in range(4):
        alone = gdtw(X[i], Y[i], reg=reg[i], band=band[i], slope_max=4.0)
        np.testing.assert_array_equal(together.values[i, : len(alone.values)], alone.values)


def test_bounds_given_outright():
    x, y = smooth(np.random.default_rng(1), 40, 1), smooth(np.random.default_rng(2), 30, 1)
    t = np.linspace(0, 1, 30)
    band = gdtw(x, y, reg=1e-3, band=0.05)
    bounds = gdtw(x, y, reg=1e-3, band_lower=t - 0.05, band_upper=t + 0.05)
    np.testing.assert_allclose(bounds.values, band.values, atol=1e-12)
    assert (np.abs(band.values - t) <= 0.05 + 1e-12).all()
    assert (band.holds == 3).any() or (band.holds == 4).any()
    varying = gdtw(x, y, reg=1e-3, band=[[0.0, 0.1, 0.0]])
    assert (np.abs(varying.values - t) <= np.minimum(t, 1 - t) * 0.2 + 1e-12).all()


def test_slopes_that_change_over_time():
    x, y = smooth(np.random.default_rng(1), 40, 1), smooth(np.random.default_rng(2), 31, 1)
    most = np.where(np.arange(30) < 15, 1.2, 3.0)
    slopes = np.diff(gdtw(x, y, reg=1e-3, slope_max=most).values) * 30
    assert (slopes <= most + 1e-9).all()
    assert slopes.max() > 1.3


def test_knots():
    x, y = smooth(np.random.default_rng(1), 40, 2), smooth(np.random.default_rng(2), 41, 2)
    even = gdtw(x, y, knots=11)
    np.testing.assert_allclose(even.times, np.linspace(0, 1, 11))
    np.testing.assert_allclose(even.values, gdtw(x, y[::4], reg=0.1).values, atol=1e-10)
    own = np.array([0.0, 0.3, 0.35, 1.0])
    result = gdtw(x, y, knots=own)
    np.testing.assert_array_equal(result.times, own)
    assert result.values.shape == (4,)


def test_input_is_not_changed():
    x, y = np.arange(12.0), np.arange(9.0)
    x.flags.writeable = y.flags.writeable = False
    gdtw(x, y, x_times=x, y_times=y)


def test_threads_give_the_same():
    X, Y, _, _ = make_batch()
    np.testing.assert_array_equal(gdtw(X, Y, n_jobs=2).values, gdtw(X, Y).values)


def test_apply_warp_reads_the_source():
    x = np.stack([np.arange(5.0), np.arange(5.0) ** 2], axis=1)
    np.testing.assert_allclose(apply_warp(x, [0.0, 0.125, 1.0]), [[0, 0], [0.5, 0.5], [4, 16]])
    result = gdtw(x, x[::2])
    np.testing.assert_allclose(apply_warp(x[:, 0], result), 4 * result.values)


# --- errors

GOOD = {"x": np.arange(6.0), "y": np.arange(5.0)}
BAD = {
    "x has NaN|NaN.*x|x.*NaN": {"x": [0.0, np.nan, 1.0, 2.0]},
    "y.*inf": {"y": [0.0, np.inf, 1.0]},
    "x has a signal of one sample": {"x": [1.0]},
    "y has a signal of one sample": {"y": np.ones((1, 2)), "x": np.ones((4, 2))},
    "features": {"x": np.ones((4, 2)), "y": np.ones((4, 3))},
    "signals": {"x": np.ones((2, 4, 1)), "y": np.ones((3, 4, 1))},
    "x_times must increase": {"x_times": [0, 2, 1, 3, 4, 5]},
    "y_times must increase": {"y_times": [0, 1, 1, 2, 3]},
    "x_times has NaN": {"x_times": [0, 1, np.nan, 3, 4, 5]},
    "x_times has a row": {"x_times": [0, 1, 2]},
    "reg must be finite": {"reg": -0.1},
    "reg must be a number": {"reg": [0.1, 0.2]},
    "reg_cumulative must be": {"reg_cumulative": np.nan},
    "mode must be one of": {"mode": "start"},
    "loss must be one of": {"loss": "l3"},
    "reg_loss must be one of": {"reg_loss": "l3"},
    "huber_delta must be": {"loss": "huber", "huber_delta": 0},
    "^huber_delta=0.1 is of loss='huber'. Got loss='l2'": {"huber_delta": 0.1},
    "reg_huber_delta=2 is of reg_loss='huber'. Got reg_loss='l1'": {"reg_loss": "l1", "reg_huber_delta": 2},
    "interpolation must be": {"interpolation": "quintic"},
    "interpolation='cubic' needs": {"interpolation": "cubic", "loss": "l1"},
    "slope_min must be": {"slope_min": -1.0},
    "slope_min is greater": {"slope_min": 1.0, "slope_max": 0.5},
    "No warp of pair 0 meets slope_max: at time 1 .* least 1 and at most 0.9 ": {"slope_max": 0.9},
    "No warp of pair 0 meets slope_min: at time 0.5 ": {"slope_min": 2.5},
    "No warp of pair 0 meets band or band_lower and band or band_upper: ": {
        "band_lower": 0.5,
        "band_upper": 0.4,
        "mode": "subsequence",
    },
    "No warp of pair 0 meets slope_max and band or band_lower: at time 0.5 ": {
        "band_lower": [0, 0, 0.8, 0, 0],
        "slope_max": 1.2,
    },
    "reg must be made of numbers": {"reg": "much"},
    "x_times must be made of numbers": {"x_times": list("abcdef")},
    "exact=True needs": {"exact": True, "interpolation": "cubic"},
    "band must be": {"band": -0.1},
    "band_lower has NaN": {"band_lower": np.nan},
    "knots must be at least": {"knots": 1},
    "knots must be None": {"knots": 2.5},
    "knots must begin": {"knots": [0.1, 0.5, 1.0]},
    "knots must be two": {"knots": [0.0, 0.5, 0.4, 1.0]},
    "x_lengths must": {"x_lengths": [9]},
    "n_grid must": {"n_grid": 1},
    "device": {"device": "gpu"},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        gdtw(**{**GOOD, **BAD[message]})


def test_bounds_that_leave_one_warp():
    result = gdtw(np.arange(6.0), np.arange(5.0), slope_min=1.0, slope_max=1.0)
    np.testing.assert_allclose(result.values, np.linspace(0, 1, 5), atol=1e-12)
    exact = np.array([0.0, 0.1, 0.2, 0.9, 1.0])
    result = gdtw(np.arange(6.0), np.arange(5.0), band_lower=exact, band_upper=exact)
    np.testing.assert_allclose(result.values, exact, atol=1e-12)
