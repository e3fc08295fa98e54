// Second derivatives along the diagonals of a table, for one instruction set: this file is compiled once for each.
// ../second_order.cpp has the formulas.
#include "diagonals.hpp"

#include "../denormals.hpp"
#include "../sweeps.hpp"
#include "../table.hpp"

namespace sdtw::SDTW_ISA {
namespace {

using Index = std::int64_t;
using V = Vec<double>;
using M = Mask<double>;
constexpr int W = lane_count<double>;
static_assert(W <= diagonal_room);

SDTW_INLINE V at(const double *p) { return load<double>(p); }
SDTW_INLINE V only(M mask, V v) { return select<double>(mask, v, V{}); }

SDTW_INLINE V counting(Index from) {
    V v{};
    for (int l = 0; l < W; ++l) v[l] = static_cast<double>(from + l);
    return v;
}

// The costs of a vector of cells as functions of the differences a of their time steps, which move by w.
struct Local {
    V cost, direction;   // D and V
    V slope, curvature;  // dD/da = slope·a, or slope·sign(a) for Manhattan costs; dV/da = slope·w + curvature·a
};

template <CostKind kind> Local local(const Diagonals &s, Index i, Index r, Index cell) {
    if constexpr (kind == CostKind::precomputed) {
        const V cost = at(s.costs + cell);
        return {cost, at(s.V + cell) + s.stretch * cost, V{}, V{}};
    } else {
        V sum{}, along{};
        for (Index f = 0; f < s.features; ++f) {
            const V a = at(s.x + f * s.x_row + i) - at(s.y + f * s.y_row + r);
            V w{};
            if (s.wx) w += at(s.wx + f * s.x_row + i);
            if (s.wy) w -= at(s.wy + f * s.y_row + r);
            sum = add_feature<double, kind>(sum, a);
            if constexpr (kind == CostKind::manhattan)
                along += select<double>(a > 0.0, w, select<double>(a < 0.0, -w, V{}));
            else
                along = fma<double>(a, w, along);
        }
        const double scale = s.cost.scale;
        Local c{sum, V{}, V{} + 1.0, V{}};
        if constexpr (kind == CostKind::sqeuclidean) {
            c.cost = scale * sum;
            c.slope = V{} + 2 * scale;
        } else if constexpr (kind == CostKind::euclidean) {
            c.cost = square_root<double>(sum);
            c.slope = only(sum > 0.0, 1.0 / c.cost);
            c.curvature = only(sum > 0.0, -along / (sum * c.cost));
        } else if constexpr (kind == CostKind::gak) {
            const V u = scale * sum, h = one_minus_exp<double>(u), rest = 1.0 + h;
            c.cost = u + log1p_unit<double>(h);
            c.slope = 4 * scale / rest;
            c.curvature = -8 * scale * scale * (1.0 - h) / (rest * rest) * along;
        }
        c.direction = fma<double>(c.slope, along, s.stretch * c.cost);
        return c;
    }
}

// Some numbers for each row of one diagonal: `count` arrays, of three diagonals in turn.
template <int count> class Rolling {
  public:
    Rolling(double *memory, Index n) : memory_(memory), row_(n + 2 * diagonal_room) {}
    void fill(int array, double value) const {
        for (int turn = 0; turn < 3; ++turn)
            for (Index i = 0; i < row_; ++i) memory_[(turn * count + array) * row_ + i] = value;
    }
    double *row(Index k, int array) const { return memory_ + ((k % 3) * count + array) * row_ + diagonal_room; }

  private:
    double *memory_;
    Index row_;
};

enum : int { up, left, diagonal, across, down, kept };  // of a cell, in the table

M on_diagonal(const Diagonals &s, Index k, Index i) { return counting(i) <= static_cast<double>(s.last(k)); }

// On the diagonal and inside the band.
M inside(const Diagonals &s, Index k, Index i) {
    if (!s.low) return on_diagonal(s, k, i);
    const V j = static_cast<double>(k) - counting(i);
    return on_diagonal(s, k, i) & (j >= at(s.low + i)) & (j < at(s.high + i));
}

template <CostKind kind, bool hard> void forward(const Diagonals &s) {
    enum { factor, exponent, from_left, from_above };  // of Z = factor·2^exponent (hard: R, as factor); A's differences
    constexpr double nothing = hard ? __builtin_inf() : 1.0;
    const Rolling<4> rolling(s.rolling, s.n);
    rolling.fill(factor, nothing);
    rolling.fill(exponent, no_path<double>);
    rolling.fill(from_left, 0.0), rolling.fill(from_above, 0.0);
    rolling.row(1, factor)[-1] = hard ? 0.0 : 1.0;  // the corner, on the diagonal two before the first
    rolling.row(1, exponent)[-1] = 0.0;
    const Index cells = s.n * s.m + diagonal_room;
    Index offset = 0;
    for (Index k = 0; k < s.n + s.m - 1; ++k) {
        const double *const z = rolling.row(k + 2, factor), *const e = rolling.row(k + 2, exponent);
        const double *const corner_z = rolling.row(k + 1, factor), *const corner_e = rolling.row(k + 1, exponent);
        const double *const p_above = rolling.row(k + 2, from_left), *const q_left = rolling.row(k + 2, from_above);
        double *const new_z = rolling.row(k, factor), *const new_e = rolling.row(k, exponent);
        double *const new_p = rolling.row(k, from_left), *const new_q = rolling.row(k, from_above);
        for (Index i = s.first(k); i <= s.last(k); i += W) {
            const Index cell = offset + i - s.first(k);
            const Local c = local<kind>(s, i, i + s.m - 1 - k, cell);
            M in = inside(s, k, i);
            V u, l, d, value, power{};
            if constexpr (hard) {
                // Of equals the diagonal one, then the one above.
                u = at(z + i - 1), l = at(z + i), d = at(corner_z + i - 1);
                const V least = minimum<double>(minimum<double>(u, l), d);
                const M by_diagonal = d <= least, by_up = (u <= least) & ~by_diagonal;
                in &= least < __builtin_inf();
                value = least + c.cost;
                u = only(by_up, V{} + 1.0), d = only(by_diagonal, V{} + 1.0);
                l = only(~(by_diagonal | by_up), V{} + 1.0);
            } else {
                const V eu = at(e + i - 1), el = at(e + i), ed = at(corner_e + i - 1);
                const V most = maximum<double>(maximum<double>(eu, el), ed);
                u = scale<double>(at(z + i - 1), eu - most), l = scale<double>(at(z + i), el - most);
                d = scale<double>(at(corner_z + i - 1), ed - most);
                const V sum = (u + l) + d, part = 1.0 / sum;
                in &= most > is_nothing<double>;
                u *= part, l *= part, d *= part;
                const V whole = split_exponent<double>(c.cost, s.factor) - Lanes<double>::magic;
                const V f = fma<double>(c.cost, V{} + s.factor, -whole);
                V shift;
                normalise<double>(sum * fma<double>(exp2_slope<double>(f), f, V{} + 1.0), value, shift);
                power = (most + whole) + shift;
            }
            u = only(in, u), l = only(in, l), d = only(in, d);
            const V p = at(p_above + i - 1), q = at(q_left + i);
            double *const kept_here = s.table + cell;
            store<double>(kept_here + up * cells, u), store<double>(kept_here + left * cells, l);
            store<double>(kept_here + diagonal * cells, d);
            store<double>(kept_here + across * cells, p), store<double>(kept_here + down * cells, q);
            store<double>(new_z + i, select<double>(in, value, V{} + nothing));
            store<double>(new_e + i, select<double>(in, power, V{} + no_path<double>));
            store<double>(new_p + i, only(in, c.direction + (u * p - (u + d) * q)));
            store<double>(new_q + i, only(in, c.direction + (l * q - (l + d) * p)));
        }
        offset += s.last(k) - s.first(k) + 1;
        rolling.row(1, factor)[-1] = nothing;
        rolling.row(1, exponent)[-1] = no_path<double>;
    }
}

template <CostKind kind> void backward(Diagonals &s) {
    enum {
        E_up,
        E_left,
        E_diagonal,
        change_up,
        change_left,
        change_diagonal
    };  // what a cell sends to each predecessor
    const Rolling<6> rolling(s.rolling, s.n);
    for (int array = 0; array < 6; ++array) rolling.fill(array, 0.0);
    const Index cells = s.n * s.m + diagonal_room;
    Index offset = s.n * s.m;
    V spread{};
    for (Index k = s.n + s.m - 2; k >= 0; --k) {
        offset -= s.last(k) - s.first(k) + 1;
        for (Index i = s.first(k); i <= s.last(k); i += W) {
            const Index cell = offset + i - s.first(k), r = i + s.m - 1 - k;
            const M in = inside(s, k, i);
            auto gather = [&](int u, int l, int d) SDTW_INLINE_LAMBDA {
                return only(in, (at(rolling.row(k + 1, u) + i + 1) + at(rolling.row(k + 1, l) + i)) +
                                    at(rolling.row(k + 2, d) + i + 1));
            };
            V E = gather(E_up, E_left, E_diagonal);
            const V change = gather(change_up, change_left, change_diagonal);
            if (k == s.n + s.m - 2) E[0] = 1;
            const double *const kept_here = s.table + cell;
            const V u = at(kept_here + up * cells), l = at(kept_here + left * cells);
            const V d = at(kept_here + diagonal * cells);
            // A[predecessor] − mean of A, over gamma
            const V p = s.inverse_gamma * at(kept_here + across * cells);
            const V q = s.inverse_gamma * at(kept_here + down * cells);
            auto send = [&](int flow, int turn, V share, V excess) SDTW_INLINE_LAMBDA {
                store<double>(rolling.row(k, flow) + i, only(in, E * share));
                store<double>(rolling.row(k, turn) + i, only(in, share * (change - E * excess)));
            };
            send(E_up, change_up, u, (l + d) * p - l * q);
            send(E_left, change_left, l, (u + d) * q - u * p);
            send(E_diagonal, change_diagonal, d, -(u * p + l * q));
            const Local c = local<kind>(s, i, r, cell);
            spread = fma<double>(only(in, c.cost), change, spread);
            if (s.change)
                store<double>(s.change + cell, select<double>(on_diagonal(s, k, i), change, at(s.change + cell)));
            if constexpr (kind != CostKind::precomputed) {
                for (Index f = 0; f < s.features; ++f) {
                    const V a = at(s.x + f * s.x_row + i) - at(s.y + f * s.y_row + r);
                    V g;
                    if constexpr (kind == CostKind::manhattan) {
                        g = select<double>(a > 0.0, change, select<double>(a < 0.0, -change, V{}));
                    } else {
                        V w{};
                        if (s.wx) w += at(s.wx + f * s.x_row + i);
                        if (s.wy) w -= at(s.wy + f * s.y_row + r);
                        g = fma<double>(fma<double>(change, c.slope, E * c.curvature), a, E * c.slope * w);
                    }
                    g = only(in, g);
                    double *const gx = s.grad_x + f * s.x_row + i, *const gy = s.grad_y + f * s.y_row + r;
                    store<double>(gx, at(gx) + g);
                    store<double>(gy, at(gy) - g);
                }
            }
        }
    }
    s.spread = 0;
    for (int l = 0; l < W; ++l) s.spread += spread[l];
}

template <CostKind kind> void both(Diagonals &s) {
    s.hard ? forward<kind, true>(s) : forward<kind, false>(s);
    backward<kind>(s);
}

void run(Diagonals &s) {
    FlushDenormals guard;
    switch (s.cost.kind) {
        case CostKind::euclidean: return both<CostKind::euclidean>(s);
        case CostKind::manhattan: return both<CostKind::manhattan>(s);
        case CostKind::gak: return both<CostKind::gak>(s);
        case CostKind::precomputed: return both<CostKind::precomputed>(s);
        default: return both<CostKind::sqeuclidean>(s);
    }
}

}  // namespace

const SecondOrderKernel second_order = run;

}  // namespace sdtw::SDTW_ISA
