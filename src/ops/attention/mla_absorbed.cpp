// mla with k_b and v_b absorbed: all heads share the cache's rows as keys and values.
//
// Sequences come in pieces of a few tokens, and pieces in passes over the pool. How a piece is cut
// into tasks depends on its own shape alone.
#include <algorithm>

#include "ops/arena.hpp"
#include "ops/attention/attend.hpp"
#include "ops/attention/latent_tiles.hpp"
#include "ops/attention/mla_paths.hpp"
#include "ops/attention/project.hpp"
#include "ops/attention/tiled.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {
namespace {

// What a pass takes, which bounds the scratch.
constexpr int64_t pass_tokens = 32;  // and at most as many pieces
constexpr int64_t most_split_rows = most_split_blocks * query_block;
constexpr int64_t pass_split_pieces = 4;  // that are cut into most_split_rows rows

/// Fewer tasks are made smaller, down to so many rows (on tiles a panel of them), at the cost of
/// reading pages more often.
constexpr int64_t enough_tasks = 32, least_rows = 8;

/// A panel of tiles holds 32 rows, and keys and values are packed for it whatever it holds. On a
/// Zen 4 one token of 4 heads takes 2.5 times as long on tiles as in floats, one of 16 1.2 times,
/// one of 64 0.75 times.
constexpr int64_t least_tile_rows = 24;

LatentShape shape_of(const graph::MlaParams& p) noexcept {
  return {.key_dim = p.kv_lora + p.rope, .value_dim = p.kv_lora};
}

constexpr int64_t whole_panels(int64_t rows) noexcept {
  return squares_of(rows) * tile_queries;
}

/// Up to pass_tokens tokens of a sequence. Tasks are (range of pages, block of rows). A row is
/// (token, head): token * heads + head.
struct Piece {
  Piece() = default;
  Piece(const SequenceRows& of, int64_t begin, int64_t heads) noexcept
      : sequence(&of),
        first_row(of.first_row + begin),
        tokens(std::min(pass_tokens, of.rows - begin)),
        past(of.past + begin),
        rows(tokens * heads),
        on_tiles(of.kernel->tiles != nullptr && rows >= least_tile_rows) {
    const int64_t row_blocks = (rows + query_block - 1) / query_block;
    splits = on_tiles ? key_splits(row_blocks, past + tokens, latent_keys)
                      : key_splits(row_blocks, past + tokens);
    const int64_t pages = graph::pages_of(past + tokens);
    pages_each = (pages + splits - 1) / splits;
    rows_each = query_block;
    const int64_t least = on_tiles ? tile_queries : least_rows;
    while (rows_each > least && (rows + rows_each - 1) / rows_each * splits < enough_tasks)
      rows_each /= 2;
    blocks = (rows + rows_each - 1) / rows_each;
  }
  int64_t tasks() const noexcept { return blocks * splits; }
  int64_t split_rows() const noexcept { return on_tiles ? whole_panels(rows) : rows; }
  int64_t state_rows() const noexcept { return split_rows() * splits; }
  int64_t pairs() const noexcept { return rows * (past + tokens); }  // (row, key)

  const SequenceRows* sequence = nullptr;
  int64_t first_row = 0, tokens = 0;  // of the batch
  int64_t past = 0;                   // position of the first token
  int64_t rows = 0;
  bool on_tiles = false;
  int64_t rows_each = 0, blocks = 0;
  int64_t splits = 0, pages_each = 0;
  // Where the pass has its first row, state and task.
  int64_t row = 0, state_row = 0, task = 0;
};

struct Pass {
  bool takes(const Piece& piece, int64_t most_states) const noexcept {
    return count == 0 ||
           (tokens + piece.tokens <= pass_tokens && state_rows + piece.state_rows() <= most_states);
  }
  void add(Piece piece) noexcept {
    piece.row = rows;
    piece.state_row = state_rows;
    piece.task = tasks;
    tokens += piece.tokens;
    rows += piece.rows;
    state_rows += piece.state_rows();
    tasks += piece.tasks();
    pairs +=
        piece.on_tiles ? tile_cost(*piece.sequence->kernel->tiles, piece.pairs()) : piece.pairs();
    pieces[count++] = piece;
  }
  const Piece& piece_of(int64_t number) const noexcept {
    int64_t i = count - 1;
    while (pieces[i].task > number) --i;
    return pieces[i];
  }

