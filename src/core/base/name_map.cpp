// SipHash and its key.
#include "core/base/name_map.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>

namespace ktx::base {

namespace {

struct State {
  uint64_t v0, v1, v2, v3;

  void rounds(int count) noexcept {
    for (int i = 0; i < count; ++i) {
      v0 += v1;
      v2 += v3;
      v1 = std::rotl(v1, 13) ^ v0;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 = std::rotl(v0, 32) + v3;
      v2 += v1;
      v1 = std::rotl(v1, 17) ^ v2;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 = std::rotl(v2, 32);
    }
  }
  void take(uint64_t word, int count) noexcept {
    v3 ^= word;
    rounds(count);
    v0 ^= word;
  }
};

}  // namespace

std::array<uint64_t, 2> random_key() {
  std::random_device random;
  const auto word = [&] { return uint64_t{random()} << 32 | random(); };
  return {word(), word()};
}

uint64_t sip_hash(std::string_view bytes, std::array<uint64_t, 2> key, SipRounds rounds) noexcept {
  State state{key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
              key[1] ^ 0x7465646279746573};
  const size_t size = bytes.size();
  for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), 8);
    state.take(word, rounds.word);
  }
  uint64_t last = 0;
  std::ranges::copy(bytes, reinterpret_cast<char*>(&last));
  state.take(last | uint64_t{size} << 56, rounds.word);
  state.v2 ^= 0xff;
  state.rounds(rounds.end);
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

size_t NameHash::operator()(std::string_view name) const {
  static const std::array<uint64_t, 2> key = random_key();
  return sip_hash(name, key, {.word = 1, .end = 3});
}

}  // namespace ktx::base
