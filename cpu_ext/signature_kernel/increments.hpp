// Increments of the static kernel, a tile at a time, and the way back from their gradients to the paths.
#pragma once

#include <algorithm>

#include "../lane.hpp"
#include "table.hpp"

namespace sdtw::SDTW_ISA {

using signature_kernel::chunk;
using signature_kernel::Index;
using signature_kernel::Pack;
using signature_kernel::PackGradients;
using signature_kernel::Static;

constexpr int tile_rows = 8;  // most rows of a tile

// 2^−s for s >= 0.
template <class T> SDTW_INLINE Vec<T> power_of_half(Vec<T> s) {
    constexpr T deep = T(sizeof(T) == 4 ? 140 : 1070);
    const Vec<T> q = -minimum<T>(splat<T>(deep), s), r = nearest<T>(q), f = q - r;  // in this order NaN stays
    return scale<T>(fma<T>(exp2_slope<T>(f), f, splat<T>(T(1))), r);
}

template <class T> SDTW_INLINE Vec<T> static_rbf(const T *x, const T *y, Index channels) {
    constexpr int L = lane_count<T>;
    Vec<T> sum{};
    for (Index k = 0; k < channels; ++k) {
        const Vec<T> difference = load<T>(x + k * L) - load<T>(y + k * L);
        sum = fma<T>(difference, difference, sum);
    }
    return power_of_half<T>(sum);
}

// Sums over the channels of x[r]·y[c]: `rows` x 2 registers at a time.
template <class T, int rows> void linear_tile(const T *x, const T *y, Index channels, T *tile) {
    constexpr int L = lane_count<T>, wide = 2;
    for (int c = 0; c < chunk; c += wide) {
        Vec<T> sum[rows][wide];
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) sum[r][0] = sum[r][1] = Vec<T>{};
        for (Index k = 0; k < channels; ++k) {
            const Vec<T> a = load<T>(y + (c * channels + k) * L), b = load<T>(y + ((c + 1) * channels + k) * L);
#pragma GCC unroll 8
            for (int r = 0; r < rows; ++r) {
                const Vec<T> xr = load<T>(x + (r * channels + k) * L);
                sum[r][0] = fma<T>(xr, a, sum[r][0]);
                sum[r][1] = fma<T>(xr, b, sum[r][1]);
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r)
            for (int i = 0; i < wide; ++i) store<T>(tile + ((c + i) * tile_rows + r) * L, sum[r][i]);
    }
}

// tile[c][r] = g' of row r0 + r and column c0 + c, zero outside the table; `rows` is 1, 2, 4 or 8, and divides r0.
template <class T> void increment_tile(const Pack<T> &p, Index r0, int rows, Index c0, T *tile) {
    constexpr int L = lane_count<T>;
    const Index d = p.channels;
    if (p.kind == Static::linear) {
        const T *x = p.x + r0 * d * L, *y = p.y + c0 * d * L;
        if (rows == 8) return linear_tile<T, 8>(x, y, d, tile);
        if (rows == 4) return linear_tile<T, 4>(x, y, d, tile);
        if (rows == 2) return linear_tile<T, 2>(x, y, d, tile);
        return linear_tile<T, 1>(x, y, d, tile);
    }
    if (p.kind == Static::precomputed) {
        for (int c = 0; c < chunk; ++c)
            for (int r = 0; r < rows; ++r) {
                const bool inside = r0 + r < p.rows && c0 + c < p.cols;
                const Vec<T> g = inside ? load<T>(p.increments + ((r0 + r) * p.cols + c0 + c) * L) : Vec<T>{};
                store<T>(tile + (c * tile_rows + r) * L, g * p.factor);
            }
        return;
    }
    Vec<T> before[tile_rows + 1];
    for (int r = 0; r <= rows; ++r) before[r] = static_rbf<T>(p.x + (r0 + r) * d * L, p.y + c0 * d * L, d);
    for (int c = 0; c < chunk; ++c) {
        const T *y = p.y + (c0 + c + 1) * d * L;
        Vec<T> above = static_rbf<T>(p.x + r0 * d * L, y, d);
        for (int r = 0; r < rows; ++r) {
            const Vec<T> here = static_rbf<T>(p.x + (r0 + r + 1) * d * L, y, d);
            store<T>(tile + (c * tile_rows + r) * L, ((here - above) - (before[r + 1] - before[r])) * p.factor);
            before[r] = above;
            above = here;
        }
        before[rows] = above;
    }
}

// Gradients of the increments of some rows, [row][stride][lane], to where they come from.
template <class T> class Scatter {
  public:
    static constexpr int L = lane_count<T>;

    Scatter(const Pack<T> &pack, const PackGradients<T> &out) : p(pack), out(out) {}

    void rows(Index r0, int count, const T *g, Index stride) const {
        if (p.kind == Static::precomputed) return copy(r0, count, g, stride);
        if (p.kind == Static::rbf) return points(r0, count, g, stride);
        if (out.x) {
            Index k = 0;
            for (; k + 2 <= p.channels; k += 2) to_x<2>(r0, count, g, stride, k);
            if (k < p.channels) to_x<1>(r0, count, g, stride, k);
        }
        if (out.y) to_y(r0, count, g, stride);
    }

  private:
    void copy(Index r0, int count, const T *g, Index stride) const {
        for (int r = 0; r < count && r0 + r < p.rows; ++r)
            for (Index c = 0; c < p.cols; ++c) {
                T *at = out.increments + ((r0 + r) * p.cols + c) * L;
                store<T>(at, load<T>(at) + load<T>(g + (r * stride + c) * L) * p.factor);
            }
    }

    template <int wide> void to_x(Index r0, int count, const T *g, Index stride, Index k) const {
        const Index d = p.channels;
        Vec<T> sum[tile_rows][wide];
#pragma GCC unroll 8
        for (int r = 0; r < tile_rows; ++r)
            for (int i = 0; i < wide; ++i) sum[r][i] = Vec<T>{};
        auto run = [&](auto rows_) SDTW_INLINE_LAMBDA {
            constexpr int rows = rows_();
            for (Index c = 0; c < p.cols; ++c) {
                Vec<T> y[wide];
                for (int i = 0; i < wide; ++i) y[i] = load<T>(p.y + (c * d + k + i) * L);
#pragma GCC unroll 8
                for (int r = 0; r < rows; ++r) {
                    const Vec<T> weight = load<T>(g + (r * stride + c) * L);
                    for (int i = 0; i < wide; ++i) sum[r][i] = fma<T>(weight, y[i], sum[r][i]);
                }
            }
            for (int r = 0; r < rows; ++r)
                for (int i = 0; i < wide; ++i) {
                    T *at = out.x + ((r0 + r) * d + k + i) * L;
                    store<T>(at, fma<T>(sum[r][i], splat<T>(p.factor), load<T>(at)));
                }
        };
        by_count(count, run);
    }

    void to_y(Index r0, int count, const T *g, Index stride) const {
        const Index d = p.channels;
        auto run = [&](auto rows_) SDTW_INLINE_LAMBDA {
            constexpr int rows = rows_();
            for (Index c = 0; c < p.cols; ++c) {
                Vec<T> weight[rows];
#pragma GCC unroll 8
                for (int r = 0; r < rows; ++r) weight[r] = load<T>(g + (r * stride + c) * L);
                for (Index k = 0; k < d; ++k) {
                    T *at = out.y + (c * d + k) * L;
                    Vec<T> sum = load<T>(at);
#pragma GCC unroll 8
                    for (int r = 0; r < rows; ++r) sum = fma<T>(weight[r], load<T>(p.x + ((r0 + r) * d + k) * L), sum);
                    store<T>(at, sum);
                }
            }
        };
        by_count(count, run);
    }

    template <class Run> static void by_count(int count, Run &&run) {
        if (count == 8) return run(std::integral_constant<int, 8>{});
        if (count == 4) return run(std::integral_constant<int, 4>{});
        if (count == 2) return run(std::integral_constant<int, 2>{});
        run(std::integral_constant<int, 1>{});
    }

    // An increment is a second difference of values at points, so a value's gradient is one of those of increments.
    void points(Index r0, int count, const T *g, Index stride) const {
        const Index d = p.channels;
        constexpr T slope = T(-2 * 0.69314718055994530942);  // of 2^−|u|², divided by that and u
        const Index rows = std::min<Index>(count, p.rows - r0);
        auto at = [&](Index r, Index c) SDTW_INLINE_LAMBDA {
            return r < 0 || r >= rows || c < 0 || c >= p.cols ? Vec<T>{} : load<T>(g + (r * stride + c) * L);
        };
        for (Index r = 0; r <= rows; ++r) {
            const T *x = p.x + (r0 + r) * d * L;
            for (Index c = 0; c <= p.cols; ++c) {
                const T *y = p.y + c * d * L;
                const Vec<T> back = (at(r - 1, c - 1) - at(r - 1, c)) - (at(r, c - 1) - at(r, c));
                const Vec<T> weight = back * static_rbf<T>(x, y, d) * (slope * p.factor);
                for (Index k = 0; k < d; ++k) {
                    const Vec<T> add = weight * (load<T>(x + k * L) - load<T>(y + k * L));
                    if (out.x) {
                        T *to = out.x + ((r0 + r) * d + k) * L;
                        store<T>(to, load<T>(to) + add);
                    }
                    if (out.y) {
                        T *to = out.y + (c * d + k) * L;
                        store<T>(to, load<T>(to) - add);
                    }
                }
            }
        }
    }

    const Pack<T> &p;
    const PackGradients<T> &out;
};

}  // namespace sdtw::SDTW_ISA
