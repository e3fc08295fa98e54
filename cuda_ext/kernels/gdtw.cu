// The optimal warp of each pair, with its active set. The twin of cpu_ext/gdtw/solve.cpp.
//
// Work: one block for a pair, one after the other where there are more pairs than blocks. Grids from coarse to fine find
// the basin, the local search its minimum: all in one launch.
//
// Memory of a block: `numbers` and `integers`, which gdtw_setup.cuh hands out; 33 KB of shared memory for the points of
// one knot and what reaches them.

// Bounds of each knot that some warp through all constraints reaches, or false where there is none. Interval by interval,
// there and back: on a chain this is exact. By one thread.
ROUTINE bool reach(Work &w, double tolerance) {
    const Pair &p = w.pair;
    double *const low = w.low, *const high = w.high;
    for (int i = 0; i < p.m; ++i) {
        low[i] = p.floor(i), high[i] = p.ceiling(i);
        if (!i) continue;
        low[i] = maximum(low[i], low[i - 1] + least(p, i - 1));
        high[i] = minimum(high[i], high[i - 1] + greatest(p, i - 1));
    }
    for (int i = p.m - 2; i >= 0; --i) {
        low[i] = maximum(low[i], low[i + 1] - greatest(p, i));
        high[i] = minimum(high[i], high[i + 1] - least(p, i));
    }
    for (int i = 0; i < p.m; ++i) {
        if (!(low[i] <= high[i] + tolerance)) return false;
        if (low[i] > high[i]) low[i] = high[i] = minimum(maximum(0.5 * (low[i] + high[i]), p.floor(i)), p.ceiling(i));
    }
    return true;
}

// The warp of mean slope, moved into the constraints.
ROUTINE void begin(Work &w, double *warp) {
    const Pair &p = w.pair;
    if (thread_index() == 0)
        for (int i = 0; i < p.m; ++i) {
            double first = w.low[i], last = w.high[i], at = identity(p, 0);
            if (i) {
                at = warp[i - 1] + target(p, i - 1);
                first = maximum(first, warp[i - 1] + least(p, i - 1));
                last = minimum(last, warp[i - 1] + greatest(p, i - 1));
            }
            warp[i] = minimum(maximum(minimum(maximum(at, first), last), w.low[i]), w.high[i]);
        }
    sync_block();
}

// A finer grid within so many spacings of the first, around the warp and not within earlier boxes.
ROUTINE void around(Work &w, double *warp, int first_count, double reach, int count) {
    EACH(i, w.pair.m) {
        const double spacing = (w.high[i] - w.low[i]) / static_cast<double>(first_count - 1);
        w.box_low[i] = maximum(w.low[i], warp[i] - reach * spacing);
        w.box_high[i] = minimum(w.high[i], warp[i] + reach * spacing);
    }
    sync_block();
    improve(w, w.box_low, w.box_high, count, warp);
}

// Cubics have no chain of their own: the best of some minima.
DEVICE void search_smooth(Work &w, int count, double *warp) {
    const int m = w.pair.m;
    improve(w, w.low, w.high, count, warp);
    around(w, warp, count, 8, 65);
    around(w, warp, count, 2, 65);
    double best = polish_smooth(w, warp);
    // Short signals can afford a second search, on points between those of the first.
    for (bool again = m <= 160, better = true; (again || better) && !w.full; again = false) {
        if (again) {
            begin(w, w.other);
            improve(w, w.low, w.high, 3 * count / 4, w.other);
        } else {
            copy(m, warp, w.other);
            around(w, w.other, count, 16, 257);
        }
        const double value = polish_smooth(w, w.other);
        better = again || value < best - 1e-12 * fabs(best);
        if (value < best - 1e-12 * fabs(best)) {
            best = value;
            copy(m, w.other, warp);
        }
    }
    polish_smooth(w, warp);
}

// Whether anything but the ends of x and the order of time holds a warp. By all threads.
DEVICE bool is_bounded(const Pair &p) {
    bool bounded = false;
    EACH(i, p.m) {
        bounded = bounded || p.low[i] > p.x_times[0] || p.high[i] < p.x_times[p.n - 1] ||
                  (i + 1 < p.m && (p.slope_min[i] > 0 || p.slope_max[i] < infinity()));
    }
    return any_of_block(bounded);
}

DEVICE void search(Work &w, int grid, double *warp) {
    const int n = w.pair.n, count = grid > 0 ? grid : minimum(maximum(2 * n, 1025), 2049);
    begin(w, warp);
    if (w.pair.is_smooth()) {
        search_smooth(w, count, warp);
        return;
    }
    // Short signals: over the whole of x at once. What is best of all stays so, but for rounding.
    if (w.is_short) {
        polish_linear(w, warp, n, 200);
        polish_linear(w, warp, 1, 200);
        return;
    }
    improve(w, w.low, w.high, count, warp);
    // How far to look around what the grid found: where that is cheap, far. Finer grids do for long signals, but not
    // between bounds. Once more where the minimum is farther away than some rounds of the local search come.
    const bool by_grids = is_long(w.pair) && !is_bounded(w.pair);
    for (int turn = 0; turn < 20; ++turn) {
        if (by_grids) {
            around(w, warp, count, count - 1 > 2 * n ? 32 : 16, 257);
            around(w, warp, count, 1, 65);
        } else {
            leap(w, warp, leap_of(w.pair));
        }
        if (polish_linear(w, warp, is_long(w.pair) ? 1 : 2, 12) || w.full) break;
    }
}

KERNEL void __launch_bounds__(THREADS)
    gdtw(PARAMETERS, int grid, int64 longest_x, int64 longest, int64 points, int64 room, double *numbers,
         int64 n_numbers, int *integers, int64 n_integers, int64 width, double *warps, int *cells, int *holds,
         int *ties, double *objectives, double *residuals, int *statuses) {
    SHARED_ARRAY(Work, works, 1);
    SHARED_ARRAY(double, partial, WARPS);
    SHARED_ARRAY(int, outcome, 1);
    const Problem problem = PROBLEM;
    Work &w = works[0];
    for (int64 b = block_index(); b < n_pairs; b += blocks_in_grid()) {
        const int64 at = starts[b];
        double *const warp = warps + at;
        int *const cell = cells + at, *const hold = holds + at, *const tie = ties + at;
        int status = check_lengths(x_lengths[b], lengths[b], longest_x, longest);
        double value = not_a_number(), missed = value;
        if (thread_index() == 0 && status == FINE) w.pair = pair_of(problem, b);
        sync_block();
        if (status == FINE) status = check(w.pair, partial);
        if (thread_index() == 0 && status == FINE) {
            set_up(w, partial, grid <= 0, longest_x, longest, points, room,
                   {numbers + block_index() * n_numbers, integers + block_index() * n_integers});
            outcome[0] = reach(w, 1e3 * w.tolerance) ? FINE : NO_WARP;
        }
        sync_block();
        if (status == FINE) status = outcome[0];
        if (status == FINE) {
            make_links(w);
            fill_columns(w);
            search(w, grid, warp);
            active_set(w, warp, cell, hold, tie, 0);
            value = objective(w.pair, partial, warp);
            missed = residual(w, warp);
            status = w.full ? NO_ROOM : is_finite(value) ? FINE : TOO_LARGE;
        }
        finish(status, lengths[b], width, warp, cell, hold, tie);
        if (thread_index() == 0) {
            objectives[b] = status == FINE ? value : not_a_number();
            residuals[b] = status == FINE ? missed : not_a_number();
            statuses[b] = status;
        }
        sync_block();
    }
}
