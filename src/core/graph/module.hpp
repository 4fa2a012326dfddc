// Modules: the parts of a model that rules match, a plan places, and that own weights.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/quant/format.hpp"

namespace ktx::graph {

/// A tensor as described by a checkpoint's header.
struct TensorMeta {
  std::string name;
  quant::Format format = quant::Format::f32;
  std::vector<int64_t>
      shape;          // outermost first, as in Hugging Face; the last is the input dimension
  std::string where;  // file, for messages
};

/// Looks up a tensor of a checkpoint by name; nullptr: there is none.
using TensorLookup = std::function<const TensorMeta*(std::string_view name)>;

/// Rows [first_row, first_row + rows) of a tensor seen as a matrix [product of outer dims, last].
struct TensorPiece {
  std::string tensor;
  int64_t first_row = 0;
  int64_t rows = 0;
};

/// `count` matrices [rows, cols] of one format (count: experts or heads; 1 for a plain matrix; a
/// vector is one row). The pieces, one after another, are all count * rows rows in order. If
/// `transposed`, the checkpoint stores each matrix as [cols, rows], the pieces are these count *
/// cols rows, and loading transposes them; `source` is then only the encoding of the stored rows,
/// because a transposed weight can't keep the checkpoint's blocks.
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
  std::vector<std::string> classes;  // its own class first, then those of enclosing modules
  int layer = -1;                    // -1: outside the layers
  std::vector<Weight> weights;
  std::string unused;  // why it is not run although the checkpoint has it; empty: it is run

  const Weight* find(std::string_view role) const noexcept;
  /// Its own class or that of an enclosing module.
  bool has_class(std::string_view name) const noexcept;
};

struct ClassInfo {
  std::string_view name;
  std::string_view doc;
};

/// All classes that a rule may name.
///   embedding, head, norm, linear, attention, attention.mla, attention.gqa,
///   mlp, mlp.dense, mlp.shared, moe, moe.router, moe.experts, mtp, other
const std::vector<ClassInfo>& classes() noexcept;

}  // namespace ktx::graph
