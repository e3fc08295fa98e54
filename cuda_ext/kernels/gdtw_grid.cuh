// Dynamic programming over grids of warps: finds the basin that the local search then solves to the end. The twin of
// cpu_ext/gdtw/grid.hpp and step.cpp.
//
// Work: the knots one after the other, the points of a knot among the threads. The price of a step is a convex function of
// its rise and both grids increase, so the best point to come from grows with the point to come to. Each warp has a
// stretch of the points to come to. First all its lanes look for the best way to the last of them, among all points. From
// there on no warp waits for another: every 16th point is looked for by four lanes each among what the ends leave, every
// 4th by one lane each among what those leave, and so are the others. A search that is left with much is shared by all
// lanes, or it would hold up the block.
//
// Memory: what a step from each point costs lies in shared memory, or in global memory where WIDE_GRID is 1.

#define GRID_ROOM 2056  // points of a knot in shared memory
#define AT_ONCE 8       // knots whose distances to x are computed together

// put(j, get(j)) for each point: first get for some of them, so that their loads are under way at once.
#define POINTS_AT_ONCE 5
template <class Get, class Put> DEVICE void for_points(int count, Get &&get, Put &&put) {
    for (int first = thread_index(); first < count; first += POINTS_AT_ONCE * THREADS) {
        double numbers[POINTS_AT_ONCE];
#pragma unroll
        for (int u = 0; u < POINTS_AT_ONCE; ++u) {
            const int j = first + u * THREADS;
            if (j >= count) continue;
            numbers[u] = get(j);
        }
#pragma unroll
        for (int u = 0; u < POINTS_AT_ONCE; ++u)
            if (first + u * THREADS < count) put(first + u * THREADS, numbers[u]);
    }
}

// The points of a knot: even ones between low and high, of which the nearest gives way to the warp itself.
struct Points {
    double low, spacing, per_spacing, high, anchor;
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
    return {low[i], w.spacings[i], w.per_spacing[i], high[i], warp[i], count, w.places[i], w.numbers[i]};
}

// The points before a step and what it costs to go on from each. For squares that is a line for each point, in the place
// to come to (less its square, which all have in common): a multiplication and an addition for a candidate.
#if WIDE_GRID
typedef double *Row;
#else
typedef SharedPointer<double> Row;
#endif
struct Ways {
    Row base, tilt;
    const double *costs;
    Points from;
    double middle, scale, arm, low, high;
    Penalty penalty;

    DEVICE void prepare(int k, double cost) const {
        const bool plain = penalty.kind() == SQUARED;
        const double at = from.at(k), off = at - from.low;
        base[k] = plain ? cost + scale * off * off : cost;
        tilt[k] = plain ? -2 * scale * off : at;
    }
    DEVICE double reduced(double to) const { return to - middle - (penalty.kind() == SQUARED ? from.low : 0); }
    DEVICE double candidate(double base_k, double tilt_k, double reduced_to) const {
        if (penalty.kind() == SQUARED) return fused(tilt_k, reduced_to, base_k);
        return base_k + price(reduced_to - tilt_k);
    }
    DEVICE double price(double e) const {
        if (penalty.kind() == SQUARED) return scale * e * e;
        const double size = fabs(e);
        if (penalty.kind() == ABSOLUTE) return scale * size;
        return scale * (size <= arm ? e * e : arm * (2.0 * size - arm));
    }
    DEVICE double cost(int k, double to) const {
        return k < 0 ? infinity() : costs[k] + price(to - from.at(k) - middle);
    }
    // Of the points in [first, last] those from which the bounds of the step leave a way; rises fall from point to point.
    // A way that just keeps to a bound is within the tolerance of it, so rounding of the quotients does no harm.
    DEVICE void cut(double to, int &first, int &last) const {
        const double least = (to - high - from.low) * from.per_spacing, most = (to - low - from.low) * from.per_spacing;
        int low_end = least > first ? (least <= last ? static_cast<int>(ceil(least)) : last + 1) : first;
        int high_end = most < last ? (most >= 0 ? static_cast<int>(most) : -1) : last;
        // The warp's own point is not where an even one would be.
        const double rise = to - from.anchor;
        low_end = rise > high ? maximum(low_end, from.place + 1) : minimum(low_end, maximum(from.place, first));
        high_end = rise < low ? minimum(high_end, from.place - 1) : maximum(high_end, minimum(from.place, last));
        first = low_end, last = high_end;
    }
};

