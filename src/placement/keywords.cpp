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
    MatchKeyword{"name", "pattern", "PCRE2 pattern, searched for anywhere in the module's path.",
                 pattern_schema,
                 [](const Yaml& v, Match& m) {
                   m.name = {parse_pattern(v), v.where};
                 },
                 matches_name},
    MatchKeyword{"class", "class",
                 "A class of the module, which may be that of the block it belongs to.",
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
    PlaceKeyword{"device", "cpu | cuda:N | a list",
                 "Where the module runs and its weights are stored. Default: cpu. A list needs "
                 "spread: layers. prefill: {device: ...} runs prompts on another device than "
                 "decoding, with a second copy of the weights there (see stream); attention has "
                 "one device, which holds its KV cache.",
                 devices_schema,
                 [](const Yaml& v, Place& p) {
                   p.devices = {parse_devices(v, "device"), v.where};
                 },
                 apply_device},
    PlaceKeyword{"op", "OP.KERNEL | OP.auto | auto",
                 "The op, which must be the module's own, and its kernel. Default: auto, the best "
                 "kernel that supports the machine and the module's formats.",
                 op_schema, [](const Yaml& v, Place& p) { p.op = parse_op(v); }, apply_op},
    PlaceKeyword{
        "format", "keep | a format",
        "How matrices are stored: as in the checkpoint (keep, the default), or quantized to this "
        "format while loading. Norms, biases and routers always run in f32, kv_b_proj of latent "
        "attention on a GPU in bf16, or in int8 if it has 8 bits or fewer.",
        format_schema,
        [](const Yaml& v, Place& p) {
          p.format = {parse_format(v), v.where};
        },
        apply_format},
    PlaceKeyword{
        "numa", "replicate | shard | interleave | node:N",
        "Where weights are stored on a machine with several NUMA nodes; with one node, all "
        "policies are the same. replicate: a copy on every node, from which the node computes its "
        "share. shard: every node stores and computes a share of each matrix's rows. interleave: "
        "one copy, its pages distributed over the nodes. node:N: one copy on node N, whose threads "
        "compute with it. Default: shard for linear layers and experts, interleave for the rest.",
        numa_schema,
        [](const Yaml& v, Place& p) {
          p.numa = {parse_numa(v), v.where};
        },
        apply_numa},
    PlaceKeyword{"spread", "layers",
                 "With a list of devices: splits the layers given by match: {layers: ...}, or all "
                 "layers of the model, into ranges of equal length, one for each device in order. "
                 "The embedding goes to the first device, the final norm and the head to the last.",
                 spread_schema,
                 [](const Yaml& v, Place& p) {
                   p.spread = {parse_spread(v), v.where};
                 },
                 apply_spread},
    PlaceKeyword{"stream", "yes | no",
                 "With prefill: {device: cuda:N, stream: yes} and experts on the cpu: instead of "
                 "having a second copy there, experts are streamed through the GPU while a prompt "
                 "runs, and both devices share the work. Default: no.",
                 flag_schema,
                 [](const Yaml& v, Place& p) {
                   p.stream = {v.as_bool("stream"), v.where};
                 },
                 apply_stream},
    PlaceKeyword{
        "experts",
        "{resident: N | vram: SIZE, on: GPUs, by: FILE | random, list: [..], keep_ram: no}",
        "Keeps N routed experts of each layer on a GPU, which runs them while the cpu runs the "
        "others; or, with vram, as many as fit if the plan may use SIZE of that GPU's memory in "
        "total. on: cuda:N, or a list, each GPU with a range of layers; default: the GPU that runs "
        "prompts (see stream). Which experts: those in FILE, relative to this one, as layers: {3: "
        "[5, 17], 4: [8]}, most used first; or those of the list, in every layer; or random ones "
        "in each layer, the same in every run; by default the first by number. keep_ram: yes also "
        "keeps a copy of them in the cpu's memory.",
        experts_schema,
        [](const Yaml& v, Place& p) {
          p.experts = {parse_experts(v), v.where};
        },
        apply_experts},
    PlaceKeyword{"defer", "N",
                 "While decoding, the N experts of a token on the cpu that have the least weight "
                 "are computed while a GPU runs the next layer, and added after that: faster, but "
                 "not exactly the same model. Prompts are not affected. Default: 0.",
                 defer_schema,
                 [](const Yaml& v, Place& p) {
                   p.defer = {parse_defer(v), v.where};
                 },
                 apply_defer},
};

constexpr std::array machine_table{
    MachineKeyword{"ram", "size, e.g. 382GiB", "Minimum memory of the machine.", size_schema,
                   [](const Yaml& v, MachineNeeds& m) {
                     m.ram = {parse_size(v, "ram"), v.where};
                   },
                   check_ram},
    MachineKeyword{"vram", "size, e.g. 14GiB", "Minimum memory of all GPUs together.", size_schema,
                   [](const Yaml& v, MachineNeeds& m) {
                     m.vram = {parse_size(v, "vram"), v.where};
                   },
                   check_vram},
    MachineKeyword{"isa", "level", "Minimum instruction-set level of the CPU.", isa_schema,
                   [](const Yaml& v, MachineNeeds& m) {
                     m.isa = {parse_isa(v), v.where};
                   },
                   check_isa},
};

