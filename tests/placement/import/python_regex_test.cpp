// Python's patterns in PCRE2's writing.
#include "placement/import/python_regex.hpp"

#include "catch.hpp"
#include "text/regex.hpp"

using namespace ktx;
using placement::python_to_pcre2;

TEST_CASE("what both write alike stays as it is") {
  for (const char* pattern :
       {R"(^model\.layers\.(?!.*self_attn\.kv_b_proj).*$)", R"((0|[1-9]|[12][0-9])\.)",
        R"((?P<layer>\d+)\.(?P=layer))", R"((?i)MLP)", R"((?<=mlp)\.x{2}|a{1,}b{1,2})",
        R"([^]a]\])", R"(\A\w+\\Z)", "{,}", "{,a}", "(?:a)", "a{,", "\\"})
    CHECK(python_to_pcre2(pattern) == pattern);
}

TEST_CASE("what they write differently") {
  CHECK(python_to_pcre2(R"(a\Z)") == R"(a\z)");
  CHECK(python_to_pcre2("a{,3}b") == "a{0,3}b");
  CHECK(python_to_pcre2(R"(\u0041\U00000042)") == R"(\x{0041}\x{00000042})");
  CHECK(python_to_pcre2("(?u)a(?ai:b)(?L:c)") == "a(?i:b)(?:c)");
  CHECK(python_to_pcre2("[[:alpha:]]") == "[\\[:alpha:]]");
  CHECK(python_to_pcre2(R"([\]{,3}]{,3})") == R"([\]{,3}]{0,3})");
}

TEST_CASE("translated patterns compile and mean the same") {
  const auto matches = [](const char* pattern, const char* text) {
    return text::Regex(python_to_pcre2(pattern)).search(text);
  };
  CHECK(matches("^a{,2}$", "aa"));
  CHECK_FALSE(matches("^a{,2}$", "aaa"));
  CHECK_FALSE(matches("a\\Z", "a\n"));
  CHECK(matches("[[:x]+$", "[:x"));
}
