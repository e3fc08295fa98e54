// Padded batches in Python.
#pragma once

#include <nanobind/nanobind.h>

namespace sdtw {

void bind_padded(nanobind::module_ &m);

}  // namespace sdtw
