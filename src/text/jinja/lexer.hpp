// Cuts a template into its own text and the tokens of its tags.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.hpp"

namespace ktx::text::jinja {

struct Token {
  enum class Kind {
    data,
    output_begin,
    output_end,
    block_begin,
    block_end,
    name,
    string,
    integer,
    number,
    symbol,
    end
  };
  Kind kind = Kind::end;
  std::string text;  // of data, names, strings (without quotes and escapes), symbols
  int64_t integer = 0;
  double number = 0;
  Position at;
};

/// Whitespace as transformers sets Jinja up: trim_blocks, lstrip_blocks, no trailing newline. The
/// last token is `end`. Throws input error; `where` names the template.
std::vector<Token> tokenize(std::string_view source, const std::string& where);

/// Throws the input error that `message` is so at this place.
[[noreturn]] void throw_at(const std::string& where, Position at, std::string message);

}  // namespace ktx::text::jinja
