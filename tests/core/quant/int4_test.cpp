// int4/G: quality of the scale search, exactness and unusual weights.
// covers: x86_avx2
#include "core/quant/int4.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "catch.hpp"
#include "codec.hpp"
#include "core/quant/blocks.hpp"
#include "core/quant/half.hpp"

using namespace ktx::quant;

namespace {

const Format all[] = {Format::int4_32, Format::int4_64, Format::int4_128};

// Squared error of a group in levels low..low + 15 of scale.
double group_error(const float* weights, size_t count, float scale, float low) {
  double error = 0;
  for (size_t i = 0; i < count; ++i) {
    const float code = std::clamp(std::nearbyint(weights[i] / scale), low, low + 15);
    const double miss = double{weights[i]} - double{scale} * code;
    error += miss * miss;
  }
  return error;
}

float absmax(const float* weights, size_t count) {
  float most = 0;
  for (size_t i = 0; i < count; ++i) most = std::max(most, std::fabs(weights[i]));
  return most;
}

// The least error that any bf16 scale of either sign reaches.
double least_error(const float* weights, size_t count) {
  const float most = absmax(weights, count);
  double least = std::numeric_limits<double>::infinity();
  for (int bits = f32_to_bf16(most / 30); bits <= f32_to_bf16(most / 3); ++bits) {
    const float scale = bf16_to_f32(static_cast<uint16_t>(bits));
    least = std::min({least, group_error(weights, count, scale, -8.0f),
                      group_error(weights, count, scale, -7.0f)});
  }
  return least;
}

// q4_0's choice: the weight of largest magnitude becomes level -8.
double absmax_error(const float* weights, size_t count) {
  const float scale = absmax(weights, count) / 8;
  const bool negative = *std::min_element(weights, weights + count) == -absmax(weights, count);
  return group_error(weights, count, scale, negative ? -8.0f : -7.0f);
}

struct Errors {
  double ours = 0, least = 0, plain = 0;
};

Errors errors_of(Format format, const test::Floats& weights) {
  const auto group = static_cast<size_t>(info(format).block);
  const test::Floats back = test::round_trip(format, weights);
  Errors errors;
  for (size_t begin = 0; begin < weights.size(); begin += group) {
    for (size_t i = begin; i < begin + group; ++i) {
      const double miss = double{weights[i]} - back[i];
      errors.ours += miss * miss;
    }
    errors.least += least_error(&weights[begin], group);
    errors.plain += absmax_error(&weights[begin], group);
  }
  return errors;
}

}  // namespace

TEST_CASE("int4: the packing") {
  BlockInt4<32> block;
  block.scale = f32_to_bf16(-0.5f);
  for (uint8_t& byte : block.q) byte = 0x88;
  block.q[3] = 0x1f;  // weight 3: 15 - 8, weight 19: 1 - 8
  test::Bytes row(sizeof(block));
  std::memcpy(row.data(), &block, sizeof(block));
  const test::Floats weights = test::decode(Format::int4_32, row, 32);
  for (size_t i = 0; i < 32; ++i) CHECK(weights[i] == (i == 3 ? -3.5f : i == 19 ? 3.5f : 0.0f));
}

TEST_CASE("int4: nearly the least error of any scale, and well below absmax") {
  test::Floats normal = test::gaussian(128 * 200, 1);
  test::Floats heavy =
      test::gaussian(128 * 200, 2, 1.0f);  // cubes: a few weights far above the rest
  for (float& weight : heavy) weight = weight * weight * weight;
  for (const Format format : all) {
    for (const auto* weights : {&normal, &heavy}) {
      const Errors errors = errors_of(format, *weights);
      INFO(name(format) << " " << errors.ours << " least " << errors.least << " absmax "
                        << errors.plain);
      CHECK(errors.ours >= errors.least * 0.9999);
      CHECK(errors.ours <= errors.least * 1.005);
      CHECK(errors.ours <= errors.plain * (weights == &normal ? 0.92 : 0.95));
    }
  }
}

TEST_CASE("int4: weights already on a 4-bit grid are stored exactly") {
  std::mt19937 random(5);
  for (const Format format : all) {
    const auto group = static_cast<size_t>(info(format).block);
    for (int largest = 1; largest <= 8; ++largest) {
      for (int trial = 0; trial < 40; ++trial) {
        INFO(name(format) << " largest code " << largest);
        const float scale = bf16_to_f32(static_cast<uint16_t>(0x3c00 + random() % 256)) *
                            (trial % 2 == 0 ? 1.0f : -1.0f);
        test::Floats weights(group);
        // Both signs up to 7; the eighth level is there on one side only.
        const int most = std::min(largest, 7);
        for (float& weight : weights) {
          const int code = static_cast<int>(random() % static_cast<unsigned>(2 * most + 1)) - most;
          weight = scale * static_cast<float>(code);
        }
        weights[random() % group] = scale * static_cast<float>(-largest);
        REQUIRE(test::round_trip(format, weights) == weights);
      }
    }
  }
}

TEST_CASE("int4: a decoded row is stored exactly again") {
  for (const Format format : all) {
    const test::Floats once = test::round_trip(format, test::gaussian(128 * 100, 6));
    CHECK(test::round_trip(format, once) == once);
  }
}

TEST_CASE("int4: every ISA stores the same bytes") {
  if (!__builtin_cpu_supports("avx2")) SKIP("this CPU has no AVX2");
  const test::Floats weights = test::gaussian(128 * 500, 7);
  const auto count = static_cast<int64_t>(weights.size());
  const auto pairs = {std::pair{int4::baseline.g32, int4::avx2.g32},
                      std::pair{int4::baseline.g64, int4::avx2.g64},
                      std::pair{int4::baseline.g128, int4::avx2.g128}};
  size_t i = 0;
  for (const auto& [baseline, avx2] : pairs) {
    const auto size = static_cast<size_t>(row_bytes(all[i++], count));
    test::Bytes a(size), b(size);
    baseline(weights.data(), a.data(), count);
    avx2(weights.data(), b.data(), count);
    CHECK(a == b);
  }
}

TEST_CASE("int4: zeros, NaN and infinities") {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const Format format : all) {
    INFO(name(format));
    const test::Floats zeros(128, 0.0f);
    CHECK(test::round_trip(format, zeros) == zeros);
    CHECK(test::round_trip(format, test::Floats(128, NAN)) == zeros);
    CHECK(test::round_trip(format, test::Floats(128, infinity)) == zeros);
    test::Floats weights(128, 0.5f);
    weights[1] = NAN;
    weights[2] = infinity;
    weights[3] = -infinity;
    const test::Floats back = test::round_trip(format, weights);
    CHECK(back[0] == 0.5f);
    CHECK(back[1] == 0.0f);
    CHECK(back[2] >= 0.5f);
    CHECK(back[3] <= -0.5f);
    CHECK(back[5] == 0.5f);
  }
}

TEST_CASE("int4: powers of two from the smallest to the largest keep their relative error") {
  const test::Floats weights = test::gaussian(128, 8, 1.0f);
  for (const Format format : all) {
    const test::Floats expected = test::round_trip(format, weights);
    for (int exponent = -98; exponent <= 97; exponent += 13) {
      const float factor = std::ldexp(1.0f, exponent);
      test::Floats scaled = weights;
      for (float& weight : scaled) weight *= factor;
      const test::Floats back = test::round_trip(format, scaled);
      for (size_t i = 0; i < back.size(); ++i) REQUIRE(back[i] == expected[i] * factor);
    }
  }
}
