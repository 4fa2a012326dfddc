// What rule keywords do when a plan is made.
#include "placement/apply.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "ops/kernels.hpp"
#include "placement/values.hpp"

namespace ktx::placement {

namespace {

std::string list_devices(const hw::Machine& machine) {
  std::string out = "devices of this machine: cpu";
  for (size_t i = 0; i < machine.gpus.size(); ++i)
    out += ", cuda:" + std::to_string(i) + " (" + machine.gpus[i].name + ")";
  return out;
}

}  // namespace

graph::Op op_of(const graph::Module& module) {
  const auto op = graph::find_op(module.op);
  if (!op) throw_bug("module " + module.path + " has the unknown op '" + module.op + "'");
  return *op;
}

std::vector<std::string> device_kinds(graph::Op op) {
  std::vector<std::string> kinds;
  for (const auto& row : ops::kernels(op))
    if (std::find(kinds.begin(), kinds.end(), row.device) == kinds.end())
      kinds.emplace_back(row.device);
  return kinds;
}

bool matches_name(const Match& match, const graph::Module& module) {
  return !match.name || match.name->value.regex->search(module.path);
}

bool matches_class(const Match& match, const graph::Module& module) {
  if (!match.class_name) return true;
  const auto& classes = module.classes;
  return std::find(classes.begin(), classes.end(), match.class_name->value) != classes.end();
}

bool matches_layers(const Match& match, const graph::Module& module) {
  if (!match.layers) return true;
  for (const auto& range : match.layers->value)
    if (range.contains(module.layer)) return true;
  return false;
}

void apply_device(const Place& place, Decision& decision) {
  if (!place.devices) return;
  const auto& [devices, where] = *place.devices;
  for (const auto& device : devices) {
    const auto kind = device_kind(device);
    const auto& gpus = decision.machine->gpus;
    if (kind == "cuda" && static_cast<size_t>(device_number(device)) >= gpus.size())
      throw_environment(
          "device " + device + ": this machine has " +
              (gpus.empty() ? "no GPU" : "no such GPU, only " + std::to_string(gpus.size())),
          where, {list_devices(*decision.machine)});
    const auto kinds = device_kinds(decision.op);
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end())
      throw_input("device " + device + ": op '" + std::string(graph::info(decision.op).name) +
                      "' has no kernel for " + kind + " devices in this version",
                  where,
                  {"devices that can run " + decision.module->path + ": " + base::join(kinds)});
  }
  if (devices.size() > 1)
    throw_input("device: this version can't split a rule's modules over several devices, found " +
                    base::join(devices),
                where, {"give one device, or one rule a device with its own layers"});
  decision.device = devices.front();
}

void apply_op(const Place& place, Decision& decision) {
  if (!place.op) return;
  const auto& choice = *place.op;
  if (choice.op && *choice.op != decision.op) {
    const std::string own(graph::info(decision.op).name);
    throw_input("op " + std::string(graph::info(*choice.op).name) + "." + choice.kernel +
                    " can't run " + decision.module->path + ", whose op is " + own,
                choice.where,
                {"let the rule match only modules of op " +
                     std::string(graph::info(*choice.op).name) + ", or use op: auto",
                 "an op that runs it: " + own + ".auto"});
  }
  decision.kernel = choice;
}

void apply_format(const Place& place, Decision& decision) {
  if (!place.format) return;
  decision.format = place.format->value;
  decision.format_where = place.format->where;
}

void apply_numa(const Place& place, Decision& decision) {
  if (!place.numa) return;
  decision.numa = place.numa;
  const auto& [policy, where] = *place.numa;
  if (policy.kind != NumaKind::node) return;
  std::vector<std::string> ids;
  for (const auto& node : decision.machine->nodes) {
    if (node.id == policy.node) return;
    ids.push_back("node:" + std::to_string(node.id));
  }
  throw_environment("numa: this machine has no NUMA node " + std::to_string(policy.node), where,
                    {"nodes of this machine: " + base::join(ids)});
}

void apply_spread(const Place& place, Decision&) {
  if (!place.spread) return;
  if (!place.devices || place.devices->value.size() < 2)
    throw_input("spread: " + place.spread->value +
                    " needs a list of devices, e.g. "
                    "device: [cuda:0, cuda:1]",
                place.spread->where);
  throw_input("spread: this version can't split a rule's modules over several devices",
              place.spread->where);
}

void apply_experts(const Place& place, Decision& decision) {
  if (!place.experts) return;
  const auto& [experts, where] = *place.experts;
  if (decision.op != graph::Op::moe)
    throw_input("experts: " + decision.module->path + " has no routed experts, its op is " +
                    std::string(graph::info(decision.op).name),
                where, {"let the rule match only class moe.experts"});
  throw_input("experts: this version can't keep experts on " + experts.device +
                  "; op 'moe' runs all experts of a module on one device",
              where, {"devices that can run them: " + base::join(device_kinds(graph::Op::moe))});
}

void check_ram(const MachineNeeds& needs, const hw::Machine& machine) {
  if (!needs.ram || machine.memory_bytes() >= needs.ram->value) return;
  throw_environment("these rules need " + base::format_bytes(needs.ram->value) +
                        " of memory, this machine has " +
                        base::format_bytes(machine.memory_bytes()),
                    needs.ram->where);
}

void check_vram(const MachineNeeds& needs, const hw::Machine& machine) {
  if (!needs.vram) return;
  uint64_t bytes = 0;
  for (const auto& gpu : machine.gpus) bytes += gpu.memory_bytes;
  if (bytes >= needs.vram->value) return;
  throw_environment("these rules need " + base::format_bytes(needs.vram->value) +
                        " of GPU memory, this machine " +
                        (machine.gpus.empty() ? "has no GPU" : "has " + base::format_bytes(bytes)),
                    needs.vram->where);
}

void check_isa(const MachineNeeds& needs, const hw::Machine& machine) {
  if (!needs.isa || machine.isa >= needs.isa->value) return;
  throw_environment("these rules need a CPU with " + std::string(hw::name(needs.isa->value)) +
                        ", this machine has " + std::string(hw::name(machine.isa)),
                    needs.isa->where);
}

}  // namespace ktx::placement
