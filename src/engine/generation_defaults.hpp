// What a checkpoint's files say of generation: the tokens that end it, and how to sample.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/json.hpp"
#include "ktx/plan.hpp"
#include "loader/checkpoint.hpp"
#include "text/tokenizer.hpp"

namespace ktx::engine {

/// The union of the tokenizer's own, of eos_token_id in generation_config.json and config.json
/// (either may be null), and of the turn ends that the chat template speaks of. An id outside of
/// the vocabulary can't be sampled: a warning. where: the folder, for messages.
std::vector<int32_t> end_tokens(const text::Tokenizer& tokenizer, const Json& generation_config,
                                const Json& config, const std::string& where);

/// From generation_config.json, or GGUF's general.sampling.*.
SamplingDefaults sampling_defaults(const loader::TensorSource& source);

}  // namespace ktx::engine
