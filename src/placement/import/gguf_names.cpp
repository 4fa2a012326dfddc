// Names from the checkpoint's header, or from the model's table of names.
#include "placement/import/gguf_names.hpp"

#include "model/tensor_names.hpp"

namespace ktx::placement {

namespace {

std::string converted_name(const graph::Module& module, const graph::Weight& weight) {
  if (module.op == "moe")
    return model::expert_names(model::Naming::gguf, module.layer, weight.role).stacked.front();
  const auto prefix = model::layer_path(module.layer, "");
  const auto name = module.layer < 0 ? module.path : module.path.substr(prefix.size());
  const bool selection = module.op == "router" && weight.role == "bias";
  return model::tensor_names(model::Naming::gguf, module.layer,
                             selection ? name + ".e_score_correction" : name,
                             weight.role == "bias" ? "bias" : "weight")
      .front();
}

}  // namespace

std::vector<GgufTensor> gguf_tensors(const graph::Module& module, model::Naming naming) {
  std::vector<GgufTensor> out;
  for (const auto& weight : module.weights) {
    if (naming == model::Naming::hugging_face) {
      out.push_back({converted_name(module, weight), weight.weights()});
      continue;
    }
    for (const auto& piece : weight.pieces) out.push_back({piece.tensor, piece.rows * weight.cols});
  }
  return out;
}

}  // namespace ktx::placement
