// Built-in chat formats: conversations as the text, or token ids, that a model was trained on.
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

/// Where a format puts the system message.
enum class SystemPlace {
  in_order,       // a turn like any other
  before_all,     // all of it before the first turn, joined by empty lines
  in_first_user,  // at the head of the first user's turn
};

/// A format, with the model's spelling of bos and eos. The formats follow the chat templates that
/// the models were published with.
struct ChatFormat {
  std::string name;
  std::string bos;  // before all; empty: none
  std::string system_prefix, system_suffix;
  std::string user_prefix, user_suffix;
  std::string assistant_prefix;
  std::string end;        // the token that ends a reply
  std::string after_end;  // text between it and the next turn
  std::string opening;    // the generation prompt, which asks for a reply
  SystemPlace system = SystemPlace::in_order;
  bool trim = false;            // drop white space around contents
  bool drop_reasoning = false;  // drop everything up to </think> from earlier replies
  bool drop_newlines = false;   // and the newlines after it
  std::string
      default_system;  // used if the conversation has no system message at its beginning; or empty
};

/// The format that matches the model's chat template; without a template, the one whose special
/// tokens are in the vocabulary; nothing when none is recognised.
std::optional<ChatFormat> detect_chat_format(const Tokenizer& tokenizer);

/// The same from a template and the two tokens' texts.
std::optional<ChatFormat> detect_chat_format(std::string_view chat_template, std::string_view bos,
                                             std::string_view eos);

/// The names of all formats.
std::vector<std::string> chat_format_names();

/// The conversation as text; with `opening`, ready for the assistant to answer.
///
/// render(m[0..n]) is a prefix of render(m[0..n+1]) unless m[n] is a system message that the format
/// moves; and render(m, true) + reply + end equals render(m + reply), except for formats that drop
/// reasoning or put a space before replies (which is dropped from the content that gets one).
/// Throws input error when a format that puts the system message into the first user's turn finds
/// no such turn.
std::string render(const ChatFormat& format, std::span<const ChatMessage> messages, bool opening);

/// The conversation as ids. Only the format's own markers become special tokens: what a message's
/// content spells stays text.
std::vector<int32_t> encode_chat(const Tokenizer& tokenizer, const ChatFormat& format,
                                 std::span<const ChatMessage> messages, bool opening = true);

}  // namespace ktx::text
