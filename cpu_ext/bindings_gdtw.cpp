// Python's view of continuous-time warping.
#include "bindings_gdtw.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <optional>

#include "gdtw/problem.hpp"
#include "interruptible.hpp"

namespace nb = nanobind;
using namespace sdtw::gdtw;

namespace {

using Numbers = nb::ndarray<const double, nb::c_contig, nb::device::cpu>;
using Offsets = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<double, nb::c_contig, nb::device::cpu>;
using Integers = nb::ndarray<std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

Problem make_problem(const Numbers &x, const Numbers &x_times, const std::optional<Numbers> &x_slopes,
                     const Offsets &x_offsets, const Numbers &y, const Numbers &times, const Offsets &y_offsets,
                     const Numbers &low, const Numbers &high, const Numbers &slope_min, const Numbers &slope_max,
                     const Numbers &reg, const Numbers &cumulative, bool fixed_ends, int data, double data_delta,
                     int penalty, double penalty_delta) {
    return {static_cast<Index>(x_offsets.shape(0)) - 1,
            static_cast<Index>(x.shape(1)),
            x.data(),
            x_times.data(),
            x_slopes ? x_slopes->data() : nullptr,
            x_offsets.data(),
            y.data(),
            times.data(),
            y_offsets.data(),
            low.data(),
            high.data(),
            slope_min.data(),
            slope_max.data(),
            reg.data(),
            cumulative.data(),
            fixed_ends,
            {static_cast<Loss>(data), data_delta},
            {static_cast<Loss>(penalty), penalty_delta}};
}

}  // namespace

void bind_gdtw(nb::module_ &m) {
    m.def("gdtw", [](Numbers x, Numbers x_times, std::optional<Numbers> x_slopes, Offsets x_offsets, Numbers y,
                     Numbers times, Offsets y_offsets, Numbers low, Numbers high, Numbers slope_min, Numbers slope_max,
                     Numbers reg, Numbers cumulative, bool fixed_ends, int data, double data_delta, int penalty,
                     double penalty_delta, std::int64_t points, Out warp, Integers cell, Integers holds, Integers ties,
                     Out objective, Out residual, Integers status, int n_threads) {
        const Problem problem =
            make_problem(x, x_times, x_slopes, x_offsets, y, times, y_offsets, low, high, slope_min, slope_max, reg,
                         cumulative, fixed_ends, data, data_delta, penalty, penalty_delta);
        const Solution out{warp.data(),      cell.data(),     holds.data(), ties.data(),
                           objective.data(), residual.data(), status.data()};
        // About as long as so many cells of soft-DTW.
        const double cells = 2e4 * static_cast<double>(times.shape(0));
        sdtw::interruptible(cells, [&](std::atomic<bool> &stop) { solve(problem, points, out, n_threads, stop); });
    });
    m.def("gdtw_gradient",
          [](Numbers x, Numbers x_times, std::optional<Numbers> x_slopes, Offsets x_offsets, Numbers y, Numbers times,
             Offsets y_offsets, Numbers low, Numbers high, Numbers slope_min, Numbers slope_max, Numbers reg,
             Numbers cumulative, bool fixed_ends, int data, double data_delta, int penalty, double penalty_delta,
             Numbers warp, nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> cell,
             nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> holds,
             nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> ties, Numbers upstream, Out gx,
             Out gx_times, std::optional<Out> gx_slopes, Out gy, Out gtimes, Out glow, Out ghigh, Out gslope_min,
             Out gslope_max, Out greg, Out gcumulative, int n_threads) {
              const Problem problem =
                  make_problem(x, x_times, x_slopes, x_offsets, y, times, y_offsets, low, high, slope_min, slope_max,
                               reg, cumulative, fixed_ends, data, data_delta, penalty, penalty_delta);
              const Gradients out{gx.data(),    gx_times.data(),   gx_slopes ? gx_slopes->data() : nullptr,
                                  gy.data(),    gtimes.data(),     glow.data(),
                                  ghigh.data(), gslope_min.data(), gslope_max.data(),
                                  greg.data(),  gcumulative.data()};
              sdtw::interruptible(100.0 * static_cast<double>(times.shape(0)), [&](std::atomic<bool> &stop) {
                  backward(problem, warp.data(), cell.data(), holds.data(), ties.data(), upstream.data(), out,
                           n_threads, stop);
              });
          });
}
