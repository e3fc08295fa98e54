// From a warp near a minimum to the minimum itself, with its active set.
#pragma once

#include "chain.hpp"
#include "reduced.hpp"

namespace sdtw::gdtw {

// For x interpolated linearly. The cost of a knot is convex on every segment of x, and across the samples between
// two segments where its derivative jumps up. Each round gives every knot such an interval, solves the chain exactly,
// and moves knots that ended at the border of theirs on to the next. The objective falls strictly, so rounds end.
class Polish {
  public:
    explicit Polish(Objective &objective) : objective_(objective), pair_(objective.pair()) {
        const auto m = static_cast<std::size_t>(pair_.m);
        nodes_.resize(m);
        links_.resize(m ? m - 1 : 0);
        trial_.resize(m), before_.resize(m);
        up_.assign(m, 0);
        left_.resize(m), right_.resize(m);
        ties_.resize(m);
        trial_ties_.resize(m);
        const double span = pair_.x_times[pair_.n - 1] - pair_.x_times[0];
        for (Index i = 0; i + 1 < pair_.m; ++i)
            objective.link_curve(i, 2 * span + 2 * objective.target(i), links_[static_cast<std::size_t>(i)]);
    }

    // Returns the objective.
    double run(double *warp) { return pair_.x_slopes ? run_smooth(warp) : run_linear(warp); }

    // Squares of x as it would be without its corners, with slopes over some samples to both sides: steps over barriers
    // that the corners raise. Only steps that lower the objective are kept.
    void relax(double *warp, double reach) {
        if (pair_.x_slopes || pair_.data.loss != Loss::squared) return;
        const Index m = pair_.m;
        const double span = pair_.x_times[pair_.n - 1] - pair_.x_times[0],
                     h = reach * span / static_cast<double>(pair_.n - 1);
        double value = objective_.value(warp);
        double radius = 4 * h;
        for (int round = 0; round < 12 && radius > 0.2 * h; ++round) {
            for (Index i = 0; i < m; ++i) model(i, warp[i], h, radius);
            sweep(warp);
            const double next = objective_.value(trial_.data());
            if (next < value) {
                const bool enough = value - next < 1e-9 * value;
                value = next;
                std::copy(trial_.begin(), trial_.end(), warp);
                radius = std::min(2 * radius, 16 * h);
                if (enough) break;
            } else {
                radius *= 0.25;
            }
        }
    }

    double run_linear(double *warp) {
        double value = objective_.value(warp);
        std::fill(ties_.begin(), ties_.end(), free_step);
        for (int round = 0, stalled = 0; round < 200 && stalled < 2; ++round) {
            choose_sides(warp);
            for (Index i = 0; i < pair_.m; ++i) choose(i, warp);
            sweep(warp);
            const double next = objective_.value(trial_.data());
            // Equal but for rounding: the trial has its knots exactly on the corners.
            const double rounding = 1e-13 * std::fabs(value);
            if (next > value + (round ? rounding : 1e4 * rounding) + 1e-300) break;
            std::copy(warp, warp + pair_.m, before_.begin());
            std::copy(trial_.begin(), trial_.end(), warp);
            std::copy(trial_ties_.begin(), trial_ties_.end(), ties_.begin());
            stalled = next < value - 0.1 * rounding ? 0 : stalled + 1;
            const bool slow = value - next > 1e-12 * value && round < 150;
            value = next;
            if (slow) value = extrapolate(warp, value);
        }
        return value;
    }

    // Knots move by one segment in a round. Where they would go on, go further along the same line.
    double extrapolate(double *warp, double value) {
        const Index m = pair_.m;
        for (int doubling = 0; doubling < 12; ++doubling) {
            bool inside = true;
            for (Index i = 0; i < m && inside; ++i) {
                trial_[u(i)] = warp[i] + (warp[i] - before_[u(i)]);
                inside = trial_[u(i)] >= pair_.floor(i) && trial_[u(i)] <= pair_.ceiling(i);
                if (!i) continue;
                const double rise = trial_[u(i)] - trial_[u(i - 1)];
                inside &= rise >= objective_.least(i - 1) && rise <= objective_.greatest(i - 1);
            }
            if (!inside) break;
            const double next = objective_.value(trial_.data());
            if (!(next < value)) break;
            value = next;
            std::copy(warp, warp + m, before_.begin());
            std::copy(trial_.begin(), trial_.end(), warp);
        }
        return value;
    }

