// Second order, from the end: the expected alignment E and its change C in the direction, for a chunk of rows.
//
// E flows back along the shares. A share w of predecessor r in a cell changes by −w·(A[r] − mean of A over all three)/gamma,
// so r receives w·E, and as its change w·(C − E·(A[r] − mean)/gamma). With the shares u, l, d and the differences p' and q'
// that second_order_sweep.cu kept, A[r] − mean is
//   above: (l + d)·p' − l·q',   to the left: (u + d)·q' − u·p',   on the diagonal: −(u·p' + l·q'),
// which is exactly 0 where one share is 1, at any gamma. Under HARD nothing changes.
//
// E comes in the place of the costs, C in that of their changes; with `change` also in the user's matrices. `spread`
// gathers the sum of D·C of each pair.
//
// Work: as in second_order_sweep.cu, from the last row to the first and from right to left. `flow` holds what each column
// of the last row receives from the chunk below, `edge` what each row receives from the panel to the right.
// Shared memory: what a thread sends to its left neighbour, (E, C) for the same row and (E, C) for the row above, for this
// step and the one before; in the end the sums of the threads.

#define MOST_THREADS (WIDE ? 256 : 512)
#define KEPT_RUN (5 * TILE_COLS)

// E and C on their way.
struct Flow {
    REAL e, c;
};
DEVICE Flow operator+(Flow a, Flow b) { return {a.e + b.e, a.c + b.c}; }

struct Sent {
    Flow left, diag;
    DEVICE void load(const REAL *from) { left = {from[0], from[1]}, diag = {from[2], from[3]}; }
    DEVICE void store(REAL *to) const { to[0] = left.e, to[1] = left.c, to[2] = diag.e, to[3] = diag.c; }
};

