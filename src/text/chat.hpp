// Chat formats: conversations as the text, or the ids, that a model was trained on.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ktx/tokenizer.hpp"
#include "text/tokenizer.hpp"

namespace ktx::text {

/// Where a format puts what the system says.
enum class SystemPlace {
  in_order,       // a turn like any other
  before_all,     // all of it before the first turn, joined by empty lines
  in_first_user,  // at the head of the first user's turn
};

/// A format with the model's own spelling of bos and eos filled in. The texts of the formats follow
/// the chat templates that the models were published with.
struct ChatFormat {
  std::string name;
  std::string bos;  // before all; empty: none
  std::string system_prefix, system_suffix;
  std::string user_prefix, user_suffix;
  std::string assistant_prefix;
  std::string end;        // the token that ends a reply
  std::string after_end;  // text between it and the next turn
  std::string opening;    // what asks for a reply: the generation prompt
  SystemPlace system = SystemPlace::in_order;
  bool trim = false;            // white space around contents is dropped
  bool drop_reasoning = false;  // of replies given, all up to </think> is dropped
  bool drop_newlines = false;   // and the newlines after it
  std::string
      default_system;  // used when the conversation does not begin with the system; or empty
};

/// The format that the model's chat template spells out; without a template, the one whose special
/// tokens are in the vocabulary; nothing when none is recognised.
std::optional<ChatFormat> detect_chat_format(const Tokenizer& tokenizer);

/// The same from a template and the two tokens' texts.
std::optional<ChatFormat> detect_chat_format(std::string_view chat_template, std::string_view bos,
                                             std::string_view eos);

/// The names of all formats.
std::vector<std::string> chat_format_names();

/// The conversation as text; with `opening`, ready for the assistant to answer.
///
/// render(m[0..n]) begins render(m[0..n+1]) unless m[n] is by the system and the format moves it;
/// and render(m, true) + reply + end is render(m + reply) but for formats that drop reasoning or
/// put a space before replies (which is dropped from the content that gets one). Throws input error
/// when a format that puts the system's words in the first user's turn has none.
std::string render(const ChatFormat& format, std::span<const ChatMessage> messages, bool opening);

/// The conversation as ids. Only the format's own markers become special tokens: what a message's
/// content spells stays text.
std::vector<int32_t> encode_chat(const Tokenizer& tokenizer, const ChatFormat& format,
                                 std::span<const ChatMessage> messages, bool opening = true);

}  // namespace ktx::text
