// From a warp near a minimum to the minimum itself, with its active set.
#pragma once

#include "chain.hpp"
#include "reduced.hpp"
#include "stationary.hpp"

namespace sdtw::gdtw {

// For x interpolated linearly the cost of a knot is convex on every segment of
// x: the chain finds the best warp of all whose knots lie within so many
// segments of where they are. For cubics it is convex only in a quadratic
// model.
class Polish {
  public:
    explicit Polish(Objective &objective) : objective_(objective), pair_(objective.pair()), stationarity_(objective) {
        const auto m = static_cast<std::size_t>(pair_.m);
        nodes_.resize(m);
        links_.resize(m ? m - 1 : 0);
        trial_.resize(m);
        ties_.assign(m, free_step);
        trial_ties_.resize(m);
        const double span = pair_.x_times[pair_.n - 1] - pair_.x_times[0];
        for (Index i = 0; i + 1 < pair_.m; ++i)
            objective.link_curve(i, 2 * span + 2 * objective.target(i), links_[static_cast<std::size_t>(i)]);
    }

    // Moves the warp to the best one within so many segments of x, and so on from
    // there until none is better: false where that takes more rounds. For x interpolated linearly.
    bool run(double *warp, Index reach, int rounds) {
        double value = objective_.value(warp);
        for (int round = 0, stalled = 0; stalled < 2; ++round) {
            if (round == rounds) return false;
            const double next = step(warp, reach, 0, everything);
            // Equal but for rounding: the trial has its knots exactly on the corners.
            const double rounding = 1e-13 * std::fabs(value);
            if (next > value + (round ? rounding : 1e4 * rounding) + 1e-300) break;
            const bool looks_elsewhere = moved(warp);
            std::copy(trial_.begin(), trial_.end(), warp);
            std::copy(trial_ties_.begin(), trial_ties_.end(), ties_.begin());
            stalled = next < value - 0.1 * rounding ? 0 : stalled + 1;
            if (reach >= pair_.n || !looks_elsewhere) break;
            value = next;
        }
        return true;
    }

    // The same once and not quite exactly, among fewer corners where the costs have very many.
    void leap(double *warp, Index reach) {
        const double value = objective_.value(warp);
        if (step(warp, reach, 1e-5 * value / static_cast<double>(pair_.m), 512) < value)
            std::copy(trial_.begin(), trial_.end(), warp);
    }

    // For x interpolated by cubics: convex quadratic models of the knots' costs,
    // each within a radius of the warp, and Newton's method on the active set at
    // the end. Returns the objective.
    double run_smooth(double *warp) {
        const Index m = pair_.m;
        const double span = pair_.x_times[pair_.n - 1] - pair_.x_times[0];
        double value = objective_.value(warp);
        radius_ = span / static_cast<double>(pair_.n);
        for (int round = 0; round < 300 && radius_ > 1e-15 * span; ++round) {
            for (Index i = 0; i < m; ++i) choose(i, warp);
            sweep(warp, 0, everything);
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

    // What holds each knot and each step at the warp that a search left.
    void active_set(const double *warp, std::int32_t *cell, std::int32_t *holds, std::int32_t *ties) {
        reach_ = 1;
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

    double residual(const double *warp) const { return stationarity_.residual(warp); }

  private:
    static constexpr auto everything = std::numeric_limits<std::size_t>::max();

    static std::size_t u(Index i) { return static_cast<std::size_t>(i); }

    void newton(double *warp) {
        const Index m = pair_.m;
        std::vector<std::int32_t> cell(u(m)), holds(u(m)), ties(u(m));
        std::vector<double> right(u(m)), step(u(m));
        active_set(warp, cell.data(), holds.data(), ties.data());
        double before = residual(warp);
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
            const double after = inside ? residual(trial_.data()) : infinity;
            if (!(after < before)) break;
            std::copy(trial_.begin(), trial_.end(), warp);
            before = after;
        }
    }

    // Whether the trial has a knot in other segments of x: without one, the next round would find the same again.
    bool moved(const double *warp) const {
        for (std::size_t i = 0; i < trial_.size(); ++i)
            if (objective_.cell_left(warp[i]) != objective_.cell_left(trial_[i]) ||
                objective_.cell_right(warp[i]) != objective_.cell_right(trial_[i]))
                return true;
        return false;
    }

    // The cost of knot i around where it is: its curve goes to nodes_.
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
        const Index first = std::max<Index>(objective_.cell_left(at) - reach_ + 1, 0);
        const Index last = std::min(k + reach_ - 1, pair_.n - 2);
        for (Index c = first; c <= last; ++c) {
            const double low = std::max(floor, tau[c]), high = std::min(ceiling, tau[c + 1]);
            if (low < high) objective_.append_node(i, c, low, high, curve);
        }
    }

    double step(const double *warp, Index reach, double slack, std::size_t limit) {
        reach_ = reach;
        for (Index i = 0; i < pair_.m; ++i) choose(i, warp);
        sweep(warp, slack, limit);
        return objective_.value(trial_.data());
    }

    void sweep(const double *warp, double slack, std::size_t limit) {
        chain_.start(nodes_[0], slack, limit);
        for (Index i = 1; i < pair_.m; ++i) {
            chain_.pass_link(links_[u(i - 1)]);
            chain_.pass_node(nodes_[u(i)], warp[i]);
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
    Stationarity stationarity_;
    Chain chain_;
    std::vector<std::vector<Vertex>> nodes_, links_;
    std::vector<double> trial_;
    Index reach_ = 1;
    double radius_ = 0;
    std::vector<std::int32_t> ties_, trial_ties_;
};

}  // namespace sdtw::gdtw
