// The table of peak probes and their measurement.
#include "core/hw/peak.hpp"

#include "core/base/error.hpp"
#include "core/hw/affinity.hpp"
#include "core/hw/best_rate.hpp"
#include "core/hw/machine.hpp"
#include "core/hw/x86_peak.hpp"

namespace ktx::hw {

namespace {

struct Probe {
  Isa isa;
  std::string_view type;
  const PeakLoop& loop;
};

constexpr Probe probes[] = {
    {Isa::avx2, "f32", peak_avx2_f32},
    {Isa::avx2, "int8", peak_avx2_int8},
    {Isa::avx512, "f32", peak_avx512_f32},
    {Isa::avx512_vnni, "int8", peak_avx512_vnni_int8},
    {Isa::avx512_bf16, "bf16", peak_avx512_bf16},
    {Isa::amx_bf16, "bf16", peak_amx_bf16},
    {Isa::amx_int8, "int8", peak_amx_int8},
};

constexpr int64_t rounds_of_piece = 2000;  // some microseconds

}  // namespace

std::vector<Peak> measure_peaks(int threads, double seconds) {
  require(threads >= 1 && seconds > 0, "a peak needs a thread and a time");
  const Isa isa = usable_isa();  // asks for the right to use AMX
  const auto cpus = spread_cpus(detect_machine());
  WorkerPool pool(threads, cpus);
  const CpuGuard pinned{std::span<const int>(cpus).first(1)};
  std::vector<Peak> peaks;
  for (const auto& probe : probes) {
    if (probe.isa > isa) continue;
    peaks.push_back({probe.isa, probe.type, best_rate(pool, seconds, [&](int) noexcept {
                       probe.loop.run(rounds_of_piece);
                       return probe.loop.ops_per_round * rounds_of_piece;
                     })});
  }
  return peaks;
}

}  // namespace ktx::hw
