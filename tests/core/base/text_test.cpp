// Text helpers: nearest names, lists, byte sizes.
#include "core/base/text.hpp"

#include "catch.hpp"

using namespace ktx::base;
using Names = std::vector<std::string>;

TEST_CASE("nearest finds typos, best first") {
  const Names classes{"moe.experts", "moe.router", "moe.shared", "attention.mla", "norm"};
  REQUIRE(nearest("moe.expert", classes) == Names{"moe.experts"});
  REQUIRE(nearest("meo.experts", classes) == Names{"moe.experts"});  // a swap counts once
  REQUIRE(nearest("MOE.Experts", classes) == Names{"moe.experts"});  // case counts nothing
  REQUIRE(nearest("completely else", classes).empty());
  REQUIRE(nearest("", classes).empty());
  REQUIRE(nearest("norm", classes) == Names{"norm"});
  REQUIRE(nearest("nor", {"norm", "nor", "no"}) == Names{"nor", "norm", "no"});
  REQUIRE(nearest("abc", {"abd", "abe", "abf", "abg"}) == Names{"abd", "abe", "abf"});
  REQUIRE(nearest("abc", {"abd", "abe"}, 1) == Names{"abd"});
  REQUIRE(nearest("Q4_K", {"q4_k", "q6_k", "f16"}) == Names{"q4_k", "q6_k"});
  REQUIRE(nearest("x", {"y", "yy"}) == Names{"y"});
  REQUIRE(nearest("anything", {}).empty());
}

TEST_CASE("nearest of a huge word is quick") {
  REQUIRE(nearest(std::string(10'000'000, 'x'), {"a", "xx"}).empty());
}

TEST_CASE("shortened cuts no character") {
  REQUIRE(shortened("abc", 3) == "abc");
  REQUIRE(shortened("abcd", 3) == "abc...");
  REQUIRE(shortened("", 0).empty());
  REQUIRE(shortened("a中文", 4) == "a中...");
  REQUIRE(shortened("a中文", 5) == "a中...");
  REQUIRE(shortened("a中文", 6) == "a中...");
  REQUIRE(shortened("a中文", 7) == "a中文");
  REQUIRE(shortened("中", 2) == "...");
  REQUIRE(beginning("é🎉", 5) == "é");
  REQUIRE(beginning("é🎉", 6) == "é🎉");
}

TEST_CASE("suggestions") {
  REQUIRE(suggestions("avx", {"avx2", "sse"}, "levels") ==
          Names{"did you mean 'avx2'?", "valid levels: avx2, sse"});
  REQUIRE(suggestions("ab", {"aa", "bb", "zz"}, "things") ==
          Names{"did you mean 'aa' or 'bb'?", "valid things: aa, bb, zz"});
  REQUIRE(suggestions("unlike", {"x"}, "names") == Names{"valid names: x"});
  const auto near = [](const char* word, const Names& names) {
    return suggestions(word, names, "names").front();
  };
  const Names classes{"moe.experts", "moe.router", "moe.shared", "attention.mla", "norm"};
  REQUIRE(near("MLA", classes) == "did you mean 'attention.mla'?");  // a part of a name
  REQUIRE(near("moe", classes) == "did you mean 'moe.experts' or 'moe.router' or 'moe.shared'?");
  REQUIRE(near("torch.Norm", classes) == "did you mean 'norm'?");
  REQUIRE(near("mo", classes).starts_with("valid names: "));
  REQUIRE(near("int4", {"int8", "int4/32"}) == "did you mean 'int4/32' or 'int8'?");
}

TEST_CASE("join") {
  REQUIRE(join({}).empty());
  REQUIRE(join({"a"}) == "a");
  REQUIRE(join({"a", "b", "c"}) == "a, b, c");
  REQUIRE(join({"a", "b"}, " or ") == "a or b");
}

TEST_CASE("format_bytes gives three digits") {
  REQUIRE(format_bytes(0) == "0 B");
  REQUIRE(format_bytes(1) == "1 B");
  REQUIRE(format_bytes(999) == "999 B");
  REQUIRE(format_bytes(1000) == "0.977 KiB");
  REQUIRE(format_bytes(1023) == "0.999 KiB");
  REQUIRE(format_bytes(1024) == "1.00 KiB");
  REQUIRE(format_bytes(1536) == "1.50 KiB");
  REQUIRE(format_bytes(10 * 1024) == "10.0 KiB");
  REQUIRE(format_bytes(100 * 1024) == "100 KiB");
  REQUIRE(format_bytes(1024 * 1024 - 1) == "1.00 MiB");
  REQUIRE(format_bytes(uint64_t{382} << 30) == "382 GiB");
  REQUIRE(format_bytes(uint64_t{3} << 40) == "3.00 TiB");
  REQUIRE(format_bytes(UINT64_MAX) == "16777216 TiB");
}

TEST_CASE("parse_bytes") {
  REQUIRE(parse_bytes("123B") == 123);
  REQUIRE(parse_bytes("0B") == 0);
  REQUIRE(parse_bytes("7B") == 7);
  REQUIRE(parse_bytes("382GiB") == uint64_t{382} << 30);
  REQUIRE(parse_bytes("14 GiB") == uint64_t{14} << 30);
  REQUIRE(parse_bytes("1.5KiB") == 1536);
  REQUIRE(parse_bytes("512MiB") == uint64_t{512} << 20);
  REQUIRE(parse_bytes("2TB") == 2'000'000'000'000);
  REQUIRE(parse_bytes("2TiB") == uint64_t{2} << 40);
  REQUIRE(parse_bytes("3KB") == 3000);
  REQUIRE(parse_bytes("3MB") == 3'000'000);
  REQUIRE(parse_bytes("3GB") == 3'000'000'000);
  for (const char* bad : {"", " ", "GiB", "-1B", "-0B", "-1GiB", "14", "1 gigabyte", "1GiBx", "nan",
                          "inf", "1e30", "9000000TiB", "0x10", "1,5GiB", " 1", "+1"}) {
    INFO("'" << bad << "'");
    CHECK_FALSE(parse_bytes(bad).has_value());
  }
}
