// The kernels of one instruction set: this file is compiled once for each, with SDTW_ISA as the namespace.
// Only plain functions leave it, through a table; it instantiates nothing of the standard library that another object
// file could pick up (code for a newer instruction set must not be linked into a path that an older machine takes).
#include "denormals.hpp"
#include "sweeps.hpp"
#include "table.hpp"

namespace sdtw::SDTW_ISA {
namespace {

// Tries the sweep with a shared exponent; where the range does not allow it, the slow one. After a try that went
// through the tile in vain, a growing number of tiles goes without. Both sweeps give the same bits, so what one lane
// needs never shows in another.
template <class T, int rows, class Sink>
void soft(const T *cost, int cols, Frontier<T> &frontier, Edges<T> &edges, const T *low, const T *high, T first_col,
          const Sink &sink) {
    if (frontier.wait) {
        --frontier.wait;
    } else if (!low) {
        Outcome outcome = soft_shared<T, rows>(cost, cols, frontier.factor, edges, sink);
        if (outcome != Outcome::left_range) frontier.patience = 0;
        if (outcome == Outcome::done) return;
        if (outcome == Outcome::left_range)
            frontier.wait = frontier.patience = frontier.patience < 16 ? 2 * frontier.patience + 1 : 31;
    }
    soft_slow<T, rows>(cost, cols, frontier.factor, edges, low, high, first_col, sink);
}

template <class T> void clear(T *m, T *e, std::int64_t from, std::int64_t to, bool hard) {
    constexpr int L = lane_count<T>;
    for (std::int64_t i = from * L; i < to * L; ++i) {
        m[i] = hard ? static_cast<T>(__builtin_inf()) : T(1);
        e[i] = no_path<T>;
    }
}

struct Span {
    std::int64_t begin, end;
};

// Columns of rows r0 .. r0 + rows that any lane's band touches, in whole tiles.
template <class T> Span visited(const Region<T> &region, std::int64_t r0, int rows) {
    if (!region.low) return {0, region.cols};
    constexpr int L = lane_count<T>;
    T low = static_cast<T>(region.cols), high = T(0);
    for (std::int64_t i = r0 * L; i < (r0 + rows) * L; ++i) {
        if (region.low[i] >= region.high[i]) continue;
        low = region.low[i] < low ? region.low[i] : low;
        high = region.high[i] > high ? region.high[i] : high;
    }
    std::int64_t begin = low > T(0) ? static_cast<std::int64_t>(low) : 0, end = static_cast<std::int64_t>(high);
    if (end > region.cols) end = region.cols;
    if (begin >= end) return {region.cols, region.cols};
    return {begin - begin % tile_cols, end};
}

template <class T> bool band_cuts(const Region<T> &region, std::int64_t r0, int rows, std::int64_t c0, int cols) {
    if (!region.low) return false;
    constexpr int L = lane_count<T>;
    for (std::int64_t i = r0 * L; i < (r0 + rows) * L; ++i)
        if (region.low[i] > static_cast<T>(c0) || region.high[i] < static_cast<T>(c0 + cols)) return true;
    return false;
}

template <class T> bool has_end(const Region<T> &region, std::int64_t r0, int rows, std::int64_t c0, int cols) {
    for (int l = 0; l < lane_count<T>; ++l)
        if (region.end_row[l] >= r0 && region.end_row[l] < r0 + rows && region.end_col[l] >= c0 &&
            region.end_col[l] < c0 + cols)
            return true;
    return false;
}

// Copies a tile into an array of the whole region.
template <class T, int rows>
void keep_tile(const Region<T> &region, std::int64_t r0, std::int64_t c0, int cols, const T *tile, T *kept) {
    constexpr int L = lane_count<T>;
    for (int r = 0; r < rows; ++r)
        std::memcpy(kept + ((r0 + r) * region.cols + c0) * L, tile + r * tile_cols * L, cols * L * sizeof(T));
}

// One strip of `rows` rows from left to right. `known_from`: columns below it hold nothing of the row above.
template <class T, int rows>
void strip(Region<T> &region, std::int64_t r0, Reversal<T> *reversal, std::int64_t &known_from) {
    constexpr int L = lane_count<T>;
    Span span = visited(region, r0, rows);
    if (reversal)
        for (std::int64_t r = r0; r < r0 + rows; ++r) {
            reversal->span[2 * r] = static_cast<std::int32_t>(span.begin);
            reversal->span[2 * r + 1] = static_cast<std::int32_t>(span.end);
        }
    Scaled<T> corners[max_gammas];
    for (int g = 0; g < region.n_gammas; ++g) {
        Frontier<T> &f = region.frontiers[g];
        corners[g] = load_scaled<T>(f.corner_m, f.corner_e, 0);
        Scaled<T> below = load_scaled<T>(f.left_m, f.left_e, r0 + rows - 1);
        store_scaled<T>(f.corner_m, f.corner_e, 0, below.m, below.e);
        if (span.begin == 0) continue;
        clear<T>(f.left_m, f.left_e, r0, r0 + rows, f.hard);
        if (span.begin > known_from)
            corners[g] = load_scaled<T>(f.top_m, f.top_e, span.begin - 1);
        else
            corners[g] = load_scaled<T>(f.left_m, f.left_e, r0);
    }
    alignas(64) T cost[rows * tile_cols * L];
    for (std::int64_t c0 = span.begin; c0 < span.end; c0 += tile_cols) {
        const int cols = static_cast<int>(span.end - c0 < tile_cols ? span.end - c0 : tile_cols);
        const bool cut = band_cuts(region, r0, rows, c0, cols);
        const T *low = cut ? region.low + r0 * L : nullptr, *high = cut ? region.high + r0 * L : nullptr;
        if (reversal) {
            alignas(64) T slope[rows * tile_cols * L];
            cost_tile<T, rows, true>(region, r0, c0, cols, cost, slope);
            if (reversal->cost) keep_tile<T, rows>(region, r0, c0, cols, cost, reversal->cost);
            if (slope_varies(region.cost.kind)) keep_tile<T, rows>(region, r0, c0, cols, slope, reversal->slope);
        } else {
            cost_tile<T, rows, false>(region, r0, c0, cols, cost, nullptr);
        }
        const bool ends = !reversal && has_end(region, r0, rows, c0, cols);
        for (int g = 0; g < region.n_gammas; ++g) {
            Frontier<T> &f = region.frontiers[g];
            Edges<T> edges{f.top_m + c0 * L, f.top_e + c0 * L, f.left_m + r0 * L, f.left_e + r0 * L, corners[g]};
            corners[g] = load_scaled<T>(edges.top_m, edges.top_e, cols - 1);
            auto sweep = [&](const auto &sink) {
                if (f.hard)
                    hard<T, rows>(cost, cols, edges, low, high, static_cast<T>(c0), sink);
                else
                    soft<T, rows>(cost, cols, f, edges, low, high, static_cast<T>(c0), sink);
            };
            if (reversal) {
                std::int64_t at = (r0 * region.cols + c0) * L;
                sweep(WeightSink<T>{reversal->weight_up + at, reversal->weight_left + at, reversal->weight_diag + at,
                                    region.cols});
            } else if (ends) {
                alignas(64) T m[rows * tile_cols * L], e[rows * tile_cols * L];
                sweep(ValueSink<T>{m, e});
                for (int l = 0; l < L; ++l) {
                    std::int64_t r = region.end_row[l] - r0, c = region.end_col[l] - c0;
                    if (r < 0 || r >= rows || c < 0 || c >= cols) continue;
                    region.end_m[g * L + l] = m[(r * tile_cols + c) * L + l];
                    region.end_e[g * L + l] = e[(r * tile_cols + c) * L + l];
                }
            } else {
                sweep(NoSink{});
            }
        }
    }
    known_from = span.begin;
    if (span.end < region.cols)
        for (int g = 0; g < region.n_gammas; ++g)
            clear<T>(region.frontiers[g].left_m, region.frontiers[g].left_e, r0, r0 + rows, region.frontiers[g].hard);
}

template <class T> void sweep_region(Region<T> &region, Reversal<T> *reversal) {
    std::int64_t r = 0, known_from = 0;
    for (; r + sweep_rows <= region.rows; r += sweep_rows) strip<T, sweep_rows>(region, r, reversal, known_from);
    for (; r < region.rows; ++r) strip<T, 1>(region, r, reversal, known_from);
    for (int g = 0; g < region.n_gammas; ++g)
        clear<T>(region.frontiers[g].top_m, region.frontiers[g].top_e, 0, known_from, region.frontiers[g].hard);
}

template <class T> void forward(Region<T> &region) {
    FlushDenormals guard;
    sweep_region<T>(region, nullptr);
}

// Sends E back through one row, from right to left. pending: what row i + 1 sent to the cell left of (i, 0).
template <class T>
void reverse_row(const Region<T> &region, Reversal<T> &back, std::int64_t i, Vec<T> &pending) {
    constexpr int L = lane_count<T>;
    const std::int64_t begin = back.span[2 * i], end = back.span[2 * i + 1], at = i * region.cols * L;
    const T *up = back.weight_up + at, *left = back.weight_left + at, *diag = back.weight_diag + at;
    T *row = back.alignment + at;
    bool seeded = false;
    for (int l = 0; l < L; ++l) seeded |= region.end_row[l] == i;
    Vec<T> from_right{}, sent{};
    if (end == region.cols) {
        T *last = back.below_diag + (end - 1) * L;
        store<T>(last, load<T>(last) + load<T>(back.right_diag + i * L));
        from_right = load<T>(back.right_left + i * L);
    }
    for (std::int64_t c = end - 1; c >= begin; --c) {
        // The cell to the left waits for one fused operation only.
        const Vec<T> weight = load<T>(left + c * L);
        Vec<T> from_below = load<T>(back.below_up + c * L) + load<T>(back.below_diag + c * L);
        if (seeded)
            for (int l = 0; l < L; ++l)
                if (region.end_row[l] == i && region.end_col[l] == c) from_below[l] += T(1);
        const Vec<T> e = from_below + from_right;
        from_right = fma<T>(from_right, weight, from_below * weight);
        store<T>(row + c * L, e);
        store<T>(back.below_diag + c * L, sent);
        store<T>(back.below_up + c * L, e * load<T>(up + c * L));
        sent = e * load<T>(diag + c * L);
    }
    const bool reaches_left = begin == 0 && end > 0;
    if (!reaches_left && begin < end) store<T>(back.below_diag + (begin - 1) * L, sent);
    store<T>(back.right_left + i * L, reaches_left ? from_right : Vec<T>{});
    store<T>(back.right_diag + i * L, pending);
    pending = reaches_left ? sent : Vec<T>{};
}

// Adds weight·(x_i − y_j) of `rows` rows to the gradients, weight = E or, where the slope varies, E·slope.
template <class T, bool sign, bool with_y, int rows>
void accumulate(const Region<T> &region, const Reversal<T> &back, std::int64_t i) {
    constexpr int L = lane_count<T>;
    const std::int64_t d = region.features, stride = region.cols * L;
    const std::int64_t begin = back.span[2 * i], end = back.span[2 * i + 1];
    const T *const weight = (slope_varies(region.cost.kind) ? back.slope : back.alignment) + i * stride;
    for (std::int64_t k = 0; k < d; ++k) {
        Vec<T> x[rows], sum[rows];
        for (int r = 0; r < rows; ++r) {
            x[r] = load<T>(region.x + ((i + r) * d + k) * L);
            sum[r] = Vec<T>{};
        }
        const T *const y = region.y + k * L;
        T *const grad_y = with_y ? back.grad_y + k * L : nullptr;
        for (std::int64_t c = begin; c < end; ++c) {
            const Vec<T> yc = load<T>(y + c * d * L);
            Vec<T> column{};
            if constexpr (with_y) column = load<T>(grad_y + c * d * L);
            for (int r = 0; r < rows; ++r) {
                Vec<T> diff = x[r] - yc, w = load<T>(weight + r * stride + c * L);
                if constexpr (sign)
                    diff = select<T>(diff > T(0), splat<T>(T(1)), select<T>(diff < T(0), splat<T>(T(-1)), Vec<T>{}));
                sum[r] = fma<T>(w, diff, sum[r]);
                if constexpr (with_y) column = fma<T>(-w, diff, column);
            }
            if constexpr (with_y) store<T>(grad_y + c * d * L, column);
        }
        for (int r = 0; r < rows; ++r) {
            T *gx = back.grad_x + ((i + r) * d + k) * L;
            store<T>(gx, load<T>(gx) + sum[r]);
        }
    }
}

template <class T, bool sign, bool with_y> void accumulate_all(const Region<T> &region, Reversal<T> &back) {
    constexpr int L = lane_count<T>;
    for (std::int64_t i = 0; i < region.rows && slope_varies(region.cost.kind); ++i) {
        const std::int64_t row = i * region.cols;
        for (std::int64_t c = (row + back.span[2 * i]) * L; c < (row + back.span[2 * i + 1]) * L; c += L)
            store<T>(back.slope + c, load<T>(back.slope + c) * load<T>(back.alignment + c));
    }
    std::int64_t i = 0;  // in the strips of the sweep, whose rows share one span
    for (; i + sweep_rows <= region.rows; i += sweep_rows) accumulate<T, sign, with_y, sweep_rows>(region, back, i);
    for (; i < region.rows; ++i) accumulate<T, sign, with_y, 1>(region, back, i);
}

template <class T> void backward(Region<T> &region, Reversal<T> &back) {
    FlushDenormals guard;
    constexpr int L = lane_count<T>;
    sweep_region<T>(region, &back);
    Vec<T> pending{};
    for (std::int64_t i = region.rows - 1; i >= 0; --i) {
        reverse_row<T>(region, back, i, pending);
        const std::int64_t begin = (i * region.cols + back.span[2 * i]) * L;
        const std::int64_t end = (i * region.cols + back.span[2 * i + 1]) * L;
        if (back.expected_cost) {
            Vec<T> cost{};
            for (std::int64_t c = begin; c < end; c += L)
                cost = fma<T>(load<T>(back.alignment + c), load<T>(back.cost + c), cost);
            store<T>(back.expected_cost + i * L, load<T>(back.expected_cost + i * L) + cost);
        }
        if (!back.entropy) continue;
        Vec<T> entropy{};
        for (std::int64_t c = begin; c < end; c += L) {
            Vec<T> choice = surprise<T>(load<T>(back.weight_up + c)) + surprise<T>(load<T>(back.weight_left + c)) +
                            surprise<T>(load<T>(back.weight_diag + c));
            entropy = fma<T>(load<T>(back.alignment + c), choice, entropy);
        }
        store<T>(back.entropy + i * L, load<T>(back.entropy + i * L) + entropy);
    }
    store<T>(back.corner_out, pending);
    if (!back.grad_x) return;
    if (region.cost.kind == CostKind::manhattan)
        back.grad_y ? accumulate_all<T, true, true>(region, back) : accumulate_all<T, true, false>(region, back);
    else
        back.grad_y ? accumulate_all<T, false, true>(region, back) : accumulate_all<T, false, false>(region, back);
}

}  // namespace

const Kernels<float> float_kernels{lane_count<float>, forward<float>, backward<float>};
const Kernels<double> double_kernels{lane_count<double>, forward<double>, backward<double>};

}  // namespace sdtw::SDTW_ISA