// The best point in [first, last] to come from, searched by `width` neighbouring lanes; the first of equal ones, -1 where
// there is none.
DEVICE int best_way(const Ways &ways, double to, int first, int last, int width) {
    const double reduced_to = ways.reduced(to);
    double best = infinity();
    int at = -1;
#pragma unroll 4
    for (int k = first + (lane() & (width - 1)); k <= last; k += width) {
        const double value = ways.candidate(ways.base[k], ways.tilt[k], reduced_to);
        if (value < best) best = value, at = k;
    }
    for (int other = width / 2; other > 0; other /= 2) {
        const double value = shuffle_xor(best, other);
        const int k = shuffle_xor(at, other);
        if (value < best || (value == best && k >= 0 && k < at)) best = value, at = k;
    }
    return at;
}

// Of a warp: the points between those known, which are every KNOWN-th (0: every `stretch`-th) from `begin` on and `end`:
// every BY-th, ROWS of them at once by WIDTH lanes.
template <int KNOWN, int BY, int WIDTH, int ROWS>
DEVICE void between_known(const Ways &ways, const Points &to, int begin, int end, int stretch, double *costs,
                          int *choices) {
    const int known = KNOWN ? KNOWN : stretch, each = (known / BY - 1) / ROWS;
    const int groups = (end - begin + known - 1) / known * each;
    for (int group0 = 0; group0 < groups; group0 += 32 / WIDTH) {
        const int group = group0 + lane() / WIDTH, gap = group / each, before = begin + gap * known;
        const int j = before + ((group - gap * each) * ROWS + 1) * BY;
        const bool works = group < groups && j < end;
        int left = 0, right = works ? ways.from.number - 1 : -1;
        if (works) {  // the choices of the nearest known points that have one
            for (int k = before; k >= begin; k -= known)
                if (choices[k] >= 0) {
                    left = choices[k];
                    break;
                }
            for (int k = minimum(before + known, end);; k = minimum(k + known, end)) {
                if (choices[k] >= 0) right = choices[k];
                if (choices[k] >= 0 || k == end) break;
            }
        }
        double here[ROWS], least_value[ROWS];
        int first[ROWS], last[ROWS], at[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            here[r] = to.at(works ? minimum(j + r * BY, end) : 0);
            first[r] = left, last[r] = right, at[r] = -1;
            ways.cut(here[r], first[r], last[r]);
            if (!works || j + r * BY >= end) last[r] = -1;
        }
        bool is_long = works && right - left >= 48 * WIDTH;
        for (;;) {
            const int who = leading_lanes(!is_long);
            if (who == 32) break;
            const bool is_mine = lane() / WIDTH == who / WIDTH;
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                const int found =
                    best_way(ways, shuffle(here[r], who), shuffle(first[r], who), shuffle(last[r], who), 32);
                if (is_mine) at[r] = found, last[r] = -1;
            }
            if (is_mine) is_long = false, right = -1;
        }
        if constexpr (ROWS == 1) {
            at[0] = maximum(at[0], best_way(ways, here[0], first[0], last[0], WIDTH));
        } else {
            double reduced_to[ROWS];
#pragma unroll
            for (int r = 0; r < ROWS; ++r) reduced_to[r] = ways.reduced(here[r]), least_value[r] = infinity();
#pragma unroll 2
            for (int k = left; k <= right; ++k) {
                const double base = ways.base[k], tilt = ways.tilt[k];
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    const double value = ways.candidate(base, tilt, reduced_to[r]);
                    if (value < least_value[r] && k >= first[r] && k <= last[r]) least_value[r] = value, at[r] = k;
                }
            }
        }
        if (works && lane() % WIDTH == 0)
#pragma unroll
            for (int r = 0; r < ROWS; ++r)
                if (j + r * BY < end) choices[j + r * BY] = at[r], costs[j + r * BY] += ways.cost(at[r], here[r]);
    }
    sync_warp();
}

// Adds the least cost of all ways to each point to `costs`, which holds the cost of the knot itself.
DEVICE void step_between(const Ways &ways, const Points &to, double *costs, int *choices) {
    const int last_row = to.number - 1, stretch = maximum((last_row + 16 * WARPS - 1) / (16 * WARPS), 1) * 16;
    const int begin = thread_index() / 32 * stretch, end = minimum(begin + stretch, last_row);
    const bool works = begin < last_row || begin == 0;  // behind the last point there is none
    for (int j = begin ? end : 0;; j = end) {
        const double here = to.at(works ? j : 0);
        int first = 0, last = ways.from.number - 1;
        if (works) ways.cut(here, first, last);
        const int at = best_way(ways, here, first, works ? last : -1, 32);
        if (works && lane() == 0) choices[j] = at, costs[j] += ways.cost(at, here);
        if (j == end || !works) break;
    }
    sync_block();
    if (!works) return;
    between_known<0, 16, 4, 1>(ways, to, begin, end, stretch, costs, choices);
    between_known<16, 4, 1, 1>(ways, to, begin, end, stretch, costs, choices);
    between_known<4, 1, 1, 3>(ways, to, begin, end, stretch, costs, choices);
}

