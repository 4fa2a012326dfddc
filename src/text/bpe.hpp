// Byte-pair encoding: merges a piece's symbols by rank.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ktx::text {

/// The merge rules of a vocabulary and their application. Const use is thread-safe.
class Bpe {
 public:
  /// Reserves room for that many rules; more may be added.
  explicit Bpe(size_t rules = 0);

  /// The pair (left, right) becomes `result`; ranks count up from 0 with each call. A pair that is
  /// already there takes the new rank.
  void add(int32_t left, int32_t right, int32_t result);

  size_t size() const noexcept { return count_; }
  /// The most slots that a lookup probes, for tests.
  size_t longest_search() const noexcept;

  /// Applies the rule of the lowest rank, leftmost first, until none applies. In place;
  /// n symbols take O(n log n).
  void merge(std::vector<int32_t>& symbols) const;

 private:
  struct Rule {
    uint64_t pair = empty;
    uint32_t rank = 0;
    int32_t result = 0;
  };
  static constexpr uint64_t empty = ~uint64_t{0};
  static uint64_t key(int32_t left, int32_t right) noexcept {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  const Rule* find(int32_t left, int32_t right) const noexcept;
  size_t first_place(uint64_t pair) const noexcept;
  size_t place(uint64_t pair) const noexcept;
  void grow(size_t slots);
  void merge_short(std::vector<int32_t>& symbols) const;
  void merge_long(std::vector<int32_t>& symbols) const;

  uint64_t multiplier_;      // of the hash: files choose the pairs, so it is drawn at random
  std::vector<Rule> slots_;  // open addressing; a power of two, at most half full
  size_t count_ = 0;
  uint32_t next_rank_ = 0;
};

}  // namespace ktx::text
