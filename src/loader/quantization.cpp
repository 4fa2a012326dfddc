// quantization_config, in the spellings of its makers.
#include "loader/quantization.hpp"

#include <optional>

#include "core/base/error.hpp"
#include "core/base/text.hpp"

namespace ktx::loader {

namespace {

// A member, or null.
const Json& member(const Json& object, const char* key) {
  static const Json none;
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() ? *found : none;
}

// Published under these names; that of a language model may be inside its own configuration.
const Json& find_section(const Json& config) {
  for (const Json* place : {&config, &member(config, "text_config")})
    for (const char* key : {"quantization_config", "compression_config"})
      if (const Json& found = member(*place, key); found.is_object()) return found;
  return member(config, "quantization_config");
}

class Reader {
 public:
  Reader(const Json& section, std::string where) : section_(section), where_(std::move(where)) {}

  Quantization read() {
    const std::string method = text("quant_method", "");
    if (method == "fp8" || method == "fbgemm_fp8") {
      read_fp8();
    } else if (method == "compressed-tensors") {
      read_compressed_tensors();
    } else if (method == "gptq") {
      q_.method = Quantization::Method::gptq;
      read_bits(section_, "bits");
      q_.symmetric = flag("sym", true);
      q_.ordered = flag("desc_act", false);
      q_.zeros_less_one = text("checkpoint_format", "gptq") != "gptq_v2";
    } else if (method == "awq") {
      q_.method = Quantization::Method::awq;
      read_bits(section_, member(section_, "w_bit").is_null() ? "bits" : "w_bit");
      const std::string version = text("version", "gemm");
      if (version != "gemm" && version != "GEMM") fail("version", "\"gemm\"");
      if (q_.bits != 4) fail("bits", "4");
    } else {
      fail("quant_method", "\"fp8\", \"compressed-tensors\", \"gptq\" or \"awq\"");
    }
    return q_;
  }

 private:
  [[noreturn]] void fail(const std::string& key, const std::string& expected) const {
    const Json& found = member(section_, key.c_str());
    throw_input("quantization_config." + key + ": ktx reads " + expected + ", found " +
                    base::shortened(base::dump_json(found), 80),
                where_);
  }
  std::string text(const char* key, const std::string& otherwise) const {
    const Json& value = member(section_, key);
    return value.is_string() ? value.get<std::string>() : otherwise;
  }
  bool flag(const char* key, bool otherwise) const {
    const Json& value = member(section_, key);
    return value.is_boolean() ? value.get<bool>() : otherwise;
  }

  void read_bits(const Json& object, const char* key) {
    const Json& bits = member(object, key);
    if (bits != 4 && bits != 8) fail(key, "4 or 8");
    q_.bits = bits.get<int>();
  }

  void read_block(const Json& block, const char* key) {
    if (block.is_null()) return;
    const bool two = block.is_array() && block.size() == 2 && block[0].is_number_unsigned() &&
                     block[1].is_number_unsigned() && block[0] > 0 && block[1] > 0;
    if (!two || block[0] > (1 << 30) || block[1] > (1 << 30)) fail(key, "two sizes of a block");
    q_.block_rows = block[0].get<int64_t>();
    q_.block_cols = block[1].get<int64_t>();
  }

  void read_fp8() {
    q_.method = Quantization::Method::fp8;
    if (text("fmt", "e4m3") != "e4m3") fail("fmt", "\"e4m3\"");
    read_block(member(section_, "weight_block_size"), "weight_block_size");
  }

  void read_compressed_tensors() {
    const std::string format = text("format", "");
    if (format == "float-quantized" || format == "naive-quantized") {
      q_.method = Quantization::Method::fp8;
    } else if (format == "pack-quantized") {
      q_.method = Quantization::Method::packed;
    } else if (format == "mxfp4-pack-quantized") {
      q_.method = Quantization::Method::mxfp4;
      return;
    } else {
      fail("format",
           "\"float-quantized\", \"naive-quantized\", \"pack-quantized\" or "
           "\"mxfp4-pack-quantized\"");
    }
    std::optional<int> bits;
    for (const auto& group : member(section_, "config_groups").items()) {
      const Json& weights = member(group.value(), "weights");
      if (q_.method == Quantization::Method::fp8) {
        read_block(member(weights, "block_structure"), "config_groups");
        continue;
      }
      if (member(weights, "type") == "float") fail("config_groups", "weights of type \"int\"");
      read_bits(weights, "num_bits");
      if (bits && *bits != q_.bits) fail("config_groups", "groups of the same num_bits");
      bits = q_.bits;
    }
  }

  const Json& section_;
  std::string where_;
  Quantization q_;
};

}  // namespace

std::string to_text(const Quantization& q) {
  return "method " + std::to_string(static_cast<int>(q.method)) + " block " +
         std::to_string(q.block_rows) + " x " + std::to_string(q.block_cols) + " bits " +
         std::to_string(q.bits) + (q.symmetric ? " symmetric" : "") +
         (q.ordered ? " ordered" : "") + (q.zeros_less_one ? " zeros less one" : "");
}

Quantization read_quantization(const Json& config, const std::string& where) {
  const Json& section = find_section(config);
  return section.is_null() ? Quantization() : Reader(section, where).read();
}

}  // namespace ktx::loader
