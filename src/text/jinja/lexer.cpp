// The template's text with its whitespace rules, and the tokens inside of its tags.
#include "text/jinja/lexer.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/base/error.hpp"
#include "text/jinja/string_literal.hpp"
#include "text/unicode.hpp"

namespace ktx::text::jinja {

namespace {

using Kind = Token::Kind;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Line ends become \n, and a final one is removed.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      if (source.substr(i, 2) == "\r\n") ++i;
      out += '\n';
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& where)
      : text_(normalized(source)), source_(text_), where_(where) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) template_text();
    add(Kind::end);
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(size_t at, std::string message) {
    throw_at(where_, position(at), std::move(message));
  }

  // The position of an offset that is not before the last one asked for.
  Position position(size_t at) {
    for (; counted_ < at; ++counted_) {
      const bool line_end = source_[counted_] == '\n';
      place_.line += line_end ? 1 : 0;
      if (line_end) place_.column = 0;
      if ((static_cast<unsigned char>(source_[counted_]) & 0xC0) != 0x80) ++place_.column;
    }
    return place_;
  }

  Token& add(Kind kind, std::string text = {}) {
    tokens_.push_back({.kind = kind, .text = std::move(text), .at = position(at_)});
    return tokens_.back();
  }

  bool here(std::string_view what) const { return source_.substr(at_).starts_with(what); }

  size_t skip_space(size_t at) const {
    while (at < source_.size()) {
      const auto step = utf8_step(source_.substr(at));
      if (step.kind != Utf8Step::valid || !is_space(step.codepoint)) break;
      at += step.size;
    }
    return at;
  }

  // Text up to the next tag, then that tag.
  void template_text() {
    size_t tag = source_.find('{', at_);
    while (tag != std::string_view::npos && !is_tag(tag)) tag = source_.find('{', tag + 1);
    if (tag == std::string_view::npos) {
      add(Kind::data, std::string(source_.substr(at_)));
      at_ = source_.size();
      return;
    }
    const char kind = source_[tag + 1];
    char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
    if (sign != '-' && sign != '+') sign = ' ';
    add_data(source_.substr(at_, tag - at_), sign, kind != '{');
    const size_t inside = tag + (sign == ' ' ? 2 : 3);
    const size_t raw = kind == '%' ? after_raw_tag("raw", inside) : 0;
    at_ = tag;
    if (kind == '#')
      comment(inside);
    else if (raw != 0)
      raw_text(raw);
    else if (kind == '{')
      tag_tokens(inside, Kind::output_begin, Kind::output_end, "}}");
    else
      tag_tokens(inside, Kind::block_begin, Kind::block_end, "%}");
  }

  bool is_tag(size_t at) const {
    return at + 1 < source_.size() &&
           (source_[at + 1] == '%' || source_[at + 1] == '{' || source_[at + 1] == '#');
  }

  // Text before a tag: "-" strips white space, "+" keeps it. Without a sign, white space between
  // the start of the line and the tag is dropped if the tag is a block or a comment.
  void add_data(std::string_view text, char sign, bool lstrip) {
    const bool line_starts = at_ == 0 || source_[at_ - 1] == '\n';
    size_t end = text.size();
    const size_t newline = text.rfind('\n');
    if (sign == '-')
      end = stripped_end(text);
    else if (sign == ' ' && lstrip && (newline != std::string_view::npos || line_starts)) {
      const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
      if (stripped_end(text.substr(line)) == 0) end = line;
    }
    if (end > 0) add(Kind::data, std::string(text.substr(0, end)));
  }

  static size_t stripped_end(std::string_view text) {
    size_t end = 0;
    for (size_t at = 0; at < text.size();) {
      const auto step = utf8_step(text.substr(at));
      at += step.size;
      if (step.kind != Utf8Step::valid || !is_space(step.codepoint)) end = at;
    }
    return end;
  }

  void comment(size_t begin) {
    const size_t end = source_.find("#}", begin);
    if (end == std::string_view::npos) fail(at_, "the comment has no end: expected '#}'");
    const char sign = end > begin ? source_[end - 1] : ' ';
    at_ = after_tag(end + 2, sign, true);
  }

  // After a tag's end: "-" strips white space, a block or comment drops one line end.
  size_t after_tag(size_t at, char sign, bool trim) const {
    if (sign == '-') return skip_space(at);
    if (trim && sign != '+' && at < source_.size() && source_[at] == '\n') return at + 1;
    return at;
  }

  // The offset after `raw %}` at `at`, or 0.
  size_t after_raw_tag(std::string_view name, size_t at) const {
    at = skip_space(at);
    if (!source_.substr(at).starts_with(name)) return 0;
    at = skip_space(at + name.size());
    const bool raw = name == "raw";
    const char sign = at < source_.size() && (source_[at] == '-' || (!raw && source_[at] == '+'))
                          ? source_[at]
                          : ' ';
    if (sign != ' ') ++at;
    return source_.substr(at).starts_with("%}") ? after_tag(at + 2, sign, !raw) : 0;
  }

  void raw_text(size_t begin) {
    const size_t tag_at = at_;
    at_ = begin;
    for (size_t tag = source_.find("{%", at_); tag != std::string_view::npos;
         tag = source_.find("{%", tag + 1)) {
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
      const bool has_sign = sign == '-' || sign == '+';
      const size_t end = after_raw_tag("endraw", tag + (has_sign ? 3 : 2));
      if (end == 0) continue;
      add_data(source_.substr(at_, tag - at_), has_sign ? sign : ' ', true);
      at_ = end;
      return;
    }
    fail(tag_at, "the raw block has no end: expected '{% endraw %}'");
  }

  void tag_tokens(size_t inside, Kind begin, Kind end, std::string_view mark) {
    add(begin);
    at_ = inside;
    std::string open;  // brackets: a tag does not end inside of them
    for (;;) {
      at_ = skip_space(at_);
      if (at_ == source_.size()) {
        fail(at_, "the tag has no end: expected '" + std::string(mark) + "'");
      }
      const char c = source_[at_];
      const bool block = end == Kind::block_end;
      const bool has_sign =
          (c == '-' || (block && c == '+')) && source_.substr(at_ + 1).starts_with(mark);
      if (open.empty() && (has_sign || here(mark))) {
        add(end, std::string(mark));
        at_ = after_tag(at_ + mark.size() + (has_sign ? 1 : 0), has_sign ? c : ' ', block);
        return;
      }
      token(open);
    }
  }

  void token(std::string& open) {
    const char c = source_[at_];
    if (is_digit(c))
      number();
    else if (c == '\'' || c == '"')
      string(c);
    else if (const size_t size = name_size(); size > 0) {
      add(Kind::name, std::string(source_.substr(at_, size)));
      at_ += size;
    } else
      symbol(open);
  }

  size_t name_size() const {
    size_t at = at_;
    while (at < source_.size()) {
      const auto step = utf8_step(source_.substr(at));
      if (step.kind != Utf8Step::valid || !is_word(step.codepoint)) break;
      at += step.size;
    }
    return at - at_;
  }

  // Digits, which may have single underscores between them.
  size_t digits(size_t at) const {
    size_t end = at;
    while (end < source_.size() &&
           (is_digit(source_[end]) || (source_[end] == '_' && end > at &&
                                       end + 1 < source_.size() && is_digit(source_[end + 1]))))
      ++end;
    return end;
  }

  void number() {
    const size_t whole = digits(at_);
    size_t end = whole;
    const bool after_point = at_ > 0 && source_[at_ - 1] == '.';  // a.0.1 are attributes
    if (!after_point) {
      if (end < source_.size() && source_[end] == '.' && digits(end + 1) > end + 1)
        end = digits(end + 1);
      if (end < source_.size() && (source_[end] | 0x20) == 'e') {
        const size_t sign =
            end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-') ? 1
                                                                                             : 0;
        if (digits(end + 1 + sign) > end + 1 + sign) end = digits(end + 1 + sign);
      }
    }
    if (end == whole) return integer(whole);
    std::string text(source_.substr(at_, end - at_));
    std::erase(text, '_');
    double value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    add(Kind::number).number = value;
    at_ = end;
  }

  void integer(size_t end) {
    int base = 10;
    std::string text(source_.substr(at_, end - at_));
    if (text == "0" && end < source_.size()) {
      const char prefix = static_cast<char>(source_[end] | 0x20);
      base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 10;
    }
    if (base != 10) {
      const size_t begin = end + 1;
      for (end = begin;
           end < source_.size() &&
           (std::isalnum(static_cast<unsigned char>(source_[end])) != 0 || source_[end] == '_');)
        ++end;
      text = source_.substr(begin, end - begin);
    }
    std::erase(text, '_');
    int64_t value = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (read.ec != std::errc{} || read.ptr != text.data() + text.size())
      fail(at_, "expected an integer of at most 64 bits, found '" +
                    std::string(source_.substr(at_, end - at_)) + "'");
    add(Kind::integer).integer = value;
    at_ = end;
  }

  void string(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail(at_, "the string has no end");
    const auto text = unescaped(source_.substr(at_ + 1, end - at_ - 1));
    if (!text) fail(at_, "the string has an escape that is no character");
    add(Kind::string, *text);
    at_ = end + 1;
  }

  void symbol(std::string& open) {
    constexpr std::array<std::string_view, 26> symbols{
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    const auto found = std::ranges::find_if(symbols, [&](auto s) { return here(s); });
    if (found == symbols.end())
      fail(at_,
           "unexpected '" + std::string(source_.substr(at_, character_size(source_, at_))) + "'");
    const char c = (*found)[0];
    if (c == '(' || c == '[' || c == '{') open += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty()) fail(at_, std::string("unexpected '") + c + "'");
      if (open.back() != c)
        fail(at_, std::string("unexpected '") + c + "', expected '" + open.back() + "'");
      open.pop_back();
    }
    add(Kind::symbol, std::string(*found));
    at_ += found->size();
  }

  const std::string text_;
  const std::string_view source_;
  const std::string& where_;
  size_t at_ = 0, counted_ = 0;
  Position place_;
  std::vector<Token> tokens_;
};

}  // namespace

void throw_at(const std::string& where, Position at, std::string message) {
  throw_input(std::move(message),
              where + ":" + std::to_string(at.line) + ":" + std::to_string(at.column));
}

std::vector<Token> tokenize(std::string_view source, const std::string& where) {
  return Lexer(source, where).run();
}

}  // namespace ktx::text::jinja
