// What the peak probes of one ISA export: plain structs, for the ISA units.
#pragma once

#include <cstdint>

namespace ktx::hw {

/// A loop of independent multiply-adds that never leaves the registers.
struct PeakLoop {
  void (*run)(int64_t rounds) noexcept;
  double ops_per_round;  // a multiply-add is two
};

extern const PeakLoop peak_avx2_f32, peak_avx2_int8;
extern const PeakLoop peak_avx512_f32;
extern const PeakLoop peak_avx512_vnni_int8;
extern const PeakLoop peak_avx512_bf16;
extern const PeakLoop peak_amx_bf16, peak_amx_int8;

}  // namespace ktx::hw
