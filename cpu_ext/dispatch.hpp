// Which instruction set's kernels run: the best that this machine has, or a lower one by SKTIME_SDTW_ISA.
#pragma once

#include "region.hpp"

namespace sdtw {

template <class T> const Kernels<T> &kernels();
template <> const Kernels<float> &kernels<float>();
template <> const Kernels<double> &kernels<double>();

}  // namespace sdtw
