// Peak multiply-adds of the AMX tiles in bf16.
#include "core/hw/x86_amx_peak.hpp"

namespace ktx::hw {
namespace {

// Numbers in [1, 2) and (-2, -1].
void run(int64_t rounds) noexcept {
  set_up(0x3f80, 0x807f);
  for (int64_t round = 0; round < rounds; ++round) {
    _tile_dpbf16ps(0, 4, 6);
    amx_space();
    _tile_dpbf16ps(1, 4, 7);
    amx_space();
    _tile_dpbf16ps(2, 5, 6);
    amx_space();
    _tile_dpbf16ps(3, 5, 7);
    amx_space();
  }
  _tile_release();
}

}  // namespace

constexpr PeakLoop peak_amx_bf16 = {run, 2.0 * 16 * 16 * 32 * tiles_per_round};

}  // namespace ktx::hw
