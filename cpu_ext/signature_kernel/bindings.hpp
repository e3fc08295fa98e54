// Adds the signature-kernel operators to the module.
#pragma once

#include <nanobind/nanobind.h>

void bind_signature_kernel(nanobind::module_ &m);
