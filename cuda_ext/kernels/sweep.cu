// Values: a wavefront of tiles runs through each table, one warp (or some lanes of one) for a strip of columns.
//
// Lane l owns TILE_COLS columns, in registers; in each step it takes TILE_ROWS rows of them, one step behind the lane to
// its left, which hands it by shuffles its last column, the rows of x, and what rows they are. The series of x stream
// through a strip one after the other, so that lanes wait only at the ends of a run. A table wider than a strip has
// several; they run side by side on different warps, each behind its left neighbour, whose last column passes through
// `edge_m` and `edge_e`.
//
// PAIRED 0: all pairs of a rectangle of the output. PAIRED 1: pair k is x[k], y[k]; the rows may come in chunks
// (pairs.cuh). What enters a chunk is `state_in`: the row before its first, for each column; then for each strip the
// number before that row's first one; then, with a skew, for each strip what the strip before it has handed on of rows that
// the chunk has no more. What leaves it goes to `state_out`; or, where all rows are swept at once, what leaves all chunks
// but the last by chunk_ends, one after the other. With keep_m what enters each tile from the chunk that begins at keep_begin
// on is kept for the reverse sweep: from above; then from the left, from the corner on. The last number from the left is
// the corner of the tile below, so that of the last tile of a chunk stands alone in one more row of tiles.

// What passes from lane to lane beside numbers: which rows a lane works on.
struct Place {
    int left;    // rows of the series from here to its end; 0: no tile
    int series;  // its number in the run, complemented in the first tile of a series
};

