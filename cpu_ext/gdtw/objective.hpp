// The objective of one pair along the chain of knots: values, one-sided
// derivatives, polylines of derivatives.
#pragma once

#include <algorithm>

#include "problem.hpp"

namespace sdtw::gdtw {

// A corner of a nondecreasing curve in the plane: the subdifferential of a
// convex function.
struct Vertex {
    double at, slope;
};

class Objective {
  public:
    explicit Objective(const Pair &pair) : pair_(pair), mean_slope_(pair.mean_slope()) {
        const Index m = pair.m;
        weights_.resize(static_cast<std::size_t>(m));
        for (Index i = 0; i < m; ++i) {
            const double before = i ? pair.times[i] - pair.times[i - 1] : 0;
            const double after = i + 1 < m ? pair.times[i + 1] - pair.times[i] : 0;
            weights_[static_cast<std::size_t>(i)] = 0.5 * (before + after);
        }
    }

    const Pair &pair() const { return pair_; }
    double mean_slope() const { return mean_slope_; }
    double weight(Index i) const { return weights_[static_cast<std::size_t>(i)]; }
    double step(Index i) const { return pair_.times[i + 1] - pair_.times[i]; }
    double target(Index i) const { return mean_slope_ * step(i); }
    double least(Index i) const { return pair_.slope_min[i] * target(i); }
    double greatest(Index i) const { return pair_.slope_max[i] * target(i); }
    double identity(Index i) const { return pair_.x_times[0] + mean_slope_ * (pair_.times[i] - pair_.times[0]); }

    // The segment of x that ends at or contains `at` (left), or starts at or
    // contains it (right).
    Index cell_left(double at) const {
        const double *end = pair_.x_times + pair_.n;
        const Index k = std::lower_bound(pair_.x_times, end, at) - pair_.x_times - 1;
        return std::clamp<Index>(k, 0, pair_.n - 2);
    }
    Index cell_right(double at) const {
        const double *end = pair_.x_times + pair_.n;
        const Index k = std::upper_bound(pair_.x_times, end, at) - pair_.x_times - 1;
        return std::clamp<Index>(k, 0, pair_.n - 2);
    }

    // x, its first and its second derivative at a time within segment k.
    void signal(Index k, double at, Index c, double &value, double &slope, double &bend) const {
        const double h = pair_.x_times[k + 1] - pair_.x_times[k], a = (at - pair_.x_times[k]) / h;
        const double x0 = pair_.x[k * pair_.d + c], x1 = pair_.x[(k + 1) * pair_.d + c], rise = (x1 - x0) / h;
        if (!pair_.x_slopes) {
            value = x0 + a * (x1 - x0), slope = rise, bend = 0;
            return;
        }
        const double s0 = pair_.x_slopes[k * pair_.d + c], s1 = pair_.x_slopes[(k + 1) * pair_.d + c];
        const double p = s0 - rise,
                     q = s1 - rise;  // x = linear + h a(1-a) ((1-a) p - a q)
        value = x0 + a * (x1 - x0) + h * a * (1 - a) * ((1 - a) * p - a * q);
        slope = rise + (1 - a) * (1 - 3 * a) * p - a * (2 - 3 * a) * q;
        bend = ((6 * a - 4) * p + (6 * a - 2) * q) / h;
    }

    double node(Index i, double at) const { return node(i, at, cell_right(at)); }
    double node(Index i, double at, Index k) const {
        double sum = 0, value, slope, bend;
        const double *y = pair_.y + i * pair_.d;
        for (Index c = 0; c < pair_.d; ++c) {
            signal(k, at, c, value, slope, bend);
            sum += pair_.data.value(value - y[c]);
        }
        return weight(i) * (sum + cumulative(i, at));
    }
    double cumulative(Index i, double at) const {
        return pair_.cumulative > 0 ? pair_.cumulative * pair_.penalty.value(at - identity(i)) : 0;
    }
    double link(Index i, double rise) const {
        const double dt = step(i);
        return pair_.reg * dt * pair_.penalty.value(rise / dt - mean_slope_);
    }
    double value(const double *warp) const {
        double sum = 0;
        for (Index i = 0; i < pair_.m; ++i) sum += node(i, warp[i]);
        for (Index i = 0; i + 1 < pair_.m; ++i) sum += link(i, warp[i + 1] - warp[i]);
        return sum;
    }

