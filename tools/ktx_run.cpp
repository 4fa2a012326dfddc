// ktx-run: generate text with a model placed by a rules file.
#include <unistd.h>

#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "ktx/error.hpp"
#include "ktx/session.hpp"
#include "tools/common/chat.hpp"
#include "tools/common/cli.hpp"
#include "tools/common/conversation.hpp"
#include "tools/common/files.hpp"
#include "tools/common/generation.hpp"
#include "tools/common/json.hpp"
#include "tools/common/line_reader.hpp"
#include "tools/common/progress.hpp"

namespace {

using namespace ktx;  // the whole file is a client of the library

struct Arguments {
  PlanOptions plan;
  tools::GenerationOptions generation;
  ChatOptions chat_options;
  std::string prompt, prompt_file, system;
  bool chat = false, json = false;
};

constexpr const char* footer = R"(
Text goes to stdout, everything else to stderr. Without a prompt, on a terminal, ktx-run chats.

  ktx-run --rules my-box.yaml                                 chat with the model that the file names
  ktx-run --rules my-box.yaml --prompt "Why?" --chat --temperature 0.6
  ktx-run --rules my-box.yaml --prompt-file - --json < prompt.txt
  ktx-run --rules optimize_rules/cpu.yaml -m tiny-v3-Q4_K_M.gguf --prompt "The whale"
  ktx-run ... --experts-per-token 6                           6 experts instead of 8

The rules file can also set the model, the context length, threads and more (ktx-plan --keywords);
options override it.
The prompt is completed as it stands, after the model's BOS token; with --chat it becomes a user's
message in the model's chat template, after the message of --system. The default temperature of 0
always takes the most probable token; in chats, the model's files may set other sampling defaults.
The first Ctrl-C stops the generation, the second one the program; in chats, it only stops the answer.
)";

void add_options(CLI::App& app, Arguments& a) {
  app.footer(footer);
  tools::add_plan_options(app, a.plan);
  auto* prompt = app.add_option("--prompt,-p", a.prompt, "the prompt")->type_name("TEXT");
  app.add_option("--prompt-file,-f", a.prompt_file, "read the prompt from a file; - for stdin")
      ->type_name("FILE")
      ->excludes(prompt);
  app.add_flag("--chat", a.chat, "put the prompt into the model's chat template");
  tools::add_chat_options(app, a.chat_options);
  app.add_option("--system", a.system, "begin the chat with this system message")
      ->type_name("TEXT");
  tools::add_generation_options(app, a.generation);
  app.add_flag("--json", a.json, "print one JSON object: prompt_ids, ids, text, prefill, decode");
}

std::string read_prompt(const Arguments& a) {
  if (a.prompt_file.empty()) return a.prompt;
  if (a.prompt_file == "-")
    return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  return tools::read_file(a.prompt_file);
}

std::vector<int32_t> encode_prompt(const Arguments& a, const std::string& text,
                                   const Tokenizer& tokenizer) {
  if (a.chat) {
    if (tokenizer.encode(text) != tokenizer.encode(text, false))
      tools::warn("the message contains special tokens, which are plain text in messages");
    auto messages = tools::opening(a.system);
    messages.push_back({ChatMessage::Role::user, text});
    return tokenizer.encode_chat(messages, a.chat_options);
  }
  auto ids = tokenizer.encode(text);
  const auto bos = tokenizer.bos();
  if (bos && (ids.empty() || ids.front() != *bos)) ids.insert(ids.begin(), *bos);
  return ids;
}

// What the session would say too, but only after the model has been loaded.
void check_length(const std::vector<int32_t>& prompt, const Plan& plan) {
  if (prompt.empty()) throw Error(ErrorCategory::input, "the prompt is empty");
  const int64_t room = plan.cache_length();
  if (static_cast<int64_t>(prompt.size()) > room)
    throw Error(ErrorCategory::input,
                "the prompt has " + std::to_string(prompt.size()) +
                    " tokens, but the cache holds " + std::to_string(room),
                {}, {"use a longer context (--context), or a shorter prompt"});
}

tools::Json phase_json(int64_t tokens, double seconds) {
  return {{"tokens", tokens},
          {"seconds", seconds},
          {"tokens_per_second", seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0}};
}

void run_once(const Arguments& a, Engine& engine, const std::vector<int32_t>& prompt) {
  const auto& tokenizer = engine.tokenizer();
  Session session(engine);
  TextStream stream(tokenizer, {.stop = a.generation.stop});
  std::string answer;
  const auto emit = [&](const std::string& piece) {
    answer += piece;
    if (!a.json) tools::print(piece);
  };
  const auto result = tools::generate(
      session, prompt, tools::generate_options(a.generation, tokenizer), stream, emit);
  if (a.json)
    tools::print(
        tools::to_line({{"prompt_ids", prompt},
                        {"ids", result.ids},
                        {"text", answer},
                        {"stop", tools::stop_name(result.reason)},
                        {"prefill", phase_json(result.prefill_tokens, result.prefill_seconds)},
                        {"decode", phase_json(result.decode_tokens, result.decode_seconds)}}));
  else
    tools::print("\n");
  tools::report(result);
  if (result.reason == StopReason::cancelled)
    throw Error(ErrorCategory::environment,
                "interrupted after " + std::to_string(result.ids.size()) + " tokens");
}

// Everything that can be refused is refused before the model is loaded, which may take minutes.
void run(Arguments a, const CLI::App& app, bool interactive) {
  if (!a.chat && !interactive)
    for (const char* option : {"--system", "--set", "--tools", "--chat-template"})
      if (app.count(option) > 0) throw CLI::RequiresError(option, "--chat");
  if (interactive && isatty(STDIN_FILENO) == 0)
    throw Error(ErrorCategory::input, "no prompt", {},
                {"give --prompt or --prompt-file, or run on a terminal to chat"});
  if (interactive && a.json) throw Error(ErrorCategory::input, "--json needs a prompt");
  const std::string text = interactive ? std::string() : read_prompt(a);
  const auto plan = make_plan(a.plan);
  const auto tokenizer = plan.tokenizer();
  if (interactive || a.chat) {
    tools::require_chat_format(tokenizer, a.chat_options);
    tools::take_defaults(plan.sampling_defaults(), app, a.generation.sampling);
  }
  tools::warn_of_unused(app, a.generation.sampling);
  tools::check(a.generation, tokenizer);
  std::vector<int32_t> prompt;
  if (!interactive) {
    prompt = encode_prompt(a, text, tokenizer);
    check_length(prompt, plan);
  }
  auto engine = tools::load_engine(plan);
  if (interactive)
    tools::chat(engine, a.generation, a.system, a.chat_options);
  else
    run_once(a, engine, prompt);
  tools::finish_cache(engine);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments a;
  CLI::App app("Generate text with a model placed by a rules file", "ktx-run");
  add_options(app, a);
  const auto chats = "chats: " + tools::line_editor_name();
  return tools::run_tool(
      app, argc, argv,
      [&] { run(a, app, app.count("--prompt") + app.count("--prompt-file") == 0); }, chats);
}
