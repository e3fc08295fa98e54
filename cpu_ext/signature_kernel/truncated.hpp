// The kernel of signatures up to a depth N, by a recursion over the words' lengths, and its exact adjoint.
//
// A word of m letters takes m steps of each path, the same one several times at weight 1/p! for p times. K_m[p][q] of
// cell (i, j) sums the words of m letters that end with step i taken p times and step j taken q times:
//
//     K_m[1][1] = g U_{m-1},  K_m[p+1][1] = g/(p+1) R_{m-1}[p],  K_m[1][q+1] = g/(q+1) C_{m-1}[q],
//     K_m[p+1][q+1] = g/((p+1)(q+1)) K_{m-1}[p][q],
//
// where C_m[q] sums K_m[·][q] over the rows above in this column, R_m[p] sums K_m[p][·] over the columns before in this
// row, and U_m sums all K_m above and before. The kernel is 1 and the sum of all K (F. Király, H. Oberhauser, Kernels
// for sequentially ordered data, 2019). Backward keeps C of every few rows, and all of C, R and U between two of these.
#pragma once

#include <algorithm>
#include <cmath>

#include "increments.hpp"

namespace sdtw::SDTW_ISA {

template <class T> class Truncated {
  public:
    static constexpr int L = lane_count<T>;

    // With a null pointer only size() means something.
    Truncated(const Pack<T> &pack, T *memory, bool gradient)
        : p_(pack), depth_(pack.depth), sums_(depth_ * (depth_ - 1) / 2), memory_(memory) {
        tile_ = take(chunk * tile_rows);
        columns_ = take(p_.cols * sums_);
        row_ = take(sums_);
        upper_ = take(depth_);
        words_ = take(depth_ * (depth_ + 1) * (2 * depth_ + 1) / 6);
        inverse_ = take(depth_ * depth_);
        if (!gradient) return;
        cell_ = 2 * sums_ + depth_;
        segment_ = std::max<Index>(1, static_cast<Index>(std::sqrt(static_cast<double>(p_.rows) / 2)));
        segments_ = (p_.rows + segment_ - 1) / segment_;
        tops_ = take(segments_ * p_.cols * sums_);
        cells_ = take(segment_ * p_.cols * cell_);
        columns_back_ = take(p_.cols * sums_);
        row_back_ = take(sums_);
        upper_back_ = take(depth_);
        words_back_ = take(depth_ * (depth_ + 1) * (2 * depth_ + 1) / 6);
        gradients_ = take(p_.cols + chunk);
    }

    Index size() const { return used_; }

    void value(T *out) {
        prepare();
        Vec<T> total = splat<T>(T(1));
        for (Index i = 0; i < p_.rows; ++i) total = total + forward<false>(i, nullptr);
        store<T>(out, total);
    }

    void gradient(const PackGradients<T> &out) {
        if (p_.rows == 0 || p_.cols == 0) return;
        prepare();
        const Index state = p_.cols * sums_;
        for (Index s = 0; s < segments_; ++s) {
            copy(columns_, tops_ + s * state * L, state);
            if (s + 1 < segments_)
                for (Index i = s * segment_; i < (s + 1) * segment_; ++i) forward<false>(i, nullptr);
        }
        const Vec<T> weights = load<T>(out.weights);
        clear(columns_back_, state);
        const Scatter<T> scatter(p_, out);
        for (Index s = segments_ - 1; s >= 0; --s) {
            const Index first = s * segment_, end = std::min(first + segment_, p_.rows);
            copy(tops_ + s * state * L, columns_, state);
            for (Index i = first; i < end; ++i) forward<true>(i, cells_ + (i - first) * p_.cols * cell_ * L);
            for (Index i = end - 1; i >= first; --i) {
                backward(i, cells_ + (i - first) * p_.cols * cell_ * L, weights);
                scatter.rows(i, 1, gradients_, p_.cols);
            }
        }
    }

  private:
    T *take(Index vectors) {
        T *piece = memory_ ? memory_ + used_ : nullptr;
        used_ += vectors * L;
        return piece;
    }
    static void copy(const T *from, T *to, Index vectors) {
        for (Index i = 0; i < vectors; ++i) store<T>(to + i * L, load<T>(from + i * L));
    }
    static void clear(T *to, Index vectors) {
        for (Index i = 0; i < vectors; ++i) store<T>(to + i * L, Vec<T>{});
    }
    static void add(T *to, Vec<T> v) { store<T>(to, load<T>(to) + v); }

    // Where K_m begins among the words, and the sums of level m < N among C and R.
    static Index word(int m) { return (m - 1) * m * (2 * m - 1) / 6; }
    static Index sum(int m) { return m * (m - 1) / 2; }

    void prepare() {
        clear(columns_, p_.cols * sums_);
        for (int p = 0; p < depth_; ++p)
            for (int q = 0; q < depth_; ++q)
                store<T>(inverse_ + (p * depth_ + q) * L, splat<T>(T(1) / static_cast<T>((p + 1) * (q + 1))));
    }
    Vec<T> inverse(int p, int q) const { return load<T>(inverse_ + (p * depth_ + q) * L); }

    // All K of a cell, divided by g, from the sums before it.
    void words(Vec<T> g, const T *column, const T *row, const T *upper) {
        store<T>(words_, splat<T>(T(1)));
        for (int m = 2; m <= depth_; ++m) {
            const int n = m - 1;
            const T *below = words_ + word(n) * L;
            T *here = words_ + word(m) * L;
            store<T>(here, load<T>(upper + (n - 1) * L));
            for (int q = 1; q < m; ++q) store<T>(here + q * L, load<T>(column + (sum(n) + q - 1) * L) * inverse(0, q));
            for (int p = 1; p < m; ++p) {
                T *line = here + p * m * L;
                store<T>(line, load<T>(row + (sum(n) + p - 1) * L) * inverse(p, 0));
                for (int q = 1; q < m; ++q)
                    store<T>(line + q * L, g * load<T>(below + ((p - 1) * n + q - 1) * L) * inverse(p, q));
            }
        }
    }

    // One row; returns the sum of its K. The sums before each cell go to `cells`.
    template <bool keep> Vec<T> forward(Index i, T *cells) {
        clear(row_, sums_);
        clear(upper_, depth_);
        Vec<T> total{};
        for (Index j = 0; j < p_.cols; ++j) {
            if (j % chunk == 0) increment_tile<T>(p_, i, 1, j, tile_);
            const Vec<T> g = load<T>(tile_ + j % chunk * tile_rows * L);
            T *column = columns_ + j * sums_ * L;
            if constexpr (keep) {
                T *cell = cells + j * cell_ * L;
                copy(column, cell, sums_);
                copy(row_, cell + sums_ * L, sums_);
                copy(upper_, cell + 2 * sums_ * L, depth_);
            }
            words(g, column, row_, upper_);
            for (int m = 1; m <= depth_; ++m) {
                const T *k = words_ + word(m) * L;
                if (m == depth_) {
                    Vec<T> all{};
                    for (int e = 0; e < m * m; ++e) all = all + load<T>(k + e * L);
                    total = fma<T>(g, all, total);
                    break;
                }
                T *down = column + sum(m) * L, *on = row_ + sum(m) * L;
                Vec<T> above{}, all{};
                for (int q = 0; q < m; ++q) above = above + load<T>(down + q * L);
                add(upper_ + (m - 1) * L, above);
                for (int p = 0; p < m; ++p) {
                    Vec<T> line{};
                    for (int q = 0; q < m; ++q) {
                        const Vec<T> v = g * load<T>(k + (p * m + q) * L);
                        line = line + v;
                        add(down + q * L, v);
                    }
                    add(on + p * L, line);
                    all = all + line;
                }
                total = total + all;
            }
        }
        return total;
    }

    // One row in reverse, given the derivatives by the sums after it.
    void backward(Index i, const T *cells, Vec<T> weights) {
        clear(row_back_, sums_);
        clear(upper_back_, depth_);
        for (Index j = p_.cols - 1; j >= 0; --j) {
            if (j == p_.cols - 1 || j % chunk == chunk - 1) increment_tile<T>(p_, i, 1, j / chunk * chunk, tile_);
            const Vec<T> g = load<T>(tile_ + j % chunk * tile_rows * L);
            const T *cell = cells + j * cell_ * L;
            T *column = columns_back_ + j * sums_ * L;
            words(g, cell, cell + sums_ * L, cell + 2 * sums_ * L);
            Vec<T> slope{};
            for (int m = depth_; m >= 1; --m) {
                const T *k = words_ + word(m) * L, *over = words_back_ + word(m + 1) * L;
                T *back = words_back_ + word(m) * L;
                for (int p = 0; p < m; ++p)
                    for (int q = 0; q < m; ++q) {
                        Vec<T> b = weights;
                        if (m < depth_) {
                            b = b + load<T>(row_back_ + (sum(m) + p) * L) + load<T>(column + (sum(m) + q) * L);
                            const Vec<T> next = load<T>(over + ((p + 1) * (m + 1) + q + 1) * L);
                            b = fma<T>(g * inverse(p + 1, q + 1), next, b);
                        }
                        store<T>(back + (p * m + q) * L, b);
                        slope = fma<T>(b, load<T>(k + (p * m + q) * L), slope);
                    }
            }
            // From the derivatives by K to those by the sums before the cell.
            for (int m = 2; m <= depth_; ++m) {
                const int n = m - 1;
                const T *back = words_back_ + word(m) * L;
                const Vec<T> by_upper = load<T>(upper_back_ + (n - 1) * L);
                for (int q = 1; q < m; ++q) {
                    add(column + (sum(n) + q - 1) * L, fma<T>(g * inverse(0, q), load<T>(back + q * L), by_upper));
                    add(row_back_ + (sum(n) + q - 1) * L, g * inverse(q, 0) * load<T>(back + q * m * L));
                }
                store<T>(upper_back_ + (n - 1) * L, fma<T>(g, load<T>(back), by_upper));
            }
            store<T>(gradients_ + j * L, slope);
        }
    }

    const Pack<T> &p_;
    const int depth_;
    const Index sums_;
    T *memory_, *tile_, *columns_, *row_, *upper_, *words_, *inverse_;
    T *tops_ = nullptr, *cells_ = nullptr, *columns_back_ = nullptr, *row_back_ = nullptr, *upper_back_ = nullptr,
      *words_back_ = nullptr, *gradients_ = nullptr;
    Index used_ = 0, cell_ = 0, segment_ = 0, segments_ = 0;
};

}  // namespace sdtw::SDTW_ISA
