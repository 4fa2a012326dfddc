// Attention on tiles, as the ISA units are given and export it: plain structs.
//
// Every product is C[m, n] = sum over k of A[m, k] B[k, n] in bf16 with f32 sums, in squares of
// 32 x 32. A panel is 32 rows m of A (a left panel), or 32 columns n of B (a right panel), over all
// k: a square every 32 k. A square is two tiles of 16 rows of 64 bytes, the first for its first 16
// m or n:
//   left:  row m of the tile is the 32 k of that m;
//   right: row i of the tile holds for each of its 16 n the pair of k 2 i, 2 i + 1.
// What is missing up to whole squares is zero.
//
// Scores are keys (left) times queries (right), so that a query is a lane of the vectors, and what
// comes of 32 keys is as it stands the right square by which the values (left, k = keys) are
// multiplied.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ktx::ops {

constexpr int64_t square_side = 32, square_bytes = 2048;
constexpr int64_t tile_keys = 512;  // keys that attend() takes at a time, at most
constexpr int64_t tile_queries = square_side;
constexpr int64_t latent_keys = 256;  // keys that attend_latents() takes at a time, at most

constexpr int64_t squares_of(int64_t count) {
  return (count + square_side - 1) / square_side;
}

enum class Side : uint8_t { left, right };

/// What the rows of a matrix of floats are: k run along its rows (which are m or n), or across
/// them (its columns are m or n).
enum class Direction : uint8_t { along_rows, across_rows };

/// A matrix becomes panels.
struct PanelPackArgs {
  const float* x = nullptr;         // [rows, cols]
  const std::byte* bf16 = nullptr;  // [rows, cols] instead of x; not scaled
  int64_t stride = 0;               // numbers
  int64_t rows = 0, cols = 0;
  Direction k = Direction::along_rows;
  Side side = Side::left;
  float scale = 1;            // of x
  uint8_t* panels = nullptr;  // the square of the first m (or n) and the first k
  int64_t panel_bytes = 0;    // from a panel to the next
};

/// One left panel times right panels: 32 rows of floats for each, which become left squares.
struct ExpandArgs {
  const uint8_t* left = nullptr;
  const uint8_t* right = nullptr;
  int64_t right_bytes = 0;              // from a right panel to the next
  int64_t panels = 0;                   // on the right
  int64_t steps = 0;                    // squares of a panel
  Direction k = Direction::along_rows;  // of the results
  uint8_t* out = nullptr;               // what comes of the first right panel
  int64_t out_bytes = 0;                // and to the next
};

/// State of 32 queries. sum == 0: has seen no key.
struct TileState {
  float* max = nullptr;     // [32] largest score so far
  float* sum = nullptr;     // [32] of 2^(score - max)
  float* values = nullptr;  // [panels of values][2][2][16][16]: half of the panel, half of the
                            // queries, value, query; to be divided by sum
};

/// 32 queries over up to tile_keys keys.
struct TileAttendArgs {
  const uint8_t* queries = nullptr;  // right panel; scores come out as powers of 2
  const uint8_t* keys = nullptr;     // left panels
  int64_t key_steps = 0;             // squares of such a panel
  const uint8_t* values = nullptr;   // left panels, k = keys
  int64_t value_bytes = 0;           // from one to the next
  int64_t value_panels = 0;
  /// The keys that query q sees: [begin[q], end[q]), perhaps none. Neither decreases with q; some
  /// query sees some key.
  int32_t begin[tile_queries] = {}, end[tile_queries] = {};
  float* scores = nullptr;  // scratch [tile_keys, 32]
  TileState state;
};

/// The attention of up to 32 queries, out of their state.
struct TileWriteArgs {
  TileState state;
  int64_t value_dim = 0;
  int64_t queries = 0;
  float* out[tile_queries] = {};  // [value_dim] each
};

/// Floats become bf16.
struct RoundArgs {
  const float* x = nullptr;
  int64_t count = 0;
  float scale = 1;
  std::byte* out = nullptr;  // [count rounded up to 32], zeros behind the count
};

/// 32 queries over up to latent_keys keys whose first numbers are their values (MLA's latents): the
/// keys are read where they lie, the values as right panels, and sums are rows.
struct LatentAttendArgs {
  const uint8_t* queries = nullptr;  // right panel; scores come out as powers of 2
  /// Left panels, 32 keys each; from a key to the next, and from its 32 numbers to the next 32.
  const uint8_t* keys[latent_keys / square_side] = {};
  int64_t key_bytes = 0, step_bytes = 0;
  int64_t key_steps = 0;  // squares of such a panel
  /// What to fetch from memory beside the scores of each panel, so many cache lines a step; or
  /// null.
  const std::byte* next[latent_keys / square_side] = {};
  int64_t next_lines = 0;
  const uint8_t* values = nullptr;  // right panels, k = keys
  int64_t value_bytes = 0;          // from one to the next
  int64_t value_panels = 0;
  int32_t end[tile_queries] = {};        // query q sees keys [0, end[q]); does not decrease with q
  float* scores = nullptr;               // scratch [latent_keys, 32]
  bool fresh = false;                    // `sums` are undefined: no key seen before
  float *max = nullptr, *sum = nullptr;  // [32] as of TileState
  float* sums = nullptr;  // [32, 32 * value_panels] weighted values, to be divided by `sum`
  int64_t sums_stride = 0;
};

/// The functions of one ISA.
struct AttentionTiles {
  int64_t speed;  // products in the time of ten of the f32 loops, with all that goes with them
  void (*pack)(const PanelPackArgs& args) noexcept;
  void (*expand)(const ExpandArgs& args) noexcept;
  void (*attend)(const TileAttendArgs& args) noexcept;
  void (*write)(const TileWriteArgs& args) noexcept;
  void (*round)(const RoundArgs& args) noexcept;
  void (*attend_latents)(const LatentAttendArgs& args) noexcept;
};

extern const AttentionTiles attention_amx, attention_avx512_bf16;

/// Queries times this give scores as powers of 2, and such scores times ln_2 powers of e.
constexpr float log2_e = 1.44269504f, ln_2 = 0.693147181f;

/// TileState::max of no key: below all scores, and what can still be subtracted from any.
constexpr float no_score = -1e30f;

}  // namespace ktx::ops
