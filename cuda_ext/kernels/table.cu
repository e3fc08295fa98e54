// Local costs of a chunk of rows of many pairs, for any number of features: what sweep and reverse read where DIM is 0.
//
// Pair k is x[pair_x[k]], y[pair_y[k]]; without lists x[k], y[k]. What the chunk has of it goes to `table`, row-major,
// rows and columns padded (pairs.cuh). A pair is left out when no gamma asks for a method whose bit is set in `needed`.
//   COST 0..3: from the series. COST 4: rows of the user's (n, m) matrices, at costs + cost_offsets[k].
//   SLOPE 1: the table, which holds E, is multiplied by the slope of the cost instead: what products.cu works on.
//
// Work: one block for TILE x TILE_WIDTH cells; thread (a, b) of 16 x 16 has rows 4 a + r and columns 64 c + 4 b + q, so
// that four neighbours go through one load or store: 67 instructions for 32 products, where 64 would be the least.
// Shared memory: FEATURES features of the tile's time steps of x and y, [feature][time step], padded by four.
// Sums run over the features in their order, whatever the tiles: a cost depends on its two time steps alone.

#define THREADS 256
#define SIDE 16
#define ROWS 4
#define COLS 8
#define TILE (SIDE * ROWS)
#define TILE_WIDTH (SIDE * COLS)
#define X_STRIDE (TILE + 4)
#define Y_STRIDE (TILE_WIDTH + 4)
#define FEATURES 16

struct alignas(16) Four {
    REAL v[4];
};

#if COST != COST_PRECOMPUTED
// Time steps first .. first + count of a series, one block of features, into [feature][time step]. The last time step
// is repeated beyond the end.
template <int count>
DEVICE void load_block(const STORE *series, int64 first, int64 length, int64 n_features, int64 k0,
                       SharedPointer<REAL> block) {
    for (int at = thread_index(); at < count * FEATURES; at += THREADS) {
        const int k = at % FEATURES, t = at / FEATURES;
        const REAL value = k0 + k < n_features
                               ? static_cast<REAL>(series[minimum(first + t, length - 1) * n_features + k0 + k])
                               : REAL(0);
        block[k * (count + 4) + t] = value;
    }
}
#endif

KERNEL void __launch_bounds__(THREADS)
    table(const STORE *__restrict__ x, const STORE *__restrict__ y, const int64 *__restrict__ x_offsets,
          const int64 *__restrict__ y_offsets, const int64 *__restrict__ pair_x, const int64 *__restrict__ pair_y,
          const STORE *__restrict__ costs, const int64 *__restrict__ cost_offsets, int64 n_pairs, int64 n_features,
          double scale, const uint8 *__restrict__ methods, int n_gammas, int needed,
          const int64 *__restrict__ column_tiles, const int64 *__restrict__ strip_places, int64 row_begin,
          int64 row_end, int64 skew, int64 row_tiles, REAL *table) {
#if COST != COST_PRECOMPUTED
    SHARED_ARRAY(REAL, x_block, FEATURES * X_STRIDE);
    SHARED_ARRAY(REAL, y_block, FEATURES * Y_STRIDE);
#endif
    const int a = thread_index() / SIDE, b = thread_index() % SIDE;
    const int64 per_row = column_tiles[n_pairs], tasks = per_row * row_tiles;
    for (int64 task = block_index(); task < tasks; task += blocks_in_grid()) {
        const int64 pair = find_interval(column_tiles, n_pairs, task % per_row);
        const int64 strip = task % per_row - column_tiles[pair];
        const int64 xi = pair_x ? pair_x[pair] : pair, yi = pair_y ? pair_y[pair] : pair;
        const int64 n = series_length(x_offsets, xi), m = series_length(y_offsets, yi);
        const ChunkRows rows = rows_of_strip(row_begin, row_end, skew, strip, n);
        const int64 i0 = rows.begin + task / per_row * TILE, i_end = rows.end, j0 = strip * TILE_WIDTH;
        if (i0 >= i_end || !is_needed(methods, n_pairs, n_gammas, needed, pair)) continue;
        const int64 stride = padded(columns_in_row(m, skew, strip)), columns = padded(m);
        const int64 i_stop = rows.begin + padded(i_end - rows.begin);
        REAL *const out = table + strip_places[task % per_row] - rows.begin * stride - j0;
#if COST == COST_PRECOMPUTED
        const STORE *const from = costs + cost_offsets[pair];
#pragma unroll 1
        for (int r = 0; r < ROWS; ++r)
#pragma unroll
            for (int c = 0; c < COLS; ++c) {
                const int64 i = i0 + a + SIDE * r, j = j0 + b + SIDE * c;
                if (i < i_stop && j < columns)
                    out[i * stride + j] = static_cast<REAL>(from[minimum(i, i_end - 1) * m + minimum(j, m - 1)]);
            }
#else
        REAL sum[ROWS][COLS];
#pragma unroll
        for (int r = 0; r < ROWS; ++r)
#pragma unroll
            for (int c = 0; c < COLS; ++c) sum[r][c] = 0;
        for (int64 k0 = 0; k0 < n_features; k0 += FEATURES) {
            load_block<TILE>(x + x_offsets[xi] * n_features, i0, i_end, n_features, k0, x_block);
            load_block<TILE_WIDTH>(y + y_offsets[yi] * n_features, j0, m, n_features, k0, y_block);
            sync_block();
            const int count = static_cast<int>(minimum(n_features - k0, int64(FEATURES)));
#pragma unroll 4
            for (int k = 0; k < count; ++k) {
                const Four xk = reinterpret_cast<const Four &>(x_block[k * X_STRIDE + 4 * a]);
                Four yk[COLS / 4];
#pragma unroll
                for (int c = 0; c < COLS / 4; ++c)
                    yk[c] = reinterpret_cast<const Four &>(y_block[k * Y_STRIDE + 4 * SIDE * c + 4 * b]);
#pragma unroll
                for (int r = 0; r < ROWS; ++r)
#pragma unroll
                    for (int c = 0; c < COLS; ++c) sum[r][c] = add_feature(sum[r][c], xk.v[r], yk[c / 4].v[c % 4]);
            }
            sync_block();
        }
#pragma unroll
        for (int r = 0; r < ROWS; ++r)
#pragma unroll
            for (int c = 0; c < COLS / 4; ++c) {
                const int64 i = i0 + 4 * a + r, j = j0 + 4 * SIDE * c + 4 * b;
                if (i >= i_stop || j >= columns) continue;  // the padding is a multiple of four
                Four &cells = reinterpret_cast<Four &>(out[i * stride + j]);
                Four value;
#if SLOPE
                value = cells;
#pragma unroll
                for (int q = 0; q < 4; ++q) value.v[q] *= cost_slope(sum[r][4 * c + q], static_cast<REAL>(scale));
#else
#pragma unroll
                for (int q = 0; q < 4; ++q) value.v[q] = finish_cost(sum[r][4 * c + q], static_cast<REAL>(scale));
#endif
                cells = value;
            }
#endif
    }
}
