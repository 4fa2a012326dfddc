// compressed-tensors' mxfp4-pack-quantized matrices: codes two a byte, the first in the low bits,
// and a power of two for every 32 columns. Rows of mxfp4 have the same numbers, block by block.
#include "loader/assembly_parts.hpp"

namespace ktx::loader {

namespace {

constexpr int64_t block = 32;

class Mxfp4Rows final : public Assembly {
 public:
  explicit Mxfp4Rows(Mxfp4Parts parts) : p_(std::move(parts)) {}

  quant::Format format() const noexcept override { return quant::Format::mxfp4; }

  size_t scratch_bytes(int64_t first, int64_t rows) const override {
    return ScratchPieces::slack + ScratchPieces::padded(out_bytes(rows)) +
           ScratchPieces::read_bytes(p_.codes, first, rows) +
           ScratchPieces::read_bytes(p_.scales, first, rows);
  }

  const std::byte* rows(int64_t first, int64_t rows, std::span<std::byte> scratch) const override {
    ScratchPieces pieces(scratch);
    std::byte* const made = pieces.take(out_bytes(rows));
    if (rows == 0) return made;
    const std::byte* codes = pieces.read(p_.codes, first, rows);
    const std::byte* scales = pieces.read(p_.scales, first, rows);
    std::byte* out = made;
    uint8_t unpacked[block];
    for (int64_t b = 0; b < rows * p_.cols / block; ++b, codes += block / 2) {
      unpack_nibbles(codes, block, unpacked);
      *out++ = scales[b];
      out = write_codes(unpacked, block, out);
    }
    return made;
  }

  std::vector<FileRange> ranges() const override { return {p_.codes.range, p_.scales.range}; }

 private:
  size_t out_bytes(int64_t rows) const {
    return static_cast<size_t>(rows * quant::row_bytes(quant::Format::mxfp4, p_.cols));
  }

  Mxfp4Parts p_;
};

}  // namespace

std::shared_ptr<const Assembly> assemble_mxfp4(const Mxfp4Parts& parts) {
  return std::make_shared<Mxfp4Rows>(parts);
}

}  // namespace ktx::loader
