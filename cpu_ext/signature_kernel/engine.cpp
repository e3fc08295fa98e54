// Puts pairs of paths into lanes, and shares the packs among threads.
#include "engine.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "../lanes.hpp"
#include "../schedule.hpp"
#include "../team.hpp"

namespace sdtw::signature_kernel {
namespace {

constexpr int widest = 16;
constexpr double worth_a_thread = 2e6;  // cells

template <class T> const Kernels<T> &kernels();
#ifdef SDTW_X86
template <> const Kernels<float> &kernels<float>() {
    const std::string name = instruction_set();
    return name == "v4"   ? v4::float_signature_kernels
           : name == "v3" ? v3::float_signature_kernels
                          : v2::float_signature_kernels;
}
template <> const Kernels<double> &kernels<double>() {
    const std::string name = instruction_set();
    return name == "v4"   ? v4::double_signature_kernels
           : name == "v3" ? v3::double_signature_kernels
                          : v2::double_signature_kernels;
}
#else
template <> const Kernels<float> &kernels<float>() { return generic::float_signature_kernels; }
template <> const Kernels<double> &kernels<double>() { return generic::double_signature_kernels; }
#endif

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

    void to_lane(Index i, T *packed, int lanes, int lane, Index rows) const {
        const T *from = points + i * n_points * channels;
        const Index n = steps(i);
        T *to = packed + lane;
        if (kind == Static::linear) {
            for (Index j = 0; j < n * channels; ++j) to[j * lanes] = (from[j + channels] - from[j]) * factor;
            for (Index j = n * channels; j < rows * channels; ++j) to[j * lanes] = T(0);
            return;
        }
        for (Index t = 0; t < rows; ++t)
            for (Index k = 0; k < channels; ++k)
                to[(t * channels + k) * lanes] = from[std::min(t, n) * channels + k] * factor;
    }

    void to_all_lanes(Index i, T *packed, int lanes, Index rows) const {
        to_lane(i, packed, lanes, 0, rows);
        for (Index j = 0; j < rows * channels; ++j) std::fill_n(packed + j * lanes + 1, lanes - 1, packed[j * lanes]);
    }

