// Generation settings from a checkpoint's files: the tokens that end an answer, and how to sample.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/json.hpp"
#include "ktx/plan.hpp"
#include "loader/checkpoint.hpp"
#include "text/tokenizer.hpp"

namespace ktx::engine {

/// The union of the tokenizer's own end tokens, eos_token_id of generation_config.json and
/// config.json (either may be null), and the end-of-turn tokens that the chat template uses. Ids
/// outside of the vocabulary are skipped with a warning. where: the folder, for messages.
std::vector<int32_t> end_tokens(const text::Tokenizer& tokenizer, const Json& generation_config,
                                const Json& config, const std::string& where);

/// From generation_config.json, or GGUF's general.sampling.*.
SamplingDefaults sampling_defaults(const loader::TensorSource& source);

}  // namespace ktx::engine
