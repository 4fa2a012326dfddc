// Products with few tokens on a GPU: which bytes of a packed matrix each lane of a warp needs, how
// their bits become bf16, and how the work is cut. For host and device.
//
// A warp multiplies two groups of 16 rows with tiles of 8 tokens by mma.m16n8k16. The two groups
// are one tile of mma's rows each two: lane 4 g + t has rows 4 q .. 4 q + 3 of group g / 4 of the
// two, q = g % 4, because 16 bytes of a vector of Layout::x16 are a word of each of those rows.
// Rows g and g + 8 of mma's first tile are rows 4 q and 4 q + 1, those of its second 4 q + 2 and 4
// q + 3. Of every 32 columns lane t has columns 8 t .. 8 t + 7; their order within the sum is free
// as long as weights and activations share it.
//
// Columns are taken in steps. What a lane needs for a step are chunks of 16 bytes: those of the
// weights first, then for each tile of tokens and each 32 columns those of token g.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/matmul/cuda/x16_decode.hpp"

namespace ktx::ops::cuda {

/// The formats with kernels for few rows; cols must be a multiple of 32.
constexpr bool has_few_rows(X16 format) noexcept {
  switch (format) {
    case X16::f32:
    case X16::f16:
    case X16::q4_1:
    case X16::q5_1:
    case X16::q2_k:
    case X16::q3_k:
    case X16::iq4_nl:
    case X16::iq4_xs:
    case X16::mxfp4:
    case X16::iq3_s:
    case X16::iq3_xxs:
    case X16::iq2_s:
    case X16::iq2_xs:
    case X16::iq2_xxs:
    case X16::iq1_s:
    case X16::iq1_m:
      return false;
    default:
      return true;
  }
}

/// Chunks of the weights of a step, in this order.
struct StepChunks {
  int columns;  // of a step
  int codes;    // chunks for each 32 columns
  int high;     // further chunks of high bits for each 32 columns
  int words;    // of the scales of q4_k, q5_k, q6_k
  int scales;   // of 16-bit or f32 scales

