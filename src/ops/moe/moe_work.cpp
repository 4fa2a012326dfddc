// Sizes and order of what a step of the experts keeps in its scratch.
#include "ops/moe/moe_work.hpp"

#include "ops/matmul/activation.hpp"

namespace ktx::ops {
namespace {

constexpr int64_t many = INT64_MAX;

/// Bytes of a row of h: enough for what either kernel of down reads.
int64_t hidden_row_bytes(const PackedMatrix& down) noexcept {
  return std::max(activation_row_bytes(down.decode->activation(down.format), down.cols),
                  activation_row_bytes(down.prefill->activation(down.format), down.cols));
}

ActivationFormat tiles_of(const PackedMatrix& matrix) noexcept {
  const auto format = activation_for(*matrix.prefill, matrix.format, matrix.cols, many);
  return is_tiles(format) ? format : ActivationFormat::f32;
}

}  // namespace

ExpertTiles expert_tiles(const PackedMatrix& gate, const PackedMatrix& up,
                         const PackedMatrix& down) noexcept {
  const ActivationFormat x = tiles_of(gate), h = tiles_of(down);
  if (x == ActivationFormat::f32 || tiles_of(up) != x || h == ActivationFormat::f32) return {};
  ExpertTiles tiles{.x = x, .h = h};
  tiles.least_tokens = std::max({gate.prefill->least_tile_tokens, up.prefill->least_tile_tokens,
                                 down.prefill->least_tile_tokens, decode_tokens + 1});
  return tiles;
}

MoeWork::MoeWork(std::byte* scratch, const MoeScratchArgs& args) noexcept
    : arena(scratch), tiles(expert_tiles(args.gate, args.up, args.down)) {
  const int64_t count = args.max_tokens * args.top_k;
  const int64_t shared = args.shared != nullptr ? std::min(args.max_tokens, decode_tokens) : 0;
  begin = arena.take<int32_t>(args.experts + 2);
  active = arena.take<int32_t>(args.experts + 1);
  pair = arena.take<int32_t>(count);
  token = arena.take<int32_t>(count + shared);
  x_bytes = activation_row_bytes(ActivationFormat::q8, args.gate.cols);
  x = arena.take<std::byte>(args.max_tokens * x_bytes);
  h_bytes = hidden_row_bytes(args.down);
  if (shared > 0) h_bytes = std::max(h_bytes, hidden_row_bytes(args.shared->down));
  h = arena.take<std::byte>((count + shared) * h_bytes);
  block = arena.take<int32_t>(args.experts + 1);
  x_block_bytes = h_block_bytes = 0;
  if (tiles.possible()) {
    x_block_bytes = tile_bytes_of(tiles.x, args.gate.cols, tile_tokens);
    h_block_bytes = tile_bytes_of(tiles.h, args.down.cols, tile_tokens);
  }
  // Every expert on tiles may leave one block unfilled, and has tokens enough to be there.
  const int64_t experts =
      std::min<int64_t>(args.experts, count / std::max<int64_t>(1, tiles.least_tokens));
  const int64_t blocks = tiles.possible() ? count / tile_tokens + experts : 0;
  const int64_t products_bytes = blocks > 0 ? count * args.gate.cols * int64_t(sizeof(float)) : 0;
  x_tiles = arena.take<std::byte>(std::max(blocks * x_block_bytes, products_bytes));
  products = reinterpret_cast<float*>(x_tiles);
  sorted = arena.take<int32_t>(count);
  h_tiles = arena.take<std::byte>(blocks * h_block_bytes);
}

namespace {

/// The shared expert's pairs: all tokens.
void add_shared(const MoeArgs& args, MoeWork& work) noexcept {
  const int32_t first = work.begin[args.experts];
  for (int32_t t = 0; t < args.tokens; ++t) work.token[first + t] = t;
  work.begin[args.experts + 1] = first + static_cast<int32_t>(args.tokens);
  work.active[work.active_count++] = args.experts;
}

}  // namespace

void sort_pairs(const MoeArgs& args, MoeWork& work) noexcept {
  const int64_t count = args.tokens * args.top_k;
  const auto slot_of = [&args](int64_t p) noexcept {
    const int32_t expert = args.ids[p];
    return expert < 0 || args.slots == nullptr ? expert : args.slots[expert];
  };
  work.decode_kernels = args.decode_kernels;
  if (args.decode_kernels)
    work.pairs_at_once = std::min({independent_tokens(args.gate), independent_tokens(args.up),
                                   independent_tokens(args.down)});
  if (args.decode_kernels && args.shared != nullptr)
    work.pairs_at_once =
        std::min({work.pairs_at_once, independent_tokens(args.shared->gate),
                  independent_tokens(args.shared->up), independent_tokens(args.shared->down)});
  std::fill_n(work.begin, args.experts + 1, 0);
  for (int64_t p = 0; p < count; ++p)
    if (const int32_t slot = slot_of(p); slot >= 0) ++work.begin[slot + 1];
  for (int e = 0; e < args.experts; ++e) {
    if (work.begin[e + 1] > 0) work.active[work.active_count++] = e;
    work.begin[e + 1] += work.begin[e];
  }
  for (int64_t p = 0; p < count; ++p) {
    const int32_t slot = slot_of(p);
    work.sorted[p] = -1;
    if (slot < 0) continue;
    const int32_t at = work.begin[slot]++;
    work.pair[at] = static_cast<int32_t>(p);
    work.token[at] = static_cast<int32_t>(p / args.top_k);
    work.sorted[p] = at;
  }
  // Each begin has moved to its end, which is the next one's begin.
  std::copy_backward(work.begin, work.begin + args.experts, work.begin + args.experts + 1);
  work.begin[0] = 0;
  work.block[0] = 0;
  for (int e = 0; e < args.experts; ++e) {
    const int64_t blocks = work.tiled(e) ? parts_of(work.tokens_of(e), tile_tokens) : 0;
    work.block[e + 1] = work.block[e] + static_cast<int32_t>(blocks);
    if (blocks > 0) ++work.tiled_count;
  }
  // Those with most tokens first, so that what is left for the end of a pass is small.
  if (work.tiled_count > 0)
    std::sort(work.active, work.active + work.active_count, [&](int32_t a, int32_t b) {
      const int64_t more = work.tokens_of(a), less = work.tokens_of(b);
      return more != less ? more > less : a < b;
    });
  if (args.shared != nullptr) add_shared(args, work);
}

}  // namespace ktx::ops
