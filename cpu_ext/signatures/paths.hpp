// A group of paths, block after block: increments into lanes, walks through the words, results back into rows.
#pragma once

#include "walk.hpp"

namespace sdtw::SDTW_ISA {

using signatures::count_words;
using signatures::Group;
using signatures::most_prefix;
using signatures::Rows;

// Vectors of the words of a lane: one for each level of the prefix, then all endings.
SDTW_INLINE Index count_nodes(int channels, int depth, int prefix) {
    return depth <= prefix ? depth : prefix + count_words(channels, depth - prefix);
}

// Blocks whose states are kept between two that are kept for all of the path: memory grows with its square root.
SDTW_INLINE Index blocks_of_segment(Index blocks, Index nodes) {
    constexpr Index freely = 1 << 14;  // vectors, a second cache: from the last one they come no faster than made again
    if (blocks * nodes <= freely) return blocks > 0 ? blocks : 1;
    Index root = 1;
    while (root * root < blocks) ++root;
    return root;
}

// Cuts scratch memory into arrays; without memory it only counts.
template <class T> struct Workspace {
    T *base;
    Index used = 0;

    T *take(Index vectors) {
        T *p = base ? base + used : nullptr;
        used += vectors * lane_count<T>;
        return p;
    }
};

template <class T> class GroupRun {
    static constexpr int L = lane_count<T>;

  public:
    GroupRun(const Group<T> &group, Workspace<T> workspace, bool stream, bool backward)
        : g_(group), d_(group.channels), work_(workspace) {
        constexpr int block = block_steps;
        nodes_ = count_nodes(d_, g_.depth, g_.prefix);
        short_nodes_ = count_nodes(d_, g_.depth - 1, g_.prefix);
        blocks_ = (g_.longest + block - 1) / block;
        points_ = work_.take((block + 1) * d_);
        rows_ = work_.take((block + 1) * d_);
        z_ = work_.take(block * d_);
        prefix_z_ = work_.take(block * g_.prefix);
        letters_ = work_.take(g_.prefix);
        state_ = work_.take(nodes_);
        root_ = work_.take(block_steps * g_.depth);
        for (int k = 1; k < g_.depth; ++k) chain_[k] = work_.take(siblings * block_steps * (g_.depth - k));
        if (stream && !backward)
            ends_ = work_.take(g_.depth > 1 ? short_nodes_ - count_nodes(d_, g_.depth - 2, g_.prefix) : 1);
        if (!backward) return;
        gradient_ = work_.take(nodes_);
        z_gradient_ = work_.take((block + 1) * d_);
        first_ = work_.take(d_);
        prefix_z_gradient_ = work_.take(block * g_.prefix);
        root_gradient_ = work_.take(block_steps * g_.depth);
        short_root_ = work_.take(block_steps * g_.depth);
        for (int k = 1; k < g_.depth; ++k) chain_gradient_[k] = work_.take(siblings * block_steps * (g_.depth - k));
        if (stream) {
            incoming_ = work_.take(nodes_);
            return;
        }
        const Index room = (g_.room + block - 1) / block;
        segment_ = blocks_of_segment(room, short_nodes_ + block * d_);
        kept_ = work_.take(segment_ * short_nodes_);
        kept_z_ = work_.take(segment_ * block * d_);
        starts_ = work_.take((room + segment_ - 1) / segment_ * short_nodes_);
        segments_ = (blocks_ + segment_ - 1) / segment_;
    }

    Index used() const { return work_.used; }

    // One step at a time, in any order: the state begins with 1, each step multiplies it by exp(z_t). The new state
    // stands where `to` says.
    void begin() {
        prepare();
        zero(state_, nodes_);
    }
    void step(Index t, T *to = nullptr) {
        step(t, to, [](Index) {});
    }
    const T *state() const { return state_; }

    void forward(const Rows<T> &out, bool stream) {
        prepare();
        load_words(g_.initial, g_.depth, false, state_);
        if (!stream) {
            Walk<T> whole = walk(g_.depth, state_);
            for (Index t = 0; t < g_.longest; t += block_steps) advance(whole, root_, t, block_steps, z_);
            return store_words(out.row, 0, state_, false);
        }
        RowWriter<T> writer(g_.past_caches);
        for (Index t = 0; t < g_.longest; ++t) {
            T *rows[L];
            for (int l = 0; l < L; ++l) rows[l] = t < g_.rows[l] && out.row[l] ? out.row[l] + t * out.stride : nullptr;
            if (g_.prefix == 0) {
                writer.begin(nodes_, rows);
                step(t, nullptr, [&](Index ready) { writer.write(state_, ready); });
            } else {
                step(t);
                store_words(rows, 0, state_, false);
            }
        }
    }

    void backward(const Rows<const T> &incoming, bool stream, const Rows<const T> &out, T *const increments[],
                  T *const initial[]) {
        prepare();
        zero(first_, d_);
        if (stream) {
            zero(gradient_, nodes_);
            for (Index t = g_.longest - 1; t >= 0; --t) {
                load_shifted(incoming, t, g_.depth, true, incoming_);
                for (Index i = 0; i < nodes_ * L; i += L)
                    store<T>(gradient_ + i, load<T>(gradient_ + i) + load<T>(incoming_ + i));
                if (t > 0)
                    load_shifted(out, t - 1, g_.depth - 1, false, state_);
                else
                    load_words(g_.initial, g_.depth - 1, false, state_);
                load_increments(t, 1, z_);
                reverse(state_, t, 1, increments, z_);
            }
        } else {
            load_words(incoming.row, g_.depth, true, gradient_);
            load_words(g_.initial, g_.depth - 1, false, state_);
            Walk<T> shorter = walk(g_.depth - 1, state_);
            const Index bytes = short_nodes_ * L;
            for (Index s = 0; s < segments_; ++s) {
                copy(state_, starts_ + s * bytes, short_nodes_);
                for (Index b = 0; b < segment_ && s + 1 < segments_; ++b)
                    advance(shorter, short_root_, (s * segment_ + b) * block_steps, block_steps, z_);
            }
            for (Index s = segments_ - 1; s >= 0; --s) {
                const Index first = s * segment_, last = first + segment_ < blocks_ ? first + segment_ : blocks_;
                copy(starts_ + s * bytes, state_, short_nodes_);
                for (Index b = first; b < last; ++b) {
                    copy(state_, kept_ + (b - first) * bytes, short_nodes_);
                    T *z = kept_z_ + (b - first) * block_steps * d_ * L;
                    if (b + 1 < last)
                        advance(shorter, short_root_, b * block_steps, block_steps, z);
                    else
                        load_increments(b * block_steps, block_steps, z);
                }
                for (Index b = last - 1; b >= first; --b) {
                    T *state = kept_ + (b - first) * bytes, *z = kept_z_ + (b - first) * block_steps * d_ * L;
                    if (b > first)
                        prefetch<false>(state - bytes, bytes),
                            prefetch<false>(z - block_steps * d_ * L, block_steps * d_ * L);
                    reverse(state, b * block_steps, block_steps, increments, z);
                }
            }
        }
        if (g_.alone) lanes_to_rows<T>(first_, d_, g_.first);
        bool wanted = false;
        for (int l = 0; l < L; ++l) wanted |= initial[l] != nullptr;
        if (wanted) store_words(initial, 0, gradient_, true);
    }

  private:
    // ready(n): the first n vectors of the new state stand; the last call says all.
    template <class Ready> void step(Index t, T *to, Ready &&ready) {
        const Index first = t - t % block_steps;
        if (first != loaded_) load_increments(first, block_steps, z_), loaded_ = first;
        T *from = state_;
        if (to) state_ = to;
        if (try_advance_once<T>(walk_step(from, t - first), root_, state_ - from, ends_, ready)) return;
        if (state_ != from) copy(from, state_, nodes_);
        descend<T>(walk_step(state_, t - first), 0, root_, 0);
        ready(nodes_);
    }

    void prepare() {
        for (int i = 0; i < g_.prefix; ++i)
            for (int l = 0; l < L; ++l) letters_[i * L + l] = static_cast<T>(g_.prefix_index[i][l] % d_);
        for (int t = 0; t < block_steps; ++t)
            for (int q = 0; q < g_.depth; ++q) store<T>(root_ + (t * g_.depth + q) * L, inverse_factorial(q + 1));
        for (int t = 0; t < block_steps && short_root_; ++t)
            for (int q = 0; q < g_.depth - 1; ++q)
                store<T>(short_root_ + (t * (g_.depth - 1) + q) * L, inverse_factorial(q + 1));
    }
    static Vec<T> inverse_factorial(int k) { return splat<T>(factorials<T>.inverse[k]); }

    static void zero(T *to, Index vectors) {
        for (Index i = 0; i < vectors * L; i += L) store<T>(to + i, Vec<T>{});
    }
    // What the next block needs: many rows, or blocks gone through backwards, are more than the caches foresee.
    template <bool write> static void prefetch(const T *from, Index numbers) {
        constexpr Index line = 64 / sizeof(T);
        for (Index i = 0; i < numbers; i += line) __builtin_prefetch(from + i, write, 2);
    }
    static void copy(const T *from, T *to, Index vectors) {
        for (Index i = 0; i < vectors * L; i += L) store<T>(to + i, load<T>(from + i));
    }

    Walk<T> walk(int depth, T *state) const {
        Walk<T> w{};
        w.channels = d_;
        w.depth = depth;
        w.prefix = g_.prefix;
        w.z = z_;
        w.prefix_z = prefix_z_;
        w.z_gradient = z_gradient_;
        w.prefix_z_gradient = prefix_z_gradient_;
        Index at = 0, size = 1;
        for (int k = 1; k <= g_.depth; ++k) {
            if (k > g_.prefix) size *= d_;
            w.state[k] = k <= depth || depth == g_.depth ? state + at * L : nullptr;
            w.gradient[k] = gradient_ ? gradient_ + at * L : nullptr;
            at += size;
        }
        for (int k = 1; k < g_.depth; ++k) {
            w.chain[k] = chain_[k];
            w.chain_gradient[k] = chain_gradient_[k];
        }
        return w;
    }

    Walk<T> walk_step(T *state, Index t) const {
        Walk<T> w = walk(g_.depth, state);
        w.z += t * d_ * L;
        w.prefix_z += t * g_.prefix * L;
        w.steps = 1;
        return w;
    }

    void advance(Walk<T> &w, const T *root, Index t, int block, T *z) {
        w.steps = load_increments(t, block, z);
        w.z = z;
        if (w.depth > 0) descend<T>(w, 0, root, 0);
    }

    // With the increments in z, which load_increments has left there.
    void reverse(T *state, Index t, int block, T *const increments[], const T *z) {
        Walk<T> w = walk(g_.depth, state);
        w.steps = count_steps(t, block);
        w.z = z;
        pick_letters(w.steps, z);
        zero(z_gradient_, w.steps * d_);
        zero(prefix_z_gradient_, w.steps * g_.prefix);
        run_adjoint<T>(w, root_, root_gradient_);
        store_increments(t, w.steps, increments);
    }

    int count_steps(Index t, int block) const {
        return static_cast<int>(g_.longest - t < block ? g_.longest - t : block);
    }

    // Increments t … t + block - 1 into z; returns how many there are. After its end a path stands still.
    int load_increments(Index t, int block, T *z) {
        const int n = count_steps(t, block);
        bool all = true;
        for (int l = 0; l < L; ++l) all &= g_.steps[l] >= t + n;
        const T *rows[L];
        if (all && t == 0) {
            rows_to_lanes<T>(g_.before, d_, points_);
            rows_to_lanes<T>(g_.points, n * d_, points_ + d_ * L);
        } else if (all) {
            for (int l = 0; l < L; ++l) rows[l] = g_.points[l] + (t - 1) * d_;
            rows_to_lanes<T>(rows, (n + 1) * d_, points_);
            for (int l = 0; l < L; ++l) prefetch<false>(rows[l] + (n + 1) * d_, n * d_);
        } else {
            for (int l = 0; l < L; ++l) {
                T *row = rows_ + l * (block + 1) * d_;
                rows[l] = row;
                for (int i = 0; i <= n; ++i, row += d_) {
                    const Index step = t + i < g_.steps[l] ? t + i : g_.steps[l];
                    const T *point = step > 0 ? g_.points[l] + (step - 1) * d_ : g_.before[l];
                    for (int c = 0; c < d_; ++c) row[c] = point ? point[c] : T(0);
                }
            }
            rows_to_lanes<T>(rows, (n + 1) * d_, points_);
        }
        for (Index i = 0; i < n * d_ * L; i += L) store<T>(z + i, load<T>(points_ + i + d_ * L) - load<T>(points_ + i));
        pick_letters(n, z);
        return n;
    }

    // The increments of the letters that the lanes fix.
    void pick_letters(int n, const T *z) {
        for (int s = 0; s < n; ++s)
            for (int i = 0; i < g_.prefix; ++i) {
                const Vec<T> letter = load<T>(letters_ + i * L);
                Vec<T> chosen{};
                for (int c = 0; c < d_; ++c)
                    chosen = select<T>(letter == splat<T>(static_cast<T>(c)), load<T>(z + (s * d_ + c) * L), chosen);
                store<T>(prefix_z_ + (s * g_.prefix + i) * L, chosen);
            }
    }

    // Where `alone`, gradients of points: of what leads to a point less what leads away from it.
    void store_increments(Index t, int n, T *const increments[]) {
        for (int s = 0; s < n; ++s)
            for (int i = 0; i < g_.prefix; ++i) {
                const Vec<T> letter = load<T>(letters_ + i * L);
                const Vec<T> chosen = load<T>(prefix_z_gradient_ + (s * g_.prefix + i) * L);
                for (int c = 0; c < d_; ++c) {
                    T *z = z_gradient_ + (s * d_ + c) * L;
                    store<T>(z, load<T>(z) + select<T>(letter == splat<T>(static_cast<T>(c)), chosen, Vec<T>{}));
                }
            }
        T *rows[L];
        bool set = g_.alone;
        for (int l = 0; l < L; ++l) {
            rows[l] = increments[l] ? increments[l] + t * d_ : nullptr;
            set &= !increments[l] || g_.steps[l] >= t + n;
        }
        for (int l = 0; l < L && t >= block_steps; ++l)
            if (rows[l]) prefetch<true>(rows[l] - block_steps * d_, block_steps * d_);
        if (g_.alone) {
            for (int l = 0; l < L && !set; ++l)
                for (Index s = g_.steps[l] > t ? g_.steps[l] - t : 0; s < n; ++s)
                    for (int c = 0; c < d_; ++c) z_gradient_[(s * d_ + c) * L + l] = T(0);
            copy(first_, z_gradient_ + n * d_ * L, d_);
            copy(z_gradient_, first_, d_);
            for (Index i = 0; i < n * d_ * L; i += L)
                store<T>(z_gradient_ + i, load<T>(z_gradient_ + i) - load<T>(z_gradient_ + i + d_ * L));
        }
        if (set) return lanes_to_rows<T>(z_gradient_, n * d_, rows);
        for (int l = 0; l < L; ++l) rows[l] = rows_ + l * n * d_;
        lanes_to_rows<T>(z_gradient_, n * d_, rows);
        for (int l = 0; l < L; ++l) {
            const Index valid = g_.steps[l] - t < n ? g_.steps[l] - t : n;
            if (!increments[l]) continue;
            T *to = increments[l] + t * d_;
            for (Index i = 0; i < valid * d_; ++i) to[i] = g_.alone ? rows[l][i] : to[i] + rows[l][i];
        }
    }

    void load_shifted(const Rows<const T> &rows, Index t, int depth, bool owned, T *state) {
        const T *at[L];
        for (int l = 0; l < L; ++l) at[l] = rows.row[l] ? rows.row[l] + t * rows.stride : nullptr;
        load_words(at, depth, owned, state);
    }

    // The words of all levels up to depth; a lane without a row gets 0. owned: of words that several lanes hold, only
    // the owner gets the number.
    void load_words(const T *const row[], int depth, bool owned, T *state) const {
        if (g_.prefix == 0) return rows_to_lanes<T>(row, count_words(d_, depth), state);
        Index offset = 0, size = 1;
        for (int k = 1; k <= depth; ++k) {
            if (k <= g_.prefix) {
                size *= d_;
                for (int l = 0; l < L; ++l)
                    state[l] =
                        row[l] && (!owned || g_.owns[k - 1][l]) ? row[l][offset + g_.prefix_index[k - 1][l]] : T(0);
                offset += size;
                state += L;
                if (k == g_.prefix) size = 1;
                continue;
            }
            size *= d_;
            const T *at[L];
            for (int l = 0; l < L; ++l)
                at[l] = row[l] ? row[l] + offset + g_.prefix_index[g_.prefix - 1][l] * size : nullptr;
            rows_to_lanes<T>(at, size, state);
            state += size * L;
            offset += power(k);
        }
    }

    // Of words that several lanes hold: the owner's number or, with `add`, the sum.
    void store_words(T *const row[], Index shift, const T *state, bool add) const {
        T *to[L];
        for (int l = 0; l < L; ++l) to[l] = row[l] ? row[l] + shift : nullptr;
        if (g_.prefix == 0) return lanes_to_rows<T>(state, nodes_, to);
        Index offset = 0, size = 1;
        for (int k = 1; k <= g_.depth; ++k) {
            if (k <= g_.prefix) {
                for (int l = 0; l < L; ++l) {
                    if (!to[l] || (!add && !g_.owns[k - 1][l])) continue;
                    T &number = to[l][offset + g_.prefix_index[k - 1][l]];
                    number = add ? number + state[l] : state[l];
                }
                state += L;
            } else {
                size *= d_;
                T *at[L];
                for (int l = 0; l < L; ++l)
                    at[l] = to[l] ? to[l] + offset + g_.prefix_index[g_.prefix - 1][l] * size : nullptr;
                lanes_to_rows<T>(state, size, at);
                state += size * L;
            }
            offset += power(k);
        }
    }

    Index power(int k) const {
        Index p = 1;
        for (int i = 0; i < k; ++i) p *= d_;
        return p;
    }

    const Group<T> &g_;
    const Index d_;
    Workspace<T> work_;
    Index nodes_, short_nodes_, blocks_, segment_ = 1, segments_ = 0, loaded_ = -1;
    T *points_, *rows_, *z_, *prefix_z_, *letters_, *state_, *root_, *ends_ = nullptr;
    T *gradient_ = nullptr, *z_gradient_ = nullptr, *prefix_z_gradient_ = nullptr, *root_gradient_ = nullptr;
    T *first_ = nullptr;  // gradients of the first increments of the block that was reversed last
    T *short_root_ = nullptr, *incoming_ = nullptr, *kept_ = nullptr, *kept_z_ = nullptr, *starts_ = nullptr;
    T *chain_[most_depth] = {}, *chain_gradient_[most_depth] = {};
};

}  // namespace sdtw::SDTW_ISA