KERNEL void __launch_bounds__(MOST_THREADS)
    second_order_reverse(const int64 *__restrict__ x_offsets, const int64 *__restrict__ y_offsets, int64 n_pairs,
                         const double *__restrict__ gammas, const uint8 *__restrict__ methods, int method,
                         REAL *__restrict__ costs, REAL *__restrict__ changes, const int64 *__restrict__ table_offsets,
                         int64 row_begin, int64 row_end, const REAL *__restrict__ kept,
                         const int64 *__restrict__ tile_offsets, REAL *__restrict__ flow,
                         const int64 *__restrict__ column_offsets, REAL *edge, const int64 *__restrict__ row_offsets,
                         STORE *__restrict__ change, const int64 *__restrict__ change_offsets,
                         double *__restrict__ spread) {
    SHARED_ARRAY(REAL, sent, 2 * MOST_THREADS * 4);
    SHARED_ARRAY(double, sums, MOST_THREADS);
    const int t = thread_index();
    const REAL rate = HARD ? REAL(0) : (REAL)(1.0 / gammas[0]);
    for (int64 pair = block_index(); pair < n_pairs; pair += blocks_in_grid()) {
        const int64 n = series_length(x_offsets, pair), m = series_length(y_offsets, pair), stride = padded(m);
        const int64 row_stop = minimum(row_end, n), panel_cols = (int64)block_size() * TILE_COLS;
        if (methods[pair] != method || row_begin >= row_stop) continue;
        const int rows = (int)(row_stop - row_begin);
        const int64 records_of_row = (m + TILE_COLS - 1) / TILE_COLS * KEPT_RUN;
        double total = 0;
        for (int64 panel = (m - 1) / panel_cols * panel_cols; panel >= 0; panel -= panel_cols) {
            const int64 first_col = panel + t * TILE_COLS;
            const int columns = (int)minimum(m - first_col, (int64)TILE_COLS);  // <= 0: no work
            const int width = (int)minimum((m - panel + TILE_COLS - 1) / TILE_COLS, (int64)block_size());
            const bool from_edge = t == width - 1 && first_col + TILE_COLS < m, is_end = row_stop == n;
            const int64 column = column_offsets[pair] + first_col;

            Flow below_up[TILE_COLS], below_diag[TILE_COLS], pending = {0, 0};
#pragma unroll
            for (int c = 0; c < TILE_COLS; ++c) {
                below_up[c] = below_diag[c] = {0, 0};
                if (c >= columns) continue;
                if (is_end) {
                    if (first_col + c == m - 1) below_up[c].e = 1;
                    continue;
                }
                const REAL *const enters = flow + 4 * (column + c);
                below_up[c] = {enters[0], enters[1]};
                below_diag[c] = {enters[2], enters[3]};
            }
            int64 at = table_offsets[pair] + (rows - 1) * stride + first_col;
            int64 record =
                tile_offsets[pair] * KEPT_RUN + (rows - 1) * records_of_row + first_col / TILE_COLS * KEPT_RUN;
            REAL ahead[KEPT_RUN];  // of the next row
            if (columns > 0) load_aligned(ahead, kept + record);
            for (int step = 0; step < rows + width - 1; ++step) {
                const int row = rows - 1 - (step - (width - 1 - t));
                const int now = (step & 1) * MOST_THREADS, before = MOST_THREADS - now;
                if (columns > 0 && row >= 0 && row < rows) {
                    Sent in = {{0, 0}, {0, 0}};
                    if (from_edge) {
                        in.load(edge + 4 * (row_offsets[pair] + row));
                    } else if (t < width - 1) {
                        const int from = 4 * (before + t + 1);
                        in = {{sent[from], sent[from + 1]}, {sent[from + 2], sent[from + 3]}};
                    }
                    REAL here[KEPT_RUN], cost[TILE_COLS], e[TILE_COLS], changed[TILE_COLS];
#pragma unroll
                    for (int k = 0; k < KEPT_RUN; ++k) here[k] = ahead[k];
                    record -= records_of_row;
                    if (row > 0) load_aligned(ahead, kept + record);
                    if (spread) load_aligned(cost, costs + at);
                    below_diag[TILE_COLS - 1] = below_diag[TILE_COLS - 1] + pending;
                    pending = in.diag;
                    Flow from_right = in.left, to_diag = {0, 0};
#pragma unroll
                    for (int back = 0; back < TILE_COLS; ++back) {
                        const int c = TILE_COLS - 1 - back;
                        const REAL u = here[c], l = here[TILE_COLS + c], d = here[2 * TILE_COLS + c];
                        const REAL p = here[3 * TILE_COLS + c], q = here[4 * TILE_COLS + c];
                        const Flow z = below_up[c] + below_diag[c] + from_right;
                        e[c] = z.e;
                        changed[c] = z.c;
                        below_diag[c] = to_diag;
#if HARD
                        below_up[c] = {u * z.e, REAL(0)};
                        from_right = {l * z.e, REAL(0)};
                        to_diag = {d * z.e, REAL(0)};
#else
                        const REAL by_p = u * p, by_q = l * q, weight = -z.e * rate;
                        below_up[c] = {u * z.e, u * fused(weight, fused(l + d, p, -by_q), z.c)};
                        from_right = {l * z.e, l * fused(weight, fused(u + d, q, -by_p), z.c)};
                        to_diag = {d * z.e, d * fused(weight, -(by_p + by_q), z.c)};
#endif
                    }
                    const Sent out = {from_right, to_diag};
                    const int to = 4 * (now + t);
                    sent[to] = out.left.e, sent[to + 1] = out.left.c;
                    sent[to + 2] = out.diag.e, sent[to + 3] = out.diag.c;
                    if (t == 0 && panel > 0) out.store(edge + 4 * (row_offsets[pair] + row));
                    store_aligned(costs + at, e);
                    store_aligned(changes + at, changed);
                    at -= stride;
                    if (spread) {
                        REAL sum = 0;
#pragma unroll
                        for (int c = 0; c < TILE_COLS; ++c) sum = fused(cost[c], changed[c], sum);
                        total += (double)sum;
                    }
                    if (change) {
                        STORE *const given = change + change_offsets[pair] + (row_begin + row) * m + first_col;
#pragma unroll
                        for (int c = 0; c < TILE_COLS; ++c)
                            if (c < columns) given[c] = (STORE)changed[c];
                    }
                }
                sync_block();
            }
            below_diag[TILE_COLS - 1] = below_diag[TILE_COLS - 1] + pending;
#pragma unroll
            for (int c = 0; c < TILE_COLS; ++c) {
                if (c >= columns) continue;
                REAL *const leaves = flow + 4 * (column + c);
                leaves[0] = below_up[c].e, leaves[1] = below_up[c].c;
                leaves[2] = below_diag[c].e, leaves[3] = below_diag[c].c;
            }
        }
        if (!spread) continue;
        sums[t] = total;
        sync_block();
        for (int half = block_size() / 2; half > 0; half /= 2) {  // a power of two
            if (t < half) sums[t] += sums[t + half];
            sync_block();
        }
        if (t == 0) spread[pair] += sums[0];
    }
}
