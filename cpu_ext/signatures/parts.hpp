// Paths as the kernels take them: in parts, a part a lane or some lanes a part; memory and threads for the work.
#pragma once

#include <atomic>

#include "../team.hpp"
#include "buffer.hpp"
#include "engine.hpp"
#include "plan.hpp"

namespace sdtw::signatures {

constexpr double worth_a_thread = 2e6;  // multiply-adds

inline int team_size(int n_threads, Index units, double work) {
    const double most = std::min({static_cast<double>(n_threads), static_cast<double>(units), work / worth_a_thread});
    return std::max(1, static_cast<int>(most));
}

// Calls work(scratch, unit) for all units. Thread i begins with unit i: what the units of the last call and of the last
// step left in its cache is still there.
template <class T, class Work>
void share(int n_threads, Index units, double cost, Index scratch_size, std::atomic<bool> &stop, Work &&work) {
    const int team = team_size(n_threads, units, cost);
    std::atomic<Index> next{team};
    run_team(team, stop, [&](int thread) {
        Buffer<T> scratch(scratch_size);
        for (Index i = thread; !stop && i < units; i = next++) work(scratch.data(), i);
    });
}

// The paths, each cut into parts of nearly equal length, or its windows: part i of a path is a path of its own.
template <class T> struct Parts {
    const Paths<T> &paths;
    Index per_path;
    int depth, prefix;
    Index slots;                // lanes that a path takes
    const T *starts = nullptr;  // (n_paths, per_path, words): what the next part begins with

    static Index count_per_path(const Paths<T> &paths, int depth, bool stream) {
        if (paths.windows) return paths.n_windows;
        return stream ? 1 : count_parts(paths.n_paths, paths.steps(), paths.channels, depth);
    }

    Parts(const Paths<T> &paths_, int depth_, bool stream, int n_threads)
        : paths(paths_), per_path(count_per_path(paths_, depth_, stream)), depth(depth_),
          prefix(choose_prefix(count(), paths_.channels, depth_, kernels<T>().lanes, static_cast<int>(sizeof(T)),
                               n_threads)),
          slots(1) {
        for (int i = 0; i < prefix; ++i) slots *= paths.channels;
    }

    Index count() const { return paths.n_paths * per_path; }
    Index begin(Index piece) const {
        return paths.windows ? paths.windows[2 * piece] : paths.steps() * piece / per_path;
    }
    Index end(Index piece) const {
        return paths.windows ? paths.windows[2 * piece + 1] - 1 : paths.steps() * (piece + 1) / per_path;
    }
    Index longest() const {
        Index most = 0;
        for (Index i = 0; i < per_path; ++i) most = std::max(most, end(i) - begin(i));
        return most;
    }
    // Whole parts, a power of two; 1 also where parts lie across the bounds of groups.
    Index in_group() const { return kernels<T>().lanes % slots == 0 ? kernels<T>().lanes / slots : 1; }
    Index groups() const { return (count() * slots + kernels<T>().lanes - 1) / kernels<T>().lanes; }
    double cost() const {
        Index steps = 0;
        for (Index i = 0; i < per_path; ++i) steps += end(i) - begin(i);
        return static_cast<double>(paths.n_paths) * static_cast<double>(steps) * step_cost(paths.channels, depth);
    }

    // Lanes from `first` on, lane l being word `first + l` % slots of part (first + l) / slots. Lanes not before `last`
    // are idle. part[l] is -1 there.
    Group<T> group(Index first, Index last, const T *initial, Index words, T *scratch, Index *part) const {
        Group<T> g{};
        const int d = paths.channels;
        g.channels = d;
        g.depth = depth;
        g.prefix = prefix;
        g.scratch = scratch;
        g.room = longest();
        for (int l = 0; l < kernels<T>().lanes; ++l) {
            const Index slot = first + l;
            part[l] = slot < last ? slot / slots : -1;
            if (slot >= last) continue;
            const Index path = part[l] / per_path, piece = part[l] % per_path;
            const Index from = begin(piece), to = end(piece);
            const T *points = paths.points + path * paths.n_points * d;
            const T *before = points;
            if (paths.basepoints)
                before = paths.basepoints + path * d;
            else
                points += d;
            const Index length = paths.lengths ? paths.lengths[path] - (paths.basepoints ? 0 : 1) : paths.steps();
            g.steps[l] = std::clamp<Index>(length - from, 0, to - from);
            // Nothing is read behind the end of a path: anything may stand there.
            g.before[l] = g.steps[l] == 0 ? nullptr : from > 0 ? points + (from - 1) * d : before;
            g.points[l] = points + from * d;
            g.longest = std::max(g.longest, g.steps[l]);
            g.rows[l] = to - from;
            g.initial[l] = initial && piece == 0 ? initial + path * words : nullptr;
            if (starts && piece > 0) g.initial[l] = starts + (part[l] - 1) * words;
            Index word = slot % slots;
            for (int i = prefix - 1; i >= 0; --i, word /= d) g.prefix_index[i][l] = word;
            Index below = 1;  // the owner of a beginning is the lane whose other letters are all 0
            for (int i = prefix - 1; i >= 0; --i, below *= d) g.owns[i][l] = slot % slots % below == 0;
        }
        return g;
    }
};

// Whether so many numbers, of one result, are more than the caches keep until somebody reads them.
template <class T> bool exceeds_caches(Index numbers) { return numbers * static_cast<Index>(sizeof(T)) > (16 << 20); }

template <class T, class R> Rows<R> rows_at(R *base, Index size, const Index *index, int lanes, Index stride = 0) {
    Rows<R> rows{};
    rows.stride = stride;
    for (int l = 0; l < lanes; ++l) rows.row[l] = index[l] >= 0 && base ? base + index[l] * size : nullptr;
    return rows;
}

}  // namespace sdtw::signatures
