"""Costs by products on tensor cores: as good as by differences, where digits cancel too."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cuda_emulation._runtime import EmulatedRuntime
from sktime_sdtw.cuda_ext._plan import TABLE_COLS, TABLE_ROWS, offsets_of, on_tensor_cores, padded
from sktime_sdtw.cuda_ext._specs import make_spec

U = 2.0**-24


def tables(x, y, *, kernel="tensor_table", cost=0, scale=1.0, slope=None, rows=(0, 10**6), **options):
    """The tables of pairs, without what is padded; `slope`: what the tables hold before."""
    runtime = EmulatedRuntime(**options)
    spec = make_spec(kernel, "float", (("COST", cost), ("SLOPE", int(slope is not None))))
    n, m = ([len(a) for a in series] for series in (x, y))
    first, last = rows[0], min(rows[1], max(n))
    heights = [padded(min(count, last) - first) for count in n]
    places = offsets_of([a * padded(b) for a, b in zip(heights, m, strict=True)])
    out = runtime.empty(int(places[-1]), np.float32)
    if slope is not None:
        out.array[:] = slope
    upload = runtime.upload
    strips = offsets_of([-(-b // TABLE_COLS) for b in m])
    strip_places = [np.arange(0, b, TABLE_COLS) + place for b, place in zip(m, places, strict=False)]
    arguments = [
        *(upload(np.concatenate(series).astype(np.float32)) for series in (x, y)),
        *(upload(offsets_of(lengths)) for lengths in (n, m)),
        *(None, None, None, None, np.int64(len(x)), np.int64(x[0].shape[1]), np.float64(scale)),
        *(upload(np.zeros(len(x), np.uint8)), np.int32(1), np.int32(1)),
        *(upload(strips), upload(np.concatenate(strip_places))),
        *(np.int64(first), np.int64(last), np.int64(0), np.int64(-(-(last - first) // TABLE_ROWS)), out),
    ]
    runtime.launch(spec, 2, 256, arguments)
    found = [out.array[a:b].copy() for a, b in itertools.pairwise(places)]
    return [
        part.reshape(height, -1)[: min(count, last) - first, :width]
        for part, height, count, width in zip(found, heights, n, m, strict=True)
    ]


def exact(x, y):
    x, y = (np.asarray(a, np.float32).astype(float) for a in (x, y))
    return ((x[:, None] - y[None]) ** 2).sum(-1)


def series(n, m, d, seed=0):
    rng = np.random.default_rng([seed, n, m, d])
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)), rng


def hard_cases(d):
    """Series whose products lose digits: (name, x, y)."""
    x, y, rng = series(64, 128, d)
    yield "normal", x, y
    for name, offset in (("one offset", 1e4), ("offsets", 1e3 * rng.normal(size=d))):
        yield name, x + offset, y + offset
    yield "far apart", x + 1e3, y
    yield "near matches", x, x[rng.integers(0, 64, 128)] + 1e-4 * y
    yield "equal", x, x[rng.integers(0, 64, 128)]
    for low in (0.5, 0.7, 0.9):  # many cells a little above the threshold, all errors of one sign
        ones = np.ones((1, d))
        yield (
            f"constant {low}",
            rng.uniform(1, 2, (64, 1)) * ones * low,
            rng.uniform(-0.6, 0.4, (128, 1)) * ones,
        )
    yield "unequal features", x * 10.0 ** rng.uniform(-4, 4, d), y * 10.0 ** rng.uniform(-4, 4, d)
    for scale in (1e15, 1e-14):
        yield f"scale {scale}", x * scale, y * scale
    spikes = [1 + 1e3 * (rng.random(a.shape) < 0.1) for a in (x, y)]
    yield "spikes", x * spikes[0], y * spikes[1]
    # What eleven bits leave of these is as much as it can be, and of one sign.
    worst, sign = 1 + 2.0**-11 - 2.0**-23, np.where(np.arange(128) < 64, 1.0, -1.0)[:, None]
    factors = [2.0 ** rng.integers(-1, 2, (count, 1)) for count in (64, 128)]
    yield (
        "worst numbers",
        sign[::2] * factors[0] * np.full((64, d), worst),
        sign * factors[1] * np.full((128, d), worst),
    )


@pytest.mark.parametrize("d", [16, 64])
def test_error_of_a_cell(d):
    for name, x, y in hard_cases(d):
        (found,), truth = tables([x], [y]), exact(x, y)
        assert (found[truth == 0] == 0).all(), name
        error = np.abs(found[truth > 0] / truth[truth > 0] - 1)
        # Far below what tensor_table.cu proves; differences have up to d / 2 u of their own.
        assert error.max() <= 24 * U < (146 + 0.75 * d) * U, (name, error.max())
        if "constant" not in name:
            assert error.mean() <= 3 * U, (name, error.mean())


def test_what_the_guard_is_for():
    # Without differences for near matches, and the point that series are relative to, no digit would be left.
    for name, x, y in hard_cases(16):
        a, b = x.astype(np.float32), y.astype(np.float32)
        products = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
        error = np.abs(products - exact(x, y))[exact(x, y) > 0] / exact(x, y)[exact(x, y) > 0]
        if name in ("one offset", "near matches"):
            assert error.max() > 1e-3, name


def test_near_cells_have_the_bits_of_differences():
    x, y, _ = series(64, 128, 20)
    y[:64] = x + 0.3 * y[:64]
    (found,), (other,) = tables([x], [y]), tables([x], [y], kernel="table")
    near = exact(x, y) < 0.1 * ((x**2).sum(1)[:, None] + (y**2).sum(1)[None])
    assert 50 <= near.sum() < found.size / 2
    np.testing.assert_array_equal(found[near], other[near])
    assert (found != other).mean() > 0.1  # the others come from products


@pytest.mark.parametrize("d", [16, 17, 33])
def test_shapes(d):
    # Several tiles of 64 x 128, some cut by the ends; a chunk of rows that begins in the middle.
    pairs = [series(n, m, d)[:2] for n, m in ((1, 1), (70, 9), (5, 140), (130, 257))]
    x, y = zip(*pairs, strict=True)
    for rows in ((0, 10**6), (64, 104)):
        chosen = [k for k in range(4) if len(x[k]) > rows[0]]
        xs, ys = [x[k] for k in chosen], [y[k] for k in chosen]
        for k, found in enumerate(tables(xs, ys, rows=rows, sanitize=True)):
            np.testing.assert_allclose(found, exact(xs[k], ys[k])[rows[0] : rows[1]], rtol=2e-6)


def test_costs_and_slopes_of_all_kinds():
    x, y, _ = series(20, 30, 24)
    y[:10] = x[:10]
    truth = exact(x, y)
    (found,) = tables([x], [y], cost=1)
    np.testing.assert_allclose(found, np.sqrt(truth), rtol=1e-6)
    u = 0.02 * truth
    (found,) = tables([x], [y], cost=3, scale=0.02)
    np.testing.assert_allclose(found, u + np.log(2 - np.exp(-u)), rtol=2e-6)
    with np.errstate(divide="ignore"):
        slopes = {1: np.where(truth > 0, 1 / np.sqrt(truth), 0), 3: 4 * 0.02 / (1 - np.expm1(-u))}
    for cost, expected in slopes.items():
        (found,) = tables([x], [y], cost=cost, scale=0.02, slope=3.0)
        np.testing.assert_allclose(found, 3 * expected, rtol=2e-6)


def test_bits_do_not_depend_on_order_or_neighbours():
    x, y, rng = series(90, 200, 40)
    others = rng.normal(size=(7, 40)), rng.normal(size=(50, 40))
    (alone,) = tables([x], [y])
    for options in ({"order": 1, "resident": 1}, {"order": 5}):
        np.testing.assert_array_equal(tables([x], [y], **options)[0], alone)
    np.testing.assert_array_equal(tables([others[0], x], [others[1], y])[1], alone)
    np.testing.assert_array_equal(tables([x], [y], rows=(24, 80))[0], alone[24:80])


def test_where_tensor_cores_compute_the_costs():
    single, double = np.dtype(np.float32), np.dtype(np.float64)
    assert [on_tensor_cores(d, 0, single, (9, 0)) for d in (15, 16, 1000)] == [False, True, True]
    assert [on_tensor_cores(64, cost, single, (8, 0)) for cost in range(5)] == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert not on_tensor_cores(64, 0, double, (9, 0))
    assert not on_tensor_cores(64, 0, single, (7, 5))  # Turing has none for numbers of this size
    assert on_tensor_cores(64, 0, single, (12, 0))
