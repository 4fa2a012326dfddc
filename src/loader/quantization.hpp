// The quantization_config of a config.json: how a checkpoint's weights are quantized.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/json.hpp"

namespace ktx::loader {

struct Quantization {
  enum class Method { none, fp8, packed, gptq, awq, mxfp4 };
  Method method = Method::none;
  /// fp8: rows and columns that share a scale; 0: the scales' shape says it.
  int64_t block_rows = 0, block_cols = 0;
  /// packed, gptq, awq
  int bits = 4;
  /// gptq: all zeros are in the middle; groups are not in the order of columns; zeros are stored
  /// less one
  bool symmetric = false, ordered = false, zeros_less_one = true;
};

/// A text that identifies it.
std::string to_text(const Quantization& quantization);

/// config: the object of config.json. Throws input error when it names a method that ktx doesn't
/// read.
Quantization read_quantization(const Json& config, const std::string& where);

}  // namespace ktx::loader
