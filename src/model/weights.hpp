// Finds a model's tensors, checks their shapes, and describes them as weights of modules.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/limits.hpp"
#include "core/graph/module.hpp"
#include "model/model.hpp"
#include "model/tensor_names.hpp"

namespace ktx::model {

/// Shape checks are input errors that name tensor, file, expected and found shape.
class Tensors {
 public:
  explicit Tensors(const Source& source) : source_(&source) {}

  Naming naming() const noexcept { return source_->naming; }

  /// The first of the names that the checkpoint has, or nullptr.
  const graph::TensorMeta* find(const std::vector<std::string>& names) const;
  /// The same; none of them is an input error with the nearest names.
  const graph::TensorMeta& need(const std::vector<std::string>& names) const;

  /// One matrix [rows, cols], or a vector of `cols` numbers when rows is 1.
  graph::Weight matrix(std::string_view role, const std::vector<std::string>& names, int64_t rows,
                       int64_t cols) const;
  graph::Weight vector(std::string_view role, const std::vector<std::string>& names,
                       int64_t size) const {
    return matrix(role, names, 1, size);
  }

  /// count matrices [rows, cols] in one tensor [count, rows, cols] or [count * rows, cols].
  graph::Weight stack(std::string_view role, const std::vector<std::string>& names, int64_t count,
                      int64_t rows, int64_t cols) const;

  /// A layer's routed experts, stacked or one by one.
  graph::Weight experts(std::string_view role, int layer, int64_t count, int64_t rows,
                        int64_t cols) const;

  /// For a configuration that leaves a size out: rows of a tensor's matrices (its dimension before
  /// the last), nothing when there is no such tensor. More than `most` are an input error.
  std::optional<int> rows_of(const std::vector<std::string>& names,
                             int64_t most = limits::columns) const;

  /// A tensor that isn't run, as a weight; nothing when its shape is impossible.
  static std::optional<graph::Weight> unused(std::string role, const graph::TensorMeta& tensor);

  /// Numbers of a vector of that size; see Source::values.
  std::vector<float> values(const graph::TensorMeta& tensor, int64_t size) const;

 private:
  /// A name as the checkpoint has it.
  std::string stored(const std::string& name) const;
  /// The first of the names, which must have one of the shapes; the usual shape comes first.
  const graph::TensorMeta& need_shaped(const std::vector<std::string>& names,
                                       const std::vector<std::vector<int64_t>>& valid) const;
  void check_shape(const graph::TensorMeta& tensor,
                   const std::vector<std::vector<int64_t>>& valid) const;
  graph::Weight gate_up_half(std::string_view role, const graph::TensorMeta& tensor, int64_t count,
                             int64_t rows, int64_t cols) const;
  graph::Weight one_by_one(std::string_view role, const ExpertNames::Each& names, int64_t count,
                           int64_t rows, int64_t cols) const;

  const Source* source_;
};

}  // namespace ktx::model
