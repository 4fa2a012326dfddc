// Finds the chat templates in a model's files.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"

namespace ktx::text {

struct NamedTemplate {
  std::string name;  // "default", "tool_use", ...
  std::string source, where;
};

/// Chat templates and special tokens from a model's files.
struct ChatFiles {
  std::vector<NamedTemplate> templates;
  Json special_tokens = Json::object();  // by their names in templates: bos_token, eos_token, ...
};

/// Of a Hugging Face directory, with its tokenizer_config.json or null. If several templates have
/// the same name, the first of these wins: chat_template.jinja,
/// additional_chat_templates/NAME.jinja, the text or list in tokenizer_config.json,
/// chat_template.json, assets/chat_template.jinja. Throws input error when one of them is
/// malformed.
ChatFiles chat_files_of_directory(const std::filesystem::path& directory,
                                  const Json& tokenizer_config);

/// Of GGUF metadata: tokenizer.chat_template and tokenizer.chat_template.NAME.
ChatFiles chat_files_of_gguf(const Json& metadata, const std::string& where);

/// The first of that name, else the first "default"; null when there is none.
const NamedTemplate* find_template(const std::vector<NamedTemplate>& templates,
                                   std::string_view name);

}  // namespace ktx::text
