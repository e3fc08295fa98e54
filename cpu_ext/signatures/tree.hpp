// Joins the signatures of the parts of a path.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

#include "parts.hpp"

namespace sdtw::signatures {

// Products of neighbours, of their neighbours, …: level i of the tree holds n_paths * counts[i] rows of `stride`. Who makes
// some neighbouring parts also joins them, as far as they are a branch, `twig` levels high, and takes it apart again going
// back; above, threads take branches of their own. The order of products is that of the tree, whoever makes them.
template <class T> struct Tree {
    Index n_paths, stride, in_group;
    int channels, depth, twig;
    std::vector<Index> counts;
    std::vector<T *> levels;
    std::vector<Buffer<T>> memory;

    Tree(const Parts<T> &parts, Index stride_)
        : n_paths(parts.paths.n_paths), stride(stride_), channels(parts.paths.channels) {
        for (Index n = parts.per_path;; n = (n + 1) / 2) {
            counts.push_back(n);
            memory.emplace_back(n_paths * n * stride);
            levels.push_back(memory.back().data());
            if (n == 1) break;
        }
        made_of(parts);
    }

    // The same parts, in groups perhaps of another size, and up to another level.
    void made_of(const Parts<T> &parts) {
        depth = parts.depth;
        in_group = parts.in_group();
        twig = std::countr_zero(static_cast<std::uint64_t>(n_paths > 1 ? std::gcd(in_group, counts[0]) : in_group));
        twig = std::min(top(), twig);
    }

    int top() const { return static_cast<int>(counts.size()) - 1; }
    T *row(int level, Index path, Index i) const { return levels[level] + (path * counts[level] + i) * stride; }

    // The twigs of a group, out of its parts.
    void join_twigs(Index group) {
        over_twigs(group, [&](Index path, Index i) { gather(twig, 0, path, i); });
    }
    // The adjoint: `back` holds the gradients of twigs, and gets those of parts.
    void split_twigs(Tree &back, Index group) {
        over_twigs(group, [&](Index path, Index i) { scatter(back, twig, 0, path, i); });
    }

    // From the twigs up. cost: of the work that the team has just done.
    void multiply(int n_threads, double cost, std::atomic<bool> &stop) {
        const int branch = branches(n_threads);
        over_branches(n_threads, cost, stop, branch, [&](Index path, Index i) { gather(branch, twig, path, i); });
        for (Index p = 0; p < n_paths && !stop; ++p) gather(top(), branch, p, 0);
    }

    // The adjoint, from the top down to twigs: `back` holds the gradient of this tree's top.
    void multiply_backward(Tree &back, int n_threads, double cost, std::atomic<bool> &stop) {
        const int branch = branches(n_threads);
        for (Index p = 0; p < n_paths && !stop; ++p) scatter(back, top(), branch, p, 0);
        over_branches(n_threads, cost, stop, branch,
                      [&](Index path, Index i) { scatter(back, branch, twig, path, i); });
    }

  private:
    // The highest level with work for all threads.
    int branches(int n_threads) const {
        int level = top();
        while (level > twig && n_paths * counts[level] < n_threads) --level;
        return level;
    }

    template <class Work> void over_twigs(Index group, Work &&work) const {
        const Index end = std::min((group + 1) * in_group, n_paths * counts[0]);
        for (Index i = group * in_group; i < end && twig > 0; i += Index(1) << twig)
            work(i / counts[0], i % counts[0] >> twig);
    }

    template <class Work>
    void over_branches(int n_threads, double cost, std::atomic<bool> &stop, int level, Work &&work) {
        if (level == twig) return;
        share<T>(n_threads, n_paths * counts[level], cost, 0, stop,
                 [&](T *, Index i) { work(i / counts[level], i % counts[level]); });
    }

    static Rows<T> one(T *row) { return {{row}, 0}; }
    static Rows<const T> one_of(const T *row) { return {{row}, 0}; }
    bool has_pair(int level, Index i) const { return 2 * i + 1 < counts[level - 1]; }

    // Node i of the level out of those of level `from` below it.
    void gather(int level, int from, Index path, Index i) {
        if (level == from) return;
        T *left = row(level - 1, path, 2 * i);
        gather(level - 1, from, path, 2 * i);
        if (!has_pair(level, i)) {
            std::memcpy(row(level, path, i), left, static_cast<std::size_t>(count_words(channels, depth)) * sizeof(T));
            return;
        }
        gather(level - 1, from, path, 2 * i + 1);
        kernels<T>().product(channels, depth, one_of(left), one_of(left + stride), one(row(level, path, i)), nullptr);
    }

    void scatter(Tree &back, int level, int to, Index path, Index i) {
        if (level == to) return;
        const T *left = row(level - 1, path, 2 * i), *incoming = back.row(level, path, i);
        T *left_back = back.row(level - 1, path, 2 * i);
        if (!has_pair(level, i)) {
            std::memcpy(left_back, incoming, static_cast<std::size_t>(stride) * sizeof(T));
        } else {
            kernels<T>().product_backward(channels, depth, one_of(left), one_of(left + stride), one_of(incoming),
                                          one(left_back), one(left_back + stride), nullptr);
            scatter(back, level - 1, to, path, 2 * i + 1);
        }
        scatter(back, level - 1, to, path, 2 * i);
    }
};

}  // namespace sdtw::signatures
