// Products of a panel (onednn_panels.hpp) by oneDNN: the only file that includes it is onednn.cpp.
//
// oneDNN is optional (Debian: libdnnl-dev, 2.x or 3.x). It is asked for nothing but the innermost
// product on the calling thread; rows are dealt out to threads by our own pool.
#pragma once

#include <cstdint>
#include <string>

namespace ktx::ops {

enum class PanelType : uint8_t {
  f32,   // f32 x f32 -> f32
  int8,  // u8 x int8 -> int32
};

/// Tokens of a product: a multiple of 16, at most this.
constexpr int64_t panel_tokens = 128;

struct PanelProduct {
  PanelType type = PanelType::f32;
  int64_t tokens = 0, cols = 0;    // cols: a multiple of panel_step, at most panel_chunk
  const uint8_t* x = nullptr;      // [tokens, cols]
  const uint8_t* panel = nullptr;  // [cols, 64], as panels.hpp says
  void* products = nullptr;        // [tokens, 64], overwritten; 64-byte aligned
};

/// Makes ready what products with matrices of so many columns need (about 2 ms, once in a process).
/// Empty, or why there are none: this build has no oneDNN, or what oneDNN says. Any thread.
std::string onednn_refusal(PanelType type, int64_t cols);

/// On the calling thread, for columns that onednn_refusal() did not refuse. Its first call on a
/// thread allocates; when there is no memory for that, multiply_plainly() does the work.
void onednn_multiply(const PanelProduct& product) noexcept;

/// The same by plain loops.
void multiply_plainly(const PanelProduct& product) noexcept;

}  // namespace ktx::ops
