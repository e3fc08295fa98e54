// From a warp near a minimum to the minimum itself, with its active set. The twin of cpu_ext/gdtw/polish.hpp. All functions
// are called by all threads of the block; numbers that they return are the same in each.

// What a block works with: shared by its threads, and not changed but for `full` once it is set up.
struct Work {
    Pair pair;
    double span, tolerance;
    SharedPointer<double> partial;
    double *low, *high, *box_low, *box_high, *other, *trial, *left, *right;
    int *ties, *trial_ties, *cell, *holds;
    Curve nodes, links;  // of all knots, each with its room
    int *node_counts, *link_counts;
    int node_room;
    Events events;  // of all threads
    int event_room;
    Chain chain;
    Hessian hessian;
    // Of the grids
    int *places, *numbers, *choices, *cells;
    double *spacings, *per_spacing, *columns, *distances, *jumps, *costs, *next_costs, *shares, *bulges, *base, *tilt;
    int stride;
    bool is_short;
    int full;
};
constexpr int LINK_ROOM = 4;
// Samples times knots (and features, unless squared) up to which a pair is searched at once; samples times knots up to
// which a leap goes far; segments of leaps to both sides.
constexpr int SHORT_PAIR = 8192, MEDIUM_PAIR = 65536, FAR_LEAP = 32, NEAR_LEAP = 8;
constexpr int EVERYTHING = 0x7FFFFFFF;

DEVICE bool is_long(const Pair &p) { return static_cast<int64>(p.n) * p.m > MEDIUM_PAIR; }
DEVICE int leap_of(const Pair &p) { return is_long(p) ? NEAR_LEAP : FAR_LEAP; }

DEVICE Curve node_curve(const Work &w, int i) {
    return {w.nodes.at + static_cast<int64>(i) * w.node_room, w.nodes.slope + static_cast<int64>(i) * w.node_room, 0};
}
DEVICE Events own_events(const Work &w) {
    const int64 at = static_cast<int64>(thread_index()) * w.event_room;
    return {w.events.at + at, w.events.jump + at, w.events.bend + at, 0};
}

DEVICE void make_links(Work &w) {
    EACH(i, w.pair.m) w.ties[i] = FREE;
    EACH(i, w.pair.m - 1) {
        Curve curve = {w.links.at + i * LINK_ROOM, w.links.slope + i * LINK_ROOM, 0};
        link_curve(w.pair, i, 2 * w.span + 2 * target(w.pair, i), curve);
        w.link_counts[i] = curve.count;
    }
    sync_block();
}

// The exact minimum where the knots' costs are as their curves say: to trial and trial_ties.
ROUTINE void solve_chain(Work &w, const double *warp, double slack, int limit) {
    const Pair &p = w.pair;
    sync_block();
    if (thread_index() < 32) {
        Chain chain = w.chain;
        chain.full = false;
        chain.slack = slack;
        chain.limit = limit;
        Curve node = node_curve(w, 0);
        node.count = w.node_counts[0];
        start_chain(chain, node);
        int first = 0, last = 0;
        for (int i = 1; i < p.m && !chain.full; ++i) {
            const Curve link = {w.links.at + (i - 1) * LINK_ROOM, w.links.slope + (i - 1) * LINK_ROOM,
                                w.link_counts[i - 1]};
            first = last;
            pass_link(chain, link, first, last);
            if (chain.full) break;
            if (lane() == 0) chain.ends[i - 1] = last;
            node = node_curve(w, i);
            node.count = w.node_counts[i];
            pass_node(chain, node, warp[i], first, last);
        }
        if (chain.full) {
            if (lane() == 0) w.full = 1;
        } else {
            const double end = minimiser(chain.curve, warp[p.m - 1]);
            if (lane() == 0) {
                w.trial[p.m - 1] = end;
                w.trial_ties[p.m - 1] = FREE;
            }
            sync_warp();
            trace(chain, w.links, LINK_ROOM, w.link_counts, p.m, w.trial, w.trial_ties);
        }
    }
    sync_block();
    if (w.full)
        EACH(i, p.m) w.trial[i] = warp[i], w.trial_ties[i] = FREE;
    else
        EACH(i, p.m) w.trial[i] = minimum(maximum(w.trial[i], p.floor(i)), p.ceiling(i));
    sync_block();
}

