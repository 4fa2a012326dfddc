// A byte-level vocabulary of any size, so that synthetic checkpoints can read and write text.
#pragma once

#include "core/base/json.hpp"
#include "engine/synth/published.hpp"

namespace ktx::engine {

/// Text is read byte by byte: 256 tokens of a byte each and no merges. The bos and eos tokens have
/// the config's ids; every further token up to vocab_size is a word with its number, " t300".
/// The tokenizer.* keys of GGUF metadata:
Json gguf_vocabulary(const PublishedModel& model, const Json& config);

/// The same as tokenizer.json and tokenizer_config.json.
Json tokenizer_json(const Json& config);
Json tokenizer_config(const PublishedModel& model);

}  // namespace ktx::engine
