// The tables of rule keywords. To add one: a row here, a field in rules.hpp, what it does in
// apply.cpp.
#include "placement/keywords.hpp"

#include <array>

#include "core/graph/module.hpp"
#include "core/graph/op.hpp"
#include "ops/kernels.hpp"
#include "placement/values.hpp"

namespace ktx::placement {

using base::Yaml;

namespace {

// Each row of a table: keyword, type of its value, documentation, parser, effect.
constexpr std::array match_table{
    MatchKeyword{"name", "pattern", "PCRE2 pattern, searched anywhere in the module's path.",
                 [](const Yaml& v, Match& m) {
                   m.name = {parse_pattern(v), v.where};
                 },
                 matches_name},
    MatchKeyword{"class", "class", "The module's class, or that of a module around it.",
                 [](const Yaml& v, Match& m) {
                   m.class_name = {parse_class(v), v.where};
                 },
                 matches_class},
    MatchKeyword{"layers", "7 | 3-60 | 3-20,30 | a list",
                 "Only modules of these layers, counted from 0.",
                 [](const Yaml& v, Match& m) {
                   m.layers = {parse_layers(v, "layers"), v.where};
                 },
                 matches_layers},
};

constexpr std::array place_table{
    PlaceKeyword{
        "device", "cpu | cuda:N | a list",
        "Where the module runs. Default: cpu. This version has kernels for cpu only; other "
        "devices are refused while planning.",
        [](const Yaml& v, Place& p) {
          p.devices = {parse_devices(v), v.where};
        },
        apply_device},
    PlaceKeyword{"op", "OP.KERNEL | OP.auto | auto",
                 "The op, which must be the module's own, and its kernel. Default: auto, the best "
                 "kernel that the machine and the module's formats allow.",
                 [](const Yaml& v, Place& p) { p.op = parse_op(v); }, apply_op},
    PlaceKeyword{
        "format", "keep | a format",
        "How matrices are stored: as in the checkpoint (keep, the default), or quantized to "
        "this format while loading. Norms, biases and routers always run in f32.",
        [](const Yaml& v, Place& p) {
          p.format = {parse_format(v), v.where};
        },
        apply_format},
    PlaceKeyword{
        "numa", "replicate | shard | interleave | node:N",
        "Where weights lie on a machine of several NUMA nodes; on a machine of one all are equal. "
        "replicate: a copy on every node, each computes a part from its own. shard: every node "
        "stores and computes some of each matrix's rows. interleave: one copy, its pages dealt out "
        "to the nodes. node:N: one copy on node N, whose threads compute with it. Without the key: "
        "shard for linear layers and experts, interleave for the rest.",
        [](const Yaml& v, Place& p) {
          p.numa = {parse_numa(v), v.where};
        },
        apply_numa},
    PlaceKeyword{
        "spread", "layers",
        "With a list of devices: splits the rule's layers over them. Refused while planning "
        "in this version.",
        [](const Yaml& v, Place& p) {
          p.spread = {parse_spread(v), v.where};
        },
        apply_spread},
    PlaceKeyword{"experts", "{resident: N, on: DEVICE, by: FILE}",
                 "Keeps the N most used experts of each layer on a GPU. Refused while planning in "
                 "this version.",
                 [](const Yaml& v, Place& p) {
                   p.experts = {parse_experts(v), v.where};
                 },
                 apply_experts},
};

constexpr std::array machine_table{
    MachineKeyword{"ram", "size, e.g. 382GiB", "Least memory of the machine.",
                   [](const Yaml& v, MachineNeeds& m) {
                     m.ram = {parse_size(v, "ram"), v.where};
                   },
                   check_ram},
    MachineKeyword{"vram", "size, e.g. 14GiB", "Least memory of all GPUs together.",
                   [](const Yaml& v, MachineNeeds& m) {
                     m.vram = {parse_size(v, "vram"), v.where};
                   },
                   check_vram},
    MachineKeyword{"isa", "level", "Least instruction-set level of the CPU.",
                   [](const Yaml& v, MachineNeeds& m) {
                     m.isa = {parse_isa(v), v.where};
                   },
                   check_isa},
};

constexpr std::array model_table{
    ModelKeyword{
        "experts_per_token", "6 | {default: 8, layers: {3-20: 6}}",
        "Routed experts that a token runs through. Default: the checkpoint's number.",
        [](const Yaml& v, ModelSettings& m) { m.experts_per_token = parse_experts_per_token(v); },
        apply_experts_per_token},
};

constexpr std::array rule_table{
    RuleKeyword{"name", "text", "What the plan and messages call the rule; required, once a file.",
                [](const Yaml& v, Rule& r) { r.name = v.as_string("name"); }, nullptr},
    RuleKeyword{
        "match", "map",
        "Which modules the rule takes: all keys given must hold. The first rule of the file "
        "that matches a module decides.",
        [](const Yaml& v, Rule& r) {
          r.has_match = true;
          r.match.where = v.where;
          parse_keywords(v, match_keywords(), "match", r.match);
        },
        nullptr},
    RuleKeyword{"place", "map", "Where and how those modules run.",
                [](const Yaml& v, Rule& r) {
                  r.has_place = true;
                  parse_keywords(v, place_keywords(), "place", r.place);
                },
                nullptr},
    RuleKeyword{"decode", "map", "Keys of place that differ while decoding: op.",
                [](const Yaml& v, Rule& r) {
                  parse_keywords(v, place_keywords(), "decode", r.decode.emplace());
                },
                nullptr},
    RuleKeyword{"prefill", "map", "Keys of place that differ while prefilling: op.",
                [](const Yaml& v, Rule& r) {
                  parse_keywords(v, place_keywords(), "prefill", r.prefill.emplace());
                },
                nullptr},
};

constexpr std::array file_table{
    FileKeyword{"ktx", "1", "Version of this schema; required.",
                [](const Yaml& v, Rules& r) {
                  if (v.as_int("ktx") != 1)
                    throw_input(
                        "ktx: this version reads rules files of schema 1, found " + v.describe(),
                        v.where);
                  r.version = 1;
                },
                nullptr},
    FileKeyword{"machine", "map", "What the machine must have; checked first.",
                [](const Yaml& v, Rules& r) {
                  parse_keywords(v, machine_keywords(), "machine", r.machine);
                },
                nullptr},
    FileKeyword{
        "model", "map", "Changes to the model.",
        [](const Yaml& v, Rules& r) { parse_keywords(v, model_keywords(), "model", r.model); },
        nullptr},
    FileKeyword{"rules", "list", "The rules, first match wins.",
                [](const Yaml& v, Rules& r) { parse_rule_list(v, r); }, nullptr},
};

std::string wrapped(std::string_view text, size_t indent) {
  std::string out, line(indent, ' ');
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find(' ', at), text.size());
    if (line.size() + end - at + 1 > 98 && line.size() > indent) {
      out += line + "\n";
      line.assign(indent, ' ');
    }
    if (line.size() > indent) line += ' ';
    line += text.substr(at, end - at);
    at = end + 1;
  }
  return out + line + "\n";
}

