// S ⊗ exp(z_1) ⊗ … ⊗ exp(z_n) for a few increments at once, and its adjoint.
//
// Level k of S ⊗ exp(z) is, for the word w = c_1…c_k, in Horner's form
//     S[w] + z[c_k] (S[c_1…c_{k-1}] + z[c_{k-1}]/2 (S[c_1…c_{k-2}] + …)),
// which needs nothing but beginnings of w. So the words are walked through as a tree, depth first. A node of level j
// passes on, for each level k > j and each increment, how far the form of level k has come: its chain
//     chain_k(w, t) = S_t[w]/(k-j)! + chain_k(parent, t) z_t[c_j],   chain_k(root) = 1/k!,
// and the word itself ends the chain of its own level: S_{t+1}[w] = S_t[w] + chain_j(parent, t) z_t[c_j].
// Dividing by factorials instead of multiplying z by 1/2, 1/3, … leaves only z itself to be read. Chains stay in the
// first cache; each S[w] is read and written once for block_steps increments. On the two longest levels, where nearly
// all words are, an increment costs one multiply-add a chain and word, and for the last the sum over increments runs
// in registers, as a matrix product does.
//
// The adjoint walks the same tree: down it repeats the chains, up it collects their gradients. It needs S before the
// block, of all levels but the last, so nothing is ever divided out again.
#pragma once

#include "rows.hpp"

