// Routed experts in two passes with one barrier between: gate, up and SwiGLU over blocks of
// intermediate rows, then down over blocks of output rows. Where experts are on tiles, what down
// makes of each is summed behind another barrier.
#include "ops/moe/moe.hpp"

#include <algorithm>
#include <cstring>
#include <span>

#include "ops/matmul/activation.hpp"
#include "ops/matmul/tiles/token_blocks.hpp"
#include "ops/moe/moe_work.hpp"

namespace ktx::ops {
namespace {

// Rows of an item of each pass, and tokens handled at a time: both passes' products of a block fit
// in the L1 cache, its activations in the L2 cache. gate_rows is a q8 block, so that an item can
// quantize what it made for down.
constexpr int64_t gate_rows = q8_block, down_rows = 32, block_tokens = 64;

const MatmulKernel& kernel_for(const PackedMatrix& matrix, int64_t tokens) noexcept {
  return tokens <= decode_tokens ? *matrix.decode : *matrix.prefill;
}

bool reads_q8(const PackedMatrix& matrix) noexcept {
  return matrix.decode->activation(matrix.format) == ActivationFormat::q8 ||
         matrix.prefill->activation(matrix.format) == ActivationFormat::q8;
}

void prepare(const MoeArgs& args, const MoeWork& work, hw::WorkerPool& pool) noexcept {
  if (work.tiled_count > 0) pack_expert_tiles(args, work, pool);
  if (work.tiled_count == work.active_count) return;
  const bool q8 = reads_q8(args.gate) || reads_q8(args.up);
  const auto* shared = args.shared;
  if (!q8 && (shared == nullptr || (!reads_q8(shared->gate) && !reads_q8(shared->up)))) return;
  for_each(pool, args.tokens, args.hidden, [&](int64_t t, int) noexcept {
    args.gate.decode->prepare(ActivationFormat::q8, args.x + t * args.x_stride, args.hidden,
                              work.x + t * work.x_bytes);
  });
}

/// Some pairs of one expert.
struct Pairs {
  int expert;
  int64_t of_expert;  // MoeWork::kernel_tokens
  int64_t begin, count;
};

/// body(Pairs) for all pairs of an expert, at most block_tokens at a time, in equal parts: a small
/// rest would cost as much as many tokens.
template <class Body>
void for_pairs(const MoeWork& work, int expert, const Body& body) noexcept {
  const int64_t first = work.begin[expert], count = work.tokens_of(expert);
  const int64_t parts = parts_of(count, std::min(work.pairs_at_once, block_tokens));
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t begin = count * i / parts, end = count * (i + 1) / parts;
    body(Pairs{expert, work.kernel_tokens(expert), first + begin, end - begin});
  }
}

Activations tokens_of(const MoeArgs& args, const MoeWork& work, const PackedMatrix& matrix,
                      const Pairs& pairs) noexcept {
  Activations x{.format = kernel_for(matrix, pairs.of_expert).activation(matrix.format),
                .rows = work.token + pairs.begin,
                .tokens = pairs.count};
  if (x.format == ActivationFormat::q8) {
    x.data = work.x;
    x.row_bytes = work.x_bytes;
  } else {
    x.data = reinterpret_cast<const std::byte*>(args.x);
    x.row_bytes = args.x_stride * static_cast<int64_t>(sizeof(float));
  }
  return x;
}

/// At most gate_rows intermediate rows of some pairs: from x to h.
void gate_and_up(const MoeArgs& args, const MoeWork& work, const Pairs& pairs,
                 const ExpertRows& rows, const std::byte* next) noexcept {
  alignas(64) float gate[block_tokens * gate_rows];
  alignas(64) float up[block_tokens * gate_rows];
  const int64_t row = rows.begin, end = rows.end;
  const ExpertMatrices e = matrices_of(args, pairs.expert);
  const auto multiply = [&](const PackedMatrix& matrix, float* product, const std::byte* after) {
    multiply_expert(kernel_for(matrix, pairs.of_expert), matrix, e.index,
                    tokens_of(args, work, matrix, pairs), rows, product, gate_rows, after);
  };
  multiply(e.gate, gate, weights_at(e.up, e.index, row, rows.node));
  multiply(e.up, up, next);
  const PackedMatrix& down = e.down;
  const MatmulKernel& kernel = kernel_for(down, pairs.of_expert);
  const bool q8 = kernel.activation(down.format) == ActivationFormat::q8;
  for (int64_t i = 0; i < pairs.count; ++i) {
    float* h = gate + i * gate_rows;
    args.silu->functions->silu_mul(h, up + i * gate_rows, h, end - row);
    std::byte* out = work.h + (pairs.begin + i) * work.h_bytes;
    if (q8)
      kernel.quantize(q8_quantize_args(h, down.cols, row / q8_block, row / q8_block + 1, out));
    else
      std::memcpy(out + row * 4, h, static_cast<size_t>(end - row) * sizeof(float));
  }
}

/// Intermediate rows of all pairs of one expert of few tokens: from x to h.
void gate_and_up(const MoeArgs& args, const MoeWork& work, int expert, const ExpertRows& rows,
                 const std::byte* next) noexcept {
  const ExpertMatrices e = matrices_of(args, expert);
  for (int64_t row = rows.begin; row < rows.end; row += gate_rows) {
    const int64_t end = std::min(row + gate_rows, rows.end);
    const auto* after = end < rows.end ? weights_at(e.gate, e.index, end, rows.node) : next;
    for_pairs(work, expert, [&](const Pairs& pairs) noexcept {
      gate_and_up(args, work, pairs, {row, end, rows.node}, after);
    });
  }
}

/// Output rows of some pairs of an expert of few tokens, [pairs, y_stride].
void down(const MoeArgs& args, const MoeWork& work, const Pairs& pairs, const ExpertRows& rows,
          float* y, int64_t y_stride, const std::byte* next) noexcept {
  const ExpertMatrices e = matrices_of(args, pairs.expert);
  const MatmulKernel& kernel = kernel_for(e.down, pairs.of_expert);
  const Activations h{.format = kernel.activation(e.down.format),
                      .data = work.h + pairs.begin * work.h_bytes,
                      .row_bytes = work.h_bytes,
                      .tokens = pairs.count};
  multiply_expert(kernel, e.down, e.index, h, rows, y, y_stride, next);
}

/// Some rows of all tokens, [tokens, stride].
struct Sums {
  float* at;
  int64_t stride, rows;
};

/// Adds the products of some pairs, [pairs, down_rows], times their weights.
void add_products(const MoeArgs& args, const MoeWork& work, const Pairs& pairs,
                  const float* products, const Sums& sums) noexcept {
  for (int64_t p = pairs.begin; p < pairs.begin + pairs.count; ++p) {
    const float weight = pairs.expert < args.experts ? args.weights[work.pair[p]] : 1.0f;
    float* sum = sums.at + work.token[p] * sums.stride;
    const float* from = products + (p - pairs.begin) * down_rows;
    for (int64_t r = 0; r < sums.rows; ++r) sum[r] += weight * from[r];
  }
}

const std::byte* down_weights(const MoeArgs& args, int expert, int64_t row, int node) noexcept {
  const ExpertMatrices e = matrices_of(args, expert);
  return weights_at(e.down, e.index, row, node);
}

/// At most down_rows output rows of all tokens: the experts one after another, so that every number
/// is summed in the same order whichever worker does it.
void down_and_sum(const MoeArgs& args, const MoeWork& work, const ExpertRows& rows,
                  const std::byte* next) noexcept {
  alignas(64) float products[block_tokens * down_rows];
  alignas(64) float few[decode_tokens * down_rows];
  const int64_t count = rows.end - rows.begin;
  const Sums sums = args.add != nullptr ? Sums{few, down_rows, count}  // y may be `add`
                                        : Sums{args.y + rows.begin, args.y_stride, count};
  for (int64_t t = 0; t < args.tokens; ++t) std::fill_n(sums.at + t * sums.stride, count, 0.0f);
  for (int64_t a = 0; a < work.active_count; ++a) {
    const auto* after = a + 1 < work.active_count
                            ? down_weights(args, work.active[a + 1], rows.begin, rows.node)
                            : next;
    for_pairs(work, work.active[a], [&](const Pairs& pairs) noexcept {
      down(args, work, pairs, rows, products, down_rows, after);
      add_products(args, work, pairs, products, sums);
    });
  }
  if (args.add == nullptr) return;
  for (int64_t t = 0; t < args.tokens; ++t)
    for (int64_t r = 0; r < count; ++r) {
      const int64_t at = t * args.y_stride + rows.begin + r;
      args.y[at] = args.add[at] + few[t * down_rows + r];
    }
}

/// Active experts [begin, end), whose rows are those of a matrix.
struct ExpertRange {
  const PackedMatrix* matrix;
  int64_t begin, end;
};

/// Blocks of rows of the experts of one range or several, as a node's workers count them.
struct Blocks {
  std::span<const ExpertRange> ranges;
  int64_t block_rows;
  const hw::WorkerPool& pool;

