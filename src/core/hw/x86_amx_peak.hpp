// What the peak probes of AMX's types share.
#pragma once

#include <immintrin.h>

#include "core/hw/x86_amx_space.hpp"
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
