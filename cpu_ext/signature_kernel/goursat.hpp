// The kernel of whole signatures: the Goursat equation on a grid, by an explicit scheme of second order, and its exact
// adjoint.
//
//     k[i+1][j+1] = (k[i+1][j] + k[i][j+1]) (1 + g/2 + g²/12) − k[i][j] (1 − g²/12),    k = 1 on the first row and column
//
// With c1 = g/2 + g²/12, c2 = g²/12 and the steps D = k[i][j+1] − k[i][j] of a row, this is
//
//     D <- D + c1 (k[i+1][j] + k[i][j+1]) + c2 k[i][j],    k[i+1][j+1] = k[i+1][j] + D,
//
// which adds small numbers to small ones: float32 keeps its digits on long paths.
// The derivatives f[i][j] of the last value by that of cell (i, j) obey, with f = 1 around the last row and column,
//
//     E <- E + c1 f of the right and lower neighbour + c2 f of the diagonal one,    f[i][j] = f[i][j+1] + E.
//
// Strips of some rows are swept along the columns, each row one column behind the row above, so that the cells at work
// do not wait for each other.
//
// The lanes hold one pair each; or, as a wave, neighbouring strips of one pair, each `skew` columns behind the one above
// it, whose last row reaches it by a shift of the lanes. Columns are then counted from where the first lane begins, and
// what lies outside the table of a lane has increments of zero, like the ends of short lanes.
//
// Backward keeps the values of all nodes of a segment of strips, and computes the segments
// again from the rows above them: memory grows with the square root of the number of rows.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include "increments.hpp"

