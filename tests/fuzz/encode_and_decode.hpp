// Text to ids and back.
#pragma once

#include <string>
#include <string_view>

#include "text/chat.hpp"
#include "text/detokenizer.hpp"
#include "text/tokenizer.hpp"

namespace ktx::fuzz {

/// White space, digits, marks, scripts, special tokens, bytes that are no UTF-8.
inline const std::string sample_text =
    "Hello  world, it's 2024!\r\n\n\t<|im_end|><s> é 漢字 😀 \xff\xc3 ΑΣ ﬁ\u0301 \u00a0 x";

inline void encode_and_decode(const text::Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text);
  tokenizer.encode(text, false);
  tokenizer.decode(ids);
  text::Detokenizer detokenizer(tokenizer, {.print_special = true, .begins = true});
  for (const int32_t id : ids) detokenizer.push(id);
  detokenizer.finish();
  if (const auto format = text::detect_chat_format(tokenizer)) {
    const std::vector<ChatMessage> messages{{ChatMessage::Role::user, std::string(text)}};
    text::encode_chat(tokenizer, *format, messages);
  }
}

}  // namespace ktx::fuzz
