// Gradients with respect to one of the two series of each pair, from a chunk of rows of a table of weights:
//   GRAD_Y 0: grad[i, k] += sum over j of factor·W[i, j]·direction(x[i, k] - y[j, k]),  row_begin <= i < row_end
//   GRAD_Y 1: grad[j, k] += sum over those i of factor·W[i, j]·direction(y[j, k] - x[i, k])
// W is E, or E times the slope of the cost where that varies (table.cu with SLOPE). Differences are taken before they are
// weighted, so nothing cancels.
//
// Work: one block for 64 time steps of the series x FEATURE_TILE features; it runs over all time steps of the other
// series, STEPS at a time, always in the same order (for y from the last row to the first, as the chunks come): no
// atomics, and sums that depend on nothing but the pair. Only the pairs of `method` are served.
// Shared memory: weights [step][own time step], padded by four, and the other series [step][feature].

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
#define OWN_STRIDE (OWN + 4)
#define WEIGHTS_OF_THREAD (OWN * STEPS / THREADS)
#define OTHERS_OF_THREAD ((STEPS * FEATURE_TILE + THREADS - 1) / THREADS)

// Neighbours in shared memory, in one load.
template <int count> struct alignas(count * sizeof(REAL) > 16 ? 16 : count * sizeof(REAL)) Pack {
    REAL v[count];
};

KERNEL void __launch_bounds__(THREADS)
    products(const STORE *__restrict__ x, const STORE *__restrict__ y, const int64 *__restrict__ x_offsets,
             const int64 *__restrict__ y_offsets, int64 n_pairs, int64 n_features, double factor,
             const uint8 *__restrict__ methods, int method, const REAL *__restrict__ table,
             const int64 *__restrict__ table_offsets, const int64 *__restrict__ own_tiles, int64 row_begin,
             int64 row_end, STORE *grad) {
    SHARED_ARRAY(REAL, weights, STEPS * OWN_STRIDE);
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
                const int64 t = first + TALL_BY * a + r, k = k0 + WIDE_BY * b + f;
                const bool inside = t < own_count && k < n_features;
                mine[r][f] = inside ? static_cast<REAL>(own[t * n_features + k]) : REAL(0);
                sum[r][f] = inside ? static_cast<REAL>(out[t * n_features + k]) : REAL(0);
            }
        // What the thread loads: step s stands for time step `done + s` of the other series, or for that counted from its
        // end. The weights are neighbours along the columns.
        const int weight_s = GRAD_Y ? thread / OWN : thread % STEPS, weight_t = GRAD_Y ? thread % OWN : thread / STEPS;
        const int other_s = thread / FEATURE_TILE, other_f = thread % FEATURE_TILE;
        const REAL *weight = GRAD_Y ? from + (other_count - 1 - weight_s) * stride + first + weight_t
                                    : from + (first + weight_t) * stride + weight_s;
        const STORE *value = other + (GRAD_Y ? other_count - 1 - other_s : other_s) * n_features + k0 + other_f;
        const bool has_feature = k0 + other_f < n_features;
        for (int64 done = 0; done < other_count; done += STEPS) {
            const int left = static_cast<int>(minimum(other_count - done, int64(STEPS)));
#pragma unroll
            for (int q = 0; q < WEIGHTS_OF_THREAD; ++q) {
                const int s = weight_s + (GRAD_Y ? q * (THREADS / OWN) : 0);
                const int t = weight_t + (GRAD_Y ? 0 : q * (THREADS / STEPS));
                const int64 place = GRAD_Y ? -q * (THREADS / OWN) * stride : q * (THREADS / STEPS) * stride;
                const bool inside = s < left && first + t < own_count;
                weights[s * OWN_STRIDE + t] = inside ? weight[place] * static_cast<REAL>(factor) : REAL(0);
            }
#pragma unroll
            for (int q = 0; q < OTHERS_OF_THREAD; ++q) {
                const int s = other_s + q * (THREADS / FEATURE_TILE);
                if (s >= STEPS) continue;
                const int64 place = (GRAD_Y ? -q : q) * (THREADS / FEATURE_TILE) * n_features;
                others[s * FEATURE_TILE + other_f] =
                    has_feature && s < left ? static_cast<REAL>(value[place]) : REAL(0);
            }
            weight += GRAD_Y ? -STEPS * stride : STEPS;
            value += (GRAD_Y ? -STEPS : STEPS) * n_features;
            sync_block();
#pragma unroll 4
            for (int s = 0; s < STEPS; ++s) {
                const Pack<TALL_BY> w = reinterpret_cast<const Pack<TALL_BY> &>(weights[s * OWN_STRIDE + TALL_BY * a]);
                const Pack<WIDE_BY> o = reinterpret_cast<const Pack<WIDE_BY> &>(others[s * FEATURE_TILE + WIDE_BY * b]);
#pragma unroll
                for (int r = 0; r < TALL_BY; ++r)
#pragma unroll
                    for (int f = 0; f < WIDE_BY; ++f)
                        sum[r][f] = fused(w.v[r], direction(mine[r][f] - o.v[f]), sum[r][f]);
            }
            sync_block();
        }
#pragma unroll
        for (int r = 0; r < TALL_BY; ++r)
#pragma unroll
            for (int f = 0; f < WIDE_BY; ++f) {
                const int64 t = first + TALL_BY * a + r, k = k0 + WIDE_BY * b + f;
                if (t < own_count && k < n_features) out[t * n_features + k] = static_cast<STORE>(sum[r][f]);
            }
    }
}
