// table.cu by products, on tensor cores: |x - y|^2 = |x|^2 + |y|^2 - 2 x·y, for costs made of squares, float, sm_80 and
// later. The same table, with the same arguments; `table.cu` says what they are.
//
// Digits. The product form loses those that |x|^2 + |y|^2 =: S and 2 x·y have in common. So
//   * S is kept small: both series are taken relative to a point among the time steps of y;
//   * a cell that is not above NEAR·S (nor above LEAST) is computed by differences, as table.cu does it, bit for bit.
// What that leaves of the errors, with u = 2^-24; 2·sum |x_k y_k| <= S, so that what is off in x·y by e·sum |x_k y_k| is
// off in the cell by e·S:
//   1. Subtracting the point rounds x and y by u each: |x - y|^2 moves by 2 sqrt(2 S) u |x - y| at most, and by nothing
//      where the numbers are close to the point, as the difference is exact then.
//   2. x = x_high + x_low + rest, of 11 and 11 bits: half a unit of x_high is 2^12 units of x, and an odd number of those
//      is off by one, 2 u |x|. With that of y, 4 u S; and x_low·y_low, which is left out, 4 u S.
//   3. A tensor core adds eight products to zero. Each may be cut off at 2 u of the largest, and so may be the sum: ten
//      times, 20 u S, if each eight has one product only that counts; where they are alike in size, some 2 u S. The
//      sums of eight products are added up in float, which rounds: u S for each.
//   4. S, from sixteen sums of squares: (d / 16 + 4) u S; the rest 3 u S.
// In a cell above S / 4, that is 6 u + 4 (8 + 20 + d / 8 + d / 16 + 7) u = (146 + 3/4 d) u of the cell: at worst, if all
// go one way as far as they can, 1.2e-5 for 64 features. Errors of both signs and products of many sizes make less of it:
// what tests/cuda/test_tensor_table.py finds where it tries hard is below 1e-6.
//
// Work: one block for TILE x TILE_WIDTH cells; warp (a, b) of 2 x 4 has 32 x 32 of them, in tiles of 16 x 8.
// Shared memory: FEATURES features of the tile's time steps, as x_high, x_low, y_high, y_low; for the differences x and y
// themselves. Laid out so that a lane's part of a matrix is one load. Which features, and which rows, meet where in a
// product of matrices is free, as long as both sides agree: pairs of neighbours here.

#define THREADS 256
#define TILE 64
#define TILE_WIDTH 128
#define FEATURES 16
#define SIDE (THREADS / FEATURES)
#define X_STRIDE (2 * FEATURES + 16)  // of two time steps
#define Y_STRIDE (FEATURES + 8)
#define X_PART (TILE / 2 * X_STRIDE)  // numbers of a block of 11 bits, high or low
#define Y_PART (TILE_WIDTH * Y_STRIDE)
#define NEAR 0.25f
#define LEAST 1e-30f  // smaller costs may be short of bits on their way through the tensor core

struct alignas(16) Four {
    float v[4];
};
struct alignas(8) Two {
    float v[2];
};

// The nearest number of 11 bits, as a tensor core takes it.
DEVICE float eleven_bits(float v) { return from_bits((as_bits(v) + 0x1000) & ~0x1fff); }

// Where a feature of a time step is in a block: two time steps of x side by side; those of y one after the other.
struct PlaceInX {
    DEVICE int operator()(int step, int k) const { return step / 2 * X_STRIDE + 2 * k + step % 2; }
};
struct PlaceInY {
    DEVICE int operator()(int step, int k) const { return step * Y_STRIDE + k; }
};

