// The architecture of a checkpoint.
#include "engine/source.hpp"

namespace ktx::engine {

graph::Model build_model(const loader::TensorSource& source) {
  const bool gguf = source.kind() == loader::CheckpointKind::gguf;
  return model::build_model(
      {.naming = gguf ? model::Naming::gguf : model::Naming::hugging_face,
       .config = &source.config(),
       .tensors = [&source](std::string_view name) { return source.find(name); },
       .where = source.path().string()});
}

}  // namespace ktx::engine
