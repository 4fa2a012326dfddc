// Multi-head latent attention on a GPU: the steps of its two forms.
#include <algorithm>

#include "ops/arena.hpp"
#include "ops/attention/cuda.hpp"
#include "ops/attention/cuda_attend.hpp"
#include "ops/attention/cuda_cache.hpp"
#include "ops/attention/cuda_prefill.hpp"

namespace ktx::ops::cuda {
namespace {

constexpr int64_t absorbed_rows = 256;  // of a prompt at a time, which bounds the scratch
constexpr int64_t expanded_bytes = int64_t{256} << 20;  // of keys, values and queries at a time

bool is_tiled(const graph::MlaParams& p, graph::KvFormat format) noexcept {
  return p.kv_lora == mla_latents && p.rope == mla_rope && format != graph::KvFormat::f32;
}

/// Rows [begin, end) with their queries widened.
struct Absorbed {
  Absorbed(const graph::MlaParams& p, int64_t rows, Arena& arena) noexcept
      : nope(arena.take<uint16_t>(rows * p.heads * p.nope)),
        queries(arena.take<uint16_t>(rows * p.heads * (p.kv_lora + p.rope))),
        sums(arena.take<uint16_t>(rows * p.heads * p.kv_lora)) {}
  uint16_t* nope;     // [rows, heads, nope]
  uint16_t* queries;  // [rows, heads, kv_lora + rope]
  uint16_t* sums;     // [rows, heads, kv_lora]
};

/// Some heads of a prompt with keys and values expanded.
struct Expanded {
  Expanded(const graph::MlaParams& p, int64_t rows, int64_t tokens, Arena& arena) noexcept
      : heads(heads_at_a_time(p, rows, tokens)),
        cached(arena.take<uint16_t>(tokens * (p.kv_lora + p.rope))),
        queries(arena.take<uint16_t>(rows * heads * (p.nope + p.rope))),
        keys(arena.take<uint16_t>(tokens * heads * p.nope)),
        values(arena.take<uint16_t>(tokens * heads * p.v)) {}
  static int64_t head_bytes(const graph::MlaParams& p, int64_t rows, int64_t tokens) noexcept {
    return 2 * (rows * (p.nope + p.rope) + tokens * (p.nope + p.v));
  }
  static int64_t heads_at_a_time(const graph::MlaParams& p, int64_t rows, int64_t tokens) noexcept {
    return std::clamp<int64_t>(expanded_bytes / head_bytes(p, rows, tokens), 1, p.heads);
  }
  /// Enough for any prompt of at most so many rows and tokens.
  static size_t most_bytes(const graph::MlaParams& p, int64_t rows, int64_t tokens) noexcept {
    const int64_t all = p.heads * head_bytes(p, rows, tokens);
    const int64_t some = std::max(expanded_bytes, head_bytes(p, rows, tokens));
    constexpr int64_t alignment = 4 * 64;
    return static_cast<size_t>(2 * tokens * (p.kv_lora + p.rope) + std::min(all, some) + alignment);
  }
  int64_t heads;
  uint16_t* cached;   // [tokens, kv_lora + rope]
  uint16_t* queries;  // [rows, heads, nope + rope]
  uint16_t* keys;     // [tokens, heads, nope]
  uint16_t* values;   // [tokens, heads, v]
};

AbsorbedArgs absorbed_args(const MlaArgs& args, int64_t begin, int64_t end,
                           const Absorbed& absorbed, std::byte* scratch) noexcept {
  return {.batch = args.batch,
          .cache = args.cache,
          .row_begin = begin,
          .row_end = end,
          .heads = args.params->heads,
          .scale = args.params->scale,
          .q = absorbed.queries,
          .out = absorbed.sums,
          .scratch = scratch};
}

void attend_rows(const MlaArgs& args, int64_t begin, int64_t end, const Absorbed& absorbed,
                 std::byte* scratch, const device::Queue& queue) noexcept {
  const graph::MlaParams& p = *args.params;
  if (is_tiled(p, args.cache.format)) {
    attend_absorbed(best_absorbed_kernel(queue), absorbed_args(args, begin, end, absorbed, scratch),
                    queue);
  } else {
    attend({.batch = args.batch,
            .cache = args.cache,
            .row_begin = begin,
            .row_end = end,
            .heads = p.heads,
            .heads_per_kv = p.heads,
            .key_dim = p.kv_lora + p.rope,
            .value_dim = p.kv_lora,
            .scale = p.scale,
            .q = absorbed.queries,
            .out = absorbed.sums},
           queue);
  }
}

/// Both matrices of all heads as bf16, for what has many rows.
struct Matrices {
  const uint16_t* k_b;
  const uint16_t* v_b;
};

size_t bf16_bytes(quant::Format stored, int64_t rows, int64_t inputs) noexcept {
  constexpr size_t alignment = 256;
  const auto bytes = static_cast<size_t>(rows * inputs) * sizeof(uint16_t);
  return stored == quant::Format::bf16 ? 0 : (bytes + alignment - 1) / alignment * alignment;
}

size_t bf16_matrices_bytes(const graph::MlaParams& p, const MlaFormats& formats) noexcept {
  const int64_t heads = p.heads;
  return bf16_bytes(formats.k_b, heads * p.kv_lora, p.nope) +
         bf16_bytes(formats.v_b, heads * p.v, p.kv_lora);
}

/// Takes room for them off scratch, where they are not bf16 already.
const uint16_t* take_bf16(const HeadMatrices& matrices, int64_t rows, int64_t inputs,
                          std::byte*& scratch, const device::Queue& queue) noexcept {
  if (matrices.format == quant::Format::bf16)
    return reinterpret_cast<const uint16_t*>(matrices.data);
  auto* out = reinterpret_cast<uint16_t*>(scratch);
  scratch += bf16_bytes(matrices.format, rows, inputs);
  heads_as_bf16({.data = matrices.data, .rows = rows, .inputs = inputs, .out = out}, queue);
  return out;
}

Matrices take_bf16_matrices(MlaArgs& args, const device::Queue& queue) noexcept {
  const graph::MlaParams& p = *args.params;
  const int64_t heads = p.heads;
  return {.k_b = take_bf16(args.k_b, heads * p.kv_lora, p.nope, args.scratch, queue),
          .v_b = take_bf16(args.v_b, heads * p.v, p.kv_lora, args.scratch, queue)};
}

void mla_absorbed(const MlaArgs& args, const Matrices& matrices, int64_t begin, int64_t end,
                  const HeadProducts& products, const device::Queue& queue) noexcept {
  const graph::MlaParams& p = *args.params;
  const int64_t heads = p.heads, width = p.kv_lora + p.rope;
  Arena arena(args.scratch);
  const Absorbed absorbed(p, end - begin, arena);
  rotate_queries({.batch = args.batch,
                  .rope = args.rope,
                  .row_begin = begin,
                  .row_end = end,
                  .heads = p.heads,
                  .plain = p.nope,
                  .rotate = p.rope,
                  .q = args.q,
                  .q_stride = args.q_stride,
                  .plain_to = absorbed.nope,
                  .plain_row = heads * p.nope,
                  .plain_head = p.nope,
                  .rotated_to = absorbed.queries + p.kv_lora,
                  .rotated_row = heads * width,
                  .rotated_head = width},
                 queue);
  products.run({.weights = matrices.k_b,
                .heads = heads,
                .outputs = p.kv_lora,
                .inputs = p.nope,
                .x = absorbed.nope,
                .x_row = heads * p.nope,
                .x_head = p.nope,
                .y = absorbed.queries,
                .y_row = heads * width,
                .y_head = width,
                .rows = end - begin});
  attend_rows(args, begin, end, absorbed, args.scratch + arena.used(), queue);
  products.run({.weights = matrices.v_b,
                .heads = heads,
                .outputs = p.v,
                .inputs = p.kv_lora,
                .x = absorbed.sums,
                .x_row = heads * p.kv_lora,
                .x_head = p.kv_lora,
                .y = args.out + begin * heads * p.v,
                .y_row = heads * p.v,
                .y_head = p.v,
                .rows = end - begin});
}

/// Whether the decoding rows are few enough for three launches.
bool decodes_few(const MlaArgs& args) noexcept {
  return args.decode_rows > 0 &&
         args.decode_rows <= std::min<int64_t>(most_widened_rows, most_value_rows) &&
         is_tiled(*args.params, args.cache.format);
}

/// All rows are appended, the decoding ones attend.
void mla_few(const MlaArgs& args, const AppendMlaArgs& appended,
             const device::Queue& queue) noexcept {
  const graph::MlaParams& p = *args.params;
  Arena arena(args.scratch);
  const Absorbed absorbed(p, args.decode_rows, arena);
  append_and_widen({.append = appended,
                    .rows = args.decode_rows,
                    .heads = p.heads,
                    .nope = p.nope,
                    .k_b = args.k_b,
                    .q = args.q,
                    .q_stride = args.q_stride,
                    .queries = absorbed.queries},
                   queue);
  attend_absorbed(best_absorbed_kernel(queue),
                  absorbed_args(args, 0, args.decode_rows, absorbed, args.scratch + arena.used()),
                  {.v_b = args.v_b, .v = p.v, .out = args.out}, queue);
}

/// Heads [head, head + count) of a prompt whose rows have been gathered.
void attend_expanded(const MlaArgs& args, const Matrices& matrices, const Prompt& prompt,
                     int64_t head, int64_t count, const Expanded& e, const HeadProducts& products,
                     const device::Queue& queue) noexcept {
  const graph::MlaParams& p = *args.params;
  const int64_t width = p.nope + p.rope, row_width = p.kv_lora + p.rope;
  HeadsArgs product{.weights = matrices.k_b + head * p.kv_lora * p.nope,
                    .transposed = true,
                    .heads = count,
                    .outputs = p.nope,
                    .inputs = p.kv_lora,
                    .x = e.cached,
                    .x_row = row_width,
                    .y = e.keys,
                    .y_row = count * p.nope,
                    .y_head = p.nope,
                    .rows = prompt.tokens()};
  products.run(product);
  product.weights = matrices.v_b + head * p.v * p.kv_lora;
  product.transposed = false;
  product.outputs = p.v;
  product.y = e.values;
  product.y_row = count * p.v;
  product.y_head = p.v;
  products.run(product);
  rotate_queries({.batch = args.batch,
                  .rope = args.rope,
                  .row_begin = prompt.first_row,
                  .row_end = prompt.first_row + prompt.rows,
                  .heads = static_cast<int>(count),
                  .plain = p.nope,
                  .rotate = p.rope,
                  .q = args.q.from(head * width),
                  .q_stride = args.q_stride,
                  .plain_to = e.queries,
                  .plain_row = count * width,
                  .plain_head = width,
                  .rotated_to = e.queries + p.nope,
                  .rotated_row = count * width,
                  .rotated_head = width},
                 queue);
  prefill({.rows = prompt.rows,
           .past = prompt.past,
           .heads = static_cast<int>(count),
           .head_dim = p.nope,
           .shared_dim = p.rope,
           .scale = p.scale,
           .q = e.queries,
           .q_row = count * width,
           .q_head = width,
           .k = e.keys,
           .k_row = count * p.nope,
           .k_head = p.nope,
           .shared_k = e.cached + p.kv_lora,
           .shared_row = row_width,
           .v = e.values,
           .v_row = count * p.v,
           .v_head = p.v,
           .out = args.out + (prompt.first_row * p.heads + head) * p.v,
           .out_row = int64_t{p.heads} * p.v,
           .out_head = p.v},
          queue);
}

void mla_expanded(const MlaArgs& args, const Matrices& matrices, const Prompt& prompt,
                  const HeadProducts& products, const device::Queue& queue) noexcept {
  Arena arena(args.scratch);
  const Expanded expanded(*args.params, prompt.rows, prompt.tokens(), arena);
  gather({args.batch, args.cache, prompt.sequence, prompt.tokens(), expanded.cached}, queue);
  for (int64_t head = 0; head < args.params->heads; head += expanded.heads) {
    const int64_t count = std::min(expanded.heads, args.params->heads - head);
    attend_expanded(args, matrices, prompt, head, count, expanded, products, queue);
  }
}

}  // namespace

bool expanding_is_cheaper(const graph::MlaParams& p, const Prompt& prompt) noexcept {
  if (!prefill_fits(p.nope, p.rope) || p.v != p.nope) return false;
  const int64_t per_row = int64_t{p.kv_lora} * (p.nope + p.v);
  const int64_t pairs = prompt.rows * prompt.past + prompt.rows * (prompt.rows + 1) / 2;
  return prompt.tokens() * per_row + pairs * (p.nope + p.rope + p.v) <
         prompt.rows * per_row + pairs * (2 * p.kv_lora + p.rope);
}

size_t mla_scratch_bytes(const graph::MlaParams& params, const MlaFormats& formats,
                         const StepShape& most, int multiprocessors) noexcept {
  Arena absorbed;
  Absorbed(params, std::max(most.decode_rows, std::min(most.rows, absorbed_rows)), absorbed);
  return bf16_matrices_bytes(params, formats) +
         std::max(absorbed.used() + absorbed_scratch_bytes(params.heads, multiprocessors),
                  Expanded::most_bytes(params, most.rows, most.tokens));
}

void mla(const MlaArgs& args, const HeadProducts& products, const device::Queue& queue) noexcept {
  const AppendMlaArgs appended{.batch = args.batch,
                               .cache = args.cache,
                               .rope = args.rope,
                               .latent = args.latent,
                               .latent_stride = args.latent_stride,
                               .norm = args.latent_norm,
                               .eps = args.eps,
                               .k_rope = args.k_rope,
                               .k_rope_stride = args.k_rope_stride};
  const bool few = decodes_few(args);
  if (few)
    mla_few(args, appended, queue);
  else
    append(appended, queue);
  if (few && args.prompts.empty()) return;
  MlaArgs rest = args;
  const Matrices matrices = take_bf16_matrices(rest, queue);
  if (!few && args.decode_rows > 0)
    mla_absorbed(rest, matrices, 0, args.decode_rows, products, queue);
  for (const Prompt& prompt : args.prompts) {
    if (expanding_is_cheaper(*args.params, prompt)) {
      mla_expanded(rest, matrices, prompt, products, queue);
      continue;
    }
    const int64_t end = prompt.first_row + prompt.rows;
    for (int64_t row = prompt.first_row; row < end; row += absorbed_rows)
      mla_absorbed(rest, matrices, row, std::min(row + absorbed_rows, end), products, queue);
  }
}

}  // namespace ktx::ops::cuda
