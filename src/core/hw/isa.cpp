// ISA levels by CPUID and XGETBV, and the permission to use AMX.
#include "core/hw/isa.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "core/hw/isa_levels.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace ktx::hw {

namespace {

constexpr uint64_t bit(int n) {
  return uint64_t{1} << n;
}

// Register states that the operating system must save, as bits of XCR0: AVX: SSE and YMM; AVX-512:
// opmask and ZMM too; AMX: tile configuration and data.
constexpr uint64_t ymm = bit(1) | bit(2), zmm = ymm | bit(5) | bit(6) | bit(7);
constexpr uint64_t tiles = bit(17) | bit(18);

// Where a feature shows, as in Intel's Software Developer's Manual, CPUID.
struct Feature {
  std::string_view name;
  uint32_t CpuRegisters::*reg;
  int bit;
  uint64_t states;
};
constexpr Feature known_features[] = {
    {"avx", &CpuRegisters::leaf1_ecx, 28, ymm},
    {"fma", &CpuRegisters::leaf1_ecx, 12, ymm},
    {"f16c", &CpuRegisters::leaf1_ecx, 29, ymm},
    {"avx2", &CpuRegisters::leaf7_ebx, 5, ymm},
    {"avx512f", &CpuRegisters::leaf7_ebx, 16, zmm},
    {"avx512dq", &CpuRegisters::leaf7_ebx, 17, zmm},
    {"avx512bw", &CpuRegisters::leaf7_ebx, 30, zmm},
    {"avx512vl", &CpuRegisters::leaf7_ebx, 31, zmm},
    {"avx512vbmi", &CpuRegisters::leaf7_ecx, 1, zmm},
    {"avx512vnni", &CpuRegisters::leaf7_ecx, 11, zmm},
    {"avx512bf16", &CpuRegisters::leaf7_1_eax, 5, zmm},
    {"amx-bf16", &CpuRegisters::leaf7_edx, 22, tiles},
    {"amx-tile", &CpuRegisters::leaf7_edx, 24, tiles},
    {"amx-int8", &CpuRegisters::leaf7_edx, 25, tiles},
};

constexpr int osxsave = 27;  // in leaf1_ecx: XCR0 can be read

constexpr const Feature* find_feature(std::string_view name) {
  for (const auto& feature : known_features)
    if (feature.name == name) return &feature;
  return nullptr;
}

/// Whether each(feature) holds for all of a level's features, in the order of their names.
template <class Each>
constexpr bool all_features(const IsaInfo& level, const Each& each) {
  for (std::string_view rest = level.features; !rest.empty();) {
    const size_t end = std::min(rest.find(' '), rest.size());
    if (!each(find_feature(rest.substr(0, end)))) return false;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return true;
}

static_assert(std::ranges::all_of(isa_levels, [](const IsaInfo& level) {
  return all_features(level, [](const Feature* feature) { return feature != nullptr; });
}));

constexpr bool has(uint64_t value, uint64_t bits) {
  return (value & bits) == bits;
}

}  // namespace

std::span<const IsaInfo> isas() noexcept {
  return isa_levels;
}

std::string_view name(Isa isa) noexcept {
  return isa_levels[static_cast<size_t>(isa)].name;
}

std::optional<Isa> find_isa(std::string_view name) noexcept {
  for (const auto& info : isa_levels)
    if (info.name == name) return info.isa;
  return std::nullopt;
}

std::vector<std::string> isa_names() {
  std::vector<std::string> names;
  for (const auto& info : isa_levels) names.emplace_back(info.name);
  return names;
}

Isa isa_of(const CpuRegisters& cpu) noexcept {
  const uint64_t saved = has(cpu.leaf1_ecx, bit(osxsave)) ? cpu.xcr0 : 0;
  Isa isa = Isa::scalar;
  for (const auto& level : isa_levels) {
    const bool here = all_features(level, [&](const Feature* feature) {
      return has(cpu.*feature->reg, bit(feature->bit)) && has(saved, feature->states);
    });
    if (!here) break;
    isa = level.isa;
  }
  return isa;
}

#if defined(__x86_64__)
CpuRegisters read_cpu_registers() noexcept {
  CpuRegisters cpu;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) != 0) cpu.leaf1_ecx = c;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) {
    cpu.leaf7_ebx = b;
    cpu.leaf7_ecx = c;
    cpu.leaf7_edx = d;
    const unsigned last_subleaf = a;
    if (last_subleaf >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) cpu.leaf7_1_eax = a;
  }
  if (has(cpu.leaf1_ecx, bit(osxsave))) {
    unsigned low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));  // the intrinsic needs -mxsave
    cpu.xcr0 = uint64_t{high} << 32 | low;
  }
  return cpu;
}
#else
CpuRegisters read_cpu_registers() noexcept {
  return {};
}
#endif

bool request_amx() noexcept {
#if defined(__x86_64__) && defined(SYS_arch_prctl)
  constexpr int arch_req_xcomp_perm = 0x1023;  // asm/prctl.h, from Linux 5.16
  constexpr int xfeature_xtiledata = 18;
  return ::syscall(SYS_arch_prctl, arch_req_xcomp_perm, xfeature_xtiledata) == 0;
#else
  return false;
#endif
}

Isa detect_isa() noexcept {
  const Isa isa = isa_of(read_cpu_registers());
  return isa >= Isa::amx_bf16 && !request_amx() ? Isa::avx512_bf16 : isa;
}

Isa usable_isa() {
  const Isa best = detect_isa();
  const char* wanted = std::getenv("KTX_ISA");
  if (wanted == nullptr || *wanted == '\0') return best;
  const auto isa = find_isa(wanted);
  if (!isa)
    throw_input("no such instruction set: '" + std::string(wanted) + "'", "KTX_ISA",
                base::suggestions(wanted, isa_names(), "names"));
  if (*isa > best)
    throw_input("this CPU has no " + std::string(wanted), "KTX_ISA",
                {"its highest level is " + std::string(name(best))});
  return *isa;
}

}  // namespace ktx::hw
