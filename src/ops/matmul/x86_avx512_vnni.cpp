// Kernels of the integer formats of Layout::x16 for AVX-512 VNNI.
#include "ops/matmul/integer/x86_codebook_formats.hpp"
#include "ops/matmul/integer/x86_vnni_kernel.hpp"

namespace ktx::ops {
namespace {

using S = Avx512;
template <class Format>
using Vnni = VnniKernel<S, Format>;

}  // namespace

constexpr X86Unit x86_avx512_vnni = {
    .run = {nullptr,
            nullptr,
            nullptr,
            nullptr,
            Vnni<Q4_0<S>>::run,
            Vnni<Q4_1<S>>::run,
            Vnni<Q5_0<S>>::run,
            Vnni<Q5_1<S>>::run,
            Vnni<Q8_0<S>>::run,
            Vnni<Q2K<S>>::run,
            Vnni<Q3K<S>>::run,
            Vnni<Q4K<S>>::run,
            Vnni<Q5K<S>>::run,
            Vnni<Q6K<S>>::run,
            Vnni<Iq4Nl<S>>::run,
            Vnni<Iq4Xs<S>>::run,
            Vnni<Mxfp4<S>>::run,
            Vnni<Iq3S<S>>::run,
            Vnni<Iq3Xxs<S>>::run,
            Vnni<Iq2S<S>>::run,
            Vnni<Iq2Xs<S>>::run,
            Vnni<Iq2Xxs<S>>::run,
            Vnni<Iq1S<S>>::run,
            Vnni<Iq1M<S>>::run,
            Vnni<Int8Row<S>>::run,
            Vnni<Int8Group<S, 32>>::run,
            Vnni<Int8Group<S, 64>>::run,
            Vnni<Int8Group<S, 128>>::run,
            Vnni<Int4Group<S, 32>>::run,
            Vnni<Int4Group<S, 64>>::run,
            Vnni<Int4Group<S, 128>>::run},
    .quantize = nullptr,
};

}  // namespace ktx::ops
