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
// Memory: five tables of n·m doubles for each thread. Work: one sweep forward, one back.
#include <bit>
#include <limits>

#include "padded.hpp"
#include "pairs.hpp"
#include "team.hpp"

namespace sdtw {
namespace {

constexpr double nothing = -1e300;  // exponent of "no path comes here"

struct Number {
    double m = 1, e = nothing;  // m·2^e
};

// 2^e for an integral e <= 0; 0 where that is too small to count.
inline double power_of_two(double e) {
    return e < -1000 ? 0.0 : std::bit_cast<double>(static_cast<std::int64_t>(e + 1023.0) << 52);
}

struct Shares {
    double up, left, diagonal;
};

// What is kept of a cell. Outside the band, and where no path comes, all are 0.
struct Cell {
    Shares share;
    double across, down;  // A[i,j] − A[i,j−1] and A[i,j] − A[i−1,j]; of no use, but finite, where that one is not
};

// One soft cell: Z = 2^exponent · (sum of the predecessors), and the share of each of them in the sum.
inline Number soft_cell(const Number &up, const Number &left, const Number &diagonal, double exponent, Shares &share) {
    const double most = std::max(up.e, std::max(left.e, diagonal.e));
    share = {0, 0, 0};
    if (most <= nothing / 2) return {};
    share = {up.m * power_of_two(up.e - most), left.m * power_of_two(left.e - most),
             diagonal.m * power_of_two(diagonal.e - most)};
    const double sum = share.up + share.left + share.diagonal, part = 1 / sum, whole = std::rint(exponent);
    share = {share.up * part, share.left * part, share.diagonal * part};
    const auto bits = std::bit_cast<std::uint64_t>(sum * std::exp2(exponent - whole));  // a normal number > 0
    const auto shift = static_cast<double>(static_cast<std::int64_t>(bits >> 52) - 1023);
    return {std::bit_cast<double>((bits & 0xfffffffffffffull) | 0x3ff0000000000000ull), most + whole + shift};
}

// One hard cell: the least of the predecessors, kept as m; of equal ones the diagonal, then the one above.
inline Number hard_cell(const Number &up, const Number &left, const Number &diagonal, double cost, Shares &share) {
    const double a = up.e > nothing ? up.m : HUGE_VAL, l = left.e > nothing ? left.m : HUGE_VAL;
    const double d = diagonal.e > nothing ? diagonal.m : HUGE_VAL;
    const bool takes_diagonal = d <= a && d <= l, takes_up = !takes_diagonal && a <= l;
    const double least = takes_diagonal ? d : takes_up ? a : l;
    share = {0, 0, 0};
    if (least == HUGE_VAL) return {};
    share = {takes_up ? 1.0 : 0.0, takes_diagonal || takes_up ? 0.0 : 1.0, takes_diagonal ? 1.0 : 0.0};
    return {least + cost, 0};
}

// The cost of a cell as a function of the difference of its two time steps, and its derivatives there.
struct Local {
    double cost, direction;   // D and V
    double slope, curvature;  // dD/d(x − y) = slope·(x − y), or slope·sign(x − y) for Manhattan costs; and
                              // dV/d(x − y) = slope·w + curvature·(x − y), with w the difference of the directions
};

template <class T> class Sample {
  public:
    Sample(const Padded<T> &batch, const Cotangents<T> &direction, const SecondGradients<T> &out, Index k)
        : batch_(batch), k_(k), n_(batch.x_lengths ? batch.x_lengths[k] : batch.n),
          m_(batch.y_lengths ? batch.y_lengths[k] : batch.m), d_(batch.features),
          gamma_(batch.gammas[batch.one_gamma ? 0 : k]) {
        const Index x = k * batch.n * d_, y = k * batch.m * d_, cells = k * batch.n * batch.m;
        x_ = at(batch.x, x), y_ = at(batch.y, y), costs_ = at(batch.costs, cells);
        wx_ = at(direction.x, x), wy_ = at(direction.y, y), wE_ = at(direction.alignment, cells);
        gx_ = at(out.x, x), gy_ = at(out.y, y), gcosts_ = at(out.costs, cells), ggamma_ = at(out.gamma, k);
        stretch_ = direction.gamma && gamma_ > 0 ? -static_cast<double>(direction.gamma[k]) / gamma_ : 0.0;
    }

    void run(std::vector<Cell> &table) {
        if (static_cast<Index>(table.size()) < n_ * m_) table.resize(static_cast<std::size_t>(n_ * m_));
        forward(table.data());
        backward(table.data());
    }

    // For a sample that cannot be computed.
    void fill_nan() const {
        constexpr T nan = std::numeric_limits<T>::quiet_NaN();
        if (gx_) std::fill_n(gx_, n_ * d_, nan);
        if (gy_) std::fill_n(gy_, m_ * d_, nan);
        for (Index i = 0; gcosts_ && i < n_; ++i) std::fill_n(gcosts_ + i * batch_.m, m_, nan);
        if (ggamma_) *ggamma_ = nan;
    }

  private:
    template <class P> static P *at(P *base, Index offset) { return base ? base + offset : nullptr; }

    // w of one feature of a cell: the difference of the directions.
    double turn(Index i, Index j, Index f) const {
        return (wx_ ? static_cast<double>(wx_[i * d_ + f]) : 0.0) - (wy_ ? static_cast<double>(wy_[j * d_ + f]) : 0.0);
    }
    double difference(Index i, Index j, Index f) const {
        return static_cast<double>(x_[i * d_ + f]) - static_cast<double>(y_[j * d_ + f]);
    }

    Local local(Index i, Index j) const {
        if (costs_) {
            const Index cell = i * batch_.m + j;
            const auto cost = static_cast<double>(costs_[cell]);
            return {cost, (wE_ ? static_cast<double>(wE_[cell]) : 0.0) + stretch_ * cost, 0, 0};
        }
        double square = 0, along = 0;
        const bool manhattan = batch_.cost.kind == CostKind::manhattan;
        for (Index f = 0; f < d_; ++f) {
            const double a = difference(i, j, f), w = turn(i, j, f);
            square += manhattan ? std::fabs(a) : a * a;
            along += manhattan ? static_cast<double>((a > 0) - (a < 0)) * w : a * w;
        }
        Local c{square, 0, 1, 0};
        const double s = batch_.cost.scale;
        switch (batch_.cost.kind) {
            case CostKind::sqeuclidean: c.cost = s * square, c.slope = 2 * s; break;
            case CostKind::euclidean:
                c.cost = std::sqrt(square);
                c.slope = square > 0 ? 1 / c.cost : 0.0;
                c.curvature = square > 0 ? -along / (square * c.cost) : 0.0;
                break;
            case CostKind::gak: {
                const double u = s * square, g = std::exp(-u), rest = 1 - std::expm1(-u);
                c.cost = u + std::log1p(-std::expm1(-u));
                c.slope = 4 * s / rest;
                c.curvature = -8 * s * s * g / (rest * rest) * along;
                break;
            }
            default: break;
        }
        c.direction = c.slope * along + stretch_ * c.cost;
        return c;
    }

    void forward(Cell *table) {
        hard_ = gamma_ == 0 || !(largest_cost() / gamma_ * 1.4426950408889634 < 0x1p50);
        std::vector<Number> above(static_cast<std::size_t>(m_ + 1)), row(above.size());
        above[0] = hard_ ? Number{0, 0} : Number{1, 0};  // the corner
        const double factor = hard_ ? 0.0 : -1 / (ln2 * gamma_);
        for (Index i = 0; i < n_; ++i) {
            std::fill(row.begin(), row.end(), Number{});
            const BandRow band = band_row(batch_.band, i, n_, m_);
            for (Index j = 0; j < m_; ++j) {
                Cell &cell = table[i * m_ + j];
                cell = {};
                if (j < band.begin || j >= band.end) continue;
                const auto u = static_cast<std::size_t>(j);
                const Local c = local(i, j);
                Shares &share = cell.share;
                row[u + 1] = hard_ ? hard_cell(above[u + 1], row[u], above[u], c.cost, share)
                                   : soft_cell(above[u + 1], row[u], above[u], c.cost * factor, share);
                const double p = before_across(&cell, i), q = before_down(&cell, j);
                cell.across = c.direction + share.up * p - (share.up + share.diagonal) * q;
                cell.down = c.direction + share.left * q - (share.left + share.diagonal) * p;
            }
            above.swap(row);
        }
    }

    // Of the cell above, and of the one to the left.
    double before_across(const Cell *cell, Index i) const { return i ? cell[-m_].across : 0.0; }
    static double before_down(const Cell *cell, Index j) { return j ? cell[-1].down : 0.0; }

    double largest_cost() const {
        double most = 0;
        for (Index i = 0; i < n_; ++i)
            for (Index j = 0; j < m_; ++j) most = std::max(most, std::fabs(local(i, j).cost));
        return most;
    }

    void backward(const Cell *table) {
        struct Flow {
            double E = 0, change = 0;
        };
        std::vector<Flow> row(static_cast<std::size_t>(m_)), above(row.size());
        std::vector<double> gx(static_cast<std::size_t>(n_ * d_)), gy(static_cast<std::size_t>(m_ * d_));
        double spread = 0;
        row.back() = {1, 0};
        for (Index i = n_ - 1; i >= 0; --i) {
            std::fill(above.begin(), above.end(), Flow{});
            for (Index j = m_ - 1; j >= 0; --j) {
                const auto u = static_cast<std::size_t>(j);
                const Flow flow = row[u];
                if (gcosts_) gcosts_[i * batch_.m + j] = static_cast<T>(flow.change);
                if (flow.E == 0 && flow.change == 0) continue;
                const Cell *const cell = table + i * m_ + j;
                const Shares &share = cell->share;
                const double p = before_across(cell, i), q = before_down(cell, j);
                auto pass = [&](double part, double excess, Flow &to) {  // excess: A[predecessor] − mean
                    if (part == 0) return;
                    to.E += flow.E * part;
                    to.change += flow.change * part - (hard_ ? 0.0 : flow.E * part * excess / gamma_);
                };
                if (i) pass(share.up, (share.left + share.diagonal) * p - share.left * q, above[u]);
                if (j) pass(share.left, (share.up + share.diagonal) * q - share.up * p, row[u - 1]);
                if (i && j) pass(share.diagonal, -(share.up * p + share.left * q), above[u - 1]);
                const Local c = local(i, j);
                spread += c.cost * flow.change;
                if (costs_) continue;
                for (Index f = 0; f < d_; ++f) {
                    const double a = difference(i, j, f), w = turn(i, j, f);
                    const double g = batch_.cost.kind == CostKind::manhattan
                                         ? flow.change * static_cast<double>((a > 0) - (a < 0))
                                         : (flow.change * c.slope + flow.E * c.curvature) * a + flow.E * c.slope * w;
                    gx[static_cast<std::size_t>(i * d_ + f)] += g;
                    gy[static_cast<std::size_t>(j * d_ + f)] -= g;
                }
            }
            row.swap(above);
        }
        for (std::size_t f = 0; gx_ && f < gx.size(); ++f) gx_[f] = static_cast<T>(gx[f]);
        for (std::size_t f = 0; gy_ && f < gy.size(); ++f) gy_[f] = static_cast<T>(gy[f]);
        if (ggamma_) *ggamma_ = static_cast<T>(gamma_ > 0 ? -spread / gamma_ : 0.0);
    }

    const Padded<T> &batch_;
    const Index k_, n_, m_, d_;
    const double gamma_;
    double stretch_ = 0;  // along the costs themselves: a change of gamma acts as −D/gamma does
    bool hard_ = false;
    const T *x_, *y_, *costs_, *wx_, *wy_, *wE_;
    T *gx_, *gy_, *gcosts_, *ggamma_;
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
        std::vector<Cell> table;
        for (Index k; !stop && (k = next++) < b.count;) {
            Sample<T> sample(b, direction, out, k);
            if (is_usable(b, k))
                sample.run(table);
            else
                sample.fill_nan();
        }
    });
}

#define SDTW_INSTANTIATE(T)                                                                                         \
    template void padded_second_order<T>(const Padded<T> &, const Cotangents<T> &, const SecondGradients<T> &, int, \
                                         std::atomic<bool> &);
SDTW_INSTANTIATE(float)
SDTW_INSTANTIATE(double)

}  // namespace sdtw
