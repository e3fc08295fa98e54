// The signature-kernel sweeps of one instruction set, compiled once for each; as ../kernels.cpp, and for the same
// reason it instantiates nothing that another object file could pick up.
#include "../denormals.hpp"
#include "goursat.hpp"
#include "truncated.hpp"

namespace sdtw::SDTW_ISA {
namespace {

template <class T> Index scratch_size(const Pack<T> &pack, bool gradient) {
    return pack.depth ? Truncated<T>(pack, nullptr, gradient).size() : Goursat<T>(pack, nullptr, gradient).size();
}

template <class T> void value(const Pack<T> &pack, T *out, T *scratch) {
    FlushDenormals guard;
    pack.depth ? Truncated<T>(pack, scratch, false).value(out) : Goursat<T>(pack, scratch, false).value(out);
}

template <class T> void gradient(const Pack<T> &pack, const PackGradients<T> &out, T *scratch) {
    FlushDenormals guard;
    pack.depth ? Truncated<T>(pack, scratch, true).gradient(out) : Goursat<T>(pack, scratch, true).gradient(out);
}

template <class T> constexpr signature_kernel::Kernels<T> table() {
    return {lane_count<T>, scratch_size<T>, value<T>, gradient<T>};
}

}  // namespace

const signature_kernel::Kernels<float> float_signature_kernels = table<float>();
const signature_kernel::Kernels<double> double_signature_kernels = table<double>();

}  // namespace sdtw::SDTW_ISA
