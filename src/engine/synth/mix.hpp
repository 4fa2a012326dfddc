// Mixes: which format each tensor of a published checkpoint has.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/module.hpp"
#include "core/quant/format.hpp"
#include "model/model.hpp"

namespace ktx::engine {

struct Mix {
  std::string_view name, doc;
  quant::Format matrices;   // what most matrices are
  bool gguf, hugging_face;  // which files there are of it
  int file_type;            // GGUF general.file_type
};

std::span<const Mix> mixes();

/// Throws input error for an unknown name, with those there are.
const Mix& find_mix(std::string_view name);

struct Layers {
  int all, dense;  // of all, those without experts, which come first
};

/// The format of a tensor in a GGUF file, as llama.cpp's quantizer chooses it:
/// vectors and routers are f32; q4_k_m takes q6_k for the head, and for a layer's down projections
/// and attn_v in the first and last eighth of the layers and every third one between; mxfp4 is of
/// tensors of three dimensions alone; rows that are not whole blocks of a k-quant take q5_0 for
/// q4_k and q8_0 for q6_k.
///
/// q2_k_xl, iq2_xxs and iq1_s are as Unsloth publishes DeepSeek-R1 (unsloth.ai/blog/
/// deepseekr1-dynamic: 2.51, 2.22 and 1.58 bits): the formats are those that llama.cpp counts when
/// it loads such a file, given to tensors so that the counts come out: attention and embedding have
/// q4_k, dense layers, shared experts and head q6_k. That the files with codebooks have two
/// attention matrices of a layer in q5_k is left out: the counts don't tell which.
quant::Format gguf_format(const Mix& mix, const std::string& tensor,
                          const std::vector<int64_t>& shape, const Layers& layers);

/// The same of a Hugging Face checkpoint, as the models are published: the selection bias is f32;
/// with fp8 embedding, head, norms and routers stay bf16.
quant::Format hugging_face_format(const Mix& mix, const std::string& tensor,
                                  const std::vector<int64_t>& shape);

}  // namespace ktx::engine
