// The keys of a rule's place as text.
#include "placement/explain/asked.hpp"

#include <algorithm>

#include "core/base/text.hpp"

namespace ktx::placement {

namespace {

// The position of an optional value; empty if it was not given.
template <auto Member>
std::string where_of(const Place& place) {
  return place.*Member ? (place.*Member)->where : "";
}

std::string list_text(const std::vector<std::string>& devices) {
  return devices.size() == 1 ? devices.front() : "[" + base::join(devices) + "]";
}

std::string devices_text(const Place& place) {
  return list_text(place.devices->value);
}

std::string op_text(const Place& place) {
  const auto& choice = *place.op;
  return (choice.op ? std::string(graph::info(*choice.op).name) + "." : "") + choice.kernel;
}

std::string format_text(const Place& place) {
  const auto& format = place.format->value;
  return format ? std::string(quant::name(*format)) : "keep";
}

std::string experts_text(const Place& place) {
  const auto& experts = place.experts->value;
  std::string text = experts.count  ? std::to_string(*experts.count) + " resident"
                     : experts.vram ? "up to " + base::format_bytes(*experts.vram) + " of the GPU"
                                    : "a list of them";
  if (!experts.on.empty()) text += " on " + list_text(experts.on);
  if (experts.random) text += ", by random";
  if (experts.profile) text += ", by " + experts.profile->value;
  return text + (experts.keep_ram ? ", kept in memory too" : "");
}

constexpr PlaceKey keys[] = {
    {"device", where_of<&Place::devices>, devices_text, "cpu"},
    {"op", where_of<&Place::op>, op_text, "auto"},
    {"format", where_of<&Place::format>, format_text, "keep"},
    {"numa", where_of<&Place::numa>, [](const Place& p) { return to_string(p.numa->value); }, ""},
    {"spread", where_of<&Place::spread>, [](const Place& p) { return p.spread->value; }, ""},
    {"stream", where_of<&Place::stream>,
     [](const Place& p) -> std::string { return p.stream->value ? "yes" : "no"; }, "no"},
    {"experts", where_of<&Place::experts>, experts_text, ""},
    {"defer", where_of<&Place::defer>,
     [](const Place& p) { return std::to_string(p.defer->value); }, "0"},
};

}  // namespace

std::span<const PlaceKey> place_keys() noexcept {
  return keys;
}

const Rule& deciding_rule(const Rules& rules, const PlannedModule& planned) {
  return *std::ranges::find(rules.rules, planned.rule_name, &Rule::name);
}

}  // namespace ktx::placement
