// Gradients: the expected alignment E flows back through each table, from the end to the start.
//
// E[i, j] = dR[n, m]/dD[i, j] is the probability that a path passes through the cell. A cell hands it on to its three
// predecessors in the shares that they had in its sum. The tiles are done again from what `sweep` kept at their sides;
// their numbers stay in registers while E runs through them in the opposite direction. Strips go from right to left.
//
// DIM 0: `table` holds the costs of the chunk's rows, and E in their place on return. DIM > 0: gradients with respect to
// the series are summed on the way; that of x passes through the lanes from right to left, that of y stays in its lane.

#define GROUPS_IN_WARP (32 / LANES)
#define KEPT (TILE_COLS + TILE_ROWS + 4)

DEVICE float logarithm(float v) { return logf(v); }
DEVICE double logarithm(double v) { return log(v); }
DEVICE REAL surprise(REAL share) { return share > 0 ? -share * logarithm(share) : REAL(0); }

// The entropy of a cell's choice. A share close to 1 knows little of its distance from 1; the two others know it.
DEVICE REAL choice(REAL up, REAL left, REAL diag) {
    const REAL high = maximum(up, left), least = minimum(up, left);
    const REAL most = maximum(high, diag), middle = minimum(high, diag);
    return surprise(least) + surprise(middle) - most * log_of_1_plus(-(least + middle));
}

// A kept tile, as `sweep` writes it: aligned to 16 bytes.
struct Kept {
    REAL v[KEPT];
    DEVICE void load(const REAL *kept) {
        struct alignas(16) Quad {
            REAL v[16 / sizeof(REAL)];
        };
#pragma unroll
        for (int q = 0; q < KEPT; q += 16 / sizeof(REAL)) {
            const Quad quad = *(const Quad *)(kept + q);
#pragma unroll
            for (int k = 0; k < (int)(16 / sizeof(REAL)); ++k) v[q + k] = quad.v[k];
        }
    }
};

