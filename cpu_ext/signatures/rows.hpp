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

// lanes_to_rows for rows that follow each other in memory, lane by lane. Where there is an instruction for it, whole
// lines go past the caches: a line that is stored there is read first, which takes as long again.
template <class T> class RowWriter {
    static constexpr int L = lane_count<T>;

  public:
    explicit RowWriter(bool past_caches) : past_caches_(past_caches) {}
    RowWriter(RowWriter &&) = delete;

    void write(const T *columns, Index n, T *const row[]) {
#if SDTW_VECTOR_BYTES == 64
        if (past_caches_ && n >= L) return stream(columns, n, row);
#endif
        lanes_to_rows<T>(columns, n, row);
    }

#if SDTW_VECTOR_BYTES == 64
    ~RowWriter() {
        for (int l = 0; l < L; ++l) finish(l);
        _mm_sfence();
    }
#endif

  private:
#if SDTW_VECTOR_BYTES == 64
    // A line begins in one square of numbers, which is kept, and ends in the next.
    void stream(const T *columns, Index n, T *const row[]) {
        bool whole = true;
        for (int l = 0; l < L; ++l) {
            whole &= row[l] && row[l] == end_[l];
            if (!row[l]) continue;
            over_[l] = static_cast<Index>(reinterpret_cast<std::uintptr_t>(row[l]) % 64 / sizeof(T));
            index_[l] = count_from(L - over_[l]);
            if (row[l] == end_[l]) continue;
            finish(l);
            for (int i = 0; i < L; ++i) row[l][i] = columns[i * L + l];
            begin_[l] = row[l];
        }
        Index i = 0;
        for (; whole && i + L <= n; i += L) {
            Vec<T> v[L];
            for (int l = 0; l < L; ++l) v[l] = load<T>(columns + (i + l) * L);
            transpose<T>(v);
            for (int l = 0; l < L; ++l) {
                stream_line(row[l] - over_[l] + i, join(last_[l], v[l], index_[l]));
                last_[l] = v[l];
            }
        }
        for (; i < n; i += L) {
            const Index at = i + L <= n ? i : n - L;
            Vec<T> v[L];
            for (int l = 0; l < L; ++l) v[l] = load<T>(columns + (at + l) * L);
            transpose<T>(v);
            for (int l = 0; l < L; ++l) {
                if (!row[l]) continue;
                T *to = row[l] - over_[l] + i;
                if (over_[l] + n - i >= L && to >= begin_[l])
                    stream_line(to, join(last_[l], join(v[l], v[l], count_from(i - at)), index_[l]));
                last_[l] = v[l];
            }
        }
        for (int l = 0; l < L; ++l)
            if (row[l]) end_[l] = row[l] + n;
    }

    void finish(int l) {
        if (end_[l]) store<T>(end_[l] - L, last_[l]);
    }

    // from, from + 1, …
    static Mask<T> count_from(Index from) {
        Mask<T> count{};
        for (int i = 0; i < L; ++i) count[i] = i;
        return count + static_cast<std::remove_reference_t<decltype(count[0])>>(from);
    }
    // The numbers at these places of a and b in a row.
    static Vec<T> join(Vec<T> a, Vec<T> b, Mask<T> places) {
        if constexpr (sizeof(T) == 4)
            return (Vec<T>)_mm512_permutex2var_ps((__m512)a, (__m512i)places, (__m512)b);
        else
            return (Vec<T>)_mm512_permutex2var_pd((__m512d)a, (__m512i)places, (__m512d)b);
    }
    static void stream_line(T *to, Vec<T> line) { _mm512_stream_si512(reinterpret_cast<__m512i *>(to), (__m512i)line); }

    Vec<T> last_[L];  // of each lane, the numbers before end_
    Mask<T> index_[L];
    Index over_[L];  // of a row's begin, from that of a line
    T *begin_[L] = {}, *end_[L] = {};
#endif

    [[maybe_unused]] bool past_caches_;
};

}  // namespace sdtw::SDTW_ISA
