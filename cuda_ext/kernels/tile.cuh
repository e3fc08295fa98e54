// A tile of TILE_ROWS x TILE_COLS cells, the work of one lane in one step of the wavefront, all in registers.

#define KEPT ((TILE_COLS + TILE_ROWS + 3) / 4 * 4)  // numbers of a kept tile: top, corner, left but the last one
#define FINISHED (1 << 30)                          // progress of a strip that waits for nobody any more

// 16 bytes of numbers, moved at once.
struct alignas(16) Quad {
    static constexpr int size = 16 / sizeof(REAL);
    REAL v[size];
};
template <int N> DEVICE void load_aligned(REAL (&to)[N], const REAL *from) {
#pragma unroll
    for (int q = 0; q < N; q += Quad::size) {
        const Quad quad = *(const Quad *)(from + q);
#pragma unroll
        for (int k = 0; k < Quad::size; ++k) to[q + k] = quad.v[k];
    }
}
template <int N> DEVICE void store_aligned(REAL *to, const REAL (&from)[N]) {
#pragma unroll
    for (int q = 0; q < N; q += Quad::size) {
        Quad quad;
#pragma unroll
        for (int k = 0; k < Quad::size; ++k) quad.v[k] = from[q + k];
        *(Quad *)(to + q) = quad;
    }
}

// The costs of a tile: from the series, or from a table.
struct TileCosts {
#if DIM > 0
    REAL x[TILE_ROWS][DIM], y[TILE_COLS][DIM], scale;
    // Columns beyond the end repeat the last one: harmless, and nobody looks at them. So do rows.
    DEVICE void load_y(const STORE *series, int64 first, int64 m) {
#pragma unroll
        for (int c = 0; c < TILE_COLS; ++c)
#pragma unroll
            for (int k = 0; k < DIM; ++k) y[c][k] = (REAL)series[minimum(first + c, m - 1) * DIM + k];
    }
#if PAIRED
    DEVICE void load_x(const STORE *series, int64 first, int64 n) {
#pragma unroll
        for (int r = 0; r < TILE_ROWS; ++r)
#pragma unroll
            for (int k = 0; k < DIM; ++k) x[r][k] = (REAL)series[minimum(first + r, n - 1) * DIM + k];
    }
#else
    // Rows of which so many are left: 16 bytes at a time, where they lie so.
    DEVICE void load_rows(const STORE *rows, int left) {
        const bool aligned = sizeof(STORE) == sizeof(REAL) && (int64)rows % 16 == 0;
        if (left >= TILE_ROWS && aligned) {
            REAL all[TILE_ROWS * DIM];
            load_aligned(all, (const REAL *)rows);
#pragma unroll
            for (int r = 0; r < TILE_ROWS; ++r)
#pragma unroll
                for (int k = 0; k < DIM; ++k) x[r][k] = all[r * DIM + k];
        } else {
#pragma unroll
            for (int r = 0; r < TILE_ROWS; ++r)
#pragma unroll
                for (int k = 0; k < DIM; ++k) x[r][k] = (REAL)rows[minimum(r, left - 1) * DIM + k];
        }
    }
#endif
    DEVICE REAL sum(int r, int c) const {
        REAL total = 0;
#pragma unroll
        for (int k = 0; k < DIM; ++k) total = add_feature(total, x[r][k], y[c][k]);
        return total;
    }
    // The cost in units of `unit()`: a constant factor joins that of the exponent, instead of a product in every cell.
    DEVICE REAL cost(int r, int c) const {
        return COST == COST_SQEUCLIDEAN ? sum(r, c) : finish_cost(sum(r, c), scale);
    }
    DEVICE REAL unit() const { return COST == COST_SQEUCLIDEAN ? scale : REAL(1); }
#else
    REAL d[TILE_ROWS][TILE_COLS];
    DEVICE void load(const REAL *table, int64 stride) {
#pragma unroll
        for (int r = 0; r < TILE_ROWS; ++r) load_aligned(d[r], table + r * stride);
    }
    DEVICE REAL cost(int r, int c) const { return d[r][c]; }
    DEVICE REAL unit() const { return 1; }
#endif
};

