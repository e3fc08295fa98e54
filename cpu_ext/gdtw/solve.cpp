// Grids from coarse to fine find the basin, the local search its minimum.
#include <algorithm>

#include "../engine.hpp"
#include "../instruction_sets.hpp"
#include "../team.hpp"
#include "coarse.hpp"
#include "grid.hpp"
#include "polish.hpp"

#define SDTW_DECLARE_GRID(isa)                  \
    namespace sdtw::isa {                       \
    extern const gdtw::GridFunctions gdtw_grid; \
    }
SDTW_EACH_ISA(SDTW_DECLARE_GRID)

namespace sdtw::gdtw {

const GridFunctions *grid_functions() { return &SDTW_IN_USE(gdtw_grid); }

namespace {

double rounding_of(const Pair &pair) {
    return 1e-12 * (pair.x_times[pair.n - 1] - pair.x_times[0] + std::fabs(pair.x_times[0]));
}

// Bounds of each knot that some warp through all constraints reaches; `is_empty` where there is none. Interval by
// interval, there and back: on a chain this is exact.
struct Reach {
    explicit Reach(const Objective &objective) {
        const Pair &pair = objective.pair();
        const auto m = static_cast<std::size_t>(pair.m);
        const double tolerance = 1e3 * rounding_of(pair);
        low.resize(m), high.resize(m);
        for (std::size_t i = 0; i < m; ++i) {
            const auto k = static_cast<Index>(i);
            low[i] = pair.floor(k), high[i] = pair.ceiling(k);
            if (!i) continue;
            low[i] = std::max(low[i], low[i - 1] + objective.least(k - 1));
            high[i] = std::min(high[i], high[i - 1] + objective.greatest(k - 1));
        }
        for (std::size_t i = m - 1; i-- > 0;) {
            const auto k = static_cast<Index>(i);
            low[i] = std::max(low[i], low[i + 1] - objective.greatest(k));
            high[i] = std::min(high[i], high[i + 1] - objective.least(k));
        }
        for (std::size_t i = 0; i < m && !is_empty; ++i) {
            is_empty = !(low[i] <= high[i] + tolerance);
            if (!is_empty && low[i] > high[i]) {
                const auto k = static_cast<Index>(i);
                low[i] = high[i] = std::min(std::max(0.5 * (low[i] + high[i]), pair.floor(k)), pair.ceiling(k));
            }
        }
    }

    std::vector<double> low, high;
    bool is_empty = false;
};

// The warp of mean slope, or another one to start from, moved into the constraints.
void begin(const Objective &objective, const Reach &reach, double *warp, const double *start = nullptr) {
    for (Index i = 0; i < objective.pair().m; ++i) {
        const auto k = static_cast<std::size_t>(i);
        double first = reach.low[k], last = reach.high[k], at = start ? start[i] : objective.identity(0);
        if (i) {
            if (!start) at = warp[i - 1] + objective.target(i - 1);
            first = std::max(first, warp[i - 1] + objective.least(i - 1));
            last = std::min(last, warp[i - 1] + objective.greatest(i - 1));
        }
        warp[i] = std::min(std::max(std::min(std::max(at, first), last), reach.low[k]), reach.high[k]);
    }
}

class Solver {
  public:
    Solver(Objective &objective, Reach reach, Index points)
        : objective_(objective), pair_(objective.pair()), reach_(std::move(reach)), given_points_(points),
          grid_(objective), polish_(objective), tolerance_(rounding_of(pair_)) {}

    void run(double *warp) {
        begin(objective_, reach_, warp);
        if (pair_.x_slopes) {
            search_smooth(warp);
            return;
        }
        // Short signals, or where asked for: over the whole of x at once. What is best of all stays so, but for
        // rounding.
        const Index corners = pair_.n * pair_.m * (pair_.data.loss == Loss::squared ? 1 : 1 + pair_.d);
        if (given_points_ < 0 || (given_points_ == 0 && corners <= 8192)) {
            polish_.run(warp, pair_.n, 200);
            polish_.run(warp, 1, 200);
            return;
        }
        first_grid(warp);
        // How far to look around what the grid found: where that is cheap, far. Finer grids do for long signals, but not
        // between bounds. Once more where the minimum is farther away than some rounds of the local search come.
        const bool is_long = pair_.n * pair_.m > 65536, by_grids = is_long && !is_bounded();
        for (int turn = 0; turn < 20; ++turn) {
            if (by_grids)
                around(warp, points() - 1 > 2 * pair_.n ? 32 : 16, 257), around(warp, 1, 65);
            else
                polish_.leap(warp, is_long ? 8 : 32);
            if (polish_.run(warp, is_long ? 1 : 2, 12)) break;
        }
    }

