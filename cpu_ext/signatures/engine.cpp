// Plans the work on signatures, shares it among threads, joins what was cut.
#include "engine.hpp"

#include "../engine.hpp"
#include "parts.hpp"
#include "sliding.hpp"
#include "tree.hpp"

namespace sdtw::signatures {
namespace {

// tree: joins what parts give, if it is not null.
template <class T>
void run_forward(const Parts<T> &parts, bool stream, const T *initial, T *out, Index words, int n_threads,
                 std::atomic<bool> &stop, Tree<T> *tree = nullptr) {
    const int lanes = kernels<T>().lanes;
    const Index steps = parts.paths.steps();
    const Index scratch =
        kernels<T>().scratch_size(parts.paths.channels, parts.depth, parts.prefix, parts.longest(), stream, false);
    share<T>(n_threads, parts.groups(), parts.cost(), scratch, stop, [&](T *memory, Index i) {
        Index part[most_lanes];
        Group<T> g = parts.group(i * lanes, parts.count() * parts.slots, initial, words, memory, part);
        if (!stream) {
            kernels<T>().forward(g, rows_at<T>(out, words, part, lanes), false);
            if (tree) tree->join_twigs(i);
            return;
        }
        g.longest = parts.longest();
        g.past_caches = exceeds_caches<T>(parts.paths.n_paths * steps * words);
        Rows<T> rows{};
        rows.stride = words;
        for (int l = 0; l < lanes; ++l)
            if (part[l] >= 0)
                rows.row[l] = out + (part[l] / parts.per_path * steps + parts.begin(part[l] % parts.per_path)) * words;
        kernels<T>().forward(g, rows, true);
    });
}

// A few long streams: the parts of a path side by side, each beginning with the product of those before it.
template <class T>
void run_stream(Parts<T> &parts, const T *initial, T *out, Index words, int n_threads, std::atomic<bool> &stop) {
    const Index n_paths = parts.paths.n_paths, per_path = parts.per_path;
    const int lanes = kernels<T>().lanes, d = parts.paths.channels;
    Buffer<T> products(parts.count() * words), scratch(kernels<T>().algebra_size(d, parts.depth));
    run_forward(parts, false, initial, products.data(), words, n_threads, stop);
    for (Index piece = 1; piece + 1 < per_path && !stop; ++piece)
        for (Index first = 0; first < n_paths; first += lanes) {
            Rows<const T> a{}, b{};
            Rows<T> joined{};
            for (int l = 0; l < lanes && first + l < n_paths; ++l) {
                joined.row[l] = products.data() + ((first + l) * per_path + piece) * words;
                a.row[l] = joined.row[l] - words;
                b.row[l] = joined.row[l];
            }
            kernels<T>().product(d, parts.depth, a, b, joined, scratch.data());
        }
    parts.starts = products.data();
    if (!stop) run_forward(parts, true, initial, out, words, n_threads, stop);
}

// Where the gradients of increments stand before they become those of points: at the points that they lead to.
template <class T> T *increments_in(const Paths<T> &paths, T *points) {
    return paths.basepoints ? points : points + paths.channels;
}

template <class T>
void subtract_gradients(const Paths<T> &paths, T *points, T *basepoints, int n_threads, std::atomic<bool> &stop) {
    const int d = paths.channels;
    const Index size = paths.n_points * d;
    share<T>(n_threads, paths.n_paths, static_cast<double>(paths.n_paths * size), 0, stop, [&](T *, Index p) {
        T *x = points + p * size;
        for (int c = 0; c < d && basepoints; ++c) basepoints[p * d + c] = -x[c];
        for (Index i = 0; i < size - d; ++i) x[i] -= x[i + d];
    });
}

// The same where only the first increments of parts are left.
template <class T> void subtract_first(const Parts<T> &parts, const T *first, T *points, T *basepoints) {
    const Paths<T> &paths = parts.paths;
    const int d = paths.channels;
    T *increments = increments_in(paths, points);
    for (Index p = 0; p < paths.n_paths; ++p)
        for (Index i = 0; i < parts.per_path; ++i, first += d) {
            T *before = increments + (p * paths.n_points + parts.begin(i) - 1) * d;
            if (paths.basepoints && i == 0) before = basepoints + p * d;
            for (int c = 0; c < d; ++c) before[c] = (i == 0 ? T(0) : before[c]) - first[c];
        }
}

// tree: of the parts, if it is not null; `back` gets the gradients of the parts then, in `gradient`.
template <class T>
void run_backward(const Parts<T> &parts, bool stream, const T *initial, const T *out, const T *gradient, Index words,
                  T *points, T *basepoints, T *initials, int n_threads, std::atomic<bool> &stop,
                  Tree<T> *tree = nullptr, Tree<T> *back = nullptr) {
    const Paths<T> &paths = parts.paths;
    const int d = paths.channels, lanes = kernels<T>().lanes;
    const Index rows = stream ? paths.steps() : 1, size = paths.n_points * d;
    const bool alone = parts.prefix == 0 && !paths.windows;
    T *increments = increments_in(paths, points);
    std::vector<T> firsts(alone ? static_cast<std::size_t>(parts.count() * d) : 0);
    // What no lane sets.
    for (Index p = 0; p < paths.n_paths; ++p)
        std::fill(points + p * size, alone && !paths.lengths ? increments + p * size : points + (p + 1) * size, T(0));
    const Index scratch = kernels<T>().scratch_size(d, parts.depth, parts.prefix, parts.longest(), stream, true);
    const double cost = 3 * parts.cost();
    auto run = [&](T *memory, Index first, Index end, T *z, T *start) {
        Index part[most_lanes], path[most_lanes];
        Group<T> g = parts.group(first, end, initial, words, memory, part);
        if (stream) g.longest = paths.steps();
        g.alone = alone;
        T *to[most_lanes] = {}, *begin[most_lanes] = {};
        for (int l = 0; l < lanes; ++l) {
            if (part[l] < 0) continue;
            path[l] = part[l] / parts.per_path;
            const Index piece = part[l] % parts.per_path;
            if (alone) g.first[l] = firsts.data() + part[l] * d;
            to[l] = z + path[l] * size + parts.begin(piece) * d;
            if (start && piece == 0) begin[l] = start + path[l] * words;
        }
        if (tree) tree->split_twigs(*back, first / lanes);
        kernels<T>().backward(g, rows_at<T>(gradient, rows * words, part, lanes, words), stream,
                              rows_at<T>(out, rows * words, part, lanes, words), to, begin);
    };
    // A unit is some parts whose lanes fill whole groups: no two threads then write to the same place.
    const Index unit = static_cast<Index>(lanes) / std::gcd<Index>(lanes, parts.slots);
    const Index units = (parts.count() + unit - 1) / unit;
    const Index all = parts.count() * parts.slots;
    const bool apart = units > 1 && !paths.windows;  // windows overlap
    if (apart || n_threads == 1 || parts.groups() == 1) {
        share<T>(n_threads, units, cost, scratch, stop, [&](T *memory, Index i) {
            const Index end = std::min((i + 1) * unit * parts.slots, all);
            for (Index first = i * unit * parts.slots; first < end && !stop; first += lanes)
                run(memory, first, end, increments, initials);
        });
        if (stop) return;
        if (alone) return subtract_first(parts, firsts.data(), points, basepoints);
        return subtract_gradients(paths, points, basepoints, n_threads, stop);
    }
    // Groups that write to the same places: each thread adds to numbers of its own.
    const int team = team_size(n_threads, parts.groups(), cost);
    const Index own = paths.n_paths * size, own_initials = initials ? paths.n_paths * words : 0;
    std::vector<T> sums(static_cast<std::size_t>((team - 1) * (own + own_initials)));
    run_team(team, stop, [&](int thread) {
        Buffer<T> memory(scratch);
        T *z = thread ? sums.data() + (thread - 1) * (own + own_initials) : increments;
        T *start = !initials ? nullptr : thread ? z + own : initials;
        for (Index i = parts.groups() * thread / team; i < parts.groups() * (thread + 1) / team && !stop; ++i)
            run(memory.data(), i * lanes, all, z, start);
    });
    for (int thread = 1; thread < team; ++thread) {
        const T *z = sums.data() + (thread - 1) * (own + own_initials);
        for (Index i = 0; i < points + own - increments; ++i) increments[i] += z[i];
        for (Index i = 0; i < own_initials; ++i) initials[i] += z[own + i];
    }
    if (!stop) subtract_gradients(paths, points, basepoints, n_threads, stop);
}

// Calls work(a row's index for each lane) for all rows, `lanes` at a time.
template <class T, class Work>
void over_rows(Index n_rows, int channels, int depth, double cost, int n_threads, std::atomic<bool> &stop,
               Work &&work) {
    const int lanes = kernels<T>().lanes;
    share<T>(n_threads, (n_rows + lanes - 1) / lanes, cost * static_cast<double>(n_rows),
             kernels<T>().algebra_size(channels, depth), stop, [&](T *scratch, Index i) {
                 Index index[most_lanes];
                 for (int l = 0; l < lanes; ++l) index[l] = i * lanes + l < n_rows ? i * lanes + l : -1;
                 work(index, scratch);
             });
}

template <class T> std::vector<T> convert(const double *coefficients, int depth) {
    std::vector<T> c;
    for (int i = 0; i < depth; ++i) c.push_back(static_cast<T>(coefficients[i]));
    return c;
}

}  // namespace

template <> const Kernels<float> &kernels<float>() { return SDTW_IN_USE(float_signatures); }
template <> const Kernels<double> &kernels<double>() { return SDTW_IN_USE(double_signatures); }

template <class T>
void signature(const Paths<T> &paths, int depth, bool stream, const T *initial, T *out, int n_threads,
               std::atomic<bool> &stop) {
    const Index words = count_words(paths.channels, depth);
    if (paths.n_paths == 0) return;
    if (worth_sliding(paths, depth)) return slide(paths, depth, out, n_threads, stop);
    Parts<T> parts(paths, depth, false, n_threads);
    if (parts.per_path == 1 || paths.windows) return run_forward(parts, stream, initial, out, words, n_threads, stop);
    if (stream) return run_stream(parts, initial, out, words, n_threads, stop);
    Tree<T> tree(parts, words);
    tree.levels.back() = out;
    run_forward(parts, false, initial, tree.levels[0], words, n_threads, stop, &tree);
    if (!stop) tree.multiply(n_threads, parts.cost(), stop);
}

template <class T>
void signature_gradient(const Paths<T> &paths, int depth, bool stream, const T *initial, const T *out,
                        const T *gradient, T *points, T *basepoints, T *initials, int n_threads,
                        std::atomic<bool> &stop) {
    const int d = paths.channels;
    const Index words = count_words(d, depth);
    if (paths.n_paths == 0) return;
    const Parts<T> parts(paths, depth, stream, n_threads);
    if (initials) std::fill(initials, initials + paths.n_paths * words, T(0));
    if (parts.per_path == 1 || paths.windows) {
        run_backward(parts, stream, initial, out, gradient, words, points, basepoints, initials, n_threads, stop);
    } else {
        // The gradient of a product does not need the last level of its factors, nor does that of a path.
        Tree<T> tree(parts, words), back(parts, words);
        if (depth > 1) {
            Parts<T> low = parts;
            low.depth = depth - 1;
            low.prefix =
                choose_prefix(low.count(), d, low.depth, kernels<T>().lanes, static_cast<int>(sizeof(T)), n_threads);
            low.slots = 1;
            for (int i = 0; i < low.prefix; ++i) low.slots *= d;
            tree.made_of(low);
            run_forward(low, false, initial, tree.levels[0], words, n_threads, stop, &tree);
            if (!stop) tree.multiply(n_threads, low.cost(), stop);
            tree.made_of(parts);
        }
        if (stop) return;
        std::memcpy(back.levels.back(), gradient, static_cast<std::size_t>(paths.n_paths * words) * sizeof(T));
        tree.multiply_backward(back, n_threads, parts.cost(), stop);
        if (stop) return;
        run_backward(parts, stream, initial, out, static_cast<const T *>(back.levels[0]), words, points, basepoints,
                     initials, n_threads, stop, &tree, &back);
    }
}

template <class T>
void product(Index n_rows, int channels, int depth, const T *a, const T *b, T *out, int n_threads,
             std::atomic<bool> &stop) {
    const Index words = count_words(channels, depth);
    const int lanes = kernels<T>().lanes;
    over_rows<T>(n_rows, channels, depth, product_cost(channels, depth), n_threads, stop,
                 [&](const Index *i, T *scratch) {
                     kernels<T>().product(channels, depth, rows_at<T>(a, words, i, lanes),
                                          rows_at<T>(b, words, i, lanes), rows_at<T>(out, words, i, lanes), scratch);
                 });
}

template <class T>
void product_gradient(Index n_rows, int channels, int depth, const T *a, const T *b, const T *gradient, T *a_gradient,
                      T *b_gradient, int n_threads, std::atomic<bool> &stop) {
    const Index words = count_words(channels, depth);
    const int lanes = kernels<T>().lanes;
    over_rows<T>(
        n_rows, channels, depth, 2 * product_cost(channels, depth), n_threads, stop, [&](const Index *i, T *scratch) {
            kernels<T>().product_backward(channels, depth, rows_at<T>(a, words, i, lanes),
                                          rows_at<T>(b, words, i, lanes), rows_at<T>(gradient, words, i, lanes),
                                          rows_at<T>(a_gradient, words, i, lanes),
                                          rows_at<T>(b_gradient, words, i, lanes), scratch);
        });
}

template <class T>
void series(Index n_rows, int channels, int depth, const double *coefficients, const T *x, T *out, int n_threads,
            std::atomic<bool> &stop) {
    const Index words = count_words(channels, depth);
    const int lanes = kernels<T>().lanes;
    const std::vector<T> c = convert<T>(coefficients, depth);
    over_rows<T>(n_rows, channels, depth, depth * product_cost(channels, depth), n_threads, stop,
                 [&](const Index *i, T *scratch) {
                     kernels<T>().series(channels, depth, c.data(), rows_at<T>(x, words, i, lanes),
                                         rows_at<T>(out, words, i, lanes), scratch);
                 });
}

template <class T>
void series_gradient(Index n_rows, int channels, int depth, const double *coefficients, const T *x, const T *gradient,
                     T *x_gradient, int n_threads, std::atomic<bool> &stop) {
    const Index words = count_words(channels, depth);
    const int lanes = kernels<T>().lanes;
    const std::vector<T> c = convert<T>(coefficients, depth);
    over_rows<T>(n_rows, channels, depth, 3 * depth * product_cost(channels, depth), n_threads, stop,
                 [&](const Index *i, T *scratch) {
                     kernels<T>().series_backward(channels, depth, c.data(), rows_at<T>(x, words, i, lanes),
                                                  rows_at<T>(gradient, words, i, lanes),
                                                  rows_at<T>(x_gradient, words, i, lanes), scratch);
                 });
}

#define SDTW_INSTANTIATE(T)                                                                                          \
    template void signature<T>(const Paths<T> &, int, bool, const T *, T *, int, std::atomic<bool> &);               \
    template void signature_gradient<T>(const Paths<T> &, int, bool, const T *, const T *, const T *, T *, T *, T *, \
                                        int, std::atomic<bool> &);                                                   \
    template void product<T>(Index, int, int, const T *, const T *, T *, int, std::atomic<bool> &);                  \
    template void product_gradient<T>(Index, int, int, const T *, const T *, const T *, T *, T *, int,               \
                                      std::atomic<bool> &);                                                          \
    template void series<T>(Index, int, int, const double *, const T *, T *, int, std::atomic<bool> &);              \
    template void series_gradient<T>(Index, int, int, const double *, const T *, const T *, T *, int,                \
                                     std::atomic<bool> &);
SDTW_INSTANTIATE(float)
SDTW_INSTANTIATE(double)

}  // namespace sdtw::signatures
