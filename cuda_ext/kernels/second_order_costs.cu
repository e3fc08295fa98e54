// Second order: local costs of a chunk of rows, and their change in the direction of a Hessian-vector product.
//
// With a direction w of both series, a cost D changes by V = slope·<s, w_x − w_y>, where s is x − y, or its signs. A
// change of gamma acts as costs that change by −D/gamma, so that joins V.
//   WEIGHTS 0: D to `first` and V to `second`. Given costs (COST 4) come with a direction of their own.
//   WEIGHTS 1: `first` holds E and `second` its change C. In their place come the weights of the differences w_x − w_y,
//     E·slope, and those of x − y, C·slope + E·(change of the slope): what products.cu works on. Only where the slope
//     varies from cell to cell.
//
// Work: one block for TILE x TILE cells; thread (a, b) of 16 x 16 has rows 4 a + r and columns 4 b + c. Only the pairs of
// `method` are served. Tables as in table.cu: row-major, rows and columns padded.
// Shared memory: FEATURES features of the tile's time steps of the series and of their directions, [feature][time step].

#define THREADS 256
#define SIDE 16
#define EACH 4
#define TILE (SIDE * EACH)
#define STRIDE (TILE + 4)
#define FEATURES 16
#define BLOCKS (WIDE ? 1 : 2)  // of a multiprocessor; unless told, NVRTC leaves room for more, and spills

struct alignas(16) Four {
    REAL v[4];
};

#if COST != COST_PRECOMPUTED
// Time steps first .. first + TILE of a series, `count` features from k0 on; zeros without a series. The last time step
// is repeated beyond the end.
DEVICE void load_block(const STORE *series, int64 first, int64 length, int64 n_features, int64 k0, int count,
                       SharedPointer<REAL> block) {
    for (int at = thread_index(); at < TILE * count; at += THREADS) {
        const int k = at % count, t = at / count;
        const int64 from = minimum(first + t, length - 1) * n_features + k0 + k;
        block[k * STRIDE + t] = series ? static_cast<REAL>(series[from]) : REAL(0);
    }
}

// The change of the slope when <x − y, w_x − w_y> is `along`.
DEVICE REAL slope_change(REAL sum, REAL along, REAL scale) {
#if COST == COST_EUCLIDEAN
    return sum > 0 ? -along / (sum * square_root(sum)) : REAL(0);
#elif COST == COST_GAK
    const REAL less = exp_minus_1(-sum * scale), rest = 1 - less;
    return -8 * scale * scale * (1 + less) / (rest * rest) * along;
#else
    return 0;
#endif
}
#endif

