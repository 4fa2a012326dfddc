// Benchmarks of kernels on cold weights, compared with what the machine itself reaches.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ktx {

/// Peak rate of one kind of multiply-add instruction on data in registers.
struct PeakSpeed {
  std::string isa;            // e.g. "avx512_vnni"
  std::string type;           // of the factors: "int8", "bf16", "f32"
  double ops_per_second = 0;  // a multiply-add counts as two
};

/// What this machine reaches with `threads` pinned threads.
struct MachineSpeed {
  std::string name;  // the CPU's model name
  int threads = 0;
  double read_bandwidth = 0;  // bytes/s from memory on 2 MiB pages
  std::vector<PeakSpeed> peaks;

  /// The fastest for a type, or for any type if it is empty; null: there is none.
  const PeakSpeed* best_peak(std::string_view type = {}) const noexcept;
};

/// Measures for about half a second. threads 0: one per physical core. Throws ktx::Error:
/// environment when memory is missing.
MachineSpeed measure_machine(int threads = 0);

/// One measurement. Consecutive calls use different weights, or those of a whole layer, so that the
/// weights come from memory and not from a cache.
struct KernelRow {
  std::string op, format, kernel;  // op "layer": all experts of a layer
  int64_t tokens = 0;              // per active expert; "layer": of the layer
  int active_experts = 0;          // used by a call
  int experts = 0;                 // in memory
  int threads = 0;                 // CPU threads
  uint64_t weight_bytes = 0;       // that a call reads
  double seconds = 0;              // of a call: median of the repetitions
  double spread = 0;               // (slowest - fastest) / median
  double bytes_per_second = 0;     // weight_bytes / seconds
  double ops_per_second = 0;       // 2 * weights * tokens / seconds
  double read_bandwidth = 0;       // bytes/s of the machine, measured just before and after
  std::string type;                // of the factors: "int8", "f32"
  double peak = 0;                 // the machine's best ops/s for that type; 0: not known
};

struct KernelBenchOptions {
  std::string op = "moe";            // "moe": routed experts, or "linear"
  std::vector<std::string> formats;  // names as in rules; empty: those of large models
  std::vector<std::string> kernels;  // names as in rules; empty: the best, "auto"
  /// Runs all routed experts of a layer in one call, 256 unless `experts` says otherwise. Each
  /// token chooses 8 of them, skewed like the choices of a trained router.
  bool all_experts = false;
  /// Tokens per active expert; linear: of the matrix; all_experts: of the layer.
  std::vector<int64_t> tokens = {1, 4, 16, 64, 256};
  int64_t hidden = 7168, intermediate = 2048;  // linear: a matrix [intermediate, hidden]
  /// Experts (linear: matrices) in memory; 0: enough to make caching negligible.
  int experts = 0;
  /// CPU threads: every row is measured with each of these numbers, the machine with the largest.
  /// Empty: one per physical core.
  std::vector<int> threads;
  int repeat = 5;
  std::function<void(const KernelRow&)> on_row;  // called with each row when it is measured
};

struct KernelBench {
  MachineSpeed machine;  // read_bandwidth: the best of the whole run
  std::vector<KernelRow> rows;
};

/// Throws ktx::Error: input for an unknown op, format or kernel, or shapes that a kernel can't
/// take; environment when this machine lacks the instructions, or the memory (before anything is
/// measured).
KernelBench bench_kernels(const KernelBenchOptions& options);

/// A description of this machine as YAML for PlanOptions::machine: what hwloc and CUDA report, and
/// the speeds it reaches, measured for some seconds. model_file: a large file whose disk is
/// measured by reading up to 2 GiB of it; empty: no disk is measured. Throws ktx::Error:
/// environment when memory is missing.
std::string describe_machine(const std::filesystem::path& model_file = {});

/// Attention of one layer of DeepSeek-V3 in a decode step: one token of each of `batch` sequences.
/// Consecutive calls use the weights and KV caches of different layers, so that both come from
/// memory.
struct AttentionRow {
  std::string format;  // of k_b and v_b, the two halves of kv_b_proj
  std::string kernel;
  std::string cache;            // format of the KV cache
  int64_t context = 0;          // tokens of each sequence, including the new one
  int64_t batch = 0;            // sequences
  uint64_t weight_bytes = 0;    // of k_b and v_b that a call reads
  uint64_t cache_bytes = 0;     // of the KV cache that a call reads
  double seconds = 0;           // of a call: median of the repetitions
  double spread = 0;            // (slowest - fastest) / median
  double bytes_per_second = 0;  // (weight_bytes + cache_bytes) / seconds
  double ops_per_second = 0;    // 2 * multiply-adds / seconds
  double read_bandwidth = 0;    // bytes/s of the machine, measured just before and after
  std::string type;             // of the factors of attention: "bf16", "f32"
  double peak = 0;              // the machine's best ops/s for that type; 0: not known
};

struct AttentionBenchOptions {
  std::vector<std::string> formats = {"q8_0"};  // of k_b and v_b; names as in rules
  std::vector<std::string> kernels;             // names as in rules; empty: the best, "auto"
  std::vector<int64_t> contexts = {33, 4096, 32768}, batches = {1};
  std::string cache = "bf16";  // format of the KV cache
  int layers = 0;              // in memory; 0: enough to make caching negligible
  int threads = 0;             // 0: one per physical core
  int repeat = 5;
  std::function<void(const AttentionRow&)> on_row;  // called with each row when it is measured
};

struct AttentionBench {
  MachineSpeed machine;  // read_bandwidth: the best of the whole run
  std::vector<AttentionRow> rows;
};

/// Throws ktx::Error: input for an unknown format or kernel, or numbers that can't be measured;
/// environment when this machine lacks the memory or the instructions.
AttentionBench bench_attention(const AttentionBenchOptions& options);

/// Token ids spread over the whole vocabulary, so that experts are chosen as by real text; the same
/// in every call.
std::vector<int32_t> some_tokens(int64_t count, int vocab);

}  // namespace ktx
