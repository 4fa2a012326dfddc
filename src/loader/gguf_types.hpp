// GGUF's type codes of metadata values.
#pragma once

#include <cstdint>

namespace ktx::loader {

enum class GgufType : uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  text,
  array,
  u64,
  i64,
  f64
};
inline constexpr uint32_t gguf_types = 13;

}  // namespace ktx::loader
