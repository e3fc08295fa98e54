// The entry points: plan the work, share it among threads, put results where the caller wants them.
#include "engine.hpp"

#include <compare>

#include "batch.hpp"
#include "schedule.hpp"
#include "wave.hpp"

namespace sdtw {
namespace {

constexpr Index batch_bytes = 8 << 20;   // of one thread's packs; larger pairs go region by region
constexpr double wave_bytes = 16 << 20;  // of the edges that a group of pairs keeps for its gradients
constexpr Index packs_at_once = 8;       // taken by a thread at most: neighbours share packed series
constexpr double few_cells = 1 << 15;    // a pair with more is cut into regions when pairs are few

// Where the value of a pair goes.
template <class T> struct Target {
    const Problem<T> &problem;
    T *out;

    void put(PairIndex pair, Index g, double value) const {
        const auto v = static_cast<T>(value);
        if (problem.pairing == Pairing::paired) {
            out[g * problem.n_x + pair.x] = v;
            return;
        }
        out[(g * problem.n_x + pair.x) * problem.n_y + pair.y] = v;
        if (problem.pairing == Pairing::upper) out[(g * problem.n_x + pair.y) * problem.n_y + pair.x] = v;
    }
};

// One thread's part of a forward call over packs of pairs, in the arithmetic that each pair and gamma needs.
template <class T> class PackWorker {
  public:
    PackWorker(const Problem<T> &problem, const CostBounds<T> &bounds, const Target<T> &target, const double *gammas,
               int n_gammas)
        : problem_(problem), bounds_(bounds), target_(target), gammas_(gammas), n_gammas_(n_gammas), own_(problem),
          wide_(problem) {}

    void run(const PairIndex *pairs, int count) {
        Arithmetic kind[most_lanes][max_gammas];
        for (int k = 0; k < count; ++k) {
            const double bound = bounds_.bound(pairs[k]);
            const Index n = x_length(problem_, pairs[k].x), m = y_length(problem_, pairs[k].y);
            for (int g = 0; g < n_gammas_; ++g) kind[k][g] = arithmetic<T>(problem_, bound, gammas_[g], n, m);
        }
        // The usual case, all pairs and gammas alike, is one run; a mixed pack computes some lanes in vain.
        for (Arithmetic wanted : {Arithmetic::own, Arithmetic::wide, Arithmetic::hard}) {
            PairIndex some[most_lanes];
            int lane[most_lanes], index[max_gammas], n_pairs = 0, n_gammas = 0;
            double values[max_gammas];
            for (int k = 0; k < count; ++k)
                if (std::find(kind[k], kind[k] + n_gammas_, wanted) != kind[k] + n_gammas_)
                    some[n_pairs] = pairs[k], lane[n_pairs++] = k;
            for (int g = 0; g < n_gammas_; ++g) {
                bool any = false;
                for (int k = 0; k < count; ++k) any |= kind[k][g] == wanted;
                if (any) values[n_gammas] = wanted == Arithmetic::hard ? 0.0 : gammas_[g], index[n_gammas++] = g;
            }
            auto compute = [&](auto &batch) {
                for (int first = 0; first < n_pairs && n_gammas > 0; first += batch.lanes())
                    batch.run(some + first, std::min(batch.lanes(), n_pairs - first), values, n_gammas,
                              [&](int k, int g, double value) {
                                  if (kind[lane[first + k]][index[g]] == wanted)
                                      target_.put(some[first + k], index[g], value);
                              });
            };
            wanted == Arithmetic::own ? compute(own_) : compute(wide_);
        }
    }

  private:
    const Problem<T> &problem_;
    const CostBounds<T> &bounds_;
    const Target<T> target_;
    const double *gammas_;
    const int n_gammas_;
    Batch<T, T> own_;
    Batch<T, double> wide_;
};

// A thread's next packs, [at, end): fewer towards the end, so that all threads end together.
bool take(std::atomic<Index> &next, Index size, int n_threads, Index &at, Index &end) {
    at = next;
    do {
        if (at >= size) return false;
        end = at + std::clamp<Index>((size - at) / (4 * n_threads), 1, packs_at_once);
    } while (!next.compare_exchange_weak(at, end));
    return true;
}

// Pairs of one wave group share the arithmetic and the region's edge.
struct GroupKey {
    Arithmetic arithmetic;
    Index edge;
    auto operator<=>(const GroupKey &) const = default;
};

// The threads' memory for the length of a call. That of the calling thread stays for its next call unless it is large:
// a training step would otherwise ask the system for the same pages again and again.
class Memories {
  public:
    explicit Memories(int n_threads) : each_(static_cast<std::size_t>(n_threads)) { std::swap(each_[0], kept_); }
    Memories(const Memories &) = delete;
    Memories &operator=(const Memories &) = delete;
    ~Memories() {
        if (each_[0].tables.bytes() + each_[0].scratch.bytes() <= most_kept) std::swap(each_[0], kept_);
    }

