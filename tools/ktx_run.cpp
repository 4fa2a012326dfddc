// ktx-run: generate text with a model placed by a rules file.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "ktx/error.hpp"
#include "ktx/session.hpp"
#include "tools/common/chat.hpp"
#include "tools/common/cli.hpp"
#include "tools/common/generation.hpp"
#include "tools/common/json.hpp"
#include "tools/common/progress.hpp"

namespace {

using namespace ktx;  // the whole file is a client of the library

struct Arguments {
  PlanOptions plan;
  tools::GenerationOptions generation;
  std::string prompt, prompt_file;
  bool chat = false, json = false;
};

constexpr const char* footer = R"(
Text goes to stdout, everything else to stderr. Without a prompt, on a terminal, ktx-run chats.

  ktx-run -m tiny-v3-Q4_K_M.gguf --rules optimize_rules/cpu.yaml --prompt "The whale"
  ktx-run -m deepseek-v3/ --rules my-box.yaml                      chat
  ktx-run -m deepseek-v3/ --rules my-box.yaml --prompt "Why?" --chat --temperature 0.6
  ktx-run -m deepseek-v3/ --rules my-box.yaml --prompt-file - --json < prompt.txt
  ktx-run ... --experts-per-token 6                           6 experts instead of 8

The prompt is completed as it stands, after the model's BOS token; with --chat it is a user's message
in the model's chat format. Temperature 0, the default, takes the most probable token each time.
The first Ctrl-C ends the generation, the second one the program.
)";

void add_options(CLI::App& app, Arguments& a) {
  app.footer(footer);
  tools::add_plan_options(app, a.plan);
  auto* prompt = app.add_option("--prompt,-p", a.prompt, "the prompt")->type_name("TEXT");
  app.add_option("--prompt-file,-f", a.prompt_file, "read the prompt from a file; - for stdin")
      ->type_name("FILE")
      ->excludes(prompt);
  app.add_flag("--chat", a.chat, "put the prompt into the model's chat format");
  tools::add_generation_options(app, a.generation);
  app.add_flag("--json", a.json, "print one JSON object: prompt_ids, ids, text, prefill, decode");
}

std::string read_prompt(const Arguments& a) {
  if (a.prompt_file.empty()) return a.prompt;
  if (a.prompt_file == "-")
    return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  std::ifstream in(a.prompt_file, std::ios::binary);
  if (!in || std::filesystem::is_directory(a.prompt_file))
    throw Error(ErrorCategory::input, "can't be read", a.prompt_file);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

tools::Json phase_json(int64_t tokens, double seconds) {
  return {{"tokens", tokens},
          {"seconds", seconds},
          {"tokens_per_second", seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0}};
}

void run_once(const Arguments& a, Engine& engine) {
  const auto& tokenizer = engine.tokenizer();
  const std::string text = read_prompt(a);
  std::vector<int32_t> prompt;
  if (a.chat) {
    prompt = tokenizer.encode_chat({{ChatMessage::Role::user, text}});
  } else {
    if (const auto bos = tokenizer.bos()) prompt.push_back(*bos);
    const auto ids = tokenizer.encode(text);
    prompt.insert(prompt.end(), ids.begin(), ids.end());
  }

  Session session(engine);
  const tools::InterruptGuard interrupt(session);
  TextStream stream(tokenizer);
  std::string answer;
  const auto emit = [&](const std::string& piece) {
    answer += piece;
    if (!a.json) tools::print(piece);
  };
  const auto result =
      session.generate(prompt, tools::generate_options(a.generation, tokenizer), [&](int32_t id) {
        emit(stream.push(id));
        return true;
      });
  emit(stream.finish());
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

}  // namespace

int main(int argc, char** argv) {
  Arguments a;
  CLI::App app("Generate text with a model placed by a rules file", "ktx-run");
  add_options(app, a);
  return tools::run_tool(app, argc, argv, [&] {
    const bool interactive = app.count("--prompt") + app.count("--prompt-file") == 0;
    if (interactive && isatty(STDIN_FILENO) == 0)
      throw Error(ErrorCategory::input, "no prompt", "ktx-run",
                  {"give --prompt or --prompt-file, or run on a terminal to chat"});
    if (interactive && a.json)
      throw Error(ErrorCategory::input, "--json needs a prompt", "ktx-run");
    auto engine = tools::load_engine(a.plan);
    if (interactive)
      tools::chat(engine, a.generation);
    else
      run_once(a, engine);
  });
}
