// Models from headers, and plans of them.
#include "fuzz/model_use.hpp"

#include <memory>
#include <vector>

#include "core/base/json.hpp"
#include "core/base/yaml.hpp"
#include "engine/build_model.hpp"
#include "ktx/error.hpp"
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

void use_checkpoint(const std::filesystem::path& path) {
  use_model(engine::build_model(*loader::open_checkpoint(path, {.header_only = true}),
                                /*ignore_unused=*/true));
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
