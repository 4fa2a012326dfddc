// The attention kernels that tests can run here, and how near they come to exact results.
#pragma once

#include <algorithm>
#include <vector>

#include "core/base/buffer.hpp"
#include "ops/attention/attention.hpp"
#include "support/emulated/emulated_amx.hpp"

namespace ktx::test {

/// Those of the table that this machine has, and tiles by emulation where it can.
inline std::vector<const ops::AttentionKernel*> usable_attention_kernels() {
  std::vector<const ops::AttentionKernel*> result;
  for (const ops::AttentionKernel& kernel : ops::attention_kernels())
    if (kernel.isa <= hw::usable_isa()) result.push_back(&kernel);
  if (emulated_amx_attention().isa <= hw::usable_isa()) result.push_back(&emulated_amx_attention());
  return result;
}

/// Those of them with tiles.
inline std::vector<const ops::AttentionKernel*> usable_tile_kernels() {
  std::vector<const ops::AttentionKernel*> result;
  for (const auto* kernel : usable_attention_kernels())
    if (kernel->tiles != nullptr) result.push_back(kernel);
  return result;
}

/// Bound of the relative distance to exact results. Rounding a number to bf16 is a relative error
/// of 0.0017 (root mean square). A score is a sum of products of four rounded numbers (query,
/// latent, weight of k_b, key): 0.0034 of its spread, which is about 3 in these tests, so 0.01 in
/// every key's weight; rounding weights and values adds 0.003. Keys are random: their errors and
/// their values add up alike.
inline double bound_of(const ops::AttentionKernel& kernel) {
  return kernel.tiles != nullptr ? 0.015 : 1e-5;
}

/// Scratch that notices when more than its size is written.
class GuardedScratch {
 public:
  explicit GuardedScratch(size_t size) : buffer_(size + guard), size_(size) {
    std::fill_n(buffer_.data(), buffer_.size(), mark);
  }
  std::byte* data() { return buffer_.data(); }
  bool intact() const {
    return std::all_of(buffer_.data() + size_, buffer_.data() + size_ + guard,
                       [](std::byte b) { return b == mark; });
  }

 private:
  static constexpr size_t guard = 4096;
  static constexpr std::byte mark{0xff};  // as floats: NaN
  base::Buffer buffer_;
  size_t size_;
};

}  // namespace ktx::test
