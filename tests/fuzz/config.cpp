// config.json, or a GGUF file's metadata as JSON: hyper-parameters of a checkpoint that has every
// tensor the model then needs.
#include <deque>
#include <unordered_map>

#include "core/base/json.hpp"
#include "fuzz/model_use.hpp"
#include "fuzz/targets.hpp"
#include "loader/quantization.hpp"
#include "model/model.hpp"

namespace ktx::fuzz {

namespace {

// Tensors as they are asked for.
class Tensors {
 public:
  explicit Tensors(bool gguf) : gguf_(gguf) {}

  const graph::TensorMeta& declare(const std::string& name, const std::vector<int64_t>& shape) {
    const auto [at, fresh] = by_name_.try_emplace(name, tensors_.size());
    if (fresh) tensors_.push_back({.name = name, .format = quant::Format::bf16, .shape = shape});
    return tensors_[at->second];
  }

  // Only which layout a checkpoint has is looked up: GGUF's experts are stacked.
  const graph::TensorMeta* look_up(std::string_view name) const {
    const bool there = name == "token_embd.weight" || name == "output.weight" ||
                       name.ends_with(gguf_ ? "_exps.weight" : "_proj.weight");
    return there ? &any_ : nullptr;
  }

 private:
  bool gguf_;
  graph::TensorMeta any_{.name = "any", .format = quant::Format::bf16, .shape = {64, 64}};
  std::deque<graph::TensorMeta> tensors_;  // their addresses stay
  std::unordered_map<std::string, size_t> by_name_;
};

}  // namespace

void use_config(std::string_view input) {
  const Json json = base::parse_json(input, "config.json");
  loader::read_quantization(json, "config.json");
  const bool gguf = json.is_object() && json.contains("general.architecture");
  Tensors tensors(gguf);
  use_model(model::build_model(
      {.naming = gguf ? model::Naming::gguf : model::Naming::hugging_face,
       .config = &json,
       .tensors = [&](std::string_view name) {
    return tensors.look_up(name); },
       .where = "config.json",
       .ignore_unused = true,
       .declare = [&](const std::string& name, const std::vector<int64_t>& shape) -> auto& {
         return tensors.declare(name, shape);
}
}  // namespace ktx::fuzz
));
}

}  // namespace ktx::fuzz
