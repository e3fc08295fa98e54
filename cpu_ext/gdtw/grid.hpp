// Dynamic programming over grids of warps: finds the basin that the local search then solves to the end.
#pragma once

#include "objective.hpp"
#include "step.hpp"

namespace sdtw::gdtw {

class Grid {
  public:
    explicit Grid(const Objective &objective) : objective_(objective), pair_(objective.pair()), step_(step_function()) {
        const auto n = static_cast<std::size_t>(pair_.n), m = static_cast<std::size_t>(pair_.m);
        if (pair_.data.loss != Loss::squared || pair_.x_slopes) return;
        // |x(u) - y|^2 within a segment needs the squared distances of its ends only: no features in the inner loop.
        distances_.assign(n * m, 0);
        std::vector<double> columns(n * static_cast<std::size_t>(pair_.d));
        for (Index c = 0; c < pair_.d; ++c)
            for (Index k = 0; k < pair_.n; ++k)
                columns[static_cast<std::size_t>(c * pair_.n + k)] = pair_.x[k * pair_.d + c];
        for (Index i = 0; i < pair_.m; ++i) {
            double *row = &distances_[static_cast<std::size_t>(i * pair_.n)];
            for (Index c = 0; c < pair_.d; ++c) {
                const double *column = &columns[static_cast<std::size_t>(c * pair_.n)], y = pair_.y[i * pair_.d + c];
                for (Index k = 0; k < pair_.n; ++k) row[k] += (column[k] - y) * (column[k] - y);
            }
        }
        jumps_.assign(n, 0);
        for (Index k = 0; k + 1 < pair_.n; ++k)
            for (Index c = 0; c < pair_.d; ++c) {
                const double rise = pair_.x[(k + 1) * pair_.d + c] - pair_.x[k * pair_.d + c];
                jumps_[static_cast<std::size_t>(k)] += rise * rise;
            }
    }

    // Replaces the warp by the best one on a grid of `count` points between low and high, the warp itself among them.
    void improve(const double *low, const double *high, Index count, double tolerance, double *warp) {
        const Index m = pair_.m;
        stride_ = count + 1 + row_padding;
        const auto size = static_cast<std::size_t>(m * stride_);
        points_.resize(size);
        choices_.resize(size);
        counts_.resize(static_cast<std::size_t>(m));
        costs_.resize(static_cast<std::size_t>(stride_));
        next_.resize(static_cast<std::size_t>(stride_));
        for (Index i = 0; i < m; ++i) {
            double *to = row(i);
            const Index n_to = fill(to, low[i], high[i], count, warp[i]);
            counts_[static_cast<std::size_t>(i)] = n_to;
            if (i == 0) {
                std::fill(costs_.begin(), costs_.begin() + n_to, 0.0);
            } else {
                const double dt = objective_.step(i - 1), scale = pair_.reg;
                const bool plain = pair_.penalty.loss == Loss::absolute;
                step_({row(i - 1), costs_.data(), counts_[static_cast<std::size_t>(i - 1)], to, n_to,
                       pair_.penalty.loss, objective_.target(i - 1), plain ? scale : scale / dt,
                       pair_.penalty.delta * dt, objective_.least(i - 1) - tolerance,
                       objective_.greatest(i - 1) + tolerance, next_.data(),
                       &choices_[static_cast<std::size_t>(i * stride_)]});
                costs_.swap(next_);
            }
            add_nodes(i, to, n_to);
            std::fill(costs_.begin() + n_to, costs_.end(), infinity);
        }
        Index j = std::min_element(costs_.begin(), costs_.begin() + counts_[static_cast<std::size_t>(m - 1)]) -
                  costs_.begin();
        for (Index i = m - 1; i >= 0; --i) {
            warp[i] = row(i)[j];
            if (i) j = choices_[static_cast<std::size_t>(i * stride_ + j)];
            if (j < 0) return;  // the warp itself is on the grid, so this cannot be
        }
    }

  private:
    double *row(Index i) { return &points_[static_cast<std::size_t>(i * stride_)]; }

    Index fill(double *to, double low, double high, Index count, double anchor) const {
        Index n = 0;
        if (!(high > low)) {
            to[n++] = anchor;
        } else {
            const double h = (high - low) / static_cast<double>(count - 1);
            bool placed = false;
            for (Index j = 0; j < count; ++j) {
                const double u = j == count - 1 ? high : low + h * static_cast<double>(j);
                if (!placed && anchor <= u) {
                    to[n++] = anchor, placed = true;
                    if (anchor == u) continue;
                }
                to[n++] = u;
            }
            if (!placed) to[n++] = anchor;
        }
        std::fill(to + n, to + stride_, to[n - 1]);
        return n;
    }

    void add_nodes(Index i, const double *at, Index count) {
        const double *tau = pair_.x_times;
        Index k = objective_.cell_right(at[0]);
        const bool direct = distances_.empty();
        const double w = objective_.weight(i);
        const double *row = direct ? nullptr : &distances_[static_cast<std::size_t>(i * pair_.n)];
        for (Index j = 0; j < count; ++j) {
            while (k + 2 < pair_.n && tau[k + 1] <= at[j]) ++k;
            if (direct) {
                costs_[static_cast<std::size_t>(j)] += objective_.node(i, at[j], k);
                continue;
            }
            const double a = (at[j] - tau[k]) / (tau[k + 1] - tau[k]);
            const double square =
                row[k] + a * (row[k + 1] - row[k]) - a * (1 - a) * jumps_[static_cast<std::size_t>(k)];
            costs_[static_cast<std::size_t>(j)] += w * (square + objective_.cumulative(i, at[j]));
        }
    }

    const Objective &objective_;
    const Pair pair_;
    StepFunction step_;
    Index stride_ = 0;
    std::vector<double> distances_, jumps_, points_, costs_, next_;
    std::vector<std::int32_t> choices_;
    std::vector<Index> counts_;
};

}  // namespace sdtw::gdtw
