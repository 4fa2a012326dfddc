// Routed experts in two passes with one barrier between: gate, up and SwiGLU over blocks of
// intermediate rows, then down over blocks of output rows.
#include "ops/moe/moe.hpp"

#include <algorithm>
#include <cstring>

#include "ops/arena.hpp"
#include "ops/f32/f32.hpp"
#include "ops/linear/linear.hpp"
#include "ops/matmul/activation.hpp"
#include "ops/matmul/token_blocks.hpp"

namespace ktx::ops {
namespace {

// Rows of a product of each pass, and tokens handled at a time: both passes' products of a block
// fit in the L1 cache. gate_rows is a q8 block, so that it can be quantized for down at once.
constexpr int64_t gate_rows = q8_block, down_rows = 64, block_tokens = 32;
// The same where weights are decoded to bf16 panels first: as many tokens and rows as the L2 cache
// holds.
constexpr int64_t panel_gate_rows = 128, panel_tokens = 256;

const MatmulKernel& kernel_for(const PackedMatrix& matrix, int64_t tokens) noexcept {
  return tokens <= decode_tokens ? *matrix.decode : *matrix.prefill;
}

/// How an expert that got that many tokens in all reads its activations.
ActivationFormat reads(const PackedMatrix& matrix, int64_t tokens) noexcept {
  return activation_for(kernel_for(matrix, tokens), matrix.format, tokens);
}

/// Bytes of a row of h: enough for what either kernel of down reads.
int64_t hidden_row_bytes(const PackedMatrix& down) noexcept {
  int64_t most = 0;
  for (const MatmulKernel* kernel : {down.decode, down.prefill}) {
    most = std::max(most, activation_row_bytes(kernel->activation(down.format), down.cols));
    if (kernel->bf16_tokens > 0)
      most = std::max(most, activation_row_bytes(ActivationFormat::bf16, down.cols));
  }
  return most;
}

/// What a step keeps in the scratch. A pair is a token with one of its experts; pairs are sorted by
/// expert, and by token within an expert.
struct Work {
  Work(std::byte* block, const MoeScratchArgs& args) noexcept : arena(block) {
    const int64_t count = args.max_tokens * args.top_k;
    begin = arena.take<int32_t>(args.experts + 1);
    active = arena.take<int32_t>(args.experts);
    pair = arena.take<int32_t>(count);
    token = arena.take<int32_t>(count);
    x_bytes = activation_row_bytes(ActivationFormat::q8, args.gate.matrix.cols);
    x = arena.take<std::byte>(args.max_tokens * x_bytes);
    x16_bytes = activation_row_bytes(ActivationFormat::bf16, args.gate.matrix.cols);
    x16 = arena.take<std::byte>(args.max_tokens * x16_bytes);
    h_bytes = hidden_row_bytes(args.down.matrix);
    h = arena.take<std::byte>(count * h_bytes);
  }

