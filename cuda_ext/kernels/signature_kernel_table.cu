// Increments of the static kernel between all steps of pairs of paths, times `factor`, where signature_kernel.cuh has
// them. Rows of a strip beyond the end of a path are 0.
//   STATIC 0: `x` and `y` are increments of paths, of `channels` numbers; the static kernel is their inner product.
//   STATIC 1: they are points, one more than steps; it is exp(-scale·|x - y|²).
//   STATIC 2: `x` has increments of the kernel itself, (n_x, x_length, max_cols).
//
// Work: a block for TILE x TILE steps; thread (a, b) of 16 x 16 has rows 4 a + r and columns 4 b + c. With points it
// computes those at the ends of its steps, 5 x 5 for 4 x 4 increments.
// Shared memory: FEATURES channels of the tile's increments or points, [channel][step], padded by four.

#define THREADS 256
#define TILE 64
#define EACH 4
#define POINTS (STATIC == 1)  // one more than steps
#define STRIDE (TILE + 4)
#define FEATURES 16
static_assert(EACH == ROWS, "a thread writes the steps of a lane");

#if STATIC != 2
// Rows first .. first + TILE, or one more, of a path of `length` rows, one block of channels, into [channel][row]; zeros
// beyond the end.
DEVICE void load_block(const REAL *path, int64 first, int64 length, int64 channels, int64 k0,
                       SharedPointer<REAL> block) {
    for (int at = thread_index(); at < (TILE + POINTS) * FEATURES; at += THREADS) {
        const int k = at % FEATURES, t = at / FEATURES;
        const bool inside = k0 + k < channels && first + t < length;
        block[k * STRIDE + t] = inside ? path[(first + t) * channels + k0 + k] : REAL(0);
    }
}
#endif

KERNEL void __launch_bounds__(THREADS)
    signature_kernel_table(const int64 *__restrict__ x_steps, const int64 *__restrict__ y_steps, int64 first_x,
                           int64 first_y, int64 width, int upper, int64 n_pairs, int x_order, int y_order,
                           int64 max_cols, int64 strip_begin, int64 strip_end, const REAL *__restrict__ x,
                           const REAL *__restrict__ y, int64 x_length, int64 y_length, int64 channels, double scale,
                           double factor, REAL *__restrict__ table) {
#if STATIC != 2
    SHARED_ARRAY(REAL, x_block, FEATURES * STRIDE);
    SHARED_ARRAY(REAL, y_block, FEATURES * STRIDE);
#endif
    const Pairs pairs = {x_steps, y_steps, first_x, first_y, width, upper};
    const Layout layout = {x_order, y_order, max_cols, strip_end - strip_begin};
    const int a = thread_index() / 16, b = thread_index() % 16;
    const int64 units = layout.units(), base = strip_begin * units;
    const int64 across = (max_cols + TILE - 1) / TILE, down = (layout.strips * units + TILE - 1) / TILE;
    for (int64 task = block_index(); task < n_pairs * across * down; task += blocks_in_grid()) {
        const int64 k = task / (across * down), n = pairs.rows(k), m = pairs.cols(k);
        const int64 i0 = task / across % down * TILE, j0 = task % across * TILE;  // of the chunk
        // Rows to write: to the end of the last strip of the pair that is here.
        const int64 i_end = minimum(layout.strips, layout.strips_of(n) - strip_begin) * units;
        if (i0 >= i_end || j0 >= m) continue;
        REAL g[EACH][EACH];
#if STATIC == 2
#pragma unroll
        for (int r = 0; r < EACH; ++r)
#pragma unroll
            for (int c = 0; c < EACH; ++c) {
                const int64 i = base + i0 + EACH * a + r, j = j0 + EACH * b + c;
                g[r][c] = i < n && j < m ? x[(pairs.x(k) * x_length + i) * max_cols + j] * (REAL)factor : REAL(0);
            }
#else
        const REAL *const of_x = x + pairs.x(k) * x_length * channels, *const of_y =
                                                                           y + pairs.y(k) * y_length * channels;
        REAL sum[EACH + POINTS][EACH + POINTS];
#pragma unroll
        for (int r = 0; r < EACH + POINTS; ++r)
#pragma unroll
            for (int c = 0; c < EACH + POINTS; ++c) sum[r][c] = 0;
        for (int64 k0 = 0; k0 < channels; k0 += FEATURES) {
            load_block(of_x, base + i0, n + POINTS, channels, k0, x_block);
            load_block(of_y, j0, m + POINTS, channels, k0, y_block);
            sync_block();
            const int count = (int)minimum(channels - k0, int64(FEATURES));
#pragma unroll 2
            for (int q = 0; q < count; ++q) {
                REAL xq[EACH + POINTS], yq[EACH + POINTS];
#pragma unroll
                for (int e = 0; e < EACH + POINTS; ++e) {
                    xq[e] = x_block[q * STRIDE + EACH * a + e];
                    yq[e] = y_block[q * STRIDE + EACH * b + e];
                }
#pragma unroll
                for (int r = 0; r < EACH + POINTS; ++r)
#pragma unroll
                    for (int c = 0; c < EACH + POINTS; ++c) {
#if POINTS
                        const REAL difference = xq[r] - yq[c];
                        sum[r][c] = fused(difference, difference, sum[r][c]);
#else
                        sum[r][c] = fused(xq[r], yq[c], sum[r][c]);
#endif
                    }
            }
            sync_block();
        }
#if POINTS
#pragma unroll
        for (int r = 0; r <= EACH; ++r)
#pragma unroll
            for (int c = 0; c <= EACH; ++c) sum[r][c] = exp(-(REAL)scale * sum[r][c]);
#endif
#pragma unroll
        for (int r = 0; r < EACH; ++r)
#pragma unroll
            for (int c = 0; c < EACH; ++c) {
                const bool inside = base + i0 + EACH * a + r < n;
#if POINTS
                const REAL increment = (sum[r + 1][c + 1] - sum[r][c + 1]) - (sum[r + 1][c] - sum[r][c]);
#else
                const REAL increment = sum[r][c];
#endif
                g[r][c] = inside ? increment * (REAL)factor : REAL(0);
            }
#endif
        const int64 i = i0 + EACH * a;
#pragma unroll
        for (int c = 0; c < EACH; ++c) {
            const int64 j = j0 + EACH * b + c;
            if (j >= m) continue;
            if (x_order == 0) {
                if (i >= i_end) continue;
                Four four;
#pragma unroll
                for (int r = 0; r < EACH; ++r) four.v[r] = g[r][c];
                *(Four *)(table + layout.strip_place(k, i / units) + layout.place((int)(i % units), j)) = four;
                continue;
            }
#pragma unroll
            for (int r = 0; r < EACH; ++r)
                if (i + r < i_end)
                    table[layout.strip_place(k, (i + r) / units) + layout.place((int)((i + r) % units), j)] = g[r][c];
        }
    }
}
