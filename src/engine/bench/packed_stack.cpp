// Stacks of packed matrices for benchmarks.
#include "engine/bench/packed_stack.hpp"

#include <algorithm>
#include <cstring>

#include "core/quant/random_rows.hpp"

namespace ktx::engine {

namespace {

// Packs one matrix. All groups of 16 rows get the same weights: kernels can't tell.
void pack(const ops::PackedMatrix& m, std::byte* out, hw::WorkerPool& pool) {
  std::vector<std::byte> rows(
      static_cast<size_t>(ops::row_group * quant::row_bytes(m.format, m.cols)));
  quant::fill_random_rows(m.format, ops::row_group, m.cols, 1, rows.data());
  const int64_t groups = (m.rows + ops::row_group - 1) / ops::row_group;
  pool.parallel_for(groups, 1, [&](int64_t begin, int64_t end, int) noexcept {
    for (int64_t group = begin; group < end; ++group)
      ops::pack_matrix({.layout = m.decode->layout(m.format),
                        .format = m.format,
                        .rows = m.rows,
                        .cols = m.cols,
                        .row_begin = group * ops::row_group,
                        .row_end = std::min(m.rows, (group + 1) * ops::row_group),
                        .src = rows.data(),
                        .dst = out});
  });
}

}  // namespace

int64_t packed_bytes(const ops::PackedMatrix& m) noexcept {
  return ops::packed_bytes(m.decode->layout(m.format), m.format, m.rows, m.cols);
}

PackedStack::PackedStack(const ops::PackedMatrix& matrix, int count, hw::WorkerPool& pool)
    : matrix_(matrix),
      bytes_(packed_bytes(matrix)),
      data_(static_cast<size_t>(count * bytes_), true) {
  pack(matrix, data_.data(), pool);
  pool.parallel_for(count - 1, 1, [&](int64_t begin, int64_t end, int) noexcept {
    for (int64_t i = begin; i < end; ++i)
      std::memcpy(data_.data() + (i + 1) * bytes_, data_.data(), static_cast<size_t>(bytes_));
  });
}

ops::PackedMatrix PackedStack::at(int i) const noexcept {
  ops::PackedMatrix matrix = matrix_;
  matrix.data = data_.data() + i * bytes_;
  return matrix;
}

ops::PackedMatrix PackedStack::experts() const noexcept {
  ops::PackedMatrix matrix = at(0);
  matrix.matrix_bytes = bytes_;
  return matrix;
}

std::vector<float> some_activations(int64_t count) {
  std::vector<float> x(static_cast<size_t>(count));
  uint32_t state = 1;
  for (auto& value : x) {
    state = state * 1664525u + 1013904223u;  // Numerical Recipes' generator
    value = static_cast<float>(state >> 8) * 0x1p-23f - 1;
  }
  return x;
}

}  // namespace ktx::engine
