// From a checkpoint's header to a model: the architecture is recognised, its graph built and
// checked.
#include "model/model.hpp"

#include "core/base/error.hpp"
#include "model/archs.hpp"

namespace ktx::model {

graph::Model build_model(const Source& source, const ExpertsPerToken& experts) {
  require(source.config != nullptr && source.tensors != nullptr,
          "build_model: a configuration and tensors");
  const Recognised found = recognise(source);
  graph::Model model = found.architecture->build(source, found.config, experts, found.model_type);
  graph::validate(model);
  return model;
}

}  // namespace ktx::model