  int64_t of(const RowRange& rows) const noexcept {
    return (rows.end - rows.begin + block_rows - 1) / block_rows;
  }
  int64_t all() const noexcept {
    int64_t sum = 0;
    for (const auto& range : ranges) sum += (range.end - range.begin) * of({0, range.matrix->rows});
    return sum;
  }
  int64_t of_node(int node) const noexcept {
    int64_t sum = 0;
    for (const auto& range : ranges)
      sum += (range.end - range.begin) * of(rows_of_node(*range.matrix, pool, node));
    return sum;
  }
  bool anywhere() const noexcept {
    return std::ranges::all_of(
        ranges, [this](const auto& range) { return all_nodes_hold(*range.matrix, pool); });
  }
  struct Block {
    int64_t expert, begin, end;  // which active one, and its rows
  };
  Block at(int node, int64_t i) const noexcept {
    for (const auto& range : ranges) {
      const RowRange rows = rows_of_node(*range.matrix, pool, node);
      const int64_t blocks = of(rows), count = (range.end - range.begin) * blocks;
      const int64_t row = count > 0 ? rows.begin + i % blocks * block_rows : 0;
      if (i < count) return {range.begin + i / blocks, row, std::min(row + block_rows, rows.end)};
      i -= count;
    }
    return {};
  }
};

/// body(a, ExpertRows, next) for every block of rows of every active expert a of the ranges, on the
/// node that computes those rows. next: what weights_of(a, row, node) says of the item after it;
/// null for the last. cost: of an item.
template <class WeightsOf, class Body>
void for_blocks(std::span<const ExpertRange> ranges, int64_t block_rows, int64_t cost,
                hw::WorkerPool& pool, const WeightsOf& weights_of, const Body& body) noexcept {
  const Blocks blocks{ranges, block_rows, pool};
  pool.parallel_for_nodes([&](int node) noexcept { return blocks.of_node(node); },
                          shared_grain(blocks.all(), cost, pool.size()),
                          blocks.anywhere() ? hw::Steal::yes : hw::Steal::no,
                          [&](int node, int64_t begin, int64_t end, int worker) noexcept {
                            const int64_t last = blocks.of_node(node) - 1;
                            const int near = pool.node_of(worker);
                            for (int64_t i = begin; i < end; ++i) {
                              const auto block = blocks.at(node, i);
                              const std::byte* next = nullptr;
                              if (i < last) {
                                const auto after = blocks.at(node, i + 1);
                                next = weights_of(after.expert, after.begin, near);
                              }
                              body(block.expert, ExpertRows{block.begin, block.end, near}, next);
                            }
                          });
}

/// The second pass of a step without experts on tiles: an item is some rows of all experts. That is
/// much to read: the last chunks are single groups of rows.
void down_in_rows(const MoeArgs& args, const MoeWork& work, hw::WorkerPool& pool) noexcept {
  const auto groups_of = [&](int node) noexcept {
    const RowRange rows = rows_of_node(args.down, pool, node);
    return parts_of(rows.end - rows.begin, row_group);
  };
  const int64_t cost = row_group * args.intermediate * work.all_pairs(args);
  hw::Grain grain = shared_grain(parts_of(args.down.rows, row_group), cost, pool.size());
  grain.most = std::max(grain.most, down_rows / row_group);
  pool.parallel_for_nodes(
      groups_of, grain, all_nodes_hold(args.down, pool) ? hw::Steal::yes : hw::Steal::no,
      [&](int node, int64_t begin, int64_t end, int worker) noexcept {
        const RowRange rows = rows_of_node(args.down, pool, node);
        const int64_t last = std::min(rows.begin + end * row_group, rows.end);
        const int near = pool.node_of(worker);
        // Steps end at multiples of down_rows: no shard of any expert ends within one.
        for (int64_t row = rows.begin + begin * row_group, after; row < last; row = after) {
          after = std::min((row / down_rows + 1) * down_rows, last);
          const auto* next =
              after < rows.end ? down_weights(args, work.active[0], after, near) : nullptr;
          down_and_sum(args, work, {row, after, near}, next);
        }
      });
}

/// The second pass of a step with experts on tiles: an item is some rows of one expert, whose h
/// then is near, and what all of them make is summed after another barrier.
void down_in_experts(const MoeArgs& args, const MoeWork& work, hw::WorkerPool& pool) noexcept {
  const int64_t pairs = work.pairs(args.experts);
  const ExpertRange all{&args.down, 0, work.active_count};
  for_blocks(
      {&all, 1}, ExpertTiles::rows,
      ExpertTiles::rows * args.intermediate * pairs / work.active_count, pool,
      [&](int64_t a, int64_t row, int node) noexcept {
        return weights_at(args.down, work.active[a], row, node);
      },
      [&](int64_t a, const ExpertRows& some, const std::byte* next) noexcept {
        const int expert = work.active[a];
        if (work.tiled(expert)) return down_tiles(args, work, expert, some);
        for_pairs(work, expert, [&](const Pairs& few) noexcept {
          down(args, work, few, some, work.products + few.begin * args.hidden + some.begin,
               args.hidden, next);
        });
      });
  sum_products(args, work, pool);
}

/// The sum of no experts.
void clear(const MoeArgs& args, hw::WorkerPool& pool) noexcept {
  for_each(pool, args.tokens, args.hidden, [&](int64_t t, int) noexcept {
    float* y = args.y + t * args.y_stride;
    if (args.add == nullptr)
      std::fill_n(y, args.hidden, 0.0f);
    else
      std::memmove(y, args.add + t * args.y_stride, size_t(args.hidden) * sizeof(float));
  });
}

/// The first pass.
void make_hidden(const MoeArgs& args, const MoeWork& work, hw::WorkerPool& pool) noexcept {
  const int64_t routed = work.active_count - (args.shared != nullptr ? 1 : 0);
  const ExpertRange ranges[] = {
      {&args.gate, 0, routed},
      {args.shared != nullptr ? &args.shared->gate : &args.gate, routed, work.active_count}};
  const int64_t rows = work.tiled_count > 0 ? ExpertTiles::rows : gate_rows;
  // Mean over experts; those with many tokens make a chunk take longer, which sharing evens out.
  const int64_t cost = 2 * rows * args.hidden * work.all_pairs(args) / work.active_count;
  for_blocks(
      ranges, rows, cost, pool,
      [&](int64_t a, int64_t row, int node) noexcept {
        const ExpertMatrices e = matrices_of(args, work.active[a]);
        return weights_at(e.gate, e.index, row, node);
      },
      [&](int64_t a, const ExpertRows& some, const std::byte* next) noexcept {
        const int expert = work.active[a];
        work.tiled(expert) ? gate_and_up_tiles(args, work, expert, some)
                           : gate_and_up(args, work, expert, some, next);
      });
}

MoeScratchArgs scratch_args(const MoeArgs& args) noexcept {
  return {.gate = args.gate,
          .up = args.up,
          .down = args.down,
          .shared = args.shared,
          .experts = args.experts,
          .top_k = args.top_k,
          .max_tokens = args.tokens};
}

}  // namespace

int64_t moe_scratch_bytes(const MoeScratchArgs& args) noexcept {
  return static_cast<int64_t>(MoeWork(nullptr, args).arena.used());
}

int64_t moe(const MoeArgs& args, hw::WorkerPool& pool) noexcept {
  if (args.tokens == 0) return 0;
  MoeWork work(args.scratch, scratch_args(args));
  sort_pairs(args, work);
  if (work.active_count == 0) {
    clear(args, pool);
    return 0;
  }
  prepare(args, work, pool);
  make_hidden(args, work, pool);
  work.tiled_count > 0 ? down_in_experts(args, work, pool) : down_in_rows(args, work, pool);
  return work.active_count - (args.shared != nullptr ? 1 : 0);
}

}  // namespace ktx::ops
