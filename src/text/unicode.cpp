// UTF-8 steps by hand, properties and normalization through utf8proc.
#include "text/unicode.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "core/base/error.hpp"

namespace ktx::text {

namespace {

// The second byte of a character is more restricted than 80..BF after some first bytes.
struct Lead {
  size_t size = 0;  // of the character; 0: the byte begins none
  unsigned char low = 0x80, high = 0xBF;
};

Lead lead_of(unsigned char byte) noexcept {
  if (byte < 0x80) return {1};
  if (byte < 0xC2) return {0};
  if (byte < 0xE0) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0};
}

utf8proc_option_t options_of(Normalization form) noexcept {
  int options = UTF8PROC_STABLE;
  const bool compose = form == Normalization::nfc || form == Normalization::nfkc;
  options |= compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == Normalization::nfkc || form == Normalization::nfkd) options |= UTF8PROC_COMPAT;
  return static_cast<utf8proc_option_t>(options);
}

using Codepoints = std::vector<utf8proc_int32_t>;

Codepoints decomposed(std::string_view valid, utf8proc_option_t options) {
  constexpr size_t most = 32;  // that one becomes; 18 in Unicode 15
  Codepoints out;
  out.reserve(valid.size() + most);
  while (!valid.empty()) {
    const auto step = utf8_step(valid);
    valid.remove_prefix(step.size);
    const size_t at = out.size();
    out.resize(at + most);
    const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(step.codepoint),
                                               out.data() + at, most, options, nullptr);
    require(count >= 0 && static_cast<size_t>(count) <= most, "a character can't be decomposed");
    out.resize(at + static_cast<size_t>(count));
  }
  return out;
}

// The canonical order: runs of marks by their combining class. utf8proc's own is an insertion sort,
// quadratic in a run.
void order_marks(Codepoints& text) {
  const auto combining_class = [](utf8proc_int32_t c) {
    return utf8proc_get_property(c)->combining_class;
  };
  const auto is_mark = [&](utf8proc_int32_t c) { return combining_class(c) != 0; };
  for (auto at = text.begin();;) {
    const auto begin = std::find_if(at, text.end(), is_mark);
    if (begin == text.end()) return;
    at = std::find_if_not(begin, text.end(), is_mark);
    if (at - begin > 1)
      std::stable_sort(begin, at, [&](utf8proc_int32_t a, utf8proc_int32_t b) {
        return combining_class(a) < combining_class(b);
      });
  }
}

void append_normalized(std::string& out, std::string_view valid, Normalization form) {
  const auto ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(valid.begin(), valid.end(), ascii)) {
    out += valid;
    return;
  }
  const auto options = options_of(form);
  Codepoints text = decomposed(valid, options);
  order_marks(text);
  const auto size = utf8proc_normalize_utf32(
      text.data(), static_cast<utf8proc_ssize_t>(text.size()), options);  // composes
  require(size >= 0, "text can't be normalised");
  text.resize(static_cast<size_t>(size));
  for (const auto c : text) append_utf8(out, static_cast<char32_t>(c));
}

utf8proc_category_t category(char32_t c) noexcept {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

}  // namespace

Utf8Step utf8_step(std::string_view text) noexcept {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const Lead lead = lead_of(at(0));
  if (lead.size == 0) return {Utf8Step::invalid, 1};
  if (lead.size == 1) return {Utf8Step::valid, 1, at(0)};
  char32_t c = at(0) & (0x7Fu >> lead.size);
  for (size_t i = 1; i < lead.size; ++i) {
    if (i == text.size()) return {Utf8Step::truncated, i};
    const unsigned char low = i == 1 ? lead.low : 0x80, high = i == 1 ? lead.high : 0xBF;
    if (at(i) < low || at(i) > high) return {Utf8Step::invalid, i};
    c = c << 6 | (at(i) & 0x3Fu);
  }
  return {Utf8Step::valid, lead.size, c};
}

size_t valid_prefix(std::string_view text) noexcept {
  size_t at = 0;
  while (at < text.size()) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const auto step = utf8_step(text.substr(at));
    if (step.kind != Utf8Step::valid) break;
    at += step.size;
  }
  return at;
}

size_t invalid_prefix(std::string_view text) noexcept {
  size_t at = 0;
  while (at < text.size()) {
    const auto step = utf8_step(text.substr(at));
    if (step.kind == Utf8Step::valid) break;
    at += step.size;
  }
  return at;
}

void append_utf8(std::string& out, char32_t c) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    tail(0);
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

std::string normalize(std::string_view text, Normalization form) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t valid = valid_prefix(text);
    append_normalized(out, text.substr(0, valid), form);
    text.remove_prefix(valid);
    const size_t invalid = invalid_prefix(text);
    out += text.substr(0, invalid);
    text.remove_prefix(invalid);
  }
  return out;
}

bool is_space(char32_t c) noexcept {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D);
  if (c == 0x85) return true;
  const auto k = category(c);
  return k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

bool is_numeric(char32_t c) noexcept {
  const auto k = category(c);
  return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}

bool is_mark(char32_t c) noexcept {
  const auto k = category(c);
  return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC || k == UTF8PROC_CATEGORY_ME;
}

bool is_word(char32_t c) noexcept {
  if (c == 0x200C || c == 0x200D) return true;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

void append_lower(std::string& out, char32_t c) {
  constexpr char32_t dotted_capital_i = 0x130;  // the one character whose lower case is two
  if (c == dotted_capital_i)
    out += "i\u0307";
  else
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

bool is_letter(char32_t c) noexcept {
  const auto k = category(c);
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal(char32_t c) noexcept {
  return category(c) == UTF8PROC_CATEGORY_ND;
}

bool is_printable(char32_t c) noexcept {
  if (c == ' ') return true;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return true;
  }
}

bool is_upper(char32_t c) noexcept {
  return category(c) == UTF8PROC_CATEGORY_LU;
}

bool is_lower(char32_t c) noexcept {
  return category(c) == UTF8PROC_CATEGORY_LL;
}

bool is_title(char32_t c) noexcept {
  return category(c) == UTF8PROC_CATEGORY_LT;
}

char32_t to_upper(char32_t c) noexcept {
  return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}

char32_t to_lower(char32_t c) noexcept {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

char32_t to_title(char32_t c) noexcept {
  return static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c)));
}

size_t character_size(std::string_view text, size_t at) noexcept {
  return utf8_step(text.substr(at)).size;
}

size_t characters(std::string_view text) noexcept {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); at += character_size(text, at)) ++count;
  return count;
}

}  // namespace ktx::text
