// Python's view of the CPU engine. Checks dtypes and layouts, releases the GIL, watches for Ctrl-C; computes nothing.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <optional>

#include "bindings_gdtw.hpp"
#include "bindings_padded.hpp"
#include "engine.hpp"
#include "interruptible.hpp"
#include "signature_kernel/bindings.hpp"
#include "signatures/bindings.hpp"

namespace nb = nanobind;
using namespace sdtw;

namespace {

template <class T> using In = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
template <class T> using Out = nb::ndarray<T, nb::c_contig, nb::device::cpu>;
using Offsets = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <class A> auto pointer(std::optional<A> &array) -> decltype(array->data()) {
    return array ? array->data() : nullptr;
}

template <class T>
Problem<T> make_problem(const In<T> &x, const Offsets &x_offsets, const In<T> &y, const Offsets &y_offsets,
                        std::optional<In<T>> &costs, int pairing, int cost, double scale, int band, double parameter) {
    return {x.data(),
            y.data(),
            x_offsets.data(),
            y_offsets.data(),
            static_cast<std::int64_t>(x_offsets.shape(0)) - 1,
            static_cast<std::int64_t>(y_offsets.shape(0)) - 1,
            x.ndim() == 2 ? static_cast<std::int64_t>(x.shape(1)) : 0,
            pointer(costs),
            static_cast<Pairing>(pairing),
            {static_cast<CostKind>(cost), scale},
            {static_cast<BandKind>(band), parameter}};
}

template <class T> double count_cells(const Problem<T> &p) {
    double total_x = static_cast<double>(p.x_offsets[p.n_x] - p.x_offsets[0]);
    double total_y = static_cast<double>(p.y_offsets[p.n_y] - p.y_offsets[0]);
    if (p.pairing == Pairing::paired) return p.n_x ? total_x * total_y / static_cast<double>(p.n_x) : 0.0;
    return total_x * total_y * (p.pairing == Pairing::upper ? 0.5 : 1.0);
}

template <class T> void define(nb::module_ &m) {
    m.def(
        "forward",
        [](In<T> x, Offsets x_offsets, In<T> y, Offsets y_offsets, std::optional<In<T>> costs, int pairing, int cost,
           double scale, int band, double parameter,
           nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu> gammas, Out<T> out, int n_threads) {
            auto problem = make_problem<T>(x, x_offsets, y, y_offsets, costs, pairing, cost, scale, band, parameter);
            auto n_gammas = static_cast<std::int64_t>(gammas.shape(0));
            interruptible(count_cells(problem) * static_cast<double>(n_gammas), [&](std::atomic<bool> &stop) {
                forward<T>(problem, gammas.data(), n_gammas, out.data(), n_threads, stop);
            });
        },
        nb::arg("x"), nb::arg("x_offsets"), nb::arg("y"), nb::arg("y_offsets"), nb::arg("costs").none(),
        nb::arg("pairing"), nb::arg("cost"), nb::arg("scale"), nb::arg("band"), nb::arg("band_parameter"),
        nb::arg("gammas"), nb::arg("out"), nb::arg("n_threads"));
    m.def(
        "gradient",
        [](In<T> x, Offsets x_offsets, In<T> y, Offsets y_offsets, std::optional<In<T>> costs, int cost, double scale,
           int band, double parameter, double gamma, std::optional<Out<T>> value, std::optional<Out<T>> expected_cost,
           std::optional<Out<T>> entropy, std::optional<Out<T>> x_gradient, std::optional<Out<T>> y_gradient,
           std::optional<Out<T>> alignment, int n_threads) {
            auto problem = make_problem<T>(x, x_offsets, y, y_offsets, costs, static_cast<int>(Pairing::paired), cost,
                                           scale, band, parameter);
            Gradients<T> out{pointer(value),      pointer(expected_cost), pointer(entropy),
                             pointer(x_gradient), pointer(y_gradient),    pointer(alignment)};
            interruptible(4 * count_cells(problem),
                          [&](std::atomic<bool> &stop) { gradient<T>(problem, gamma, out, n_threads, stop); });
        },
        nb::arg("x"), nb::arg("x_offsets"), nb::arg("y"), nb::arg("y_offsets"), nb::arg("costs").none(),
        nb::arg("cost"), nb::arg("scale"), nb::arg("band"), nb::arg("band_parameter"), nb::arg("gamma"),
        nb::arg("value").none(), nb::arg("expected_cost").none(), nb::arg("entropy").none(),
        nb::arg("x_gradient").none(), nb::arg("y_gradient").none(), nb::arg("alignment").none(), nb::arg("n_threads"));
    m.def(
        "optimal_path",
        [](In<T> x, Offsets x_offsets, In<T> y, Offsets y_offsets, std::optional<In<T>> costs, int cost, double scale,
           int band, double parameter, nb::ndarray<std::int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu> path) {
            auto problem = make_problem<T>(x, x_offsets, y, y_offsets, costs, static_cast<int>(Pairing::paired), cost,
                                           scale, band, parameter);
            std::int64_t length = 0;
            double value = 0;
            interruptible(8 * count_cells(problem), [&](std::atomic<bool> &stop) {
                length = optimal_path<T>(problem, path.data(), &value, stop);
            });
            return nb::make_tuple(length, value);
        },
        nb::arg("x"), nb::arg("x_offsets"), nb::arg("y"), nb::arg("y_offsets"), nb::arg("costs").none(),
        nb::arg("cost"), nb::arg("scale"), nb::arg("band"), nb::arg("band_parameter"), nb::arg("path"));
}

}  // namespace

NB_MODULE(_core, m) {
    m.doc() = "The CPU engine of sktime_sdtw.";
    m.def("instruction_set", &instruction_set, "Name of the instruction set that the kernels use.");
    define<float>(m);
    define<double>(m);
    bind_gdtw(m);
    bind_padded(m);
    bind_signature_kernel(m);
    bind_signatures(m);
}
