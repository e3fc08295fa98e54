// Gradients with respect to the series of each pair, or to one of them, from a chunk of a table of weights (pairs.cuh):
//   grad_x[i, k] += sum over j of factor·W[i, j]·direction(x[i, k] - y[j, k])
//   grad_y[j, k] += sum over i of factor·W[i, j]·direction(y[j, k] - x[i, k])
// W is E, or E times the slope of the cost where that varies (table.cu with SLOPE). Differences are taken before they are
// weighted, so nothing cancels.
//
// Work: one block for 64 time steps of the series x FEATURE_TILE features; it runs over all time steps of the other
// series that its part of the chunk has, STEPS at a time, always from the last to the first, as the chunks come: no
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
#if WIDE
#define BOUNDS __launch_bounds__(THREADS)
#else
#define BOUNDS __launch_bounds__(THREADS, 2)  // unless told, NVRTC leaves no room for a second block with some costs
#endif

// Neighbours in shared memory, in one load.
template <int count> struct alignas(count * sizeof(REAL) > 16 ? 16 : count * sizeof(REAL)) Pack {
    REAL v[count];
};

// The sums of one block. OF_Y: for y.
template <bool OF_Y>
DEVICE void add_products_of(int64 pair, int64 tile, int64 k0, const STORE *__restrict__ x, const STORE *__restrict__ y,
                            const int64 *__restrict__ x_offsets, const int64 *__restrict__ y_offsets, int64 n_features,
                            double factor, const REAL *__restrict__ table, const int64 *__restrict__ strip_places,
                            const int64 *__restrict__ column_tiles, int64 row_begin, int64 row_end, int64 skew,
                            STORE *grad, SharedPointer<REAL> weights, SharedPointer<REAL> others) {
    const int thread = thread_index(), a = thread / ACROSS, b = thread % ACROSS;
    const int64 n = series_length(x_offsets, pair), m = series_length(y_offsets, pair);
    // Own time steps, counted from where the lowest strip begins; and the strips that have something for them.
    const int64 strips = (m + STRIP_COLS - 1) / STRIP_COLS, first = tile * OWN;
    const int64 base = OF_Y ? 0 : maximum(row_begin - skew * (strips - 1), int64(0));
    const int64 own_count = (OF_Y ? m : minimum(row_end, n)) - base;
    if (first >= own_count) return;
    const int64 own_start = OF_Y ? y_offsets[pair] : x_offsets[pair] + base;
    const int64 first_strip = OF_Y ? first / STRIP_COLS : 0, last_strip = OF_Y ? first_strip : strips - 1;
    const STORE *const own = (OF_Y ? y : x) + own_start * n_features;
    STORE *const out = grad + own_start * n_features;

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
    // What the thread loads: step s stands for a time step of the other series, counted from the end of the strip's.
    // The weights are neighbours along the columns.
    const int weight_s = OF_Y ? thread / OWN : thread % STEPS, weight_t = OF_Y ? thread % OWN : thread / STEPS;
    const int other_s = thread / FEATURE_TILE, other_f = thread % FEATURE_TILE;
    const bool has_feature = k0 + other_f < n_features;
    for (int64 strip = last_strip; strip >= first_strip; --strip) {
        const ChunkRows rows = rows_of_strip(row_begin, row_end, skew, strip, n);
        // Own time steps of which the strip has something.
        const int64 own_begin = OF_Y ? 0 : rows.begin - base, own_end = OF_Y ? m : rows.end - base;
        if (rows.begin >= rows.end || first >= own_end || first + OWN <= own_begin) continue;
        const int64 stride = padded(columns_in_row(m, skew, strip)), column = strip * STRIP_COLS;
        const int64 other_count = OF_Y ? rows.end - rows.begin : minimum(m - column, int64(STRIP_COLS));
        const REAL *const from = table + strip_places[column_tiles[pair] + strip];
        const REAL *weight = OF_Y ? from + (other_count - 1 - weight_s) * stride + first - column + weight_t
                                  : from + (first - own_begin + weight_t) * stride + other_count - 1 - weight_s;
        const STORE *value =
            (OF_Y ? x + (x_offsets[pair] + rows.begin) * n_features : y + (y_offsets[pair] + column) * n_features) +
            (other_count - 1 - other_s) * n_features + k0 + other_f;
        // What comes next is on its way while this is worked on.
        REAL given[WEIGHTS_OF_THREAD], next[WEIGHTS_OF_THREAD];
        auto load_weights = [&](int64 done) {
            const int left = static_cast<int>(minimum(other_count - done, int64(STEPS)));
#pragma unroll
            for (int q = 0; q < WEIGHTS_OF_THREAD; ++q) {
                const int s = weight_s + (OF_Y ? q * (THREADS / OWN) : 0);
                const int t = weight_t + (OF_Y ? 0 : q * (THREADS / STEPS));
                const int64 place = (OF_Y ? -q * (THREADS / OWN) : q * (THREADS / STEPS)) * stride;
                const bool inside = s < left && own_begin <= first + t && first + t < own_end;
                next[q] = inside ? weight[place] : REAL(0);
            }
            weight -= OF_Y ? STEPS * stride : STEPS;
        };
        load_weights(0);
        for (int64 done = 0; done < other_count; done += STEPS) {
            bool some = false;
#pragma unroll
            for (int q = 0; q < WEIGHTS_OF_THREAD; ++q) {
                given[q] = next[q];
                some = some || given[q] != 0;
            }
            if (done + STEPS < other_count) load_weights(done + STEPS);
            // Away from the likely paths E is 0, in most of a table: nothing to add.
            if (any_of_block(some)) {
                const int left = static_cast<int>(minimum(other_count - done, int64(STEPS)));
#pragma unroll
                for (int q = 0; q < WEIGHTS_OF_THREAD; ++q)
                    weights[(weight_s + (OF_Y ? q * (THREADS / OWN) : 0)) * OWN_STRIDE + weight_t +
                            (OF_Y ? 0 : q * (THREADS / STEPS))] = given[q] * static_cast<REAL>(factor);
#pragma unroll
                for (int q = 0; q < OTHERS_OF_THREAD; ++q) {
                    const int s = other_s + q * (THREADS / FEATURE_TILE);
                    if (s >= STEPS) continue;
                    const int64 place = -q * (THREADS / FEATURE_TILE) * n_features;
                    others[s * FEATURE_TILE + other_f] =
                        has_feature && s < left ? static_cast<REAL>(value[place]) : REAL(0);
                }
                sync_block();
#pragma unroll 4
                for (int s = 0; s < STEPS; ++s) {
                    const Pack<TALL_BY> w =
                        reinterpret_cast<const Pack<TALL_BY> &>(weights[s * OWN_STRIDE + TALL_BY * a]);
                    const Pack<WIDE_BY> o =
                        reinterpret_cast<const Pack<WIDE_BY> &>(others[s * FEATURE_TILE + WIDE_BY * b]);
#pragma unroll
                    for (int r = 0; r < TALL_BY; ++r)
#pragma unroll
                        for (int f = 0; f < WIDE_BY; ++f)
                            sum[r][f] = fused(w.v[r], direction(mine[r][f] - o.v[f]), sum[r][f]);
                }
            }
            value -= STEPS * n_features;
        }
    }
#pragma unroll
    for (int r = 0; r < TALL_BY; ++r)
#pragma unroll
        for (int f = 0; f < WIDE_BY; ++f) {
            const int64 t = first + TALL_BY * a + r, k = k0 + WIDE_BY * b + f;
            if (t < own_count && k < n_features) out[t * n_features + k] = static_cast<STORE>(sum[r][f]);
        }
}

