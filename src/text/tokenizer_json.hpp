// Reads Hugging Face's tokenizer.json and tokenizer_config.json.
#pragma once

#include <string>

#include "core/base/json.hpp"
#include "text/tokenizer.hpp"

namespace ktx::text {

/// All that the file says; bos, eos and the chat template stand elsewhere. Throws input error for
/// what is malformed or of a kind that is not supported.
TokenizerParts read_tokenizer_json(const Json& tokenizer_json, const std::string& where);

/// bos, eos and the chat template, from a tokenizer_config.json that belongs to the parts. `where`
/// is its file. Throws input error.
void read_tokenizer_config(const Json& config, const Json& tokenizer_json, TokenizerParts& parts,
                           const std::string& where);

}  // namespace ktx::text
