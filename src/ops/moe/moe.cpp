// Tokens are gathered by expert; two passes over the workers with one barrier between them.
//
// Pass 1 takes blocks of rows of an expert's gate and up, and turns 32 columns of the hidden state
// at a time into down's activation format: their q8 scale is their own. Pass 2 takes blocks of rows
// of the output and runs through all experts, so that no two workers write the same number and the
// sum has one order.
#include "ops/moe/moe.hpp"

#include <algorithm>
#include <cstring>

#include "ops/arena.hpp"
#include "ops/f32/f32.hpp"
#include "ops/linear/linear.hpp"
#include "ops/matmul/activation.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {

namespace {

constexpr int64_t block_rows = q8_block;  // of one work item
constexpr int64_t block_tokens = 32;      // that one pass over a block's weights serves

// Which tokens each expert got: slot s of expert e, begin[e] <= s < begin[e + 1], is token[s].
struct Routes {
  int32_t* begin;   // [experts + 1]
  int32_t* token;   // [tokens * top_k]
  float* weight;    // [tokens * top_k]
  int32_t* slot;    // [tokens * top_k], the identity: rows of the hidden state
  int32_t* active;  // [experts], those that got tokens
  int64_t active_count = 0;
};

// What a step works on, cut from scratch.
struct Work {
  Routes routes;
  std::byte* x;       // [tokens] prepared activations; null: x itself
  std::byte* hidden;  // [tokens * top_k] down's activations
  int64_t x_row_bytes, hidden_row_bytes;
  ActivationFormat x_format, hidden_format;
};

ActivationFormat activation_of(const ExpertMatrix& m) {
  return m.matrix.decode->activation(m.matrix.format);
}

Work layout(const MoeArgs& args, int64_t tokens, Arena& arena) {
  Work w{};
  const int64_t slots = tokens * args.top_k;
  w.routes.begin = arena.take<int32_t>(args.experts + 1);
  w.routes.active = arena.take<int32_t>(args.experts);
  w.routes.token = arena.take<int32_t>(slots);
  w.routes.slot = arena.take<int32_t>(slots);
  w.routes.weight = arena.take<float>(slots);
  w.x_format = activation_of(args.gate);
  w.hidden_format = activation_of(args.down);
  w.x_row_bytes = activation_row_bytes(w.x_format, args.hidden);
  w.hidden_row_bytes = activation_row_bytes(w.hidden_format, args.intermediate);
  w.x = arena.take<std::byte>(tokens * w.x_row_bytes);
  w.hidden = arena.take<std::byte>(slots * w.hidden_row_bytes);
  return w;
}

void gather(const MoeArgs& args, Routes& routes) {
  std::fill(routes.begin, routes.begin + args.experts + 1, 0);
  const int64_t slots = args.tokens * args.top_k;
  for (int64_t i = 0; i < slots; ++i) ++routes.begin[args.ids[i] + 1];
  for (int e = 0; e < args.experts; ++e) {
    if (routes.begin[e + 1] > 0) routes.active[routes.active_count++] = e;
    routes.begin[e + 1] += routes.begin[e];
  }
  // begin[e] serves as the next free slot of e and is put back afterwards.
  for (int64_t i = 0; i < slots; ++i) {
    const int32_t s = routes.begin[args.ids[i]]++;
    routes.token[s] = static_cast<int32_t>(i / args.top_k);
    routes.weight[s] = args.weights[i];
    routes.slot[i] = static_cast<int32_t>(i);
  }
  for (int e = args.experts; e > 0; --e) routes.begin[e] = routes.begin[e - 1];
  routes.begin[0] = 0;
}

void prepare(const MoeArgs& args, const Work& w, hw::WorkerPool& pool) {
  const auto prepare_row = args.gate.matrix.decode->prepare;
  for_each(pool, args.tokens, args.hidden, [&](int64_t t, int) noexcept {
    prepare_row(w.x_format, args.x + t * args.x_stride, args.hidden, w.x + t * w.x_row_bytes);
  });
}

// Rows [begin, end) of an expert's matrix times n activations.
void multiply(const ExpertMatrix& m, int32_t expert, int64_t begin, int64_t end,
              int64_t expert_tokens, const Activations& x, float* y) {
  const auto& kernel = expert_tokens <= decode_tokens ? *m.matrix.decode : *m.matrix.prefill;
  kernel.run({.weights = m.matrix.data + expert * m.expert_bytes,
              .format = m.matrix.format,
              .rows = m.matrix.rows,
              .cols = m.matrix.cols,
              .row_begin = begin,
              .row_end = end,
              .x = x,
              .y = y,
              .y_stride = block_rows});
}

// Columns [begin, end) of the hidden state of all tokens of one expert.
void first_half(const MoeArgs& args, const Work& w, int32_t expert, int64_t begin, int64_t end) {
  const auto silu_mul = f32::best_kernel(args.gate.matrix.decode->isa).functions->silu_mul;
  const int64_t first = w.routes.begin[expert], last = w.routes.begin[expert + 1];
  alignas(64) float gate[block_tokens * block_rows], up[block_tokens * block_rows];
  for (int64_t s = first; s < last; s += block_tokens) {
    const int64_t n = std::min(block_tokens, last - s);
    const Activations x{
        .data = w.x, .row_bytes = w.x_row_bytes, .rows = w.routes.token + s, .tokens = n};
    multiply(args.gate, expert, begin, end, last - first, x, gate);
    multiply(args.up, expert, begin, end, last - first, x, up);
    for (int64_t i = 0; i < n; ++i) {
      float* h = gate + i * block_rows;
      silu_mul(h, up + i * block_rows, h, end - begin);
      std::byte* row = w.hidden + (s + i) * w.hidden_row_bytes;
      if (w.hidden_format == ActivationFormat::q8)
        args.down.matrix.decode->quantize(
            q8_quantize_args(h, args.intermediate, begin / q8_block, begin / q8_block + 1, row));
      else
        std::memcpy(row + begin * static_cast<int64_t>(sizeof(float)), h,
                    static_cast<size_t>(end - begin) * sizeof(float));
    }
  }
}

// Columns [begin, end) of the output of all tokens.
void second_half(const MoeArgs& args, const Work& w, int64_t begin, int64_t end) {
  for (int64_t t = 0; t < args.tokens; ++t)
    std::fill(args.y + t * args.y_stride + begin, args.y + t * args.y_stride + end, 0.0f);
  alignas(64) float out[block_tokens * block_rows];
  for (int64_t a = 0; a < w.routes.active_count; ++a) {
    const int32_t expert = w.routes.active[a];
    const int64_t first = w.routes.begin[expert], last = w.routes.begin[expert + 1];
    for (int64_t s = first; s < last; s += block_tokens) {
      const int64_t n = std::min(block_tokens, last - s);
      multiply(args.down, expert, begin, end, last - first,
               {.data = w.hidden,
                .row_bytes = w.hidden_row_bytes,
                .rows = w.routes.slot + s,
                .tokens = n},
               out);
      for (int64_t i = 0; i < n; ++i) {
        float* y = args.y + w.routes.token[s + i] * args.y_stride + begin;
        const float weight = w.routes.weight[s + i];
        for (int64_t r = 0; r < end - begin; ++r) y[r] += weight * out[i * block_rows + r];
      }
    }
  }
}

int64_t blocks_of(int64_t rows) {
  return (rows + block_rows - 1) / block_rows;
}

}  // namespace

size_t moe_scratch_bytes(const MoeArgs& args, int64_t max_tokens) noexcept {
  Arena arena;
  layout(args, max_tokens, arena);
  return arena.used();
}

void moe(const MoeArgs& args, hw::WorkerPool& pool) noexcept {
  Arena arena(args.scratch);
  Work w = layout(args, args.tokens, arena);
  gather(args, w.routes);
  prepare(args, w, pool);

  const int64_t slots = args.tokens * args.top_k;
  const int64_t blocks = blocks_of(args.intermediate);
  const int64_t per_expert = slots / std::max<int64_t>(1, w.routes.active_count);
  for_each(pool, w.routes.active_count * blocks, 2 * block_rows * args.hidden * per_expert,
           [&](int64_t item, int) noexcept {
             const int64_t begin = item % blocks * block_rows;
             first_half(args, w, w.routes.active[item / blocks], begin,
                        std::min(begin + block_rows, args.intermediate));
           });
  for_each(pool, blocks_of(args.hidden), block_rows * args.intermediate * slots,
           [&](int64_t block, int) noexcept {
             const int64_t begin = block * block_rows;
             second_half(args, w, begin, std::min(begin + block_rows, args.hidden));
           });
}

}  // namespace ktx::ops
