// The kernels of all formats of Layout::x16 over one kind of vectors, for ISAs without dot products
// of bytes (AVX2 and AVX-512).
#pragma once

#include "ops/matmul/float/x86_float_kernel.hpp"
#include "ops/matmul/integer/x86_codebook_formats.hpp"
#include "ops/matmul/integer/x86_decoded_group.hpp"
#include "ops/matmul/integer/x86_integer_kernel.hpp"
#include "ops/matmul/integer/x86_quantize_avx2.hpp"
#include "ops/matmul/x16_args.hpp"

namespace ktx::ops {
namespace {

template <class S, class Format>
constexpr auto integer_run = Integer<S, PairDot<S>, Format>::run;
template <class S, class Format>
constexpr auto codebook_run = CodebookKernel<S, PairDot<S>, Format>::run;

/// In the order of X16.
template <class S>
constexpr X86Unit all_formats = {
    .run = {Float<S, F32Columns<S>>::run,     Float<S, F16Columns<S>>::run,
            Float<S, Bf16Columns<S>>::run,    FloatFp8<S>::run,
            integer_run<S, Q4_0<S>>,          integer_run<S, Q4_1<S>>,
            integer_run<S, Q5_0<S>>,          integer_run<S, Q5_1<S>>,
            integer_run<S, Q8_0<S>>,          integer_run<S, Q2K<S>>,
            integer_run<S, Q3K<S>>,           integer_run<S, Q4K<S>>,
            integer_run<S, Q5K<S>>,           integer_run<S, Q6K<S>>,
            integer_run<S, Iq4Nl<S>>,         integer_run<S, Iq4Xs<S>>,
            integer_run<S, Mxfp4<S>>,         codebook_run<S, Iq3S<S>>,
            codebook_run<S, Iq3Xxs<S>>,       codebook_run<S, Iq2S<S>>,
            codebook_run<S, Iq2Xs<S>>,        codebook_run<S, Iq2Xxs<S>>,
            codebook_run<S, Iq1S<S>>,         codebook_run<S, Iq1M<S>>,
            integer_run<S, Int8Row<S>>,       integer_run<S, Int8Group<S, 32>>,
            integer_run<S, Int8Group<S, 64>>, integer_run<S, Int8Group<S, 128>>,
            integer_run<S, Int4Group<S, 32>>, integer_run<S, Int4Group<S, 64>>,
            integer_run<S, Int4Group<S, 128>>},
    .quantize = quantize,
};

}  // namespace
}  // namespace ktx::ops
