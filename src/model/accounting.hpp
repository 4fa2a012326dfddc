// Nothing is dropped in silence: every tensor and every hyper-parameter has its use, is known to
// need none, or is named.
#pragma once

#include "core/graph/graph.hpp"
#include "model/config.hpp"
#include "model/model.hpp"

namespace ktx::model {

/// Goes through what the built model did not use. What is known to need no use (model/harmless.hpp)
/// and makes up a part of its own, like layers for multi-token prediction, becomes a module that is
/// not run. Anything else is one input error that names it; with source.ignore_unused a warning.
void account(const Source& source, const Config& config, graph::Model& model);

}  // namespace ktx::model
