// Windows of one size at equal distances: blocks of that size, a lane each, and one product a window.
#pragma once

#include "parts.hpp"

namespace sdtw::signatures {

// Whether windows are at equal distances and overlap so much that a product is cheaper than their steps.
template <class T> bool worth_sliding(const Paths<T> &paths, int depth) {
    constexpr double most_room = 8 << 20;  // bytes
    if (!paths.windows || paths.n_windows < 2 || paths.windows[0] != 0) return false;
    const Index *w = paths.windows, size = w[1] - w[0], stride = w[2] - w[0];
    if (stride < 1) return false;
    for (Index i = 0; i < paths.n_windows; ++i)
        if (w[2 * i] != i * stride || w[2 * i + 1] != i * stride + size) return false;
    const double words = static_cast<double>(count_words(paths.channels, depth)), steps = static_cast<double>(size - 1);
    const double step = step_cost(paths.channels, depth);
    return steps * words * kernels<T>().lanes * sizeof(T) < most_room &&
           2 * static_cast<double>(stride) * step + product_cost(paths.channels, depth) < 0.7 * steps * step;
}

template <class T>
void slide(const Paths<T> &paths, int depth, T *out, int n_threads, std::atomic<bool> &stop) {
    const int lanes = kernels<T>().lanes, d = paths.channels;
    const Index words = count_words(d, depth), steps = paths.windows[1] - 1, stride = paths.windows[2];
    const Index last = stride * (paths.n_windows - 1), blocks = last / steps + 1, all = paths.n_paths * blocks;
    const Index scratch = kernels<T>().scratch_size(d, depth, 0, steps, true, false);
    const double cost = static_cast<double>(all * steps) *
                        (2 * step_cost(d, depth) + product_cost(d, depth) / static_cast<double>(stride));
    const Index room = (steps + 1) * words * lanes;
    share<T>(n_threads, (all + lanes - 1) / lanes, cost, 2 * scratch + room, stop, [&](T *memory, Index i) {
        Group<T> pair[2] = {};
        Index start[most_lanes] = {};
        T *rows[most_lanes] = {};
        for (int k = 0; k < 2; ++k) {
            Group<T> &g = pair[k];
            g.channels = d;
            g.depth = depth;
            g.longest = g.room = steps;
            g.scratch = memory + k * scratch;
            g.past_caches = exceeds_caches<T>(paths.n_paths * paths.n_windows * words);
            for (int l = 0; l < lanes && i * lanes + l < all; ++l) {
                const Index path = (i * lanes + l) / blocks, first = ((i * lanes + l) % blocks + k) * steps;
                const Index length = paths.lengths ? paths.lengths[path] - 1 : paths.steps();
                g.before[l] = paths.points + (path * paths.n_points + std::min(first, length)) * d;
                g.points[l] = g.before[l] + d;
                g.steps[l] = std::clamp<Index>(length - first, 0, steps);
                if (k == 0) start[l] = first, rows[l] = out + path * paths.n_windows * words;
            }
        }
        kernels<T>().sliding(pair[0], pair[1], start, stride, last, rows, memory + 2 * scratch);
    });
}

}  // namespace sdtw::signatures