    // What holds each knot and each step at the warp that run() left.
    void active_set(const double *warp, std::int32_t *cell, std::int32_t *holds, std::int32_t *ties) {
        for (Index i = 0; i < pair_.m; ++i) {
            choose(i, warp);
            const double at = warp[i];
            cell[i] = static_cast<std::int32_t>(objective_.cell_right(at));
            holds[i] = hold(i, at, cell[i]);
        }
        for (Index i = 0; i < pair_.m; ++i) {
            ties[i] = i + 1 < pair_.m ? ties_[u(i)] : free_step;
            // A step that only the length of the source ends is not tied.
            if (ties[i] == greatest && links_[u(i)].back().at != objective_.greatest(i)) ties[i] = free_step;
        }
        drop_repeated_ends(holds, ties);
    }

    // The largest slope by which the conditions of optimality are missed, relative to the slopes that meet.
    double residual(const double *warp, const std::int32_t *holds, const std::int32_t *ties) const {
        double low = 0, high = 0, worst = 0, scale = std::max(pair_.reg * objective_.mean_slope(), 1e-300);
        for (Index i = 0; i < pair_.m; ++i) {
            const double at = warp[i];
            // At a perfect match all slopes are roundings: what the data say elsewhere tells how small they are.
            for (double end : {pair_.floor(i), pair_.ceiling(i)})
                if (std::isfinite(end))
                    for (int side : {-1, 1}) {
                        const auto cell = side < 0 ? objective_.cell_left(end) : objective_.cell_right(end);
                        const double s = objective_.node_slope(i, end, cell, side, -1);
                        if (std::isfinite(s)) scale = std::max(scale, std::fabs(s));
                    }
            const Index zero = holds[i] - gdtw::residual;
            const double left =
                at <= pair_.floor(i) ? -infinity : objective_.node_slope(i, at, objective_.cell_left(at), -1, zero);
            const double right =
                at >= pair_.ceiling(i) ? infinity : objective_.node_slope(i, at, objective_.cell_right(at), 1, zero);
            // Slopes that are zero but for rounding are compared with those one segment away.
            const Index k = objective_.cell_right(at);
            const double width = pair_.x_times[k + 1] - pair_.x_times[k];
            scale = std::max(scale, width * std::fabs(objective_.node_curvature(i, at, k)));
            for (double s : {left, right})
                if (std::isfinite(s)) scale = std::max(scale, std::fabs(s));
            // Without moves of a part of a run to the left, and to the right. At a corner turned down low > high.
            low += left, high += right;
            double first = 0, last = 0;
            if (i + 1 < pair_.m) {
                const double rise = warp[i + 1] - at, below = objective_.link_slope(i, rise, -1),
                             above = objective_.link_slope(i, rise, 1);
                first = ties[i] == least ? -infinity : below, last = ties[i] == greatest ? infinity : above;
                if (ties[i] == mean) first = -pair_.reg, last = pair_.reg;
                if (ties[i] == least && ties[i] == greatest) first = -infinity, last = infinity;
                scale = std::max(scale, std::max(std::fabs(below), std::fabs(above)));
            }
            // The tension of the next step must lie in both intervals.
            const double gap = std::max(low - last, first - high);
            if (gap > 0) {
                worst = std::max(worst, gap);
                low = high = low > last ? last : first;
            } else {
                low = std::max(low, first), high = std::min(high, last);
            }
        }
        return worst / scale;
    }

  private:
    static std::size_t u(Index i) { return static_cast<std::size_t>(i); }

    // For x interpolated by cubics: convex quadratic models of the knots' costs, each within a radius of the warp, and
    // Newton's method on the active set at the end.
    double run_smooth(double *warp) {
        const Index m = pair_.m;
        const double span = pair_.x_times[pair_.n - 1] - pair_.x_times[0];
        double value = objective_.value(warp);
        radius_ = span / static_cast<double>(pair_.n);
        for (int round = 0; round < 300 && radius_ > 1e-15 * span; ++round) {
            for (Index i = 0; i < m; ++i) choose(i, warp);
            sweep(warp);
            const double next = objective_.value(trial_.data());
            double move = 0;
            for (Index i = 0; i < m; ++i) move = std::max(move, std::fabs(trial_[u(i)] - warp[i]));
            if (next > value + 1e-14 * std::fabs(value)) {
                radius_ = 0.25 * std::min(radius_, move);
                continue;
            }
            std::copy(trial_.begin(), trial_.end(), warp);
            std::copy(trial_ties_.begin(), trial_ties_.end(), ties_.begin());
            value = std::min(value, next);
            radius_ = std::max(radius_, 2 * move);
            if (move <= 1e-9 * span) break;
        }
        newton(warp);
        return objective_.value(warp);
    }