// The cost of knot i around where it is, over so many segments of x to both sides: its curve.
ROUTINE void choose(Work &w, int i, const double *warp, int reach, double radius) {
    const Pair &p = w.pair;
    const double *tau = p.x_times, at = warp[i], floor = p.floor(i), ceiling = p.ceiling(i);
    Curve curve = node_curve(w, i);
    const int k = cell_right(p, at);
    if (floor >= ceiling) {
        curve.add(floor, 0);
        curve.add(floor, 0);
    } else if (p.is_smooth()) {
        const double low = maximum(floor, at - radius), high = minimum(ceiling, at + radius);
        const double slope = node_slope(p, i, at, k, 1), bend = maximum(node_curvature(p, i, at, k), 0.0);
        curve.add(low, slope + bend * (low - at));
        curve.add(high, slope + bend * (high - at));
    } else {
        const int first = maximum(cell_left(p, at) - reach + 1, 0), last = minimum(k + reach - 1, p.n - 2);
        for (int c = first; c <= last; ++c) {
            const double low = maximum(floor, tau[c]), high = minimum(ceiling, tau[c + 1]);
            if (low < high) append_node(p, i, c, low, high, own_events(w), curve);
        }
    }
    w.node_counts[i] = curve.count;
}

// Whether the trial warp keeps to all constraints of knots and of steps that are not tied.
DEVICE bool is_inside(const Work &w) {
    const Pair &p = w.pair;
    bool outside = false;
    EACH(i, p.m) {
        outside = outside || !(w.trial[i] >= p.floor(i) && w.trial[i] <= p.ceiling(i));
        if (!i || w.ties[i - 1] != FREE) continue;
        const double rise = w.trial[i] - w.trial[i - 1];
        outside = outside || !(rise >= least(p, i - 1) && rise <= greatest(p, i - 1));
    }
    return !block_any(w.partial, outside);
}

DEVICE void copy(int count, const double *from, double *to) {
    EACH(i, count) to[i] = from[i];
    sync_block();
}

DEVICE double step(Work &w, const double *warp, int reach, double slack, int limit) {
    EACH(i, w.pair.m) choose(w, i, warp, reach, 0);
    solve_chain(w, warp, slack, limit);
    return objective(w.pair, w.partial, w.trial);
}

// For x interpolated linearly: moves the warp to the best one within so many segments of x, and so on from there until
// none is better: false where that takes more rounds.
ROUTINE bool polish_linear(Work &w, double *warp, int reach, int rounds) {
    const int m = w.pair.m;
    double value = objective(w.pair, w.partial, warp);
    for (int round = 0, stalled = 0; stalled < 2; ++round) {
        if (round == rounds) return false;
        const double next = step(w, warp, reach, 0, EVERYTHING);
        // Equal but for rounding: the trial has its knots exactly on the corners.
        const double rounding = 1e-13 * fabs(value);
        if (next > value + (round ? rounding : 1e4 * rounding) + 1e-300) break;
        // Without a knot in other segments of x the next round would find the same again.
        bool moved = false;
        EACH(i, m) {
            const double from = warp[i], to = w.trial[i];
            moved = moved || cell_left(w.pair, from) != cell_left(w.pair, to) ||
                    cell_right(w.pair, from) != cell_right(w.pair, to);
            warp[i] = to, w.ties[i] = w.trial_ties[i];
        }
        stalled = next < value - 0.1 * rounding ? 0 : stalled + 1;
        if (!any_of_block(moved) || reach >= w.pair.n || w.full) break;
        value = next;
    }
    return true;
}

// The same once and not quite exactly, among fewer corners where the costs have very many.
DEVICE void leap(Work &w, double *warp, int reach) {
    const double value = objective(w.pair, w.partial, warp);
    const double slack = 1e-5 * value / static_cast<double>(w.pair.m);
    if (step(w, warp, reach, slack, 512) < value) copy(w.pair.m, w.trial, warp);
}

