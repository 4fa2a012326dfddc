// Holding back what is not yet a character.
#include "text/detokenizer.hpp"

#include "text/unicode.hpp"

namespace ktx::text {

namespace {
constexpr std::string_view replacement = "\xEF\xBF\xBD";
}

std::string Utf8Stream::push(std::string_view bytes) {
  held_ += bytes;
  std::string out;
  std::string_view rest = held_;
  while (!rest.empty()) {
    const size_t valid = valid_prefix(rest);
    out += rest.substr(0, valid);
    rest.remove_prefix(valid);
    if (rest.empty()) break;
    const auto step = utf8_step(rest);
    if (step.kind == Utf8Step::truncated) break;
    out += replacement;
    rest.remove_prefix(step.size);
  }
  held_ = std::string(rest);
  return out;
}

std::string Utf8Stream::finish() {
  if (held_.empty()) return {};
  held_.clear();
  return std::string(replacement);
}

std::string Detokenizer::push(int32_t id) {
  if (id < 0 || id >= tokenizer_->vocab_size()) return {};
  if (!tokenizer_->is_special(id)) return stream_.push(start_.cut(tokenizer_->token_bytes(id)));
  std::string out = stream_.finish();
  if (!options_.print_special) return out;
  start_.end();
  return out + stream_.push(tokenizer_->token_bytes(id)) + stream_.finish();
}

}  // namespace ktx::text
