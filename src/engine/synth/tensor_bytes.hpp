// The bytes of a synthetic tensor, wherever they go: into a file or straight into the packer.
#pragma once

#include <list>
#include <memory>

#include "core/base/byte_source.hpp"
#include "engine/synth/contents.hpp"
#include "engine/synth/number_ring.hpp"

namespace ktx::engine {

/// The rings of a checkpoint: one for each distribution of numbers in it.
class NumberRings {
 public:
  explicit NumberRings(uint64_t seed) : seed_(seed) {}

  uint64_t seed() const noexcept { return seed_; }
  /// Not for several threads at once.
  const NumberRing& of(const Numbers& numbers);

 private:
  uint64_t seed_;
  std::list<NumberRing> rings_;  // their addresses stay
};

/// Bytes that follow from the rings' seed, the tensor's name and their place in it alone.
class TensorBytes final : public base::ByteSource {
 public:
  TensorBytes(SynthTensor tensor, const std::shared_ptr<NumberRings>& rings);

  uint64_t size() const noexcept override { return size_; }
  size_t scratch_bytes(uint64_t offset, size_t size) const noexcept override;
  const std::byte* read(uint64_t offset, size_t size, std::span<std::byte> scratch) const override;
  std::string stamp() const override;

 private:
  SynthTensor tensor_;
  std::shared_ptr<const NumberRings> keep_;
  const NumberRing& ring_;
  uint64_t size_, start_;
};

}  // namespace ktx::engine
