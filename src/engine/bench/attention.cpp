// bench_attention: one layer of MLA while decoding, for every format, kernel, context and batch.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

#include "core/base/buffer.hpp"
#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "core/hw/affinity.hpp"
#include "core/hw/free_memory.hpp"
#include "core/hw/machine.hpp"
#include "engine/bench/packed_stack.hpp"
#include "engine/bench/timing.hpp"
#include "ktx/bench.hpp"
#include "ops/attention/mla.hpp"

namespace ktx {

namespace {

using engine::PackedStack;
using quant::Format;

constexpr uint64_t cold_bytes = uint64_t{2} << 30;
constexpr int most_layers = 64;
constexpr double probe_seconds = 0.1;

graph::MlaParams deepseek_v3() {
  graph::MlaParams p{.heads = 128, .nope = 128, .rope = 64, .v = 128, .kv_lora = 512};
  p.scale = 1 / std::sqrt(192.0f);
  p.rotary.interleaved = true;
  for (int i = 0; i < p.rope / 2; ++i)
    p.rotary.frequency.push_back(std::pow(10000.0f, -2 * static_cast<float>(i) / 64));
  return p;
}

// ---- options ----

std::vector<std::string> kernel_names() {
  std::vector<std::string> names{"auto"};
  for (const auto& kernel : ops::attention_kernels()) names.emplace_back(kernel.name);
  return names;
}

Format format_named(const std::string& name) {
  if (const auto format = quant::find_format(name)) return *format;
  throw_input("no such format: '" + name + "'", {},
              base::suggestions(name, quant::format_names(), "formats"));
}

graph::KvFormat cache_named(const std::string& name) {
  if (const auto format = graph::find_kv_format(name)) return *format;
  std::vector<std::string> names;
  for (const auto& format : graph::kv_formats()) names.emplace_back(format.name);
  throw_input("no such format of a cache: '" + name + "'", {},
              base::suggestions(name, names, "formats"));
}

void check_range(const char* what, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most)
    throw_input("can't measure " + std::to_string(value) + " " + what + ": expected " +
                std::to_string(least) + " to " + std::to_string(most));
}

void check(const AttentionBenchOptions& o, const graph::MlaParams& p) {
  for (const auto& name : o.formats)
    for (const int64_t cols : {p.nope, p.kv_lora})
      if (const Format format = format_named(name); !quant::fits(format, cols))
        throw_input("format " + name + " can't store rows of " + std::to_string(cols) +
                    " numbers, which is not a multiple of " +
                    std::to_string(quant::info(format).block));
  cache_named(o.cache);
  const auto names = kernel_names();
  for (const auto& name : o.kernels)
    if (std::ranges::find(names, name) == names.end())
      throw_input("no such kernel: '" + name + "'", {}, base::suggestions(name, names, "kernels"));
  for (const int64_t context : o.contexts)
    check_range("tokens of context", context, 1, int64_t{1} << 20);
  for (const int64_t batch : o.batches) check_range("sequences", batch, 1, 1024);
  check_range("layers", o.layers, 0, 1024);
  check_range("threads", o.threads, 0, 4096);
  check_range("repetitions", o.repeat, 1, 1000);
}

const ops::AttentionKernel& choose_kernel(const std::string& name, hw::Isa isa) {
  if (name == "auto") return ops::best_attention_kernel(isa);
  const ops::AttentionKernel& kernel = *ops::find_attention_kernel(name);
  if (kernel.isa > isa)
    throw_environment("kernel " + name + " needs " + std::string(hw::name(kernel.isa)) +
                      ", this machine has " + std::string(hw::name(isa)));
  return kernel;
}

// ---- what is measured ----

struct Setup {
  graph::MlaParams params;
  Format format = Format::f32;
  const ops::AttentionKernel* kernel = nullptr;
  hw::Isa isa = hw::Isa::scalar;
  graph::KvFormat cache = graph::KvFormat::bf16;
  int64_t context = 0, batch = 0;

  ops::PackedMatrix matrix(int64_t rows, int64_t cols) const {
    const auto& chosen = ops::mla_matmul_kernel(*kernel, isa, format, rows, cols);
    return {.format = format, .rows = rows, .cols = cols, .decode = &chosen, .prefill = &chosen};
  }
  ops::PackedMatrix k_b() const { return matrix(params.kv_lora, params.nope); }
  ops::PackedMatrix v_b() const { return matrix(params.v, params.kv_lora); }
  graph::KvRow row() const {
    return {.scaled = params.kv_lora, .group = 128, .exact = params.rope};
  }

