// Loading: what is in memory is what the checkpoint holds, quantized and turned as the plan says.
#include "engine/weights.hpp"

#include <cstring>

#include "catch.hpp"
#include "engine/source.hpp"
#include "engine/weight_reader.hpp"
#include "ktx/error.hpp"
#include "ktx/plan.hpp"
#include "support/ktx_isa.hpp"
#include "support/reference.hpp"

using namespace ktx;

namespace {

placement::Plan plan_for(const std::filesystem::path& model, const std::string& rules) {
  const auto file = std::filesystem::path(KTX_BINARY_DIR) / "weights_test.yaml";
  std::ofstream(file) << rules;
  const test::KtxIsa isa("scalar");  // reference kernels keep rows as they are: easy to compare
  return make_plan({.model = model, .rules = file, .threads = 2}).details();
}

std::vector<float> decoded(const engine::LoadedWeight& weight, int64_t matrix) {
  std::vector<float> out(static_cast<size_t>(weight.rows * weight.cols));
  const auto bytes = quant::row_bytes(weight.format, weight.cols);
  for (int64_t r = 0; r < weight.rows; ++r)
    quant::info(weight.format)
        .decode(weight.data + matrix * weight.matrix_bytes + r * bytes,
                out.data() + r * weight.cols, weight.cols);
  return out;
}

// The same matrix straight from the checkpoint, in f32.
std::vector<float> stored(const loader::TensorSource& source, const graph::Weight& weight,
                          int64_t matrix) {
  const engine::WeightReader reader(source, weight);
  const int64_t rows = weight.transposed ? weight.cols : weight.rows;
  const int64_t cols = reader.stored_cols();
  std::vector<std::byte> scratch(static_cast<size_t>(reader.stored_row_bytes()));
  std::vector<float> out(static_cast<size_t>(weight.rows * weight.cols)),
      row(static_cast<size_t>(cols));
  for (int64_t r = 0; r < rows; ++r) {
    quant::info(weight.source).decode(reader.read(matrix * rows + r, 1, scratch), row.data(), cols);
    for (int64_t c = 0; c < cols; ++c)
      out[static_cast<size_t>(weight.transposed ? c * weight.cols + r : r * cols + c)] =
          row[static_cast<size_t>(c)];
  }
  return out;
}

void compare(const char* model, const std::string& rules, double tolerance) {
  const auto folder = test::data_dir / "arch" / model;
  const auto plan = plan_for(folder, rules);
  const auto source = loader::open_checkpoint(folder);
  hw::WorkerPool pool(2);
  uint64_t last = 0;
  const engine::Weights weights(plan, *source, pool,
                                [&](const std::string&, uint64_t done, uint64_t total) {
                                  CHECK(done >= last);
                                  CHECK(done <= total);
                                  last = done;
                                });
  CHECK(last == weights.source_bytes());
  int quantized = 0;
  for (const auto& planned : plan.modules) {
    const auto& module = plan.model.modules[static_cast<size_t>(planned.module)];
    for (const auto& weight : module.weights) {
      INFO(module.path << " " << weight.role);
      const auto& loaded = weights.get(planned.module, weight.role);
      quantized += loaded.format != weight.source;
      for (int64_t m = 0; m < weight.count; ++m) {
        const double limit = loaded.format == weight.source || weight.is_vector() ? 0 : tolerance;
        CHECK(test::relative_error(decoded(loaded, m), stored(*source, weight, m)) <= limit);
      }
    }
  }
  CHECK(quantized > 0);
}

const std::string keep =
    "ktx: 1\nrules: [{name: all, match: {name: '.*'}, place: {device: cpu}}]\n";

}  // namespace

TEST_CASE("kept formats keep every value, also transposed and in FP8") {
  // Vectors and routers become f32, a transposed FP8 half of kv_b too: exactly.
  compare("deepseek-v3-fp8", keep, 0);
  compare("kimi-k2", keep, 0);
  compare("mixtral", keep, 0);
}

TEST_CASE("quantizing while loading stays within the format's step") {
  // int8/32: half a step of 1/127 of the group's largest weight; for weights of any shape the
  // largest is under sqrt(32) times the group's root mean square, so the relative error is under
  // sqrt(32)/254.
  compare(
      "qwen2-moe",
      "ktx: 1\nrules:\n"
      "  - {name: matrices, match: {class: linear}, place: {device: cpu, format: int8/32}}\n"
      "  - {name: experts, match: {class: moe.experts}, place: {device: cpu, format: int8/32}}\n"
      "  - {name: rest, match: {name: '.*'}, place: {device: cpu}}\n",
      0.0223);
}

TEST_CASE("a module without a weight of that role is a bug, found or not") {
  const auto folder = test::data_dir / "arch/llama";
  const auto plan = plan_for(folder, keep);
  const auto source = loader::open_checkpoint(folder);
  hw::WorkerPool pool(1);
  const engine::Weights weights(plan, *source, pool, {});
  CHECK(weights.find(0, "no such role") == nullptr);
  CHECK(weights.find(-1, "weight") == nullptr);
  CHECK_THROWS_AS(weights.get(0, "no such role"), Error);
}
