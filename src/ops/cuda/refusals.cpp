// What the GPU kernels cannot run.
#include "ops/cuda/refusals.hpp"

#include <tuple>

#include "core/graph/op.hpp"
#include "ops/matmul/cuda/few_rows_index.hpp"
#include "ops/matmul/layout_x16.hpp"

namespace ktx::ops::cuda {

using quant::Format;

namespace {

std::string no_multiple(const char* what, int64_t count, int64_t unit) {
  return "needs " + std::string(what) + " in multiples of " + std::to_string(unit) + ", not " +
         std::to_string(count);
}

}  // namespace

std::string matmul_refusal(Format format, int64_t rows, int64_t cols) {
  const auto x16 = x16_format(format);
  if (!x16) return "reads no " + std::string(quant::name(format));
  if (cols % 32 != 0) return no_multiple("columns", cols, 32);
  if (x16_group_bytes(*x16, cols) > INT32_MAX) return "takes no rows that long";
  if (rows > int64_t{1} << 24) return "takes no more than 16777216 rows";
  return {};
}

std::string moe_refusal(Format gate_up, Format down, int64_t hidden, int64_t intermediate) {
  for (const auto& [format, rows, cols] :
       {std::tuple{gate_up, intermediate, hidden}, std::tuple{down, hidden, intermediate}}) {
    if (std::string reason = matmul_refusal(format, rows, cols); !reason.empty()) return reason;
    if (!has_few_rows(*x16_format(format)))
      return "reads no experts in " + std::string(quant::name(format));
  }
  return {};
}

std::string embedding_refusal(Format format) {
  switch (format) {
    case Format::f32:
    case Format::f16:
    case Format::bf16:
    case Format::fp8:
    case Format::int8:
    case Format::int8_32:
    case Format::int8_64:
    case Format::int8_128:
    case Format::int4_32:
    case Format::int4_64:
    case Format::int4_128:
    case Format::q4_0:
    case Format::q8_0:
    case Format::q4_k:
    case Format::q5_k:
    case Format::q6_k:
      return {};
    default:
      return "reads no rows of " + std::string(quant::name(format));
  }
}

std::string mla_refusal(int64_t nope, int64_t kv_lora) {
  constexpr int64_t most_latents = 512;
  if (nope % 8 != 0) return no_multiple("heads", nope, 8);
  if (kv_lora % 8 != 0) return no_multiple("latents", kv_lora, 8);
  if (kv_lora > most_latents)
    return "keeps at most " + std::to_string(most_latents) + " latents a token, not " +
           std::to_string(kv_lora);
  return {};
}

std::string router_refusal(int64_t experts, int64_t hidden) {
  if (experts > graph::max_selected)
    return "chooses among at most " + std::to_string(graph::max_selected) + " experts, not " +
           std::to_string(experts);
  if (hidden % 4 != 0) return no_multiple("columns", hidden, 4);
  return {};
}

}  // namespace ktx::ops::cuda