constexpr std::array model_table{
    ModelKeyword{"path", "path | synth:MODEL,...",
                 "The model: a .gguf, the first file of a split, or a Hugging Face directory, "
                 "relative to this file; or a synthetic one. Overridden by --model.",
                 pattern_schema,
                 [](const Yaml& v, ModelSettings& m) {
                   m.path = {parse_path(v, "path"), v.where};
                 },
                 apply_model_path},
    ModelKeyword{
        "experts_per_token", "6 | {default: 8, layers: {3-20: 6}}",
        "Routed experts per token, unless a request asks for another number. Default: the "
        "checkpoint's number. Overridden by --experts-per-token.",
        experts_per_token_schema,
        [](const Yaml& v, ModelSettings& m) { m.experts_per_token = parse_experts_per_token(v); },
        apply_experts_per_token},
};

constexpr std::array cache_table{
    CacheKeyword{
        "format", "f32 | bf16 | fp8",
        "How the KV cache stores its numbers. Default: bf16. Overridden by --cache-format.",
        cache_format_schema,
        [](const Yaml& v, CacheSettings& c) {
          c.format = {parse_cache_format(v), v.where};
        },
        apply_cache_format},
};

constexpr std::array rule_table{
    RuleKeyword{"name", "text",
                "Name of the rule in the plan and in messages; required, unique in the file.",
                text_schema, [](const Yaml& v, Rule& r) { r.name = v.as_string("name"); }, nullptr},
    RuleKeyword{"match", "map",
                "Which modules the rule applies to: those that fulfil all keys given. The first "
                "rule in the file that matches a module decides.",
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
    RuleKeyword{"decode", "map",
                "Keys of place that differ in decode steps: op, or device and with it format and "
                "numa. In steps of 9 rows or more (many sessions at once), linear layers, norms "
                "and the like use prefill's kernels, unless deterministic.",
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
                "Overridden by --context.",
                count_schema,
                [](const Yaml& v, Rules& r) {
                  r.run.context = {v.as_int("context"), v.where};
                },
                apply_context},
    FileKeyword{"sessions", "N",
                "Sessions that can run at once; memory is planned for all of them. Default: 1. "
                "Overridden by --sessions.",
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
                "CPU threads. Default: one per physical core. Overridden by --threads.",
                count_schema,
                [](const Yaml& v, Rules& r) {
                  r.run.threads = {v.as_int("threads"), v.where};
                },
                apply_threads},
    FileKeyword{"decode_threads", "N",
                "CPU threads of decode steps, at most `threads`: more of them than memory can feed "
                "are slower. Default: `threads` if that is given, else the fastest number, "
                "measured while loading. Overridden by --decode-threads.",
                count_schema,
                [](const Yaml& v, Rules& r) {
                  r.run.decode_threads = {v.as_int("decode_threads"), v.where};
                },
                apply_decode_threads},
    FileKeyword{"prefill_chunk", "tokens",
                "Tokens of a prompt that run at once (a slice). Larger slices read each expert for "
                "more tokens at a time, but need more memory for activations. Default: 2048. "
                "Overridden by --prefill-chunk.",
                count_schema,
                [](const Yaml& v, Rules& r) {
                  r.run.prefill_chunk = {v.as_int("prefill_chunk"), v.where};
                },
                apply_prefill_chunk},
    FileKeyword{"weights_cache", "directory",
                "Directory for packed weights, relative to this file: later starts map them "
                "instead of packing again. Default: none. Overridden by --cache.",
                pattern_schema,
                [](const Yaml& v, Rules& r) {
                  r.run.weights_cache = {parse_path(v, "weights_cache"), v.where};
                },
                apply_weights_cache},
    FileKeyword{"tokenizer", "path",
                "The tokenizer, if it is not the model's own: a .gguf, a tokenizer.json, a "
                "tiktoken.model or a directory with one of the last two, relative to this file. "
                "Overridden by --tokenizer.",
                pattern_schema,
                [](const Yaml& v, Rules& r) {
                  r.run.tokenizer = {parse_path(v, "tokenizer"), v.where};
                },
                apply_tokenizer},
    FileKeyword{
        "deterministic", "true | false",
        "Whether a request always gives the same text, whatever runs beside it. Kernels are then "
        "chosen for each sequence, not for the whole step; with GPUs, each sequence decodes in "
        "steps of its own. Default: false. Overridden by --deterministic.",
        flag_schema,
        [](const Yaml& v, Rules& r) {
          r.run.deterministic = {v.as_bool("deterministic"), v.where};
        },
        apply_deterministic},
    FileKeyword{"rules", "list", "The rules; the first one that matches a module decides.",
                rule_list_schema, [](const Yaml& v, Rules& r) { parse_rule_list(v, r); }, nullptr},
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
      "A rules file decides the op, device, format and NUMA policy of every module of a model.\n"
      "The first rule that matches a module wins.\n";
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
