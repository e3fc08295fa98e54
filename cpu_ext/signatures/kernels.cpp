// The signature kernels of one instruction set, compiled once for each; as ../kernels.cpp, and for the same reason it
// instantiates nothing that another object file could pick up.
#include "../denormals.hpp"
#include "algebra.hpp"

namespace sdtw::SDTW_ISA {
namespace {

template <class T>
Index scratch_size(int channels, int depth, int prefix, Index room, bool stream, bool backward) {
    Group<T> group{};
    group.channels = channels;
    group.depth = depth;
    group.prefix = prefix;
    group.longest = group.room = room;
    return GroupRun<T>(group, {nullptr}, stream, backward).used();
}

template <class T> void forward(const Group<T> &group, const Rows<T> &out, bool stream) {
    FlushDenormals guard;
    GroupRun<T>(group, {group.scratch}, stream, false).forward(out, stream);
}

template <class T>
void backward(const Group<T> &group, const Rows<const T> &gradient, bool stream, const Rows<const T> &out,
              T *const increments[], T *const initial[]) {
    FlushDenormals guard;
    GroupRun<T>(group, {group.scratch}, stream, true).backward(gradient, stream, out, increments, initial);
}

template <class T> constexpr signatures::Kernels<T> table() {
    return {lane_count<T>, scratch_size<T>,     forward<T>, backward<T>,       algebra_size<T>,
            product<T>,    product_backward<T>, series<T>,  series_backward<T>};
}

}  // namespace

const signatures::Kernels<float> float_signatures = table<float>();
const signatures::Kernels<double> double_signatures = table<double>();

}  // namespace sdtw::SDTW_ISA