    Polish &polish() { return polish_; }

  private:
    Index points() const { return given_points_ > 0 ? given_points_ : std::clamp<Index>(2 * pair_.n, 1025, 2049); }

    // Whether anything but the ends of x and the order of time holds a warp.
    bool is_bounded() const {
        for (Index i = 0; i < pair_.m; ++i)
            if (pair_.low[i] > pair_.x_times[0] || pair_.high[i] < pair_.x_times[pair_.n - 1] ||
                (i + 1 < pair_.m && (pair_.slope_min[i] > 0 || pair_.slope_max[i] < infinity)))
                return true;
        return false;
    }

    // The best warp on a grid over all of x; of many knots, the optimum of fewer of them.
    void first_grid(double *warp) {
        if (pair_.m <= Coarse::most) {
            grid_.improve(reach_.low.data(), reach_.high.data(), points(), tolerance_, warp);
            return;
        }
        const Coarse few(pair_);
        Objective objective(few.pair());
        std::vector<double> found(static_cast<std::size_t>(objective.pair().m));
        Solver(objective, Reach(objective), given_points_).run(found.data());
        begin(objective_, reach_, warp, few.spread(found).data());
    }

    // Cubics have no chain of their own: the best of some minima.
    void search_smooth(double *warp) {
        const auto m = static_cast<std::size_t>(pair_.m);
        const Index count = points();
        first_grid(warp);
        around(warp, 8, 65), around(warp, 2, 65);
        double best = polish_.run_smooth(warp);
        std::vector<double> trial(m);
        auto keep_better = [&] {
            const double value = polish_.run_smooth(trial.data());
            const bool better = value < best - 1e-12 * std::fabs(best);
            if (better) best = value, std::copy(trial.begin(), trial.end(), warp);
            return better;
        };
        // Short signals can afford a second search, on points between those of the
        // first.
        if (pair_.m <= 160) {
            begin(objective_, reach_, trial.data());
            grid_.improve(reach_.low.data(), reach_.high.data(), 3 * count / 4, tolerance_, trial.data());
            keep_better();
        }
        do std::copy(warp, warp + m, trial.begin()), around(trial.data(), 16, 257);
        while (keep_better());
        polish_.run_smooth(warp);
    }

    // A finer grid within so many spacings of the first, around the warp and not
    // within earlier boxes.
    void around(double *warp, double spacings, Index count) {
        const auto m = static_cast<std::size_t>(pair_.m);
        box_low_.resize(m), box_high_.resize(m);
        for (std::size_t i = 0; i < m; ++i) {
            const double spacing = (reach_.high[i] - reach_.low[i]) / static_cast<double>(points() - 1);
            box_low_[i] = std::max(reach_.low[i], warp[i] - spacings * spacing);
            box_high_[i] = std::min(reach_.high[i], warp[i] + spacings * spacing);
        }
        grid_.improve(box_low_.data(), box_high_.data(), count, tolerance_, warp);
    }

    Objective &objective_;
    const Pair pair_;
    const Reach reach_;
    const Index given_points_;
    Grid grid_;
    Polish polish_;
    double tolerance_;
    std::vector<double> box_low_, box_high_;
};

void solve_pair(const Problem &problem, Index b, Reach reach, Index points, const Solution &out) {
    const Pair pair = problem.pair(b);
    Objective objective(pair);
    Solver solver(objective, std::move(reach), points);
    const Index at = problem.y_offsets[b];
    solver.run(out.warp + at);
    solver.polish().active_set(out.warp + at, out.cell + at, out.holds + at, out.ties + at);
    out.objective[b] = objective.value(out.warp + at);
    out.residual[b] = solver.polish().residual(out.warp + at);
}

}  // namespace

void solve(const Problem &problem, Index points, const Solution &out, int n_threads, std::atomic<bool> &stop) {
    // Of all pairs before any is solved: where one has no warp, the call need not last.
    std::vector<Reach> reach;
    bool all_have_warps = true;
    for (Index b = 0; b < problem.size; ++b) {
        out.status[b] = reach.emplace_back(Objective(problem.pair(b))).is_empty ? 1 : 0;
        all_have_warps &= !out.status[b];
    }
    if (!all_have_warps) return;
    std::atomic<Index> next{0};
    const int team = static_cast<int>(std::clamp<Index>(problem.size, 1, n_threads));
    run_team(team, stop, [&](int) {
        for (Index b = next++; b < problem.size && !stop; b = next++)
            solve_pair(problem, b, std::move(reach[static_cast<std::size_t>(b)]), points, out);
    });
}

}  // namespace sdtw::gdtw
