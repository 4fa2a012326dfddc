// A KV cache's row: what it stores per token and layer, and in which formats.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace ktx::graph {

/// A row: `scaled` numbers, of which in fp8 each `group` shares a scale, then `exact` numbers,
/// which fp8 stores as bf16.
///   MLA: kv_lora latents in groups of 128, then the rope numbers of the key, rotated.
///   GQA: the keys of all kv_heads, rotated, then the values of all kv_heads; a head is a group.
struct KvRow {
  int64_t scaled = 0, group = 1, exact = 0;

  constexpr int64_t numbers() const noexcept { return scaled + exact; }
  bool operator==(const KvRow&) const = default;
};

/// How rows are stored: one number after another. fp8: the e4m3 codes of the scaled numbers, one
/// f32 scale per group, then the exact numbers as bf16 (the layout of FlashMLA's fp8 cache: 656
/// bytes for 512 + 64 numbers).
enum class KvFormat : uint8_t { f32, bf16, fp8 };

struct KvFormatInfo {
  KvFormat format;
  std::string_view name;  // in rules: cache: {format: bf16}
  std::string_view doc;
};
std::span<const KvFormatInfo> kv_formats() noexcept;
const KvFormatInfo& info(KvFormat format) noexcept;
std::optional<KvFormat> find_kv_format(std::string_view name) noexcept;

/// Bytes of one row.
int64_t row_bytes(KvFormat format, const KvRow& row) noexcept;

/// Tokens per page, the unit in which sequences get cache memory.
constexpr int64_t page_tokens = 64;

/// Pages needed for that many tokens.
constexpr int64_t pages_of(int64_t tokens) noexcept {
  return (tokens + page_tokens - 1) / page_tokens;
}

}  // namespace ktx::graph
