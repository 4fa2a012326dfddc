// GPTQ's and AWQ's matrices, which are stored transposed: a block of rows is gathered from all
// columns.
#include <array>

#include "core/base/error.hpp"
#include "loader/assembly_parts.hpp"

namespace ktx::loader {

namespace {

// AWQ puts the numbers of eight rows into a word in this order, low bits first.
constexpr std::array<int, 8> awq_order{0, 4, 1, 5, 2, 6, 3, 7};

class PackedColumnsRows final : public Assembly {
 public:
  explicit PackedColumnsRows(PackedColumns columns)
      : c_(std::move(columns)), p_(c_.parts), per_word_(32 / p_.bits) {
    format_ = c_.symmetric && !c_.ordered ? symmetric_format(p_.bits, p_.group, p_.scales.type)
                                          : quant::Format::f32;
  }

  quant::Format format() const noexcept override { return format_; }

  // Rows begin and end at whole words where several share one.
  size_t scratch_bytes(int64_t first, int64_t rows) const override {
    const int64_t wide = words_of(first, rows) * per_word_;
    size_t bytes = ScratchPieces::slack + ScratchPieces::padded(out_bytes(rows)) +
                   ScratchPieces::padded(static_cast<size_t>(p_.cols * wide)) +  // codes
                   2 * ScratchPieces::padded(static_cast<size_t>(groups() * wide) * 4) +
                   ScratchPieces::padded(static_cast<size_t>(p_.cols) * 4);
    size_t most = 0;  // of one read: its scratch is used again
    for (const StoredRows* part : {&p_.numbers, &p_.scales.at, &*p_.zeros})
      most = std::max(most, part->file->scratch_bytes(part->range.offset, row_segment(wide)));
    if (p_.order) most = std::max(most, ScratchPieces::read_bytes(*p_.order, 0, 1));
    return bytes + ScratchPieces::padded(most);
  }

  const std::byte* rows(int64_t first, int64_t rows, std::span<std::byte> scratch) const override;

  std::vector<FileRange> ranges() const override {
    std::vector<FileRange> all{p_.numbers.range, p_.scales.at.range, p_.zeros->range};
    if (p_.order) all.push_back(p_.order->range);
    return all;
  }

 private:
  size_t out_bytes(int64_t rows) const {
    return static_cast<size_t>(rows * quant::row_bytes(format_, p_.cols));
  }
  int64_t groups() const { return (p_.cols + p_.group - 1) / p_.group; }
  int64_t words_of(int64_t first, int64_t rows) const {
    return (first + rows + per_word_ - 1) / per_word_ - first / per_word_;
  }
  static size_t row_segment(int64_t rows) { return static_cast<size_t>(rows) * 4; }

  // Bytes [begin, begin + size) of a stored row.
  static const std::byte* segment(const StoredRows& part, int64_t row, uint64_t begin, size_t size,
                                  std::span<std::byte> scratch) {
    return part.file->read(part.range.offset + static_cast<uint64_t>(row) * part.row_bytes + begin,
                           size, scratch);
  }

  unsigned number(uint32_t word, int64_t position) const {
    const int shift =
        static_cast<int>(c_.along_columns ? position : awq_order[static_cast<size_t>(position)]);
    return word >> shift * p_.bits & ((1u << p_.bits) - 1);
  }

  // Numbers that lie `per_word` rows to a word: those of one stored row.
  void unpack_across(const std::byte* words, int64_t first, int64_t rows, auto&& put) const {
    const int64_t before = first % per_word_;
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t at = before + r;
      put(r, number(load<uint32_t>(words, at / per_word_), at % per_word_));
    }
  }

  void read_codes(int64_t first, int64_t rows, uint8_t* codes, std::span<std::byte> scratch) const;
  void read_groups(int64_t first, int64_t rows, float* scales, int* zeros,
                   std::span<std::byte> scratch) const;
  void check_symmetric(const int* zeros, int64_t count) const;
  [[noreturn]] void fail(const std::string& message) const {
    throw_input("tensor '" + p_.name + "': " + message, p_.where);
  }

