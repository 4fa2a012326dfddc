// Routed experts in two passes with one barrier between: gate, up and SwiGLU over blocks of
// intermediate rows, then down over blocks of output rows. Where experts are on tiles, what down
// makes of each is summed behind another barrier.
#include "ops/moe/moe.hpp"

#include <algorithm>
#include <cstring>

#include "ops/f32/f32.hpp"
#include "ops/matmul/activation.hpp"
#include "ops/matmul/tiles/token_blocks.hpp"
#include "ops/moe/moe_work.hpp"

namespace ktx::ops {
namespace {

// Rows of an item of each pass, and tokens handled at a time: both passes' products of a block fit
// in the L1 cache, its activations in the L2 cache. gate_rows is a q8 block, so that an item can
// quantize what it made for down.
constexpr int64_t gate_rows = q8_block, down_rows = 64, block_tokens = 64;

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
  const PackedMatrix& gate = args.gate;
  if (!reads_q8(gate) && !reads_q8(args.up)) return;
  for_each(pool, args.tokens, args.hidden, [&](int64_t t, int) noexcept {
    gate.decode->prepare(ActivationFormat::q8, args.x + t * args.x_stride, args.hidden,
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
  const auto multiply = [&](const PackedMatrix& matrix, float* product, const std::byte* after) {
    multiply_expert(kernel_for(matrix, pairs.of_expert), matrix, pairs.expert,
                    tokens_of(args, work, matrix, pairs), rows, product, gate_rows, after);
  };
  multiply(args.gate, gate, weights_at(args.up, pairs.expert, row, rows.node));
  multiply(args.up, up, next);
  const PackedMatrix& down = args.down;
  const MatmulKernel& kernel = kernel_for(down, pairs.of_expert);
  const bool q8 = kernel.activation(down.format) == ActivationFormat::q8;
  const auto* f32 = f32::best_kernel(kernel.isa).functions;
  for (int64_t i = 0; i < pairs.count; ++i) {
    float* h = gate + i * gate_rows;
    f32->silu_mul(h, up + i * gate_rows, h, end - row);
    std::byte* out = work.h + (pairs.begin + i) * work.h_bytes;
    if (q8)
      kernel.quantize(
          q8_quantize_args(h, args.intermediate, row / q8_block, row / q8_block + 1, out));
    else
      std::memcpy(out + row * 4, h, static_cast<size_t>(end - row) * sizeof(float));
  }
}

/// Intermediate rows of all pairs of one expert of few tokens: from x to h.
void gate_and_up(const MoeArgs& args, const MoeWork& work, int expert, const ExpertRows& rows,
                 const std::byte* next) noexcept {
  for (int64_t row = rows.begin; row < rows.end; row += gate_rows) {
    const int64_t end = std::min(row + gate_rows, rows.end);
    const auto* after = end < rows.end ? weights_at(args.gate, expert, end, rows.node) : next;
    for_pairs(work, expert, [&](const Pairs& pairs) noexcept {
      gate_and_up(args, work, pairs, {row, end, rows.node}, after);
    });
  }
}

/// Output rows of some pairs of an expert of few tokens, [pairs, y_stride].
void down(const MoeArgs& args, const MoeWork& work, const Pairs& pairs, const ExpertRows& rows,
          float* y, int64_t y_stride, const std::byte* next) noexcept {
  const MatmulKernel& kernel = kernel_for(args.down, pairs.of_expert);
  const Activations h{.format = kernel.activation(args.down.format),
                      .data = work.h + pairs.begin * work.h_bytes,
                      .row_bytes = work.h_bytes,
                      .tokens = pairs.count};
  multiply_expert(kernel, args.down, pairs.expert, h, rows, y, y_stride, next);
}

/// Adds the products of some pairs, [pairs, down_rows], times their weights to rows of y.
void add_products(const MoeArgs& args, const MoeWork& work, const Pairs& pairs,
                  const ExpertRows& rows, const float* products) noexcept {
  for (int64_t i = 0; i < pairs.count; ++i) {
    const float weight = args.weights[work.pair[pairs.begin + i]];
    float* y = args.y + work.token[pairs.begin + i] * args.y_stride + rows.begin;
    const float* from = products + i * down_rows;
    for (int64_t r = 0; r < rows.end - rows.begin; ++r) y[r] += weight * from[r];
  }
}

/// At most down_rows output rows of all tokens: the experts one after another, so that every number
/// is summed in the same order whichever worker does it.
void down_and_sum(const MoeArgs& args, const MoeWork& work, const ExpertRows& rows,
                  const std::byte* next) noexcept {
  alignas(64) float products[block_tokens * down_rows];
  for (int64_t t = 0; t < args.tokens; ++t)
    std::fill(args.y + t * args.y_stride + rows.begin, args.y + t * args.y_stride + rows.end, 0.0f);
  for (int64_t a = 0; a < work.active_count; ++a) {
    const auto* after = a + 1 < work.active_count
                            ? weights_at(args.down, work.active[a + 1], rows.begin, rows.node)
                            : next;
    for_pairs(work, work.active[a], [&](const Pairs& pairs) noexcept {
      down(args, work, pairs, rows, products, down_rows, after);
      add_products(args, work, pairs, rows, products);
    });
  }
}

/// body(i, ExpertRows, next) for every i of [0, repeats) and every block of block_rows rows of the
/// matrix, each on the node that computes those rows. next: what weights_of(i, row, node) says of
/// the item after it; null for the last.
template <class WeightsOf, class Body>
void for_blocks(const PackedMatrix& matrix, int64_t block_rows, int64_t repeats, int64_t cost,
                hw::WorkerPool& pool, const WeightsOf& weights_of, const Body& body) noexcept {
  const auto blocks_of = [block_rows](const RowRange& rows) noexcept {
    return (rows.end - rows.begin + block_rows - 1) / block_rows;
  };
  const auto items_of_node = [&](int node) noexcept {
    return repeats * blocks_of(rows_of_node(matrix, pool, node));
  };
  const int64_t items = repeats * blocks_of({0, matrix.rows});
  pool.parallel_for_nodes(
      items_of_node, shared_grain(items, cost, pool.size()),
      all_nodes_hold(matrix, pool) ? hw::Steal::yes : hw::Steal::no,
      [&](int node, int64_t begin, int64_t end, int worker) noexcept {
        const RowRange rows = rows_of_node(matrix, pool, node);
        const int64_t blocks = blocks_of(rows), last = items_of_node(node) - 1;
        const int near = pool.node_of(worker);
        const auto row_of = [&](int64_t i) { return rows.begin + i % blocks * block_rows; };
        for (int64_t i = begin; i < end; ++i) {
          const auto* next = i < last ? weights_of((i + 1) / blocks, row_of(i + 1), near) : nullptr;
          body(i / blocks, ExpertRows{row_of(i), std::min(row_of(i) + block_rows, rows.end), near},
               next);
        }
      });
}

/// The second pass of a step without experts on tiles: an item is some rows of all experts.
void down_in_rows(const MoeArgs& args, const MoeWork& work, hw::WorkerPool& pool) noexcept {
  for_blocks(
      args.down, down_rows, 1, down_rows * args.intermediate * work.pairs(args.experts), pool,
      [&](int64_t, int64_t row, int node) noexcept {
        return weights_at(args.down, work.active[0], row, node);
      },
      [&](int64_t, const ExpertRows& some, const std::byte* next) noexcept {
        down_and_sum(args, work, some, next);
      });
}

/// The second pass of a step with experts on tiles: an item is some rows of one expert, whose h
/// then is near, and what all of them make is summed after another barrier.
void down_in_experts(const MoeArgs& args, const MoeWork& work, hw::WorkerPool& pool) noexcept {
  const int64_t pairs = work.pairs(args.experts);
  for_blocks(
      args.down, ExpertTiles::rows, work.active_count,
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
    std::fill_n(args.y + t * args.y_stride, args.hidden, 0.0f);
  });
}

MoeScratchArgs scratch_args(const MoeArgs& args) noexcept {
  return {.gate = args.gate,
          .up = args.up,
          .down = args.down,
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

  const int64_t pairs = work.pairs(args.experts);
  const bool tiled = work.tiled_count > 0;
  const int64_t rows = tiled ? ExpertTiles::rows : gate_rows;
  // Mean over experts; those with many tokens make a chunk take longer, which sharing evens out.
  const int64_t cost = 2 * rows * args.hidden * pairs / work.active_count;
  for_blocks(
      args.gate, rows, work.active_count, cost, pool,
      [&](int64_t a, int64_t row, int node) noexcept {
        return weights_at(args.gate, work.active[a], row, node);
      },
      [&](int64_t a, const ExpertRows& some, const std::byte* next) noexcept {
        const int expert = work.active[a];
        work.tiled(expert) ? gate_and_up_tiles(args, work, expert, some)
                           : gate_and_up(args, work, expert, some, next);
      });
  tiled ? down_in_experts(args, work, pool) : down_in_rows(args, work, pool);
  return work.active_count;
}

}  // namespace ktx::ops
