// GGUF files written as lines, which mutations leave readable:
//   TYPE KEY VALUE             TYPE: u8 i8 u16 i16 u32 i32 u64 i64 f32 f64 bool str
//   [TYPE KEY VALUE\tVALUE ... an array
//   tensor NAME TYPE DIM ...   ggml's number of the type; dimensions innermost first
// In texts \n stands for a new line. A line of another kind is left out. Data are zeros; more
// than 1 MiB is not there.
#pragma once

#include <string>
#include <string_view>

namespace ktx::fuzz {

std::string gguf_of_lines(std::string_view lines);

}  // namespace ktx::fuzz
