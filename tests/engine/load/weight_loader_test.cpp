// Streaming many blocks of many weights; failures on the way; memory.
#include "engine/load/weight_loader.hpp"

#include <atomic>
#include <cstring>
#include <fstream>
#include <mutex>

#include "catch.hpp"
#include "core/base/buffer.hpp"
#include "ktx/error.hpp"
#include "support/reference.hpp"

using namespace ktx;
using engine::LoadJob;

namespace {

// A source of one tensor of any size whose bytes follow from their place: nothing is stored.
class EndlessSource final : public loader::TensorSource {
 public:
  EndlessSource(int64_t rows, int64_t cols)
      : meta_{"t", quant::Format::q8_0, {rows, cols}, "nowhere"} {}
  int64_t fails_at = -1;  // a row that can't be read

  int64_t nan_at = -1;  // a row with a scale that is no number

  static std::byte byte_at(int64_t index) {
    const auto byte = static_cast<std::byte>(index * 31 >> 3);
    return index % 34 == 1 ? byte & std::byte{0x3f} : byte;  // of scales the high one: finite
  }

  loader::CheckpointKind kind() const noexcept override { return loader::CheckpointKind::gguf; }
  const std::filesystem::path& path() const noexcept override { return path_; }
  const Json& config() const noexcept override { return none_; }
  const Json& generation_config() const noexcept override { return none_; }
  const Json& tokenizer() const noexcept override { return none_; }
  const Json& tokenizer_config() const noexcept override { return none_; }
  std::span<const graph::TensorMeta> tensors() const noexcept override { return {&meta_, 1}; }
  const graph::TensorMeta* find(std::string_view) const noexcept override { return &meta_; }
  std::string why_missing(std::string_view) const override { return {}; }
  uint64_t tensor_bytes(const graph::TensorMeta&) const override { return 0; }
  size_t scratch_bytes(const graph::TensorMeta&, int64_t, int64_t rows) const override {
    return static_cast<size_t>(rows * row_bytes());
  }
  const std::byte* rows(const graph::TensorMeta&, int64_t first_row, int64_t rows,
                        std::span<std::byte> scratch) const override {
    if (fails_at >= first_row && fails_at < first_row + rows)
      throw Error(ErrorCategory::input, "can't be read", "nowhere");
    for (int64_t i = 0; i < rows * row_bytes(); ++i)
      scratch[static_cast<size_t>(i)] = byte_at(first_row * row_bytes() + i);
    if (nan_at >= first_row && nan_at < first_row + rows) {
      scratch[static_cast<size_t>((nan_at - first_row) * row_bytes() + 34)] = std::byte{1};
      scratch[static_cast<size_t>((nan_at - first_row) * row_bytes() + 35)] = std::byte{0x7c};
    }
    return scratch.data();
  }
  std::string stamp(const graph::TensorMeta&) const override { return {}; }
  int64_t row_bytes() const { return quant::row_bytes(meta_.format, meta_.shape[1]); }

 private:
  graph::TensorMeta meta_;
  std::filesystem::path path_ = "nowhere";
  Json none_;
};

// Two weights of one tensor: the first `split` rows and the others.
struct Task {
  EndlessSource source;
  graph::Module module{.path = "m"};
  base::Buffer memory;
  std::vector<LoadJob> jobs;

  Task(int64_t rows, int64_t cols, int64_t split) : source(rows, cols) {
    for (const auto& [first, count] :
         {std::pair(int64_t{0}, split), std::pair(split, rows - split)})
      module.weights.push_back({.role = "weight",
                                .source = quant::Format::q8_0,
                                .rows = count,
                                .cols = cols,
                                .pieces = {{"t", first, count}}});
    memory = base::Buffer(static_cast<size_t>(rows * source.row_bytes()));
    std::byte* at = memory.data();
    for (const auto& weight : module.weights) {
      jobs.push_back(
          {&module, &weight, weight.source, ops::Layout::rows, {{at, 0, weight.rows, 0}}});
      at += weight.rows * source.row_bytes();
    }
  }

  bool is_packed() const {
    for (size_t i = 0; i < memory.size(); ++i)
      if (memory.data()[i] != EndlessSource::byte_at(static_cast<int64_t>(i))) return false;
    return true;
  }
};

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

int64_t peak_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6));
  return 0;
}

}  // namespace

TEST_CASE("blocks of several weights arrive where they belong, whatever the number of workers") {
  for (const int workers : {1, 3}) {
    Task task(20'000, 1024, 7'777);
    hw::WorkerPool pool(workers);
    std::mutex mutex;
    std::vector<std::pair<size_t, base::Digest>> packed;
    uint64_t last = 0;
    engine::load_weights(task.jobs, task.source, pool,
                         {.progress =
                              [&](const graph::Module& module, uint64_t done) {
                                CHECK(module.path == "m");
                                CHECK(done >= last);
                                last = done;
                              },
                          .packed =
                              [&](size_t job, const base::Digest& content) {
                                const std::lock_guard lock(mutex);
                                packed.emplace_back(job, content);
                              }});
    CHECK(task.is_packed());
    CHECK(last == task.memory.size());
    REQUIRE(packed.size() == 2);
    CHECK(packed[0].first + packed[1].first == 1);
    CHECK_FALSE(packed[0].second == packed[1].second);
  }
}

TEST_CASE("no weights are loaded at once") {
  hw::WorkerPool pool(2);
  const EndlessSource source(16, 32);
  CHECK_NOTHROW(engine::load_weights({}, source, pool, {}));
}

TEST_CASE("a scale that is no number is an input error that names its tensor and row") {
  hw::WorkerPool pool(2);
  Task task(20'000, 1024, 100);
  task.source.nan_at = 12'345;
  try {
    engine::load_weights(task.jobs, task.source, pool, {});
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    CHECK(error.category() == ErrorCategory::input);
    CHECK(std::string(error.what()) ==
          "nowhere: tensor 't': a scale of row 12345 is NaN or infinite: the file is damaged");
  }
}

TEST_CASE("what source and hooks throw ends loading and is thrown on") {
  hw::WorkerPool pool(2);
  {
    Task task(20'000, 1024, 100);
    task.source.fails_at = 12'345;
    CHECK_THROWS_WITH(engine::load_weights(task.jobs, task.source, pool, {}),
                      "nowhere: can't be read");
  }
  Task task(20'000, 1024, 100);
  const auto refuse = [](size_t, const base::Digest&) { throw std::runtime_error("no more"); };
  CHECK_THROWS_WITH(
      engine::load_weights(task.jobs, task.source, pool, {.progress = {}, .packed = refuse}),
      "no more");
}

TEST_CASE("loading takes no more memory than the weights and what the plan was told") {
  if (sanitized) SKIP("the sanitizer's own memory would count");
  constexpr int workers = 2;
  Task task(300'000, 1024, 150'000);  // 326 MB
  graph::Model model;
  model.modules.push_back(task.module);
  const uint64_t own = engine::loading_bytes(model, task.source, workers);
  CHECK(own < 64u << 20);
  hw::WorkerPool pool(workers);
  std::ofstream("/proc/self/clear_refs") << 5;  // the peak so far is forgotten
  const int64_t before = peak_kib();
  engine::load_weights(task.jobs, task.source, pool, {});
  // 8 MiB for threads, their stacks and the lists of blocks.
  CHECK(peak_kib() - before <=
        static_cast<int64_t>((task.memory.size() + own + (8u << 20)) / 1024));
  CHECK(task.is_packed());
}
