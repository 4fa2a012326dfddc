// Linear layers over a pool: x is prepared once, groups of rows of all matrices are handed out.
#include "ops/linear/linear.hpp"

#include <algorithm>
#include <array>

#include "ops/matmul/activation.hpp"
#include "ops/matmul/node_rows.hpp"
#include "ops/matmul/tiles.hpp"
#include "ops/matmul/token_blocks.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {
namespace {

const MatmulKernel& kernel_of(const LinearArgs& args) noexcept {
  return args.tokens <= decode_tokens ? *args.w->decode : *args.w->prefill;
}

ActivationFormat activation_of(const LinearArgs& args) noexcept {
  return activation_for(kernel_of(args), args.w->format, args.w->cols, args.tokens);
}

int64_t prepared_bytes(ActivationFormat format, int64_t cols, int64_t tokens) noexcept {
  if (format == ActivationFormat::f32) return 0;  // read where it is
  if (is_tiles(format)) return tile_bytes_of(format, cols, input_int8_chunk, tokens);
  return tokens * activation_row_bytes(format, cols);
}

void prepare_rows(const LinearArgs& args, std::byte* out, hw::WorkerPool& pool) noexcept {
  const int64_t cols = args.w->cols, row_bytes = activation_row_bytes(ActivationFormat::q8, cols);
  for_each(pool, args.tokens, cols, [&](int64_t t, int) noexcept {
    kernel_of(args).prepare(ActivationFormat::q8, args.x + t * args.x_stride, cols,
                            out + t * row_bytes);
  });
}

void prepare_tiles(const LinearArgs& args, std::byte* out, hw::WorkerPool& pool) noexcept {
  const int64_t cols = args.w->cols, blocks = parts_of(args.tokens, tile_tokens);
  const int64_t chunks = parts_of(cols, input_int8_chunk);
  for_each(pool, blocks * chunks, tile_tokens * input_int8_chunk, [&](int64_t i, int) noexcept {
    const int64_t token = i / chunks * tile_tokens, col = i % chunks * input_int8_chunk;
    kernel_of(args).pack_tiles(activation_of(args),
                               {.x = args.x + token * args.x_stride + col,
                                .x_stride = args.x_stride,
                                .tokens = std::min(tile_tokens, args.tokens - token),
                                .col = col,
                                .cols = std::min(input_int8_chunk, cols - col),
                                .int8_chunk = input_int8_chunk,
                                .tiles = reinterpret_cast<uint8_t*>(out),
                                .block = i / chunks,
                                .blocks = blocks});
  });
}

/// Something for each activation format.
template <class T>
class ByActivation {
 public:
  T& operator[](ActivationFormat format) noexcept { return values_[static_cast<size_t>(format)]; }
  const T& operator[](ActivationFormat format) const noexcept {
    return values_[static_cast<size_t>(format)];
  }

 private:
  std::array<T, activation_formats> values_{};
};

/// Where x has been converted to each format; null: read where it is.
using Prepared = ByActivation<const std::byte*>;

/// Converts x into the scratch as any of the matrices reads it.
Prepared prepare(std::span<const LinearArgs> args, hw::WorkerPool& pool) noexcept {
  Prepared prepared;
  std::byte* out = args.front().scratch;
  for (const LinearArgs& reader : args) {
    const ActivationFormat format = activation_of(reader);
    if (format == ActivationFormat::f32 || prepared[format] != nullptr) continue;
    is_tiles(format) ? prepare_tiles(reader, out, pool) : prepare_rows(reader, out, pool);
    prepared[format] = out;
    out += prepared_bytes(format, reader.w->cols, reader.tokens);
  }
  return prepared;
}

Activations activations(const LinearArgs& args, const Prepared& prepared) noexcept {
  const ActivationFormat format = activation_of(args);
  Activations x{.format = format, .tokens = args.tokens, .int8_chunk = input_int8_chunk};
  if (format == ActivationFormat::f32) {
    x.data = reinterpret_cast<const std::byte*>(args.x);
    x.row_bytes = args.x_stride * static_cast<int64_t>(sizeof(float));
  } else {
    x.data = prepared[format];
    if (format == ActivationFormat::q8) x.row_bytes = activation_row_bytes(format, args.w->cols);
  }
  return x;
}

int64_t groups_of(const RowRange& rows) noexcept {
  return (rows.end - rows.begin + row_group - 1) / row_group;
}

/// Rows [row_begin, row_end) of one matrix, by a worker of `node`.
void multiply(const LinearArgs& args, const Prepared& prepared, int64_t row_begin, int64_t row_end,
              int node) noexcept {
  MatmulArgs product = weight_args(*args.w, 0, row_begin, row_end, node);
  product.x = activations(args, prepared);
  product.y = args.y + row_begin;
  product.y_stride = args.y_stride;
  multiply_in_token_blocks(kernel_of(args), product);
  if (args.bias == nullptr) return;
  for (int64_t t = 0; t < args.tokens; ++t)
    for (int64_t r = row_begin; r < row_end; ++r) args.y[t * args.y_stride + r] += args.bias[r];
}

}  // namespace

int64_t linear_scratch_bytes(const PackedMatrix& w, int64_t tokens) noexcept {
  return linear_scratch_bytes({&w, 1}, tokens);
}

int64_t linear_scratch_bytes(std::span<const PackedMatrix> matrices, int64_t tokens) noexcept {
  int64_t most = 0;
  // The largest step of each phase.
  for (const int64_t step : {std::min(tokens, decode_tokens), tokens}) {
    int64_t bytes = 0;
    ByActivation<bool> counted;
    for (const PackedMatrix& w : matrices) {
      const ActivationFormat format = activation_of({.tokens = step, .w = &w});
      if (!counted[format]) bytes += prepared_bytes(format, w.cols, step);
      counted[format] = true;
    }
    most = std::max(most, bytes);
  }
  return most;
}

void linear(const LinearArgs& args, hw::WorkerPool& pool) noexcept {
  linear_many({&args, 1}, pool);
}

void linear_many(std::span<const LinearArgs> args, hw::WorkerPool& pool) noexcept {
  if (args.empty() || args.front().tokens == 0) return;
  const Prepared prepared = prepare(args, pool);
  int64_t groups = 0, at_a_time = 1;
  bool anywhere = true;
  for (const LinearArgs& one : args) {
    at_a_time = std::max(at_a_time, kernel_of(one).groups);
    groups += groups_of({0, one.w->rows});
    anywhere = anywhere && all_nodes_hold(*one.w, pool);
  }
  const auto groups_of_node = [&](int node) noexcept {
    int64_t sum = 0;
    for (const LinearArgs& one : args) sum += groups_of(rows_of_node(*one.w, pool, node));
    return sum;
  };
  const int64_t cost = row_group * args.front().w->cols * args.front().tokens;
  // A node's items are its groups of rows of all matrices, one matrix after another.
  pool.parallel_for_nodes(
      groups_of_node, parts_of(shared_grain(groups, cost, pool.size()), at_a_time) * at_a_time,
      anywhere ? hw::Steal::yes : hw::Steal::no,
      [&](int node, int64_t begin, int64_t end, int worker) noexcept {
        for (const LinearArgs& one : args) {
          const RowRange rows = rows_of_node(*one.w, pool, node);
          const int64_t count = groups_of(rows);
          if (begin < count && end > 0)
            multiply(one, prepared, rows.begin + std::max<int64_t>(begin, 0) * row_group,
                     std::min(rows.end, rows.begin + end * row_group), pool.node_of(worker));
          begin -= count;
          end -= count;
        }
      });
}

}  // namespace ktx::ops
