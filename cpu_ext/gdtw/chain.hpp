// Exact minimum along a chain, sum_i f_i(phi_i) + sum_i r_i(phi_(i+1) - phi_i),
// in one sweep: of convex r and of continuous f that are convex piece by piece.
//
// F_i(phi), the least cost of the knots up to i where knot i is at phi, is
// known by its derivative: a polyline in the plane (phi, slope) that rises, or
// falls straight down where two pieces meet in a corner turned up, between
// vertical rays at both ends of its domain. To pass a link, add the polyline of
// the link over every slope (an infimal convolution): piece by piece that is a
// merge, and behind a fall the result folds back over itself. The lowest branch
// of the fold changes where the areas that the loop leaves to both sides are
// equal. To pass a knot, add its polyline over every phi. Corners, flat parts,
// bounds of knots and of steps are vertical and horizontal pieces: no case
// apart. Reading backwards, the two terms of every sum say where each knot
// lies, with no system to solve.
#pragma once

#include "objective.hpp"

namespace sdtw::gdtw {

class Chain {
  public:
    // Corners between which F_i changes by less than the slack are left out, and those that are farthest from `near`
    // where there are more than the limit.
    void start(const std::vector<Vertex> &node, double slack, std::size_t limit) {
        slack_ = slack, limit_ = limit;
        curve_ = node;
        joints_.clear();
        ends_.clear();
    }

    // F_i becomes its infimal convolution with the link's function.
    void pass_link(const std::vector<Vertex> &link) {
        begin_ = joints_.size();
        above_ = false;
        const std::size_t n = curve_.size();
        for (std::size_t i = 0, j = 0; i < n;) {
            std::size_t last = i;
            while (last + 1 < n && curve_[last + 1].slope >= curve_[last].slope) ++last;
            if (i) {
                const std::size_t before = j;
                while (j && link[j - 1].slope >= curve_[i].slope) --j;
                fold(link, before, j, curve_[i]);
                ++i;
            }
            while (i <= last || (last + 1 == n && j < link.size())) {
                const bool first = j == link.size() || (i <= last && curve_[i].slope <= link[j].slope);
                const double slope = first ? curve_[i].slope : link[j].slope;
                const double from = first ? curve_[i].at : place(curve_, i, slope);
                const double step = first ? place(link, j, slope) : link[j].at;
                add({from + step, from, step, slope});
                first ? ++i : ++j;
            }
        }
        ends_.push_back(joints_.size());
    }

    // The knot's own function, over the bounds that its curve begins and ends
    // with.
    void pass_node(const std::vector<Vertex> &node, double near) {
        const std::size_t begin = ends_.size() > 1 ? ends_[ends_.size() - 2] : 0, n = joints_.size();
        auto at = [&](std::size_t k) { return joints_[k].at; };
        double low = std::max(at(begin), node.front().at), high = std::min(at(n - 1), node.back().at);
        // Apart by rounding only: whether the constraints leave a warp was found
        // out before.
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
        if (curve_.size() > limit_) narrow(near);
    }

