// Truncated tensor products and power series of them, one row a lane.
//
// Words are walked through depth first: the numbers of all children of w come from the beginnings and the endings of
// w, whose places are kept along the way, so that a sum over splits of a word runs in registers. A mirrored factor has
// the number of each word where its letters in reverse order stand.
#pragma once

#include "paths.hpp"

namespace sdtw::SDTW_ISA {

// a has levels up to a_depth, b and c up to depth: c_k = alpha a_k + beta b_k + Σ_{0<i<k} a_i ⊗ b_{k-i}.
template <class T> struct Product {
    static constexpr int L = lane_count<T>;
    int channels, depth;
    T alpha, beta;
    const T *a, *b;
    T *c;                                                     // or its gradient
    T *a_gradient, *b_gradient;                               // in the adjoint
    Index offset[most_depth + 1];                             // where level k begins
    Index power[most_depth + 1];                              // channels^k
    Index next_a = 0;                                         // from a to the mirrored factor of the next product
    Index beginning[most_depth + 1], ending[most_depth + 1];  // of the word so far: its first i letters, the others

    Product(int channels_, int depth_, T alpha_, T beta_, const T *a_, const T *b_, T *c_, T *a_gradient_ = nullptr,
            T *b_gradient_ = nullptr)
        : channels(channels_), depth(depth_), alpha(alpha_), beta(beta_), a(a_), b(b_), c(c_), a_gradient(a_gradient_),
          b_gradient(b_gradient_) {
        Index at = 0, size = 1;
        for (int k = 1; k <= depth; ++k) {
            offset[k] = at;
            at += (size *= channels);
            power[k] = size;
        }
        power[0] = 1;
    }

    // The words that begin with the word `node` of `length` letters. `mirrored`: the factor a is, not with adjoint.
    template <bool adjoint, bool mirrored = false> void run(int length = 0, Index node = 0) {
        const int level = length + 1;
        if constexpr (!adjoint)
            if (level + 1 == depth)
                return with_constant<most_factors>(length,
                                                   [&]<int fixed>() { two_levels<mirrored, fixed>(length, node); });
        const Index reversed = mirrored && length > 0 ? beginning[length] : 0;
        in_pieces<siblings>(channels, [&]<int H>(int first) {
            const Index at = (offset[level] + node * channels + first) * L;
            auto own = [&](int h) {
                return mirrored ? (offset[level] + (first + h) * power[length] + reversed) * L : at + h * L;
            };
            Vec<T> sum[H];
            if constexpr (adjoint) {
                for (int h = 0; h < H; ++h) sum[h] = load<T>(c + at + h * L);
                for (int h = 0; h < H; ++h) {
                    if (alpha != T(0))
                        store<T>(a_gradient + at + h * L,
                                 fma<T>(splat<T>(alpha), sum[h], load<T>(a_gradient + at + h * L)));
                    store<T>(b_gradient + at + h * L, fma<T>(splat<T>(beta), sum[h], load<T>(b_gradient + at + h * L)));
                }
            } else {
                for (int h = 0; h < H; ++h) {
                    sum[h] = splat<T>(beta) * load<T>(b + at + h * L);
                    if (alpha != T(0)) sum[h] = fma<T>(splat<T>(alpha), load<T>(a + own(h)), sum[h]);
                }
            }
            for (int i = 1; i < level; ++i) {
                const Index left = (offset[i] + beginning[i]) * L;
                const Index right = (offset[level - i] + ending[i] * channels + first) * L;
                const Vec<T> x = load<T>(a + left);
                if constexpr (adjoint) {
                    Vec<T> back = load<T>(a_gradient + left);
                    for (int h = 0; h < H; ++h) {
                        back = fma<T>(sum[h], load<T>(b + right + h * L), back);
                        T *to = b_gradient + right + h * L;
                        store<T>(to, fma<T>(sum[h], x, load<T>(to)));
                    }
                    store<T>(a_gradient + left, back);
                } else {
                    for (int h = 0; h < H; ++h) sum[h] = fma<T>(x, load<T>(b + right + h * L), sum[h]);
                }
            }
            if constexpr (!adjoint)
                for (int h = 0; h < H; ++h) store<T>(c + at + h * L, sum[h]);
        });
        if (level == depth) return;
        Index parent[most_depth + 1];
        for (int i = 1; i < level; ++i) parent[i] = ending[i];
        for (int letter = 0; letter < channels; ++letter) {
            for (int i = 1; i < level; ++i) ending[i] = parent[i] * channels + letter;
            ending[level] = 0;
            beginning[level] = mirrored ? letter * power[length] + reversed : node * channels + letter;
            run<adjoint, mirrored>(level, node * channels + letter);
        }
        for (int i = 1; i < level; ++i) ending[i] = parent[i];
    }

  private:
    static constexpr int most_factors = 6;  // beginnings of a word that are kept in registers

    // The children of a word of depth - 2 letters and their children, nearly all words there are: for each beginning of
    // the word its number stays where it is, and the numbers of b that it meets are neighbours. Members are copied, or
    // each store would make the compiler read them again.
    template <bool mirrored, int fixed> void two_levels(int length, Index node) {
        const int n = fixed >= 0 ? fixed : length, d = channels;
        const Index size = d * L, reversed = mirrored && length > 0 ? beginning[length] : 0;
        Vec<T> x[fixed >= 0 ? fixed + 1 : most_depth];
        const T *one[fixed >= 0 ? fixed + 1 : most_depth], *two[fixed >= 0 ? fixed + 1 : most_depth];
        for (int i = 1; i <= n; ++i) {
            x[i - 1] = load<T>(a + (offset[i] + beginning[i]) * L);
            one[i - 1] = b + (offset[n + 1 - i] + ending[i] * d) * L;
            two[i - 1] = b + (offset[n + 2 - i] + ending[i] * d * d) * L;
        }
        const Vec<T> scale_a = splat<T>(alpha), scale_b = splat<T>(beta);
        const bool with_a = alpha != T(0);
        const Index ahead = next_a, next = mirrored ? power[n + 1] * L : L;
        const Index step = mirrored ? power[n] * L : L, long_step = mirrored ? step : size;
        const T *before = a + (offset[n + 1] + (mirrored ? reversed : node * d)) * L;
        const T *mirror = a + (offset[n + 2] + (mirrored ? reversed : node * d * d)) * L;
        const T *words = b, *other = b + (offset[n + 1] + node * d) * L,
                *others = b + (offset[n + 2] + node * d * d) * L;
        T *to = c + (offset[n + 1] + node * d) * L, *ends = c + (offset[n + 2] + node * d * d) * L;
        for (int letter = 0; letter < d; ++letter) {
            const Vec<T> last = load<T>(before + letter * step);
            Vec<T> sum = scale_b * load<T>(other + letter * L);
            if (with_a) sum = fma<T>(scale_a, last, sum);
            for (int i = 0; i < n; ++i) sum = fma<T>(x[i], load<T>(one[i] + letter * L), sum);
            store<T>(to + letter * L, sum);
            in_pieces<siblings>(d, [&]<int H>(int h) {
                Vec<T> sums[H];
                const T *own = mirror + letter * long_step + h * next;
                const Index at = letter * size + h * L;
                for (int g = 0; g < H; ++g) sums[g] = scale_b * load<T>(others + at + g * L);
                if (with_a)
                    for (int g = 0; g < H; ++g) sums[g] = fma<T>(scale_a, load<T>(own + g * next), sums[g]);
                if constexpr (mirrored)  // the factor of the next window, which has left the second cache
                    for (int g = 0; g < H; ++g) __builtin_prefetch(own + g * next + ahead, 0, 2);
                for (int i = 0; i < n; ++i)
                    for (int g = 0; g < H; ++g) sums[g] = fma<T>(x[i], load<T>(two[i] + at + g * L), sums[g]);
                for (int g = 0; g < H; ++g) sums[g] = fma<T>(last, load<T>(words + (h + g) * L), sums[g]);
                for (int g = 0; g < H; ++g) store<T>(ends + at + g * L, sums[g]);
            });
        }
    }
};

template <class T> Index algebra_size(int channels, int depth) {
    const Index words = count_words(channels, depth);
    Index stages = 0;
    for (int k = 1; k <= depth; ++k) stages += count_words(channels, k);
    return (2 * words + 2 * stages + 2 * words) * lane_count<T>;
}

// out[u m + v] += a[u] b[v] for u < n, v < m.
template <class T, int fixed>
void add_outer(const T *a, Index n, const T *__restrict__ b, Index m, T *__restrict__ out) {
    if constexpr (fixed > 0) m = fixed;
    for (Index u = 0; u < n; ++u, out += m)
        for (Index v = 0; v < m; ++v) out[v] += a[u] * b[v];
}

// The adjoint of add_outer: adds to a_back and b_back.
template <class T, int fixed>
void add_outer_adjoint(const T *a, Index n, const T *b, Index m, const T *g, T *a_back, T *__restrict__ b_back) {
    constexpr int L = lane_count<T>;
    if constexpr (fixed > 0) m = fixed;
    const Index whole = m - m % L;
    for (Index u = 0; u < n; ++u, g += m) {
        const Vec<T> x = splat<T>(a[u]);
        Vec<T> sums{};
        for (Index v = 0; v < whole; v += L) {
            const Vec<T> incoming = load<T>(g + v);
            sums = fma<T>(incoming, load<T>(b + v), sums);
            store<T>(b_back + v, fma<T>(incoming, x, load<T>(b_back + v)));
        }
        T sum = 0;
        for (int l = 0; l < L && whole > 0; ++l) sum += sums[l];
        for (Index v = whole; v < m; ++v) {
            sum += g[v] * b[v];
            b_back[v] += g[v] * a[u];
        }
        a_back[u] += sum;
    }
}

// From the last level k on: calls level(where it begins, its size), then for all i < k
// work<m or 0>(where level i begins, its size n, where level k - i begins, its size m, where level k begins).
template <class Level, class Work>
SDTW_INLINE void over_levels(int channels, int depth, Level &&level, Work &&work) {
    Index power[most_depth + 1], offset[most_depth + 1], at = 0, size = 1;
    for (int k = 1; k <= depth; ++k) {
        offset[k] = at;
        at += (size *= channels);
        power[k] = size;
    }
    for (int k = depth; k >= 1; --k) {
        level(offset[k], power[k]);
        for (int i = 1; i < k; ++i) {
            auto call = [&]<int fixed>() {
                work.template operator()<fixed>(offset[i], power[i], offset[k - i], power[k - i], offset[k]);
            };
            if (i + 1 < k)
                call.template operator()<0>();
            else
                with_constant<8>(channels, call);
        }
    }
}

// One product, in rows: for a few it costs less than the way into lanes. From the last level on, so that out may be b.
template <class T> void product_of_rows(int channels, int depth, const T *a, const T *b, T *out) {
    over_levels(
        channels, depth,
        [&](Index at, Index size) {
            for (Index i = at; i < at + size; ++i) out[i] = a[i] + b[i];
        },
        [&]<int fixed>(Index i, Index n, Index j, Index m, Index k) {
            add_outer<T, fixed>(a + i, n, b + j, m, out + k);
        });
}

template <class T>
void product_of_rows_backward(int channels, int depth, const T *a, const T *b, const T *gradient, T *a_back,
                              T *b_back) {
    const Index words = count_words(channels, depth);
    for (Index i = 0; i < words; ++i) a_back[i] = b_back[i] = gradient[i];
    over_levels(
        channels, depth, [](Index, Index) {},
        [&]<int fixed>(Index i, Index n, Index j, Index m, Index k) {
            add_outer_adjoint<T, fixed>(a + i, n, b + j, m, gradient + k, a_back + i, b_back + j);
        });
}

// Whether rows are multiplied one by one: a few always are, and more where words have so many neighbours that the ways
// into lanes and back would cost more than the products. Needs no scratch.
template <class T> bool one_by_one(int channels, const Rows<const T> &a) {
    constexpr int few = lane_count<T> > 4 ? lane_count<T> / 4 : 1;
    return channels >= 4 || !a.row[few];
}

template <class T>
void product(int channels, int depth, const Rows<const T> &a, const Rows<const T> &b, const Rows<T> &out, T *scratch) {
    if (one_by_one<T>(channels, a)) {
        for (int l = 0; l < lane_count<T> && a.row[l]; ++l)
            product_of_rows<T>(channels, depth, a.row[l], b.row[l], out.row[l]);
        return;
    }
    const Index words = count_words(channels, depth), size = words * lane_count<T>;
    rows_to_lanes<T>(a.row, words, scratch);
    rows_to_lanes<T>(b.row, words, scratch + size);
    Product<T>(channels, depth, T(1), T(1), scratch, scratch + size, scratch + 2 * size).template run<false>();
    lanes_to_rows<T>(scratch + 2 * size, words, out.row);
}

template <class T>
void product_backward(int channels, int depth, const Rows<const T> &a, const Rows<const T> &b,
                      const Rows<const T> &gradient, const Rows<T> &a_gradient, const Rows<T> &b_gradient, T *scratch) {
    if (one_by_one<T>(channels, a)) {
        for (int l = 0; l < lane_count<T> && a.row[l]; ++l)
            product_of_rows_backward<T>(channels, depth, a.row[l], b.row[l], gradient.row[l], a_gradient.row[l],
                                        b_gradient.row[l]);
        return;
    }
    const Index words = count_words(channels, depth), size = words * lane_count<T>;
    rows_to_lanes<T>(a.row, words, scratch);
    rows_to_lanes<T>(b.row, words, scratch + size);
    rows_to_lanes<T>(gradient.row, words, scratch + 2 * size);
    for (Index i = 3 * size; i < 5 * size; ++i) scratch[i] = T(0);
    Product<T>(channels, depth, T(1), T(1), scratch, scratch + size, scratch + 2 * size, scratch + 3 * size,
               scratch + 4 * size)
        .template run<true>();
    lanes_to_rows<T>(scratch + 3 * size, words, a_gradient.row);
    lanes_to_rows<T>(scratch + 4 * size, words, b_gradient.row);
}

// Horner's form: y_depth = c_depth x, then y_m = c_m x + y_{m+1} ⊗ x, of which levels up to depth - m + 1 matter.
// Stage k, k = 1 … depth, is y_{depth-k+1}, with levels up to k. Returns where the last begins.
template <class T> T *series_stages(int channels, int depth, const T *coefficients, const T *x, T *stages) {
    constexpr int L = lane_count<T>;
    const T *before = nullptr;
    for (int k = 1; k <= depth; ++k) {
        const T c = coefficients[depth - k];
        if (k == 1)
            for (Index i = 0; i < channels * L; i += L) store<T>(stages + i, splat<T>(c) * load<T>(x + i));
        else
            Product<T>(channels, k, T(0), c, before, x, stages).template run<false>();
        before = stages;
        if (k < depth) stages += count_words(channels, k) * L;
    }
    return stages;
}

template <class T>
void series(int channels, int depth, const T *coefficients, const Rows<const T> &x, const Rows<T> &out, T *scratch) {
    const Index words = count_words(channels, depth);
    rows_to_lanes<T>(x.row, words, scratch);
    const T *last = series_stages<T>(channels, depth, coefficients, scratch, scratch + words * lane_count<T>);
    lanes_to_rows<T>(last, words, out.row);
}

template <class T>
void series_backward(int channels, int depth, const T *coefficients, const Rows<const T> &x,
                     const Rows<const T> &gradient, const Rows<T> &x_gradient, T *scratch) {
    constexpr int L = lane_count<T>;
    const Index words = count_words(channels, depth), size = words * L;
    T *x_back = scratch + size, *back = x_back + size, *next = back + size, *stages = next + size;
    rows_to_lanes<T>(x.row, words, scratch);
    rows_to_lanes<T>(gradient.row, words, back);
    for (Index i = 0; i < size; ++i) x_back[i] = T(0);
    const T *stage = series_stages<T>(channels, depth, coefficients, scratch, stages);
    for (int k = depth; k >= 1; --k) {
        const T c = coefficients[depth - k];
        if (k == 1) {
            for (Index i = 0; i < channels * L; i += L)
                store<T>(x_back + i, fma<T>(splat<T>(c), load<T>(back + i), load<T>(x_back + i)));
            break;
        }
        const Index shorter = count_words(channels, k - 1) * L;
        stage -= shorter;
        for (Index i = 0; i < shorter; ++i) next[i] = T(0);
        Product<T>(channels, k, T(0), c, stage, scratch, back, next, x_back).template run<true>();
        T *swap = back;
        back = next;
        next = swap;
    }
    lanes_to_rows<T>(x_back, words, x_gradient.row);
}

}  // namespace sdtw::SDTW_ISA
