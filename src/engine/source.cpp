// Opening models.
#include "engine/source.hpp"

#include "engine/synth/source.hpp"

namespace ktx::engine {

std::unique_ptr<loader::TensorSource> open_source(const std::filesystem::path& model,
                                                  const loader::OpenOptions& options) {
  if (is_synthetic(model)) return open_synthetic(model.string(), options.overrides);
  return loader::open_checkpoint(model, options);
}

}  // namespace ktx::engine