// What holds knot i.
ROUTINE int hold(const Work &w, int i, double at, int k) {
    const Pair &p = w.pair;
    const double floor = p.floor(i), ceiling = p.ceiling(i), first = p.x_times[0], last = p.x_times[p.n - 1];
    if (floor >= ceiling || at <= floor) {
        if (at <= first) return SOURCE_START;
        if (at >= last) return SOURCE_END;
        if (at <= floor) return BAND_LOW;
    }
    if (at >= ceiling) return at >= last ? SOURCE_END : BAND_HIGH;
    const Curve curve = node_curve(w, i);
    for (int c = 1; c < w.node_counts[i]; ++c) {
        if (curve.at[c] != at || curve.at[c - 1] != at || !(curve.slope[c] > curve.slope[c - 1])) continue;
        if (at == p.x_times[k]) return SAMPLE;
        if (p.cumulative > 0 && p.penalty.kind() == ABSOLUTE && at == identity(p, i)) return IDENTITY;
        double best = infinity();
        int which = 0;
        for (int f = 0; f < p.d; ++f) {
            const Reading read = read_source(p, k, at, f);
            const double distance = fabs((read.value - p.y[i * p.d + f]) / read.slope);
            if (read.slope != 0 && distance < best) best = distance, which = f;
        }
        return RESIDUAL + which;
    }
    return FREE;
}

// What holds each knot and each step at the warp that polish() left.
ROUTINE void active_set(Work &w, const double *warp, int *cell, int *holds, int *ties, double radius) {
    const Pair &p = w.pair;
    EACH(i, p.m) {
        choose(w, i, warp, 1, radius);
        cell[i] = cell_right(p, warp[i]);
        holds[i] = hold(w, i, warp[i], cell[i]);
        int tie = i + 1 < p.m ? w.ties[i] : FREE;
        // A step that only the length of the source ends is not tied.
        if (tie == GREATEST && w.links.at[i * LINK_ROOM + w.link_counts[i] - 1] != greatest(p, i)) tie = FREE;
        ties[i] = tie;
    }
    sync_block();
    // Knots tied to one that is held at an end of the source are held through it.
    EACH(i, p.m) {
        if (i && holds[i] == SOURCE_START && ties[i - 1] == LEAST) holds[i] = FREE;
        if (i + 1 < p.m && holds[i] == SOURCE_END && ties[i] == LEAST) holds[i] = FREE;
    }
    sync_block();
}

// Derivatives towards smaller and towards larger values.
struct Sides {
    double before, after;

    DEVICE double change(int by) const { return by == 0 ? 0 : by * (by < 0 ? before : after); }
    DEVICE double largest() const {
        return maximum(is_finite(before) ? fabs(before) : 0.0, is_finite(after) ? fabs(after) : 0.0);
    }
};
DEVICE Sides sides_of_knot(const Pair &p, int i, double at, double rounding) {
    const int left = cell_left(p, at - rounding), right = cell_right(p, at + rounding);
    return {at <= p.floor(i) + rounding ? -infinity() : node_slope(p, i, at, left, -1, rounding),
            at >= p.ceiling(i) - rounding ? infinity() : node_slope(p, i, at, right, 1, rounding)};
}
DEVICE Sides sides_of_step(const Pair &p, int i, double rise, double rounding) {
    return {rise <= least(p, i) + rounding ? -infinity() : link_slope(p, i, rise, -1, rounding),
            rise >= greatest(p, i) - rounding ? infinity() : link_slope(p, i, rise, 1, rounding)};
}

