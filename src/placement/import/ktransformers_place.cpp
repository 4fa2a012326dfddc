// Arguments: devices and formats are ktx's; the rest becomes remarks.
#include "placement/import/ktransformers_place.hpp"

#include <string>
#include <utility>

#include "core/base/text.hpp"
#include "placement/import/ktransformers_terms.hpp"
#include "placement/values.hpp"

namespace ktx::placement {

namespace {

using base::Yaml;

class Arguments {
 public:
  explicit Arguments(const InjectionRule& rule) {
    for (const auto& [key, value] : rule.kwargs) read(key, value);
    if (prefill_device_.empty()) prefill_device_ = device_;
  }

  const std::string& device() const noexcept { return device_; }
  const std::string& prefill_device() const noexcept { return prefill_device_; }
  const std::string& format() const noexcept { return format_; }
  int deferred() const noexcept { return deferred_; }
  std::vector<Remark> remarks;

 private:
  void remark(const Yaml& key, const Yaml& value, const std::string& text) {
    remarks.push_back({line_of(key.where), key.scalar + ": " + flow_text(value) + ": " + text});
  }

  std::string read_device(const Yaml& key, const Yaml& value) {
    auto device = parse_kt_device(value);
    if (!device.remark.empty()) remark(key, value, "no equal: " + device.remark);
    return std::move(device.name);
  }

  void read_op(const Yaml& key, const Yaml& value, const KtOp* op) {
    if (op == nullptr) return remark(key, value, "no equal: ktx chooses among its own kernels");
    format_ = op->format;
    if (!op->remark.empty()) return remark(key, value, "no equal: " + std::string(op->remark));
    if (!op->format.empty())
      remark(key, value, "as format: " + format_ + "; without it: as in the checkpoint");
  }

  void read(const Yaml& key, const Yaml& value) {
    const auto& name = key.scalar;
    if (name == "generate_device")
      device_ = read_device(key, value);
    else if (name == "prefill_device")
      prefill_device_ = read_device(key, value);
    else if (name == "generate_op" || name == "generate_mlp_type")
      read_op(key, value, find_kt_op(value.scalar));
    else if (name == "backend")
      read_op(key, value, find_kt_backend(value.scalar));
    else if (name == "prefill_op" || name == "prefill_mlp_type")
      remark(key, value, "no equal: prompts read the same weights as decoding, by ktx's kernels");
    else if (name == "n_deferred_experts" && value.kind == base::YamlKind::scalar)
      deferred_ = parse_defer(value);
    else
      remark(key, value, "no equal: " + std::string(why_no_argument(name)));
  }

  std::string device_ = "cuda:0", prefill_device_, format_;
  int deferred_ = 0;
};

ModuleSet those(const graph::Model& model, const ModuleSet& modules,
                bool (*holds)(const graph::Module&)) {
  ModuleSet out(modules.size());
  for (size_t i = 0; i < out.size(); ++i) out[i] = modules[i] && holds(model.modules[i]);
  return out;
}

bool is_experts(const graph::Module& module) {
  return module.op == "moe";
}
bool is_attention(const graph::Module& module) {
  return module.op == "mla" || module.op == "gqa";
}
bool is_no_experts(const graph::Module& module) {
  return !is_experts(module);
}
bool is_neither(const graph::Module& module) {
  return !is_experts(module) && !is_attention(module);
}
bool has_matrix(const graph::Module& module) {
  return module.op == "linear" || is_experts(module);
}

void add_part(InjectedPlaces& places, PlacedPart part) {
  if (!is_empty(part.modules)) places.parts.push_back(std::move(part));
}

}  // namespace

InjectedPlaces places_of(const InjectionRule& rule, const graph::Model& model,
                         const ModuleSet& modules) {
  Arguments arguments(rule);
  InjectedPlaces places;
  places.remarks = std::move(arguments.remarks);
  const auto &device = arguments.device(), &prompts = arguments.prefill_device();
  WrittenPlace place{.devices = {device}};
  if (!is_empty(those(model, modules, has_matrix))) place.format = arguments.format();
  const auto experts = those(model, modules, is_experts);
  WrittenPlace deferring = place;
  if (device == "cpu")
    deferring.defer = arguments.deferred();
  else if (arguments.deferred() > 0)
    places.remarks.push_back(
        {rule.line, "n_deferred_experts: no equal: experts on a GPU are not deferred"});
  if (prompts == device) {
    if (deferring == place) {
      add_part(places, {modules, place, {}});
    } else {
      add_part(places, {experts, deferring, {}});
      add_part(places, {those(model, modules, is_no_experts), place, {}});
    }
    return places;
  }
  const bool stream = device == "cpu";  // else a second copy
  add_part(places, {experts, deferring, {.devices = {prompts}, .stream = stream}});
  const auto attention = those(model, modules, is_attention);
  if (!is_empty(attention))
    places.remarks.push_back({rule.line, "prefill_device: " + prompts +
                                             ": no equal: attention runs where its KV cache lies"});
  add_part(places, {attention, {.devices = {device}}, {}});
  add_part(places, {those(model, modules, is_neither), place, {.devices = {prompts}}});
  return places;
}

}  // namespace ktx::placement
