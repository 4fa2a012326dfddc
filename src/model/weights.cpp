// Finds a model's tensors, checks their shapes, and describes them as weights of modules.
#include "model/weights.hpp"

#include <algorithm>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/text.hpp"

namespace ktx::model {
namespace {

using graph::TensorMeta;
using graph::Weight;

std::string shape_text(const std::vector<int64_t>& shape) {
  std::vector<std::string> numbers;
  for (int64_t size : shape) numbers.push_back(std::to_string(size));
  return "[" + base::join(numbers) + "]";
}

Weight whole(std::string_view role, const TensorMeta& tensor, int64_t count, int64_t rows,
             int64_t cols) {
  Weight weight{.role = std::string(role), .source = tensor.format};
  weight.count = count;
  weight.rows = rows;
  weight.cols = cols;
  weight.pieces = {{.tensor = tensor.name, .first_row = 0, .rows = count * rows}};
  return weight;
}

/// Product of all dimensions but the last, or nothing when it is no positive int64.
std::optional<int64_t> outer_size(const TensorMeta& tensor) {
  int64_t product = 1;
  for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) {
    if (tensor.shape[i] < 1 || product > INT64_MAX / tensor.shape[i]) return std::nullopt;
    product *= tensor.shape[i];
  }
  return product;
}

}  // namespace

std::string Tensors::stored(const std::string& name) const {
  const auto& [from, to] = source_->renaming;
  return name.starts_with(from) ? to + name.substr(from.size()) : name;
}

const TensorMeta* Tensors::find(const std::vector<std::string>& names) const {
  for (const std::string& name : names) {
    if (const TensorMeta* tensor = source_->tensors(stored(name))) return tensor;
  }
  return nullptr;
}

const TensorMeta& Tensors::need(const std::vector<std::string>& names) const {
  if (const TensorMeta* tensor = find(names)) return *tensor;
  const std::string wanted = stored(names.front());
  const std::string absent = "is not in the checkpoint";
  const std::string why = source_->why_missing ? source_->why_missing(wanted) : absent;
  std::vector<std::string> listed, notes;
  if (why == absent) {
    for (const TensorMeta& tensor : source_->listed) listed.push_back(tensor.name);
    if (names.size() > 1) {
      notes.push_back("also looked for: " + base::join({names.begin() + 1, names.end()}));
    }
    const auto near = base::nearest(wanted, listed);
    if (!near.empty()) notes.push_back("nearest tensors: " + base::join(near));
  }
  throw_input("tensor '" + wanted + "' " + why, source_->where, std::move(notes));
}

const TensorMeta& Tensors::need_shaped(const std::vector<std::string>& names,
                                       const std::vector<std::vector<int64_t>>& valid) const {
  if (source_->declare) return source_->declare(stored(names.front()), valid.front());
  const TensorMeta& tensor = need(names);
  check_shape(tensor, valid);
  return tensor;
}

void Tensors::check_shape(const TensorMeta& tensor,
                          const std::vector<std::vector<int64_t>>& valid) const {
  if (std::find(valid.begin(), valid.end(), tensor.shape) != valid.end()) return;
  throw_input("tensor '" + tensor.name + "' must have the shape " + shape_text(valid.front()) +
                  " by the configuration, found " + shape_text(tensor.shape),
              tensor.where.empty() ? source_->where : tensor.where);
}

Weight Tensors::matrix(std::string_view role, const std::vector<std::string>& names, int64_t rows,
                       int64_t cols) const {
  const bool is_vector = rows == 1;
  const TensorMeta& tensor =
      is_vector ? need_shaped(names, {{cols}, {1, cols}}) : need_shaped(names, {{rows, cols}});
  return whole(role, tensor, 1, rows, cols);
}

Weight Tensors::stack(std::string_view role, const std::vector<std::string>& names, int64_t count,
                      int64_t rows, int64_t cols) const {
  const TensorMeta& tensor = need_shaped(names, {{count, rows, cols}, {count * rows, cols}});
  return whole(role, tensor, count, rows, cols);
}

