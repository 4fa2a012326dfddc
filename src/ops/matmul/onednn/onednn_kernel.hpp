// The kernel over panels (onednn_panels.hpp): how "linear.onednn" multiplies many tokens.
#pragma once

#include <string>

#include "ops/matmul/matmul.hpp"

namespace ktx::ops {

/// Groups of rows of a panel.
constexpr int64_t panel_groups = 4;

/// Empty, or why such a matrix has no products over panels.
std::string panel_refusal(quant::Format format, int64_t rows, int64_t cols);

/// What panels of the format meet: u8_chunks for int8, else f32_chunks.
ActivationFormat panel_activation(quant::Format format, int64_t cols) noexcept;

/// Bytes of the activations of so many tokens.
int64_t panel_activation_bytes(ActivationFormat format, int64_t cols, int64_t tokens) noexcept;

void pack_for_panels(ActivationFormat to, const TilePackArgs& args) noexcept;

/// As MatmulKernel::run; args.x in chunks. Uses 300 KB of stack.
void multiply_panels(const MatmulArgs& args) noexcept;

}  // namespace ktx::ops