// log2 of a cell's kernel value is its cost, in the unit of TileCosts, times this.
DEVICE REAL exponent_factor(double gamma, double scale) {
    if (HARD) return 0;
    return (REAL)(-1.4426950408889634074 / gamma * (DIM > 0 && COST == COST_SQEUCLIDEAN ? scale : 1.0));
}

// Which cells of a tile the band admits.
struct TileBand {
#if BAND
    int begin[TILE_ROWS], end[TILE_ROWS];  // columns of the tile
    int any, whole;                        // whether it admits a cell, and whether all
    DEVICE void load(const PairBand &band, int64 first_row, int64 first_col) {
        any = 0;
        whole = 1;
#pragma unroll
        for (int r = 0; r < TILE_ROWS; ++r) {
            const BandRow row = band_row(band, first_row + r);
            begin[r] = (int)minimum(maximum(row.begin - first_col, (int64)0), (int64)TILE_COLS);
            end[r] = (int)minimum(maximum(row.end - first_col, (int64)0), (int64)TILE_COLS);
            any |= begin[r] < end[r];
            whole &= begin[r] == 0 && end[r] == TILE_COLS;
        }
    }
    DEVICE bool inside(int r, int c) const { return begin[r] <= c && c < end[r]; }
#else
    DEVICE bool inside(int, int) const { return true; }
#endif
};

// Runs over a tile. top holds the row above it and, on return, its last row; left the column before it and its last
// column; corner is the cell above and before its first. CUT: the band leaves out some of the cells. Each cell is shown
// to each(r, c, up, left, diag, sum, value): its predecessors in one scale (the cells themselves where HARD), their sum
// (or minimum), and what it holds.
template <bool CUT, class Each>
DEVICE void sweep_tile(Number (&top)[TILE_COLS], Number (&left)[TILE_ROWS], Number corner, const TileCosts &costs,
                       const TileBand &band, REAL factor, Each &&each) {
    const REAL unit = costs.unit();
#pragma unroll
    for (int r = 0; r < TILE_ROWS; ++r) {
        Number before = left[r], diagonal = corner;
        corner = before;
#pragma unroll
        for (int c = 0; c < TILE_COLS; ++c) {
            const Number above = top[c];
            Number z;
#if HARD
            const REAL best = minimum(minimum(above.m, before.m), diagonal.m);
            z = {fused(costs.cost(r, c), unit, best), NOTHING};
            if (CUT && !band.inside(r, c)) z = no_path();
            each(r, c, above.m, before.m, diagonal.m, best, z);
#else
            const EXPONENT e = maximum(maximum(above.e, diagonal.e), before.e);
            const REAL up = above.m * alignment_factor(above.e - e),
                       diag = diagonal.m * alignment_factor(diagonal.e - e);
            const REAL by_left = alignment_factor(before.e - e), sum = fused(before.m, by_left, up + diag);
            const Number kernel = kernel_value(costs.cost(r, c), factor);
            z = {sum * kernel.m, e + kernel.e};
            if (CUT && !(band.inside(r, c) && sum > 0)) z = no_path();
            each(r, c, up, before.m * by_left, diag, sum, z);
#endif
            diagonal = above;
            before = z;
            top[c] = z;
        }
        left[r] = before;
    }
#pragma unroll
    for (int c = 0; c < TILE_COLS; ++c) normalise(top[c]);
#pragma unroll
    for (int r = 0; r < TILE_ROWS; ++r) normalise(left[r]);
}

// A number from the lane to the left.
DEVICE Number from_left(Number z) { return {shuffle_up(z.m, 1), shuffle_up(z.e, 1)}; }
