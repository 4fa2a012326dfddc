// e4m3 codes with scales of any float type and block shape.
#include "core/quant/blocks.hpp"
#include "core/quant/fp8.hpp"
#include "loader/assembly_parts.hpp"

namespace ktx::loader {

namespace {

constexpr int64_t fp8_block = 128;  // columns of a scale in quant::Format::fp8

int64_t blocks_of(int64_t n, int64_t block) {
  return (n + block - 1) / block;
}

class Fp8Rows final : public Assembly {
 public:
  explicit Fp8Rows(const Fp8Parts& parts) : p_(parts) {
    const bool is_blocked = p_.block_cols % fp8_block == 0 || p_.block_cols >= p_.cols;
    format_ = is_blocked ? quant::Format::fp8 : quant::Format::f32;
  }

  quant::Format format() const noexcept override { return format_; }

  size_t scratch_bytes(int64_t first, int64_t rows) const override {
    return ScratchPieces::slack + ScratchPieces::padded(out_bytes(rows)) +
           ScratchPieces::read_bytes(p_.codes, first, rows) +
           ScratchPieces::read_bytes(p_.scales.at, scale_row(first), scale_rows(first, rows));
  }

  const std::byte* rows(int64_t first, int64_t rows, std::span<std::byte> scratch) const override {
    ScratchPieces pieces(scratch);
    std::byte* const made = pieces.take(out_bytes(rows));
    if (rows == 0) return made;
    const std::byte* codes = pieces.read(p_.codes, first, rows);
    const std::byte* scales = pieces.read(p_.scales.at, scale_row(first), scale_rows(first, rows));
    std::byte* out = made;
    for (int64_t row = first; row < first + rows; ++row, codes += p_.cols) {
      const int64_t scale = (scale_row(row) - scale_row(first)) * p_.scales.columns;
      out = format_ == quant::Format::fp8 ? blocked_row(codes, scales, scale, out)
                                          : float_row(codes, scales, scale, out);
    }
    return made;
  }

  std::vector<FileRange> ranges() const override { return {p_.codes.range, p_.scales.at.range}; }

 private:
  size_t out_bytes(int64_t rows) const {
    return static_cast<size_t>(rows * quant::row_bytes(format_, p_.cols));
  }
  // The row of scales of a row of codes: outer dimensions (experts) have matrices of their own.
  int64_t scale_row(int64_t row) const {
    return row / p_.matrix_rows * blocks_of(p_.matrix_rows, p_.block_rows) +
           row % p_.matrix_rows / p_.block_rows;
  }
  int64_t scale_rows(int64_t first, int64_t rows) const {
    return rows == 0 ? 0 : scale_row(first + rows - 1) + 1 - scale_row(first);
  }

  std::byte* blocked_row(const std::byte* codes, const std::byte* scales, int64_t scale,
                         std::byte* out) const {
    for (int64_t c = 0; c < p_.cols; c += fp8_block, out += sizeof(quant::BlockFp8)) {
      quant::BlockFp8 block{};
      block.scale = scale_at(p_.scales.type, scales, scale + c / p_.block_cols);
      std::memcpy(block.q, codes + c, static_cast<size_t>(std::min(fp8_block, p_.cols - c)));
      std::memcpy(out, &block, sizeof block);
    }
    return out;
  }

  std::byte* float_row(const std::byte* codes, const std::byte* scales, int64_t scale,
                       std::byte* out) const {
    for (int64_t c = 0; c < p_.cols; ++c, out += sizeof(float)) {
      const float weight = scale_at(p_.scales.type, scales, scale + c / p_.block_cols) *
                           quant::e4m3_values[static_cast<size_t>(codes[c])];
      std::memcpy(out, &weight, sizeof weight);
    }
    return out;
  }

  Fp8Parts p_;
  quant::Format format_;
};

}  // namespace

std::shared_ptr<const Assembly> assemble_fp8(const Fp8Parts& parts) {
  return std::make_shared<Fp8Rows>(parts);
}

}  // namespace ktx::loader
