// What ktx does with a model's header: builds the graph, prints it, plans it.
#pragma once

#include <filesystem>
#include <string>

#include "core/graph/graph.hpp"
#include "core/hw/machine.hpp"
#include "loader/checkpoint.hpp"
#include "placement/rules.hpp"

namespace ktx::fuzz {

/// Uses the model that a checkpoint's header tells of, and reads all rows where its files hold
/// them.
void use_checkpoint(const std::filesystem::path& path);

/// Prints the graph and plans the model on the sample machine.
void use_model(const graph::Model& model);

/// Makes the plan and prints it as text and as JSON.
void plan(const placement::Rules& rules, const graph::Model& model, const hw::Machine& machine);

placement::Rules parse_rules(const std::string& text);

/// A box with two nodes and eight GPUs.
hw::Machine sample_machine();
/// A small DeepSeek-V3.
const graph::Model& sample_model();

}  // namespace ktx::fuzz
