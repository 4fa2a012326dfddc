// Pairs of tokens and experts, sorted by expert and token on the GPU.
#pragma once

#include "ops/moe/cuda.hpp"

namespace ktx::ops::cuda {

/// Where sort_pairs() writes what Routing reads.
struct SortedPairs {
  int32_t* used = nullptr;         // [1]
  int32_t* used_expert = nullptr;  // [experts] row of the table
  int32_t* used_first = nullptr;   // [experts + 1]
  int32_t* used_tiles = nullptr;   // [experts + 1]
  int32_t* order = nullptr;        // [pairs]
  int32_t* position = nullptr;     // [tokens * top_k]; -1: no expert of the table
};

/// By experts of the table, of which those with tokens are used. tokens_a_tile: of the tiles that
/// are counted.
void sort_pairs(const MoeArgs& args, const SortedPairs& sorted, int tokens_a_tile,
                const device::Queue& queue) noexcept;

/// By experts in their order, which all count as used.
void sort_pairs(const MoeArgs& args, const ExpertOrder& order, const SortedPairs& sorted,
                int tokens_a_tile, const device::Queue& queue) noexcept;

}  // namespace ktx::ops::cuda
