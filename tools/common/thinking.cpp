// Finds <think> and </think> in a stream.
#include "tools/common/thinking.hpp"

#include <algorithm>

namespace ktx::tools {

namespace {

constexpr std::string_view open_mark = "<think>", close_mark = "</think>";
constexpr std::string_view dim_on = "\033[2m", dim_off = "\033[0m";

// Bytes at the end of `text` that may be the beginning of `mark`.
size_t partial(std::string_view text, std::string_view mark) {
  for (size_t size = std::min(text.size(), mark.size() - 1); size > 0; --size)
    if (text.ends_with(mark.substr(0, size))) return size;
  return 0;
}

}  // namespace

Thinking::Thinking(bool dim, bool inside) : dim_(dim), inside_(inside) {}

std::string Thinking::push(std::string_view piece) {
  if (!dim_) return std::string(piece);
  std::string out;
  if (!started_ && inside_) out += dim_on;
  started_ = true;
  held_ += piece;
  for (;;) {
    const auto mark = inside_ ? close_mark : open_mark;
    const size_t at = held_.find(mark);
    if (at == std::string::npos) break;
    const size_t end = at + mark.size();
    out += held_.substr(0, inside_ ? end : at);
    out += inside_ ? dim_off : dim_on;
    if (!inside_) out += mark;
    held_.erase(0, end);
    inside_ = !inside_;
  }
  const size_t keep = partial(held_, inside_ ? close_mark : open_mark);
  out += held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return out;
}

std::string Thinking::finish() {
  std::string out = std::move(held_);
  if (dim_ && inside_ && started_) out += dim_off;
  held_.clear();
  return out;
}

bool begins_thinking(std::string_view prompt) {
  const size_t end = prompt.find_last_not_of(" \n");
  return end != std::string_view::npos && prompt.substr(0, end + 1).ends_with(open_mark);
}

}  // namespace ktx::tools
