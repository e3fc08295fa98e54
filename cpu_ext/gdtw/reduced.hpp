// The Hessian of the objective on a fixed active set: tridiagonal over runs of tied knots, in O(m).
#pragma once

#include "objective.hpp"

namespace sdtw::gdtw {

class Reduced {
  public:
    Reduced(const Objective &objective, const double *warp, const std::int32_t *cell)
        : m_(objective.pair().m), node(static_cast<std::size_t>(m_)), link(static_cast<std::size_t>(m_), 0.0) {
        for (Index i = 0; i < m_; ++i) {
            node[at(i)] = objective.node_curvature(i, warp[i], cell[i]);
            if (i + 1 < m_) link[at(i)] = objective.link_curvature(i, warp[i + 1] - warp[i]);
        }
    }

    // u with H u = right over all directions that the active set leaves free, and zero in the others.
    void solve(const std::int32_t *holds, const std::int32_t *ties, const double *right, double *u) const {
        std::vector<Run> runs;
        double scale = 0;
        for (Index i = 0; i < m_; ++i) {
            if (i == 0 || ties[i - 1] == free_step) runs.push_back({i, i, false, i ? link[at(i - 1)] : 0, 0});
            Run &run = runs.back();
            run.last = i;
            run.held |= holds[i] != free_knot;
            run.diagonal += node[at(i)];
            run.right += right[i];
            if (ties[i] == free_step) run.diagonal += link[at(i)];
            scale = std::max(scale, std::fabs(node[at(i)]) + 2 * link[at(i)]);
        }
        // Elimination from the left, then back. A direction without curvature has no unique minimum: it is left out.
        std::vector<double> factor(runs.size(), 0);
        for (std::size_t b = 0; b < runs.size(); ++b) {
            Run &run = runs[b];
            if (run.held) continue;
            if (b && !runs[b - 1].held) {
                const double coupling = -link[at(runs[b - 1].last)];
                run.diagonal -= coupling * factor[b - 1];
                run.right -= coupling * runs[b - 1].right;
            }
            const bool singular = !(run.diagonal > 1e-14 * scale);
            factor[b] = singular ? 0 : -link[at(run.last)] / run.diagonal;
            run.right = singular ? 0 : run.right / run.diagonal;
        }
        for (std::size_t b = runs.size(); b-- > 0;) {
            Run &run = runs[b];
            if (run.held)
                run.right = 0;
            else if (b + 1 < runs.size())
                run.right -= factor[b] * runs[b + 1].right;
            for (Index i = run.first; i <= run.last; ++i) u[i] = run.right;
        }
    }

  private:
    struct Run {
        Index first, last;
        bool held;
        double diagonal, right;
    };

    static std::size_t at(Index i) { return static_cast<std::size_t>(i); }

    Index m_;

  public:
    std::vector<double> node, link;  // curvatures of the knots and of the steps
};

}  // namespace sdtw::gdtw
