// ktx::Tokenizer and ktx::TextStream over src/text.
#include "ktx/tokenizer.hpp"

#include <utility>

#include "core/base/error.hpp"
#include "loader/checkpoint.hpp"
#include "text/chat.hpp"
#include "text/detokenizer.hpp"
#include "text/tokenizer.hpp"

namespace ktx {

struct Tokenizer::State {
  text::Tokenizer tokenizer;
  std::optional<text::ChatFormat> chat;
};

struct TextStream::State {
  std::shared_ptr<const Tokenizer::State> keep;  // the detokenizer points into it
  text::Detokenizer detokenizer;
};

Tokenizer Tokenizer::open(const std::filesystem::path& path) {
  const auto files = loader::read_tokenizer_files(path);
  auto tokenizer = files.gguf.is_null()
                       ? text::Tokenizer::from_tokenizer_json(
                             files.tokenizer,
                             files.tokenizer_config.is_null() ? nullptr : &files.tokenizer_config,
                             (path / "tokenizer.json").string())
                       : text::Tokenizer::from_gguf(files.gguf, path.string());
  auto chat = text::detect_chat_format(tokenizer);
  return Tokenizer(std::make_shared<const State>(State{std::move(tokenizer), std::move(chat)}));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool parse_special) const {
  return state_->tokenizer.encode(text, parse_special);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool with_special) const {
  text::Detokenizer detokenizer(state_->tokenizer, {.print_special = with_special});
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
  return state_->tokenizer.stop_ids();
}

std::optional<std::string> Tokenizer::chat_format() const {
  if (!state_->chat) return std::nullopt;
  return state_->chat->name;
}

std::vector<int32_t> Tokenizer::encode_chat(const std::vector<ChatMessage>& messages) const {
  if (!state_->chat)
    throw_input("the model has no chat format that ktx knows", {},
                {"known: the formats of DeepSeek-V2, V3 and R1, ChatML, Llama-3, Mixtral"});
  return text::encode_chat(state_->tokenizer, *state_->chat, messages);
}

TextStream::TextStream(const Tokenizer& tokenizer, bool with_special)
    : state_(std::make_unique<State>(State{
          tokenizer.share_state(),
          text::Detokenizer(tokenizer.state().tokenizer, {.print_special = with_special})})) {}
TextStream::~TextStream() = default;
TextStream::TextStream(TextStream&&) noexcept = default;

std::string TextStream::push(int32_t id) {
  return state_->detokenizer.push(id);
}
std::string TextStream::finish() {
  return state_->detokenizer.finish();
}

}  // namespace ktx