namespace sdtw::SDTW_ISA {

using signatures::block_steps;
using signatures::most_depth;

constexpr int siblings = 4;                          // nodes whose chains are made together
constexpr int letters = vector_bytes == 64 ? 4 : 2;  // ends of words for each of them that fit the registers
constexpr int unrolled = 8;                          // longest list of chains with code of its own

template <class T> struct Factorials {
    T inverse[most_depth + 1];
    constexpr Factorials() : inverse{} {
        double value = 1;
        for (int k = 0; k <= most_depth; ++k) {
            inverse[k] = static_cast<T>(1 / value);
            value *= k + 1;
        }
    }
};
template <class T> constexpr Factorials<T> factorials{};

// Where everything lies; the root is level 0. Levels up to `prefix` have one node, whose letter is the lane's own.
template <class T> struct Walk {
    int channels, depth, prefix, steps;
    const T *z, *prefix_z;  // [step][channel], [step][level of the prefix]
    T *z_gradient, *prefix_z_gradient;
    T *state[most_depth + 1], *gradient[most_depth + 1];  // of level k, k = 1 … depth
    T *chain[most_depth], *chain_gradient[most_depth];    // of `siblings` nodes of level k, each [step][k' - k]

    int fan(int level) const { return level < prefix ? 1 : channels; }
    Index z_stride(int level) const { return (level < prefix ? prefix : channels) * lane_count<T>; }
    const T *letters_of(int level) const { return level < prefix ? prefix_z + level * lane_count<T> : z; }
    T *letter_gradients_of(int level) const {
        return level < prefix ? prefix_z_gradient + level * lane_count<T> : z_gradient;
    }
};

// Calls work(i) for i = 0 … n - 1, each a constant: arrays of vectors that loops go through are kept in memory as well.
template <int n, class Work> SDTW_INLINE void each(Work &&work) {
    [&]<int... i>(std::integer_sequence<int, i...>)
        SDTW_INLINE_LAMBDA { (work(std::integral_constant<int, i>{}), ...); }(std::make_integer_sequence<int, n>{});
}

// From a node with R chains to G of its children.
template <class T, int fixed, int G>
void extend(const T *chain, int R, const T *z, Index z_stride, int steps, T *state, T *child) {
    constexpr int L = lane_count<T>;
    if constexpr (fixed > 0) R = fixed;
    Vec<T> s[G];
    each<G>([&](auto g) SDTW_INLINE_LAMBDA { s[g] = load<T>(state + g * L); });
    for (int t = 0; t < steps; ++t, chain += R * L, z += z_stride) {
        const Vec<T> own = load<T>(chain);
        each<G>([&](auto g) SDTW_INLINE_LAMBDA {
            const Vec<T> letter = load<T>(z + g * L);
            T *out = child + (g * block_steps + t) * (R - 1) * L;
            for (int q = 1; q < R; ++q) {
                const Vec<T> start = q == 1 ? s[g] : s[g] * factorials<T>.inverse[q];
                store<T>(out + (q - 1) * L, fma<T>(load<T>(chain + q * L), letter, start));
            }
            s[g] = fma<T>(own, letter, s[g]);
        });
    }
    each<G>([&](auto g) SDTW_INLINE_LAMBDA { store<T>(state + g * L, s[g]); });
}

// The adjoint of extend; state_gradient holds that of the state after the steps, then before. The first children set
// chain_gradient, those after them add to it.
template <class T, int fixed, int G>
void extend_adjoint(const T *chain, int R, const T *z, Index z_stride, int steps, T *state_gradient,
                    const T *child_gradient, bool first, T *chain_gradient, T *z_gradient) {
    constexpr int L = lane_count<T>;
    if constexpr (fixed > 0) R = fixed;
    Vec<T> s[G];
    each<G>([&](auto g) SDTW_INLINE_LAMBDA { s[g] = load<T>(state_gradient + g * L); });
    for (int t = steps - 1; t >= 0; --t) {
        const T *from = chain + t * R * L, *letter = z + t * z_stride;
        T *back = chain_gradient + t * R * L, *letter_back = z_gradient + t * z_stride;
        Vec<T> sums[G], own = load<T>(from), own_back = first ? Vec<T>{} : load<T>(back);
        each<G>([&](auto g) SDTW_INLINE_LAMBDA {
            sums[g] = fma<T>(own, s[g], load<T>(letter_back + g * L));
            own_back = fma<T>(s[g], load<T>(letter + g * L), own_back);
        });
        store<T>(back, own_back);
        for (int q = 1; q < R; ++q) {
            const Vec<T> value = load<T>(from + q * L);
            Vec<T> value_back = first ? Vec<T>{} : load<T>(back + q * L);
            each<G>([&](auto g) SDTW_INLINE_LAMBDA {
                const Vec<T> incoming = load<T>(child_gradient + ((g * block_steps + t) * (R - 1) + q - 1) * L);
                sums[g] = fma<T>(value, incoming, sums[g]);
                value_back = fma<T>(incoming, load<T>(letter + g * L), value_back);
                s[g] = q == 1 ? s[g] + incoming : fma<T>(incoming, splat<T>(factorials<T>.inverse[q]), s[g]);
            });
            store<T>(back + q * L, value_back);
        }
        each<G>([&](auto g) SDTW_INLINE_LAMBDA { store<T>(letter_back + g * L, sums[g]); });
    }
    each<G>([&](auto g) SDTW_INLINE_LAMBDA { store<T>(state_gradient + g * L, s[g]); });
}

// The last letter: G siblings of the last but one level, H letters each. The chain of a sibling is one number a step.
template <class T, int G, int H>
void finish(const T *chain, const T *z, Index z_stride, int steps, T *state, int fan) {
    constexpr int L = lane_count<T>;
    Vec<T> sum[G * H];
    auto place = [=](int i) SDTW_INLINE_LAMBDA { return (i / H * fan + i % H) * L; };
    each<G * H>([&](auto i) SDTW_INLINE_LAMBDA { sum[i] = load<T>(state + place(i)); });
    for (int t = 0; t < steps; ++t, z += z_stride) {
        Vec<T> letter[H];
        each<H>([&](auto h) SDTW_INLINE_LAMBDA { letter[h] = load<T>(z + h * L); });
        each<G>([&](auto g) SDTW_INLINE_LAMBDA {
            const Vec<T> value = load<T>(chain + (g * block_steps + t) * L);
            each<H>([&](auto h) SDTW_INLINE_LAMBDA { sum[g * H + h] = fma<T>(value, letter[h], sum[g * H + h]); });
        });
    }
    each<G * H>([&](auto i) SDTW_INLINE_LAMBDA { store<T>(state + place(i), sum[i]); });
}

template <class T, int G, int H>
void finish_adjoint(const T *chain, const T *z, Index z_stride, int steps, const T *gradient, int fan, bool first,
                    T *chain_gradient, T *z_gradient) {
    constexpr int L = lane_count<T>;
    Vec<T> incoming[G * H];
    each<G * H>([&](auto i) SDTW_INLINE_LAMBDA { incoming[i] = load<T>(gradient + (i / H * fan + i % H) * L); });
    for (int t = steps - 1; t >= 0; --t) {  // downwards, as extend_adjoint, which waits for the last steps' first
        const T *at = z + t * z_stride;
        T *at_back = z_gradient + t * z_stride;
        Vec<T> letter[H], letter_back[H];
        each<H>([&](auto h) SDTW_INLINE_LAMBDA {
            letter[h] = load<T>(at + h * L);
            letter_back[h] = load<T>(at_back + h * L);
        });
        each<G>([&](auto g) SDTW_INLINE_LAMBDA {
            T *back = chain_gradient + (g * block_steps + t) * L;
            const Vec<T> value = load<T>(chain + (g * block_steps + t) * L);
            Vec<T> sum = first ? Vec<T>{} : load<T>(back);
            each<H>([&](auto h) SDTW_INLINE_LAMBDA {
                sum = fma<T>(incoming[g * H + h], letter[h], sum);
                letter_back[h] = fma<T>(incoming[g * H + h], value, letter_back[h]);
            });
            store<T>(back, sum);
        });
        each<H>([&](auto h) SDTW_INLINE_LAMBDA { store<T>(at_back + h * L, letter_back[h]); });
    }
}

// Calls work<size>(first) for first = 0, size, …: all of `n`, in pieces of at most `most`, as equal as they can be.
template <int most, class Work> SDTW_INLINE void in_pieces(int n, Work &&work) {
    const int pieces = (n + most - 1) / most;
    for (int first = 0, piece = 0; piece < pieces; ++piece) {
        const int size = (n - first + pieces - piece - 1) / (pieces - piece);
        if (size == 1) work.template operator()<1>(first);
        if constexpr (most >= 2)
            if (size == 2) work.template operator()<2>(first);
        if constexpr (most >= 3)
            if (size == 3) work.template operator()<3>(first);
        if constexpr (most >= 4)
            if (size == 4) work.template operator()<4>(first);
        first += size;
    }
}

// Calls work<n> with n as a constant where it is at most `most`, else with -1.
template <int most, int n = 0, class Work> SDTW_INLINE void with_constant(int value, Work &&work) {
    if constexpr (n > most)
        work.template operator()<-1>();
    else if (value == n)
        work.template operator()<n>();
    else
        with_constant<most, n + 1>(value, work);
}

// For lists of chains, which begin with two.
template <class Work> SDTW_INLINE void with_chains(int chains, Work &&work) {
    with_constant<unrolled, 2>(chains, work);
}

template <class T, int G> void finish_all(const Walk<T> &w, int level, const T *chain, Index node) {
    constexpr int L = lane_count<T>;
    const int fan = w.fan(level);
    in_pieces<letters>(fan, [&]<int H>(int h) {
        finish<T, G, H>(chain, w.letters_of(level) + h * L, w.z_stride(level), w.steps,
                        w.state[level + 1] + (node * fan + h) * L, fan);
    });
}

template <class T, int G>
void finish_all_adjoint(const Walk<T> &w, int level, const T *chain, Index node, T *chain_gradient) {
    constexpr int L = lane_count<T>;
    const int fan = w.fan(level);
    in_pieces<letters>(fan, [&]<int H>(int h) {
        finish_adjoint<T, G, H>(chain, w.letters_of(level) + h * L, w.z_stride(level), w.steps,
                                w.gradient[level + 1] + (node * fan + h) * L, fan, h == 0, chain_gradient,
                                w.letter_gradients_of(level) + h * L);
    });
}

// All words that begin with the node.
template <class T> void descend(const Walk<T> &w, int level, const T *chain, Index node) {
    constexpr int L = lane_count<T>;
    const int R = w.depth - level, fan = w.fan(level);
    if (R == 1) return finish_all<T, 1>(w, level, chain, node);
    T *child = w.chain[level + 1];
    in_pieces<siblings>(fan, [&]<int G>(int g) {
        const Index first = node * fan + g;
        with_chains(R, [&]<int fixed>() {
            extend<T, fixed, G>(chain, R, w.letters_of(level) + g * L, w.z_stride(level), w.steps,
                                w.state[level + 1] + first * L, child);
        });
        if (R == 2) return finish_all<T, G>(w, level + 1, child, first);
        for (int i = 0; i < G; ++i) descend<T>(w, level + 1, child + i * block_steps * (R - 1) * L, first + i);
    });
}

// The adjoint of the two last letters of all words that begin with the node: with so few letters that the gradients of
// its grandchildren fit the registers, those of its children never leave them.
template <class T, int D>
__attribute__((flatten)) void last_two_adjoint(const Walk<T> &w, int level, const T *chain, Index node,
                                               T *chain_gradient) {
    constexpr int L = lane_count<T>, z_stride = D * L;
    const T *z = w.z, *child = w.chain[level + 1], *gradient = w.gradient[level + 2] + node * D * D * L;
    T *z_gradient = w.z_gradient, *state_gradient = w.gradient[level + 1] + node * D * L;
    const int steps = w.steps;
    extend<T, 2, D>(chain, 2, z, z_stride, steps, w.state[level + 1] + node * D * L, w.chain[level + 1]);
    Vec<T> incoming[D * D], s[D];
    each<D * D>([&](auto i) SDTW_INLINE_LAMBDA { incoming[i] = load<T>(gradient + i * L); });
    each<D>([&](auto g) SDTW_INLINE_LAMBDA { s[g] = load<T>(state_gradient + g * L); });
    for (int t = steps - 1; t >= 0; --t) {
        const T *from = chain + t * 2 * L;
        T *back = chain_gradient + t * 2 * L, *at_back = z_gradient + t * z_stride;
        const Vec<T> own = load<T>(from), value = load<T>(from + L);
        Vec<T> own_back{}, value_back{}, letter[D], letter_back[D];
        each<D>([&](auto h) SDTW_INLINE_LAMBDA {
            letter[h] = load<T>(z + t * z_stride + h * L);
            letter_back[h] = load<T>(at_back + h * L);
        });
        each<D>([&](auto g) SDTW_INLINE_LAMBDA {
            const Vec<T> number = load<T>(child + (g * block_steps + t) * L);
            Vec<T> sum{};
            each<D>([&](auto h) SDTW_INLINE_LAMBDA {
                sum = h == 0 ? incoming[g * D] * letter[0] : fma<T>(incoming[g * D + h], letter[h], sum);
                letter_back[h] = fma<T>(incoming[g * D + h], number, letter_back[h]);
            });
            own_back = fma<T>(s[g], letter[g], own_back);
            value_back = fma<T>(sum, letter[g], value_back);
            letter_back[g] = fma<T>(own, s[g], fma<T>(value, sum, letter_back[g]));
            s[g] = s[g] + sum;
        });
        store<T>(back, own_back);
        store<T>(back + L, value_back);
        each<D>([&](auto h) SDTW_INLINE_LAMBDA { store<T>(at_back + h * L, letter_back[h]); });
    }
    each<D>([&](auto g) SDTW_INLINE_LAMBDA { store<T>(state_gradient + g * L, s[g]); });
}

// fixed: how many levels there are below the node's, or -1.
template <class T, int fixed>
void descend_adjoint(const Walk<T> &w, int level, const T *chain, Index node, T *chain_gradient) {
    constexpr int L = lane_count<T>;
    const int R = fixed > 0 ? fixed : w.depth - level, fan = w.fan(level);
    if constexpr (fixed == 1) {
        return finish_all_adjoint<T, 1>(w, level, chain, node, chain_gradient);
    } else {
        if constexpr (fixed == 2)
            if (level >= w.prefix && fan <= letters)
                return in_pieces<letters>(
                    fan, [&]<int D>(int) { last_two_adjoint<T, D>(w, level, chain, node, chain_gradient); });
        T *child = w.chain[level + 1], *child_gradient = w.chain_gradient[level + 1];
        in_pieces<siblings>(fan, [&]<int G>(int g) {
            const Index first = node * fan + g;
            extend<T, fixed, G>(chain, R, w.letters_of(level) + g * L, w.z_stride(level), w.steps,
                                w.state[level + 1] + first * L, child);
            if constexpr (fixed == 2) {
                finish_all_adjoint<T, G>(w, level + 1, child, first, child_gradient);
            } else {
                for (int i = 0; i < G; ++i) {
                    const Index at = i * block_steps * (R - 1) * L;
                    const T *of_child = child + at;
                    T *to = child_gradient + at;
                    if constexpr (fixed > 0)
                        descend_adjoint<T, fixed - 1>(w, level + 1, of_child, first + i, to);
                    else if (R - 1 == unrolled)
                        descend_adjoint<T, unrolled>(w, level + 1, of_child, first + i, to);
                    else
                        descend_adjoint<T, -1>(w, level + 1, of_child, first + i, to);
                }
            }
            extend_adjoint<T, fixed, G>(chain, R, w.letters_of(level) + g * L, w.z_stride(level), w.steps,
                                        w.gradient[level + 1] + first * L, child_gradient, g == 0, chain_gradient,
                                        w.letter_gradients_of(level) + g * L);
        });
    }
}

// All words.
template <class T> void run_adjoint(const Walk<T> &w, const T *root, T *root_gradient) {
    with_constant<unrolled, 1>(w.depth, [&]<int fixed>() { descend_adjoint<T, fixed>(w, 0, root, 0, root_gradient); });
}

// One increment alone: all chains of a node stay in registers, and those of the last level are left in `ends`. The
// result may go elsewhere, to `shift` numbers after the state. R: how many chains a node has.
template <class T, int R>
void advance_once(const Walk<T> &w, const Vec<T> *chain, Index node, Index shift, T *ends) {
    constexpr int L = lane_count<T>;
    if constexpr (R == 1) {
        store<T>(ends + node * L, chain[0]);
    } else {
        const int level = w.depth - R, fan = w.fan(level);
        const T *z = w.letters_of(level);
        for (int g = 0; g < fan; ++g) {
            const Vec<T> letter = load<T>(z + g * L);
            T *at = w.state[level + 1] + (node * fan + g) * L;
            const Vec<T> s = load<T>(at);
            store<T>(at + shift, fma<T>(chain[0], letter, s));
            Vec<T> child[R - 1];
            for (int q = 1; q < R; ++q)
                child[q - 1] = fma<T>(chain[q], letter, q == 1 ? s : s * factorials<T>.inverse[q]);
            advance_once<T, R - 1>(w, child, node * fan + g, shift, ends);
        }
    }
}

// Whether advance_once has code for the depth, and runs it. The last level is made in order; ready(n) says now and then
// that the first n words stand where they belong.
template <class T, int R = unrolled, class Ready>
SDTW_INLINE bool try_advance_once(const Walk<T> &w, const T *root, Index shift, T *ends, Ready &&ready) {
    constexpr int L = lane_count<T>;
    if constexpr (R == 0) {
        return false;
    } else {
        if (w.depth != R) return try_advance_once<T, R - 1>(w, root, shift, ends, ready);
        Vec<T> chain[R];
        for (int q = 0; q < R; ++q) chain[q] = load<T>(root + q * L);
        advance_once<T, R>(w, chain, 0, shift, ends);
        constexpr Index at_once = 16;
        const int fan = w.fan(R - 1);
        const Index before = (w.state[R] - w.state[1]) / L;
        Index nodes = 1;
        for (int level = 0; level < R - 1; ++level) nodes *= w.fan(level);
        for (Index first = 0; first < nodes; first += at_once) {
            const Index last = first + at_once < nodes ? first + at_once : nodes;
            in_pieces<letters>(fan, [&]<int H>(int h) {
                Vec<T> letter[H];
                each<H>([&](auto i) SDTW_INLINE_LAMBDA { letter[i] = load<T>(w.letters_of(R - 1) + (h + i) * L); });
                for (Index node = first; node < last; ++node) {
                    const Vec<T> value = load<T>(ends + node * L);
                    T *at = w.state[R] + (node * fan + h) * L;
                    each<H>([&](auto i) SDTW_INLINE_LAMBDA {
                        store<T>(at + shift + i * L, fma<T>(value, letter[i], load<T>(at + i * L)));
                    });
                }
            });
            ready(before + last * fan);
        }
        return true;
    }
}

}  // namespace sdtw::SDTW_ISA
