// The architecture of a checkpoint.
#include "engine/build_model.hpp"

#include <vector>

#include "core/quant/format.hpp"
#include "model/model.hpp"

namespace ktx::engine {

namespace {

// All numbers of a small tensor, in f32.
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

}  // namespace

graph::Model build_model(const loader::TensorSource& source, bool ignore_unused) {
  const bool gguf = source.kind() == loader::CheckpointKind::gguf;
  return model::build_model(
      {.naming = gguf ? model::Naming::gguf : model::Naming::hugging_face,
       .config = &source.config(),
       .tensors = [&source](std::string_view name) { return source.find(name); },
       .where = source.path().string(),
       .listed = source.tensors(),
       .unread = source.unread(),
       .ignore_unused = ignore_unused,
       .why_missing = [&source](std::string_view name) { return source.why_missing(name); },
       .values = [&source](const graph::TensorMeta& tensor) { return values(source, tensor); }});
}

}  // namespace ktx::engine
