// Composed tensors are known by the names that their makers give the parts.
#include "loader/composed.hpp"

#include <utility>

#include "loader/tensor_shape.hpp"

namespace ktx::loader {

namespace {

std::string described(const FoundTensor& tensor) {
  return "tensor '" + tensor.entry.name + "' (" + tensor.entry.dtype + " " +
         shape_text(tensor.entry.shape) + ")";
}

std::optional<ScaleType> scale_type(const std::string& dtype) {
  if (dtype == "F32") return ScaleType::f32;
  if (dtype == "F16") return ScaleType::f16;
  if (dtype == "BF16") return ScaleType::bf16;
  if (dtype == "F8_E8M0") return ScaleType::e8m0;
  return std::nullopt;
}

// The rows of a part: all dimensions but the last are one.
StoredRows rows_of(const FoundTensor& tensor, int64_t rows) {
  const uint64_t bytes = tensor.entry.size;
  return {tensor.bytes,
          {tensor.file, tensor.entry.offset, bytes},
          rows == 0 ? 0 : bytes / static_cast<uint64_t>(rows)};
}

int64_t blocks_of(int64_t n, int64_t block) {
  return (n + block - 1) / block;
}

std::string without(const std::string& text, std::string_view end) {
  return text.substr(0, text.size() - end.size());
}

class Composer {
 public:
  Composer(const FoundTensor& first, const FindTensor& find, const Quantization& quantization)
      : first_(first), find_(find), quantization_(quantization) {
    out_.parts = {first.entry.name};
  }

  std::optional<Composed> run() {
    const auto& [name, dtype, shape, offset, size] = first_.entry;
    if (dtype == "F8_E4M3") {
      out_.name = name;
      compose_fp8(shape);
    } else if (name.ends_with(".weight_packed")) {
      out_.name = without(name, "_packed");
      if (quantization_.method == Quantization::Method::mxfp4)
        compose_mxfp4();
      else
        compose_packed();
    } else if (name.ends_with(".qweight")) {
      out_.name = without(name, "qweight") + "weight";
      compose_columns();
    } else {
      return std::nullopt;
    }
    return std::move(out_);
  }

 private:
  // A part, or null.
  const FoundTensor* part(const std::string& name) {
    const FoundTensor* found = find_(name);
    if (found != nullptr) out_.parts.push_back(name);
    return found;
  }
  void fail(std::string problem) { out_.problem = std::move(problem); }
  void finish(std::vector<int64_t> shape, std::shared_ptr<const Assembly> assembly) {
    out_.tensor.emplace();
    out_.tensor->meta = {out_.name, assembly->format(), std::move(shape), first_.where};
    out_.tensor->assembly = std::move(assembly);
  }

  void compose_fp8(const std::vector<int64_t>& shape) {
    if (shape.size() < 2)
      return fail("is F8_E4M3 " + shape_text(shape) + "; ktx reads F8_E4M3 matrices");
    const FoundTensor* scales = part(out_.name + "_scale_inv");
    if (scales == nullptr) scales = part(out_.name + "_scale");
    if (scales == nullptr)
      return fail("is F8_E4M3 " + shape_text(shape) + " without its scales: expected tensor '" +
                  out_.name + "_scale_inv' or '" + out_.name + "_scale'");
    const auto type = scale_type(scales->entry.dtype);
    Fp8Parts p;
    p.matrix_rows = shape[shape.size() - 2];
    p.cols = shape.back();
    const auto weights = *count_weights(shape);
    if (weights == 0) return fail("is empty");
    const int64_t rows = weights / p.cols, count = rows / p.matrix_rows;
    const auto scale_shape = block_scale_shape(scales->entry.shape, count, p);
    if (!type || !scale_shape)
      return fail("is F8_E4M3 " + shape_text(shape) +
                  " with scales that do not fit it: " + described(*scales));
    p.codes = rows_of(first_, rows);
    p.scales = {rows_of(*scales, count * scale_shape->first), *type, scale_shape->second};
    finish(shape, assemble_fp8(p));
  }

  // Rows and columns of scales of a matrix, and so the block: one scale for all, one a row, or one
  // for every block of the configuration's size (128 x 128 when it has none).
  std::optional<std::pair<int64_t, int64_t>> block_scale_shape(const std::vector<int64_t>& shape,
                                                               int64_t count, Fp8Parts& p) const {
    const int64_t scales = *count_weights(shape);
    const bool given = quantization_.block_rows > 0;
    p.block_rows = given ? quantization_.block_rows : 128;
    p.block_cols = given ? quantization_.block_cols : 128;
    const int64_t rows = blocks_of(p.matrix_rows, p.block_rows),
                  cols = blocks_of(p.cols, p.block_cols);
    if (shape.size() >= 2 && shape.back() == cols && scales == count * rows * cols)
      return std::pair(rows, cols);
    p.block_cols = p.cols;
    p.block_rows = scales == count ? p.matrix_rows : 1;
    if (scales == count) return std::pair<int64_t, int64_t>(1, 1);
    if (scales == count * p.matrix_rows) return std::pair<int64_t, int64_t>(p.matrix_rows, 1);
    return std::nullopt;
  }

