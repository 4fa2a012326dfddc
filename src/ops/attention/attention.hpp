// The table of attention kernels: what mla and gqa compute with.
#pragma once

#include <span>
#include <string_view>

#include "core/hw/isa.hpp"
#include "ops/attention/attention_tiles.hpp"
#include "ops/f32/functions.hpp"

namespace ktx::ops {

struct AttentionKernel {
  std::string_view name;  // "avx512", as in rules: "mla.avx512"
  hw::Isa isa;            // the least level it needs
  hw::Isa matrices;       // the highest level of the matmul kernels that it leaves matrices to
  const f32::Functions* functions;
  const AttentionTiles* tiles = nullptr;  // for many tokens, or null
};

/// Best first; "ref" last.
std::span<const AttentionKernel> attention_kernels() noexcept;

/// The kernel of that name, or nullptr.
const AttentionKernel* find_attention_kernel(std::string_view name) noexcept;

/// The first kernel of the table that `isa` allows.
const AttentionKernel& best_attention_kernel(hw::Isa isa) noexcept;

}  // namespace ktx::ops
