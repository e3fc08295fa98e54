// The optimal path of hard DTW, one pair, in double: a forward pass keeps every sqrt(n)-th row; going back, the rows
// between two of them are filled once more with directions. Memory: about 2·m·sqrt(n).
#include "lanes.hpp"

namespace sdtw {
namespace {

enum Step : unsigned char { diagonal, up, left };

template <class T> double local_cost(const Problem<T> &p, Index i, Index j, Index m) {
    if (p.cost.kind == CostKind::precomputed) return static_cast<double>(p.costs[i * m + j]);
    const T *x = p.x + (p.x_offsets[0] + i) * p.n_features, *y = p.y + (p.y_offsets[0] + j) * p.n_features;
    double sum = 0;
    const bool absolute = p.cost.kind == CostKind::manhattan;
    for (Index k = 0; k < p.n_features; ++k) {
        const double diff = static_cast<double>(x[k]) - static_cast<double>(y[k]);
        sum += absolute ? std::fabs(diff) : diff * diff;
    }
    switch (p.cost.kind) {
        case CostKind::euclidean: return std::sqrt(sum);
        case CostKind::gak: return sum * p.cost.scale + std::log1p(-std::expm1(-sum * p.cost.scale));
        case CostKind::sqeuclidean: return sum * p.cost.scale;
        default: return sum;
    }
}

}  // namespace

template <class T>
std::int64_t optimal_path(const Problem<T> &p, std::int64_t *path, double *value, std::atomic<bool> &stop) {
    const Index n = x_length(p, 0), m = y_length(p, 0);
    const Index stride = std::max<Index>(1, static_cast<Index>(std::sqrt(static_cast<double>(n))));
    const auto width = static_cast<std::size_t>(m);
    const CostBounds<T> bounds(p);
    arithmetic<T>(p, bounds.bound({0, 0}), 0, n, m);  // refuses costs whose sum overflows
    // Fills row i from the row above; of equal predecessors the diagonal one is taken, then the one above.
    auto fill = [&](Index i, const std::vector<double> &above, std::vector<double> &row, Step *steps) {
        std::fill(row.begin(), row.end(), HUGE_VAL);
        const BandRow band = band_row(p.band, i, n, m);
        for (Index j = band.begin; j < band.end; ++j) {
            const auto u = static_cast<std::size_t>(j);
            const double d = j > 0 ? (i > 0 ? above[u - 1] : HUGE_VAL) : (i > 0 ? HUGE_VAL : 0.0);
            const double a = i > 0 ? above[u] : HUGE_VAL, l = j > 0 ? row[u - 1] : HUGE_VAL;
            const bool take_diagonal = d <= a && d <= l, take_up = !take_diagonal && a <= l;
            row[u] = (take_diagonal ? d : take_up ? a : l) + local_cost(p, i, j, m);
            if (steps) steps[j] = take_diagonal ? diagonal : take_up ? up : left;
        }
    };
    std::vector<std::vector<double>> kept;
    std::vector<double> above(width, HUGE_VAL), row(width);
    for (Index i = 0; i < n && !stop; ++i) {
        if (i % stride == 0) kept.push_back(above);
        fill(i, above, row, nullptr);
        above.swap(row);
    }
    *value = above.back();
    std::vector<Step> steps(static_cast<std::size_t>(stride) * width);
    Index length = 0, i = n - 1, j = m - 1;
    for (Index block = (n - 1) / stride; block >= 0 && !stop && *value < HUGE_VAL; --block) {
        above = kept[static_cast<std::size_t>(block)];
        const Index first = block * stride;
        for (Index r = first; r <= i; ++r) {
            fill(r, above, row, steps.data() + (r - first) * m);
            above.swap(row);
        }
        while (i >= first && j >= 0) {
            path[2 * length] = i, path[2 * length + 1] = j;
            ++length;
            const Step step = steps[static_cast<std::size_t>((i - first) * m + j)];
            i -= step != left;
            j -= step != up;
        }
    }
    for (Index a = 0, b = length - 1; a < b; ++a, --b) {
        std::swap(path[2 * a], path[2 * b]);
        std::swap(path[2 * a + 1], path[2 * b + 1]);
    }
    return length;
}

template std::int64_t optimal_path<float>(const Problem<float> &, std::int64_t *, double *, std::atomic<bool> &);
template std::int64_t optimal_path<double>(const Problem<double> &, std::int64_t *, double *, std::atomic<bool> &);

}  // namespace sdtw