// What a thread has of a block of features: one feature, of every SIDE-th time step.
template <int COUNT, class Place> struct Column {
    const float *series;  // the first time step, at the thread's feature of the first block
    int last;             // time step; it is repeated beyond the end
    float value[COUNT];

    DEVICE void begin(const float *values, int64 first, int64 length, int64 n_features) {
        series = values + first * n_features + thread_index() % FEATURES;
        last = static_cast<int>(minimum(length - 1 - first, int64(SIDE * COUNT)));
    }
    DEVICE void load(int k0, int n_features) {
#pragma unroll
        for (int q = 0; q < COUNT; ++q) {
            const int step = minimum(thread_index() / FEATURES + SIDE * q, last);
            value[q] = k0 + thread_index() % FEATURES < n_features ? series[step * n_features + k0] : 0.0f;
        }
    }
    static DEVICE int at(int q) { return Place()(thread_index() / FEATURES + SIDE * q, thread_index() % FEATURES); }
    // In two parts, relative to the point.
    DEVICE void split(float point, SharedPointer<float> high, SharedPointer<float> low, float (&squares)[COUNT]) {
#pragma unroll
        for (int q = 0; q < COUNT; ++q) {
            const float v = value[q] - point, rounded = eleven_bits(v);
            squares[q] = fused(v, v, squares[q]);
            high[at(q)] = rounded;
            low[at(q)] = eleven_bits(v - rounded);
        }
    }
    DEVICE void copy(SharedPointer<float> to) {
#pragma unroll
        for (int q = 0; q < COUNT; ++q) to[at(q)] = value[q];
    }
    // The sums of squares of its time steps, from the threads that share them.
    DEVICE void add_up(float (&squares)[COUNT], SharedPointer<float> norms) {
#pragma unroll
        for (int q = 0; q < COUNT; ++q) {
#pragma unroll
            for (int other = 1; other < FEATURES; other *= 2) squares[q] += shuffle_xor(squares[q], other);
            if (thread_index() % FEATURES == 0) norms[thread_index() / FEATURES + SIDE * q] = squares[q];
        }
    }
};

