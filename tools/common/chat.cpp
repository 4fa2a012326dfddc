// The chat loop: each turn gives the session only what it has not seen yet.
#include "tools/common/chat.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "ktx/error.hpp"
#include "tools/common/files.hpp"
#include "tools/common/thinking.hpp"

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

// Has the template begun the reasoning that the answer goes on with?
bool prompt_begins_thinking(const Tokenizer& tokenizer, std::span<const int32_t> prompt) {
  constexpr size_t last = 8;  // tokens that spell <think> and a line end, if they are many
  return begins_thinking(
      tokenizer.decode(prompt.last(std::min(last, prompt.size())), /*with_special=*/true));
}

std::string answer(Session& session, const Tokenizer& tokenizer,
                   const std::vector<ChatMessage>& messages, const GenerationOptions& options,
                   const ChatOptions& chat_options) {
  TextStream stream(tokenizer, {.begins = true});
  const auto ids = tokenizer.encode_chat(messages, chat_options);
  Thinking thinking(isatty(STDOUT_FILENO) != 0, prompt_begins_thinking(tokenizer, ids));
  std::string text;
  const auto emit = [&](const std::string& piece) {
    text += piece;
    print(thinking.push(piece));
  };
  const auto prompt = unseen(session, ids);
  const auto result = generate(session, prompt, generate_options(options, tokenizer),
                               [&](int32_t id) { emit(stream.push(id)); });
  emit(stream.finish());
  print(thinking.finish() + "\n");
  report(result, true);
  return text;
}

// "/experts 6", or "/experts" for the plan's own number. The conversation is read anew: answers are
// those of a run that had this number from its start.
void set_experts(const std::string& line, Session& session, const Engine& engine,
                 GenerationOptions& options) {
  const std::string number = line.substr(std::string("/experts").size());
  int count = 0;
  const char* begin = number.c_str() + std::min<size_t>(1, number.size());
  const char* end = number.c_str() + number.size();
  const auto [stop, error] = std::from_chars(begin, end, count);
  const bool none = number.empty();
  if (engine.max_experts_per_token() == 0) {
    std::fprintf(stderr, "/experts: the model has no routed experts\n");
    return;
  }
  if (!none && (number.front() != ' ' || error != std::errc{} || stop != end || count < 1 ||
                count > engine.max_experts_per_token())) {
    std::fprintf(stderr, "/experts: expected 1 to %d, found '%s'\n", engine.max_experts_per_token(),
                 begin);
    return;
  }
  options.experts_per_token = count;
  session.rewind(0);
  std::fprintf(stderr, "%s experts a token\n", none ? "the plan's" : std::to_string(count).c_str());
}

}  // namespace

void add_chat_options(CLI::App& app, ChatOptions& options) {
  app.add_option("--chat-template,--template", options.chat_template,
                 "a Jinja template instead of the model's own")
      ->type_name("FILE")
      ->check(CLI::ExistingFile);
  app.add_option_function<std::string>(
         "--tools", [&options](const std::string& file) { options.tools = read_file(file); },
         "what the model may call, for its template: a JSON array")
      ->type_name("FILE");
  app.add_option_function<std::vector<std::string>>(
         "--set",
         [&options](const std::vector<std::string>& all) {
           for (const auto& one : all) {
             const size_t equals = one.find('=');
             if (equals == 0 || equals == std::string::npos)
               throw CLI::ValidationError("--set", "expected NAME=JSON, found '" + one + "'");
             options.variables.emplace_back(one.substr(0, equals), one.substr(equals + 1));
           }
         },
         "a variable of the chat template: enable_thinking=false; may be repeated")
      ->type_name("NAME=JSON")
      ->allow_extra_args(false);
}

std::string require_chat_format(const Tokenizer& tokenizer, const ChatOptions& options) {
  if (!options.chat_template.empty()) return "chat template of " + options.chat_template.string();
  const auto format = tokenizer.chat_format();
  if (!format)
    throw Error(ErrorCategory::input,
                "the model has no chat template, and no format that ktx knows", "ktx-run",
                {"give a template: --chat-template FILE",
                 "give --prompt without --chat to complete a text"});
  if (!tokenizer.chat_warning().empty()) warn(tokenizer.chat_warning());
  return *format;
}

std::vector<ChatMessage> opening(const std::string& system) {
  if (system.empty()) return {};
  return {{ChatMessage::Role::system, system}};
}

void chat(Engine& engine, GenerationOptions options, const std::string& system,
          const ChatOptions& chat_options) {
  const auto& tokenizer = engine.tokenizer();
  const auto format = require_chat_format(tokenizer, chat_options);
  Session session(engine);
  auto messages = opening(system);
  std::fprintf(stderr,
               "%s; /reset forgets the conversation, /experts N sets the experts a "
               "token, /exit or Ctrl-D ends\n",
               format.c_str());
  for (std::string line;;) {
    std::fprintf(stderr, "> ");
    if (!std::getline(std::cin, line) || line == "/exit") break;
    if (line.empty()) continue;
    if (line == "/reset") {
      messages = opening(system);
      continue;
    }
    if (line == "/experts" || line.starts_with("/experts ")) {
      set_experts(line, session, engine, options);
      continue;
    }
    messages.push_back({ChatMessage::Role::user, line});
    try {
      messages.push_back({ChatMessage::Role::assistant,
                          answer(session, tokenizer, messages, options, chat_options)});
    } catch (const Error& e) {  // e.g. the cache is too short for this turn: the chat goes on
      if (e.category() != ErrorCategory::input) throw;
      std::fprintf(stderr, "%s\n  note: /reset forgets the conversation\n", e.what());
      messages.pop_back();
    }
  }
}

}  // namespace ktx::tools
