// Batches as tensors hold them: every sample has room for the same number of time steps, and a length of its own.
//
// A sample with a value that is not finite, or whose costs overflow, is answered with NaN; the others do not notice.
#pragma once

#include "engine.hpp"

namespace sdtw {

// x is (count, n, features), y (count, m, features); with precomputed costs both are null and costs is (count, n, m).
template <class T> struct Padded {
    const T *x, *y, *costs;
    const std::int64_t *x_lengths, *y_lengths;  // (count,), or null where all samples are full
    std::int64_t count, n, m, features;
    const double *gammas;  // one, or (count,)
    bool one_gamma;
    Cost cost;
    Band band;
};

template <class T> std::int64_t length_x(const Padded<T> &b, std::int64_t k) {
    return b.x_lengths ? b.x_lengths[k] : b.n;
}
template <class T> std::int64_t length_y(const Padded<T> &b, std::int64_t k) {
    return b.y_lengths ? b.y_lengths[k] : b.m;
}

// Null pointers are not computed. value and gamma (the derivative with respect to it) are (count,); x, y and alignment
// as the inputs, with zeros behind the end of a sample.
template <class T> struct PaddedGradients {
    T *value, *x, *y, *gamma, *alignment;
    bool wanted() const { return x || y || gamma || alignment; }
};

template <class T>
void padded_gradient(const Padded<T> &batch, const PaddedGradients<T> &out, int n_threads, std::atomic<bool> &stop);

// The values of all pairs, (count, count_y), with one gamma. y null: all pairs of x, and count_y is not used.
template <class T>
void padded_pairwise(const Padded<T> &batch, std::int64_t count_y, T *values, int n_threads, std::atomic<bool> &stop);

// Cotangents of the gradients: what multiplies each of them in a scalar S = <x, grad x> + <y, grad y> + <gamma, slope>,
// or, with precomputed costs, <alignment, E> + <gamma, slope>. Null: zero.
template <class T> struct Cotangents {
    const T *x, *y, *gamma, *alignment;
};

// Derivatives of S, null pointers not computed; gamma is (count,), the others as the inputs.
template <class T> struct SecondGradients {
    T *x, *y, *gamma, *costs;
};

template <class T>
void padded_second_order(const Padded<T> &batch, const Cotangents<T> &direction, const SecondGradients<T> &out,
                         int n_threads, std::atomic<bool> &stop);

// Which samples can be computed; and the answer for those that cannot.
template <class T> bool is_usable(const Padded<T> &batch, std::int64_t sample);
template <class T> void fill_nan(const Padded<T> &batch, const PaddedGradients<T> &out, std::int64_t sample);

}  // namespace sdtw