KERNEL void reverse(const STORE *__restrict__ x, const STORE *__restrict__ y, const int64 *__restrict__ x_offsets,
                    const int64 *__restrict__ y_offsets, int64 n_pairs, const double *__restrict__ gammas,
                    const uint8 *__restrict__ methods, int method, double scale, double band_parameter, REAL *table,
                    const int64 *__restrict__ table_offsets, int64 row_begin, int64 row_end,
                    const REAL *__restrict__ keep_m, const EXPONENT *__restrict__ keep_e,
                    const int64 *__restrict__ tile_offsets, REAL *__restrict__ flow_up, REAL *__restrict__ flow_diag,
                    const int64 *__restrict__ column_offsets, REAL *edge_left, REAL *edge_diag,
                    const int64 *__restrict__ row_offsets, int *progress, int *ticket, STORE *grad_x,
                    STORE *__restrict__ grad_y, STORE *__restrict__ alignment,
                    const int64 *__restrict__ alignment_offsets, double *__restrict__ expected_cost,
                    double *__restrict__ entropy, int max_strips) {
    const int64 tasks_of_rank = (n_pairs + GROUPS_IN_WARP - 1) / GROUPS_IN_WARP;
    const int l = lane() % LANES;
    for (;;) {
        int taken = 0;
        if (lane() == 0) taken = atomic_add(ticket, 1);
        const int64 task = shuffle(taken, 0);
        if (task >= tasks_of_rank * max_strips) return;
        const int rank = (int)(task / tasks_of_rank);  // strips counted from the right
        const int64 index = task % tasks_of_rank * GROUPS_IN_WARP + lane() / LANES;
        const bool valid = index < n_pairs;
        const int64 k = valid ? index : 0;
        const int64 n = series_length(x_offsets, k), m = series_length(y_offsets, k);
        const int strips = (int)((m + LANES * TILE_COLS - 1) / (LANES * TILE_COLS)), strip = strips - 1 - rank;
        const int64 first_col = ((int64)strip * LANES + l) * TILE_COLS;
        const int64 row_stop = minimum(row_end, n);
        const bool works = valid && strip >= 0 && first_col < m && row_begin < row_stop && methods[k] == method;
        const int64 lanes_of_rest = strip < 0 ? 1 : (m - (int64)strip * LANES * TILE_COLS + TILE_COLS - 1) / TILE_COLS;
        const int last_lane = (int)minimum(lanes_of_rest, (int64)LANES) - 1;
        const bool from_edge = MULTI && l == last_lane && rank > 0, to_edge = MULTI && l == 0 && strip > 0;
        const int tiles = works ? (int)((row_stop - row_begin + TILE_ROWS - 1) / TILE_ROWS) : 0;
        const REAL factor = exponent_factor(gammas[0], scale);

        TileCosts costs;
        costs.last_row = n - 1;
#if DIM > 0
        costs.scale = (REAL)scale;
        costs.x = x + x_offsets[k] * DIM;
        costs.load_columns(y + y_offsets[k] * DIM, maximum(first_col, (int64)0), m);
        REAL sum_x[TILE_ROWS][DIM], sum_y[TILE_COLS][DIM];
#pragma unroll
        for (int r = 0; r < TILE_ROWS; ++r)
#pragma unroll
            for (int d = 0; d < DIM; ++d) sum_x[r][d] = 0;
#pragma unroll
        for (int c = 0; c < TILE_COLS; ++c)
#pragma unroll
            for (int d = 0; d < DIM; ++d) sum_y[c][d] = 0;
#else
        costs.load_columns(table + table_offsets[k], row_begin, maximum(first_col, (int64)0), m);
#endif
#if BAND
        const PairBand band = make_band(band_parameter, n, m);
#endif
        const int64 flow = column_offsets[k] + first_col, edge = row_offsets[k];
        REAL below_up[TILE_COLS], below_diag[TILE_COLS], out_left[TILE_ROWS], out_diag[TILE_ROWS], pending = 0;
#pragma unroll
        for (int c = 0; c < TILE_COLS; ++c) {
            const bool enters = works && row_stop < n && first_col + c < m;
            below_up[c] = enters ? flow_up[flow + c] : REAL(0);
            below_diag[c] = enters ? flow_diag[flow + c] : REAL(0);
        }
#pragma unroll
        for (int r = 0; r < TILE_ROWS; ++r) out_left[r] = out_diag[r] = 0;
#if SUMS
        double total_cost = 0, total_entropy = 0;
#endif
#if MULTI
        const int64 slot = k * max_strips + rank;
        int seen = 0;
#endif
        // What `sweep` kept of the lane's next tile: loaded one step ahead.
        const int64 tiles_of_row = (m + TILE_COLS - 1) / TILE_COLS;
        const int64 kept_column = (tile_offsets[k] + first_col / TILE_COLS) * KEPT;
        Kept next;
        if (works) next.load(keep_m + kept_column + (tiles - 1) * tiles_of_row * KEPT);
        const int columns = (int)minimum(m - first_col, (int64)TILE_COLS);
        const int steps = tiles + last_lane - l;  // of this lane, with those that it waits
        for (int step = 0; any(step < steps); ++step) {
            // What the tile to the right sends: to the same row, and to the row above.
            REAL in_left[TILE_ROWS], in_diag[TILE_ROWS];
#pragma unroll
            for (int r = 0; r < TILE_ROWS; ++r) {
                in_left[r] = shuffle_down(out_left[r], 1, LANES);
                in_diag[r] = shuffle_down(out_diag[r], 1, LANES);
#if DIM > 0
#pragma unroll
                for (int d = 0; d < DIM; ++d) sum_x[r][d] = shuffle_down(sum_x[r][d], 1, LANES);
#endif
            }
            const int tile = tiles - 1 - (step - (last_lane - l));
            const int64 row = row_begin + (int64)tile * TILE_ROWS;
            if (step >= steps || tile >= tiles) continue;
            if (l == last_lane) {
#pragma unroll
                for (int r = 0; r < TILE_ROWS; ++r) {
                    in_left[r] = in_diag[r] = 0;
#if DIM > 0
#pragma unroll
                    for (int d = 0; d < DIM; ++d) sum_x[r][d] = 0;
#endif
                }
            }
#if MULTI
            if (from_edge) {
                while (seen <= step) {  // the last lane does not wait for others: its tiles are its steps
                    seen = load_acquire(progress + slot - 1);
                    if (seen <= step) pause();
                }
                const int64 at = edge + (int64)tile * TILE_ROWS;
#pragma unroll
                for (int r = 0; r < TILE_ROWS; ++r) {
                    in_left[r] = edge_left[at + r];
                    in_diag[r] = edge_diag[at + r];
#if DIM > 0
                    if (grad_x && row + r < n) {
#pragma unroll
                        for (int d = 0; d < DIM; ++d) sum_x[r][d] = (REAL)grad_x[(x_offsets[k] + row + r) * DIM + d];
                    }
#endif
                }
            }
#endif
            TileBand tile_band;
            bool empty = false;  // no cell of the band: nothing was kept
#if BAND
            tile_band.load(band, row, first_col);
            empty = !tile_band.any;
#endif
            const REAL *kept = keep_m + kept_column + tile * tiles_of_row * KEPT;
            const int end_row = m <= first_col + TILE_COLS ? (int)minimum(n - 1 - row, (int64)TILE_ROWS) : TILE_ROWS;
            REAL cost_sum = 0, entropy_sum = 0;
            // flows(r, c, e, up, left, diag): what the cell hands on to its predecessors of e.
            auto send_back = [&](auto &&flows) {
#pragma unroll
                for (int back = 0; back < TILE_ROWS; ++back) {
                    const int r = TILE_ROWS - 1 - back;
                    costs.load_row(row, r);
                    below_diag[TILE_COLS - 1] += r + 1 < TILE_ROWS ? in_diag[r + 1 < TILE_ROWS ? r + 1 : 0] : pending;
                    if (r == end_row) {
#pragma unroll
                        for (int c = 0; c < TILE_COLS; ++c) below_up[c] = c == columns - 1 ? REAL(1) : REAL(0);
                    }
                    REAL from_right = in_left[r], sent = 0, e[TILE_COLS];
#pragma unroll
                    for (int c_back = 0; c_back < TILE_COLS; ++c_back) {
                        const int c = TILE_COLS - 1 - c_back;
                        e[c] = (below_up[c] + from_right) + below_diag[c];
                        below_diag[c] = sent;
                        flows(r, c, e[c], below_up[c], from_right, sent);
#if SUMS
                        REAL up, left, diag;
                        flows(r, c, REAL(1), up, left, diag);
                        cost_sum = fused(e[c], costs.cost(r, c), cost_sum);
                        entropy_sum = fused(e[c], choice(up, left, diag), entropy_sum);
#endif
#if DIM > 0
#if COST == COST_SQEUCLIDEAN || COST == COST_MANHATTAN
                        const REAL weight = e[c] * cost_slope(REAL(0), costs.scale);
#else
                        const REAL weight = e[c] * cost_slope(costs.sum(r, c), costs.scale);
#endif
#pragma unroll
                        for (int d = 0; d < DIM; ++d) {
                            const REAL slope = direction(costs.difference(r, c, d));
                            sum_x[r][d] = fused(weight, slope, sum_x[r][d]);
                            sum_y[c][d] = fused(-weight, slope, sum_y[c][d]);
                        }
#endif
                    }
                    out_left[r] = from_right;
                    out_diag[r] = sent;
                    if (row + r >= n) continue;
#if DIM == 0
#pragma unroll
                    for (int c = 0; c < TILE_COLS; ++c)
                        if (c < columns) table[table_offsets[k] + (row - row_begin + r) * m + first_col + c] = e[c];
#endif
                    if (!alignment) continue;
#pragma unroll
                    for (int c = 0; c < TILE_COLS; ++c)
                        if (c < columns) alignment[alignment_offsets[k] + (row + r) * m + first_col + c] = (STORE)e[c];
                }
            };
            Entry entry;
#pragma unroll
            for (int c = 0; c < TILE_COLS; ++c) entry.top[c] = next.v[c];
#pragma unroll
            for (int r = 0; r < TILE_ROWS; ++r) entry.left[r] = next.v[TILE_COLS + r];
            entry.corner = next.v[TILE_COLS + TILE_ROWS];
            const bool slow = !HARD && !empty && next.v[TILE_COLS + TILE_ROWS + 1] != 0;
            if (tile > 0) next.load(kept - tiles_of_row * KEPT);  // long before it is needed
            if (empty) {
                send_back([](int, int, REAL, REAL &up, REAL &left, REAL &diag) { up = left = diag = 0; });
            } else if (!slow) {
                REAL z[TILE_ROWS][TILE_COLS], bottom[TILE_COLS], right[TILE_ROWS];
                sweep_tile<BAND != 0>(entry, costs, tile_band, row, factor, bottom, right,
                                      [&](int r, int c, REAL, REAL value) { z[r][c] = value; });
                send_back([&](int r, int c, REAL e, REAL &up, REAL &left, REAL &diag) {
                    const REAL above = r ? z[r ? r - 1 : 0][c] : entry.top[c];
                    const REAL before = c ? z[r][c ? c - 1 : 0] : entry.left[r];
                    const REAL corner = r && c ? z[r ? r - 1 : 0][c ? c - 1 : 0]
                                        : r    ? entry.left[r ? r - 1 : 0]
                                        : c    ? entry.top[c ? c - 1 : 0]
                                               : entry.corner;
#if HARD
                    // One predecessor takes all; of equals the diagonal one, then the one above.
                    const REAL best = minimum(minimum(above, before), corner);
                    const bool by_diag = corner <= best, by_up = !by_diag && above <= best;
                    diag = by_diag ? e : REAL(0);
                    up = by_up ? e : REAL(0);
                    left = by_diag || by_up ? REAL(0) : e;
#else
                    const REAL sum = (above + before) + corner, share = sum > 0 ? e * reciprocal(sum) : REAL(0);
                    up = above * share;
                    left = before * share;
                    diag = corner * share;
#endif
                });
            }
#if !HARD
            else {
                SlowTile redone;
                REAL shares[3 * TILE_ROWS * TILE_COLS];
                const EXPONENT *kept_e = keep_e + (kept - keep_m);
                load_slow(redone, costs, tile_band, row);
                for (int c = 0; c < TILE_COLS; ++c) {
                    redone.top_m[c] = kept[c];
                    redone.top_e[c] = kept_e[c];
                }
                for (int r = 0; r < TILE_ROWS; ++r) {
                    redone.left_m[r] = kept[TILE_COLS + r];
                    redone.left_e[r] = kept_e[TILE_COLS + r];
                }
                redone.corner_m = kept[TILE_COLS + TILE_ROWS];
                redone.corner_e = kept_e[TILE_COLS + TILE_ROWS];
                redone.factor = factor;
                redone.end = -1;
                redone.shares = shares;
                slow_tile(&redone);
                send_back([&](int r, int c, REAL e, REAL &up, REAL &left, REAL &diag) {
                    const REAL *of_cell = shares + 3 * (r * TILE_COLS + c);
                    up = e * of_cell[0];
                    left = e * of_cell[1];
                    diag = e * of_cell[2];
                });
            }
#endif
            pending = in_diag[0];
#if SUMS
            total_cost += cost_sum * costs.unit();
            total_entropy += entropy_sum;
#endif
#if DIM > 0
            if (l == 0 && grad_x) {
#pragma unroll
                for (int r = 0; r < TILE_ROWS; ++r) {
                    if (row + r >= n) continue;
#pragma unroll
                    for (int d = 0; d < DIM; ++d) grad_x[(x_offsets[k] + row + r) * DIM + d] = (STORE)sum_x[r][d];
                }
            }
#endif
#if MULTI
            if (to_edge) {
                const int64 place = edge + (int64)tile * TILE_ROWS;
#pragma unroll
                for (int r = 0; r < TILE_ROWS; ++r) {
                    edge_left[place + r] = out_left[r];
                    edge_diag[place + r] = out_diag[r];
                }
                store_release(progress + slot, tiles - tile);
            }
#endif
        }
        if (works) {
            below_diag[TILE_COLS - 1] += pending;
#pragma unroll
            for (int c = 0; c < TILE_COLS; ++c) {
                if (first_col + c >= m) continue;
                flow_up[flow + c] = below_up[c];
                flow_diag[flow + c] = below_diag[c];
#if DIM > 0
                if (grad_y) {
#pragma unroll
                    for (int d = 0; d < DIM; ++d) {
                        STORE *sum = grad_y + (y_offsets[k] + first_col + c) * DIM + d;
                        *sum = (STORE)((REAL)*sum + sum_y[c][d]);
                    }
                }
#endif
            }
        }
#if SUMS
#pragma unroll
        for (int other = LANES / 2; other > 0; other /= 2) {
            total_cost += shuffle_xor(total_cost, other);
            total_entropy += shuffle_xor(total_entropy, other);
        }
        if (works && l == 0) {
            if (expected_cost) expected_cost[k * max_strips + strip] += total_cost;
            if (entropy) entropy[k * max_strips + strip] += total_entropy;
        }
#endif
    }
}
