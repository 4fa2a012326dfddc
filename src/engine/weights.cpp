// Streaming load: each weight is cut into blocks of rows that the workers read, quantize and pack.
#include "engine/weights.hpp"

#include <algorithm>
#include <exception>
#include <mutex>

#include "core/base/error.hpp"
#include "engine/weight_reader.hpp"

namespace ktx::engine {

namespace {

using quant::Format;

// Rows packed by one work item: whole groups of the packed layout, about this many numbers.
constexpr int64_t numbers_per_item = 1 << 17;

int64_t rows_per_item(int64_t rows, int64_t cols) {
  const int64_t wanted = std::max<int64_t>(1, numbers_per_item / cols);
  const int64_t groups = (wanted + ops::row_group - 1) / ops::row_group;
  return std::min(rows, groups * ops::row_group);
}

// Packs blocks of rows of one weight; one scratch a worker, made once.
class Packer {
 public:
  Packer(const WeightReader& reader, const graph::Weight& weight, const LoadedWeight& loaded,
         std::byte* out, int workers)
      : reader_(reader), weight_(weight), loaded_(loaded), out_(out) {
    // A transposed matrix is small (one head) and is turned as a whole.
    block_ = weight.transposed ? weight.rows : rows_per_item(weight.rows, weight.cols);
    blocks_ = (weight.rows + block_ - 1) / block_;
    scratch_.resize(static_cast<size_t>(workers));
  }

  int64_t items() const { return weight_.count * blocks_; }

  void pack(int64_t item, int worker) {
    const int64_t matrix = item / blocks_, begin = item % blocks_ * block_;
    const int64_t end = std::min(weight_.rows, begin + block_);
    auto& scratch = scratch_[static_cast<size_t>(worker)];
    const std::byte* rows = weight_.transposed ? transposed_rows(matrix, scratch)
                                               : plain_rows(matrix, begin, end, scratch);
    ops::pack_matrix({.layout = loaded_.layout,
                      .format = loaded_.format,
                      .rows = weight_.rows,
                      .cols = weight_.cols,
                      .row_begin = begin,
                      .row_end = end,
                      .src = rows,
                      .dst = out_ + matrix * loaded_.matrix_bytes});
  }

 private:
  struct Scratch {
    std::vector<std::byte> source, encoded;
    std::vector<float> floats, turned;
  };

  const std::byte* plain_rows(int64_t matrix, int64_t begin, int64_t end, Scratch& s) const {
    const int64_t n = end - begin;
    s.source.resize(static_cast<size_t>(n * reader_.stored_row_bytes()));
    const std::byte* stored = reader_.read(matrix * weight_.rows + begin, n, s.source);
    if (reader_.format() == loaded_.format) return stored;
    s.floats.resize(static_cast<size_t>(n * weight_.cols));
    decode(stored, n, weight_.cols, s.floats.data());
    return encode(s.floats.data(), n, s);
  }

  const std::byte* transposed_rows(int64_t matrix, Scratch& s) const {
    const int64_t rows = weight_.rows, cols = weight_.cols;  // stored as [cols, rows]
    s.source.resize(static_cast<size_t>(cols * reader_.stored_row_bytes()));
    s.floats.resize(static_cast<size_t>(rows * cols));
    s.turned.resize(s.floats.size());
    decode(reader_.read(matrix * cols, cols, s.source), cols, rows, s.floats.data());
    for (int64_t c = 0; c < cols; ++c)
      for (int64_t r = 0; r < rows; ++r)
        s.turned[static_cast<size_t>(r * cols + c)] = s.floats[static_cast<size_t>(c * rows + r)];
    return encode(s.turned.data(), rows, s);
  }

  void decode(const std::byte* stored, int64_t rows, int64_t cols, float* out) const {
    const auto& format = quant::info(reader_.format());
    for (int64_t r = 0; r < rows; ++r)
      format.decode(stored + r * reader_.stored_row_bytes(), out + r * cols, cols);
  }

