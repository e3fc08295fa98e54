// One step of the dynamic program over grids, compiled for each instruction set.
#pragma once

#include "problem.hpp"

namespace sdtw::gdtw {

// Rows are padded to a multiple of this and a vector more: costs with infinity, times with the last one.
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

using StepFunction = void (*)(const Step &);

StepFunction step_function();

}  // namespace sdtw::gdtw