  Piece pieces[pass_tokens];
  int64_t count = 0, tokens = 0, rows = 0, state_rows = 0, tasks = 0;
  int64_t pairs = 0;  // in the time of the f32 loops
};

/// The most states of one piece, and of a pass.
int64_t most_piece_states(const graph::MlaParams& p, int64_t tokens) noexcept {
  return std::max(whole_panels(tokens * p.heads), most_split_rows);
}
int64_t most_pass_states(const graph::MlaParams& p) noexcept {
  return std::max(whole_panels(pass_tokens * p.heads), pass_split_pieces * most_split_rows);
}

/// Shared by all workers.
struct Shared {
  Shared(Arena& arena, const graph::MlaParams& p, int64_t rows, int64_t state_rows) noexcept
      : q(arena.take<float>(rows * shape_of(p).query_numbers())),
        state{arena.take<float>(state_rows), arena.take<float>(state_rows),
              arena.take<float>(state_rows * shape_of(p).sum_numbers()),
              shape_of(p).sum_numbers()} {}
  /// Queries of a piece: floats, or on tiles bf16, each row query_numbers() of the latents' shape.
  float* queries(const graph::MlaParams& p, const Piece& piece) const noexcept {
    return q + piece.row * shape_of(p).query_numbers();
  }
  float* q;
  AttendState state;  // of each piece [splits, split_rows]
};

struct Work {
  Work(Arena& arena, const graph::MlaParams& p, const PackedMatrix& k_b, const PackedMatrix& v_b,
       int64_t tokens) noexcept
      : scores(arena.take<float>(query_block * key_block)),
        page(arena.take<float>(graph::page_tokens * (p.kv_lora + p.rope))),
        tiles(arena, shape_of(p)),
        rows(arena.take<float>(tokens * (p.kv_lora + p.rope))),
        prepared(arena.take<std::byte>(
            std::max(project_scratch_bytes(k_b, tokens), project_scratch_bytes(v_b, tokens)))) {}
  float* scores;
  float* page;  // [page_tokens, kv_lora + rope]
  LatentBuffers tiles;
  float* rows;  // [tokens, kv_lora + rope]
  std::byte* prepared;
  int node = 0;  // of the worker
};

/// Queries of one head into the latents' space.
void absorb_queries(const MlaArgs& args, const Piece& piece, const Shared& shared, const Work& work,
                    int64_t head) noexcept {
  const graph::MlaParams& p = *args.params;
  const int64_t width = p.kv_lora + p.rope, stride = shape_of(p).query_numbers();
  const float* q = args.q + piece.first_row * args.q_stride + head * (p.nope + p.rope);
  float* out = shared.queries(p, piece);
  float* rows = piece.on_tiles ? work.rows : out + head * stride;
  const int64_t rows_stride = piece.on_tiles ? width : p.heads * stride;
  project({.matrix = &args.k_b[head],
           .x = q,
           .x_stride = args.q_stride,
           .tokens = piece.tokens,
           .y = rows,
           .y_stride = rows_stride,
           .scratch = work.prepared,
           .node = work.node});
  for (int64_t t = 0; t < piece.tokens; ++t) {
    float* row = rows + t * rows_stride;
    std::copy_n(q + t * args.q_stride + p.nope, p.rope, row + p.kv_lora);
    args.rope->rotate(row + p.kv_lora, piece.past + t);
    if (piece.on_tiles)
      piece.sequence->kernel->tiles->round(
          {.x = row,
           .count = width,
           .scale = p.scale * log2_e,
           .out = reinterpret_cast<std::byte*>(out) + (t * p.heads + head) * stride * 2});
  }
}

/// A block of a piece's rows over a range of pages.
struct Block {
  Block(const Piece& of, const AttendState& states, int64_t task) noexcept
      : piece(of),
        row(task % of.blocks * of.rows_each),
        rows(std::min(of.rows_each, of.rows - row)) {
    const int64_t split = task / of.blocks, begin = split * of.pages_each * key_block;
    keys = {begin, std::min(of.past + of.tokens, begin + of.pages_each * key_block)};
    const int64_t first = of.state_row + split * of.split_rows() + row;
    state = {states.max + first, states.sum + first, states.values + first * states.stride,
             states.stride};
  }
  const Piece& piece;
  int64_t row, rows;  // of the piece
  KeyRange keys;
  AttendState state;
};

void attend_on_tiles(const MlaArgs& args, const Block& block, const Shared& shared,
                     const Work& work) noexcept {
  const graph::MlaParams& p = *args.params;
  const LatentShape shape = shape_of(p);
  attend_latents({.cache = &args.cache,
                  .sequence = block.piece.sequence,
                  .shape = shape,
                  .buffers = work.tiles,
                  .q = reinterpret_cast<const std::byte*>(shared.queries(p, block.piece)) +
                       block.row * shape.query_numbers() * 2,
                  .rows = block.rows,
                  .first_row = block.row,
                  .rows_per_token = p.heads,
                  .past = block.piece.past,
                  .keys = block.keys,
                  .state = block.state});
}

void attend_in_floats(const MlaArgs& args, const Block& block, const Shared& shared,
                      const Work& work) noexcept {
  const graph::MlaParams& p = *args.params;
  const SequenceRows& sequence = *block.piece.sequence;
  AttendArgs a;
  a.functions = sequence.kernel->functions;
  a.q_stride = shape_of(p).query_numbers();
  a.q = shared.queries(p, block.piece) + block.row * a.q_stride;
  a.rows = block.rows;
  a.first_row = block.row;
  a.rows_per_token = p.heads;
  a.past = block.piece.past;
  a.key_dim = p.kv_lora + p.rope;
  a.value_dim = p.kv_lora;
  a.scale = p.scale;
  a.scores = work.scores;
  a.state = block.state;
  clear(a.state, a.rows);
  for (a.key_begin = block.keys.begin; a.key_begin < block.keys.end; a.key_begin += key_block) {
    a.key_end = std::min(block.keys.end, a.key_begin + key_block);
    const FloatRows rows = read_rows({.cache = &args.cache,
                                      .functions = a.functions,
                                      .page = sequence.pages[a.key_begin / key_block],
                                      .tokens = a.key_end - a.key_begin,
                                      .numbers = a.key_dim,
                                      .scratch = work.page});
    a.keys = a.values = rows.data;
    a.key_stride = a.value_stride = rows.stride;
    attend(a);
  }
}

/// Weighted latents of one head into its values.
void absorb_values(const MlaArgs& args, const Piece& piece, const Shared& shared, const Work& work,
                   int64_t head) noexcept {
  const graph::MlaParams& p = *args.params;
  for (int64_t t = 0; t < piece.tokens; ++t) {
    merge({.functions = piece.sequence->kernel->functions,
           .state = shared.state,
           .row = piece.state_row + t * p.heads + head,
           .parts = piece.splits,
           .part_stride = piece.split_rows(),
           .value_dim = p.kv_lora,
           .out = work.rows + t * p.kv_lora});
  }
  project({.matrix = &args.v_b[head],
           .x = work.rows,
           .x_stride = p.kv_lora,
           .tokens = piece.tokens,
           .y = args.out + piece.first_row * args.out_stride + head * p.v,
           .y_stride = args.out_stride,
           .scratch = work.prepared,
           .node = work.node});
}

void run_pass(const MlaArgs& args, const Pass& pass, hw::WorkerPool& pool) noexcept {
  const graph::MlaParams& p = *args.params;
  Arena arena(args.scratch);
  const Shared shared(arena, p, pass.rows, pass.state_rows);
  Arena measure;
  Work(measure, p, *args.k_b, *args.v_b, pass.tokens);
  const auto work_of = [&](int worker) noexcept {
    Arena own(args.scratch + arena.used() + size_t(worker) * measure.used());
    Work work(own, p, *args.k_b, *args.v_b, pass.tokens);
    work.node = pool.node_of(worker);
    return work;
  };
  // All pieces meet a head's matrices while these are near.
  const auto for_each_head = [&](int64_t cost, const auto& body) noexcept {
    for_each(pool, p.heads * pass.count, cost, [&](int64_t i, int worker) noexcept {
      body(args, pass.pieces[i % pass.count], shared, work_of(worker), i / pass.count);
    });
  };
  const int64_t tokens = std::max<int64_t>(1, pass.tokens / pass.count);
  for_each_head(tokens * p.kv_lora * p.nope, absorb_queries);
  const int64_t cost = pass.pairs / pass.tasks * (2 * p.kv_lora + p.rope);
  for_each(pool, pass.tasks, cost, [&](int64_t i, int worker) noexcept {
    const int64_t number = pass.tasks - 1 - i;  // the last rows see most: they go first
    const Piece& piece = pass.piece_of(number);
    const Block block(piece, shared.state, number - piece.task);
    const auto attend = piece.on_tiles ? attend_on_tiles : attend_in_floats;
    attend(args, block, shared, work_of(worker));
  });
  for_each_head(tokens * p.kv_lora * p.v, absorb_values);
}

}  // namespace

