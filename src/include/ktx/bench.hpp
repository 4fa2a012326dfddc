// Benchmarks: kernels on cold weights, against what the machine itself reaches.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ktx {

/// Multiply-adds in registers: the most that one kind of instruction does.
struct PeakSpeed {
  std::string isa;            // e.g. "avx512_vnni"
  std::string type;           // of the factors: "int8", "bf16", "f32"
  double ops_per_second = 0;  // a multiply-add is two
};

/// What this box reaches with `threads` pinned threads.
struct MachineSpeed {
  std::string name;  // the CPU's model name
  int threads = 0;
  double read_bandwidth = 0;  // bytes/s from memory on 2 MiB pages
  std::vector<PeakSpeed> peaks;

  /// The fastest of a data type, or of all when it is empty; null when there is none.
  const PeakSpeed* best_peak(std::string_view type = {}) const noexcept;
};

/// Measures for about half a second. threads: 0: one a physical core. Throws environment error when
/// there is no memory for it.
MachineSpeed measure_machine(int threads = 0);

/// One measurement. Every call multiplies by other weights than the calls before it, or by those of
/// a whole layer, so that they come from memory.
struct KernelRow {
  std::string op, format, kernel;       // op "layer": all experts
  int64_t tokens = 0;                   // of each active expert; "layer": of the layer
  int active_experts = 0, experts = 0;  // multiplied by in a call; in memory
  int threads = 0;                      // of the CPU that took part
  uint64_t weight_bytes = 0;            // that a call reads
  double seconds = 0;                   // of a call: the median of the repetitions
  double spread = 0;                    // (slowest - fastest) / median
  double bytes_per_second = 0;          // weight_bytes by the median
  double ops_per_second = 0;            // 2 a weight and token, by the median
  double read_bandwidth = 0;            // of the machine, measured just before and after
  std::string type;                     // of the factors: "int8", "f32"
  double peak = 0;                      // the machine's best ops/s of that type; 0: not known
};

struct KernelBenchOptions {
  std::string op = "moe";            // "moe": routed experts, or "linear"
  std::vector<std::string> formats;  // by their names in rules; empty: those of large models
  std::vector<std::string> kernels;  // by their names in rules; empty: the best, "auto"
  /// Measures all routed experts of a layer at once, 256 unless `experts` says otherwise; its
  /// tokens choose 8 of them each, skewed as a router's choices are.
  bool all_experts = false;
  /// Of each active expert, of the matrix, or with all experts of the layer.
  std::vector<int64_t> tokens = {1, 4, 16, 64, 256};
  int64_t hidden = 7168, intermediate = 2048;  // linear: a matrix [intermediate, hidden]
  /// Experts (linear: matrices) in memory; 0: so many that no cache holds a part worth mentioning.
  int experts = 0;
  /// CPU workers; every row is measured with each number of them, the machine with the largest.
  /// Empty: one a physical core.
  std::vector<int> threads;
  int repeat = 5;
  std::function<void(const KernelRow&)> on_row;  // called with each row as soon as it is measured
};

struct KernelBench {
  MachineSpeed machine;  // read_bandwidth: the best seen in the whole run
  std::vector<KernelRow> rows;
};

/// Throws input error for an unknown op, format or kernel, or shapes that a kernel can't take;
/// environment error when this box lacks the memory (before anything is measured) or the
/// instructions.
KernelBench bench_kernels(const KernelBenchOptions& options);

/// This box as YAML that PlanOptions::machine takes: what hwloc and CUDA say of it, and the speeds
/// that it reaches, measured for some seconds. model_file: a large file, whose disk is measured by
/// reading up to 2 GiB; empty: none is. Throws environment error when memory is missing.
std::string describe_box(const std::filesystem::path& model_file = {});

/// Attention of one layer of DeepSeek-V3 while decoding: a token of each of `batch` sequences.
/// Every call takes the weights and the cache of another layer, so that they come from memory.
struct AttentionRow {
  std::string format, kernel, cache;  // format of k_b and v_b
  int64_t context = 0, batch = 0;     // tokens of each sequence, the new one included
  uint64_t weight_bytes = 0;          // that a call reads, of k_b and v_b
  uint64_t cache_bytes = 0;           // and of the cache
  double seconds = 0;                 // of a call: the median of the repetitions
  double spread = 0;                  // (slowest - fastest) / median
  double bytes_per_second = 0;        // weights and cache by the median
  double ops_per_second = 0;          // all multiply-adds, two each, by the median
  double read_bandwidth = 0;          // of the machine, measured just before and after
  std::string type;                   // of the factors of attention: "bf16", "f32"
  double peak = 0;                    // the machine's best ops/s of that type; 0: not known
};

struct AttentionBenchOptions {
  std::vector<std::string> formats = {"q8_0"};  // of k_b and v_b, by their names in rules
  std::vector<std::string> kernels;             // by their names in rules; empty: the best, "auto"
  std::vector<int64_t> contexts = {33, 4096, 32768}, batches = {1};
  std::string cache = "bf16";
  int layers = 0;   // in memory; 0: so many that no cache holds a part worth mentioning
  int threads = 0;  // 0: one a physical core
  int repeat = 5;
  std::function<void(const AttentionRow&)> on_row;  // as soon as a row is measured
};

struct AttentionBench {
  MachineSpeed machine;  // read_bandwidth: the best seen in the whole run
  std::vector<AttentionRow> rows;
};

/// Throws input error for an unknown format or kernel, or numbers that can't be measured;
/// environment error when this box lacks the memory or the instructions.
AttentionBench bench_attention(const AttentionBenchOptions& options);

/// Token ids all over the vocabulary, so that experts are chosen as a real text would; the same
/// with every call.
std::vector<int32_t> some_tokens(int64_t count, int vocab);

}  // namespace ktx
