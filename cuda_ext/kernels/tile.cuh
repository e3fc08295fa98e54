// A tile of TILE_ROWS x TILE_COLS cells, the work of one lane in one step of the wavefront.
//
// Inside a soft tile all numbers share one exponent and are plain: a cell is two additions and one product. That is
// right while nothing leaves the range of REAL, which is checked; a tile that fails is done again by `slow_tile`, where
// every cell has an exponent of its own. The choice depends on the tile's own numbers alone, never on other lanes.

// Numbers along one side of a tile: v·2^e, 0 where no path leads.
template <int N> struct Side {
    REAL v[N];
    EXPONENT e;  // shared by all
    EXPONENT
    around;      // of a number among them, so that scaling by 2^(e - around) brings them around 1; NOTHING: all are 0
    int spread;  // the exponents lie too far apart to share one: each number has its own, kept by the owner
};

template <int N> DEVICE void clear(Side<N> &side) {
#pragma unroll
    for (int k = 0; k < N; ++k) side.v[k] = HARD ? infinity() : REAL(0);
    side.e = side.around = NOTHING;
    side.spread = 0;
}

// The costs of a tile: from the series, with y in registers, or from a table.
struct TileCosts {
#if DIM > 0
    const STORE *x;                            // the series
    REAL y[TILE_COLS][DIM];                    // the lane's columns
    REAL rows[DIM <= 2 ? TILE_ROWS : 1][DIM];  // of x; of many features one row at a time, for want of registers
    REAL scale;
#else
    const REAL *table;  // the costs of the pair, from row first_row on
    int64 first_row, stride, col[TILE_COLS];
    const REAL *row;
#endif
    int64 last_row;  // rows and columns beyond the end repeat the last one: harmless, and nobody looks at them

#if DIM > 0
    DEVICE void load_columns(const STORE *series, int64 first, int64 m) {
#pragma unroll
        for (int c = 0; c < TILE_COLS; ++c)
#pragma unroll
            for (int k = 0; k < DIM; ++k) y[c][k] = (REAL)series[minimum(first + c, m - 1) * DIM + k];
    }
    DEVICE void load(int64 i, int r) {
        i = minimum(i, last_row);
#pragma unroll
        for (int k = 0; k < DIM; ++k) rows[DIM <= 2 ? r : 0][k] = (REAL)x[i * DIM + k];
    }
    // Before the first row of a tile.
    DEVICE void load_tile(int64 first) {
        if (DIM > 2) return;
#pragma unroll
        for (int r = 0; r < TILE_ROWS; ++r) load(first + r, r);
    }
    // Before the cells of a row.
    DEVICE void load_row(int64 first, int r) {
        if (DIM > 2) load(first + r, r);
    }
    DEVICE REAL difference(int r, int c, int k) const { return rows[DIM <= 2 ? r : 0][k] - y[c][k]; }
    DEVICE REAL sum(int r, int c) const {
        REAL total = 0;
#pragma unroll
        for (int k = 0; k < DIM; ++k) total = add_feature(total, rows[DIM <= 2 ? r : 0][k], y[c][k]);
        return total;
    }
    // The cost in units of `unit()`: a constant factor joins that of the exponent, instead of a product in every cell.
    DEVICE REAL cost(int r, int c) const {
        return COST == COST_SQEUCLIDEAN ? sum(r, c) : finish_cost(sum(r, c), scale);
    }
    DEVICE REAL unit() const { return COST == COST_SQEUCLIDEAN ? scale : REAL(1); }
#else
    DEVICE void load_columns(const REAL *costs, int64 row_begin, int64 first, int64 m) {
        table = costs;
        first_row = row_begin;
        stride = m;
#pragma unroll
        for (int c = 0; c < TILE_COLS; ++c) col[c] = minimum(first + c, m - 1);
    }
    DEVICE void load_tile(int64) {}
    DEVICE void load_row(int64 first, int r) { row = table + (minimum(first + r, last_row) - first_row) * stride; }
    DEVICE REAL cost(int, int c) const { return row[col[c]]; }
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

// What enters a tile, in one scale.
struct Entry {
    REAL top[TILE_COLS], left[TILE_ROWS], corner;
    EXPONENT e;
    bool fits;  // nothing was lost in bringing it to one scale
};

struct Corner {
    REAL v;
    EXPONENT e;
};

DEVICE Entry enter(const Side<TILE_COLS> &top, const Side<TILE_ROWS> &left, const Corner &corner) {
    Entry entry;
#if HARD
    const REAL by_top = 1, by_left = 1, by_corner = 1;
    entry.e = 0;
    entry.fits = true;
#else
    const EXPONENT corner_around = corner.v > 0 ? corner.e + exponent_of(corner.v) : (EXPONENT)NOTHING;
    entry.e = maximum(maximum(top.around, left.around), corner_around);
    entry.fits = !top.spread && !left.spread && (top.around == NOTHING || top.e - entry.e >= LEAST_SHIFT) &&
                 (left.around == NOTHING || left.e - entry.e >= LEAST_SHIFT) &&
                 (corner_around == NOTHING || corner.e - entry.e >= LEAST_SHIFT);
    const REAL by_top = power_of_two(top.e - entry.e), by_left = power_of_two(left.e - entry.e);
    const REAL by_corner = power_of_two(corner.e - entry.e);
#endif
#pragma unroll
    for (int c = 0; c < TILE_COLS; ++c) entry.top[c] = top.v[c] * by_top;
#pragma unroll
    for (int r = 0; r < TILE_ROWS; ++r) entry.left[r] = left.v[r] * by_left;
    entry.corner = corner.v * by_corner;
    return entry;
}

// Runs over a tile; each(r, c, sum of the three predecessors, value) sees every cell. bottom and right are what leaves
// it, in the scale of the entry. CUT: the band leaves out some of the cells. Returns whether all numbers that matter stayed in range: where costs are never negative,
// a cell that fell out of it inside the tile adds less than a rounding to sides that lie far above, for no path gains on its way.
template <bool CUT, class Each>
DEVICE bool sweep_tile(const Entry &entry, TileCosts &costs, const TileBand &band, int64 first_row, REAL factor,
                       REAL *bottom, REAL *right, Each &&each) {
    const REAL unit = costs.unit();
    costs.load_tile(first_row);
    REAL lowest = 1, highest = 0;
#pragma unroll
    for (int c = 0; c < TILE_COLS; ++c) bottom[c] = entry.top[c];
#pragma unroll
    for (int r = 0; r < TILE_ROWS; ++r) {
        costs.load_row(first_row, r);
        REAL diagonal = r ? entry.left[r ? r - 1 : 0] : entry.corner, left = entry.left[r];
#if !HARD
        REAL sum = 0, kernel = 0;
#endif
#pragma unroll
        for (int c = 0; c < TILE_COLS; ++c) {
            const REAL up = bottom[c];
#if HARD
            const REAL best = minimum(minimum(up, left), diagonal);
            const REAL z = !CUT || band.inside(r, c) ? fused(costs.cost(r, c), unit, best) : infinity();
            each(r, c, best, z);
#else
            if (CUT) {
                const bool inside = band.inside(r, c);
                sum = (up + diagonal) + left;
                kernel = inside ? kernel_value(costs.cost(r, c), factor) : REAL(0);
                const REAL z = sum * kernel;
                lowest = inside && sum > 0 ? minimum(lowest, z) : lowest;
                highest = maximum(highest, z);
            } else {
                // The chain from cell to cell is one fused product and sum; the rest waits for nothing.
                sum = c ? fused(sum, kernel, up + diagonal) : (up + diagonal) + left;
                kernel = kernel_value(costs.cost(r, c), factor);
                if (DIM == 0 || r == TILE_ROWS - 1 || c == TILE_COLS - 1) lowest = minimum(lowest, sum * kernel);
            }
            const REAL z = sum * kernel;
            each(r, c, sum, z);
#endif
            diagonal = up;
            left = z;
            bottom[c] = z;
        }
        right[r] = left;
    }
#if HARD
    return true;
#else
    // Without a band all cells flow into the last one.
    return lowest >= LEAST_VALUE && (CUT ? highest : bottom[TILE_COLS - 1]) < MOST_VALUE;
#endif
}

// A side of a tile that left in the scale 2^e.
template <int N> DEVICE void leave(Side<N> &side, const REAL *v, EXPONENT e) {
#pragma unroll
    for (int k = 0; k < N; ++k) side.v[k] = v[k];
#if !HARD
    side.e = e;
    side.spread = 0;
#if BAND
    REAL most = 0;
#pragma unroll
    for (int k = 0; k < N; ++k) most = maximum(most, v[k]);
    side.around = most > 0 ? e + exponent_of(most) : (EXPONENT)NOTHING;
#else
    side.around = e + exponent_of(v[N - 1]);  // the tile's last cell, for both sides
#endif
#endif
}

#if !HARD
// A tile with an exponent for every cell, in local memory: seldom needed, so it costs no registers.
struct SlowTile {
    REAL cost[TILE_ROWS * TILE_COLS], factor;
    unsigned long long inside;                           // a bit for each cell
    REAL top_m[TILE_COLS], left_m[TILE_ROWS], corner_m;  // on return top is the bottom row, left the right column
    EXPONENT top_e[TILE_COLS], left_e[TILE_ROWS], corner_e;
    int end;  // a cell whose value is wanted, or -1
    REAL end_m;
    EXPONENT end_e;
    REAL *shares;  // up, left and diagonal share of each cell, or null
};

DEVICE void normalise(REAL &m, EXPONENT &e) {
    if (m > 0) {
        const EXPONENT shift = exponent_of(m);
        m *= power_of_two(-shift);
        e += shift;
    } else {
        m = 0;
        e = NOTHING;
    }
}

NOINLINE_DEVICE void slow_tile(SlowTile *t) {
    for (int c = 0; c < TILE_COLS; ++c) normalise(t->top_m[c], t->top_e[c]);
    for (int r = 0; r < TILE_ROWS; ++r) normalise(t->left_m[r], t->left_e[r]);
    REAL corner_m = t->corner_m;
    EXPONENT corner_e = t->corner_e;
    normalise(corner_m, corner_e);
    for (int r = 0; r < TILE_ROWS; ++r) {
        REAL diag_m = corner_m, left_m = t->left_m[r];
        EXPONENT diag_e = corner_e, left_e = t->left_e[r];
        corner_m = left_m;
        corner_e = left_e;
        for (int c = 0; c < TILE_COLS; ++c) {
            const int cell = r * TILE_COLS + c;
            const REAL up_m = t->top_m[c];
            const EXPONENT up_e = t->top_e[c], e = maximum(maximum(up_e, left_e), diag_e);
            const REAL up = up_m * power_of_two(up_e - e), left = left_m * power_of_two(left_e - e);
            const REAL diag = diag_m * power_of_two(diag_e - e), sum = (up + left) + diag;
            EXPONENT kernel_e;
            const REAL kernel = kernel_parts(t->cost[cell], t->factor, &kernel_e);
            const bool reached = sum > 0 && (t->inside >> cell & 1);
            if (t->shares) {
                const REAL share = reached ? reciprocal(sum) : REAL(0);
                t->shares[3 * cell] = up * share;
                t->shares[3 * cell + 1] = left * share;
                t->shares[3 * cell + 2] = diag * share;
            }
            diag_m = up_m;
            diag_e = up_e;
            left_m = reached ? sum * kernel : REAL(0);
            left_e = e + kernel_e;
            normalise(left_m, left_e);
            t->top_m[c] = left_m;
            t->top_e[c] = left_e;
            if (cell == t->end) {
                t->end_m = left_m;
                t->end_e = left_e;
            }
        }
        t->left_m[r] = left_m;
        t->left_e[r] = left_e;
    }
}

// The costs and the admitted cells of a tile, for the slow sweep.
DEVICE void load_slow(SlowTile &slow, TileCosts &costs, const TileBand &band, int64 first_row) {
    slow.inside = 0;
    costs.load_tile(first_row);
#pragma unroll
    for (int r = 0; r < TILE_ROWS; ++r) {
        costs.load_row(first_row, r);
#pragma unroll
        for (int c = 0; c < TILE_COLS; ++c) {
            slow.cost[r * TILE_COLS + c] = costs.cost(r, c);
            slow.inside |= (unsigned long long)band.inside(r, c) << (r * TILE_COLS + c);
        }
    }
}

template <int N> DEVICE void to_slow(const Side<N> &side, const EXPONENT *own, REAL *m, EXPONENT *e) {
#pragma unroll
    for (int k = 0; k < N; ++k) {
        m[k] = side.v[k];
        e[k] = side.spread ? own[k] : side.e;
    }
}

// Normalised numbers as a side: with one exponent where they lie close enough together.
template <int N> DEVICE void from_slow(const REAL *m, const EXPONENT *e, Side<N> &side, EXPONENT *own) {
    EXPONENT most = NOTHING, least = -(EXPONENT)NOTHING;
#pragma unroll
    for (int k = 0; k < N; ++k) {
        if (m[k] > 0) {
            most = maximum(most, e[k]);
            least = minimum(least, e[k]);
        }
    }
    side.e = side.around = most;
    side.spread = most != NOTHING && most - least > MOST_SPAN;
#pragma unroll
    for (int k = 0; k < N; ++k) {
        own[k] = e[k];
        side.v[k] = side.spread || most == NOTHING ? m[k] : m[k] * power_of_two(e[k] - most);
    }
}
#endif
