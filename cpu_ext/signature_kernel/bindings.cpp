// Python's view of the signature kernel. Shapes are checked in Python, where the messages are made.
#include "bindings.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <optional>

#include "../interruptible.hpp"
#include "engine.hpp"

namespace nb = nanobind;
using namespace sdtw;
using signature_kernel::Index;
using signature_kernel::Task;

namespace {

template <class T> using In = nb::ndarray<const T, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
template <class T> using Out = nb::ndarray<T, nb::c_contig, nb::device::cpu>;
template <class T> using Weights = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
using Lengths = nb::ndarray<const Index, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <class A> auto pointer(const std::optional<A> &array) -> decltype(array->data()) {
    return array ? array->data() : nullptr;
}

// precomputed: x holds the increments, (pairs, rows, columns).
template <class T>
Task<T> make_task(const In<T> &x, const std::optional<In<T>> &y, const std::optional<Lengths> &x_lengths,
                  const std::optional<Lengths> &y_lengths, int pairing, int kind, double scale, int x_refinement,
                  int y_refinement, int depth) {
    Task<T> task{};
    const auto count = static_cast<Index>(x.shape(0));
    task.kind = static_cast<signature_kernel::Static>(kind);
    const bool precomputed = task.kind == signature_kernel::Static::precomputed;
    (precomputed ? task.increments : task.x) = x.data();
    task.y = pointer(y);
    task.x_lengths = pointer(x_lengths);
    task.y_lengths = pointer(y_lengths);
    task.n_x = count;
    task.n_y = y ? static_cast<Index>(y->shape(0)) : count;
    task.x_points = static_cast<Index>(x.shape(1)) + precomputed;
    task.y_points = precomputed ? static_cast<Index>(x.shape(2)) + 1 : static_cast<Index>((y ? *y : x).shape(1));
    task.channels = precomputed ? 0 : static_cast<Index>(x.shape(2));
    task.pairing = static_cast<Pairing>(pairing);
    task.scale = scale;
    task.x_refinement = x_refinement;
    task.y_refinement = y_refinement;
    task.depth = depth;
    return task;
}

template <class T> void define(nb::module_ &m) {
    m.def(
        "signature_kernel",
        [](In<T> x, std::optional<In<T>> y, std::optional<Lengths> x_lengths, std::optional<Lengths> y_lengths,
           int pairing, int kind, double scale, int x_refinement, int y_refinement, int depth, Out<T> out,
           int n_threads) {
            const Task<T> task =
                make_task<T>(x, y, x_lengths, y_lengths, pairing, kind, scale, x_refinement, y_refinement, depth);
            interruptible(task.cells(), [&](std::atomic<bool> &stop) {
                signature_kernel::values<T>(task, out.data(), n_threads, stop);
            });
        },
        nb::arg("x"), nb::arg("y").none(), nb::arg("x_lengths").none(), nb::arg("y_lengths").none(), nb::arg("pairing"),
        nb::arg("kind"), nb::arg("scale"), nb::arg("x_refinement"), nb::arg("y_refinement"), nb::arg("depth"),
        nb::arg("out"), nb::arg("n_threads"));
    m.def(
        "signature_kernel_gradient",
        [](In<T> x, std::optional<In<T>> y, std::optional<Lengths> x_lengths, std::optional<Lengths> y_lengths,
           int pairing, int kind, double scale, int x_refinement, int y_refinement, int depth, Weights<T> weights,
           std::optional<Out<T>> x_gradient, std::optional<Out<T>> y_gradient, int n_threads) {
            const Task<T> task =
                make_task<T>(x, y, x_lengths, y_lengths, pairing, kind, scale, x_refinement, y_refinement, depth);
            const bool precomputed = task.kind == signature_kernel::Static::precomputed;
            T *to_x = pointer(x_gradient);
            interruptible(4 * task.cells(), [&](std::atomic<bool> &stop) {
                signature_kernel::gradients<T>(task, weights.data(), precomputed ? nullptr : to_x, pointer(y_gradient),
                                               precomputed ? to_x : nullptr, n_threads, stop);
            });
        },
        nb::arg("x"), nb::arg("y").none(), nb::arg("x_lengths").none(), nb::arg("y_lengths").none(), nb::arg("pairing"),
        nb::arg("kind"), nb::arg("scale"), nb::arg("x_refinement"), nb::arg("y_refinement"), nb::arg("depth"),
        nb::arg("weights"), nb::arg("x_gradient").none(), nb::arg("y_gradient").none(), nb::arg("n_threads"));
}

}  // namespace

void bind_signature_kernel(nb::module_ &m) {
    m.attr("MOST_KERNEL_DEPTH") = signature_kernel::most_depth;
    define<float>(m);
    define<double>(m);
}
