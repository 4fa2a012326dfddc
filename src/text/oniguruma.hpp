// Translates patterns of tokenizer.json files to PCRE2's dialect.
#pragma once

#include <string>
#include <string_view>

namespace ktx::text {

/// tokenizer.json files are written for Oniguruma in Ruby syntax. It mostly agrees with PCRE2;
/// where it doesn't, PCRE2 would often accept the pattern and match something else. Translated are:
/// \s \w \h and their negations (other sets of characters), \uXXXX, X{n,m}+ and X{n}? (a second
/// repeat, not possessive and lazy), X{,n}, \p{Han} (the script alone), (?m) (dot matches
/// newlines), and the intersections [A&&[B]] and [A&&[^B]]. Other operations on sets are an input
/// error at `where`. The result is to be compiled with RegexOptions::multiline, since Ruby's ^ and
/// $ match at every line.
std::string from_oniguruma(std::string_view pattern, const std::string& where);

}  // namespace ktx::text
