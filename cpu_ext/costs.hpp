// Local costs: a small tile of D for all lanes, written out so that every gamma reads the same costs.
#pragma once

#include "lane.hpp"
#include "region.hpp"

namespace sdtw::SDTW_ISA {

// Columns of a tile: D, 2^(−D/γ) and one frontier stay in the first-level cache.
constexpr int tile_cols = 16;

// log((1 + t)/(1 − t)) by its series in t².
template <class T, int terms> SDTW_INLINE Vec<T> twice_atanh(Vec<T> t) {
    Vec<T> t2 = t * t, sum = splat<T>(T(1) / (2 * terms + 1));
    for (int k = terms - 1; k >= 0; --k) sum = fma<T>(sum, t2, splat<T>(T(1) / (2 * k + 1)));
    return T(2) * t * sum;
}

// log(1 + h) for 0 <= h <= 1, where t² <= 1/9.
template <class T> SDTW_INLINE Vec<T> log1p_unit(Vec<T> h) {
    return twice_atanh<T, sizeof(T) == 4 ? 8 : 17>(h / (h + T(2)));
}

// −w·log(w) for 0 <= w <= 1; the mantissa is brought around 1, where t² <= 0.03.
template <class T> SDTW_INLINE Vec<T> surprise(Vec<T> w) {
    Vec<T> m, e;
    normalise<T>(w, m, e);
    Mask<T> large = m > T(1.41421356);
    m = select<T>(large, m * T(0.5), m);
    e = select<T>(large, e + T(1), e);
    Vec<T> log = fma<T>(e, splat<T>(T(0.69314718055994530942)),
                        twice_atanh<T, sizeof(T) == 4 ? 5 : 11>((m - T(1)) / (m + T(1))));
    return select<T>(w > T(0), -w * log, Vec<T>{});
}

// 1 − exp(−u) for u >= 0, accurate for small u too.
template <class T> SDTW_INLINE Vec<T> one_minus_exp(Vec<T> u) {
    constexpr T log2e = T(1.4426950408889634074), deep = T(sizeof(T) == 4 ? 140 : 1070);
    Vec<T> v = minimum<T>(u, splat<T>(deep)), r = nearest<T>(v * -log2e), f = fma<T>(v, splat<T>(-log2e), -r);
    Vec<T> power = scale<T>(splat<T>(T(1)), r);
    return -fma<T>(power, exp2_slope<T>(f) * f, power - T(1));
}

// Turns the sum over the features (of squares, or of absolute values) into the cost and, where it varies, its slope.
template <class T, CostKind kind, bool with_slope>
SDTW_INLINE void finish_cost(Vec<T> sum, T factor, T *cost, T *slope) {
    if constexpr (kind == CostKind::sqeuclidean) {
        store<T>(cost, sum * factor);
    } else if constexpr (kind == CostKind::euclidean) {
        Vec<T> root = square_root<T>(sum);
        store<T>(cost, root);
        if constexpr (with_slope) store<T>(slope, select<T>(root > T(0), T(1) / root, Vec<T>{}));
    } else if constexpr (kind == CostKind::gak) {
        Vec<T> u = sum * factor, h = one_minus_exp<T>(u);
        store<T>(cost, u + log1p_unit<T>(h));
        if constexpr (with_slope) store<T>(slope, (4 * factor) / (h + T(1)));
    } else {
        store<T>(cost, sum);
    }
}

template <class T, CostKind kind> SDTW_INLINE Vec<T> add_feature(Vec<T> sum, Vec<T> diff) {
    if constexpr (kind == CostKind::manhattan) return sum + absolute<T>(diff);
    return fma<T>(diff, diff, sum);
}

// D[r][c] = cost(x[r], y[c]) for `rows` rows and `cols` columns; a row of D has tile_cols vectors.
template <class T, CostKind kind, int rows, bool with_slope>
void cost_tile(const T *x, const T *y, std::int64_t features, double scale_, int cols, T *cost, T *slope) {
    constexpr int L = lane_count<T>;
    const T factor = static_cast<T>(scale_);
    auto put = [&](int r, int c, Vec<T> sum) SDTW_INLINE_LAMBDA {
        std::int64_t at = (r * tile_cols + c) * L;
        finish_cost<T, kind, with_slope>(sum, factor, cost + at, with_slope ? slope + at : nullptr);
    };
    if (features == 1) {
        for (int r = 0; r < rows; ++r) {
            const Vec<T> xr = load<T>(x + r * L);
            for (int c = 0; c < cols; ++c) put(r, c, add_feature<T, kind>(Vec<T>{}, xr - load<T>(y + c * L)));
        }
        return;
    }
    // Blocks of sums that stay in registers: each value of x serves `width` columns, each of y all rows.
    auto block = [&](auto width_, int c) SDTW_INLINE_LAMBDA {
        constexpr int width = width_();
        Vec<T> sum[rows * width];
#pragma GCC unroll 16
        for (int i = 0; i < rows * width; ++i) sum[i] = Vec<T>{};
        for (std::int64_t k = 0; k < features; ++k) {
            Vec<T> yk[width];
#pragma GCC unroll 8
            for (int b = 0; b < width; ++b) yk[b] = load<T>(y + ((c + b) * features + k) * L);
#pragma GCC unroll 8
            for (int r = 0; r < rows; ++r) {
                const Vec<T> xk = load<T>(x + (r * features + k) * L);
#pragma GCC unroll 8
                for (int b = 0; b < width; ++b)
                    sum[r * width + b] = add_feature<T, kind>(sum[r * width + b], xk - yk[b]);
            }
        }
#pragma GCC unroll 16
        for (int i = 0; i < rows * width; ++i) put(i / width, c + i % width, sum[i]);
    };
    constexpr int width = rows == 1 ? 8 : 2;
    int c = 0;
    for (; c + width <= cols; c += width) block(std::integral_constant<int, width>{}, c);
    for (; c < cols; ++c) block(std::integral_constant<int, 1>{}, c);
}

template <class T, int rows, bool with_slope>
void cost_tile(const Region<T> &region, std::int64_t r0, std::int64_t c0, int cols, T *cost, T *slope) {
    constexpr int L = lane_count<T>;
    if (region.cost.kind == CostKind::precomputed) {
        for (int r = 0; r < rows; ++r)
            std::memcpy(cost + r * tile_cols * L, region.costs + ((r0 + r) * region.cols + c0) * L,
                        cols * L * sizeof(T));
        return;
    }
    const T *x = region.x + r0 * region.features * L, *y = region.y + c0 * region.features * L;
    auto run = [&](auto kind) {
        cost_tile<T, kind(), rows, with_slope>(x, y, region.features, region.cost.scale, cols, cost, slope);
    };
    switch (region.cost.kind) {
        case CostKind::euclidean: return run(std::integral_constant<CostKind, CostKind::euclidean>{});
        case CostKind::manhattan: return run(std::integral_constant<CostKind, CostKind::manhattan>{});
        case CostKind::gak: return run(std::integral_constant<CostKind, CostKind::gak>{});
        default: return run(std::integral_constant<CostKind, CostKind::sqeuclidean>{});
    }
}

}  // namespace sdtw::SDTW_ISA
