// Peak multiply-adds of the AMX tiles: int8 and bf16.
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

void run_int8(int64_t rounds) noexcept {
  set_up(0, 0xffff);
  for (int64_t round = 0; round < rounds; ++round) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
}

// Numbers in [1, 2) and (-2, -1].
void run_bf16(int64_t rounds) noexcept {
  set_up(0x3f80, 0x807f);
  for (int64_t round = 0; round < rounds; ++round) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
}

}  // namespace

constexpr PeakLoop peak_amx_int8 = {run_int8, 2.0 * 16 * 16 * 64 * tiles_per_round};
constexpr PeakLoop peak_amx_bf16 = {run_bf16, 2.0 * 16 * 16 * 32 * tiles_per_round};

}  // namespace ktx::hw