    // The minimiser; of several, the one whose last knot is nearest to near[].
    // ties[i] says whether step i is at a corner of its link.
    void trace(const std::vector<std::vector<Vertex>> &links, const double *near, double *warp, std::int32_t *ties) {
        const Index m = static_cast<Index>(ends_.size()) + 1;
        warp[m - 1] = minimiser(near[m - 1]);
        ties[m - 1] = free_step;
        for (Index i = m - 2; i >= 0; --i) {
            const auto row = static_cast<std::size_t>(i);
            const auto begin = joints_.begin() + static_cast<std::ptrdiff_t>(row ? ends_[row - 1] : 0);
            const auto end = joints_.begin() + static_cast<std::ptrdiff_t>(ends_[row]);
            const double goal = warp[i + 1];
            auto k = std::lower_bound(begin, end, goal, [](const Joint &joint, double x) { return joint.at < x; });
            if (k == end) --k;
            const Joint &after = *k, &before = k == begin ? *k : *(k - 1);
            const double a = before.at, b = after.at;
            const double t = b > a ? std::clamp((goal - a) / (b - a), 0.0, 1.0) : 1.0;
            const bool at_end = t == 1.0 || k == begin;
            warp[i] = at_end ? after.from : before.from + t * (after.from - before.from);
            if (before.from == after.from) warp[i] = after.from;
            const double step = after.step;
            ties[i] = free_step;
            if (at_end || before.step == step) {
                const std::vector<Vertex> &link = links[row];
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
        double at, from, step, slope;
    };

    static double between(double x0, double y0, double x1, double y1, double x) {
        return x1 > x0 ? y0 + (y1 - y0) * ((x - x0) / (x1 - x0)) : y0;
    }
    static Joint between(const Joint &a, const Joint &b, double at) {
        const double t = b.at > a.at ? std::clamp((at - a.at) / (b.at - a.at), 0.0, 1.0) : 0.0;
        const double from = a.from + t * (b.from - a.from);
        return {at, from, a.step == b.step ? a.step : at - from, a.slope + t * (b.slope - a.slope)};
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
            if (last.at < at) slope = std::max(slope, last.slope);  // rounding must not bend the curve backwards
            if (slack_ > 0 && last.at < at && leave_out(at, slope)) return;
        }
        left_out_ = 0;
        next_.push_back({at, slope});
    }

    // A straight line up to here instead of the last corner, or of the jump or
    // fall there, where that hardly matters.
    bool leave_out(double at, double slope) {
        const std::size_t n = next_.size();
        const std::size_t count = n > 1 && next_[n - 2].at == next_[n - 1].at ? 2 : 1;
        if (n <= count) return false;
        const Vertex &before = next_[n - count - 1], &first = next_[n - count], &last = next_[n - 1];
        const double area = 0.5 * ((last.at - before.at) * (before.slope + first.slope) +
                                   (at - last.at) * (last.slope + slope) - (at - before.at) * (before.slope + slope));
        if (before.at == last.at || slope < before.slope || std::fabs(left_out_ + area) > slack_) return false;
        left_out_ += area;
        next_.resize(n - count);
        next_.push_back({at, slope});
        return true;
    }

    // The part around a time, with as many corners as there may be.
    void narrow(double near) {
        auto before = [](const Vertex &corner, double x) { return corner.at < x; };
        const auto half = static_cast<std::ptrdiff_t>(limit_ / 2);
        const auto middle = std::lower_bound(curve_.begin(), curve_.end(), near, before);
        if (curve_.end() - middle > half) curve_.erase(middle + half, curve_.end());
        if (middle - curve_.begin() > half) curve_.erase(curve_.begin(), middle - half);
    }

    // Behind a fall to the corner `start`, of which the link is read before its
    // corner j, from its corner `before`.
    void fold(const std::vector<Vertex> &link, std::size_t before, std::size_t j, const Vertex &start) {
        const Joint last = above_ ? point_ : joints_.back();
        const double shortest = place(link, j, start.slope);
        const Joint first{start.at + shortest, start.at, shortest, start.slope};
        if (!(first.step < last.step)) {
            add(first);
            return;
        }
        // How much higher than the lowest branch so far the new one begins.
        double area = 0, at = last.step, slope = last.slope;
        auto back = [&](const Vertex &to) {
            area -= 0.5 * (slope + to.slope) * (at - to.at);
            at = to.at, slope = to.slope;
        };
        for (std::size_t k = before; k-- > j;) back(link[k]);
        back({first.step, first.slope});
        if (!above_) excess_ = 0, below_ = joints_.size() - 1;
        above_ = true;
        Joint here = between_at(last.at);
        while (below_ > begin_ && joints_[below_].at > first.at) {
            const Joint &to = joints_[below_];
            area += 0.5 * (here.slope + to.slope) * (here.at - to.at), here = to, --below_;
        }
        const Joint to = between_at(first.at);
        area += 0.5 * (here.slope + to.slope) * (here.at - to.at);
        excess_ += area;
        point_ = first;
        if (excess_ <= 0) take_over(to, first);
    }
    Joint between_at(double at) const {
        const std::size_t next = std::min(below_ + 1, joints_.size() - 1);
        return between(joints_[below_], joints_[next], at);
    }

    void add(const Joint &joint) {
        while (above_) {
            // The lowest branch so far is joints_[below_], [below_ + 1]; the new one
            // has come to point_.
            if (below_ + 1 >= joints_.size()) {
                take_over(joints_.back(), point_);
                break;
            }
            const double start = point_.at, end = std::min(joint.at, joints_[below_ + 1].at);
            const Joint low0 = between_at(start), low1 = between_at(end), high1 = between(point_, joint, end);
            const double width = end - start, a = low0.slope - point_.slope, b = low1.slope - high1.slope;
            const double area = 0.5 * (a + b) * width;
            if (area >= excess_) {
                const double root = std::sqrt(std::max(a * a + 2 * (b - a) * excess_ / width, 0.0));
                const double step = a + root > 0 ? std::min(2 * excess_ / (a + root), width) : width;
                const double at = width > 0 ? start + step : start;
                take_over(between_at(at), between(point_, joint, at));
                break;
            }
            excess_ -= area;
            point_ = high1;
            if (end == joints_[below_ + 1].at) ++below_;
            if (end == joint.at) {
                point_ = joint;
                return;
            }
        }
        joints_.push_back(joint);
    }
    void take_over(const Joint &old, const Joint &fresh) {
        joints_.resize(below_ + 1);
        joints_.push_back(old);
        joints_.push_back(fresh);
        above_ = false;
    }

    double minimiser(double near) const {
        double best = infinity, at = curve_.front().at, value = 0, scale = 0;
        auto consider = [&](double x, double f) {
            const double slack = 1e-15 * scale;
            if (f < best - slack || (f <= best + slack && std::fabs(x - near) < std::fabs(at - near)))
                best = std::min(best, f), at = x;
        };
        consider(at, 0);
        for (std::size_t k = 1; k < curve_.size(); ++k) {
            const Vertex &a = curve_[k - 1], &b = curve_[k];
            if (a.slope < 0 && b.slope > 0) {
                const double x = between(a.slope, a.at, b.slope, b.at, 0.0);
                consider(x, value + 0.5 * a.slope * (x - a.at));
            }
            if (a.slope == 0 && b.slope == 0) consider(std::clamp(near, a.at, b.at), value);
            value += 0.5 * (a.slope + b.slope) * (b.at - a.at);
            scale = std::max(scale, std::fabs(value));
            consider(b.at, value);
        }
        return at;
    }

    std::vector<Vertex> curve_, next_;
    std::vector<Joint> joints_;
    std::vector<std::size_t> ends_;
    // Where a fold is above the lowest branch: where it has come to, by how much,
    // and the joint before on that branch.
    std::size_t begin_ = 0, below_ = 0;
    bool above_ = false;
    double excess_ = 0;
    double slack_ = 0, left_out_ = 0;
    std::size_t limit_ = 0;
    Joint point_{};
};

}  // namespace sdtw::gdtw
