// From a warp near a minimum to the minimum itself, with its active set. The twin of cpu_ext/gdtw/polish.hpp. All functions
// are called by all threads of the block; numbers that they return are the same in each.

// What a block works with: shared by its threads, and not changed but for `full` once it is set up.
struct Work {
    Pair pair;
    double span, tolerance;
    SharedPointer<double> partial;
    double *low, *high, *box_low, *box_high, *other, *trial, *before, *left, *right;
    int *up, *ties, *trial_ties, *cell, *holds;
    Curve nodes, links;  // of all knots, each with its room
    int *node_counts, *link_counts;
    int node_room;
    Events events;  // of all threads
    int event_room;
    Chain chain;
    Hessian hessian;
    // Of the grids
    int *places, *numbers, *choices;
    double *spacings, *distances, *jumps, *candidates;
    int stride;
    int full;
};
constexpr int LINK_ROOM = 4;

DEVICE Curve node_curve(const Work &w, int i) {
    return {w.nodes.at + static_cast<int64>(i) * w.node_room, w.nodes.slope + static_cast<int64>(i) * w.node_room, 0};
}
DEVICE Events own_events(const Work &w) {
    const int64 at = static_cast<int64>(thread_index()) * w.event_room;
    return {w.events.at + at, w.events.jump + at, w.events.bend + at, 0};
}

DEVICE void make_links(Work &w) {
    EACH(i, w.pair.m - 1) {
        Curve curve = {w.links.at + i * LINK_ROOM, w.links.slope + i * LINK_ROOM, 0};
        link_curve(w.pair, i, 2 * w.span + 2 * target(w.pair, i), curve);
        w.link_counts[i] = curve.count;
    }
    sync_block();
}

DEVICE bool on_sample(const Pair &p, int i, double at, int k) {
    return at == p.x_times[k] && k > 0 && p.floor(i) < at && at < p.ceiling(i);
}

