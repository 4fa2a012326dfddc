// Four rows read side by side, a 32-bit word of each at a time: how rows become lanes.
//
// GCC's vector types: on x86 these are SSE2 shuffles, which every x86-64 has, so that packing needs
// no unit of its own per ISA.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ktx::ops {

/// A 32-bit word of each of four rows.
typedef uint32_t Words __attribute__((vector_size(16)));

constexpr Words all_words(uint32_t value) noexcept {
  return Words{value, value, value, value};
}

inline Words load_words(const std::byte* p) noexcept {
  Words words;
  std::memcpy(&words, p, sizeof words);
  return words;
}

/// Rows lane to lane + 3 of a group. Of rows beyond the matrix every word is 0.
struct FourRows {
  const std::byte* row[4];
  Words mask;
  int lane;
};

/// rows: how many there are from lane 0 on; at least one.
inline FourRows four_rows(const std::byte* data, int64_t row_bytes, int rows, int lane) noexcept {
  FourRows four{};
  four.lane = lane;
  for (int i = 0; i < 4; ++i) {
    const bool is_there = lane + i < rows;
    four.row[i] = data + (is_there ? (lane + i) * row_bytes : 0);
    four.mask[i] = is_there ? 0xffffffffu : 0;
  }
  return four;
}

/// Calls use(k, w) with words w[i] = 32-bit word k of row i, counted from byte `offset`, for k from
/// 0 to words - 1.
template <class Use>
[[gnu::always_inline]] inline void each_word(const FourRows& rows, int64_t offset, int64_t words,
                                             const Use& use) noexcept {
  const int64_t whole = words / 4 * 4;
  for (int64_t k = 0; k < whole; k += 4) {
    const int64_t at = offset + 4 * k;
    const Words a = load_words(rows.row[0] + at), b = load_words(rows.row[1] + at),
                c = load_words(rows.row[2] + at), d = load_words(rows.row[3] + at);
    const Words ab01 = __builtin_shufflevector(a, b, 0, 4, 1, 5),
                ab23 = __builtin_shufflevector(a, b, 2, 6, 3, 7),
                cd01 = __builtin_shufflevector(c, d, 0, 4, 1, 5),
                cd23 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    use(k, __builtin_shufflevector(ab01, cd01, 0, 1, 4, 5) & rows.mask);
    use(k + 1, __builtin_shufflevector(ab01, cd01, 2, 3, 6, 7) & rows.mask);
    use(k + 2, __builtin_shufflevector(ab23, cd23, 0, 1, 4, 5) & rows.mask);
    use(k + 3, __builtin_shufflevector(ab23, cd23, 2, 3, 6, 7) & rows.mask);
  }
  for (int64_t k = whole; k < words; ++k) {
    Words w{};
    for (int i = 0; i < 4; ++i) {
      uint32_t word;
      std::memcpy(&word, rows.row[i] + offset + 4 * k, sizeof word);
      w[i] = word;
    }
    use(k, w & rows.mask);
  }
}

}  // namespace ktx::ops
