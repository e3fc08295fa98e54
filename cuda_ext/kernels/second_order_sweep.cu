// Second order, from the start: how the costs of paths change in a direction, for a chunk of rows of every pair.
//
// Let A be the mean change of the costs of all paths that end in a cell: A = V + sum of share·A over its predecessors. Only
// its differences between neighbours matter, and only they are computed: p = A − A[left] and q = A − A[up]. With the shares
// u, l, d of the predecessors above, to the left and on the diagonal, p' of the cell above and q' of the one to the left:
//   p = V + u·p' − (u + d)·q',   q = V + l·q' − (l + d)·p'.
// They stay of the size of single costs however long the paths are, and no difference of large sums is ever taken. Where
// one of the two cells has no path its share is 0, and so is what the difference is multiplied by.
//
// Work: one block for a pair; a thread has TILE_COLS columns and takes one row of them in a step, one step behind the
// thread to its left, which hands it its last column through shared memory. Wider tables are swept in panels from left to
// right, whose last column passes through `edge` and `edge_e`.
// Shared memory: m, e, q of the last column of each thread, for this step and the one before.
//
// With `kept`, shares and differences of each cell are written down for second_order_reverse.cu: for each run of TILE_COLS
// cells u, l, d, p', q' of all of them, one after the other.

#define MOST_THREADS (WIDE ? 256 : 512)
#define KEPT_RUN (5 * TILE_COLS)

