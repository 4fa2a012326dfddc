// Tensors that are made from several of a file's.
#include "loader/composed.hpp"

#include <map>

#include "catch.hpp"

namespace ktx::loader {
namespace {

// Bytes that nobody reads.
class NoBytes final : public base::ByteSource {
 public:
  uint64_t size() const noexcept override { return 0; }
  size_t scratch_bytes(uint64_t, size_t) const noexcept override { return 0; }
  const std::byte* read(uint64_t, size_t, std::span<std::byte>) const override { return nullptr; }
  std::string stamp() const override { return ""; }
};
const NoBytes nothing;

struct Header {
  std::map<std::string, FoundTensor> tensors;

  Header& add(const std::string& name, const std::string& dtype, std::vector<int64_t> shape) {
    tensors[name] = {0, &nothing, "w.safetensors", {name, dtype, std::move(shape), 0, 0}};
    return *this;
  }
  std::optional<Composed> of(const std::string& name, const Quantization& quantization = {}) const {
    return compose(
        tensors.at(name),
        [this](const std::string& part) {
          const auto found = tensors.find(part);
          return found == tensors.end() ? nullptr : &found->second;
        },
        quantization);
  }
};

// Of FP8 codes [130, 200] with such scales: the format, or the problem.
std::string fp8_with(const std::string& dtype, std::vector<int64_t> shape,
                     const Quantization& quantization = {}) {
  Header h;
  h.add("w.weight", "F8_E4M3", {130, 200}).add("w.weight_scale", dtype, std::move(shape));
  const auto composed = h.of("w.weight", quantization);
  CHECK(composed->parts == std::vector<std::string>{"w.weight", "w.weight_scale"});
  return composed->tensor ? std::string(quant::name(composed->tensor->meta.format))
                          : composed->problem;
}

TEST_CASE("FP8 with scales of any float type and block") {
  CHECK(fp8_with("F32", {2, 2}) == "fp8");
  CHECK(fp8_with("BF16", {130, 1}) == "fp8");
  CHECK(fp8_with("F16", {130}) == "fp8");
  CHECK(fp8_with("F32", {}) == "fp8");
  CHECK(fp8_with("F8_E8M0", {1}) == "fp8");
  Quantization small;
  small.block_rows = small.block_cols = 64;
  CHECK(fp8_with("F8_E8M0", {3, 4}, small) == "f32");
  small.block_cols = 256;
  CHECK(fp8_with("BF16", {3, 1}, small) == "fp8");
  const std::string problem =
      "is F8_E4M3 [130, 200] with scales that do not fit it: tensor "
      "'w.weight_scale' (";
  CHECK(fp8_with("F32", {2, 3}) == problem + "F32 [2, 3])");
  CHECK(fp8_with("I32", {2, 2}) == problem + "I32 [2, 2])");
  Header alone;
  alone.add("w.weight", "F8_E4M3", {8, 8}).add("v.weight", "F8_E4M3", {8});
  CHECK(alone.of("w.weight")->problem ==
        "is F8_E4M3 [8, 8] without its scales: expected tensor 'w.weight_scale_inv' or "
        "'w.weight_scale'");
  CHECK(alone.of("v.weight")->problem == "is F8_E4M3 [8]; ktx reads F8_E4M3 matrices");
}

Header packed(const std::string& scales, std::vector<int64_t> shape) {
  Header h;
  h.add("w.weight_packed", "I32", {16, 16}).add("w.weight_scale", scales, std::move(shape));
  return h.add("w.weight_shape", "I32", {2});
}

TEST_CASE("compressed-tensors: symmetric groups keep their bits") {
  Quantization q;
  q.method = Quantization::Method::packed;
  const auto format = [&](const Header& h) {
    const auto composed = h.of("w.weight_packed", q);
    CHECK(composed->name == "w.weight");
    if (!composed->tensor) return composed->problem;
    CHECK(composed->tensor->meta.shape == std::vector<int64_t>{16, 128});
    return std::string(quant::name(composed->tensor->meta.format));
  };
  CHECK(format(packed("BF16", {16, 4})) == "int4/32");
  CHECK(format(packed("BF16", {16, 2})) == "int4/64");
  CHECK(format(packed("BF16", {16, 1})) == "int4/128");
  CHECK(format(packed("F16", {16, 2})) == "q4_0");
  CHECK(format(packed("F32", {16, 4})) == "f32");
  CHECK(format(packed("BF16", {16, 8})) == "f32");  // groups of 16
  CHECK(format(packed("BF16", {16, 4}).add("w.weight_zero_point", "I32", {2, 4})) == "f32");
  CHECK(format(packed("BF16", {16, 4}).add("w.weight_zero_point", "I32", {4, 2})) ==
        "has zeros that do not fit it: tensor 'w.weight_zero_point' (I32 [4, 2])");
  CHECK(format(packed("BF16", {8, 4})) ==
        "has scales that do not fit it: tensor 'w.weight_scale' (BF16 [8, 4])");
  q.method = Quantization::Method::none;
  CHECK(format(packed("BF16", {16, 4})) ==
        "is packed in tensor 'w.weight_packed', but quantization_config does not say so");
}

TEST_CASE("compressed-tensors: mxfp4") {
  Quantization q;
  q.method = Quantization::Method::mxfp4;
  const auto format = [&](std::vector<int64_t> codes, const std::string& type,
                          std::vector<int64_t> scales) {
    Header h;
    h.add("w.weight_packed", "U8", std::move(codes)).add("w.weight_scale", type, std::move(scales));
    const auto composed = h.of("w.weight_packed", q);
    CHECK(composed->name == "w.weight");
    if (!composed->tensor) return composed->problem;
    CHECK(composed->tensor->meta.shape == std::vector<int64_t>{16, 128});
    return std::string(quant::name(composed->tensor->meta.format));
  };
  CHECK(format({16, 64}, "U8", {16, 4}) == "mxfp4");
  CHECK(format({16, 64}, "F8_E8M0", {16, 4}) == "mxfp4");
  CHECK(format({16, 64}, "BF16", {16, 4}) ==
        "has scales that do not fit it: tensor 'w.weight_scale' (BF16 [16, 4])");
  CHECK(format({16, 64}, "U8", {16, 8}) ==
        "has scales that do not fit it: tensor 'w.weight_scale' (U8 [16, 8])");
  CHECK(
      format({16, 60}, "U8", {16, 4}) ==
      "is packed in tensor 'w.weight_packed' (U8 [16, 60]); ktx reads U8 matrices of whole groups");
}

TEST_CASE("GPTQ and AWQ") {
  const auto columns = [](std::vector<int64_t> words, std::vector<int64_t> zeros) {
    Header h;
    h.add("w.qweight", "I32", std::move(words)).add("w.qzeros", "I32", std::move(zeros));
    return h.add("w.scales", "F16", {2, 16}).add("w.g_idx", "I32", {128});
  };
  const auto format = [](const Header& h, const Quantization& q) {
    const auto composed = h.of("w.qweight", q);
    CHECK(composed->name == "w.weight");
    return composed->tensor ? std::string(quant::name(composed->tensor->meta.format))
                            : composed->problem;
  };
  Quantization q;
  q.method = Quantization::Method::gptq;
  q.symmetric = true;
  const Header gptq = columns({16, 16}, {2, 2});
  CHECK(gptq.of("w.qweight", q)->tensor->meta.shape == std::vector<int64_t>{16, 128});
  CHECK(format(gptq, q) == "q4_0");
  q.ordered = true;
  CHECK(format(gptq, q) == "f32");
  CHECK(format(columns({16, 16}, {2, 3}), q) ==
        "has no zeros that fit it: expected tensor 'w.qzeros' (I32 [2, 2])");
  q.method = Quantization::Method::awq;
  const Header awq = columns({128, 2}, {2, 2});
  CHECK(awq.of("w.qweight", q)->tensor->meta.shape == std::vector<int64_t>{16, 128});
  CHECK(format(awq, q) == "f32");
}

TEST_CASE("any other tensor is made from nothing else") {
  Header h;
  h.add("w.weight", "BF16", {2, 2});
  CHECK_FALSE(h.of("w.weight").has_value());
}

}  // namespace
}  // namespace ktx::loader
