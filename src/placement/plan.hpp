// The plan: an immutable value that says where and how every module of a model runs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/graph.hpp"
#include "core/hw/machine.hpp"
#include "core/quant/format.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx::placement {

/// replicate: every node holds a copy, from which it computes its share of the rows. shard: every
/// node holds and computes some of the rows; no sums over nodes are needed, and results are the
/// same as on one node. interleave: one copy, its pages distributed over the nodes. node: one copy
/// in the memory of one node, whose workers compute all of it.
enum class NumaKind : uint8_t { replicate, shard, interleave, node };

struct NumaPolicy {
  NumaKind kind = NumaKind::interleave;
  int node = 0;  // kind == node: the operating system's number

  bool operator==(const NumaPolicy&) const = default;
};
std::string to_string(const NumaPolicy& policy);

/// A better kernel that was not taken, and why.
struct SkippedKernel {
  std::string name, reason;
};

struct KernelPick {
  std::string name;  // row of ops::kernels(op)
  std::vector<SkippedKernel> skipped;
  std::string slow_path;  // see ops::slow_path; mostly empty
};

/// Rows [row_begin, row_end) of each of a weight's matrices, packed as matrices of those rows
/// alone, in the memory of one node.
struct WeightPart {
  static constexpr int every_node = -1;  // interleaved over all of them
  static constexpr int no_node = -2;     // in the memory of a GPU

  int node = every_node;  // index into Plan::machine.nodes
  int64_t row_begin = 0, row_end = 0;
  int64_t matrix_bytes = 0;
  uint64_t bytes = 0;  // of the matrices that lie there: all but experts that a GPU alone holds
};

struct PlannedWeight {
  std::string role;
  quant::Format source, format;
  ops::Layout layout = ops::Layout::rows;
  std::vector<WeightPart> parts;  // every row once, or with `replicate` once a node
  uint64_t bytes = 0;             // as stored in memory (packed), all parts
};

/// Experts that lie on a GPU and run there, while the others run on their module's device.
struct PlannedResidents {
  std::string device;            // "cuda:0"
  std::vector<int32_t> experts;  // ascending
  bool keep_ram = false;         // the module's device holds them too
  uint64_t bytes = 0;            // on `device`, in Layout::x16
};

struct PlannedModule {
  int module = -1;     // index into Plan::model.modules
  std::string device;  // "cpu" or "cuda:0": where it runs, and where its weights lie
  /// Where slices of prompts run; mostly `device`. If it is another one the weights lie there too
  /// (prefill_weights), or, if `stream`, are copied there while a slice runs, which then shares the
  /// experts with `device`.
  std::string prefill_device;
  bool stream = false;
  /// The fraction of non-resident experts to stream through the GPU for a slice of prefill_chunk
  /// tokens, predicted so that both devices finish at the same time; 0: not known.
  double stream_share = 0;
  PlannedResidents residents;  // of routed experts; no experts: none
  int deferred = 0;  // of a decoded token's experts on `device`: computed beside the next layer
  KernelPick decode, prefill;  // on `device` and prefill_device; if `stream`, both on `device`
  /// Of its matrices on the CPU; on a machine of one node, that node.
  NumaPolicy numa;
  std::string rule_name, rule_where;  // the rule that decided: name and file:line
  std::vector<PlannedWeight> weights;
  std::vector<PlannedWeight> prefill_weights;  // on prefill_device, where it is another one
  std::string note;       // what of the rule's format does not apply here, and why; mostly empty
  std::string numa_note;  // the same of its NUMA policy
  uint64_t bytes = 0;     // in memory, all copies on all devices
  uint64_t bytes_per_token = 0;  // weights read to decode one token
};

/// A rule as written, and the modules and bytes that it decided.
struct PlannedRule {
  std::string name, where, text;  // where: file:line; text: match and place on one line
  size_t modules = 0;
  uint64_t bytes = 0;
};

/// How the model runs, and who said so: a rule's file:line, an option's flag, "checkpoint" or
/// "default".
struct PlannedSetting {
  std::string name, value, from;
};

/// Bytes on one device. Besides these the CPU needs a few MB for the program itself, its threads
/// and the tokenizer.
struct DeviceMemory {
  std::string device;        // "cpu" or "cuda:0"
  uint64_t weights = 0;      // all copies, experts that stay on a GPU included
  uint64_t cache = 0;        // KV cache of all sessions
  uint64_t activations = 0;  // the values between the ops of a step, all workspaces
  uint64_t scratch = 0;      // of the kernels, all workspaces
  uint64_t rope_tables = 0;  // for cache_length positions
  uint64_t streaming = 0;    // where experts lie while they pass through
  uint64_t driver = 0;       // what a GPU's driver keeps for itself
  uint64_t loading = 0;      // buffers that are gone when loading is done

  /// The most that is in use at once: to load, or to run all sessions.
  uint64_t most() const noexcept;
};

/// How fast a prompt of so many tokens is read, in tokens/s.
struct PredictedPrefill {
  int64_t tokens = 0;
  double rate = 0;
};

struct Plan {
  std::string rules_file;
  hw::Machine machine;
  graph::Model model;
  std::vector<PlannedModule> modules;  // one a used module of the model, in the model's order
  std::vector<PlannedRule> rules;      // in file order
  std::vector<PlannedSetting> settings;
  std::string tokenizer;          // a path; empty: the model's own
  std::string weights_cache;      // a folder of packed weights; empty: none
  int threads = 1;                // CPU workers
  int decode_threads = 0;         // of them in decode steps; 0: found while loading, by measuring
  std::vector<int> node_threads;  // of them on each node of the machine
  int sessions = 1;               // that can run at once
  bool deterministic = false;     // a sequence's numbers depend on no other one in its step
  int64_t cache_length = 0;       // tokens a session can hold
  graph::KvFormat cache_format = graph::KvFormat::bf16;
  int64_t cache_pages = 0;             // KV cache of all sessions, in pages of graph::page_tokens
  int64_t prefill_chunk = 0;           // tokens of one prompt in a step at most
  int max_experts_per_token = 0;       // columns of a routing: no token uses more experts
  std::vector<int> experts_per_token;  // [layers] unless a request says otherwise; -1: no experts
  std::vector<DeviceMemory> devices;   // "cpu" first, then the GPUs that are used
  /// Tokens/s of decoding behind predicted_depth tokens; 0: not known.
  double predicted_decode = 0;
  int64_t predicted_depth = 0;
  std::vector<PredictedPrefill> predicted_prefill;  // empty: not known

  /// Rows of a decode step at most: of each session a token, or the last few of its prompt.
  int64_t decode_rows() const noexcept;
  /// The planned module of model.modules[module], or nullptr when it is unused.
  const PlannedModule* find(int module) const noexcept;
  /// The module that `planned` is the plan of.
  const graph::Module& module_of(const PlannedModule& planned) const;
  /// Whether experts are copied to a GPU while slices of prompts run.
  bool streams() const noexcept;
  uint64_t weight_bytes() const noexcept;     // in memory, all copies
  uint64_t bytes_per_token() const noexcept;  // weights read to decode one token
  uint64_t cache_bytes() const noexcept;      // KV cache of all sessions, on all devices
  /// Of "cuda:N", which the machine has.
  const hw::Gpu& gpu(std::string_view device) const;
  /// The memory of a device; null when the plan does not use it.
  const DeviceMemory* find_device(std::string_view device) const noexcept;
};

}  // namespace ktx::placement
