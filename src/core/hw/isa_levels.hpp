// The one table of x86-64 levels and the CPU features of each.
//
// It has three readers: cmake/KtxTargets.cmake compiles a unit x86_<level>*.cpp with the features
// of its level; isa.cpp looks for them in CPUID; tools/dev/check_isa_units finds instructions
// beyond them in the compiled units. To keep it easy to parse, each row is one line and lists the
// features it adds to the row above, as named by GCC's options -m<feature>.
#pragma once

#include "core/hw/isa.hpp"

namespace ktx::hw {

inline constexpr IsaInfo isa_levels[] = {
    {Isa::scalar, "scalar", "", "any x86-64 CPU", 0.1},
    {Isa::avx2, "avx2", "avx avx2 fma f16c", "AVX2, FMA, F16C", 1},
    {Isa::avx512, "avx512", "avx512f avx512bw avx512vl avx512dq", "AVX-512 F, BW, VL, DQ", 2},
    {Isa::avx512_vnni, "avx512_vnni", "avx512vnni", "AVX-512 VNNI: int8 dot products", 4},
    {Isa::avx512_vbmi, "avx512_vbmi", "avx512vbmi", "AVX-512 VBMI: look-ups of bytes", 4},
    {Isa::avx512_bf16, "avx512_bf16", "avx512bf16", "AVX-512 BF16: bfloat16 dot products", 4},
    {Isa::amx_bf16, "amx_bf16", "amx-tile amx-bf16", "AMX: tiles of bfloat16", 15},
    {Isa::amx_int8, "amx_int8", "amx-int8", "AMX: tiles of int8", 25},
};

}  // namespace ktx::hw
