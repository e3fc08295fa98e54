// Exact minimum along a chain in one sweep, by one warp. The twin of cpu_ext/gdtw/chain.hpp, which says how: the corners of
// two polylines are merged by slope (to pass a link) or by place (to pass a knot), and what folds back is cut where the
// areas of the loop are equal.
//
// There the corners are taken one after the other. Here a lane takes a corner: where it lies among those of the other
// curve gives its place in the result, and no lane waits for its neighbour. Only the link of a curve that falls somewhere,
// so that the result may fold, is passed by one lane, and so are corners left out.

struct Joint {
    double at, from, step, slope;
};

struct Chain {
    Curve curve, next;
    double *at, *from, *step, *slope;  // joints: corners of a curve and a link, added up
    int *ends;                         // of the joints of each step
    int room;                          // for joints; where it does not suffice, `full` is set
    bool full;
    bool falls;    // whether the curve does somewhere
    double slack;  // corners between which the cost changes by less are left out
    int limit;     // and those that are farthest from where the knot was, where there are more

    DEVICE Joint joint(int k) const { return {at[k], from[k], step[k], slope[k]}; }
    DEVICE void put(int k, const Joint &joint) {
        at[k] = joint.at, from[k] = joint.from, step[k] = joint.step, slope[k] = joint.slope;
    }
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

// The same by all lanes of a warp for one number.
DEVICE int count_together(const double *sorted, int count, double at, bool or_at) {
    int low = 0, high = count;
    while (low < high) {
        const int stride = (high - low + 31) / 32, k = low + (lane() + 1) * stride - 1;
        const double there = sorted[minimum(k, high - 1)];
        const int below = leading_lanes(k < high && (there < at || (or_at && there == at)));
        high = minimum(low + (below + 1) * stride - 1, high);
        low = minimum(low + below * stride, high);
    }
    return low;
}
// Whether a curve has a fall. By all lanes of a warp.
DEVICE bool has_fall(const Curve &curve) {
    bool falls = false;
    for (int k = lane() + 1; k < curve.count; k += 32) falls = falls || curve.slope[k] < curve.slope[k - 1];
    return any(falls);
}

DEVICE Joint joint_between(const Joint &a, const Joint &b, double at) {
    const double t = b.at > a.at ? clamp((at - a.at) / (b.at - a.at), 0.0, 1.0) : 0.0;
    const double from = a.from + t * (b.from - a.from);
    return {at, from, a.step == b.step ? a.step : at - from, a.slope + t * (b.slope - a.slope)};
}

DEVICE void start_chain(Chain &chain, const Curve &node) {
    for (int k = lane(); k < node.count; k += 32) {
        chain.curve.at[k] = node.at[k];
        chain.curve.slope[k] = node.slope[k];
    }
    chain.curve.count = node.count;
    sync_warp();
    chain.falls = has_fall(chain.curve);
}

// The joints of a link, by one lane: those of a curve that falls, with its folds cut.
struct Folds {
    Chain &chain;
    const Curve &link;
    int begin, size;
    // Where a fold is above the lowest branch: where it has come to, by how much, and the joint before on that branch.
    bool above;
    int below;
    double excess;
    Joint point;

