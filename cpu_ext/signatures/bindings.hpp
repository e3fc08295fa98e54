// Adds the signature operators to the module.
#pragma once

#include <nanobind/nanobind.h>

void bind_signatures(nanobind::module_ &m);
