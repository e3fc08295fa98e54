// Values: a wavefront of tiles runs through each table, one warp (or LANES lanes of one) for a strip of columns.
//
// Lane l owns TILE_COLS columns, in registers; in each step it takes TILE_ROWS rows of them, one step behind the lane to
// its left, whose last column it is handed by a shuffle. The series of x stream through a strip one after the other, so
// that the lanes wait only at the ends of a run. A table wider than a strip has several; they run side by side on
// different warps, each behind its left neighbour, whose last column passes through `edge_m` and `edge_e`.
//
// PAIRED 0: all pairs of a rectangle of the output. PAIRED 1: pair k is x[k], y[k]; the rows may come in chunks, with the
// row between two chunks in `state`, and with KEEP what enters each tile is kept for the reverse sweep.

#define GROUPS_IN_WARP (32 / LANES)
#define KEPT (TILE_COLS + TILE_ROWS + 4)  // numbers of a kept tile: top, left, corner, whether exponents are kept too

KERNEL void sweep(const STORE *__restrict__ x, const STORE *__restrict__ y, const int64 *__restrict__ x_offsets,
                  const int64 *__restrict__ y_offsets, int64 n_x, int64 n_y, int64 first_x, int64 last_x, int64 first_y,
                  int64 run, int upper, const double *__restrict__ gammas, int n_gammas,
                  const uint8 *__restrict__ methods, int method, double scale, double band_parameter,
                  const REAL *__restrict__ table, const int64 *__restrict__ table_offsets, int64 row_begin,
                  int64 row_end, const REAL *__restrict__ state_in_m, const EXPONENT *__restrict__ state_in_e,
                  REAL *__restrict__ state_out_m, EXPONENT *__restrict__ state_out_e,
                  const int64 *__restrict__ column_offsets, REAL *__restrict__ keep_m, EXPONENT *__restrict__ keep_e,
                  const int64 *__restrict__ tile_offsets, REAL *edge_m, EXPONENT *edge_e,
                  const int64 *__restrict__ row_offsets, int *progress, int *ticket, STORE *__restrict__ out,
                  int64 groups, int max_strips) {
    const int64 all_groups = groups * n_gammas, tasks_of_strip = (all_groups + GROUPS_IN_WARP - 1) / GROUPS_IN_WARP;
    const int l = lane() % LANES;
    for (;;) {
        int taken = 0;
        if (lane() == 0) taken = atomic_add(ticket, 1);
        const int64 task = shuffle(taken, 0);
        if (task >= tasks_of_strip * max_strips) return;
        const int strip = (int)(task / tasks_of_strip);
        const int64 index = task % tasks_of_strip * GROUPS_IN_WARP + lane() / LANES;
        const bool valid = index < all_groups;
        const int g = valid ? (int)(index / groups) : 0;
        const int64 group = valid ? index % groups : 0;
#if PAIRED
        const int64 j = group;
        int64 i = group;
        const int64 i_end = valid ? i + 1 : i;
#else
        const int64 runs = (last_x - first_x + run - 1) / run, j = first_y + group / runs;
        int64 i = first_x + group % runs * run;
        const int64 i_end = valid ? minimum(minimum(i + run, last_x), upper ? j + 1 : last_x) : i;
#endif
        const int64 m = series_length(y_offsets, j), first_col = ((int64)strip * LANES + l) * TILE_COLS;
        const bool works = valid && first_col < m, owns_end = works && m <= first_col + TILE_COLS;
        const double gamma = gammas[g];
        const REAL factor = exponent_factor(gamma, scale);

        Side<TILE_COLS> top;
        Side<TILE_ROWS> right;
        Corner corner;
#if !HARD
        EXPONENT top_own[TILE_COLS], left_own[TILE_ROWS], right_own[TILE_ROWS];
#endif
        clear(top);
        clear(right);
        corner.v = HARD ? infinity() : REAL(0);
        corner.e = NOTHING;

        TileCosts costs;
        PairBand band;
#if DIM > 0
        costs.scale = (REAL)scale;
        costs.load_columns(y + y_offsets[j] * DIM, first_col, m);
#else
        costs.load_columns(table + table_offsets[j], row_begin, first_col, m);
#endif
        // The lane's place in the stream: a row of a series. Every lane of a group passes through the same places.
        int64 n = 0, row = 0, row_stop = 0, place = 0;
        auto start_series = [&]() {
            for (; i < i_end; ++i) {
                place = PAIRED ? g * n_x + i : (g * n_x + i) * n_y + j;
                if (methods[place] != method) continue;
                n = series_length(x_offsets, i);
                row = row_begin;
                row_stop = minimum(row_end, n);
                if (row < row_stop) break;
            }
            if (i >= i_end) return false;
#if DIM > 0
            costs.x = x + x_offsets[i] * DIM;
#endif
            costs.last_row = n - 1;
#if BAND
            band = make_band(band_parameter, n, m);
#endif
            clear(top);
            corner.v = HARD ? infinity() : REAL(0);
            corner.e = NOTHING;
            if (row_begin == 0 && first_col == 0) {
                corner.v = HARD ? REAL(0) : REAL(1);
                corner.e = 0;
            }
#if PAIRED
            if (row_begin > 0) {
                const int64 state = g * column_offsets[groups] + column_offsets[i] + first_col;
#if HARD
#pragma unroll
                for (int c = 0; c < TILE_COLS; ++c) top.v[c] = state_in_m[state + minimum((int64)c, m - 1 - first_col)];
                if (first_col > 0) corner.v = state_in_m[state - 1];
#else
                REAL m_[TILE_COLS];
                EXPONENT e_[TILE_COLS];
#pragma unroll
                for (int c = 0; c < TILE_COLS; ++c) {
                    const int64 at = state + minimum((int64)c, m - 1 - first_col);
                    m_[c] = state_in_m[at];
                    e_[c] = state_in_e[at];
                    normalise(m_[c], e_[c]);
                }
                from_slow(m_, e_, top, top_own);
                if (first_col > 0) {
                    corner.v = state_in_m[state - 1];
                    corner.e = state_in_e[state - 1];
                }
#endif
            }
#endif
            return true;
        };
        bool running = works && start_series();
#if MULTI
        const int64 slot = index * max_strips + strip;
        const int64 edge = valid ? g * row_offsets[groups] + row_offsets[group] : 0;
        const bool hands_on = l == LANES - 1 && first_col + TILE_COLS < m;
        int seen = 0;
#endif
        for (int step = 0; any(running); ++step) {
            Side<TILE_ROWS> left;
#pragma unroll
            for (int r = 0; r < TILE_ROWS; ++r) left.v[r] = shuffle_up(right.v[r], 1, LANES);
#if !HARD
            left.e = shuffle_up(right.e, 1, LANES);
            left.around = shuffle_up(right.around, 1, LANES);
            left.spread = shuffle_up(right.spread, 1, LANES);
            if (any(right.spread)) {
#pragma unroll
                for (int r = 0; r < TILE_ROWS; ++r) left_own[r] = shuffle_up(right_own[r], 1, LANES);
            }
#endif
            if (l == 0) clear(left);
#if MULTI
            if (strip > 0 && shuffle((int)running, 0)) {
                while (seen <= step) {
                    int now = 0;
                    if (lane() == 0) now = load_acquire(progress + slot - 1);
                    seen = shuffle(now, 0);
                    if (seen <= step) pause();
                }
                if (l == 0) {
                    const int64 at = edge + (int64)step * TILE_ROWS;
#if HARD
#pragma unroll
                    for (int r = 0; r < TILE_ROWS; ++r) left.v[r] = edge_m[at + r];
#else
                    REAL m_[TILE_ROWS];
                    EXPONENT e_[TILE_ROWS];
#pragma unroll
                    for (int r = 0; r < TILE_ROWS; ++r) {
                        m_[r] = edge_m[at + r];
                        e_[r] = edge_e[at + r];
                        normalise(m_[r], e_[r]);
                    }
                    from_slow(m_, e_, left, left_own);
#endif
                }
            }
#endif
            if (running && step >= l) {
                const bool ends = owns_end && n <= row + TILE_ROWS;
                TileBand tile_band;
#if BAND
                tile_band.load(band, row, first_col);
                if (!tile_band.any && !ends) {
                    corner.v = left.v[TILE_ROWS - 1];
#if !HARD
                    corner.e = left.spread ? left_own[TILE_ROWS - 1] : left.e;
#endif
                    clear(top);
                    clear(right);
                } else
#endif
                {
                    const int end_cell = ends ? (int)(n - 1 - row) * TILE_COLS + (int)(m - 1 - first_col) : -1;
                    REAL end_m = HARD ? infinity() : REAL(0);
                    EXPONENT end_e = 0;
                    const Entry entry = enter(top, left, corner);
                    REAL bottom_v[TILE_COLS], right_v[TILE_ROWS];
                    bool done;
                    if (ends) {
                        done = sweep_tile<BAND != 0>(entry, costs, tile_band, row, factor, bottom_v, right_v,
                                                     [&](int r, int c, REAL, REAL z) {
                                                         if (r * TILE_COLS + c == end_cell) end_m = z;
                                                     });
                        end_e = entry.e;
                    } else {
                        auto nothing = [](int, int, REAL, REAL) {};
#if BAND
                        if (!tile_band.whole)
                            done = sweep_tile<true>(entry, costs, tile_band, row, factor, bottom_v, right_v, nothing);
                        else
#endif
                            done = sweep_tile<false>(entry, costs, tile_band, row, factor, bottom_v, right_v, nothing);
                    }
#if HARD
                    const bool fast = done;
#else
                    const bool fast = done && entry.fits;
#endif
#if KEEP
                    const int64 tiles_of_row = (m + TILE_COLS - 1) / TILE_COLS;
                    REAL *kept =
                        keep_m +
                        (tile_offsets[i] + (row - row_begin) / TILE_ROWS * tiles_of_row + first_col / TILE_COLS) * KEPT;
                    kept[TILE_COLS + TILE_ROWS + 1] = fast ? REAL(0) : REAL(1);
                    if (fast) {
#pragma unroll
                        for (int c = 0; c < TILE_COLS; ++c) kept[c] = entry.top[c];
#pragma unroll
                        for (int r = 0; r < TILE_ROWS; ++r) kept[TILE_COLS + r] = entry.left[r];
                        kept[TILE_COLS + TILE_ROWS] = entry.corner;
                    }
#endif
#if !HARD
                    if (!fast) {
                        SlowTile slow;
                        load_slow(slow, costs, tile_band, row);
                        to_slow(top, top_own, slow.top_m, slow.top_e);
                        to_slow(left, left_own, slow.left_m, slow.left_e);
                        slow.corner_m = corner.v;
                        slow.corner_e = corner.e;
                        slow.factor = factor;
                        slow.end = end_cell;
                        slow.shares = nullptr;
#if KEEP
                        EXPONENT *kept_e = keep_e + (kept - keep_m);
#pragma unroll
                        for (int c = 0; c < TILE_COLS; ++c) {
                            kept[c] = slow.top_m[c];
                            kept_e[c] = slow.top_e[c];
                        }
#pragma unroll
                        for (int r = 0; r < TILE_ROWS; ++r) {
                            kept[TILE_COLS + r] = slow.left_m[r];
                            kept_e[TILE_COLS + r] = slow.left_e[r];
                        }
                        kept[TILE_COLS + TILE_ROWS] = corner.v;
                        kept_e[TILE_COLS + TILE_ROWS] = corner.e;
#endif
                        slow_tile(&slow);
                        end_m = slow.end_m;
                        end_e = slow.end_e;
                        corner.v = left.v[TILE_ROWS - 1];
                        corner.e = left.spread ? left_own[TILE_ROWS - 1] : left.e;
                        from_slow(slow.top_m, slow.top_e, top, top_own);
                        from_slow(slow.left_m, slow.left_e, right, right_own);
                    } else
#endif
                    {
                        corner.v = left.v[TILE_ROWS - 1];
                        corner.e = left.e;
                        leave(top, bottom_v, entry.e);
                        leave(right, right_v, entry.e);
                    }
                    if (ends) {
                        const STORE value = (STORE)cell_value(end_m, end_e, gamma);
                        out[place] = value;
#if !PAIRED
                        if (upper) out[(g * n_x + j) * n_y + i] = value;
#endif
                    }
                }
#if MULTI
                if (hands_on) {
                    const int64 at = edge + (int64)(step - l) * TILE_ROWS;
#pragma unroll
                    for (int r = 0; r < TILE_ROWS; ++r) {
                        edge_m[at + r] = right.v[r];
#if !HARD
                        edge_e[at + r] = right.spread ? right_own[r] : right.e;
#endif
                    }
                    store_release(progress + slot, step - l + 1);
                }
#endif
                row += TILE_ROWS;
                if (row >= row_stop) {
#if PAIRED
                    if (state_out_m) {
                        const int64 state = g * column_offsets[groups] + column_offsets[i] + first_col;
#pragma unroll
                        for (int c = 0; c < TILE_COLS; ++c) {
                            if (first_col + c >= m) continue;
                            state_out_m[state + c] = top.v[c];
#if !HARD
                            state_out_e[state + c] = top.spread ? top_own[c] : top.e;
#endif
                        }
                    }
#endif
                    ++i;
                    running = start_series();
                }
            }
        }
    }
}
