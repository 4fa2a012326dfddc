// ISA levels by CPUID and XGETBV, and the permission to use AMX.
#include "core/hw/isa.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "core/base/error.hpp"
#include "core/base/text.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace ktx::hw {

namespace {

constexpr std::array<IsaInfo, 7> table{
    {{Isa::scalar, "scalar", "any x86-64 CPU"},
     {Isa::avx2, "avx2", "AVX2, FMA, F16C"},
     {Isa::avx512, "avx512", "AVX-512 F, BW, VL, DQ"},
     {Isa::avx512_vnni, "avx512_vnni", "AVX-512 VNNI: int8 dot products"},
     {Isa::avx512_bf16, "avx512_bf16", "AVX-512 BF16 and VBMI: bfloat16 dot products"},
     {Isa::amx_bf16, "amx_bf16", "AMX-TILE, AMX-BF16"},
     {Isa::amx_int8, "amx_int8", "AMX-INT8"}}};

constexpr uint64_t bit(int n) {
  return uint64_t{1} << n;
}

// What a level needs beyond the one below. Bits as in Intel's Software Developer's Manual, CPUID
// and XCR0 (AVX: SSE and YMM state; AVX-512: opmask and ZMM state; AMX: tile configuration and
// data).
struct Needs {
  Isa isa;
  uint64_t leaf1_ecx, leaf7_ebx, leaf7_ecx, leaf7_edx, leaf7_1_eax, xcr0;
};
constexpr uint64_t fma = bit(12), osxsave = bit(27), avx = bit(28), f16c = bit(29);
constexpr uint64_t avx512_fdqbwvl = bit(16) | bit(17) | bit(30) | bit(31);
constexpr std::array<Needs, 6> needs{
    {{Isa::avx2, fma | osxsave | avx | f16c, bit(5), 0, 0, 0, bit(1) | bit(2)},
     {Isa::avx512, 0, avx512_fdqbwvl, 0, 0, 0, bit(5) | bit(6) | bit(7)},
     {Isa::avx512_vnni, 0, 0, bit(11), 0, 0, 0},
     {Isa::avx512_bf16, 0, 0, bit(1), 0, bit(5), 0},
     {Isa::amx_bf16, 0, 0, 0, bit(22) | bit(24), 0, bit(17) | bit(18)},
     {Isa::amx_int8, 0, 0, 0, bit(25), 0, 0}}};

constexpr bool has(uint64_t value, uint64_t bits) {
  return (value & bits) == bits;
}

}  // namespace

std::span<const IsaInfo> isas() noexcept {
  return table;
}

std::string_view name(Isa isa) noexcept {
  return table[static_cast<size_t>(isa)].name;
}

std::optional<Isa> find_isa(std::string_view name) noexcept {
  for (const auto& info : table)
    if (info.name == name) return info.isa;
  return std::nullopt;
}

std::vector<std::string> isa_names() {
  std::vector<std::string> names;
  for (const auto& info : table) names.emplace_back(info.name);
  return names;
}

Isa isa_of(const CpuRegisters& cpu) noexcept {
  Isa isa = Isa::scalar;
  for (const auto& level : needs) {
    if (!has(cpu.leaf1_ecx, level.leaf1_ecx) || !has(cpu.leaf7_ebx, level.leaf7_ebx) ||
        !has(cpu.leaf7_ecx, level.leaf7_ecx) || !has(cpu.leaf7_edx, level.leaf7_edx) ||
        !has(cpu.leaf7_1_eax, level.leaf7_1_eax) || !has(cpu.xcr0, level.xcr0))
      break;
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
  if (has(cpu.leaf1_ecx, osxsave)) {
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
