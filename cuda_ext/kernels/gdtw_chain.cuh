// Exact minimum of a convex function along a chain in one sweep, by one warp. The twin of cpu_ext/gdtw/chain.hpp, which
// says how: the corners of two polylines are merged by slope (to pass a link) or by place (to pass a knot).
//
// There the corners are taken one after the other. Here a lane takes a corner: where it lies among those of the other
// curve, which is short or sorted, gives its place in the result, and no lane waits for its neighbour.

struct Chain {
    Curve curve, next;
    double *from, *step, *slope;  // joints: corners of a curve and a link, added up
    int *ends;                    // of the joints of each step
    int room;                     // for joints; where it does not suffice, `full` is set
    bool full;
};

DEVICE double between(double x0, double y0, double x1, double y1, double x) {
    return x1 > x0 ? y0 + (y1 - y0) * ((x - x0) / (x1 - x0)) : y0;
}
// Where a curve has this slope, between its corners before - 1 and before.
DEVICE double place(const Curve &curve, int before, double slope) {
    if (before == 0) return curve.at[0];
    if (before == curve.count) return curve.at[curve.count - 1];
    const double a = curve.at[before - 1], b = curve.at[before];
    return a == b ? a : between(curve.slope[before - 1], a, curve.slope[before], b, slope);
}
// Its slope at this place, likewise.
DEVICE double slope_at(const Curve &curve, int before, double at) {
    if (before == 0) return curve.slope[0];
    if (before == curve.count) return curve.slope[curve.count - 1];
    return between(curve.at[before - 1], curve.slope[before - 1], curve.at[before], curve.slope[before], at);
}
// Corners of a sorted array that lie below a number, or at it.
DEVICE int count_below(const double *sorted, int count, double at, bool or_at) {
    int low = 0, high = count;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (sorted[middle] < at || (or_at && sorted[middle] == at))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

DEVICE void start_chain(Chain &chain, const Curve &node) {
    for (int k = lane(); k < node.count; k += 32) {
        chain.curve.at[k] = node.at[k];
        chain.curve.slope[k] = node.slope[k];
    }
    chain.curve.count = node.count;
    sync_warp();
}

// The curve becomes the joints [first, last) of the infimal convolution with the link.
ROUTINE void pass_link(Chain &chain, const Curve &link, int first, int &last) {
    const Curve &curve = chain.curve;
    last = first + curve.count + link.count;
    if (last > chain.room) {
        chain.full = true;
        return;
    }
    // What comes with the same slope comes from the curve first.
    for (int k = lane(); k < curve.count; k += 32) {
        const double s = curve.slope[k];
        const int before = count_below(link.slope, link.count, s, false), to = first + k + before;
        chain.from[to] = curve.at[k];
        chain.step[to] = place(link, before, s);
        chain.slope[to] = s;
    }
    if (lane() < link.count) {
        const double s = link.slope[lane()];
        const int before = count_below(curve.slope, curve.count, s, true), to = first + lane() + before;
        chain.from[to] = place(curve, before, s);
        chain.step[to] = link.at[lane()];
        chain.slope[to] = s;
    }
    sync_warp();
}

DEVICE double joint_at(const Chain &chain, int k) { return chain.from[k] + chain.step[k]; }

// Joints of [first, last) below a place, or at it.
DEVICE int joints_below(const Chain &chain, int first, int last, double at, bool or_at) {
    int low = first, high = last;
    while (low < high) {
        const int middle = (low + high) / 2;
        const double here = joint_at(chain, middle);
        if (here < at || (or_at && here == at))
            low = middle + 1;
        else
            high = middle;
    }
    return low - first;
}
DEVICE double joint_slope(const Chain &chain, int first, int last, int before, double at) {
    if (before == 0) return chain.slope[first];
    if (before == last - first) return chain.slope[last - 1];
    const int k = first + before;
    return between(joint_at(chain, k - 1), chain.slope[k - 1], joint_at(chain, k), chain.slope[k], at);
}

// The joints become a curve again with the knot's own function, over the bounds that its curve begins and ends with.
ROUTINE void pass_node(Chain &chain, const Curve &node, int first, int last) {
    const double least_at = node.at[0], greatest_at = node.at[node.count - 1];
    double low = maximum(joint_at(chain, first), least_at), high = minimum(joint_at(chain, last - 1), greatest_at);
    // Apart by rounding only: whether the constraints leave a warp was found out before.
    if (low > high) low = high = clamp(0.5 * (low + high), least_at, greatest_at);
    const int joints_to = joints_below(chain, first, last, low, true);
    const int joints_end = maximum(joints_below(chain, first, last, high, false), joints_to);
    const int nodes_to = count_below(node.at, node.count, low, true);
    const int nodes_end = maximum(count_below(node.at, node.count, high, false), nodes_to);
    const int inner_joints = joints_end - joints_to, inner_nodes = nodes_end - nodes_to;
    Curve &out = chain.next;
    out.count = inner_joints + inner_nodes + 2;
    // Of equal places joints come first.
    for (int k = lane(); k < inner_joints; k += 32) {
        const double at = joint_at(chain, first + joints_to + k);
        const int before = count_below(node.at, node.count, at, false);
        const int to = 1 + k + before - nodes_to;
        out.at[to] = at;
        out.slope[to] = chain.slope[first + joints_to + k] + slope_at(node, before, at);
    }
    // The ends, which take what is steepest at the lower and flattest at the upper, and the corners of the node.
    for (int k = lane(); k < inner_nodes + 2; k += 32) {
        const bool is_low = k == 0, is_high = k == 1;
        const int corner = is_low ? nodes_to : is_high ? nodes_end : nodes_to + k - 2;
        const double at = is_low ? low : is_high ? high : node.at[corner];
        const int joints = is_low ? joints_to : is_high ? joints_end : joints_below(chain, first, last, at, true);
        const double own = is_low || is_high ? slope_at(node, corner, at) : node.slope[corner];
        const int to = is_low ? 0 : is_high ? out.count - 1 : 1 + (k - 2) + joints - joints_to;
        out.at[to] = at;
        out.slope[to] = joint_slope(chain, first, last, joints, at) + own;
    }
    sync_warp();
    // Rounding must not bend the curve backwards.
    bool bent = false;
    for (int k = lane() + 1; k < out.count; k += 32) bent = bent || out.slope[k] < out.slope[k - 1];
    if (any(bent)) {
        if (lane() == 0)
            for (int k = 1; k < out.count; ++k) out.slope[k] = maximum(out.slope[k], out.slope[k - 1]);
        sync_warp();
    }
    const Curve old = chain.curve;
    chain.curve = chain.next;
    chain.next = old;
}

// Where the curve crosses zero; where it lies on zero, as near as can be.
DEVICE double minimiser(const Curve &curve, double near) {
    const int k = count_below(curve.slope, curve.count, 0.0, false);
    if (k == curve.count) return curve.at[k - 1];
    const double lowest = k == 0 ? curve.at[0] : place(curve, k, 0.0);
    if (curve.slope[k] != 0) return lowest;
    return clamp(near, lowest, curve.at[count_below(curve.slope, curve.count, 0.0, true) - 1]);
}

// The minimiser of all, from the last knot back. ties[i] says whether step i is at a corner of its link. The last knot is
// set already.
ROUTINE void trace(const Chain &chain, const Curve &links, int room, const int *link_counts, int m, double *warp,
                   int *ties) {
    double goal = warp[m - 1];
    for (int i = m - 2; i >= 0; --i) {
        const int first = i ? chain.ends[i - 1] : 0, last = chain.ends[i];
        const int k = first + minimum(joints_below(chain, first, last, goal, false), last - first - 1);
        const int previous = k > first ? k - 1 : k;
        const double after_from = chain.from[k], after_step = chain.step[k];
        const double before_from = chain.from[previous], before_step = chain.step[previous];
        const double a = before_from + before_step, b = after_from + after_step;
        const double t = b > a ? clamp((goal - a) / (b - a), 0.0, 1.0) : 1.0;
        const bool at_end = t == 1.0 || k == first;
        goal = at_end || before_from == after_from ? after_from : before_from + t * (after_from - before_from);
        int tie = FREE;
        if (at_end || before_step == after_step) {
            const double *link = links.at + i * room;
            const int count = link_counts[i];
            if (after_step == link[0])
                tie = LEAST;
            else if (after_step == link[count - 1])
                tie = GREATEST;
            else
                for (int c = 1; c < count; ++c)
                    if (link[c] == after_step && link[c - 1] == after_step) tie = MEAN;
        }
        if (lane() == 0) {
            warp[i] = goal;
            ties[i] = tie;
        }
    }
}
