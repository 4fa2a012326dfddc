// Attention to shared rows of the cache on tiles.
#include "ops/attention/latent_tiles.hpp"

#include <algorithm>

namespace ktx::ops {
namespace {

/// Of a panel of values, and a cache line: a key's numbers in all panels lie in different sets.
constexpr int64_t value_bytes = squares_of(latent_keys) * square_bytes + 64;

int64_t panel_bytes(const LatentTask& task) noexcept {
  return task.shape.key_steps() * square_bytes;
}

void pack_queries(const LatentTask& task) noexcept {
  task.sequence->kernel->tiles->pack({.bf16 = task.q,
                                      .stride = task.shape.query_numbers(),
                                      .rows = task.rows,
                                      .cols = task.shape.query_numbers(),
                                      .k = Direction::along_rows,
                                      .side = Side::right,
                                      .panels = task.buffers.queries,
                                      .panel_bytes = panel_bytes(task)});
}

/// Whether rows of the cache are left panels as they lie: bf16, whole squares.
bool lie_as_panels(const LatentTask& task) noexcept {
  return task.cache->format == graph::KvFormat::bf16 && task.shape.key_dim % square_side == 0;
}

/// Up to latent_keys keys at `begin`, ready for the tiles.
struct PackedKeys {
  PackedKeys(const LatentTask& task, int64_t begin, int64_t end) noexcept : task_(task) {
    const bool in_place = lie_as_panels(task);
    args.key_bytes = in_place ? task.cache->row_bytes : 64;
    args.step_bytes = in_place ? 64 : square_bytes;
    for (int64_t page = begin; page < end; page += key_block) {
      const int64_t count = std::min(key_block, end - page), at = page - begin;
      in_place ? take_page(page, count, at) : convert_page(page, count, at);
    }
  }

  LatentAttendArgs args;

 private:
  PanelPackArgs values(int64_t keys, int64_t at) const noexcept {
    return {.rows = keys,
            .cols = task_.shape.value_dim,
            .k = Direction::across_rows,
            .side = Side::right,
            .panels = task_.buffers.values + at / square_side * square_bytes,
            .panel_bytes = value_bytes};
  }

  void take_page(int64_t position, int64_t keys, int64_t at) noexcept {
    const KvPages& cache = *task_.cache;
    const std::byte* rows = cache.row_of(*task_.sequence, position);
    for (int64_t k = 0; k < keys; k += square_side)
      args.keys[(at + k) / square_side] =
          reinterpret_cast<const uint8_t*>(rows + k * cache.row_bytes);
    PanelPackArgs pack = values(keys, at);
    pack.bf16 = rows;
    pack.stride = task_.shape.key_dim;
    task_.sequence->kernel->tiles->pack(pack);
  }

  void convert_page(int64_t position, int64_t keys, int64_t at) noexcept {
    const AttentionTiles& tiles = *task_.sequence->kernel->tiles;
    const FloatRows rows = read_rows({.cache = task_.cache,
                                      .functions = task_.sequence->kernel->functions,
                                      .page = task_.sequence->pages[position / key_block],
                                      .tokens = keys,
                                      .numbers = task_.shape.key_dim,
                                      .scratch = task_.buffers.page});
    PanelPackArgs pack = values(keys, at);
    pack.x = rows.data;
    pack.stride = rows.stride;
    tiles.pack(pack);
    pack.cols = task_.shape.key_dim;
    pack.k = Direction::along_rows;
    pack.side = Side::left;
    pack.panel_bytes = panel_bytes(task_);
    pack.panels = task_.buffers.keys + at / square_side * pack.panel_bytes;
    tiles.pack(pack);
    for (int64_t k = 0; k < keys; k += square_side)
      args.keys[(at + k) / square_side] = pack.panels + k / square_side * pack.panel_bytes;
  }

  const LatentTask& task_;
};

/// Lets a panel of queries, one of `panels`, fetch its share of the keys at [begin, end), which
/// come next.
void fetch_keys(const LatentTask& task, LatentAttendArgs& args, int64_t panel, int64_t begin,
                int64_t end) noexcept {
  const KvPages& cache = *task.cache;
  const int64_t panels = squares_of(task.rows);
  const int64_t share = square_side * cache.row_bytes / panels;  // of 32 keys, and a panel
  args.next_lines = (share + 64 * args.key_steps - 1) / (64 * args.key_steps);
  for (int64_t s = 0; s < latent_keys / square_side; ++s) {
    const int64_t key = begin + s * square_side;
    args.next[s] = key < end ? cache.row_of(*task.sequence, key) + panel * share : nullptr;
  }
}

/// The queries of a panel, from `row` of the task on, over keys at [begin, end). fresh: their
/// first. Returns false when they see none of them.
bool attend_panel(const LatentTask& task, LatentAttendArgs& args, int64_t row, int64_t begin,
                  int64_t end) noexcept {
  for (int64_t q = 0; q < tile_queries; ++q) {
    // What fills up the panel sees what the last row does.
    const int64_t number = task.first_row + std::min(row + q, task.rows - 1);
    const int64_t seen = task.past + number / task.rows_per_token + 1;
    args.end[q] = int32_t(std::clamp(seen, begin, end) - begin);
  }
  if (args.end[tile_queries - 1] == 0) return false;
  args.queries = task.buffers.queries + row / tile_queries * panel_bytes(task);
  args.max = task.state.max + row;
  args.sum = task.state.sum + row;
  args.sums = task.state.values + row * task.state.stride;
  task.sequence->kernel->tiles->attend_latents(args);
  return true;
}

}  // namespace

LatentBuffers::LatentBuffers(Arena& arena, const LatentShape& shape) noexcept
    : queries(arena.take<uint8_t>(squares_of(query_block) * shape.key_steps() * square_bytes)),
      keys(arena.take<uint8_t>(squares_of(latent_keys) * shape.key_steps() * square_bytes)),
      values(arena.take<uint8_t>(shape.value_panels() * value_bytes)),
      page(arena.take<float>(graph::page_tokens * shape.key_dim)),
      scores(arena.take<float>(latent_keys * tile_queries)) {}

void attend_latents(const LatentTask& task) noexcept {
  const int64_t panels = squares_of(task.rows);
  std::fill_n(task.state.max, panels * tile_queries, no_score);
  std::fill_n(task.state.sum, panels * tile_queries, 0.0f);
  pack_queries(task);
  bool fresh[squares_of(query_block)];
  std::fill(std::begin(fresh), std::end(fresh), true);
  for (int64_t begin = task.keys.begin; begin < task.keys.end; begin += latent_keys) {
    const int64_t end = std::min(task.keys.end, begin + latent_keys);
    PackedKeys keys(task, begin, end);
    keys.args.key_steps = task.shape.key_steps();
    keys.args.values = task.buffers.values;
    keys.args.value_bytes = value_bytes;
    keys.args.value_panels = task.shape.value_panels();
    keys.args.scores = task.buffers.scores;
    keys.args.sums_stride = task.state.stride;
    for (int64_t panel = 0; panel < panels; ++panel) {
      keys.args.fresh = fresh[panel];
      fetch_keys(task, keys.args, panel, end, std::min(task.keys.end, end + latent_keys));
      if (attend_panel(task, keys.args, panel * tile_queries, begin, end)) fresh[panel] = false;
    }
  }
  // merge() takes scores as powers of e.
  for (int64_t row = 0; row < task.rows; ++row) task.state.max[row] *= ln_2;
}

}  // namespace ktx::ops
