// The signature-kernel operators of the CPU engine: plain pointers in, plain pointers out.
#pragma once

#include <atomic>

#include "../engine.hpp"
#include "table.hpp"

namespace sdtw::signature_kernel {

// paired: x[i] with y[i]. full: all pairs. upper: all pairs of x, y being x.
// precomputed: the increments of the static kernel of each pair, (n_x, x_points - 1, y_points - 1); x and y are null.
template <class T> struct Task {
    const T *x, *y;  // (n_x, x_points, channels), (n_y, y_points, channels)
    const T *increments;
    const Index *x_lengths, *y_lengths;  // points of each path, or null: all
    Index n_x, n_y, x_points, y_points, channels;
    Pairing pairing;
    Static kind;
    double scale;  // linear: of the inner product; rbf: of the squared distance in exp(−…)
    int x_refinement, y_refinement, depth;

    double cells() const;
};

// out: (n_x, n_y), for paired (n_x,).
template <class T> void values(const Task<T> &task, T *out, int n_threads, std::atomic<bool> &stop);

// Given weights, shaped as out, adds the gradients of Σ weights · values; null pointers are not computed. upper: only
// the weights of i <= j count, and all goes to x.
template <class T>
void gradients(const Task<T> &task, const T *weights, T *x, T *y, T *increments, int n_threads,
               std::atomic<bool> &stop);

}  // namespace sdtw::signature_kernel