    // Derivative of the cost of knot i towards `direction` (-1 or 1) where x is
    // read in segment k. Kinks that lie within `slack` are taken to lie at this
    // very time.
    double node_slope(Index i, double at, Index k, double direction, double slack = 0) const {
        double sum = 0, value, slope, bend;
        const double *y = pair_.y + i * pair_.d;
        for (Index c = 0; c < pair_.d; ++c) {
            signal(k, at, c, value, slope, bend);
            double r = value - y[c];
            const double rounding = 1e-15 * (std::fabs(value) + std::fabs(y[c]));
            if (slack > 0 && std::fabs(r) <= slack * std::fabs(slope) + rounding) r = 0;
            sum += pair_.data.slope(r, direction * slope) * slope;
        }
        if (pair_.cumulative > 0) {
            const double e = at - identity(i);
            sum += pair_.cumulative * pair_.penalty.slope(std::fabs(e) <= slack ? 0 : e, direction);
        }
        return weight(i) * sum;
    }
    double node_curvature(Index i, double at, Index k) const {
        double sum = 0, value, slope, bend;
        const double *y = pair_.y + i * pair_.d;
        for (Index c = 0; c < pair_.d; ++c) {
            signal(k, at, c, value, slope, bend);
            sum += pair_.data.curvature(value - y[c]) * slope * slope;
            if (bend != 0) sum += pair_.data.slope(value - y[c]) * bend;
        }
        if (pair_.cumulative > 0) sum += pair_.cumulative * pair_.penalty.curvature(at - identity(i));
        return weight(i) * sum;
    }
    double link_slope(Index i, double rise, double direction = 0, double slack = 0) const {
        const double e = std::fabs(rise - target(i)) <= slack ? 0 : rise / step(i) - mean_slope_;
        return pair_.reg * pair_.penalty.slope(e, direction);
    }
    double link_curvature(Index i, double rise) const {
        const double dt = step(i);
        return pair_.reg * pair_.penalty.curvature(rise / dt - mean_slope_) / dt;
    }

    // The derivative of the cost of knot i on [low, high], within segment k of a
    // linearly interpolated x.
    void append_node(Index i, Index k, double low, double high, std::vector<Vertex> &out) {
        const Index d = pair_.d;
        const double w = weight(i), h = pair_.x_times[k + 1] - pair_.x_times[k], start = pair_.x_times[k];
        const double *x0 = pair_.x + k * d, *x1 = x0 + d, *y = pair_.y + i * d;
        if (pair_.data.loss == Loss::squared && (pair_.cumulative == 0 || pair_.penalty.loss == Loss::squared)) {
            double offset = 0, bend = 0;
            for (Index c = 0; c < d; ++c) {
                const double s = (x1[c] - x0[c]) / h;
                offset += s * (x0[c] - y[c]), bend += s * s;
            }
            if (pair_.cumulative > 0) {
                offset += pair_.cumulative * (start - identity(i));
                bend += pair_.cumulative;
            }
            out.push_back({low, 2 * w * (offset + bend * (low - start))});
            out.push_back({high, 2 * w * (offset + bend * (high - start))});
            return;
        }
        events_.clear();
        double slope = node_slope(i, low, k, 1), bend = 0;
        for (Index c = 0; c < d; ++c) {
            const double s = (x1[c] - x0[c]) / h;
            if (s != 0) add_events(pair_.data, w, s, start + (y[c] - x0[c]) / s, low, high, bend);
        }
        if (pair_.cumulative > 0) add_events(pair_.penalty, w * pair_.cumulative, 1, identity(i), low, high, bend);
        std::sort(events_.begin(), events_.end(), [](const Event &a, const Event &b) { return a.at < b.at; });
        out.push_back({low, slope});
        double at = low;
        for (const Event &event : events_) {
            slope += bend * (event.at - at), at = event.at;
            out.push_back({at, slope});
            slope += event.jump, bend += event.bend;
            if (event.jump != 0) out.push_back({at, slope});
            bend = std::max(bend, 0.0);
        }
        out.push_back({high, slope + bend * (high - at)});
    }

    // Derivative of the penalty of step i in its rise, over all rises that the
    // constraints leave.
    void link_curve(Index i, double longest, std::vector<Vertex> &out) const {
        const double low = least(i), high = std::min(greatest(i), std::max(longest, low)), dt = step(i);
        const Penalty &p = pair_.penalty;
        out.clear();
        const double middle = target(i), arm = p.loss == Loss::huber ? p.delta * dt : 0;
        out.push_back({low, link_slope(i, low, 1)});
        if (p.loss == Loss::absolute && low < middle && middle < high) {
            out.push_back({middle, -pair_.reg});
            out.push_back({middle, pair_.reg});
        }
        if (p.loss == Loss::huber) {
            if (low < middle - arm && middle - arm < high) out.push_back({middle - arm, -2 * p.delta * pair_.reg});
            if (low < middle + arm && middle + arm < high) out.push_back({middle + arm, 2 * p.delta * pair_.reg});
        }
        out.push_back({high, std::max(link_slope(i, high, -1), out.back().slope)});
    }

  private:
    struct Event {
        double at, jump, bend;
    };

    // Where the derivative of p(s (phi - root)) times w has a jump or a bend
    // within (low, high).
    void add_events(const Penalty &p, double w, double s, double root, double low, double high, double &bend) {
        const double curvature = 2 * w * s * s;
        if (p.loss == Loss::squared) {
            bend += curvature;
        } else if (p.loss == Loss::absolute) {
            if (low < root && root < high) events_.push_back({root, 2 * w * std::fabs(s), 0});
        } else {
            const double arm = p.delta / std::fabs(s), first = root - arm, last = root + arm;
            if (first <= low && low < last) bend += curvature;
            if (low < first && first < high) events_.push_back({first, 0, curvature});
            if (low < last && last < high) events_.push_back({last, 0, -curvature});
        }
    }

    Pair pair_;
    double mean_slope_;
    std::vector<double> weights_;
    std::vector<Event> events_;
};

}  // namespace sdtw::gdtw
