// Layout::x16: groups of 16 rows interleaved, so that one 32-bit lane of a 512-bit vector is one
// row and no kernel needs horizontal sums. As many bits as the format itself; values never change.
//
// A group lies as consecutive units along the columns. Lane r is row r of the group; rows beyond
// the matrix are zero bytes.
//
// Codes of 8 bits: every 4 columns are 64 bytes, byte 4 r + j the code of row r, column 4 k + j:
// the operand of vpdpbusd and the B tile of AMX-int8. All codes are unsigned: weight = s * code -
// m. Codes of 4 to 6 bits, per 32 columns: 4 vectors of 64 bytes; vector i holds the low four bits
// of what would be the 8-bit vectors 2 i (low nibble) and 2 i + 1 (high nibble). The bits above lie
// after all low ones of the unit: q5_k and q5_0 one vector per 32 columns, bit k that of 8-bit
// vector k; q6_k two vectors, two bits at 2 (k % 4) of vector k / 4.
//
// Codes of 2 and 3 bits, every 64 columns: the low two bits as those above the nibbles of q6_k, in
// 4 vectors; behind them the third bits of q3_k as the fifth ones of q5_k, in 2 vectors.
//
//   f32                 64 bytes a column
//   f16                 32 bytes a column
//   bf16                64 bytes every 2 columns: the pair of each row (vdpbf16ps, AMX-bf16)
//   fp8                 unit 128: 16 f32 scales, then 16 bytes a column
//   q4_1, q5_1          unit 32: 16 f16 d, 16 f16 m, codes; weight = d * code + m
//   q2_k                unit 256: 16 f16 d, 16 f16 dmin, then every 64 columns the 4 bytes
//                       of scales of each row as a vector of 32-bit words, codes
//   q4_k, q5_k          unit 256: 16 f16 d, 16 f16 dmin, the 12 bytes of scales of each row as 3
//                       vectors of 32-bit words, codes
//   iq4_xs              unit 256: 16 f16 d, 16 scales_h, 16 words of scales_l, codes (indices)
//   int8                16 f32 scales, then codes of all columns; code = value + 128
//   q4_0, q5_0, q8_0, iq4_nl, int8/G, int4/G, q3_k, q6_k
//                       units (the format's own block) in pairs, so that codes stay aligned: 16
//                       16-bit scales of one, of the other, body of one, of the other; a last unit
//                       without partner leaves 32 bytes unused. The body is the codes; for q3_k
//                       and q6_k first the 12 or 16 bytes of scales of each row as vectors of
//                       32-bit words. q8_0 and int8/G: code = value + 128; int4, q4_0: 8; q5_0: 16;
//                       q3_k: 4; q6_k: 32.
//   mxfp4               units of 32 in fours, likewise: 16 bytes of e8m0 of each, codes (indices)
//   iq3_s, iq3_xxs, iq2_s, iq2_xs, iq2_xxs, iq1_s
//                       units of 256 in pairs, likewise; the body are the words of the block behind
//                       its scale, as vectors of 32-bit words: indices into the codebook, signs and
//                       scales lie as in the format. integer/x86_codebook_formats.hpp counts them
//   iq1_m               unit 256: all words of the block
#pragma once

#include <cstdint>
#include <optional>

#include "ops/matmul/matmul.hpp"
#include "ops/matmul/x16_args.hpp"

namespace ktx::ops {

/// Nothing for the formats that stay in rows.
std::optional<X16> x16_format(quant::Format format) noexcept;

/// Columns must be a multiple of this.
int64_t x16_columns(X16 format) noexcept;

/// The activations that the kernels of a format read.
ActivationFormat x16_activation(X16 format) noexcept;

/// Bytes of 16 rows of cols columns; a multiple of 64.
int64_t x16_group_bytes(X16 format, int64_t cols) noexcept;

/// Packs rows of PackArgs as described above.
void pack_x16(const PackArgs& args) noexcept;

}  // namespace ktx::ops
