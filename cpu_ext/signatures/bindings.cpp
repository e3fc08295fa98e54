// Python's view of the signature operators. Their shapes are checked in Python, where the messages are made.
#include "bindings.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <optional>

#include "../interruptible.hpp"
#include "engine.hpp"
#include "plan.hpp"
#include "points.hpp"

namespace nb = nanobind;
using namespace sdtw;
using signatures::Index;

namespace {

template <class T> using In = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
template <class T> using Out = nb::ndarray<T, nb::c_contig, nb::device::cpu>;
using Coefficients = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Indices = nb::ndarray<const Index, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Lengths = nb::ndarray<const Index, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <class A> auto pointer(const std::optional<A> &array) -> decltype(array->data()) {
    return array ? array->data() : nullptr;
}

template <class T>
signatures::Paths<T> make_paths(const In<T> &points, const std::optional<In<T>> &basepoints,
                                const std::optional<Lengths> &lengths, const std::optional<Indices> &windows) {
    return {points.data(),
            pointer(basepoints),
            pointer(lengths),
            pointer(windows),
            windows ? static_cast<Index>(windows->shape(0)) : 0,
            static_cast<Index>(points.shape(0)),
            static_cast<Index>(points.shape(1)),
            static_cast<int>(points.shape(2))};
}

// In cells, as `interruptible` counts: 32 multiply-adds take as long as one of a table.
template <class T> double work(const signatures::Paths<T> &paths, int depth) {
    Index steps = paths.windows ? 0 : paths.n_points;
    for (Index i = 0; i < paths.n_windows; ++i) steps += paths.windows[2 * i + 1] - paths.windows[2 * i];
    return static_cast<double>(paths.n_paths) * static_cast<double>(steps) *
           signatures::step_cost(paths.channels, depth) / 32;
}

template <class T> void define(nb::module_ &m) {
    m.def(
        "take_points",
        [](In<T> points, Indices index, Out<T> out, int first_channel) {
            const auto channels = static_cast<int>(points.shape(2)), all = static_cast<int>(out.shape(2));
            const auto length = static_cast<Index>(index.shape(1));
            const Index points_stride = points.shape(0) == 1 ? 0 : static_cast<Index>(points.shape(1)) * channels;
            const signatures::Choice<T> from{
                points.data(), index.data(), points_stride, index.shape(0) == 1 ? 0 : length, length, channels};
            nb::gil_scoped_release release;
            signatures::take_points<T>(from, static_cast<Index>(out.shape(0)), out.data() + first_channel, all);
        },
        nb::arg("points"), nb::arg("index"), nb::arg("out"), nb::arg("first_channel"));
    m.def(
        "signature",
        [](In<T> points, std::optional<In<T>> basepoints, std::optional<Lengths> lengths,
           std::optional<Indices> windows, int depth, bool stream, std::optional<In<T>> initial, Out<T> out,
           int n_threads) {
            const auto paths = make_paths<T>(points, basepoints, lengths, windows);
            interruptible(work(paths, depth), [&](std::atomic<bool> &stop) {
                signatures::signature<T>(paths, depth, stream, pointer(initial), out.data(), n_threads, stop);
            });
        },
        nb::arg("points"), nb::arg("basepoints").none(), nb::arg("lengths").none(), nb::arg("windows").none(),
        nb::arg("depth"), nb::arg("stream"), nb::arg("initial").none(), nb::arg("out"), nb::arg("n_threads"));
    m.def(
        "signature_gradient",
        [](In<T> points, std::optional<In<T>> basepoints, std::optional<Lengths> lengths,
           std::optional<Indices> windows, int depth, bool stream, std::optional<In<T>> initial,
           std::optional<In<T>> out, In<T> gradient, Out<T> points_gradient, std::optional<Out<T>> basepoints_gradient,
           std::optional<Out<T>> initial_gradient, int n_threads) {
            const auto paths = make_paths<T>(points, basepoints, lengths, windows);
            interruptible(3 * work(paths, depth), [&](std::atomic<bool> &stop) {
                signatures::signature_gradient<T>(paths, depth, stream, pointer(initial), pointer(out), gradient.data(),
                                                  points_gradient.data(), pointer(basepoints_gradient),
                                                  pointer(initial_gradient), n_threads, stop);
            });
        },
        nb::arg("points"), nb::arg("basepoints").none(), nb::arg("lengths").none(), nb::arg("windows").none(),
        nb::arg("depth"), nb::arg("stream"), nb::arg("initial").none(), nb::arg("out").none(), nb::arg("gradient"),
        nb::arg("points_gradient"), nb::arg("basepoints_gradient").none(), nb::arg("initial_gradient").none(),
        nb::arg("n_threads"));
    m.def(
        "tensor_product",
        [](In<T> a, In<T> b, int channels, int depth, Out<T> out, int n_threads) {
            const auto rows = static_cast<Index>(a.shape(0));
            interruptible(static_cast<double>(rows) * signatures::product_cost(channels, depth) / 8,
                          [&](std::atomic<bool> &stop) {
                              signatures::product<T>(rows, channels, depth, a.data(), b.data(), out.data(), n_threads,
                                                     stop);
                          });
        },
        nb::arg("a"), nb::arg("b"), nb::arg("channels"), nb::arg("depth"), nb::arg("out"), nb::arg("n_threads"));
    m.def(
        "tensor_product_gradient",
        [](In<T> a, In<T> b, In<T> gradient, int channels, int depth, Out<T> a_gradient, Out<T> b_gradient,
           int n_threads) {
            const auto rows = static_cast<Index>(a.shape(0));
            interruptible(static_cast<double>(rows) * signatures::product_cost(channels, depth) / 4,
                          [&](std::atomic<bool> &stop) {
                              signatures::product_gradient<T>(rows, channels, depth, a.data(), b.data(),
                                                              gradient.data(), a_gradient.data(), b_gradient.data(),
                                                              n_threads, stop);
                          });
        },
        nb::arg("a"), nb::arg("b"), nb::arg("gradient"), nb::arg("channels"), nb::arg("depth"), nb::arg("a_gradient"),
        nb::arg("b_gradient"), nb::arg("n_threads"));
    m.def(
        "tensor_series",
        [](In<T> x, Coefficients coefficients, int channels, Out<T> out, int n_threads) {
            const auto rows = static_cast<Index>(x.shape(0));
            const int depth = static_cast<int>(coefficients.shape(0));
            interruptible(static_cast<double>(rows) * signatures::product_cost(channels, depth),
                          [&](std::atomic<bool> &stop) {
                              signatures::series<T>(rows, channels, depth, coefficients.data(), x.data(), out.data(),
                                                    n_threads, stop);
                          });
        },
        nb::arg("x"), nb::arg("coefficients"), nb::arg("channels"), nb::arg("out"), nb::arg("n_threads"));
    m.def(
        "tensor_series_gradient",
        [](In<T> x, In<T> gradient, Coefficients coefficients, int channels, Out<T> x_gradient, int n_threads) {
            const auto rows = static_cast<Index>(x.shape(0));
            const int depth = static_cast<int>(coefficients.shape(0));
            interruptible(2 * static_cast<double>(rows) * signatures::product_cost(channels, depth),
                          [&](std::atomic<bool> &stop) {
                              signatures::series_gradient<T>(rows, channels, depth, coefficients.data(), x.data(),
                                                             gradient.data(), x_gradient.data(), n_threads, stop);
                          });
        },
        nb::arg("x"), nb::arg("gradient"), nb::arg("coefficients"), nb::arg("channels"), nb::arg("x_gradient"),
        nb::arg("n_threads"));
}

}  // namespace

void bind_signatures(nb::module_ &m) {
    m.attr("MOST_DEPTH") = signatures::most_depth;
    define<float>(m);
    define<double>(m);
}
