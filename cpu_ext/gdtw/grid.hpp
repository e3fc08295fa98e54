// Dynamic programming over grids of warps: finds the region in which the local search then finds the minimum.
#pragma once

#include "objective.hpp"
#include "step.hpp"

namespace sdtw::gdtw {

class Grid {
  public:
    explicit Grid(const Objective &objective)
        : objective_(objective), pair_(objective.pair()), functions_(*grid_functions()), choices_(table()) {}

    // Replaces the warp by the best one on a grid of `count` points between low and high, the warp itself among them.
    void improve(const double *low, const double *high, Index count, double tolerance, double *warp) {
        const Index m = pair_.m, stride = count + row_padding;
        begin(stride);
        choices_.resize(static_cast<std::size_t>(m * stride));
        for (Index i = 0; i < m; ++i) {
            const Index n_to = fill(low[i], high[i], count, warp[i]);
            std::int32_t *choice = &choices_[static_cast<std::size_t>(i * stride)];
            if (i == 0) {
                std::fill(next_.begin(), next_.begin() + n_to, 0.0);
            } else {
                const double dt = objective_.step(i - 1), scale = pair_.reg;
                const bool plain = pair_.penalty.loss == Loss::absolute;
                functions_.step({before_.data(), costs_.data(), count_, points_.data(), n_to, pair_.penalty.loss,
                                 objective_.target(i - 1), plain ? scale : scale / dt, pair_.penalty.delta * dt,
                                 objective_.least(i - 1) - tolerance, objective_.greatest(i - 1) + tolerance,
                                 next_.data(), choice});
            }
            costs_.swap(next_), before_.swap(points_), count_ = n_to;
            add_nodes(i, low[i], high[i]);
            std::fill(costs_.begin() + n_to, costs_.end(), infinity);
        }
        Index j = std::min_element(costs_.begin(), costs_.begin() + count_) - costs_.begin();
        for (Index i = m - 1; i >= 0; --i) {
            fill(low[i], high[i], count, warp[i]);
            warp[i] = points_[u(j)];
            if (i) j = choices_[static_cast<std::size_t>(i * stride + j)];
            if (j < 0) return;  // the warp itself is on the grid, so this cannot be
        }
        trim();
    }

  private:
    static std::size_t u(Index i) { return static_cast<std::size_t>(i); }

    // The table of choices is kept from pair to pair: memory that is new costs more than what is computed in it.
    static std::vector<std::int32_t> &table() {
        static thread_local std::vector<std::int32_t> choices;
        return choices;
    }
    void trim() {
        if (choices_.capacity() > (1u << 21)) std::vector<std::int32_t>().swap(choices_);
    }

    void begin(Index stride) {
        for (std::vector<double> *row : {&points_, &before_, &costs_, &next_, &share_, &bulge_}) row->resize(u(stride));
        cell_.resize(u(stride));
        grid_low_ = grid_high_ = std::nan("");
        if (pair_.data.loss != Loss::squared || pair_.x_slopes || !columns_.empty()) return;
        // |x(u) - y|^2 within a segment needs the squared distances of its ends only: no features in the inner loop.
        columns_.resize(u(pair_.n * pair_.d)), jumps_.assign(u(pair_.n), 0);
        squares_.resize(u(pair_.n)), rises_.assign(u(pair_.n), 0);
        for (Index c = 0; c < pair_.d; ++c)
            for (Index k = 0; k < pair_.n; ++k) columns_[u(c * pair_.n + k)] = pair_.x[k * pair_.d + c];
        for (Index k = 0; k + 1 < pair_.n; ++k)
            for (Index c = 0; c < pair_.d; ++c) {
                const double rise = pair_.x[(k + 1) * pair_.d + c] - pair_.x[k * pair_.d + c];
                jumps_[u(k)] += rise * rise;
            }
    }

    // Points spread evenly, of which the nearest gives way to the anchor. Returns their number.
    Index fill(double low, double high, Index count, double anchor) {
        Index n = count;
        if (!(high > low)) {
            n = 1, anchor_ = 0, points_[0] = anchor;
        } else {
            const double h = (high - low) / static_cast<double>(count - 1);
            for (Index j = 0; j < count; ++j) points_[u(j)] = low + h * static_cast<double>(j);
            points_[u(count - 1)] = high;
            anchor_ = std::clamp<Index>(std::llround((anchor - low) / h), 0, count - 1);
            points_[u(anchor_)] = anchor;
        }
        std::fill(points_.begin() + n, points_.end(), points_[u(n - 1)]);
        return n;
    }

    // Where the points of an even grid lie in x: the same for all rows of equal bounds.
    void locate(Index j) {
        const double *tau = pair_.x_times, at = before_[u(j)];
        Index k = j ? cell_[u(j - 1)] : objective_.cell_right(at);
        while (k + 2 < pair_.n && tau[k + 1] <= at) ++k;
        const double a = (at - tau[k]) / (tau[k + 1] - tau[k]);
        cell_[u(j)] = static_cast<std::int32_t>(k), share_[u(j)] = a;
        bulge_[u(j)] = columns_.empty() ? 0 : a * (1 - a) * jumps_[u(k)];
    }

    // To the costs of the last row of points.
    void add_nodes(Index i, double low, double high) {
        const double w = objective_.weight(i), *at = before_.data();
        Index k = objective_.cell_right(at[0]);
        if (columns_.empty()) {
            for (Index j = 0; j < count_; ++j) {
                while (k + 2 < pair_.n && pair_.x_times[k + 1] <= at[j]) ++k;
                costs_[u(j)] += objective_.node(i, at[j], k);
            }
            return;
        }
        const Index last = objective_.cell_right(at[count_ - 1]) + 1;  // of the samples that are needed
        std::fill(squares_.begin() + k, squares_.begin() + last + 1, 0.0);
        for (Index c = 0; c < pair_.d; ++c)
            functions_.distances(
                {&squares_[u(k)], last + 1 - k, &columns_[u(c * pair_.n + k)], pair_.y[i * pair_.d + c]});
        for (Index c = k; c < last; ++c) rises_[u(c)] = squares_[u(c + 1)] - squares_[u(c)];
        if (low == grid_low_ && high == grid_high_) {
            locate(grid_anchor_), locate(anchor_);
        } else {
            for (Index j = 0; j < count_; ++j) locate(j);
        }
        grid_low_ = low, grid_high_ = high, grid_anchor_ = anchor_;
        functions_.nodes(
            {costs_.data(), count_, w, squares_.data(), rises_.data(), cell_.data(), share_.data(), bulge_.data()});
        if (pair_.cumulative > 0)
            for (Index j = 0; j < count_; ++j) costs_[u(j)] += w * objective_.cumulative(i, at[j]);
    }

    const Objective &objective_;
    const Pair pair_;
    const GridFunctions &functions_;
    double grid_low_ = 0, grid_high_ = 0;
    Index count_ = 0, anchor_ = 0, grid_anchor_ = 0;
    std::vector<double> columns_, jumps_, squares_, rises_;  // of x, of its segments, of one knot's distances
    std::vector<double> points_, before_, costs_, next_, share_, bulge_;  // of a row of the grid
    std::vector<std::int32_t> cell_;
    std::vector<std::int32_t> &choices_;
};

}  // namespace sdtw::gdtw
