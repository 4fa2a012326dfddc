// q8 activations: the scalar definition, and every kernel's version of it bit for bit.
#include "ops/matmul/activation.hpp"

#include <cstring>

#include "catch.hpp"
#include "ops/matmul/matrices.hpp"

using namespace ktx_test;

namespace {

std::vector<std::byte> quantized(const std::vector<float>& x,
                                 void (*quantize)(const ops::QuantizeArgs&) noexcept) {
  const auto cols = static_cast<int64_t>(x.size());
  std::vector<std::byte> row(
      static_cast<size_t>(ops::activation_row_bytes(ops::ActivationFormat::q8, cols)));
  quantize(ops::q8_quantize_args(x.data(), cols, 0, cols / 32, row.data()));
  return row;
}

}  // namespace

TEST_CASE("q8 keeps every number within half a step and the sums exact") {
  Random random(1);
  const auto x = random.normals(320);
  const auto row = quantized(x, ops::quantize_q8);
  const auto at = ops::q8_offsets(320);
  const auto* q = reinterpret_cast<const int8_t*>(row.data());
  const auto* scales = reinterpret_cast<const float*>(row.data() + at.scales);
  const auto* sums = reinterpret_cast<const float*>(row.data() + at.sums);
  const auto* half_sums = reinterpret_cast<const float*>(row.data() + at.half_sums);
  for (size_t b = 0; b < 10; ++b) {
    int half[2] = {};
    for (size_t i = 0; i < 32; ++i) {
      const int code = q[b * 32 + i];
      half[i / 16] += code;
      REQUIRE(std::abs(code) <= 127);
      REQUIRE(std::fabs(x[b * 32 + i] - scales[b] * static_cast<float>(code)) <=
              scales[b] * 0.50001f);
    }
    REQUIRE(sums[b] == scales[b] * static_cast<float>(half[0] + half[1]));
    REQUIRE(half_sums[b * 2] == scales[b] * static_cast<float>(half[0]));
    REQUIRE(half_sums[b * 2 + 1] == scales[b] * static_cast<float>(half[1]));
  }
}

TEST_CASE("every kernel quantizes to the same bits") {
  Random random(2);
  auto x = random.normals(32 * 40);
  for (size_t i = 32; i < 64; ++i) x[i] = 0;
  for (size_t i = 64; i < 96; ++i) x[i] *= 1e-38f;
  for (size_t i = 96; i < 128; ++i) x[i] *= 1e37f;
  for (size_t i = 128; i < 160; ++i) x[i] = static_cast<float>(i) - 144.5f;  // ties
  x[170] = NAN;
  x[200] = -INFINITY;
  x[230] = -NAN;
  const auto wanted = quantized(x, ops::quantize_q8);
  for (const auto& kernel : ops::matmul_kernels()) {
    if (kernel.isa > ktx::hw::usable_isa()) continue;
    INFO(kernel.name);
    REQUIRE(std::memcmp(quantized(x, kernel.quantize).data(), wanted.data(), wanted.size()) == 0);
  }
}

TEST_CASE("blocks of a row can be quantized one by one") {
  Random random(3);
  const auto x = random.normals(128);
  const auto whole = quantized(x, ops::quantize_q8);
  std::vector<std::byte> parts(whole.size());
  for (const int64_t b : {2, 0, 3, 1})
    ops::quantize_q8(ops::q8_quantize_args(x.data() + b * 32, 128, b, b + 1, parts.data()));
  REQUIRE(parts == whole);
}

TEST_CASE("activation rows are multiples of 64 bytes") {
  REQUIRE(ops::activation_row_bytes(ops::ActivationFormat::f32, 17) == 128);
  REQUIRE(ops::activation_row_bytes(ops::ActivationFormat::q8, 32) == 256);
  REQUIRE(ops::activation_row_bytes(ops::ActivationFormat::q8, 7168) == 7168 + 896 + 896 + 1792);
}
