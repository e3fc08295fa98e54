// One step of the dynamic program, for one instruction set: this file is compiled once for each.
//
// The price is a convex function of to[j] - from[k] and both grids increase, so the matrix costs[k] + price is Monge
// and the best k grows with j. Divide and conquer finds it for every 16th j; the rows between scan what is left between
// their neighbours' choices, with one j in each lane: n_from + n_to / 16 columns in all, instead of n_from * n_to.
#include "step.hpp"

#include <algorithm>

#include "../lane.hpp"

namespace sdtw::SDTW_ISA {
namespace {

using gdtw::Index;
using gdtw::infinity;
using gdtw::Loss;
using gdtw::Step;

constexpr int W = lane_count<double>;
constexpr Index block = 16;
using V = Vec<double>;
using M = Mask<double>;

// Of a distance from the middle.
template <Loss loss> SDTW_INLINE V candidate(const Step &s, V costs, V e) {
    if constexpr (loss == Loss::squared) return fma<double>(e * s.scale, e, costs);
    const V size = absolute<double>(e);
    if constexpr (loss == Loss::absolute) return fma<double>(size, splat(s.scale), costs);
    const V inner = e * e, outer = s.arm * (2.0 * size - s.arm);
    return fma<double>(select<double>(size <= s.arm, inner, outer), splat(s.scale), costs);
}

// The best k in [first, last] for one row, or -1.
template <Loss loss> Index search(const Step &s, Index j, Index first, Index last) {
    V best = V{} + infinity, at{};
    V k = V{};
    for (int l = 0; l < W; ++l) k[l] = static_cast<double>(first + l);
    for (Index c = first; c <= last; c += W, k += static_cast<double>(W)) {
        const V value = candidate<loss>(s, load(s.costs + c), (s.to[j] - s.middle) - load(s.from + c));
        const M better = (value < best) & (k <= static_cast<double>(last));
        best = select<double>(better, value, best);
        at = select<double>(better, k, at);
    }
    double least = infinity, place = -1;
    for (int l = 0; l < W; ++l)
        if (best[l] < least || (best[l] == least && best[l] < infinity && at[l] < place))
            least = best[l], place = at[l];
    s.out[j] = least;
    return static_cast<Index>(place);
}

// Rows (j_first, j_last), multiples of the block or the last row, whose choices lie within [first, last].
template <Loss loss> void divide(const Step &s, Index b_first, Index b_last, Index first, Index last) {
    if (b_first > b_last) return;
    const Index b = (b_first + b_last) / 2, j = std::min(b * block, s.n_to - 1);
    // Only this part of the row is within the bounds of the step.
    const double *begin = s.from + first, *end = s.from + last + 1;
    const Index lowest = std::lower_bound(begin, end, s.to[j] - s.high) - s.from;
    const Index highest = std::upper_bound(begin, end, s.to[j] - s.low) - s.from - 1;
    const Index k = lowest <= highest ? search<loss>(s, j, lowest, highest) : -1;
    if (k < 0) s.out[j] = infinity;
    s.choice[j] = static_cast<std::int32_t>(k);
    divide<loss>(s, b_first, b - 1, first, k < 0 ? last : k);
    divide<loss>(s, b + 1, b_last, k < 0 ? first : k, last);
}

template <Loss loss> void between(const Step &s, Index j_first, Index j_last, Index first, Index last) {
    constexpr int vectors = block / W;
    const Index count = j_last - j_first + 1;
    V to[vectors], best[vectors], at[vectors];
    alignas(64) double rows[block];
    for (Index l = 0; l < block; ++l) rows[l] = s.to[std::min(j_first + l, j_last)];
    for (int v = 0; v < vectors; ++v) {
        to[v] = load(rows + v * W);
        best[v] = V{} + infinity;
        at[v] = V{} - 1.0;
    }
    // Every row reaches the columns in the middle; which ones reach those before and after is looked at one by one.
    const double *begin = s.from + first, *end = s.from + last + 1;
    const Index all_first = std::lower_bound(begin, end, s.to[j_last] - s.high) - s.from;
    const Index all_last = std::upper_bound(begin, end, s.to[j_first] - s.low) - s.from - 1;
    auto pass = [&]<bool every>(Index k, Index stop) SDTW_INLINE_LAMBDA {
        for (; k <= stop; ++k) {
            const V costs = splat(s.costs[k]), number = splat(static_cast<double>(k));
            for (int v = 0; v < vectors; ++v) {
                V value = candidate<loss>(s, costs, to[v] - (s.from[k] + s.middle));
                if constexpr (!every) {
                    const V distance = to[v] - s.from[k];
                    value = select<double>((distance >= s.low) & (distance <= s.high), value, V{} + infinity);
                }
                at[v] = select<double>(value < best[v], number, at[v]);
                best[v] = minimum<double>(value, best[v]);
            }
        }
    };
    pass.template operator()<false>(first, std::min(all_first - 1, last));
    pass.template operator()<true>(std::max(first, all_first), all_last);
    pass.template operator()<false>(std::max({first, all_first, all_last + 1}), last);
    for (Index l = 0; l < count; ++l) {
        s.out[j_first + l] = best[l / W][l % W];
        s.choice[j_first + l] = static_cast<std::int32_t>(at[l / W][l % W]);
    }
}

template <Loss loss> void run(const Step &s) {
    const Index last_block = (s.n_to - 1 + block - 1) / block;
    divide<loss>(s, 0, last_block, 0, s.n_from - 1);
    Index first = 0;
    for (Index b = 0; b < last_block; ++b) {
        const Index j0 = b * block, j1 = std::min(j0 + block, s.n_to - 1);
        if (s.choice[j0] >= 0) first = s.choice[j0];
        Index last = s.choice[j1];
        for (Index c = b + 2; last < 0 && c <= last_block; ++c) last = s.choice[std::min(c * block, s.n_to - 1)];
        if (last < 0) last = s.n_from - 1;
        if (j1 - j0 < 2) continue;
        const double *begin = s.from + first, *end = s.from + last + 1;
        const Index lowest = std::lower_bound(begin, end, s.to[j0 + 1] - s.high) - s.from;
        const Index highest = std::upper_bound(begin, end, s.to[j1 - 1] - s.low) - s.from - 1;
        between<loss>(s, j0 + 1, j1 - 1, lowest, highest);
    }
}

}  // namespace

namespace {

void step(const Step &s) {
    if (s.loss == Loss::squared)
        run<Loss::squared>(s);
    else if (s.loss == Loss::absolute)
        run<Loss::absolute>(s);
    else
        run<Loss::huber>(s);
}

// Plain loops, which the compiler turns into vectors and gathers.
void nodes(const gdtw::Nodes &n) {
    double *__restrict costs = n.costs;
    const double *__restrict values = n.values, *__restrict rises = n.rises;
    const double *__restrict share = n.share, *__restrict bulge = n.bulge;
    const std::int32_t *__restrict cell = n.cell;
    for (Index j = 0; j < n.count; ++j) costs[j] += n.weight * (values[cell[j]] + share[j] * rises[cell[j]] - bulge[j]);
}

void distances(const gdtw::Distances &d) {
    double *__restrict squares = d.squares;
    const double *__restrict x = d.x;
    for (Index k = 0; k < d.count; ++k) squares[k] += (x[k] - d.y) * (x[k] - d.y);
}

}  // namespace

extern const gdtw::GridFunctions gdtw_grid;
const gdtw::GridFunctions gdtw_grid = {step, nodes, distances};

}  // namespace sdtw::SDTW_ISA