  const std::byte* encode(const float* floats, int64_t rows, Scratch& s) const {
    const int64_t row_bytes = quant::row_bytes(loaded_.format, weight_.cols);
    s.encoded.resize(static_cast<size_t>(rows * row_bytes));
    for (int64_t r = 0; r < rows; ++r)
      quant::info(loaded_.format)
          .encode(floats + r * weight_.cols, s.encoded.data() + r * row_bytes, weight_.cols);
    return s.encoded.data();
  }

  const WeightReader& reader_;
  const graph::Weight& weight_;
  const LoadedWeight& loaded_;
  std::byte* out_;
  int64_t block_ = 0, blocks_ = 0;
  std::vector<Scratch> scratch_;
};

void pack_all(Packer& packer, hw::WorkerPool& pool) {
  std::exception_ptr failure;
  std::mutex mutex;
  pool.parallel_for(packer.items(), 1, [&](int64_t begin, int64_t end, int worker) noexcept {
    try {
      for (int64_t item = begin; item < end; ++item) packer.pack(item, worker);
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
    }
  });
  if (failure) std::rethrow_exception(failure);
}

LoadedWeight place(const graph::Weight& weight, const placement::PlannedWeight& planned) {
  LoadedWeight loaded;
  loaded.role = weight.role;
  loaded.format = planned.format;
  loaded.layout = planned.layout;
  loaded.count = weight.count;
  loaded.rows = weight.rows;
  loaded.cols = weight.cols;
  loaded.matrix_bytes = ops::packed_bytes(planned.layout, planned.format, weight.rows, weight.cols);
  return loaded;
}

uint64_t stored_bytes(const graph::Weight& weight) {
  const int64_t cols = weight.transposed ? weight.rows : weight.cols;
  return static_cast<uint64_t>(weight.weights() / cols * quant::row_bytes(weight.source, cols));
}

}  // namespace

Weights::Weights(const placement::Plan& plan, const loader::TensorSource& source,
                 hw::WorkerPool& pool, const OnProgress& on_progress) {
  modules_.resize(plan.model.modules.size());
  uint64_t size = 0;
  for (const auto& planned : plan.modules) {
    const auto& module = plan.model.modules[static_cast<size_t>(planned.module)];
    for (size_t i = 0; i < module.weights.size(); ++i) {
      auto loaded = place(module.weights[i], planned.weights[i]);
      size += static_cast<uint64_t>(loaded.count * loaded.matrix_bytes);
      source_bytes_ += stored_bytes(module.weights[i]);
      modules_[static_cast<size_t>(planned.module)].push_back(loaded);
    }
  }
  arena_ = base::Buffer(size, true);
  std::byte* at = arena_.data();
  uint64_t done = 0;
  for (const auto& planned : plan.modules) {
    const auto& module = plan.model.modules[static_cast<size_t>(planned.module)];
    for (size_t i = 0; i < module.weights.size(); ++i) {
      auto& loaded = modules_[static_cast<size_t>(planned.module)][i];
      loaded.data = at;
      const WeightReader reader(source, module.weights[i]);
      reader.prefetch();
      Packer packer(reader, module.weights[i], loaded, at, pool.size());
      pack_all(packer, pool);
      reader.release();
      at += loaded.count * loaded.matrix_bytes;
      done += stored_bytes(module.weights[i]);
      if (on_progress) on_progress(module.path, done, source_bytes_);
    }
  }
}

const LoadedWeight* Weights::find(int module, std::string_view role) const noexcept {
  if (module < 0) return nullptr;
  for (const auto& weight : modules_[static_cast<size_t>(module)])
    if (weight.role == role) return &weight;
  return nullptr;
}

const LoadedWeight& Weights::get(int module, std::string_view role) const {
  const auto* weight = find(module, role);
  if (weight == nullptr) throw_bug("a module lacks its weight '" + std::string(role) + "'");
  return *weight;
}

}  // namespace ktx::engine
