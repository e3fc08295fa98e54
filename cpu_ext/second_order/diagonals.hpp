// What the kernel of second derivatives is given: one pair, its cells by anti-diagonals.
//
// Cell (i, j) lies on diagonal k = i + j; a diagonal's cells are neighbours in memory, by increasing i, so that a vector
// takes several of them at once. Along it x runs forward and y backward: y is given from its last time step to its first.
#pragma once

#include <cstdint>

#include "../engine.hpp"

namespace sdtw {

// No vector has more doubles: arrays have room for as many numbers before and behind.
constexpr std::int64_t diagonal_room = 8;

struct Diagonals {
    std::int64_t n, m, features;
    Cost cost;
    double factor;              // −log2(e)/gamma; 0 where hard
    double inverse_gamma;       // 0 where hard: there the alignment does not change
    double stretch;             // V has stretch·D in it: a change of gamma acts on the paths as −D/gamma does
    bool hard;                  // the path of least cost instead of all
    const double *x, *wx;       // [feature][n]: the series, and the direction in which it moves (null: not at all)
    const double *y, *wy;       // [feature][m], reversed
    std::int64_t x_row, y_row;  // from feature to feature
    const double *costs, *V;    // precomputed costs and their direction, by diagonals; else null
    const double *low, *high;   // [n]: cells low <= j < high lie inside the band; null without one
    double *table;              // scratch: five numbers for every cell
    double *rolling;            // scratch: rolling_size(n)
    double *grad_x, *grad_y;    // [feature][n], [feature][m] reversed, added to; null with precomputed costs
    double *change;             // by diagonals: how E changes; null unless wanted
    double spread;              // out: the sum of D·change

    // Rows of the cells of a diagonal. Always inline: each instruction set must keep to its own code.
    __attribute__((always_inline)) std::int64_t first(std::int64_t k) const { return k < m ? 0 : k - m + 1; }
    __attribute__((always_inline)) std::int64_t last(std::int64_t k) const { return k < n ? k : n - 1; }
    __attribute__((always_inline)) static std::int64_t rolling_size(std::int64_t n) {
        return 18 * (n + 2 * diagonal_room);
    }
};

using SecondOrderKernel = void (*)(Diagonals &);

}  // namespace sdtw