    void newton(double *warp) {
        const Index m = pair_.m;
        std::vector<std::int32_t> cell(u(m)), holds(u(m)), ties(u(m));
        std::vector<double> right(u(m)), step(u(m));
        active_set(warp, cell.data(), holds.data(), ties.data());
        double before = residual(warp, holds.data(), ties.data());
        for (int round = 0; round < 8 && before > 1e-15; ++round) {
            for (Index i = 0; i < m; ++i) {
                cell[u(i)] = static_cast<std::int32_t>(objective_.cell_right(warp[i]));
                right[u(i)] = -objective_.node_slope(i, warp[i], cell[u(i)], 1);
                if (i) right[u(i)] -= objective_.link_slope(i - 1, warp[i] - warp[i - 1]);
                if (i + 1 < m) right[u(i)] += objective_.link_slope(i, warp[i + 1] - warp[i]);
            }
            Reduced(objective_, warp, cell.data()).solve(holds.data(), ties.data(), right.data(), step.data());
            bool inside = true;
            for (Index i = 0; i < m; ++i) {
                trial_[u(i)] = warp[i] + step[u(i)];
                inside &= trial_[u(i)] >= pair_.floor(i) && trial_[u(i)] <= pair_.ceiling(i);
                if (i && ties[u(i - 1)] == free_step) {
                    const double rise = trial_[u(i)] - trial_[u(i - 1)];
                    inside &= rise >= objective_.least(i - 1) && rise <= objective_.greatest(i - 1);
                }
            }
            const double after = inside ? residual(trial_.data(), holds.data(), ties.data()) : infinity;
            if (!(after < before)) break;
            std::copy(trial_.begin(), trial_.end(), warp);
            before = after;
        }
    }

    bool on_sample(Index i, double at, Index k) const {
        return at == pair_.x_times[k] && k > 0 && pair_.floor(i) < at && at < pair_.ceiling(i);
    }

    // At a corner turned down a knot must leave to one side. Of a run of tied knots, a part may leave: for every place
    // to cut, the change of the objective when the knots after it move up, or those before it down.
    void choose_sides(const double *warp) {
        const Index m = pair_.m;
        std::fill(up_.begin(), up_.end(), 0);
        for (Index first = 0, last; first < m; first = last + 1) {
            last = first;
            while (ties_[u(last)] != free_step) ++last;
            bool corner = false;
            for (Index i = first; i <= last; ++i) {
                const Index k = objective_.cell_right(warp[i]);
                left_[u(i)] = warp[i] <= pair_.floor(i)
                                  ? -infinity
                                  : objective_.node_slope(i, warp[i], objective_.cell_left(warp[i]), -1);
                right_[u(i)] = warp[i] >= pair_.ceiling(i) ? infinity : objective_.node_slope(i, warp[i], k, 1);
                corner |= right_[u(i)] < left_[u(i)] && on_sample(i, warp[i], k);
            }
            if (!corner) continue;
            const double before = first ? objective_.link_slope(first - 1, warp[first] - warp[first - 1]) : 0;
            const double after = last + 1 < m ? objective_.link_slope(last, warp[last + 1] - warp[last]) : 0;
            double best = infinity, sum = -after;
            Index cut = first;
            for (Index k = last; k >= first; --k) {
                sum += right_[u(k)];
                if (k > first && ties_[u(k - 1)] != least) continue;
                const double change =
                    sum + (k > first ? objective_.link_slope(k - 1, warp[k] - warp[k - 1], 1) : before);
                if (change < best) best = change, cut = k;
            }
            sum = -before;
            for (Index k = first; k <= last; ++k) {
                sum -= left_[u(k)];
                if (k < last && ties_[u(k)] != least) continue;
                const double change = sum + (k < last ? objective_.link_slope(k, warp[k + 1] - warp[k], 1) : after);
                if (change < best) best = change, cut = k + 1;
            }
            for (Index i = cut; i <= last; ++i) up_[u(i)] = 1;
        }
    }

    // The interval of knot i: its curve goes to nodes_.
    void choose(Index i, const double *warp) {
        const double *tau = pair_.x_times, at = warp[i], floor = pair_.floor(i), ceiling = pair_.ceiling(i);
        std::vector<Vertex> &curve = nodes_[u(i)];
        curve.clear();
        const Index k = objective_.cell_right(at);
        if (floor >= ceiling) {
            curve = {{floor, 0}, {floor, 0}};
            return;
        }
        if (pair_.x_slopes) {
            const double low = std::max(floor, at - radius_), high = std::min(ceiling, at + radius_);
            const double slope = objective_.node_slope(i, at, k, 1);
            const double bend = std::max(objective_.node_curvature(i, at, k), 0.0);
            curve = {{low, slope + bend * (low - at)}, {high, slope + bend * (high - at)}};
            return;
        }
        if (!on_sample(i, at, k)) {
            objective_.append_node(i, k, std::max(floor, tau[k]), std::min(ceiling, tau[k + 1]), curve);
            return;
        }
        const double left = objective_.node_slope(i, at, k - 1, -1), right = objective_.node_slope(i, at, k, 1);
        const double low = std::max(floor, tau[k - 1]), high = std::min(ceiling, tau[k + 1]);
        if (right >= left || !up_[u(i)]) objective_.append_node(i, k - 1, low, at, curve);
        if (right >= left || up_[u(i)]) objective_.append_node(i, k, at, high, curve);
    }

