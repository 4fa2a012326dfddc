// The model as a tree of modules: what rules match, what a plan places, what owns weights.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/quant/format.hpp"

namespace ktx::graph {

/// What a checkpoint's header says of one tensor.
struct TensorMeta {
  std::string name;
  quant::Format format = quant::Format::f32;
  std::vector<int64_t> shape;  // outermost first, as in Hugging Face; last: the input dimension
  std::string where;           // file, for messages
};

/// A checkpoint's header: the tensor of that name, or nullptr.
using TensorLookup = std::function<const TensorMeta*(std::string_view name)>;

/// Rows [first_row, first_row + rows) of a tensor seen as a matrix [product of outer dims, last].
struct TensorPiece {
  std::string tensor;
  int64_t first_row = 0;
  int64_t rows = 0;
};

/// `count` matrices [rows, cols] of one format (count: experts or heads; 1 for a plain matrix; a
/// vector is one row). The pieces one after another are all count * rows rows, in order; if
/// `transposed`, each matrix is stored in the checkpoint as [cols, rows] and is to be transposed
/// while loading, and the pieces are the count * cols rows as stored. A transposed weight can't
/// keep a checkpoint's blocks: `source` then says how the stored rows are encoded, no more.
struct Weight {
  std::string role;  // "weight", "bias", "gate", "up", "down", "k_b", ...: see core/graph/op.hpp
  quant::Format source = quant::Format::f32;
  int64_t count = 1, rows = 0, cols = 0;
  bool transposed = false;
  std::vector<TensorPiece> pieces;

  int64_t weights() const noexcept { return count * rows * cols; }
  bool is_vector() const noexcept { return count == 1 && rows == 1; }
};

/// A leaf of the module tree: what one rule places.
struct Module {
  std::string path;  // Hugging Face name: model.layers.3.mlp.experts
  std::string op;    // the op that runs it: "linear", "moe", ... (core/graph/op.hpp)
  std::vector<std::string> classes;  // its own class first, then those of the modules around it
  int layer = -1;                    // -1: outside the layers
  std::vector<Weight> weights;
  std::string unused;  // not empty: in the checkpoint but not run, and why

  const Weight* find(std::string_view role) const noexcept;
  /// Of its own or of a module around it.
  bool has_class(std::string_view name) const noexcept;
};

struct ClassInfo {
  std::string_view name;
  std::string_view doc;
};

/// Every class a rule may name.
///   embedding, head, norm, linear, attention, attention.mla, attention.gqa,
///   mlp, mlp.dense, mlp.shared, moe, moe.router, moe.experts, mtp, other
const std::vector<ClassInfo>& classes() noexcept;

}  // namespace ktx::graph
