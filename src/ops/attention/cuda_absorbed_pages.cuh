// How the pages of a piece come into the shared memory of a block of cuda_absorbed_wgmma.cu, and
// what else it holds: tiles of 64 keys, their numbers in blocks of 64 as wgmma.cuh describes
// operands.
#pragma once

#include "ops/attention/cuda_absorbed_work.cuh"
#include "ops/cuda/tiles.cuh"
#include "ops/cuda/tma.cuh"

namespace ktx::ops::cuda::absorbed_pages {

constexpr int heads = 64, keys = 64, warpgroup = 128, threads = 3 * warpgroup;
constexpr int block_bytes = keys * 128;  // 64 numbers of 64 rows
constexpr int blocks = mla_row / 64, tile_bytes = blocks * block_bytes;
constexpr int pages_ahead = 8;  // of which the numbers are known
static_assert(heads == keys && keys == graph::page_tokens);

/// A tile is two parts, which come and go by themselves: the first half of the latents, of which
/// there is room for one page more, and the rest. Of queries the first part lies in registers:
/// products that read both operands from shared memory wait for it.
constexpr int first_blocks = mla_latents / 128, last_blocks = blocks - first_blocks;
template <bool fp8>
constexpr int first_stages = fp8 ? 2 : 3;
constexpr int last_stages = 2;
template <bool fp8>
constexpr int page_bytes = keys*(fp8 ? fp8_row_bytes : 2 * mla_row);

template <bool fp8>
struct Shared {
  uint8_t first[first_stages<fp8>][first_blocks * block_bytes];
  uint8_t last[last_stages][last_blocks * block_bytes];
  uint8_t queries[last_blocks * block_bytes];
  uint8_t codes[fp8 ? page_bytes<true> : 16];
  float factors[heads];  // of what was summed before
  float maxima[heads], sums[heads];
  uint64_t queries_there, codes_there;  // barriers
  uint64_t first_there[first_stages<fp8>], last_there[last_stages];
  Todo todo;
  Piece piece;                   // that the block is at
  int32_t numbers[pages_ahead];  // of its next pages, page p at p % pages_ahead
};
constexpr int alignment = 1024;
static_assert(sizeof(Shared<true>) + alignment <= 227 << 10);
static_assert(sizeof(Shared<false>) + alignment <= 227 << 10);

/// Barriers between the warpgroups.
enum Meeting : uint8_t {
  scorers = 1,
  adders,
  piece_there,
  queries_taken,
  weights_there,
  weights_taken,
  sums_there
};

/// Chunk `chunk` (16 bytes) of a tile's row, as wgmma.cuh describes it.
__device__ inline uint32_t chunk_at(int row, int chunk) {
  return chunk / 8 * block_bytes + row * 128 + ((chunk % 8 ^ (row & 7)) << 4);
}

__device__ inline int pages_of(const Piece& piece) {
  return (piece.keys + keys - 1) / keys;
}

/// Weights of a page take the place of its keys' rope numbers, its last block.
constexpr int weights_at = (last_blocks - 1) * block_bytes;

/// What the block has come to: how many pieces and pages were before this one.
struct Progress {
  int pieces = 0, pages = 0;
};

/// A part of a tile: where it lies, its barrier, and the phase of that.
struct Part {
  uint8_t* at;
  uint64_t* there;
  uint32_t phase;
};
/// Of the block's page `number`.
template <bool fp8>
__device__ Part first_part(Shared<fp8>& shared, int number) {
  constexpr int stages = first_stages<fp8>;
  return {shared.first[number % stages], &shared.first_there[number % stages],
          number / stages % 2u};
}
template <bool fp8>
__device__ Part last_part(Shared<fp8>& shared, int number) {
  constexpr int stages = last_stages;
  return {shared.last[number % stages], &shared.last_there[number % stages], number / stages % 2u};
}
__device__ inline void await_part(const Part& part) {
  await_phase(shared_address(part.there), part.phase);
}

/// By one warp: has `count` blocks of 64 rows of a matrix copied.
template <int begin, int count>
__device__ void copy_blocks(const CUtensorMap& map, int row, uint8_t* to, uint64_t* barrier) {
  const int lane = threadIdx.x % 32;
  const uint32_t there = shared_address(barrier);
  if (lane == 0) expect_bytes(there, count * block_bytes);
  __syncwarp();
  if (lane < count)
    copy_tile(shared_address(to) + lane * block_bytes, map, 64 * (begin + lane), 0, row, there);
}

/// By one warp, if the piece has a page `page`: has a part of it copied. Page 0 is the block's page
/// `first`.
__device__ inline void copy_first(const CUtensorMap& cache, Shared<false>& shared, int page,
                                  int first) {
  if (page >= pages_of(shared.piece)) return;
  const Part part = first_part(shared, first + page);
  copy_blocks<0, first_blocks>(cache, shared.numbers[page % pages_ahead] * keys, part.at,
                               part.there);
}
__device__ inline void copy_last(const CUtensorMap& cache, Shared<false>& shared, int page,
                                 int first) {
  if (page >= pages_of(shared.piece)) return;
  const Part part = last_part(shared, first + page);
  copy_blocks<first_blocks, last_blocks>(cache, shared.numbers[page % pages_ahead] * keys, part.at,
                                         part.there);
}

/// By one thread, the same of codes.
__device__ inline void copy_codes(const AbsorbedWork& work, Shared<true>& shared, int page) {
  constexpr int bytes = page_bytes<true>;
  if (page >= pages_of(shared.piece)) return;
  expect_bytes(shared_address(&shared.codes_there), bytes);
  copy_bytes(shared_address(shared.codes),
             work.args.cache.data + int64_t{shared.numbers[page % pages_ahead]} * bytes, bytes,
             shared_address(&shared.codes_there));
}

/// By one thread: page `page` of the piece, if there is one, has number `number`, and may be to
/// come to L2. Blocks of other heads read the same pages: they take turns to ask.
template <bool fp8>
__device__ void announce_page(const AbsorbedWork& work, Shared<fp8>& shared, int page,
                              int32_t number) {
  constexpr int bytes = page_bytes<fp8>;
  if (page >= pages_of(shared.piece)) return;
  shared.numbers[page % pages_ahead] = number;
  // Whole tiles are copied far enough ahead. Those that are asked for besides would drive each
  // other out of L2; only the first are, while the block still waits for the kernel before.
  const bool asks = fp8 || page < first_stages<fp8>;
  const int head_blocks = (work.args.heads + heads - 1) / heads;
  if (asks && (page + blockIdx.x) % head_blocks == 0)
    fetch_to_l2(work.args.cache.data + int64_t{number} * bytes, bytes);
}

/// The number of a page of the piece; of the last one if there is no such page.
__device__ inline int32_t number_of(const Piece& piece, int page) {
  return piece.pages[min(page, pages_of(piece) - 1)];
}

/// Eight threads a row bring codes to a tile of bf16.
__device__ inline void decode_page(const uint8_t* codes, uint8_t* first, uint8_t* last) {
  const int thread = threadIdx.x % (2 * warpgroup);
#pragma unroll 1
  for (int key = thread / 8; key < keys; key += 2 * warpgroup / 8) {
    const uint8_t* row = codes + key * fp8_row_bytes;
#pragma unroll
    for (int chunk = thread % 8, i = 0; i < blocks; chunk += 8, ++i) {
      uint8_t* to = i < first_blocks ? first : last - first_blocks * block_bytes;
      *reinterpret_cast<uint4*>(to + chunk_at(key, chunk)) = decoded_chunk(row, chunk);
    }
  }
}

/// Values of keys that were never written may be anything, of which weights of 0 make no zeros.
__device__ inline void clear_values(uint8_t* first, uint8_t* last, int first_key) {
  constexpr int chunks = mla_latents / 16;  // of each part
  for (int i = first_key * chunks + threadIdx.x; i < keys * chunks; i += warpgroup) {
    *reinterpret_cast<uint4*>(first + chunk_at(i / chunks, i % chunks)) = uint4{};
    *reinterpret_cast<uint4*>(last + chunk_at(i / chunks, i % chunks)) = uint4{};
  }
}

}  // namespace ktx::ops::cuda::absorbed_pages
