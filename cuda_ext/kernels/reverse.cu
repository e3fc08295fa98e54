// Gradients: the expected alignment E flows back through each table, from the end to the start.
//
// E[i, j] = dR[n, m]/dD[i, j] is the probability that a path passes through the cell. A cell hands it on to its three
// predecessors in the shares that they had in its sum. The tiles are done again from what `sweep` kept at their sides,
// and the shares stay in registers while E runs through them in the opposite direction. Strips go from right to left.
//
// DIM 0: `table` holds the costs of the chunk's rows, and E in their place on return. DIM > 0: gradients with respect to
// the series are summed on the way; that of x passes through the lanes from right to left, that of y stays in its lane.

#define AHEAD (!WIDE)  // what a tile starts from is loaded one step ahead; not in double, which is short of registers

DEVICE float logarithm(float v) { return logf(v); }
DEVICE double logarithm(double v) { return log(v); }
DEVICE REAL surprise(REAL share) { return share > 0 ? -share * logarithm(share) : REAL(0); }

// The entropy of a cell's choice. A share close to 1 knows little of its distance from 1; the two others know it.
DEVICE REAL choice(REAL up, REAL left, REAL diag) {
    const REAL high = maximum(up, left), least = minimum(up, left);
    const REAL most = maximum(high, diag), middle = minimum(high, diag);
    return surprise(least) + surprise(middle) - most * log_of_1_plus(-(least + middle));
}

// What `sweep` kept of a tile.
struct Kept {
    REAL m[KEPT], e[KEPT];
    DEVICE void load(const REAL *kept_m, const EXPONENT *kept_e, int64 at) {
        load_aligned(m, kept_m + at);
        if (!HARD) load_aligned(e, (const REAL *)kept_e + at);
    }
    DEVICE Number number(int k) const {
#if HARD
        return {m[k], NOTHING};
#elif WIDE
        return {m[k], e[k]};
#else
        return {m[k], as_bits(e[k])};
#endif
    }
};