  // Of a layer.
  int64_t pages() const { return batch * graph::pages_of(context); }
  int64_t page_bytes() const { return graph::page_tokens * graph::row_bytes(cache, row()); }
  int64_t weight_bytes() const {
    return params.heads * (engine::packed_bytes(k_b()) + engine::packed_bytes(v_b()));
  }
  int64_t bytes() const { return weight_bytes() + pages() * page_bytes(); }
  double multiply_adds() const {
    const double weights = params.kv_lora * (params.nope + params.v);
    const double keys = static_cast<double>(context) * (2 * params.kv_lora + params.rope);
    return static_cast<double>(batch * params.heads) * (weights + keys);
  }
};

/// So many layers that the caches hold no part worth mentioning, in at most half of the free
/// memory.
int cold_layers(const hw::Machine& machine, const Setup& setup) {
  const auto one = static_cast<uint64_t>(setup.bytes());
  const uint64_t caches = machine.l3_bytes * machine.nodes.size();  // at most one package a node
  const uint64_t wanted = (std::max(cold_bytes, 4 * caches) + one - 1) / one;
  const uint64_t possible = std::max<uint64_t>(hw::free_memory() / 2 / one, 1);
  return static_cast<int>(std::min<uint64_t>({wanted, possible, most_layers}));
}

/// The layers, whose caches are full but for the new tokens.
class Layers {
 public:
  Layers(const Setup& setup, int count, hw::WorkerPool& pool)
      : setup_(setup),
        count_(count),
        pool_(pool),
        rope_(setup.params.rotary, setup.context),
        k_b_(setup.k_b(), count * setup.params.heads, pool),
        v_b_(setup.v_b(), count * setup.params.heads, pool),
        pages_(static_cast<size_t>(count * setup.pages() * setup.page_bytes()), true),
        q_(engine::some_activations(setup.batch * q_width())),
        latent_(engine::some_activations(setup.batch * setup.params.kv_lora)),
        k_rope_(engine::some_activations(setup.batch * setup.params.rope)),
        out_(static_cast<size_t>(setup.batch * setup.params.heads * setup.params.v)) {
    fill_pages();
    for (int i = 0; i < count * setup.params.heads; ++i) {
      k_heads_.push_back(k_b_.at(i));
      v_heads_.push_back(v_b_.at(i));
    }
    for (int64_t i = 0; i < setup.pages(); ++i) numbers_.push_back(static_cast<int32_t>(i));
    for (int64_t i = 0; i < setup.batch; ++i)
      sequences_.push_back({.first_row = i,
                            .rows = 1,
                            .past = setup.context - 1,
                            .pages = numbers_.data() + i * graph::pages_of(setup.context),
                            .kernel = setup.kernel});
    scratch_ = base::Buffer(
        ops::mla_scratch_bytes({setup.kernel}, setup.params, k_heads_[0], v_heads_[0],
                               {.rows = setup.batch, .sequences = setup.batch}, pool.size()),
        true);
  }

  /// Attention of the next layer in turn.
  void call() noexcept {
    const graph::MlaParams& p = setup_.params;
    const int64_t layer = next_, first = layer * p.heads;
    next_ = (next_ + 1) % count_;
    ops::mla({.params = &p,
              .k_b = k_heads_.data() + first,
              .v_b = v_heads_.data() + first,
              .rope = &rope_,
              .q = q_.data(),
              .q_stride = q_width(),
              .latent = latent_.data(),
              .latent_stride = p.kv_lora,
              .k_rope = k_rope_.data(),
              .k_rope_stride = p.rope,
              .out = out_.data(),
              .out_stride = int64_t(p.heads) * p.v,
              .cache = cache_of(layer),
              .sequences = sequences_,
              .scratch = scratch_.data()},
             pool_);
  }