    DEVICE void push(const Joint &joint) {
        if (size < chain.room)
            chain.put(size++, joint);
        else
            chain.full = true;
    }
    DEVICE Joint below_at(double at) const {
        return joint_between(chain.joint(below), chain.joint(minimum(below + 1, size - 1)), at);
    }
    DEVICE void take_over(const Joint &old, const Joint &fresh) {
        size = below + 1;
        push(old);
        push(fresh);
        above = false;
    }
    DEVICE void add(const Joint &joint) {
        while (above) {
            // The lowest branch so far is joints below and below + 1; the new one has come to `point`.
            if (below + 1 >= size) {
                take_over(chain.joint(size - 1), point);
                break;
            }
            const double next = chain.at[below + 1], start = point.at, end = minimum(joint.at, next);
            const Joint low0 = below_at(start), low1 = below_at(end), high1 = joint_between(point, joint, end);
            const double width = end - start, a = low0.slope - point.slope, b = low1.slope - high1.slope;
            const double area = 0.5 * (a + b) * width;
            if (area >= excess) {
                const double root = sqrt(maximum(a * a + 2 * (b - a) * excess / width, 0.0));
                const double move = a + root > 0 ? minimum(2 * excess / (a + root), width) : width;
                const double at = width > 0 ? start + move : start;
                take_over(below_at(at), joint_between(point, joint, at));
                break;
            }
            excess -= area;
            point = high1;
            if (end == next) ++below;
            if (end == joint.at) {
                point = joint;
                return;
            }
        }
        push(joint);
    }
    // Behind a fall to the corner (at, slope), of which the link is read before its corner j, from its corner `before`.
    DEVICE void fold(int before, int j, double start_at, double start_slope) {
        const Joint last = above ? point : chain.joint(size - 1);
        const double shortest = place(link, j, start_slope);
        const Joint first = {start_at + shortest, start_at, shortest, start_slope};
        if (!(first.step < last.step)) {
            add(first);
            return;
        }
        // How much higher than the lowest branch so far the new one begins.
        double area = 0, at = last.step, slope = last.slope;
        for (int k = before - 1; k >= j - 1; --k) {
            const double to = k >= j ? link.at[k] : first.step, to_slope = k >= j ? link.slope[k] : first.slope;
            area -= 0.5 * (slope + to_slope) * (at - to);
            at = to, slope = to_slope;
        }
        if (!above) excess = 0, below = size - 1;
        above = true;
        Joint here = below_at(last.at);
        while (below > begin && chain.at[below] > first.at) {
            const Joint to = chain.joint(below);
            area += 0.5 * (here.slope + to.slope) * (here.at - to.at), here = to, --below;
        }
        const Joint to = below_at(first.at);
        area += 0.5 * (here.slope + to.slope) * (here.at - to.at);
        excess += area;
        point = first;
        if (excess <= 0) take_over(to, first);
    }
};

// The cost of the link at a longer step minus that at a shorter one, where it is read before its corners `before` and j.
DEVICE double rise_of_link(const Curve &link, int before, int j, const Joint &longer, const Joint &shorter) {
    double area = 0, at = longer.step, slope = longer.slope;
    for (int k = before - 1; k >= j - 1; --k) {
        const double to = k >= j ? link.at[k] : shorter.step, to_slope = k >= j ? link.slope[k] : shorter.slope;
        area += 0.5 * (slope + to_slope) * (at - to);
        at = to, slope = to_slope;
    }
    return area;
}

// A fold between the joints `last` and `first` that changes branches on the segments next to it, as `Folds` would: the two
// joints there. False for others.
DEVICE bool cut_fold(const Joint &before, const Joint &last, const Joint &first, const Joint &after, double rise,
                     Joint &old, Joint &fresh) {
    if (!(before.at <= first.at && last.at > first.at && before.at <= last.at && first.at <= after.at)) return false;
    const Joint low0 = joint_between(before, last, first.at);
    const double excess = 0.5 * (last.slope + low0.slope) * (last.at - first.at) - rise;
    old = low0, fresh = first;
    if (excess <= 0) return true;
    const double end = minimum(after.at, last.at), width = end - first.at;
    const Joint low1 = joint_between(before, last, end), high1 = joint_between(first, after, end);
    const double a = low0.slope - first.slope, b = low1.slope - high1.slope;
    if (!(0.5 * (a + b) * width >= excess)) return false;
    const double root = sqrt(maximum(a * a + 2 * (b - a) * excess / width, 0.0));
    const double move = a + root > 0 ? minimum(2 * excess / (a + root), width) : width;
    const double at = width > 0 ? first.at + move : first.at;
    old = joint_between(before, last, at), fresh = joint_between(first, after, at);
    return true;
}

// By all lanes of a warp: the joints of up to 32 corners from i on, behind `size` others. A fold that concerns none but the
// segments next to it is cut by the lane of its first corner. The run ends in front of another one, or of a corner of the
// link; returns its length.
DEVICE int fold_run(Chain &chain, const Curve &link, int begin, int size, int i) {
    const Curve &curve = chain.curve;
    const int n = curve.count, k = i + lane();
    const bool inside = k < n;
    const double slope = curve.slope[inside ? k : n - 1], earlier = curve.slope[k > 0 && inside ? k - 1 : 0];
    const int j = count_below(link.slope, link.count, slope, false);
    const int j_before = k > 0 ? count_below(link.slope, link.count, earlier, false) : 0;
    const bool falls = inside && k > 0 && slope < earlier;
    const bool plain = inside && (falls || j == j_before);
    if (inside) {
        const double step = place(link, j, slope);
        chain.put(size + lane(), {curve.at[k] + step, curve.at[k], step, slope});
    }
    sync_warp();
    const int to = size + lane();
    const bool folds = falls && chain.step[to] < chain.step[to - 1];
    // The next joint must come straight from this one, and be within reach.
    const bool rises_next = shuffle_down(static_cast<int>(plain && !falls), 1) != 0 && lane() < 31;
    bool simple = false;
    Joint old = {0, 0, 0, 0}, fresh = old;
    if (folds && rises_next && to - 2 >= begin) {
        const Joint last = chain.joint(to - 1), first = chain.joint(to);
        simple = cut_fold(chain.joint(to - 2), last, first, chain.joint(to + 1),
                          rise_of_link(link, j_before, j, last, first), old, fresh);
    }
    // Two folds on one segment: the earlier one must be over before the later one begins.
    const double cut = shuffle_up(fresh.at, 2);
    const bool cut_before = shuffle_up(static_cast<int>(simple), 2) != 0 && lane() >= 2;
    if (simple && cut_before) simple = cut <= chain.at[to];
    const int count = leading_lanes(plain && (!folds || simple));
    sync_warp();
    if (simple && lane() < count) {
        chain.put(to - 1, old);
        chain.put(to, fresh);
    }
    sync_warp();
    return count;
}

// By all lanes of a warp; what does not go in runs is left to lane 0.
ROUTINE int fold_link(Chain &chain, const Curve &link, int begin) {
    const Curve curve = chain.curve;
    const int n = curve.count;
    Folds folds = {chain, link, begin, begin, false, 0, 0, {0, 0, 0, 0}};
    int i = 0, j = 0;
    while (i < n && !chain.full) {
        if (folds.size + 32 > chain.room) {
            chain.full = true;
            break;
        }
        const int count = fold_run(chain, link, begin, folds.size, i);
        folds.size += count;
        i += count;
        if (count == 32 || i == n) continue;
        if (lane() == 0) {
            if (i) j = count_below(link.slope, link.count, curve.slope[i - 1], false);
            do {
                const double s = curve.slope[i];
                if (i && s < curve.slope[i - 1]) {
                    const int before = j;
                    while (j && link.slope[j - 1] >= s) --j;
                    folds.fold(before, j, curve.at[i], s);
                } else {
                    for (; j < link.count && link.slope[j] < s; ++j) {
                        const double from = place(curve, i, link.slope[j]);
                        folds.add({from + link.at[j], from, link.at[j], link.slope[j]});
                    }
                    const double step = place(link, j, s);
                    folds.add({curve.at[i] + step, curve.at[i], step, s});
                }
                ++i;
            } while (folds.above && i < n && !chain.full);
        }
        i = shuffle(i, 0);
        folds.size = shuffle(folds.size, 0);
        chain.full = shuffle(static_cast<int>(chain.full), 0) != 0;
        sync_warp();
    }
    if (lane() == 0)
        for (j = count_below(link.slope, link.count, curve.slope[n - 1], false); j < link.count && !chain.full; ++j) {
            const double from = curve.at[n - 1];
            folds.add({from + link.at[j], from, link.at[j], link.slope[j]});
        }
    sync_warp();
    chain.full = shuffle(static_cast<int>(chain.full), 0) != 0;
    return shuffle(folds.size, 0);
}

// The curve becomes the joints [first, last) of the infimal convolution with the link.
ROUTINE void pass_link(Chain &chain, const Curve &link, int first, int &last) {
    const Curve &curve = chain.curve;
    if (chain.falls) {
        last = fold_link(chain, link, first);
        return;
    }
    last = first + curve.count + link.count;
    if (last > chain.room) {
        chain.full = true;
        return;
    }
    // A lane has a corner of one of the two, and looks where the other has its slope. What comes with the same slope comes
    // from the curve first.
    for (int item = lane(); item < curve.count + link.count; item += 32) {
        const bool is_link = item >= curve.count;
        const int k = is_link ? item - curve.count : item;
        const Curve &own = is_link ? link : curve, &other = is_link ? curve : link;
        const double s = own.slope[k], at = own.at[k];
        const int before = count_below(other.slope, other.count, s, is_link);
        const double there = place(other, before, s), from = is_link ? there : at, step = is_link ? at : there;
        chain.put(first + k + before, {from + step, from, step, s});
    }
    sync_warp();
}

// What becomes of a corner behind others, of which the last three count: rounding must not bend the curve backwards, and
// where the last one, or a jump or a fall there, hardly matters, a straight line takes its place.
struct Corner {
    double at, slope;
};
DEVICE int corners_replaced(const Corner &third, const Corner &second, const Corner &last, const Corner &here,
                            int behind, double slack, double left_out, double &area) {
    const int count = behind > 1 && second.at == last.at ? 2 : 1;
    if (!(slack > 0 && last.at < here.at && behind > count)) return 0;
    const Corner &before = count == 2 ? third : second, &first = count == 2 ? second : last;
    area =
        0.5 * ((last.at - before.at) * (before.slope + first.slope) + (here.at - last.at) * (last.slope + here.slope) -
               (here.at - before.at) * (before.slope + here.slope));
    return before.at != last.at && here.slope >= before.slope && fabs(left_out + area) <= slack ? count : 0;
}

// By all lanes of a warp: corners to which nothing happens 32 at once, the others by lane 0.
ROUTINE int straighten(const Curve &curve, double slack) {
    int n = 0, k = 0;
    const auto corner = [&](int q) -> Corner {  // of those that stay, and of those to come
        const int from = maximum(q >= k ? q : n - (k - q), 0);
        return {curve.at[from], curve.slope[from]};
    };
    while (k < curve.count) {
        int count = 0;
        if (n >= 3) {
            const int q = minimum(k + lane(), curve.count - 1);
            const Corner here = corner(q), last = corner(q - 1);
            double area;
            const bool stays = k + lane() < curve.count && !(last.at == here.at && last.slope == here.slope) &&
                               !(last.at < here.at && here.slope < last.slope) &&
                               !corners_replaced(corner(q - 3), corner(q - 2), last, here, 3, slack, 0, area);
            count = leading_lanes(stays);
            sync_warp();
            if (lane() < count) curve.at[n + lane()] = here.at, curve.slope[n + lane()] = here.slope;
            sync_warp();
            n += count, k += count;
        }
        if (count == 32) continue;
        if (lane() == 0) {
            double left_out = 0;
            while (k < curve.count) {
                Corner here = corner(k);
                ++k;
                double area = 0;
                int replaced = 0;
                if (n) {
                    const Corner last = {curve.at[n - 1], curve.slope[n - 1]};
                    const int second = maximum(n - 2, 0), third = maximum(n - 3, 0);
                    if (last.at == here.at && last.slope == here.slope) continue;
                    if (last.at < here.at) here.slope = maximum(here.slope, last.slope);
                    replaced =
                        corners_replaced({curve.at[third], curve.slope[third]}, {curve.at[second], curve.slope[second]},
                                         last, here, n, slack, left_out, area);
                }
                left_out = replaced ? left_out + area : 0;
                n -= replaced;
                curve.at[n] = here.at, curve.slope[n] = here.slope, ++n;
                if (!replaced && n >= 3) break;
            }
        }
        k = shuffle(k, 0);
        n = shuffle(n, 0);
        sync_warp();
    }
    return n;
}

// The part around a time, with so many corners to each side.
DEVICE void narrow(Curve &curve, double near, int half) {
    const int middle = count_together(curve.at, curve.count, near, false);
    const int first = maximum(middle - half, 0), last = minimum(middle + half, curve.count);
    for (int k = 0; k < last - first; k += 32) {
        const int from = minimum(first + k + lane(), last - 1);
        const double at = curve.at[from], slope = curve.slope[from];
        sync_warp();
        if (first + k + lane() < last) curve.at[k + lane()] = at, curve.slope[k + lane()] = slope;
        sync_warp();
    }
    curve.count = last - first;
}

// The joints become a curve again with the knot's own function, over the bounds that its curve begins and ends with.
ROUTINE void pass_node(Chain &chain, const Curve &node, double near, int first, int last) {
    const double least_at = node.at[0], greatest_at = node.at[node.count - 1];
    double low = maximum(chain.at[first], least_at), high = minimum(chain.at[last - 1], greatest_at);
    // Apart by rounding only: whether the constraints leave a warp was found out before.
    if (low > high) low = high = clamp(0.5 * (low + high), least_at, greatest_at);
    const Curve joints = {chain.at + first, chain.slope + first, last - first};
    const int joints_to = count_together(joints.at, joints.count, low, true);
    const int joints_end = maximum(count_together(joints.at, joints.count, high, false), joints_to);
    const int nodes_to = count_together(node.at, node.count, low, true);
    const int nodes_end = maximum(count_together(node.at, node.count, high, false), nodes_to);
    const int inner_joints = joints_end - joints_to, inner_nodes = nodes_end - nodes_to;
    Curve &out = chain.next;
    out.count = inner_joints + inner_nodes + 2;
    // A lane has a corner of one of the two, and adds the slope of the other there; of equal places joints come first. At
    // the ends, which take what is right of the lower and left of the upper, two lanes look at one curve each.
    for (int begin = 0; begin < inner_joints + inner_nodes + 4; begin += 32) {
        const int item = begin + lane(), inner = item - 4;
        const bool is_end = item < 4, is_high = item & 1, is_joint = !is_end && inner < inner_joints;
        const bool reads_node = is_joint || (is_end && item > 1), is_there = inner < inner_joints + inner_nodes;
        const Curve &other = reads_node ? node : joints, &own = reads_node ? joints : node;
        const int k = !is_there ? 0 : is_joint ? joints_to + inner : nodes_to + inner - inner_joints;
        const double here = is_end ? (is_high ? high : low) : own.at[k];
        const int before = !is_end      ? count_below(other.at, other.count, here, !is_joint)
                           : reads_node ? (is_high ? nodes_end : nodes_to)
                                        : (is_high ? joints_end : joints_to);
        const double there = slope_at(other, before, here), second = shuffle_down(there, 2);
        const int to = is_end ? (is_high ? out.count - 1 : 0) : 1 + k + before - nodes_to - joints_to;
        if (is_there && item != 2 && item != 3) {
            out.at[to] = here;
            out.slope[to] = there + (is_end ? second : own.slope[k]);
        }
    }
    sync_warp();
    bool falls = false, bent = chain.slack > 0;
    for (int k = lane() + 1; k < out.count; k += 32) {
        const bool is_fall = out.slope[k] < out.slope[k - 1];
        falls = falls || is_fall;
        bent = bent || (is_fall && out.at[k] > out.at[k - 1]);
    }
    chain.falls = any(falls);
    if (any(bent)) {
        out.count = straighten(out, chain.slack);
        chain.falls = has_fall(out);
    }
    if (out.count > chain.limit) {
        narrow(out, near, chain.limit / 2);
        chain.falls = has_fall(out);
    }
    const Curve old = chain.curve;
    chain.curve = chain.next;
    chain.next = old;
}

// The least of all places; of several, the one nearest to `near`.
ROUTINE double minimiser(const Curve &curve, double near) {
    double best = infinity(), at = curve.at[0], value = 0, scale = 0;
    auto consider = [&](double x, double f) {
        const double slack = 1e-15 * scale;
        if (f < best - slack || (f <= best + slack && fabs(x - near) < fabs(at - near)))
            best = minimum(best, f), at = x;
    };
    consider(at, 0);
    for (int k = 1; k < curve.count; ++k) {
        const double a = curve.at[k - 1], b = curve.at[k], slope = curve.slope[k - 1], end = curve.slope[k];
        if (slope < 0 && end > 0) {
            const double x = between(slope, a, end, b, 0.0);
            consider(x, value + 0.5 * slope * (x - a));
        }
        if (slope == 0 && end == 0) consider(clamp(near, a, b), value);
        value += 0.5 * (slope + end) * (b - a);
        scale = maximum(scale, fabs(value));
        consider(b, value);
    }
    return at;
}

// The minimiser of all, from the last knot back. ties[i] says whether step i is at a corner of its link. The last knot is
// set already.
ROUTINE void trace(const Chain &chain, const Curve &links, int room, const int *link_counts, int m, double *warp,
                   int *ties) {
    double goal = warp[m - 1];
    for (int i = m - 2; i >= 0; --i) {
        const int first = i ? chain.ends[i - 1] : 0, count = chain.ends[i] - first;
        const int k = first + minimum(count_together(chain.at + first, count, goal, false), count - 1);
        const Joint after = chain.joint(k), before = chain.joint(k > first ? k - 1 : k);
        const double t = after.at > before.at ? clamp((goal - before.at) / (after.at - before.at), 0.0, 1.0) : 1.0;
        const bool at_end = t == 1.0 || k == first;
        goal = at_end || before.from == after.from ? after.from : before.from + t * (after.from - before.from);
        int tie = FREE;
        if (at_end || before.step == after.step) {
            const double *link = links.at + i * room;
            const int corners = link_counts[i];
            if (after.step == link[0])
                tie = LEAST;
            else if (after.step == link[corners - 1])
                tie = GREATEST;
            else
                for (int c = 1; c < corners; ++c)
                    if (link[c] == after.step && link[c - 1] == after.step) tie = MEAN;
        }
        if (lane() == 0) {
            warp[i] = goal;
            ties[i] = tie;
        }
    }
}
