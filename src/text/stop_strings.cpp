// Finding stop strings, and what may become one.
#include "text/stop_strings.hpp"

#include <algorithm>
#include <utility>

#include "core/base/error.hpp"
#include "text/unicode.hpp"

namespace ktx::text {

namespace {

// Bytes at the end of `text` that may be the beginning of `string`.
size_t begun(std::string_view text, std::string_view string) {
  for (size_t size = std::min(text.size(), string.size() - 1); size > 0; --size)
    if (text.ends_with(string.substr(0, size))) return size;
  return 0;
}

}  // namespace

StopStrings::StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {
  for (const auto& string : strings_) {
    if (string.empty()) throw_input("stop string: expected a text, found none");
    if (valid_prefix(string) != string.size())
      throw_input("stop string: expected UTF-8, found bytes that are none behind '" +
                  string.substr(0, valid_prefix(string)) + "'");
  }
}

std::string StopStrings::push(std::string_view piece) {
  if (found_) return {};
  held_ += piece;
  size_t begin = held_.size(), end = std::string::npos, undecided = 0;
  for (const auto& string : strings_) {
    undecided = std::max(undecided, begun(held_, string));
    const size_t at = held_.find(string);
    if (at == std::string::npos) continue;
    const size_t complete = at + string.size();
    if (complete < end || (complete == end && at < begin)) {
      begin = at;
      end = complete;
    }
    found_ = true;
  }
  std::string out = std::move(held_);
  held_.clear();
  if (!found_) {
    begin = out.size() - undecided;
    held_ = out.substr(begin);
  }
  out.resize(begin);
  return out;
}

std::string StopStrings::finish() {
  return std::exchange(held_, {});
}

}  // namespace ktx::text
