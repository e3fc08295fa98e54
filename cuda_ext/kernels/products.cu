// Gradients with respect to one of the two series of each pair, from a chunk of rows of a table of weights:
//   GRAD_Y 0: grad[i, k] += sum over j of factor·W[i, j]·direction(x[i, k] - y[j, k]),  row_begin <= i < row_end
//   GRAD_Y 1: grad[j, k] += sum over those i of factor·W[i, j]·direction(y[j, k] - x[i, k])
// W is E, or E times the slope of the cost where that varies (table.cu with SLOPE). Differences are taken before they are
// weighted, so nothing cancels.
//
// Work: one block for 64 time steps of the series x FEATURE_TILE features; it runs over all time steps of the other
// series, STEPS at a time, always in the same order (for y from the last row to the first, as the chunks come): no
// atomics, and sums that depend on nothing but the pair. Only the pairs of `method` are served.
// Shared memory: weights [step][own time step], one pad each, and the other series [step][feature].

#define THREADS 256
#define OWN 64
#define STEPS 16
#if FEATURE_TILE == 8
#define ACROSS 4  // threads across the features
#elif FEATURE_TILE == 16
#define ACROSS 8
#else
#define ACROSS 16
#endif
#define WIDE_BY (FEATURE_TILE / ACROSS)  // features of a thread
#define DOWN (THREADS / ACROSS)
#define TALL_BY (OWN / DOWN)  // time steps of a thread

DEVICE int64 find_interval(const int64 *offsets, int64 count, int64 at) {
    int64 low = 0, high = count;
    while (high - low > 1) {
        const int64 middle = (low + high) / 2;
        if (offsets[middle] <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

KERNEL void __launch_bounds__(THREADS)
    products(const STORE *__restrict__ x, const STORE *__restrict__ y, const int64 *__restrict__ x_offsets,
             const int64 *__restrict__ y_offsets, int64 n_pairs, int64 n_features, double factor,
             const uint8 *__restrict__ methods, int method, const REAL *__restrict__ table,
             const int64 *__restrict__ table_offsets, const int64 *__restrict__ own_tiles, int64 row_begin,
             int64 row_end, STORE *grad) {
    SHARED_ARRAY(REAL, weights, STEPS * (OWN + 1));
    SHARED_ARRAY(REAL, others, STEPS * FEATURE_TILE);
    const int thread = thread_index(), a = thread / ACROSS, b = thread % ACROSS;
    const int64 feature_tiles = (n_features + FEATURE_TILE - 1) / FEATURE_TILE;
    const int64 tasks = own_tiles[n_pairs] * feature_tiles;
    for (int64 task = block_index(); task < tasks; task += blocks_in_grid()) {
        const int64 tile = task / feature_tiles, k0 = task % feature_tiles * FEATURE_TILE;
        const int64 pair = find_interval(own_tiles, n_pairs, tile);
        if (methods[pair] != method) continue;
        const int64 n = series_length(x_offsets, pair), m = series_length(y_offsets, pair);
        const int64 rows = minimum(row_end, n) - row_begin, first = (tile - own_tiles[pair]) * OWN;
        // Own time steps and those of the other series, both counted from the chunk's first row.
        const int64 own_count = GRAD_Y ? m : rows, other_count = GRAD_Y ? rows : m;
        if (rows <= 0 || first >= own_count) continue;
        const int64 own_start = GRAD_Y ? y_offsets[pair] : x_offsets[pair] + row_begin;
        const int64 other_start = GRAD_Y ? x_offsets[pair] + row_begin : y_offsets[pair];
        const STORE *const own = (GRAD_Y ? y : x) + own_start * n_features;
        const STORE *const other = (GRAD_Y ? x : y) + other_start * n_features;
        STORE *const out = grad + own_start * n_features;
        const REAL *const from = table + table_offsets[pair];
        const int64 stride = padded(m);

        REAL sum[TALL_BY][WIDE_BY], mine[TALL_BY][WIDE_BY];
#pragma unroll
        for (int r = 0; r < TALL_BY; ++r)
#pragma unroll
            for (int f = 0; f < WIDE_BY; ++f) {
                const int64 t = first + a + DOWN * r, k = k0 + b + ACROSS * f;
                const bool inside = t < own_count && k < n_features;
                mine[r][f] = inside ? static_cast<REAL>(own[t * n_features + k]) : REAL(0);
                sum[r][f] = inside ? static_cast<REAL>(out[t * n_features + k]) : REAL(0);
            }
        for (int64 done = 0; done < other_count; done += STEPS) {
            // Step s stands for time step `base + s`, or `base - s`.
            const int64 base = GRAD_Y ? other_count - 1 - done : done;
            for (int at = thread; at < STEPS * OWN; at += THREADS) {
                const int s = GRAD_Y ? at / OWN : at % STEPS, t = GRAD_Y ? at % OWN : at / STEPS;
                const int64 i = GRAD_Y ? base - s : first + t, j = GRAD_Y ? first + t : base + s;
                const bool inside = i >= 0 && i < rows && j < m;
                weights[s * (OWN + 1) + t] = inside ? from[i * stride + j] * static_cast<REAL>(factor) : REAL(0);
            }
            for (int at = thread; at < STEPS * FEATURE_TILE; at += THREADS) {
                const int s = at / FEATURE_TILE, f = at % FEATURE_TILE;
                const int64 t = GRAD_Y ? base - s : base + s;
                const bool inside = t >= 0 && t < other_count && k0 + f < n_features;
                others[at] = inside ? static_cast<REAL>(other[t * n_features + k0 + f]) : REAL(0);
            }
            sync_block();
#pragma unroll 2
            for (int s = 0; s < STEPS; ++s) {
                REAL w[TALL_BY], o[WIDE_BY];
#pragma unroll
                for (int r = 0; r < TALL_BY; ++r) w[r] = weights[s * (OWN + 1) + a + DOWN * r];
#pragma unroll
                for (int f = 0; f < WIDE_BY; ++f) o[f] = others[s * FEATURE_TILE + b + ACROSS * f];
#pragma unroll
                for (int r = 0; r < TALL_BY; ++r)
#pragma unroll
                    for (int f = 0; f < WIDE_BY; ++f) sum[r][f] = fused(w[r], direction(mine[r][f] - o[f]), sum[r][f]);
            }
            sync_block();
        }
#pragma unroll
        for (int r = 0; r < TALL_BY; ++r)
#pragma unroll
            for (int f = 0; f < WIDE_BY; ++f) {
                const int64 t = first + a + DOWN * r, k = k0 + b + ACROSS * f;
                if (t < own_count && k < n_features) out[t * n_features + k] = static_cast<STORE>(sum[r][f]);
            }
    }
}
