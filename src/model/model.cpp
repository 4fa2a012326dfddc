// From a checkpoint's header to a model: recognises its architecture and builds the checked graph.
#include "model/model.hpp"

#include "core/base/error.hpp"
#include "model/accounting.hpp"
#include "model/archs.hpp"

namespace ktx::model {

graph::Model build_model(const Source& source) {
  require(source.config != nullptr && source.tensors != nullptr,
          "build_model: a configuration and tensors");
  const Recognised found = recognise(source);
  Source renamed = source;
  renamed.renaming = found.renaming;
  graph::Model model = found.architecture->build(renamed, found.config, found.model_type);
  account(renamed, found.config, model);
  graph::validate(model);
  return model;
}

}  // namespace ktx::model
