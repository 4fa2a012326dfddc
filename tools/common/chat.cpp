// The chat loop: each turn gives the session only what it has not seen yet.
#include "tools/common/chat.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "ktx/error.hpp"

namespace ktx::tools {

namespace {

// The conversation's ids from where they differ from what the session holds; at least one id.
std::vector<int32_t> unseen(Session& session, const std::vector<int32_t>& ids) {
  const auto seen = session.tokens();
  const auto limit = std::min(seen.size(), ids.size() - 1);
  const auto same = static_cast<size_t>(
      std::mismatch(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(limit), seen.begin()).first -
      ids.begin());
  session.rewind(static_cast<int64_t>(same));
  return {ids.begin() + static_cast<ptrdiff_t>(same), ids.end()};
}

std::string answer(Session& session, const Tokenizer& tokenizer,
                   const std::vector<ChatMessage>& messages, const GenerationOptions& options) {
  TextStream stream(tokenizer);
  std::string text;
  const auto emit = [&text](const std::string& piece) {
    text += piece;
    print(piece);
  };
  const auto prompt = unseen(session, tokenizer.encode_chat(messages));
  const InterruptGuard interrupt(session);
  const auto result =
      session.generate(prompt, generate_options(options, tokenizer), [&](int32_t id) {
        emit(stream.push(id));
        return true;
      });
  emit(stream.finish());
  print("\n");
  report(result);
  return text;
}

}  // namespace

void chat(Engine& engine, const GenerationOptions& options) {
  const auto& tokenizer = engine.tokenizer();
  const auto format = tokenizer.chat_format();
  if (!format)
    throw Error(ErrorCategory::input, "the model has no chat format that ktx knows", "ktx-run",
                {"give --prompt to complete a text"});
  Session session(engine);
  std::vector<ChatMessage> messages;
  std::fprintf(stderr, "chat format %s; /reset forgets the conversation, /exit or Ctrl-D ends\n",
               format->c_str());
  for (std::string line;;) {
    std::fprintf(stderr, "> ");
    if (!std::getline(std::cin, line) || line == "/exit") break;
    if (line.empty()) continue;
    if (line == "/reset") {
      messages.clear();
      continue;
    }
    messages.push_back({ChatMessage::Role::user, line});
    try {
      messages.push_back(
          {ChatMessage::Role::assistant, answer(session, tokenizer, messages, options)});
    } catch (const Error& e) {  // e.g. the cache is too short for this turn: the chat goes on
      if (e.category() != ErrorCategory::input) throw;
      std::fprintf(stderr, "%s\n", e.what());
      messages.pop_back();
    }
  }
}

}  // namespace ktx::tools
