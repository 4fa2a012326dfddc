// Short pieces by scanning for the lowest rank, long ones with a priority queue.
#include "text/bpe.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <queue>
#include <utility>

#include "core/base/name_map.hpp"

namespace ktx::text {

namespace {
constexpr size_t short_piece = 32;  // symbols; up to here scanning beats the queue
constexpr uint32_t no_rank = ~uint32_t{0};
}  // namespace

Bpe::Bpe(size_t rules) : multiplier_(base::random_key()[0] | 1) {
  grow(std::bit_ceil(2 * rules + 2));
}

// The multiply-shift hash (Dietzfelbinger and others 1997): two pairs collide by chance alone.
size_t Bpe::first_place(uint64_t pair) const noexcept {
  return static_cast<size_t>(pair * multiplier_ >> (64 - std::countr_zero(slots_.size())));
}

size_t Bpe::place(uint64_t pair) const noexcept {
  const size_t mask = slots_.size() - 1;
  size_t at = first_place(pair);
  while (slots_[at].pair != pair && slots_[at].pair != empty) at = (at + 1) & mask;
  return at;
}

const Bpe::Rule* Bpe::find(int32_t left, int32_t right) const noexcept {
  const uint64_t pair = key(left, right);
  const Rule& rule = slots_[place(pair)];
  return rule.pair == pair ? &rule : nullptr;
}

size_t Bpe::longest_search() const noexcept {
  size_t longest = 0;
  for (size_t at = 0; at < slots_.size(); ++at)
    if (const uint64_t pair = slots_[at].pair; pair != empty)
      longest = std::max(longest, 1 + ((at - first_place(pair)) & (slots_.size() - 1)));
  return longest;
}

void Bpe::grow(size_t slots) {
  const auto old = std::exchange(slots_, std::vector<Rule>(slots));
  for (const auto& rule : old)
    if (rule.pair != empty) slots_[place(rule.pair)] = rule;
}

void Bpe::add(int32_t left, int32_t right, int32_t result) {
  const uint64_t pair = key(left, right);
  size_t at = place(pair);
  if (slots_[at].pair == empty) {
    if (2 * (count_ + 1) > slots_.size()) {
      grow(slots_.size() * 2);
      at = place(pair);
    }
    ++count_;
  }
  slots_[at] = {pair, next_rank_++, result};
}

void Bpe::merge(std::vector<int32_t>& symbols) const {
  if (symbols.size() < 2) return;
  if (symbols.size() <= short_piece)
    merge_short(symbols);
  else
    merge_long(symbols);
}

void Bpe::merge_short(std::vector<int32_t>& symbols) const {
  std::array<const Rule*, short_piece> rules{};  // of symbol i and the next
  size_t n = symbols.size();
  for (size_t i = 0; i + 1 < n; ++i) rules[i] = find(symbols[i], symbols[i + 1]);
  while (n > 1) {
    size_t best = n;
    uint32_t rank = no_rank;
    for (size_t i = 0; i + 1 < n; ++i)
      if (rules[i] != nullptr && rules[i]->rank < rank) {
        rank = rules[i]->rank;
        best = i;
      }
    if (best == n) break;
    symbols[best] = rules[best]->result;
    --n;
    for (size_t i = best + 1; i < n; ++i) {
      symbols[i] = symbols[i + 1];
      rules[i] = rules[i + 1];
    }
    if (best > 0) rules[best - 1] = find(symbols[best - 1], symbols[best]);
    if (best + 1 < n) rules[best] = find(symbols[best], symbols[best + 1]);
  }
  symbols.resize(n);
}

void Bpe::merge_long(std::vector<int32_t>& symbols) const {
  struct Candidate {
    uint32_t rank;
    size_t at;
    uint64_t pair;
    bool operator<(const Candidate& o) const {  // the queue gives its greatest first
      return rank != o.rank ? rank > o.rank : at > o.at;
    }
  };
  constexpr int32_t gone = -1;
  const size_t n = symbols.size();
  std::vector<size_t> next(n), previous(n);  // n: none
  std::priority_queue<Candidate> queue;
  const auto consider = [&](size_t at) {
    const auto* rule = find(symbols[at], symbols[next[at]]);
    if (rule != nullptr) queue.push({rule->rank, at, rule->pair});
  };
  for (size_t i = 0; i < n; ++i) {
    next[i] = i + 1;
    previous[i] = i == 0 ? n : i - 1;
  }
  for (size_t i = 0; i + 1 < n; ++i) consider(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    const size_t at = best.at, second = next[at];
    // Out of date when a neighbour's merge changed one of the two.
    if (symbols[at] == gone || second == n || key(symbols[at], symbols[second]) != best.pair)
      continue;
    symbols[at] = slots_[place(best.pair)].result;
    symbols[second] = gone;
    next[at] = next[second];
    if (next[at] != n) {
      previous[next[at]] = at;
      consider(at);
    }
    if (previous[at] != n) consider(previous[at]);
  }
  std::erase(symbols, gone);
}

}  // namespace ktx::text
