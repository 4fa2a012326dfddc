// Keys of a configuration that the user sets.
#include "loader/overrides.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/text.hpp"

namespace ktx::loader {

namespace {

Json value_of(const std::string& text) {
  Json value = Json::parse(text, nullptr, false);
  return value.is_discarded() ? Json(text) : value;
}

// The place of a key, made where there is none.
Json& place_of(Json& config, const std::string& key, bool nested) {
  const size_t dot = nested ? key.find('.') : std::string::npos;
  if (dot != std::string::npos) {
    const auto section = config.find(key.substr(0, dot));
    if (section != config.end() && section->is_object())
      return place_of(*section, key.substr(dot + 1), nested);
  }
  return config[key];
}

// Keys outside of an architecture's that are read where a header has them: by the tokenizer, and as
// defaults of sampling.
constexpr std::string_view optional_keys[] = {
    "tokenizer.chat_template",         "tokenizer.ggml.add_bos_token",
    "tokenizer.ggml.add_space_prefix", "tokenizer.ggml.bos_token_id",
    "tokenizer.ggml.eom_token_id",     "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.eot_token_id",     "tokenizer.ggml.pre",
    "tokenizer.ggml.unknown_token_id", "general.sampling.temp",
    "general.sampling.top_k",          "general.sampling.top_p",
    "general.sampling.min_p",          "general.sampling.penalty_repeat",
};

// Else nothing would look at it.
void check_gguf_key(const Json& metadata, const std::string& key) {
  const auto architecture = metadata.find("general.architecture");
  if (architecture == metadata.end() || !architecture->is_string()) return;  // no model takes it
  const auto prefix = architecture->get<std::string>() + ".";
  if (metadata.contains(key) || std::ranges::count(optional_keys, key) > 0 ||
      key.starts_with(prefix))
    return;
  std::vector<std::string> names(std::begin(optional_keys), std::end(optional_keys));
  for (const auto& item : metadata.items())
    if (std::ranges::count(optional_keys, item.key()) == 0) names.push_back(item.key());
  auto near = base::nearest(key, names);
  for (const auto& name : base::nearest(prefix + key, names))  // config.json's have no prefix
    if (std::ranges::count(near, name) == 0) near.push_back(name);
  std::vector<std::string> notes;
  if (!near.empty()) notes.push_back("did you mean '" + base::join(near, "' or '") + "'?");
  notes.push_back(
      "keys of GGUF metadata have names of their own, not config.json's; this model's "
      "begin with '" +
      prefix + "': ktx-inspect MODEL --metadata");
  throw_input("the GGUF metadata has no key '" + key + "'", "--override", std::move(notes));
}

}  // namespace

void apply_overrides(Json& config, std::span<const std::string> overrides, CheckpointKind kind) {
  const bool gguf = kind == CheckpointKind::gguf;
  for (const std::string& text : overrides) {
    const size_t sign = text.find('=');
    if (sign == 0 || sign == std::string::npos)
      throw_input("expected KEY=VALUE, found '" + text + "'", "--override");
    const auto key = text.substr(0, sign);
    if (gguf) check_gguf_key(config, key);
    place_of(config, key, !gguf) = value_of(text.substr(sign + 1));
  }
}

}  // namespace ktx::loader
