// Reading a replacement and making it.
#include "text/replacement.hpp"

#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "text/fields.hpp"
#include "text/oniguruma.hpp"

namespace ktx::text {

Replacement Replacement::from_json(const Json& step, const std::string& where) {
  const Json& pattern = expect_object(required(step, "pattern", where), "pattern", where);
  Replacement made({}, expect_string(required(step, "content", where), "content", where));
  if (const Json* regex = member(pattern, "Regex")) {
    made.pattern_.emplace(from_oniguruma(expect_string(*regex, "Regex", where), where), where,
                          RegexOptions{.multiline = true});
    return made;
  }
  made.text_ = expect_string(required(pattern, "String", where), "String", where);
  if (made.text_.empty()) throw_input("Replace: the pattern is empty", where);
  return made;
}

std::string Replacement::apply(std::string_view text, StepBudget& budget) const {
  std::vector<Span> matches;
  if (pattern_) {
    Regex::Matcher(*pattern_, budget).find_all(text, matches);
  } else {
    for (size_t at = text.find(text_); at != std::string_view::npos;
         at = text.find(text_, at + text_.size()))
      matches.emplace_back(at, at + text_.size());
  }
  budget.pay(matches.size() * (1 + by_.size()), "replacing parts of the text");
  std::string out;
  size_t at = 0;
  for (const auto& [begin, end] : matches) {
    out += text.substr(at, begin - at);
    out += by_;
    at = end;
  }
  return out += text.substr(at);
}

}  // namespace ktx::text
