// The signature-kernel sweeps of one instruction set, compiled once for each; as ../kernels.cpp, and for the same
// reason it instantiates nothing that another object file could pick up.
#include "../denormals.hpp"
#include "goursat.hpp"
#include "truncated.hpp"

namespace sdtw::SDTW_ISA {
namespace {

// Calls work with the sweep that a pack asks for.
template <class T, class Work> void choose(const Pack<T> &pack, T *scratch, bool gradient, Work &&work) {
    if (pack.depth) {
        Truncated<T> sweep(pack, scratch, gradient);
        work(sweep);
    } else if (pack.wave) {
        Goursat<T, true> sweep(pack, scratch, gradient);
        work(sweep);
    } else {
        Goursat<T, false> sweep(pack, scratch, gradient);
        work(sweep);
    }
}

template <class T> Index scratch_size(const Pack<T> &pack, bool gradient) {
    Index size = 0;
    choose<T>(pack, nullptr, gradient, [&](auto &sweep) { size = sweep.size(); });
    return size;
}

template <class T> void value(const Pack<T> &pack, T *out, T *scratch) {
    FlushDenormals guard;
    choose<T>(pack, scratch, false, [&](auto &sweep) { sweep.value(out); });
}

template <class T> void gradient(const Pack<T> &pack, const PackGradients<T> &out, T *scratch) {
    FlushDenormals guard;
    choose<T>(pack, scratch, true, [&](auto &sweep) { sweep.gradient(out); });
}

template <class T> constexpr signature_kernel::Kernels<T> table() {
    return {lane_count<T>, sweep_rows, wave_rows<T>, wave_skew<T>, scratch_size<T>, value<T>, gradient<T>};
}

}  // namespace

const signature_kernel::Kernels<float> float_signature_kernels = table<float>();
const signature_kernel::Kernels<double> double_signature_kernels = table<double>();

}  // namespace sdtw::SDTW_ISA
