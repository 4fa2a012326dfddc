// What the peak probes of AMX's types share.
#pragma once

#include <immintrin.h>

#include "core/hw/x86_peak.hpp"
#include "core/hw/x86_tile_config.hpp"

namespace ktx::hw {
namespace {

// Tiles 0..3 are sums, 4 and 5 left operands, 6 and 7 right ones.
constexpr int tiles_per_round = 4;

// Zeros would cost less power, and so a higher clock, than a product has.
struct alignas(64) TileData {
  uint16_t words[16 * 32];
};

// GCC's tile loads do not tell the compiler what memory they read.
[[gnu::always_inline]] inline void write_out(const void* data) {
  __asm__ volatile("" : : "r"(data) : "memory");
}

// Between two products, where kernels have their loads: without, the probe reads too little. On a
// VM of 16 AMX threads, TOP/s of all, median (lowest to highest) of 5 turns of 20 ms, the variants
// in alternation:
//
//                                bf16                  int8
//   4 sums                  18.3 (16.3 to 22.7)   36.7 (34.0 to 41.9)
//   6 sums                  20.3 (17.6 to 22.1)   38.5 (36.6 to 41.1)
//   4 sums, 8 nops          25.0 (23.2 to 27.4)   51.0 (48.0 to 57.3)
//   4 sums, 16 nops         25.4 (24.9 to 25.9)   52.6 (49.9 to 56.1)
//
// So the sums' latency is not what bounds them (more sums hardly help), nor the front end (more
// nops cost nothing). Why products in a row are slower is not known; perhaps threads that share a
// core's tiles get in each other's way.
[[gnu::always_inline]] inline void step_aside() {
  __asm__ volatile(".rept 8\n\tnop\n\t.endr");
}

void set_up(uint16_t high, uint16_t mask) noexcept {
  const TileConfig config;
  write_out(&config);
  _tile_loadconfig(&config);
  TileData data;
  uint32_t state = 1;
  for (auto& word : data.words) {
    state = state * 1664525u + 1013904223u;  // Numerical Recipes' generator
    word = static_cast<uint16_t>(high | (state >> 16 & mask));
  }
  write_out(data.words);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, data.words, 64);
  _tile_loadd(5, data.words, 64);
  _tile_loadd(6, data.words, 64);
  _tile_loadd(7, data.words, 64);
}

}  // namespace
}  // namespace ktx::hw
