// Kernels of all formats of Layout::x16 for AVX-512 (F, BW, VL, DQ).
#include "ops/matmul/simd/x86_simd_avx512.hpp"
#include "ops/matmul/x86_all_formats.hpp"

namespace ktx::ops {

constexpr X86Unit x86_avx512 = all_formats<Avx512>;

}  // namespace ktx::ops
