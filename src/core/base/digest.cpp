// Eight lanes of multiplications, mixed at the end.
#include "core/base/digest.hpp"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>

namespace ktx::base {

namespace {

constexpr int lanes = 8;  // enough that the multiplications overlap
constexpr size_t stripe = lanes * sizeof(uint64_t);
// Odd, with evenly mixed bits: 2^64 / golden ratio, and a prime of the same kind.
constexpr uint64_t multiplier = 0x9e3779b97f4a7c15u, other_multiplier = 0xc2b2ae3d27d4eb4fu;

// Both halves of the product, so that what a difference becomes depends on all bits of the state: a
// difference in one stripe can't be made good by a certain one in the next.
uint64_t folded_product(uint64_t a, uint64_t b) noexcept {
  __extension__ typedef unsigned __int128 Product;
  const Product product = Product{a} * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

void absorb(uint64_t (&state)[lanes], const std::byte* bytes) noexcept {
  for (int i = 0; i < lanes; ++i) {
    uint64_t word;
    std::memcpy(&word, bytes + i * static_cast<int>(sizeof word), sizeof word);
    state[i] = folded_product(state[i] ^ word, multiplier);
  }
}

uint64_t mixed(uint64_t x) noexcept {
  x = (x ^ x >> 32) * other_multiplier;
  x = (x ^ x >> 29) * multiplier;
  return x ^ x >> 32;
}

}  // namespace

Digest digest(std::span<const std::byte> bytes) noexcept {
  uint64_t state[lanes];
  for (uint64_t i = 0; i < lanes; ++i) state[i] = mixed(bytes.size() * lanes + i);
  while (bytes.size() >= stripe) {
    absorb(state, bytes.data());
    bytes = bytes.subspan(stripe);
  }
  if (!bytes.empty()) {  // the length is in the state: zeros added can't be taken for data
    std::byte last[stripe] = {};
    std::memcpy(last, bytes.data(), bytes.size());
    absorb(state, last);
  }
  Digest out;
  for (const uint64_t lane : state) {
    out.high = mixed(out.high ^ lane);
    out.low = mixed(std::rotl(out.low, 23) + mixed(lane * other_multiplier));
  }
  return out;
}

Digest digest(std::string_view text) noexcept {
  return digest(std::as_bytes(std::span(text)));
}

std::string Digest::hex() const {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(high),
                static_cast<unsigned long long>(low));
  return text;
}

}  // namespace ktx::base
