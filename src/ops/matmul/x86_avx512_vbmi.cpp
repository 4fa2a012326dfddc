// Kernels of the formats with codebooks for CPUs that look bytes up in registers.
#include "ops/matmul/integer/x86_codebook_formats.hpp"
#include "ops/matmul/integer/x86_vnni_kernel.hpp"
#include "ops/matmul/simd/x86_simd_avx512_vbmi.hpp"

namespace ktx::ops {
namespace {

using S = Avx512Vbmi;
template <class Format>
using Vnni = VnniKernel<S, Format>;

constexpr X86Unit unit() {
  X86Unit unit{};
  const auto set = [&unit](X16 format, void (*run)(const X16Args& args) noexcept) {
    unit.run[static_cast<size_t>(format)] = run;
  };
  set(X16::iq3_s, Vnni<Iq3S<S>>::run);
  set(X16::iq3_xxs, Vnni<Iq3Xxs<S>>::run);
  set(X16::iq2_s, Vnni<Iq2S<S>>::run);
  set(X16::iq2_xs, Vnni<Iq2Xs<S>>::run);
  set(X16::iq2_xxs, Vnni<Iq2Xxs<S>>::run);
  set(X16::iq1_s, Vnni<Iq1S<S>>::run);
  set(X16::iq1_m, Vnni<Iq1M<S>>::run);
  return unit;
}

}  // namespace

constexpr X86Unit x86_avx512_vbmi = unit();

}  // namespace ktx::ops
