// Attention on tiles (AMX), as the ISA units are given and export it: plain
// structs.
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

#include <cstdint>

namespace ktx::ops {

constexpr int64_t square_side = 32, square_bytes = 2048;
constexpr int64_t tile_keys = 512;  // keys that attend() takes at a time, at most
constexpr int64_t tile_queries = square_side;

constexpr int64_t squares_of(int64_t count) {
  return (count + square_side - 1) / square_side;
}

enum class Side : uint8_t { left, right };

/// What the rows of a matrix of floats are: k run along its rows (which are m or n), or across
/// them (its columns are m or n).
enum class Direction : uint8_t { along_rows, across_rows };

/// A matrix of floats becomes panels.
struct PanelPackArgs {
  const float* x = nullptr;  // [rows, cols]
  int64_t stride = 0;        // floats
  int64_t rows = 0, cols = 0;
  Direction k = Direction::along_rows;
  Side side = Side::left;
  float scale = 1;            // of the floats
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

/// The functions of one ISA.
struct AttentionTiles {
  void (*pack)(const PanelPackArgs& args) noexcept;
  void (*expand)(const ExpandArgs& args) noexcept;
  void (*attend)(const TileAttendArgs& args) noexcept;
  void (*write)(const TileWriteArgs& args) noexcept;
};

extern const AttentionTiles attention_amx;

/// TileState::max of no key: below all scores, and what can still be subtracted from any.
constexpr float no_score = -1e30f;

}  // namespace ktx::ops
