// What GPU kernels refuse, told on the CPU.
#include "ops/cuda/refusals.hpp"

#include "catch.hpp"

using namespace ktx;
using quant::Format;

TEST_CASE("what no GPU kernel can multiply by is refused with a reason") {
  CHECK(ops::cuda::matmul_refusal(Format::q4_k, 7168, 2048).empty());
  CHECK(ops::cuda::matmul_refusal(Format::iq3_s, 7168, 2048).empty());
  CHECK(ops::cuda::matmul_refusal(Format::bf16, 7168, 2040) ==
        "needs columns in multiples of 32, not 2040");
  CHECK(ops::cuda::matmul_refusal(Format::f32, 8, int64_t{1} << 40) == "takes no rows that long");
  CHECK(ops::cuda::matmul_refusal(Format::bf16, int64_t{1} << 25, 64) ==
        "takes no more than 16777216 rows");
}

TEST_CASE("experts that reads no are refused with a reason") {
  CHECK(ops::cuda::moe_refusal(Format::q4_k, Format::q6_k, 7168, 2048).empty());
  CHECK(ops::cuda::moe_refusal(Format::q4_k, Format::f16, 7168, 2048) == "reads no experts in f16");
  CHECK(ops::cuda::moe_refusal(Format::q4_k, Format::iq1_s, 7168, 2048) ==
        "reads no experts in iq1_s");
  CHECK(ops::cuda::moe_refusal(Format::int8, Format::int8, 7168, 2040) ==
        "needs columns in multiples of 32, not 2040");
}

TEST_CASE("embeddings, latent attention and routers that no GPU kernel runs") {
  CHECK(ops::cuda::embedding_refusal(Format::q4_k).empty());
  CHECK(ops::cuda::embedding_refusal(Format::iq1_s) == "reads no rows of iq1_s");
  CHECK(ops::cuda::mla_refusal(128, 512).empty());
  CHECK(ops::cuda::mla_refusal(100, 512) == "needs heads in multiples of 8, not 100");
  CHECK(ops::cuda::mla_refusal(128, 500) == "needs latents in multiples of 8, not 500");
  CHECK(ops::cuda::mla_refusal(128, 1024) == "keeps at most 512 latents a token, not 1024");
  CHECK(ops::cuda::router_refusal(256, 7168).empty());
  CHECK(ops::cuda::router_refusal(2000, 7168) == "chooses among at most 1024 experts, not 2000");
  CHECK(ops::cuda::router_refusal(256, 7166) == "needs columns in multiples of 4, not 7166");
}