  constexpr int blocks() const noexcept { return columns / 32; }
  constexpr int high_at() const noexcept { return blocks() * codes; }
  constexpr int words_at() const noexcept { return high_at() + blocks() * high; }
  constexpr int scales_at() const noexcept { return words_at() + words; }
  constexpr int all() const noexcept { return scales_at() + scales; }
};

constexpr StepChunks step_chunks(X16 format) noexcept {
  switch (format) {
    case X16::bf16:
      return {64, 4, 0, 0, 0};
    case X16::fp8:
      return {128, 2, 0, 0, 1};
    case X16::q4_k:
      return {256, 1, 0, 3, 1};
    case X16::q5_k:
      return {256, 1, 1, 3, 1};
    case X16::q6_k:
      return {128, 1, 1, 2, 1};
    case X16::int8:
      return {128, 2, 0, 0, 0};
    default: {
      const X16Codes shape = x16_codes(format);
      const int columns = shape.bits == 4 ? 256 : 128, units = columns / shape.unit;
      return {columns, shape.bits == 8 ? 2 : 1, shape.bits == 5 ? 1 : 0, 0, (units + 1) / 2};
    }
  }
}

/// Bytes that are copied together: chunks of 16-bit scales are those of two units of 4 rows, or d
/// and dmin; a chunk of fp8 is 4 columns.
constexpr int piece_bytes(X16 format, int chunk) noexcept {
  const StepChunks step = step_chunks(format);
  if (format == X16::fp8) return chunk < step.scales_at() ? 4 : 16;
  return chunk < step.scales_at() ? 16 : 8;
}

/// A lane's place in a group: q = lane / 4 % 4, t = lane % 4.
struct LanePlace {
  int q, t;
};

/// Offsets in a group, of each part that chunks are of: codes, high bits, words, scales.
struct StepParts {
  int codes, high, words, scales;
};

/// Where the parts of a step begin that starts at column `first`.
constexpr StepParts step_parts(X16 format, int first) noexcept {
  switch (format) {
    case X16::bf16:
      return {first / 2 * 64, 0, 0, 0};
    case X16::int8:
      return {64 + first / 4 * 64, 0, 0, 0};
    case X16::fp8: {
      const int unit = first / 128 * fp8_unit;
      return {unit + 64, 0, 0, unit};
    }
    case X16::q4_k:
    case X16::q5_k: {
      const int unit = first / 256 * (format == X16::q4_k ? q4_k_unit : q5_k_unit);
      return {unit + k_codes, unit + k_codes + 2048, unit + 64, unit};
    }
    default: {
      const X16Codes shape = x16_codes(format);
      const int unit = first / shape.unit, body = pair_body(shape, unit);
      const int codes = body + shape.codes, high = codes + shape.unit * 8;
      const int half = first % 256 / 128;
      if (format == X16::q6_k)
        return {codes + half * 1024, high + half * 512, body + half * 128,
                pair_scales(shape, unit)};
      return {codes, high, 0, pair_scales(shape, unit)};
    }
  }
}

/// What a lane adds to them.
constexpr StepParts lane_parts(X16 format, LanePlace at) noexcept {
  if (format == X16::fp8) return {at.q * 4 + at.t * 128, 0, 0, at.q * 16};
  const int codes = at.t * 64 * step_chunks(format).codes;
  const int high = format == X16::q6_k ? at.t / 2 * 64 : 0;
  return {at.q * 16 + codes, at.q * 16 + high, at.q * 16, at.q * 8};
}

enum class StepPart : uint8_t { codes, high, words, scales, none };

/// Where a lane finds a piece of a chunk: that far behind its place in the part. none: the piece is
/// not used. blocks: how many blocks of 32 columns the step has; others are read as its last
/// of_128, and their activations are zero.
struct ChunkPlace {
  StepPart part;
  int offset;
};
constexpr ChunkPlace chunk_place(X16 format, int chunk, int piece, int blocks) noexcept {
  const StepChunks step = step_chunks(format);
  const X16Codes shape = x16_codes(format);
  // Of formats whose units are shorter than a step, unit j of the step begins so far behind the
  // first.
  const auto body_of = [&](int j) { return j / 2 * (64 + 2 * shape.body) + j % 2 * shape.body; };
  const bool short_units = shape.unit != 0 && shape.unit < step.columns;

  if (chunk < step.high_at()) {
    const int b = std::min(chunk / step.codes, blocks - 1), vector = chunk % step.codes;
    if (format == X16::fp8) return {StepPart::codes, (32 * b + 4 * vector + piece) * 16};
    const int unit = short_units ? b * 32 / shape.unit : 0, in_unit = b - unit * shape.unit / 32;
    return {StepPart::codes,
            (short_units ? body_of(unit) : 0) + (in_unit * 4 * step.codes + vector) * 64};
  }
  if (chunk < step.words_at()) {
    const int b = std::min(chunk - step.high_at(), blocks - 1);
    return {StepPart::high, format == X16::q6_k   ? b * 128
                            : format == X16::q5_k ? b * 64
                                                  : body_of(b)};
  }
  if (chunk < step.scales_at()) return {StepPart::words, (chunk - step.words_at()) * 64};
  if (format == X16::fp8) return {StepPart::scales, 0};
  if (format == X16::q4_k || format == X16::q5_k) return {StepPart::scales, piece * 32};
  const int unit = 2 * (chunk - step.scales_at()) + piece;
  if (unit > 0 && !(short_units && unit < step.columns / shape.unit)) return {StepPart::none, 0};
  const int j = short_units ? std::min(unit, blocks * 32 / shape.unit - 1) : 0;
  return {StepPart::scales, j / 2 * (64 + 2 * shape.body) + j % 2 * 32};
}

/// Whether the last step may have fewer blocks than the others.
constexpr bool may_end_early(X16 format) noexcept {
  return format == X16::bf16 || format == X16::int8 ||
         (x16_codes(format).unit != 0 && x16_codes(format).unit < step_chunks(format).columns);
}

/// Pairs of bf16 in the order of mma's sums: of 8 columns a word's pairs are (0, 2) (1, 3) (4, 6)
/// (5, 7) where codes lie in nibbles and bytes, else (0, 1) (2, 3) (4, 5) (6, 7).
constexpr bool in_natural_order(X16 format) noexcept {
  return format == X16::bf16 || format == X16::fp8;
}

/// 128 in both halves. Kernels pass it as a number that the compiler does not know: with two masks
/// that it knows an instruction becomes two.
constexpr uint32_t bf16_128 = 0x43004300;

/// 128 + code of 8 columns: the code fills the bf16's mantissa. high: the high bits of the columns,
/// those of the first at bit 0 of each byte, of the fifth one bit (5 bits a code) or two (6 bits)
/// above.
template <int Bits>
constexpr void codes_to_bf16(uint32_t low, uint32_t high, uint32_t of_128,
                             uint32_t (&pairs)[4]) noexcept {
  constexpr uint32_t nibble = 0x000f000f;
  pairs[0] = (low & nibble) | of_128;
  pairs[1] = (low >> 8 & nibble) | of_128;
  pairs[2] = (low >> 4 & nibble) | of_128;
  pairs[3] = (low >> 12 & nibble) | of_128;
  if constexpr (Bits > 4) {
    constexpr uint32_t bits = Bits == 5 ? 0x00100010 : 0x00300030;
    constexpr int next = Bits - 4;  // from the first column's bits to those of the fifth
    pairs[0] |= high << 4 & bits;
    pairs[1] |= high >> 4 & bits;
    pairs[2] |= high << (4 - next) & bits;
    pairs[3] |= high >> (4 + next) & bits;
  }
}

/// Where the high bits of a lane's 8 columns begin in each byte of their word.
template <int Bits>
constexpr int high_shift(int t) noexcept {
  return Bits == 5 ? 2 * t : 4 * (t % 2);
}

/// Two bf16 pairs whose sum is code - 128, exactly, of columns 0, 2 of a word of four codes.
struct BytePair {
  uint32_t low, sign;
};
constexpr BytePair bytes_to_bf16(uint32_t word, uint32_t of_128) noexcept {
  return {(word & 0x007f007f) | of_128, (word & 0x00800080) ^ (of_128 ^ 0x80808080)};
}

/// Two e4m3 codes in the high bytes of each half: bf16 but for a factor of 2^120.
constexpr uint32_t e4m3_to_bf16(uint32_t codes) noexcept {
  return (codes & 0x80008000) | (codes >> 4 & 0x07f007f0);
}

/// What is subtracted from 128 + code, as a pair of bf16; 0: nothing.
constexpr uint32_t minus_zero(X16 format) noexcept {
  if (format == X16::q4_k || format == X16::q5_k) return 0xc300c300;
  const X16Codes shape = x16_codes(format);
  if (shape.bits != 4 && shape.bits != 5) return 0;
  return (0xc300u | static_cast<uint32_t>(shape.zero)) * 0x00010001u;
}

/// How a product is cut: a block has `row_warps` pairs of groups, and for each so many warps, which
/// take shares of the columns; `splits` blocks take shares again.
struct FewRowsPlan {
  int row_warps;
  int shares;
  int splits;

