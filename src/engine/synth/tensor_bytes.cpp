// Pieces of a ring.
#include "engine/synth/tensor_bytes.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "core/base/error.hpp"
#include "engine/synth/random.hpp"

namespace ktx::engine {

const NumberRing& NumberRings::of(const Numbers& numbers) {
  const auto found = std::find_if(rings_.begin(), rings_.end(), [&](const NumberRing& ring) {
    return ring.numbers() == numbers;
  });
  return found != rings_.end() ? *found : rings_.emplace_back(numbers, seed_);
}

TensorBytes::TensorBytes(SynthTensor tensor, const std::shared_ptr<NumberRings>& rings)
    : tensor_(std::move(tensor)),
      keep_(rings),
      ring_(rings->of(tensor_.numbers)),
      size_(tensor_.bytes()),
      start_(ring_.start(mixed_seed(rings->seed(), hash(tensor_.name)))) {}

size_t TensorBytes::scratch_bytes(uint64_t, size_t size) const noexcept {
  return size > NumberRing::longest ? size : 0;
}

const std::byte* TensorBytes::read(uint64_t offset, size_t size,
                                   std::span<std::byte> scratch) const {
  require(offset <= size_ && size <= size_ - offset, "bytes beyond the end of a synthetic tensor");
  if (size <= NumberRing::longest) return ring_.at(start_ + offset);
  for (size_t done = 0; done < size; done += NumberRing::longest) {
    const size_t piece = std::min(NumberRing::longest, size - done);
    std::memcpy(scratch.data() + done, ring_.at(start_ + offset + done), piece);
  }
  return scratch.data();
}

std::string TensorBytes::stamp() const {
  const auto& [format, around, parameter] = tensor_.numbers;
  return "synth 1 " + tensor_.name + " " + std::string(quant::name(format)) +
         (around ? " around " : " spread ") + std::to_string(std::bit_cast<uint64_t>(parameter)) +
         " seed " + std::to_string(keep_->seed());
}

}  // namespace ktx::engine
