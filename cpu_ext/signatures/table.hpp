// What the signature kernels compute on, and the table that each instruction set fills.
#pragma once

#include <cstdint>

#include "../instruction_sets.hpp"

namespace sdtw::signatures {

using Index = std::int64_t;

constexpr int most_lanes = 16;
constexpr int most_depth = 64;
constexpr int most_prefix = 8;
constexpr int block_steps = 16;  // increments that one walk through the words takes along

// Words of one to `depth` letters out of `channels`.
// Always inline: each instruction set must keep to its own code.
__attribute__((always_inline)) inline constexpr Index count_words(Index channels, int depth) {
    Index total = 0, level = 1;
    for (int k = 0; k < depth; ++k) total += (level *= channels);
    return total;
}

// Some paths side by side, one a lane; or some parts of the words of a path, one a lane: a lane with a prefix computes
// the words that begin with it. In memory a word's numbers of all lanes are neighbours.
// Each lane holds the words that its prefix begins with too, so lanes of one path share the first `prefix` levels.
template <class T> struct Group {
    int channels, depth, prefix;
    const T *before[most_lanes], *points[most_lanes];  // the first point, and all that follow it
    Index steps[most_lanes];                           // how many follow; 0 where the lane is idle
    Index longest;                                     // the largest of steps
    Index rows[most_lanes];                            // in streams: how many signatures to write
    Index room;                                        // the `longest` that scratch was measured for
    Index prefix_index[most_prefix][most_lanes];       // which word the first i + 1 letters of the prefix are
    bool owns[most_prefix][most_lanes];                // whether this lane is the one that stands for that word
    bool alone;                                        // whether no other lane has the same increments, in backward
    T *first[most_lanes];                              // where `alone`: gets the gradient of the first increment
    bool past_caches;                                  // whether rows, of all groups, are more than caches keep
    const T *initial[most_lanes];                      // the signature to begin with, or null: 1
    T *scratch;                                        // aligned to 64 bytes; scratch_size says how much
};

// Rows of words, from the first level on, without the leading 1.
template <class T> struct Rows {
    T *row[most_lanes];
    Index stride;  // between the rows of one step and of the next, in streams
};

template <class T> struct Kernels {
    int lanes;
    // Of Group::scratch, in numbers.
    Index (*scratch_size)(int channels, int depth, int prefix, Index room, bool stream, bool backward);
    // The signature of each lane's path, and of each of its beginnings where `stream`.
    void (*forward)(const Group<T> &, const Rows<T> &out, bool stream);
    // Given gradients of out, adds those of the increments to rows of steps * channels, and sets those of initial. Where
    // `alone`, the rows get the gradients of the points instead, as if nothing led away from the last one.
    // In streams `out` is what forward gave, otherwise it is not used.
    void (*backward)(const Group<T> &, const Rows<const T> &gradient, bool stream, const Rows<const T> &out,
                     T *const increments[], T *const initial[]);
    // Windows of `longest` steps that begin in the block of each lane of a and end in that of b, which follows it;
    // those whose first step, counted from `start`, is a multiple of stride and at most `last`. out: the row of step 0.
    // room: for the words of `longest` + 1 steps, in all lanes.
    void (*sliding)(const Group<T> &a, const Group<T> &b, const Index start[], Index stride, Index last, T *const out[],
                    T *room);
    // out = a ⊗ b, in rows of words; idle lanes, the last ones, have null pointers. One row needs no scratch.
    Index (*algebra_size)(int channels, int depth);
    void (*product)(int channels, int depth, const Rows<const T> &a, const Rows<const T> &b, const Rows<T> &out,
                    T *scratch);
    void (*product_backward)(int channels, int depth, const Rows<const T> &a, const Rows<const T> &b,
                             const Rows<const T> &gradient, const Rows<T> &a_gradient, const Rows<T> &b_gradient,
                             T *scratch);
    // out = the sum of coefficients[m - 1] · x⊗…⊗x, m factors, m = 1 … depth.
    void (*series)(int channels, int depth, const T *coefficients, const Rows<const T> &x, const Rows<T> &out,
                   T *scratch);
    void (*series_backward)(int channels, int depth, const T *coefficients, const Rows<const T> &x,
                            const Rows<const T> &gradient, const Rows<T> &x_gradient, T *scratch);
};

// Of the instruction set that the engine uses.
template <class T> const Kernels<T> &kernels();

}  // namespace sdtw::signatures

#define SDTW_DECLARE_SIGNATURES(isa)                            \
    namespace sdtw::isa {                                       \
    extern const signatures::Kernels<float> float_signatures;   \
    extern const signatures::Kernels<double> double_signatures; \
    }

SDTW_EACH_ISA(SDTW_DECLARE_SIGNATURES)
