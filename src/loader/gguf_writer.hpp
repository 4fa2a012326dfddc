// Writes the beginning of a GGUF file: metadata and tensor table. The caller writes the tensors'
// data.
#pragma once

#include <span>

#include "core/base/json.hpp"
#include "core/graph/module.hpp"
#include "loader/file_layout.hpp"

namespace ktx::loader {

/// GGUF version 3 (github.com/ggml-org/ggml/blob/master/docs/gguf.md), the tensors in the order
/// given. metadata: an object of key -> text, number, bool, or an array of values of one type. As
/// in published files a whole number is u32 (u64 when it does not fit, i32 in arrays and when
/// negative), any other number f32, and an empty array one of texts. A value that has no such type,
/// a tensor whose format is not GGUF's or does not fit its rows, and equal names are `bug` errors.
FileLayout gguf_layout(const Json& metadata, std::span<const graph::TensorMeta> tensors);

}  // namespace ktx::loader
