// The recursions over one tile of `rows` x `cols` cells, all lanes at once.
//
// Rows advance together, each one column behind the row above, so that `rows` independent cells are in flight and the
// latency of the chain left -> cell is hidden. Three sweeps fill a tile:
//   soft_slow    every cell a scaled number m·2^e with an exponent of its own; right for any range
//   soft_shared  one exponent for the whole tile, plain numbers inside; right while nothing leaves the range of T,
//                which it checks; then it has the same bits as soft_slow, because only powers of two differ
//   hard         the min-plus recursion
// A sink sees every cell: it may keep the values (to read a pair's end) or the predecessors' shares (for gradients).
#pragma once

#include <utility>

#include "costs.hpp"

namespace sdtw::SDTW_ISA {

struct NoSink {
    static constexpr bool keeps_values = false, keeps_weights = false;
};
// Values of a tile, row stride tile_cols.
template <class T> struct ValueSink {
    static constexpr bool keeps_values = true, keeps_weights = false;
    T *m, *e;
    SDTW_INLINE void value(int r, int c, Vec<T> vm, Vec<T> ve) const {
        store<T>(m + (r * tile_cols + c) * lane_count<T>, vm);
        store<T>(e + (r * tile_cols + c) * lane_count<T>, ve);
    }
};
// Shares of the three predecessors, row stride `stride` vectors.
template <class T> struct WeightSink {
    static constexpr bool keeps_values = false, keeps_weights = true;
    T *up, *left, *diag;
    std::int64_t stride;
    SDTW_INLINE void weights(int r, int c, Vec<T> u, Vec<T> l, Vec<T> d) const {
        std::int64_t at = (r * stride + c) * lane_count<T>;
        store<T>(up + at, u);
        store<T>(left + at, l);
        store<T>(diag + at, d);
    }
};

// Calls cell(row, column) along the skewed front; the row is a compile-time constant, so its state lives in registers.
template <int rows, class Cell> SDTW_INLINE void wavefront(int cols, Cell &&cell) {
    // Step t runs the rows first .. last - 1, from the last one up: each reads what the row above left at step t - 1.
    auto step = [&]<int first, int last>(int t) SDTW_INLINE_LAMBDA {
        [&]<int... r>(std::integer_sequence<int, r...>) SDTW_INLINE_LAMBDA {
            (cell(std::integral_constant<int, last - 1 - r>{}, t - (last - 1 - r)), ...);
        }(std::make_integer_sequence<int, last - first>{});
    };
    if (cols < rows) {
        for (int t = 0; t < cols + rows - 1; ++t)
            [&]<int... r>(std::integer_sequence<int, r...>) SDTW_INLINE_LAMBDA {
                ((t >= rows - 1 - r && t - (rows - 1 - r) < cols
                      ? cell(std::integral_constant<int, rows - 1 - r>{}, t - (rows - 1 - r))
                      : void()),
                 ...);
            }(std::make_integer_sequence<int, rows>{});
        return;
    }
    [&]<int... t>(std::integer_sequence<int, t...>) SDTW_INLINE_LAMBDA {
        (step.template operator()<0, t + 1>(t), ...);
        for (int full = rows - 1; full < cols; ++full) step.template operator()<0, rows>(full);
        (step.template operator()<t + 1, rows>(cols + t), ...);
    }(std::make_integer_sequence<int, rows - 1>{});
}

template <class T> struct Scaled {
    Vec<T> m, e;
};
template <class T> SDTW_INLINE Scaled<T> load_scaled(const T *m, const T *e, std::int64_t at) {
    return {load<T>(m + at * lane_count<T>), load<T>(e + at * lane_count<T>)};
}
template <class T> SDTW_INLINE void store_scaled(T *m, T *e, std::int64_t at, Vec<T> vm, Vec<T> ve) {
    store<T>(m + at * lane_count<T>, vm);
    store<T>(e + at * lane_count<T>, ve);
}

// A tile's view of a Frontier: pointers moved to the tile's first row and column; the corner by value.
template <class T> struct Edges {
    T *top_m, *top_e, *left_m, *left_e;
    Scaled<T> corner;
};

// D·factor rounded to an integer, plus `magic`: the integer also stands in the low bits.
template <class T> SDTW_INLINE Vec<T> split_exponent(Vec<T> d, T factor) {
    return fma<T>(d, splat<T>(factor), splat<T>(Lanes<T>::magic));
}

enum class Outcome { done, out_of_reach, left_range };

template <class T, int rows, class Sink>
Outcome soft_shared(const T *cost, int cols, T factor, Edges<T> &edges, const Sink &sink) {
    constexpr int L = lane_count<T>;
    const Vec<T> nothing = splat<T>(is_nothing<T>);
    alignas(64) T kernel[rows * tile_cols * L], top[tile_cols * L], bottom[tile_cols * L];
    // One exponent for all, such that the largest value that comes in has room to grow above it and the others room
    // below. What comes in must lie within reach, or be no path at all.
    Vec<T> shared = edges.corner.e;
    for (int r = 0; r < rows; ++r) shared = maximum<T>(shared, load<T>(edges.left_e + r * L));
    for (int c = 0; c < cols; ++c) shared = maximum<T>(shared, load<T>(edges.top_e + c * L));
    Mask<T> out_of_reach = shared < nothing;
    shared -= Lanes<T>::headroom;
    auto enter = [&](Scaled<T> s) SDTW_INLINE_LAMBDA {
        Vec<T> shift = s.e - shared;
        out_of_reach |= (shift < Lanes<T>::lowest_shift) & (s.e > nothing);
        return scale<T>(s.m, shift);
    };
    Vec<T> cur[rows], diag[rows];
    diag[0] = enter(edges.corner);
    for (int r = 0; r < rows; ++r) {
        cur[r] = enter(load_scaled<T>(edges.left_m, edges.left_e, r));
        if (r + 1 < rows) diag[r + 1] = cur[r];
    }
    for (int c = 0; c < cols; ++c) store<T>(top + c * L, enter(load_scaled<T>(edges.top_m, edges.top_e, c)));
    if (any<T>(out_of_reach)) return Outcome::out_of_reach;

    // 2^(−D·factor): the integer part of the exponent, in the low bits of a sum with `magic`, is added to the exponent
    // field. That is right for normal numbers only, so the extremes are checked before the result is used.
    Vec<T> least{}, most{};
    const int cells = cols == tile_cols ? rows * tile_cols : cols;
    for (int start = 0; start < rows * tile_cols; start += cols == tile_cols ? cells : tile_cols)
#pragma GCC unroll 4
        for (int i = start; i < start + cells; ++i) {
            Vec<T> d = load<T>(cost + i * L), tagged = split_exponent<T>(d, factor);
            Vec<T> q = tagged - Lanes<T>::magic, f = fma<T>(d, splat<T>(factor), -q);
            least = minimum<T>(least, q);
            most = maximum<T>(most, q);
            Vec<T> power = fma<T>(exp2_slope<T>(f), f, splat<T>(T(1)));
            store<T>(kernel + i * L, from_bits<T>(bits<T>(power) + (bits<T>(tagged) << Lanes<T>::mantissa_bits)));
        }
    if (any<T>(~((least > T(1 - Lanes<T>::bias)) & (most < T(Lanes<T>::bias - 1))))) return Outcome::left_range;

    Vec<T> lowest = splat<T>(T(1)), lowest_share = splat<T>(T(1));
    wavefront<rows>(cols, [&](auto row, int c) SDTW_INLINE_LAMBDA {
        constexpr int r = row();
        Vec<T> up = r ? cur[r ? r - 1 : 0] : load<T>(top + c * L);
        Vec<T> sum = (up + cur[r]) + diag[r];
        if constexpr (Sink::keeps_weights) {
            Vec<T> share = reciprocal<T>(sum);
            sink.weights(r, c, up * share, cur[r] * share, diag[r] * share);
            lowest_share = minimum<T>(lowest_share, share);
        }
        Vec<T> z = sum * load<T>(kernel + (r * tile_cols + c) * L);
        lowest = minimum<T>(lowest, z);
        diag[r] = up;
        cur[r] = z;
        if constexpr (Sink::keeps_values) sink.value(r, c, z, shared);
        if constexpr (r == rows - 1) store<T>(bottom + c * L, z);
    });
    // A value that fell out of range is below the smallest normal number; one that grew out of it reached the last cell.
    constexpr T reach = sizeof(T) == 4 ? T(0x1p-126f) : T(0x1p-1022);
    Mask<T> bad = ~((lowest >= reach) & (cur[rows - 1] < T(1) / reach) & (lowest_share >= reach));
    if (any<T>(bad)) return Outcome::left_range;

    auto leave = [&](T *m, T *e, int at, Vec<T> z) SDTW_INLINE_LAMBDA {
        Vec<T> vm, ve;
        normalise<T>(z, vm, ve);
        store_scaled<T>(m, e, at, vm, ve + shared);
    };
    for (int r = 0; r < rows; ++r) leave(edges.left_m, edges.left_e, r, cur[r]);
    for (int c = 0; c < cols; ++c) leave(edges.top_m, edges.top_e, c, load<T>(bottom + c * L));
    return Outcome::done;
}

// low and high: the band's bounds of the tile's rows relative to its first column, or null.
template <class T, int rows, class Sink>
void soft_slow(const T *cost, int cols, T factor, Edges<T> &edges, const T *low, const T *high, T first_col,
               const Sink &sink) {
    constexpr int L = lane_count<T>;
    alignas(64) T power[rows * tile_cols * L], exponent[rows * tile_cols * L];
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < cols; ++c) {
            Vec<T> d = load<T>(cost + (r * tile_cols + c) * L), q = split_exponent<T>(d, factor) - Lanes<T>::magic;
            Vec<T> f = fma<T>(d, splat<T>(factor), -q);
            if (low) {
                Vec<T> j = splat<T>(first_col + static_cast<T>(c));
                Mask<T> inside = (j >= load<T>(low + r * L)) & (j < load<T>(high + r * L));
                q = select<T>(inside, q, splat<T>(no_path<T>));
            }
            store_scaled<T>(power, exponent, r * tile_cols + c, fma<T>(exp2_slope<T>(f), f, splat<T>(T(1))), q);
        }
    // Inside, factors m run free: on a path of at most rows + tile_cols cells they stay within 2^-13 .. 2^50.
    auto leave = [&](T *m, T *e, int at, Scaled<T> z) SDTW_INLINE_LAMBDA {
        Vec<T> vm, shift;
        normalise<T>(z.m, vm, shift);
        store_scaled<T>(m, e, at, vm, z.e + shift);
    };
    Scaled<T> cur[rows], diag[rows];
    diag[0] = edges.corner;
    for (int r = 0; r < rows; ++r) {
        cur[r] = load_scaled<T>(edges.left_m, edges.left_e, r);
        if (r + 1 < rows) diag[r + 1] = cur[r];
    }
    wavefront<rows>(cols, [&](auto row, int c) SDTW_INLINE_LAMBDA {
        constexpr int r = row();
        Scaled<T> up = r ? cur[r ? r - 1 : 0] : load_scaled<T>(edges.top_m, edges.top_e, c);
        Vec<T> e = maximum<T>(maximum<T>(up.e, cur[r].e), diag[r].e);
        Vec<T> u = scale<T>(up.m, up.e - e), l = scale<T>(cur[r].m, cur[r].e - e);
        Vec<T> d = scale<T>(diag[r].m, diag[r].e - e), sum = (u + l) + d;
        if constexpr (Sink::keeps_weights) {
            Vec<T> share = reciprocal<T>(sum);
            sink.weights(r, c, u * share, l * share, d * share);
        }
        Scaled<T> tile = load_scaled<T>(power, exponent, r * tile_cols + c);
        diag[r] = up;
        cur[r] = {sum * tile.m, e + tile.e};
        if constexpr (Sink::keeps_values) sink.value(r, c, cur[r].m, cur[r].e);
        if constexpr (r == rows - 1) leave(edges.top_m, edges.top_e, c, cur[r]);
    });
    for (int r = 0; r < rows; ++r) leave(edges.left_m, edges.left_e, r, cur[r]);
}