Weight Tensors::gate_up_half(std::string_view role, const TensorMeta& tensor, int64_t count,
                             int64_t rows, int64_t cols) const {
  check_shape(tensor, {{count, 2 * rows, cols}});
  Weight weight = whole(role, tensor, count, rows, cols);
  weight.pieces.clear();
  for (int64_t i = 0; i < count; ++i) {
    const int64_t first = 2 * i * rows + (role == "up" ? rows : 0);
    weight.pieces.push_back({.tensor = tensor.name, .first_row = first, .rows = rows});
  }
  return weight;
}

Weight Tensors::one_by_one(std::string_view role, const ExpertNames::Each& names, int64_t count,
                           int64_t rows, int64_t cols) const {
  Weight weight;
  for (int64_t i = 0; i < count; ++i) {
    const TensorMeta& tensor =
        need_shaped({names.first + std::to_string(i) + names.second}, {{rows, cols}});
    if (i == 0) weight = whole(role, tensor, count, rows, cols);
    if (tensor.format != weight.source) {
      throw_input("tensor '" + tensor.name + "' is " + std::string(quant::name(tensor.format)) +
                      " where the first expert's is " + std::string(quant::name(weight.source)) +
                      "; the experts of a layer must have one format",
                  tensor.where.empty() ? source_->where : tensor.where);
    }
    if (i == 0) weight.pieces.clear();
    weight.pieces.push_back({.tensor = tensor.name, .first_row = 0, .rows = rows});
  }
  return weight;
}

Weight Tensors::experts(std::string_view role, int layer, int64_t count, int64_t rows,
                        int64_t cols) const {
  const ExpertNames names = expert_names(naming(), layer, role);
  if (find(names.stacked) != nullptr) return stack(role, names.stacked, count, rows, cols);
  if (const TensorMeta* both = find(names.gate_up)) {
    return gate_up_half(role, *both, count, rows, cols);
  }
  for (const ExpertNames::Each& each : names.each) {
    if (find({each.first + "0" + each.second}) != nullptr) {
      return one_by_one(role, each, count, rows, cols);
    }
  }
  std::vector<std::string> wanted;
  for (const auto& each : names.each) wanted.push_back(each.first + "0" + each.second);
  // The usual layout comes first: GGUF files stack, Hugging Face's published ones don't.
  wanted.insert(naming() == Naming::gguf ? wanted.begin() : wanted.end(), names.stacked.begin(),
                names.stacked.end());
  need(wanted);
  throw_bug("experts: a tensor came up on the second look");
}

std::optional<int> Tensors::rows_of(const std::vector<std::string>& names, int64_t most) const {
  const TensorMeta* tensor = find(names);
  if (tensor == nullptr || tensor->shape.size() < 2) return std::nullopt;
  const int64_t rows = tensor->shape[tensor->shape.size() - 2];
  if (rows < 1 || rows > most) {
    throw_input("tensor '" + tensor->name + "' must have 1 to " + std::to_string(most) +
                    " rows, found the shape " + shape_text(tensor->shape),
                tensor->where.empty() ? source_->where : tensor->where);
  }
  return static_cast<int>(rows);
}

std::optional<Weight> Tensors::unused(std::string role, const TensorMeta& tensor) {
  const auto rows = outer_size(tensor);
  const int64_t cols = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (!rows || cols < 1 || *rows > INT64_MAX / cols) return std::nullopt;
  return whole(role, tensor, 1, *rows, cols);
}

std::vector<float> Tensors::values(const TensorMeta& tensor, int64_t size) const {
  check_shape(tensor, {{size}, {1, size}});
  const std::string where = tensor.where.empty() ? source_->where : tensor.where;
  if (!source_->values) {
    throw_input("the numbers of tensor '" + tensor.name +
                    "' are part of the configuration, but only the header can be read",
                where);
  }
  std::vector<float> numbers = source_->values(tensor);
  if (numbers.size() != static_cast<size_t>(size)) throw_bug("values: wrong number", tensor.name);
  return numbers;
}

}  // namespace ktx::model
