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

// A window is an ending of one block times a beginning of the next. Endings grow to the left: exp(z) ⊗ S is, with the
// letters of all words in reverse order, S ⊗ exp(z), so the same walk makes them, mirrored.
template <class T>
void sliding(const Group<T> &a, const Group<T> &b, const Index start[], Index stride, Index last, T *const out[],
             T *room) {
    FlushDenormals guard;
    constexpr int L = lane_count<T>;
    const Index words = count_words(a.channels, a.depth), size = words * L, steps = a.longest;
    GroupRun<T> endings(a, {a.scratch}, true, false), beginnings(b, {b.scratch}, true, false);
    endings.begin();
    for (Index t = steps - 1; t >= 0; --t) endings.step(t, room + t * size);
    beginnings.begin();
    RowWriter<T> writer(a.past_caches);
    for (Index t = 0; t < steps; ++t) {
        T *rows[L];
        bool any_row = false;
        for (int l = 0; l < L; ++l) {
            const Index first = start[l] + t;
            rows[l] = out[l] && first % stride == 0 && first <= last ? out[l] + first / stride * words : nullptr;
            any_row |= rows[l] != nullptr;
        }
        if (any_row) {
            T *product = room + steps * size;
            Product<T> join(a.channels, a.depth, T(1), T(1), room + t * size, beginnings.state(), product);
            join.next_a = size;
            join.template run<false, true>();
            writer.begin(words, rows);
            writer.write(product, words);
        }
        if (t + 1 < steps) beginnings.step(t);
    }
}

template <class T> constexpr signatures::Kernels<T> table() {
    return {lane_count<T>,   scratch_size<T>, forward<T>,          backward<T>, sliding<T>,
            algebra_size<T>, product<T>,      product_backward<T>, series<T>,   series_backward<T>};
}

}  // namespace

const signatures::Kernels<float> float_signatures = table<float>();
const signatures::Kernels<double> double_signatures = table<double>();

}  // namespace sdtw::SDTW_ISA
