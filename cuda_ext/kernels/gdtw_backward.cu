// Gradients through the optimal warp, by implicit differentiation on its active set. The twin of
// cpu_ext/gdtw/backward.cpp, which has the formulas.
//
// Work: one block for a pair; a thread for a knot. The tridiagonal system is solved by one thread. What knots add to the
// samples of x is kept, and added up by one thread for each feature, from the first knot to the last: no atomics, and sums
// in the same order whenever the kernel runs.

struct Pull {
    const double *warp, *upstream;
    const int *cell, *holds, *ties;
    double *x, *x_times, *x_slopes, *y, *times, *low, *high, *slope_min, *slope_max, *reg, *cumulative;
};

struct Room {
    Hessian hessian;
    double *u, *rest, *by_hold, *by_tie;       // the solution, what is left of the upstream gradient, multipliers
    double *first, *second, *steps, *weights;  // of times: samples cell and cell + 1, steps, weights of knots
    double *before, *after, *before_slope, *after_slope;  // of x and its slopes there, for each feature
};

// The multipliers of rows that hold a knot or tie a step.
DEVICE void find_multipliers(const Pair &p, const Pull &in, const Room &r) {
    const Hessian &h = r.hessian;
    EACH(i, p.m) {
        double rest = r.rest[i] - h.node[i] * r.u[i];
        if (i) rest -= h.link[i - 1] * (r.u[i] - r.u[i - 1]);
        if (i + 1 < p.m) rest -= h.link[i] * (r.u[i] - r.u[i + 1]);
        r.rest[i] = rest;
        r.by_hold[i] = r.by_tie[i] = 0;
    }
    sync_block();
    EACH(first, p.m) {
        if (first && in.ties[first - 1] != FREE) continue;
        int last = first, held = -1;  // the first knot that is held
        for (;; ++last) {
            if (held < 0 && in.holds[last] != FREE) held = last;
            if (in.ties[last] == FREE) break;
        }
        double sum = 0;
        for (int i = first; i < (held < 0 ? last : held); ++i) sum += r.rest[i], r.by_tie[i] = -sum;
        if (held < 0) continue;
        // What lies to the right of a held knot, up to the next one, is carried by it.
        sum = 0;
        for (int i = last; i > held; --i) {
            sum += r.rest[i];
            if (in.holds[i] != FREE) r.by_hold[i] = sum, sum = 0;
            r.by_tie[i - 1] = sum;
        }
        r.by_hold[held] = r.rest[held] + sum - (held > first ? r.by_tie[held - 1] : 0);
    }
    sync_block();
}

// What knot i adds to the samples around it, and to its own y.
DEVICE void pull_knot(const Pair &p, const Pull &in, const Room &r, int i) {
    const double u = r.u[i], w = weight(p, i), at = in.warp[i];
    const int k = in.cell[i];
    const double t0 = p.x_times[k], h = p.x_times[k + 1] - t0, a = (at - t0) / h;
    const double g1 = a * (1 - a) * (1 - a), g2 = -a * a * (1 - a);
    const double d1 = (1 - a) * (1 - 3 * a), d2 = -a * (2 - 3 * a);
    const bool smooth = p.is_smooth();
    const double from_rise = smooth ? a - (g1 + g2) : a, slope_from_rise = (smooth ? 1 - (d1 + d2) : 1) / h;
    double first = 0, second = 0;
    for (int c = 0; c < p.d; ++c) {
        double before = 0, after = 0, before_slope = 0, after_slope = 0, own = 0;
        const Reading read = read_source(p, k, at, c);
        if (u != 0) {
            const double residual = read.value - p.y[i * p.d + c];
            // dL/dx(phi) and dL/dx'(phi) at a fixed warp
            const double by_value = -u * w * p.data.curvature(residual) * read.slope,
                         by_slope = -u * w * p.data.slope(residual);
            own = -by_value;
            before = by_value * (1 - from_rise) - by_slope * slope_from_rise;
            after = by_value * from_rise + by_slope * slope_from_rise;
            const double rise = (p.x[(k + 1) * p.d + c] - p.x[k * p.d + c]) / h;
            double value_h = -a * rise, slope_h = -rise / h;
            if (smooth) {
                const double s = p.x_slopes[k * p.d + c] - rise, q = p.x_slopes[(k + 1) * p.d + c] - rise;
                value_h += g1 * s + g2 * q - a * (d1 * s + d2 * q) + (g1 + g2) * rise;
                slope_h += ((d1 + d2) * rise - a * ((6 * a - 4) * s + (6 * a - 2) * q)) / h;
                before_slope = by_value * h * g1 + by_slope * d1;
                after_slope = by_value * h * g2 + by_slope * d2;
            }
            first += by_value * (-read.slope - value_h) + by_slope * (-read.bend - slope_h);
            second += by_value * value_h + by_slope * slope_h;
        }
        if (in.holds[i] == RESIDUAL + c) {
            const double nu = r.by_hold[i];
            own += nu / read.slope;
            before -= nu * (1 - a) / read.slope;
            after -= nu * a / read.slope;
            first += nu * (1 - a);
            second += nu * a;
        }
        in.y[i * p.d + c] = own;
        r.before[i * p.d + c] = before;
        r.after[i * p.d + c] = after;
        if (smooth) {
            r.before_slope[i * p.d + c] = before_slope;
            r.after_slope[i * p.d + c] = after_slope;
        }
    }
    if (in.holds[i] == SAMPLE) first += r.by_hold[i];
    r.first[i] = first;
    r.second[i] = second;
}