// The steepest descent of all moves of every knot by -1, 0 or 1, relative to the largest slope that meets another. The
// twin of cpu_ext/gdtw/stationary.hpp.
ROUTINE double residual(Work &w, const double *warp) {
    const Pair &p = w.pair;
    const double rounding = 16 * 2.220446049250313e-16 * maximum(fabs(p.x_times[0]), fabs(p.x_times[p.n - 1]));
    double scale = maximum(p.reg * p.mean_slope, 1e-300);
    sync_block();
    EACH(i, p.m) {
        const double at = warp[i], floor = p.floor(i), ceiling = p.ceiling(i);
        const Sides knot = sides_of_knot(p, i, at, rounding);
        w.left[i] = knot.before, w.right[i] = knot.after;
        scale = maximum(scale, knot.largest());
        // At a perfect match all slopes are roundings: what the data say elsewhere tells how small they are.
        scale = maximum(scale, fabs(node_slope(p, i, floor, cell_right(p, floor), 1)));
        scale = maximum(scale, fabs(node_slope(p, i, ceiling, cell_right(p, ceiling), 1)));
        const int k = cell_right(p, at);
        scale = maximum(scale, (p.x_times[k + 1] - p.x_times[k]) * fabs(node_curvature(p, i, at, k)));
        if (i + 1 < p.m) {
            const Sides step = sides_of_step(p, i, warp[i + 1] - at, rounding);
            w.box_low[i] = step.before, w.box_high[i] = step.after;
            scale = maximum(scale, step.largest());
        }
    }
    scale = block_max(w.partial, scale);
    double worst = 0;
    if (thread_index() == 0) {
        double best[3] = {infinity(), 0, infinity()};
        for (int i = 0; i < p.m; ++i) {
            const Sides knot = {w.left[i], w.right[i]};
            const Sides step = {i ? w.box_low[i - 1] : 0, i ? w.box_high[i - 1] : 0};
            double next[3];
#pragma unroll
            for (int to = -1; to <= 1; ++to) {
                double least_change = infinity();
#pragma unroll
                for (int from = -1; from <= 1; ++from)
                    least_change = minimum(least_change, best[from + 1] + step.change(to - from));
                next[to + 1] = least_change + knot.change(to);
            }
            best[0] = next[0], best[1] = next[1], best[2] = next[2];
        }
        worst = maximum(0.0, -minimum(best[0], minimum(best[1], best[2])));
    }
    return block_max(w.partial, worst) / scale;
}

// Newton's method on the active set.
ROUTINE void newton(Work &w, double *warp, double radius) {
    const Pair &p = w.pair;
    int *const cell = w.cell, *const holds = w.holds, *const ties = w.trial_ties;
    active_set(w, warp, cell, holds, ties, radius);
    double before = residual(w, warp);
    EACH(i, p.m) w.ties[i] = ties[i];
    for (int round = 0; round < 8 && before > 1e-15; ++round) {
        EACH(i, p.m) {
            cell[i] = cell_right(p, warp[i]);
            double right = -node_slope(p, i, warp[i], cell[i], 1);
            if (i) right -= link_slope(p, i - 1, warp[i] - warp[i - 1]);
            if (i + 1 < p.m) right += link_slope(p, i, warp[i + 1] - warp[i]);
            w.left[i] = right;
        }
        sync_block();
        fill_hessian(p, warp, cell, w.hessian);
        if (thread_index() == 0) solve_hessian(p, w.hessian, holds, ties, w.left, w.right);
        sync_block();
        EACH(i, p.m) w.trial[i] = warp[i] + w.right[i];
        sync_block();
        const double after = is_inside(w) ? residual(w, w.trial) : infinity();
        if (!(after < before)) break;
        copy(p.m, w.trial, warp);
        before = after;
    }
}

// For x interpolated by cubics: convex quadratic models of the knots' costs, each within a radius of the warp.
ROUTINE double polish_smooth(Work &w, double *warp) {
    const int m = w.pair.m;
    double value = objective(w.pair, w.partial, warp);
    double radius = w.span / static_cast<double>(w.pair.n);
    EACH(i, m) w.ties[i] = FREE;
    for (int round = 0; round < 300 && radius > 1e-15 * w.span && !w.full; ++round) {
        EACH(i, m) choose(w, i, warp, 1, radius);
        solve_chain(w, warp, 0, EVERYTHING);
        const double next = objective(w.pair, w.partial, w.trial);
        double move = 0;
        EACH(i, m) move = maximum(move, fabs(w.trial[i] - warp[i]));
        move = block_max(w.partial, move);
        if (next > value + 1e-14 * fabs(value)) {
            radius = 0.25 * minimum(radius, move);
            continue;
        }
        EACH(i, m) warp[i] = w.trial[i], w.ties[i] = w.trial_ties[i];
        sync_block();
        value = minimum(value, next);
        radius = maximum(radius, 2 * move);
        if (move <= 1e-9 * w.span) break;
    }
    newton(w, warp, radius);
    return objective(w.pair, w.partial, warp);
}
