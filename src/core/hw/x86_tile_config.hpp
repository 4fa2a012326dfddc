// The configuration of the AMX tiles that ktx uses everywhere: eight, of 16 rows of 64 bytes.
// Palette 1 of Intel's Architecture Instruction Set Extensions reference, chapter "AMX".
#pragma once

#include <cstdint>

namespace ktx::hw {

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t bytes_of_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

}  // namespace ktx::hw