KERNEL void __launch_bounds__(THREADS, BLOCKS)
    second_order_costs(const STORE *__restrict__ x, const STORE *__restrict__ y, const STORE *__restrict__ x_direction,
                       const STORE *__restrict__ y_direction, const int64 *__restrict__ x_offsets,
                       const int64 *__restrict__ y_offsets, const STORE *__restrict__ costs,
                       const STORE *__restrict__ costs_direction, const int64 *__restrict__ cost_offsets,
                       const STORE *__restrict__ gamma_direction, const double *__restrict__ gammas, int64 n_pairs,
                       int64 n_features, double scale, const uint8 *__restrict__ methods, int method,
                       const int64 *__restrict__ column_tiles, const int64 *__restrict__ table_offsets, int64 row_begin,
                       int64 row_end, REAL *first, REAL *second) {
#if COST != COST_PRECOMPUTED
    SHARED_ARRAY(REAL, x_block, FEATURES * STRIDE);
    SHARED_ARRAY(REAL, y_block, FEATURES * STRIDE);
    SHARED_ARRAY(REAL, x_turn, FEATURES * STRIDE);
    SHARED_ARRAY(REAL, y_turn, FEATURES * STRIDE);
#endif
    const int a = thread_index() / SIDE, b = thread_index() % SIDE;
    const int64 per_row = column_tiles[n_pairs], tasks = per_row * ((row_end - row_begin + TILE - 1) / TILE);
    for (int64 task = block_index(); task < tasks; task += blocks_in_grid()) {
        const int64 pair = find_interval(column_tiles, n_pairs, task % per_row);
        const int64 n = series_length(x_offsets, pair), m = series_length(y_offsets, pair);
        const int64 i0 = row_begin + task / per_row * TILE, i_end = minimum(row_end, n);
        const int64 j0 = (task % per_row - column_tiles[pair]) * TILE;
        if (i0 >= i_end || methods[pair] != method) continue;
        const int64 stride = padded(m), i_stop = row_begin + padded(i_end - row_begin);
        const int64 base = table_offsets[pair] - row_begin * stride;
        const double gamma = gammas[0];
        const REAL stretch =
            gamma_direction && gamma > 0 ? static_cast<REAL>(-static_cast<double>(gamma_direction[pair]) / gamma) : 0;
#if COST == COST_PRECOMPUTED
        const STORE *const from = costs + cost_offsets[pair];
        const STORE *const turn = costs_direction ? costs_direction + cost_offsets[pair] : nullptr;
#pragma unroll 1
        for (int r = 0; r < EACH; ++r)
#pragma unroll
            for (int c = 0; c < EACH; ++c) {
                const int64 i = i0 + a + SIDE * r, j = j0 + b + SIDE * c;
                if (i >= i_stop || j >= stride) continue;
                const int64 cell = minimum(i, i_end - 1) * m + minimum(j, m - 1);
                const REAL cost = static_cast<REAL>(from[cell]);
                first[base + i * stride + j] = cost;
                second[base + i * stride + j] = fused(stretch, cost, turn ? static_cast<REAL>(turn[cell]) : REAL(0));
            }
#else
        const STORE *const turn_x = x_direction ? x_direction + x_offsets[pair] * n_features : nullptr;
        const STORE *const turn_y = y_direction ? y_direction + y_offsets[pair] * n_features : nullptr;
        REAL sum[EACH][EACH], along[EACH][EACH];
#pragma unroll
        for (int r = 0; r < EACH; ++r)
#pragma unroll
            for (int c = 0; c < EACH; ++c) sum[r][c] = along[r][c] = 0;
        for (int64 k0 = 0; k0 < n_features; k0 += FEATURES) {
            const int count = static_cast<int>(minimum(n_features - k0, int64(FEATURES)));
            load_block(x + x_offsets[pair] * n_features, i0, i_end, n_features, k0, count, x_block);
            load_block(y + y_offsets[pair] * n_features, j0, m, n_features, k0, count, y_block);
            load_block(turn_x, i0, i_end, n_features, k0, count, x_turn);
            load_block(turn_y, j0, m, n_features, k0, count, y_turn);
            sync_block();
#pragma unroll 2
            for (int k = 0; k < count; ++k) {
                const Four xk = reinterpret_cast<const Four &>(x_block[k * STRIDE + EACH * a]);
                const Four yk = reinterpret_cast<const Four &>(y_block[k * STRIDE + EACH * b]);
                const Four uk = reinterpret_cast<const Four &>(x_turn[k * STRIDE + EACH * a]);
                const Four vk = reinterpret_cast<const Four &>(y_turn[k * STRIDE + EACH * b]);
#pragma unroll
                for (int r = 0; r < EACH; ++r)
#pragma unroll
                    for (int c = 0; c < EACH; ++c) {
                        sum[r][c] = add_feature(sum[r][c], xk.v[r], yk.v[c]);
                        along[r][c] = fused(direction(xk.v[r] - yk.v[c]), uk.v[r] - vk.v[c], along[r][c]);
                    }
            }
            sync_block();
        }
#pragma unroll
        for (int r = 0; r < EACH; ++r) {
            const int64 i = i0 + EACH * a + r, j = j0 + EACH * b;
            if (i >= i_stop || j >= stride) continue;  // the padding is a multiple of four
            Four &here = reinterpret_cast<Four &>(first[base + i * stride + j]);
            Four &there = reinterpret_cast<Four &>(second[base + i * stride + j]);
            const REAL unit = static_cast<REAL>(scale);
            Four one, other;
#if WEIGHTS
            one = here;
            other = there;
#endif
#pragma unroll
            for (int c = 0; c < EACH; ++c) {
                const REAL slope = cost_slope(sum[r][c], unit);
#if WEIGHTS
                other.v[c] = fused(other.v[c], slope, one.v[c] * slope_change(sum[r][c], along[r][c], unit));
                one.v[c] *= slope;
#else
                one.v[c] = finish_cost(sum[r][c], unit);
                other.v[c] = fused(slope, along[r][c], stretch * one.v[c]);
#endif
            }
            here = one;
            there = other;
        }
#endif
    }
}
