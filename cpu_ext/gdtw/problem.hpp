// Continuous-time warping of pairs of signals: what is minimised, over which warps, and what comes out.
//
// A warp gives every knot t_i of the target y a time phi_i of the source x. Minimised is
//   sum_i w_i sum_c data(x_c(phi_i) - y_ic) + reg sum_i dt_i penalty(dphi_i / dt_i - s) + cum sum_i w_i penalty(phi_i - g_i)
// with w the weights of the trapezoid rule, s the mean slope and g_i = tau_0 + s (t_i - t_0), over all warps with
//   low_i <= phi_i <= high_i   and   slope_min_i s dt_i <= dphi_i <= slope_max_i s dt_i.
#pragma once

#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace sdtw::gdtw {

using Index = std::int64_t;

constexpr double infinity = std::numeric_limits<double>::infinity();

enum class Loss : int { squared = 0, absolute = 1, huber = 2 };

// r^2, |r|, or r^2 up to delta and the tangent beyond.
struct Penalty {
    Loss loss = Loss::squared;
    double delta = 1;

    double value(double r) const {
        const double a = std::fabs(r);
        if (loss == Loss::squared || (loss == Loss::huber && a <= delta)) return r * r;
        return loss == Loss::absolute ? a : delta * (2 * a - delta);
    }
    // At the kink of the absolute value: the slope on the side of `direction`.
    double slope(double r, double direction = 0) const {
        if (loss == Loss::squared || (loss == Loss::huber && std::fabs(r) <= delta)) return 2 * r;
        const double sign = r != 0 ? r : direction;
        const double size = loss == Loss::absolute ? 1 : 2 * delta;
        return sign > 0 ? size : sign < 0 ? -size : 0;
    }
    double curvature(double r) const {
        return loss == Loss::squared || (loss == Loss::huber && std::fabs(r) < delta) ? 2 : 0;
    }
};

// One pair of signals. The source is interpolated linearly, or by cubics where it comes with slopes.
struct Pair {
    Index n, m, d;
    const double *x, *x_times, *x_slopes;  // (n, d), (n,), (n, d) or null
    const double *y, *times;               // (m, d), (m,): at the knots
    const double *low, *high;              // (m,): bounds of the warp, may be infinite
    const double *slope_min, *slope_max;   // (m,): the last is not used
    double reg, cumulative;
    bool fixed_ends;
    Penalty data, penalty;

    double mean_slope() const { return fixed_ends ? (x_times[n - 1] - x_times[0]) / (times[m - 1] - times[0]) : 1.0; }
    double floor(Index i) const {
        if (fixed_ends && i == m - 1) return x_times[n - 1];
        return std::max(x_times[0], low[i]);
    }
    double ceiling(Index i) const {
        if (fixed_ends && i == 0) return x_times[0];
        return std::min(x_times[n - 1], high[i]);
    }
};

// Pairs one after the other: pair b has rows x_offsets[b] .. of x and knots y_offsets[b] .. of y.
struct Problem {
    Index size, d;
    const double *x, *x_times, *x_slopes;
    const Index *x_offsets;
    const double *y, *times;
    const Index *y_offsets;
    const double *low, *high, *slope_min, *slope_max;
    const double *reg, *cumulative;  // one for each pair
    bool fixed_ends;
    Penalty data, penalty;

    Pair pair(Index b) const {
        const Index at = x_offsets[b], knot = y_offsets[b];
        return {x_offsets[b + 1] - at,
                y_offsets[b + 1] - knot,
                d,
                x + at * d,
                x_times + at,
                x_slopes ? x_slopes + at * d : nullptr,
                y + knot * d,
                times + knot,
                low + knot,
                high + knot,
                slope_min + knot,
                slope_max + knot,
                reg[b],
                cumulative[b],
                fixed_ends,
                data,
                penalty};
    }
};

// Which constraint or kink holds a knot in place ...
enum Hold : std::int32_t {
    free_knot = 0,
    source_start = 1,
    source_end = 2,
    band_low = 3,
    band_high = 4,
    sample = 5,    // the kink of x at one of its samples
    identity = 6,  // the kink of the cumulative penalty
    residual = 7,  // + c: the kink of the absolute residual of feature c
};
// ... and which a step from one knot to the next.
enum Tie : std::int32_t { free_step = 0, least = 1, greatest = 2, mean = 3 };

// What is found for a pair, knot by knot: the warp and its active set.
struct Solution {
    double *warp;         // (m,)
    std::int32_t *cell;   // (m,): x is read between samples cell and cell + 1; a sample that holds is cell itself
    std::int32_t *holds;  // (m,)
    std::int32_t *ties;   // (m,): of the step to the next knot; the last is free
    double *objective, *residual;
    std::int32_t *status;  // 0, or 1 where no warp meets the constraints
};

struct Gradients {
    double *x, *x_times, *x_slopes, *y, *times, *low, *high, *slope_min, *slope_max, *reg, *cumulative;
};

// Where the constraints of any pair leave no warp, only the status is set. `points`: of the first grid; 0 chooses, and
// below 0 all warps are searched at once.
void solve(const Problem &problem, Index points, const Solution &out, int n_threads, std::atomic<bool> &stop);

// Adds d(upstream . warp) to the gradients, which start at zero.
void backward(const Problem &problem, const double *warp, const std::int32_t *cell, const std::int32_t *holds,
              const std::int32_t *ties, const double *upstream, const Gradients &out, int n_threads,
              std::atomic<bool> &stop);

}  // namespace sdtw::gdtw
