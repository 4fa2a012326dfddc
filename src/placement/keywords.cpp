// The tables of rule keywords. To add one: a row here, a field in rules.hpp, what it does in
// apply.cpp (rules) or settings.cpp (the model as a whole).
#include "placement/keywords.hpp"

#include <array>

#include "core/graph/module.hpp"
#include "core/graph/op.hpp"
#include "ops/kernels.hpp"
#include "placement/value_schemas.hpp"
#include "placement/values.hpp"

namespace ktx::placement {

using base::Yaml;

namespace {

Json match_schema() {
  Json out = map_schema(match_keywords());
  out["minProperties"] = 1;
  return out;
}

Json place_schema() {
  return map_schema(place_keywords());
}

Json rule_list_schema() {
  Json out{{"type", "array"}, {"minItems", 1}};
  out["items"] = map_schema(rule_keywords(), {"name", "match", "place"});
  return out;
}

// Each row of a table: keyword, type of its value, documentation, schema, parser, effect.
constexpr std::array match_table{
    MatchKeyword{"name", "pattern", "PCRE2 pattern, searched anywhere in the module's path.",
                 pattern_schema,
                 [](const Yaml& v, Match& m) {
                   m.name = {parse_pattern(v), v.where};
                 },
                 matches_name},
    MatchKeyword{"class", "class", "The module's class, or that of a module around it.",
                 class_schema,
                 [](const Yaml& v, Match& m) {
                   m.class_name = {parse_class(v), v.where};
                 },
                 matches_class},
    MatchKeyword{"layers", "7 | 3-60 | 3-20,30 | a list",
                 "Only modules of these layers, counted from 0.", layers_schema,
                 [](const Yaml& v, Match& m) {
                   m.layers = {parse_layers(v, "layers"), v.where};
                 },
                 matches_layers},
};

constexpr std::array place_table{
    PlaceKeyword{
        "device", "cpu | cuda:N | a list",
        "Where the module runs and its weights lie. Default: cpu. A list needs spread: layers. "
        "prefill: {device: ...} places prompts elsewhere than decoding, with a second copy of the "
        "weights there (see stream); attention has one device, where its KV cache lies.",
        devices_schema,
        [](const Yaml& v, Place& p) {
          p.devices = {parse_devices(v, "device"), v.where};
        },
        apply_device},
    PlaceKeyword{"op", "OP.KERNEL | OP.auto | auto",
                 "The op, which must be the module's own, and its kernel. Default: auto, the best "
                 "kernel that the machine and the module's formats allow.",
                 op_schema, [](const Yaml& v, Place& p) { p.op = parse_op(v); }, apply_op},
    PlaceKeyword{
        "format", "keep | a format",
        "How matrices are stored: as in the checkpoint (keep, the default), or quantized to this "
        "format while loading. Norms, biases and routers always run in f32, and what latent "
        "attention multiplies by on a GPU in bf16, or in int8 where it has 8 bits or fewer.",
        format_schema,
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
        numa_schema,
        [](const Yaml& v, Place& p) {
          p.numa = {parse_numa(v), v.where};
        },
        apply_numa},
    PlaceKeyword{
        "spread", "layers",
        "With a list of devices: splits the layers that match: {layers: ...} gives, or all of the "
        "model's, into ranges of equal length, one a device in turn. The embedding goes to the "
        "first device, the final norm and the head to the last.",
        spread_schema,
        [](const Yaml& v, Place& p) {
          p.spread = {parse_spread(v), v.where};
        },
        apply_spread},
    PlaceKeyword{
        "stream", "yes | no",
        "With prefill: {device: cuda:N, stream: yes} and experts on the cpu: instead of a second "
        "copy, experts pass through the GPU while a prompt runs, and both devices share the work. "
        "Default: no.",
        flag_schema,
        [](const Yaml& v, Place& p) {
          p.stream = {v.as_bool("stream"), v.where};
        },
        apply_stream},
    PlaceKeyword{
        "experts",
        "{resident: N | vram: SIZE, on: GPUs, by: FILE | random, list: [..], keep_ram: no}",
        "Keeps N routed experts of each layer on a GPU, where they run while the others run on the "
        "cpu; or as many as fit when the plan may use SIZE of that GPU's memory for all it has "
        "there. on: cuda:N, or a list, each with a range of layers; default where prompts run (see "
        "stream). Which: those that FILE, relative to this one, gives as layers: {3: [5, 17], 4: "
        "[8]}, most used first; or those of the list, in every layer; or random ones of each "
        "layer, the same in every run; or the first by number. keep_ram: yes leaves a copy of them "
        "on the cpu.",
        experts_schema,
        [](const Yaml& v, Place& p) {
          p.experts = {parse_experts(v), v.where};
        },
        apply_experts},
    PlaceKeyword{
        "defer", "N",
        "While a token is decoded, those N of its experts on the cpu that have the least weight "
        "are "
        "computed while a GPU runs the next layer, and added there: faster, but not quite the same "
        "model. Prompts are read as without. Default: 0.",
        defer_schema,
        [](const Yaml& v, Place& p) {
          p.defer = {parse_defer(v), v.where};
        },
        apply_defer},
};

constexpr std::array machine_table{
    MachineKeyword{"ram", "size, e.g. 382GiB", "Least memory of the machine.", size_schema,
                   [](const Yaml& v, MachineNeeds& m) {
                     m.ram = {parse_size(v, "ram"), v.where};
                   },
                   check_ram},
    MachineKeyword{"vram", "size, e.g. 14GiB", "Least memory of all GPUs together.", size_schema,
                   [](const Yaml& v, MachineNeeds& m) {
                     m.vram = {parse_size(v, "vram"), v.where};
                   },
                   check_vram},
    MachineKeyword{"isa", "level", "Least instruction-set level of the CPU.", isa_schema,
                   [](const Yaml& v, MachineNeeds& m) {
                     m.isa = {parse_isa(v), v.where};
                   },
                   check_isa},
};

constexpr std::array model_table{
    ModelKeyword{"path", "path | synth:MODEL,...",
                 "The model: a .gguf, the first file of a split, or a Hugging Face directory, "
                 "relative to this file; or a synthetic one. --model stands above it.",
                 pattern_schema,
                 [](const Yaml& v, ModelSettings& m) {
                   m.path = {parse_path(v, "path"), v.where};
                 },
                 apply_model_path},
    ModelKeyword{
        "experts_per_token", "6 | {default: 8, layers: {3-20: 6}}",
        "Routed experts that a token runs through, unless its request says otherwise. Default: the "
        "checkpoint's number. --experts-per-token stands above it.",
        experts_per_token_schema,
        [](const Yaml& v, ModelSettings& m) { m.experts_per_token = parse_experts_per_token(v); },
        apply_experts_per_token},
};

constexpr std::array cache_table{
    CacheKeyword{"format", "f32 | bf16 | fp8",
                 "How the KV cache stores its numbers. Default: bf16. --cache-format stands above "
                 "it.",
                 cache_format_schema,
                 [](const Yaml& v, CacheSettings& c) {
                   c.format = {parse_cache_format(v), v.where};
                 },
                 apply_cache_format},
};

constexpr std::array rule_table{
    RuleKeyword{"name", "text", "What the plan and messages call the rule; required, once a file.",
                text_schema, [](const Yaml& v, Rule& r) { r.name = v.as_string("name"); }, nullptr},
    RuleKeyword{
        "match", "map",
        "Which modules the rule takes: all keys given must hold. The first rule of the file "
        "that matches a module decides.",
        match_schema,
        [](const Yaml& v, Rule& r) {
          r.has_match = true;
          r.match.where = v.where;
          parse_keywords(v, match_keywords(), "match", r.match);
        },
        nullptr},
    RuleKeyword{"place", "map", "Where and how those modules run.", place_schema,
                [](const Yaml& v, Rule& r) {
                  r.has_place = true;
                  parse_keywords(v, place_keywords(), "place", r.place);
                },
                nullptr},
    RuleKeyword{
        "decode", "map",
        "Keys of place that differ while decoding: op, or device and with it format and numa.",
        place_schema,
        [](const Yaml& v, Rule& r) {
          parse_keywords(v, place_keywords(), "decode", r.decode.emplace());
        },
        nullptr},
    RuleKeyword{
        "prefill", "map",
        "Keys of place that differ for prompts: op, stream, or device and with it format and numa.",
        place_schema,
        [](const Yaml& v, Rule& r) {
          parse_keywords(v, place_keywords(), "prefill", r.prefill.emplace());
        },
        nullptr},
};

constexpr std::array file_table{
    FileKeyword{"ktx", "1", "Version of this schema; required.", version_schema,
                [](const Yaml& v, Rules& r) {
                  if (v.as_int("ktx") != 1)
                    throw_input(
                        "ktx: this version reads rules files of schema 1, found " + v.describe(),
                        v.where);
                  r.version = 1;
                },
                nullptr},
    FileKeyword{"machine", "map", "What the machine must have; checked first.",
                [] { return map_schema(machine_keywords()); },
                [](const Yaml& v, Rules& r) {
                  parse_keywords(v, machine_keywords(), "machine", r.machine);
                },
                nullptr},
    FileKeyword{
        "model", "map", "The model, and changes to it.",
        [] { return map_schema(model_keywords()); },
        [](const Yaml& v, Rules& r) { parse_keywords(v, model_keywords(), "model", r.model); },
        nullptr},
    FileKeyword{"context", "tokens",
                "Tokens that a session can hold. Default: the model's context, at most 4096. "
                "--context stands above it.",
                count_schema,
                [](const Yaml& v, Rules& r) {
                  r.run.context = {v.as_int("context"), v.where};
                },
                apply_context},
    FileKeyword{"sessions", "N",
                "Sessions that can run at once; memory is planned for all of them. Default: 1. "
                "--sessions stands above it.",
                count_schema,
                [](const Yaml& v, Rules& r) {
                  r.run.sessions = {v.as_int("sessions"), v.where};
                },
                apply_sessions},
    FileKeyword{
        "cache", "map", "The KV cache.", [] { return map_schema(cache_keywords()); },
        [](const Yaml& v, Rules& r) { parse_keywords(v, cache_keywords(), "cache", r.cache); },
        nullptr},
    FileKeyword{"threads", "N",
                "CPU workers. Default: one a physical core. --threads stands above it.",
                count_schema,
                [](const Yaml& v, Rules& r) {
                  r.run.threads = {v.as_int("threads"), v.where};
                },
                apply_threads},
    FileKeyword{"decode_threads", "N",
                "CPU workers of decode steps, up to `threads`: more than the memory can feed make "
                "them slower. Default: as many as `threads` where that is given, else what is "
                "fastest, measured while loading. --decode-threads stands above it.",
                count_schema,
                [](const Yaml& v, Rules& r) {
                  r.run.decode_threads = {v.as_int("decode_threads"), v.where};
                },
                apply_decode_threads},
    FileKeyword{"prefill_chunk", "tokens",
                "Tokens of a prompt that run at once. With more, each expert gets more tokens for "
                "the work of reading it, and activations take more memory. Default: 2048. "
                "--prefill-chunk stands above it.",
                count_schema,
                [](const Yaml& v, Rules& r) {
                  r.run.prefill_chunk = {v.as_int("prefill_chunk"), v.where};
                },
                apply_prefill_chunk},
    FileKeyword{"weights_cache", "directory",
                "Keeps packed weights there, relative to this file, and maps them on the next "
                "start. Default: none. --cache stands above it.",
                pattern_schema,
                [](const Yaml& v, Rules& r) {
                  r.run.weights_cache = {parse_path(v, "weights_cache"), v.where};
                },
                apply_weights_cache},
    FileKeyword{"tokenizer", "path",
                "The tokenizer, where it is not the model's own: a .gguf, a tokenizer.json, a "
                "tiktoken.model or a directory with one of the two, relative to this file. "
                "--tokenizer stands above it.",
                pattern_schema,
                [](const Yaml& v, Rules& r) {
                  r.run.tokenizer = {parse_path(v, "tokenizer"), v.where};
                },
                apply_tokenizer},
    FileKeyword{
        "deterministic", "true | false",
        "Whether the same request always gives the same text, whatever runs beside it: "
        "kernels are then chosen for each sequence, not for a step of many; where there are "
        "GPUs each sequence decodes in steps of its own. Default: false. --deterministic stands "
        "above it.",
        flag_schema,
        [](const Yaml& v, Rules& r) {
          r.run.deterministic = {v.as_bool("deterministic"), v.where};
        },
        apply_deterministic},
    FileKeyword{"rules", "list", "The rules, first match wins.", rule_list_schema,
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
std::span<const CacheKeyword> cache_keywords() noexcept {
  return cache_table;
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
  out += describe("cache:", cache_keywords());
  out += describe("Each of rules:", rule_keywords());
  out += describe("match:", match_keywords());
  out += describe("place:, decode:, prefill:", place_keywords());
  out += names_and_docs("Classes", graph::classes());
  out += "\nOps and their kernels, best first\n";
  for (const auto& op : graph::ops()) {
    std::vector<std::string> names;
    for (const auto& row : ops::kernels(op.op)) names.emplace_back(row.name);
    std::string name = "  " + std::string(op.name);
    name.resize(std::max<size_t>(name.size() + 1, 15), ' ');
    out += name + base::join(names) + "\n";
  }
  out += names_and_docs("Formats", quant::formats());
  out += names_and_docs("Formats of the KV cache", graph::kv_formats());
  out += names_and_docs("Instruction-set levels", hw::isas());
  return out;
}

}  // namespace ktx::placement