namespace sdtw::SDTW_ISA {

// Rows of a wave's x for each strip: with points, their ends too.
template <class T> Index wave_rows(const Pack<T> &p) {
    const int rows = p.x_refinement > 3 ? 1 : std::max(1, sweep_rows >> p.x_refinement);
    return rows + (p.kind == Static::rbf);
}
template <class T> constexpr Index wave_skew(int col_shift) {
    return std::max<Index>(sweep_rows, Index(1) << col_shift);
}

template <class T, bool wave> class Goursat {
  public:
    static constexpr int L = lane_count<T>, R = sweep_rows;

    // With a null pointer only size() means something.
    Goursat(const Pack<T> &pack, T *memory, bool gradient)
        : p_(pack), row_shift_(pack.x_refinement), col_shift_(pack.y_refinement), next_(memory) {
        cols_ = p_.cols << col_shift_;
        strip_rows_ = row_shift_ > 3 ? 1 : std::max(1, R >> row_shift_);
        strips_ = wave ? p_.rows / wave_rows(p_) : ((p_.rows << row_shift_) + R - 1) / R;
        skew_ = wave ? wave_skew<T>(col_shift_) : 0;
        tile_ = take(chunk * tile_rows);
        ring_ = take(ring_size);
        half_ = skew_ + cols_ + R + (wave ? (L - 1) * skew_ : 0);
        line_ = 2 * half_;
        current_ = take(line_);
        if (!gradient) return;
        const Index strip = R * (cols_ + 2 * R + 1) * L * static_cast<Index>(sizeof(T));
        const auto balanced = static_cast<Index>(std::sqrt(2.0 * static_cast<double>(strips_) / R));
        segment_ = std::max<Index>({1, balanced, node_bytes / strip});
        segment_ = std::min(segment_, strips_);
        segments_ = segment_ ? (strips_ + segment_ - 1) / segment_ : 0;
        tops_ = take(segments_ * line_);
        node_line_ = cols_ + 2 * R + 1;
        nodes_ = take(segment_ * (R + 1) * node_line_);
        below_ = take(below_size());
        gradient_line_ = p_.cols + 2 * R;
        gradients_ = take(R * gradient_line_);
    }

    Index size() const { return used_; }

    void value(T *out) {
        start();
        Vec<T> last = splat<T>(T(1));
        for (Index s = 0; s < strips_; ++s) last = forward<false>(s, nullptr);
        store<T>(out, last);
    }

    void gradient(const PackGradients<T> &out) {
        if (strips_ == 0 || cols_ == 0) return;
        start();
        for (Index i = 0; i < segments_; ++i) {
            copy(current_, tops_ + i * line_ * L, line_);
            if (i + 1 < segments_)
                for (Index s = i * segment_; s < (i + 1) * segment_; ++s) forward<false>(s, nullptr);
        }
        const Vec<T> weights = load<T>(out.weights) * T(1.7320508075688772935);  // see slope in backward
        for (Index c = 0; c < below_size(); ++c) store<T>(below_ + c * L, Vec<T>{});
        const Scatter<T> scatter(p_, out);
        for (Index i = segments_ - 1; i >= 0; --i) {
            const Index first = i * segment_, end = std::min(first + segment_, strips_);
            copy(tops_ + i * line_ * L, current_, line_);
            for (Index s = first; s < end; ++s) forward<true>(s, nodes_ + (s - first) * (R + 1) * node_line_ * L);
            for (Index s = end - 1; s >= first; --s) {
                backward(s, nodes_ + (s - first) * (R + 1) * node_line_ * L, weights);
                spread(s, scatter);
            }
        }
    }

  private:
    static constexpr int slots = 2 * chunk, slot = R * 3 * L;  // of a column: g', c1 and c2 of each row of the strip
    static constexpr Index ring_size = slots * R * 3, node_bytes = Index(1) << 19;
    static_assert(R <= chunk);

    T *take(Index vectors) {
        T *piece = next_ ? next_ + used_ : nullptr;
        used_ += vectors * L;
        return piece;
    }

    static void copy(const T *from, T *to, Index vectors) {
        for (Index i = 0; i < vectors; ++i) store<T>(to + i * L, load<T>(from + i * L));
    }

    // Values and steps of the row above a strip, from column −skew on.
    T *values() { return current_ + skew_ * L; }
    T *steps() { return current_ + (half_ + skew_) * L; }
    // What a strip hands up, from column −before_ on.
    Index before_below() const { return R + (wave ? (L - 1) * skew_ : 0); }
    Index below_size() const { return before_below() + cols_ + R + skew_; }

    void start() {
        for (Index c = 0; c < half_; ++c) {
            store<T>(current_ + c * L, splat<T>(T(1)));
            store<T>(current_ + (half_ + c) * L, Vec<T>{});
        }
    }

    // Of the row above at column t. In a wave the lanes take it from the lane above, and the first one from the last
    // lane of the strip before, which still stands where this strip has not come to.
    Vec<T> above(const T *row, Index t) const {
        if constexpr (!wave) return load<T>(row + t * L);
        return shift_up(load<T>(row + (t + (L - 1) * skew_) * L), load<T>(row + (t - skew_) * L),
                        std::make_integer_sequence<int, L>{});
    }
    Vec<T> below(Index column) const {
        const T *row = below_ + before_below() * L;
        if constexpr (!wave) return load<T>(row + column * L);
        return shift_down(load<T>(row + (column + skew_) * L), load<T>(row + (column - (L - 1) * skew_) * L),
                          std::make_integer_sequence<int, L>{});
    }
    template <int... i> static Vec<T> shift_up(Vec<T> first, Vec<T> others, std::integer_sequence<int, i...>) {
        return __builtin_shufflevector(first, others, (L - 1 + i)...);
    }
    template <int... i> static Vec<T> shift_down(Vec<T> others, Vec<T> last, std::integer_sequence<int, i...>) {
        return __builtin_shufflevector(others, last, (1 + i)...);
    }

    Index first_row(Index strip) const { return wave ? strip * wave_rows(p_) : (strip * R) >> row_shift_; }

    T *ring(Index column, int row) { return ring_ + (column & (slots - 1)) * slot + row * 3 * L; }

    // What the sweeps need of the columns c0 .. c0 + chunk − 1 of a strip.
    template <bool with_g> void fill(Index strip, Index c0) {
        const int rows = strip_rows_;
        increment_tile<T>(p_, first_row(strip), rows, c0, tile_);
        const Vec<T> root3 = splat<T>(T(1.7320508075688772935));
        for (int c = 0; c < chunk; ++c) {
            T *out = ring(c0 + c, 0);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
                const int row = rows == 1 ? 0 : r >> row_shift_;
                const Vec<T> g = load<T>(tile_ + (c * tile_rows + row) * L), square = g * g;
                if constexpr (with_g) store<T>(out + 3 * r * L, g);
                store<T>(out + (3 * r + 1) * L, fma<T>(g, root3, square));
                store<T>(out + (3 * r + 2) * L, square);
            }
        }
    }

    void clear(Index c0) {
        for (int c = 0; c < chunk; ++c)
            for (int i = 0; i < 3 * R; ++i) store<T>(ring(c0 + c, 0) + i * L, Vec<T>{});
    }

    // One strip, from the row above it in current_ to its last row there; returns the last value of that row.
    template <bool keep> Vec<T> forward(Index strip, T *nodes) {
        if constexpr (keep) {
            for (int r = 0; r <= R; ++r) store<T>(nodes + (r * node_line_ + R) * L, splat<T>(T(1)));
        }
        clear(-chunk);
        return col_shift_ ? forward<keep, true>(strip, nodes) : forward<keep, false>(strip, nodes);
    }

