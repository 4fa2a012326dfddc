// The effects of rule keywords on a plan.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "core/graph/graph.hpp"
#include "core/hw/machine.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

/// A module's place as it is built up by the keywords of its rule, one after another.
struct Decision {
  const hw::Machine* machine = nullptr;
  const graph::Module* module = nullptr;
  graph::Op op = graph::Op::add;  // the module's
  std::span<const int> layers;    // that its rule is for, ascending

  std::string device = "cpu";
  OpChoice kernel;
  std::optional<quant::Format> format;  // nothing: keep
  std::string format_where;
  std::optional<Given<NumaPolicy>> numa;  // nothing: the op's default (numa.hpp)
  bool stream = false;
  std::optional<Given<ResidentExperts>> experts;
  std::string experts_on;  // of its `on`, the GPU of this layer; empty: none is given
  Given<int> defer{};
};

// match: whether the module satisfies the key; true if the key was not given.
bool matches_name(const Match& match, const graph::Module& module);
bool matches_class(const Match& match, const graph::Module& module);
bool matches_layers(const Match& match, const graph::Module& module);

// place: each sets its part of the decision, or throws why that is impossible.
void apply_device(const Place& place, Decision& decision);
void apply_op(const Place& place, Decision& decision);
void apply_format(const Place& place, Decision& decision);
void apply_numa(const Place& place, Decision& decision);
void apply_spread(const Place& place, Decision& decision);
void apply_stream(const Place& place, Decision& decision);
void apply_experts(const Place& place, Decision& decision);
void apply_defer(const Place& place, Decision& decision);

// machine: each throws an environment error when the machine has less.
void check_ram(const MachineNeeds& needs, const hw::Machine& machine);
void check_vram(const MachineNeeds& needs, const hw::Machine& machine);
void check_isa(const MachineNeeds& needs, const hw::Machine& machine);

/// Why kernels can't run on this kind of GPU; empty: they can, as far as is known.
std::string capability_refusal(const hw::Gpu& gpu);

/// The op that runs a module. Throws a `bug` error when the module names none.
graph::Op op_of(const graph::Module& module);

}  // namespace ktx::placement