  constexpr int warps() const noexcept { return row_warps * shares; }
};
constexpr int few_rows_warps = 4;  // of a block, at least; row_warps at most
constexpr int most_warps = 8;  // of a block: half a multiprocessor's, the rest for the next kernel
constexpr int most_splits = 16;

struct FewRowsShape {
  int64_t pairs = 0;                // of groups
  int64_t steps = 0;                // of the columns
  int64_t tokens = 0;               // at least in one tile
  int64_t token_blocks = 1;         // tiles of tokens
  int64_t multiprocessors = 1;      // of the GPU
  int64_t resident = 1;             // blocks of few_rows_warps warps that it runs at once
  int most_warps = few_rows_warps;  // of a block
  int64_t most_splits = 1;
  int64_t most_blocks = 0;  // that may be split
  int64_t capacity = 0;     // sums of a warp that shares may leave in memory
};

/// The time of a cut, in steps of a warp on a multiprocessor that many of them keep busy: fewer
/// than eight wait for their own results. Each wave of blocks takes about four to begin, and adding
/// up the shares of blocks twelve: a barrier, an atomic, sums from memory.
constexpr int64_t few_rows_time(const FewRowsShape& shape, FewRowsPlan plan) noexcept {
  const auto parts = [](int64_t n, int64_t size) { return (n + size - 1) / size; };
  const int64_t blocks = parts(shape.pairs, plan.row_warps) * shape.token_blocks * plan.splits;
  const int64_t warps = std::max<int64_t>(8, plan.warps() * parts(blocks, shape.multiprocessors));
  const int64_t waves = parts(blocks * plan.warps(), shape.resident * few_rows_warps);
  return warps * parts(shape.steps, plan.splits * plan.shares) + 4 * waves +
         (plan.splits > 1 ? 12 : 0);
}

/// The fastest cut, with as few splits and then as many warps as that takes. With many tokens warps
/// of a block share the activations that they read.
constexpr FewRowsPlan few_rows_plan(const FewRowsShape& shape) noexcept {
  const int least = shape.tokens <= 4 ? 1 : shape.tokens <= 8 ? 2 : 4;
  FewRowsPlan best{least, shape.most_warps / least, 1};
  for (int splits = 1; splits <= shape.most_splits; ++splits)
    for (int row_warps = least; row_warps <= few_rows_warps; row_warps *= 2) {
      const int64_t blocks = (shape.pairs + row_warps - 1) / row_warps * shape.token_blocks;
      if (splits > 1 &&
          (blocks > shape.most_blocks || blocks * row_warps * splits > shape.capacity))
        continue;
      for (int warps = shape.most_warps; warps >= few_rows_warps; warps /= 2) {
        const FewRowsPlan plan{row_warps, warps / row_warps, splits};
        if (few_rows_time(shape, plan) < few_rows_time(shape, best)) best = plan;
      }
    }
  return best;
}

/// Steps [begin, end) of share i of n.
struct StepRange {
  int begin, end;
};
constexpr StepRange share_of(int steps, int i, int n) noexcept {
  return {steps * i / n, steps * (i + 1) / n};
}

}  // namespace ktx::ops::cuda
