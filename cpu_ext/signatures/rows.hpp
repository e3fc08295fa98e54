// From rows in memory, one for each lane, to vectors of all lanes, and back: squares of registers are transposed.
#pragma once

#include <utility>

#include "../lane.hpp"
#include "table.hpp"

namespace sdtw::SDTW_ISA {

using signatures::Index;

template <class T, bool high, int... i> SDTW_INLINE Vec<T> zip(Vec<T> a, Vec<T> b, std::integer_sequence<int, i...>) {
    constexpr int n = sizeof...(i), from = high ? n / 2 : 0;
    return __builtin_shufflevector(a, b, (from + i / 2 + (i % 2) * n)...);
}

// v[i][j] becomes v[j][i]: each round deals the two halves like cards.
template <class T> SDTW_INLINE void transpose(Vec<T> (&v)[lane_count<T>]) {
    constexpr int n = lane_count<T>;
    constexpr auto sequence = std::make_integer_sequence<int, n>{};
    Vec<T> w[n];
    for (int round = 1; round < n; round *= 2) {
        for (int i = 0; i < n / 2; ++i) {
            w[2 * i] = zip<T, false>(v[i], v[i + n / 2], sequence);
            w[2 * i + 1] = zip<T, true>(v[i], v[i + n / 2], sequence);
        }
        for (int i = 0; i < n; ++i) v[i] = w[i];
    }
}

// columns[i][lane] = row[lane][i] for i < n; null rows give 0.
template <class T> void rows_to_lanes(const T *const row[], Index n, T *columns) {
    constexpr int L = lane_count<T>;
    if (n < L) {
        for (int l = 0; l < L; ++l)
            for (Index i = 0; i < n; ++i) columns[i * L + l] = row[l] ? row[l][i] : T(0);
        return;
    }
    for (Index i = 0; i < n; i += L) {
        const Index at = i + L <= n ? i : n - L;  // the last square may overlap the one before
        Vec<T> v[L];
        for (int l = 0; l < L; ++l) v[l] = row[l] ? load<T>(row[l] + at) : Vec<T>{};
        transpose<T>(v);
        for (int l = 0; l < L; ++l) store<T>(columns + (at + l) * L, v[l]);
    }
}

// row[lane][i] = columns[i][lane] for i < n, except where the row is null.
template <class T> void lanes_to_rows(const T *columns, Index n, T *const row[]) {
    constexpr int L = lane_count<T>;
    if (n < L) {
        for (int l = 0; l < L; ++l)
            for (Index i = 0; row[l] && i < n; ++i) row[l][i] = columns[i * L + l];
        return;
    }
    for (Index i = 0; i < n; i += L) {
        const Index at = i + L <= n ? i : n - L;
        Vec<T> v[L];
        for (int l = 0; l < L; ++l) v[l] = load<T>(columns + (at + l) * L);
        transpose<T>(v);
        for (int l = 0; l < L; ++l)
            if (row[l]) store<T>(row[l] + at, v[l]);
    }
}

}  // namespace sdtw::SDTW_ISA
