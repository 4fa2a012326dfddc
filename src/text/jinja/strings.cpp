// Python's operations on strings.
#include "text/jinja/strings.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "text/unicode.hpp"

namespace ktx::text::jinja {

namespace {

struct Character {
  char32_t code = 0xFFFD;  // of invalid bytes, too
  size_t begin = 0, end = 0;
};

// Calls visit(Character) for all characters in order.
template <class Visit>
void for_each_character(std::string_view text, Visit visit) {
  for (size_t at = 0; at < text.size();) {
    const auto step = utf8_step(text.substr(at));
    visit(Character{step.kind == Utf8Step::valid ? step.codepoint : 0xFFFD, at, at + step.size});
    at += step.size;
  }
}

bool is_cased(char32_t c) {
  return is_upper(c) || is_lower(c) || is_title(c);
}

// Python's white space: Unicode's, and the information separators.
bool is_python_space(char32_t c) {
  return is_space(c) || (c >= 0x1C && c <= 0x1F);
}

bool ends_line(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

// Appends character c of `text`, mapped.
void append_mapped(Text& out, const Text& text, const Character& c, char32_t (*map)(char32_t)) {
  std::string bytes;
  if (c.code == 0xFFFD)
    bytes = text.bytes().substr(c.begin, c.end - c.begin);
  else if (c.code == 0xDF && map != to_lower)  // the sharp s has no simple capital
    bytes = map == to_upper ? "SS" : "Ss";
  else
    append_utf8(bytes, map(c.code));
  out.append(bytes, text.is_given(c.begin));
}

std::vector<Text> split_at_spaces(const Text& text, const SplitOptions& options) {
  std::vector<Text::Range> words;
  for_each_character(text.bytes(), [&](const Character& c) {
    if (is_python_space(c.code)) return;
    if (words.empty() || words.back().second != c.begin)
      words.emplace_back(c.begin, c.end);
    else
      words.back().second = c.end;
  });
  const auto most = options.most < 0 ? words.size() : static_cast<size_t>(options.most);
  if (most < words.size()) {  // the rest stays one piece, without white space at its outer end
    if (options.from_right) {
      const size_t keep = words.size() - most;
      words[keep - 1].first = 0;
      words.erase(words.begin(), words.begin() + static_cast<ptrdiff_t>(keep - 1));
    } else {
      words[most].second = text.size();
      words.resize(most + 1);
    }
  }
  std::vector<Text> out;
  for (const auto& [begin, end] : words) out.push_back(text.slice(begin, end));
  return out;
}

}  // namespace

std::vector<size_t> character_offsets(std::string_view text) {
  std::vector<size_t> offsets;
  offsets.reserve(text.size() + 1);
  for_each_character(text, [&](const Character& c) { offsets.push_back(c.begin); });
  offsets.push_back(text.size());
  return offsets;
}

Text stripped(const Text& text, const std::string* chars, Ends ends) {
  std::u32string set;
  if (chars != nullptr) for_each_character(*chars, [&](const Character& c) { set += c.code; });
  const auto goes = [&](char32_t c) {
    return chars == nullptr ? is_python_space(c) : set.find(c) != std::u32string::npos;
  };
  size_t begin = text.size(), end = 0;  // of the part that is kept
  for_each_character(text.bytes(), [&](const Character& c) {
    if (goes(c.code)) return;
    begin = std::min(begin, c.begin);
    end = c.end;
  });
  if (!ends.left) begin = 0;
  if (!ends.right) end = text.size();
  return begin < end ? text.slice(begin, end) : Text();
}

std::vector<Text> split(const Text& text, const SplitOptions& options) {
  if (options.separator == nullptr) return split_at_spaces(text, options);
  const std::string &bytes = text.bytes(), &separator = *options.separator;
  std::vector<size_t> cuts;
  const auto enough = [&] {
    return options.most >= 0 && cuts.size() == static_cast<size_t>(options.most);
  };
  if (options.from_right) {
    for (size_t end = bytes.size(); end >= separator.size() && !enough();) {
      const size_t at = bytes.rfind(separator, end - separator.size());
      if (at == std::string::npos) break;
      cuts.push_back(at);
      end = at;
    }
    std::ranges::reverse(cuts);
  } else {
    for (size_t at = bytes.find(separator); at != std::string::npos && !enough();
         at = bytes.find(separator, at + separator.size()))
      cuts.push_back(at);
  }
  std::vector<Text> out;
  size_t begin = 0;
  for (const size_t cut : cuts) {
    out.push_back(text.slice(begin, cut));
    begin = cut + separator.size();
  }
  out.push_back(text.slice(begin, text.size()));
  return out;
}

std::vector<Text> split_lines(const Text& text, bool keep_ends) {
  std::vector<Text> out;
  size_t begin = 0;
  bool after_cr = false;
  for_each_character(text.bytes(), [&](const Character& c) {
    if (after_cr && c.code == '\n') {  // \r\n ends one line
      if (keep_ends) out.back().append(text, c.begin, c.end);
      begin = c.end;
    } else if (ends_line(c.code)) {
      out.push_back(text.slice(begin, keep_ends ? c.end : c.begin));
      begin = c.end;
    }
    after_cr = c.code == '\r';
  });
  if (begin < text.size()) out.push_back(text.slice(begin, text.size()));
  return out;
}

Text replaced(const Text& text, const Replacement& r, Budget& budget) {
  const std::string& bytes = text.bytes();
  budget.pay_bytes(bytes.size());
  Text out;
  size_t begin = 0, from = 0;
  for (int64_t done = 0; done != r.most && from <= bytes.size(); ++done) {
    const size_t at = bytes.find(r.old, from);
    if (at == std::string::npos) break;
    budget.pay_bytes(at - begin + r.by.size());
    out.append(text, begin, at);
    out.append(r.by);
    begin = at + r.old.size();
    from = !r.old.empty()         ? begin
           : begin < bytes.size() ? begin + character_size(bytes, begin)
                                  : begin + 1;
  }
  out.append(text, std::min(begin, bytes.size()), bytes.size());
  return out;
}

Text with_case(const Text& text, Case to) {
  if (to == Case::folded) {
    // Case folding is lower case for all but a few letters.
    const Text lower = with_case(text, Case::lower);
    Budget budget(4 * text.size());
    return replaced(lower, {.old = "ß", .by = Text("ss")}, budget);
  }
  Text out;
  bool in_word = false;
  for_each_character(text.bytes(), [&](const Character& c) {
    auto* map = to_lower;
    if (to == Case::upper || (to == Case::swapped && is_lower(c.code))) map = to_upper;
    if ((to == Case::title && !in_word) || (to == Case::capitalized && c.begin == 0))
      map = to_title;
    append_mapped(out, text, c, map);
    in_word = is_cased(c.code);
  });
  return out;
}

Text with_title_words(const Text& text) {
  Text out;
  bool in_word = false, in_gap = false;
  for_each_character(text.bytes(), [&](const Character& c) {
    const bool gap = is_python_space(c.code) ||
                     (c.code < 0x80 && std::string_view("-({[<").find(static_cast<char>(c.code)) !=
                                           std::string_view::npos);
    const bool begins = gap ? !in_gap : !in_word;
    append_mapped(out, text, c, begins ? to_upper : to_lower);
    in_word = !gap;
    in_gap = gap;
  });
  return out;
}

Text repeated(const Text& text, int64_t times, Budget& budget) {
  Text out;
  if (times <= 0 || text.empty()) return out;
  constexpr uint64_t most = uint64_t{1} << 40;
  const auto count = static_cast<uint64_t>(times);
  budget.pay_bytes(count > most / text.size() ? most : count * text.size());
  for (uint64_t i = 0; i < count; ++i) out.append(text);
  return out;
}

Text padded(const Text& text, const Padding& padding, Budget& budget) {
  Text out = repeated(padding.fill, padding.left, budget);
  out.append(text);
  out.append(repeated(padding.fill, padding.right, budget));
  return out;
}

Text with_tabs_expanded(const Text& text, int64_t width, Budget& budget) {
  Text out;
  int64_t column = 0;
  for_each_character(text.bytes(), [&](const Character& c) {
    if (c.code != '\t') {
      out.append(text, c.begin, c.end);
      column = c.code == '\n' || c.code == '\r' ? 0 : column + 1;
      return;
    }
    const int64_t spaces = width > 0 ? width - column % width : 0;
    out.append(repeated(text.is_given(c.begin) ? Text::given(" ") : Text(" "), spaces, budget));
    column += spaces;
  });
  return out;
}

Text html_escaped(const Text& text) {
  constexpr std::array<std::pair<char, std::string_view>, 5> entities{
      {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'\'', "&#39;"}, {'"', "&#34;"}}};
  Text out;
  for (size_t at = 0; at < text.size(); ++at) {
    const auto* entity =
        std::ranges::find(entities, text.bytes()[at], &std::pair<char, std::string_view>::first);
    if (entity == entities.end())
      out.append(text, at, at + 1);
    else
      out.append(entity->second, text.is_given(at));
  }
  return out;
}

Text percent_encoded(const Text& text, std::string_view safe) {
  constexpr std::string_view hex = "0123456789ABCDEF";
  Text out;
  for (size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text.bytes()[at]);
    if (std::isalnum(byte) != 0 ||
        std::string_view("_.-~").find(text.bytes()[at]) != std::string_view::npos ||
        safe.find(text.bytes()[at]) != std::string_view::npos)
      out.append(text, at, at + 1);
    else
      out.append(std::string{'%', hex[byte >> 4], hex[byte & 15]}, text.is_given(at));
  }
  return out;
}

