// Bytes and the ranges of them that were given.
#include "text/jinja/text.hpp"

#include <algorithm>

namespace ktx::text::jinja {

namespace {

// The first range that ends after `byte`.
auto range_after(const std::vector<Text::Range>& ranges, size_t byte) {
  return std::ranges::upper_bound(ranges, byte, {}, &Text::Range::second);
}

}  // namespace

Text Text::given(std::string bytes) {
  Text text(std::move(bytes));
  text.mark_all_given();
  return text;
}

bool Text::is_given(size_t byte) const noexcept {
  const auto range = range_after(given_, byte);
  return range != given_.end() && range->first <= byte;
}

Text Text::slice(size_t begin, size_t end) const {
  Text out;
  out.append(*this, begin, end);
  return out;
}

void Text::append(std::string_view bytes, bool given) {
  bytes_ += bytes;
  if (given) mark(bytes_.size() - bytes.size(), bytes_.size());
}

void Text::append(const Text& other, size_t begin, size_t end) {
  const size_t base = bytes_.size();
  bytes_.append(other.bytes_, begin, end - begin);
  for (auto r = range_after(other.given_, begin); r != other.given_.end() && r->first < end; ++r)
    mark(base + std::max(r->first, begin) - begin, base + std::min(r->second, end) - begin);
}

void Text::mark_all_given() {
  given_.clear();
  mark(0, bytes_.size());
}

void Text::mark(size_t begin, size_t end) {
  if (begin == end) return;
  if (!given_.empty() && given_.back().second == begin)
    given_.back().second = end;
  else
    given_.emplace_back(begin, end);
}

}  // namespace ktx::text::jinja
