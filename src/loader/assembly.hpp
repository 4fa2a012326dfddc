// Tensors whose rows no file holds as ktx takes them: codes here, scales there, or packed along the
// other dimension. Rows are assembled as they are read; what they stand for is never changed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/byte_source.hpp"
#include "core/quant/format.hpp"

namespace ktx::loader {

/// Bytes [offset, offset + size) of the file with that index.
struct FileRange {
  size_t file = 0;
  uint64_t offset = 0, size = 0;
};

/// A tensor of a file, seen as rows that follow one another.
struct StoredRows {
  const base::ByteSource* file = nullptr;
  FileRange range;
  uint64_t row_bytes = 0;
};

/// Floats of a type that scales are stored in.
enum class ScaleType : uint8_t { f32, f16, bf16, e8m0 };
struct StoredScales {
  StoredRows at;
  ScaleType type = ScaleType::f32;
  int64_t columns = 0;  // of a row
};

/// Makes rows of one tensor. All functions may be called from several threads at once.
class Assembly {
 public:
  virtual ~Assembly() = default;

  /// The format of the rows it makes.
  virtual quant::Format format() const noexcept = 0;
  /// Bytes of scratch that rows() needs.
  virtual size_t scratch_bytes(int64_t first_row, int64_t rows) const = 0;
  /// Rows of the format, somewhere in scratch, aligned for any number. Throws input error when the
  /// files' numbers contradict each other, or can't be read.
  virtual const std::byte* rows(int64_t first_row, int64_t rows,
                                std::span<std::byte> scratch) const = 0;
  /// All that it reads.
  virtual std::vector<FileRange> ranges() const = 0;
};

/// e4m3 codes [..., matrix_rows, cols]; a scale for every block_rows x block_cols of a matrix.
struct Fp8Parts {
  StoredRows codes;
  StoredScales scales;
  int64_t matrix_rows = 0, cols = 0;
  int64_t block_rows = 0, block_cols = 0;
};
/// Its rows are fp8, or f32 when a scale holds for no multiple of 128 columns.
std::shared_ptr<const Assembly> assemble_fp8(const Fp8Parts& parts);

/// Codes of e2m1, two a byte, and a power of two (e8m0) for every 32 columns, a multiple of which
/// cols is.
struct Mxfp4Parts {
  StoredRows codes, scales;
  int64_t cols = 0;
};
/// Its rows are mxfp4.
std::shared_ptr<const Assembly> assemble_mxfp4(const Mxfp4Parts& parts);

/// Whole numbers of 4 or 8 bits and a scale for every `group` columns of a row: weight = scale *
/// (number - zero).
struct PackedParts {
  std::string name;  // of the tensor, for messages
  std::string where;
  StoredRows numbers;
  StoredScales scales;
  std::optional<StoredRows> zeros;  // packed as the numbers are; none: half of 2^bits
  std::optional<StoredRows> order;  // i32 [cols]: the group of a column; none: column / group
  int64_t rows = 0, cols = 0, group = 0;
  int bits = 4;
};
/// compressed-tensors' pack-quantized: words of 32 bits along a row, zeros along columns. Symmetric
/// rows of 4 bits are int4/G (bf16 scales) or q4_0 (f16), all others f32.
std::shared_ptr<const Assembly> assemble_packed_rows(const PackedParts& parts);

/// GPTQ and AWQ store the transposed matrix: [cols, rows], scales [groups, rows], zeros [groups,
/// rows].
struct PackedColumns {
  PackedParts parts;
  bool along_columns = true;  // GPTQ: a word holds numbers of one row; AWQ: of one column
  int zero_offset = 0;        // GPTQ's first version stores zeros less one
  bool symmetric = false;     // all zeros are half of 2^bits, as the configuration says
  bool ordered = false;       // `order` is not column / group
};
/// Symmetric rows are int4/G or q4_0 as above, all others f32.
std::shared_ptr<const Assembly> assemble_packed_columns(const PackedColumns& columns);

}  // namespace ktx::loader
