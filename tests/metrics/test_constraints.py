"""Sakoe-Chiba and Itakura: which cells take part, and only those."""

from __future__ import annotations

import numpy as np
import oracle
import pytest

from sktime_sdtw import (
    dtw_path,
    paired_soft_dtw,
    paired_soft_dtw_gradient,
    pairwise_soft_dtw,
    soft_dtw,
    soft_dtw_alignment,
    soft_dtw_gradient,
)

SHAPES = [(1, 1), (1, 6), (6, 1), (2, 2), (7, 7), (8, 13), (13, 8), (16, 17), (20, 33)]


def feasible(n, m, slope):
    return np.isfinite(oracle.value(oracle.constrained(np.zeros((n, m)), slope=slope), 0.0))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", [0, 1, 3, 100, 0.1, 0.5, 1.0])
def test_sakoe_chiba(shape, radius):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape[0]), rng.normal(size=shape[1])
    check(x, y, {"sakoe_chiba_radius": radius}, radius=radius)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("slope", [1.0, 1.3, 2.0, 5.0])
def test_itakura(shape, slope):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=shape[0]), rng.normal(size=shape[1])
    if feasible(*shape, slope):
        check(x, y, {"itakura_max_slope": slope}, slope=slope)
    else:
        for call in (soft_dtw, soft_dtw_alignment, soft_dtw_gradient, dtw_path):
            with pytest.raises(ValueError, match=rf"itakura_max_slope={slope:g} leaves no path"):
                call(x, y, itakura_max_slope=slope)


def check(x, y, options, **band):
    costs = oracle.constrained(oracle.cost_matrix(x, y), **band)
    solution = oracle.solve(costs, 0.6)
    value, alignment = soft_dtw_alignment(x, y, gamma=0.6, **options)
    assert value == pytest.approx(solution.value, rel=1e-11)
    np.testing.assert_allclose(alignment, solution.alignment, atol=1e-11)
    assert (alignment[np.isinf(costs)] == 0).all()
    got = soft_dtw_gradient(x, y, gamma=0.6, **options)
    gx, gy = oracle.gradients(x, y, solution.alignment)
    np.testing.assert_allclose(got.x, gx.ravel(), atol=1e-10)
    np.testing.assert_allclose(got.y, gy.ravel(), atol=1e-10)
    assert got.gamma == pytest.approx(solution.gamma_slope, abs=1e-9)
    hard, path = dtw_path(x, y, **options)
    assert hard == pytest.approx(oracle.value(costs, 0.0), rel=1e-12)
    assert oracle.is_path(path, *costs.shape)
    assert costs[tuple(path.T)].sum() == pytest.approx(hard)


@pytest.mark.parametrize(
    "options", [{"sakoe_chiba_radius": 2}, {"sakoe_chiba_radius": 0.25}, {"itakura_max_slope": 6.0}]
)
def test_ragged_batches_are_constrained_pair_by_pair(options):
    rng = np.random.default_rng(2)
    X = [rng.normal(size=(length, 2)) for length in (9, 8, 15, 9, 20, 7, 16)]
    Y = [rng.normal(size=(length, 2)) for length in (6, 12, 21, 7, 9, 6, 11)]
    for gamma in (0.0, 0.5):
        expected = [[soft_dtw(x, y, gamma=gamma, **options) for y in Y] for x in X]
        np.testing.assert_array_equal(pairwise_soft_dtw(X, Y, gamma=gamma, **options), expected)
        np.testing.assert_array_equal(
            paired_soft_dtw(X, Y, gamma=[gamma], **options)[0], np.diagonal(expected)
        )
        own = pairwise_soft_dtw(X, gamma=gamma, **options)
        expected = [[soft_dtw(x, y, gamma=gamma, **options) for y in X] for x in X]
        np.testing.assert_allclose(own, expected, rtol=1e-12)
        np.testing.assert_array_equal(own, own.T)
        got = paired_soft_dtw_gradient(X, Y, gamma=gamma, wrt=("x", "y"), **options)
        for k, (x, y) in enumerate(zip(X, Y, strict=True)):
            single = soft_dtw_gradient(x, y, gamma=gamma, **options)
            np.testing.assert_array_equal(got.x[k], single.x)
            np.testing.assert_array_equal(got.y[k], single.y)


def test_fraction_is_rounded_down_to_cells():
    x, y = np.random.default_rng(3).normal(size=(2, 100))
    for fraction, cells in [(0.29, 29), (0.07, 7), (0.055, 5), (0.005, 0), (1.0, 100)]:
        assert soft_dtw(x, y, sakoe_chiba_radius=fraction) == soft_dtw(x, y, sakoe_chiba_radius=cells)


def test_wide_band_is_no_band():
    rng = np.random.default_rng(4)
    X, Y = rng.normal(size=(3, 12)), rng.normal(size=(3, 17))
    np.testing.assert_allclose(
        pairwise_soft_dtw(X, Y, sakoe_chiba_radius=17), pairwise_soft_dtw(X, Y), rtol=1e-12
    )


def test_one_bad_pair_among_many_is_found():
    X = [np.zeros(10), np.zeros(11), np.zeros(60)]
    Y = [np.zeros(12), np.zeros(10), np.zeros(7)]
    with pytest.raises(ValueError, match="itakura_max_slope=2 leaves no path"):
        pairwise_soft_dtw(X, itakura_max_slope=2)
    with pytest.raises(ValueError, match="itakura_max_slope=2 leaves no path"):
        paired_soft_dtw_gradient(X, Y, itakura_max_slope=2)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"sakoe_chiba_radius": -1},
            ValueError,
            r"sakoe_chiba_radius must be an int >= 0 \(cells\) or a float",
        ),
        ({"sakoe_chiba_radius": 1.5}, ValueError, "sakoe_chiba_radius must be"),
        ({"sakoe_chiba_radius": 0.0}, ValueError, "sakoe_chiba_radius must be"),
        ({"sakoe_chiba_radius": np.nan}, ValueError, "sakoe_chiba_radius must be"),
        ({"sakoe_chiba_radius": "3"}, TypeError, "sakoe_chiba_radius must be"),
        ({"sakoe_chiba_radius": True}, TypeError, "sakoe_chiba_radius must be"),
        ({"itakura_max_slope": 0.9}, ValueError, "itakura_max_slope must be a finite number >= 1"),
        ({"itakura_max_slope": np.inf}, ValueError, "itakura_max_slope must be"),
        ({"itakura_max_slope": "2"}, TypeError, "itakura_max_slope must be"),
        ({"sakoe_chiba_radius": 2, "itakura_max_slope": 2.0}, ValueError, "exclude each other"),
    ],
)
def test_bad_constraints(options, error, message):
    for call in (soft_dtw, soft_dtw_gradient, dtw_path, pairwise_soft_dtw, paired_soft_dtw):
        with pytest.raises(error, match=message):
            call(np.zeros((3, 4)), np.zeros((3, 4)), **options)
