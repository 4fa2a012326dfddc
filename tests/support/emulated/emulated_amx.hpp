// Test doubles of the kernels over AMX tiles, which run where there is no AMX.
#pragma once

#include "ops/attention/attention.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx::test {

/// The rows "amx" and "amx_bf16" of the matmul table on emulated tiles.
const ops::MatmulKernel& emulated_amx_kernel() noexcept;
const ops::MatmulKernel& emulated_amx_bf16_kernel() noexcept;

/// The row "amx" of the attention table on emulated tiles.
const ops::AttentionKernel& emulated_amx_attention() noexcept;

}  // namespace ktx::test
