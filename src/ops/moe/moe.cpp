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

// Rows of an item of each pass, and tokens handled at a time: both passes' products of a block fit
// in the L1 cache. gate_rows is a q8 block, so that an item can quantize what it made for down.
constexpr int64_t gate_rows = q8_block, down_rows = 64, block_tokens = 32;

const MatmulKernel& kernel_for(const PackedMatrix& matrix, int64_t tokens) noexcept {
  return tokens <= decode_tokens ? *matrix.decode : *matrix.prefill;
}

/// Bytes of a row of h: enough for what either kernel of down reads.
int64_t hidden_row_bytes(const PackedMatrix& down) noexcept {
  return std::max(activation_row_bytes(down.decode->activation(down.format), down.cols),
                  activation_row_bytes(down.prefill->activation(down.format), down.cols));
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

bool reads_q8(const PackedMatrix& matrix) noexcept {
  return matrix.decode->activation(matrix.format) == ActivationFormat::q8 ||
         matrix.prefill->activation(matrix.format) == ActivationFormat::q8;
}

void prepare(const MoeArgs& args, const Work& work, hw::WorkerPool& pool) noexcept {
  const PackedMatrix& gate = args.gate.matrix;
  if (!reads_q8(gate) && !reads_q8(args.up.matrix)) return;
  for_each(pool, args.tokens, args.hidden, [&](int64_t t, int) noexcept {
    gate.decode->prepare(ActivationFormat::q8, args.x + t * args.x_stride, args.hidden,
                         work.x + t * work.x_bytes);
  });
}

/// Some pairs of one expert.
struct Pairs {
  int expert;
  int64_t of_expert;  // tokens the expert got in all: they decide its kernel
  int64_t begin, count;
};

/// body(Pairs) for all pairs of an expert, block_tokens at a time.
template <class Body>
void for_pairs(const Work& work, int expert, const Body& body) noexcept {
  const int64_t first = work.begin[expert], last = work.begin[expert + 1];
  for (int64_t begin = first; begin < last; begin += block_tokens)
    body(Pairs{expert, last - first, begin, std::min(block_tokens, last - begin)});
}

/// Where the packed rows from `row` on of one expert's matrix lie; in Layout::rows about there.
const std::byte* weights_at(const ExpertMatrix& experts, int expert, int64_t row) noexcept {
  const PackedMatrix& matrix = experts.matrix;
  return matrix.data + expert * experts.expert_bytes +
         packed_bytes(matrix.decode->layout(matrix.format), matrix.format, row, matrix.cols);
}

/// Rows [row_begin, row_end) of one expert's matrix times the given activations; `next` are the
/// weights of the product after this one (MatmulArgs).
void multiply(const ExpertMatrix& experts, const Pairs& pairs, const Activations& x,
              int64_t row_begin, int64_t row_end, float* y, int64_t y_stride,
              const std::byte* next) noexcept {
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
            .y_stride = y_stride,
            .next = next});
}

Activations tokens_of(const MoeArgs& args, const Work& work, const PackedMatrix& matrix,
                      const Pairs& pairs) noexcept {
  Activations x{.rows = work.token + pairs.begin, .tokens = pairs.count};
  const auto format = kernel_for(matrix, pairs.of_expert).activation(matrix.format);
  if (format == ActivationFormat::q8) {
    x.data = work.x;
    x.row_bytes = work.x_bytes;
  } else {
    x.data = reinterpret_cast<const std::byte*>(args.x);
    x.row_bytes = args.x_stride * static_cast<int64_t>(sizeof(float));
  }
  return x;
}

/// Intermediate rows [row, row + gate_rows) of some pairs: from x to h.
void gate_and_up(const MoeArgs& args, const Work& work, const Pairs& pairs, int64_t row,
                 const std::byte* next) noexcept {
  alignas(64) float gate[block_tokens * gate_rows];
  alignas(64) float up[block_tokens * gate_rows];
  const int64_t end = std::min(row + gate_rows, args.intermediate);
  multiply(args.gate, pairs, tokens_of(args, work, args.gate.matrix, pairs), row, end, gate,
           gate_rows, weights_at(args.up, pairs.expert, row));
  multiply(args.up, pairs, tokens_of(args, work, args.up.matrix, pairs), row, end, up, gate_rows,
           next);
  const PackedMatrix& down = args.down.matrix;
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

/// Output rows [row, row + down_rows) of all tokens: the experts one after another, so that every
/// number is summed in the same order whichever worker does it.
void down(const MoeArgs& args, const Work& work, int64_t row, const std::byte* next) noexcept {
  alignas(64) float product[block_tokens * down_rows];
  const int64_t end = std::min(row + down_rows, args.hidden);
  for (int64_t t = 0; t < args.tokens; ++t)
    std::fill(args.y + t * args.y_stride + row, args.y + t * args.y_stride + end, 0.0f);
  for (int64_t a = 0; a < work.active_count; ++a) {
    const auto* after =
        a + 1 < work.active_count ? weights_at(args.down, work.active[a + 1], row) : next;
    for_pairs(work, work.active[a], [&](const Pairs& pairs) noexcept {
      const Activations h{.data = work.h + pairs.begin * work.h_bytes,
                          .row_bytes = work.h_bytes,
                          .tokens = pairs.count};
      multiply(args.down, pairs, h, row, end, product, down_rows, after);
      for (int64_t i = 0; i < pairs.count; ++i) {
        const float weight = args.weights[work.pair[pairs.begin + i]];
        float* y = args.y + work.token[pairs.begin + i] * args.y_stride + row;
        const float* from = product + i * down_rows;
        for (int64_t r = 0; r < end - row; ++r) y[r] += weight * from[r];
      }
    });
  }
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
  const int64_t blocks = (args.intermediate + gate_rows - 1) / gate_rows;
  const int64_t items = work.active_count * blocks;
  // Mean over experts; those with many tokens make a chunk take longer, which sharing evens out.
  const int64_t cost =
      2 * gate_rows * args.hidden * pairs / std::max<int64_t>(1, work.active_count);
  const auto gate_at = [&](int64_t item) noexcept {
    return weights_at(args.gate, work.active[item / blocks], item % blocks * gate_rows);
  };
  pool.parallel_for(items, shared_grain(items, cost, pool.size()),
                    [&](int64_t begin, int64_t end, int) noexcept {
                      for (int64_t i = begin; i < end; ++i) {
                        const auto* next = i + 1 < items ? gate_at(i + 1) : nullptr;
                        for_pairs(work, work.active[i / blocks], [&](const Pairs& some) noexcept {
                          gate_and_up(args, work, some, i % blocks * gate_rows, next);
                        });
                      }
                    });

  const int64_t outputs = (args.hidden + down_rows - 1) / down_rows;
  const auto down_at = [&](int64_t item) noexcept {
    return weights_at(args.down, work.active[0], item * down_rows);
  };
  pool.parallel_for(outputs,
                    shared_grain(outputs, down_rows * args.intermediate * pairs, pool.size()),
                    [&](int64_t begin, int64_t end, int) noexcept {
                      for (int64_t i = begin; i < end; ++i)
                        down(args, work, i * down_rows, i + 1 < outputs ? down_at(i + 1) : nullptr);
                    });
}

}  // namespace ktx::ops
