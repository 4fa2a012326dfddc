// Questions to a module, and the table of module classes.
#include "core/graph/module.hpp"

#include <algorithm>

namespace ktx::graph {

const Weight* Module::find(std::string_view role) const noexcept {
  const auto found = std::find_if(weights.begin(), weights.end(),
                                  [role](const Weight& weight) { return weight.role == role; });
  return found == weights.end() ? nullptr : &*found;
}

bool Module::has_class(std::string_view name) const noexcept {
  return std::ranges::find(classes, name) != classes.end();
}

const std::vector<ClassInfo>& classes() noexcept {
  static const std::vector<ClassInfo> table{
      {"embedding", "the token embedding"},
      {"head", "the projection to the vocabulary (lm_head)"},
      {"norm", "every norm"},
      {"linear", "every matrix product with a weight"},
      {"attention", "everything of an attention block, its norms and projections too"},
      {"attention.mla", "the same, of multi-head latent attention"},
      {"attention.gqa", "the same, of grouped-query attention"},
      {"mlp", "the dense and the shared gated MLPs"},
      {"mlp.dense", "gated MLPs of layers without experts"},
      {"mlp.shared", "shared experts, which every token passes"},
      {"moe", "everything of a mixture-of-experts block"},
      {"moe.router", "the gate that chooses the routed experts"},
      {"moe.experts", "the routed experts of a layer, all together"},
      {"mtp", "layers for multi-token prediction, which are not run"},
      {"other", "vision and audio parts, which are not run"},
  };
  return table;
}

}  // namespace ktx::graph