template <class T, int rows, class Sink>
void hard(const T *cost, int cols, Edges<T> &edges, const T *low, const T *high, T first_col, const Sink &sink) {
    constexpr int L = lane_count<T>;
    const Vec<T> infinite = splat<T>(static_cast<T>(__builtin_inf()));
    Vec<T> cur[rows], diag[rows];
    diag[0] = edges.corner.m;
    for (int r = 0; r < rows; ++r) {
        cur[r] = load<T>(edges.left_m + r * L);
        if (r + 1 < rows) diag[r + 1] = cur[r];
    }
    wavefront<rows>(cols, [&](auto row, int c) SDTW_INLINE_LAMBDA {
        constexpr int r = row();
        Vec<T> up = r ? cur[r ? r - 1 : 0] : load<T>(edges.top_m + c * L);
        Vec<T> best = minimum<T>(minimum<T>(up, cur[r]), diag[r]);
        if constexpr (Sink::keeps_weights) {
            // One predecessor takes all; of equals the diagonal one, then the one above.
            const Vec<T> one = splat<T>(T(1)), none = Vec<T>{};
            Mask<T> from_diag = diag[r] <= best, from_up = (up <= best) & ~from_diag;
            sink.weights(r, c, select<T>(from_up, one, none), select<T>(from_diag | from_up, none, one),
                         select<T>(from_diag, one, none));
        }
        Vec<T> value = best + load<T>(cost + (r * tile_cols + c) * L);
        if (low) {
            Vec<T> j = splat<T>(first_col + static_cast<T>(c));
            Mask<T> inside = (j >= load<T>(low + r * L)) & (j < load<T>(high + r * L));
            value = select<T>(inside, value, infinite);
        }
        diag[r] = up;
        cur[r] = value;
        if constexpr (Sink::keeps_values) sink.value(r, c, value, Vec<T>{});
        if constexpr (r == rows - 1) store<T>(edges.top_m + c * L, value);
    });
    for (int r = 0; r < rows; ++r) store<T>(edges.left_m + r * L, cur[r]);
}

}  // namespace sdtw::SDTW_ISA
