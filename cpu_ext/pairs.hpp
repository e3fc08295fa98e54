// Pairs of series: their lengths, the band's rows, and which arithmetic a pair needs.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "region.hpp"

namespace sdtw {

using Index = std::int64_t;

struct PairIndex {
    Index x, y;
};

template <class T> Index x_length(const Problem<T> &p, Index i) { return p.x_offsets[i + 1] - p.x_offsets[i]; }
template <class T> Index y_length(const Problem<T> &p, Index j) { return p.y_offsets[j + 1] - p.y_offsets[j]; }

// Columns begin <= j < end of row i that the band admits, for a table of n x m cells.
struct BandRow {
    Index begin, end;
};
inline Index band_radius(const Band &band, Index n, Index m) {
    if (band.kind == BandKind::sakoe_chiba) return static_cast<Index>(std::min(band.parameter, 1e15));
    // 0.29 of 100 is 28.999999999999996: the small term gives the 29 that was meant.
    return static_cast<Index>(std::floor(band.parameter * static_cast<double>(std::max(n, m)) + 1e-9));
}
inline BandRow band_row(const Band &band, Index i, Index n, Index m) {
    if (band.kind == BandKind::none) return {0, m};
    if (band.kind != BandKind::itakura) {
        const Index radius = band_radius(band, n, m);
        return {std::max<Index>(0, i + std::min<Index>(0, m - n) - radius),
                std::min<Index>(m, i + std::max<Index>(0, m - n) + radius + 1)};
    }
    if (n == 1) return {0, m};
    // Itakura: between lines of slope s and 1/s (of the table's diagonal) through both corners. The small shift keeps
    // cells that lie on a line inside, whatever the rounding.
    const double last_i = static_cast<double>(n - 1), last_j = static_cast<double>(m - 1), row = static_cast<double>(i);
    const double steep = band.parameter * last_j / last_i, flat = last_j / (band.parameter * last_i), shift = 1e-9;
    const double low = std::max(flat * row, last_j - steep * (last_i - row));
    const double high = std::min(steep * row, last_j - flat * (last_i - row));
    return {std::max<Index>(0, static_cast<Index>(std::ceil(low - shift))),
            std::min<Index>(m, static_cast<Index>(std::floor(high + shift)) + 1)};
}

// The range of every feature of every series, to bound the costs of a pair without looking at its cells.
template <class T> class CostBounds {
  public:
    explicit CostBounds(const Problem<T> &problem) : problem_(problem) {
        if (problem.pairing == Pairing::paired) {
            cell_offsets_.push_back(0);
            for (Index k = 0; k < problem.n_x; ++k)
                cell_offsets_.push_back(cell_offsets_.back() + x_length(problem, k) * y_length(problem, k));
        }
        if (problem.cost.kind == CostKind::precomputed) return;
        ranges(problem.x, problem.x_offsets, problem.n_x, x_low_, x_high_);
        ranges(problem.y, problem.y_offsets, problem.n_y, y_low_, y_high_);
    }

    // Where pair k's cells begin in Problem::costs and Gradients::alignment; paired problems only.
    Index cell_offset(Index k) const { return cell_offsets_[static_cast<std::size_t>(k)]; }

    // No cell of the pair costs more, in absolute value.
    double bound(PairIndex pair) const {
        if (problem_.cost.kind == CostKind::precomputed) {
            double largest = 0;
            for (Index i = cell_offset(pair.x); i < cell_offset(pair.x + 1); ++i)
                largest = std::max(largest, std::fabs(static_cast<double>(problem_.costs[i])));
            return largest;
        }
        const Index d = problem_.n_features;
        double squares = 0, sum = 0;
        for (Index k = 0; k < d; ++k) {
            const Index a = pair.x * d + k, b = pair.y * d + k;
            const double reach = std::max(at(x_high_, a) - at(y_low_, b), at(y_high_, b) - at(x_low_, a));
            squares += reach * reach;
            sum += reach;
        }
        switch (problem_.cost.kind) {
            case CostKind::euclidean: return std::sqrt(squares);
            case CostKind::manhattan: return sum;
            case CostKind::gak: return squares * problem_.cost.scale + 0.6931471805599453;
            default: return squares * problem_.cost.scale;
        }
    }

  private:
    static double at(const std::vector<T> &v, Index i) { return static_cast<double>(v[static_cast<std::size_t>(i)]); }

    // The extremes of every feature. They run in a period that is a multiple of the features and wide enough for
    // vectors, and are folded at the end.
    void ranges(const T *values, const std::int64_t *offsets, Index n, std::vector<T> &low, std::vector<T> &high) {
        const Index d = problem_.n_features, period = d * ((15 + d) / d);
        low.reserve(static_cast<std::size_t>(n * d));
        high.reserve(static_cast<std::size_t>(n * d));
        std::vector<T> lowest(static_cast<std::size_t>(period)), highest(lowest);
        for (Index i = 0; i < n; ++i) {
            const T *v = values + offsets[i] * d, *const end = values + offsets[i + 1] * d;
            for (Index k = 0; k < period; ++k) lowest[static_cast<std::size_t>(k)] = v[k % d];
            highest = lowest;
            for (; v != end; v += std::min(period, end - v))
                extend(v, std::min(period, end - v), lowest.data(), highest.data());
            for (Index k = d; k < period; k += d) {
                extend(lowest.data() + k, d, lowest.data(), highest.data());
                extend(highest.data() + k, d, lowest.data(), highest.data());
            }
            low.insert(low.end(), lowest.begin(), lowest.begin() + d);
            high.insert(high.end(), highest.begin(), highest.begin() + d);
        }
    }
    static void extend(const T *__restrict values, Index count, T *__restrict lowest, T *__restrict highest) {
        for (Index k = 0; k < count; ++k) {
            lowest[k] = std::min(lowest[k], values[k]);
            highest[k] = std::max(highest[k], values[k]);
        }
    }

    const Problem<T> &problem_;
    std::vector<T> x_low_, x_high_, y_low_, y_high_;
    std::vector<Index> cell_offsets_;
};

// How a pair is computed. It depends on the pair and gamma alone, so results do not depend on the rest of the batch.
enum class Arithmetic : int {
    own,   // in the type of the input
    wide,  // in double, rounded at the end
    hard,  // in double, and as hard DTW: gamma lies below the rounding of the costs, or there is one path only
};

// float is exact enough while a cell's exponent carries few bits before the point and the sum along a path stays an
// integer that float holds. double is, until the costs are 2^50 gamma; their rounding is then comparable to gamma, and
// the soft minimum to the hard one. infinite gamma is the mean over all paths.
template <class T> Arithmetic arithmetic(const Problem<T> &p, double cost_bound, double gamma, Index n, Index m) {
    const Band &band = p.band;
    const double path = static_cast<double>(n + m);
    if (!(cost_bound * path < 1e300))
        throw std::invalid_argument("the costs are too large: their sum along a path overflows; rescale the series.");
    const double bits = gamma == 0 || std::isinf(gamma) ? 0 : cost_bound / gamma * 1.4426950408889634;
    // With one path the value is the sum of its costs, which 1 − D/gamma would lose in its rounding at large gamma.
    const bool diagonal = band.kind != BandKind::none && band.kind != BandKind::itakura && band_radius(band, n, m) == 0;
    const bool one_path = n == 1 || m == 1 || (n == m && diagonal);
    if (bits > 0x1p50 || (one_path && std::isfinite(gamma))) return Arithmetic::hard;
    if (sizeof(T) == 8) return Arithmetic::own;
    const bool outside = cost_bound * path > 1e37 || cost_bound < 1e-30;
    // The cells of a likely path lie further below the bound when costs are squares.
    const bool linear = p.cost.kind == CostKind::euclidean || p.cost.kind == CostKind::manhattan;
    const double limit = linear ? 0x1p11 : 0x1p14;
    const bool inexact = gamma == 0 ? n + m > 4096 : bits > limit || bits * path > 0x1p23;
    return outside || inexact ? Arithmetic::wide : Arithmetic::own;
}

constexpr double ln2 = 0.69314718055994530942;

// The value of a soft or hard table's cell.
template <class T> double cell_value(T m, T e, double gamma) {
    if (gamma == 0) return static_cast<double>(m);
    if (std::isinf(gamma)) return 0;  // the limit of R itself is not finite; only its derivatives are of use
    if (e < is_nothing<T>) return HUGE_VAL;
    // The mantissa is brought around 1 first: one result for one number, however it was split, and no digits are lost
    // where it is close to 1.
    int shift = 0;
    double mantissa = std::frexp(static_cast<double>(m), &shift);
    if (mantissa < 0.70710678118654752440) mantissa *= 2, --shift;
    return -gamma * ln2 * ((static_cast<double>(e) + shift) + std::log2(mantissa));
}

}  // namespace sdtw
