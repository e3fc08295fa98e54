// Long pairs, few pairs, precomputed costs, and all gradients: the table of a pair is cut into square regions, and the
// lanes take regions that do not depend on each other (of one anti-diagonal of regions, of all pairs of a group).
//
// Between the regions only their edges are kept. For a gradient the edges of all regions are kept; going back, each
// region is filled once more from its edges, so memory is n·m/edge instead of n·m.
#pragma once

#include <barrier>
#include <memory>
#include <numeric>
#include <utility>

#include "dispatch.hpp"
#include "lanes.hpp"
#include "team.hpp"

namespace sdtw {

// The edge of a region. For gradients it fixes the order of summation, so it depends on the pair alone.
inline Index value_edge(Index n, Index m) {
    const Index shorter = std::min(n, m);
    return shorter < 1024 ? 32 : shorter < 8192 ? 64 : 128;
}
inline Index gradient_edge(Index n, Index m) {
    const double cells = static_cast<double>(n) * static_cast<double>(m);
    return cells <= 0x1p16 ? 32 : cells <= 0x1p26 ? 64 : cells <= 0x1p28 ? 128 : cells <= 0x1p32 ? 256 : 512;
}

// A group of pairs with the same edge, computed in arithmetic C from series of type S.
template <class S, class C> class Wave {
  public:
    Wave(const Problem<S> &problem, const CostBounds<S> &bounds, const std::vector<PairIndex> &pairs, Index edge,
         const double *gammas, int n_gammas, bool for_gradient, WaveMemory *memories, int n_threads)
        : problem_(problem), kernels_(kernels<C>()), edge_(edge), gammas_(gammas, gammas + n_gammas),
          keep_(for_gradient), memory_(memories[0].tables) {
        memory_.reset();
        tables_.reserve(pairs.size());
        for (const PairIndex &pair : pairs) tables_.push_back(make_table(pair, bounds));
        for (const Table &t : tables_) last_step_ = std::max(last_step_, t.blocks_x + t.blocks_y - 2);
        Index most = 0;
        for (const Table &t : tables_) most += std::min(t.blocks_x, t.blocks_y);
        tasks_.reserve(static_cast<std::size_t>(most));
        const Index useful = (most + kernels_.lanes - 1) / kernels_.lanes;
        for (Index i = 0; i < std::min<Index>(n_threads, useful); ++i)
            workers_.push_back(std::make_unique<Worker>(*this, memories[i].scratch, for_gradient));
    }

    // Bytes that one pair's edges take for a gradient.
    static double gradient_bytes(Index n, Index m, Index edge) {
        return 4.0 * static_cast<double>(n) * static_cast<double>(m) / static_cast<double>(edge) * sizeof(C);
    }

    void forward(std::atomic<bool> &stop) {
        march(stop, 0, last_step_, +1,
              [](Worker &worker, const Task *tasks, int count) { worker.forward(tasks, count); });
    }

    void backward(const Gradients<S> &out, std::atomic<bool> &stop) {
        out_ = out;
        for (Table &t : tables_) {
            const Index size = 2 * t.width + 4 * t.height + t.blocks_x * t.blocks_y;
            C *next = memory_.template take<C>(size);
            std::fill_n(next, size, C(0));
            auto take = [&](Index count) { return std::exchange(next, next + count); };
            t.flow_up = take(t.width), t.flow_diag = take(t.width);
            t.flow_left = take(t.height), t.flow_left_diag = take(t.height);
            t.expected_cost = take(t.height), t.entropy = take(t.height);
            t.flow_corner = take(t.blocks_x * t.blocks_y);
        }
        march(stop, last_step_, 0, -1,
              [](Worker &worker, const Task *tasks, int count) { worker.backward(tasks, count); });
    }

    double value(std::size_t pair, int gamma) const {
        const Table &t = tables_[pair];
        return cell_value(t.end_m[static_cast<std::size_t>(gamma)], t.end_e[static_cast<std::size_t>(gamma)],
                          gammas_[static_cast<std::size_t>(gamma)]);
    }

    // Of a pair, where the call of backward asked for it.
    double expected_cost(std::size_t pair) const { return sum(tables_[pair].expected_cost, tables_[pair].n); }
    double entropy(std::size_t pair) const { return sum(tables_[pair].entropy, tables_[pair].n); }

  private:
    // One gamma's edges of a pair: the row above each row of regions and the column left of each column of regions
    // (one of each, overwritten on the way, when only values are wanted).
    struct Edges {
        C *top_m, *top_e, *left_m, *left_e;
        C *corner_m, *corner_e;  // up-left of the region that comes next in each row of regions
    };
    struct Table {
        PairIndex pair;
        Index n, m, blocks_x, blocks_y, width, height, cell_offset;
        std::vector<Edges> edges;
        std::vector<C> end_m, end_e;
        C *flow_up, *flow_diag, *flow_left, *flow_left_diag, *flow_corner, *expected_cost, *entropy;
    };
    struct Task {
        Index table, a, b;
    };

    static double sum(const C *rows, Index count) { return std::accumulate(rows, rows + count, 0.0); }

    Table make_table(PairIndex pair, const CostBounds<S> &bounds) {
        Table t{};
        t.pair = pair;
        t.n = x_length(problem_, pair.x), t.m = y_length(problem_, pair.y);
        t.blocks_x = (t.n + edge_ - 1) / edge_, t.blocks_y = (t.m + edge_ - 1) / edge_;
        t.height = t.blocks_x * edge_, t.width = t.blocks_y * edge_;
        t.cell_offset = problem_.pairing == Pairing::paired ? bounds.cell_offset(pair.x) : 0;
        t.end_m.assign(gammas_.size(), C(0)), t.end_e.assign(gammas_.size(), no_path<C>);
        const Index tops = t.width * (keep_ ? t.blocks_x : 1), lefts = t.height * (keep_ ? t.blocks_y : 1);
        const Index each = 2 * (tops + lefts + t.blocks_x);
        C *next = memory_.template take<C>(each * static_cast<Index>(gammas_.size()));
        for (double gamma : gammas_) {
            const C nothing = gamma == 0 ? static_cast<C>(HUGE_VAL) : C(1);
            auto take = [&](Index count, C value) { return std::exchange(next, std::fill_n(next, count, value)); };
            Edges e{};
            e.top_m = take(tops, nothing), e.top_e = take(tops, no_path<C>);
            e.left_m = take(lefts, nothing), e.left_e = take(lefts, no_path<C>);
            e.corner_m = take(t.blocks_x, nothing), e.corner_e = take(t.blocks_x, no_path<C>);
            e.corner_m[0] = gamma == 0 ? C(0) : C(1);
            e.corner_e[0] = C(0);
            t.edges.push_back(e);
        }
        return t;
    }

    // Whether the band touches a region. Rows of a band move to the right only.
    bool inside(const Table &t, Index a, Index b) const {
        if (problem_.band.kind == BandKind::none) return true;
        const Index first = a * edge_, last = std::min(first + edge_, t.n) - 1;
        return band_row(problem_.band, first, t.n, t.m).begin < (b + 1) * edge_ &&
               band_row(problem_.band, last, t.n, t.m).end > b * edge_;
    }

    void list_tasks(Index step) {
        tasks_.clear();
        for (std::size_t k = 0; k < tables_.size(); ++k) {
            const Table &t = tables_[k];
            for (Index a = std::max<Index>(0, step - t.blocks_y + 1); a <= std::min(step, t.blocks_x - 1); ++a) {
                if (inside(t, a, step - a))
                    tasks_.push_back({static_cast<Index>(k), a, step - a});
                else if (!keep_)
                    skip(tables_[k], a, step - a);
            }
        }
    }

    // A region outside the band: no path leaves it. (With all edges kept they say so from the start.)
    void skip(Table &t, Index a, Index b) const {
        for (std::size_t g = 0; g < gammas_.size(); ++g) {
            Edges &e = t.edges[g];
            const C nothing = gammas_[g] == 0 ? static_cast<C>(HUGE_VAL) : C(1);
            e.corner_m[a] = e.top_m[(b + 1) * edge_ - 1];
            e.corner_e[a] = e.top_e[(b + 1) * edge_ - 1];
            std::fill_n(e.top_m + b * edge_, edge_, nothing);
            std::fill_n(e.top_e + b * edge_, edge_, no_path<C>);
            std::fill_n(e.left_m + a * edge_, edge_, nothing);
            std::fill_n(e.left_e + a * edge_, edge_, no_path<C>);
        }
    }

    // Visits the anti-diagonals of regions one after the other; the workers share the regions of each.
    template <class Work> void march(std::atomic<bool> &stop, Index first, Index last, Index direction, Work work) {
        const int L = kernels_.lanes, n_workers = static_cast<int>(workers_.size());
        Index step = first;
        bool going = true;
        list_tasks(step);
        auto advance = [&]() noexcept {
            going = step != last && !stop;
            step += direction;
            if (going) list_tasks(step);
        };
        std::barrier barrier(n_workers, advance);
        auto march_along = [&](int thread) {
            while (going) {
                const auto count = static_cast<Index>(tasks_.size());
                for (Index at = thread * L; at < count; at += n_workers * L)
                    work(*workers_[static_cast<std::size_t>(thread)], tasks_.data() + at,
                         static_cast<int>(std::min<Index>(L, count - at)));
                barrier.arrive_and_wait();
            }
        };
        run_team(n_workers, stop, march_along, true);
    }

    class Worker;

    const Problem<S> &problem_;
    const Kernels<C> &kernels_;
    const Index edge_;
    const std::vector<double> gammas_;
    const bool keep_;
    Arena &memory_;  // what the tables point to
    Gradients<S> out_{};
    std::vector<Table> tables_;
    std::vector<Task> tasks_;
    std::vector<std::unique_ptr<Worker>> workers_;
    Index last_step_ = 0;
};

// One thread's memory for a pack of regions, and the moves between it and the tables. Allocates at the start only.
template <class S, class C> class Wave<S, C>::Worker {
  public:
    Worker(Wave &wave, Arena &arena, bool for_gradient) : wave_(wave), L_(wave.kernels_.lanes), T_(wave.edge_) {
        Index side = 0;
        for (const Table &t : wave.tables_) side = std::max(side, std::max(std::min(t.n, T_), std::min(t.m, T_)));
        const Index d = wave.problem_.n_features, line = side * L_, square = side * line;
        auto take = [&](Index count) { return arena.take<C>(count); };
        arena.reset();
        const auto n_gammas = static_cast<Index>(wave.gammas_.size());
        x_ = take(d * line), y_ = take(d * line), low_ = take(line), high_ = take(line), idle_ = take(side);
        if (wave.problem_.cost.kind == CostKind::precomputed) costs_ = take(square);
        for (Index g = 0; g < n_gammas; ++g) {
            const double gamma = wave.gammas_[static_cast<std::size_t>(g)];
            const bool hard = gamma == 0;
            frontiers_.push_back({take(line), take(line), take(line), take(line), take(L_), take(L_),
                                  hard || std::isinf(gamma) ? C(0) : static_cast<C>(-1 / (ln2 * gamma)), hard});
        }
        sources_.resize(frontiers_.size());
        region_.features = d;
        region_.cost = wave.problem_.cost;
        region_.x = x_, region_.y = y_, region_.costs = costs_;
        if (wave.problem_.band.kind != BandKind::none) region_.low = low_, region_.high = high_;
        region_.frontiers = frontiers_.data();
        region_.n_gammas = static_cast<int>(n_gammas);
        region_.end_row = end_row_.data(), region_.end_col = end_col_.data();
        region_.end_m = take(n_gammas * L_), region_.end_e = take(n_gammas * L_);
        if (!for_gradient) return;
        span_ = arena.take<std::int32_t>(2 * side);
        back_.span = span_;
        back_.weight_up = take(square), back_.weight_left = take(square), back_.weight_diag = take(square);
        back_.alignment = take(square);
        if (slope_varies(wave.problem_.cost.kind)) back_.slope = take(square);
        back_.below_up = take(line), back_.below_diag = take(line);
        back_.right_left = take(line), back_.right_diag = take(line), back_.corner_out = take(L_);
        cost_ = take(square), expected_cost_ = take(line), entropy_ = take(line);
        grad_x_ = take(d * line), grad_y_ = take(d * line);
    }

    void forward(const Task *tasks, int count) {
        gather(tasks, count);
        wave_.kernels_.forward(region_);
        const int L = static_cast<int>(L_);
        for (std::size_t g = 0; g < frontiers_.size(); ++g) {
            Targets top_m = idle(), top_e = idle(), left_m = idle(), left_e = idle();
            for (int l = 0; l < count; ++l) {
                const Task &task = tasks[l];
                const auto u = static_cast<std::size_t>(l);
                Table &t = table(task);
                Edges &e = t.edges[g];
                if (end_row_[u] >= 0) {
                    t.end_m[g] = region_.end_m[static_cast<Index>(g) * L_ + l];
                    t.end_e[g] = region_.end_e[static_cast<Index>(g) * L_ + l];
                }
                if (!wave_.keep_ || task.a + 1 < t.blocks_x) {
                    const Index at = (wave_.keep_ ? (task.a + 1) * t.width : 0) + task.b * T_;
                    top_m[u] = e.top_m + at, top_e[u] = e.top_e + at;
                }
                if (!wave_.keep_ || task.b + 1 < t.blocks_y) {
                    const Index at = (wave_.keep_ ? (task.b + 1) * t.height : 0) + task.a * T_;
                    left_m[u] = e.left_m + at, left_e[u] = e.left_e + at;
                }
            }
            const Frontier<C> &f = frontiers_[g];
            from_lanes(f.top_m, L, top_m.data(), region_.cols);
            from_lanes(f.top_e, L, top_e.data(), region_.cols);
            from_lanes(f.left_m, L, left_m.data(), region_.rows);
            from_lanes(f.left_e, L, left_e.data(), region_.rows);
        }
    }

    void backward(const Task *tasks, int count) {
        gather(tasks, count);
        const int L = static_cast<int>(L_);
        const Index d = region_.features, rows = region_.rows, cols = region_.cols;
        Sources &from = sources_[0];
        for (int l = 0; l < L; ++l) {
            const Task &task = tasks[l < count ? l : 0];
            const Table &t = table(task);
            const Index i0 = task.a * T_, j0 = task.b * T_;
            const auto u = static_cast<std::size_t>(l);
            from.top_m[u] = t.flow_up + j0, from.top_e[u] = t.flow_diag + j0;
            from.left_m[u] = t.flow_left + i0, from.left_e[u] = t.flow_left_diag + i0;
        }
        std::array<Index, most_lanes> all_rows{}, all_cols{};
        all_rows.fill(rows), all_cols.fill(cols);
        to_lanes(back_.below_up, L, from.top_m.data(), all_cols.data(), cols);
        to_lanes(back_.below_diag, L, from.top_e.data(), all_cols.data(), cols);
        to_lanes(back_.right_left, L, from.left_m.data(), all_rows.data(), rows);
        to_lanes(back_.right_diag, L, from.left_e.data(), all_rows.data(), rows);
        for (int l = 0; l < L; ++l) {
            const Task &task = tasks[l < count ? l : 0];
            const Table &t = table(task);
            if (task.a + 1 < t.blocks_x && task.b + 1 < t.blocks_y)
                back_.below_diag[(T_ - 1) * L + l] += t.flow_corner[task.a * t.blocks_y + task.b];
        }
        const Gradients<S> &out = wave_.out_;
        back_.grad_x = out.x || out.y ? grad_x_ : nullptr;
        back_.grad_y = out.y ? grad_y_ : nullptr;
        back_.cost = out.expected_cost ? cost_ : nullptr;
        back_.expected_cost = out.expected_cost ? expected_cost_ : nullptr;
        back_.entropy = out.entropy ? entropy_ : nullptr;
        std::fill_n(grad_x_, d * rows * L_, C(0));
        std::fill_n(grad_y_, d * cols * L_, C(0));
        std::fill_n(expected_cost_, rows * L_, C(0));
        std::fill_n(entropy_, rows * L_, C(0));
        wave_.kernels_.backward(region_, back_);
        // The packed series are not needed any more: their place takes the gradients, lane by lane.
        auto unpack = [&](const C *packed, C *series, Index size) {
            Targets each{};
            for (int l = 0; l < L; ++l) each[static_cast<std::size_t>(l)] = series + l * size;
            from_lanes(packed, L, each.data(), size);
        };
        if (back_.grad_x) unpack(grad_x_, x_, d * rows);
        if (back_.grad_y) unpack(grad_y_, y_, d * cols);
        scatter_flows(tasks, count);
        for (int l = 0; l < count; ++l) scatter(tasks[l], l);
    }

  private:
    Table &table(const Task &task) const { return wave_.tables_[static_cast<std::size_t>(task.table)]; }

    // Fills the region: series, band, costs and edges of up to `lanes` tasks; idle lanes repeat the first.
    void gather(const Task *tasks, int count) {
        const int L = static_cast<int>(L_);
        const Problem<S> &p = wave_.problem_;
        const Index d = p.n_features;
        region_.rows = region_.cols = 0;
        for (int l = 0; l < count; ++l) {
            const Table &t = table(tasks[l]);
            region_.rows = std::max(region_.rows, std::min(T_, t.n - tasks[l].a * T_));
            region_.cols = std::max(region_.cols, std::min(T_, t.m - tasks[l].b * T_));
        }
        const Index rows = region_.rows, cols = region_.cols;
        std::array<const S *, most_lanes> x{}, y{};
        std::array<Index, most_lanes> n{}, m{};
        for (int l = 0; l < L; ++l) {
            const Task &task = tasks[l < count ? l : 0];
            Table &t = table(task);
            const Index i0 = task.a * T_, j0 = task.b * T_;
            const Index own_rows = std::min(T_, t.n - i0), own_cols = std::min(T_, t.m - j0);
            if (costs_) {
                for (Index i = 0; i < rows; ++i)
                    to_lane(costs_ + i * cols * L_, L, l,
                            p.costs + t.cell_offset + (i0 + std::min(i, own_rows - 1)) * t.m + j0, own_cols, cols,
                            C(0));
            } else {
                const auto u = static_cast<std::size_t>(l);
                x[u] = p.x + (p.x_offsets[t.pair.x] + i0) * d, n[u] = own_rows * d;
                y[u] = p.y + (p.y_offsets[t.pair.y] + j0) * d, m[u] = own_cols * d;
            }
            if (region_.low) band_to_lane(low_, high_, L, l, p.band, t.n, t.m, i0, rows, j0, cols);
            const bool last = task.a + 1 == t.blocks_x && task.b + 1 == t.blocks_y;
            end_row_[static_cast<std::size_t>(l)] = last ? static_cast<std::int32_t>(own_rows - 1) : -1;
            end_col_[static_cast<std::size_t>(l)] = last ? static_cast<std::int32_t>(own_cols - 1) : -1;
            for (std::size_t g = 0; g < frontiers_.size(); ++g) gather_edges(t, task, g, l, l < count);
        }
        std::array<Index, most_lanes> all_rows{}, all_cols{};
        all_rows.fill(rows), all_cols.fill(cols);
        for (std::size_t g = 0; g < frontiers_.size(); ++g) {
            to_lanes(frontiers_[g].top_m, L, sources_[g].top_m.data(), all_cols.data(), cols);
            to_lanes(frontiers_[g].top_e, L, sources_[g].top_e.data(), all_cols.data(), cols);
            to_lanes(frontiers_[g].left_m, L, sources_[g].left_m.data(), all_rows.data(), rows);
            to_lanes(frontiers_[g].left_e, L, sources_[g].left_e.data(), all_rows.data(), rows);
        }
        if (costs_) return;
        to_lanes(x_, L, x.data(), n.data(), rows * d);
        to_lanes(y_, L, y.data(), m.data(), cols * d);
    }

    void gather_edges(Table &t, const Task &task, std::size_t g, int l, bool owner) {
        Frontier<C> &f = frontiers_[g];
        f.wait = f.patience = 0;
        Edges &e = t.edges[g];
        const Index top = (wave_.keep_ ? task.a * t.width : 0) + task.b * T_;
        const Index left = (wave_.keep_ ? task.b * t.height : 0) + task.a * T_;
        const auto u = static_cast<std::size_t>(l);
        Sources &from = sources_[g];
        from.top_m[u] = e.top_m + top, from.top_e[u] = e.top_e + top;
        from.left_m[u] = e.left_m + left, from.left_e[u] = e.left_e + left;
        const auto a = static_cast<std::size_t>(task.a);
        if (wave_.keep_ && task.b > 0) {
            const bool border = task.a == 0;
            f.corner_m[l] = border ? e.top_m[0] : e.top_m[top - 1];
            f.corner_e[l] = border ? no_path<C> : e.top_e[top - 1];
            return;
        }
        f.corner_m[l] = e.corner_m[a];
        f.corner_e[l] = e.corner_e[a];
        if (wave_.keep_ || !owner || task.b + 1 == t.blocks_y) return;
        e.corner_m[a] = e.top_m[top + T_ - 1];
        e.corner_e[a] = e.top_e[top + T_ - 1];
    }

    void scatter_flows(const Task *tasks, int count) {
        const int L = static_cast<int>(L_);
        Targets up = idle(), diag = idle(), left = idle(), left_diag = idle();
        for (int l = 0; l < count; ++l) {
            Table &t = table(tasks[l]);
            const Index i0 = tasks[l].a * T_, j0 = tasks[l].b * T_;
            const auto u = static_cast<std::size_t>(l);
            up[u] = t.flow_up + j0, diag[u] = t.flow_diag + j0;
            left[u] = t.flow_left + i0, left_diag[u] = t.flow_left_diag + i0;
        }
        from_lanes(back_.below_up, L, up.data(), region_.cols);
        from_lanes(back_.below_diag, L, diag.data(), region_.cols);
        from_lanes(back_.right_left, L, left.data(), region_.rows);
        from_lanes(back_.right_diag, L, left_diag.data(), region_.rows);
    }

    void scatter(const Task &task, int l) {
        const int L = static_cast<int>(L_);
        const Problem<S> &p = wave_.problem_;
        const Gradients<S> &out = wave_.out_;
        Table &t = table(task);
        const Index d = region_.features, i0 = task.a * T_, j0 = task.b * T_;
        const Index rows = std::min(T_, t.n - i0), cols = std::min(T_, t.m - j0);
        if (task.a > 0 && task.b > 0) t.flow_corner[(task.a - 1) * t.blocks_y + task.b - 1] = back_.corner_out[l];
        for (Index i = 0; i < rows && out.expected_cost; ++i) t.expected_cost[i0 + i] += expected_cost_[i * L + l];
        for (Index i = 0; i < rows && out.entropy; ++i) t.entropy[i0 + i] += entropy_[i * L + l];
        const C slope = static_cast<C>(constant_slope(p.cost));
        const C factor = slope_varies(p.cost.kind) ? C(1) : slope;
        auto add = [&](const C *found, S *target, Index count) {
            for (Index i = 0; i < count; ++i) target[i] = static_cast<S>(target[i] + static_cast<S>(factor * found[i]));
        };
        if (out.x) add(x_ + l * d * region_.rows, out.x + (p.x_offsets[t.pair.x] + i0) * d, rows * d);
        if (out.y) add(y_ + l * d * region_.cols, out.y + (p.y_offsets[t.pair.y] + j0) * d, cols * d);
        if (!out.alignment) return;
        for (Index i = 0; i < rows; ++i) {
            const Index begin = span_[2 * i], end = std::min<Index>(span_[2 * i + 1], cols);
            S *row = out.alignment + t.cell_offset + (i0 + i) * t.m + j0;
            for (Index c = begin; c < end; ++c)
                row[c] = static_cast<S>(back_.alignment[(i * region_.cols + c) * L + l]);
        }
    }

    // Where each lane's numbers go. What a lane without a task of its own writes is dropped.
    using Targets = std::array<C *, most_lanes>;
    Targets idle() const {
        Targets targets;
        targets.fill(idle_);
        return targets;
    }

    // Where the edges of each lane's region come from.
    struct Sources {
        std::array<const C *, most_lanes> top_m{}, top_e{}, left_m{}, left_e{};
    };

    Wave &wave_;
    const Index L_, T_;
    std::vector<Frontier<C>> frontiers_;
    std::vector<Sources> sources_;
    C *idle_ = nullptr;
    std::int32_t *span_ = nullptr;
    std::array<std::int32_t, most_lanes> end_row_{}, end_col_{};
    C *x_ = nullptr, *y_ = nullptr, *low_ = nullptr, *high_ = nullptr, *costs_ = nullptr;
    C *grad_x_ = nullptr, *grad_y_ = nullptr, *cost_ = nullptr, *expected_cost_ = nullptr, *entropy_ = nullptr;
    Region<C> region_{};
    Reversal<C> back_{};
};

}  // namespace sdtw
