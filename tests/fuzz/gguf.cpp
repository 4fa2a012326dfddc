// GGUF checkpoints: header, tensors, the model and the tokenizer in it.
#include "fuzz/encode_and_decode.hpp"
#include "fuzz/gguf_lines.hpp"
#include "fuzz/model_use.hpp"
#include "fuzz/targets.hpp"
#include "loader/checkpoint.hpp"
#include "loader/files.hpp"
#include "text/chat_template_files.hpp"

namespace ktx::fuzz {

namespace {

void use_texts(const Json& metadata) {
  text::chat_files_of_gguf(metadata, "model.gguf");
  if (metadata.contains("tokenizer.ggml.model"))
    encode_and_decode(text::Tokenizer::from_gguf(metadata, "model.gguf"), sample_text);
}

}  // namespace

void use_gguf(std::string_view input) {
  const loader::TempDir folder;
  const auto file = folder.write(
      "model.gguf", input.starts_with("GGUF") ? std::string(input) : gguf_of_lines(input));
  const auto header = loader::open_checkpoint(file, {.header_only = true});
  use_texts(header->config());
  if (!header->tensors().empty()) use_checkpoint(file);
}

}  // namespace ktx::fuzz