KERNEL void sweep(const STORE *__restrict__ x, const STORE *__restrict__ y, const int64 *__restrict__ x_offsets,
                  const int64 *__restrict__ y_offsets, int64 n_x, int64 n_y, int64 first_x, int64 last_x, int64 first_y,
                  int64 run, int upper, const double *__restrict__ gammas, int n_gammas,
                  const uint8 *__restrict__ methods, int method, double scale, int band_kind, double band_parameter,
                  const REAL *__restrict__ table, const int64 *__restrict__ strip_places,
                  const int64 *__restrict__ tile_places, const int64 *__restrict__ column_tiles, int64 row_begin,
                  int64 row_end, int64 skew, const REAL *__restrict__ state_in_m,
                  const EXPONENT *__restrict__ state_in_e, REAL *__restrict__ state_out_m,
                  EXPONENT *__restrict__ state_out_e, const int64 *__restrict__ column_offsets,
                  REAL *__restrict__ keep_m, EXPONENT *__restrict__ keep_e, REAL *edge_m, EXPONENT *edge_e,
                  const int64 *__restrict__ row_offsets, int *progress, int *ticket, STORE *__restrict__ out,
                  int64 groups, int lanes_of_strip, int max_strips, const int64 *__restrict__ chunk_ends,
                  int64 keep_begin) {
    const int lanes = SHARED ? lanes_of_strip : 32, in_warp = 32 / lanes, l = lane() % lanes;
    const int64 all_groups = groups * n_gammas, tasks_of_strip = (all_groups + in_warp - 1) / in_warp;
    for (;;) {
        int taken = 0;
        if (lane() == 0) taken = atomic_add(ticket, 1);
        const int64 task = shuffle(taken, 0);
        if (task >= tasks_of_strip * max_strips) return;
        const int strip = (int)(task / tasks_of_strip);
        const int64 index = task % tasks_of_strip * in_warp + lane() / lanes;
        const bool valid = index < all_groups;
        const int g = valid ? (int)(index / groups) : 0;
        const int64 group = valid ? index % groups : 0;
        const int64 strip_col = (int64)strip * lanes * TILE_COLS, first_col = strip_col + l * TILE_COLS;
#if PAIRED
        const int64 j = group, n = series_length(x_offsets, group), m = series_length(y_offsets, group);
        const ChunkRows chunk = rows_of_strip(row_begin, row_end, skew, strip, n);
        const bool works = valid && first_col < m && chunk.begin < chunk.end && methods[g * n_x + group] == method;
        // Of this lane; the series ends in the tile end_tile, maybe in a later chunk.
        const int tiles = works ? (int)((chunk.end - chunk.begin + TILE_ROWS - 1) / TILE_ROWS) : -32;
        const int end_tile = (int)minimum((n - chunk.begin + TILE_ROWS - 1) / TILE_ROWS - 1, (int64)1 << 30);
#else
        const int64 runs = (last_x - first_x + run - 1) / run, j = first_y + group / runs;
        const int64 first_i = first_x + group % runs * run;
        const int64 end_i = valid ? minimum(minimum(first_i + run, last_x), upper ? j + 1 : last_x) : first_i;
        const int64 m = series_length(y_offsets, j);
        const bool works = valid && first_col < m;
#endif
        const bool owns_end = works && m <= first_col + TILE_COLS;
        const double gamma = gammas[g];
        const REAL factor = exponent_factor(gamma, scale);

        Number top[TILE_COLS], right[TILE_ROWS], corner = no_path();
#pragma unroll
        for (int c = 0; c < TILE_COLS; ++c) top[c] = no_path();
#pragma unroll
        for (int r = 0; r < TILE_ROWS; ++r) right[r] = no_path();
        TileCosts costs;
#if DIM > 0
        costs.scale = (REAL)scale;
        costs.load_y(y + y_offsets[j] * DIM, first_col, m);
#pragma unroll
        for (int r = 0; r < TILE_ROWS; ++r)
#pragma unroll
            for (int k = 0; k < DIM; ++k) costs.x[r][k] = 0;
#else
        const int64 stride = padded(columns_in_row(m, skew, strip));
        const REAL *tile_table = table + (works ? strip_places[column_tiles[j] + strip] : 0) + l * TILE_COLS;
#endif
#if BAND
        PairBand band;
#endif
#if PAIRED
        const int64 states = column_offsets[groups] + groups * max_strips * (1 + skew);
        const int64 state = g * states + column_offsets[group] + first_col;
        const int64 before_strips = g * states + column_offsets[groups] + group * max_strips;
        const int64 before_state = l > 0 ? state - 1 : before_strips + strip;
        // What the strip before this one has handed on of the rows from the chunk's first on.
        const int64 handed_on = before_strips + (groups - group) * max_strips + (group * max_strips + strip) * skew;
        // Where a state is left next, after how many tiles that is, and how many states are before it.
        int64 leaves = chunk_ends ? chunk_ends[0] : row_end, left_before = 0;
        while (chunk_ends && leaves <= skew * strip) leaves = chunk_ends[++left_before];
        auto tiles_until = [&](int64 row) {
            return (int)minimum((row - skew * strip - chunk.begin) / TILE_ROWS, (int64)1 << 30);
        };
        int leave_tile = state_out_m ? tiles_until(leaves) : 1 << 30;
        if (chunk.begin == 0 && first_col == 0) corner = {HARD ? REAL(0) : REAL(1), 0};
        if (works && chunk.begin > 0) {
#pragma unroll
            for (int c = 0; c < TILE_COLS; ++c) {
                const int64 at = state + minimum((int64)c, m - 1 - first_col);
                top[c].m = state_in_m[at];
                if (!HARD) top[c].e = state_in_e[at];
            }
            if (first_col > 0) {
                corner.m = state_in_m[before_state];
                if (!HARD) corner.e = state_in_e[before_state];
            }
        }
#if BAND
        band = make_band(band_kind, band_parameter, n, m);
#endif
        const int64 kept_of_row = (columns_in_row(m, skew, strip) + TILE_COLS - 1) / TILE_COLS * KEPT;
        const int64 kept = works ? tile_places[column_tiles[group] + strip] * KEPT + l * KEPT : 0;
        REAL *kept_m = keep_m + kept;
        EXPONENT *kept_e = keep_e + kept;
        const int keep_tile = keep_m ? (int)((keep_begin - skew * strip - chunk.begin) / TILE_ROWS) : 1 << 30;
#endif
#if MULTI
        const int64 slot = index * max_strips + strip;
        const int64 edge = (valid ? g * row_offsets[groups] + row_offsets[group] : 0);
        const bool hands_on = l == lanes - 1 && works && first_col + TILE_COLS < m;
        int seen = 0;
#if PAIRED
        // By how many tiles the strip to the left began further down.
        const int tiles_ahead =
            strip > 0 ? (int)((maximum(row_begin - skew * (strip - 1), (int64)0) - chunk.begin) / TILE_ROWS) : 0;
        // From so many tiles before a state is left on, the next strip has no use for the rows in this chunk.
        const int skew_tiles = skew > 0 ? (int)(skew / TILE_ROWS) : -(1 << 29);
        REAL *to_edge_m = edge_m + edge + chunk.begin;
        EXPONENT *to_edge_e = edge_e + edge + chunk.begin;
#else
        REAL *to_edge_m = edge_m + edge;
        EXPONENT *to_edge_e = edge_e + edge;
#endif
#endif

#if PAIRED
        // What lane 0 starts from is loaded one step before it is needed.
        Number ahead_left[TILE_ROWS];
        TileCosts ahead_costs;
#if MULTI
        // A tile of the strip, and of the one before it; those are counted from where it began.
        auto fetch_left = [&](int64 fetched, int tile) {
            while (seen <= tile) {
                seen = load_acquire(progress + slot - 1);
                if (seen <= tile) pause();
            }
            const REAL *left_m = edge_m + edge + chunk.begin + fetched;
            const EXPONENT *left_e = edge_e + edge + chunk.begin + fetched;
            if (tile < 0) {  // done in an earlier chunk
                const int64 at = handed_on + chunk.begin + fetched + skew * strip - row_begin;
                left_m = state_in_m + at;
                left_e = state_in_e + at;
            }
#pragma unroll
            for (int r = 0; r < TILE_ROWS; ++r) {
                ahead_left[r].m = left_m[r];
                if (!HARD) ahead_left[r].e = left_e[r];
            }
        };
#endif
#pragma unroll
        for (int r = 0; r < TILE_ROWS; ++r) ahead_left[r] = no_path();
        auto fetch = [&](int tile) {
#if DIM > 0 && DIM <= 2
            ahead_costs.load_x(x + x_offsets[group] * DIM, chunk.begin + (int64)tile * TILE_ROWS, n);
#endif
#if MULTI
            if (strip > 0) fetch_left((int64)tile * TILE_ROWS, tile - tiles_ahead);
#endif
        };
        if (l == 0 && tiles > 0) fetch(0);
#else
        // Lane 0 walks through the rows of the run and hands them on.
        int64 i = first_i - 1, row = 0, n = 0;
        const STORE *rows = x;  // of its next tile
        auto next_place = [&]() {
            Place place = {0, 0};
            bool fresh = false;
            while (row >= n && i < end_i) {
                if (++i == end_i) break;
                if (methods[(g * n_x + i) * n_y + j] != method) continue;
                n = series_length(x_offsets, i);
                row = 0;
                rows = x + x_offsets[i] * DIM;
                fresh = true;
            }
            if (row >= n || !(valid && strip_col < m)) return place;
            place.left = (int)minimum(n - row, (int64)1 << 30);
            place.series = fresh ? ~(int)(i - first_i) : (int)(i - first_i);
            row += TILE_ROWS;
            return place;
        };
        Place place = {0, 0};
        int fetched = 0, done = 0;  // tiles of all series: that lane 0 has begun, that the lane is through with
#endif
#if DIM == 0
        if (works) ahead_costs.load(tile_table, stride);
#endif
#if PAIRED
        for (int tile = -l; any(tile < tiles); ++tile) {
#else
        for (;;) {
#endif
            Number left[TILE_ROWS];
#pragma unroll
            for (int r = 0; r < TILE_ROWS; ++r) left[r] = from_left(right[r]);
#if DIM > 0
#pragma unroll
            for (int r = 0; r < TILE_ROWS; ++r)
#pragma unroll
                for (int k = 0; k < DIM; ++k) costs.x[r][k] = shuffle_up(costs.x[r][k], 1);
#endif
#if PAIRED
            if (l == 0) {
#pragma unroll
                for (int r = 0; r < TILE_ROWS; ++r) left[r] = ahead_left[r];
#if DIM > 2
                if (tile < tiles) costs.load_x(x + x_offsets[group] * DIM, chunk.begin + (int64)tile * TILE_ROWS, n);
#elif DIM > 0
#pragma unroll
                for (int r = 0; r < TILE_ROWS; ++r)
#pragma unroll
                    for (int k = 0; k < DIM; ++k) costs.x[r][k] = ahead_costs.x[r][k];
#endif
#if MULTI || DIM > 0
                if (tile + 1 < tiles) fetch(tile + 1);
#endif
            }
            if (tile < 0 || tile >= tiles) continue;
            const bool ends = owns_end && tile == end_tile;
#else
            place.left = shuffle_up(place.left, 1);
            place.series = shuffle_up(place.series, 1);
            if (l == 0) {
                place = next_place();
                if (place.left > 0) {
                    costs.load_rows(rows, place.left);
                    rows += TILE_ROWS * DIM;
#if MULTI
                    if (strip > 0) {
                        while (seen <= fetched) {
                            seen = load_acquire(progress + slot - 1);
                            if (seen <= fetched) pause();
                        }
                        const int64 at = edge + (int64)fetched++ * TILE_ROWS;
#pragma unroll
                        for (int r = 0; r < TILE_ROWS; ++r) {
                            left[r].m = edge_m[at + r];
                            if (!HARD) left[r].e = edge_e[at + r];
                        }
                    } else
#endif
                    {
#pragma unroll
                        for (int r = 0; r < TILE_ROWS; ++r) left[r] = no_path();
                    }
                }
            }
            const bool active = works && place.left > 0;
            if (!any(active)) break;
            if (!active) continue;
            const bool fresh = place.series < 0, ends = owns_end && place.left <= TILE_ROWS;
            const int64 of_x = first_i + (fresh ? ~place.series : place.series);
            if (fresh) {
#pragma unroll
                for (int c = 0; c < TILE_COLS; ++c) top[c] = no_path();
                corner = no_path();
                if (first_col == 0) corner = {HARD ? REAL(0) : REAL(1), 0};
#if BAND
                band = make_band(band_kind, band_parameter, series_length(x_offsets, of_x), m);
#endif
            }
#endif
            TileBand tile_band;
            bool empty = false;
#if BAND
#if PAIRED
            tile_band.load(band, chunk.begin + (int64)tile * TILE_ROWS, first_col);
#else
            tile_band.load(band, band.n - place.left, first_col);
#endif
            empty = !tile_band.any && !ends;
#endif
#if PAIRED
            if (tile >= keep_tile) {
                REAL numbers[KEPT], exponents[KEPT];
#pragma unroll
                for (int k = 0; k < KEPT; ++k) {
                    const Number number = k < TILE_COLS   ? top[k < TILE_COLS ? k : 0]
                                          : k > TILE_COLS ? left[k > TILE_COLS ? (k - TILE_COLS - 1) % TILE_ROWS : 0]
                                                          : corner;
                    numbers[k] = number.m;
#if WIDE
                    exponents[k] = number.e;
#else
                    exponents[k] = from_bits(number.e);
#endif
                }
                store_aligned(kept_m, numbers);
                if (!HARD) store_aligned((REAL *)kept_e, exponents);
                kept_m += kept_of_row;
                kept_e += kept_of_row;
            }
#endif
#if DIM == 0
            costs = ahead_costs;
            tile_table += TILE_ROWS * stride;
            if (tile + 1 < tiles) ahead_costs.load(tile_table, stride);
#endif
            const Number next_corner = left[TILE_ROWS - 1];
            Number end = no_path();
            if (empty) {
#pragma unroll
                for (int c = 0; c < TILE_COLS; ++c) top[c] = no_path();
#pragma unroll
                for (int r = 0; r < TILE_ROWS; ++r) left[r] = no_path();
            } else if (ends) {
#if PAIRED
                const int last_row = (int)(n - 1 - chunk.begin - (int64)tile * TILE_ROWS);
#else
                const int last_row = place.left - 1;
#endif
                const int end_cell = last_row * TILE_COLS + (int)(m - 1 - first_col);
                sweep_tile<BAND != 0>(top, left, corner, costs, tile_band, factor,
                                      [&](int r, int c, REAL, REAL, REAL, REAL, Number z) {
                                          if (r * TILE_COLS + c == end_cell) end = z;
                                      });
            } else {
                auto nothing = [](int, int, REAL, REAL, REAL, REAL, Number) {};
#if BAND
                if (!tile_band.whole)
                    sweep_tile<true>(top, left, corner, costs, tile_band, factor, nothing);
                else
#endif
                    sweep_tile<false>(top, left, corner, costs, tile_band, factor, nothing);
            }
            corner = next_corner;
#pragma unroll
            for (int r = 0; r < TILE_ROWS; ++r) right[r] = left[r];
            if (ends) {
                const STORE value = (STORE)cell_value(end, gamma);
#if PAIRED
                out[g * n_x + group] = value;
#else
                out[(g * n_x + of_x) * n_y + j] = value;
                if (upper) out[(g * n_x + j) * n_y + of_x] = value;
#endif
            }
#if MULTI
            if (hands_on) {
#pragma unroll
                for (int r = 0; r < TILE_ROWS; ++r) {
                    to_edge_m[r] = right[r].m;
                    if (!HARD) to_edge_e[r] = right[r].e;
                }
                to_edge_m += TILE_ROWS;
                to_edge_e += TILE_ROWS;
#if PAIRED
                const int done = tile;
                if (tile >= leave_tile - skew_tiles) {
                    const int64 to = left_before * n_gammas * states + handed_on + skew +
                                     (int64)(tile - (leave_tile - skew_tiles)) * TILE_ROWS;
#pragma unroll
                    for (int r = 0; r < TILE_ROWS; ++r) {
                        state_out_m[to + r] = right[r].m;
                        if (!HARD) state_out_e[to + r] = right[r].e;
                    }
                }
#endif
                // Said of four tiles at a time: it waits until all that was written can be seen everywhere.
                if (done % 4 == 3) store_release(progress + slot, done + 1);
            }
#endif
#if PAIRED
            if (tile + 1 == leave_tile && tile < end_tile) {
                const int64 to = left_before * n_gammas * states;
#pragma unroll
                for (int c = 0; c < TILE_COLS; ++c) {
                    if (first_col + c >= m) continue;
                    state_out_m[to + state + c] = top[c].m;
                    if (!HARD) state_out_e[to + state + c] = top[c].e;
                }
                if (l == 0 && strip > 0) {
                    state_out_m[to + before_state] = corner.m;
                    if (!HARD) state_out_e[to + before_state] = corner.e;
                }
                if (chunk_ends) leave_tile = tiles_until(chunk_ends[++left_before]);
            }
#else
            ++done;
#endif
        }
#if MULTI
        if (hands_on) store_release(progress + slot, FINISHED);
#endif
#if PAIRED
        if (works && keep_m) {
            kept_m[TILE_COLS] = corner.m;
            if (!HARD) kept_e[TILE_COLS] = corner.e;
        }
#endif
    }
}
