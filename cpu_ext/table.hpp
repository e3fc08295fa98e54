// The tables of kernels, one for each instruction set that was compiled in.
#pragma once

#include "region.hpp"
#include "second_order/diagonals.hpp"

#define SDTW_DECLARE_KERNELS(isa)                \
    namespace sdtw::isa {                        \
    extern const Kernels<float> float_kernels;   \
    extern const Kernels<double> double_kernels; \
    extern const SecondOrderKernel second_order; \
    }

#ifdef SDTW_X86
SDTW_DECLARE_KERNELS(v2)
SDTW_DECLARE_KERNELS(v3)
SDTW_DECLARE_KERNELS(v4)
#else
SDTW_DECLARE_KERNELS(generic)
#endif
