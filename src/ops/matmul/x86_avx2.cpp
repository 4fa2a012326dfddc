// Kernels of all formats of Layout::x16 for AVX2.
#include "ops/matmul/simd/x86_simd_avx2.hpp"
#include "ops/matmul/x86_all_formats.hpp"

namespace ktx::ops {

constexpr X86Unit x86_avx2 = all_formats<Avx2>;

}  // namespace ktx::ops