size_t mla_absorbed_scratch_bytes(const graph::MlaParams& params, const PackedMatrix& k_b,
                                  const PackedMatrix& v_b, const BatchShape& most,
                                  int workers) noexcept {
  Arena arena;
  const int64_t tokens = std::min(pass_tokens, most.rows);
  // A pass has no two pieces of one sequence: all but the last piece fill a pass.
  const int64_t states =
      std::min(most_pass_states(params), most.sequences * most_piece_states(params, tokens));
  Shared(arena, params, tokens * params.heads, states);
  for (int w = 0; w < workers; ++w) Work(arena, params, k_b, v_b, tokens);
  return arena.used();
}

void mla_absorbed(const MlaArgs& args, hw::WorkerPool& pool) noexcept {
  const int64_t most_states = most_pass_states(*args.params);
  Pass pass;
  for (const SequenceRows& sequence : args.sequences) {
    for (int64_t begin = 0; begin < sequence.rows; begin += pass_tokens) {
      const Piece piece(sequence, begin, args.params->heads);
      if (!pass.takes(piece, most_states)) {
        run_pass(args, pass, pool);
        pass = {};
      }
      pass.add(piece);
    }
  }
  if (pass.count > 0) run_pass(args, pass, pool);
}

}  // namespace ktx::ops