    template <bool keep, bool refined> Vec<T> forward(Index strip, T *nodes) {
        Vec<T> left[R], corner[R], step[R];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) left[r] = corner[r] = splat<T>(T(1)), step[r] = Vec<T>{};
        const Index end = cols_ + R - 1, block = Index(chunk) << col_shift_;
        T *k = values(), *d = steps();
        for (Index begin = 0; begin < end; begin += block) {
            fill<false>(strip, begin >> col_shift_);
            const Index stop = std::min(begin + block, end);
            for (Index t = begin; t < stop; ++t) {
                const Vec<T> top = above(k, t), top_step = above(d, t);
                if constexpr (keep) store<T>(nodes + (R + 1 + t) * L, top);
#pragma GCC unroll 8
                for (int r = R - 1; r >= 0; --r) {
                    const T *at = ring(refined ? (t - r) >> col_shift_ : t - r, r);
                    const Vec<T> c1 = load<T>(at + L), c2 = load<T>(at + 2 * L);
                    const Vec<T> up = r ? left[r - (r > 0)] : top;
                    // The small terms first: each alone could be less than half of the last digit of a step, and lost.
                    const Vec<T> change = fma<T>(c1, left[r], fma<T>(c1, up, c2 * corner[r]));
                    corner[r] = up;
                    step[r] = (r ? step[r - (r > 0)] : top_step) + change;
                    left[r] = left[r] + step[r];
                    if constexpr (keep) store<T>(nodes + ((r + 1) * node_line_ + R + 1 + t - r) * L, left[r]);
                }
                if (t >= R - 1) {
                    store<T>(k + (t - R + 1) * L, left[R - 1]);
                    store<T>(d + (t - R + 1) * L, step[R - 1]);
                }
            }
        }
        return left[R - 1];
    }

    // The derivatives of one strip, from what the row below it handed up in below_ to what its first row does.
    void backward(Index strip, const T *nodes, Vec<T> weights) {
        for (Index i = 0; col_shift_ && i < R * gradient_line_; ++i) store<T>(gradients_ + i * L, Vec<T>{});
        col_shift_ ? backward<true>(strip, nodes, weights) : backward<false>(strip, nodes, weights);
    }

    template <bool refined> void backward(Index strip, const T *nodes, Vec<T> weights) {
        Vec<T> f[R], up[R];  // of row R − 1 − q, the row q from below: its f, and what it hands up
        for (int q = 0; q < R; ++q) f[q] = weights, up[q] = Vec<T>{};
        // Columns right of the table are all zero, so the strip may begin at the end of a chunk.
        const Index block = Index(chunk) << col_shift_, top = (p_.cols + chunk - 1) / chunk * chunk;
        const Index width = top << col_shift_, end = width + R - 1;
        clear(top);
        for (Index begin = 0; begin < end; begin += block) {
            const Index c0 = top - chunk - (begin >> col_shift_);
            if (c0 >= 0) fill<true>(strip, c0);
            const Index stop = std::min(begin + block, end);
            for (Index u = begin; u < stop; ++u) {
                const Index first = width - 1 - u;  // the column of the lowest row
                const Vec<T> from_below = first < cols_ ? below(first) : Vec<T>{};
#pragma GCC unroll 8
                for (int q = R - 1; q >= 0; --q) {
                    const int r = R - 1 - q;
                    const Index c = first + q;
                    const T *here = ring(refined ? c >> col_shift_ : c, r);
                    const T *right = ring(refined ? (c + 1) >> col_shift_ : c + 1, r);
                    const Vec<T> g = load<T>(here), c1 = load<T>(here + L);
                    const Vec<T> right1 = load<T>(right + L), right2 = load<T>(right + 2 * L);
                    const Vec<T> before = f[q];
                    Vec<T> step = fma<T>(right1, before, q ? up[q - (q > 0)] : from_below);
                    f[q] = before + step;
                    up[q] = step + fma<T>(c1, f[q], right2 * before);
                    if (c >= cols_) continue;
                    // The derivative of c1 (left + up) + c2 corner by g', divided by √3.
                    const T *node = nodes + (r * node_line_ + R + c) * L;
                    const Vec<T> sides = load<T>(node + L) + load<T>(node + node_line_ * L);
                    const Vec<T> slope = fma<T>(g, (sides + load<T>(node)) * T(1.1547005383792515290), sides);
                    T *to = gradients_ + (r * gradient_line_ + R + (refined ? c >> col_shift_ : c)) * L;
                    store<T>(to, refined ? fma<T>(f[q], slope, load<T>(to)) : f[q] * slope);
                }
                const Index done = first + R - 1;
                if (done < cols_ && done >= 0) store<T>(below_ + (before_below() + done) * L, up[R - 1]);
            }
        }
    }

    // The gradients of a strip's cells, as those of the increments that they share.
    void spread(Index strip, const Scatter<T> &scatter) {
        const int rows = strip_rows_, shared = R / rows;
        for (int r = 0; shared > 1 && r < rows; ++r)
            for (Index c = 0; c < p_.cols; ++c) {
                Vec<T> sum{};
                for (int i = 0; i < shared; ++i)
                    sum = sum + load<T>(gradients_ + ((r * shared + i) * gradient_line_ + R + c) * L);
                store<T>(gradients_ + (r * gradient_line_ + R + c) * L, sum);
            }
        scatter.rows(first_row(strip), rows, gradients_ + R * L, gradient_line_);
    }

    const Pack<T> &p_;
    const int row_shift_, col_shift_;
    int strip_rows_;  // increments of x that a strip spans
    Index cols_, strips_, skew_, half_, line_, segment_ = 0, segments_ = 0, node_line_ = 0, gradient_line_ = 0;
    T *next_, *tile_, *ring_, *current_, *tops_ = nullptr, *nodes_ = nullptr, *below_ = nullptr, *gradients_ = nullptr;
    Index used_ = 0;
};

}  // namespace sdtw::SDTW_ISA
