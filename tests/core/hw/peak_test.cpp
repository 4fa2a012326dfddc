// The measured peaks are ones that a machine can have, of every kind that this CPU has.
// covers: x86_avx2_peak, x86_avx512_peak, x86_avx512_vnni_peak, x86_avx512_bf16_peak
// covers: x86_amx_bf16_peak, x86_amx_int8_peak
#include "core/hw/peak.hpp"

#include <algorithm>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "support/ktx_isa.hpp"

using namespace ktx;
using namespace ktx::hw;

namespace {

bool has(const std::vector<Peak>& peaks, Isa isa, std::string_view type) {
  return std::ranges::any_of(peaks, [&](const Peak& p) { return p.isa == isa && p.type == type; });
}

}  // namespace

TEST_CASE("every peak that the CPU has lies within reason") {
  const auto peaks = measure_peaks(2, 0.006);
  for (const auto& peak : peaks) {
    INFO(name(peak.isa) << " " << peak.type << ": " << peak.ops_per_second / 1e12);
    CHECK(peak.ops_per_second > 50e6);  // even under a sanitizer on a busy machine
    // Two cores of AMX do 2 * 16 * 16 * 64 int8 operations every 16 cycles; anything above is a
    // loop that was optimised away.
    CHECK(peak.ops_per_second < 2 * 2048 * 6e9);
  }
  const Isa isa = usable_isa();
  CHECK(has(peaks, Isa::avx2, "f32") == (isa >= Isa::avx2));
  CHECK(has(peaks, Isa::avx512_vnni, "int8") == (isa >= Isa::avx512_vnni));
  CHECK(has(peaks, Isa::avx512_bf16, "bf16") == (isa >= Isa::avx512_bf16));
  CHECK(has(peaks, Isa::amx_int8, "int8") == (isa >= Isa::amx_int8));
}

TEST_CASE("KTX_ISA leaves out the peaks of higher levels") {
  if (usable_isa() < Isa::avx2) SKIP("this CPU has no AVX2");
  const test::KtxIsa forced("avx2");
  const auto peaks = measure_peaks(1, 0.003);
  CHECK(peaks.size() == 2);
  for (const auto& peak : peaks) CHECK(peak.isa == Isa::avx2);
}

TEST_CASE("a peak of no thread or no time is a mistake of the caller") {
  REQUIRE(test::failure([] { measure_peaks(0); }) == "bug a peak needs a thread and a time");
  REQUIRE(test::failure([] { measure_peaks(1, 0); }) == "bug a peak needs a thread and a time");
}
