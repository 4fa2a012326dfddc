// A rules file, parsed: every value with its position in the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/yaml.hpp"
#include "core/graph/kv_row.hpp"
#include "core/graph/op.hpp"
#include "core/hw/isa.hpp"
#include "core/quant/format.hpp"
#include "placement/expert_order.hpp"
#include "placement/plan.hpp"
#include "text/regex.hpp"

namespace ktx::placement {

/// A value from the rules file, and its position ("file:line:column").
template <class T>
struct Given {
  T value;
  std::string where;
};
template <class T>
using Maybe = std::optional<Given<T>>;

/// Layers first to last, both included.
struct LayerRange {
  int first = 0, last = 0;

  bool contains(int layer) const noexcept { return first <= layer && layer <= last; }
  bool operator==(const LayerRange&) const = default;
};

/// "3-20,30"
std::string to_string(const std::vector<LayerRange>& ranges);

/// A PCRE2 pattern and what was written.
struct NamePattern {
  std::string text;
  std::shared_ptr<const text::Regex> regex;
};

/// All keys that are given must hold.
struct Match {
  Maybe<NamePattern> name;
  Maybe<std::string> class_name;
  Maybe<std::vector<LayerRange>> layers;  // in order, none overlap
  std::string where;
};

/// "moe.avx2": op and kernel; "moe.auto": the best kernel; "auto": the best kernel of any op.
struct OpChoice {
  std::optional<graph::Op> op;
  std::string kernel = "auto";
  std::string where;
};

/// Resident experts: a number per layer, or as many as fit into a number of bytes.
struct ResidentExperts {
  std::optional<int64_t> count;
  std::optional<uint64_t> vram;
  std::vector<std::string> on;     // several: a range of layers each; empty: where prompts run
  Maybe<std::string> profile;      // a path, as written
  bool random = false;             // different ones in each layer, the same in every run
  ExpertOrder order;               // content of the profile
  Maybe<std::vector<int>> listed;  // the same in every layer
  bool keep_ram = false;
};

/// What a rule asks for; keys that are not given have defaults.
struct Place {
  Maybe<std::vector<std::string>> devices;
  std::optional<OpChoice> op;
  Maybe<std::optional<quant::Format>> format;  // inner nothing: keep
  Maybe<NumaPolicy> numa;
  Maybe<std::string> spread;
  Maybe<bool> stream;
  Maybe<ResidentExperts> experts;
  Maybe<int> defer;
};

struct Rule {
  std::string name, where;  // where: file:line:column
  Match match;
  Place place;
  std::optional<Place> decode, prefill;  // override `place`, key by key, in that phase
  bool has_match = false, has_place = false;
  std::string text;  // match and place on one line, as written
};

/// What the machine must have.
struct MachineNeeds {
  Maybe<uint64_t> ram, vram;  // bytes
  Maybe<hw::Isa> isa;
};

/// Routed experts per token, instead of the checkpoint's number.
struct ExpertsPerToken {
  Maybe<int> everywhere;
  std::vector<std::pair<Given<LayerRange>, int>> layers;
};

struct ModelSettings {
  Maybe<std::string> path;  // as written
  ExpertsPerToken experts_per_token;
};

struct CacheSettings {
  Maybe<graph::KvFormat> format;
};

/// Settings of the model as a whole. Paths are as written.
struct RunSettings {
  Maybe<int64_t> context, sessions, threads, decode_threads, prefill_chunk;
  Maybe<std::string> tokenizer, weights_cache;
  Maybe<bool> deterministic;
};

struct Rules {
  std::string file;
  int version = 0;
  MachineNeeds machine;
  ModelSettings model;
  CacheSettings cache;
  RunSettings run;
  std::vector<Rule> rules;
};

/// Parses a rules file. Throws input error with file:line:column and the nearest valid names.
Rules read_rules(const std::filesystem::path& file);
/// The same of a YAML tree; file: its name for messages and for the plan.
Rules parse_rules(const base::Yaml& yaml, const std::string& file);

/// What the `rules` keyword of a file does: parses the list, checks names.
void parse_rule_list(const base::Yaml& list, Rules& rules);

/// "file:line" of "file:line:column".
std::string file_and_line(const std::string& where);

}  // namespace ktx::placement