 private:
  int64_t q_width() const noexcept {
    return int64_t(setup_.params.heads) * (setup_.params.nope + setup_.params.rope);
  }
  ops::KvPages cache_of(int64_t layer) noexcept {
    return {.data = pages_.data() + layer * setup_.pages() * setup_.page_bytes(),
            .format = setup_.cache,
            .row = setup_.row(),
            .row_bytes = graph::row_bytes(setup_.cache, setup_.row())};
  }
  // All pages hold the same random rows: kernels can't tell.
  void fill_pages() {
    const ops::KvPages cache = cache_of(0);
    const int64_t numbers = cache.row.numbers();
    const auto x = engine::some_activations(graph::page_tokens * numbers);
    for (int64_t t = 0; t < graph::page_tokens; ++t) {
      ops::KvWriteArgs row{.cache = &cache, .row = cache.row_of(0, t)};
      row.numbers = cache.row.scaled;
      row.from = x.data() + t * numbers;
      ops::write_numbers(row);
      row.number = cache.row.scaled;
      row.numbers = cache.row.exact;
      row.from += cache.row.scaled;
      ops::write_numbers(row);
    }
    const int64_t bytes = setup_.page_bytes();
    pool_.parallel_for(count_ * setup_.pages() - 1, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i)
        std::memcpy(pages_.data() + (i + 1) * bytes, pages_.data(), static_cast<size_t>(bytes));
    });
  }

  Setup setup_;
  int64_t count_, next_ = 0;
  hw::WorkerPool& pool_;
  ops::RopeTable rope_;
  PackedStack k_b_, v_b_;
  base::Buffer pages_, scratch_;
  std::vector<float> q_, latent_, k_rope_, out_;
  std::vector<ops::PackedMatrix> k_heads_, v_heads_;  // [layers, heads]
  std::vector<int32_t> numbers_;                      // of pages
  std::vector<ops::SequenceRows> sequences_;
};

class Run {
 public:
  explicit Run(const AttentionBenchOptions& options)
      : o_(options),
        machine_(hw::detect_machine()),
        cpus_(hw::spread_cpus(machine_)),
        pool_(o_.threads > 0 ? o_.threads : machine_.core_count(), cpus_) {
    result_.machine = measure_machine(pool_.size());
  }

  void bench(Setup setup) {
    setup.isa = machine_.isa;
    Layers layers(setup, o_.layers > 0 ? o_.layers : cold_layers(machine_, setup), pool_);
    engine::Timing timing;
    {
      const hw::CpuGuard pinned{std::span<const int>(cpus_).first(1)};
      timing = engine::measure([&]() noexcept { layers.call(); }, o_.repeat);
    }
    AttentionRow row{.format = std::string(quant::name(setup.format)),
                     .kernel = std::string(setup.kernel->name),
                     .cache = o_.cache,
                     .context = setup.context,
                     .batch = setup.batch,
                     .weight_bytes = static_cast<uint64_t>(setup.weight_bytes()),
                     .cache_bytes = static_cast<uint64_t>(
                         setup.batch * setup.context * graph::row_bytes(setup.cache, setup.row())),
                     .seconds = timing.median,
                     .spread = timing.spread,
                     .read_bandwidth = hw::measure_read_bandwidth(pool_.size(), probe_seconds),
                     .type = setup.kernel->tiles != nullptr ? "bf16" : "f32"};
    row.bytes_per_second = static_cast<double>(row.weight_bytes + row.cache_bytes) / row.seconds;
    row.ops_per_second = 2 * setup.multiply_adds() / row.seconds;
    auto& best = result_.machine.read_bandwidth;
    best = std::max(best, row.read_bandwidth);
    if (const auto* peak = result_.machine.best_peak(row.type)) row.peak = peak->ops_per_second;
    if (o_.on_row) o_.on_row(row);
    result_.rows.push_back(std::move(row));
  }

  const ops::AttentionKernel& kernel(const std::string& name) const {
    return choose_kernel(name, machine_.isa);
  }
  AttentionBench result() { return std::move(result_); }

 private:
  const AttentionBenchOptions& o_;
  hw::Machine machine_;
  std::vector<int> cpus_;
  hw::WorkerPool pool_;
  AttentionBench result_;
};

}  // namespace

AttentionBench bench_attention(const AttentionBenchOptions& options) {
  const graph::MlaParams params = deepseek_v3();
  check(options, params);
  Run run(options);
  const std::vector<std::string> best{"auto"};
  for (const auto& format : options.formats)
    for (const auto& kernel : options.kernels.empty() ? best : options.kernels)
      for (const int64_t batch : options.batches)
        for (const int64_t context : options.contexts)
          run.bench({.params = params,
                     .format = format_named(format),
                     .kernel = &run.kernel(kernel),
                     .cache = cache_named(options.cache),
                     .context = context,
                     .batch = batch});
  return run.result();
}

}  // namespace ktx