  Arena arena;
  int32_t* begin;   // [experts + 1] first pair of each expert
  int32_t* active;  // [active_count] experts that got tokens
  int64_t active_count = 0;
  int32_t* pair;   // [pairs] index into ids and weights
  int32_t* token;  // [pairs] its token
  std::byte* x;    // [tokens] x as q8
  int64_t x_bytes;
  std::byte* x16;  // [tokens] x as bf16
  int64_t x16_bytes;
  std::byte* h;  // [pairs] silu(gate) * up, as down's kernel reads it
  int64_t h_bytes;
};

void sort_pairs(const MoeArgs& args, Work& work) noexcept {
  const int64_t count = args.tokens * args.top_k;
  std::fill_n(work.begin, args.experts + 1, 0);
  for (int64_t p = 0; p < count; ++p) ++work.begin[args.ids[p] + 1];
  for (int e = 0; e < args.experts; ++e) {
    if (work.begin[e + 1] > 0) work.active[work.active_count++] = e;
    work.begin[e + 1] += work.begin[e];
  }
  for (int64_t p = 0; p < count; ++p) {
    const int32_t at = work.begin[args.ids[p]]++;
    work.pair[at] = static_cast<int32_t>(p);
    work.token[at] = static_cast<int32_t>(p / args.top_k);
  }
  // Each begin has moved to its end, which is the next one's begin.
  std::copy_backward(work.begin, work.begin + args.experts, work.begin + args.experts + 1);
  work.begin[0] = 0;
}

/// Tokens that an active expert got.
int64_t tokens_of_expert(const Work& work, int expert) noexcept {
  return work.begin[expert + 1] - work.begin[expert];
}

/// The kernel with which some active expert reads x in that format; null when none does.
const MatmulKernel* reader_of(const MoeArgs& args, const Work& work,
                              ActivationFormat format) noexcept {
  for (int64_t a = 0; a < work.active_count; ++a) {
    const int64_t tokens = tokens_of_expert(work, work.active[a]);
    for (const PackedMatrix* matrix : {&args.gate.matrix, &args.up.matrix})
      if (reads(*matrix, tokens) == format) return &kernel_for(*matrix, tokens);
  }
  return nullptr;
}

void prepare(const MoeArgs& args, const Work& work, hw::WorkerPool& pool) noexcept {
  const MatmulKernel* q8 = reader_of(args, work, ActivationFormat::q8);
  const MatmulKernel* bf16 = reader_of(args, work, ActivationFormat::bf16);
  if (q8 == nullptr && bf16 == nullptr) return;
  for_each(pool, args.tokens, args.hidden, [&](int64_t t, int) noexcept {
    const float* x = args.x + t * args.x_stride;
    if (q8 != nullptr) q8->prepare(ActivationFormat::q8, x, args.hidden, work.x + t * work.x_bytes);
    if (bf16 != nullptr)
      bf16->prepare(ActivationFormat::bf16, x, args.hidden, work.x16 + t * work.x16_bytes);
  });
}

/// Some pairs of one expert.
struct Pairs {
  int expert;
  int64_t of_expert;  // tokens the expert got in all: they decide its kernel
  int64_t begin, count;
};

/// body(Pairs) for all pairs of an expert, so many at a time.
template <class Body>
void for_pairs(const Work& work, int expert, int64_t at_once, const Body& body) noexcept {
  const int64_t first = work.begin[expert], last = work.begin[expert + 1];
  for (int64_t begin = first; begin < last; begin += at_once)
    body(Pairs{expert, last - first, begin, std::min(at_once, last - begin)});
}

/// Rows [row_begin, row_end) of one expert's matrix times the given activations.
void multiply(const ExpertMatrix& experts, const Pairs& pairs, const Activations& x,
              int64_t row_begin, int64_t row_end, float* y, int64_t y_stride) noexcept {
  const PackedMatrix& matrix = experts.matrix;
  kernel_for(matrix, pairs.of_expert)
      .run({.weights = matrix.data + pairs.expert * experts.expert_bytes,
            .format = matrix.format,
            .rows = matrix.rows,
            .cols = matrix.cols,
            .row_begin = row_begin,
            .row_end = row_end,
            .x = x,
            .y = y,
            .y_stride = y_stride});
}

Activations tokens_of(const MoeArgs& args, const Work& work, const PackedMatrix& matrix,
                      const Pairs& pairs) noexcept {
  Activations x{.rows = work.token + pairs.begin,
                .tokens = pairs.count,
                .format = reads(matrix, pairs.of_expert)};
  if (x.format == ActivationFormat::q8) {
    x.data = work.x;
    x.row_bytes = work.x_bytes;
  } else if (x.format == ActivationFormat::bf16) {
    x.data = work.x16;
    x.row_bytes = work.x16_bytes;
  } else {
    x.data = reinterpret_cast<const std::byte*>(args.x);
    x.row_bytes = args.x_stride * static_cast<int64_t>(sizeof(float));
  }
  return x;
}

/// Writes rows [row, row + n) of the intermediate h of one pair as down's kernel reads them.
void store_hidden(const MoeArgs& args, const Pairs& pairs, const float* h, int64_t row, int64_t n,
                  std::byte* out) noexcept {
  const PackedMatrix& down = args.down.matrix;
  const MatmulKernel& kernel = kernel_for(down, pairs.of_expert);
  switch (reads(down, pairs.of_expert)) {
    case ActivationFormat::q8:
      return kernel.quantize(
          q8_quantize_args(h, args.intermediate, row / q8_block, (row + n) / q8_block, out));
    case ActivationFormat::bf16:
      return kernel.prepare(ActivationFormat::bf16, h, n, out + row * 2);
    case ActivationFormat::f32:
      std::memcpy(out + row * 4, h, static_cast<size_t>(n) * sizeof(float));
  }
}

/// Up to Rows intermediate rows from `row` on of up to Tokens pairs: from x to h.
template <int64_t Rows, int64_t Tokens>
void gate_and_up(const MoeArgs& args, const Work& work, const Pairs& pairs, int64_t row) noexcept {
  alignas(64) float gate[Tokens * Rows];
  alignas(64) float up[Tokens * Rows];
  const int64_t end = std::min(row + Rows, args.intermediate);
  multiply(args.gate, pairs, tokens_of(args, work, args.gate.matrix, pairs), row, end, gate, Rows);
  multiply(args.up, pairs, tokens_of(args, work, args.up.matrix, pairs), row, end, up, Rows);
  const auto* f32 = f32::best_kernel(kernel_for(args.down.matrix, pairs.of_expert).isa).functions;
  for (int64_t i = 0; i < pairs.count; ++i) {
    float* h = gate + i * Rows;
    f32->silu_mul(h, up + i * Rows, h, end - row);
    store_hidden(args, pairs, h, row, end - row, work.h + (pairs.begin + i) * work.h_bytes);
  }
}

/// Intermediate rows [row, row + rows) of all tokens of one expert.
void gate_and_up(const MoeArgs& args, const Work& work, int expert, int64_t row,
                 int64_t rows) noexcept {
  const int64_t end = std::min(row + rows, args.intermediate);
  if (reads(args.gate.matrix, tokens_of_expert(work, expert)) == ActivationFormat::bf16) {
    for_pairs(work, expert, panel_tokens, [&](const Pairs& pairs) noexcept {
      for (int64_t r = row; r < end; r += panel_gate_rows)
        gate_and_up<panel_gate_rows, panel_tokens>(args, work, pairs, r);
    });
    return;
  }
  for_pairs(work, expert, block_tokens, [&](const Pairs& pairs) noexcept {
    for (int64_t r = row; r < end; r += gate_rows)
      gate_and_up<gate_rows, block_tokens>(args, work, pairs, r);
  });
}

/// Output rows [row, row + down_rows) of all tokens: the experts one after another, so that every
/// number is summed in the same order whichever worker does it.
void down(const MoeArgs& args, const Work& work, int64_t row) noexcept {
  alignas(64) float product[panel_tokens * down_rows];
  const int64_t end = std::min(row + down_rows, args.hidden);
  for (int64_t t = 0; t < args.tokens; ++t)
    std::fill(args.y + t * args.y_stride + row, args.y + t * args.y_stride + end, 0.0f);
  for (int64_t a = 0; a < work.active_count; ++a) {
    const int expert = work.active[a];
    const ActivationFormat format = reads(args.down.matrix, tokens_of_expert(work, expert));
    const bool panels = format == ActivationFormat::bf16;
    for_pairs(work, expert, panels ? panel_tokens : block_tokens, [&](const Pairs& pairs) noexcept {
      const Activations h{.data = work.h + pairs.begin * work.h_bytes,
                          .row_bytes = work.h_bytes,
                          .tokens = pairs.count,
                          .format = format};
      multiply(args.down, pairs, h, row, end, product, down_rows);
      for (int64_t i = 0; i < pairs.count; ++i) {
        const float weight = args.weights[work.pair[pairs.begin + i]];
        float* y = args.y + work.token[pairs.begin + i] * args.y_stride + row;
        const float* from = product + i * down_rows;
        for (int64_t r = 0; r < end - row; ++r) y[r] += weight * from[r];
      }
    });
  }
}

/// Intermediate rows of an item of the first pass: many when any expert decodes panels, which other
/// experts then take in parts.
int64_t item_rows(const MoeArgs& args, const Work& work) noexcept {
  for (int64_t a = 0; a < work.active_count; ++a)
    if (reads(args.gate.matrix, tokens_of_expert(work, work.active[a])) == ActivationFormat::bf16)
      return panel_gate_rows;
  return gate_rows;
}

MoeScratchArgs scratch_args(const MoeArgs& args) noexcept {
  return {.gate = args.gate,
          .down = args.down,
          .experts = args.experts,
          .top_k = args.top_k,
          .max_tokens = args.tokens};
}

}  // namespace

int64_t moe_scratch_bytes(const MoeScratchArgs& args) noexcept {
  return static_cast<int64_t>(Work(nullptr, args).arena.used());
}

void moe(const MoeArgs& args, hw::WorkerPool& pool) noexcept {
  if (args.tokens == 0) return;
  Work work(args.scratch, scratch_args(args));
  sort_pairs(args, work);
  prepare(args, work, pool);

  const int64_t pairs = args.tokens * args.top_k;
  const int64_t rows = item_rows(args, work);
  const int64_t blocks = (args.intermediate + rows - 1) / rows;
  const int64_t items = work.active_count * blocks;
  // Mean over experts; those with many tokens make a chunk take longer, which sharing evens out.
  const int64_t cost = 2 * rows * args.hidden * pairs / std::max<int64_t>(1, work.active_count);
  pool.parallel_for(items, shared_grain(items, cost, pool.size()),
                    [&](int64_t begin, int64_t end, int) noexcept {
                      for (int64_t i = begin; i < end; ++i)
                        gate_and_up(args, work, work.active[i / blocks], i % blocks * rows, rows);
                    });

  const int64_t outputs = (args.hidden + down_rows - 1) / down_rows;
  pool.parallel_for(outputs,
                    shared_grain(outputs, down_rows * args.intermediate * pairs, pool.size()),
                    [&](int64_t begin, int64_t end, int) noexcept {
                      for (int64_t i = begin; i < end; ++i) down(args, work, i * down_rows);
                    });
}

}  // namespace ktx::ops
