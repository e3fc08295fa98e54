// Dynamic programming over grids of warps: finds the basin that the local search then solves to the end. The twin of
// cpu_ext/gdtw/grid.hpp and step.cpp.
//
// Work: the knots one after the other, the points of a knot among the threads. The price of a step is a convex function of
// its rise and both grids increase, so the best point to come from grows with the point to come to. Some rows (points to
// come to) look at all points; every 16th between them at what those leave, four lanes each; the rest at what is left by
// their neighbours, one thread each.
//
// The costs of the knot before and its points lie in shared memory, or in global memory where WIDE_GRID is 1.

#define ROWS_BETWEEN 16
#define GRID_ROOM 2056  // points of a knot in shared memory

// The points of a knot: even ones between low and high, of which the nearest gives way to the warp itself.
struct Points {
    double low, spacing, high, anchor;
    int count, place, number;

    DEVICE double even(int j) const { return j == count - 1 ? high : low + spacing * static_cast<double>(j); }
    DEVICE double at(int j) const { return j == place ? anchor : even(j); }
};

DEVICE void place_anchor(Points &points) {
    points.number = points.high > points.low ? points.count : 1;
    const double from_low = points.number > 1 ? (points.anchor - points.low) / points.spacing : 0,
                 whole = floor(from_low);
    const double nearest = from_low - whole >= 0.5 ? whole + 1 : whole;
    points.place = nearest > 0 ? nearest < points.count ? static_cast<int>(nearest) : points.count - 1 : 0;
}

DEVICE Points points_of(const Work &w, const double *low, const double *high, int count, const double *warp, int i) {
    return {low[i], w.spacings[i], high[i], warp[i], count, w.places[i], w.numbers[i]};
}

// What a step costs.
struct Price {
    double middle, scale, arm, low, high;
    Penalty penalty;

    // Infinity outside of the bounds.
    DEVICE double operator()(double cost, double rise) const {
        if (!(rise >= low && rise <= high)) return infinity();
        const double e = rise - middle;
        if (penalty.kind() == SQUARED) return cost + scale * e * e;
        const double size = fabs(e);
        if (penalty.kind() == ABSOLUTE) return cost + scale * size;
        return cost + scale * (size <= arm ? e * e : arm * (2.0 * size - arm));
    }
};

// The choice of the nearest row that has one, in steps of `by`.
DEVICE int choice_before(const int *choices, int j, int by) {
    for (; j >= 0; j -= by)
        if (choices[j] >= 0) return choices[j];
    return 0;
}
DEVICE int choice_after(const int *choices, int j, int by, int last_row, int last_point) {
    for (;; j = minimum(j + by, last_row)) {
        if (choices[j] >= 0) return choices[j];
        if (j == last_row) return last_point;
    }
}

// The best point in [first, last] to come from, searched by `width` neighbouring lanes; the first of equal ones.
template <class Row>
DEVICE void search_row(Row costs, Row points, const Price &price, double to, int first, int last, int width,
                       double &best, int &at) {
    best = infinity();
    at = -1;
    for (int k = first + (lane() & (width - 1)); k <= last; k += width) {
        const double value = price(costs[k], to - points[k]);
        if (value < best) best = value, at = k;
    }
    for (int other = width / 2; other > 0; other /= 2) {
        const double value = shuffle_xor(best, other);
        const int k = shuffle_xor(at, other);
        if (value < best || (value == best && k >= 0 && k < at)) best = value, at = k;
    }
}

// Adds the least cost of all ways to each point to `candidates`, which holds the cost of the knot itself.
template <class Row>
DEVICE void step_between(Row costs, Row points, int n_from, const Points &to, const Price &price, double *candidates,
                         int *choices) {
    const int last_row = to.number - 1, last_point = n_from - 1;
    const int blocks = (last_row + ROWS_BETWEEN - 1) / ROWS_BETWEEN;
    const int per_warp = maximum((blocks + WARPS - 2) / (WARPS - 1), 1), stride = per_warp * ROWS_BETWEEN;
    double best;
    int at;
    const int own = thread_index() / 32 * stride;  // the row of this warp; behind the last one there is none
    search_row(costs, points, price, to.at(minimum(own, last_row)), 0, last_point, 32, best, at);
    if (lane() == 0 && own < last_row + stride) {
        choices[minimum(own, last_row)] = at;
        candidates[minimum(own, last_row)] += best;
    }
    sync_block();
    for (int b0 = 0; b0 < blocks; b0 += THREADS / 4) {
        const int b = b0 + thread_index() / 4, j = b * ROWS_BETWEEN;
        const bool works = b < blocks && b % per_warp != 0;
        int first = 0, last = -1;
        if (works) {
            const int before = b / per_warp * stride;
            first = choice_before(choices, before, stride);
            last = choice_after(choices, minimum(before + stride, last_row), stride, last_row, last_point);
        }
        search_row(costs, points, price, to.at(works ? j : 0), first, last, 4, best, at);
        if (works && (thread_index() & 3) == 0) {
            choices[j] = at;
            candidates[j] += best;
        }
    }
    sync_block();
    EACH(j, last_row) {
        if (j % ROWS_BETWEEN == 0) continue;
        const int before = j / ROWS_BETWEEN * ROWS_BETWEEN;
        const int first = choice_before(choices, before, ROWS_BETWEEN);
        const int last =
            choice_after(choices, minimum(before + ROWS_BETWEEN, last_row), ROWS_BETWEEN, last_row, last_point);
        const double here = to.at(j);
        double least_cost = infinity();
        int from = -1;
        for (int k = first; k <= last; ++k) {
            const double value = price(costs[k], here - points[k]);
            if (value < least_cost) least_cost = value, from = k;
        }
        choices[j] = from;
        candidates[j] += least_cost;
    }
    sync_block();
}