// The squared distances of samples first <= k <= last to y at `count` knots from i on, so many together.
template <int TOGETHER> DEVICE void measure(Work &w, int i, int count, int first, int last) {
    const Pair &p = w.pair;
    const int samples = last - first + 1, items = samples * (AT_ONCE / TOGETHER);
    EACH(item, items) {
        const int group = item / samples * TOGETHER, k = first + item % samples;
        double sums[TOGETHER] = {};
        for (int c = 0; c < p.d; ++c) {
            const double x = w.columns[static_cast<int64>(c) * p.n + k];
#pragma unroll
            for (int t = 0; t < TOGETHER; ++t) {
                const double r = x - p.y[minimum(i + group + t, i + count - 1) * p.d + c];
                sums[t] = fused(r, r, sums[t]);
            }
        }
#pragma unroll
        for (int t = 0; t < TOGETHER; ++t) w.distances[static_cast<int64>(group + t) * p.n + k] = sums[t];
    }
}

DEVICE bool reads_directly(const Pair &p) { return p.data.kind() != SQUARED || p.is_smooth(); }

// For the next knots: |x(u) - y|^2 within a segment needs the distances of its ends only, so no features for every point.
ROUTINE void fill_distances(Work &w, const double *low, const double *high, const double *warp, int i) {
    const Pair &p = w.pair;
    const int count = minimum(AT_ONCE, p.m - i), knot = i + minimum(lane(), count - 1);
    int first = cell_right(p, minimum(low[knot], warp[knot])),
        last = cell_right(p, maximum(high[knot], warp[knot])) + 1;
    for (int other = AT_ONCE / 2; other > 0; other /= 2) {
        first = minimum(first, shuffle_xor(first, other));
        last = maximum(last, shuffle_xor(last, other));
    }
    first = shuffle(first, 0), last = shuffle(last, 0);
    if (last - first < THREADS / 2)
        measure<1>(w, i, count, first, last);
    else
        measure<AT_ONCE>(w, i, count, first, last);
    sync_block();
}

// Where a point lies in x. Where the samples are even, the first guess is right.
DEVICE void locate(Work &w, const Points &points, int j) {
    const Pair &p = w.pair;
    const double at = points.at(j), guess = (at - p.x_times[0]) * p.samples_per_time;
    int k = guess > 0 ? guess < p.n - 2 ? static_cast<int>(guess) : p.n - 2 : 0;
    double start = p.x_times[k], end = p.x_times[k + 1];
    if ((k && start > at) || (k < p.n - 2 && at >= end)) {
        k = cell_right(p, at);
        start = p.x_times[k], end = p.x_times[k + 1];
    }
    const double a = (at - start) / (end - start);
    w.cells[j] = k, w.shares[j] = a, w.bulges[j] = a * (1 - a) * w.jumps[k];
}

// The costs of knot i at its points. Where they lie in x is the same for all knots of equal bounds but for the warp itself;
// `before` are the points that were located last, or null.
DEVICE void fill_nodes(Work &w, const Points &points, const Points *before, int i, double *costs) {
    const Pair &p = w.pair;
    const double weight_i = weight(p, i);
    if (reads_directly(p)) {
        EACH(j, points.number) {
            const double at = points.at(j);
            costs[j] = node(p, i, at, cell_right(p, at));
        }
        return;
    }
    const bool same = before && before->low == points.low && before->high == points.high;
    const double *const distances = w.distances + static_cast<int64>(i % AT_ONCE) * p.n;
    EACH(j, points.number)
    if (!same || j == points.place || j == before->place) locate(w, points, j);
    const auto cost = [&](int j) {
        const int k = w.cells[j];
        const double here = distances[k];
        double square = here + w.shares[j] * (distances[k + 1] - here) - w.bulges[j];
        if (p.cumulative > 0) square += cumulative_cost(p, i, points.at(j));
        return weight_i * square;
    };
    for_points(points.number, cost, [&](int j, double value) { costs[j] = value; });
}

