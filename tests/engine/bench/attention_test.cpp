// Attention of a layer, measured: the rows and the errors.
// covers: packed_stack
#include "catch.hpp"
#include "core/base/failure.hpp"
#include "ktx/bench.hpp"
#include "support/ktx_isa.hpp"

using namespace ktx;

namespace {

AttentionBenchOptions small() {
  return {.contexts = {1, 70}, .batches = {1, 2}, .layers = 1, .threads = 2, .repeat = 1};
}

std::string failure(const AttentionBenchOptions& options) {
  return test::failure([&] { bench_attention(options); });
}

}  // namespace

TEST_CASE("attention: a row for every format, kernel, batch and context") {
  auto options = small();
  options.formats = {"q8_0", "bf16"};
  std::vector<double> seen;
  options.on_row = [&](const AttentionRow& row) { seen.push_back(row.seconds); };
  const auto bench = bench_attention(options);
  REQUIRE(bench.rows.size() == 8);
  REQUIRE(seen.size() == 8);
  CHECK(bench.machine.threads == 2);
  for (size_t i = 0; i < 8; ++i) {
    const auto& row = bench.rows[i];
    CHECK(row.format == options.formats[i / 4]);
    CHECK(row.batch == options.batches[i / 2 % 2]);
    CHECK(row.context == options.contexts[i % 2]);
    CHECK(row.cache == "bf16");
    CHECK(row.seconds == seen[i]);
    const double weights = 128.0 * 512 * (128 + 128);
    CHECK(double(row.weight_bytes) == (row.format == "bf16" ? weights * 2 : weights / 32 * 34));
    CHECK(row.cache_bytes == uint64_t(row.batch * row.context * 576 * 2));
    CHECK(row.bytes_per_second * row.seconds == Approx(row.weight_bytes + row.cache_bytes));
    const double keys = 128.0 * double(row.context) * (576 + 512);
    CHECK(row.ops_per_second * row.seconds == Approx(2 * double(row.batch) * (weights + keys)));
    const auto* peak = bench.machine.best_peak(row.type);
    CHECK(row.peak == (peak != nullptr ? peak->ops_per_second : 0));
  }
}

TEST_CASE("attention: kernels and caches by their names in rules") {
  auto options = small();
  options.contexts = {3};
  options.batches = {1};
  options.kernels = {"ref"};
  options.cache = "fp8";
  const auto row = bench_attention(options).rows.at(0);
  CHECK(row.kernel == "ref");
  CHECK(row.type == "f32");
  CHECK(row.cache_bytes == 3 * 656);
}

TEST_CASE("attention: wrong names and numbers are told before anything is measured") {
  auto options = small();
  options.cache = "fp4";
  CHECK(failure(options).starts_with("input no such format of a cache: 'fp4'"));
  options = small();
  options.formats = {"q4_k"};
  CHECK(failure(options) ==
        "input format q4_k can't store rows of 128 numbers, which is not a multiple of 256");
  options = small();
  options.kernels = {"avx51"};
  CHECK(failure(options).starts_with("input no such kernel: 'avx51'\n  note: did you mean"));
  options = small();
  options.contexts = {0};
  CHECK(failure(options) == "input can't measure 0 tokens of context: expected 1 to 1048576");
  const test::KtxIsa isa("avx2");
  options = small();
  options.kernels = {"amx"};
  CHECK(failure(options) == "environment kernel amx needs amx_bf16, this machine has avx2");
}