KERNEL void BOUNDS products(const STORE *__restrict__ x, const STORE *__restrict__ y,
                            const int64 *__restrict__ x_offsets, const int64 *__restrict__ y_offsets, int64 n_pairs,
                            int64 n_features, double factor, const uint8 *__restrict__ methods, int method,
                            const REAL *__restrict__ table, const int64 *__restrict__ strip_places,
                            const int64 *__restrict__ column_tiles, const int64 *__restrict__ own_tiles_x,
                            const int64 *__restrict__ own_tiles_y, int64 row_begin, int64 row_end, int64 skew,
                            STORE *grad_x, STORE *grad_y) {
    SHARED_ARRAY(REAL, weights, STEPS * OWN_STRIDE);
    SHARED_ARRAY(REAL, others, STEPS * FEATURE_TILE);
    const int64 feature_tiles = (n_features + FEATURE_TILE - 1) / FEATURE_TILE;
    const int64 tiles_x = grad_x ? own_tiles_x[n_pairs] : 0, tiles_y = grad_y ? own_tiles_y[n_pairs] : 0;
    for (int64 task = block_index(); task < (tiles_x + tiles_y) * feature_tiles; task += blocks_in_grid()) {
        const int64 tile = task / feature_tiles, k0 = task % feature_tiles * FEATURE_TILE;
        const bool of_y = tile >= tiles_x;
        const int64 *const own_tiles = of_y ? own_tiles_y : own_tiles_x;
        const int64 own_tile = of_y ? tile - tiles_x : tile, pair = find_interval(own_tiles, n_pairs, own_tile);
        const int64 own = own_tile - own_tiles[pair];
        if (methods[pair] != method) continue;
        if (of_y)
            add_products_of<true>(pair, own, k0, x, y, x_offsets, y_offsets, n_features, factor, table, strip_places,
                                  column_tiles, row_begin, row_end, skew, grad_y, weights, others);
        else
            add_products_of<false>(pair, own, k0, x, y, x_offsets, y_offsets, n_features, factor, table, strip_places,
                                   column_tiles, row_begin, row_end, skew, grad_x, weights, others);
    }
}
