// Where the work of a block lies, whether its pair can be solved at all, and what becomes of the rest of its row.

// What is found for a pair; `_gdtw.py` has the words.
constexpr int FINE = 0, NO_WARP = 1, NO_ROOM = 2, TOO_LARGE = 3, X_TOO_LONG = 4, X_TOO_SHORT = 5, Y_TOO_LONG = 6,
              Y_TOO_SHORT = 7, X_NOT_FINITE = 8, X_TIMES_NOT_FINITE = 9, X_TIMES_NOT_SORTED = 10, Y_NOT_FINITE = 11,
              Y_TIMES_NOT_FINITE = 12, Y_TIMES_NOT_SORTED = 13, BAND_NAN = 14, SLOPE_MIN_BAD = 15, SLOPE_MAX_BAD = 16,
              SLOPES_CROSSED = 17, REG_BAD = 18, CUMULATIVE_BAD = 19, CODES = 20;

DEVICE int check_lengths(int64 n, int64 m, int64 longest_x, int64 longest) {
    return n > longest_x ? X_TOO_LONG : n < 2 ? X_TOO_SHORT : m > longest ? Y_TOO_LONG : m < 2 ? Y_TOO_SHORT : FINE;
}

// The first thing wrong with a pair, in the order of the codes. By all threads.
ROUTINE int check(const Pair &p, SharedPointer<double> partial) {
    int code = CODES;
    auto refuse = [&](bool bad, int why) { code = bad ? minimum(code, why) : code; };
    EACH(k, p.n) {
        for (int c = 0; c < p.d; ++c) refuse(!is_finite(p.x[k * p.d + c]), X_NOT_FINITE);
        refuse(!is_finite(p.x_times[k]), X_TIMES_NOT_FINITE);
        refuse(k > 0 && !(p.x_times[maximum(k, 1)] > p.x_times[maximum(k, 1) - 1]), X_TIMES_NOT_SORTED);
    }
    EACH(i, p.m) {
        for (int c = 0; c < p.d; ++c) refuse(!is_finite(p.y[i * p.d + c]), Y_NOT_FINITE);
        refuse(!is_finite(p.times[i]), Y_TIMES_NOT_FINITE);
        refuse(i > 0 && !(p.times[maximum(i, 1)] > p.times[maximum(i, 1) - 1]), Y_TIMES_NOT_SORTED);
        refuse(p.low[i] != p.low[i] || p.high[i] != p.high[i], BAND_NAN);
        refuse(!(p.slope_min[i] >= 0), SLOPE_MIN_BAD);
        refuse(!(p.slope_max[i] >= 0), SLOPE_MAX_BAD);
        refuse(p.slope_min[i] > p.slope_max[i], SLOPES_CROSSED);
    }
    refuse(!(p.reg >= 0 && is_finite(p.reg)), REG_BAD);
    refuse(!(p.cumulative >= 0 && is_finite(p.cumulative)), CUMULATIVE_BAD);
    const int first = CODES - static_cast<int>(block_max(partial, static_cast<double>(CODES - code)));
    return first == CODES ? FINE : first;
}

// Hands out the memory of a block; `_gdtw.py` counts the same. By one thread.
struct Portions {
    double *numbers;
    int *integers;

    DEVICE double *take(int64 count) {
        numbers += count;
        return numbers - count;
    }
    DEVICE int *take_integers(int64 count) {
        integers += count;
        return integers - count;
    }
};

DEVICE Hessian take_hessian(Portions &of, int64 m) {
    Hessian h;
    h.node = of.take(m), h.link = of.take(m), h.diagonal = of.take(m), h.right = of.take(m), h.factor = of.take(m);
    h.first = of.take_integers(m), h.last = of.take_integers(m), h.held = of.take_integers(m);
    return h;
}

