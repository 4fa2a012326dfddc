// The codecs the format table points to; private to core/quant. For their contract see FormatInfo.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ktx::quant {

using DecodeRow = void(const std::byte* row, float* out, int64_t n) noexcept;
using EncodeRow = void(const float* in, std::byte* row, int64_t n) noexcept;

// float.cpp
DecodeRow decode_f32, decode_f16, decode_bf16;
EncodeRow encode_f32, encode_f16, encode_bf16;

// fp8.cpp
DecodeRow decode_fp8;

// q_legacy.cpp
DecodeRow decode_q4_0, decode_q4_1, decode_q5_0, decode_q5_1, decode_q8_0;
EncodeRow encode_q8_0;

// k_quants.cpp
DecodeRow decode_q2_k, decode_q3_k, decode_q4_k, decode_q5_k, decode_q6_k;

// iq4.cpp, iq3.cpp, iq2.cpp, iq1.cpp
DecodeRow decode_iq4_nl, decode_iq4_xs;
DecodeRow decode_iq3_s, decode_iq3_xxs;
DecodeRow decode_iq2_s, decode_iq2_xs, decode_iq2_xxs;
DecodeRow decode_iq1_s, decode_iq1_m;

// mxfp4.cpp
DecodeRow decode_mxfp4;

// int8.cpp
DecodeRow decode_int8, decode_int8_32, decode_int8_64, decode_int8_128;
EncodeRow encode_int8, encode_int8_32, encode_int8_64, encode_int8_128;

// int4.cpp
DecodeRow decode_int4_32, decode_int4_64, decode_int4_128;
EncodeRow encode_int4_32, encode_int4_64, encode_int4_128;

}  // namespace ktx::quant
