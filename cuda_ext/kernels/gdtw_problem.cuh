// Continuous-time warping on a GPU: one block of threads for a pair of signals. The twin of cpu_ext/gdtw, with the same
// searches in the same order, the same formulas and the same rules for ties; problem.hpp says what is minimised. All
// arithmetic is in double. What is done for every knot is shared among the threads; what passes along the chain of knots
// (chain, residual, reduced) is done by the first warp or thread while the others wait.
//
// GENERAL is 0 for squared losses and a source that is read linearly; with 1 all that is chosen when the kernel runs.

#ifdef __CUDACC__
#define ROUTINE __device__ __noinline__  // large functions with several callers
#else
#define ROUTINE inline
#endif

#define THREADS 256
#define WARPS (THREADS / 32)

constexpr int SQUARED = 0, ABSOLUTE = 1, HUBER = 2;
// What holds a knot, and what a step to the next one.
constexpr int FREE = 0, SOURCE_START = 1, SOURCE_END = 2, BAND_LOW = 3, BAND_HIGH = 4, SAMPLE = 5, IDENTITY = 6,
              RESIDUAL = 7;  // + feature
constexpr int LEAST = 1, GREATEST = 2, MEAN = 3;

DEVICE double infinity() { return from_bits(int64(0x7FF0000000000000)); }
DEVICE double not_a_number() { return from_bits(int64(0x7FF8000000000000)); }
DEVICE bool is_finite(double x) { return fabs(x) < infinity(); }
DEVICE double clamp(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

// r^2, |r|, or r^2 up to delta and the tangent beyond.
struct Penalty {
    int loss;
    double delta;

    DEVICE int kind() const { return GENERAL ? loss : SQUARED; }
    DEVICE double value(double r) const {
        const double a = fabs(r);
        if (kind() == SQUARED || (kind() == HUBER && a <= delta)) return r * r;
        return kind() == ABSOLUTE ? a : delta * (2 * a - delta);
    }
    // At the kink of the absolute value: the slope on the side of `direction`.
    DEVICE double slope(double r, double direction = 0) const {
        if (kind() == SQUARED || (kind() == HUBER && fabs(r) <= delta)) return 2 * r;
        const double sign = r != 0 ? r : direction;
        const double size = kind() == ABSOLUTE ? 1 : 2 * delta;
        return sign > 0 ? size : sign < 0 ? -size : 0;
    }
    DEVICE double curvature(double r) const {
        return kind() == SQUARED || (kind() == HUBER && fabs(r) < delta) ? 2 : 0;
    }
};

struct Pair {
    int n, m, d;
    const double *x, *x_times, *x_slopes;  // (n, d), (n,), (n, d) or null
    const double *y, *times;               // (m, d), (m,)
    const double *low, *high, *slope_min, *slope_max;
    double reg, cumulative;
    bool fixed_ends;
    Penalty data, penalty;
    double mean_slope, samples_per_time;

    DEVICE bool is_smooth() const { return GENERAL && x_slopes; }
    DEVICE double floor(int i) const {
        if (fixed_ends && i == m - 1) return x_times[n - 1];
        return maximum(x_times[0], low[i]);
    }
    DEVICE double ceiling(int i) const {
        if (fixed_ends && i == 0) return x_times[0];
        return minimum(x_times[n - 1], high[i]);
    }
};

// What all kernels get: pairs whose rows begin anywhere, with their lengths.
struct Problem {
    const double *x, *x_times, *x_slopes;
    const int64 *x_starts, *x_lengths;
    const double *y, *times;
    const int64 *starts, *lengths;
    const double *low, *high, *slope_min, *slope_max, *reg, *cumulative;
    int64 d;
    int fixed_ends;
    Penalty data, penalty;
};

// PARAMETERS names what a kernel takes for it, and PROBLEM puts it together.
#define PARAMETERS                                                                                                 \
    const double *x, const double *x_times, const double *x_slopes, const int64 *x_starts, const int64 *x_lengths, \
        const double *y, const double *times, const int64 *starts, const int64 *lengths, const double *low,        \
        const double *high, const double *slope_min, const double *slope_max, const double *reg,                   \
        const double *cumulative, int64 n_pairs, int64 d, int fixed_ends, int loss, double delta, int penalty,     \
        double penalty_delta
#define PROBLEM                                                                                                     \
    {                                                                                                               \
        x, x_times, x_slopes, x_starts, x_lengths, y, times, starts, lengths, low, high, slope_min, slope_max, reg, \
            cumulative, d, fixed_ends, {loss, delta}, {                                                             \
            penalty, penalty_delta                                                                                  \
        }                                                                                                           \
    }

DEVICE Pair pair_of(const Problem &all, int64 b) {
    const int64 at = all.x_starts[b], knot = all.starts[b];
    Pair pair = {static_cast<int>(all.x_lengths[b]),
                 static_cast<int>(all.lengths[b]),
                 static_cast<int>(all.d),
                 all.x + at * all.d,
                 all.x_times + at,
                 all.x_slopes ? all.x_slopes + at * all.d : nullptr,
                 all.y + knot * all.d,
                 all.times + knot,
                 all.low + knot,
                 all.high + knot,
                 all.slope_min + knot,
                 all.slope_max + knot,
                 all.reg[b],
                 all.cumulative[b],
                 all.fixed_ends != 0,
                 all.data,
                 all.penalty,
                 1.0,
                 0.0};
    if (pair.n < 2 || pair.m < 2) return pair;
    const double span = pair.x_times[pair.n - 1] - pair.x_times[0];
    if (pair.fixed_ends) pair.mean_slope = span / (pair.times[pair.m - 1] - pair.times[0]);
    pair.samples_per_time = static_cast<double>(pair.n - 1) / span;
    return pair;
}

// ── Over the threads of a block; `partial` has WARPS numbers. All threads get the same result. ──────────────────────────
DEVICE double block_sum(SharedPointer<double> partial, double value) {
    for (int other = 16; other > 0; other /= 2) value += shuffle_xor(value, other);
    if (lane() == 0) partial[thread_index() / 32] = value;
    sync_block();
    double total = 0;
    for (int warp = 0; warp < WARPS; ++warp) total += partial[warp];
    sync_block();
    return total;
}
DEVICE double block_max(SharedPointer<double> partial, double value) {
    for (int other = 16; other > 0; other /= 2) value = maximum(value, shuffle_xor(value, other));
    if (lane() == 0) partial[thread_index() / 32] = value;
    sync_block();
    double most = partial[0];
    for (int warp = 1; warp < WARPS; ++warp) most = maximum(most, partial[warp]);
    sync_block();
    return most;
}
DEVICE bool block_any(SharedPointer<double> partial, bool condition) {
    return block_max(partial, condition ? 1.0 : 0.0) > 0;
}

#define EACH(i, count) for (int i = thread_index(); i < (count); i += THREADS)
