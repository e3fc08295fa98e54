// Gradients through the optimal warp, by implicit differentiation on its active set.
//
// With the upstream gradient v, the Hessian H of the objective and the active rows A: H u + A' nu = v, A u = 0. Every row
// ties two neighbours or holds one knot, so u is equal within a run of tied knots and zero where one of them is held:
// what remains is tridiagonal. Then dL/dtheta = -u' d(grad objective)/dtheta, and nu is the gradient of the right sides.
#include <algorithm>

#include "../team.hpp"
#include "reduced.hpp"

namespace sdtw::gdtw {
namespace {

class Backward {
  public:
    Backward(const Pair &pair, const double *warp, const std::int32_t *cell, const std::int32_t *holds,
             const std::int32_t *ties)
        : pair_(pair), objective_(pair), hessian_(objective_, warp, cell), warp_(warp), cell_(cell), holds_(holds),
          ties_(ties) {
        const auto m = static_cast<std::size_t>(pair.m);
        u_.assign(m, 0), rest_.assign(m, 0), nu_hold_.assign(m, 0), nu_tie_.assign(m, 0);
    }

    void run(const double *upstream, const Gradients &out) {
        hessian_.solve(holds_, ties_, upstream, u_.data());
        multipliers(upstream);
        add_nodes(out);
        add_steps(out);
        add_holds(out);
        add_weights(out);
        if (!pair_.fixed_ends) return;
        const double span = pair_.times[pair_.m - 1] - pair_.times[0], share = mean_slope_ / span;
        out.x_times[pair_.n - 1] += share;
        out.x_times[0] -= share;
        out.times[pair_.m - 1] -= share * objective_.mean_slope();
        out.times[0] += share * objective_.mean_slope();
    }

  private:
    static std::size_t at(Index i) { return static_cast<std::size_t>(i); }

    void multipliers(const double *upstream) {
        const Index m = pair_.m;
        for (Index i = 0; i < m; ++i) {
            double r = upstream[i] - hessian_.node[at(i)] * u_[at(i)];
            if (i) r -= hessian_.link[at(i - 1)] * (u_[at(i)] - u_[at(i - 1)]);
            if (i + 1 < m) r -= hessian_.link[at(i)] * (u_[at(i)] - u_[at(i + 1)]);
            rest_[at(i)] = r;
        }
        for (Index first = 0, last; first < m; first = last + 1) {
            last = first;
            while (ties_[last] != free_step) ++last;
            Index held = first;  // the first knot that is held, or past the run
            while (held <= last && holds_[held] == free_knot) ++held;
            double sum = 0;
            for (Index i = first; i < std::min(held, last); ++i) sum += rest_[at(i)], nu_tie_[at(i)] = -sum;
            if (held > last) continue;
            // What lies to the right of a held knot, up to the next one, is carried by it.
            sum = 0;
            for (Index i = last; i > held; --i) {
                sum += rest_[at(i)];
                if (holds_[i] != free_knot) nu_hold_[at(i)] = sum, sum = 0;
                nu_tie_[at(i - 1)] = sum;
            }
            nu_hold_[at(held)] = rest_[at(held)] + sum - (held > first ? nu_tie_[at(held - 1)] : 0);
        }
    }

    void add_nodes(const Gradients &out) {
        for (Index i = 0; i < pair_.m; ++i) {
            const double u = u_[at(i)], w = objective_.weight(i);
            const Index k = cell_[i];
            if (pair_.cumulative > 0) {
                const double e = warp_[i] - objective_.identity(i);
                out.cumulative[0] -= u * w * pair_.penalty.slope(e);
                add_identity(i, u * w * pair_.cumulative * pair_.penalty.curvature(e), out);
            }
            if (u == 0) continue;
            const double t0 = pair_.x_times[k], h = pair_.x_times[k + 1] - t0, a = (warp_[i] - t0) / h;
            const double g1 = a * (1 - a) * (1 - a), g2 = -a * a * (1 - a);
            const double d1 = (1 - a) * (1 - 3 * a), d2 = -a * (2 - 3 * a);
            const bool smooth = pair_.x_slopes != nullptr;
            const double from_rise = smooth ? a - (g1 + g2) : a, slope_from_rise = (smooth ? 1 - (d1 + d2) : 1) / h;
            for (Index c = 0; c < pair_.d; ++c) {
                double value, slope, bend;
                objective_.signal(k, warp_[i], c, value, slope, bend);
                const double r = value - pair_.y[i * pair_.d + c];
                // dL/dx(phi) and dL/dx'(phi) at a fixed warp
                const double by_value = -u * w * pair_.data.curvature(r) * slope,
                             by_slope = -u * w * pair_.data.slope(r);
                out.y[i * pair_.d + c] -= by_value;
                double *x0 = out.x + k * pair_.d + c, *x1 = x0 + pair_.d;
                *x0 += by_value * (1 - from_rise) - by_slope * slope_from_rise;
                *x1 += by_value * from_rise + by_slope * slope_from_rise;
                const double rise = (pair_.x[(k + 1) * pair_.d + c] - pair_.x[k * pair_.d + c]) / h;
                double value_h = -a * rise, slope_h = -rise / h;
                if (smooth) {
                    const double p = pair_.x_slopes[k * pair_.d + c] - rise,
                                 q = pair_.x_slopes[(k + 1) * pair_.d + c] - rise;
                    value_h += g1 * p + g2 * q - a * (d1 * p + d2 * q) + (g1 + g2) * rise;
                    slope_h += ((d1 + d2) * rise - a * ((6 * a - 4) * p + (6 * a - 2) * q)) / h;
                    double *s0 = out.x_slopes + k * pair_.d + c, *s1 = s0 + pair_.d;
                    *s0 += by_value * h * g1 + by_slope * d1;
                    *s1 += by_value * h * g2 + by_slope * d2;
                }
                out.x_times[k] += by_value * (-slope - value_h) + by_slope * (-bend - slope_h);
                out.x_times[k + 1] += by_value * value_h + by_slope * slope_h;
            }
        }
    }

