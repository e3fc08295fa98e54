// Derivatives of the costs of knots and steps as polylines: nondecreasing curves in the plane, the subdifferentials of
// convex functions. The twin of the second half of cpu_ext/gdtw/objective.hpp.

// Corners of one curve, in memory that the block has for it.
struct Curve {
    double *at, *slope;
    int count;

    DEVICE void add(double place, double value) {
        at[count] = place;
        slope[count] = value;
        ++count;
    }
};

// Where the derivative of a feature's loss has a jump or a bend; the room of one thread.
struct Events {
    double *at, *jump, *bend;
    int count;

    DEVICE void add(double place, double by, double curvature) {
        at[count] = place;
        jump[count] = by;
        bend[count] = curvature;
        ++count;
    }
    // By place; of equal places the first comes first.
    DEVICE void sort() {
        for (int gap = count / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11)
            for (int i = gap; i < count; ++i) {
                const double a = at[i], j = jump[i], b = bend[i];
                int k = i;
                for (; k >= gap && at[k - gap] > a; k -= gap)
                    at[k] = at[k - gap], jump[k] = jump[k - gap], bend[k] = bend[k - gap];
                at[k] = a, jump[k] = j, bend[k] = b;
            }
    }
};

// Where the derivative of loss(s (phi - root)) times w has a jump or a bend within (low, high).
DEVICE void add_events(const Penalty &p, double w, double s, double root, double low, double high, double &bend,
                       Events &events) {
    const double curvature = 2 * w * s * s;
    if (p.kind() == SQUARED) {
        bend += curvature;
    } else if (p.kind() == ABSOLUTE) {
        if (low < root && root < high) events.add(root, 2 * w * fabs(s), 0);
    } else {
        const double arm = p.delta / fabs(s), first = root - arm, last = root + arm;
        if (first <= low && low < last) bend += curvature;
        if (low < first && first < high) events.add(first, 0, curvature);
        if (low < last && last < high) events.add(last, 0, -curvature);
    }
}

// The derivative of the cost of knot i on [low, high], within segment k of a linearly interpolated x.
ROUTINE void append_node(const Pair &p, int i, int k, double low, double high, Events events, Curve &out) {
    const double w = weight(p, i), h = p.x_times[k + 1] - p.x_times[k], start = p.x_times[k];
    const double *x0 = p.x + k * p.d, *x1 = x0 + p.d, *y = p.y + i * p.d;
    if (p.data.kind() == SQUARED && (p.cumulative == 0 || p.penalty.kind() == SQUARED)) {
        double offset = 0, bend = 0;
        for (int c = 0; c < p.d; ++c) {
            const double s = (x1[c] - x0[c]) / h;
            offset += s * (x0[c] - y[c]), bend += s * s;
        }
        if (p.cumulative > 0) {
            offset += p.cumulative * (start - identity(p, i));
            bend += p.cumulative;
        }
        out.add(low, 2 * w * (offset + bend * (low - start)));
        out.add(high, 2 * w * (offset + bend * (high - start)));
        return;
    }
    events.count = 0;
    double slope = node_slope(p, i, low, k, 1), bend = 0;
    for (int c = 0; c < p.d; ++c) {
        const double s = (x1[c] - x0[c]) / h;
        if (s != 0) add_events(p.data, w, s, start + (y[c] - x0[c]) / s, low, high, bend, events);
    }
    if (p.cumulative > 0) add_events(p.penalty, w * p.cumulative, 1, identity(p, i), low, high, bend, events);
    events.sort();
    out.add(low, slope);
    double at = low;
    for (int e = 0; e < events.count; ++e) {
        slope += bend * (events.at[e] - at), at = events.at[e];
        out.add(at, slope);
        slope += events.jump[e], bend += events.bend[e];
        if (events.jump[e] != 0) out.add(at, slope);
        bend = maximum(bend, 0.0);
    }
    out.add(high, slope + bend * (high - at));
}

// Derivative of the penalty of step i in its rise, over all rises that the constraints leave: up to four corners.
ROUTINE void link_curve(const Pair &p, int i, double longest, Curve &out) {
    const double low = least(p, i), high = minimum(greatest(p, i), maximum(longest, low)), dt = step_of(p, i);
    const Penalty &q = p.penalty;
    const double middle = target(p, i), arm = q.kind() == HUBER ? q.delta * dt : 0;
    out.add(low, link_slope(p, i, low, 1));
    if (q.kind() == ABSOLUTE && low < middle && middle < high) {
        out.add(middle, -p.reg);
        out.add(middle, p.reg);
    }
    if (q.kind() == HUBER) {
        if (low < middle - arm && middle - arm < high) out.add(middle - arm, -2 * q.delta * p.reg);
        if (low < middle + arm && middle + arm < high) out.add(middle + arm, 2 * q.delta * p.reg);
    }
    out.add(high, maximum(link_slope(p, i, high, -1), out.slope[out.count - 1]));
}
