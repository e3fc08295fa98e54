// The signature operators of the CPU engine: plain pointers in, plain pointers out.
#pragma once

#include <atomic>

#include "table.hpp"

namespace sdtw::signatures {

template <class T> struct Paths {
    const T *points;       // (n_paths, n_points, channels)
    const T *basepoints;   // (n_paths, channels) or null: the first point begins the path
    const Index *lengths;  // points of each path, or null: all
    const Index *windows;  // (n_windows, 2), the points [start, end) of each; or null
    Index n_windows;
    Index n_paths, n_points;
    int channels;

    Index steps() const { return basepoints ? n_points : n_points - 1; }
};

// Signatures up to `depth` into out, (n_paths, words) or, of all beginnings, (n_paths, steps, words).
// initial: (n_paths, words) or null. After its length a path stands still. With windows, which exclude basepoints,
// stream and initial, (n_paths, n_windows, words).
template <class T>
void signature(const Paths<T> &paths, int depth, bool stream, const T *initial, T *out, int n_threads,
               std::atomic<bool> &stop);

// Given the gradient of out, sets that of points and, where not null, of basepoints and initial.
// In streams `out` is what signature gave, otherwise it is not used.
template <class T>
void signature_gradient(const Paths<T> &paths, int depth, bool stream, const T *initial, const T *out,
                        const T *gradient, T *points, T *basepoints, T *initials, int n_threads,
                        std::atomic<bool> &stop);

// Row by row: out = a ⊗ b, (n_rows, words) each.
template <class T>
void product(Index n_rows, int channels, int depth, const T *a, const T *b, T *out, int n_threads,
             std::atomic<bool> &stop);
template <class T>
void product_gradient(Index n_rows, int channels, int depth, const T *a, const T *b, const T *gradient, T *a_gradient,
                      T *b_gradient, int n_threads, std::atomic<bool> &stop);

// Row by row: out = Σ coefficients[m - 1] x⊗…⊗x; logarithm, exponential and inverse are such series.
template <class T>
void series(Index n_rows, int channels, int depth, const double *coefficients, const T *x, T *out, int n_threads,
            std::atomic<bool> &stop);
template <class T>
void series_gradient(Index n_rows, int channels, int depth, const double *coefficients, const T *x, const T *gradient,
                     T *x_gradient, int n_threads, std::atomic<bool> &stop);

}  // namespace sdtw::signatures