// Adds what the knots left for samples cell and cell + 1 to one column of x.
DEVICE void add_up(const Pair &p, const int *cell, const double *before, const double *after, int stride, double *out) {
    double here = 0, next = 0;
    int k = cell[0];
    for (int i = 0; i < p.m; ++i) {
        if (cell[i] != k) {
            out[k * stride] += here;
            out[(k + 1) * stride] += next;
            here = next = 0, k = cell[i];
        }
        here += before[i * stride];
        next += after[i * stride];
    }
    out[k * stride] += here;
    out[(k + 1) * stride] += next;
}

DEVICE void pull(const Pair &p, const Pull &in, const Room &r, int64 width, SharedPointer<double> partial) {
    const int m = p.m;
    // What repeats the last number of a shorter row adds to its gradient.
    double tail = 0;
    for (int64 i = m + thread_index(); i < width; i += THREADS) tail += in.upstream[i];
    tail = block_sum(partial, tail);
    EACH(i, m) r.rest[i] = in.upstream[i] + (i == m - 1 ? tail : 0.0);
    fill_hessian(p, in.warp, in.cell, r.hessian);
    if (thread_index() == 0) solve_hessian(p, r.hessian, in.holds, in.ties, r.rest, r.u);
    sync_block();
    find_multipliers(p, in, r);

    // Sums over the knots: of x_times at both ends, of times at the first, reg, cumulative, and the mean slope.
    double start = 0, end = 0, lines = 0, mean = 0, reg = 0, cumulative = 0;
    EACH(i, m) {
        pull_knot(p, in, r, i);
        const double u = r.u[i], w = weight(p, i), by_hold = r.by_hold[i];
        const int held = in.holds[i];
        double line = held == IDENTITY ? by_hold : 0;  // of g_i = tau_0 + s (t_i - t_0)
        if (p.cumulative > 0) {
            const double e = in.warp[i] - identity(p, i);
            cumulative -= u * w * p.penalty.slope(e);
            line += u * w * p.cumulative * p.penalty.curvature(e);
        }
        lines += line;
        mean += line * (p.times[i] - p.times[0]);
        if (held == SOURCE_START) start += by_hold;
        if (held == SOURCE_END) end += by_hold;
        in.low[i] = held == BAND_LOW ? by_hold : 0;
        in.high[i] = held == BAND_HIGH ? by_hold : 0;
        r.weights[i] = u != 0 && w > 0 ? -0.5 * u * (node_slope(p, i, in.warp[i], in.cell[i], 0) / w) : 0;
        in.times[i] = line * p.mean_slope;
        double step = 0;
        if (i + 1 < m) {
            const double dt = step_of(p, i), rise = in.warp[i + 1] - in.warp[i], du = r.u[i + 1] - u;
            const double e = rise / dt - p.mean_slope, nu = r.by_tie[i];
            const int tie = in.ties[i];
            if (du != 0) {
                reg -= du * p.penalty.slope(e);
                const double bend = p.reg * p.penalty.curvature(e) * du;
                step += bend * rise / (dt * dt);
                mean += bend;
            }
            if (tie != FREE && nu != 0) {
                const double slope = tie == LEAST ? p.slope_min[i] : tie == GREATEST ? p.slope_max[i] : 1;
                step += nu * slope * p.mean_slope;
                mean += nu * slope * dt;
            }
            in.slope_min[i] = tie == LEAST ? nu * target(p, i) : 0;
            in.slope_max[i] = tie == GREATEST ? nu * target(p, i) : 0;
        }
        r.steps[i] = step;
    }
    start = block_sum(partial, start), end = block_sum(partial, end), lines = block_sum(partial, lines);
    mean = block_sum(partial, mean), reg = block_sum(partial, reg), cumulative = block_sum(partial, cumulative);
    const double share = p.fixed_ends ? mean / (p.times[m - 1] - p.times[0]) : 0;
    EACH(i, m) {
        double g = in.times[i];
        if (i) g += r.steps[i - 1] + r.weights[i] + r.weights[i - 1];
        if (i + 1 < m) g -= r.steps[i] + r.weights[i] + r.weights[i + 1];
        if (i == 0) g += (share - lines) * p.mean_slope;
        if (i == m - 1) g -= share * p.mean_slope;
        in.times[i] = g;
    }
    EACH(c, p.d) {
        add_up(p, in.cell, r.before + c, r.after + c, p.d, in.x + c);
        if (p.is_smooth()) add_up(p, in.cell, r.before_slope + c, r.after_slope + c, p.d, in.x_slopes + c);
    }
    if (thread_index() == THREADS - 1) {
        add_up(p, in.cell, r.first, r.second, 1, in.x_times);
        in.x_times[0] += start + lines - share;
        in.x_times[p.n - 1] += end + share;
        in.reg[0] = reg;
        in.cumulative[0] = cumulative;
    }
}

