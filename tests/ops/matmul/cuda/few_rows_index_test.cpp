// The lanes of a warp emulated: what they read of a packed matrix, and how its bits become numbers.
#include "ops/matmul/cuda/few_rows_index.hpp"

#include <bit>

#include "catch.hpp"
#include "ops/matmul/layout_x16.hpp"
#include "ops/matmul/matrices.hpp"

using namespace ktx_test;
using ktx::ops::X16;
using namespace ktx::ops::cuda;

namespace {

float low(uint32_t pair) {
  return quant::bf16_to_f32(static_cast<uint16_t>(pair));
}
float high(uint32_t pair) {
  return quant::bf16_to_f32(static_cast<uint16_t>(pair >> 16));
}

/// One lane's chunks of a step.
struct Chunks {
  uint32_t words[32][4];
};

Chunks read_chunks(X16 format, const std::byte* group, int64_t group_bytes, LanePlace at, int first,
                   int blocks) {
  Chunks chunks{};
  const StepParts parts = step_parts(format, first), lane = lane_parts(format, at);
  const int begin[] = {parts.codes + lane.codes, parts.high + lane.high, parts.words + lane.words,
                       parts.scales + lane.scales};
  for (int i = 0; i < step_chunks(format).all(); ++i) {
    const int bytes = piece_bytes(format, i);
    for (int piece = 0; piece < 16 / bytes; ++piece) {
      const ChunkPlace place = chunk_place(format, i, piece, blocks);
      if (place.part == StepPart::none) continue;
      const int offset = begin[static_cast<int>(place.part)] + place.offset;
      REQUIRE(offset % bytes == 0);
      REQUIRE(offset >= 0);
      REQUIRE(offset + bytes <= group_bytes);
      std::memcpy(reinterpret_cast<char*>(chunks.words[i]) + piece * bytes, group + offset,
                  static_cast<size_t>(bytes));
    }
  }
  return chunks;
}

float scale_16(const uint32_t (&words)[4], int index, bool bf16) {
  const auto half = static_cast<uint16_t>(words[index / 2] >> 16 * (index % 2));
  return bf16 ? quant::bf16_to_f32(half) : quant::f16_to_f32(half);
}

/// The 8 weights of row 4 q + r in block b, in the order of their columns.
void weights(X16 format, const Chunks& chunks, int first, int b, int t, int r, float (&out)[8]) {
  const StepChunks step = step_chunks(format);
  const auto word = [&](int chunk) { return chunks.words[chunk][r]; };
  uint32_t pairs[4];
  float s = 1, subtracted = 0;
  if (format == X16::bf16) {
    for (int i = 0; i < 4; ++i) pairs[i] = word(4 * b + i);
  } else if (format == X16::fp8) {
    s = std::bit_cast<float>(chunks.words[step.scales_at()][r]) * 0x1p120f;
    for (int i = 0; i < 4; ++i) {
      const auto& four = chunks.words[2 * b + i / 2];
      const uint32_t a = four[i % 2 * 2] >> 8 * r & 255, c = four[i % 2 * 2 + 1] >> 8 * r & 255;
      pairs[i] = e4m3_to_bf16(a << 8 | c << 24);
    }
  } else if (step.codes == 2) {
    for (int i = 0; i < 4; ++i) {
      const BytePair two = bytes_to_bf16(word(2 * b + i / 2) >> 8 * (i % 2), bf16_128);
      out[i / 2 * 4 + i % 2] = low(two.low) + low(two.sign);
      out[i / 2 * 4 + i % 2 + 2] = high(two.low) + high(two.sign);
    }
  } else if (format == X16::q6_k) {
    codes_to_bf16<6>(word(b), word(step.high_at() + b) >> high_shift<6>(t), bf16_128, pairs);
    const int byte = 2 * (b % 2) + t / 2;
    s = scale_16(chunks.words[step.scales_at()], r, false) *
        static_cast<float>(static_cast<int8_t>(word(step.words_at() + b / 2) >> 8 * byte & 255));
    subtracted = 128 + 32;
  } else if (step.high != 0) {
    codes_to_bf16<5>(word(b), word(step.high_at() + b) >> high_shift<5>(t), bf16_128, pairs);
  } else {
    codes_to_bf16<4>(word(b), 0, bf16_128, pairs);
  }
  float min = 0;
  if (format == X16::q4_k || format == X16::q5_k) {
    const uint32_t words[3] = {word(step.words_at()), word(step.words_at() + 1),
                               word(step.words_at() + 2)};
    const ScaleMin k = k_scale_min(words, first / 32 % 8 + b);
    s = scale_16(chunks.words[step.scales_at()], r, false) * static_cast<float>(k.scale);
    min = scale_16(chunks.words[step.scales_at()], 4 + r, false) * static_cast<float>(k.min);
  } else if (x16_codes(format).unit != 0 && format != X16::q6_k) {
    const int unit = b * 32 / x16_codes(format).unit;
    s = scale_16(chunks.words[step.scales_at() + unit / 2], 4 * (unit % 2) + r,
                 x16_codes(format).bf16);
  }
  if (minus_zero(format) != 0) subtracted = -low(minus_zero(format));
  if (step.codes != 2 || format == X16::fp8)
    for (int i = 0; i < 4; ++i) {
      const int at = in_natural_order(format) ? 2 * i : i / 2 * 4 + i % 2;
      out[at] = low(pairs[i]) - subtracted;
      out[at + (in_natural_order(format) ? 1 : 2)] = high(pairs[i]) - subtracted;
    }
  for (float& w : out) w = s * w - min;
}

}  // namespace

