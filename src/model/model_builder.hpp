// Builds the model of a decoder-only architecture from the blocks that architectures share.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/graph.hpp"
#include "model/config.hpp"
#include "model/model.hpp"
#include "model/weights.hpp"

namespace ktx::model {

/// The routed experts of a layer.
struct MoeShape {
  int experts = 0;
  int top_k = 0;  // experts per token, as the checkpoint says
  int intermediate = 0;
  bool selection_bias = false;  // the router has e_score_correction_bias
  graph::RouterParams router;   // groups, scores and scale; experts and top_k are filled in
};

/// Appends modules and graph nodes to a model. Functions that make modules take a layer and the
/// module's path within it, in Hugging Face names; layer -1 is outside the layers. x and results
/// are values of the graph.
class ModelBuilder {
 public:
  using Classes = std::vector<std::string>;

  /// Reads the hyper-parameters that all architectures have.
  ModelBuilder(const Source& source, const Config& config, std::string architecture);
  ModelBuilder(const ModelBuilder&) = delete;
  ModelBuilder& operator=(const ModelBuilder&) = delete;

  const Config& config() const noexcept { return config_; }
  const Tensors& tensors() const noexcept { return tensors_; }
  graph::GraphBuilder& graph() noexcept { return graph_; }
  int layers() const noexcept { return model_.info.layers; }
  int hidden() const noexcept { return model_.info.hidden; }
  int64_t context() const noexcept { return model_.info.context; }
  float eps() const noexcept { return eps_; }

  /// For checkpoints that count layers which are not run.
  void set_layers(int layers) noexcept { model_.info.layers = layers; }
  /// For architectures whose GGUF files may lack a head: the embedding is used then.
  void allow_tied_head() noexcept { may_tie_ = true; }
  /// A hyper-parameter; if the configuration leaves it out, the number of rows of the first tensor
  /// with one of `names`, layer by layer.
  int count_or_rows(const Key& key,
                    const std::function<std::vector<std::string>(int layer)>& names) const;

  /// A norm over groups of `size` columns.
  int norm(int layer, std::string_view module, int x, int64_t size, float eps, Classes classes);
  /// A projection of `in` to `out` columns.
  int linear(int layer, std::string_view module, int x, int64_t out, int64_t in, Classes classes,
             bool bias = false);
  /// Whether a projection has a bias. A Hugging Face configuration says so by a flag, a GGUF file
  /// by having the tensor.
  bool has_bias(int layer, std::string_view module, bool flag) const;

  /// down(silu(gate x) * up x), with modules `<prefix>.gate_proj` and so on.
  int gated_mlp(int layer, const std::string& prefix, int x, int64_t intermediate,
                const Classes& classes, bool bias = false);
  /// The MLP of a layer without experts.
  int dense_mlp(int layer, int x, int intermediate, bool bias = false);
  /// Router and routed experts. Throws input error when top_k experts can't be chosen.
  int routed_experts(int layer, int x, const MoeShape& shape);

  /// Adds a KV cache that stores such a row for every token, and returns its index.
  int add_cache(const graph::KvRow& row);
  /// One block of a layer: maps its normed input to what is added to the residual stream.
  using Block = std::function<int(int layer, int x)>;
  /// Builds embedding, layers with their norms and residual sums, and head. Call once.
  graph::Model build(const Block& attention, const Block& mlp);

 private:
  int embedding();
  int head(int x);

  const Config& config_;
  Tensors tensors_;
  graph::Model model_;
  graph::GraphBuilder graph_;
  float eps_ = 0;
  bool may_tie_ = false;
};

}  // namespace ktx::model
