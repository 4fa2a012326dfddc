// The chat loop: each turn gives the session only what it has not seen yet.
#include "tools/common/chat.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "ktx/error.hpp"
#include "tools/common/chat_commands.hpp"
#include "tools/common/conversation.hpp"
#include "tools/common/files.hpp"
#include "tools/common/interrupt.hpp"
#include "tools/common/line_reader.hpp"
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

struct Answer {
  std::string text;
  bool cancelled = false;
};

Answer answer(Session& session, const Tokenizer& tokenizer, const Conversation& conversation,
              const GenerationOptions& options, const ChatOptions& chat_options) {
  TextStream stream(tokenizer, {.begins = true, .stop = options.stop});
  const auto ids = tokenizer.encode_chat(conversation, chat_options);
  Thinking thinking(isatty(STDOUT_FILENO) != 0, prompt_begins_thinking(tokenizer, ids));
  std::string text;
  const auto emit = [&](const std::string& piece) {
    text += piece;
    print(thinking.push(piece));
  };
  const auto prompt = unseen(session, ids);
  const auto result = generate(session, prompt, generate_options(options, tokenizer), stream, emit);
  print(thinking.finish() + "\n");
  report(result, true);
  return {text, result.reason == StopReason::cancelled};
}

class Chat {
 public:
  Chat(Engine& engine, const GenerationOptions& options, const std::string& system,
       const ChatOptions& chat_options)
      : tokenizer_(engine.tokenizer()),
        session_(engine),
        options_(options),
        chat_options_(chat_options),
        state_{.conversation = opening(system),
               .experts_per_token = options.experts_per_token,
               .max_experts = engine.max_experts_per_token()} {}

  bool ended() const { return state_.ended; }

  void command(const std::string& line) {
    try {
      std::fputs(run_command(state_, line).c_str(), stderr);
    } catch (const Error& e) {
      std::fprintf(stderr, "%s\n", e.what());
    }
  }

  void message(const std::string& text) {
    auto& conversation = state_.conversation;
    const auto before = conversation.size();
    if (options_.experts_per_token != state_.experts_per_token) {
      // Read anew: answers are those of a run that had this number from its start.
      options_.experts_per_token = state_.experts_per_token;
      session_.rewind(0);
    }
    conversation.push_back({ChatMessage::Role::user, text});
    try {
      auto reply = answer(session_, tokenizer_, conversation, options_, chat_options_);
      if (reply.cancelled && reply.text.empty())  // as if it had not been asked
        conversation.resize(before);
      else
        conversation.push_back({ChatMessage::Role::assistant, std::move(reply.text)});
    } catch (const Error& e) {  // e.g. the cache is too short for this turn: the chat goes on
      if (e.category() != ErrorCategory::input) throw;
      std::fprintf(stderr, "%s\n  note: /reset forgets the conversation\n", e.what());
      conversation.resize(before);
    }
  }

 private:
  const Tokenizer& tokenizer_;
  Session session_;
  GenerationOptions options_;
  const ChatOptions& chat_options_;
  ChatState state_;
};

}  // namespace

void add_chat_options(CLI::App& app, ChatOptions& options) {
  app.add_option("--chat-template,--template", options.chat_template,
                 "a Jinja template instead of the model's own")
      ->type_name("FILE")
      ->check(CLI::ExistingFile);
  app.add_option_function<std::string>(
         "--tools",
         [&options](const std::string& file) {
           options.tools = read_file(file);
           options.tools_where = file;
         },
         "tools that the model may call, for its template: a JSON array")
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
                "the model has no chat template, and no format that ktx knows", {},
                {"give a template: --chat-template FILE",
                 "give --prompt without --chat to complete a text"});
  if (!tokenizer.chat_warning().empty()) warn(tokenizer.chat_warning());
  return *format;
}

void chat(Engine& engine, const GenerationOptions& options, const std::string& system,
          const ChatOptions& chat_options) {
  const auto format = require_chat_format(engine.tokenizer(), chat_options);
  Chat chat(engine, options, system, chat_options);
  const auto lines = open_line_reader();
  const InterruptAction ignored(SIG_IGN);  // but where lines are read and answers are made
  std::fprintf(stderr, "%s; /help lists the commands, Ctrl-D ends the chat\n", format.c_str());
  while (!chat.ended()) {
    const Line line = lines->read();
    if (line.end == Line::End::end_of_input) {
      std::fputs("\n", stderr);  // the shell's prompt stands on a line of its own
      break;
    }
    if (line.end == Line::End::interrupt) {
      if (line.text.empty()) std::fputs("Ctrl-D or /exit ends the chat\n", stderr);
    } else if (is_command(line.text)) {
      chat.command(line.text);
    } else if (!line.text.empty()) {
      chat.message(line.text);
    }
  }
}

}  // namespace ktx::tools
