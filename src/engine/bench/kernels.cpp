// bench_kernels: every format, kernel and number of tokens, timed between two looks at the memory's
// speed.
#include <algorithm>
#include <memory>
#include <span>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "core/hw/affinity.hpp"
#include "core/hw/free_memory.hpp"
#include "core/hw/machine.hpp"
#include "engine/bench/subjects.hpp"
#include "engine/bench/timing.hpp"
#include "ktx/bench.hpp"
#include "ops/kernels.hpp"

namespace ktx {

namespace {

using engine::BenchSetup;
using engine::BenchSubject;
using ops::MatmulKernel;
using quant::Format;

// What checkpoints of DeepSeek-V3's size come in, or are quantized to.
const std::vector<std::string> usual_formats{"q4_k", "q5_k", "q6_k", "q8_0",   "iq4_xs",
                                             "bf16", "fp8",  "int8", "int4/64"};

constexpr uint64_t cold_bytes = uint64_t{2} << 30;
constexpr int most_matrices = 1024;
constexpr int layer_experts = 256;           // DeepSeek-V3's
constexpr int64_t most_of_a_size = 1 << 20;  // of rows, columns, tokens: products fit 64 bits
constexpr double probe_seconds = 0.1;

// ---- options ----

std::vector<std::string> kernel_names(const std::string& op) {
  std::vector<std::string> names{"auto"};
  for (const auto& row : ops::kernels(op == "moe" ? graph::Op::moe : graph::Op::linear))
    if (row.device == "cpu") names.emplace_back(row.name);
  return names;
}

Format format_named(const std::string& name) {
  if (const auto format = quant::find_format(name)) return *format;
  throw_input("no such format: '" + name + "'", {},
              base::suggestions(name, quant::format_names(), "formats"));
}

void check_range(const char* what, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most)
    throw_input("can't measure " + std::to_string(value) + " " + what + ": expected " +
                std::to_string(least) + " to " + std::to_string(most));
}

void check(const KernelBenchOptions& o) {
  if (o.op != "moe" && o.op != "linear")
    throw_input("no such op to measure: '" + o.op + "'", {},
                base::suggestions(o.op, {"moe", "linear"}, "ops"));
  if (o.all_experts && o.op != "moe")
    throw_input("all experts are measured of op 'moe', not of '" + o.op + "'");
  for (const auto& name : o.formats) format_named(name);
  const auto names = kernel_names(o.op);
  for (const auto& name : o.kernels)
    if (std::ranges::find(names, name) == names.end())
      throw_input("no such kernel: '" + name + "'", {}, base::suggestions(name, names, "kernels"));
  for (const int64_t tokens : o.tokens) check_range("tokens", tokens, 1, most_of_a_size);
  check_range("hidden numbers", o.hidden, 1, most_of_a_size);
  check_range("intermediate numbers", o.intermediate, 1, most_of_a_size);
  check_range("experts", o.experts, 0, most_matrices);
  for (const int threads : o.threads) check_range("threads", threads, 1, 4096);
  check_range("repetitions", o.repeat, 1, 1000);
}

const MatmulKernel& choose_kernel(const KernelBenchOptions& o, const std::string& name, hw::Isa isa,
                                  Format format, int64_t rows, int64_t cols) {
  if (!quant::fits(format, cols))
    throw_input("format " + std::string(quant::name(format)) + " can't store rows of " +
                std::to_string(cols) + " numbers, which is not a multiple of " +
                std::to_string(quant::info(format).block));
  if (name == "auto")
    return o.op == "moe" ? ops::best_matmul_kernel(isa, format, rows, cols)
                         : ops::best_linear_kernel(isa, format, rows, cols);
  const MatmulKernel& kernel = *ops::find_matmul_kernel(name);
  if (kernel.isa > isa)
    throw_environment("kernel " + name + " needs " + std::string(hw::name(kernel.isa)) +
                      ", this machine has " + std::string(hw::name(isa)));
  const auto reason = kernel.refusal(format, rows, cols);
  if (!reason.empty()) throw_input("kernel " + name + " " + reason);
  return kernel;
}

/// So many that the caches hold no part worth mentioning, in at most half of the free memory.
int cold_count(const hw::Machine& machine, int64_t bytes_of_one) {
  const uint64_t caches = machine.l3_bytes * machine.nodes.size();  // at most one package a node
  const auto one = static_cast<uint64_t>(bytes_of_one);
  const uint64_t wanted = (std::max(cold_bytes, 4 * caches) + one - 1) / one;
  const uint64_t possible = std::max<uint64_t>(hw::free_memory() / 2 / one, 1);
  return static_cast<int>(std::min<uint64_t>({wanted, possible, most_matrices}));
}

// ---- timing ----

/// The type of the numbers that a kernel multiplies for so many tokens.
std::string number_type(const ops::MatmulKernel& kernel, Format format, int64_t cols,
                        int64_t tokens) {
  switch (ops::activation_for(kernel, format, cols, tokens)) {
    case ops::ActivationFormat::f32:
    case ops::ActivationFormat::f32_chunks:
      return "f32";
    case ops::ActivationFormat::q8:
    case ops::ActivationFormat::int8_tiles:
    case ops::ActivationFormat::u8_chunks:
      return "int8";
    case ops::ActivationFormat::bf16_tiles:
      return "bf16";
  }
  return {};
}

// ---- a run ----

class Run {
 public:
  explicit Run(const KernelBenchOptions& options)
      : o_(options),
        machine_(hw::detect_machine()),
        cpus_(hw::spread_cpus(machine_)),
        threads_(o_.threads.empty() ? std::vector{machine_.core_count()} : o_.threads),
        pool_(std::ranges::max(threads_), cpus_) {
    result_.machine = measure_machine(pool_.threads());
    bandwidth_ = result_.machine.read_bandwidth;
  }