KERNEL void reverse(const STORE *__restrict__ x, const STORE *__restrict__ y, const int64 *__restrict__ x_offsets,
                    const int64 *__restrict__ y_offsets, int64 n_pairs, const double *__restrict__ gammas,
                    const uint8 *__restrict__ methods, int method, double scale, int band_kind, double band_parameter,
                    REAL *table, const int64 *__restrict__ strip_places, const int64 *__restrict__ tile_places,
                    const int64 *__restrict__ column_tiles, int64 row_begin, int64 row_end, int64 skew,
                    const REAL *__restrict__ keep_m, const EXPONENT *__restrict__ keep_e, REAL *__restrict__ flow_up,
                    REAL *__restrict__ flow_diag, const int64 *__restrict__ column_offsets, REAL *edge_left,
                    REAL *edge_diag, const int64 *__restrict__ row_offsets, int *progress, int *ticket, STORE *grad_x,
                    STORE *__restrict__ grad_y, STORE *__restrict__ alignment,
                    const int64 *__restrict__ alignment_offsets, double *__restrict__ expected_cost,
                    double *__restrict__ entropy, int lanes_of_strip, int max_strips) {
    const int lanes = SHARED ? lanes_of_strip : 32, in_warp = 32 / lanes, l = lane() % lanes;
    const int64 tasks_of_rank = (n_pairs + in_warp - 1) / in_warp;
    for (;;) {
        int taken = 0;
        if (lane() == 0) taken = atomic_add(ticket, 1);
        const int64 task = shuffle(taken, 0);
        if (task >= tasks_of_rank * max_strips) return;
        const int rank = (int)(task / tasks_of_rank);  // strips counted from the right
        const int64 index = task % tasks_of_rank * in_warp + lane() / lanes;
        const bool valid = index < n_pairs;
        const int64 k = valid ? index : 0;
        const int64 n = series_length(x_offsets, k), m = series_length(y_offsets, k);
        const int strips = (int)((m + lanes * TILE_COLS - 1) / (lanes * TILE_COLS)), strip = strips - 1 - rank;
        const int64 strip_col = (int64)maximum(strip, 0) * lanes * TILE_COLS, first_col = strip_col + l * TILE_COLS;
        const ChunkRows chunk = rows_of_strip(row_begin, row_end, skew, maximum(strip, 0), n);
        const bool works = valid && strip >= 0 && first_col < m && chunk.begin < chunk.end && methods[k] == method;
        const int last_lane = (int)minimum((m - strip_col + TILE_COLS - 1) / TILE_COLS, (int64)lanes) - 1;
        const int columns = (int)minimum(m - first_col, (int64)TILE_COLS);
        const int tiles = works ? (int)((chunk.end - chunk.begin + TILE_ROWS - 1) / TILE_ROWS) : 0;
        const int64 place = works ? column_tiles[k] + strip : 0;
        const REAL factor = exponent_factor(gammas[0], scale);

        TileCosts costs;
#if DIM > 0
        costs.scale = (REAL)scale;
        costs.load_y(y + y_offsets[k] * DIM, first_col, m);
        REAL sum_x[TILE_ROWS][DIM], sum_y[TILE_COLS][DIM];
#pragma unroll
        for (int r = 0; r < TILE_ROWS; ++r)
#pragma unroll
            for (int d = 0; d < DIM; ++d) costs.x[r][d] = sum_x[r][d] = 0;
#pragma unroll
        for (int c = 0; c < TILE_COLS; ++c)
#pragma unroll
            for (int d = 0; d < DIM; ++d)
                sum_y[c][d] =
                    works && grad_y && c < columns ? (REAL)grad_y[(y_offsets[k] + first_col + c) * DIM + d] : REAL(0);
#else
        const int64 stride = padded(columns_in_row(m, skew, strip));
        REAL *tile_table = table + strip_places[place] + (int64)tiles * TILE_ROWS * stride + l * TILE_COLS;
#endif
#if BAND
        const PairBand band = make_band(band_kind, band_parameter, n, m);
#endif
        const int64 flow = column_offsets[k] + first_col, edge = row_offsets[k];
        REAL below_up[TILE_COLS], below_diag[TILE_COLS], out_left[TILE_ROWS], out_diag[TILE_ROWS], pending = 0;
#pragma unroll
        for (int c = 0; c < TILE_COLS; ++c) {
            const bool enters = works && chunk.end < n && c < columns;
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
        // How many tiles more the strip to the right has to do until it is as far as this one, in this chunk.
        const ChunkRows right = rows_of_strip(row_begin, row_end, skew, strip + 1, n);
        const int tiles_more = (int)((right.end - chunk.begin + TILE_ROWS - 1) / TILE_ROWS) - tiles;
#endif
        const int64 tiles_of_row = (columns_in_row(m, skew, strip) + TILE_COLS - 1) / TILE_COLS;
        int64 kept = (tile_places[place] + (tiles - 1) * tiles_of_row + l) * KEPT;
        Kept next;
        Number below_corner = no_path();  // of the tile below: the last number from the left of this one
        if (works) {
            const int64 below = kept + tiles_of_row * KEPT + TILE_COLS;
            if (AHEAD) next.load(keep_m, keep_e, kept);
            below_corner.m = keep_m[below];
            if (!HARD) below_corner.e = keep_e[below];
        }
        // What the last lane starts from.
        TileCosts ahead_costs;
#if MULTI
        REAL ahead_left[TILE_ROWS], ahead_diag[TILE_ROWS];
#if DIM > 0
        REAL ahead_sum[TILE_ROWS][DIM];
#pragma unroll
        for (int r = 0; r < TILE_ROWS; ++r)
#pragma unroll
            for (int d = 0; d < DIM; ++d) ahead_sum[r][d] = 0;
#endif
#endif
        auto fetch = [&](int tile) {
            const int64 row = chunk.begin + (int64)tile * TILE_ROWS;
#if DIM > 0
            ahead_costs.load_x(x + x_offsets[k] * DIM, row, n);
#endif
#if MULTI
            if (rank == 0) return;
            const int needed = tiles - tile + tiles_more;
            while (seen < needed) {
                seen = load_acquire(progress + slot - 1);
                if (seen < needed) pause();
            }
            const int64 at = edge + row;
#pragma unroll
            for (int r = 0; r < TILE_ROWS; ++r) {
                ahead_left[r] = edge_left[at + r];
                ahead_diag[r] = edge_diag[at + r];
#if DIM > 0
                if (grad_x && row + r < n) {
#pragma unroll
                    for (int d = 0; d < DIM; ++d) ahead_sum[r][d] = (REAL)grad_x[(x_offsets[k] + row + r) * DIM + d];
                }
#endif
            }
#endif
        };
        if (AHEAD && works && l == last_lane) fetch(tiles - 1);
#if DIM == 0
        if (AHEAD && works) ahead_costs.load(tile_table - TILE_ROWS * stride, stride);
#endif
        const int steps = tiles + last_lane - l;  // of this lane, with those that it waits
        for (int step = 0; any(step < steps); ++step) {
            // What the tile to the right sends: to the same row, and to the row above.
            REAL in_left[TILE_ROWS], in_diag[TILE_ROWS];
#pragma unroll
            for (int r = 0; r < TILE_ROWS; ++r) {
                in_left[r] = shuffle_down(out_left[r], 1);
                in_diag[r] = shuffle_down(out_diag[r], 1);
#if DIM > 0
#pragma unroll
                for (int d = 0; d < DIM; ++d) {
                    sum_x[r][d] = shuffle_down(sum_x[r][d], 1);
                    costs.x[r][d] = shuffle_down(costs.x[r][d], 1);
                }
#endif
            }
            const int tile = tiles - 1 - (step - (last_lane - l));
            if (step >= steps || tile >= tiles) continue;
            const int64 row = chunk.begin + (int64)tile * TILE_ROWS;
            if (l == last_lane) {
                if (!AHEAD) fetch(tile);
#pragma unroll
                for (int r = 0; r < TILE_ROWS; ++r) {
                    in_left[r] = in_diag[r] = 0;
#if DIM > 0
#pragma unroll
                    for (int d = 0; d < DIM; ++d) sum_x[r][d] = 0;
#endif
                }
#if DIM > 0
#pragma unroll
                for (int r = 0; r < TILE_ROWS; ++r)
#pragma unroll
                    for (int d = 0; d < DIM; ++d) costs.x[r][d] = ahead_costs.x[r][d];
#endif
#if MULTI
                if (rank > 0) {
#pragma unroll
                    for (int r = 0; r < TILE_ROWS; ++r) {
                        in_left[r] = ahead_left[r];
                        in_diag[r] = ahead_diag[r];
#if DIM > 0
#pragma unroll
                        for (int d = 0; d < DIM; ++d) sum_x[r][d] = ahead_sum[r][d];
#endif
                    }
                }
#endif
                if (AHEAD && tile > 0) fetch(tile - 1);
            }
            TileBand tile_band;
            bool empty = false;  // no cell of the band: nothing was kept
#if BAND
            tile_band.load(band, row, first_col);
            empty = !tile_band.any;
#endif
#if DIM == 0
            tile_table -= TILE_ROWS * stride;
            if (!AHEAD) ahead_costs.load(tile_table, stride);
            costs = ahead_costs;
            if (AHEAD && tile > 0) ahead_costs.load(tile_table - TILE_ROWS * stride, stride);
#endif
            if (!AHEAD) next.load(keep_m, keep_e, kept);
            Number top[TILE_COLS], left[TILE_ROWS];
#pragma unroll
            for (int c = 0; c < TILE_COLS; ++c) top[c] = next.number(c);
            const Number corner = next.number(TILE_COLS);
#pragma unroll
            for (int r = 0; r + 1 < TILE_ROWS; ++r) left[r] = next.number(TILE_COLS + 1 + r);
            left[TILE_ROWS - 1] = below_corner;
            below_corner = corner;
            kept -= tiles_of_row * KEPT;
            if (AHEAD && tile > 0) next.load(keep_m, keep_e, kept);
            REAL shares[TILE_ROWS][TILE_COLS][3];
            if (empty) {
#pragma unroll
                for (int r = 0; r < TILE_ROWS; ++r)
#pragma unroll
                    for (int c = 0; c < TILE_COLS; ++c) shares[r][c][0] = shares[r][c][1] = shares[r][c][2] = 0;
            } else {
                sweep_tile<BAND != 0>(top, left, corner, costs, tile_band, factor,
                                      [&](int r, int c, REAL up, REAL before, REAL diag, REAL sum, Number) {
#if HARD
                                          // One takes all; of equals the diagonal one, then the one above.
                                          const bool by_diag = diag <= sum, by_up = !by_diag && up <= sum;
                                          shares[r][c][0] = by_up ? 1 : 0;
                                          shares[r][c][1] = by_diag || by_up ? 0 : 1;
                                          shares[r][c][2] = by_diag ? 1 : 0;
#else
                                          const REAL share = BAND == 0 || sum > 0 ? reciprocal(sum) : REAL(0);
                                          shares[r][c][0] = up * share;
                                          shares[r][c][1] = before * share;
                                          shares[r][c][2] = diag * share;
#endif
                                      });
            }

            const int end_row = m <= first_col + TILE_COLS ? (int)minimum(n - 1 - row, (int64)TILE_ROWS) : TILE_ROWS;
#if SUMS
            REAL cost_sum = 0, entropy_sum = 0;
#endif
#pragma unroll
            for (int back = 0; back < TILE_ROWS; ++back) {
                const int r = TILE_ROWS - 1 - back;
                below_diag[TILE_COLS - 1] += r + 1 < TILE_ROWS ? in_diag[(r + 1) % TILE_ROWS] : pending;
                if (r == end_row) {
#pragma unroll
                    for (int c = 0; c < TILE_COLS; ++c) below_up[c] = c == columns - 1 ? REAL(1) : REAL(0);
                }
                REAL from_right = in_left[r], sent = 0, e[TILE_COLS];
#pragma unroll
                for (int c_back = 0; c_back < TILE_COLS; ++c_back) {
                    const int c = TILE_COLS - 1 - c_back;
                    e[c] = (below_up[c] + below_diag[c]) + from_right;
                    below_diag[c] = sent;
                    below_up[c] = e[c] * shares[r][c][0];
                    from_right = e[c] * shares[r][c][1];
                    sent = e[c] * shares[r][c][2];
#if SUMS
                    cost_sum = fused(e[c], costs.cost(r, c), cost_sum);
                    entropy_sum = fused(e[c], choice(shares[r][c][0], shares[r][c][1], shares[r][c][2]), entropy_sum);
#endif
#if DIM > 0
#if COST == COST_SQEUCLIDEAN || COST == COST_MANHATTAN
                    const REAL weight = e[c] * cost_slope(REAL(0), costs.scale);
#else
                    const REAL weight = e[c] * cost_slope(costs.sum(r, c), costs.scale);
#endif
#pragma unroll
                    for (int d = 0; d < DIM; ++d) {
                        const REAL slope = direction(costs.x[r][d] - costs.y[c][d]);
                        sum_x[r][d] = fused(weight, slope, sum_x[r][d]);
                        sum_y[c][d] = fused(-weight, slope, sum_y[c][d]);
                    }
#endif
                }
                out_left[r] = from_right;
                out_diag[r] = sent;
#if DIM == 0
                store_aligned(tile_table + r * stride, e);
#endif
                if (!alignment || row + r >= n) continue;
#pragma unroll
                for (int c = 0; c < TILE_COLS; ++c)
                    if (c < columns) alignment[alignment_offsets[k] + (row + r) * m + first_col + c] = (STORE)e[c];
            }
            pending = in_diag[0];
#if SUMS
            total_cost += cost_sum * costs.unit();
            total_entropy += entropy_sum;
#endif
            if (l == 0) {
#if DIM > 0
                if (grad_x) {
#pragma unroll
                    for (int r = 0; r < TILE_ROWS; ++r) {
                        if (row + r >= n) continue;
#pragma unroll
                        for (int d = 0; d < DIM; ++d) grad_x[(x_offsets[k] + row + r) * DIM + d] = (STORE)sum_x[r][d];
                    }
                }
#endif
#if MULTI
                if (strip > 0) {
                    const int64 at = edge + row;
#pragma unroll
                    for (int r = 0; r < TILE_ROWS; ++r) {
                        edge_left[at + r] = out_left[r];
                        edge_diag[at + r] = out_diag[r];
                    }
                    if (tile == 0 || (tiles - tile) % 4 == 0)
                        store_release(progress + slot, tile > 0 ? tiles - tile : FINISHED);
                }
#endif
            }
        }
        if (works) {
            below_diag[TILE_COLS - 1] += pending;
#pragma unroll
            for (int c = 0; c < TILE_COLS; ++c) {
                if (c >= columns) continue;
                flow_up[flow + c] = below_up[c];
                flow_diag[flow + c] = below_diag[c];
#if DIM > 0
                if (grad_y) {
#pragma unroll
                    for (int d = 0; d < DIM; ++d) grad_y[(y_offsets[k] + first_col + c) * DIM + d] = (STORE)sum_y[c][d];
                }
#endif
            }
        }
#if SUMS
#pragma unroll
        for (int other = lanes / 2; other > 0; other /= 2) {
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
