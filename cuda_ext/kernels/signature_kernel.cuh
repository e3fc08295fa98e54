// What the kernels for signature kernels share: where an increment of the static kernel stands, and the sweep down the
// rows. cpu_ext/signature_kernel/goursat.hpp has the scheme and its adjoint.
//
// Each step of x is cut into 2^x_order rows, each of y into 2^y_order columns. A warp has a strip of STRIP_ROWS rows and
// walks along the columns: lane l has ROWS of them in registers, is one column behind lane l - 1, and takes the value and
// the step of the row above it by a shuffle. The strips of a pair are tasks of their own, which run side by side, each a
// little behind the one above it.
//
// The table has one number for a step of x and one of y, whatever the orders, so several cells, lanes or even steps of a
// lane share it. It is slanted, so that what a warp loads at once stands together: [pair][strip][slot][unit], where the
// units are the steps of x of a strip, and column c of a unit is in slot c + (its first lane >> y_order).
//
// The numbers are g/√12 per cell: with g' for that, 1 + g/2 + g²/12 is 1 + √3 g' + g'².

#define ROWS 4
#define STRIP_ROWS (32 * ROWS)
#define AHEAD 4  // slots that an increment is loaded before it is needed
#define ROOT_3 ((REAL)1.7320508075688772935)

struct alignas(16) Four {
    REAL v[ROWS];
};

// Pairs of a launch: x[first + k] with y[first + k] where width is 0, or a window of all pairs.
struct Pairs {
    const int64 *x_steps, *y_steps;
    int64 first_x, first_y, width;
    int upper;  // only the pairs of which y is not before x

    DEVICE int64 x(int64 k) const { return first_x + (width ? k / width : k); }
    DEVICE int64 y(int64 k) const { return width ? first_y + k % width : first_x + k; }
    DEVICE bool counts(int64 k) const { return !upper || x(k) <= y(k); }
    DEVICE int64 rows(int64 k) const { return counts(k) ? x_steps[x(k)] : 0; }
    DEVICE int64 cols(int64 k) const { return counts(k) ? y_steps[y(k)] : 0; }
    // Where the value of a pair stands.
    DEVICE int64 place(int64 i, int64 j, int64 n_y) const { return width ? i * n_y + j : i; }
};

// The table of a launch, which holds some strips of each pair.
struct Layout {
    int x_order, y_order;
    int64 max_cols;  // steps of y
    int64 strips;

    DEVICE int units() const { return STRIP_ROWS >> x_order; }
    DEVICE int64 slots() const { return max_cols + (31 >> y_order); }
    DEVICE int slant(int unit) const { return (unit << x_order) / ROWS >> y_order; }
    DEVICE int64 strip_place(int64 pair, int64 strip) const { return (pair * strips + strip) * slots() * units(); }
    // In a strip.
    DEVICE int64 place(int unit, int64 col) const { return (col + slant(unit)) * units() + unit; }
    DEVICE int64 strips_of(int64 rows) const { return ((rows << x_order) + STRIP_ROWS - 1) / STRIP_ROWS; }
};

