// ktx::Tokenizer and ktx::TextStream over src/text.
#include "ktx/tokenizer.hpp"

#include <algorithm>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/json.hpp"
#include "core/base/log.hpp"
#include "engine/access.hpp"
#include "engine/chat.hpp"
#include "engine/generation_defaults.hpp"
#include "engine/source.hpp"
#include "engine/synth/source.hpp"
#include "loader/checkpoint.hpp"
#include "text/detokenizer.hpp"
#include "text/fields.hpp"
#include "text/stop_strings.hpp"
#include "text/tokenizer.hpp"

namespace ktx {

struct Tokenizer::State {
  text::Tokenizer tokenizer;
  engine::Chat chat;
  std::vector<int32_t> stop_ids;
};

struct TextStream::State {
  std::shared_ptr<const Tokenizer::State> keep;  // the detokenizer points into it
  text::Detokenizer detokenizer;
  text::StopStrings stop;
};

namespace {

Tokenizer make_tokenizer(text::Tokenizer tokenizer, const Json& generation_config,
                         const Json& config, const std::filesystem::path& folder,
                         text::ChatFiles chat_files) {
  engine::Chat chat(tokenizer, std::move(chat_files));
  auto stop_ids = engine::end_tokens(tokenizer, generation_config, config, folder.string());
  if (const auto end = chat.turn_end(tokenizer))
    if (std::find(stop_ids.begin(), stop_ids.end(), *end) == stop_ids.end())
      stop_ids.push_back(*end);
  return engine::Access::tokenizer(std::make_shared<const Tokenizer::State>(
      Tokenizer::State{std::move(tokenizer), std::move(chat), std::move(stop_ids)}));
}

// Without tokenizer_config.json nothing says whether prompts begin with BOS, where the model has
// one.
void say_unknown_bos(const text::Tokenizer& tokenizer, const Json& tokenizer_config,
                     const Json& config, const std::filesystem::path& folder) {
  const Json* bos = config.is_object() ? text::member(config, "bos_token_id") : nullptr;
  if (tokenizer_config.is_null() && bos != nullptr && !tokenizer.add_bos())
    base::log(LogLevel::warning,
              folder.string() +
                  ": no tokenizer_config.json says whether prompts begin with a BOS "
                  "token: none is added");
}

text::Tokenizer from_json(const Json& tokenizer, const Json& config,
                          const std::filesystem::path& file) {
  return text::Tokenizer::from_tokenizer_json(tokenizer, config.is_null() ? nullptr : &config,
                                              file.string());
}

text::Tokenizer from_files(const loader::TokenizerFiles& files) {
  if (!files.gguf.is_null()) return text::Tokenizer::from_gguf(files.gguf, files.file.string());
  if (!files.tokenizer.is_null())
    return from_json(files.tokenizer, files.tokenizer_config, files.file);
  return text::Tokenizer::from_tiktoken(files.tiktoken, files.tokenizer_config,
                                        files.file.string());
}

}  // namespace

Tokenizer Tokenizer::open(const std::filesystem::path& path) {
  if (engine::is_synthetic(path)) return engine::tokenizer_of(*engine::open_source(path));
  const auto files = loader::read_tokenizer_files(path);
  const auto folder = files.file.parent_path();
  return make_tokenizer(from_files(files), files.generation_config, files.config, folder,
                        files.gguf.is_null()
                            ? text::chat_files_of_directory(folder, files.tokenizer_config)
                            : text::chat_files_of_gguf(files.gguf, files.file.string()));
}

Tokenizer engine::tokenizer_of(const loader::TensorSource& source) {
  const auto folder = source.path().parent_path();
  // Some publish GGUF files without a tokenizer and put that of the original model beside them.
  const bool beside = source.kind() == loader::CheckpointKind::gguf &&
                      !source.config().contains("tokenizer.ggml.model") &&
                      std::filesystem::exists(folder / "tokenizer.json");
  if (beside) {
    base::log(LogLevel::warning, source.path().string() + ": has no tokenizer; taken from " +
                                     (folder / "tokenizer.json").string());
    return Tokenizer::open(folder);
  }
  if (source.kind() == loader::CheckpointKind::gguf)
    return make_tokenizer(text::Tokenizer::from_gguf(source.config(), source.path().string()), {},
                          {}, source.path(),
                          text::chat_files_of_gguf(source.config(), source.path().string()));
  if (source.tokenizer().is_null()) return Tokenizer::open(source.path());
  auto tokenizer =
      from_json(source.tokenizer(), source.tokenizer_config(), source.path() / "tokenizer.json");
  say_unknown_bos(tokenizer, source.tokenizer_config(), source.config(), source.path());
  return make_tokenizer(std::move(tokenizer), source.generation_config(), source.config(),
                        source.path(),
                        text::chat_files_of_directory(source.path(), source.tokenizer_config()));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool parse_special) const {
  return state_->tokenizer.encode(text, parse_special);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool with_special) const {
  text::Detokenizer detokenizer(state_->tokenizer, {.print_special = with_special, .begins = true});
  std::string out;
  for (const int32_t id : ids) out += detokenizer.push(id);
  return out + detokenizer.finish();
}

int Tokenizer::vocab_size() const noexcept {
  return state_->tokenizer.vocab_size();
}

std::optional<int32_t> Tokenizer::bos() const noexcept {
  return state_->tokenizer.add_bos() ? state_->tokenizer.bos() : std::nullopt;
}

const std::vector<int32_t>& Tokenizer::stop_ids() const noexcept {
  return state_->stop_ids;
}

std::optional<std::string> Tokenizer::chat_format() const {
  return state_->chat.name();
}

const std::string& Tokenizer::chat_warning() const noexcept {
  return state_->chat.warning();
}

std::string Tokenizer::render_chat(std::string_view messages, const ChatOptions& options) const {
  return state_->chat.render(base::parse_json(messages, "messages"), options);
}

std::vector<int32_t> Tokenizer::encode_chat(const std::vector<ChatMessage>& messages,
                                            const ChatOptions& options) const {
  return state_->chat.encode(state_->tokenizer, engine::to_json(messages), options);
}

std::string render_chat(std::string_view messages, const ChatOptions& options) {
  return engine::render_template(base::parse_json(messages, "messages"), options);
}

TextStream::TextStream(const Tokenizer& tokenizer, TextStreamOptions options)
    : state_(std::make_unique<State>(State{
          tokenizer.state_,
          text::Detokenizer(tokenizer.state_->tokenizer,
                            {.print_special = options.with_special, .begins = options.begins}),
          text::StopStrings(std::move(options.stop))})) {}
TextStream::~TextStream() = default;
TextStream::TextStream(TextStream&&) noexcept = default;

std::string TextStream::push(int32_t id) {
  return state_->stop.push(state_->detokenizer.push(id));
}
std::string TextStream::finish() {
  const std::string last = state_->stop.push(state_->detokenizer.finish());
  return last + state_->stop.finish();
}
bool TextStream::stopped() const noexcept {
  return state_->stop.found();
}

}  // namespace ktx
