// How far a warp is from meeting the conditions of a local minimum.
#pragma once

#include <array>

#include "objective.hpp"

namespace sdtw::gdtw {

// The derivative of the objective along a move of every knot by -1, 0 or 1 is a
// sum over knots and steps, so dynamic programming finds the steepest descent.
// Other moves descend only if one of these does: the costs are convex to both
// sides of a warp, and what remains is a network.
class Stationarity {
  public:
    explicit Stationarity(const Objective &objective) : objective_(objective), pair_(objective.pair()) {
        const double last = std::fabs(pair_.x_times[pair_.n - 1]);
        rounding_ = 16 * std::numeric_limits<double>::epsilon() * std::max(std::fabs(pair_.x_times[0]), last);
    }

    // The steepest descent relative to the largest slope that meets another; zero
    // but for rounding at a minimum.
    double residual(const double *warp) const {
        std::array<double, 3> best{}, next;  // of the moves that end in -1, 0, 1
        double scale = std::max(pair_.reg * objective_.mean_slope(), 1e-300);
        for (Index i = 0; i < pair_.m; ++i) {
            const Sides node = knot(i, warp[i]);
            grow(scale, node);
            scale = std::max(scale, elsewhere(i, warp[i]));
            Sides link{0, 0};
            if (i) link = step(i - 1, warp[i] - warp[i - 1]), grow(scale, link);
            for (int to = -1; to <= 1; ++to) {
                double least = infinity;
                for (int from = -1; from <= 1; ++from)
                    if (i || from == 0) least = std::min(least, best[place(from)] + link.change(to - from));
                next[place(to)] = least + node.change(to);
            }
            best = next;
        }
        return std::max(0.0, -*std::min_element(best.begin(), best.end())) / scale;
    }

  private:
    // Derivatives towards smaller and towards larger values.
    struct Sides {
        double before, after;
        double change(int by) const { return by == 0 ? 0 : by * (by < 0 ? before : after); }
    };

    static std::size_t place(int move) { return static_cast<std::size_t>(move + 1); }
    static void grow(double &scale, const Sides &sides) {
        for (double slope : {sides.before, sides.after})
            if (std::isfinite(slope)) scale = std::max(scale, std::fabs(slope));
    }

    Sides knot(Index i, double at) const {
        const Index left = objective_.cell_left(at - rounding_), right = objective_.cell_right(at + rounding_);
        return {at <= pair_.floor(i) + rounding_ ? -infinity : objective_.node_slope(i, at, left, -1, rounding_),
                at >= pair_.ceiling(i) - rounding_ ? infinity : objective_.node_slope(i, at, right, 1, rounding_)};
    }
    Sides step(Index i, double rise) const {
        return {rise <= objective_.least(i) + rounding_ ? -infinity : objective_.link_slope(i, rise, -1, rounding_),
                rise >= objective_.greatest(i) - rounding_ ? infinity : objective_.link_slope(i, rise, 1, rounding_)};
    }

    // At a perfect match all slopes are roundings: what the data say elsewhere
    // tells how small they are.
    double elsewhere(Index i, double at) const {
        double scale = 0;
        for (double end : {pair_.floor(i), pair_.ceiling(i)})
            if (std::isfinite(end))
                scale = std::max(scale, std::fabs(objective_.node_slope(i, end, objective_.cell_right(end), 1)));
        const Index k = objective_.cell_right(at);
        const double width = pair_.x_times[k + 1] - pair_.x_times[k];
        return std::max(scale, width * std::fabs(objective_.node_curvature(i, at, k)));
    }

    const Objective &objective_;
    const Pair pair_;
    double rounding_;
};

}  // namespace sdtw::gdtw
