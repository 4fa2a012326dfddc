// ISA levels: the table, what registers stand for, KTX_ISA.
#include "core/hw/isa.hpp"

#include <fstream>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "support/ktx_isa.hpp"

using namespace ktx;
using namespace ktx::hw;
using test::failure;
using test::KtxIsa;

namespace {

// CPUID of real CPUs, the bits that matter. XCR0: 0x7 AVX, 0xe7 AVX-512, 0x602e7 AMX.
CpuRegisters haswell() {
  return {0x7ffafbff, 0x000027ab, 0, 0x9c000600, 0, 0x7};
}
CpuRegisters skylake_server() {
  return {0x7ffefbff, 0xd39ffffb, 0x8, 0xbc000400, 0, 0x2e7};
}
CpuRegisters cascade_lake() {
  return {0x7ffefbff, 0xd39ffffb, 0x808, 0xbc000400, 0, 0x2e7};
}
CpuRegisters ice_lake() {
  return {0x7ffefbff, 0xf3bfbffb, 0x18415f5e, 0xbc040412, 0, 0x2e7};
}
CpuRegisters zen4() {
  return {0x7ef8320b, 0xf1bf97a9, 0x00405fce, 0x10000010, 0x20, 0x2e7};
}
CpuRegisters sapphire_rapids() {
  return {0x7ffefbff, 0xf3bfbfff, 0x1b415fee, 0xffdd4432, 0x1c30, 0x602e7};
}

}  // namespace

TEST_CASE("the table is in the order of the levels and its names are found") {
  const auto table = isas();
  REQUIRE(table.size() == static_cast<size_t>(Isa::amx_int8) + 1);
  for (size_t i = 0; i < table.size(); ++i) {
    REQUIRE(static_cast<size_t>(table[i].isa) == i);
    REQUIRE(find_isa(table[i].name) == table[i].isa);
    REQUIRE(name(table[i].isa) == table[i].name);
    REQUIRE(isa_names()[i] == table[i].name);
    REQUIRE_FALSE(table[i].doc.empty());
    REQUIRE(table[i].features.empty() == (i == 0));
  }
  REQUIRE_FALSE(find_isa("AVX2").has_value());
  REQUIRE_FALSE(find_isa("").has_value());
}

TEST_CASE("registers of known CPUs give their level") {
  REQUIRE(isa_of({}) == Isa::scalar);
  REQUIRE(isa_of(haswell()) == Isa::avx2);
  REQUIRE(isa_of(skylake_server()) == Isa::avx512);
  REQUIRE(isa_of(cascade_lake()) == Isa::avx512_vnni);
  REQUIRE(isa_of(ice_lake()) == Isa::avx512_vbmi);
  REQUIRE(isa_of(zen4()) == Isa::avx512_bf16);
  REQUIRE(isa_of(sapphire_rapids()) == Isa::amx_int8);
}

TEST_CASE("a level needs each of its features and the operating system") {
  const auto without = [](uint32_t CpuRegisters::*field, int bit) {
    auto cpu = sapphire_rapids();
    cpu.*field &= ~(1u << bit);
    return isa_of(cpu);
  };
  REQUIRE(without(&CpuRegisters::leaf1_ecx, 12) == Isa::scalar);  // FMA
  REQUIRE(without(&CpuRegisters::leaf1_ecx, 27) == Isa::scalar);  // OSXSAVE
  REQUIRE(without(&CpuRegisters::leaf1_ecx, 28) == Isa::scalar);  // AVX
  REQUIRE(without(&CpuRegisters::leaf1_ecx, 29) == Isa::scalar);  // F16C
  REQUIRE(without(&CpuRegisters::leaf7_ebx, 5) == Isa::scalar);   // AVX2
  for (const int bit : {16, 17, 30, 31})                          // AVX-512 F, DQ, BW, VL
    REQUIRE(without(&CpuRegisters::leaf7_ebx, bit) == Isa::avx2);
  REQUIRE(without(&CpuRegisters::leaf7_ecx, 11) == Isa::avx512);        // VNNI
  REQUIRE(without(&CpuRegisters::leaf7_1_eax, 5) == Isa::avx512_vbmi);  // AVX512_BF16
  REQUIRE(without(&CpuRegisters::leaf7_ecx, 1) == Isa::avx512_vnni);    // AVX512_VBMI
  REQUIRE(without(&CpuRegisters::leaf7_edx, 24) == Isa::avx512_bf16);   // AMX-TILE
  REQUIRE(without(&CpuRegisters::leaf7_edx, 22) == Isa::avx512_bf16);   // AMX-BF16
  REQUIRE(without(&CpuRegisters::leaf7_edx, 25) == Isa::amx_bf16);      // AMX-INT8

  const auto with_xcr0 = [](uint64_t xcr0) {
    auto cpu = sapphire_rapids();
    cpu.xcr0 = xcr0;
    return isa_of(cpu);
  };
  REQUIRE(with_xcr0(0x3) == Isa::scalar);
  REQUIRE(with_xcr0(0x7) == Isa::avx2);
  REQUIRE(with_xcr0(0xa7) == Isa::avx2);
  REQUIRE(with_xcr0(0xe7) == Isa::avx512_bf16);
  REQUIRE(with_xcr0(0x200e7) == Isa::avx512_bf16);
}

#if defined(__x86_64__)
TEST_CASE("this CPU's level agrees with the compiler's and the kernel's view") {
  const Isa isa = detect_isa();
  __builtin_cpu_init();
  REQUIRE((isa >= Isa::avx2) == (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")));
  REQUIRE((isa >= Isa::avx512) ==
          (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           isa >= Isa::avx2));
  if (isa >= Isa::avx512_vnni) REQUIRE(__builtin_cpu_supports("avx512vnni"));
  if (isa >= Isa::avx512_vbmi) REQUIRE(__builtin_cpu_supports("avx512vbmi"));
  std::ifstream info("/proc/cpuinfo");
  const std::string text(std::istreambuf_iterator<char>(info), {});
  if (isa >= Isa::amx_bf16) REQUIRE(text.find(" amx_tile") != std::string::npos);
  if (text.find(" amx_tile") == std::string::npos) REQUIRE_FALSE(isa >= Isa::amx_bf16);
}
#endif

TEST_CASE("asking for AMX twice gives the same answer") {
  REQUIRE(request_amx() == request_amx());
}

TEST_CASE("KTX_ISA forces a lower level") {
  const Isa best = detect_isa();
  for (const auto& info : isas()) {
    const KtxIsa setting(std::string(info.name).c_str());
    if (info.isa <= best)
      REQUIRE(usable_isa() == info.isa);
    else
      REQUIRE(failure([] { usable_isa(); }) ==
              "input KTX_ISA: this CPU has no " + std::string(info.name) +
                  "\n  note: its highest level is " + std::string(name(best)));
  }
}

TEST_CASE("KTX_ISA unset or empty means the best level") {
  {
    const KtxIsa setting(nullptr);
    REQUIRE(usable_isa() == detect_isa());
  }
  const KtxIsa setting("");
  REQUIRE(usable_isa() == detect_isa());
}

TEST_CASE("KTX_ISA that names no level") {
  const KtxIsa setting("avx3");
  REQUIRE(failure([] { usable_isa(); }) ==
          "input KTX_ISA: no such instruction set: 'avx3'\n"
          "  note: did you mean 'avx2'?\n"
          "  note: valid names: scalar, avx2, avx512, avx512_vnni, avx512_vbmi, avx512_bf16, "
          "amx_bf16, amx_int8");
}