TEST_CASE("cuda: the lanes of a warp find every weight of few rows") {
  Random random(6);
  for (const auto& row : quant::formats()) {
    const auto x16 = ops::x16_format(row.format);
    if (!x16 || !has_few_rows(*x16)) continue;
    INFO(row.name);
    const int cols = static_cast<int>(
        may_end_early(*x16) ? 5 * std::max<int64_t>(32, ops::x16_columns(*x16)) : 3 * 256);
    const Matrix matrix(row.format, 16, cols, random);
    const auto packed = matrix.pack(ops::Layout::x16);
    const int64_t group_bytes = ops::x16_group_bytes(*x16, cols);
    const StepChunks step = step_chunks(*x16);
    std::vector<float> got(static_cast<size_t>(16 * cols), NAN);
    for (int first = 0; first < cols; first += step.columns) {
      const int blocks = std::min(step.blocks(), (cols - first) / 32);
      REQUIRE((blocks == step.blocks() || may_end_early(*x16)));
      for (int lane = 0; lane < 16; ++lane) {
        const LanePlace at{lane / 4 % 4, lane % 4};
        const Chunks chunks = read_chunks(*x16, packed.data(), group_bytes, at, first, blocks);
        for (int b = 0; b < blocks; ++b)
          for (int r = 0; r < 4; ++r) {
            float w[8];
            weights(*x16, chunks, first, b, at.t, r, w);
            for (int i = 0; i < 8; ++i)
              got[static_cast<size_t>((4 * at.q + r) * cols + first + 32 * b + 8 * at.t + i)] =
                  w[i];
          }
      }
    }
    for (int r = 0; r < 16; ++r) {
      // int8 has a scale a row, which is multiplied at the end.
      float s = 1, largest = 0;
      if (*x16 == X16::int8) std::memcpy(&s, packed.data() + 4 * r, 4);
      for (int c = 0; c < cols; ++c) largest = std::max(largest, std::abs(matrix.row(r)[c]));
      for (int c = 0; c < cols; ++c)
        REQUIRE(std::abs(s * got[static_cast<size_t>(r * cols + c)] - matrix.row(r)[c]) <=
                0x1p-20f * largest);
    }
  }
}

TEST_CASE("cuda: the shares of the columns are all steps, once each") {
  for (const int steps : {1, 5, 56, 128})
    for (const int shares : {1, 2, 4, 64}) {
      int next = 0;
      for (int i = 0; i < shares; ++i) {
        const StepRange range = share_of(steps, i, shares);
        REQUIRE(range.begin == next);
        next = range.end;
      }
      REQUIRE(next == steps);
    }
}

TEST_CASE("cuda: few groups are split along the columns, within the memory for their sums") {
  const FewRowsShape small{.pairs = 66,
                           .steps = 56,
                           .tokens = 1,
                           .multiprocessors = 132,
                           .resident = 528,
                           .most_splits = 16,
                           .most_blocks = 1000,
                           .capacity = 1 << 20};
  REQUIRE(few_rows_plan(small).splits > 1);
  FewRowsShape bounded = small;
  bounded.capacity = 2 * 66;
  REQUIRE(few_rows_plan(bounded).splits <= 2);
  FewRowsShape whole = small;
  whole.pairs = 4040;
  REQUIRE(few_rows_plan(whole).splits == 1);
  REQUIRE(few_rows_plan(small).row_warps == 1);
  // 768 blocks of 4 shares of 6 steps would take 2 each, one wave and a half; 384 are one wave.
  FewRowsShape uneven = small;
  uneven.pairs = 768;
  uneven.steps = 6;
  REQUIRE(few_rows_plan(uneven).row_warps == 2);
  REQUIRE(few_rows_plan(uneven).splits == 1);
  // Twice the warps in a block come before twice the blocks, whose sums go through memory.
  FewRowsShape wide = small;
  wide.pairs = 128;
  wide.steps = 28;
  REQUIRE(few_rows_plan(wide).splits > 1);
  wide.most_warps = 8;
  REQUIRE(few_rows_plan(wide).splits == 1);
  REQUIRE(few_rows_plan(wide).shares == 8);
  whole.tokens = 16;
  REQUIRE(few_rows_plan(whole).row_warps == few_rows_warps);
}