// The costs of knot i at its points.
DEVICE void fill_nodes(Work &w, const Points &points, int i) {
    const Pair &p = w.pair;
    const bool direct = p.data.kind() != SQUARED || p.is_smooth();
    if (!direct) {
        // |x(u) - y|^2 within a segment needs the squared distances of its ends only: no features for every point.
        const int first = cell_right(p, points.at(0)), last = cell_right(p, points.at(points.number - 1)) + 1;
        const double *y = p.y + i * p.d;
        for (int k = first + thread_index(); k <= last; k += THREADS) {
            double sum = 0;
            for (int c = 0; c < p.d; ++c) {
                const double r = p.x[k * p.d + c] - y[c];
                sum += r * r;
            }
            w.distances[k] = sum;
        }
        sync_block();
    }
    const double weight_i = weight(p, i);
    EACH(j, points.number) {
        const double at = points.at(j);
        const int k = cell_right(p, at);
        if (direct) {
            w.candidates[j] = node(p, i, at, k);
            continue;
        }
        const double a = (at - p.x_times[k]) / (p.x_times[k + 1] - p.x_times[k]);
        const double square = w.distances[k] + a * (w.distances[k + 1] - w.distances[k]) - a * (1 - a) * w.jumps[k];
        w.candidates[j] = weight_i * (square + cumulative_cost(p, i, at));
    }
    sync_block();
}

DEVICE void fill_jumps(Work &w) {
    const Pair &p = w.pair;
    EACH(k, p.n - 1) {
        double sum = 0;
        for (int c = 0; c < p.d; ++c) {
            const double rise = p.x[(k + 1) * p.d + c] - p.x[k * p.d + c];
            sum += rise * rise;
        }
        w.jumps[k] = sum;
    }
    sync_block();
}

// Replaces the warp by the best one on a grid of `count` points between low and high, the warp itself among them.
template <class Row>
ROUTINE void improve(Work &w, Row costs, Row from, const double *low, const double *high, int count, double *warp) {
    const Pair p = w.pair;
    EACH(i, p.m) {
        Points points = {low[i], (high[i] - low[i]) / static_cast<double>(count - 1), high[i], warp[i], count, 0, 0};
        place_anchor(points);
        w.spacings[i] = points.spacing;
        w.places[i] = points.place;
        w.numbers[i] = points.number;
    }
    sync_block();
    int before = 0;
    for (int i = 0; i < p.m; ++i) {
        const Points points = points_of(w, low, high, count, warp, i);
        fill_nodes(w, points, i);
        if (i) {
            const double dt = step_of(p, i - 1);
            const Price price = {target(p, i - 1),
                                 p.penalty.kind() == ABSOLUTE ? p.reg : p.reg / dt,
                                 p.penalty.delta * dt,
                                 least(p, i - 1) - w.tolerance,
                                 greatest(p, i - 1) + w.tolerance,
                                 p.penalty};
            step_between(costs, from, before, points, price, w.candidates,
                         w.choices + static_cast<int64>(i) * w.stride);
        }
        EACH(j, points.number) {
            costs[j] = w.candidates[j];
            from[j] = points.at(j);
        }
        before = points.number;
        sync_block();
    }
    // The best point of the last knot, the first of equal ones, and the way back to the first knot.
    if (thread_index() < 32) {
        double best = infinity();
        int at = 0;
        for (int j = lane(); j < before; j += 32)
            if (costs[j] < best) best = costs[j], at = j;
        for (int other = 16; other > 0; other /= 2) {
            const double value = shuffle_xor(best, other);
            const int j = shuffle_xor(at, other);
            if (value < best || (value == best && j < at)) best = value, at = j;
        }
        if (lane() == 0)
            for (int i = p.m - 1; i >= 0; --i) {
                w.cell[i] = at;
                if (i && at >= 0) at = w.choices[static_cast<int64>(i) * w.stride + at];
            }
    }
    sync_block();
    EACH(i, p.m) {
        const double at = w.cell[i] < 0 ? warp[i] : points_of(w, low, high, count, warp, i).at(w.cell[i]);
        warp[i] = at;
    }
    sync_block();
}
