// compressed-tensors' pack-quantized matrices: numbers packed along rows, low bits first.
#include "core/base/error.hpp"
#include "loader/assembly_parts.hpp"

namespace ktx::loader {

namespace {

class PackedRows final : public Assembly {
 public:
  explicit PackedRows(PackedParts parts) : p_(std::move(parts)) {
    const bool plain = !p_.zeros && !p_.order;
    format_ = plain ? symmetric_format(p_.bits, p_.group, p_.scales.type) : quant::Format::f32;
  }

  quant::Format format() const noexcept override { return format_; }

  size_t scratch_bytes(int64_t first, int64_t rows) const override {
    size_t bytes = ScratchPieces::slack + ScratchPieces::padded(out_bytes(rows)) +
                   ScratchPieces::padded(static_cast<size_t>(p_.cols)) +
                   ScratchPieces::read_bytes(p_.numbers, first, rows) +
                   ScratchPieces::read_bytes(p_.scales.at, first, rows);
    if (p_.zeros)
      bytes += ScratchPieces::read_bytes(*p_.zeros, zero_row(first), zero_rows(first, rows));
    if (p_.order) bytes += ScratchPieces::read_bytes(*p_.order, 0, 1);
    return bytes;
  }

  const std::byte* rows(int64_t first, int64_t rows, std::span<std::byte> scratch) const override {
    ScratchPieces pieces(scratch);
    std::byte* const made = pieces.take(out_bytes(rows));
    if (rows == 0) return made;
    auto* const codes = reinterpret_cast<uint8_t*>(pieces.take(static_cast<size_t>(p_.cols)));
    const std::byte* numbers = pieces.read(p_.numbers, first, rows);
    const std::byte* scales = pieces.read(p_.scales.at, first, rows);
    const std::byte* zeros =
        p_.zeros ? pieces.read(*p_.zeros, zero_row(first), zero_rows(first, rows)) : nullptr;
    const std::byte* order = p_.order ? pieces.read(*p_.order, 0, 1) : nullptr;
    std::byte* out = made;
    for (int64_t row = first; row < first + rows; ++row) {
      unpack(numbers, codes);
      if (format_ == quant::Format::f32)
        out = float_row(codes, scales, zeros, order, row, zero_row(first), out);
      else
        out = write_row(format_, codes, p_.cols, scales, p_.group, out);
      numbers += p_.numbers.row_bytes;
      scales += p_.scales.at.row_bytes;
    }
    return made;
  }

  std::vector<FileRange> ranges() const override {
    std::vector<FileRange> all{p_.numbers.range, p_.scales.at.range};
    for (const auto& part : {p_.zeros, p_.order})
      if (part) all.push_back(part->range);
    return all;
  }

 private:
  size_t out_bytes(int64_t rows) const {
    return static_cast<size_t>(rows * quant::row_bytes(format_, p_.cols));
  }
  int64_t zero_row(int64_t row) const { return row * p_.bits / 32; }
  int64_t zero_rows(int64_t first, int64_t rows) const {
    return rows == 0 ? 0 : zero_row(first + rows - 1) + 1 - zero_row(first);
  }

  void unpack(const std::byte* numbers, uint8_t* codes) const {
    if (p_.bits == 8) {
      std::memcpy(codes, numbers, static_cast<size_t>(p_.cols));
      return;
    }
    unpack_nibbles(numbers, p_.cols, codes);
  }

  // The zero of a group: numbers of consecutive rows share a word.
  int zero_of(const std::byte* zeros, int64_t row, int64_t first_zero_row, int64_t group) const {
    if (zeros == nullptr) return 1 << (p_.bits - 1);
    const std::byte* words =
        zeros + (zero_row(row) - first_zero_row) * static_cast<int64_t>(p_.zeros->row_bytes);
    const uint32_t word = load<uint32_t>(words, group);
    return static_cast<int>(word >> row * p_.bits % 32 & ((1u << p_.bits) - 1));
  }

  std::byte* float_row(const uint8_t* codes, const std::byte* scales, const std::byte* zeros,
                       const std::byte* order, int64_t row, int64_t first_zero_row,
                       std::byte* out) const {
    for (int64_t c = 0; c < p_.cols; ++c, out += sizeof(float)) {
      const int64_t group = order != nullptr ? load<int32_t>(order, c) : c / p_.group;
      if (group < 0 || group >= p_.scales.columns)
        throw_input("tensor '" + p_.name + "': column " + std::to_string(c) + " is of group " +
                        std::to_string(group) + ", of " + std::to_string(p_.scales.columns),
                    p_.where);
      const int number = codes[c] - zero_of(zeros, row, first_zero_row, group);
      const float weight = scale_at(p_.scales.type, scales, group) * static_cast<float>(number);
      std::memcpy(out, &weight, sizeof weight);
    }
    return out;
  }

  PackedParts p_;
  quant::Format format_;
};

}  // namespace

std::shared_ptr<const Assembly> assemble_packed_rows(const PackedParts& parts) {
  return std::make_shared<PackedRows>(parts);
}

}  // namespace ktx::loader
