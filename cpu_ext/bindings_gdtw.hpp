// Adds the functions of continuous-time warping to the module.
#pragma once

#include <nanobind/nanobind.h>

void bind_gdtw(nanobind::module_ &m);
