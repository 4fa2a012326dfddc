// The table of commands, and what they do.
#include "tools/common/chat_commands.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <numeric>
#include <vector>

#include "ktx/error.hpp"
#include "tools/common/text.hpp"

namespace ktx::tools {

namespace {

std::string help(ChatState&, const std::string&) {
  std::string out;
  for (const auto& [name, argument, text, run] : chat_commands())
    out += padded(std::string(name) + " " + std::string(argument), 16) + std::string(text) + "\n";
  return out +
         "Alt-Enter begins a new line of a message, and a pasted block is one message. Ctrl-C "
         "stops\n"
         "an answer or discards what is being typed; Ctrl-D on an empty line ends the chat.\n";
}

std::string set_experts(ChatState& state, const std::string& argument) {
  if (state.max_experts == 0)
    throw Error(ErrorCategory::input, "the model has no routed experts", "/experts");
  int count = 0;
  const char* end = argument.data() + argument.size();
  const auto [stop, error] = std::from_chars(argument.data(), end, count);
  if (!argument.empty() &&
      (error != std::errc{} || stop != end || count < 1 || count > state.max_experts))
    throw Error(ErrorCategory::input,
                "expected 1 to " + std::to_string(state.max_experts) + ", found '" + argument + "'",
                "/experts");
  state.experts_per_token = count;
  return (argument.empty() ? "the plan's" : argument) + " experts per token\n";
}

std::string set_system(ChatState& state, const std::string& argument) {
  auto& conversation = state.conversation;
  if (!system_message(conversation).empty()) conversation.erase(conversation.begin());
  const auto begin = opening(argument);
  conversation.insert(conversation.begin(), begin.begin(), begin.end());
  return argument.empty() ? "no system message\n" : "";
}

std::string reset(ChatState& state, const std::string&) {
  state.conversation = opening(system_message(state.conversation));
  return {};
}

std::string count_text(const Conversation& conversation) {
  return std::to_string(conversation.size()) +
         (conversation.size() == 1 ? " message" : " messages");
}

std::string save(ChatState& state, const std::string& file) {
  save_conversation(state.conversation, file);
  return count_text(state.conversation) + " written\n";
}

std::string load(ChatState& state, const std::string& file) {
  state.conversation = load_conversation(file);
  return count_text(state.conversation) + " read\n";
}

std::string end(ChatState& state, const std::string&) {
  state.ended = true;
  return {};
}

constexpr ChatCommand commands[] = {
    {"/help", "", "these lines", help},
    {"/experts", "[N]", "run N experts per token from the next answer on; without N, as planned",
     set_experts},
    {"/system", "[TEXT]", "the system message from now on; without TEXT, none", set_system},
    {"/reset", "", "forget the conversation, but not the system message", reset},
    {"/save", "FILE", "save the conversation in FILE as JSON messages", save},
    {"/load", "FILE", "continue the conversation in FILE", load},
    {"/exit", "", "end the chat", end},
};

// Letters to insert, delete or replace between two words (Levenshtein).
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

[[noreturn]] void throw_unknown(std::string_view word) {
  constexpr size_t near = 2;
  std::vector<std::string> all, notes;
  std::string best;
  for (const auto& command : commands) {
    all.emplace_back(command.name);
    const size_t d = distance(word, command.name);
    if (d <= near && (best.empty() || d < distance(word, best))) best = command.name;
  }
  if (!best.empty()) notes.push_back("did you mean " + best + "?");
  notes.push_back("commands: " + join(all));
  notes.emplace_back("put a space before a message that begins with /");
  throw Error(ErrorCategory::input, "no command '" + std::string(word) + "'", {}, notes);
}

void check_argument(const ChatCommand& command, const std::string& argument) {
  if (command.argument.empty() && !argument.empty())
    throw Error(ErrorCategory::input, "expected nothing after it, found '" + argument + "'",
                std::string(command.name));
  if (argument.empty() && !command.argument.empty() && !command.argument.starts_with('['))
    throw Error(ErrorCategory::input,
                "expected " + std::string(command.name) + " " + std::string(command.argument),
                std::string(command.name));
}

constexpr std::string_view spaces = " \t\n";

// "/word", up to the first space.
std::string_view first_word(std::string_view line) {
  return line.substr(0, line.find_first_of(spaces));
}

std::string trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(spaces);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(spaces) + 1 - begin));
}

}  // namespace

std::span<const ChatCommand> chat_commands() {
  return commands;
}

bool is_command(std::string_view line) {
  if (!line.starts_with('/')) return false;
  return std::ranges::all_of(first_word(line).substr(1), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '?';
  });
}

std::string run_command(ChatState& state, std::string_view line) {
  const auto word = first_word(line);
  const auto* command = std::ranges::find(commands, word, &ChatCommand::name);
  if (command == std::end(commands)) throw_unknown(word);
  const auto argument = trimmed(line.substr(word.size()));
  check_argument(*command, argument);
  return command->run(state, argument);
}

}  // namespace ktx::tools
