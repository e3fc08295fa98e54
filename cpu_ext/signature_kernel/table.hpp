// What the signature-kernel sweeps compute on, and the table that each instruction set fills.
#pragma once

#include <cstdint>

#include "../instruction_sets.hpp"

namespace sdtw::signature_kernel {

using Index = std::int64_t;

enum class Static : int { linear = 0, rbf = 1, precomputed = 2 };

constexpr int most_depth = 32;
constexpr int chunk = 8;  // columns whose increments are computed at once

// One pair in each lane; lanes are innermost in every array. Row i and column j of the table stand for a step of x and
// of y, whose increment of the static kernel is g[i][j]; a lane that is shorter has increments of zero at its end,
// which leave all values as they are. Rows are padded to a multiple of 8, columns by 24.
template <class T> struct Pack {
    Index rows, cols;  // the largest number of steps of any lane
    Index channels;
    Static kind;
    int x_refinement, y_refinement;  // each step is cut into 2^refinement; depth 0 only
    int depth;                       // words of more letters do not count; 0: all count
    // linear: increments, of x times `factor`; [step][channel][lane]. rbf: points, one more than steps, in units where
    // the static kernel is 2^−|x − y|². precomputed: both null.
    const T *x, *y;
    const T *increments;  // precomputed: [row][col][lane], not scaled
    T factor;             // of g, see scaled_increment
    // One pair: lane l of strip s has rows from ((s · lanes + l) · strip) >> x_refinement on, wave_rows of them, and its
    // columns are wave_skew >> y_refinement behind those of lane l − 1. Without a depth only.
    bool wave;
};

// Where the gradients of a pack go: all added to, in the layouts of x, y and increments, for x and y as they are packed
// (for linear ones: of x without the factor). Null: not wanted.
template <class T> struct PackGradients {
    const T *weights;  // [lane]
    T *x, *y, *increments;
};

// The sweeps use g' = g/√12 per refined cell: 1 + g/2 + g²/12 is then 1 + √3 g' + g'².
inline double scaled_increment(int x_refinement, int y_refinement) {
    return 0.28867513459481288 / static_cast<double>(std::int64_t(1) << (x_refinement + y_refinement));
}

template <class T> struct Kernels {
    int lanes, strip;  // strip: refined rows that are swept together
    Index (*wave_rows)(const Pack<T> &);
    Index (*wave_skew)(int y_refinement);  // refined columns
    // Of scratch, in numbers; it is aligned to 64 bytes.
    Index (*scratch_size)(const Pack<T> &, bool gradient);
    void (*value)(const Pack<T> &, T *out, T *scratch);  // of a wave: in its last lane
    void (*gradient)(const Pack<T> &, const PackGradients<T> &, T *scratch);
};

}  // namespace sdtw::signature_kernel

#define SDTW_DECLARE_SIGNATURE_KERNELS(isa)                                  \
    namespace sdtw::isa {                                                    \
    extern const signature_kernel::Kernels<float> float_signature_kernels;   \
    extern const signature_kernel::Kernels<double> double_signature_kernels; \
    }

SDTW_EACH_ISA(SDTW_DECLARE_SIGNATURE_KERNELS)