  PackedColumns c_;
  const PackedParts& p_;
  int64_t per_word_;
  quant::Format format_;
};

// codes: [rows, cols].
void PackedColumnsRows::read_codes(int64_t first, int64_t rows, uint8_t* codes,
                                   std::span<std::byte> scratch) const {
  if (c_.along_columns) {
    for (int64_t w = 0; w < p_.cols / per_word_; ++w) {
      const std::byte* words =
          segment(p_.numbers, w, static_cast<uint64_t>(first) * 4, row_segment(rows), scratch);
      for (int64_t r = 0; r < rows; ++r) {
        const auto word = load<uint32_t>(words, r);
        for (int64_t i = 0; i < per_word_; ++i)
          codes[r * p_.cols + w * per_word_ + i] = static_cast<uint8_t>(number(word, i));
      }
    }
    return;
  }
  const auto begin = static_cast<uint64_t>(first / per_word_) * 4;
  const size_t size = static_cast<size_t>(words_of(first, rows)) * 4;
  for (int64_t c = 0; c < p_.cols; ++c)
    unpack_across(
        segment(p_.numbers, c, begin, size, scratch), first, rows,
        [&](int64_t r, unsigned code) { codes[r * p_.cols + c] = static_cast<uint8_t>(code); });
}

// scales, zeros: [rows, groups].
void PackedColumnsRows::read_groups(int64_t first, int64_t rows, float* scales, int* zeros,
                                    std::span<std::byte> scratch) const {
  const size_t each = scale_bytes(p_.scales.type);
  const auto begin = static_cast<uint64_t>(first / per_word_) * 4;
  const size_t size = static_cast<size_t>(words_of(first, rows)) * 4;
  for (int64_t g = 0; g < groups(); ++g) {
    const std::byte* of_group = segment(p_.scales.at, g, static_cast<uint64_t>(first) * each,
                                        static_cast<size_t>(rows) * each, scratch);
    for (int64_t r = 0; r < rows; ++r)
      scales[r * groups() + g] = scale_at(p_.scales.type, of_group, r);
    unpack_across(segment(*p_.zeros, g, begin, size, scratch), first, rows,
                  [&](int64_t r, unsigned zero) {
                    zeros[r * groups() + g] = static_cast<int>(zero) + c_.zero_offset;
                  });
  }
}

void PackedColumnsRows::check_symmetric(const int* zeros, int64_t count) const {
  const int half = 1 << (p_.bits - 1);
  for (int64_t i = 0; i < count; ++i)
    if (zeros[i] != half)
      fail("a zero of " + std::to_string(zeros[i]) +
           " where quantization_config says 'sym': " + "expected " + std::to_string(half));
}

const std::byte* PackedColumnsRows::rows(int64_t first, int64_t rows,
                                         std::span<std::byte> scratch) const {
  ScratchPieces pieces(scratch);
  std::byte* const made = pieces.take(out_bytes(rows));
  if (rows == 0) return made;
  const auto wide = static_cast<size_t>(words_of(first, rows) * per_word_);
  const auto per_row = static_cast<size_t>(groups());
  auto* codes = reinterpret_cast<uint8_t*>(pieces.take(static_cast<size_t>(p_.cols) * wide));
  auto* scales = reinterpret_cast<float*>(pieces.take(per_row * wide * 4));
  auto* zeros = reinterpret_cast<int*>(pieces.take(per_row * wide * 4));
  auto* group_of = reinterpret_cast<int32_t*>(pieces.take(static_cast<size_t>(p_.cols) * 4));
  const auto left = scratch.subspan(static_cast<size_t>(pieces.take(0) - scratch.data()));
  read_codes(first, rows, codes, left);
  read_groups(first, rows, scales, zeros, left);
  const std::byte* order = p_.order ? segment(*p_.order, 0, 0, p_.order->row_bytes, left) : nullptr;
  for (int64_t c = 0; c < p_.cols; ++c) {
    const auto plain = static_cast<int32_t>(c / p_.group);
    group_of[c] = order != nullptr ? load<int32_t>(order, c) : plain;
    if (group_of[c] < 0 || group_of[c] >= groups() || (!c_.ordered && group_of[c] != plain))
      fail("column " + std::to_string(c) + " is of group " + std::to_string(group_of[c]) + " of " +
           std::to_string(groups()) + " (desc_act?)");
  }
  if (c_.symmetric) check_symmetric(zeros, rows * groups());
  std::byte* out = made;
  for (int64_t r = 0; r < rows; ++r) {
    const float* scale = scales + r * groups();
    for (int64_t c = 0; c < p_.cols; c += quant::info(format_).block) {
      const uint8_t* at = codes + r * p_.cols + c;
      const int32_t g = group_of[c];
      if (format_ == quant::Format::f32) {
        const float weight = scale[g] * static_cast<float>(*at - zeros[r * groups() + g]);
        std::memcpy(out, &weight, sizeof weight);
        out += sizeof weight;
      } else {
        const uint16_t bits = p_.scales.type == ScaleType::f16 ? quant::f32_to_f16(scale[g])
                                                               : quant::f32_to_bf16(scale[g]);
        out = write_block(bits, at, quant::info(format_).block, out);
      }
    }
  }
  return made;
}

}  // namespace

std::shared_ptr<const Assembly> assemble_packed_columns(const PackedColumns& columns) {
  return std::make_shared<PackedColumnsRows>(columns);
}

}  // namespace ktx::loader
