// Adds to the gradients of x and y of each pair: the sum over the other path of weights times its increments (STATIC 0)
// or, with points (STATIC 1), times the differences from them, taken before they are weighted. The weights are the
// gradients by the increments, where `signature_kernel_reverse` has left them in the table; or those that
// `signature_kernel_weights` has made of them, a matrix of matrix_rows x matrix_cols for each pair.
//
// Work: a block for OWN rows of the one path of a pair x FEATURES channels; thread (a, b) of 32 x 8 has rows 4 a + r of
// channel b. It runs over the rows of the other path, STEPS at a time: no atomics, the same bits again.
// Shared memory: weights [step][own row], padded by four, and the other path [step][channel].

#define THREADS 256
#define EACH 4
#define FEATURES 8
#define OWN (THREADS / FEATURES * EACH)
#define STEPS 16
#define OWN_STRIDE (OWN + 4)
#define POINTS (STATIC == 1)

KERNEL void __launch_bounds__(THREADS)
    signature_kernel_products(const int64 *__restrict__ x_steps, const int64 *__restrict__ y_steps, int64 first_x,
                              int64 first_y, int64 width, int upper, int64 n_pairs, int x_order, int y_order,
                              int64 max_cols, int64 strip_begin, int64 strip_end, const REAL *__restrict__ x,
                              const REAL *__restrict__ y, int64 x_length, int64 y_length, int64 channels, double scale,
                              double factor, const REAL *__restrict__ weights, int64 matrix_rows, int64 matrix_cols,
                              REAL *x_back, REAL *y_back) {
    SHARED_ARRAY(REAL, block, STEPS * OWN_STRIDE);
    SHARED_ARRAY(REAL, others, STEPS * FEATURES);
    const Pairs pairs = {x_steps, y_steps, first_x, first_y, width, upper};
    const Layout layout = {x_order, y_order, max_cols, strip_end - strip_begin};
    const int units = layout.units();
    const int64 row_begin = strip_begin * units;
    const int thread = thread_index(), a = thread / FEATURES, b = thread % FEATURES;
    const int64 x_tiles = (matrix_rows + OWN - 1) / OWN, y_tiles = (matrix_cols + OWN - 1) / OWN;
    const int64 tiles = x_tiles + y_tiles, groups = (channels + FEATURES - 1) / FEATURES;
    for (int64 task = block_index(); task < n_pairs * tiles * groups; task += blocks_in_grid()) {
        const int64 k = task / (tiles * groups), tile = task / groups % tiles, k0 = task % groups * FEATURES;
        const bool of_y = tile >= x_tiles;
        const int64 n = minimum(pairs.rows(k) - row_begin + POINTS, matrix_rows), m = pairs.cols(k) + POINTS;
        const int64 first = (of_y ? tile - x_tiles : tile) * OWN, count = of_y ? m : n, other_count = of_y ? n : m;
        if (first >= count || n <= POINTS || m <= POINTS) continue;
        const REAL *const of_x = x + (pairs.x(k) * x_length + row_begin) * channels;
        const REAL *const of_y_path = y + pairs.y(k) * y_length * channels;
        const REAL *const own = of_y ? of_y_path : of_x, *const other = of_y ? of_x : of_y_path;
        auto weight = [&](int64 i, int64 j) {
#if POINTS
            return weights[(k * matrix_rows + i) * matrix_cols + j];
#else
            return weights[layout.strip_place(k, i / units) + layout.place((int)(i % units), j)] * (REAL)factor;
#endif
        };
        // Neighbours in memory are columns of a matrix, rows of the table.
        const bool own_first = of_y == (POINTS != 0);
        REAL *const back = of_y ? y_back + k * y_length * channels : x_back + (k * x_length + row_begin) * channels;
        REAL sum[EACH], mine[EACH];
#pragma unroll
        for (int r = 0; r < EACH; ++r) {
            const int64 t = first + EACH * a + r;
            sum[r] = 0;
            mine[r] = POINTS && t < count && k0 + b < channels ? own[t * channels + k0 + b] : REAL(0);
        }
        for (int64 done = 0; done < other_count; done += STEPS) {
#pragma unroll
            for (int q = 0; q < OWN * STEPS / THREADS; ++q) {
                const int at = thread + q * THREADS;
                const int s = own_first ? at / OWN : at % STEPS, t = own_first ? at % OWN : at / STEPS;
                const bool inside = first + t < count && done + s < other_count;
                const int64 i = of_y ? done + s : first + t, j = of_y ? first + t : done + s;
                block[s * OWN_STRIDE + t] = inside ? weight(i, j) : REAL(0);
            }
            if (thread < STEPS * FEATURES) {
                const int s = thread / FEATURES, q = thread % FEATURES;
                const bool inside = done + s < other_count && k0 + q < channels;
                others[thread] = inside ? other[(done + s) * channels + k0 + q] : REAL(0);
            }
            sync_block();
#pragma unroll 4
            for (int s = 0; s < STEPS; ++s) {
                const Four w = reinterpret_cast<const Four &>(block[s * OWN_STRIDE + EACH * a]);
                const REAL value = others[s * FEATURES + b];
#pragma unroll
                for (int r = 0; r < EACH; ++r) sum[r] = fused(w.v[r], POINTS ? mine[r] - value : value, sum[r]);
            }
            sync_block();
        }
#pragma unroll
        for (int r = 0; r < EACH; ++r) {
            const int64 t = first + EACH * a + r;
            if (t < count && k0 + b < channels) back[t * channels + k0 + b] += sum[r];
        }
    }
}
