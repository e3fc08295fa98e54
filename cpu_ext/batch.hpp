// Many pairs of moderate length: one whole pair in each lane, values only.
#pragma once

#include <array>

#include "dispatch.hpp"
#include "lanes.hpp"

namespace sdtw {

// Computes packs of pairs in arithmetic C from series of type S. One object serves one thread.
template <class S, class C> class Batch {
  public:
    explicit Batch(const Problem<S> &problem) : problem_(problem), kernels_(kernels<C>()) {}

    int lanes() const { return kernels_.lanes; }

    // Bytes of memory for pairs up to n x m.
    static Index bytes(const Problem<S> &p, Index n, Index m, Index n_gammas) {
        const Index columns = p.n_features + 2 * std::min<Index>(n_gammas, max_gammas) + 2;
        return (n + m) * columns * kernels<C>().lanes * static_cast<Index>(sizeof(C));
    }

    // put(k, g, value) is called for every pair k < count and gamma g.
    template <class Put> void run(const PairIndex *pairs, int count, const double *gammas, int n_gammas, Put &&put) {
        const int L = lanes();
        Region<C> region{};
        pack(pairs, count, region);
        frontiers_.resize(static_cast<std::size_t>(n_gammas));
        const Index n = region.rows, m = region.cols, each = (2 * n + 2 * m + 2) * L;
        C *memory = edges_.get(each * n_gammas);
        for (int g = 0; g < n_gammas; ++g, memory += each) {
            const bool hard = gammas[g] == 0;
            const C factor = hard ? C(0) : static_cast<C>(-1 / (ln2 * gammas[g]));
            frontiers_[static_cast<std::size_t>(g)] = {memory,
                                                       memory + m * L,
                                                       memory + 2 * m * L,
                                                       memory + (2 * m + n) * L,
                                                       memory + (2 * m + 2 * n) * L,
                                                       memory + (2 * m + 2 * n + 1) * L,
                                                       factor,
                                                       hard};
            Frontier<C> &f = frontiers_[static_cast<std::size_t>(g)];
            const C nothing = hard ? static_cast<C>(HUGE_VAL) : C(1);
            std::fill(f.top_m, f.top_e, nothing);
            std::fill(f.top_e, f.left_m, no_path<C>);
            std::fill(f.left_m, f.left_e, nothing);
            std::fill(f.left_e, f.corner_m, no_path<C>);
            std::fill(f.corner_m, f.corner_m + L, hard ? C(0) : C(1));
            std::fill(f.corner_e, f.corner_e + L, C(0));
        }
        C *end = ends_.get(2 * L * n_gammas);
        region.frontiers = frontiers_.data();
        region.n_gammas = n_gammas;
        region.end_m = end;
        region.end_e = end + L * n_gammas;
        kernels_.forward(region);
        for (int g = 0; g < n_gammas; ++g)
            for (int k = 0; k < count; ++k)
                put(k, g, cell_value(region.end_m[g * L + k], region.end_e[g * L + k], gammas[g]));
    }

  private:
    void pack(const PairIndex *pairs, int count, Region<C> &region) {
        const int L = lanes();
        const Index d = problem_.n_features;
        std::array<const S *, most_lanes> x{}, y{};
        std::array<Index, most_lanes> n{}, m{}, xs{}, ys{};
        bool one_x = true;
        for (int l = 0; l < L; ++l) {
            const PairIndex pair = pairs[l < count ? l : 0];
            const auto u = static_cast<std::size_t>(l);
            xs[u] = pair.x, ys[u] = pair.y;
            x[u] = problem_.x + problem_.x_offsets[pair.x] * d, n[u] = x_length(problem_, pair.x) * d;
            y[u] = problem_.y + problem_.y_offsets[pair.y] * d, m[u] = y_length(problem_, pair.y) * d;
            one_x &= pair.x == pairs[0].x;
            end_row_[u] = static_cast<std::int32_t>(n[u] / d - 1);
            end_col_[u] = static_cast<std::int32_t>(m[u] / d - 1);
        }
        const Index rows = *std::max_element(n.begin(), n.begin() + L) / d;
        const Index cols = *std::max_element(m.begin(), m.begin() + L) / d;
        C *packed_x = x_.get(rows * d * L);
        if (one_x)
            to_all_lanes(packed_x, L, x[0], n[0], rows * d);
        else
            to_lanes(packed_x, L, x.data(), n.data(), rows * d);
        C *packed_y = y_.get(cols * d * L);
        if (ys != packed_ys_) to_lanes(packed_y, L, y.data(), m.data(), cols * d);
        packed_ys_ = ys;
        region.rows = rows, region.cols = cols, region.features = d;
        region.cost = problem_.cost;
        region.x = packed_x, region.y = packed_y;
        region.end_row = end_row_.data(), region.end_col = end_col_.data();
        if (problem_.band.kind == BandKind::none) return;
        C *low = band_.get(2 * rows * L), *high = low + rows * L;
        for (int l = 0; l < L; ++l) {
            const auto u = static_cast<std::size_t>(l);
            band_to_lane(low, high, L, l, problem_.band, n[u] / d, m[u] / d, 0, rows, 0, cols);
        }
        region.low = low, region.high = high;
    }

    const Problem<S> &problem_;
    const Kernels<C> &kernels_;
    Buffer<C> x_, y_, band_, edges_, ends_;
    std::vector<Frontier<C>> frontiers_;
    std::array<std::int32_t, most_lanes> end_row_{}, end_col_{};
    std::array<Index, most_lanes> packed_ys_{{-1}};  // whose series y_ holds: neighbouring packs share them
};

}  // namespace sdtw
