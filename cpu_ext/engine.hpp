// The CPU engine: what the Python operators call. Pointers, shapes and a stop flag; nothing of Python.
#pragma once

#include <atomic>
#include <cstdint>

namespace sdtw {

enum class Pairing : int { full = 0, upper = 1, paired = 2 };
enum class CostKind : int { sqeuclidean = 0, euclidean = 1, manhattan = 2, gak = 3, precomputed = 4 };
enum class BandKind : int { none = 0, sakoe_chiba = 1, relative_sakoe_chiba = 2, itakura = 3 };

struct Cost {
    CostKind kind;
    double scale;  // the squared distance is multiplied by this first (sqeuclidean, gak); 1 elsewhere
};

struct Band {
    BandKind kind;
    double parameter;  // radius in cells, or as a fraction of the longer series; or the largest slope
};

// Series are stored one after the other, (sum of lengths, n_features); offsets has n + 1 entries.
template <class T> struct Problem {
    const T *x, *y;
    const std::int64_t *x_offsets, *y_offsets;
    std::int64_t n_x, n_y, n_features;
    const T *costs;  // precomputed only: the (n, m) matrices of the pairs, one after the other
    Pairing pairing;
    Cost cost;
    Band band;
};

// Null pointers are not computed. Flat layouts: x and y as the inputs, alignment as Problem::costs. The entropy is that
// of the distribution over paths, in nats: dR/dgamma = −entropy.
template <class T> struct Gradients {
    T *value, *expected_cost, *entropy, *x, *y, *alignment;
};

// out: (n_gammas, n_x, n_y) for full and upper, (n_gammas, n_x) for paired. gamma = 0 is hard DTW.
template <class T>
void forward(const Problem<T> &problem, const double *gammas, std::int64_t n_gammas, T *out, int n_threads,
             std::atomic<bool> &stop);

// One gamma, paired. gamma = 0: the optimal path; gamma = inf: the mean over all paths (value is 0 then).
template <class T>
void gradient(const Problem<T> &problem, double gamma, const Gradients<T> &out, int n_threads, std::atomic<bool> &stop);

// The optimal path of one pair, as (i, j) rows into path (room for n + m - 1); returns its length.
template <class T>
std::int64_t optimal_path(const Problem<T> &problem, std::int64_t *path, double *value, std::atomic<bool> &stop);

// Name of the instruction set in use; the environment variable SKTIME_SDTW_ISA chooses a lower one.
const char *instruction_set();

}  // namespace sdtw
