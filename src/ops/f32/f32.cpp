// The table of f32 inner-loop sets.
#include "ops/f32/f32.hpp"

namespace ktx::ops::f32 {

std::span<const Kernel> kernels() noexcept {
  static constexpr Kernel table[] = {
      {"avx512", hw::Isa::avx512, &avx512_functions},
      {"avx2", hw::Isa::avx2, &avx2_functions},
      {"ref", hw::Isa::scalar, &ref_functions},
  };
  return table;
}

const Kernel* find_kernel(std::string_view name) noexcept {
  for (const Kernel& kernel : kernels()) {
    if (kernel.name == name) return &kernel;
  }
  return nullptr;
}

const Kernel& best_kernel(hw::Isa isa) noexcept {
  for (const Kernel& kernel : kernels()) {
    if (kernel.isa <= isa) return kernel;
  }
  return kernels().back();
}

}  // namespace ktx::ops::f32