    void add_steps(const Gradients &out) {
        for (Index i = 0; i + 1 < pair_.m; ++i) {
            const double dt = objective_.step(i), rise = warp_[i + 1] - warp_[i], du = u_[at(i + 1)] - u_[at(i)];
            const double e = rise / dt - objective_.mean_slope(), nu = nu_tie_[at(i)];
            if (du != 0) {
                out.reg[0] -= du * pair_.penalty.slope(e);
                const double bend = pair_.reg * pair_.penalty.curvature(e) * du;
                add_step(i, bend * rise / (dt * dt), out);
                mean_slope_ += bend;
            }
            if (ties_[i] == free_step || nu == 0) continue;
            double slope = 1;
            if (ties_[i] == least) slope = pair_.slope_min[i], out.slope_min[i] += nu * objective_.target(i);
            if (ties_[i] == greatest) slope = pair_.slope_max[i], out.slope_max[i] += nu * objective_.target(i);
            add_step(i, nu * slope * objective_.mean_slope(), out);
            mean_slope_ += nu * slope * dt;
        }
    }

    void add_holds(const Gradients &out) {
        for (Index i = 0; i < pair_.m; ++i) {
            const double nu = nu_hold_[at(i)];
            if (holds_[i] == free_knot || nu == 0) continue;
            const Index k = cell_[i];
            if (holds_[i] == source_start) {
                out.x_times[0] += nu;
            } else if (holds_[i] == source_end) {
                out.x_times[pair_.n - 1] += nu;
            } else if (holds_[i] == band_low) {
                out.low[i] += nu;
            } else if (holds_[i] == band_high) {
                out.high[i] += nu;
            } else if (holds_[i] == sample) {
                out.x_times[k] += nu;
            } else if (holds_[i] == identity) {
                add_identity(i, nu, out);
            } else {
                const Index c = holds_[i] - residual;
                double value, slope, bend;
                objective_.signal(k, warp_[i], c, value, slope, bend);
                const double h = pair_.x_times[k + 1] - pair_.x_times[k], a = (warp_[i] - pair_.x_times[k]) / h;
                out.y[i * pair_.d + c] += nu / slope;
                out.x[k * pair_.d + c] -= nu * (1 - a) / slope;
                out.x[(k + 1) * pair_.d + c] -= nu * a / slope;
                out.x_times[k] += nu * (1 - a);
                out.x_times[k + 1] += nu * a;
            }
        }
    }

    void add_weights(const Gradients &out) {
        for (Index i = 0; i < pair_.m; ++i) {
            if (u_[at(i)] == 0) continue;
            const Index k = cell_[i];
            const double w = objective_.weight(i);
            const double share = -0.5 * u_[at(i)] * (w > 0 ? objective_.node_slope(i, warp_[i], k, 0) / w : 0);
            if (i) out.times[i] += share, out.times[i - 1] -= share;
            if (i + 1 < pair_.m) out.times[i + 1] += share, out.times[i] -= share;
        }
    }

    void add_step(Index i, double g, const Gradients &out) { out.times[i + 1] += g, out.times[i] -= g; }

    // g_i = tau_0 + s (t_i - t_0)
    void add_identity(Index i, double g, const Gradients &out) {
        if (g == 0) return;
        out.x_times[0] += g;
        out.times[i] += g * objective_.mean_slope();
        out.times[0] -= g * objective_.mean_slope();
        mean_slope_ += g * (pair_.times[i] - pair_.times[0]);
    }

    const Pair pair_;
    Objective objective_;
    Reduced hessian_;
    const double *warp_;
    const std::int32_t *cell_, *holds_, *ties_;
    double mean_slope_ = 0;  // dL/d(mean slope)
    std::vector<double> u_, rest_, nu_hold_, nu_tie_;
};

}  // namespace

void backward(const Problem &problem, const double *warp, const std::int32_t *cell, const std::int32_t *holds,
              const std::int32_t *ties, const double *upstream, const Gradients &out, int n_threads,
              std::atomic<bool> &stop) {
    std::atomic<Index> next{0};
    const int team = static_cast<int>(std::clamp<Index>(problem.size, 1, n_threads));
    run_team(team, stop, [&](int) {
        for (Index b = next++; b < problem.size && !stop; b = next++) {
            const Index x = problem.x_offsets[b], y = problem.y_offsets[b];
            const Gradients part{
                out.x + x * problem.d, out.x_times + x,   out.x_slopes ? out.x_slopes + x * problem.d : nullptr,
                out.y + y * problem.d, out.times + y,     out.low + y,
                out.high + y,          out.slope_min + y, out.slope_max + y,
                out.reg + b,           out.cumulative + b};
            Backward(problem.pair(b), warp + y, cell + y, holds + y, ties + y).run(upstream + y, part);
        }
    });
}

}  // namespace sdtw::gdtw