KERNEL void __launch_bounds__(MOST_THREADS)
    second_order_sweep(const int64 *__restrict__ x_offsets, const int64 *__restrict__ y_offsets, int64 n_pairs,
                       const double *__restrict__ gammas, const uint8 *__restrict__ methods, int method, int band_kind,
                       double band_parameter, const REAL *__restrict__ costs, const REAL *__restrict__ changes,
                       const int64 *__restrict__ table_offsets, int64 row_begin, int64 row_end,
                       const REAL *__restrict__ state_in, const EXPONENT *__restrict__ state_in_e,
                       REAL *__restrict__ state_out, EXPONENT *__restrict__ state_out_e,
                       const int64 *__restrict__ column_offsets, REAL *__restrict__ kept,
                       const int64 *__restrict__ tile_offsets, REAL *edge, EXPONENT *edge_e,
                       const int64 *__restrict__ row_offsets) {
    SHARED_ARRAY(REAL, right_m, 2 * MOST_THREADS);
    SHARED_ARRAY(EXPONENT, right_e, 2 * MOST_THREADS);
    SHARED_ARRAY(REAL, right_q, 2 * MOST_THREADS);
    const int t = thread_index();
    const REAL factor = exponent_factor(gammas[0], 1.0);
    for (int64 pair = block_index(); pair < n_pairs; pair += blocks_in_grid()) {
        const int64 n = series_length(x_offsets, pair), m = series_length(y_offsets, pair), stride = padded(m);
        const int64 row_stop = minimum(row_end, n);
        if (methods[pair] != method || row_begin >= row_stop) continue;
        const int rows = (int)(row_stop - row_begin);
#if BAND
        const PairBand band = make_band(band_kind, band_parameter, n, m);
#endif
        for (int64 panel = 0; panel < m; panel += (int64)block_size() * TILE_COLS) {
            const int64 first_col = panel + t * TILE_COLS;
            const bool works = first_col < m;
            const int width = (int)minimum((m - panel + TILE_COLS - 1) / TILE_COLS, (int64)block_size());
            const bool hands_on = t == width - 1 && first_col + TILE_COLS < m;
            const int64 state = column_offsets[pair] + first_col;

            Number top[TILE_COLS], corner = no_path();
            REAL p[TILE_COLS];
#pragma unroll
            for (int c = 0; c < TILE_COLS; ++c) {
                top[c] = no_path();
                p[c] = 0;
                if (row_begin == 0 || first_col + c >= m) continue;
                top[c].m = state_in[2 * (state + c)];
                p[c] = state_in[2 * (state + c) + 1];
                if (!HARD) top[c].e = state_in_e[state + c];
            }
            if (row_begin == 0 && first_col == 0) corner = {HARD ? REAL(0) : REAL(1), 0};
            if (row_begin > 0 && works && first_col > 0) {
                corner.m = state_in[2 * (state - 1)];
                if (!HARD) corner.e = state_in_e[state - 1];
            }

            int64 at = table_offsets[pair] + first_col;
            int64 record = (tile_offsets[pair] + first_col / TILE_COLS) * KEPT_RUN;
            const int64 records_of_row = (m + TILE_COLS - 1) / TILE_COLS * KEPT_RUN;
            TileCosts ahead;  // of the next row
            REAL ahead_change[TILE_COLS];
            if (works) {
                ahead.load(costs + at, stride);
                load_aligned(ahead_change, changes + at);
            }
            for (int step = 0; step < rows + width - 1; ++step) {
                const int row = step - t, now = (step & 1) * MOST_THREADS, before = MOST_THREADS - now;
                if (works && row >= 0 && row < rows) {
                    Number left[1] = {no_path()};
                    REAL q = 0;
                    if (t > 0) {
                        left[0].m = right_m[before + t - 1];
                        if (!HARD) left[0].e = right_e[before + t - 1];
                        q = right_q[before + t - 1];
                    } else if (panel > 0) {
                        const int64 edge_at = row_offsets[pair] + row;
                        left[0].m = edge[2 * edge_at];
                        if (!HARD) left[0].e = edge_e[edge_at];
                        q = edge[2 * edge_at + 1];
                    }
                    const Number next_corner = left[0];
                    const TileCosts cost = ahead;
                    REAL change[TILE_COLS], u[TILE_COLS], l[TILE_COLS], d[TILE_COLS], of_up[TILE_COLS],
                        of_left[TILE_COLS];
#pragma unroll
                    for (int c = 0; c < TILE_COLS; ++c) change[c] = ahead_change[c];
                    at += stride;
                    if (row + 1 < rows) {
                        ahead.load(costs + at, stride);
                        load_aligned(ahead_change, changes + at);
                    }
                    TileBand tile_band;
#if BAND
                    tile_band.load(band, row_begin + row, first_col);
#endif
                    sweep_tile<BAND != 0>(top, left, corner, cost, tile_band, factor,
                                          [&](int, int c, REAL up, REAL beside, REAL diag, REAL sum, Number z) {
#if HARD
                                              // One takes all; of equals the diagonal one, then the one above.
                                              const bool by_diag = diag <= sum, by_up = !by_diag && up <= sum;
                                              u[c] = by_up ? 1 : 0;
                                              l[c] = by_diag || by_up ? 0 : 1;
                                              d[c] = by_diag ? 1 : 0;
#else
                                              const REAL share = BAND == 0 || sum > 0 ? reciprocal(sum) : REAL(0);
                                              u[c] = up * share;
                                              l[c] = beside * share;
                                              d[c] = diag * share;
#endif
                                              of_up[c] = p[c];
                                              of_left[c] = q;
                                              const REAL by_up_p = u[c] * p[c], by_left_q = l[c] * q;
                                              p[c] = change[c] + (by_up_p - (u[c] + d[c]) * q);
                                              q = change[c] + (by_left_q - (l[c] + d[c]) * of_up[c]);
#if BAND
                                              if (HARD ? z.m == infinity() : !(z.m > 0)) p[c] = q = 0;
#endif
                                          });
                    corner = next_corner;
                    if (kept) {
                        store_aligned(kept + record, u);
                        store_aligned(kept + record + TILE_COLS, l);
                        store_aligned(kept + record + 2 * TILE_COLS, d);
                        store_aligned(kept + record + 3 * TILE_COLS, of_up);
                        store_aligned(kept + record + 4 * TILE_COLS, of_left);
                        record += records_of_row;
                    }
                    right_m[now + t] = left[0].m;
                    if (!HARD) right_e[now + t] = left[0].e;
                    right_q[now + t] = q;
                    if (hands_on) {
                        const int64 edge_at = row_offsets[pair] + row;
                        edge[2 * edge_at] = left[0].m;
                        edge[2 * edge_at + 1] = q;
                        if (!HARD) edge_e[edge_at] = left[0].e;
                    }
                }
                sync_block();
            }
            if (state_out && row_stop < n) {
#pragma unroll
                for (int c = 0; c < TILE_COLS; ++c) {
                    if (first_col + c >= m) continue;
                    state_out[2 * (state + c)] = top[c].m;
                    state_out[2 * (state + c) + 1] = p[c];
                    if (!HARD) state_out_e[state + c] = top[c].e;
                }
            }
        }
    }
}
