// Paths that are put together out of the points of others.
#pragma once

#include <algorithm>
#include <cstring>

#include "table.hpp"

namespace sdtw::signatures {

// Points (n_paths, n_points, channels), of which one is taken after the other: index (n_paths, length), where -1 stands
// for the origin. A stride of 0 between paths: the same for all.
template <class T> struct Choice {
    const T *points;
    const Index *index;
    Index points_stride, index_stride, length;
    int channels;
};

// `fixed` channels, or as many as there are if it is 0. out: (n_paths, length, channels of all choices).
template <int fixed, class T> void take_all(const Choice<T> &from, Index n_paths, T *out, int out_channels) {
    const int channels = fixed ? fixed : from.channels;
    for (Index p = 0; p < n_paths; ++p) {
        const T *points = from.points + p * from.points_stride;
        const Index *index = from.index + p * from.index_stride;
        for (Index t = 0; t < from.length; ++t, out += out_channels) {
            if (index[t] < 0)
                std::fill(out, out + channels, T(0));
            else
                std::memcpy(out, points + index[t] * channels, static_cast<std::size_t>(channels) * sizeof(T));
        }
    }
}

template <class T> void take_points(const Choice<T> &from, Index n_paths, T *out, int out_channels) {
    switch (from.channels) {
        case 1: return take_all<1>(from, n_paths, out, out_channels);
        case 2: return take_all<2>(from, n_paths, out, out_channels);
        case 3: return take_all<3>(from, n_paths, out, out_channels);
        case 4: return take_all<4>(from, n_paths, out, out_channels);
        default: return take_all<0>(from, n_paths, out, out_channels);
    }
}

}  // namespace sdtw::signatures
