// Ensures that nothing is ignored silently: every tensor and hyper-parameter is used, known to be
// ignorable, or reported.
#pragma once

#include "core/graph/graph.hpp"
#include "model/config.hpp"
#include "model/model.hpp"

namespace ktx::model {

/// Checks everything that the built model did not use. Ignorable tensors (model/harmless.hpp) that
/// form a part of their own, such as layers for multi-token prediction, become modules that are not
/// run. Anything else is reported in one input error, or a warning with source.ignore_unused.
void account(const Source& source, const Config& config, graph::Model& model);

}  // namespace ktx::model