// The increments of a lane's rows on their way from the table; BACK: from the last column to the first.
template <bool BACK> struct Increments {
    const REAL *next;  // of the lane's first unit, in the column that is fetched next
    int col, cols, stride, x_order;
    REAL coming[AHEAD][ROWS], here[ROWS];

    // table: of the strip
    DEVICE Increments(const Layout &layout, const REAL *table, int cols)
        : cols(cols), stride(layout.units()), x_order(layout.x_order) {
        const int delay = (BACK ? 31 - lane() : lane()) >> layout.y_order;
        col = BACK ? cols - 1 + delay : -delay;
        next = table + layout.place((lane() * ROWS) >> x_order, col);
#pragma unroll
        for (int q = 0; q < AHEAD; ++q) fetch(coming[q]);
    }
    DEVICE void fetch(REAL (&to)[ROWS]) {
#pragma unroll
        for (int r = 0; r < ROWS; ++r) to[r] = 0;
        if (0 <= col && col < cols) {
            if (x_order == 0) {
                const Four four = *(const Four *)next;
#pragma unroll
                for (int r = 0; r < ROWS; ++r) to[r] = four.v[r];
            } else {
                const REAL first = next[0], last = x_order == 1 ? next[1] : first;
                to[0] = to[1] = first;
                to[2] = to[3] = last;
            }
        }
        next += BACK ? -stride : stride;
        col += BACK ? -1 : 1;
    }
    // To the next slot: what is needed from there on, by lanes whose delay has passed.
    DEVICE void advance() {
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            here[r] = coming[0][r];
#pragma unroll
            for (int q = 1; q < AHEAD; ++q) coming[q - 1][r] = coming[q][r];
        }
        fetch(coming[AHEAD - 1]);
    }
};

// A row between two strips: values, and their steps along it. Null: above the first strip all values are 1.
struct Edge {
    REAL *values, *steps;
};

// All lanes wait until the flag says that `wanted` columns are done; null: they are.
DEVICE void wait_for(const int *flag, int &seen, int wanted) {
    if (!flag || seen >= wanted) return;
    if (lane() == 0) {
        seen = load_acquire(flag);
        while (seen < wanted) {
            pause();
            seen = load_acquire(flag);
        }
    }
    seen = shuffle(seen, 0);
    sync_warp();  // before the other lanes read
}

// One strip. keep(s, values) gets each column of a lane, s being its number + lane(); below, where it has values, the
// last row, and `done` how many of its columns are there. Returns the last value of the last lane.
template <class Keep>
DEVICE REAL sweep_strip(const Layout &layout, const REAL *table, int cols, const Edge &above, const int *ready,
                        const Edge &below, int *done, Keep &&keep) {
    const int l = lane(), width = cols << layout.y_order, mask = (1 << layout.y_order) - 1;
    REAL left[ROWS], c1[ROWS], c2[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        left[r] = 1;
        c1[r] = c2[r] = 0;
    }
    REAL corner = 1, last = 1, last_step = 0, edge = 1, edge_step = 0, result = 1;
    int seen = 0;
    Increments<false> increments(layout, table, cols);
    for (int s = 0; s < width + 31; ++s) {
        if ((s & mask) == 0) increments.advance();
        const int col = s - l;
        REAL up = shuffle_up(last, 1), step = shuffle_up(last_step, 1);
        if (above.values) {
            if ((s & 31) == 0 && s < width) {  // of 32 columns at once
                wait_for(ready, seen, minimum(s + 32, width));
                if (s + l < width) {
                    edge = above.values[s + l];
                    edge_step = above.steps[s + l];
                }
            }
            const REAL first = shuffle(edge, s & 31), first_step = shuffle(edge_step, s & 31);
            if (l == 0) {
                up = first;
                step = first_step;
            }
        } else if (l == 0) {
            up = 1;
            step = 0;
        }
        if ((col & mask) == 0) {
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                c2[r] = increments.here[r] * increments.here[r];
                c1[r] = fused(increments.here[r], ROOT_3, c2[r]);
            }
        }
        // Before its first column a lane has increments of zero, which change nothing.
        REAL diagonal = corner;
        corner = up;
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            const REAL before = left[r];
            // The small terms first: each alone could be less than half of the last digit of a step, and lost.
            step += fused(c1[r], before, fused(c1[r], up, c2[r] * diagonal));
            left[r] = before + step;
            diagonal = before;
            up = left[r];
        }
        last = up;
        last_step = step;
        if (col < 0 || col >= width) continue;
        keep(s, left);
        if (l < 31) continue;
        if (below.values) {
            below.values[col] = last;
            below.steps[col] = last_step;
            if (done && ((col & 31) == 31 || col == width - 1)) store_release(done, col + 1);
        }
        if (col == width - 1) result = last;
    }
    return result;
}
