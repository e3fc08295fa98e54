// Derivatives of gradients, one sample at a time, in double.
//
// In a direction V on the costs, every R[i,j] changes by A[i,j] = V[i,j] + sum over predecessors of share·A[predecessor].
// The share w of a predecessor p in a cell changes by −(w/gamma)·(A[p] − mean of A over the predecessors), and with it
// the alignment E, which flows back along the shares: its change H·V is carried along.
//
// A itself is never formed: divided by a small gamma, the rounding of its differences would be all that is left. Kept
// are the differences to the neighbours, which follow from those of the cells above and to the left: with shares u, l, d,
//   p = A − A[left] = V + u·p[above] − (u + d)·q[left],   q = A − A[above] = V + l·q[left] − (l + d)·p[above],
// and the same two numbers give every A[predecessor] − mean; all are exactly 0 where one share is 1.
//
// Memory: five tables of n·m doubles for each thread. Work: one sweep forward, one back, along the diagonals
// (second_order/kernel.cpp).
#include "dispatch.hpp"
#include "lanes.hpp"
#include "padded.hpp"
#include "pairs.hpp"
#include "team.hpp"

namespace sdtw {
namespace {

// One thread's memory, and the samples one after the other in it.
template <class T> class Samples {
  public:
    Samples(const Padded<T> &batch, const Cotangents<T> &direction, const SecondGradients<T> &out)
        : batch_(batch), direction_(direction), out_(out) {}

    void run(Index k) {
        const Index n = length_x(batch_, k), m = length_y(batch_, k), d = batch_.features;
        const double gamma = batch_.gammas[batch_.one_gamma ? 0 : k];
        const bool hard = is_hard(k, gamma);
        arena_.reset();
        Diagonals s{};
        s.n = n, s.m = m, s.features = d;
        s.cost = batch_.cost;
        s.hard = hard;
        s.factor = hard ? 0.0 : -1 / (ln2 * gamma);
        s.inverse_gamma = hard ? 0.0 : 1 / gamma;
        s.stretch = direction_.gamma && gamma > 0 ? -static_cast<double>(direction_.gamma[k]) / gamma : 0.0;
        s.x_row = n + diagonal_room, s.y_row = m + diagonal_room;
        const Index cells = n * m + diagonal_room;
        if (batch_.costs) {
            s.costs = by_diagonals(batch_.costs, k, n, m);
            s.V = by_diagonals(direction_.alignment, k, n, m);
            s.change = numbers(cells);
        } else {
            s.x = by_features(batch_.x, k * batch_.n, n, false);
            s.wx = by_features(direction_.x, k * batch_.n, n, false);
            s.y = by_features(batch_.y, k * batch_.m, m, true), s.wy = by_features(direction_.y, k * batch_.m, m, true);
            s.grad_x = numbers(d * s.x_row), s.grad_y = numbers(d * s.y_row);
        }
        if (batch_.band.kind != BandKind::none) {
            double *const low = numbers(s.x_row), *const high = numbers(s.x_row);
            for (Index i = 0; i < n; ++i) {
                const BandRow row = band_row(batch_.band, i, n, m);
                low[i] = static_cast<double>(row.begin), high[i] = static_cast<double>(row.end);
            }
            s.low = low, s.high = high;
        }
        s.table = arena_.take<double>(5 * cells);
        s.rolling = arena_.take<double>(Diagonals::rolling_size(n));
        second_order_kernel()(s);
        write(s, k);
        if (out_.gamma) out_.gamma[k] = static_cast<T>(gamma > 0 ? -s.spread / gamma : 0.0);
    }

  private:
    double *numbers(Index count) {
        double *const zeros = arena_.take<double>(count);
        std::fill_n(zeros, count, 0.0);
        return zeros;
    }

    // As the engine decides for the sample's gradient.
    bool is_hard(Index k, double gamma) const {
        const Index n = length_x(batch_, k), m = length_y(batch_, k), d = batch_.features;
        const std::int64_t x_offsets[] = {0, n}, y_offsets[] = {0, m};
        const auto from = [](const T *base, Index offset) { return base ? base + offset : nullptr; };
        const Problem<T> problem{from(batch_.x, k * batch_.n * d),
                                 from(batch_.y, k * batch_.m * d),
                                 x_offsets,
                                 y_offsets,
                                 1,
                                 1,
                                 d,
                                 from(batch_.costs, k * batch_.n * batch_.m),
                                 Pairing::paired,
                                 batch_.cost,
                                 batch_.band};
        double bound = 0;
        for (Index i = 0; batch_.costs && i < n; ++i)  // rows of a padded matrix
            for (Index j = 0; j < m; ++j)
                bound = std::max(bound, std::fabs(static_cast<double>(problem.costs[i * batch_.m + j])));
        if (!batch_.costs) bound = CostBounds<T>(problem).bound({0, 0});
        return gamma == 0 || arithmetic<T>(problem, bound, gamma, n, m) == Arithmetic::hard;
    }

    // A series by features, forward or reversed; null stays null.
    const double *by_features(const T *series, Index first, Index length, bool reversed) {
        if (!series) return nullptr;
        const Index d = batch_.features, row = length + diagonal_room;
        double *const out = numbers(d * row);
        for (Index t = 0; t < length; ++t)
            for (Index f = 0; f < d; ++f)
                out[f * row + (reversed ? length - 1 - t : t)] = static_cast<double>(series[(first + t) * d + f]);
        return out;
    }

    // Calls visit(cell of the diagonals, cell of the padded matrix).
    template <class Visit> void each_cell(Index k, Index n, Index m, Visit &&visit) const {
        Index cell = 0;
        for (Index step = 0; step < n + m - 1; ++step)
            for (Index i = std::max<Index>(0, step - m + 1); i <= std::min(step, n - 1); ++i, ++cell)
                visit(cell, (k * batch_.n + i) * batch_.m + step - i);
    }
    const double *by_diagonals(const T *matrix, Index k, Index n, Index m) {
        double *const out = numbers(n * m + diagonal_room);
        if (matrix) each_cell(k, n, m, [&](Index to, Index from) { out[to] = static_cast<double>(matrix[from]); });
        return out;
    }

    void write(const Diagonals &s, Index k) const {
        const Index d = batch_.features;
        auto series = [&](const double *found, Index row, T *target, Index first, Index length, bool reversed) {
            for (Index t = 0; target && t < length; ++t)
                for (Index f = 0; f < d; ++f)
                    target[(first + t) * d + f] = static_cast<T>(found[f * row + (reversed ? length - 1 - t : t)]);
        };
        series(s.grad_x, s.x_row, out_.x, k * batch_.n, s.n, false);
        series(s.grad_y, s.y_row, out_.y, k * batch_.m, s.m, true);
        if (out_.costs)
            each_cell(k, s.n, s.m, [&](Index from, Index to) { out_.costs[to] = static_cast<T>(s.change[from]); });
    }

    const Padded<T> &batch_;
    const Cotangents<T> &direction_;
    const SecondGradients<T> &out_;
    Arena arena_;
};

}  // namespace

template <class T>
void padded_second_order(const Padded<T> &b, const Cotangents<T> &direction, const SecondGradients<T> &out,
                         int n_threads, std::atomic<bool> &stop) {
    if (out.x) std::fill_n(out.x, b.count * b.n * b.features, T(0));
    if (out.y) std::fill_n(out.y, b.count * b.m * b.features, T(0));
    if (out.costs) std::fill_n(out.costs, b.count * b.n * b.m, T(0));
    std::atomic<Index> next{0};
    run_team(static_cast<int>(std::min<Index>(n_threads, b.count)), stop, [&](int) {
        Samples<T> samples(b, direction, out);
        for (Index k; !stop && (k = next++) < b.count;)
            if (is_usable(b, k))
                samples.run(k);
            else
                fill_nan(b, PaddedGradients<T>{nullptr, out.x, out.y, out.gamma, out.costs}, k);
    });
}

#define SDTW_INSTANTIATE(T)                                                                                         \
    template void padded_second_order<T>(const Padded<T> &, const Cotangents<T> &, const SecondGradients<T> &, int, \
                                         std::atomic<bool> &);
SDTW_INSTANTIATE(float)
SDTW_INSTANTIATE(double)

}  // namespace sdtw
