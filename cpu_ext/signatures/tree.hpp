// Joins the signatures of the parts of a path.
#pragma once

#include <cstring>
#include <vector>

#include "parts.hpp"

namespace sdtw::signatures {

// Products of neighbours, of their neighbours, …: level i of the tree holds n_paths * count(i) rows of `stride`.
template <class T> struct Tree {
    Index n_paths, stride;
    int channels, depth;
    std::vector<Index> counts;
    std::vector<T *> levels;
    std::vector<Buffer<T>> memory;

    Tree(Index n_paths_, Index parts, int channels_, int depth_, Index stride_)
        : n_paths(n_paths_), stride(stride_), channels(channels_), depth(depth_) {
        for (Index n = parts;; n = (n + 1) / 2) {
            counts.push_back(n);
            memory.emplace_back(n_paths * n * stride);
            levels.push_back(memory.back().data());
            if (n == 1) break;
        }
    }

    T *row(std::size_t level, Index path, Index i) const { return levels[level] + (path * counts[level] + i) * stride; }

    // Calls work(path, pair, level) for all pairs that level + 1 is made of, `lanes` at a time.
    template <class Work> void pairs(std::size_t level, Work &&work) const {
        const int lanes = kernels<T>().lanes;
        const Index per_path = counts[level] / 2;
        for (Index first = 0; first < n_paths * per_path; first += lanes) {
            Index path[most_lanes], pair[most_lanes];
            const int n = static_cast<int>(std::min<Index>(lanes, n_paths * per_path - first));
            for (int l = 0; l < n; ++l) path[l] = (first + l) / per_path, pair[l] = (first + l) % per_path;
            work(n, path, pair);
        }
    }

    void multiply(T *scratch, Index words) {
        for (std::size_t i = 0; i + 1 < counts.size(); ++i) {
            pairs(i, [&](int n, const Index *path, const Index *pair) {
                Rows<const T> a{}, b{};
                Rows<T> out{};
                for (int l = 0; l < n; ++l) {
                    a.row[l] = row(i, path[l], 2 * pair[l]);
                    b.row[l] = row(i, path[l], 2 * pair[l] + 1);
                    out.row[l] = row(i + 1, path[l], pair[l]);
                }
                kernels<T>().product(channels, depth, a, b, out, scratch);
            });
            if (counts[i] % 2)
                for (Index p = 0; p < n_paths; ++p)
                    std::memcpy(row(i + 1, p, counts[i + 1] - 1), row(i, p, counts[i] - 1),
                                static_cast<std::size_t>(words) * sizeof(T));
        }
    }
};

}  // namespace sdtw::signatures
