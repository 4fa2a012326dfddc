// The ring's bytes, and its beginning once more behind its end.
#include "engine/synth/number_ring.hpp"

#include <span>

#include "engine/synth/random.hpp"
#include "engine/synth/random_numbers.hpp"

namespace ktx::engine {
namespace {

constexpr size_t period_bytes = size_t{4} << 20;  // about

RandomNumbers source_of(const Numbers& numbers) {
  return numbers.around ? RandomNumbers::around(numbers.format, numbers.parameter)
                        : RandomNumbers::spread(numbers.format, numbers.parameter);
}

bool is_prime(size_t n) noexcept {
  for (size_t divisor = 2; divisor * divisor <= n; ++divisor)
    if (n % divisor == 0) return false;
  return true;
}

size_t prime_from(size_t n) noexcept {
  while (!is_prime(n)) ++n;
  return n;
}

}  // namespace

NumberRing::NumberRing(const Numbers& numbers, uint64_t seed)
    : numbers_(numbers),
      seed_(mixed_seed(seed, hash(quant::name(numbers.format)))),
      unit_bytes_(RandomNumbers::unit_bytes(numbers.format)),
      units_(prime_from(period_bytes / unit_bytes_)) {}

void NumberRing::make() const {
  const size_t period = units_ * unit_bytes_;
  bytes_.resize(period + longest);
  const auto ring = std::span(bytes_).first(period);
  source_of(numbers_).fill(ring, seed_);
  for (size_t at = period; at < bytes_.size(); ++at) bytes_[at] = bytes_[at - period];
}

const std::byte* NumberRing::at(uint64_t position) const {
  std::call_once(made_, [this] { make(); });
  return bytes_.data() + position % (units_ * unit_bytes_);
}

}  // namespace ktx::engine
