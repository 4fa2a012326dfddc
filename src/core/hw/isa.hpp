// Instruction-set levels of x86-64: what this CPU has, and KTX_ISA that forces a lower one.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ktx::hw {

/// Ordered: a machine at one level has all lower ones.
enum class Isa : uint8_t { scalar, avx2, avx512, avx512_vnni, avx512_bf16, amx_bf16, amx_int8 };

struct IsaInfo {
  Isa isa;
  std::string_view name;  // as in rules and in KTX_ISA
  std::string_view doc;   // the CPU features it stands for
};

/// The table, lowest level first.
std::span<const IsaInfo> isas() noexcept;
std::string_view name(Isa isa) noexcept;
std::optional<Isa> find_isa(std::string_view name) noexcept;
std::vector<std::string> isa_names();

/// The highest level this CPU and its operating system support (CPUID, XGETBV).
Isa detect_isa() noexcept;

/// detect_isa(), or the level that the environment variable KTX_ISA names.
/// Throws input error when KTX_ISA names no level or one this CPU lacks.
Isa usable_isa();

}  // namespace ktx::hw
