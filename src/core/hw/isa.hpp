// Instruction-set levels of x86-64: the one this CPU supports, and KTX_ISA, which forces a lower
// one.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ktx::hw {

/// In order: a machine at one level supports all lower ones.
enum class Isa : uint8_t {
  scalar,
  avx2,
  avx512,
  avx512_vnni,
  avx512_vbmi,
  avx512_bf16,
  amx_bf16,
  amx_int8
};

struct IsaInfo {
  Isa isa;
  std::string_view name;      // as in rules and in KTX_ISA
  std::string_view features;  // of the CPU, beyond those of the level below
  std::string_view doc;       // what they are for
  double speed;               // of multiplying, about: AVX2 is 1
};

/// The table (isa_levels.hpp), lowest level first.
std::span<const IsaInfo> isas() noexcept;
std::string_view name(Isa isa) noexcept;
std::optional<Isa> find_isa(std::string_view name) noexcept;
std::vector<std::string> isa_names();

/// Results of CPUID and XGETBV; all zero on CPUs other than x86-64.
struct CpuRegisters {
  uint32_t leaf1_ecx = 0, leaf7_ebx = 0, leaf7_ecx = 0, leaf7_edx = 0, leaf7_1_eax = 0;
  uint64_t xcr0 = 0;  // which register states the operating system saves
};
CpuRegisters read_cpu_registers() noexcept;

/// The highest level that these registers stand for.
Isa isa_of(const CpuRegisters& cpu) noexcept;

/// Asks Linux for permission to use AMX tile data in all threads of this process. False: refused,
/// AMX instructions would be illegal. Asking again is harmless.
bool request_amx() noexcept;

/// The highest level this CPU and its operating system support. Calls request_amx() when it is an
/// AMX level.
Isa detect_isa() noexcept;

/// detect_isa(), or the level that the environment variable KTX_ISA names. KTX_ISA does not affect
/// quantization (core/quant), which chooses its vector code by the CPU alone because every version
/// stores the same bytes. Throws input error when KTX_ISA names an unknown level, or one that this
/// CPU lacks.
Isa usable_isa();

}  // namespace ktx::hw
