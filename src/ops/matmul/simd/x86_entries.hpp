// Look-ups of table entries for 8 rows. They are loads of one entry each: gathering instructions
// take twice as long or longer on many CPUs.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace ktx::ops {
namespace {

/// Indices of rows 2 I and 2 I + 1, in the halves of 64 bits.
template <int I>
[[gnu::always_inline]] inline uint64_t two_indices(__m256i index) {
  return static_cast<uint64_t>(_mm256_extract_epi64(index, I));
}

template <class Entry>
[[gnu::always_inline]] inline Entry entry_at(const void* table, uint64_t index) {
  Entry entry;
  __builtin_memcpy(&entry, static_cast<const char*>(table) + index * sizeof(Entry), sizeof(entry));
  return entry;
}

/// Entries of 8 bytes of rows 2 I and 2 I + 1.
template <int I>
[[gnu::always_inline]] inline __m128i two_entries_8(const void* table, __m256i index) {
  const uint64_t two = two_indices<I>(index);
  return _mm_set_epi64x(entry_at<int64_t>(table, two >> 32),
                        entry_at<int64_t>(table, two & 0xffffffff));
}

/// Entries of 4 bytes of rows 2 I to 2 I + 3.
template <int I>
[[gnu::always_inline]] inline __m128i four_entries_4(const void* table, __m256i index) {
  const uint64_t a = two_indices<I>(index), b = two_indices<I + 1>(index);
  return _mm_set_epi32(entry_at<int>(table, b >> 32), entry_at<int>(table, b & 0xffffffff),
                       entry_at<int>(table, a >> 32), entry_at<int>(table, a & 0xffffffff));
}

[[gnu::always_inline]] inline __m256i look_up_8_rows_4(const void* table, __m256i index) {
  return _mm256_set_m128i(four_entries_4<2>(table, index), four_entries_4<0>(table, index));
}

struct EntryHalves {
  __m256i first, second;
};
[[gnu::always_inline]] inline EntryHalves look_up_8_rows_8(const void* table, __m256i index) {
  const __m256i a =  // rows 0, 1, 4, 5
      _mm256_set_m128i(two_entries_8<2>(table, index), two_entries_8<0>(table, index));
  const __m256i b =  // rows 2, 3, 6, 7
      _mm256_set_m128i(two_entries_8<3>(table, index), two_entries_8<1>(table, index));
  const __m256 low = _mm256_castsi256_ps(a), high = _mm256_castsi256_ps(b);
  return {_mm256_castps_si256(_mm256_shuffle_ps(low, high, 0x88)),
          _mm256_castps_si256(_mm256_shuffle_ps(low, high, 0xdd))};
}

}  // namespace
}  // namespace ktx::ops
