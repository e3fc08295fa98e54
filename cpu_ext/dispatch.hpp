// Which instruction set's kernels run: the best that this machine has, or a lower one by SKTIME_SDTW_ISA.
#pragma once

#include "region.hpp"
#include "second_order/diagonals.hpp"

namespace sdtw {

template <class T> const Kernels<T> &kernels();
template <> const Kernels<float> &kernels<float>();
template <> const Kernels<double> &kernels<double>();

SecondOrderKernel second_order_kernel();

}  // namespace sdtw
