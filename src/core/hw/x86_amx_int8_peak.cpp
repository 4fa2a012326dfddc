// Peak multiply-adds of the AMX tiles in int8.
#include "core/hw/x86_amx_peak.hpp"

namespace ktx::hw {
namespace {

void run(int64_t rounds) noexcept {
  set_up(0, 0xffff);
  for (int64_t round = 0; round < rounds; ++round) {
    _tile_dpbssd(0, 4, 6);
    amx_space();
    _tile_dpbssd(1, 4, 7);
    amx_space();
    _tile_dpbssd(2, 5, 6);
    amx_space();
    _tile_dpbssd(3, 5, 7);
    amx_space();
  }
  _tile_release();
}

}  // namespace

constexpr PeakLoop peak_amx_int8 = {run, 2.0 * 16 * 16 * 64 * tiles_per_round};

}  // namespace ktx::hw
