// Models from headers, and plans of them.
#include "fuzz/model_use.hpp"

#include <memory>
#include <vector>

#include "core/base/json.hpp"
#include "core/base/yaml.hpp"
#include "ktx/error.hpp"
#include "model/model.hpp"
#include "placement/explain/json.hpp"
#include "placement/explain/text.hpp"
#include "placement/planner.hpp"
#include "placement/sample.hpp"

namespace ktx::fuzz {

namespace {

constexpr const char* all_on_cpu = R"(ktx: 1
rules:
  - name: all
    match: {name: '.*'}
    place: {device: cpu}
)";

std::vector<float> values(const loader::TensorSource& source, const graph::TensorMeta& tensor) {
  const int64_t rows = loader::matrix_rows(tensor), cols = loader::matrix_cols(tensor);
  const auto stored = loader::read_rows(source, tensor, 0, rows);
  std::vector<float> out(static_cast<size_t>(rows * cols));
  for (int64_t r = 0; r < rows; ++r)
    quant::info(tensor.format)
        .decode(stored.data() + r * quant::row_bytes(tensor.format, cols), out.data() + r * cols,
                cols);
  return out;
}

// Reads all rows of a checkpoint whose files hold them.
void read_all(const std::filesystem::path& path) {
  std::unique_ptr<loader::TensorSource> source;
  try {
    source = loader::open_checkpoint(path);
  } catch (const Error& error) {
    if (error.category() == ErrorCategory::bug) throw;
    return;
  }
  for (const auto& tensor : source->tensors())
    loader::read_rows(*source, tensor, 0, loader::matrix_rows(tensor));
}

}  // namespace

graph::Model build_model(const loader::TensorSource& source) {
  const bool gguf = source.kind() == loader::CheckpointKind::gguf;
  return model::build_model(
      {.naming = gguf ? model::Naming::gguf : model::Naming::hugging_face,
       .config = &source.config(),
       .tensors = [&source](std::string_view name) { return source.find(name); },
       .where = source.path().string(),
       .listed = source.tensors(),
       .unread = source.unread(),
       .ignore_unused = true,
       .why_missing = [&source](std::string_view name) { return source.why_missing(name); },
       .values = [&source](const graph::TensorMeta& tensor) { return values(source, tensor); }});
}

void use_checkpoint(const std::filesystem::path& path) {
  use_model(build_model(*loader::open_checkpoint(path, {.header_only = true})));
  read_all(path);
}

void use_model(const graph::Model& model) {
  graph::print(model);
  plan(parse_rules(all_on_cpu), model, placement::sample::machine());
}

void plan(const placement::Rules& rules, const graph::Model& model, const hw::Machine& machine) {
  const auto plan = placement::make_plan(rules, model, machine, {.model = "model.gguf"});
  placement::explain(plan);
  base::dump_json(placement::to_json(plan), 2);
}

placement::Rules parse_rules(const std::string& text) {
  return placement::parse_rules(base::parse_yaml(text, "rules.yaml"), "rules.yaml");
}

hw::Machine sample_machine() {
  auto machine = placement::sample::machine(hw::Isa::amx_int8, 2, 1024);
  for (int i = 0; i < 8; ++i)
    machine.gpus.push_back({.name = "H200", .memory_bytes = uint64_t{141} << 30});
  return machine;
}

const graph::Model& sample_model() {
  static const graph::Model model = placement::sample::deepseek({.layers = 8});
  return model;
}

}  // namespace ktx::fuzz
