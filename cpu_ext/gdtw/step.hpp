// One step of the dynamic program over grids, compiled for each instruction set.
#pragma once

#include "problem.hpp"

namespace sdtw::gdtw {

// Rows are padded by this: costs with infinity, times with the last one.
constexpr Index row_padding = 32;

// out[j] = min_k costs[k] + price(to[j] - from[k]) over all k with low <= to[j] - from[k] <= high; choice[j] is that k,
// or -1 where there is none. Both grids increase.
struct Step {
    const double *from, *costs;
    Index n_from;
    const double *to;
    Index n_to;
    Loss loss;
    double middle, scale, arm;  // price(d) = scale * loss(d - middle), Huber's delta is arm
    double low, high;
    double *out;
    std::int32_t *choice;
};

// costs[j] += weight * (values[cell[j]] + share[j] * rises[cell[j]] - bulge[j]): squares of distances within segments,
// which are linear between the samples but for a bulge that depends on the place only.
struct Nodes {
    double *costs;
    Index count;
    double weight;
    const double *values, *rises;
    const std::int32_t *cell;
    const double *share, *bulge;
};

// squares[k] += (x[k] - y)^2
struct Distances {
    double *squares;
    Index count;
    const double *x;
    double y;
};

struct GridFunctions {
    void (*step)(const Step &);
    void (*nodes)(const Nodes &);
    void (*distances)(const Distances &);
};

const GridFunctions *grid_functions();

}  // namespace sdtw::gdtw
