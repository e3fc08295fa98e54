#include "dispatch.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "table.hpp"

namespace sdtw {
namespace {

struct InstructionSet {
    const char *name;
    int level;
    bool usable;
};

const InstructionSet &choose() {
#ifdef SDTW_X86
    __builtin_cpu_init();
    const bool has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool has_v4 = has_v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512cd");
    static const InstructionSet sets[] = {{"v4", 4, has_v4}, {"v3", 3, has_v3}, {"v2", 2, true}};
#else
    static const InstructionSet sets[] = {{"generic", 0, true}};
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

const char *instruction_set() { return chosen().name; }

int level_in_use() { return chosen().level; }

template <> const Kernels<float> &kernels<float>() { return SDTW_IN_USE(float_kernels); }
template <> const Kernels<double> &kernels<double>() { return SDTW_IN_USE(double_kernels); }
SecondOrderKernel second_order_kernel() { return SDTW_IN_USE(second_order); }

}  // namespace sdtw