// x by features, so that neighbouring threads read neighbouring numbers, and the squared lengths of its segments.
ROUTINE void fill_columns(Work &w) {
    const Pair &p = w.pair;
    EACH(k, p.n) {
        double sum = 0;
        for (int c = 0; c < p.d; ++c) {
            const double x = p.x[k * p.d + c], rise = k + 1 < p.n ? p.x[(k + 1) * p.d + c] - x : 0;
            w.columns[static_cast<int64>(c) * p.n + k] = x;
            sum += rise * rise;
        }
        w.jumps[k] = sum;
    }
    sync_block();
}

// The best point of the last knot, the first of equal ones, and the way back to the first knot: to `cell`.
ROUTINE void trace_grid(Work &w, const double *costs, int number) {
    if (thread_index() >= 32) return;
    double best = infinity();
    int at = 0;
    for (int j = lane(); j < number; j += 32)
        if (costs[j] < best) best = costs[j], at = j;
    for (int other = 16; other > 0; other /= 2) {
        const double value = shuffle_xor(best, other);
        const int j = shuffle_xor(at, other);
        if (value < best || (value == best && j < at)) best = value, at = j;
    }
    // The table of choices is far away: four knots at once, of each the eight points around where a straight line leads.
    int i = w.pair.m - 1, rise = 0;
    if (lane() == 0) w.cell[i] = at;
    while (i > 0) {
        const int row = lane() / 8, first = at - row * rise - 3, point = first + lane() % 8;
        const bool is_there = i - row > 0 && point >= 0 && point < w.stride;
        const int choice = w.choices[static_cast<int64>(is_there ? i - row : i) * w.stride + (is_there ? point : at)];
        int step = rise;
        for (int r = 0, start = at; r < 4 && i > 0; ++r) {
            const int place = at - (start - r * rise - 3);
            if (place < 0 || place > 7) break;
            const int next = shuffle(choice, 8 * r + place);
            if (lane() == 0) w.cell[i - 1] = next;
            --i;
            if (next < 0) {  // the warp itself is on the grid, so this cannot be
                if (lane() == 0)
                    for (int k = 0; k < i; ++k) w.cell[k] = next;
                return;
            }
            step = at - next, at = next;
        }
        rise = step;
    }
}

// Replaces the warp by the best one on a grid of `count` points between low and high, the warp itself among them.
ROUTINE void improve(Work &w, const double *low, const double *high, int count, double *warp) {
#if WIDE_GRID
    double *const base = w.base, *const tilt = w.tilt;
#else
    SHARED_ARRAY(double, base, GRID_ROOM);
    SHARED_ARRAY(double, tilt, GRID_ROOM);
#endif
    const Pair &p = w.pair;
    EACH(i, p.m) {
        const double spacing = (high[i] - low[i]) / static_cast<double>(count - 1);
        Points points = {low[i], spacing, 1 / spacing, high[i], warp[i], count, 0, 0};
        place_anchor(points);
        w.spacings[i] = points.spacing, w.per_spacing[i] = points.per_spacing;
        w.places[i] = points.place;
        w.numbers[i] = points.number;
    }
    sync_block();
    double *costs = w.costs, *next = w.next_costs;
    Points before = points_of(w, low, high, count, warp, 0);
    if (!reads_directly(p)) fill_distances(w, low, high, warp, 0);
    fill_nodes(w, before, nullptr, 0, costs);
    sync_block();
    for (int i = 1; i < p.m; ++i) {
        const double dt = step_of(p, i - 1);
        const Ways ways = {base,
                           tilt,
                           costs,
                           before,
                           target(p, i - 1),
                           p.penalty.kind() == ABSOLUTE ? p.reg : p.reg / dt,
                           p.penalty.delta * dt,
                           least(p, i - 1) - w.tolerance,
                           greatest(p, i - 1) + w.tolerance,
                           p.penalty};
        for_points(before.number, [&](int j) { return costs[j]; }, [&](int j, double cost) { ways.prepare(j, cost); });
        const Points points = points_of(w, low, high, count, warp, i);
        if (i % AT_ONCE == 0 && !reads_directly(p)) fill_distances(w, low, high, warp, i);
        fill_nodes(w, points, &before, i, next);
        sync_block();
        step_between(ways, points, next, w.choices + static_cast<int64>(i) * w.stride);
        sync_block();
        before = points;
        double *const old = costs;
        costs = next, next = old;
    }
    trace_grid(w, costs, before.number);
    sync_block();
    EACH(i, p.m) {
        const double at = w.cell[i] < 0 ? warp[i] : points_of(w, low, high, count, warp, i).at(w.cell[i]);
        warp[i] = at;
    }
    sync_block();
}
