// How paths are put into lanes: cut along time, cut by the first letters of words, grouped.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>

#include "table.hpp"

namespace sdtw::signatures {

// Multiply-adds of one step of one path.
inline double step_cost(int channels, int depth) {
    double total = 0, size = channels;
    for (int k = 2; k <= depth; ++k) total += (depth - k + 1) * (size *= channels);
    return total + channels;
}

// Of one product.
inline double product_cost(int channels, int depth) {
    double total = 0, size = channels;
    for (int k = 2; k <= depth; ++k) total += (k - 1) * (size *= channels);
    return total;
}

// Into how many parts of equal length each path is cut, so that the lanes of two threads are filled: more would have to
// be multiplied. It does not depend on the number of threads, so neither does the result.
inline Index count_parts(Index n_paths, Index steps, int channels, int depth) {
    constexpr Index wanted = 32, shortest = 48;
    constexpr double most_numbers = 1 << 21;
    const double words = static_cast<double>(count_words(channels, depth));
    const double in_steps = 8 * product_cost(channels, depth) / step_cost(channels, depth);
    const Index by_length = steps / std::max<Index>(shortest, static_cast<Index>(in_steps));
    const auto by_memory = static_cast<Index>(most_numbers / (words * static_cast<double>(n_paths)));
    return std::max<Index>(1, std::min({wanted / n_paths, by_length, by_memory}));
}

// How many letters of the words the lanes fix. More letters: a smaller table to walk through, and filled lanes where
// paths are few, and work for each thread; but what the lanes share is computed by each.
inline int choose_prefix(Index n_paths, int channels, int depth, int lanes, int bytes, int n_threads) {
    int best = 0;
    double best_cost = HUGE_VAL;
    Index slots = n_paths;
    for (int m = 0; m < depth && m <= most_prefix && slots / n_paths <= 256; ++m, slots *= channels) {
        if (m > 0 && channels < 2) break;
        const double nodes = static_cast<double>(m + count_words(channels, depth - m));
        const double table = nodes * lanes * bytes;
        const double slow = table < 400e3 ? 1 : table < 900e3 ? 1.25 : 2;
        const auto groups = static_cast<double>(((slots + lanes - 1) / lanes + n_threads - 1) / n_threads);
        const double step = slow * step_cost(channels, depth - m) + m * (depth + channels) + 4.0 * channels + 20;
        if (groups * step < best_cost) best_cost = groups * step, best = m;
    }
    return best;
}

}  // namespace sdtw::signatures