KERNEL void __launch_bounds__(THREADS)
    gdtw_backward(PARAMETERS, const double *warps, const int *cells, const int *holds, const int *ties,
                  const double *upstream, int64 longest_x, int64 longest, int64 width, double *numbers, int64 n_numbers,
                  int *integers, int64 n_integers, double *by_x, double *by_x_times, double *by_x_slopes, double *by_y,
                  double *by_times, double *by_low, double *by_high, double *by_slope_min, double *by_slope_max,
                  double *by_reg, double *by_cumulative) {
    SHARED_ARRAY(double, partial, WARPS);
    const Problem problem = PROBLEM;
    for (int64 b = block_index(); b < n_pairs; b += blocks_in_grid()) {
        const int64 at = x_starts[b], knot = starts[b];
        const bool fine = check_lengths(x_lengths[b], lengths[b], longest_x, longest) == FINE && is_finite(warps[knot]);
        if (!fine) {  // the pair was not solved
            if (thread_index() == 0) by_reg[b] = by_cumulative[b] = not_a_number();
            const int64 rows = minimum(x_lengths[b], longest_x) * d, knots = minimum(lengths[b], longest) * d;
            EACH(i, rows) by_x[at * d + i] = not_a_number();
            EACH(i, knots) by_y[knot * d + i] = not_a_number();
            continue;
        }
        const Pair p = pair_of(problem, b);
        Portions of = {numbers + block_index() * n_numbers, integers + block_index() * n_integers};
        Room r;
        r.hessian = take_hessian(of, longest);
        r.u = of.take(longest), r.rest = of.take(longest), r.by_hold = of.take(longest), r.by_tie = of.take(longest);
        r.first = of.take(longest), r.second = of.take(longest), r.steps = of.take(longest),
        r.weights = of.take(longest);
        r.before = of.take(longest * d), r.after = of.take(longest * d);
        r.before_slope = r.after_slope = nullptr;
        if (p.is_smooth()) r.before_slope = of.take(longest * d), r.after_slope = of.take(longest * d);
        const Pull in = {
            warps + knot,        upstream + knot,     cells + knot,    holds + knot,
            ties + knot,         by_x + at * d,       by_x_times + at, by_x_slopes ? by_x_slopes + at * d : nullptr,
            by_y + knot * d,     by_times + knot,     by_low + knot,   by_high + knot,
            by_slope_min + knot, by_slope_max + knot, by_reg + b,      by_cumulative + b};
        pull(p, in, r, width, partial);
        sync_block();
    }
}
