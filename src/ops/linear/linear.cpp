// Linear layers over a pool: x is prepared once, groups of rows of all matrices are handed out.
#include "ops/linear/linear.hpp"

#include <algorithm>
#include <array>

#include "ops/matmul/activation.hpp"
#include "ops/matmul/node_rows.hpp"
#include "ops/matmul/tiles/tiles.hpp"
#include "ops/matmul/tiles/token_blocks.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {
namespace {

const MatmulKernel& kernel_of(const LinearArgs& args) noexcept {
  return args.decode_kernel || args.tokens <= decode_tokens ? *args.w->decode : *args.w->prefill;
}

ActivationFormat activation_of(const LinearArgs& args) noexcept {
  return activation_for(kernel_of(args), args.w->format, args.w->cols,
                        args.decode_kernel ? 1 : args.tokens);
}

int64_t prepared_bytes(ActivationFormat format, int64_t cols, int64_t tokens) noexcept {
  if (format == ActivationFormat::f32) return 0;  // read where it is
  if (is_tiles(format)) return tile_bytes_of(format, cols, tokens);
  return tokens * activation_row_bytes(format, cols);
}

void prepare_rows(const LinearArgs& args, std::byte* out, hw::WorkerPool& pool) noexcept {
  const int64_t cols = args.w->cols, row_bytes = activation_row_bytes(ActivationFormat::q8, cols);
  for_each(pool, args.tokens, cols, [&](int64_t t, int) noexcept {
    kernel_of(args).prepare(ActivationFormat::q8, args.x + t * args.x_stride, cols,
                            out + t * row_bytes);
  });
}

/// Tokens multiplied at a time, whose tiles lie together.
struct TokenRange {
  int64_t begin, count;
};

TokenRange part_of(const LinearArgs& args, int64_t index) noexcept {
  const int64_t begin = index * tile_part_tokens;
  return {begin, std::min(tile_part_tokens, args.tokens - begin)};
}

/// Where the tiles of a part begin.
int64_t part_offset(const LinearArgs& args, const TokenRange& part) noexcept {
  return prepared_bytes(activation_of(args), args.w->cols, part.begin);
}

void prepare_tiles(const LinearArgs& args, std::byte* out, hw::WorkerPool& pool) noexcept {
  const int64_t cols = args.w->cols, blocks = parts_of(args.tokens, tile_tokens);
  const int64_t chunks = parts_of(cols, pack_columns);
  for_each(pool, blocks * chunks, tile_tokens * pack_columns, [&](int64_t i, int) noexcept {
    const int64_t token = i / chunks * tile_tokens, col = i % chunks * pack_columns;
    const TokenRange part = part_of(args, token / tile_part_tokens);
    kernel_of(args).pack_tiles(activation_of(args),
                               {.x = args.x + token * args.x_stride + col,
                                .x_stride = args.x_stride,
                                .tokens = std::min(tile_tokens, args.tokens - token),
                                .col = col,
                                .cols = std::min(pack_columns, cols - col),
                                .tiles = reinterpret_cast<uint8_t*>(out + part_offset(args, part)),
                                .block = (token - part.begin) / tile_tokens,
                                .blocks = parts_of(part.count, tile_tokens)});
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
  Activations x{.format = format, .tokens = args.tokens};
  if (format == ActivationFormat::f32) {
    x.data = reinterpret_cast<const std::byte*>(args.x);
    x.row_bytes = args.x_stride * static_cast<int64_t>(sizeof(float));
  } else {
    x.data = prepared[format];
    if (format == ActivationFormat::q8) x.row_bytes = activation_row_bytes(format, args.w->cols);
  }
  return x;
}

/// Who multiplies: a worker, for the rows of a node.
struct Share {
  const hw::WorkerPool& pool;
  int node, worker;
};

int64_t groups_of(const RowRange& rows) noexcept {
  return (rows.end - rows.begin + row_group - 1) / row_group;
}

/// Rows of one matrix times some tokens, by a worker of `node`.
void multiply(const LinearArgs& args, const Prepared& prepared, const RowRange& rows,
              const TokenRange& part, int node) noexcept {
  MatmulArgs product = weight_args(*args.w, 0, rows.begin, rows.end, node);
  product.x = activations(args, prepared);
  product.x.data +=
      is_tiles(product.x.format) ? part_offset(args, part) : part.begin * product.x.row_bytes;
  product.x.tokens = part.count;
  product.y = args.y + part.begin * args.y_stride + rows.begin;
  product.y_stride = args.y_stride;
  multiply_in_token_blocks(kernel_of(args), product,
                           args.decode_kernel ? independent_tokens(*args.w) : INT64_MAX);
  if (args.bias == nullptr) return;
  for (int64_t t = part.begin; t < part.begin + part.count; ++t)
    for (int64_t r = rows.begin; r < rows.end; ++r) args.y[t * args.y_stride + r] += args.bias[r];
}

/// Groups [begin, end) of a node's rows of all matrices, one matrix after another.
void multiply_groups(std::span<const LinearArgs> args, const Prepared& prepared, int64_t begin,
                     int64_t end, const TokenRange& part, const Share& share) noexcept {
  for (const LinearArgs& one : args) {
    const RowRange rows = rows_of_node(*one.w, share.pool, share.node);
    const int64_t count = groups_of(rows);
    if (begin < count && end > 0)
      multiply(one, prepared,
               {rows.begin + std::max<int64_t>(begin, 0) * row_group,
                std::min(rows.end, rows.begin + end * row_group)},
               part, share.pool.node_of(share.worker));
    begin -= count;
    end -= count;
  }
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
  bool anywhere = true, tiled = false;
  for (const LinearArgs& one : args) {
    at_a_time = std::max(at_a_time, kernel_of(one).groups);
    groups += groups_of({0, one.w->rows});
    anywhere = anywhere && all_nodes_hold(*one.w, pool);
    tiled = tiled || is_tiles(activation_of(one));
  }
  const auto groups_of_node = [&](int node) noexcept {
    int64_t sum = 0;
    for (const LinearArgs& one : args) sum += groups_of(rows_of_node(*one.w, pool, node));
    return sum;
  };
  // An item is a group of rows times all tokens, or on tiles times a part of them.
  const int64_t tokens = args.front().tokens;
  const int64_t parts = tiled ? parts_of(tokens, tile_part_tokens) : 1;
  const int64_t cost = row_group * args.front().w->cols * tokens;
  hw::Grain grain = tiled ? hw::Grain(tile_grain(groups * parts, pool.size()))
                          : shared_grain(groups, cost, pool.size());
  grain.most = parts_of(grain.most, at_a_time) * at_a_time;
  if (tiled) grain.least = grain.most;
  pool.parallel_for_nodes([&](int node) noexcept { return groups_of_node(node) * parts; }, grain,
                          anywhere ? hw::Steal::yes : hw::Steal::no,
                          [&](int node, int64_t begin, int64_t end, int worker) noexcept {
                            const int64_t count = groups_of_node(node);
                            for (int64_t next = 0; begin < end; begin = next) {
                              const int64_t index = begin / count;
                              next = std::min(end, (index + 1) * count);
                              multiply_groups(
                                  args, prepared, begin - index * count, next - index * count,
                                  parts == 1 ? TokenRange{0, tokens} : part_of(args.front(), index),
                                  {pool, node, worker});
                            }
                          });
}

}  // namespace ktx::ops