    WaveMemory *of(int thread) { return &each_[static_cast<std::size_t>(thread)]; }

  private:
    static constexpr Index most_kept = 4 << 20;
    static thread_local WaveMemory kept_;
    std::vector<WaveMemory> each_;
};
thread_local WaveMemory Memories::kept_;

// Calls work(key, group, memories, threads) for groups of pairs with equal keys, each of a bounded size; the groups run
// side by side when there are enough of them, otherwise one after the other, each with all threads.
template <class Key, class Size, class Work>
void in_groups(const std::vector<PairIndex> &pairs, int lanes, int n_threads, std::atomic<bool> &stop, Key &&key,
               Size &&size, Work &&work) {
    std::vector<std::pair<GroupKey, PairIndex>> keyed;  // a key may cost a look at all costs of its pair
    for (const PairIndex &pair : pairs) keyed.emplace_back(key(pair), pair);
    std::stable_sort(keyed.begin(), keyed.end(), [](const auto &a, const auto &b) { return a.first < b.first; });
    struct Group {
        GroupKey key;
        std::vector<PairIndex> pairs;
    };
    std::vector<Group> groups;
    const auto share = static_cast<Index>(pairs.size()) / std::max(n_threads, 1);
    const Index most = std::clamp<Index>(share / 4, lanes, 2 * lanes);
    double bytes = 0;
    for (const auto &[k, pair] : keyed) {
        bytes += size(pair, k);
        if (groups.empty() || !(groups.back().key == k) || bytes > wave_bytes ||
            (share >= lanes && static_cast<Index>(groups.back().pairs.size()) >= most)) {
            groups.push_back({k, {}});
            bytes = size(pair, k);
        }
        groups.back().pairs.push_back(pair);
    }
    Memories memories(n_threads);
    if (static_cast<int>(groups.size()) < n_threads) {
        for (const Group &group : groups)
            if (!stop) work(group.key, group.pairs, memories.of(0), n_threads);
        return;
    }
    std::atomic<std::size_t> next{0};
    run_team(n_threads, stop, [&](int thread) {
        for (std::size_t i; !stop && (i = next++) < groups.size();)
            work(groups[i].key, groups[i].pairs, memories.of(thread), 1);
    });
}

template <class T>
void forward_waves(const Problem<T> &problem, const CostBounds<T> &bounds, const Target<T> &target,
                   const std::vector<PairIndex> &pairs, const double *gammas, int n_gammas, int n_threads,
                   std::atomic<bool> &stop) {
    // Each gamma by itself: a group must share its arithmetic.
    for (int g = 0; g < n_gammas; ++g) {
        auto key = [&](PairIndex pair) {
            const Index n = x_length(problem, pair.x), m = y_length(problem, pair.y);
            return GroupKey{arithmetic<T>(problem, bounds.bound(pair), gammas[g], n, m), value_edge(n, m)};
        };
        auto size = [&](PairIndex pair, GroupKey) {
            return 32.0 * static_cast<double>(x_length(problem, pair.x) + y_length(problem, pair.y));
        };
        auto work = [&](GroupKey k, const std::vector<PairIndex> &group, WaveMemory *memories, int threads) {
            auto run = [&]<class C>(C) {
                const double gamma = k.arithmetic == Arithmetic::hard ? 0.0 : gammas[g];
                Wave<T, C> wave(problem, bounds, group, k.edge, &gamma, 1, false, memories, threads);
                wave.forward(stop);
                for (std::size_t i = 0; i < group.size() && !stop; ++i) target.put(group[i], g, wave.value(i, 0));
            };
            k.arithmetic == Arithmetic::own ? run(T{}) : run(double{});
        };
        in_groups(pairs, kernels<T>().lanes, n_threads, stop, key, size, work);
    }
}

}  // namespace

template <class T>
void forward(const Problem<T> &problem, const double *gammas, std::int64_t n_gammas, T *out, int n_threads,
             std::atomic<bool> &stop) {
    const CostBounds<T> bounds(problem);
    const Schedule<T> schedule(problem, kernels<T>().lanes);
    const bool few = schedule.size() == 1;
    for (Index first = 0; first < n_gammas && !stop; first += max_gammas) {
        const int count = static_cast<int>(std::min<Index>(max_gammas, n_gammas - first));
        const double *some = gammas + first;
        const Target<T> target{
            problem, out + first * (problem.pairing == Pairing::paired ? problem.n_x : problem.n_x * problem.n_y)};
        std::atomic<Index> next{0};
        std::mutex mutex;
        std::vector<PairIndex> waves;
        const int useful = static_cast<int>(std::min<Index>(n_threads, schedule.size()));
        run_team(useful, stop, [&](int) {
            PackWorker<T> worker(problem, bounds, target, some, count);
            PairIndex pairs[most_lanes];
            for (Index at, end; !stop && take(next, schedule.size(), useful, at, end);)
                for (Index pack = at; pack < end && !stop; ++pack) {
                    const int size = schedule.pairs(pack, pairs);
                    Index n = 0, m = 0;
                    for (int k = 0; k < size; ++k) {
                        n = std::max(n, x_length(problem, pairs[k].x));
                        m = std::max(m, y_length(problem, pairs[k].y));
                    }
                    const bool sparse = few && size <= kernels<T>().lanes / 2 &&
                                        static_cast<double>(n) * static_cast<double>(m) > few_cells;
                    if (problem.cost.kind == CostKind::precomputed || sparse ||
                        Batch<T, double>::bytes(problem, n, m, count) > batch_bytes) {
                        std::lock_guard<std::mutex> lock(mutex);
                        waves.insert(waves.end(), pairs, pairs + size);
                    } else {
                        worker.run(pairs, size);
                    }
                }
        });
        if (!waves.empty() && !stop) forward_waves(problem, bounds, target, waves, some, count, n_threads, stop);
    }
}

template <class T>
void gradient(const Problem<T> &problem, double gamma, const Gradients<T> &out, int n_threads,
              std::atomic<bool> &stop) {
    const CostBounds<T> bounds(problem);
    std::vector<PairIndex> pairs;
    for (Index k = 0; k < problem.n_x; ++k) pairs.push_back({k, k});
    auto key = [&](PairIndex pair) {
        const Index n = x_length(problem, pair.x), m = y_length(problem, pair.y);
        return GroupKey{arithmetic<T>(problem, bounds.bound(pair), gamma, n, m), gradient_edge(n, m)};
    };
    auto size = [&](PairIndex pair, GroupKey k) {
        const Index n = x_length(problem, pair.x), m = y_length(problem, pair.y);
        return k.arithmetic == Arithmetic::own ? Wave<T, T>::gradient_bytes(n, m, k.edge)
                                               : Wave<T, double>::gradient_bytes(n, m, k.edge);
    };
    auto work = [&](GroupKey k, const std::vector<PairIndex> &group, WaveMemory *memories, int threads) {
        auto run = [&]<class C>(C) {
            const double used = k.arithmetic == Arithmetic::hard ? 0.0 : gamma;
            Wave<T, C> wave(problem, bounds, group, k.edge, &used, 1, true, memories, threads);
            wave.forward(stop);
            if (!stop) wave.backward(out, stop);
            for (std::size_t i = 0; i < group.size() && !stop; ++i) {
                if (out.value) out.value[group[i].x] = static_cast<T>(wave.value(i, 0));
                if (out.entropy) out.entropy[group[i].x] = static_cast<T>(wave.entropy(i));
                if (out.expected_cost) out.expected_cost[group[i].x] = static_cast<T>(wave.expected_cost(i));
            }
        };
        k.arithmetic == Arithmetic::own ? run(T{}) : run(double{});
    };
    in_groups(pairs, kernels<T>().lanes, n_threads, stop, key, size, work);
}

#define SDTW_INSTANTIATE(T)                                                                                    \
    template void forward<T>(const Problem<T> &, const double *, std::int64_t, T *, int, std::atomic<bool> &); \
    template void gradient<T>(const Problem<T> &, double, const Gradients<T> &, int, std::atomic<bool> &);
SDTW_INSTANTIATE(float)
SDTW_INSTANTIATE(double)

}  // namespace sdtw
