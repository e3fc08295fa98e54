#include "dispatch.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "table.hpp"

namespace sdtw {
namespace {

struct InstructionSet {
    const char *name;
    bool usable;
    const Kernels<float> *float_kernels;
    const Kernels<double> *double_kernels;
    SecondOrderKernel second_order;
};

const InstructionSet &choose() {
#ifdef SDTW_X86
    __builtin_cpu_init();
    const bool has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool has_v4 = has_v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512cd");
    static const InstructionSet sets[] = {{"v4", has_v4, &v4::float_kernels, &v4::double_kernels, v4::second_order},
                                          {"v3", has_v3, &v3::float_kernels, &v3::double_kernels, v3::second_order},
                                          {"v2", true, &v2::float_kernels, &v2::double_kernels, v2::second_order}};
#else
    static const InstructionSet sets[] = {
        {"generic", true, &generic::float_kernels, &generic::double_kernels, generic::second_order}};
#endif
    const char *wanted = std::getenv("SKTIME_SDTW_ISA");
    std::string names;
    for (const InstructionSet &set : sets) {
        if (!set.usable) continue;
        if (!wanted || !*wanted || std::string(wanted) == set.name) return set;
        names += std::string(names.empty() ? "" : ", ") + set.name;
    }
    throw std::invalid_argument("SKTIME_SDTW_ISA is '" + std::string(wanted) + "'; this machine has: " + names + ".");
}

const InstructionSet &chosen() {
    static const InstructionSet &set = choose();
    return set;
}

}  // namespace

template <> const Kernels<float> &kernels<float>() { return *chosen().float_kernels; }
template <> const Kernels<double> &kernels<double>() { return *chosen().double_kernels; }

SecondOrderKernel second_order_kernel() { return chosen().second_order; }

const char *instruction_set() { return chosen().name; }

}  // namespace sdtw