template <class Row>
std::string describe(std::string_view title, std::span<const Row> table) {
  std::string out = "\n" + std::string(title) + "\n";
  for (const auto& row : table)
    out += "  " + std::string(row.name) + ": " + std::string(row.type) + "\n" + wrapped(row.doc, 6);
  return out;
}

template <class Rows>
std::string names_and_docs(std::string_view title, const Rows& rows) {
  std::string out = "\n" + std::string(title) + "\n";
  for (const auto& row : rows) {
    std::string name = "  " + std::string(row.name);
    name.resize(std::max<size_t>(name.size() + 1, 20), ' ');
    out += name + wrapped(row.doc, 20).substr(20);
  }
  return out;
}

}  // namespace

std::span<const MatchKeyword> match_keywords() noexcept {
  return match_table;
}
std::span<const PlaceKeyword> place_keywords() noexcept {
  return place_table;
}
std::span<const MachineKeyword> machine_keywords() noexcept {
  return machine_table;
}
std::span<const ModelKeyword> model_keywords() noexcept {
  return model_table;
}
std::span<const RuleKeyword> rule_keywords() noexcept {
  return rule_table;
}
std::span<const FileKeyword> file_keywords() noexcept {
  return file_table;
}

std::string keyword_reference() {
  std::string out =
      "A rules file says for every module of a model which op, device, format and NUMA policy it\n"
      "gets. First match wins, in file order.\n";
  out += describe("Top level", file_keywords());
  out += describe("machine:", machine_keywords());
  out += describe("model:", model_keywords());
  out += describe("Each of rules:", rule_keywords());
  out += describe("match:", match_keywords());
  out += describe("place:, decode:, prefill:", place_keywords());
  out += names_and_docs("Classes", graph::classes());
  out += "\nOps and their kernels, best first\n";
  for (const auto& op : graph::ops()) {
    std::vector<std::string> names;
    for (const auto& row : ops::kernels(op.op)) names.emplace_back(row.name);
    std::string name = "  " + std::string(op.name);
    name.resize(std::max<size_t>(name.size() + 1, 20), ' ');
    out += name + base::join(names) + "\n";
  }
  out += names_and_docs("Formats", quant::formats());
  out += names_and_docs("Instruction-set levels", hw::isas());
  return out;
}

}  // namespace ktx::placement