// The exact minimum where the knots' costs are as their curves say: to trial and trial_ties.
ROUTINE void solve_chain(Work &w, const double *warp) {
    const Pair p = w.pair;
    sync_block();
    if (thread_index() < 32) {
        Chain chain = w.chain;
        chain.full = false;
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
            pass_node(chain, node, first, last);
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

// The interval of knot i: its curve.
ROUTINE void choose(Work &w, int i, const double *warp, double radius) {
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
    } else if (!on_sample(p, i, at, k)) {
        append_node(p, i, k, maximum(floor, tau[k]), minimum(ceiling, tau[k + 1]), own_events(w), curve);
    } else {
        const double left = node_slope(p, i, at, k - 1, -1), right = node_slope(p, i, at, k, 1);
        const double low = maximum(floor, tau[k - 1]), high = minimum(ceiling, tau[k + 1]);
        if (right >= left || !w.up[i]) append_node(p, i, k - 1, low, at, own_events(w), curve);
        if (right >= left || w.up[i]) append_node(p, i, k, at, high, own_events(w), curve);
    }
    w.node_counts[i] = curve.count;
}

// At a corner turned down a knot must leave to one side. Of a run of tied knots, a part may leave: for every place to cut,
// the change of the objective when the knots after it move up, or those before it down.
ROUTINE void choose_sides(Work &w, const double *warp) {
    const Pair p = w.pair;
    sync_block();
    EACH(i, p.m) {
        const double at = warp[i];
        w.up[i] = 0;
        w.left[i] = at <= p.floor(i) ? -infinity() : node_slope(p, i, at, cell_left(p, at), -1);
        w.right[i] = at >= p.ceiling(i) ? infinity() : node_slope(p, i, at, cell_right(p, at), 1);
    }
    sync_block();
    EACH(first, p.m) {
        if (first && w.ties[first - 1] != FREE) continue;
        int last = first;
        bool corner = false;
        for (;; ++last) {
            corner =
                corner || (w.right[last] < w.left[last] && on_sample(p, last, warp[last], cell_right(p, warp[last])));
            if (w.ties[last] == FREE) break;
        }
        if (!corner) continue;
        const double before = first ? link_slope(p, first - 1, warp[first] - warp[first - 1]) : 0;
        const double after = last + 1 < p.m ? link_slope(p, last, warp[last + 1] - warp[last]) : 0;
        double best = infinity(), sum = -after;
        int cut = first;
        for (int k = last; k >= first; --k) {
            sum += w.right[k];
            if (k > first && w.ties[k - 1] != LEAST) continue;
            const double change = sum + (k > first ? link_slope(p, k - 1, warp[k] - warp[k - 1], 1) : before);
            if (change < best) best = change, cut = k;
        }
        sum = -before;
        for (int k = first; k <= last; ++k) {
            sum -= w.left[k];
            if (k < last && w.ties[k] != LEAST) continue;
            const double change = sum + (k < last ? link_slope(p, k, warp[k + 1] - warp[k], 1) : after);
            if (change < best) best = change, cut = k + 1;
        }
        for (int i = cut; i <= last; ++i) w.up[i] = 1;
    }
    sync_block();
}

// Whether the trial warp keeps to all constraints; with `tied`, steps that are tied are left out.
ROUTINE bool is_inside(const Work &w, bool tied) {
    const Pair &p = w.pair;
    bool outside = false;
    EACH(i, p.m) {
        outside = outside || !(w.trial[i] >= p.floor(i) && w.trial[i] <= p.ceiling(i));
        if (!i || (tied && w.ties[i - 1] != FREE)) continue;
        const double rise = w.trial[i] - w.trial[i - 1];
        outside = outside || !(rise >= least(p, i - 1) && rise <= greatest(p, i - 1));
    }
    return !block_any(w.partial, outside);
}

DEVICE void copy(int count, const double *from, double *to) {
    EACH(i, count) to[i] = from[i];
    sync_block();
}

// Knots move by one segment in a round. Where they would go on, go further along the same line.
ROUTINE double extrapolate(Work &w, double *warp, double value) {
    const int m = w.pair.m;
    for (int doubling = 0; doubling < 12; ++doubling) {
        EACH(i, m) w.trial[i] = warp[i] + (warp[i] - w.before[i]);
        sync_block();
        if (!is_inside(w, false)) break;
        const double next = objective(w.pair, w.partial, w.trial);
        if (!(next < value)) break;
        value = next;
        EACH(i, m) w.before[i] = warp[i], warp[i] = w.trial[i];
        sync_block();
    }
    return value;
}

// For x interpolated linearly. The cost of a knot is convex on every segment of x, and across the samples between two
// segments where its derivative jumps up. Each round gives every knot such an interval, solves the chain exactly, and moves
// knots that ended at the border of theirs on to the next. The objective falls strictly, so rounds end.
DEVICE double polish_linear(Work &w, double *warp) {
    const int m = w.pair.m;
    double value = objective(w.pair, w.partial, warp);
    EACH(i, m) w.ties[i] = FREE;
    for (int round = 0, stalled = 0; round < 200 && stalled < 2 && !w.full; ++round) {
        choose_sides(w, warp);
        EACH(i, m) choose(w, i, warp, 0);
        solve_chain(w, warp);
        const double next = objective(w.pair, w.partial, w.trial);
        // Equal but for rounding: the trial has its knots exactly on the corners.
        const double rounding = 1e-13 * fabs(value);
        if (next > value + (round ? rounding : 1e4 * rounding) + 1e-300) break;
        EACH(i, m) w.before[i] = warp[i], warp[i] = w.trial[i], w.ties[i] = w.trial_ties[i];
        sync_block();
        stalled = next < value - 0.1 * rounding ? 0 : stalled + 1;
        const bool slow = value - next > 1e-12 * value && round < 150;
        value = next;
        if (slow) value = extrapolate(w, warp, value);
    }
    sync_block();
    return value;
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
    const Pair p = w.pair;
    EACH(i, p.m) {
        choose(w, i, warp, radius);
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

// The largest slope by which the conditions of optimality are missed, relative to the slopes that meet.
ROUTINE double residual(Work &w, const double *warp, const int *holds, const int *ties) {
    const Pair p = w.pair;
    double scale = maximum(p.reg * p.mean_slope, 1e-300);
    sync_block();
    EACH(i, p.m) {
        const double at = warp[i], floor = p.floor(i), ceiling = p.ceiling(i);
        // At a perfect match all slopes are roundings: what the data say elsewhere tells how small they are.
        const double below = node_slope(p, i, floor, cell_left(p, floor), -1),
                     above = node_slope(p, i, floor, cell_right(p, floor), 1),
                     below_end = node_slope(p, i, ceiling, cell_left(p, ceiling), -1),
                     above_end = node_slope(p, i, ceiling, cell_right(p, ceiling), 1);
        if (is_finite(below)) scale = maximum(scale, fabs(below));
        if (is_finite(above)) scale = maximum(scale, fabs(above));
        if (is_finite(below_end)) scale = maximum(scale, fabs(below_end));
        if (is_finite(above_end)) scale = maximum(scale, fabs(above_end));
        const int zero = holds[i] - RESIDUAL, k = cell_right(p, at);
        w.left[i] = at <= floor ? -infinity() : node_slope(p, i, at, cell_left(p, at), -1, zero);
        w.right[i] = at >= ceiling ? infinity() : node_slope(p, i, at, k, 1, zero);
        // Slopes that are zero but for rounding are compared with those one segment away.
        scale = maximum(scale, (p.x_times[k + 1] - p.x_times[k]) * fabs(node_curvature(p, i, at, k)));
        if (is_finite(w.left[i])) scale = maximum(scale, fabs(w.left[i]));
        if (is_finite(w.right[i])) scale = maximum(scale, fabs(w.right[i]));
        if (i + 1 < p.m) {
            const double rise = warp[i + 1] - at;
            scale = maximum(scale, maximum(fabs(link_slope(p, i, rise, -1)), fabs(link_slope(p, i, rise, 1))));
        }
    }
    scale = block_max(w.partial, scale);
    double worst = 0;
    if (thread_index() == 0) {
        double low = 0, high = 0;
        for (int i = 0; i < p.m; ++i) {
            // Without moves of a part of a run to the left, and to the right. At a corner turned down low > high.
            low += w.left[i], high += w.right[i];
            double first = 0, last = 0;
            if (i + 1 < p.m) {
                const double rise = warp[i + 1] - warp[i];
                first = ties[i] == LEAST ? -infinity() : link_slope(p, i, rise, -1);
                last = ties[i] == GREATEST ? infinity() : link_slope(p, i, rise, 1);
                if (ties[i] == MEAN) first = -p.reg, last = p.reg;
            }
            // The tension of the next step must lie in both intervals.
            const double gap = maximum(low - last, first - high);
            if (gap > 0) {
                worst = maximum(worst, gap);
                low = high = low > last ? last : first;
            } else {
                low = maximum(low, first), high = minimum(high, last);
            }
        }
    }
    return block_max(w.partial, worst) / scale;
}

// Newton's method on the active set.
ROUTINE void newton(Work &w, double *warp, double radius) {
    const Pair p = w.pair;
    int *const cell = w.cell, *const holds = w.holds, *const ties = w.trial_ties;
    active_set(w, warp, cell, holds, ties, radius);
    double before = residual(w, warp, holds, ties);
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
        const double after = is_inside(w, true) ? residual(w, w.trial, holds, ties) : infinity();
        if (!(after < before)) break;
        copy(p.m, w.trial, warp);
        before = after;
    }
}

// For x interpolated by cubics: convex quadratic models of the knots' costs, each within a radius of the warp.
DEVICE double polish_smooth(Work &w, double *warp) {
    const int m = w.pair.m;
    double value = objective(w.pair, w.partial, warp);
    double radius = w.span / static_cast<double>(w.pair.n);
    EACH(i, m) w.ties[i] = FREE;
    for (int round = 0; round < 300 && radius > 1e-15 * w.span && !w.full; ++round) {
        EACH(i, m) choose(w, i, warp, radius);
        solve_chain(w, warp);
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

// Returns the objective.
ROUTINE double polish(Work &w, double *warp) {
    return w.pair.is_smooth() ? polish_smooth(w, warp) : polish_linear(w, warp);
}

// The square of x as it would be without its corners, with slopes over some samples to both sides.
ROUTINE void model(Work &w, int i, double at, double h, double radius) {
    const Pair &p = w.pair;
    const double floor = p.floor(i), ceiling = p.ceiling(i);
    Curve curve = node_curve(w, i);
    if (floor >= ceiling) {
        curve.add(floor, 0);
        curve.add(floor, 0);
        w.node_counts[i] = 2;
        return;
    }
    const double a = maximum(at - h, p.x_times[0]), b = minimum(at + h, p.x_times[p.n - 1]);
    const int k = cell_right(p, at), ka = cell_right(p, a), kb = cell_right(p, b);
    double slope = 0, bend = 0;
    for (int c = 0; c < p.d; ++c) {
        const double s = (read_source(p, kb, b, c).value - read_source(p, ka, a, c).value) / (b - a);
        slope += 2 * s * (read_source(p, k, at, c).value - p.y[i * p.d + c]), bend += 2 * s * s;
    }
    if (p.cumulative > 0) {
        const double e = at - identity(p, i);
        slope += p.cumulative * p.penalty.slope(e), bend += p.cumulative * p.penalty.curvature(e);
    }
    slope *= weight(p, i), bend *= weight(p, i);
    const double low = maximum(floor, at - radius), high = minimum(ceiling, at + radius);
    curve.add(low, slope + bend * (low - at));
    curve.add(high, slope + bend * (high - at));
    w.node_counts[i] = 2;
}

// Steps over barriers that the corners of x raise, by such models. Only steps that lower the objective are kept.
ROUTINE void relax(Work &w, double *warp, double reach) {
    const int m = w.pair.m;
    if (w.pair.is_smooth() || w.pair.data.kind() != SQUARED) return;
    const double h = reach * w.span / static_cast<double>(w.pair.n - 1);
    double value = objective(w.pair, w.partial, warp), radius = 4 * h;
    for (int round = 0; round < 12 && radius > 0.2 * h && !w.full; ++round) {
        EACH(i, m) model(w, i, warp[i], h, radius);
        solve_chain(w, warp);
        const double next = objective(w.pair, w.partial, w.trial);
        if (next < value) {
            const bool enough = value - next < 1e-9 * value;
            value = next;
            copy(m, w.trial, warp);
            radius = minimum(2 * radius, 16 * h);
            if (enough) break;
        } else {
            radius *= 0.25;
        }
    }
}
