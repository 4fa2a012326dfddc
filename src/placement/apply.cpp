// The effects of rule keywords when a plan is made.
#include "placement/apply.hpp"

#include <algorithm>
#include <iterator>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "placement/values.hpp"

namespace ktx::placement {

namespace {

constexpr int least_capability = 80;  // mma of bf16, cp.async

std::string list_devices(const hw::Machine& machine) {
  std::string out = "devices of this machine: cpu";
  for (size_t i = 0; i < machine.gpus.size(); ++i)
    out += ", cuda:" + std::to_string(i) + " (" + machine.gpus[i].name + ")";
  return out;
}

void check_gpu(const std::string& device, const hw::Machine& machine, const std::string& where) {
  if (!is_gpu(device)) return;
  const auto number = static_cast<size_t>(device_number(device));
  if (number >= machine.gpus.size())
    throw_environment(
        "device " + device + ": this machine has " +
            (machine.gpus.empty() ? "no GPU"
                                  : "no such GPU, only " + std::to_string(machine.gpus.size())),
        where, {list_devices(machine)});
  const auto& gpu = machine.gpus[number];
  if (const auto reason = capability_refusal(gpu); !reason.empty())
    throw_environment("device " + device + ": " + gpu.name + " " + reason, where,
                      {list_devices(machine)});
}

// Splits the rule's layers into ranges of equal length, one per device. Modules before the layers
// go to the first device, those after them to the last, so that no token returns for the final
// norm.
const std::string& device_of_layer(const std::vector<std::string>& devices,
                                   const Decision& decision, const std::string& where) {
  const auto& layers = decision.layers;
  if (devices.size() > layers.size())
    throw_input("device: can't spread " + std::to_string(layers.size()) + " layers over " +
                    std::to_string(devices.size()) + " devices",
                where);
  const auto found = std::ranges::find(layers, decision.module->layer);
  if (found == layers.end())
    return decision.module->has_class("embedding") ? devices.front() : devices.back();
  return devices[static_cast<size_t>(found - layers.begin()) * devices.size() / layers.size()];
}

}  // namespace

std::string capability_refusal(const hw::Gpu& gpu) {
  if (gpu.capability == 0 || gpu.capability >= least_capability) return {};
  const auto text = [](int c) { return std::to_string(c / 10) + "." + std::to_string(c % 10); };
  return "has compute capability " + text(gpu.capability) + ", kernels need " +
         text(least_capability);
}

graph::Op op_of(const graph::Module& module) {
  const auto op = graph::find_op(module.op);
  if (!op) throw_bug("module " + module.path + " has the unknown op '" + module.op + "'");
  return *op;
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
  const auto& ranges = match.layers->value;  // in order
  const auto after = std::ranges::upper_bound(ranges, module.layer, {}, &LayerRange::first);
  return after != ranges.begin() && std::prev(after)->contains(module.layer);
}

void apply_device(const Place& place, Decision& decision) {
  if (!place.devices) return;
  const auto& [devices, where] = *place.devices;
  for (const auto& device : devices) check_gpu(device, *decision.machine, where);
  if (devices.size() > 1 && !place.spread)
    throw_input("device: " + base::join(devices) + " is a list, but the rule has no spread", where,
                {"add spread: layers, or give one device"});
  decision.device =
      devices.size() == 1 ? devices.front() : device_of_layer(devices, decision, where);
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
  const auto& [policy, where] = *place.numa;
  if (is_gpu(decision.device)) {
    if (place.devices &&
        std::ranges::find(place.devices->value, "cpu") != place.devices->value.end())
      return;  // that GPU is for other layers of the rule
    throw_input("numa: " + decision.module->path + " is on " + decision.device +
                    ", which has no NUMA nodes",
                where, {"leave numa out"});
  }
  decision.numa = place.numa;
  if (policy.kind != NumaKind::node) return;
  std::vector<std::string> ids;
  for (const auto& node : decision.machine->nodes) {
    if (node.id == policy.node) return;
    ids.push_back("node:" + std::to_string(node.id));
  }
  throw_environment("numa: this machine has no NUMA node " + std::to_string(policy.node), where,
                    {"nodes of this machine: " + base::join(ids)});
}

// apply_device handles it.
void apply_spread(const Place& place, Decision&) {
  if (!place.spread || (place.devices && place.devices->value.size() > 1)) return;
  throw_input(
      "spread: " + place.spread->value + " needs a list of devices, e.g. device: [cuda:0, cuda:1]",
      place.spread->where);
}

namespace {

void check_has_experts(const std::string& key, const Decision& decision, const std::string& where) {
  if (decision.op == graph::Op::moe) return;
  throw_input(key + ": " + decision.module->path + " has no routed experts, its op is " +
                  std::string(graph::info(decision.op).name),
              where, {"let the rule match only class moe.experts"});
}

}  // namespace

void apply_stream(const Place& place, Decision& decision) {
  if (!place.stream) return;
  decision.stream = place.stream->value;
  if (decision.stream) check_has_experts("stream", decision, place.stream->where);
}

void apply_defer(const Place& place, Decision& decision) {
  if (!place.defer) return;
  decision.defer = *place.defer;
  if (decision.defer.value > 0) check_has_experts("defer", decision, place.defer->where);
}

void apply_experts(const Place& place, Decision& decision) {
  if (!place.experts) return;
  const auto& [experts, where] = *place.experts;
  check_has_experts("experts", decision, where);
  for (const auto& device : experts.on) {
    if (!is_gpu(device))
      throw_input("experts: on: expected a GPU, found " + device, where,
                  {list_devices(*decision.machine)});
    check_gpu(device, *decision.machine, where);
  }
  decision.experts = place.experts;
  if (!experts.on.empty()) decision.experts_on = device_of_layer(experts.on, decision, where);
}

namespace {

constexpr const char* of_another_model =
    "for a model that needs less than the one that they were written for, lower it or leave it out";

}  // namespace

void check_ram(const MachineNeeds& needs, const hw::Machine& machine) {
  if (!needs.ram || machine.memory_bytes() >= needs.ram->value) return;
  throw_environment("these rules need " + base::format_bytes(needs.ram->value) +
                        " of memory, this machine has " +
                        base::format_bytes(machine.memory_bytes()),
                    needs.ram->where, {of_another_model});
}

void check_vram(const MachineNeeds& needs, const hw::Machine& machine) {
  if (!needs.vram) return;
  uint64_t bytes = 0;
  for (const auto& gpu : machine.gpus) bytes += gpu.memory_bytes;
  if (bytes >= needs.vram->value) return;
  throw_environment("these rules need " + base::format_bytes(needs.vram->value) +
                        " of GPU memory, this machine " +
                        (machine.gpus.empty() ? "has no GPU" : "has " + base::format_bytes(bytes)),
                    needs.vram->where, {of_another_model});
}

void check_isa(const MachineNeeds& needs, const hw::Machine& machine) {
  if (!needs.isa || machine.isa >= needs.isa->value) return;
  throw_environment("these rules need a CPU with " + std::string(hw::name(needs.isa->value)) +
                        ", this machine has " + std::string(hw::name(machine.isa)),
                    needs.isa->where);
}

}  // namespace ktx::placement
