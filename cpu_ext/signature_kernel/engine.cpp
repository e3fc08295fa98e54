// Puts pairs of paths into lanes, and shares the packs among threads.
#include "engine.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "../lanes.hpp"
#include "../schedule.hpp"
#include "../team.hpp"

namespace sdtw::signature_kernel {
namespace {

constexpr int widest = 16;
constexpr double worth_a_thread = 2e6;  // cells

template <class T> const Kernels<T> &kernels();
template <> const Kernels<float> &kernels<float>() { return SDTW_IN_USE(float_signature_kernels); }
template <> const Kernels<double> &kernels<double>() { return SDTW_IN_USE(double_signature_kernels); }

inline Index padded_rows(Index steps) { return (steps + 7) / 8 * 8 + 1; }
inline Index padded_cols(Index steps) { return steps + 3 * chunk + 1; }

// One side of a task: its paths as they go into lanes.
template <class T> struct Side {
    const T *points;
    const Index *lengths;
    Index n_points, channels;
    Static kind;
    T factor;  // of the increments, or of the points

    Index steps(Index i) const { return std::max<Index>((lengths ? lengths[i] : n_points) - 1, 0); }

    // Rows first .. end − 1 of path i: increments, zero outside the path; or points, outside of it the nearest.
    void rows(Index i, Index first, Index end, T *out) const {
        const T *from = points + i * n_points * channels;
        const Index n = steps(i), begin = std::clamp<Index>(0, first, end);
        const bool linear = kind == Static::linear;
        for (Index t = first; t < begin; ++t)
            for (Index k = 0; k < channels; ++k) *out++ = linear ? T(0) : from[k] * factor;
        const Index stop = std::clamp(linear ? n : n + 1, begin, end);
        for (Index j = begin * channels; j < stop * channels; ++j)
            *out++ = (linear ? from[j + channels] - from[j] : from[j]) * factor;
        for (Index t = stop; t < end; ++t)
            for (Index k = 0; k < channels; ++k) *out++ = linear ? T(0) : from[n * channels + k] * factor;
    }

    // Adds gradients of the same rows to those of the points.
    void add(Index i, Index first, Index end, const T *back, T *gradient) const {
        T *to = gradient + i * n_points * channels;
        const Index n = steps(i);
        for (Index t = first; t < end; ++t, back += channels) {
            if (kind == Static::linear && (t < 0 || t >= n)) continue;
            T *row = to + std::clamp<Index>(t, 0, n) * channels;
            for (Index k = 0; k < channels; ++k) {
                if (kind == Static::linear) {
                    row[k] -= back[k];
                    row[k + channels] += back[k];
                } else {
                    row[k] += back[k] * factor;
                }
            }
        }
    }
};

// What a thread works in. The first one's is kept for later calls where it is not large.
template <class T> struct Memory {
    Buffer<T> scratch, rows, x, y, increments, x_back, y_back, increments_back;

    Index bytes() const {
        Index sum = 0;
        for (const Buffer<T> *b : {&scratch, &rows, &x, &y, &increments, &x_back, &y_back, &increments_back})
            sum += b->size();
        return sum * static_cast<Index>(sizeof(T));
    }
    static constexpr Index most_kept = Index(4) << 20;
    static thread_local Memory kept;
};
template <class T> thread_local Memory<T> Memory<T>::kept;

template <class T> class Worker {
  public:
    Worker(const Task<T> &task, const Schedule<T> &schedule)
        : task_(task), schedule_(schedule), lanes_(kernels<T>().lanes) {
        std::swap(memory_, Memory<T>::kept);
        const double cell = scaled_increment(task.x_refinement, task.y_refinement);
        const double increment = task.depth ? 1.0 : cell;
        // rbf: exp(−s|u|²) = 2^−|v|² for v = √(s log2 e) u.
        const bool rbf = task.kind == Static::rbf;
        const double point = std::sqrt(task.scale * 1.4426950408889634);
        factor_ = static_cast<T>(task.kind == Static::linear ? increment * task.scale : increment);
        x_ = {task.x, task.x_lengths, task.x_points, task.channels, task.kind, rbf ? static_cast<T>(point) : factor_};
        const bool self = task.pairing == Pairing::upper;
        y_ = {self ? task.x : task.y,
              self ? task.x_lengths : task.y_lengths,
              self ? task.x_points : task.y_points,
              task.channels,
              task.kind,
              rbf ? static_cast<T>(point) : T(1)};
    }

    ~Worker() {
        if (memory_.bytes() <= Memory<T>::most_kept) std::swap(memory_, Memory<T>::kept);
    }
    Worker(const Worker &) = delete;

    void values(Index unit, T *out) {
        count_ = schedule_.pairs(unit, pairs_);
        T found[widest];
        if (prefers_waves()) {
            for (int l = 0; l < count_; ++l) {
                load_wave(pairs_[l]);
                kernels<T>().value(pack_, found, memory_.scratch.get(kernels<T>().scratch_size(pack_, false)));
                put(pairs_[l], found[lanes_ - 1], out);
            }
            return;
        }
        load();
        kernels<T>().value(pack_, found, memory_.scratch.get(kernels<T>().scratch_size(pack_, false)));
        for (int l = 0; l < count_; ++l) put(pairs_[l], found[l], out);
    }

    void gradients(Index unit, const T *weights, T *x, T *y, T *increments) {
        count_ = schedule_.pairs(unit, pairs_);
        if (prefers_waves()) {
            for (int l = 0; l < count_; ++l) wave_gradients(pairs_[l], weights[place(pairs_[l])], x, y, increments);
            return;
        }
        if (load(y)) {
            const Index size = padded_cols(most_cols_) * task_.channels * lanes_;
            if (y) std::fill_n(memory_.y_back.get(size), size, T(0));
        }
        T weight[widest] = {};
        for (int l = 0; l < count_; ++l) weight[l] = weights[place(pairs_[l])];
        const Index x_size = padded_rows(pack_.rows) * task_.channels * lanes_;
        const Index cells = pack_.rows * pack_.cols * lanes_;
        T *x_back = x ? memory_.x_back.get(x_size) : nullptr,
          *back = increments ? memory_.increments_back.get(cells) : nullptr;
        if (x) std::fill_n(x_back, x_size, T(0));
        if (back) std::fill_n(back, cells, T(0));
        T *scratch = memory_.scratch.get(kernels<T>().scratch_size(pack_, true));
        kernels<T>().gradient(pack_, {weight, x_back, y ? memory_.y_back.get(0) : nullptr, back}, scratch);
        if (x && same_x_) {
            for (Index j = 0; j < x_size / lanes_; ++j)
                x_back[j] = std::accumulate(x_back + j * lanes_, x_back + (j + 1) * lanes_, T(0));
            x_.add(pairs_[0].x, 0, pack_.rows + 1, x_back, x);
        } else if (x) {
            Index of[widest];
            for (int l = 0; l < count_; ++l) of[l] = pairs_[l].x;
            add_lanes(x_, of, count_, pack_.rows, x_back, x);
        }
        for (int l = 0; back && l < count_; ++l) {
            T *to = increments + pairs_[l].x * cells_of_increments();
            for (Index i = 0; i < pack_.rows * pack_.cols; ++i) to[i] += back[i * lanes_ + l];
        }
    }

    // Adds what is still kept of the gradients of y.
    void flush(T *y) {
        if (!y || kept_y_.empty()) return;
        add_lanes(y_, kept_y_.data(), static_cast<int>(kept_y_.size()), most_cols_, memory_.y_back.get(0), y);
        kept_y_.clear();
    }

  private:
    Index cells_of_increments() const { return (task_.x_points - 1) * (task_.y_points - 1); }

    // Packs a path into each lane; lanes without one repeat the last.
    void to_lanes_of(const Side<T> &side, const Index *paths, Index rows, T *packed) {
        const Index size = rows * task_.channels;
        T *flat = memory_.rows.get(size * lanes_);
        const T *sources[widest];
        Index counts[widest];
        for (int l = 0; l < lanes_; ++l) {
            if (l < count_) side.rows(paths[l], 0, rows, flat + l * size);
            sources[l] = flat + std::min(l, count_ - 1) * size;
            counts[l] = size;
        }
        to_lanes(packed, lanes_, sources, counts, size);
    }

    // Adds gradients of `steps` steps, or one point more, in lanes.
    void add_lanes(const Side<T> &side, const Index *paths, int count, Index steps, const T *back, T *gradient) {
        const Index size = (steps + 1) * task_.channels;
        T *flat = memory_.rows.get(size * lanes_), *targets[widest];
        for (int l = 0; l < lanes_; ++l) targets[l] = flat + l * size;
        from_lanes(back, lanes_, targets, size);
        for (int l = 0; l < count; ++l) side.add(paths[l], 0, steps + 1, targets[l], gradient);
    }

    // Where the weight of a pair stands.
    Index place(PairIndex pair) const {
        auto [i, j] = pair;
        if (task_.pairing == Pairing::paired) return i;
        if (task_.pairing == Pairing::upper && i > j) std::swap(i, j);
        return i * task_.n_y + j;
    }

    void put(PairIndex pair, T value, T *out) const {
        const auto [i, j] = pair;
        if (task_.pairing == Pairing::paired) {
            out[i] = value;
            return;
        }
        out[i * task_.n_y + j] = value;
        if (task_.pairing == Pairing::upper) out[j * task_.n_y + i] = value;
    }

    Index rows_of(PairIndex pair) const {
        return task_.kind == Static::precomputed ? task_.x_points - 1 : x_.steps(pair.x);
    }
    Index cols_of(PairIndex pair) const {
        return task_.kind == Static::precomputed ? task_.y_points - 1 : y_.steps(pair.y);
    }
    Index wave_strips(Index rows) const {
        const Index strip = kernels<T>().strip * lanes_;
        return ((rows << task_.x_refinement) + strip - 1) / strip;
    }

    // Whether the pairs take fewer cells one after the other, with the lanes as a wave, than side by side.
    bool prefers_waves() const {
        if (task_.depth) return false;
        const Index strip = kernels<T>().strip, skew = kernels<T>().wave_skew(task_.y_refinement);
        Index rows = 0, cols = 0, alone = 0;
        for (int l = 0; l < count_; ++l) {
            const Index n = rows_of(pairs_[l]), m = cols_of(pairs_[l]);
            rows = std::max(rows, n);
            cols = std::max(cols, m);
            alone += wave_strips(n) * strip * ((m << task_.y_refinement) + (lanes_ - 1) * skew + strip);
        }
        return alone < (rows << task_.x_refinement) * ((cols << task_.y_refinement) + strip);
    }

    Pack<T> empty_pack() const {
        return {
            0,       0,       task_.channels, task_.kind, task_.x_refinement, task_.y_refinement, task_.depth, nullptr,
            nullptr, nullptr, factor_,        false};
    }

    // Columns that a lane of a wave is behind the one before.
    Index delay() const { return kernels<T>().wave_skew(task_.y_refinement) >> task_.y_refinement; }

    // Calls work(row of the pack, lane, row of the pair).
    template <class Work> void wave_rows(Work &&work) const {
        const Index rows = kernels<T>().wave_rows(pack_);
        for (Index r = 0; r < pack_.rows; ++r)
            for (int l = 0; l < lanes_; ++l)
                work(r, l, ((r / rows * lanes_ + l) * kernels<T>().strip >> task_.x_refinement) + r % rows);
    }
    void load_wave(PairIndex pair) {
        const Index n = rows_of(pair), m = cols_of(pair), d = task_.channels;
        pack_ = empty_pack();
        pack_.wave = true;
        pack_.rows = wave_strips(n) * kernels<T>().wave_rows(pack_);
        pack_.cols = m + (lanes_ - 1) * delay();
        packed_y_.clear();
        if (task_.kind == Static::precomputed) {
            T *cells = memory_.increments.get(pack_.rows * pack_.cols * lanes_);
            const T *from = task_.increments + pair.x * cells_of_increments();
            wave_rows([&](Index r, int l, Index i) {
                for (Index c = 0; c < pack_.cols; ++c) {
                    const Index j = c - l * delay();
                    const bool inside = i < n && j >= 0 && j < m;
                    cells[(r * pack_.cols + c) * lanes_ + l] = inside ? from[i * m + j] : T(0);
                }
            });
            pack_.increments = cells;
            return;
        }
        const Index behind = (lanes_ - 1) * delay(), cols = padded_cols(pack_.cols);
        const Index all = wave_strips(n) * lanes_ * kernels<T>().strip + 2;  // no fewer rows than the lanes have
        T *x = memory_.x.get((pack_.rows + 1) * d * lanes_), *y = memory_.y.get(cols * d * lanes_);
        T *flat = memory_.rows.get(std::max(all, behind + cols) * d);
        x_.rows(pair.x, 0, all, flat);
        wave_rows([&](Index r, int l, Index i) {
            for (Index k = 0; k < d; ++k) x[(r * d + k) * lanes_ + l] = flat[i * d + k];
        });
        y_.rows(pair.y, -behind, cols, flat);
        const T *sources[widest];
        Index counts[widest];
        for (int l = 0; l < lanes_; ++l) {
            sources[l] = flat + (behind - l * delay()) * d;
            counts[l] = cols * d;
        }
        to_lanes(y, lanes_, sources, counts, cols * d);
        pack_.x = x;
        pack_.y = y;
    }

    void wave_gradients(PairIndex pair, T weight, T *x, T *y, T *increments) {
        flush(y);
        load_wave(pair);
        const Index d = task_.channels, n = rows_of(pair), m = cols_of(pair);
        const Index x_size = pack_.rows * d * lanes_, y_size = (pack_.cols + 1) * d * lanes_;
        const Index cells = pack_.rows * pack_.cols * lanes_;
        T *x_back = x ? memory_.x_back.get(x_size) : nullptr, *y_back = y ? memory_.y_back.get(y_size) : nullptr;
        T *back = increments ? memory_.increments_back.get(cells) : nullptr;
        if (x) std::fill_n(x_back, x_size, T(0));
        if (y) std::fill_n(y_back, y_size, T(0));
        if (back) std::fill_n(back, cells, T(0));
        T weights[widest];
        std::fill_n(weights, widest, weight);
        kernels<T>().gradient(pack_, {weights, x_back, y_back, back},
                              memory_.scratch.get(kernels<T>().scratch_size(pack_, true)));
        if (back) {
            T *to = increments + pair.x * cells_of_increments();
            wave_rows([&](Index r, int l, Index i) {
                for (Index j = 0; i < n && j < m; ++j)
                    to[i * m + j] += back[(r * pack_.cols + j + l * delay()) * lanes_ + l];
            });
            return;
        }
        if (x) {
            T *row = memory_.rows.get(d);
            wave_rows([&](Index r, int l, Index i) {
                for (Index k = 0; k < d; ++k) row[k] = x_back[(r * d + k) * lanes_ + l];
                x_.add(pair.x, i, i + 1, row, x);
            });
        }
        if (y) {
            const Index count = pack_.cols + 1;
            T *flat = memory_.rows.get(count * d * lanes_), *targets[widest];
            for (int l = 0; l < lanes_; ++l) targets[l] = flat + l * count * d;
            from_lanes(y_back, lanes_, targets, count * d);
            for (int l = 0; l < lanes_; ++l) y_.add(pair.y, -l * delay(), count - l * delay(), targets[l], y);
        }
    }

    // Packs the pairs of a unit; returns whether y is another than before. Its gradients are then added to y first.
    bool load(T *y = nullptr) {
        pack_ = empty_pack();
        if (task_.kind == Static::precomputed) {
            pack_.rows = task_.x_points - 1;
            pack_.cols = task_.y_points - 1;
            T *cells = memory_.increments.get(pack_.rows * pack_.cols * lanes_);
            for (int l = 0; l < lanes_; ++l)
                to_lane(cells, lanes_, l, task_.increments + pairs_[std::min(l, count_ - 1)].x * cells_of_increments(),
                        cells_of_increments(), cells_of_increments(), T(0));
            pack_.increments = cells;
            return true;
        }
        same_x_ = true;
        std::vector<Index> columns;
        Index cols = 0, lines[widest];
        for (int l = 0; l < count_; ++l) {
            pack_.rows = std::max(pack_.rows, x_.steps(pairs_[l].x));
            cols = std::max(cols, y_.steps(pairs_[l].y));
            same_x_ &= pairs_[l].x == pairs_[0].x;
            columns.push_back(pairs_[l].y);
            lines[l] = pairs_[l].x;
        }
        const Index rows = padded_rows(pack_.rows), d = task_.channels;
        T *x = memory_.x.get(rows * d * lanes_);
        if (same_x_) {
            T *flat = memory_.rows.get(rows * d);
            x_.rows(pairs_[0].x, 0, rows, flat);
            to_all_lanes(x, lanes_, flat, rows * d, rows * d);
        } else {
            to_lanes_of(x_, lines, rows, x);
        }
        const bool other = columns != packed_y_;
        if (other) {
            flush(y);
            T *packed = memory_.y.get(padded_cols(cols) * d * lanes_);
            to_lanes_of(y_, columns.data(), padded_cols(cols), packed);
            packed_y_ = columns;
            most_cols_ = cols;
            if (y) kept_y_ = columns;
        }
        pack_.x = x;
        pack_.y = memory_.y.get(0);
        pack_.cols = most_cols_;
        return other;
    }

    const Task<T> &task_;
    const Schedule<T> &schedule_;
    const int lanes_;
    T factor_;
    Side<T> x_, y_;
    Pack<T> pack_;
    PairIndex pairs_[widest];
    int count_ = 0;
    bool same_x_ = false;
    Index most_cols_ = 0;
    std::vector<Index> packed_y_, kept_y_;
    Memory<T> memory_;
};

// Lengths as the schedule reads them.
template <class T> struct Order {
    std::vector<std::int64_t> x, y;
    sdtw::Problem<T> problem{};

    explicit Order(const Task<T> &task) {
        x = offsets(task.x_lengths, task.n_x, task.x_points);
        y = task.pairing == Pairing::upper ? x : offsets(task.y_lengths, task.n_y, task.y_points);
        problem.x_offsets = x.data();
        problem.y_offsets = y.data();
        problem.n_x = task.n_x;
        problem.n_y = task.n_y;
        problem.pairing = task.pairing;
    }

    static std::vector<std::int64_t> offsets(const Index *lengths, Index n, Index all) {
        std::vector<std::int64_t> sums{0};
        for (Index i = 0; i < n; ++i) sums.push_back(sums.back() + (lengths ? lengths[i] : all));
        return sums;
    }
};

inline int team_size(int n_threads, Index units, double cells) {
    const double most = std::min({static_cast<double>(n_threads), static_cast<double>(units), cells / worth_a_thread});
    return std::max(1, static_cast<int>(most));
}

}  // namespace

template <class T> double Task<T>::cells() const {
    const double pairs = static_cast<double>(n_x) * (pairing == Pairing::full    ? static_cast<double>(n_y)
                                                     : pairing == Pairing::upper ? static_cast<double>(n_x) / 2
                                                                                 : 1.0);
    const double work = depth ? depth * depth * (depth + 1) / 3.0 : std::ldexp(1.0, x_refinement + y_refinement) + 1;
    return pairs * static_cast<double>(x_points) * static_cast<double>(y_points) *
           (work + static_cast<double>(channels) / 4);
}

template <class T> void values(const Task<T> &task, T *out, int n_threads, std::atomic<bool> &stop) {
    if (task.n_x == 0 || task.n_y == 0) return;
    const Order<T> order(task);
    const Schedule<T> schedule(order.problem, kernels<T>().lanes);
    std::atomic<Index> next{0};
    // A few neighbouring units at once: they mostly share their y.
    const int team = team_size(n_threads, schedule.size(), task.cells());
    const Index step = std::clamp<Index>(schedule.size() / (8 * team), 1, 32);
    run_team(team, stop, [&](int) {
        Worker<T> worker(task, schedule);
        for (Index first; !stop && (first = next.fetch_add(step)) < schedule.size();)
            for (Index i = first; i < std::min(first + step, schedule.size()) && !stop; ++i) worker.values(i, out);
    });
}

template <class T>
void gradients(const Task<T> &task, const T *weights, T *x, T *y, T *increments, int n_threads,
               std::atomic<bool> &stop) {
    if (task.n_x == 0 || task.n_y == 0) return;
    const Order<T> order(task);
    const Schedule<T> schedule(order.problem, kernels<T>().lanes);
    const Index units = schedule.size();
    const int team = team_size(n_threads, units, 4 * task.cells());
    const bool apart = task.pairing == Pairing::paired;  // no path is in two pairs
    const bool upper = task.pairing == Pairing::upper;
    const Index x_size = task.n_x * task.x_points * task.channels, y_size = task.n_y * task.y_points * task.channels;
    std::vector<T> sums;
    const Index own = (x ? x_size : 0) + (y ? y_size : 0);
    if (!apart) sums.assign(static_cast<std::size_t>((team - 1) * own), T(0));
    run_team(team, stop, [&](int thread) {
        Worker<T> worker(task, schedule);
        T *to_x = x, *to_y = y;
        if (!apart && thread > 0) {
            to_x = x ? sums.data() + (thread - 1) * own : nullptr;
            to_y = y ? sums.data() + (thread - 1) * own + (x ? x_size : 0) : nullptr;
        }
        if (upper) to_y = to_x;
        for (Index i = units * thread / team; i < units * (thread + 1) / team && !stop; ++i)
            worker.gradients(i, weights, to_x, to_y, increments);
        worker.flush(to_y);
    });
    if (apart) return;
    for (int thread = 1; thread < team; ++thread) {
        const T *from = sums.data() + (thread - 1) * own;
        for (Index i = 0; x && i < x_size; ++i) x[i] += from[i];
        for (Index i = 0; y && i < y_size; ++i) y[i] += from[(x ? x_size : 0) + i];
    }
}

#define SDTW_INSTANTIATE(T)                                                  \
    template double Task<T>::cells() const;                                  \
    template void values<T>(const Task<T> &, T *, int, std::atomic<bool> &); \
    template void gradients<T>(const Task<T> &, const T *, T *, T *, T *, int, std::atomic<bool> &);
SDTW_INSTANTIATE(float)
SDTW_INSTANTIATE(double)

}  // namespace sdtw::signature_kernel
