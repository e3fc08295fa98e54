// From rows in memory, one for each lane, to vectors of all lanes, and back: squares of registers are transposed.
#pragma once

#include <utility>

#include "../lane.hpp"
#include "table.hpp"

namespace sdtw::SDTW_ISA {

using signatures::Index;

// The even or the odd ones of what stands in a and b, in blocks of 16 bytes.
template <class T, bool odd, int... i> SDTW_INLINE Vec<T> pick_blocks(Vec<T> a, Vec<T> b,
                                                                      std::integer_sequence<int, i...>) {
    constexpr int block = 16 / sizeof(T);
    return __builtin_shufflevector(a, b, ((i / block * 2 + odd) * block + i % block)...);
}

// Of each block of 16 bytes the lower or the upper halves of a and b, number by number in turn.
template <class T, bool high, int... i> SDTW_INLINE Vec<T> zip(Vec<T> a, Vec<T> b, std::integer_sequence<int, i...>) {
    constexpr int n = sizeof...(i), block = 16 / sizeof(T), from = high ? block / 2 : 0;
    return __builtin_shufflevector(a, b, (i / block * block + from + i % block / 2 + (i % 2) * n)...);
}

// v[i][j] becomes v[j][i]: within blocks of 16 bytes, each round deals the two halves like cards; blocks themselves are
// moved afterwards, half as many to a register. Machines have more units for the first than for the second.
template <class T> SDTW_INLINE void transpose(Vec<T> (&v)[lane_count<T>]) {
    constexpr int n = lane_count<T>, block = 16 / sizeof(T), blocks = n / block;
    constexpr auto sequence = std::make_integer_sequence<int, n>{};
    Vec<T> w[n];
    for (int round = 1; round < block; round *= 2) {
        for (int i = 0; i < n; i += block)
            for (int j = 0; j < block / 2; ++j) {
                w[i + 2 * j] = zip<T, false>(v[i + j], v[i + j + block / 2], sequence);
                w[i + 2 * j + 1] = zip<T, true>(v[i + j], v[i + j + block / 2], sequence);
            }
        for (int i = 0; i < n; ++i) v[i] = w[i];
    }
    // From here v[i * block + j], block k, is to become v[k * block + j], block i.
    for (int round = 1; round < blocks; round *= 2) {
        for (int i = 0; i < blocks / 2; ++i)
            for (int j = 0; j < block; ++j) {
                const Vec<T> a = v[2 * i * block + j], b = v[(2 * i + 1) * block + j];
                w[i * block + j] = pick_blocks<T, false>(a, b, sequence);
                w[(i + blocks / 2) * block + j] = pick_blocks<T, true>(a, b, sequence);
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

    // The next rows, of n numbers each; null where a lane has none.
    void begin(Index n, T *const row[]) {
        n_ = n;
        at_ = -1;
        for (int l = 0; l < L; ++l) row_[l] = row[l];
    }

    // Of which the first `ready` stand in columns; the last call is with all.
    void write(const T *columns, Index ready) {
#if SDTW_VECTOR_BYTES == 64
        if (past_caches_ && n_ >= L) return stream(columns, ready);
#endif
        if (ready == n_) lanes_to_rows<T>(columns, n_, row_);
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
    void stream(const T *columns, Index ready) {
        if (ready < L) return;
        if (at_ < 0) start(columns);
        for (; whole_ && at_ + L <= ready; at_ += L) {
            Vec<T> v[L];
            for (int l = 0; l < L; ++l) v[l] = load<T>(columns + (at_ + l) * L);
            transpose<T>(v);
            for (int l = 0; l < L; ++l) {
                stream_line(row_[l] - over_[l] + at_, join(last_[l], v[l], index_[l]));
                last_[l] = v[l];
            }
        }
        if (ready < n_) return;
        for (; at_ < n_; at_ += L) {
            const Index at = at_ + L <= n_ ? at_ : n_ - L;
            Vec<T> v[L];
            for (int l = 0; l < L; ++l) v[l] = load<T>(columns + (at + l) * L);
            transpose<T>(v);
            for (int l = 0; l < L; ++l) {
                if (!row_[l]) continue;
                T *to = row_[l] - over_[l] + at_;
                if (over_[l] + n_ - at_ >= L && to >= begin_[l])
                    stream_line(to, join(last_[l], join(v[l], v[l], count_from(at_ - at)), index_[l]));
                last_[l] = v[l];
            }
        }
        for (int l = 0; l < L; ++l)
            if (row_[l]) end_[l] = row_[l] + n_;
    }

    // Where rows do not follow those before, a line is begun.
    void start(const T *columns) {
        at_ = 0;
        whole_ = true;
        for (int l = 0; l < L; ++l) {
            whole_ &= row_[l] && row_[l] == end_[l];
            if (!row_[l]) continue;
            over_[l] = static_cast<Index>(reinterpret_cast<std::uintptr_t>(row_[l]) % 64 / sizeof(T));
            index_[l] = count_from(L - over_[l]);
            if (row_[l] == end_[l]) continue;
            finish(l);
            for (int i = 0; i < L; ++i) row_[l][i] = columns[i * L + l];
            begin_[l] = row_[l];
        }
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
    bool whole_;  // whether all rows follow those before
#endif

    [[maybe_unused]] bool past_caches_;
    Index n_ = 0, at_ = -1;  // at_: how many numbers of each row are written; -1: not begun
    T *row_[L];
};

}  // namespace sdtw::SDTW_ISA
