"""How work is cut for a GPU: pure functions, up to sizes that no machine holds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sktime_sdtw.cuda_ext import _plan
from sktime_sdtw.cuda_ext._chunks import plan_chunks
from sktime_sdtw.cuda_ext._pieces import Group

H200 = {"multiprocessors": 132, "memory": 130 * 2**30}
GIB = 2**30


def variant(dim=1, longest=512, groups=10**9, paired=False, wide=False):
    return _plan.choose_variant(dim, longest, groups, 132, paired=paired, wide=wide)


# --- windows


def covered(n_x, n_y, windows, upper):
    """How often each pair is computed; (i, j) and (j, i) are one for upper."""
    count = np.zeros((n_x, n_y), int)
    for w in windows:
        block = np.ones(w.shape, int)
        count[w.first_x : w.last_x, w.first_y : w.last_y] += np.triu(block) if w.upper else block
    return count


@given(n_x=st.integers(1, 40), n_y=st.integers(1, 40), pairs=st.integers(1, 500), upper=st.booleans())
def test_windows_cover_the_output_once(n_x, n_y, pairs, upper):
    n_y = n_x if upper else n_y
    windows = list(_plan.windows(n_x, n_y, pairs, upper))
    count = covered(n_x, n_y, windows, upper)
    np.testing.assert_array_equal(count, np.triu(np.ones((n_x, n_y), int)) if upper else 1)
    assert all(w.shape[0] * w.shape[1] <= max(1, pairs) for w in windows)
    assert all(w.first_x == w.first_y and w.shape[0] == w.shape[1] for w in windows if w.upper)


@given(n=st.integers(1, 40), m=st.integers(1, 40), upper=st.booleans())
def test_halves_of_a_window_cover_it(n, m, upper):
    whole = _plan.Window(0, n, 0, n if upper else m, upper)
    halves = whole.halves()
    if whole.shape == (1, 1):
        assert halves == []
        return
    count = covered(n, whole.shape[1], halves, upper)
    np.testing.assert_array_equal(count, np.triu(np.ones(count.shape, int)) if upper else 1)
    assert max(a * b for a, b in (w.shape for w in halves)) < n * whole.shape[1]


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("n", [10**6, 5 * 10**6])
def test_millions_by_millions(n, upper):
    # The output would be terabytes; a window is not, and the windows come one by one.
    shape = variant(longest=100)
    pairs = _plan.pairs_of_window(n, n, 100, 3, 4, shape, H200["memory"])
    assert pairs * 3 * 5 <= _plan.RESULT_BYTES
    stream = _plan.windows(n, n, pairs, upper)
    first = list(itertools.islice(stream, 1000))
    assert all(0 < w.shape[0] * w.shape[1] <= pairs for w in first)
    assert all(w.last_x <= n and w.last_y <= n for w in first)
    # Close to square, so that the series of a window are few.
    assert max(first[5].shape) < 8 * min(first[5].shape)


def test_a_matrix_comes_in_several_windows():
    # While one window's results travel, the next one is computed: 5000 x 5000 in float32.
    pairs = _plan.pairs_of_window(5000, 5000, 256, 1, 4, variant(longest=256), H200["memory"])
    assert 8 <= len(list(_plan.windows(5000, 5000, pairs, False))) <= 32
    # A small one comes at once, unless several devices share it.
    small = _plan.pairs_of_window(300, 300, 256, 1, 4, variant(longest=256), H200["memory"])
    assert len(list(_plan.windows(300, 300, small, True))) == 1
    shared = _plan.pairs_of_window(300, 300, 256, 1, 4, variant(longest=256), H200["memory"], devices=4)
    assert len(list(_plan.windows(300, 300, shared, False))) >= 16


@pytest.mark.parametrize("length", [300, 10_000, 1_000_000])
@pytest.mark.parametrize("n_gammas", [1, 50])
def test_columns_between_strips_are_bounded(length, n_gammas):
    shape = variant(longest=length)
    pairs = _plan.pairs_of_window(10**4, 10**4, length, n_gammas, 4, shape, H200["memory"])
    assert pairs == 1 or pairs * n_gammas * length * 8 <= _plan.EDGE_BYTES
    assert pairs * n_gammas * shape.strips <= _plan.MOST_TASKS


def test_small_memory_gives_small_windows():
    pairs = _plan.pairs_of_window(10**4, 10**4, 100, 1, 4, variant(longest=100), 2**20)
    assert pairs * 5 <= 2**17
    assert _plan.pairs_of_window(10, 10, 10**9, 1, 8, variant(longest=10**9), 2**10) == 1


# --- kernels


def test_variants():
    assert variant(dim=1) == _plan.Variant(1, 8, 8, 32, 2)
    assert variant(dim=5) == _plan.Variant(5, 4, 8, 32, 2)
    assert variant(wide=True) == _plan.Variant(1, 4, 4, 32, 4)
    assert variant(paired=True) == _plan.Variant(1, 4, 4, 32, 4)
    # Short series share a warp, where there are enough of them.
    assert variant(longest=64).lanes == 8
    assert variant(longest=65).lanes == 16
    assert variant(longest=129).lanes == 32
    assert variant(longest=64, groups=10).lanes == 32


@given(dim=st.integers(0, 8), longest=st.integers(1, 10**9), paired=st.booleans(), wide=st.booleans())
def test_strips_hold_the_longest_series(dim, longest, paired, wide):
    found = variant(dim, longest, paired=paired, wide=wide)
    width = found.lanes * found.tile_cols
    assert (found.strips - 1) * width < longest <= found.strips * width
    assert found.lanes == 32 or not found.multi  # strips of a narrow warp hand nothing on
    assert _plan.CHUNK_STEP % found.tile_rows == 0


def test_where_costs_are_computed():
    assert [_plan.dim_of_windows(d, 0) for d in (1, 8, 9)] == [1, 8, 0]
    assert [_plan.dim_of_pairs(d, 2, {"x", "y"}) for d in (1, 3, 4)] == [1, 3, 0]
    assert _plan.dim_of_pairs(1, 0, {"x", "entropy"}) == _plan.dim_of_pairs(1, 0, {"expected_cost"}) == 0
    for cost in (3, 4):  # the alignment kernel's, given ones
        assert _plan.dim_of_windows(1, cost) == _plan.dim_of_pairs(1, cost) == 0
    assert [_plan.feature_tile(d) for d in (1, 8, 9, 33, 1000)] == [8, 8, 16, 64, 64]


def test_grids_fit_the_device():
    shape = variant()
    assert _plan.sweep_blocks(1, shape, 132) == 1
    assert _plan.sweep_blocks(10**12, shape, 132) == 132 * _plan.SWEEP_BLOCKS
    assert _plan.grid_blocks(0, 132) == 1
    assert _plan.grid_blocks(10**15, 132) < 2**31
    assert _plan.range_parts(10**6, 100, 1, 132) == 1
    assert _plan.range_parts(1, 10**6, 64, 132) == 4 * 132
    assert _plan.range_parts(1, 10, 1, 132) == 1


def test_runs():
    shape = variant(longest=200)
    assert _plan.run_length(1000, 1000, 1, shape, 132) > 8
    assert _plan.run_length(10, 10, 1, shape, 132) == 1
    assert _plan.run_length(3, 10**7, 1, shape, 132) == 3
    assert _plan.run_length(10**6, 10**6, 10, shape, 132) == _plan.MOST_RUN


# --- groups and chunks


@given(
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=40),
    budget=st.integers(1, 200),
    least=st.integers(1, 5),
    most=st.integers(5, 10),
)
def test_groups_of_pairs(sizes, budget, least, most):
    parts = list(_plan.split_pairs(np.array(sizes), budget, least, most))
    assert [k for part in parts for k in range(part.start, part.stop)] == list(range(len(sizes)))
    for part in parts:
        count = part.stop - part.start
        assert 1 <= count <= most
        assert sum(sizes[part]) <= budget or count <= least


@given(
    lengths=st.lists(st.tuples(st.integers(1, 200), st.integers(1, 200)), min_size=1, max_size=8),
    cell=st.floats(0.5, 20),
    budget=st.integers(1, 10**6),
)
def test_chunks_of_rows(lengths, cell, budget):
    n, m = np.array(lengths).T
    rows = _plan.chunk_rows(n, m, cell, budget)
    whole = _plan.padded(int(n.max()))
    assert rows % _plan.CHUNK_STEP == 0
    assert _plan.CHUNK_STEP <= rows <= whole
    assert rows == _plan.CHUNK_STEP or _plan.cells_of_chunk(n, m, rows) * cell <= budget
    if rows < whole:  # the next larger one does not fit
        assert _plan.cells_of_chunk(n, m, rows + _plan.CHUNK_STEP) * cell > budget


def gradient_bytes(n, m, dim, real=4):
    """Bytes that the gradient of one pair keeps: tiles of a chunk, or all; a table; states before chunks."""
    lengths = np.array([n]), np.array([m])
    shape = variant(dim, m, groups=1, paired=True)
    budget = _plan.gradient_budget(*lengths, real, H200["memory"])
    rows, keeps_all = _plan.gradient_rows(*lengths, shape, real, budget)
    kept = (n if keeps_all else rows) * m * _plan.kept_cell_bytes(shape, real)
    assert rows < n or dim
    return kept + (0 if dim else rows * m * real) + -(-n // rows) * m * 2 * real


def test_gradients_never_hold_a_whole_table():
    # One pair of 100,000 x 100,000 in float32 within a gibibyte; a whole table would take forty.
    assert gradient_bytes(10**5, 10**5, 1) < GIB
    assert gradient_bytes(10**5, 10**5, 0) < GIB
    # Six bytes a cell at most, of which a table in float32 would take four: half of it is there at a time.
    for n in (2048, 4096):
        assert gradient_bytes(n, n, 1) < 4.1 * n * n
        assert gradient_bytes(n, n, 0) < 6.1 * n * n
    assert gradient_bytes(2048, 2048, 0, real=8) < 12.1 * 2048**2
    assert gradient_bytes(20_000, 20_000, 0) < 20_000**2


def test_chunks_of_a_pair_of_millions():
    n, m = np.array([5_000_000]), np.array([3_000_000])
    rows = _plan.chunk_rows(n, m, 6.0, _plan.SCRATCH_BYTES, 8)
    assert rows % _plan.CHUNK_STEP == 0
    # More rows than the budget, as states at the start of every chunk would take more memory still.
    chunk, states = rows * m[0] * 6.0, n[0] / rows * m[0] * 8
    assert 0.5 < chunk / states < 2


def rows_of_strips(chunks, n, m):
    """Rows of each strip of one pair that each chunk has."""
    strips = np.arange(-(-m // _plan.TABLE_COLS)) * chunks.skew
    return np.array(
        [np.clip(end - strips, 0, n) - np.clip(begin - strips, 0, n) for begin, end in chunks.rows]
    )


@given(
    lengths=st.lists(st.tuples(st.integers(1, 1500), st.integers(1, 1500)), min_size=1, max_size=5),
    rows=st.integers(1, 150).map(lambda rows: 8 * rows),
    skewed=st.booleans(),
)
def test_chunks_cover_all_cells_once(lengths, rows, skewed):
    n, m = np.array(lengths).T
    shape = variant(0, int(m.max()), paired=True)
    chunks = plan_chunks(n, m, rows, shape, skewed=skewed)
    assert chunks.rows[0][0] == 0
    assert all(end % _plan.CHUNK_STEP == 0 and end > begin for begin, end in chunks.rows)
    places = 0
    for k in range(len(n)):
        found = rows_of_strips(chunks, n[k], m[k])
        assert (found.sum(0) == n[k]).all()
        widths = np.minimum(m[k] - np.arange(found.shape[1]) * _plan.TABLE_COLS, _plan.TABLE_COLS)
        for strips, part in zip(found, chunks.places, strict=True):
            own = slice(places, places + len(widths))
            if chunks.skew:  # each strip by itself; else whole rows
                np.testing.assert_array_equal(
                    np.diff(part.tables)[own], _plan.padded(strips) * _plan.padded(widths)
                )
                tiles = (-(-strips // 4) + 1) * -(-widths // 4)
                np.testing.assert_array_equal(np.diff(part.tiles)[own], tiles)
        assert np.diff(chunks.own_tiles_x)[k] * _plan.PRODUCT_STEPS >= found.max()
        places += len(widths)
    assert all(len(part.tables) == len(part.tiles) == places + 1 for part in chunks.places)
    if chunks.skew:
        # A strip finds what it needs in the chunk before.
        assert all(end - begin >= chunks.skew for begin, end in chunks.rows)


@pytest.mark.parametrize(
    ("n", "m", "count"), [(512, 512, 2), (2048, 2048, 5), (1000, 4000, 3), (5000, 300, 4)]
)
def test_skewed_chunks_are_about_alike(n, m, count):
    shape = variant(0, m, paired=True)
    rows = -(-n // count // 8) * 8
    chunks = plan_chunks(np.full(7, n), np.full(7, m), rows, shape, skewed=True)
    assert len(chunks.ends) == count
    assert chunks.skew == 144
    assert chunks.most_cells <= 1.05 * 7 * n * _plan.padded(m) / count
    # The same chunks as rows: fewer steps in all, as strips do not wait for the first rows of others.
    strips = shape.strips
    steps = sum((end - begin) / 4 + 32 for begin, end in chunks.rows)
    assert steps < 0.8 * count * (rows / 4 + 32 * strips) or count == 2 or strips < 4


def test_few_rows_are_not_skewed():
    shape = variant(0, 600, paired=True)
    whole = plan_chunks(np.array([90, 40]), np.array([600, 300]), 96, shape, skewed=True)
    assert (whole.skew, whole.ends) == (0, (96,))
    narrow = plan_chunks(np.array([90]), np.array([100]), 16, variant(0, 100, paired=True), skewed=True)
    assert (narrow.skew, narrow.ends) == (0, (16, 32, 48, 64, 80, 96))


@pytest.mark.parametrize("shape", [variant(1, 300, paired=True), variant(0, 50, paired=True)])
def test_layout(shape):
    n, m = np.array([5, 40, 16]), np.array([300, 7, 50])
    layout = _plan.group_layout(n, m, 16, shape)
    for k, (rows, cols) in enumerate(zip(np.minimum(n, 16), m, strict=True)):
        tiles = -(-rows // shape.tile_rows) * -(-cols // shape.tile_cols)
        assert np.diff(layout.columns)[k] == cols
        assert np.diff(layout.tables)[k] == _plan.padded(rows) * _plan.padded(cols)
        assert np.diff(layout.tiles)[k] == tiles
        assert np.diff(layout.edges)[k] >= rows
        assert np.diff(layout.edges)[k] % shape.tile_rows == 0
        assert np.diff(layout.table_tiles)[k] == -(-cols // _plan.TABLE_COLS)
    assert all(a.dtype == np.int64 and a[0] == 0 and len(a) == 4 for a in vars(layout).values())


def test_sizes_beyond_32_bits():
    n, m = np.full(3000, 10**6), np.full(3000, 10**6)
    layout = _plan.group_layout(n, m, 10**6, variant(0, 10**6, paired=True))
    assert layout.tables[-1] == 3 * 10**15
    assert _plan.cells_of_chunk(n, m, 10**6) == 3 * 10**15
    assert next(_plan.split_pairs(n * m * 4, GIB)).stop == 1


def test_halves_of_a_group():
    assert Group(0, 5, 100).halves() == [Group(0, 2, 100), Group(2, 5, 100)]
    # One pair: fewer rows at a time, down to a limit.
    assert Group(3, 4, 2**20).halves() == [Group(3, 4, 2**18)]
    assert Group(3, 4, 2**10).halves() == []
