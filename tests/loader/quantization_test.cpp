// quantization_config in the spellings of its makers.
#include "loader/quantization.hpp"

#include <set>

#include "catch.hpp"
#include "files.hpp"

namespace ktx::loader {
namespace {

Quantization read(const char* section) {
  return read_quantization({{"quantization_config", Json::parse(section)}}, "config.json");
}
std::string error(const char* section) {
  return message_of([&] { read(section); });
}
using enum Quantization::Method;

TEST_CASE("published spellings") {
  CHECK(read_quantization(Json::object(), "").method == none);
  const auto deepseek =
      read(R"({"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 64]})");
  CHECK(deepseek.method == fp8);
  CHECK(deepseek.block_rows == 128);
  CHECK(deepseek.block_cols == 64);
  CHECK(read(R"({"quant_method": "fbgemm_fp8"})").method == fp8);
  const auto kimi = read(R"({"quant_method": "compressed-tensors", "format": "pack-quantized",
      "config_groups": {"group_0": {"weights": {"num_bits": 4, "group_size": 32}}}})");
  CHECK(kimi.method == packed);
  CHECK(kimi.bits == 4);
  CHECK(
      read(R"({"quant_method": "compressed-tensors", "format": "mxfp4-pack-quantized"})").method ==
      mxfp4);
  const auto blocks = read(R"({"quant_method": "compressed-tensors", "format": "float-quantized",
      "config_groups": {"group_0": {"weights": {"num_bits": 8, "block_structure": [64, 128]}}}})");
  CHECK(blocks.method == fp8);
  CHECK(blocks.block_rows == 64);
  const auto g = read(R"({"quant_method": "gptq", "bits": 4, "sym": true, "desc_act": true})");
  CHECK(g.method == gptq);
  CHECK((g.symmetric && g.ordered && g.zeros_less_one));
  CHECK_FALSE(read(R"({"quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq_v2"})")
                  .zeros_less_one);
  CHECK(read(R"({"quant_method": "awq", "bits": 4, "version": "gemm"})").method == awq);
  const Json nested{{"text_config", {{"quantization_config", {{"quant_method", "fp8"}}}}}};
  CHECK(read_quantization(nested, "").method == fp8);
}

TEST_CASE("each difference is told") {
  const Quantization plain;
  std::set<std::string> texts{to_text(plain)};
  const auto add = [&](auto change) {
    Quantization other = plain;
    change(other);
    CHECK(texts.insert(to_text(other)).second);
  };
  add([](Quantization& q) { q.method = gptq; });
  add([](Quantization& q) { q.block_rows = 4; });
  add([](Quantization& q) { q.block_cols = 4; });
  add([](Quantization& q) { q.bits = 8; });
  add([](Quantization& q) { q.symmetric = true; });
  add([](Quantization& q) { q.ordered = true; });
  add([](Quantization& q) { q.zeros_less_one = false; });
}

TEST_CASE("what ktx doesn't read is named") {
  const std::string start = "input: quantization_config.";
  CHECK(error(R"({"quant_method": "bitsandbytes"})") ==
        start +
            "quant_method: ktx reads \"fp8\", \"compressed-tensors\", \"gptq\" or \"awq\", "
            "found \"bitsandbytes\"");
  CHECK(error(R"({"quant_method": "mxfp4"})").find("found \"mxfp4\"") != std::string::npos);
  CHECK(error(R"({"quant_method": "fp8", "fmt": "e5m2"})") ==
        start + "fmt: ktx reads \"e4m3\", found \"e5m2\"");
  CHECK(error(R"({"quant_method": "fp8", "weight_block_size": [0, 1]})") ==
        start + "weight_block_size: ktx reads two sizes of a block, found [0,1]");
  CHECK(error(R"({"quant_method": "gptq", "bits": 3})") ==
        start + "bits: ktx reads 4 or 8, found 3");
  CHECK(error(R"({"quant_method": "awq", "bits": 4, "version": "gemv"})") ==
        start + "version: ktx reads \"gemm\", found \"gemv\"");
  CHECK(error(R"({"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"})")
            .find("found \"nvfp4-pack-quantized\"") != std::string::npos);
}

}  // namespace
}  // namespace ktx::loader