    // Adds a lane of gradients of the packed numbers, those of `most` steps, to those of the points.
    void from_lane(Index i, const T *packed, int lanes, int lane, Index most, T *gradient) const {
        const T *from = packed + lane;
        T *to = gradient + i * n_points * channels;
        const Index n = steps(i);
        if (kind == Static::linear) {
            for (Index j = 0; j < n * channels; ++j) {
                to[j] -= from[j * lanes];
                to[j + channels] += from[j * lanes];
            }
            return;
        }
        // Points after the end of a path repeat its last one.
        for (Index t = 0; t <= most; ++t)
            for (Index k = 0; k < channels; ++k)
                to[std::min(t, n) * channels + k] += from[(t * channels + k) * lanes] * factor;
    }
};

template <class T> class Worker {
  public:
    Worker(const Task<T> &task, const Schedule<T> &schedule)
        : task_(task), schedule_(schedule), lanes_(kernels<T>().lanes) {
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

    void values(Index unit, T *out) {
        load(unit);
        T found[widest];
        T *scratch = scratch_.get(kernels<T>().scratch_size(pack_, false));
        kernels<T>().value(pack_, found, scratch);
        for (int l = 0; l < count_; ++l) {
            const auto [i, j] = pairs_[l];
            if (task_.pairing == Pairing::paired) {
                out[i] = found[l];
            } else {
                out[i * task_.n_y + j] = found[l];
                if (task_.pairing == Pairing::upper) out[j * task_.n_y + i] = found[l];
            }
        }
    }

    void gradients(Index unit, const T *weights, T *x, T *y, T *increments) {
        if (load(unit, y)) {
            const Index size = padded_cols(most_cols_) * task_.channels * lanes_;
            if (y) std::fill_n(y_back_.get(size), size, T(0));
        }
        T weight[widest] = {};
        for (int l = 0; l < count_; ++l) {
            Index i = pairs_[l].x, j = pairs_[l].y;
            if (task_.pairing == Pairing::upper && i > j) std::swap(i, j);
            weight[l] = weights[task_.pairing == Pairing::paired ? i : i * task_.n_y + j];
        }
        const Index x_size = padded_rows(pack_.rows) * task_.channels * lanes_;
        const Index cells = pack_.rows * pack_.cols * lanes_;
        T *x_back = x ? x_back_.get(x_size) : nullptr, *back = increments ? increments_back_.get(cells) : nullptr;
        if (x) std::fill_n(x_back, x_size, T(0));
        if (back) std::fill_n(back, cells, T(0));
        T *scratch = scratch_.get(kernels<T>().scratch_size(pack_, true));
        kernels<T>().gradient(pack_, {weight, x_back, y ? y_back_.get(0) : nullptr, back}, scratch);
        if (x && same_x_) {
            for (Index j = 0; j < x_size; j += lanes_)
                for (int l = 1; l < lanes_; ++l) x_back[j] += x_back[j + l];
            x_.from_lane(pairs_[0].x, x_back, lanes_, 0, pack_.rows, x);
        } else if (x) {
            for (int l = 0; l < count_; ++l) x_.from_lane(pairs_[l].x, x_back, lanes_, l, pack_.rows, x);
        }
        for (int l = 0; back && l < count_; ++l) {
            T *to = increments + pairs_[l].x * cells_of_increments();
            for (Index i = 0; i < pack_.rows * pack_.cols; ++i) to[i] += back[i * lanes_ + l];
        }
    }

    // Adds what is still kept of the gradients of y.
    void flush(T *y) {
        if (!y || kept_y_.empty()) return;
        for (int l = 0; l < static_cast<int>(kept_y_.size()); ++l)
            y_.from_lane(kept_y_[static_cast<std::size_t>(l)], y_back_.get(0), lanes_, l, most_cols_, y);
        kept_y_.clear();
    }

  private:
    Index cells_of_increments() const { return (task_.x_points - 1) * (task_.y_points - 1); }

    // Packs the pairs of a unit; returns whether y is another than before. Its gradients are then added to y first.
    bool load(Index unit, T *y = nullptr) {
        count_ = schedule_.pairs(unit, pairs_);
        pack_ = {0,       0,       task_.channels, task_.kind, task_.x_refinement, task_.y_refinement, task_.depth,
                 nullptr, nullptr, nullptr,        factor_};
        if (task_.kind == Static::precomputed) {
            pack_.rows = task_.x_points - 1;
            pack_.cols = task_.y_points - 1;
            T *cells = increments_.get(pack_.rows * pack_.cols * lanes_);
            for (int l = 0; l < lanes_; ++l)
                to_lane(cells, lanes_, l, task_.increments + pairs_[std::min(l, count_ - 1)].x * cells_of_increments(),
                        cells_of_increments(), cells_of_increments(), T(0));
            pack_.increments = cells;
            return true;
        }
        same_x_ = true;
        std::vector<Index> columns;
        Index cols = 0;
        for (int l = 0; l < count_; ++l) {
            pack_.rows = std::max(pack_.rows, x_.steps(pairs_[l].x));
            cols = std::max(cols, y_.steps(pairs_[l].y));
            same_x_ &= pairs_[l].x == pairs_[0].x;
            columns.push_back(pairs_[l].y);
        }
        const Index rows = padded_rows(pack_.rows), d = task_.channels;
        T *x = x_packed_.get(rows * d * lanes_);
        if (same_x_) {
            x_.to_all_lanes(pairs_[0].x, x, lanes_, rows);
        } else {
            for (int l = 0; l < lanes_; ++l) x_.to_lane(pairs_[std::min(l, count_ - 1)].x, x, lanes_, l, rows);
        }
        const bool other = columns != packed_y_;
        if (other) {
            flush(y);
            T *packed = y_packed_.get(padded_cols(cols) * d * lanes_);
            for (int l = 0; l < lanes_; ++l)
                y_.to_lane(pairs_[std::min(l, count_ - 1)].y, packed, lanes_, l, padded_cols(cols));
            packed_y_ = columns;
            most_cols_ = cols;
            if (y) kept_y_ = columns;
        }
        pack_.x = x;
        pack_.y = y_packed_.get(0);
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
    Buffer<T> scratch_, x_packed_, y_packed_, increments_, x_back_, y_back_, increments_back_;
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

template <class T> int team_size(const Task<T> &task, int n_threads, Index units, double cells) {
    const double most = std::min({static_cast<double>(n_threads), static_cast<double>(units), cells / worth_a_thread});
    (void)task;
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
    const int team = team_size(task, n_threads, schedule.size(), task.cells());
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
    const int team = team_size(task, n_threads, units, 4 * task.cells());
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
