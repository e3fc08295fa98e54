// Python's view of padded batches. Tensors come as addresses (0: none), because wrapping nine of them costs more than a
// small batch does; sktime_sdtw/functional/_cpu.py alone calls this, with contiguous tensors of checked shapes.
#include <nanobind/nanobind.h>

#include "bindings_padded.hpp"
#include "interruptible.hpp"
#include "padded.hpp"

namespace nb = nanobind;

namespace sdtw {
namespace {

using Address = std::uintptr_t;
template <class T> T *to(Address address) { return reinterpret_cast<T *>(address); }

template <class T> struct Call {
    Padded<T> batch;
    double gamma;  // behind batch.gammas where no tensor of them was given

    Call(Address x, Address y, Address costs, Address x_lengths, Address y_lengths, std::int64_t count, std::int64_t n,
         std::int64_t m, std::int64_t features, Address gammas, double gamma_, int cost, double scale, int band,
         double parameter, bool one_gamma)
        : batch{to<const T>(x),
                to<const T>(y),
                to<const T>(costs),
                to<const std::int64_t>(x_lengths),
                to<const std::int64_t>(y_lengths),
                count,
                n,
                m,
                features,
                to<const double>(gammas),
                one_gamma,
                {static_cast<CostKind>(cost), scale},
                {static_cast<BandKind>(band), parameter}},
          gamma(gamma_) {
        if (!batch.gammas) batch.gammas = &gamma;
    }
    Call(const Call &) = delete;

    double cells() const {
        return static_cast<double>(batch.count) * static_cast<double>(batch.n) * static_cast<double>(batch.m);
    }
};

template <class T>
void first_order(Address x, Address y, Address costs, Address x_lengths, Address y_lengths, std::int64_t count,
                 std::int64_t n, std::int64_t m, std::int64_t features, Address gammas, double gamma, int cost,
                 double scale, int band, double parameter, bool one_gamma, Address value, Address x_gradient,
                 Address y_gradient, Address gamma_gradient, Address alignment, int n_threads) {
    Call<T> call(x, y, costs, x_lengths, y_lengths, count, n, m, features, gammas, gamma, cost, scale, band, parameter,
                 one_gamma);
    const PaddedGradients<T> out{to<T>(value), to<T>(x_gradient), to<T>(y_gradient), to<T>(gamma_gradient),
                                 to<T>(alignment)};
    interruptible((out.wanted() ? 4 : 1) * call.cells(),
                  [&](std::atomic<bool> &stop) { padded_gradient<T>(call.batch, out, n_threads, stop); });
}

template <class T>
void second_order(Address x, Address y, Address costs, Address x_lengths, Address y_lengths, std::int64_t count,
                  std::int64_t n, std::int64_t m, std::int64_t features, Address gammas, double gamma, int cost,
                  double scale, int band, double parameter, bool one_gamma, Address x_direction, Address y_direction,
                  Address gamma_direction, Address alignment_direction, Address x_gradient, Address y_gradient,
                  Address gamma_gradient, Address cost_gradient, int n_threads) {
    Call<T> call(x, y, costs, x_lengths, y_lengths, count, n, m, features, gammas, gamma, cost, scale, band, parameter,
                 one_gamma);
    const Cotangents<T> direction{to<const T>(x_direction), to<const T>(y_direction), to<const T>(gamma_direction),
                                  to<const T>(alignment_direction)};
    const SecondGradients<T> out{to<T>(x_gradient), to<T>(y_gradient), to<T>(gamma_gradient), to<T>(cost_gradient)};
    interruptible(20 * call.cells(), [&](std::atomic<bool> &stop) {
        padded_second_order<T>(call.batch, direction, out, n_threads, stop);
    });
}

template <class T>
void pairwise(Address x, Address y, Address x_lengths, Address y_lengths, std::int64_t count, std::int64_t count_y,
              std::int64_t n, std::int64_t m, std::int64_t features, Address gammas, double gamma, int cost,
              double scale, int band, double parameter, Address value, int n_threads) {
    Call<T> call(x, y, 0, x_lengths, y_lengths, count, n, m, features, gammas, gamma, cost, scale, band, parameter,
                 true);
    interruptible(call.cells() * static_cast<double>(count_y), [&](std::atomic<bool> &stop) {
        padded_pairwise<T>(call.batch, count_y, to<T>(value), n_threads, stop);
    });
}

}  // namespace

void bind_padded(nb::module_ &m) {
    m.def("padded_gradient_f32", &first_order<float>);
    m.def("padded_gradient_f64", &first_order<double>);
    m.def("padded_pairwise_f32", &pairwise<float>);
    m.def("padded_pairwise_f64", &pairwise<double>);
    m.def("padded_second_order_f32", &second_order<float>);
    m.def("padded_second_order_f64", &second_order<double>);
}

}  // namespace sdtw