bool all_are(std::string_view text, CharacterClass wanted) {
  bool all = true;
  for_each_character(text, [&](const Character& c) {
    const auto is = [&] {
      switch (wanted) {
        case CharacterClass::letter:
          return is_letter(c.code);
        case CharacterClass::decimal:
          return is_decimal(c.code);
        case CharacterClass::digit:  // superscripts, too
          return is_decimal(c.code) || c.code == 0xB2 || c.code == 0xB3 || c.code == 0xB9 ||
                 c.code == 0x2070 || (c.code >= 0x2074 && c.code <= 0x2079);
        case CharacterClass::numeric:
          return is_numeric(c.code);
        case CharacterClass::alphanumeric:
          return is_letter(c.code) || is_numeric(c.code);
        case CharacterClass::space:
          return is_python_space(c.code);
        case CharacterClass::printable:
          return is_printable(c.code);
        case CharacterClass::ascii:
          return c.code < 0x80;
      }
      return false;
    };
    all = all && is();
  });
  const bool empty_counts = wanted == CharacterClass::printable || wanted == CharacterClass::ascii;
  return all && (empty_counts || !text.empty());
}

bool is_cased_as(std::string_view text, Case wanted) {
  bool any = false, all = true, in_word = false;
  for_each_character(text, [&](const Character& c) {
    if (!is_cased(c.code)) {
      in_word = false;
      return;
    }
    const bool capital = is_upper(c.code) || is_title(c.code);
    const bool want_capital = wanted == Case::upper || (wanted == Case::title && !in_word);
    any = in_word = true;
    all = all && capital == want_capital;
  });
  return any && all;
}

bool is_identifier(std::string_view text) {
  bool all = !text.empty();
  for_each_character(text, [&](const Character& c) {
    all = all && (c.begin == 0 ? is_letter(c.code) || c.code == '_' : is_word(c.code));
  });
  return all;
}

size_t count_words(std::string_view text) {
  size_t count = 0;
  bool in_word = false;
  for_each_character(text, [&](const Character& c) {
    const bool word = is_letter(c.code) || is_numeric(c.code) || c.code == '_';
    count += word && !in_word ? 1 : 0;
    in_word = word;
  });
  return count;
}

}  // namespace ktx::text::jinja