  /// Throws when a layer's experts in this format don't fit the free memory.
  void check_memory(const std::string& format_name, const std::string& kernel) const {
    if (!o_.all_experts) return;
    const BenchSetup setup = setup_of(format_name, kernel);
    const int count = count_of(setup);
    const auto one = static_cast<uint64_t>(engine::bench_bytes(setup));
    const uint64_t needed = one * static_cast<uint64_t>(count), free = hw::free_memory();
    if (free == 0 || needed <= free) return;
    throw_environment(std::to_string(count) + " experts in " + format_name + " need " +
                          base::format_bytes(needed) + ", " + base::format_bytes(free) +
                          " of memory are free",
                      "", {"fewer experts (--experts N) need less"});
  }

  void bench(const std::string& format_name, const std::string& kernel) {
    const BenchSetup setup = setup_of(format_name, kernel);
    const int count = count_of(setup);
    const auto subject = subject_of(setup, count);
    for (const int64_t tokens : o_.tokens) {
      subject->set_tokens(tokens);
      const int64_t of_expert = subject->products() / subject->active();
      for (const int threads : threads_) {
        KernelRow row{.op = o_.all_experts ? "layer" : o_.op,
                      .format = format_name,
                      .kernel = std::string(setup.gate->name),
                      .tokens = tokens,
                      .active_experts = subject->active(),
                      .experts = count,
                      .threads = threads,
                      .type = number_type(*setup.gate, setup.format, o_.hidden, of_expert)};
        time(*subject, row);
        if (o_.on_row) o_.on_row(row);
        result_.rows.push_back(std::move(row));
      }
    }
  }

  KernelBench result() { return std::move(result_); }

 private:
  BenchSetup setup_of(const std::string& format_name, const std::string& kernel) const {
    const Format format = format_named(format_name);
    BenchSetup setup{.format = format, .hidden = o_.hidden, .intermediate = o_.intermediate};
    setup.gate = &choose_kernel(o_, kernel, machine_.isa, format, o_.intermediate, o_.hidden);
    if (o_.op == "moe")
      setup.down = &choose_kernel(o_, kernel, machine_.isa, format, o_.hidden, o_.intermediate);
    return setup;
  }

  int count_of(const BenchSetup& setup) const {
    if (o_.experts > 0) return o_.experts;
    return o_.all_experts ? layer_experts : cold_count(machine_, engine::bench_bytes(setup));
  }

  std::unique_ptr<BenchSubject> subject_of(const BenchSetup& setup, int count) {
    if (o_.all_experts) return engine::make_layer_subject(setup, count, pool_);
    return o_.op == "moe" ? engine::make_moe_subject(setup, count, pool_)
                          : engine::make_linear_subject(setup, count, pool_);
  }

  void time(BenchSubject& subject, KernelRow& row) {
    engine::Timing timing;
    {
      const hw::CpuGuard pinned{std::span<const int>(cpus_).first(1)};
      pool_.use(row.threads);
      timing = engine::measure([&]() noexcept { subject.call(); }, o_.repeat);
      pool_.use(pool_.threads());
    }
    row.seconds = timing.median;
    row.spread = timing.spread;
    row.weight_bytes =
        static_cast<uint64_t>(subject.bytes()) * static_cast<uint64_t>(row.active_experts);
    row.bytes_per_second = static_cast<double>(row.weight_bytes) / row.seconds;
    row.ops_per_second =
        2 * subject.weights() * static_cast<double>(subject.products()) / row.seconds;
    const double before = bandwidth_;
    bandwidth_ = hw::measure_read_bandwidth(pool_.threads(), probe_seconds);
    row.read_bandwidth = std::max(before, bandwidth_);
    auto& best = result_.machine.read_bandwidth;
    best = std::max(best, bandwidth_);
    if (const auto* peak = result_.machine.best_peak(row.type)) row.peak = peak->ops_per_second;
  }

  const KernelBenchOptions& o_;
  hw::Machine machine_;
  std::vector<int> cpus_;
  std::vector<int> threads_;
  hw::WorkerPool pool_;
  double bandwidth_ = 0;  // as measured last
  KernelBench result_;
};

}  // namespace

KernelBench bench_kernels(const KernelBenchOptions& options) {
  check(options);
  Run run(options);
  const std::vector<std::string> best{"auto"};
  const auto& formats = options.formats.empty() ? usual_formats : options.formats;
  const auto& kernels = options.kernels.empty() ? best : options.kernels;
  for (const auto& format : formats)
    for (const auto& kernel : kernels) run.check_memory(format, kernel);
  for (const auto& format : formats)
    for (const auto& kernel : kernels) run.bench(format, kernel);
  return run.result();
}

}  // namespace ktx
