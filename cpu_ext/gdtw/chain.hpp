// Exact minimum of a convex function along a chain, sum_i f_i(phi_i) + sum_i r_i(phi_(i+1) - phi_i), in one sweep.
//
// F_i(phi), the least cost of the knots up to i where knot i is at phi, is convex, and its subdifferential a
// nondecreasing polyline in the plane (phi, slope), closed by vertical rays at both ends of its domain. To pass a
// link, add the polyline of the link over every slope (an infimal convolution); to pass a knot, add that of the knot
// over every phi. Kinks, flat parts, bounds of knots and of steps are vertical and horizontal pieces: no case apart.
// Reading backwards, the two terms of every sum say where each knot lies, with no system to solve.
#pragma once

#include "objective.hpp"

namespace sdtw::gdtw {

class Chain {
  public:
    void start(const std::vector<Vertex> &node) {
        curve_ = node;
        joints_.clear();
        ends_.clear();
    }

    // F_i becomes its infimal convolution with the link's function.
    void pass_link(const std::vector<Vertex> &link) {
        std::size_t i = 0, j = 0;
        while (i < curve_.size() || j < link.size()) {
            const bool first = j == link.size() || (i < curve_.size() && curve_[i].slope <= link[j].slope);
            const double slope = first ? curve_[i].slope : link[j].slope;
            const double from = first ? curve_[i].at : place(curve_, i, slope);
            const double step = first ? place(link, j, slope) : link[j].at;
            joints_.push_back({from, step, slope});
            first ? ++i : ++j;
        }
        ends_.push_back(joints_.size());
    }

    // The knot's own function, over the bounds that its curve begins and ends with.
    void pass_node(const std::vector<Vertex> &node) {
        const std::size_t begin = ends_.size() > 1 ? ends_[ends_.size() - 2] : 0, n = joints_.size();
        auto at = [&](std::size_t k) { return joints_[k].from + joints_[k].step; };
        double low = std::max(at(begin), node.front().at), high = std::min(at(n - 1), node.back().at);
        // Apart by rounding only: whether the constraints leave a warp was found out before.
        if (low > high) low = high = std::clamp(0.5 * (low + high), node.front().at, node.back().at);
        next_.clear();
        std::size_t i = begin, j = 0;
        while (i < n && at(i) < low) ++i;
        while (j < node.size() && node[j].at < low) ++j;
        auto joint_slope = [&](double x) {
            if (i == begin) return joints_[begin].slope;
            if (i == n) return joints_[n - 1].slope;
            return between(at(i - 1), joints_[i - 1].slope, at(i), joints_[i].slope, x);
        };
        auto node_slope = [&](double x) {
            if (j == 0) return node.front().slope;
            if (j == node.size()) return node.back().slope;
            return between(node[j - 1].at, node[j - 1].slope, node[j].at, node[j].slope, x);
        };
        push(low, joint_slope(low) + node_slope(low));
        for (;;) {
            const double a = i < n ? at(i) : infinity, b = j < node.size() ? node[j].at : infinity;
            if (std::min(a, b) > high) break;
            if (a <= b) {
                push(a, joints_[i].slope + node_slope(a));
                ++i;
            } else {
                push(b, joint_slope(b) + node[j].slope);
                ++j;
            }
        }
        push(high, joint_slope(high) + node_slope(high));
        curve_.swap(next_);
    }

    // The minimiser. Where there are many, near[] of the last knot decides. ties[i] says whether step i is at a
    // corner of its link: 0 between, 1 at its least, 2 at its greatest rise, 3 at a corner between.
    void trace(const std::vector<std::vector<Vertex>> &links, const double *near, double *warp, std::int32_t *ties) {
        const Index m = static_cast<Index>(ends_.size()) + 1;
        warp[m - 1] = minimiser(near[m - 1]);
        ties[m - 1] = free_step;
        for (Index i = m - 2; i >= 0; --i) {
            const std::size_t begin = i ? ends_[static_cast<std::size_t>(i - 1)] : 0;
            const std::size_t end = ends_[static_cast<std::size_t>(i)];
            const double goal = warp[i + 1];
            std::size_t k = begin;
            while (k + 1 < end && joints_[k].from + joints_[k].step < goal) ++k;
            const Joint &after = joints_[k], &before = joints_[k > begin ? k - 1 : k];
            const double a = before.from + before.step, b = after.from + after.step;
            const double t = b > a ? std::clamp((goal - a) / (b - a), 0.0, 1.0) : 1.0;
            const bool at_end = t == 1.0 || k == begin;
            warp[i] = at_end ? after.from : before.from + t * (after.from - before.from);
            if (before.from == after.from) warp[i] = after.from;
            const double step = after.step;
            ties[i] = free_step;
            if (at_end || before.step == step) {
                const std::vector<Vertex> &link = links[static_cast<std::size_t>(i)];
                if (step == link.front().at)
                    ties[i] = least;
                else if (step == link.back().at)
                    ties[i] = greatest;
                else
                    for (std::size_t c = 1; c < link.size(); ++c)
                        if (link[c].at == step && link[c - 1].at == step) ties[i] = mean;
            }
        }
    }

  private:
    struct Joint {
        double from, step, slope;
    };

    static double between(double x0, double y0, double x1, double y1, double x) {
        return x1 > x0 ? y0 + (y1 - y0) * ((x - x0) / (x1 - x0)) : y0;
    }
    // Where a curve has this slope, between its corners before - 1 and before.
    static double place(const std::vector<Vertex> &curve, std::size_t before, double slope) {
        if (before == 0) return curve.front().at;
        if (before == curve.size()) return curve.back().at;
        const Vertex &a = curve[before - 1], &b = curve[before];
        return a.at == b.at ? a.at : between(a.slope, a.at, b.slope, b.at, slope);
    }
    void push(double at, double slope) {
        if (!next_.empty()) {
            const Vertex &last = next_.back();
            if (last.at == at && last.slope == slope) return;
            slope = std::max(slope, last.slope);  // rounding must not bend the curve backwards
        }
        next_.push_back({at, slope});
    }
    double minimiser(double near) const {
        std::size_t k = 0;
        while (k < curve_.size() && curve_[k].slope < 0) ++k;
        if (k == 0) {
            std::size_t last = 0;
            while (last + 1 < curve_.size() && curve_[last + 1].slope <= 0) ++last;
            return curve_[0].slope == 0 ? std::clamp(near, curve_[0].at, curve_[last].at) : curve_[0].at;
        }
        if (k == curve_.size()) return curve_.back().at;
        const double first = place(curve_, k, 0.0);
        std::size_t last = k;
        while (last + 1 < curve_.size() && curve_[last + 1].slope == 0) ++last;
        return curve_[k].slope == 0 ? std::clamp(near, first, curve_[last].at) : first;
    }

    std::vector<Vertex> curve_, next_;
    std::vector<Joint> joints_;
    std::vector<std::size_t> ends_;
};

}  // namespace sdtw::gdtw
