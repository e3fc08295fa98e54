// What a kernel is given: a rectangle of the table, for one pair in each lane. No Python, no allocation, no threads.
//
// Every array has the lanes innermost: [..][lane]. A cell of the soft table is a scaled number m·2^e, kept as two
// values of T (e is integral); a cell of the hard table is one value, kept in the place of m.
#pragma once

#include <cstdint>

#include "engine.hpp"

namespace sdtw {

// An exponent that stands for "no path comes here": far below any real one, and safe to add to.
template <class T> constexpr T no_path = static_cast<T>(-1e30);
template <class T> constexpr T is_nothing = no_path<T> / 10;  // exponents below mean "no path"

// No instruction set has more lanes.
constexpr int most_lanes = 64;

// Gammas that one sweep over the costs serves; longer lists take several.
constexpr int max_gammas = 16;

// The cells around the rectangle, for one gamma: in, the row above and the column to the left; out, the last row and
// the last column. corner: in, the cell above and left of (0, 0); out, the one below and left of the rectangle.
template <class T> struct Frontier {
    T *top_m, *top_e, *left_m, *left_e, *corner_m, *corner_e;
    T factor;                    // −log2(e)/gamma; 0 stands for gamma = infinity
    bool hard;                   // gamma = 0
    int wait = 0, patience = 0;  // tiles to go before the shared-exponent sweep is tried again; the last such wait
};

template <class T> struct Region {
    std::int64_t rows, cols, features;
    Cost cost;
    const T *x;           // [rows][features][lane]
    const T *y;           // [cols][features][lane]
    const T *costs;       // [rows][cols][lane], precomputed costs only
    const T *low, *high;  // [rows][lane]: cells low <= j < high lie inside the band; null without a band
    Frontier<T> *frontiers;
    int n_gammas;
    const std::int32_t *end_row, *end_col;  // [lane]: the last cell of the lane's pair, negative when elsewhere
    T *end_m, *end_e;                       // [gamma][lane]: its value
};

// The rectangle once more, for gradients: one gamma, weights of all cells kept, flows of probability sent back.
template <class T> struct Reversal {
    T *weight_up, *weight_left, *weight_diag;  // scratch, [rows][cols][lane]: the share of each predecessor
    T *cost, *slope;                           // scratch, [rows][cols][lane]: D, null without expected_cost; and
                                               // dD/d(x − y) per unit of x − y, null unless slope_varies
    T *alignment;                              // [rows][cols][lane]: E, within the spans
    std::int32_t *span;                        // scratch, [rows][2]: columns that the forward sweep visited
    T *below_up, *below_diag;                  // [cols]: flows into the last row; out: into the row above
    T *right_left, *right_diag;                // [rows]: flows into the last column; out: into the column left of it
    T *corner_out;                             // [lane]: flow into the cell above and left of (0, 0)
    T *grad_x, *grad_y;                        // [rows][features][lane], [cols][features][lane], added to; still to
                                               // be multiplied by constant_slope. grad_y or both may be null
    T *expected_cost, *entropy;                // [rows][lane], added to; or null
};

// dD/d(x − y) = slope·(x − y); for Manhattan costs, slope·sign(x − y).
constexpr bool slope_varies(CostKind kind) { return kind == CostKind::euclidean || kind == CostKind::gak; }
constexpr double constant_slope(Cost cost) { return cost.kind == CostKind::sqeuclidean ? 2 * cost.scale : 1.0; }

// One instruction set's kernels, for one type.
template <class T> struct Kernels {
    int lanes;
    void (*forward)(Region<T> &);
    void (*backward)(Region<T> &, Reversal<T> &);
};

}  // namespace sdtw