// Room for the curves of one knot and of all knots of a pair.
struct Rooms {
    int64 node, nodes;
};
DEVICE Rooms rooms_of(int64 n, int64 m, int64 d) {
    const int64 corners = GENERAL ? 2 * d + 4 : 2, most_short = (GENERAL ? 4 : 2) * SHORT_PAIR;
    return {minimum((n - 1) * corners, maximum(most_short / 2, 2 * FAR_LEAP * corners)),
            minimum(m * (n - 1) * corners, maximum(int64(most_short), m * 2 * FAR_LEAP * corners))};
}

ROUTINE void set_up(Work &w, SharedPointer<double> partial, bool may_be_short, int64 n, int64 m, int64 points,
                    int64 room, Portions of) {
    const Pair &p = w.pair;
    w.partial = partial;
    w.span = p.x_times[p.n - 1] - p.x_times[0];
    w.tolerance = 1e-12 * (w.span + fabs(p.x_times[0]));
    w.low = of.take(m), w.high = of.take(m), w.box_low = of.take(m), w.box_high = of.take(m), w.other = of.take(m);
    w.trial = of.take(m), w.left = of.take(m), w.right = of.take(m);
    w.spacings = of.take(m), w.per_spacing = of.take(m);
    w.ties = of.take_integers(m), w.trial_ties = of.take_integers(m);
    w.cell = of.take_integers(m), w.holds = of.take_integers(m), w.node_counts = of.take_integers(m);
    w.link_counts = of.take_integers(m), w.places = of.take_integers(m), w.numbers = of.take_integers(m);
    w.hessian = take_hessian(of, m);
    // Corners of a segment: its ends and what features add, of which the cumulative penalty may be one.
    const bool plain = p.data.kind() == SQUARED;
    const bool bends = p.cumulative > 0 && p.penalty.kind() != SQUARED;
    const int64 corners = plain ? (bends ? 4 : 2) : 2 * p.d + 4;
    const int64 places = static_cast<int64>(p.n) * p.m * (plain ? 1 : 1 + p.d);
    w.is_short = may_be_short && !p.is_smooth() && places <= SHORT_PAIR;
    w.node_room = static_cast<int>((w.is_short ? p.n - 1 : minimum(p.n - 1, 2 * leap_of(p))) * corners);
    w.event_room = GENERAL ? 2 * p.d + 2 : 0;
    const Rooms rooms = rooms_of(n, m, p.d);
    w.nodes = {of.take(rooms.nodes), of.take(rooms.nodes), 0};
    w.links = {of.take(m * LINK_ROOM), of.take(m * LINK_ROOM), 0};
    const int64 events = static_cast<int64>(THREADS) * w.event_room;
    w.events.at = of.take(events), w.events.jump = of.take(events), w.events.bend = of.take(events);
    const int64 curve = room + rooms.node + 2;
    w.chain.curve = {of.take(curve), of.take(curve), 0};
    w.chain.next = {of.take(curve), of.take(curve), 0};
    w.chain.at = of.take(room);
    w.chain.from = of.take(room), w.chain.step = of.take(room), w.chain.slope = of.take(room);
    w.chain.ends = of.take_integers(m);
    w.chain.room = static_cast<int>(room);
    w.columns = of.take(n * p.d), w.distances = of.take(n * AT_ONCE), w.jumps = of.take(n);
    w.costs = of.take(points), w.next_costs = of.take(points), w.shares = of.take(points), w.bulges = of.take(points);
    if (WIDE_GRID) w.base = of.take(points), w.tilt = of.take(points);
    w.choices = of.take_integers(m * points), w.cells = of.take_integers(points);
    w.stride = static_cast<int>(points);
    w.full = 0;
}

// Behind the end of a row the last number repeats; a row that could not be solved has none.
DEVICE void finish(int status, int64 m, int64 width, double *warp, int *cell, int *holds, int *ties) {
    const int count = static_cast<int>(maximum(width, int64(0)));
    if (status == FINE) {
        EACH(i, count) {
            if (i < m) continue;
            warp[i] = warp[m - 1], cell[i] = cell[m - 1], holds[i] = holds[m - 1], ties[i] = ties[m - 1];
        }
    } else {
        EACH(i, count) warp[i] = not_a_number(), cell[i] = 0, holds[i] = 0, ties[i] = 0;
    }
}
