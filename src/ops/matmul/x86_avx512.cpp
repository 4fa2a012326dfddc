// Kernels of all formats of Layout::x16 for AVX-512 (F, BW, VL, DQ).
#include "ops/matmul/float/x86_float_kernel.hpp"
#include "ops/matmul/integer/x86_codebook_formats.hpp"
#include "ops/matmul/integer/x86_decoded_group.hpp"
#include "ops/matmul/integer/x86_integer_kernel.hpp"
#include "ops/matmul/integer/x86_quantize_avx2.hpp"
#include "ops/matmul/simd/x86_simd_avx512.hpp"

namespace ktx::ops {
namespace {

using S = Avx512;
template <class Format>
using Pairs = Integer<S, PairDot<S>, Format>;
template <class Format>
using Codebook = CodebookKernel<S, PairDot<S>, Format>;

}  // namespace

constexpr X86Unit x86_avx512 = {
    .run = {Float<S, F32Columns<S>>::run,
            Float<S, F16Columns<S>>::run,
            Float<S, Bf16Columns<S>>::run,
            FloatFp8<S>::run,
            Pairs<Q4_0<S>>::run,
            Pairs<Q4_1<S>>::run,
            Pairs<Q5_0<S>>::run,
            Pairs<Q5_1<S>>::run,
            Pairs<Q8_0<S>>::run,
            Pairs<Q2K<S>>::run,
            Pairs<Q3K<S>>::run,
            Pairs<Q4K<S>>::run,
            Pairs<Q5K<S>>::run,
            Pairs<Q6K<S>>::run,
            Pairs<Iq4Nl<S>>::run,
            Pairs<Iq4Xs<S>>::run,
            Pairs<Mxfp4<S>>::run,
            Codebook<Iq3S<S>>::run,
            Codebook<Iq3Xxs<S>>::run,
            Codebook<Iq2S<S>>::run,
            Codebook<Iq2Xs<S>>::run,
            Codebook<Iq2Xxs<S>>::run,
            Codebook<Iq1S<S>>::run,
            Codebook<Iq1M<S>>::run,
            Pairs<Int8Row<S>>::run,
            Pairs<Int8Group<S, 32>>::run,
            Pairs<Int8Group<S, 64>>::run,
            Pairs<Int8Group<S, 128>>::run,
            Pairs<Int4Group<S, 32>>::run,
            Pairs<Int4Group<S, 64>>::run,
            Pairs<Int4Group<S, 128>>::run},
    .quantize = quantize,
};

}  // namespace ktx::ops
