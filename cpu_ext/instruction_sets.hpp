// The instruction sets that kernels are compiled for. Each has a namespace with tables of its own; dispatch.cpp chooses.
#pragma once

#ifdef SDTW_X86
#define SDTW_EACH_ISA(declare) declare(v2) declare(v3) declare(v4)
// The table or function of this name that belongs to the instruction set in use.
#define SDTW_IN_USE(name) \
    (::sdtw::level_in_use() == 4 ? ::sdtw::v4::name : ::sdtw::level_in_use() == 3 ? ::sdtw::v3::name : ::sdtw::v2::name)
#else
#define SDTW_EACH_ISA(declare) declare(generic)
#define SDTW_IN_USE(name) (::sdtw::generic::name)
#endif

namespace sdtw {

int level_in_use();  // of x86-64: 2, 3 or 4; elsewhere 0

}  // namespace sdtw
