// Kernels measured on small experts: the rows and the errors.
#include "catch.hpp"
#include "core/base/failure.hpp"
#include "ktx/bench.hpp"
#include "support/ktx_isa.hpp"

using namespace ktx;

namespace {

KernelBenchOptions small() {
  return {.formats = {"int4/64", "bf16"},
          .kernels = {"auto", "ref"},
          .tokens = {1, 3},
          .hidden = 128,
          .intermediate = 64,
          .experts = 10,
          .threads = {2},
          .repeat = 2};
}

std::string failure(const KernelBenchOptions& options) {
  return test::failure([&] { bench_kernels(options); });
}

}  // namespace

TEST_CASE("a row for every format, kernel and number of tokens") {
  auto options = small();
  std::vector<double> seen;
  options.on_row = [&](const KernelRow& row) { seen.push_back(row.seconds); };
  const auto bench = bench_kernels(options);
  REQUIRE(bench.rows.size() == 8);
  REQUIRE(seen.size() == 8);
  CHECK(bench.machine.threads == 2);
  for (size_t i = 0; i < bench.rows.size(); ++i) {
    const auto& row = bench.rows[i];
    CHECK(row.op == "moe");
    CHECK(row.format == options.formats[i / 4]);
    CHECK((i / 2 % 2 == 0 || row.kernel == "ref"));
    CHECK(row.tokens == options.tokens[i % 2]);
    CHECK(row.active_experts == 8);
    CHECK(row.experts == 10);
    CHECK(row.seconds > 0);
    CHECK(row.seconds == seen[i]);
    CHECK(row.spread >= 0);
    const double weights = 8 * 3 * 128 * 64;
    CHECK(row.bytes_per_second * row.seconds == Approx(double(row.weight_bytes)));
    CHECK(row.ops_per_second * row.seconds == Approx(2 * weights * double(row.tokens)));
    CHECK(bench.machine.read_bandwidth >= row.read_bandwidth);
    CHECK(row.type == (row.format == "bf16" || row.kernel == "ref" ? "f32" : "int8"));
    const auto* peak = bench.machine.best_peak(row.type);
    CHECK(row.peak == (peak != nullptr ? peak->ops_per_second : 0));
    if (row.format == "bf16") CHECK(row.weight_bytes == weights * 2);
  }
}

TEST_CASE("each number of threads has its rows, in the order in which they were asked for") {
  auto options = small();
  options.formats = {"q8_0"};
  options.kernels = {};
  options.threads = {2, 1, 3};
  const auto bench = bench_kernels(options);
  REQUIRE(bench.rows.size() == 6);
  CHECK(bench.machine.threads == 3);
  for (size_t i = 0; i < bench.rows.size(); ++i) {
    CHECK(bench.rows[i].threads == options.threads[i % 3]);
    CHECK(bench.rows[i].tokens == options.tokens[i / 3]);
  }
  options.threads = {2, 0};
  CHECK(failure(options) == "input can't measure 0 threads: expected 1 to 4096");
}

TEST_CASE("by default more experts are in memory than caches hold") {
  auto options = small();
  options.experts = 0;
  options.formats = {"int8"};
  options.kernels = {};
  options.tokens = {1};
  options.repeat = 1;
  const auto row = bench_kernels(options).rows.at(0);
  CHECK(row.experts > 100);  // of 25 KB: as many as there may be
  CHECK(row.experts <= 1024);
}

TEST_CASE("linear layers are measured a matrix at a time") {
  auto options = small();
  options.op = "linear";
  options.formats = {"q8_0"};
  options.kernels = {};
  for (const auto& row : bench_kernels(options).rows) {
    CHECK(row.op == "linear");
    CHECK(row.active_experts == 1);
    CHECK(row.weight_bytes == 64 * 128 / 32 * 34);
  }
}

TEST_CASE("a layer's tokens are shared by all experts") {
  auto options = small();
  options.all_experts = true;
  options.kernels = {};
  options.tokens = {1, 100};
  const auto rows = bench_kernels(options).rows;
  REQUIRE(rows.size() == 4);
  for (const auto& row : rows) {
    CHECK(row.op == "layer");
    CHECK(row.experts == 10);
    CHECK(row.active_experts == (row.tokens == 1 ? 8 : 10));
    const double weights = 3 * 128 * 64;
    CHECK(row.ops_per_second * row.seconds == Approx(2 * weights * 8 * double(row.tokens)));
    if (row.format == "bf16") CHECK(double(row.weight_bytes) == weights * 2 * row.active_experts);
  }
  options.experts = 0;
  options.formats = {"int8"};
  options.repeat = 1;
  CHECK(bench_kernels(options).rows.at(0).experts == 256);
}

TEST_CASE("a layer that memory can't hold is refused, with what it needs") {
  auto options = small();
  options.all_experts = true;
  options.kernels = {};
  options.hidden = options.intermediate = 1 << 17;
  options.experts = 1024;
  options.on_row = [](const KernelRow&) { FAIL("measured"); };
  options.formats = {"bf16"};
  const auto text = failure(options);
  CHECK(text.starts_with("environment 1024 experts in bf16 need 96.0 TiB, "));
  CHECK(text.ends_with(" of memory are free\n  note: fewer experts (--experts N) need less"));
}

TEST_CASE("wrong names and numbers are told before anything is measured") {
  auto options = small();
  options.op = "linar";
  CHECK(failure(options) ==
        "input no such op to measure: 'linar'\n  note: did you mean 'linear'?\n  note: valid ops: "
        "moe, "
        "linear");
  options = small();
  options.op = "linear";
  options.all_experts = true;
  CHECK(failure(options) == "input all experts are measured of op 'moe', not of 'linear'");
  options = small();
  options.formats = {"q4_k", "int4"};
  CHECK(failure(options).starts_with("input no such format: 'int4'\n"));
  options = small();
  options.kernels = {"avx513"};
  CHECK(failure(options).starts_with("input no such kernel: 'avx513'\n"));
  options = small();
  options.tokens = {1, 0};
  CHECK(failure(options) == "input can't measure 0 tokens: expected 1 to 1048576");
  options = small();
  options.experts = -1;
  CHECK(failure(options) == "input can't measure -1 experts: expected 0 to 1024");
  options = small();
  options.formats = {"q4_k"};
  CHECK(failure(options) ==
        "input format q4_k can't store rows of 128 numbers, which is not a multiple of 256");
  options = small();
  options.kernels = {"avx2"};
  const test::KtxIsa forced("scalar");
  CHECK(failure(options) == "environment kernel avx2 needs avx2, this machine has scalar");
}
