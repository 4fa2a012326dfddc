// The table of f32 inner-loop sets: what the kernels of router, norm and elementwise ops are.
#pragma once

#include <span>
#include <string_view>

#include "core/hw/isa.hpp"
#include "ops/f32/functions.hpp"

namespace ktx::ops::f32 {

struct Kernel {
  std::string_view name;  // "avx512"
  hw::Isa isa;            // the least level it needs
  const Functions* functions;
};

/// Best first; "ref" last.
std::span<const Kernel> kernels() noexcept;

/// The kernel of that name, or nullptr.
const Kernel* find_kernel(std::string_view name) noexcept;

/// The first kernel of the table that `isa` allows.
const Kernel& best_kernel(hw::Isa isa) noexcept;

}  // namespace ktx::ops::f32
