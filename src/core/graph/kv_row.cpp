// The table of cache formats, and the bytes of a row in each.
#include "core/graph/kv_row.hpp"

#include <algorithm>
#include <array>

namespace ktx::graph {

namespace {

constexpr std::array table{
    KvFormatInfo{KvFormat::f32, "f32",
                 "32-bit floats: exact, twice the memory of bf16; CPUs then attend in floats, not "
                 "on tiles."},
    KvFormatInfo{KvFormat::bf16, "bf16", "bfloat16, the default."},
    KvFormatInfo{KvFormat::fp8, "fp8",
                 "e4m3 with a scale for every 128 latents of MLA or every head of GQA; rotated "
                 "numbers of MLA in bf16."},
};

}  // namespace

std::span<const KvFormatInfo> kv_formats() noexcept {
  return table;
}

const KvFormatInfo& info(KvFormat format) noexcept {
  return table[static_cast<size_t>(format)];
}

std::optional<KvFormat> find_kv_format(std::string_view name) noexcept {
  const auto found = std::ranges::find(table, name, &KvFormatInfo::name);
  if (found == table.end()) return std::nullopt;
  return found->format;
}

int64_t row_bytes(KvFormat format, const KvRow& row) noexcept {
  switch (format) {
    case KvFormat::f32:
      return 4 * row.numbers();
    case KvFormat::bf16:
      return 2 * row.numbers();
    case KvFormat::fp8:
      break;
  }
  return row.scaled + 4 * ((row.scaled + row.group - 1) / row.group) + 2 * row.exact;
}

}  // namespace ktx::graph
