// The table of attention kernels.
#include "ops/attention/attention.hpp"

#include "catch.hpp"
#include "ops/matmul/matmul.hpp"

using namespace ktx;

TEST_CASE("attention kernels: the table is ordered, ref last, and found by name") {
  const auto table = ops::attention_kernels();
  REQUIRE(table.back().name == "ref");
  REQUIRE(table.back().isa == hw::Isa::scalar);
  for (size_t i = 1; i < table.size(); ++i) CHECK(table[i].isa < table[i - 1].isa);
  for (const ops::AttentionKernel& kernel : table) {
    CHECK(ops::find_attention_kernel(kernel.name) == &kernel);
    CHECK(&ops::best_attention_kernel(kernel.isa) == &kernel);
  }
  CHECK(ops::find_attention_kernel("avx1024") == nullptr);
}

TEST_CASE("attention kernels: tiles from AVX-512 BF16 on, on the loops of AVX-512") {
  CHECK(ops::best_attention_kernel(hw::Isa::avx512_vbmi).tiles == nullptr);
  for (const hw::Isa isa : {hw::Isa::avx512_bf16, hw::Isa::amx_bf16}) {
    const auto& kernel = ops::best_attention_kernel(isa);
    CHECK(kernel.name == (isa == hw::Isa::amx_bf16 ? "amx" : "avx512_bf16"));
    CHECK(kernel.tiles != nullptr);
    CHECK(kernel.functions == ops::find_attention_kernel("avx512")->functions);
  }
}
