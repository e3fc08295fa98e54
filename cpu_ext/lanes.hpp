// Moving data between the callers' layout and the lanes of a vector: element i of lane l stands at [i * lanes + l].
#pragma once

#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#include "pairs.hpp"

namespace sdtw {

// Memory for vectors: aligned to a cache line, never shrunk, contents unspecified after a request for more.
template <class T> class Buffer {
  public:
    T *get(Index count) {
        if (size_ < count) {
            size_ = 0;        // should the request fail
            memory_.reset();  // before the new request, so that both are never held at once
            memory_.reset(static_cast<T *>(::operator new[](static_cast<std::size_t>(count) * sizeof(T), alignment)));
            size_ = count;
        }
        return memory_.get();
    }
    Index size() const { return size_; }

  private:
    static constexpr std::align_val_t alignment{64};
    struct Free {
        void operator()(T *p) const { ::operator delete[](p, alignment); }
    };
    std::unique_ptr<T[], Free> memory_;
    Index size_ = 0;
};

// One thread's memory, handed out piece by piece and again from the start after reset(): what comes k-th keeps its
// place, so repeated work of one shape asks the system for memory once.
class Arena {
  public:
    void reset() { next_ = 0; }

    template <class T> T *take(Index count) {
        if (next_ == pieces_.size()) pieces_.emplace_back();
        return reinterpret_cast<T *>(pieces_[next_++].get(count * static_cast<Index>(sizeof(T))));
    }

    Index bytes() const {
        Index sum = 0;
        for (const auto &piece : pieces_) sum += piece.size();
        return sum;
    }

  private:
    std::vector<Buffer<unsigned char>> pieces_;
    std::size_t next_ = 0;
};

// One thread's memory for waves: what the tables of a group keep, and the scratch of a worker.
struct WaveMemory {
    Arena tables, scratch;
};

// Writes `count` values to one lane, then `fill` up to `length`.
template <class C, class S>
void to_lane(C *packed, int lanes, int lane, const S *source, Index count, Index length, C fill) {
    C *out = packed + lane;
    for (Index i = 0; i < count; ++i) out[i * lanes] = static_cast<C>(source[i]);
    for (Index i = count; i < length; ++i) out[i * lanes] = fill;
}

// The same values in every lane.
template <class C, class S>
void to_all_lanes(C *packed, int lanes, const S *source, Index count, Index length) {
    for (Index i = 0; i < length; ++i) {
        const C value = i < count ? static_cast<C>(source[i]) : C(0);
        for (int l = 0; l < lanes; ++l) packed[i * lanes + l] = value;
    }
}

// Four floats or two doubles, and a block of as many of them turned over.
template <class C> struct Quad;
template <> struct Quad<float> {
    using V = float __attribute__((vector_size(16)));
    static constexpr int size = 4;
    static void turn(V *rows) {
        const V a = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5);
        const V b = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5);
        const V c = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
        const V d = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
        rows[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5), rows[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
        rows[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5), rows[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
    }
};
template <> struct Quad<double> {
    using V = double __attribute__((vector_size(16)));
    static constexpr int size = 2;
    static void turn(V *rows) {
        const V a = __builtin_shufflevector(rows[0], rows[1], 0, 2);
        rows[1] = __builtin_shufflevector(rows[0], rows[1], 1, 3), rows[0] = a;
    }
};

// Element i of lane l to targets[l][i].
template <class C> void from_lanes(const C *packed, int lanes, C *const *targets, Index count) {
    using Q = Quad<C>;
    typename Q::V block[Q::size];
    Index i = 0;
    for (; i + Q::size <= count; i += Q::size)
        for (int l = 0; l < lanes; l += Q::size) {
            for (int k = 0; k < Q::size; ++k) std::memcpy(block + k, packed + (i + k) * lanes + l, sizeof block[0]);
            Q::turn(block);
            for (int k = 0; k < Q::size; ++k) std::memcpy(targets[l + k] + i, block + k, sizeof block[0]);
        }
    for (; i < count; ++i)
        for (int l = 0; l < lanes; ++l) targets[l][i] = packed[i * lanes + l];
}

// All lanes at once: every cache line of `packed` is written once.
template <class C, class S>
void to_lanes(C *packed, int lanes, const S *const *sources, const Index *counts, Index length) {
    Index shortest = length;
    for (int l = 0; l < lanes; ++l) shortest = std::min(shortest, counts[l]);
    Index start = 0;
    if constexpr (std::is_same_v<C, S>) {
        using Q = Quad<C>;
        typename Q::V block[Q::size];
        for (; start + Q::size <= shortest; start += Q::size)
            for (int l = 0; l < lanes; l += Q::size) {
                for (int k = 0; k < Q::size; ++k) std::memcpy(block + k, sources[l + k] + start, sizeof block[0]);
                Q::turn(block);
                for (int k = 0; k < Q::size; ++k)
                    std::memcpy(packed + (start + k) * lanes + l, block + k, sizeof block[0]);
            }
    }
    for (Index i = start; i < shortest; ++i)
        for (int l = 0; l < lanes; ++l) packed[i * lanes + l] = static_cast<C>(sources[l][i]);
    for (Index i = shortest; i < length; ++i)
        for (int l = 0; l < lanes; ++l) packed[i * lanes + l] = i < counts[l] ? static_cast<C>(sources[l][i]) : C(0);
}

// The band's rows of one lane, for a rectangle whose first cell is (i0, j0).
template <class C>
void band_to_lane(C *low, C *high, int lanes, int lane, const Band &band, Index n, Index m, Index i0, Index rows,
                  Index j0, Index cols) {
    for (Index i = 0; i < rows; ++i) {
        BandRow row = i0 + i < n ? band_row(band, i0 + i, n, m) : BandRow{0, 0};
        row.begin = std::max<Index>(row.begin - j0, 0);
        row.end = std::min<Index>(row.end - j0, cols);
        if (row.begin >= row.end) row = {0, 0};
        low[i * lanes + lane] = static_cast<C>(row.begin);
        high[i * lanes + lane] = static_cast<C>(row.end);
    }
}

}  // namespace sdtw