  void compose_mxfp4() {
    constexpr int64_t codes_a_byte = 2, group = 32;
    const auto& [name, dtype, shape, offset, size] = first_.entry;
    if (dtype != "U8" || shape.size() != 2 || *count_weights(shape) == 0 ||
        shape[1] % (group / codes_a_byte) != 0)
      return fail("is packed in " + described(first_) + "; ktx reads U8 matrices of whole groups");
    const FoundTensor* scales = part(out_.name + "_scale");
    if (scales == nullptr) return fail("is packed without its scales");
    const int64_t cols = shape[1] * codes_a_byte;
    const bool exponents = scales->entry.dtype == "U8" || scales->entry.dtype == "F8_E8M0";
    if (!exponents || scales->entry.shape != std::vector<int64_t>{shape[0], cols / group})
      return fail("has scales that do not fit it: " + described(*scales));
    finish({shape[0], cols},
           assemble_mxfp4({rows_of(first_, shape[0]), rows_of(*scales, shape[0]), cols}));
  }

  // Name, place and scales that all packed tensors have; false when something is wrong.
  bool read_packed(const FoundTensor* scales, PackedParts& p) {
    const auto type = scales == nullptr ? std::nullopt : scale_type(scales->entry.dtype);
    p.name = out_.name;
    p.where = first_.where;
    p.bits = quantization_.bits;
    if (first_.entry.dtype != "I32" || first_.entry.shape.size() != 2 ||
        *count_weights(first_.entry.shape) == 0) {
      fail("is packed in " + described(first_) + "; ktx reads I32 matrices");
    } else if (scales == nullptr) {
      fail("is packed without its scales");
    } else if (!type || scales->entry.shape.size() != 2 ||
               *count_weights(scales->entry.shape) == 0) {
      fail("has scales that do not fit it: " + described(*scales));
    } else {
      p.scales.type = *type;
      p.scales.columns = scales->entry.shape[1];
      p.scales.at = rows_of(*scales, scales->entry.shape[0]);
      return true;
    }
    return false;
  }

  bool is_method(Quantization::Method a, Quantization::Method b) {
    if (quantization_.method == a || quantization_.method == b) return true;
    fail("is packed in tensor '" + first_.entry.name +
         "', but quantization_config does not say so");
    return false;
  }

  void compose_packed() {
    const std::string stem = out_.name;
    const FoundTensor* scales = part(stem + "_scale");
    part(stem + "_shape");
    using enum Quantization::Method;
    PackedParts p;
    if (!is_method(packed, packed) || !read_packed(scales, p)) return;
    const int64_t per_word = 32 / p.bits;
    p.rows = first_.entry.shape[0];
    p.cols = first_.entry.shape[1] * per_word;
    p.group = blocks_of(p.cols, p.scales.columns);
    p.numbers = rows_of(first_, p.rows);
    if (scales->entry.shape[0] != p.rows || p.cols % p.scales.columns != 0)
      return fail("has scales that do not fit it: " + described(*scales));
    if (const FoundTensor* zeros = part(stem + "_zero_point")) {
      const std::vector<int64_t> expected{blocks_of(p.rows, per_word), p.scales.columns};
      if (zeros->entry.dtype != "I32" || zeros->entry.shape != expected)
        return fail("has zeros that do not fit it: " + described(*zeros));
      p.zeros = rows_of(*zeros, expected[0]);
    }
    if (!read_order(stem + "_g_idx", p)) return;
    finish({p.rows, p.cols}, assemble_packed_rows(p));
  }

  void compose_columns() {
    const std::string stem = without(out_.name, "weight");
    const FoundTensor* scales = part(stem + "scales");
    const FoundTensor* zeros = part(stem + "qzeros");
    using enum Quantization::Method;
    PackedColumns c;
    PackedParts& p = c.parts;
    if (!is_method(gptq, awq) || !read_packed(scales, p)) return;
    const int64_t per_word = 32 / p.bits;
    c.along_columns = quantization_.method == gptq;
    c.zero_offset = c.along_columns && quantization_.zeros_less_one ? 1 : 0;
    c.symmetric = c.along_columns && quantization_.symmetric;
    c.ordered = c.along_columns && quantization_.ordered;
    p.cols = first_.entry.shape[0] * (c.along_columns ? per_word : 1);
    p.rows = first_.entry.shape[1] * (c.along_columns ? 1 : per_word);
    p.numbers = rows_of(first_, first_.entry.shape[0]);
    const int64_t groups = scales->entry.shape[0];
    p.group = blocks_of(p.cols, groups);
    if (p.scales.columns != p.rows || p.cols % groups != 0)
      return fail("has scales that do not fit it: " + described(*scales));
    const std::vector<int64_t> expected{groups, p.rows / per_word};
    if (zeros == nullptr || zeros->entry.dtype != "I32" || zeros->entry.shape != expected ||
        p.rows % per_word != 0)
      return fail("has no zeros that fit it: expected tensor '" + stem + "qzeros' (I32 " +
                  shape_text(expected) + ")");
    p.zeros = rows_of(*zeros, groups);
    if (!read_order(stem + "g_idx", p)) return;
    finish({p.rows, p.cols}, assemble_packed_columns(c));
  }

  bool read_order(const std::string& name, PackedParts& p) {
    const FoundTensor* order = part(name);
    if (order == nullptr) return true;
    if (order->entry.dtype != "I32" || *count_weights(order->entry.shape) != p.cols) {
      fail("has groups that do not fit it: " + described(*order));
      return false;
    }
    p.order = rows_of(*order, 1);
    return true;
  }

  const FoundTensor& first_;
  const FindTensor& find_;
  const Quantization& quantization_;
  Composed out_;
};

}  // namespace

std::optional<Composed> compose(const FoundTensor& first, const FindTensor& find,
                                const Quantization& quantization) {
  return Composer(first, find, quantization).run();
}

}  // namespace ktx::loader
