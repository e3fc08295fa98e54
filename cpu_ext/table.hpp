// The tables of kernels, one for each instruction set that was compiled in.
#pragma once

#include "instruction_sets.hpp"
#include "region.hpp"
#include "second_order/diagonals.hpp"

#define SDTW_DECLARE_KERNELS(isa)                \
    namespace sdtw::isa {                        \
    extern const Kernels<float> float_kernels;   \
    extern const Kernels<double> double_kernels; \
    extern const SecondOrderKernel second_order; \
    }

SDTW_EACH_ISA(SDTW_DECLARE_KERNELS)
