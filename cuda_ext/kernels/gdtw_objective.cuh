// The objective of one pair along the chain of knots: values and one-sided derivatives. The twin of
// cpu_ext/gdtw/objective.hpp.

DEVICE double weight(const Pair &p, int i) {
    const double before = i ? p.times[i] - p.times[i - 1] : 0;
    const double after = i + 1 < p.m ? p.times[i + 1] - p.times[i] : 0;
    return 0.5 * (before + after);
}
DEVICE double step_of(const Pair &p, int i) { return p.times[i + 1] - p.times[i]; }
DEVICE double target(const Pair &p, int i) { return p.mean_slope * step_of(p, i); }
DEVICE double least(const Pair &p, int i) { return p.slope_min[i] * target(p, i); }
DEVICE double greatest(const Pair &p, int i) { return p.slope_max[i] * target(p, i); }
DEVICE double identity(const Pair &p, int i) { return p.x_times[0] + p.mean_slope * (p.times[i] - p.times[0]); }

// The segment of x that starts at or contains `at`; where the samples are even, the first guess is right.
ROUTINE int cell_right(const Pair &p, double at) {
    const double *tau = p.x_times;
    const double guess = (at - tau[0]) * p.samples_per_time;
    const int near = guess > 0 ? guess < p.n - 2 ? static_cast<int>(guess) : p.n - 2 : 0;
    if ((near == 0 || tau[near] <= at) && (near == p.n - 2 || at < tau[near + 1])) return near;
    int low = 0, high = p.n - 1;  // the largest k < n - 1 with tau[k] <= at, or 0
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (tau[middle] <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}
// The one that ends at or contains it.
DEVICE int cell_left(const Pair &p, double at) {
    const int k = cell_right(p, at);
    return k > 0 && p.x_times[k] == at ? k - 1 : k;
}

// x, its first and its second derivative at a time within segment k.
struct Reading {
    double value, slope, bend;
};
DEVICE Reading read_source(const Pair &p, int k, double at, int c) {
    const double h = p.x_times[k + 1] - p.x_times[k], a = (at - p.x_times[k]) / h;
    const double x0 = p.x[k * p.d + c], x1 = p.x[(k + 1) * p.d + c], rise = (x1 - x0) / h;
    if (!p.is_smooth()) return {x0 + a * (x1 - x0), rise, 0};
    const double s0 = p.x_slopes[k * p.d + c], s1 = p.x_slopes[(k + 1) * p.d + c];
    const double u = s0 - rise, v = s1 - rise;  // x = linear + h a(1-a) ((1-a) u - a v)
    return {x0 + a * (x1 - x0) + h * a * (1 - a) * ((1 - a) * u - a * v),
            rise + (1 - a) * (1 - 3 * a) * u - a * (2 - 3 * a) * v, ((6 * a - 4) * u + (6 * a - 2) * v) / h};
}

DEVICE double cumulative_cost(const Pair &p, int i, double at) {
    return p.cumulative > 0 ? p.cumulative * p.penalty.value(at - identity(p, i)) : 0;
}
DEVICE double node(const Pair &p, int i, double at, int k) {
    double sum = 0;
    const double *y = p.y + i * p.d;
    for (int c = 0; c < p.d; ++c) sum += p.data.value(read_source(p, k, at, c).value - y[c]);
    return weight(p, i) * (sum + cumulative_cost(p, i, at));
}
DEVICE double link(const Pair &p, int i, double rise) {
    const double dt = step_of(p, i);
    return p.reg * dt * p.penalty.value(rise / dt - p.mean_slope);
}
// By all threads of the block.
ROUTINE double objective(const Pair &p, SharedPointer<double> partial, const double *warp) {
    double sum = 0;
    EACH(i, p.m) {
        sum += node(p, i, warp[i], cell_right(p, warp[i]));
        if (i + 1 < p.m) sum += link(p, i, warp[i + 1] - warp[i]);
    }
    return block_sum(partial, sum);
}

// Derivative of the cost of knot i towards `direction` (-1 or 1) where x is read in segment k. Kinks that lie within
// `slack` are taken to lie at this very time.
ROUTINE double node_slope(const Pair &p, int i, double at, int k, double direction, double slack = 0) {
    double sum = 0;
    const double *y = p.y + i * p.d;
    for (int c = 0; c < p.d; ++c) {
        const Reading read = read_source(p, k, at, c);
        double r = read.value - y[c];
        const double rounding = 1e-15 * (fabs(read.value) + fabs(y[c]));
        if (slack > 0 && fabs(r) <= slack * fabs(read.slope) + rounding) r = 0;
        sum += p.data.slope(r, direction * read.slope) * read.slope;
    }
    if (p.cumulative > 0) {
        const double e = at - identity(p, i);
        sum += p.cumulative * p.penalty.slope(fabs(e) <= slack ? 0 : e, direction);
    }
    return weight(p, i) * sum;
}
ROUTINE double node_curvature(const Pair &p, int i, double at, int k) {
    double sum = 0;
    const double *y = p.y + i * p.d;
    for (int c = 0; c < p.d; ++c) {
        const Reading read = read_source(p, k, at, c);
        sum += p.data.curvature(read.value - y[c]) * read.slope * read.slope;
        if (read.bend != 0) sum += p.data.slope(read.value - y[c]) * read.bend;
    }
    if (p.cumulative > 0) sum += p.cumulative * p.penalty.curvature(at - identity(p, i));
    return weight(p, i) * sum;
}
DEVICE double link_slope(const Pair &p, int i, double rise, double direction = 0, double slack = 0) {
    const double e = fabs(rise - target(p, i)) <= slack ? 0 : rise / step_of(p, i) - p.mean_slope;
    return p.reg * p.penalty.slope(e, direction);
}
DEVICE double link_curvature(const Pair &p, int i, double rise) {
    const double dt = step_of(p, i);
    return p.reg * p.penalty.curvature(rise / dt - p.mean_slope) / dt;
}
