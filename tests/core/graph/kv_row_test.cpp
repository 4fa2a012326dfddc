// Bytes of a cache's row in every format, and the names of the formats.
#include "core/graph/kv_row.hpp"

#include "catch.hpp"

using namespace ktx::graph;

namespace {

constexpr KvRow mla{.scaled = 512, .group = 128, .exact = 64};
constexpr KvRow gqa{.scaled = 2 * 8 * 128, .group = 128};

}  // namespace

TEST_CASE("bytes of a row") {
  CHECK(row_bytes(KvFormat::f32, mla) == 2304);
  CHECK(row_bytes(KvFormat::bf16, mla) == 1152);
  CHECK(row_bytes(KvFormat::fp8, mla) == 512 + 4 * 4 + 2 * 64);
  CHECK(row_bytes(KvFormat::bf16, gqa) == 4096);
  CHECK(row_bytes(KvFormat::fp8, gqa) == 2048 + 4 * 16);
}

TEST_CASE("a last group may be short") {
  CHECK(row_bytes(KvFormat::fp8, {.scaled = 130, .group = 128}) == 130 + 8);
}

TEST_CASE("cache formats by name") {
  for (const auto& format : kv_formats()) CHECK(find_kv_format(format.name) == format.format);
  CHECK(info(KvFormat::fp8).name == "fp8");
  CHECK_FALSE(find_kv_format("int8"));
}

TEST_CASE("pages hold 64 tokens") {
  CHECK(pages_of(0) == 0);
  CHECK(pages_of(1) == 1);
  CHECK(pages_of(64) == 1);
  CHECK(pages_of(65) == 2);
}