KERNEL void __launch_bounds__(THREADS, 2)
    tensor_table(const STORE *__restrict__ x, const STORE *__restrict__ y, const int64 *__restrict__ x_offsets,
                 const int64 *__restrict__ y_offsets, const int64 *__restrict__ pair_x,
                 const int64 *__restrict__ pair_y, const STORE *__restrict__ costs,
                 const int64 *__restrict__ cost_offsets, int64 n_pairs, int64 n_features, double scale,
                 const uint8 *__restrict__ methods, int n_gammas, int needed, const int64 *__restrict__ column_tiles,
                 const int64 *__restrict__ strip_places, int64 row_begin, int64 row_end, int64 skew, int64 row_tiles,
                 REAL *table) {
    SHARED_ARRAY(float, x_block, X_PART * 2);
    SHARED_ARRAY(float, y_block, Y_PART * 2);
    SHARED_ARRAY(float, x_norms, TILE);
    SHARED_ARRAY(float, y_norms, TILE_WIDTH);
    const int warp = thread_index() / 32, first_row = warp / 4 * 32, first_col = warp % 4 * 32;
    const int group = lane() / 4, within = lane() % 4;  // where a lane is in a tile of 16 x 8
    const int features = static_cast<int>(n_features);
    const int64 per_row = column_tiles[n_pairs], tasks = per_row * row_tiles;
    for (int64 task = block_index(); task < tasks; task += blocks_in_grid()) {
        const int64 pair = find_interval(column_tiles, n_pairs, task % per_row);
        const int64 strip = task % per_row - column_tiles[pair];
        const int64 xi = pair_x ? pair_x[pair] : pair, yi = pair_y ? pair_y[pair] : pair;
        const int64 n = series_length(x_offsets, xi), m = series_length(y_offsets, yi);
        const ChunkRows rows = rows_of_strip(row_begin, row_end, skew, strip, n);
        const int64 i0 = rows.begin + task / per_row * TILE, i_end = rows.end, j0 = strip * TILE_WIDTH;
        if (i0 >= i_end || !is_needed(methods, n_pairs, n_gammas, needed, pair)) continue;

        Column<TILE / SIDE, PlaceInX> of_x;
        Column<TILE_WIDTH / SIDE, PlaceInY> of_y;
        const STORE *const y_first = y + y_offsets[yi] * n_features;
        of_x.begin(x + x_offsets[xi] * n_features, i0, i_end, n_features);
        of_y.begin(y_first, j0, m, n_features);
        const STORE *const some_of_y = y_first + m / 8 * n_features + thread_index() % FEATURES;
        const int64 between = m / 4 * n_features;
        float point = 0;
        auto load = [&](int k0) {
            of_x.load(k0, features);
            of_y.load(k0, features);
            // The mean of four time steps of y: a point that depends on nothing but the pair.
            point = 0;
            if (k0 + thread_index() % FEATURES < features) {
#pragma unroll
                for (int q = 0; q < 4; ++q) point += 0.25f * some_of_y[q * between + k0];
            }
        };

        float sum[2][4][4], x_squares[TILE / SIDE] = {}, y_squares[TILE_WIDTH / SIDE] = {};
#pragma unroll
        for (int r = 0; r < 2; ++r)
#pragma unroll
            for (int c = 0; c < 4; ++c)
#pragma unroll
                for (int q = 0; q < 4; ++q) sum[r][c][q] = 0;
        load(0);
        for (int k0 = 0; k0 < features; k0 += FEATURES) {
            of_x.split(point, x_block, x_block + X_PART, x_squares);
            of_y.split(point, y_block, y_block + Y_PART, y_squares);
            sync_block();
            if (k0 + FEATURES < features) load(k0 + FEATURES);
#pragma unroll
            for (int k = 0; k < FEATURES; k += 8) {
                // Of a lane: rows 2·group and the next, in them features k + 2·within and the next; high and low.
                Four a[2][2];
#pragma unroll
                for (int r = 0; r < 2; ++r)
#pragma unroll
                    for (int part = 0; part < 2; ++part) {
                        const int at = PlaceInX()(first_row + 16 * r + 2 * group, k + 2 * within);
                        a[r][part] = reinterpret_cast<const Four &>(x_block[part * X_PART + at]);
                    }
#pragma unroll
                for (int c = 0; c < 4; ++c) {
                    const int at = PlaceInY()(first_col + 8 * c + group, k + 2 * within);
                    const Two high = reinterpret_cast<const Two &>(y_block[at]);
                    const Two low = reinterpret_cast<const Two &>(y_block[Y_PART + at]);
#pragma unroll
                    for (int r = 0; r < 2; ++r) {
                        float part[4] = {0, 0, 0, 0};  // the small products first
                        add_products(part, a[r][1].v, high.v);
                        add_products(part, a[r][0].v, low.v);
                        add_products(part, a[r][0].v, high.v);
#pragma unroll
                        for (int q = 0; q < 4; ++q) sum[r][c][q] += part[q];
                    }
                }
            }
            sync_block();
        }
        of_x.add_up(x_squares, x_norms);
        of_y.add_up(y_squares, y_norms);
        sync_block();

        unsigned near = 0;  // a bit for each cell that is to be computed by differences
#pragma unroll
        for (int r = 0; r < 2; ++r)
#pragma unroll
            for (int c = 0; c < 4; ++c)
#pragma unroll
                for (int q = 0; q < 4; ++q) {
                    const float squares = x_norms[first_row + 16 * r + 2 * group + q / 2] +
                                          y_norms[first_col + 8 * c + 2 * within + q % 2];
                    const float distance = fused(-2.0f, sum[r][c][q], squares);
                    const bool is_near = !(distance > fused(NEAR, squares, LEAST));
                    near |= static_cast<unsigned>(is_near) << (16 * r + 4 * c + q);
                    sum[r][c][q] = is_near ? 0.0f : distance;
                }
        if (any_of_block(near != 0)) {
            for (int k0 = 0; k0 < features; k0 += FEATURES) {
                load(k0);
                of_x.copy(x_block);
                of_y.copy(y_block);
                sync_block();
                const int count = minimum(features - k0, FEATURES);
#pragma unroll
                for (int r = 0; r < 2; ++r)
#pragma unroll
                    for (int c = 0; c < 4; ++c) {
                        const unsigned here = near >> (16 * r + 4 * c) & 15;
                        if (!any(here != 0)) continue;
                        const int row = first_row + 16 * r + 2 * group, col = first_col + 8 * c + 2 * within;
#pragma unroll 4
                        for (int k = 0; k < count; ++k)
#pragma unroll
                            for (int q = 0; q < 4; ++q)
                                if (here >> q & 1)
                                    sum[r][c][q] = add_feature(sum[r][c][q], x_block[PlaceInX()(row + q / 2, k)],
                                                               y_block[PlaceInY()(col + q % 2, k)]);
                    }
                sync_block();
            }
        }

        const int64 stride = padded(columns_in_row(m, skew, strip)), columns = padded(m);
        const int64 i_stop = rows.begin + padded(i_end - rows.begin);
        REAL *const out = table + strip_places[task % per_row] - rows.begin * stride - j0;
#pragma unroll
        for (int r = 0; r < 2; ++r)
#pragma unroll
            for (int c = 0; c < 4; ++c)
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    const int64 i = i0 + first_row + 16 * r + 2 * group + half;
                    const int64 j = j0 + first_col + 8 * c + 2 * within;
                    if (i >= i_stop || j >= columns) continue;  // the padding is a multiple of two
                    Two &cells = reinterpret_cast<Two &>(out[i * stride + j]);
                    Two value;
#if SLOPE
                    value = cells;
#pragma unroll
                    for (int q = 0; q < 2; ++q)
                        value.v[q] *= cost_slope(sum[r][c][2 * half + q], static_cast<REAL>(scale));
#else
#pragma unroll
                    for (int q = 0; q < 2; ++q)
                        value.v[q] = finish_cost(sum[r][c][2 * half + q], static_cast<REAL>(scale));
#endif
                    cells = value;
                }
    }
}
