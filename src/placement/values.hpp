// Parsers for the values of rule keywords. Each throws an input error that says what is valid.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/yaml.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

/// "3-60", "3-20,30", 7, or a list of these; as ranges in order that do not touch.
std::vector<LayerRange> parse_layers(const base::Yaml& value, std::string_view what);

/// "cpu", "cuda:0", or a list of different ones.
std::vector<std::string> parse_devices(const base::Yaml& value, std::string_view what);

/// "moe.avx2", "moe.auto" or "auto"; the kernel must be in the op's table.
OpChoice parse_op(const base::Yaml& value);

/// Nothing for "keep", else a row of the format table.
std::optional<quant::Format> parse_format(const base::Yaml& value);

/// "replicate", "shard", "interleave" or "node:1".
NumaPolicy parse_numa(const base::Yaml& value);

/// "382GiB" -> bytes.
uint64_t parse_size(const base::Yaml& value, std::string_view what);

/// Any text but an empty one.
std::string parse_path(const base::Yaml& value, std::string_view what);

/// A row of graph::kv_formats().
graph::KvFormat parse_cache_format(const base::Yaml& value);
graph::KvFormat find_cache_format(const std::string& name, const std::string& where = {});

hw::Isa parse_isa(const base::Yaml& value);
std::string parse_class(const base::Yaml& value);
std::string parse_spread(const base::Yaml& value);
NamePattern parse_pattern(const base::Yaml& value);

/// {resident: 16, on: cuda:0, by: profile.yaml}; the profile is not read yet.
ResidentExperts parse_experts(const base::Yaml& value);

/// How many experts are deferred, from 0.
int parse_defer(const base::Yaml& value);

/// 6, or {default: 8, layers: {3-20: 6}}
ExpertsPerToken parse_experts_per_token(const base::Yaml& value);

/// The kind of a device name: "cuda" of "cuda:0"; and its number, 0 without one.
std::string device_kind(std::string_view device);
bool is_gpu(std::string_view device);
int device_number(std::string_view device);

/// A node on one line, as in YAML's flow style: {device: cpu, format: int8}.
std::string flow_text(const base::Yaml& value);

}  // namespace ktx::placement
