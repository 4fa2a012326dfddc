// What a checkpoint's files say of generation.
#include "engine/generation_defaults.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>

#include "core/base/log.hpp"
#include "text/fields.hpp"

namespace ktx::engine {

namespace {

// Tokens that end a turn in the templates of published models.
constexpr std::string_view turn_ends[] = {
    "<|im_end|>",    "<|eot_id|>", "<|eom_id|>", "<|eot|>", "<|end|>",
    "<end_of_turn>", "<|return|>", "[EOS]",      "</s>",    "<|im_assistant_end|>"};

void add(std::vector<int32_t>& ids, int32_t id) {
  if (std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
}

// One id or a list of them.
void add_eos(const Json& config, const std::string& where, int32_t vocabulary,
             std::vector<int32_t>& ids) {
  constexpr const char* key = "eos_token_id";
  if (config.is_null()) return;
  const Json* eos = text::member(text::expect_object(config, "the file", where), key);
  if (eos == nullptr) return;
  if (eos->is_array()) text::expect_at_most(limits::end_tokens, eos->size(), key, where);
  for (const auto& value : eos->is_array() ? *eos : Json::array({*eos})) {
    const int32_t id = text::expect_id(value, key, where);
    if (id < vocabulary)
      add(ids, id);
    else
      base::log(LogLevel::warning, where + ": 'eos_token_id' " + std::to_string(id) +
                                       " is outside of the vocabulary of " +
                                       std::to_string(vocabulary) + ": ignored");
  }
}

std::optional<float> number(const Json& object, const char* key, double lowest, double highest) {
  const Json* value = object.is_object() ? text::member(object, key) : nullptr;
  if (value == nullptr || !value->is_number()) return std::nullopt;
  const double found = value->get<double>();
  if (!(found >= lowest && found <= highest)) return std::nullopt;
  return static_cast<float>(found);
}

}  // namespace

std::vector<int32_t> end_tokens(const text::Tokenizer& tokenizer, const Json& generation_config,
                                const Json& config, const std::string& where) {
  auto ids = tokenizer.stop_ids();
  const int32_t vocabulary = tokenizer.vocab_size();
  add_eos(generation_config, where + "/generation_config.json", vocabulary, ids);
  add_eos(config, where + "/config.json", vocabulary, ids);
  if (const Json* part = config.is_object() ? text::member(config, "text_config") : nullptr)
    add_eos(*part, where + "/config.json", vocabulary, ids);
  if (const auto& chat = tokenizer.chat_template())
    for (const std::string_view end : turn_ends)
      if (chat->find(end) != std::string::npos)
        if (const auto id = tokenizer.added_token(end)) add(ids, *id);
  return ids;
}

SamplingDefaults sampling_defaults(const loader::TensorSource& source) {
  const bool gguf = source.kind() == loader::CheckpointKind::gguf;
  const Json& from = gguf ? source.config() : source.generation_config();
  const auto name = [&](const char* hugging_face, const char* in_gguf) {
    return gguf ? in_gguf : hugging_face;
  };
  SamplingDefaults out;
  const Json* samples = !gguf && from.is_object() ? text::member(from, "do_sample") : nullptr;
  if (samples != nullptr && *samples == false) return out;
  out.temperature = number(from, name("temperature", "general.sampling.temp"), 0, 100);
  out.top_p = number(from, name("top_p", "general.sampling.top_p"), 1e-9, 1);
  out.min_p = number(from, name("min_p", "general.sampling.min_p"), 0, 1);
  out.repetition_penalty =
      number(from, name("repetition_penalty", "general.sampling.penalty_repeat"), 1e-9, 100);
  if (!gguf) {  // whose header has no such keys
    out.frequency_penalty = number(from, "frequency_penalty", -100, 100);
    out.presence_penalty = number(from, "presence_penalty", -100, 100);
  }
  if (const auto k = number(from, name("top_k", "general.sampling.top_k"), 0, 1 << 24))
    out.top_k = static_cast<int>(std::lround(*k));
  return out;
}

}  // namespace ktx::engine
