// Decoding a row block by block; private to core/quant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ktx::quant {

/// The codec of one block: fills out with the block's Weights numbers.
template <class Block>
using DecodeBlock = void (*)(const Block& block, float* out) noexcept;

/// Decodes n / Weights blocks. The block is copied out first because a row may lie at any address.
template <class Block, int Weights, DecodeBlock<Block> Decode>
void decode_blocks(const std::byte* row, float* out, int64_t n) noexcept {
  for (int64_t i = 0; i < n / Weights; ++i) {
    Block block;
    std::memcpy(&block, row + i * static_cast<int64_t>(sizeof(Block)), sizeof(Block));
    Decode(block, out + i * Weights);
  }
}

}  // namespace ktx::quant
