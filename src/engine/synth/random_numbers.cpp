// Random content of tensors: block variants with random codes.
#include "engine/synth/random_numbers.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <iterator>
#include <string>

#include "core/base/error.hpp"
#include "core/quant/blocks.hpp"
#include "core/quant/half.hpp"
#include "engine/synth/random.hpp"

namespace ktx::engine {
namespace {

using quant::Format;

constexpr size_t variants = 256;
constexpr size_t most_words = 128;  // of a unit

template <class Block>
void store(std::byte* out, const Block& block) {
  std::memcpy(out, &block, sizeof block);
}

/// The f16 scale of a block whose codes have that root mean square; blocks differ somewhat.
uint16_t block_scale(Random& random, double deviation, double code_rms) {
  return quant::f32_to_f16(static_cast<float>(deviation / code_rms * random.between(0.75, 1.25)));
}

int random_sign(Random& random) {
  return random.whole(0, 1) == 0 ? -1 : 1;
}

void make_f32(Random& random, double deviation, std::byte* out) {
  store(out, static_cast<float>(random.normal() * deviation));
}

void make_bf16(Random& random, double deviation, std::byte* out) {
  store(out, quant::f32_to_bf16(static_cast<float>(random.normal() * deviation)));
}

// An e4m3 code's exponent alone. The largest one is left out: with all mantissa bits it is NaN.
void make_fp8(Random& random, double deviation, std::byte* out) {
  const double size = std::max(std::fabs(random.normal() * deviation), 0x1p-9);
  const int exponent = std::clamp(std::ilogb(size) + 7, 0, 14);
  store(out, static_cast<uint8_t>(exponent << 3));
}

// Odd codes, -127 to 127: an encoder never makes -128.
void make_q8_0(Random& random, double deviation, std::byte* out) {
  quant::BlockQ8_0 block{};
  block.d = block_scale(random, deviation, std::sqrt((128.0 * 128 - 1) / 3));
  std::fill(std::begin(block.qs), std::end(block.qs), int8_t{1});
  store(out, block);
}

// Codes -16 to 15, whose mean of -1/2 the scale's sign evens out.
void make_q5_0(Random& random, double deviation, std::byte* out) {
  quant::BlockQ5_0 block{};
  block.d = block_scale(random, deviation * random_sign(random), std::sqrt((32.0 * 32 + 2) / 12));
  store(out, block);
}

// Scales are powers of two: of the two next to the one that is due so many that the mean of their
// squares is its own.
void make_mxfp4(Random& random, double deviation, std::byte* out) {
  quant::BlockMxfp4 block{};
  constexpr double code_rms = 5.852;
  const double scale = deviation / code_rms;
  const int low = std::ilogb(scale);
  const double above = std::scalbn(scale, -low);  // 1 to 2
  const bool high = random.between(0, 1) * 3 < above * above - 1;
  block.e = static_cast<uint8_t>(low + (high ? 1 : 0) + 128);
  store(out, block);
}

// Scales of 8 to 15, and minima that put the codes' mean of 1.5 to about 0.
void make_q2_k(Random& random, double deviation, std::byte* out) {
  quant::BlockQ2K block{};
  for (uint8_t& byte : block.scales) {
    const int scale = random.whole(8, 15);
    byte = static_cast<uint8_t>(scale | std::min(scale + random.whole(-1, 1), 15) << 4);
  }
  constexpr double scale_rms = 11.73;
  block.d = block_scale(random, deviation, scale_rms * std::sqrt((4.0 * 4 - 1) / 12));
  block.dmin = quant::f32_to_f16(1.5f * quant::f16_to_f32(block.d));
  store(out, block);
}

// Codes -4 to 3; scales of either sign even out their mean of -1/2.
void make_q3_k(Random& random, double deviation, std::byte* out) {
  quant::BlockQ3K block{};
  for (int j = 0; j < 16; ++j) {  // the packing that quant::q3_k_scale undoes
    const int scale = 32 + random.whole(16, 31) * random_sign(random);
    uint8_t &low = block.scales[j % 8], &high = block.scales[8 + j % 4];
    low = static_cast<uint8_t>(low | (scale & 15) << j / 8 * 4);
    high = static_cast<uint8_t>(high | scale >> 4 << j / 4 * 2);
  }
  constexpr double scale_rms = 23.95;
  block.d = block_scale(random, deviation, scale_rms * std::sqrt((8.0 * 8 + 2) / 12));
  store(out, block);
}

uint8_t random_byte(Random& random) {
  return static_cast<uint8_t>(random.whole(0, 255));
}

// The upper 4 bits of every other word are a scale, here 8 to 15 for 2 * scale + 1; free_bits
// leaves them out, and with them some of the indices'.
void make_iq2_xxs(Random& random, double deviation, std::byte* out) {
  quant::BlockIQ2XXS block{};
  for (int i = 3; i < 64; i += 8) {
    block.qs[i] = random_byte(random);
    block.qs[i + 4] = static_cast<uint8_t>(random.whole(8, 15) << 4);
  }
  constexpr double scale_rms = 24.43, weight_rms = 23.12;
  block.d = block_scale(random, deviation, scale_rms * weight_rms / 8);
  store(out, block);
}

// Bits 12 to 14 of qh are a scale, here 4 to 7 for 2 * scale + 1; free_bits leaves them out, and
// with them some of the indices'.
void make_iq1_s(Random& random, double deviation, std::byte* out) {
  quant::BlockIQ1S block{};
  for (uint8_t& byte : block.qs) byte = random_byte(random);
  for (uint16_t& high : block.qh) high = static_cast<uint16_t>(random.whole(4, 7) << 12);
  constexpr double scale_rms = 12.21, weight_rms = 0.7809;
  block.d = block_scale(random, deviation, scale_rms * weight_rms);
  store(out, block);
}

// Scales of 32 to 63, and minima that put the codes' mean of 7.5 to about 0.
void make_q4_k(Random& random, double deviation, std::byte* out) {
  quant::BlockQ4K block{};
  int scale[8], min[8];
  for (int j = 0; j < 8; ++j) {
    scale[j] = random.whole(32, 63);
    min[j] = std::min(scale[j] + random.whole(-1, 1), 63);
  }
  for (int j = 0; j < 4; ++j) {  // the packing that quant::k_scale_min undoes
    block.scales[j] = static_cast<uint8_t>(scale[j] | (scale[j + 4] >> 4) << 6);
    block.scales[j + 4] = static_cast<uint8_t>(min[j] | (min[j + 4] >> 4) << 6);
    block.scales[j + 8] = static_cast<uint8_t>((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
  }
  constexpr double scale_rms = 48.4;
  block.d = block_scale(random, deviation, scale_rms * std::sqrt((16.0 * 16 - 1) / 12));
  block.dmin = quant::f32_to_f16(7.5f * quant::f16_to_f32(block.d));
  store(out, block);
}

// Codes -32 to 31; scales of either sign even out their mean of -1/2.
void make_q6_k(Random& random, double deviation, std::byte* out) {
  quant::BlockQ6K block{};
  for (int8_t& scale : block.scales)
    scale = static_cast<int8_t>(random.whole(64, 127) * random_sign(random));
  constexpr double scale_rms = 97.2;
  block.d = block_scale(random, deviation, scale_rms * std::sqrt((64.0 * 64 + 2) / 12));
  store(out, block);
}

void make_f32_around(Random& random, double center, std::byte* out) {
  store(out, static_cast<float>(center * random.between(0.75, 1.25)));
}

void make_bf16_around(Random& random, double center, std::byte* out) {
  store(out, quant::f32_to_bf16(static_cast<float>(center * random.between(0.75, 1.25))));
}

}  // namespace

/// How one format's blocks are made.
struct RandomNumbers::BlockKind {
  Format format;
  size_t block_bytes;
  /// Makes a block whose free bits may be anything. parameter: the deviation or the center.
  void (*make)(Random& random, double parameter, std::byte* block);
  size_t free_begin, free_end;  // bytes of the block that have free bits
  uint32_t free_bits;           // of each 4 of these bytes
};

namespace {

using BlockKind = RandomNumbers::BlockKind;
using quant::BlockIQ1S, quant::BlockIQ2XXS, quant::BlockMxfp4, quant::BlockQ2K, quant::BlockQ3K,
    quant::BlockQ4K, quant::BlockQ5_0, quant::BlockQ6K, quant::BlockQ8_0;

constexpr BlockKind spread_kinds[] = {
    // Signs and low bits of mantissas: the high ones keep the distribution's shape.
    {Format::f32, 4, make_f32, 0, 4, 0x801fffff},
    {Format::bf16, 2, make_bf16, 0, 2, 0x801f801f},
    {Format::fp8, 1, make_fp8, 0, 1, 0x87878787},
    // Codes.
    {Format::q8_0, sizeof(BlockQ8_0), make_q8_0, offsetof(BlockQ8_0, qs), sizeof(BlockQ8_0),
     0xfefefefe},
    {Format::q5_0, sizeof(BlockQ5_0), make_q5_0, offsetof(BlockQ5_0, qh), sizeof(BlockQ5_0),
     0xffffffff},
    {Format::mxfp4, sizeof(BlockMxfp4), make_mxfp4, offsetof(BlockMxfp4, qs), sizeof(BlockMxfp4),
     0xffffffff},
    {Format::q2_k, sizeof(BlockQ2K), make_q2_k, offsetof(BlockQ2K, qs), offsetof(BlockQ2K, d),
     0xffffffff},
    {Format::q3_k, sizeof(BlockQ3K), make_q3_k, 0, offsetof(BlockQ3K, scales), 0xffffffff},
    {Format::iq2_xxs, sizeof(BlockIQ2XXS), make_iq2_xxs, offsetof(BlockIQ2XXS, qs),
     sizeof(BlockIQ2XXS), 0x0fffffff},
    {Format::iq1_s, sizeof(BlockIQ1S), make_iq1_s, offsetof(BlockIQ1S, qs), sizeof(BlockIQ1S),
     0x8fff8fff},
    {Format::q4_k, sizeof(BlockQ4K), make_q4_k, offsetof(BlockQ4K, qs), sizeof(BlockQ4K),
     0xffffffff},
    {Format::q6_k, sizeof(BlockQ6K), make_q6_k, 0, offsetof(BlockQ6K, scales), 0xffffffff},
};

// Low bits of mantissas: they change a number by less than an eighth.
constexpr BlockKind around_kinds[] = {
    {Format::f32, 4, make_f32_around, 0, 4, 0x000fffff},
    {Format::bf16, 2, make_bf16_around, 0, 2, 0x000f000f},
};

const BlockKind& kind_of(std::span<const BlockKind> kinds, Format format) {
  const auto kind = std::find_if(kinds.begin(), kinds.end(),
                                 [&](const BlockKind& k) { return k.format == format; });
  if (kind == kinds.end()) throw_bug("no random numbers in format " + std::string(name(format)));
  return *kind;
}

/// At least 128 bytes, so that choosing a variant costs little, and whole 8-byte words.
constexpr size_t blocks_a_unit(size_t block_bytes) {
  return std::max<size_t>((128 / block_bytes + 3) / 4 * 4, 4);
}

}  // namespace

RandomNumbers RandomNumbers::make(const BlockKind& kind, double parameter) {
  const size_t blocks = blocks_a_unit(kind.block_bytes), bytes = blocks * kind.block_bytes;
  const size_t words = bytes / sizeof(uint64_t);
  require(words * sizeof(uint64_t) == bytes && words <= most_words, "a unit is whole words");
  RandomNumbers numbers;
  numbers.free_bits_.resize(words);
  auto* free_bits = reinterpret_cast<uint8_t*>(numbers.free_bits_.data());
  for (size_t block = 0; block < blocks; ++block)
    for (size_t i = kind.free_begin; i < kind.free_end; ++i)
      free_bits[block * kind.block_bytes + i] =
          static_cast<uint8_t>(kind.free_bits >> (8 * ((i - kind.free_begin) % 4)));

  numbers.variants_.resize(variants * words);
  auto* out = reinterpret_cast<std::byte*>(numbers.variants_.data());
  Random random(hash(quant::name(kind.format)));
  for (size_t block = 0; block < variants * blocks; ++block)
    kind.make(random, parameter, out + block * kind.block_bytes);
  return numbers;
}

size_t RandomNumbers::unit_bytes(Format format) {
  const size_t block = kind_of(spread_kinds, format).block_bytes;
  return blocks_a_unit(block) * block;
}

RandomNumbers RandomNumbers::spread(Format format, double deviation) {
  return make(kind_of(spread_kinds, format), deviation);
}

RandomNumbers RandomNumbers::around(Format format, double center) {
  return make(kind_of(around_kinds, format), center);
}

void RandomNumbers::fill(std::span<std::byte> out, uint64_t seed) const noexcept {
  Random random(seed);
  const size_t words = free_bits_.size();
  std::array<uint64_t, most_words> unit;
  while (!out.empty()) {
    const uint64_t* variant = variants_.data() + random.next() % variants * words;
    for (size_t i = 0; i < words; ++i) unit[i] = variant[i] ^ (random.next() & free_bits_[i]);
    const size_t bytes = std::min(out.size(), words * sizeof(uint64_t));
    std::memcpy(out.data(), unit.data(), bytes);
    out = out.subspan(bytes);
  }
}

}  // namespace ktx::engine