    void model(Index i, double at, double h, double radius) {
        const double floor = pair_.floor(i), ceiling = pair_.ceiling(i);
        std::vector<Vertex> &curve = nodes_[u(i)];
        if (floor >= ceiling) {
            curve = {{floor, 0}, {floor, 0}};
            return;
        }
        const double a = std::max(at - h, pair_.x_times[0]), b = std::min(at + h, pair_.x_times[pair_.n - 1]);
        const Index k = objective_.cell_right(at), ka = objective_.cell_right(a), kb = objective_.cell_right(b);
        double slope = 0, bend = 0, value, first, last, unused;
        for (Index c = 0; c < pair_.d; ++c) {
            objective_.signal(k, at, c, value, unused, unused);
            objective_.signal(ka, a, c, first, unused, unused);
            objective_.signal(kb, b, c, last, unused, unused);
            const double s = (last - first) / (b - a);
            slope += 2 * s * (value - pair_.y[i * pair_.d + c]), bend += 2 * s * s;
        }
        if (pair_.cumulative > 0) {
            const double e = at - objective_.identity(i);
            slope += pair_.cumulative * pair_.penalty.slope(e), bend += pair_.cumulative * pair_.penalty.curvature(e);
        }
        slope *= objective_.weight(i), bend *= objective_.weight(i);
        const double low = std::max(floor, at - radius), high = std::min(ceiling, at + radius);
        curve.clear();
        curve.push_back({low, slope + bend * (low - at)});
        curve.push_back({high, slope + bend * (high - at)});
    }

    void sweep(const double *warp) {
        chain_.start(nodes_[0]);
        for (Index i = 1; i < pair_.m; ++i) {
            chain_.pass_link(links_[u(i - 1)]);
            chain_.pass_node(nodes_[u(i)]);
        }
        chain_.trace(links_, warp, trial_.data(), trial_ties_.data());
        for (Index i = 0; i < pair_.m; ++i) trial_[u(i)] = std::clamp(trial_[u(i)], pair_.floor(i), pair_.ceiling(i));
    }

    std::int32_t hold(Index i, double at, Index k) const {
        if (pair_.floor(i) >= pair_.ceiling(i) || at <= pair_.floor(i)) {
            if (at <= pair_.x_times[0]) return source_start;
            if (at >= pair_.x_times[pair_.n - 1]) return source_end;
            if (at <= pair_.floor(i)) return band_low;
        }
        if (at >= pair_.ceiling(i)) return at >= pair_.x_times[pair_.n - 1] ? source_end : band_high;
        const std::vector<Vertex> &curve = nodes_[u(i)];
        for (std::size_t c = 1; c < curve.size(); ++c) {
            if (curve[c].at != at || curve[c - 1].at != at || !(curve[c].slope > curve[c - 1].slope)) continue;
            if (at == pair_.x_times[k]) return sample;
            if (pair_.cumulative > 0 && pair_.penalty.loss == Loss::absolute && at == objective_.identity(i))
                return identity;
            double best = infinity;
            Index which = 0;
            for (Index f = 0; f < pair_.d; ++f) {
                double value, slope, bend;
                objective_.signal(k, at, f, value, slope, bend);
                const double distance = std::fabs((value - pair_.y[i * pair_.d + f]) / slope);
                if (slope != 0 && distance < best) best = distance, which = f;
            }
            return residual_of(which);
        }
        return free_knot;
    }
    static std::int32_t residual_of(Index feature) { return gdtw::residual + static_cast<std::int32_t>(feature); }

    // Knots tied to one that is held at an end of the source are held through it.
    void drop_repeated_ends(std::int32_t *holds, const std::int32_t *ties) const {
        for (Index i = 1; i < pair_.m; ++i)
            if (holds[i] == source_start && ties[i - 1] == least) holds[i] = free_knot;
        for (Index i = pair_.m - 2; i >= 0; --i)
            if (holds[i] == source_end && ties[i] == least) holds[i] = free_knot;
    }

    Objective &objective_;
    const Pair pair_;
    Chain chain_;
    std::vector<std::vector<Vertex>> nodes_, links_;
    std::vector<double> trial_, before_, left_, right_;
    std::vector<int> up_;
    double radius_ = 0;
    std::vector<std::int32_t> ties_, trial_ties_;
};

}  // namespace sdtw::gdtw
