// Parsing of the values of rule keywords.
#include "placement/values.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <iterator>
#include <map>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "core/device/place.hpp"
#include "core/graph/module.hpp"
#include "ops/kernels.hpp"
#include "placement/import/ktransformers_terms.hpp"

namespace ktx::placement {

using base::Yaml;

namespace {

constexpr int largest_layer = 4095;

// A whole text of digits as a number in [0, largest].
std::optional<int> digits(std::string_view text, int largest) {
  int value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool plain = !text.empty() && text.front() >= '0' && text.front() <= '9';
  if (!plain || error != std::errc{} || stop != text.data() + text.size() || value > largest)
    return std::nullopt;
  return value;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

[[noreturn]] void bad_layers(const Yaml& value, std::string_view what, std::string note = {}) {
  std::vector<std::string> notes;
  if (!note.empty()) notes.push_back(std::move(note));
  if (value.scalar.find_first_of(":.") != std::string::npos)
    notes.emplace_back("a range is first-last, both included");
  throw_input(std::string(what) +
                  ": expected a layer (7), a range (3-60) or a list of them (3-20,30), found " +
                  value.describe(),
              value.where, std::move(notes));
}

LayerRange parse_range(std::string_view text, const Yaml& value, std::string_view what) {
  const size_t dash = text.find('-');
  const auto first = digits(trim(text.substr(0, dash)), largest_layer);
  const auto last =
      dash == std::string_view::npos ? first : digits(trim(text.substr(dash + 1)), largest_layer);
  if (!first || !last) bad_layers(value, what);
  if (*first > *last)
    bad_layers(value, what,
               "a range goes from its first to its last layer: " + std::to_string(*last) + "-" +
                   std::to_string(*first));
  return {*first, *last};
}

void add_ranges(const Yaml& value, std::string_view what, std::vector<LayerRange>& ranges) {
  for (const auto& item : value.items) add_ranges(item, what, ranges);
  if (value.kind == base::YamlKind::sequence) return;
  if (value.kind != base::YamlKind::scalar) bad_layers(value, what);
  std::string_view rest = value.scalar;
  for (;;) {
    const size_t comma = rest.find(',');
    ranges.push_back(parse_range(trim(rest.substr(0, comma)), value, what));
    if (comma == std::string_view::npos) return;
    rest.remove_prefix(comma + 1);
  }
}

// In order; those that overlap or touch are one.
std::vector<LayerRange> united(std::vector<LayerRange> ranges) {
  std::ranges::sort(ranges, {}, &LayerRange::first);
  std::vector<LayerRange> out;
  for (const auto& range : ranges)
    if (!out.empty() && range.first <= out.back().last + 1)
      out.back().last = std::max(out.back().last, range.last);
    else
      out.push_back(range);
  return out;
}

void check_device(const std::string& device, const std::string& where) {
  if (device::parse_device(device)) return;
  throw_input("unknown device '" + device + "'", where,
              base::suggestions(device, {"cpu", "cuda:0", "cuda:1"}, "devices"));
}

constexpr const char* from_ktransformers =
    "that is a name of KTransformers; `ktx-plan import FILE` translates its rules";

// Q4_K_M, IQ2_M, Q3_K_XL: what llama.cpp's quantizer calls a mix of formats.
bool is_mix(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const size_t last = text.rfind('_');
  if (last == std::string::npos) return false;
  const auto size = text.substr(last + 1);
  const bool sized = size == "s" || size == "m" || size == "l" || size == "xl" || size == "xs";
  return sized && (text.starts_with("q") || text.starts_with("iq"));
}

std::vector<std::string> kernel_names(graph::Op op) {
  std::vector<std::string> names{"auto"};
  for (const auto& row : ops::kernels(op)) names.emplace_back(row.name);
  return names;
}

}  // namespace

std::string device_kind(std::string_view device) {
  return std::string(device.substr(0, device.find(':')));
}

bool is_gpu(std::string_view device) {
  return device_kind(device) == "cuda";
}

int device_number(std::string_view device) {
  const auto name = device::parse_device(device);
  return name ? name->index : 0;
}

std::vector<LayerRange> parse_layers(const Yaml& value, std::string_view what) {
  std::vector<LayerRange> ranges;
  add_ranges(value, what, ranges);
  if (ranges.empty()) bad_layers(value, what);
  return united(std::move(ranges));
}

std::vector<std::string> parse_devices(const Yaml& value, std::string_view what) {
  std::vector<std::string> devices;
  if (value.kind != base::YamlKind::sequence) {
    devices.push_back(value.as_string(what));
    check_device(devices.front(), value.where);
    return devices;
  }
  for (const auto& item : value.items) {
    const auto& device = item.as_string(what);
    check_device(device, item.where);
    if (std::find(devices.begin(), devices.end(), device) != devices.end())
      throw_input("device '" + device + "' is listed twice", item.where);
    devices.push_back(device);
  }
  if (devices.empty())
    throw_input(std::string(what) + ": expected at least one device", value.where);
  return devices;
}

OpChoice parse_op(const Yaml& value) {
  const std::string& text = value.as_string("op");
  OpChoice choice;
  choice.where = value.where;
  if (text == "auto") return choice;
  const size_t dot = text.find('.');
  const std::string op_name = text.substr(0, dot);
  choice.op = graph::find_op(op_name);
  if (!choice.op) {
    std::vector<std::string> names;
    for (const auto& op : graph::ops()) names.emplace_back(op.name);
    auto notes = base::suggestions(op_name, names, "ops");
    if (find_kt_op(op_name) != nullptr) notes.insert(notes.begin(), from_ktransformers);
    throw_input("unknown op '" + op_name + "'", value.where, std::move(notes));
  }
  const auto names = kernel_names(*choice.op);
  choice.kernel = dot == std::string::npos ? "" : text.substr(dot + 1);
  if (std::find(names.begin(), names.end(), choice.kernel) != names.end()) return choice;
  if (choice.kernel.empty())
    throw_input("op '" + text + "' names no kernel: expected " + op_name + ".auto or " + op_name +
                    ".<kernel>",
                value.where, {"kernels of " + op_name + ": " + base::join(names)});
  throw_input("op " + op_name + " has no kernel '" + choice.kernel + "'", value.where,
              base::suggestions(choice.kernel, names, "kernels of " + op_name));
}

std::optional<quant::Format> parse_format(const Yaml& value) {
  const std::string& text = value.as_string("format");
  if (text == "keep") return std::nullopt;
  if (const auto format = quant::find_format(text)) return format;
  auto names = quant::format_names();
  names.insert(names.begin(), "keep");
  auto notes = base::suggestions(text, names, "formats");
  if (is_mix(text))
    notes.insert(notes.begin(), text +
                                    " is a file of several formats; keep leaves each weight in "
                                    "the one that it has there");
  throw_input("unknown format '" + text + "'", value.where, std::move(notes));
}

NumaPolicy parse_numa(const Yaml& value) {
  const std::string& text = value.as_string("numa");
  if (text == "replicate") return {NumaKind::replicate};
  if (text == "shard") return {NumaKind::shard};
  if (text == "interleave") return {NumaKind::interleave};
  if (text.rfind("node:", 0) == 0)
    if (const auto node = digits(text.substr(5), 4095)) return {NumaKind::node, *node};
  throw_input(
      "unknown numa policy '" + text + "'", value.where,
      base::suggestions(text, {"replicate", "shard", "interleave", "node:N"}, "numa policies"));
}

uint64_t parse_size(const Yaml& value, std::string_view what) {
  if (value.kind == base::YamlKind::scalar)
    if (const auto bytes = base::parse_bytes(value.scalar); bytes.value_or(0) > 0) return *bytes;
  throw_input(std::string(what) + ": expected a size such as 382GiB, found " + value.describe(),
              value.where);
}

std::string parse_path(const Yaml& value, std::string_view what) {
  const std::string& text = value.as_string(what);
  if (text.empty())
    throw_input(std::string(what) + ": expected a path, found an empty text", value.where);
  return text;
}

graph::KvFormat find_cache_format(const std::string& name, const std::string& where) {
  if (const auto format = graph::find_kv_format(name)) return *format;
  std::vector<std::string> names;
  for (const auto& row : graph::kv_formats()) names.emplace_back(row.name);
  throw_input("unknown cache format '" + name + "'", where,
              base::suggestions(name, names, "formats"));
}

graph::KvFormat parse_cache_format(const Yaml& value) {
  return find_cache_format(value.as_string("cache format"), value.where);
}

hw::Isa parse_isa(const Yaml& value) {
  const std::string& text = value.as_string("isa");
  if (const auto isa = hw::find_isa(text)) return *isa;
  throw_input("unknown isa '" + text + "'", value.where,
              base::suggestions(text, hw::isa_names(), "isa levels"));
}

std::string parse_class(const Yaml& value) {
  const std::string& text = value.as_string("class");
  std::vector<std::string> names;
  for (const auto& row : graph::classes()) names.emplace_back(row.name);
  if (std::find(names.begin(), names.end(), text) != names.end()) return text;
  auto notes = base::suggestions(text, names, "classes");
  const bool of_python = text.starts_with("ktransformers.") || text.starts_with("torch.nn.");
  if (of_python) notes.insert(notes.begin(), from_ktransformers);
  throw_input("unknown class '" + text + "'", value.where, std::move(notes));
}

std::string parse_spread(const Yaml& value) {
  const std::string& text = value.as_string("spread");
  if (text != "layers") throw_input("spread: expected 'layers', found '" + text + "'", value.where);
  return text;
}

NamePattern parse_pattern(const Yaml& value) {
  const std::string& text = value.as_string("name");
  if (text.empty())
    throw_input("name: expected a pattern, found an empty text", value.where,
                {"name: '.*' matches every module"});
  try {
    return {text, std::make_shared<const text::Regex>(text, value.where)};
  } catch (const Error& error) {
    if (text.front() != '*') throw;
    throw_input(
        error.message(), error.where(),
        {"any characters are .* in a regular expression, and a dot is \\.: '." + text + "'"});
  }
}

ResidentExperts parse_experts(const Yaml& value) {
  ResidentExperts experts;
  for (const auto& [key, item] : value.as_map("experts")) {
    if (key.scalar == "resident") {
      experts.count = item.as_int("resident");
      if (*experts.count < 1)
        throw_input("resident: expected at least 1 expert, found " + item.describe(), item.where);
    } else if (key.scalar == "vram") {
      experts.vram = parse_size(item, "vram");
    } else if (key.scalar == "on") {
      experts.on = parse_devices(item, "on");
    } else if (key.scalar == "by") {
      experts.random = item.scalar == "random";
      if (!experts.random) experts.profile = {parse_path(item, "by"), item.where};
    } else if (key.scalar == "list") {
      experts.listed = {parse_expert_list(item, "list"), item.where};
    } else if (key.scalar == "keep_ram") {
      experts.keep_ram = item.as_bool("keep_ram");
    } else {
      throw_input("unknown key '" + key.scalar + "' in experts", key.where,
                  base::suggestions(key.scalar,
                                    {"resident", "vram", "on", "by", "list", "keep_ram"}, "keys"));
    }
  }
  if (experts.count && experts.vram)
    throw_input("experts: resident and vram both say how many; give one of them", value.where);
  if ((experts.profile || experts.random) && experts.listed)
    throw_input("experts: by and list both say which; give one of them", value.where);
  if (!experts.count && !experts.vram && !experts.listed)
    throw_input("experts: expected how many: resident: N of each layer, vram: SIZE or a list",
                value.where);
  return experts;
}

int parse_defer(const Yaml& value) {
  const int64_t count = value.as_int("defer");
  if (count < 0 || count > graph::max_selected)
    throw_input("defer: expected a number of experts, 0 to " + std::to_string(graph::max_selected) +
                    ", found " + value.describe(),
                value.where);
  return static_cast<int>(count);
}

namespace {

int parse_count(const Yaml& value) {
  const int64_t count = value.as_int("experts_per_token");
  if (count < 1 || count > 1000000)
    throw_input("experts_per_token: expected at least 1 expert, found " + value.describe(),
                value.where);
  return static_cast<int>(count);
}

void parse_layer_counts(const Yaml& value, ExpertsPerToken& out) {
  std::map<int, LayerRange> given;  // by their first layer
  for (const auto& [key, item] : value.as_map("layers")) {
    const int count = parse_count(item);
    for (const auto& range : parse_layers(key, "layers")) {
      // Of ranges that do not overlap, the last one that begins no later than this ends has it.
      const auto after = given.upper_bound(range.last);
      if (after != given.begin() && std::prev(after)->second.last >= range.first)
        throw_input("layers " + to_string({range}) + " overlap layers " +
                        to_string({std::prev(after)->second}) + ", which have a number already",
                    key.where);
      given.emplace(range.first, range);
      out.layers.push_back({{range, key.where}, count});
    }
  }
}

}  // namespace

ExpertsPerToken parse_experts_per_token(const Yaml& value) {
  ExpertsPerToken out;
  if (value.kind == base::YamlKind::scalar) {
    out.everywhere = {parse_count(value), value.where};
    return out;
  }
  if (value.kind != base::YamlKind::map || value.entries.empty())
    throw_input("experts_per_token: expected a number or {default: 8, layers: {3-20: 6}}, found " +
                    value.describe(),
                value.where);
  for (const auto& [key, item] : value.entries) {
    if (key.scalar == "default")
      out.everywhere = {parse_count(item), item.where};
    else if (key.scalar == "layers")
      parse_layer_counts(item, out);
    else
      throw_input("unknown key '" + key.scalar + "' in experts_per_token", key.where,
                  base::suggestions(key.scalar, {"default", "layers"}, "keys"));
  }
  return out;
}

std::string flow_text(const Yaml& value) {
  std::vector<std::string> parts;
  switch (value.kind) {
    case base::YamlKind::scalar:
      return value.quoted ? "'" + value.scalar + "'" : value.scalar;
    case base::YamlKind::sequence:
      for (const auto& item : value.items) parts.push_back(flow_text(item));
      return "[" + base::join(parts) + "]";
    case base::YamlKind::map:
      for (const auto& [key, item] : value.entries)
        parts.push_back(key.scalar + ": " + flow_text(item));
      return "{" + base::join(parts) + "}";
    case base::YamlKind::null:
      break;
  }
  return "";
}

}  // namespace ktx::placement
